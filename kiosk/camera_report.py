"""How a lane's camera is doing, in rates and one plain advice: for the doctor and the page for aiming. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from drivers.devices import FaultKind
from drivers.picture_look import PictureLook
from drivers.qr_stream import CameraStats

_NS = 1_000_000_000
WINDOW_NS = 3 * _NS
"""Rates are those of the last three seconds."""

MIN_SPAN_NS = _NS // 2

DARK_BELOW = 45.0
BRIGHT_ABOVE = 225.0
BURNT_OUT_PERCENT = 30.0
SHARP_FROM_PERCENT = 45.0
SLOW_BELOW_FPS = 7.5
OLD_MS = 1500.0
SMALL_CODE_PX = 90.0
LARGE_CODE_SHARE = 0.85


class Advice(StrEnum):
    """What to change, worst first; the words stand in the screens' messages under ``aim``."""

    MISSING = "missing"
    BUSY = "busy"
    NOT_PERMITTED = "not_permitted"
    FROZEN = "frozen"
    COVERED = "covered"
    SILENT = "silent"
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    SLOW = "slow"
    CODE_READ = "code_read"
    FOCUS = "focus"
    NEARER = "nearer"
    FARTHER = "farther"
    HOLD_STILL = "hold_still"
    SHOW_CODE = "show_code"


_OF_FAULT = {
    FaultKind.MISSING: Advice.MISSING,
    FaultKind.BUSY: Advice.BUSY,
    FaultKind.NOT_PERMITTED: Advice.NOT_PERMITTED,
    FaultKind.FROZEN: Advice.FROZEN,
    FaultKind.DARK: Advice.COVERED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraReport:
    """One camera at one moment.

    ``fps`` (frames that came), ``decodes_per_s`` (looks for a code), ``reads_per_s`` (looks that read one) and
    ``unread_per_s`` (looks that saw one and could not) are rates of the last seconds, None in the first half second.
    ``codes_told``, ``errors``, ``child_restarts`` (the decoder's child died) and ``child_overruns`` (it was killed for
    taking too long) count since the start. ``width`` and ``height`` are those of the last frame, 0 before it.
    """

    in_service: bool
    detail: str
    width: int
    height: int
    frame_age_ms: float | None
    fps: float | None
    decodes_per_s: float | None
    reads_per_s: float | None
    unread_per_s: float | None
    decode_ms_mean: float
    codes_told: int
    errors: int
    child_restarts: int
    child_overruns: int
    look: PictureLook | None
    advice: Advice


class CameraMeter:
    """Turns the counters of one camera, looked at now and then, into rates. Not for several threads at once."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, CameraStats]] = deque()

    def report(
        self, stats: CameraStats, look: PictureLook | None, size_px: tuple[int, int], at_ns: int
    ) -> CameraReport:
        """The camera now. ``size_px`` is (width, height) of the frame that ``look`` judges; (0, 0) without one."""
        while self._seen and at_ns - self._seen[0][0] > WINDOW_NS:
            self._seen.popleft()
        self._seen.append((at_ns, stats))
        first_ns, first = self._seen[0]
        span_ns = at_ns - first_ns

        def rate(now: int, then: int) -> float | None:
            return (now - then) * _NS / span_ns if span_ns >= MIN_SPAN_NS else None

        fps, reads_per_s = rate(stats.frames, first.frames), rate(stats.hits, first.hits)
        return CameraReport(
            in_service=stats.in_service,
            detail=stats.detail,
            width=size_px[0],
            height=size_px[1],
            frame_age_ms=stats.frame_age_ms,
            fps=fps,
            decodes_per_s=rate(stats.decodes, first.decodes),
            reads_per_s=reads_per_s,
            unread_per_s=rate(stats.unread, first.unread),
            decode_ms_mean=stats.decode_ms_mean,
            codes_told=stats.told,
            errors=stats.errors,
            child_restarts=stats.child_restarts,
            child_overruns=stats.child_overruns,
            look=look,
            advice=advise(stats, look, size_px[1], fps),
        )


def advise(stats: CameraStats, look: PictureLook | None, height: int, fps: float | None) -> Advice:
    """The one thing to change first. ``height`` is the frame's, in pixels."""
    if stats.fault is not None:
        return _OF_FAULT.get(stats.fault, Advice.SILENT)
    if look is None or (stats.live and (stats.frame_age_ms is None or stats.frame_age_ms > OLD_MS)):
        return Advice.SILENT
    if stats.boxes:
        return _of_size(look, height) or Advice.CODE_READ
    if look.brightness < DARK_BELOW:
        return Advice.TOO_DARK
    if look.brightness > BRIGHT_ABOVE or look.white_percent > BURNT_OUT_PERCENT:
        return Advice.TOO_BRIGHT
    if stats.live and fps is not None and fps < SLOW_BELOW_FPS:
        return Advice.SLOW
    if not stats.unread_boxes:
        # Nothing is said of the focus: behind a camera focused at 20 cm the lane is rightly blurred.
        return Advice.SHOW_CODE
    if look.sharpness_percent is not None and look.sharpness_percent < SHARP_FROM_PERCENT:
        return Advice.FOCUS  # before the size, which nobody can tell of a blurred code
    return _of_size(look, height) or Advice.HOLD_STILL


def _of_size(look: PictureLook, height: int) -> Advice | None:
    if look.code_px > LARGE_CODE_SHARE * height:
        return Advice.FARTHER
    return Advice.NEARER if look.code_px < SMALL_CODE_PX else None
