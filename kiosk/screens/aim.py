"""What the guard's page for aiming shows of a lane's camera: a small live picture, and figures.

A picture is made only when a page asks for it, at most :data:`PICTURES_PER_S` times a second for each camera however
many pages look, and replaced in memory by the next; it is never written anywhere. The work is done by one thread at a
time (``camera_pages.py``), so that looking at the cameras cannot take more than a small part of one core from the gate.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from drivers.camera import Frame
from drivers.picture_look import look_at
from drivers.picture_preview import preview_jpeg
from drivers.qr_stream import CameraStats
from kiosk.camera_report import CameraMeter, CameraReport

PICTURES_PER_S = 5
FIGURES_PER_S = 2.5


class LaneCamera(Protocol):
    """A camera in service (``drivers/qr_stream.py``)."""

    def latest_frame(self) -> Frame | None:
        """The newest good frame."""
        ...

    def stats(self) -> CameraStats:
        """Counts and health."""
        ...


@dataclass(slots=True)
class _Aimed:
    """One camera with what was made of it last."""

    camera: LaneCamera
    meter: CameraMeter = field(default_factory=CameraMeter)
    picture: bytes | None = None
    picture_ns: int | None = None
    report: CameraReport | None = None
    report_ns: int | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Aim:
    """The cameras by lane; its methods may be called from any thread. A lane without a camera raises KeyError."""

    def __init__(self, cameras: Mapping[str, LaneCamera], *, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._aimed = {lane: _Aimed(camera) for lane, camera in cameras.items()}
        self._clock_ns = clock_ns

    @property
    def lanes(self) -> tuple[str, ...]:
        """The lanes that have a camera, in the order of the settings."""
        return tuple(self._aimed)

    def picture(self, lane: str) -> bytes | None:
        """The lane's picture as JPEG with the decoder's boxes; None before the first good frame."""
        aimed = self._aimed[lane]
        with aimed.lock:
            now_ns = self._clock_ns()
            if aimed.picture_ns is None or now_ns - aimed.picture_ns >= 1e9 / PICTURES_PER_S:
                frame, stats = aimed.camera.latest_frame(), aimed.camera.stats()
                aimed.picture = None if frame is None else preview_jpeg(frame.gray, stats.boxes, stats.unread_boxes)
                aimed.picture_ns = now_ns
            return aimed.picture

    def report(self, lane: str) -> CameraReport:
        """The lane's rates, light, sharpness and advice."""
        aimed = self._aimed[lane]
        with aimed.lock:
            now_ns = self._clock_ns()
            if aimed.report is None or aimed.report_ns is None or now_ns - aimed.report_ns >= 1e9 / FIGURES_PER_S:
                frame, stats = aimed.camera.latest_frame(), aimed.camera.stats()
                look = None if frame is None else look_at(frame.gray, stats.boxes or stats.unread_boxes)
                size_px = (0, 0) if frame is None else (frame.gray.shape[1], frame.gray.shape[0])
                aimed.report = aimed.meter.report(stats, look, size_px, now_ns)
                aimed.report_ns = now_ns
            return aimed.report
