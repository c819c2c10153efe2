"""The simulated line in simulated time: faults by seed, shares, order."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.simulators.line import FAULTS, Line

MS = 1_000_000
MESSAGES = [bytes([number]) * 9 for number in range(40)]


class Speaker:
    """A device that says the messages given, one every 100 ms."""

    def __init__(self, messages: list[bytes]) -> None:
        self._messages = messages
        self._next_ns = 0

    def received(self, data: bytes, at_ns: int) -> list[bytes]:
        return []

    def due_ns(self) -> int | None:
        return self._next_ns if self._messages else None

    def due(self, at_ns: int) -> list[bytes]:
        self._next_ns = at_ns + 100 * MS
        return [self._messages.pop(0)]

    def command(self, line: dict[str, Any]) -> dict[str, Any]:
        return {}


def said(fault: str | None, *, seed: int = 5, share: float = 1.0) -> bytes:
    """What comes out of the line after a first healthy message."""
    line = Line(Speaker([b"first", *MESSAGES]), baud=9600, seed=seed)
    line.run(0)
    assert line.spoken(50 * MS) == b"first"
    line.spoil(fault, share)
    heard = b""
    for now in range(50 * MS, 6000 * MS, 5 * MS):
        line.run(now)
        heard += line.spoken(now)
    return heard


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "unplug"])
def test_the_same_seed_spoils_the_same_bytes(name: str) -> None:
    """Two runs of a fault with one seed are equal; splitting and lateness lose and change nothing."""
    healthy = b"".join(MESSAGES)
    assert said(name) == said(name)
    assert (said(name) == healthy) == (name in ("split", "slow"))
    if name in ("noise", "bad_checksum"):
        assert said(name) != said(name, seed=6)


def test_stuck_repeats_and_silence_says_nothing() -> None:
    """The last healthy message for ever; nothing at all."""
    assert said("stuck") == b"first" * len(MESSAGES)
    assert said("silence") == b""


def test_a_share_of_the_messages_is_spared() -> None:
    """Half of the messages pass untouched."""
    assert 5 < len(said("silence", share=0.5)) / 9 < 35


@pytest.mark.parametrize(("name", "share"), [("fire", 1.0), ("noise", 1.5), ("noise", -0.1)])
def test_unknown_faults_and_shares_are_refused(name: str, share: float) -> None:
    """With the names that there are."""
    with pytest.raises(ValueError, match=r"unknown fault|expected 0 to 1"):
        Line(Speaker([]), baud=9600, seed=1).spoil(name, share)


def test_a_device_that_talks_faster_than_its_line_loses_the_rest() -> None:
    """What waits is bounded."""

    class Flood(Speaker):
        def due(self, at_ns: int) -> list[bytes]:
            return [bytes(100)] * 1000

    line = Line(Flood([b"x"]), baud=9600, seed=1)
    line.run(0)
    assert len(line.spoken(10_000_000 * MS)) == 6400
