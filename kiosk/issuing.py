"""The issuing desk: card after card to person after person, safe to stop at any moment.

Input is the site's roster CSV; output is another one, ``issued.csv``, to which a line is added (and brought to the
disk) for each card that is finished: the same person with the card's number and strength. So the desk resumes where
it stopped, and what it made is imported like any roster. Keys are never written with it: they follow from the site's
master keys and the card's number at any time (:func:`kiosk_keys`).
"""

from __future__ import annotations

import csv
import io
import json
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

from config.errors import ConfigError, GatepostError
from config.settings import secret_file
from drivers.cards.ntag424 import GATE_KEY_NO, SEALED_GATE_KEY_NO, CardKeys
from drivers.cards.ntag424_issue import Role, SiteKeys
from kiosk.card_release import RELEASE_KEY_BYTES, SecondKeys
from kiosk.durable_file import new_file, replace_file
from kiosk.evidence import CardStrength
from kiosk.roster_csv import ImportReport, read_lines

CARD_COLUMNS = ("card_uid", "card_strength", "revoked")
KEY_COLUMNS = ("card_uid", "gate_key", "file_key", "gate_key_no", "key_version")
MAX_FILE_BYTES = 64 * 1024 * 1024


class IssuingError(GatepostError):
    """The desk cannot go on: a file is wrong, or nobody is left."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A card now belongs to somebody; ``left`` people wait for theirs."""

    person_id: str
    uid: bytes
    strength: CardStrength
    left: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A card was presented that cannot be given out."""

    uid: bytes
    why: str


class Desk:
    """Who waits for a card, and who has one. ``done`` is the file of finished cards; it need not exist yet.

    ``person`` asks for one more card for one person, whose earlier cards of ``done`` are revoked with it (lost card).
    Raises IssuingError for a file with bad lines, for an unknown person, and when nobody waits.
    """

    def __init__(self, roster: Path, done: Path, *, person: str = "") -> None:
        rows = read_rows(roster)
        self._columns = [*dict.fromkeys([column for row in rows for column in row] + list(CARD_COLUMNS))]
        self._done_file = done
        finished = read_rows(done) if done.exists() else []
        self._holders = {bytes.fromhex(row["card_uid"]): row["person_id"] for row in rows + finished if row["card_uid"]}
        people = {row["person_id"]: row for row in rows}
        if person:
            if person not in people:
                raise IssuingError(f"person {person}", seen="not in the roster file", expected="a person_id of it")
            self._waiting = [people[person]]
            self._revoked = [row for row in rows + finished if row["person_id"] == person and row["card_uid"]]
        else:
            held = set(self._holders.values())
            self._waiting = [row for person_id, row in people.items() if person_id not in held]
            self._revoked = []
        if not self._waiting:
            raise IssuingError(str(roster), seen="a card for everybody", hint="--person issues another card to one")

    def holder_of(self, uid: bytes) -> str | None:
        """Whose card this is; None for nobody's."""
        return self._holders.get(uid)

    @property
    def next_person(self) -> str | None:
        """Whose card comes next; None when everybody has one."""
        return self._waiting[0]["person_id"] if self._waiting else None

    def bind(self, uid: bytes, strength: CardStrength) -> Bound | Refused:
        """This card, finished, is the next person's: written down before it is said. Raises IssuingError."""
        if uid in self._holders:
            return Refused(uid, f"it is {self._holders[uid]}'s already")
        if not self._waiting:
            return Refused(uid, "nobody waits for a card")
        row = self._waiting[0]
        given = row | {"card_uid": uid.hex(), "card_strength": str(strength), "revoked": ""}
        if self._revoked:
            revoked = [{**old, "revoked": "yes"} for old in self._revoked]
            _rewrite(self._done_file, [*revoked, given], self._columns)
        else:
            _append(self._done_file, given, self._columns)
        self._waiting.pop(0)
        self._revoked = []
        self._holders[uid] = row["person_id"]
        return Bound(row["person_id"], uid, strength, len(self._waiting))


