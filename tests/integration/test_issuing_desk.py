"""The desk's book of finished cards: 7,000 residents, power cuts at any write, hand-made files, a roster that grew."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from drivers.cards.ntag424 import CardKeys
from kiosk import durable_file
from kiosk.evidence import CardStrength
from kiosk.issuing import Bound, Desk, IssuingError, Refused, read_card_keys, read_rows, write_card_keys
from kiosk.roster import Roster
from tests.fakes import MORNING_US

RESIDENTS = 7000


def uid(number: int) -> bytes:
    return b"\x04" + number.to_bytes(6)


def roster(folder: Path, people: int, *, more: str = "") -> Path:
    lines = [f"R-{number},Name {number},resident,,{',555 0100' if more else ''}" for number in range(people)]
    (folder / "roster.csv").write_text(f"person_id,name,category,card_uid,card_strength{more}\n" + "\n".join(lines))
    return folder / "roster.csv"


def issued(desk: Desk, number: int) -> Bound | Refused:
    return desk.bind(uid(number), CardStrength.EV2)


def test_seven_thousand_residents_are_resumed_where_the_desk_stopped(tmp_path: Path) -> None:
    """6,996 have a card; the next one is the first without, to the last; the file imports without a bad line."""
    people, done = roster(tmp_path, RESIDENTS), tmp_path / "issued.csv"
    lines = [f"{uid(number).hex()},ev2,,R-{number},Name {number},resident" for number in range(RESIDENTS - 4)]
    done.write_text("card_uid,card_strength,revoked,person_id,name,category\n" + "\n".join(lines) + "\n")
    for begun in (RESIDENTS - 4, RESIDENTS - 2):
        desk = Desk(people, done)
        assert issued(desk, 0) == Refused(uid(0), "it is R-0's already")
        for number in (begun, begun + 1):
            left = RESIDENTS - 1 - number
            assert issued(desk, number) == Bound(f"R-{number}", uid(number), CardStrength.EV2, left)
    rows = read_rows(done)
    with Roster.open(tmp_path / "roster.db", bytes(32)) as taken:
        assert taken.import_csv(done, at_us=MORNING_US).bad == []
        assert taken.find_card(uid(RESIDENTS - 1)) is not None
    assert [row["person_id"] for row in rows] == [f"R-{number}" for number in range(RESIDENTS)]


@pytest.mark.parametrize("moment", ["write", "replace"])
def test_a_power_cut_while_a_card_is_written_down_leaves_the_book_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Before the bytes are down, or before the name is changed: the card is nobody's, and the next tap binds it."""
    people, done = roster(tmp_path, 3), tmp_path / "issued.csv"
    desk = Desk(people, done)
    issued(desk, 0)
    before = done.read_bytes()

    def cut(*_: Any, **__: Any) -> None:
        raise OSError(5, "the power is gone")

    where: Any = durable_file if moment == "write" else Path
    with monkeypatch.context() as patched:
        patched.setattr(where, "_write" if moment == "write" else "replace", cut)
        with pytest.raises(IssuingError, match="power is gone"):
            issued(desk, 1)
    assert done.read_bytes() == before
    assert issued(Desk(people, done), 1) == Bound("R-1", uid(1), CardStrength.EV2, 1)
    assert [row["person_id"] for row in read_rows(done)] == ["R-0", "R-1"]


def test_a_book_whose_last_line_an_editor_left_open_is_gone_on_with(tmp_path: Path) -> None:
    """The next card gets a line of its own."""
    people, done = roster(tmp_path, 3), tmp_path / "issued.csv"
    issued(Desk(people, done), 0)
    done.write_bytes(done.read_bytes().rstrip(b"\n"))
    issued(Desk(people, done), 1)
    assert [row["card_uid"] for row in read_rows(done)] == [uid(0).hex(), uid(1).hex()]


def test_a_roster_that_has_got_a_column_or_another_order_since_puts_nothing_in_a_wrong_place(tmp_path: Path) -> None:
    """The book keeps its own columns, and gets the new ones."""
    people, done = roster(tmp_path, 4), tmp_path / "issued.csv"
    issued(Desk(people, done), 0)
    issued(Desk(roster(tmp_path, 4, more=",phone"), done), 1)
    (tmp_path / "roster.csv").write_text("category,card_uid,name,person_id\nresident,,Name 2,R-2\n")
    issued(Desk(people, done), 2)
    told = [(row["person_id"], row["name"], row["category"], row["card_uid"], row["phone"]) for row in read_rows(done)]
    assert told == [
        ("R-0", "Name 0", "resident", uid(0).hex(), ""),
        ("R-1", "Name 1", "resident", uid(1).hex(), "555 0100"),
        ("R-2", "Name 2", "resident", uid(2).hex(), ""),
    ]


def test_keys_are_private_also_where_an_open_file_stood(tmp_path: Path) -> None:
    """A file that everybody may read is not filled with keys: it is replaced."""
    path = tmp_path / "card-keys.csv"
    path.write_text("old")
    path.chmod(0o644)
    keys = CardKeys(gate_key=bytes(range(16)), file_key=bytes(range(16, 32)))
    assert write_card_keys(path, [(uid(1), keys)]) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_card_keys(path) == [(uid(1), keys)]
