"""``gatepost card``: the issuing desk, and the way of the keys to the kiosks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from config.settings import load_settings
from drivers.devices import CardHint, DeviceFault, DeviceReady
from kiosk.config_cli import DEFAULT_FILE, ConfigOption
from kiosk.desk_reader import DeskReader, News
from kiosk.issuing import (
    Bound,
    Desk,
    Refused,
    issued_uids,
    kiosk_keys,
    load_site_keys,
    new_site_keys,
    read_card_keys,
    read_rows,
    write_card_keys,
    write_secret,
)
from kiosk.run import open_card_keys

app = typer.Typer(help="Issue second-generation cards; bring their keys to the kiosks.", no_args_is_help=True)

KeysOption = Annotated[Path, typer.Option("--keys", help="the site's master keys; only at the desk, never on a kiosk")]


@app.command("new-keys")
def new_keys(
    file: Annotated[Path, typer.Argument(help="where to write them; never over a file that is there")],
    site: Annotated[str, typer.Option(help="the site's name in every key, up to 16 ASCII characters")],
) -> None:
    """Draw the site's master keys, once. Keep a copy under lock: without it no card can ever be changed."""
    try:
        new_site_keys(file, site)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(f"{file}: master keys of {site}")


@app.command()
def issue(
    *,
    roster: Annotated[Path, typer.Option("--from", help="roster CSV: whoever has no card in it gets one")],
    done: Annotated[Path, typer.Option("--to", help="roster CSV that every finished card is added to")],
    keys: KeysOption,
    reader: Annotated[str, typer.Option(help="stable device name of the desk's PN532")],
    address: Annotated[str, typer.Option(help="the page that a phone opens when it reads a card")],
    person: Annotated[
        str, typer.Option(help="a lost card: one more for this person_id, the earlier ones revoked")
    ] = "",
    legacy: Annotated[bool, typer.Option(help="bind cards that cannot be issued, too, as weak")] = False,
    unsigned: Annotated[bool, typer.Option(help="take chips without NXP's signature (simulated cards)")] = False,
) -> None:
    """Card after card: lay one on, wait for the line, lay the next on. Stop and go on whenever you like."""
    desk = Desk(roster, done, person=person)
    more = {"public_key": None} if unsigned else {}
    desk_reader = DeskReader(reader, desk, load_site_keys(keys), address=address, legacy=legacy, **more)
    desk_reader.start()
    try:
        typer.echo(f"next: {desk.next_person}")
        while desk.next_person is not None:
            news = desk_reader.next(timeout_s=1.0)
            if news is not None:
                typer.echo(_sentence(news))
            if isinstance(news, Bound) and desk.next_person is not None:
                typer.echo(f"next: {desk.next_person}")
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on from here")
    finally:
        desk_reader.stop()


def _sentence(news: News) -> str:
    match news:
        case Bound(person_id=person_id, uid=uid, strength=strength, left=left):
            return f"{person_id}: card ..{uid[-2:].hex()}, {strength}; {left} left"
        case Refused(uid=uid, why=why):
            return f"card ..{uid[-2:].hex()} not taken: {why}"
        case CardHint(detail=detail):
            return f"hold the card longer ({detail})"
        case DeviceFault(detail=detail):
            return f"reader: {detail}"
        case DeviceReady(detail=detail):
            return f"reader ready: {detail}"


@app.command("export-keys")
def export_keys(
    done: Annotated[Path, typer.Argument(help="the desk's roster CSV of finished cards")],
    file: Annotated[Path, typer.Argument(help="where to write the kiosks' keys (mode 0600)")],
    keys: KeysOption,
    second: Annotated[bool, typer.Option(help="the sealed second gate keys: after a kiosk was stolen")] = False,
) -> None:
    """Derive what kiosks need of each card. No master key is in it; bring it to the kiosks safely all the same."""
    site = load_site_keys(keys)
    cards = ((uid, kiosk_keys(site, uid, second=second)) for uid in issued_uids(read_rows(done)))
    typer.echo(f"{file}: keys of {write_card_keys(file, cards)} cards")


@app.command("export-meta")
def export_meta(
    file: Annotated[Path, typer.Argument(help="where to write the 16 bytes (mode 0600); keys.card_meta names it")],
    keys: KeysOption,
) -> None:
    """The one key of the site that kiosks of strength sun need besides: it opens a rolling code's number."""
    write_secret(file, load_site_keys(keys).meta())
    typer.echo(f"{file}: written")


@app.command("take-keys")
def take_keys(
    file: Annotated[Path, typer.Argument(help="a file of export-keys")],
    config: ConfigOption = DEFAULT_FILE,
    replace: Annotated[bool, typer.Option(help="hold these cards' keys and no others")] = False,
) -> None:
    """On a kiosk: take the keys of a file, all or none. Delete the file afterwards."""
    with open_card_keys(load_settings(config).settings) as store:
        count = store.take(read_card_keys(file), replace=replace)
    typer.echo(f"keys of {count} cards taken; delete {file}")
