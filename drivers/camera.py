"""Where frames come from: a V4L2 camera, a video file, a folder of pictures.

A source is read by one thread (``drivers/qr_stream.py``). It hands out gray frames, because every reader works on
brightness: a camera is asked for GREY, then for YUYV whose first byte of each pixel is the brightness already, and
only then for MJPG; turning BGR into gray costs 1.0-1.3 ms a frame at 1280x720, the first two cost nothing. But a form
that cannot have the size, or two thirds of the rate (raw 1280x720 fills a USB 2 line at ten a second), gives way to one
that can.

Nothing here writes a frame anywhere, and no error message carries one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from drivers.errors import DeviceError, PortError
from drivers.opencv import cv2
from drivers.qr import MAX_PIXELS, gray_of

MAX_PICTURE_BYTES = 64_000_000
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".pgm", ".ppm", ".tif", ".tiff", ".gif"})


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture in gray. ``at_ns`` is when it was taken (monotonic); ``number`` counts from 1 in its source."""

    gray: NDArray[np.uint8] = field(repr=False)
    at_ns: int
    number: int
    name: str = ""


class FrameSource(Protocol):
    """What gives frames. All calls come from one thread, except :meth:`decided`."""

    live: bool
    """True: the newest frame wins and unread ones are dropped. False: each frame is held until decided."""

    checks_health: bool
    """True for a sensor, whose noise makes no two frames alike: identical or black frames are then a fault."""

    def open(self) -> str:
        """Open afresh and say what was opened. Raises :class:`PortError` (missing, busy, not a camera)."""
        ...

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, or None when none came in time. Raises :class:`PortError` when the source is gone and
        :class:`DeviceError` for one picture that cannot be read (the next may be)."""
        ...

    def close(self) -> None:
        """Let go of the device; it may be opened again."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraHints:
    """What to ask of the camera; one that refuses is used as it is.

    ``exposure_ms`` None is automatic; ``gain`` and ``focus`` are in the camera's own unit (focus 0 = far for most UVC
    cameras), None for autofocus where there is one. A fixed short exposure (under 10 ms) is the best cure for
    motion blur; a fixed focus at 15 to 25 cm saves the second that autofocus hunts when a phone comes near.
    """

    width: int = 1280
    height: int = 720
    fps: float = 15.0
    exposure_ms: float | None = None
    gain: float | None = None
    focus: float | None = None


def _v4l2_capture(path: str) -> Any:
    return cv2.VideoCapture(path, cv2.CAP_V4L2)


def _fourcc(code: str) -> int:
    return int.from_bytes(code.encode("ascii"), "little")


_FORMS = ("GREY", "YUYV", "MJPG")
_LEAST_RATE_SHARE = 2 / 3
_LOST_S = 1.0
"""A failed read that took so long was the driver's time-out; a quicker one was a single spoilt picture."""

_MANUAL_EXPOSURE, _AUTO_EXPOSURE = 1.0, 3.0  # V4L2_EXPOSURE_MANUAL, V4L2_EXPOSURE_APERTURE_PRIORITY


