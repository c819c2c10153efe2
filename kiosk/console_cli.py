"""``gatepost console``: the guard's console on tablets: certificate, pairing, list, revocation."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kiosk.config_cli import DEFAULT_FILE, ConfigOption

if TYPE_CHECKING:
    from config.settings import Settings

app = typer.Typer(help="The guard's console on paired tablets: certificate, pairing, list.", no_args_is_help=True)


@app.command()
def certificate(config: ConfigOption = DEFAULT_FILE) -> None:
    """Make (or renew) the certificate of the tablets' console. Takes effect when the gate starts again."""
    from kiosk.release import RELEASED
    from kiosk.tablet_certificate import AUTHORITY, FOLDER, fingerprint, make_certificate

    settings = _settings(config)
    folder = settings.state.folder / FOLDER
    # A kiosk that knows no time yet would make a certificate that ended before the tablets' today.
    new = make_certificate(folder, settings.web.tablet, now=max(datetime.now(UTC), RELEASED))
    typer.echo(f"{folder}: certificate for {', '.join(settings.web.tablet.known_as)}")
    typer.echo(f"{'install on each tablet' if new else 'installed before'}: {folder / AUTHORITY}")
    typer.echo(f"SHA-256 {fingerprint(folder / AUTHORITY)}")


@app.command()
def pair(
    name: Annotated[str, typer.Argument(help="what the tablet is called in the list")],
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """A code for one tablet, good for 15 minutes; a code before it is void."""
    from kiosk.clock import SystemClock
    from kiosk.tablet_book import TabletBook
    from kiosk.tablet_console import tablet_address

    settings = _settings(config)
    code = TabletBook(settings.state.folder).new_code(name, now=SystemClock(None).now())
    typer.echo(f"on the tablet, within 15 minutes: {tablet_address(settings)}")
    typer.echo(f"code {code}")


@app.command("list")
def list_all(config: ConfigOption = DEFAULT_FILE) -> None:
    """The paired tablets, with when each was paired and last used (to the hour)."""
    from kiosk.clock import utc_of
    from kiosk.tablet_book import TabletBook

    settings = _settings(config)
    zone = settings.site.zone
    for tablet in TabletBook(settings.state.folder).listed():
        paired, seen = (utc_of(at).astimezone(zone) for at in (tablet.paired_at_us, tablet.last_seen_us))
        typer.echo(f"{tablet.tablet_id}  paired {paired:%Y-%m-%d %H:%M}  used {seen:%Y-%m-%d %H:%M}  {tablet.name}")


@app.command()
def revoke(
    tablet: Annotated[str, typer.Argument(help="its number, as listed")], config: ConfigOption = DEFAULT_FILE
) -> None:
    """End a tablet's pairing at once, without a restart."""
    from config.errors import ConfigError
    from kiosk.tablet_book import TabletBook

    if TabletBook(_settings(config).state.folder).revoke(tablet) is None:
        raise ConfigError(f"tablet {tablet[:16]!r}", seen="no such tablet", hint="gatepost console list")
    typer.echo(f"{tablet}: revoked")


def _settings(config: Path) -> Settings:
    from config.errors import ConfigError
    from config.settings import load_settings

    settings = load_settings(config).settings
    if not settings.web.tablet.host:
        raise ConfigError("web.tablet.host", seen="nothing", expected="this kiosk's address in the tablets' network")
    return settings
