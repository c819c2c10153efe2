"""The line between a device model and the kiosk, sans-I/O: its pace, its faults, what it loses.

Bytes take ten bit times each, both ways, at the device's own baud rate; a kiosk at another rate gets, and sends,
garbage. ``drivers/simulators/wire.py`` puts a line on a pseudo-terminal in real time; tests run days of it at once.

Faults, by name and seed (the same seed spoils the same bytes), each touching ``share`` of the messages:

============  ===========================================================================================
noise         random bytes before and behind a message
split         a message arrives in random pieces with pauses between them
bad_checksum  the byte of the checksum is changed
silence       the device says nothing
stuck         the device repeats its last message for ever
slow          each message comes 400 ms late
unplug        the line is hung up (the wire removes its link, too)
============  ===========================================================================================
"""

from __future__ import annotations

import random
from collections import deque

from drivers.simulators.registry import Player

FAULTS = ("noise", "split", "bad_checksum", "silence", "stuck", "slow", "unplug")

_SLOW_NS = 400_000_000
_BITS_A_BYTE = 10
_WAITING_MAX = 64
"""Messages that may wait for the line; a device that talks faster than its line loses the rest."""


class Line:
    """One device on one line. ``checksum_index`` is the byte of a message that ``bad_checksum`` changes (see
    :class:`drivers.simulators.registry.Kind`). Times are monotonic nanoseconds and must not go back.
    """

    def __init__(self, player: Player, *, baud: int, seed: int, checksum_index: int = -1) -> None:
        self.player = player
        self.fault: str | None = None
        self._share = 1.0
        self._random = random.Random(seed)
        self._checksum_index = checksum_index
        self._byte_ns = _BITS_A_BYTE * 1_000_000_000 // baud
        self._last_message = b""
        self.clear()

    def clear(self) -> None:
        """Forget what is on its way: the device was unplugged."""
        self._outgoing: deque[tuple[int, bytes]] = deque()
        """What is to be said, in order: (not before, bytes)."""
        self._outgoing_free_ns = 0
        self._incoming: deque[tuple[int, bytes]] = deque()
        self._incoming_free_ns = 0

    def power_on(self) -> None:
        """The device was plugged in."""
        self.clear()
        self.player.command({"do": "power_on"})

    def spoil(self, fault: str | None, share: float = 1.0) -> None:
        """Begin a fault for ``share`` (0 to 1) of the messages; None ends it.

        Raises ValueError for a name that is not one of :data:`FAULTS`, or a share outside 0 to 1.
        """
        if fault is not None and fault not in FAULTS:
            raise ValueError(f"unknown fault {fault!r}; known: {', '.join(FAULTS)}")
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"share {share}: expected 0 to 1")
        self.fault, self._share = fault, share

    def hear(self, data: bytes, now: int, *, same_rate: bool = True) -> None:
        """The kiosk wrote these bytes at ``now``; the device gets them when their last bit has passed."""
        if not same_rate:
            data = self.scrambled(data)
        self._incoming_free_ns = max(self._incoming_free_ns, now) + len(data) * self._byte_ns
        self._incoming.append((self._incoming_free_ns, data))

    def run(self, now: int) -> None:
        """Let the device hear and say what is due by ``now``."""
        while self._incoming and self._incoming[0][0] <= now:
            at_ns, data = self._incoming.popleft()
            self._say(self.player.received(data, at_ns), now)
        due = self.player.due_ns()
        if due is not None and due <= now:
            self._say(self.player.due(now), now)

    def spoken(self, now: int) -> bytes:
        """The bytes whose last bit has passed by ``now``, each once."""
        passed_bytes = bytearray()
        while self._outgoing and self._outgoing[0][0] <= now:
            not_before, data = self._outgoing.popleft()
            begins = max(self._outgoing_free_ns, not_before)
            passed = max(0, min(len(data), (now - begins) // self._byte_ns))
            if passed:
                self._outgoing_free_ns = begins + passed * self._byte_ns
                passed_bytes += data[:passed]
            if passed < len(data):
                self._outgoing.appendleft((not_before, data[passed:]))
                break
        return bytes(passed_bytes)

    def next_ns(self) -> int | None:
        """When there is something to do, the end of the message on the line included; None while there is nothing."""
        times = [self.player.due_ns(), self._incoming[0][0] if self._incoming else None]
        if self._outgoing:
            not_before, data = self._outgoing[0]
            times.append(max(self._outgoing_free_ns, not_before) + len(data) * self._byte_ns)
        return min((time for time in times if time is not None), default=None)

    def speaking(self, now: int) -> bool:
        """Is a message on the line, so that bytes of it pass from moment to moment?"""
        return bool(self._outgoing) and self._outgoing[0][0] <= now

    def scrambled(self, data: bytes) -> bytes:
        """What a receiver at another baud rate makes of these bytes."""
        return bytes(byte ^ self._random.randrange(1, 256) for byte in data)

    def _say(self, messages: list[bytes], now: int) -> None:
        """Put messages on the line, through the fault that is on."""
        for whole in messages[: max(0, _WAITING_MAX - len(self._outgoing))]:
            not_before, pieces = now, [whole]
            if self.fault is not None and self._random.random() < self._share:
                not_before, pieces = self._spoiled(whole, now)
            self._last_message = self._last_message if self.fault == "stuck" and self._last_message else whole
            for piece in pieces:
                # A line keeps the order: nothing overtakes a message that is late.
                not_before = max(not_before, self._outgoing[-1][0] if self._outgoing else 0)
                self._outgoing.append((not_before, piece))
                if self.fault == "split":
                    not_before += self._random.randrange(2, 30) * 1_000_000

    def _spoiled(self, whole: bytes, now: int) -> tuple[int, list[bytes]]:
        match self.fault:
            case "silence":
                return now, []
            case "noise":
                return now, [self._junk() + whole + self._junk()]
            case "split" if len(whole) > 1:
                cuts = sorted(self._random.sample(range(1, len(whole)), min(3, len(whole) - 1)))
                return now, [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
            case "bad_checksum":
                spoiled = bytearray(whole)
                spoiled[self._checksum_index] ^= self._random.randrange(1, 256)
                return now, [bytes(spoiled)]
            case "stuck":
                return now, [self._last_message or whole]
            case "slow":
                return now + _SLOW_NS, [whole]
            case _:
                return now, [whole]

    def _junk(self) -> bytes:
        return self._random.randbytes(self._random.randrange(1, 9))
