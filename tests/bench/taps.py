"""How long a tap takes, from the card entering the field to its :class:`CardTap`: ``python -m tests.bench.taps``.

Runs the real conversation on the real serial line (a pseudo-terminal) against the simulated PN532 at 115200 baud, for
each strength, with the keys of 100,000 cards in the kiosk's sealed key file. Beside it stands the same tap in
simulated time, where software takes none: wire, chip and air alone, the limit that no software passes. The chip's and
the card's own times are the simulator's assumptions (drivers/simulators/pn532.py), not measurements of hardware.
"""

from __future__ import annotations

import argparse
import contextlib
import queue
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from drivers.cards.ntag424 import CardKeys, KeysOf, ev2_dialogue, sun_dialogue
from drivers.cards.pn532 import Pn532Conversation
from drivers.devices import CardTap, DeviceReady
from drivers.serial_port import SerialDevice
from drivers.simulators.ntag424_card import NtagCard, personalised
from drivers.simulators.pn532 import Pn532Player
from drivers.simulators.wire import Wire
from kiosk.card_keys import CardKeyStore
from tests.wire_loop import MS, WireLoop

META = b"\x11" * 16
GOALS_MS = {"uid": 100, "sun": 200, "ev2": 350}


def keys_of_a_site(cards: int, rng: random.Random) -> dict[bytes, CardKeys]:
    """A kiosk's table of per-card keys."""
    return {
        b"\x04" + number.to_bytes(6): CardKeys(gate_key=rng.randbytes(16), file_key=rng.randbytes(16))
        for number in range(cards)
    }


def dialogue_of(strength: str, keys_of: KeysOf) -> Any:
    """What the reader asks of a card."""
    return {"uid": None, "sun": sun_dialogue(META, keys_of), "ev2": ev2_dialogue(keys_of)}[strength]


def lookups_ms(keys_of: KeysOf, uids: list[bytes]) -> list[float]:
    """Finding and opening a card's keys."""
    times = []
    for uid in uids:
        begin_ns = time.perf_counter_ns()
        keys_of(uid)
        times.append((time.perf_counter_ns() - begin_ns) / MS)
    return times


def card_of(uid: bytes, keys: dict[bytes, CardKeys]) -> NtagCard:
    """The card that holds those keys."""
    return personalised(uid, gate_key=keys[uid].gate_key, file_key=keys[uid].file_key, meta_key=META)


def limit_ms(strength: str, keys: dict[bytes, CardKeys], uids: list[bytes]) -> list[float]:
    """Wire, chip and air alone."""
    player = Pn532Player()
    loop = WireLoop(Pn532Conversation(dialogue_of(strength, keys.get)), player).begin().run(100)
    times = []
    for number, uid in enumerate(uids):
        begin_ns = loop.now_ns
        player.put(card_of(uid, keys), 300 * MS)
        loop.run(700 + number % 13)
        times.append((loop.events[-1][0] - begin_ns) / MS)
    return times


def measured_ms(strength: str, keys: dict[bytes, CardKeys], keys_of: KeysOf, uids: list[bytes]) -> list[float]:
    """Through the serial line and its thread."""
    player, events, times = Pn532Player(), queue.Queue[Any](), []
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        wire = Wire(Path(folder) / "dev" / "reader", player, baud=115200, seed=1)
        wire.start()
        stack.callback(wire.stop)
        device = SerialDevice("in", str(wire.link), Pn532Conversation(dialogue_of(strength, keys_of)))
        device.start(events.put)
        stack.callback(device.stop)
        while not isinstance(events.get(timeout=5), DeviceReady):
            pass
        for number, uid in enumerate(uids):
            secrets = {
                "gate_key": keys[uid].gate_key.hex(),
                "file_key": keys[uid].file_key.hex(),
                "meta_key": META.hex(),
            }
            order = {"do": "tap", "uid": uid.hex(), "hold_ms": 2000, "card": secrets}
            time.sleep(0.003 * (number % 13))  # taps do not come in step with the polls
            begin_ns = time.monotonic_ns()
            wire.command(order)
            event = events.get(timeout=5)
            if not isinstance(event, CardTap) or event.uid != uid:
                raise SystemExit(f"{strength}: expected a tap of {uid.hex()}, got {event}")
            times.append((event.at_ns - begin_ns) / MS)
            wire.command({"do": "remove"})
            time.sleep(0.32)
    return times


def p(times: list[float], percent: int) -> float:
    """A percentile."""
    return statistics.quantiles(times, n=100)[percent - 1]


def main() -> int:
    """Print the table; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.taps")
    parser.add_argument("--taps", type=int, default=40)
    parser.add_argument("--cards", type=int, default=100_000)
    options = parser.parse_args()
    rng = random.Random(5)
    keys = keys_of_a_site(options.cards, rng)
    missed = 0
    with tempfile.TemporaryDirectory() as folder, CardKeyStore.open(Path(folder) / "cards.db", bytes(32)) as store:
        store.take(keys.items())
        found = lookups_ms(store.keys_of, rng.sample(sorted(keys), min(5000, len(keys))))
        print(
            f"keys of {options.cards} cards, one look-up: p50 {statistics.median(found):.3f}, p99 {p(found, 99):.3f} ms"
        )
        missed += p(found, 99) > 1.0
        print(f"{options.taps} taps each; milliseconds from the card in the field to its event")
        print(f"{'strength':10}{'p50':>8}{'p95':>8}{'limit p50':>12}{'limit p95':>12}{'goal p95':>10}")
        for strength, goal_ms in GOALS_MS.items():
            uids = rng.sample(sorted(keys), options.taps)
            seen, limit = measured_ms(strength, keys, store.keys_of, uids), limit_ms(strength, keys, uids)
            missed += p(seen, 95) > goal_ms
            row = (statistics.median(seen), p(seen, 95), statistics.median(limit), p(limit, 95))
            print(f"{strength:10}{row[0]:8.1f}{row[1]:8.1f}{row[2]:12.1f}{row[3]:12.1f}{goal_ms:10}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