def revoke_cards(done: Path, *, roster: Path | None = None, person: str = "", uid: bytes = b"") -> list[str]:
    """Mark the cards of a person, or one card by its number, as revoked in ``done``; whose they are, one a card.

    ``roster`` is looked at, too, for cards that did not come from this desk. Written to the disk before this returns;
    the gates learn of it with the next import. Raises IssuingError where no such card is known.
    """
    rows = {row["card_uid"]: row for path in (roster, done) if path and path.exists() for row in read_rows(path)}
    mine = [
        row
        for card, row in rows.items()
        if card and (row["person_id"] == person if person else bytes.fromhex(card) == uid)
    ]
    if not mine:
        asked = f"cards of {person}" if person else "that card"
        raise IssuingError(asked, seen="in none of the files", expected="a card of the roster or of this desk")
    columns = [*dict.fromkeys([column for row in rows.values() for column in row] + list(CARD_COLUMNS))]
    _rewrite(done, [{**row, "revoked": "yes"} for row in mine], columns)
    return [row["person_id"] for row in mine]


def _append(done: Path, row: dict[str, str], columns: list[str]) -> None:
    """One line more, in the columns that the file has. It is exchanged whole: after a power cut it has the line or not,
    never half of it; 7,000 lines are less than a megabyte.
    """
    try:
        before = _content(done) if done.exists() else b""
        header = _header(before)
        if not set(columns) <= set(header):  # a file that begins now, or a roster that has got another column since
            _rewrite(done, [row], columns)
            return
        if not before.endswith(b"\n"):
            before += b"\n"  # an editor left the last line open
        replace_file(done, before + _text([row], header, header=False))
    except OSError as error:
        raise IssuingError(str(done), seen=error.strerror or str(error)) from error


def _header(raw: bytes) -> list[str]:
    """The column names of a file, as :func:`read_rows` has them."""
    first, _, _ = raw.partition(b"\n")
    return [name.strip().lower() for name in next(csv.reader([first.decode("utf-8-sig")]), [])]


def _rewrite(done: Path, rows: list[dict[str, str]], columns: list[str]) -> None:
    """A card stands once in a roster file, so the line of a lost one is replaced, all at once."""
    replaced = {row["card_uid"] for row in rows}
    kept = read_rows(done) if done.exists() else []
    lines = [*(row for row in kept if row["card_uid"] not in replaced), *rows]
    columns = [*dict.fromkeys([*columns, *(column for row in kept for column in row)])]
    try:
        replace_file(done, _text(lines, columns, header=True))
    except OSError as error:
        raise IssuingError(str(done), seen=error.strerror or str(error)) from error


def _text(rows: list[dict[str, str]], columns: list[str], *, header: bool) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def read_rows(path: Path) -> list[dict[str, str]]:
    """The lines of a roster CSV as text, all checked as an import checks them. Raises IssuingError for a bad one."""
    raw = _content(path)
    report = ImportReport()
    list(read_lines(raw.splitlines(keepends=True), report, zone=UTC))
    if report.bad:
        first = report.bad[0]
        raise IssuingError(f"{path}, line {first.line}", seen=first.why, hint="mend it, then start again")
    reader = csv.DictReader(io.StringIO(raw.decode("utf-8-sig")), strict=True)
    rows = [{name.strip().lower(): (value or "").strip() for name, value in row.items()} for row in reader]
    rows = [dict.fromkeys(CARD_COLUMNS, "") | row for row in rows if any(row.values())]
    # A card number may be written with colons, hyphens or blanks; from here on it is one text.
    return [row | {"card_uid": re.sub(r"[ :-]", "", row["card_uid"]).lower()} for row in rows]


def is_revoked(row: dict[str, str]) -> bool:
    """Whether the line's card is revoked."""
    return row["revoked"].lower() in ("yes", "true", "1")


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise IssuingError(str(path), seen=error.strerror or str(error), expected="a readable file") from error
    if len(raw) > MAX_FILE_BYTES:
        raise IssuingError(str(path), seen="more than 64 MiB", expected="a smaller file")
    return raw


# --- keys -----------------------------------------------------------------------------------------------------


def new_site_keys(path: Path, site: str) -> SiteKeys:
    """Draw the site's two master secrets and write them (mode 0600, never over an old file). Raises ConfigError."""
    keys = SiteKeys(site, card_master=secrets.token_bytes(16), site_master=secrets.token_bytes(16))
    content = {
        "site": keys.site,
        "version": keys.version,
        "card_master": keys.card_master.hex(),
        "site_master": keys.site_master.hex(),
    }
    try:
        new_file(path, (json.dumps(content, indent=2) + "\n").encode("ascii"))
    except OSError as error:
        hint = "master keys are never overwritten: every card issued under them would be lost"
        raise ConfigError(f"master keys {path}", seen=error.strerror or str(error), hint=hint) from error
    return keys


