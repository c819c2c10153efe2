"""The gate's OSDP against what others wrote: libosdp (Apache-2.0), as a reader before the gate and as a panel before
the simulated reader.

It is no dependency of the gate: what speaks at the gate is ``drivers/cards/osdp.py``. Both ends run in this thread, by
turns, in real time, since libosdp goes by the system's clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import osdp
import pytest

from drivers.cards.osdp import OsdpConversation
from drivers.cards.osdp_install import OsdpKeyInstall
from drivers.cards.wiegand import encode, packed
from drivers.devices import Broken, CardTap, FaultKind, Proven, Send
from drivers.simulators.osdp import OsdpPlayer

KEY = bytes(range(1, 17))
UID = bytes.fromhex("5AE2B3DE")


class Cable(osdp.Channel):  # type: ignore[misc]
    """What the gate has sent, for the peripheral, and the other way round."""

    def __init__(self) -> None:
        super().__init__()
        self.to_reader = b""
        self.to_gate = b""

    def read(self, max_bytes: int) -> bytes:
        """Of the peripheral."""
        data, self.to_reader = self.to_reader[:max_bytes], self.to_reader[max_bytes:]
        return data

    def write(self, buf: bytes) -> int:
        """Of the peripheral."""
        self.to_gate += bytes(buf)
        return len(buf)

    def flush(self) -> None:
        """Nothing waits."""


class Reader:
    """libosdp's peripheral at address 0; ``key`` None has none, ``install`` takes the default key."""

    def __init__(self, key: bytes | None, *, install: bool = False) -> None:
        self.cable = Cable()
        self.commands: list[dict[str, Any]] = []
        flags = [osdp.LibFlag.InstallMode] if install else []
        info = osdp.PDInfo(0, self.cable, scbk=key, flags=flags)
        capabilities = osdp.PDCapabilities(
            [
                (osdp.Capability.CardDataFormat, 1, 1),
                (osdp.Capability.CheckCharacter, 1, 0),
                (osdp.Capability.CommunicationSecurity, 1, 1),
            ]
        )
        self._device = osdp.PeripheralDevice(
            info, capabilities, log_level=osdp.LogLevel.Emergency, command_handler=self._told
        )

    def _told(self, command: dict[str, Any]) -> tuple[int, None]:
        self.commands.append(command)
        return 0, None

    def refresh(self) -> None:
        """Let it do what is due."""
        self._device.ctx.refresh()

    def present(self, bits: str) -> None:
        """A card of these bits."""
        event = {
            "event": osdp.Event.CardRead,
            "reader_no": 0,
            "direction": 0,
            "format": osdp.CardFormat.Wiegand,
            "data": packed(bits),
            "length": len(bits),
        }
        self._device.ctx.submit_event(event)


def run(conversation: OsdpConversation, reader: Reader, until: Callable[[list[Any]], bool]) -> list[Any]:
    """Both ends by turns until something is heard, for four seconds at most."""
    heard: list[Any] = []
    steps = conversation.begin(time.monotonic_ns())
    end_s = time.monotonic() + 4
    while time.monotonic() < end_s and not until(heard):
        for step in steps:
            if isinstance(step, Send):
                reader.cable.to_reader += step.data
            else:
                heard.append(step)
        reader.refresh()
        data, reader.cable.to_gate = reader.cable.to_gate, b""
        now_ns = time.monotonic_ns()
        steps = conversation.receive(data, now_ns) if data else []
        wake_ns = conversation.wake_at_ns()
        if not steps and wake_ns is not None and now_ns >= wake_ns:
            steps = conversation.wake(now_ns)
        time.sleep(0.002)
    return heard


def any_of(kind: type[Any], count: int = 1) -> Callable[[list[Any]], bool]:
    return lambda heard: sum(isinstance(step, kind) for step in heard) >= count


