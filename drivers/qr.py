"""QR codes in one frame: ``decode(frame, budget_s) -> list[QrText]``.

Engines, each optional at import (a 32-bit Pi has no zxing-cpp wheel): zxing-cpp first, which gives exact bytes
and costs 1.5 ms a frame here; libzbar, through pyzbar, in a watched child process (:mod:`drivers.qr_child`).

Where bytes are not UTF-8, ``QrText.text`` is zxing-cpp's reading of them by the symbol's own character set (an
ECI, else the Shift-JIS or Latin-1 that a QR reader has to guess); ``QrText.data`` is always exact.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers import qr_finders, qr_grid
from drivers.devices import QrText
from drivers.errors import FrameError
from drivers.opencv import cv2
from drivers.qr_child import WatchedChild
from drivers.qr_clock import FrameClock
from drivers.qr_looks import HALF, RESCUES, STRETCH, Look, is_dim, widely_sharpened
from drivers.qr_vote import ModuleVote


def _zxing() -> Any:
    """The zxing-cpp module, or None where this machine has no wheel of it: then libzbar works alone."""
    try:
        import zxingcpp
    except ImportError:
        return None
    return zxingcpp


Gray = NDArray[np.uint8]
Corners = tuple[tuple[float, float], ...]

DEFAULT_BUDGET_S = 0.036
MAX_PIXELS = 64_000_000
"""A frame larger than this is refused; the largest camera of a Pi gives 12 million."""

_SMALLEST_SIDE = 21  # modules of a version 1 symbol: below that there is less than a pixel a module
_SEARCH_LONG_SIDE = 640  # at most, or half the frame: where patterns are looked for before anything costly
_ZBAR_LONG_SIDE = 800  # zbar finds as much at this size as at full size, in a quarter of the time
_ZBAR_LEAST_MS = 8.0
_DOUBTFUL_MS = 8.0
_WORTH_A_VOTE = 0.85  # of the modules known beforehand: the grid lies right, the light does not
_POSSIBLE, _LIKELY = 0.6, 0.72  # shares of the modules known beforehand that fit a guessed place


def gray_of(frame: NDArray[np.uint8]) -> Gray:
    """The frame as contiguous gray bytes.

    Takes gray (h, w), BGR (h, w, 3) and BGRA (h, w, 4: laid on white, as a browser shows it). Raises
    :class:`FrameError` for anything else and for frames over :data:`MAX_PIXELS`.
    """
    if frame.dtype != np.uint8 or frame.ndim not in (2, 3) or 0 in frame.shape:
        raise FrameError(f"a frame of {frame.dtype} {frame.shape}: expected uint8 gray, BGR or BGRA pixels")
    if frame.shape[0] * frame.shape[1] > MAX_PIXELS:
        raise FrameError(f"a frame of {frame.shape[1]} x {frame.shape[0]} pixels: at most {MAX_PIXELS} are taken")
    if frame.ndim == 2:
        return np.ascontiguousarray(frame)
    channels = frame.shape[2]
    if channels == 1:
        return np.ascontiguousarray(frame[:, :, 0])
    if channels == 3:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_BGR2GRAY), np.uint8)
    if channels == 4:
        gray = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_BGRA2GRAY).astype(np.uint16)
        alpha = frame[:, :, 3].astype(np.uint16)
        return ((gray * alpha + 255 * (255 - alpha)) // 255).astype(np.uint8)
    raise FrameError(f"a frame with {channels} channels: expected 1, 3 or 4")


def text_of(data: bytes, guess: str = "") -> str:
    """UTF-8 where the bytes are that, else ``guess``, else Latin-1."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return guess or data.decode("latin-1")


