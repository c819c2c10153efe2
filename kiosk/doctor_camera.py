"""``gatepost doctor camera``: looks through the lanes' cameras for some seconds and says what to change.

Nothing of what they see is kept: figures only. A camera has one owner, so the gate is stopped first; while it runs,
the console's page for aiming shows the same figures.
"""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from config.errors import ConfigError
from config.lane import Camera, CameraSource
from config.settings import Settings
from drivers.camera import FrameSource
from drivers.camera_names import NamedCamera
from drivers.devices import DeviceEvent, QrText
from drivers.picture_look import look_at
from drivers.qr_stream import QrCamera
from drivers.rack import source_of
from kiosk.camera_report import CameraMeter, CameraReport

SAMPLE_S = 0.2
TELL_S = 1.0
_NUMBERED = re.compile(r"/dev/video\d+")


@dataclass(slots=True)
class CameraTrial:
    """What one camera showed while it was looked through; ``served`` is whether it ever came into service."""

    lane: str
    source: str
    now: CameraReport | None = None
    served: bool = False
    sharpest_percent: float | None = None
    oldest_frame_ms: float = 0.0
    _meter: CameraMeter = field(default_factory=CameraMeter, repr=False)

    def sample(self, camera: QrCamera, at_ns: int) -> None:
        """Look once more."""
        stats, frame = camera.stats(), camera.latest_frame()
        look = None if frame is None else look_at(frame.gray, stats.boxes or stats.unread_boxes)
        size_px = (0, 0) if frame is None else (frame.gray.shape[1], frame.gray.shape[0])
        self.now = self._meter.report(stats, look, size_px, at_ns)
        self.served |= stats.in_service
        self.oldest_frame_ms = max(self.oldest_frame_ms, stats.frame_age_ms or 0.0)
        if look is not None and look.sharpness_percent is not None:
            self.sharpest_percent = max(self.sharpest_percent or 0.0, look.sharpness_percent)

    def as_json(self) -> dict[str, Any]:
        """The whole trial as JSON values, figures rounded to a tenth."""
        report = {} if self.now is None else _rounded(asdict(self.now))
        return {
            "lane": self.lane,
            "source": self.source,
            "served": self.served,
            "sharpest_percent": _tenth(self.sharpest_percent),
            "oldest_frame_ms": _tenth(self.oldest_frame_ms),
            **report,
        }


def _tenth(value: Any) -> Any:
    return round(value, 1) if isinstance(value, float) else value


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _rounded(value) if isinstance(value, dict) else _tenth(value) for key, value in values.items()}


def cameras_of(settings: Settings) -> dict[str, Camera]:
    """The cameras of the settings by lane. Raises ConfigError when no lane has one."""
    found = {lane.name: lane.camera for lane in settings.lane if lane.camera is not None}
    if not found:
        raise ConfigError("lane.camera", seen="no lane has a camera", hint="add one, or try --device PATH")
    return found


