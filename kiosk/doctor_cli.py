"""``gatepost doctor``: the whole gate, or its cameras alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from kiosk.config_cli import DEFAULT_FILE, ConfigOption

app = typer.Typer(invoke_without_command=True)


@app.callback()
def doctor(
    context: typer.Context,
    config: ConfigOption = DEFAULT_FILE,
    devices: Annotated[bool, typer.Option(help="open every device and wait for its proof; stop the gate first")] = True,
) -> None:
    """Look at policy, keys, disk, clock, trust and devices; exit status 1 when the gate could not do its work."""
    if context.invoked_subcommand is not None:
        return
    from config.settings import load_settings
    from kiosk.doctor import Level, examine

    marks = {Level.GOOD: "ok  ", Level.LOOK: "look", Level.BAD: "BAD "}
    bad = False
    for finding in examine(load_settings(config).settings, devices=devices):
        typer.echo(f"{marks[finding.level]}  {finding.what:<22} {finding.detail}")
        bad |= finding.level is Level.BAD
    raise typer.Exit(1 if bad else 0)


@app.command()
def camera(
    *,
    config: ConfigOption = DEFAULT_FILE,
    device: Annotated[
        Path | None, typer.Option(help="instead of the settings': a camera's name, a video file, or a picture folder")
    ] = None,
    lane: Annotated[str | None, typer.Option(help="this lane's camera only")] = None,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="how long to look")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object at the end instead of lines")] = False,
) -> None:
    """Aim, focus and light the cameras: list them, look through them, say what to change. Stop the gate first.

    Exit status 1 when a camera did not serve. Pictures and texts of codes are neither kept nor shown.
    """
    from config.errors import ConfigError
    from config.settings import load_settings
    from drivers.camera_names import list_cameras
    from kiosk.doctor_camera import CameraTrial, camera_at, cameras_of, line_of, listing_of, summary_of, try_cameras
    from kiosk.screens.texts import Language, texts

    if device is not None:
        cameras = {"device": camera_at(device)}
    else:
        cameras = cameras_of(load_settings(config).settings)
        if lane is not None and lane not in cameras:
            raise ConfigError("--lane", seen=lane, expected=f"a lane with a camera: {', '.join(cameras)}")
        cameras = {name: of for name, of in cameras.items() if lane in (None, name)}
    known = list_cameras()

    def word(advice: str) -> str:
        return texts(Language.EN).get("aim", advice)

    if not as_json:
        typer.echo("\n".join(listing_of(known, cameras)) + "\n")

    def tell(trials: list[CameraTrial]) -> None:
        for trial in trials:
            typer.echo(line_of(trial, word))

    trials = try_cameras(cameras, seconds, tell=(lambda trials: None) if as_json else tell)
    if as_json:
        listed = [{"model": each.model, "node": each.node, "names": list(each.names)} for each in known]
        typer.echo(json.dumps({"cameras": listed, "lanes": [trial.as_json() for trial in trials]}, indent=2))
    else:
        typer.echo("")
        for trial in trials:
            typer.echo("\n".join(summary_of(trial, word)))
    served = all(trial.served and trial.now is not None and trial.now.in_service for trial in trials)
    raise typer.Exit(0 if served else 1)