def test_a_reader_with_the_sites_key_is_proven_and_its_cards_are_read() -> None:
    """Secure Channel, then 32 bits as they are and 26 bits of Wiegand."""
    reader = Reader(KEY)
    cards = [f"{int.from_bytes(UID):032b}", encode(0x63E9AE, 26)]
    shown: list[str] = []

    def both(heard: list[Any]) -> bool:
        if any_of(Proven)(heard) and any_of(CardTap, len(shown))(heard):
            if len(shown) == len(cards):
                return True
            shown.append(cards[len(shown)])
            reader.present(shown[-1])
        return False

    heard = run(OsdpConversation(KEY), reader, both)
    assert not any_of(Broken)(heard), heard
    taps = [step for step in heard if isinstance(step, CardTap)]
    assert [(tap.uid, tap.unknown_first) for tap in taps] == [(UID, 0), (bytes.fromhex("63E9AE"), 1)]


@pytest.mark.parametrize(
    "reader",
    [
        lambda: Reader(bytes(range(2, 18))),
        lambda: Reader(None, install=True),
    ],
    ids=["another key", "the default key"],
)
def test_a_reader_without_the_sites_key_is_refused(reader: Callable[[], Reader]) -> None:
    """Whatever it is that is missing, nothing is read in plain."""
    heard = run(OsdpConversation(KEY), reader(), any_of(Broken))
    (broken,) = heard
    assert isinstance(broken, Broken)
    assert broken.kind is FaultKind.REFUSED


def test_a_new_reader_takes_the_sites_key_in_install_mode_and_then_opens_with_it() -> None:
    """The whole of `gatepost card osdp-key`: default key, KEYSET, the new key's own channel."""
    reader = Reader(None, install=True)
    heard = run(OsdpKeyInstall(KEY), reader, any_of(Proven))
    assert any_of(Proven)(heard), heard
    assert not any_of(Broken)(heard)
    heard = run(OsdpConversation(KEY), reader, any_of(Proven))
    assert any_of(Proven)(heard), heard


def panel(player: OsdpPlayer, secured_within_s: float) -> tuple[bool, list[dict[str, Any]]]:
    """libosdp's control panel before the simulated reader: whether its Secure Channel came up, and what it heard.

    A card is held up as soon as it did. Answers are handed over whole: in pieces, as a serial line brings them,
    libosdp 3.2.9 does not take them.
    """
    cable, begin_s = Cable(), time.monotonic()
    heard: list[dict[str, Any]] = []

    def took(_reader: int, event: dict[str, Any]) -> int:
        heard.append(event)
        return 0

    control = osdp.ControlPanel(
        [osdp.PDInfo(0, cable, scbk=KEY, flags=[osdp.LibFlag.EnforceSecure])],
        log_level=osdp.LogLevel.Emergency,
        event_handler=took,
    )
    secured = False
    while time.monotonic() - begin_s < secured_within_s and not heard:
        control.ctx.refresh()
        sent, cable.to_gate = cable.to_gate, b""
        player.received(sent, time.monotonic_ns())
        cable.to_reader += b"".join(player.due(time.monotonic_ns()))
        if not secured and control.ctx.sc_status():
            secured = True
            player.command({"do": "tap", "uid": UID.hex()})
        time.sleep(0.002)
    return secured, heard


def test_the_simulated_reader_is_one_to_others_too() -> None:
    """What the gate is tried against every day is no invention of its own: libosdp's panel reads a card from it."""
    secured, heard = panel(OsdpPlayer(KEY), secured_within_s=4)
    assert secured
    assert [bytes(event["data"]) for event in heard] == [UID]


@pytest.mark.parametrize("player", [OsdpPlayer(KEY, claims_encryption=False), OsdpPlayer(bytes(16))])
def test_the_simulated_reader_that_is_to_be_refused_is_refused_by_others_too(player: OsdpPlayer) -> None:
    """Without encryption, or with another key, there is no Secure Channel."""
    assert panel(player, secured_within_s=1) == (False, [])
