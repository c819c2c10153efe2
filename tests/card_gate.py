"""A whole gate that asks for a card and nothing else: one lane with a PN532 and a relay, simulated over their wires.

Simulators run as a process of their own; the gate runs on a thread of this one, under the shipped policy
``building_door``. Every card is a simulated NTAG 424 DNA that does the cryptography, or a plain number.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from config.settings import Settings, load_settings
from drivers.cards.ntag424 import CardKeys
from kiosk.capture import Gate
from kiosk.demo.control import Control
from kiosk.demo.programs import Programs
from kiosk.run import build

META_KEY = bytes(range(16, 32))
GATE = """
[site]
kiosk_id = "cards-1"
[state]
folder = "{folder}/state"
[policy]
file = "building_door"
[keys]
community = "{folder}/community.key"
card_meta = "{folder}/meta.key"
[web]
port = 0
[simulation]
devices = true
[[lane]]
name = "in"
  [lane.reader]
  port = "{folder}/dev/reader-in"
  strength = "{strength}"
  [lane.relay]
  port = "{folder}/dev/relay-in"
"""
PLAN = '[[device]]\nname = "reader-in"\nkind = "pn532"\n[[device]]\nname = "relay-in"\nkind = "relay"\n'


def chip(keys: CardKeys, read_ctr: int = 0) -> dict[str, Any]:
    """The simulated chip of a card with these keys, as an option of the simulator's order "tap"."""
    return {
        "gate_key": keys.gate_key.hex(),
        "file_key": keys.file_key.hex(),
        "meta_key": META_KEY.hex(),
        "read_ctr": read_ctr,
    }


def card_settings(folder: Path, strength: str) -> Settings:
    """Write the settings and secrets of the gate into ``folder``, for cards of that strength."""
    for name, secret in (("community.key", bytes(range(32))), ("meta.key", META_KEY)):
        (folder / name).write_bytes(secret)
        (folder / name).chmod(0o600)
    (folder / "gate.toml").write_text(GATE.format(folder=folder, strength=strength))
    (folder / "plan.toml").write_text(PLAN)
    return load_settings(folder / "gate.toml", {}).settings


@contextmanager
def running_card_gate(folder: Path, settings: Settings) -> Iterator[tuple[Control, Gate]]:
    """Simulators and gate running; roster and keys are what lies in the state folder."""
    programs = Programs(folder / "log")
    with ExitStack() as stack:
        stack.callback(programs.stop)
        programs.start("simulators", "drivers.simulators", "--dir", str(folder), "--plan", str(folder / "plan.toml"))
        control = Control(folder / "control.sock")
        programs.wait_for("its control socket", control.ready, program="simulators")
        gate = build(settings, stack)
        thread = threading.Thread(target=gate.run)
        thread.start()
        stack.callback(thread.join, 10)
        stack.callback(gate.stop)
        yield control, gate
