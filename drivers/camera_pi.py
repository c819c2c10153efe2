"""A Raspberry Pi camera through libcamera: the optional ``picamera2`` backend.

The package comes from the distribution (``apt install python3-picamera2``; a virtual environment needs
``--system-site-packages`` to see it), so it is imported only when such a camera is opened. The camera is asked for
YUV420, whose first plane is the brightness: no conversion is needed.

picamera2 waits for ever where no frame comes (its issues 794 and 1004), and closing a camera whose cable was pulled can
block as well (1065). So each frame is asked for as a job that is waited for with a time-out, and closing has its own.
"""

from __future__ import annotations

import threading
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


_CLOSE_S = 2.0


def _shut(camera: Any) -> None:
    camera.stop()
    camera.close()


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
        self._job: Any = None
        self._frames = 0

    def open(self) -> str:
        """See :class:`drivers.camera.FrameSource`."""
        try:
            camera = self._open_camera(self._number)
        except ImportError as error:
            raise PortError(
                f"Pi camera {self._number}: picamera2 is not installed; `apt install python3-picamera2`"
            ) from error
        except IndexError as error:
            raise PortError(
                f"Pi camera {self._number}: not found; is its ribbon cable in place? `rpicam-hello --list-cameras`"
            ) from error
        except RuntimeError as error:
            raise PortError(f"Pi camera {self._number}: cannot be had; another program may hold it") from error
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
        """See :class:`drivers.camera.FrameSource`; a frame that is late is waited for again by the next call."""
        if self._camera is None:
            raise PortError(f"Pi camera {self._number}: not open")
        try:
            if self._job is None:
                self._job = self._camera.capture_array("main", wait=False)
            planes = np.asarray(self._camera.wait(self._job, timeout=timeout_s), np.uint8)
        except TimeoutError:
            return None
        except RuntimeError as error:
            raise PortError(f"Pi camera {self._number}: gave no frame; is its ribbon cable in place?") from error
        self._job = None
        at_ns = self._clock_ns()
        self._frames += 1
        gray = np.ascontiguousarray(planes[: self._hints.height, : self._hints.width])
        return Frame(gray, at_ns, self._frames)

    def close(self) -> None:
        """See :class:`drivers.camera.FrameSource`. A camera that does not let itself be closed in two seconds is left
        to a thread of its own; until that ends, opening says that another program holds it."""
        camera, self._camera, self._job = self._camera, None, None
        if camera is not None:
            closing = threading.Thread(target=_shut, args=(camera,), name="pi-camera-close", daemon=True)
            closing.start()
            closing.join(_CLOSE_S)
