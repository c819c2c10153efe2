"""``gatepost card``: the issuing desk, and the way of the keys to the kiosks."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from config.settings import load_settings, secret_file
from drivers.cards.ntag424_inspect import CardState, Inspection
from drivers.cards.ntag424_issue import SiteKeys
from drivers.devices import CardHint, DeviceFault, DeviceReady
from kiosk.arrivals import retired_key_no
from kiosk.card_reading import CardReading
from kiosk.card_release import make_escrow
from kiosk.config_cli import DEFAULT_FILE, ConfigOption
from kiosk.desk_reader import DeskReader, News
from kiosk.evidence import CardStrength
from kiosk.issuing import (
    Bound,
    Desk,
    IssuingError,
    Refused,
    is_revoked,
    issued_uids,
    kiosk_keys,
    load_site_keys,
    new_release_key,
    new_site_keys,
    read_card_keys,
    read_rows,
    revoke_cards,
    second_keys,
    write_card_keys,
    write_secret,
)
from kiosk.osdp_key_cli import osdp_key
from kiosk.site_stores import open_card_keys

app = typer.Typer(help="Issue second-generation cards; bring their keys to the kiosks.", no_args_is_help=True)

app.command("osdp-key")(osdp_key)

KeysOption = Annotated[
    Path,
    typer.Option("--keys", help="the site's master keys, or - to type them; only at the desk, never on a kiosk"),
]
ReaderOption = Annotated[
    str, typer.Option("--reader", help="stable device name of the desk's PN532, or pcsc:NAME of a PC/SC reader")
]
DoneOption = Annotated[Path, typer.Option("--to", help="the desk's roster CSV of finished cards")]
UnsignedOption = Annotated[
    bool, typer.Option("--unsigned", help="take chips without NXP's signature (simulated cards)")
]

READ_TIMEOUT_S = 30.0


class IssuedStrength(StrEnum):
    """What the gates may ask of a card that the desk makes; it can do both."""

    EV2 = "ev2"
    SUN = "sun"


def _site_keys(path: Path) -> SiteKeys:
    """From the file, or typed (not echoed) where the file is ``-``. Raises ConfigError, BadParameter."""
    if str(path) != "-":
        return load_site_keys(path)
    site = typer.prompt("site")
    secrets = [typer.prompt(f"{name} (32 hex digits)", hide_input=True) for name in ("card_master", "site_master")]
    version = typer.prompt("version", default=1, type=int)
    try:
        card_master, site_master = (bytes.fromhex(text) for text in secrets)
        return SiteKeys(site, card_master=card_master, site_master=site_master, version=version)
    except ValueError as error:
        raise typer.BadParameter("these are no master keys: 32 hex digits each, version 1 to 255") from error


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
    done: DoneOption,
    keys: KeysOption,
    reader: ReaderOption,
    address: Annotated[str, typer.Option(help="the page that a phone opens when it reads a card")],
    person: Annotated[
        str, typer.Option(help="a lost card: one more for this person_id, the earlier ones revoked")
    ] = "",
    strength: Annotated[
        IssuedStrength, typer.Option(help="what the gates ask of it: as lane.reader.strength there")
    ] = IssuedStrength.EV2,
    legacy: Annotated[bool, typer.Option(help="bind cards that cannot be issued, too, as weak")] = False,
    unsigned: UnsignedOption = False,
) -> None:
    """Card after card: lay one on, wait for the line, lay the next on. Stop and go on whenever you like."""
    desk = Desk(roster, done, person=person)
    more = {"public_key": None} if unsigned else {}
    desk_reader = DeskReader(
        reader, desk, _site_keys(keys), address=address, strength=CardStrength(strength), legacy=legacy, **more
    )
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


_STATES = {
    CardState.LEGACY: "no NTAG 424 DNA: a legacy card, whose number can be copied",
    CardState.BLANK: "a blank NTAG 424 DNA",
    CardState.BEGUN: "an NTAG 424 DNA whose issuing was broken off; card issue finishes it",
    CardState.ISSUED: "a finished card of this site",
    CardState.FOREIGN: "an NTAG 424 DNA of somebody else",
    CardState.UNTOLD: "an NTAG 424 DNA that is not blank; --keys tells whether it is this site's",
}


@app.command()
def read(
    *,
    reader: ReaderOption,
    keys: Annotated[
        Path | None, typer.Option(help="the site's master keys, or - to type them; tells its cards")
    ] = None,
    done: Annotated[Path | None, typer.Option("--to", help="the desk's roster CSV; tells whose card it is")] = None,
    unsigned: UnsignedOption = False,
) -> None:
    """Lay a card on: what it is, whether NXP made it, how far it is issued, whose it is. Nothing on it is changed."""
    more = {"public_key": None} if unsigned else {}
    found = CardReading(reader, keys=None if keys is None else _site_keys(keys), **more).read(READ_TIMEOUT_S)
    typer.echo(f"card ..{found.uid[-2:].hex()}: {_STATES[found.state]}")
    if found.genuine is not None:
        typer.echo("NXP's signature: " + ("right" if found.genuine else "missing or wrong; do not issue this chip"))
    if found.key_versions:
        typer.echo("versions of keys 0 to 4: " + " ".join(map(str, found.key_versions)))
    if done is not None:
        typer.echo(_whose(found, done))


def _whose(found: Inspection, done: Path) -> str:
    for row in read_rows(done):
        if row["card_uid"] and bytes.fromhex(row["card_uid"]) == found.uid:
            return f"{row['person_id']}'s, {row['card_strength']}" + (", revoked" if is_revoked(row) else "")
    return f"in {done.name} it is nobody's"


@app.command()
def revoke(
    *,
    done: DoneOption,
    roster: Annotated[
        Path | None, typer.Option("--from", help="roster CSV, for cards that are not this desk's")
    ] = None,
    person: Annotated[str, typer.Option(help="every card of this person_id, such as one who moves away")] = "",
    reader: Annotated[str, typer.Option(help="the card itself is here: lay it on this reader")] = "",
) -> None:
    """Mark a card as revoked; the gates refuse it from their next import on. For a lost one: card issue --person."""
    if bool(person) is bool(reader):
        raise typer.BadParameter("say whose cards (--person), or lay the card on (--reader)")
    uid = b"" if person else CardReading(reader, public_key=None).read(READ_TIMEOUT_S).uid
    for holder in revoke_cards(done, roster=roster, person=person, uid=uid):
        typer.echo(f"{holder}: one card revoked")
    typer.echo(f"now at each gate: gatepost roster import {done.name}")


@app.command("export-keys")
def export_keys(
    done: Annotated[Path, typer.Argument(help="the desk's roster CSV of finished cards")],
    file: Annotated[Path, typer.Argument(help="where to write the kiosks' keys (mode 0600)")],
    keys: KeysOption,
    second: Annotated[bool, typer.Option(help="the sealed second gate keys: after a kiosk was stolen")] = False,
) -> None:
    """Derive what kiosks need of each card. No master key is in it; bring it to the kiosks safely all the same."""
    site = _site_keys(keys)
    cards = ((uid, kiosk_keys(site, uid, second=second)) for uid in issued_uids(read_rows(done)))
    typer.echo(f"{file}: keys of {write_card_keys(file, cards)} cards")


@app.command()
def escrow(
    done: Annotated[Path, typer.Argument(help="the desk's roster CSV of finished cards")],
    file: Annotated[Path, typer.Argument(help="the sealed second keys to write: give it to the central's admin")],
    keys: KeysOption,
    release_key: Annotated[
        Path, typer.Option(help="opens the escrow; made when missing. Keep it apart from the escrow, in a safe")
    ],
) -> None:
    """Seal every card's second gate key for the day a kiosk is stolen. Make it anew whenever cards were issued."""
    site = load_site_keys(keys)
    key = secret_file(release_key).read_bytes() if release_key.exists() else new_release_key(release_key)
    cards = tuple(second_keys(site, issued_uids(read_rows(done))))
    write_secret(file, make_escrow(cards, key))
    typer.echo(f"{file}: second keys of {len(cards)} cards, opened by {release_key} alone")


@app.command("export-meta")
def export_meta(
    file: Annotated[Path, typer.Argument(help="where to write the 16 bytes (mode 0600); keys.card_meta names it")],
    keys: KeysOption,
) -> None:
    """The one key of the site that kiosks of strength sun need besides: it opens a rolling code's number."""
    write_secret(file, _site_keys(keys).meta())
    typer.echo(f"{file}: written")


@app.command("take-keys")
def take_keys(
    file: Annotated[Path, typer.Argument(help="a file of export-keys")],
    config: ConfigOption = DEFAULT_FILE,
    replace: Annotated[bool, typer.Option(help="hold these cards' keys and no others")] = False,
) -> None:
    """On a kiosk: take the keys of a file, all or none. Delete the file afterwards."""
    settings = load_settings(config).settings
    cards = read_card_keys(file)
    retired = retired_key_no(settings.state.folder)
    if retired is not None and any(keys.gate_key_no == retired for _, keys in cards):
        raise IssuingError(
            str(file),
            seen=f"keys of slot {retired}, which a theft retired",
            expected="second keys",
            hint="gatepost card export-keys --second",
        )
    with open_card_keys(settings) as store:
        count = store.take(cards, replace=replace)
    typer.echo(f"keys of {count} cards taken; delete {file}")
