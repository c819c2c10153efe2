"""A latching USB relay board (LCUS): it obeys, it does not answer, and it keeps a log that survives kills.

Each change is appended as one JSON line ``{"channel", "on", "at_ns"}`` to ``relay-<name>.log`` in the run's folder;
``at_ns`` is the monotonic clock. A board that gets its power back starts with all relays off.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from drivers.relay_supervisor import MAX_CHANNELS
from drivers.simulators.registry import Spec

KEPT_CHANGES = 10_000


class RelayPlayer:
    """``channels`` relays behind one serial port; ``log`` is the file that changes are appended to."""

    def __init__(self, channels: int, log: Path) -> None:
        if not 1 <= channels <= MAX_CHANNELS:
            raise ValueError(f"a relay board has 1 to {MAX_CHANNELS} channels, not {channels}")
        self._on = dict.fromkeys(range(1, channels + 1), False)
        self._log = log
        self._buffer = b""
        self._changes: list[dict[str, Any]] = []
        self._now_ns = 0

    def received(self, data: bytes, at_ns: int) -> list[bytes]:
        """Four-byte frames with a right sum switch; anything else costs one byte."""
        self._now_ns = at_ns
        self._buffer += data
        while len(self._buffer) >= 4:
            head, channel, state, check = self._buffer[:4]
            if head == 0xA0 and channel in self._on and state in (0, 1) and check == (head + channel + state) & 0xFF:
                self._switch(channel, bool(state))
                self._buffer = self._buffer[4:]
            else:
                self._buffer = self._buffer[1:]
        return []

    def due_ns(self) -> int | None:
        """It never speaks."""
        return None

    def due(self, at_ns: int) -> list[bytes]:
        """It never speaks."""
        return []

    def command(self, line: dict[str, Any]) -> dict[str, Any]:
        """``{"do": "log"}`` tells the changes so far and what is on now; ``"power_on"`` starts with all off."""
        match line.get("do"):
            case "log":
                return {"changes": list(self._changes), "on": [channel for channel, on in self._on.items() if on]}
            case "power_on":
                self._buffer = b""
                for channel in self._on:
                    self._switch(channel, False)
                return {}
            case other:
                raise ValueError(f"a relay board cannot {other!r}; it knows log and power_on")

    def _switch(self, channel: int, on: bool) -> None:
        if self._on[channel] is on:
            return
        self._on[channel] = on
        change = {"channel": channel, "on": on, "at_ns": self._now_ns}
        self._changes = [*self._changes[-KEPT_CHANGES:], change]
        with self._log.open("ab", buffering=0) as file:
            file.write(json.dumps(change).encode() + b"\n")
            os.fsync(file.fileno())


def player(spec: Spec) -> RelayPlayer:
    """Option ``channels`` (default 2)."""
    return RelayPlayer(int(spec.number("channels", 2)), spec.folder / f"relay-{spec.name}.log")
