"""``gatepost doctor camera``: tried with a folder, a film and a camera that is not there."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import segno
from typer.testing import CliRunner, Result

from config.lane import Camera
from drivers.camera_names import NamedCamera
from drivers.opencv import cv2
from kiosk.cli import app
from kiosk.doctor_camera import listing_of

SECRET_TEXT = "GC1:DOCTOR-CANARY-51"
GATE = """
[site]
kiosk_id = "north-1"
[[lane]]
name = "in"
  [lane.camera]
  source = "{source}"
  path = "{path}"
"""


def scene(data: str | None, seed: int, side_px: int = 240) -> np.ndarray:
    """A noisy gray lane, with a code in its middle or without."""
    frame = np.random.default_rng(seed).integers(90, 130, (480, 640), np.uint8)
    if data is not None:
        out = io.BytesIO()
        segno.make_qr(data).save(out, kind="png", scale=8)
        code = cv2.imdecode(np.frombuffer(out.getvalue(), np.uint8), cv2.IMREAD_GRAYSCALE)
        assert code is not None
        top, left = (480 - side_px) // 2, (640 - side_px) // 2
        frame[top : top + side_px, left : left + side_px] = cv2.resize(code, (side_px, side_px))
    return frame


def film(path: Path, data: str | None, frames: int = 60, side_px: int = 240) -> Path:
    """Four seconds at 15 frames a second."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 15.0, (640, 480), False)
    for i in range(frames):
        writer.write(scene(data, i, side_px))
    writer.release()
    return path


def doctor(folder: Path, source: str, path: Path, *arguments: str) -> Result:
    """The command, over a gate whose only lane has this camera."""
    config = folder / "gate.toml"
    config.write_text(GATE.format(source=source, path=path))
    return CliRunner().invoke(app, ["doctor", "camera", "--config", str(config), "--seconds", "2", *arguments])


def test_a_film_shows_rates_light_sharpness_and_the_code_that_was_read(tmp_path: Path) -> None:
    """As JSON, for scripts; the code's text is nowhere."""
    done = doctor(tmp_path, "video", film(tmp_path / "lane.avi", SECRET_TEXT), "--json")
    assert done.exit_code == 0, done.output
    assert "CANARY" not in done.output
    (lane,) = json.loads(done.output)["lanes"]
    assert (lane["lane"], lane["in_service"], lane["codes_told"], lane["advice"]) == ("in", True, 1, "code_read")
    assert (lane["width"], lane["height"]) == (640, 480)
    assert 8 < lane["fps"] < 20
    assert lane["frame_age_ms"] < 1500
    assert lane["look"]["sharpness_percent"] > 60
    assert lane["look"]["code_px"] == pytest.approx(200, abs=50)
    assert (lane["errors"], lane["child_restarts"], lane["child_overruns"]) == (0, 0, 0)


def test_an_installer_reads_lines_and_one_thing_to_do(tmp_path: Path) -> None:
    """A code held too far away: its line each second, and the summary, say so."""
    done = doctor(tmp_path, "video", film(tmp_path / "lane.avi", SECRET_TEXT, side_px=80))
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert any(line.startswith("in: ") and "frames/s" in line and "nearer" in line for line in lines)
    assert any(line.startswith("ok    in: lane.avi") for line in lines)
    assert "nearer" in lines[-1]


def test_a_folder_is_shown_to_its_end_without_a_gate(tmp_path: Path) -> None:
    """Each picture's code is read and dropped, so that the next one comes."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(3):
        cv2.imwrite(str(pictures / f"{i}.png"), scene(SECRET_TEXT, i))
    (pictures / "3.png").write_bytes(b"\x89PNG cut off")
    done = CliRunner().invoke(app, ["doctor", "camera", "--device", str(pictures), "--seconds", "1.5", "--json"])
    (lane,) = json.loads(done.output)["lanes"]
    assert (lane["codes_told"], lane["errors"], done.exit_code) == (3, 1, 0)


def test_a_camera_that_is_not_there_is_bad_and_says_what_to_do(tmp_path: Path) -> None:
    """Exit status 1, the name that was looked for, the command that lists the cameras."""
    done = doctor(tmp_path, "v4l2", tmp_path / "usb-camera-video-index0")
    assert done.exit_code == 1
    assert "BAD   in: " in done.output
    assert "usb-camera-video-index0" in done.output
    assert "is it plugged in" in done.output


def test_without_a_camera_the_answer_is_a_sentence(tmp_path: Path) -> None:
    """No lane has one; a wrong lane; nothing at the path."""
    config = tmp_path / "gate.toml"
    config.write_text('[site]\nkiosk_id = "a"\n[[lane]]\nname = "in"\n')
    for arguments in (["--config", str(config)], ["--device", str(tmp_path / "nothing")]):
        done = CliRunner().invoke(app, ["doctor", "camera", *arguments])
        assert done.exit_code != 0
        assert "camera" in str(done.exception)


def test_the_whole_doctor_still_answers_beside_its_new_part(tmp_path: Path) -> None:
    """``gatepost doctor`` without a word after it looks at everything."""
    config = tmp_path / "gate.toml"
    config.write_text(f'[site]\nkiosk_id = "a"\n[state]\nfolder = "{tmp_path}/state"\n[[lane]]\nname = "in"\n')
    done = CliRunner().invoke(app, ["doctor", "--config", str(config), "--no-devices"])
    assert "policy" in done.output


def test_a_camera_by_its_number_is_told_its_better_names() -> None:
    """/dev/video0 is whoever came first at boot."""
    known = (NamedCamera(("/dev/v4l/by-id/usb-Cam-index0",), "/dev/video0", "Cam"), NamedCamera((), "/dev/video2", "?"))
    by_number = {"in": Camera(path=Path("/dev/video0"))}
    text = "\n".join(listing_of(known, by_number))
    assert "Cam (/dev/video0, lane in)" in text
    assert "may be another camera" in text
    assert "? (/dev/video2)" in text
    by_name = {"in": Camera(path=Path("/dev/v4l/by-id/usb-Cam-index0"))}
    assert "may be another camera" not in "\n".join(listing_of(known, by_name))