def area_px(corners: Corners) -> float:
    """The area of a symbol in square pixels (shoelace formula); 0.0 without corners."""
    pairs = zip(corners, corners[1:] + corners[:1], strict=True)
    return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs)) / 2


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a picture that is looked at lies in the frame: a part, then scaled."""

    left: float = 0.0
    top: float = 0.0
    scale: float = 1.0

    def scaled(self, factor: float) -> _Place:
        """The same part, scaled once more."""
        return _Place(self.left, self.top, self.scale * factor)

    def outside(self, corners: Corners) -> Corners:
        """Corners in pixels of the frame."""
        return tuple((x / self.scale + self.left, y / self.scale + self.top) for x, y in corners)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question to the decoder child, and where what it was shown lies in the frame."""

    number: int
    place: _Place


def _shrunk(gray: Gray, long_side: int) -> Gray:
    """The picture with its longer side at most so long."""
    scale = long_side / max(gray.shape)
    if scale >= 1:
        return gray
    size = (max(1, round(gray.shape[1] * scale)), max(1, round(gray.shape[0] * scale)))
    return np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.uint8)


def _around(finders: list[qr_finders.Finder], scale: float) -> Corners:
    """The box around finder patterns seen in a smaller picture, in pixels of the frame, with room for the rest."""
    middles = np.array([finder.middle for finder in finders[:6]]) * scale
    reach = 8 * scale * max(finder.module_px for finder in finders[:6])
    if len(finders) < 3:  # the third corner may lie on either side
        reach += float(np.ptp(middles, axis=0).max())
    (left, top), (right, bottom) = middles.min(axis=0) - reach, middles.max(axis=0) + reach
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def _part(gray: Gray, corners: list[Corners]) -> tuple[Gray, _Place]:
    """The part of the frame around symbols, a quarter of their size wider, since their place is not exact."""
    points = np.array([point for each in corners for point in each])
    room = 0.25 * np.ptp(points, axis=0).max() + 16
    height, width = gray.shape
    left, top = (int(max(0, value)) for value in points.min(axis=0) - room)
    right, bottom = (int(value) for value in points.max(axis=0) + room)
    right, bottom = min(width, right), min(height, bottom)
    if right - left < _SMALLEST_SIDE or bottom - top < _SMALLEST_SIDE:
        return gray, _Place()
    return np.ascontiguousarray(gray[top:bottom, left:right]), _Place(left, top)


