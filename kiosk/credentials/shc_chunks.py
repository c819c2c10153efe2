"""Collecting a SMART Health Card that is spread over several QR codes. Pure; time is an argument.

The camera sees one code at a time, in any order, often the same one again. Chunks belong together when they name the
same total and come within a minute; a chunk that contradicts what was collected begins a new set, so that the next
person's card is never completed with the last one's. Nothing here is verified: a wrong set fails its signature.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kiosk.credentials.shc import MAX_CHUNKS, MAX_CODE

COLLECT_FOR = timedelta(seconds=60)
_CHUNK = re.compile(r"shc:/([0-9]{1,2})/([0-9]{1,2})/[0-9]+")


@dataclass(frozen=True, slots=True)
class ChunksMissing:
    """More codes are needed: shown to the resident as "2 of 3"."""

    seen: int
    total: int


@dataclass(slots=True)
class ChunkCollector:
    """The chunks of one lane."""

    _total: int = 0
    _started: datetime | None = None
    _chunks: dict[int, str] = field(default_factory=dict)

    def take(self, text: str, now: datetime) -> str | ChunksMissing:
        """One code's text in; out the text to verify, or how many codes are still missing.

        Every text that is no chunk comes straight back, as does a chunk that no set can hold (the verifier
        refuses it). A complete set comes back as its chunks joined by line feeds.
        """
        match = _CHUNK.fullmatch(text) if len(text) <= MAX_CODE + 12 else None
        if match is None:
            return text
        index, total = int(match[1]), int(match[2])
        if not 1 <= index <= total <= MAX_CHUNKS or total == 1:
            return text
        stale = self._started is None or now - self._started > COLLECT_FOR
        if stale or total != self._total or self._chunks.get(index, text) != text:
            self._total, self._started, self._chunks = total, now, {}
        self._chunks[index] = text
        if len(self._chunks) < total:
            return ChunksMissing(seen=len(self._chunks), total=total)
        joined = "\n".join(self._chunks[index] for index in sorted(self._chunks))
        self.reset()
        return joined

    def reset(self) -> None:
        """Forgets what was collected: when the person leaves."""
        self._total, self._started, self._chunks = 0, None, {}
