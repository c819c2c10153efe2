"""Which code in view is meant, and when it is new: pure, time is an argument.

One text is one event while it stays in view and for a while after it left. Of several codes the nearest (largest)
steady one is taken; the next person's waits until the first has left, has had its verdict long enough to see it, or has
had its time.

A code that renews itself (a phone's new text every 30 seconds, its first part the same, at the same place without a
break) goes on being the same event: otherwise one person in ten would begin a second passage while walking in. Only
after a refusal is the renewed text told, because a fresh one is what the person was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drivers.devices import QrText
from drivers.qr import Corners, area_px

_NS = 1_000_000_000
_MAX_TRACKS = 64
_RENEWED_LEAST_BYTES = 120  # of the beginning must be the same (more than any address of a provider), and
_RENEWED_LEAST_SHARE = 0.5  # of the whole
_UNREAD_MOST_NS = 10 * _NS
_TREMOR_SIDES, _STEADY_SIDES_PER_S = 0.025, 0.3  # what a hand that holds a code still may move it, in its own sides


@dataclass(slots=True)
class _Track:
    seen_ns: int
    read_ns: int
    first_ns: int
    area: float
    center: tuple[float, float]
    sightings: int = 1
    steady: bool = False
    told: bool = False
    refused: bool = False

    def here(self, area: float, center: tuple[float, float]) -> bool:
        """Whether a symbol of this size at this place may be this one: half a side away, half or twice the area."""
        away = max(abs(center[0] - self.center[0]), abs(center[1] - self.center[1]))
        return away < 0.5 * max(self.area, 1.0) ** 0.5 and 0.5 * self.area <= area <= 2.0 * self.area


def _center(corners: Corners) -> tuple[float, float]:
    count = max(1, len(corners))
    return sum(x for x, _ in corners) / count, sum(y for _, y in corners) / count


def _renews(old: bytes, new: bytes) -> bool:
    """Whether ``new`` begins as ``old`` does, for as long as only the same code shown anew would."""
    same = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    return same >= max(_RENEWED_LEAST_BYTES, _RENEWED_LEAST_SHARE * max(len(old), len(new)))


class Focus:
    """Chooses among the codes of successive frames.

    ``forget_s``: a text that was gone so long is a new event when it returns. ``wait_s``: how long an undecided
    text keeps others waiting while it stays in view. ``gone_s``: not seen for so long means left. ``settle_s``:
    when several are in view and none is steady, the nearest is taken after this. ``verdict_s``: so long after its
    verdict a code that stays in view keeps others waiting, or the next one's verdict would wipe it off the screen.
    """

    def __init__(
        self,
        *,
        forget_s: float = 3.0,
        wait_s: float = 4.0,
        gone_s: float = 0.8,
        settle_s: float = 0.4,
        verdict_s: float = 2.0,
    ) -> None:
        self._forget_ns = int(forget_s * _NS)
        self._wait_ns = int(wait_s * _NS)
        self._gone_ns = int(gone_s * _NS)
        self._settle_ns = int(settle_s * _NS)
        self._verdict_ns = int(verdict_s * _NS)
        self._tracks: dict[bytes, _Track] = {}
        self._focus: bytes | None = None
        self._hold_until_ns = 0
        self._last: bytes | None = None
        self._decided = self._verdict = False

    def decided(self, *, refused: bool = False) -> None:
        """The text told last has its verdict. ``refused``: its renewal is told anew."""
        track = self._tracks.get(self._last) if self._last is not None else None
        if track is not None and refused:
            track.refused = True
        self._decided = True

    def release(self) -> None:
        """More codes of the same person are awaited: others need wait no longer."""
        self._focus = None

    def forget(self) -> None:
        """Everything in view counts as new (the next picture of a folder)."""
        self._tracks.clear()
        self._focus = None

    def observe(self, texts: Iterable[QrText], at_ns: int, unread: Iterable[Corners] = ()) -> QrText | None:
        """The codes of one frame; the one to tell now, or None. ``unread`` are symbols that were seen there and could
        not be read: one at a told code's place is that code, for ten seconds after it was read last."""
        self._tracks = {d: t for d, t in self._tracks.items() if at_ns - t.seen_ns <= self._forget_ns}
        if self._decided:
            self._decided, self._verdict = False, True
            self._hold_until_ns = at_ns + self._verdict_ns
        seen = {text.data: text for text in texts}
        for data, text in seen.items():
            self._follow(data, text, at_ns)
        for corners in unread:
            self._hold(corners, at_ns)
        if self._held(seen, at_ns):
            return None
        new = [(data, text) for data, text in seen.items() if data in self._tracks and not self._tracks[data].told]
        if not new:
            return None
        data, text = max(new, key=lambda pair: (self._tracks[pair[0]].steady, area_px(pair[1].corners)))
        track = self._tracks[data]
        waited_ns = at_ns - track.first_ns
        if self._rivals(data, at_ns) and not track.steady and waited_ns < self._settle_ns:
            return None
        track.told = True
        self._focus, self._last, self._verdict, self._hold_until_ns = data, data, False, at_ns + self._wait_ns
        return text

    def _follow(self, data: bytes, text: QrText, at_ns: int) -> None:
        area, center = area_px(text.corners), _center(text.corners)
        track = self._tracks.get(data) or self._renewed(data, area, center, at_ns)
        if track is None:
            if len(self._tracks) < _MAX_TRACKS:
                self._tracks[data] = _Track(at_ns, at_ns, at_ns, area, center)
            return
        side = max(area, track.area, 1.0) ** 0.5
        moved = max(abs(center[0] - track.center[0]), abs(center[1] - track.center[1]))
        calm = side * (_TREMOR_SIDES + _STEADY_SIDES_PER_S * (at_ns - track.seen_ns) / _NS)
        track.steady = moved < calm and abs(area - track.area) < 0.2 * max(area, track.area)
        track.sightings += 1
        track.seen_ns, track.read_ns, track.area, track.center = at_ns, at_ns, area, center

    def _renewed(self, data: bytes, area: float, center: tuple[float, float], at_ns: int) -> _Track | None:
        """The told code that this new text goes on from; its track goes on under the new text."""
        for old, track in self._tracks.items():
            unbroken = at_ns - track.seen_ns <= self._gone_ns and track.here(area, center)
            if track.told and not track.refused and unbroken and _renews(old, data):
                self._tracks[data] = self._tracks.pop(old)
                self._focus = data if self._focus == old else self._focus
                self._last = data if self._last == old else self._last
                return track
        return None

    def _hold(self, corners: Corners, at_ns: int) -> None:
        area, center = area_px(corners), _center(corners)
        for track in self._tracks.values():
            if track.told and at_ns - track.read_ns <= _UNREAD_MOST_NS and track.here(area, center):
                track.seen_ns = at_ns

    def _rivals(self, data: bytes, at_ns: int) -> bool:
        """Another untold code is in view."""
        return any(
            other != data and not track.told and at_ns - track.seen_ns <= self._gone_ns
            for other, track in self._tracks.items()
        )

    def _held(self, seen: dict[bytes, QrText], at_ns: int) -> bool:
        """The told code is still in view and within its time; after its verdict also only while nothing is held where
        it was: who puts another code there has seen the verdict."""
        if self._focus is None:
            return False
        track = self._tracks.get(self._focus)
        gone = track is None or at_ns - track.seen_ns > self._gone_ns or at_ns > self._hold_until_ns
        if track is not None and self._verdict and self._focus not in seen:
            gone |= any(track.here(area_px(text.corners), _center(text.corners)) for text in seen.values())
        if gone:
            self._focus = None
        return not gone