def load_site_keys(path: Path) -> SiteKeys:
    """Raises ConfigError for a file that others may read, or that holds something else."""
    path = secret_file(path)
    try:
        content = json.loads(path.read_text(encoding="ascii")[:4096])
    except OSError as error:
        raise ConfigError(f"master keys {path}", seen=error.strerror or str(error)) from error
    except ValueError as error:
        raise ConfigError(f"master keys {path}", seen="no JSON", expected="a file of card new-keys") from error
    try:
        return SiteKeys(
            str(content["site"]),
            card_master=bytes.fromhex(content["card_master"]),
            site_master=bytes.fromhex(content["site_master"]),
            version=int(content["version"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"master keys {path}", seen=f"{error!r}", expected="a file of card new-keys") from error


def kiosk_keys(keys: SiteKeys, uid: bytes, *, second: bool = False) -> CardKeys:
    """What a kiosk is given of one card: its first gate key, or after a theft its second one."""
    role, number = (Role.SEALED_GATE, SEALED_GATE_KEY_NO) if second else (Role.GATE, GATE_KEY_NO)
    return CardKeys(
        gate_key=keys.of(uid, role), file_key=keys.of(uid, Role.FILE), gate_key_no=number, key_version=keys.version
    )


def second_keys(keys: SiteKeys, uids: Iterable[bytes]) -> Iterator[SecondKeys]:
    """What the escrow holds of these cards (``kiosk/card_release.py``)."""
    for uid in uids:
        found = kiosk_keys(keys, uid, second=True)
        yield SecondKeys(uid, found.gate_key, found.file_key, found.gate_key_no, found.key_version)


def new_release_key(path: Path) -> bytes:
    """Draw the key that opens the escrow and write it (mode 0600, never over an old file). Raises ConfigError."""
    key = secrets.token_bytes(RELEASE_KEY_BYTES)
    try:
        new_file(path, key)
    except OSError as error:
        raise ConfigError(f"release key {path}", seen=error.strerror or str(error), expected="a new file") from error
    return key


def issued_uids(rows: Iterable[dict[str, str]]) -> Iterator[bytes]:
    """The second-generation cards of an ``issued.csv`` that are not revoked."""
    latest = {row["card_uid"]: row for row in rows if row["card_uid"]}
    for uid, row in latest.items():
        if row["card_strength"] in (CardStrength.EV2, CardStrength.SUN) and not is_revoked(row):
            yield bytes.fromhex(uid)


def write_card_keys(path: Path, cards: Iterable[tuple[bytes, CardKeys]]) -> int:
    """The file that kiosks take their keys from (mode 0600); how many cards it holds. Raises IssuingError."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(KEY_COLUMNS)
    count = 0
    for uid, keys in cards:
        writer.writerow((uid.hex(), keys.gate_key.hex(), keys.file_key.hex(), keys.gate_key_no, keys.key_version))
        count += 1
    write_secret(path, text.getvalue().encode("ascii"))
    return count


def write_secret(path: Path, secret: bytes) -> None:
    """A key file of its own, mode 0600 also where a file that others may read stood before. Raises IssuingError."""
    try:
        replace_file(path, secret)
    except OSError as error:
        raise IssuingError(str(path), seen=error.strerror or str(error)) from error


def read_card_keys(path: Path) -> list[tuple[bytes, CardKeys]]:
    """The cards of such a file; all of them or an IssuingError that names the line, never its content."""
    cards = []
    reader = csv.DictReader(io.StringIO(_content(path).decode("ascii", "replace")))
    if tuple(reader.fieldnames or ()) != KEY_COLUMNS:
        raise IssuingError(str(path), seen="other columns", expected=",".join(KEY_COLUMNS))
    for number, row in enumerate(reader, start=2):
        try:
            keys = CardKeys(
                gate_key=bytes.fromhex(row["gate_key"]),
                file_key=bytes.fromhex(row["file_key"]),
                gate_key_no=int(row["gate_key_no"]),
                key_version=int(row["key_version"]),
            )
            uid = bytes.fromhex(row["card_uid"])
            good = len(uid) == 7 and len(keys.gate_key) == len(keys.file_key) == 16
            good = good and keys.gate_key_no in (GATE_KEY_NO, SEALED_GATE_KEY_NO) and 1 <= keys.key_version <= 255
        except (TypeError, ValueError):
            good = False
        if not good:
            raise IssuingError(f"{path}, line {number}", seen="no card with its keys", expected=",".join(KEY_COLUMNS))
        cards.append((uid, keys))
    return cards
