"""A Raspberry Pi camera through libcamera: the optional ``picamera2`` backend.

The package comes from the distribution (``apt install python3-picamera2``; a virtual environment needs
``--system-site-packages`` to see it), so it is imported only when such a camera is opened. The camera is asked for
YUV420, whose first plane is the brightness: no conversion is needed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from drivers.camera import CameraHints, Frame
from drivers.errors import PortError


def _picamera2(number: int) -> Any:
    """The camera object. Raises ImportError without the package, IndexError or RuntimeError without the camera."""
    from picamera2 import Picamera2  # type: ignore[import-not-found, unused-ignore]

    return Picamera2(number)


class PiCameraSource:
    """Camera ``number`` of the Pi (0 unless two are connected).

    ``hints.focus`` is in dioptres (5.0 is 20 cm), for a camera module that can focus.
    """

    live = True
    checks_health = True

    def __init__(
        self,
        number: int = 0,
        hints: CameraHints | None = None,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        open_camera: Callable[[int], Any] = _picamera2,
    ) -> None:
        self._number = number
        self._hints = hints or CameraHints()
        self._clock_ns = clock_ns
        self._open_camera = open_camera
        self._camera: Any = None
        self._frames = 0

    def open(self) -> str:
        """See :class:`drivers.camera.FrameSource`."""
        try:
            camera = self._open_camera(self._number)
        except ImportError as error:
            raise PortError(
                f"Pi camera {self._number}: picamera2 is not installed; `apt install python3-picamera2`"
            ) from error
        except (IndexError, RuntimeError) as error:
            raise PortError(
                f"Pi camera {self._number}: not found, or another program holds it; `rpicam-hello --list-cameras`"
            ) from error
        hints = self._hints
        controls: dict[str, Any] = {"FrameRate": hints.fps}
        if hints.exposure_ms is not None:
            controls |= {"AeEnable": False, "ExposureTime": int(hints.exposure_ms * 1000)}  # microseconds
        if hints.gain is not None:
            controls["AnalogueGain"] = hints.gain
        if hints.focus is not None:
            controls |= {"AfMode": 0, "LensPosition": hints.focus}
        main = {"format": "YUV420", "size": (hints.width, hints.height)}
        try:
            camera.configure(camera.create_video_configuration(main=main, controls=controls, buffer_count=3))
            camera.start()
        except RuntimeError as error:
            camera.close()
            raise PortError(f"Pi camera {self._number}: cannot be started ({type(error).__name__})") from error
        self._camera = camera
        return f"Pi camera {self._number} {hints.width}x{hints.height} YUV420 at {hints.fps:g} fps"

    def read(self, timeout_s: float) -> Frame | None:
        """See :class:`drivers.camera.FrameSource`."""
        if self._camera is None:
            raise PortError(f"Pi camera {self._number}: not open")
        try:
            planes = np.asarray(self._camera.capture_array("main"), np.uint8)
        except RuntimeError as error:
            raise PortError(f"Pi camera {self._number}: gave no frame; is its ribbon cable in place?") from error
        at_ns = self._clock_ns()
        self._frames += 1
        gray = np.ascontiguousarray(planes[: self._hints.height, : self._hints.width])
        return Frame(gray, at_ns, self._frames)

    def close(self) -> None:
        """See :class:`drivers.camera.FrameSource`."""
        if self._camera is not None:
            self._camera.stop()
            self._camera.close()
            self._camera = None