@dataclass(frozen=True, slots=True)
class _Task:
    """A frame's budget, when it was taken, and its stream's memory."""

    clock: FrameClock
    at_ns: int
    vote: ModuleVote | None


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a look at a frame gave: texts, largest first, and the corners of symbols that could not be read."""

    texts: list[QrText]
    unread: list[Corners]


class QrReader:
    """The engines of one process, shared by all its cameras; :func:`decode` uses :func:`shared_reader`.

    What a frame goes through, each step only if those before read nothing and the budget affords it:

    1. zxing-cpp at full size, which also reports symbols that it found and could not read.
    2. zxing-cpp at half size: noise and moire are averaged away; a dim frame's contrast is stretched.
    3. Is there a code at all? A symbol reported above, or finder patterns seen at the small size. If not, that was
       all: an empty frame costs little.
    4. The grid (:mod:`drivers.qr_grid`) unrolls what is curled, crumpled, steep, partly covered.
    5. libzbar, which was shown the part with the code when step 4 began, and the looks of :mod:`drivers.qr_looks`.
    """

    def __init__(self, *, use_zxing: bool = True, use_zbar: bool = True) -> None:
        self._zxing = _zxing() if use_zxing else None
        self._child = WatchedChild() if use_zbar else None
        self._costs: dict[str, float] = {}

    @property
    def child(self) -> WatchedChild | None:
        """The process around libzbar, None when it is not used."""
        return self._child

    def close(self) -> None:
        """End the child process."""
        if self._child is not None:
            self._child.close()

    def decode(
        self, frame: NDArray[np.uint8], budget_s: float = DEFAULT_BUDGET_S, at_ns: int | None = None
    ) -> list[QrText]:
        """See :func:`decode`."""
        return self.look(frame, budget_s, at_ns).texts

    def look(
        self,
        frame: NDArray[np.uint8],
        budget_s: float = DEFAULT_BUDGET_S,
        at_ns: int | None = None,
        turn: int | None = None,
        vote: ModuleVote | None = None,
    ) -> Sighting:
        """As :func:`decode`, for one frame of a stream: also tells what was seen and not read.

        ``turn`` counts the frames of a stream: where nothing hints at a code, one of the rescuing looks is tried all
        the same, another one each time, so that a stream has them all within a second. ``vote`` is the stream's
        memory of modules that single frames could not show well enough.
        """
        clock = FrameClock(budget_s, self._costs)
        at_ns = time.monotonic_ns() if at_ns is None else at_ns
        gray = gray_of(frame)
        if min(gray.shape) < _SMALLEST_SIDE:
            return Sighting([], [])
        if self._zxing is None:
            found = self._answer_of_zbar(self._ask_zbar(gray, _Place()), max(1e3 * budget_s, _ZBAR_LEAST_MS), at_ns)
            return Sighting(without_nested(found), [])
        found, failed = self._read_zxing(gray, at_ns)
        if found:
            if failed and len(found) > 1:
                found += self._read_rest(gray, found, clock, at_ns)
            return Sighting(without_nested(found), [])
        found, failed = self._rescue(gray, failed, _Task(clock, at_ns, vote))
        if not found and not failed and turn is not None:
            found = self._look(RESCUES[turn % len(RESCUES)], gray, clock, at_ns, _Place())
        return Sighting(without_nested(found), failed)

    def _read_zxing(self, gray: Gray, at_ns: int, place: _Place | None = None) -> tuple[list[QrText], list[Corners]]:
        """The symbols read, and the corners of those that were found but not read."""
        place = place or _Place()
        engine = self._zxing
        assert engine is not None  # noqa: S101 - decode goes another way without it
        found, failed = [], []
        for symbol in engine.read_barcodes(
            gray, formats=engine.BarcodeFormat.QRCode, text_mode=engine.TextMode.Plain, return_errors=True
        ):
            p = symbol.position
            points = (p.top_left, p.top_right, p.bottom_right, p.bottom_left)
            corners = place.outside(tuple((float(point.x), float(point.y)) for point in points))
            if not symbol.valid:
                failed.append(corners)
            elif symbol.bytes:
                text = text_of(symbol.bytes, symbol.text)
                found.append(QrText(text=text, data=symbol.bytes, corners=corners, engine="zxing-cpp", at_ns=at_ns))
        return found, failed

    def _read_rest(self, gray: Gray, found: list[QrText], clock: FrameClock, at_ns: int) -> list[QrText]:
        """Many codes in view: those read are painted over, so that their finders no longer confuse the others."""
        if not clock.affords("rest", gray.size):
            return []
        with clock.spend("rest", gray.size):
            left = gray.copy()
            for text in found:
                cv2.fillConvexPoly(left, np.array(text.corners, np.int32), 255)
            more, _ = self._read_zxing(left, at_ns)
        return more

    def _look(self, look: Look, gray: Gray, clock: FrameClock, at_ns: int, place: _Place) -> list[QrText]:
        if not clock.affords(look.name, gray.size):
            return []
        with clock.spend(look.name, gray.size):
            found, _ = self._read_zxing(look.make(gray), at_ns, place.scaled(look.scale))
        return found

    def _rescue(self, gray: Gray, failed: list[Corners], task: _Task) -> tuple[list[QrText], list[Corners]]:
        """Steps 2 to 5: what can be done about a frame in which nothing was read."""
        clock, at_ns = task.clock, task.at_ns
        dim = is_dim(gray)
        found, failed, triples = self._search(gray, failed, dim, clock, at_ns)
        if found or not failed:
            return found, failed
        if dim and clock.affords(STRETCH.name, gray.size):
            with clock.spend(STRETCH.name, gray.size):
                gray = STRETCH.make(gray)
                found, _ = self._read_zxing(gray, at_ns)
            if found:
                return found, failed
        part, place = _part(gray, failed)
        if triples:  # all three patterns: what the grid cannot read libzbar rarely can
            found = self._unroll(gray, triples, task, _Place())
            asked = None if found else self._ask_zbar(part, place)
        else:
            asked = self._ask_zbar(part, place)
            found = self._unroll_part(part, task, place)
        found = found or self._answer_of_zbar(asked, 0.0, at_ns)
        found = found or self._look_again(part, clock, at_ns, place)
        return found or self._answer_of_zbar(asked, clock.left_ms(), at_ns), failed

    def _search(
        self, gray: Gray, failed: list[Corners], dim: bool, clock: FrameClock, at_ns: int
    ) -> tuple[list[QrText], list[Corners], list[qr_finders.Triple]]:
        """Steps 2 and 3: read at half the size, or at least find where a code may be.

        Symbols that ``failed`` at full size are taken along, but not believed: where a corner is lost, they are made
        of patterns by chance in the data, and much too small.
        """
        if not clock.affords(HALF.name, gray.size):
            return [], failed, []
        small = _shrunk(gray, min(_SEARCH_LONG_SIDE, max(_SEARCH_LONG_SIDE // 2, max(gray.shape) // 2)))
        scale = small.shape[1] / gray.shape[1]
        with clock.spend(HALF.name, gray.size):
            small = STRETCH.make(small) if dim else small
            found: list[QrText] = []
            spots = qr_finders.spots(small, thorough=False)
            if len(spots) > 1 and not failed:  # an empty lane has hardly one, and needs no second look
                found, failed = self._read_zxing(small, at_ns, _Place().scaled(scale))
            finders = [] if found else qr_finders.find(small, spots)
        if len(finders) < 2:
            return found, failed, []
        measured = qr_finders.measure(gray, [each.enlarged(1 / scale) for each in finders])
        triples = qr_finders.triples(measured, limit=3)
        if not triples:
            guesses = qr_finders.pairs(measured)
            small_guesses = qr_finders.pairs(finders) if len(measured) == len(finders) else []
            likeness = [qr_grid.likeness(small, each) for each in small_guesses]
            if len(guesses) == len(likeness):
                order = sorted(range(len(guesses)), key=lambda k: -likeness[k])
                triples = [guesses[k] for k in order[:2] if likeness[k] > _LIKELY]
            if not failed and max(likeness, default=0.0) < _POSSIBLE:
                clock.cut(_DOUBTFUL_MS)  # perhaps a code with a corner covered, perhaps a shirt
        return found, [*failed, _around(finders, 1 / scale)], triples

    def _unroll_part(self, gray: Gray, task: _Task, place: _Place) -> list[QrText]:
        """Step 4, with patterns that were too fine to be seen at the small size, or with two of the three."""
        clock = task.clock
        if not clock.affords("finders", gray.size):
            return []
        with clock.spend("finders", gray.size):
            finders = qr_finders.find(gray)
        if len(finders) < 2 and clock.affords("finders", gray.size):
            gray = widely_sharpened(gray)
            finders = qr_finders.find(gray)
        triples = qr_finders.triples(finders, limit=3)
        if not triples and len(finders) > 1 and clock.affords("pairs", gray.size):
            with clock.spend("pairs", gray.size):
                guesses = [(qr_grid.likeness(gray, each), -k, each) for k, each in enumerate(qr_finders.pairs(finders))]
                triples = [each for likeness, _, each in sorted(guesses, reverse=True)[:2] if likeness > _POSSIBLE]
        return self._unroll(gray, triples, task, place)

    def _unroll(self, gray: Gray, triples: list[qr_finders.Triple], task: _Task, place: _Place) -> list[QrText]:
        """Step 4."""
        for triple in triples:
            best: qr_grid.Reading | None = None
            for reading in qr_grid.readings(gray, triple, task.clock):
                text = self._read_clean(reading, task.at_ns, place)
                if text is not None:
                    return [text]
                if best is None or reading.match >= best.match:
                    best = reading
                if task.clock.left_ms() < 0:
                    break
            text = self._read_together(best, task, place)
            if text is not None:
                return [text]
            if task.clock.left_ms() < 0:
                break
        return []

    def _read_together(self, reading: qr_grid.Reading | None, task: _Task, place: _Place) -> QrText | None:
        """The code in this and the frames before it, module by module."""
        if task.vote is None or reading is None or reading.match < _WORTH_A_VOTE:
            return None
        count = task.vote.cast(reading.values, reading.version, task.at_ns)
        for attempt in qr_grid.counted(count, reading, task.clock) if count else ():
            text = self._read_clean(attempt, task.at_ns, place)
            if text is not None:
                task.vote.clear()
                return text
        return None

    def _read_clean(self, reading: qr_grid.Reading, at_ns: int, place: _Place) -> QrText | None:
        engine = self._zxing
        assert engine is not None  # noqa: S101 - decode goes another way without it
        for symbol in engine.read_barcodes(
            reading.picture, formats=engine.BarcodeFormat.QRCode, text_mode=engine.TextMode.Plain, is_pure=True
        ):
            if symbol.valid and symbol.bytes:
                return QrText(
                    text=text_of(symbol.bytes, symbol.text),
                    data=symbol.bytes,
                    corners=place.outside(reading.corners),
                    engine="grid",
                    at_ns=at_ns,
                )
        return None

    def _look_again(self, gray: Gray, clock: FrameClock, at_ns: int, place: _Place) -> list[QrText]:
        """Step 5."""
        for look in RESCUES:
            found = self._look(look, gray, clock, at_ns, place)
            if found:
                return found
        return []

    def _ask_zbar(self, gray: Gray, place: _Place) -> _Asked | None:
        """Let libzbar look at a part of the frame meanwhile, in its own process and on another core."""
        if self._child is None:
            return None
        small = _shrunk(gray, _ZBAR_LONG_SIDE)
        number = self._child.ask(small)
        return None if number is None else _Asked(number, place.scaled(small.shape[1] / gray.shape[1]))

    def _answer_of_zbar(self, asked: _Asked | None, timeout_ms: float, at_ns: int) -> list[QrText]:
        if self._child is None or asked is None:
            return []
        return [
            QrText(
                text=text_of(symbol.data),
                data=symbol.data,
                corners=asked.place.outside(symbol.corners),
                engine="zbar",
                at_ns=at_ns,
            )
            for symbol in self._child.collect(asked.number, timeout_ms / 1e3) or []
            if symbol.data
        ]


def without_nested(found: list[QrText]) -> list[QrText]:
    """Largest first, less those whose middle lies inside a larger one (zxing-cpp issue 1162: bogus symbols)."""
    kept: list[QrText] = []
    for each in sorted(found, key=lambda text: -area_px(text.corners)):
        x = sum(point[0] for point in each.corners) / 4
        y = sum(point[1] for point in each.corners) / 4
        outlines = (np.array(text.corners, np.float32) for text in kept)
        if not any(cv2.pointPolygonTest(outline, (x, y), measureDist=False) >= 0 for outline in outlines):
            kept.append(each)
    return kept


_shared: QrReader | None = None
_shared_lock = threading.Lock()


def shared_reader() -> QrReader:
    """The reader of this process, made at the first call."""
    global _shared  # noqa: PLW0603 - one child process for all cameras of a kiosk, made when first needed
    with _shared_lock:
        if _shared is None:
            _shared = QrReader()
        return _shared


def decode(frame: NDArray[np.uint8], budget_s: float = DEFAULT_BUDGET_S, at_ns: int | None = None) -> list[QrText]:
    """The QR codes in one gray, BGR or BGRA frame, largest first.

    ``budget_s`` bounds the extra looks after the first (which always runs: 1 to 4 ms at 1280x720 here), in this
    thread's processor time and by at most four times as much of the wall clock's; ``at_ns`` is when the frame was
    taken, now by default. Raises :class:`FrameError` for what is not a picture.
    """
    return shared_reader().decode(frame, budget_s, at_ns)
