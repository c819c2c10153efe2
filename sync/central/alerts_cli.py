"""``gatepost-central alerts``: whether alerts would reach people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Alerts that are sent to people by mail or webhook.", no_args_is_help=True)


@app.callback()
def alerts() -> None:
    """Alerts that are sent to people by mail or webhook."""


@app.command()
def trial(config: Annotated[Path, typer.Option("--config", help="settings file with a section [alerts]")]) -> None:
    """Send a trial message by every channel of the settings; exit status 1 when one does not take it."""
    from config.central import load_central
    from config.errors import ConfigError
    from sync.central.alert_channels import load_telling
    from sync.central.alert_message import trial_bundle
    from sync.central.context import system_now_us, zone_of
    from sync.errors import LinkError

    settings = load_central(config).settings
    telling = load_telling(settings.alerts)
    if not telling.channels:
        raise ConfigError("[alerts]", seen="neither email_to nor webhook", expected="one of them", hint=str(config))
    failed = False
    for channel in telling.channels:
        bundle = trial_bundle(
            site=settings.central.site_name,
            language=telling.language,
            zone=zone_of(settings.central.time_zone),
            link=telling.link,
            now_us=system_now_us(),
        )
        try:
            channel.send(bundle)
        except LinkError as error:
            failed = True
            typer.echo(f"{channel.name}: {error}")
        else:
            typer.echo(f"{channel.name}: sent")
    if failed:
        raise typer.Exit(1)
