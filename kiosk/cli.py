"""``gatepost``: the gate's own command line."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from config.errors import GatepostError
from kiosk import (
    calibrate_cli,
    card_cli,
    code_cli,
    config_cli,
    console_cli,
    doctor_cli,
    guard_cli,
    journal_cli,
    plan_cli,
    roster_cli,
    trust_cli,
    voice_cli,
)
from kiosk.config_cli import DEFAULT_FILE, ConfigOption

app = typer.Typer(
    help="Gatepost: a community gate that reads cards and health codes, measures, decides, and writes it down.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(card_cli.app, name="card")
app.add_typer(config_cli.app, name="config")
app.add_typer(console_cli.app, name="console")
app.add_typer(doctor_cli.app, name="doctor")
app.add_typer(guard_cli.app, name="guard")
app.add_typer(journal_cli.app, name="journal")
app.add_typer(plan_cli.app, name="plan")
app.add_typer(roster_cli.app, name="roster")
app.add_typer(trust_cli.app, name="trust")
app.add_typer(code_cli.app, name="code")
app.add_typer(voice_cli.app, name="voice")

app.command("calibrate")(calibrate_cli.calibrate_lane)


@app.command()
def run(
    config: ConfigOption = DEFAULT_FILE,
    until_idle_s: Annotated[
        float | None, typer.Option(help="end after so many seconds without an event; for folders of pictures")
    ] = None,
) -> None:
    """Run the gate: devices, decision, journal, screens. Ends on SIGTERM or Ctrl-C."""
    from kiosk.run import run_gate

    run_gate(config, until_idle_s=until_idle_s)


@app.command("outputs-off")
def outputs_off(config: ConfigOption = DEFAULT_FILE) -> None:
    """Drive every relay of the settings off, once; for the service manager when the gate was killed."""
    from config.settings import load_settings
    from drivers.rack import drive_relays_off

    for port in drive_relays_off(load_settings(config).settings):
        typer.echo(f"{port}: could not be driven off", err=True)


@app.command()
def demo(
    *,
    passages: Annotated[
        int | None, typer.Option(min=1, help="play so many passages without a screen, print a summary, end")
    ] = None,
    scenario: Annotated[str, typer.Option(help="a shipped scenario, or the path of one")] = "day",
    seed: Annotated[int | None, typer.Option(help="another seed than the scenario's")] = None,
    folder: Annotated[Path | None, typer.Option(help="keep everything the run makes in this folder")] = None,
    port: Annotated[int, typer.Option(help="port of the gate's screens; 0 takes a free one")] = 0,
    pictures: Annotated[
        Path | None, typer.Option(help="instead of a day: show this folder of pictures to the camera; needs --trust")
    ] = None,
    trust: Annotated[Path | None, typer.Option(help="trust folder for the pictures' health codes")] = None,
    starts_at: Annotated[
        datetime | None, typer.Option(help="judge the pictures at this time (UTC) instead of now")
    ] = None,
) -> None:
    """Play a scripted day on simulated hardware, with sync and central as the separate programs they are."""
    from kiosk.demo.run import demo_pictures, run_demo

    if pictures is not None:
        if trust is None:
            raise typer.BadParameter("--pictures needs --trust")
        at = starts_at.replace(tzinfo=UTC) if starts_at else None
        raise typer.Exit(demo_pictures(pictures, trust, starts_at=at, folder=folder))
    raise typer.Exit(run_demo(scenario, passages=passages, seed=seed, folder=folder, port=port))


def main() -> None:
    """The entry point: an error of our own becomes its sentence and exit code 2, never a stack trace."""
    try:
        app()
    except GatepostError as error:
        print(f"gatepost: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
