"""The Pi's camera (drivers/camera_pi.py), against a stand-in for picamera2: no test machine is a Pi."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from drivers import camera_pi
from drivers.camera import CameraHints
from drivers.camera_pi import PiCameraSource
from drivers.errors import PortError


class Stand:
    """What picamera2.Picamera2 is to the driver."""

    def __init__(self, number: int) -> None:
        self.asked: dict[str, Any] = {"number": number}
        self.running = False
        self.late = 0

    def create_video_configuration(self, **options: Any) -> dict[str, Any]:
        self.asked |= options
        return options

    def configure(self, configuration: dict[str, Any]) -> None:
        assert configuration["main"]["format"] == "YUV420"

    def start(self) -> None:
        self.running = True

    def capture_array(self, name: str, *, wait: bool) -> str:
        assert (name, wait) == ("main", False), "asked as a job: picamera2 would wait for ever"
        self.asked["jobs"] = self.asked.get("jobs", 0) + 1
        return "job"

    def wait(self, job: str, *, timeout: float) -> np.ndarray:
        assert job == "job"
        if self.late > 0:
            self.late -= 1
            raise TimeoutError
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


@pytest.mark.parametrize(
    ("error", "hint"), [(ImportError, "apt install"), (IndexError, "list-cameras"), (RuntimeError, "another program")]
)
def test_a_missing_package_or_camera_says_what_to_do(error: type[Exception], hint: str) -> None:
    """An error of the port, as for any camera, so that the device goes on looking."""

    def open_camera(number: int) -> Any:
        raise error

    with pytest.raises(PortError, match=hint):
        PiCameraSource(open_camera=open_camera).open()


def test_a_frame_that_does_not_come_is_no_frame_and_is_asked_for_once() -> None:
    """picamera2 waits for ever for a camera whose cable was pulled; the device goes on looking after its fault."""
    stand = Stand(0)
    source = PiCameraSource(open_camera=lambda number: stand)
    source.open()
    stand.late = 3
    assert [source.read(0.01) for _ in range(3)] == [None, None, None]
    frame = source.read(0.01)
    assert frame is not None
    assert stand.asked["jobs"] == 1
    source.read(0.01)
    assert stand.asked["jobs"] == 2


def test_a_camera_that_cannot_be_closed_does_not_hold_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """picamera2 blocks in stop() when the cable was pulled: the device opens afresh all the same."""
    monkeypatch.setattr(camera_pi, "_CLOSE_S", 0.01)
    released = threading.Event()
    stand = Stand(0)
    stand.stop = lambda: released.wait(5)  # type: ignore[assignment, method-assign, return-value]
    source = PiCameraSource(open_camera=lambda number: stand)
    source.open()
    source.close()
    assert "closed" not in stand.asked
    source.open()
    assert source.read(0.01) is not None
    released.set()