class V4l2Source:
    """A camera by its stable name, ``/dev/v4l/by-id/...`` or ``/dev/v4l/by-path/...`` (``/dev/video0`` may swap)."""

    live = True
    checks_health = True

    def __init__(
        self,
        path: str,
        hints: CameraHints | None = None,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        open_capture: Callable[[str], Any] = _v4l2_capture,
    ) -> None:
        self._path = path
        self._hints = hints or CameraHints()
        self._clock_ns = clock_ns
        self._open_capture = open_capture
        self._capture: Any = None
        self._to_gray: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] = gray_of
        self._number = 0

    def open(self) -> str:
        """See :class:`FrameSource`; the symbolic link is followed anew each time."""
        if not os.path.exists(self._path):
            raise PortError(f"camera {self._path}: no such device; is it plugged in? `ls /dev/v4l/by-id` lists cameras")
        if not os.access(self._path, os.R_OK | os.W_OK):
            raise PortError(f"camera {self._path}: not permitted; add this user to the group `video`")
        capture = self._open_capture(os.path.realpath(self._path))
        if not capture.isOpened():
            capture.release()
            raise PortError(f"camera {self._path}: cannot be opened; another program may hold it, or it is no camera")
        self._capture = capture
        form = self._configure(capture)
        width, height = (int(capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        return f"{self._path} {width}x{height} {form} at {capture.get(cv2.CAP_PROP_FPS):g} fps"

    def _configure(self, capture: Any) -> str:
        """Form, size, rate, exposure, focus; returns the form's name."""
        form = self._choose_form(capture)
        # Raw frames for the first two; only MJPG needs OpenCV to decode and convert.
        capture.set(cv2.CAP_PROP_CONVERT_RGB, float(form == "MJPG"))
        hints = self._hints
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, _AUTO_EXPOSURE if hints.exposure_ms is None else _MANUAL_EXPOSURE)
        if hints.exposure_ms is not None:
            capture.set(cv2.CAP_PROP_EXPOSURE, hints.exposure_ms * 10)  # V4L2_CID_EXPOSURE_ABSOLUTE: 0.1 ms
        if hints.gain is not None:
            capture.set(cv2.CAP_PROP_GAIN, hints.gain)
        capture.set(cv2.CAP_PROP_AUTOFOCUS, float(hints.focus is None))
        if hints.focus is not None:
            capture.set(cv2.CAP_PROP_FOCUS, hints.focus)
        self._to_gray = self._gray_of_raw if form != "MJPG" else gray_of
        return form

    def _choose_form(self, capture: Any) -> str:
        """Set the first form that has the size and the rate asked for; else the one that comes nearest."""
        offers: dict[str, tuple[bool, float]] = {}
        for form in _FORMS:
            offers[form] = self._try_form(capture, form)
            fits, rate = offers[form]
            if fits and rate >= _LEAST_RATE_SHARE:
                return form
        form = max(_FORMS, key=lambda each: offers[each])
        self._try_form(capture, form)
        return form

    def _try_form(self, capture: Any, form: str) -> tuple[bool, float]:
        """(whether it has the size, its share of the rate asked for); a camera that tells no rate has it."""
        hints = self._hints
        capture.set(cv2.CAP_PROP_FOURCC, _fourcc(form))
        if int(capture.get(cv2.CAP_PROP_FOURCC)) != _fourcc(form):
            return False, -1.0
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, hints.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, hints.height)
        capture.set(cv2.CAP_PROP_FPS, hints.fps)
        size = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        fps = capture.get(cv2.CAP_PROP_FPS)
        return size == (hints.width, hints.height), min(1.0, fps / hints.fps) if fps > 0 else 1.0

    def _gray_of_raw(self, raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """GREY comes as (h, w) or one long row, YUYV as (h, w, 2) or one long row of pairs."""
        assert self._capture is not None  # noqa: S101 - only called from read
        if raw.ndim == 3:
            return np.ascontiguousarray(raw[:, :, 0])
        if raw.shape[0] > 1:
            return raw
        width = int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        bytes_a_pixel = raw.size // (width * height)
        pixels = raw.reshape(-1)[: width * height * bytes_a_pixel]
        return np.ascontiguousarray(pixels.reshape(height, width, bytes_a_pixel)[:, :, 0])

    def read(self, timeout_s: float) -> Frame | None:
        """See :class:`FrameSource`; the driver's own limit of 2 s holds as well.

        A picture that the camera broke off (cheap MJPG cameras do it on a long cable) costs that picture only.
        """
        if self._capture is None:
            raise PortError(f"camera {self._path}: not open")
        began_ns = self._clock_ns()
        ok, picture = self._capture.read()
        at_ns = self._clock_ns()
        if not ok or picture is None:
            if at_ns - began_ns < _LOST_S * 1e9 and os.path.exists(self._path):
                raise DeviceError(f"camera {self._path}: a picture was broken off; is its cable long or loose?")
            raise PortError(f"camera {self._path}: gave no frame; unplugged, or its cable or power is bad")
        self._number += 1
        return Frame(self._to_gray(picture), at_ns, self._number)

    def close(self) -> None:
        """See :class:`FrameSource`."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None


class VideoSource:
    """A video file played at its own rate: a camera without the camera. At its end it is gone, or begins again."""

    live = True
    checks_health = False

    def __init__(self, path: Path | str, *, loop: bool = False) -> None:
        self._path = Path(path)
        self._loop = loop
        self._capture: cv2.VideoCapture | None = None
        self._number = 0
        self._period_s = 1 / 15
        self._due_s = 0.0

    def open(self) -> str:
        """See :class:`FrameSource`."""
        if not self._path.is_file():
            raise PortError(f"video {self._path}: no such file")
        capture = cv2.VideoCapture(str(self._path))
        if not capture.isOpened():
            raise PortError(f"video {self._path}: OpenCV cannot play it; AVI with MJPG always works")
        self._capture = capture
        fps = capture.get(cv2.CAP_PROP_FPS)
        self._period_s = 1 / fps if 1 <= fps <= 240 else 1 / 15
        self._due_s = time.monotonic()
        return f"{self._path.name} at {1 / self._period_s:g} fps"

    def read(self, timeout_s: float) -> Frame | None:
        """See :class:`FrameSource`."""
        if self._capture is None:
            raise PortError(f"video {self._path}: not open")
        wait_s = self._due_s - time.monotonic()
        if wait_s > timeout_s:
            time.sleep(timeout_s)
            return None
        time.sleep(max(0.0, wait_s))
        self._due_s += self._period_s
        ok, picture = self._capture.read()
        if not ok and self._loop:
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
            ok, picture = self._capture.read()
        if not ok:
            raise PortError(f"video {self._path}: has ended")
        self._number += 1
        return Frame(gray_of(np.asarray(picture, np.uint8)), time.monotonic_ns(), self._number)

    def close(self) -> None:
        """See :class:`FrameSource`."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def read_picture(path: Path) -> NDArray[np.uint8]:
    """A picture file as gray pixels, transparency laid on white.

    Raises :class:`DeviceError` for files over :data:`MAX_PICTURE_BYTES`, over 64 million pixels, or not a picture.
    """
    try:
        size = path.stat().st_size
        if size > MAX_PICTURE_BYTES:
            raise DeviceError(f"picture {path.name}: {size} bytes, at most {MAX_PICTURE_BYTES} are read")
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise DeviceError(f"picture {path.name}: cannot be read ({error.strerror})") from error
    try:
        picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except cv2.error:
        picture = None
    if picture is None:
        raise DeviceError(f"picture {path.name}: not a picture, or cut off; expected PNG, JPEG, WebP, BMP or TIFF")
    if picture.shape[0] * picture.shape[1] > MAX_PIXELS:
        raise DeviceError(f"picture {path.name}: {picture.shape[1]} x {picture.shape[0]} pixels are too many")
    if picture.dtype == np.uint16:
        picture = np.right_shift(np.asarray(picture, np.uint16), 8)
    return gray_of(np.asarray(picture, np.uint8))


class FolderSource:
    """A folder of pictures in the order of their names, each held until it is decided.

    ``follow`` waits for further files (one is taken once its size rests for a look); without it the folder is read
    once and then the source is gone. Names already taken are remembered and not taken again.
    """

    live = False
    checks_health = False

    def __init__(self, path: Path | str, *, follow: bool = False) -> None:
        self._path = Path(path)
        self._follow = follow
        self._taken: set[str] = set()
        self._sizes: dict[str, int] = {}
        self._waiting: Iterator[Path] = iter(())
        self._number = 0
        self.exhausted = False

    def open(self) -> str:
        """See :class:`FrameSource`."""
        if not self._path.is_dir():
            raise PortError(f"folder of pictures {self._path}: no such folder")
        return f"{self._path}, {len(self._pictures())} pictures{', waiting for more' if self._follow else ''}"

    def _pictures(self) -> list[Path]:
        try:
            files = sorted(self._path.iterdir())
        except OSError as error:
            raise PortError(f"folder of pictures {self._path}: cannot be listed ({error.strerror})") from error
        return [file for file in files if file.suffix.lower() in PICTURE_SUFFIXES and file.name not in self._taken]

    def _look(self) -> Iterator[Path]:
        """The files that may be taken now; a following source leaves those that are still growing."""
        for file in self._pictures():
            if self._follow:
                try:
                    size = file.stat().st_size
                except OSError:
                    continue
                if self._sizes.get(file.name) != size:
                    self._sizes[file.name] = size
                    continue
            yield file

    def read(self, timeout_s: float) -> Frame | None:
        """The next picture; None when there is none now (``exhausted`` then tells whether one can still come)."""
        file = next(self._waiting, None)
        if file is None:
            self._waiting = iter(list(self._look()))
            file = next(self._waiting, None)
        if file is None:
            self.exhausted = not self._follow
            time.sleep(timeout_s)
            return None
        self._taken.add(file.name)
        self._sizes.pop(file.name, None)
        self._number += 1
        return Frame(read_picture(file), time.monotonic_ns(), self._number, file.name)

    def close(self) -> None:
        """See :class:`FrameSource`."""
