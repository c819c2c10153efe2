"""One presentation, one event: for readers that repeat a card's number for as long as it is near."""

from __future__ import annotations

GONE_NS = 300_000_000


class Presentations:
    """Tells the first sight of a card from its repetitions. A card is gone after ``gone_ns`` without a sight of it;
    another card is another presentation at once."""

    def __init__(self, gone_ns: int = GONE_NS) -> None:
        self._gone_ns = gone_ns
        self._card = b""
        self._seen_ns = 0

    def is_new(self, card: bytes, at_ns: int) -> bool:
        """Note the sight of a card; true when it begins a presentation."""
        fresh = card != self._card or at_ns - self._seen_ns > self._gone_ns
        self._card, self._seen_ns = card, at_ns
        return fresh
