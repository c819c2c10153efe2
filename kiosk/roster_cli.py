"""``gatepost roster``: import people, cards and photographs, revoke a lost card, count."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from config.settings import Settings, load_settings
from kiosk.config_cli import DEFAULT_FILE, ConfigOption
from kiosk.jpeg import MAX_BYTES
from kiosk.roster import Roster
from kiosk.site_stores import open_photos, open_roster

app = typer.Typer(help="People and cards that this gate knows.", no_args_is_help=True)

CardUid = Annotated[str, typer.Argument(help="the card's UID in hexadecimal, as the reader shows it")]


def _roster(config: Path) -> tuple[Roster, Settings]:
    settings = load_settings(config).settings
    return open_roster(settings), settings


@app.command("import")
def import_csv(
    file: Annotated[Path, typer.Argument(help="CSV in UTF-8; docs/formats.md lists the columns")],
    config: ConfigOption = DEFAULT_FILE,
    replace: Annotated[bool, typer.Option(help="the file is the whole roster: who is not in it goes")] = False,
) -> None:
    """Take the good lines of a CSV and report every bad one; exit status 1 when there was a bad one."""
    roster, settings = _roster(config)
    with roster:
        report = roster.import_csv(file, at_us=time.time_ns() // 1000, zone=settings.site.zone, replace=replace)
        if replace and not report.bad_lines:
            with open_photos(settings) as photos:
                photos.keep_only(roster.subjects())
    for bad in report.bad:
        typer.echo(f"{file}:{bad.line}: {bad.why}", err=True)
    typer.echo(f"{report.people} people, {report.cards} cards taken; {report.bad_lines} bad lines")
    if report.bad_lines:
        raise typer.Exit(1)


@app.command("photos")
def take_photos(
    folder: Annotated[Path, typer.Argument(help="JPEG pictures named by person_id, such as R-17.jpg")],
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Take the holders' photographs, for the guard alone; exit status 1 when a file was not taken."""
    roster, settings = _roster(config)
    taken = refused = 0
    with roster, open_photos(settings) as photos:
        known = roster.subjects()
        for file in sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg")):
            subject = roster.subject_of(file.stem)
            try:
                if subject not in known:
                    raise ValueError("nobody of this person_id in the roster")
                with file.open("rb") as picture:
                    photos.put(subject, picture.read(MAX_BYTES + 1))
            except (OSError, ValueError) as error:
                refused += 1
                typer.echo(f"{file}: {error}", err=True)
            else:
                taken += 1
        photos.keep_only(known)
    typer.echo(f"{taken} photographs taken; {refused} not")
    if refused:
        raise typer.Exit(1)


@app.command()
def revoke(
    uid: CardUid,
    config: ConfigOption = DEFAULT_FILE,
    why: Annotated[str, typer.Option(help="lost, stolen, moved away, …")] = "lost",
) -> None:
    """This card opens nothing from now on, whether or not the roster knows it."""
    roster, _ = _roster(config)
    with roster:
        roster.revoke(_uid_bytes(uid), at_us=time.time_ns() // 1000, why=why)
    typer.echo("revoked")


@app.command()
def reinstate(uid: CardUid, config: ConfigOption = DEFAULT_FILE) -> None:
    """Lift a revocation: the card was found again."""
    roster, _ = _roster(config)
    with roster:
        lifted = roster.reinstate(_uid_bytes(uid))
    typer.echo("reinstated" if lifted else "that card was not revoked")


@app.command()
def count(config: ConfigOption = DEFAULT_FILE) -> None:
    """How many people, cards and revocations there are."""
    roster, _ = _roster(config)
    with roster:
        people, cards, revocations = roster.counts()
    typer.echo(f"{people} people, {cards} cards, {revocations} revocations")


def _uid_bytes(text: str) -> bytes:
    try:
        uid = bytes.fromhex(text.replace(":", ""))
    except ValueError:
        uid = b""
    if len(uid) not in (4, 7, 10):
        raise typer.BadParameter("a UID has 4, 7 or 10 bytes in hexadecimal, such as 04A1B2C3D4E5F6")
    return uid
