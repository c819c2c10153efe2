"""The Pi's camera (drivers/camera_pi.py), against a stand-in for picamera2: no test machine is a Pi."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from drivers.camera import CameraHints
from drivers.camera_pi import PiCameraSource
from drivers.errors import PortError


class Stand:
    """What picamera2.Picamera2 is to the driver."""

    def __init__(self, number: int) -> None:
        self.asked: dict[str, Any] = {"number": number}
        self.running = False

    def create_video_configuration(self, **options: Any) -> dict[str, Any]:
        self.asked |= options
        return options

    def configure(self, configuration: dict[str, Any]) -> None:
        assert configuration["main"]["format"] == "YUV420"

    def start(self) -> None:
        self.running = True

    def capture_array(self, name: str) -> np.ndarray:
        width, height = self.asked["main"]["size"]
        planes = np.full((height * 3 // 2, width + 64), 128, np.uint8)  # rows are padded to 64 bytes
        planes[:height, :width] = np.arange(width) % 200
        return planes

    def stop(self) -> None:
        self.running = False

    def close(self) -> None:
        self.asked["closed"] = True


def test_frames_are_the_brightness_without_the_padding() -> None:
    """The first plane of YUV420, stamped when it came."""
    stands: list[Stand] = []

    def open_camera(number: int) -> Stand:
        stands.append(Stand(number))
        return stands[-1]

    hints = CameraHints(width=640, height=480, exposure_ms=8.0, focus=5.0)
    source = PiCameraSource(0, hints, clock_ns=lambda: 77, open_camera=open_camera)
    assert "640x480 YUV420" in source.open()
    frame = source.read(0.1)
    assert frame is not None
    assert (frame.gray.shape, frame.at_ns, frame.number) == ((480, 640), 77, 1)
    assert (frame.gray[0] == np.arange(640) % 200).all()
    controls = stands[0].asked["controls"]
    assert (controls["ExposureTime"], controls["AeEnable"], controls["LensPosition"]) == (8000, False, 5.0)
    source.close()
    assert stands[0].asked["closed"]
    assert not stands[0].running


@pytest.mark.parametrize(("error", "hint"), [(ImportError, "apt install"), (IndexError, "list-cameras")])
def test_a_missing_package_or_camera_says_what_to_do(error: type[Exception], hint: str) -> None:
    """An error of the port, as for any camera, so that the device goes on looking."""

    def open_camera(number: int) -> Any:
        raise error

    with pytest.raises(PortError, match=hint):
        PiCameraSource(open_camera=open_camera).open()