def camera_at(path: Path) -> Camera:
    """A camera that no settings name yet: a device, a folder of pictures, or a video file.

    Raises ConfigError when there is nothing at ``path``.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigError(f"--device {path}", seen=error.strerror or str(error), expected="a camera") from error
    if stat.S_ISDIR(mode):
        return Camera(source=CameraSource.FOLDER, path=path)
    return Camera(source=CameraSource.V4L2 if stat.S_ISCHR(mode) else CameraSource.VIDEO, path=path)


def try_cameras(
    cameras: Mapping[str, Camera],
    seconds: float,
    *,
    tell: Callable[[list[CameraTrial]], None] = lambda trials: None,
    build: Callable[[Camera], FrameSource] = source_of,
) -> list[CameraTrial]:
    """Look through all of them at once for ``seconds``; ``tell`` hears what they show about once a second."""
    trials = [CameraTrial(lane, str(camera.path or f"Pi camera {camera.number}")) for lane, camera in cameras.items()]
    running = [QrCamera(f"{lane}/camera", build(camera)) for lane, camera in cameras.items()]
    with ExitStack() as stack:
        for camera in running:
            stack.callback(camera.stop)
            camera.start(partial(_go_on, camera))
        begun = told = time.monotonic()
        while (now := time.monotonic()) - begun < seconds:
            time.sleep(min(SAMPLE_S, seconds - (now - begun)))
            for trial, camera in zip(trials, running, strict=True):
                trial.sample(camera, time.monotonic_ns())
            if time.monotonic() - told >= TELL_S:
                told += TELL_S
                tell(trials)
    return trials


def _go_on(camera: QrCamera, event: DeviceEvent) -> None:
    """No gate decides here: a code that was read is dropped, and the next one may come."""
    if isinstance(event, QrText):
        camera.decided()


def line_of(trial: CameraTrial, word: Callable[[str], str]) -> str:
    """One line about a camera now; ``word`` gives the advice's sentence."""
    report = trial.now
    if report is None:
        return f"{trial.lane}: nothing yet"
    look = report.look
    figures = [
        f"{_figure(report.fps)} frames/s",
        f"{_figure(report.decodes_per_s)} looks/s",
        f"{report.codes_told} codes read",
        f"age {_figure(report.frame_age_ms)} ms",
    ]
    if look is not None:
        sharp = "?" if look.sharpness_percent is None else f"{look.sharpness_percent:.0f}"
        figures += [f"sharpness {sharp} %", f"brightness {look.brightness:.0f}/255"]
    return f"{trial.lane}: {', '.join(figures)}. {word(str(report.advice))}"


def _figure(value: float | None) -> str:
    return "?" if value is None else f"{value:.0f}"


def summary_of(trial: CameraTrial, word: Callable[[str], str]) -> list[str]:
    """Everything about one camera at the end, one line each."""
    report = trial.now
    if report is None or not trial.served:
        detail = "was not looked through" if report is None else report.detail or "gave no picture"
        advice = "" if report is None else f" {word(str(report.advice))}"
        return [f"BAD   {trial.lane}: {detail}.{advice}"]
    look = report.look
    lines = [
        f"{'ok ' if report.in_service else 'BAD'}   {trial.lane}: {report.detail}",
        f"      frames      {report.width}x{report.height}, {_figure(report.fps)} a second; oldest good frame "
        f"{trial.oldest_frame_ms:.0f} ms, {report.errors} spoilt",
        f"      codes       {report.codes_told} read; {_figure(report.decodes_per_s)} looks a second of "
        f"{report.decode_ms_mean:.1f} ms; {_figure(report.unread_per_s)} a second saw a code and could not read it",
        f"      decoder     child died {report.child_restarts} times, was too slow {report.child_overruns} times",
    ]
    if look is not None:
        sharpest = "?" if trial.sharpest_percent is None else f"{trial.sharpest_percent:.0f}"
        lines.append(
            f"      picture     sharpness at best {sharpest} %, brightness {look.brightness:.0f} of 255, "
            f"{look.white_percent:.0f} % burnt out"
        )
    return [*lines, f"      do          {word(str(report.advice))}"]


def listing_of(found: tuple[NamedCamera, ...], used: Mapping[str, Camera]) -> list[str]:
    """The cameras of this machine by their stable names, and which lane has which."""
    if not found:
        return ["no camera with a stable name here: is one plugged in? (/dev/v4l/by-id, /dev/v4l/by-path)"]
    lines = []
    for camera in found:
        lanes = [lane for lane, of in used.items() if of.path is not None and str(of.path.resolve()) == camera.node]
        taken = f", lane {', '.join(lanes)}" if lanes else ""
        lines.append(f"{camera.model} ({camera.node}{taken})")
        lines += [f"    {name}" for name in camera.names]
        if lanes and any(_NUMBERED.fullmatch(str(used[lane].path)) for lane in lanes):
            lines.append(
                f"    {camera.node} may be another camera after a restart: put one of these names in the settings"
            )
    return lines
