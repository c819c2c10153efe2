"""The issuing desk on a simulated reader: people, cards, stops, losses, and the keys' way to a kiosk."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from config.errors import ConfigError
from config.settings import load_settings
from drivers.cards.ntag424_issue import Issued, Role, desk_dialogue
from drivers.cards.pn532 import Pn532Conversation
from drivers.devices import DeviceReady
from drivers.simulators.ntag424_card import NtagCard
from drivers.simulators.osdp import OsdpPlayer
from drivers.simulators.pn532 import Pn532Player, uid_card
from drivers.simulators.wire import Wire
from kiosk.card_cli import app
from kiosk.desk_reader import DeskReader
from kiosk.evidence import CardStrength
from kiosk.issuing import (
    Bound,
    Desk,
    IssuingError,
    Refused,
    issued_uids,
    load_site_keys,
    new_site_keys,
    read_card_keys,
    read_rows,
    revoke_cards,
)
from kiosk.roster import Roster
from kiosk.site_stores import open_card_keys
from tests.fakes import MORNING_US
from tests.wire_loop import WireLoop

ROSTER = """person_id,name,category,card_uid,card_strength
R-1,张伟,resident,,
R-2,Li Na,resident,,
R-3,,courier,5ae2b3de,uid
"""
FIRST, SECOND, THIRD = (bytes.fromhex(f"04a1b2c3d4e5{last:02x}") for last in (1, 2, 3))
ADDRESS = "https://gate.example/p"
MS = 1_000_000


class Table:
    """The desk, its reader, and the cards that are laid on it."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.player = Pn532Player()
        self.wire = Wire(folder / "dev" / "desk", self.player, baud=115200, seed=1)
        self.wire.start()
        keys = folder / "site-keys.json"
        self.keys = load_site_keys(keys) if keys.exists() else new_site_keys(keys, "SITE01")
        self.desk = Desk(folder / "roster.csv", folder / "issued.csv", person=options.pop("person", ""))
        self.reader = DeskReader(str(self.wire.link), self.desk, self.keys, address=ADDRESS, public_key=None, **options)
        self.reader.start()
        assert isinstance(self.reader.next(3), DeviceReady)

    def lay(self, card: Any) -> Any:
        """Lay a card on, wait for the news, take it away."""
        self.player.put(card, 5000 * MS)
        self.wire.command({"do": "status"})
        news = None
        while news is None:
            news = self.reader.next(5)
        self.wire.command({"do": "remove"})
        return news

    def close(self) -> None:
        self.reader.stop()
        self.wire.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "roster.csv").write_text(ROSTER)
    return tmp_path


def test_card_after_card_to_person_after_person_and_on_after_a_stop(folder: Path) -> None:
    """R-1, stop, a new program, R-2; whoever has a card already is passed over; then nobody is left."""
    table = Table(folder)
    first = NtagCard(FIRST)
    assert table.lay(first) == Bound("R-1", FIRST, CardStrength.EV2, left=1)
    table.close()
    table = Table(folder)
    assert table.lay(first) == Refused(FIRST, "it is R-1's already")
    assert table.lay(NtagCard(SECOND)) == Bound("R-2", SECOND, CardStrength.EV2, left=0)
    table.close()
    with pytest.raises(IssuingError, match="everybody"):
        Desk(folder / "roster.csv", folder / "issued.csv")


def test_a_legacy_card_is_bound_only_when_asked_for(folder: Path) -> None:
    """The same tap binds an existing gate card as weak with --legacy, and is refused without."""
    old = uid_card(bytes.fromhex("11223344"))
    table = Table(folder)
    assert isinstance(table.lay(old), Refused)
    table.close()
    table = Table(folder, legacy=True)
    assert table.lay(old) == Bound("R-1", old.uid, CardStrength.UID, left=1)
    assert table.lay(uid_card(THIRD)) == Bound("R-2", THIRD, CardStrength.UID, left=0)
    table.close()


def test_cards_of_a_site_of_rolling_codes_are_written_down_as_such(folder: Path) -> None:
    """Else its gates would call every one of them too weak."""
    table = Table(folder, strength=CardStrength.SUN)
    assert table.lay(NtagCard(FIRST)) == Bound("R-1", FIRST, CardStrength.SUN, left=1)
    table.close()
    (row,) = read_rows(folder / "issued.csv")
    assert row["card_strength"] == "sun"


class Leaving:
    """A card that its holder takes off the reader right after its ``last``-th answer."""

    def __init__(self, card: NtagCard, player: Pn532Player, last: int) -> None:
        self._card, self._player, self.left = card, player, last
        self.uid, self.atqa, self.sak, self.ats = card.uid, card.atqa, card.sak, card.ats

    def power_off(self) -> None:
        self._card.power_off()

    def apdu(self, command: bytes) -> bytes:
        self.left -= 1
        if self.left == 0:
            self._player.command({"do": "remove"})
        return self._card.apdu(command)


def test_a_card_taken_away_after_any_answer_is_finished_and_bound_once_at_the_next_tap(folder: Path) -> None:
    """Every step of the exchange in turn, through the reader's own conversation: no card lost, nobody skipped."""
    keys = new_site_keys(folder / "site-keys.json", "SITE01")
    for step in range(1, 100):
        done = folder / f"issued-{step}.csv"
        desk = Desk(folder / "roster.csv", done)
        player, told = Pn532Player(), []

        def report(result: Any, desk: Desk = desk, told: list[Any] = told) -> None:
            assert isinstance(result, Issued), result
            told.append(desk.bind(FIRST, CardStrength.EV2))

        loop = WireLoop(Pn532Conversation(desk_dialogue(keys, report, address=ADDRESS, public_key=None)), player)
        card = NtagCard(FIRST)
        leaving = Leaving(card, player, step)
        loop.begin().run(100)
        player.put(leaving, 3000 * MS)
        loop.run(1500)
        if leaving.left > 0:
            break  # the whole exchange is shorter than this: every step was tried
        loop.run(500)
        player.put(card, 3000 * MS)
        loop.run(1500)
        assert [news for news in told if isinstance(news, Bound)] == [Bound("R-1", FIRST, CardStrength.EV2, left=1)]
        assert [row["card_uid"] for row in read_rows(done)] == [FIRST.hex()]
        assert card.keys == keys.all_of(FIRST)
    assert step > 20


def test_a_lost_card_is_replaced_and_the_old_one_revoked(folder: Path) -> None:
    """One command, one tap, one import: the new card is R-1's, the old one opens nothing."""
    table = Table(folder)
    table.lay(NtagCard(FIRST))
    table.close()
    table = Table(folder, person="R-1")
    assert table.lay(NtagCard(THIRD)) == Bound("R-1", THIRD, CardStrength.EV2, left=0)
    table.close()
    with Roster.open(folder / "roster.db", bytes(32)) as roster:
        assert roster.import_csv(folder / "issued.csv", at_us=MORNING_US).bad == []
        assert roster.find_card(FIRST).revoked
        assert roster.find_card(THIRD).strength is CardStrength.EV2
        assert not roster.find_card(THIRD).revoked
    assert list(issued_uids(read_rows(folder / "issued.csv"))) == [THIRD]


def test_a_lost_card_of_the_roster_itself_is_revoked_too(folder: Path) -> None:
    """R-3's card came with the roster file; the new one revokes it."""
    table = Table(folder, person="R-3")
    assert isinstance(table.lay(NtagCard(THIRD)), Bound)
    table.close()
    rows = {row["card_uid"]: row["revoked"] for row in read_rows(folder / "issued.csv")}
    assert rows == {"5ae2b3de": "yes", THIRD.hex(): ""}


def test_keys_go_to_the_kiosk_without_a_master(folder: Path) -> None:
    """Exported keys open the issued card; the file is private and holds no master key; --second is the other slot."""
    table = Table(folder)
    card = NtagCard(FIRST)
    table.lay(card)
    table.close()
    run = CliRunner().invoke
    for options, number in (([], 3), (["--second"], 4)):
        arguments = [
            str(folder / "issued.csv"),
            str(folder / "card-keys.csv"),
            "--keys",
            str(folder / "site-keys.json"),
        ]
        result = run(app, ["export-keys", *arguments, *options])
        assert result.exit_code == 0, result.output
        ((uid, keys),) = read_card_keys(folder / "card-keys.csv")
        assert (uid, keys.gate_key_no, keys.gate_key) == (FIRST, number, card.keys[number])
    assert stat.S_IMODE((folder / "card-keys.csv").stat().st_mode) == 0o600
    content = (folder / "card-keys.csv").read_text()
    assert table.keys.card_master.hex() not in content
    assert table.keys.of(FIRST, Role.MASTER).hex() not in content
    meta = run(app, ["export-meta", str(folder / "meta.key"), "--keys", str(folder / "site-keys.json")])
    assert meta.exit_code == 0, meta.output
    assert (folder / "meta.key").read_bytes() == card.keys[1]
    kiosk = folder / "gate.toml"
    (folder / "community.key").write_bytes(bytes(range(32)))
    (folder / "community.key").chmod(0o600)
    kiosk.write_text(
        f'[[lane]]\nname = "in"\n[site]\nkiosk_id = "k1"\n[state]\nfolder = "{folder}"\n'
        f'[keys]\ncommunity = "{folder}/community.key"\n'
    )
    taken = run(app, ["take-keys", str(folder / "card-keys.csv"), "--config", str(kiosk)])
    assert "keys of 1 cards taken" in taken.output, taken
    with open_card_keys(load_settings(kiosk).settings) as store:
        assert store.keys_of(FIRST).gate_key == card.keys[4]
    (folder / "documents-in-force.json").write_text('{"cards": 1, "retired_gate_key": 3}')
    run(app, ["export-keys", str(folder / "issued.csv"), str(folder / "first.csv"), *arguments[2:]])
    refused = run(app, ["take-keys", str(folder / "first.csv"), "--config", str(kiosk)])
    assert "which a theft retired" in str(refused.exception)
    assert run(app, ["take-keys", str(folder / "card-keys.csv"), "--config", str(kiosk)]).exit_code == 0


def test_the_command_issues_a_card_and_ends(folder: Path) -> None:
    """`card issue` over the simulated reader, with the card already lying on it."""
    player = Pn532Player()
    wire = Wire(folder / "dev" / "desk", player, baud=115200, seed=1)
    wire.start()
    player.put(NtagCard(SECOND), 20_000 * MS)
    try:
        run = CliRunner().invoke
        assert run(app, ["new-keys", str(folder / "site-keys.json"), "--site", "SITE01"]).exit_code == 0
        result = run(
            app,
            [
                *("issue", "--from", str(folder / "roster.csv"), "--to", str(folder / "issued.csv")),
                *("--keys", str(folder / "site-keys.json"), "--reader", str(wire.link), "--address", ADDRESS),
                *("--person", "R-2", "--unsigned"),
            ],
        )
    finally:
        wire.stop()
    assert result.exit_code == 0, result.output
    assert "R-2: card ..e502, ev2; 0 left" in result.output
    assert SECOND.hex() not in result.output


def on_the_desk(folder: Path, card: Any, *arguments: str) -> str:
    """What a command says with this card on the reader already."""
    player = Pn532Player()
    wire = Wire(folder / "dev" / "desk", player, baud=115200, seed=1)
    wire.start()
    player.put(card, 20_000 * MS)
    try:
        result = CliRunner().invoke(app, [*arguments, "--reader", str(wire.link)])
    finally:
        wire.stop()
    assert result.exit_code == 0, result.output
    return result.output


def test_reading_a_card_tells_what_it_is_and_whose(folder: Path) -> None:
    """Issued to R-1: this site's, and hers; a legacy card is called one; no number is printed whole."""
    table = Table(folder)
    card = NtagCard(FIRST)
    table.lay(card)
    table.close()
    keys, done = ("--keys", str(folder / "site-keys.json")), ("--to", str(folder / "issued.csv"))
    said = on_the_desk(folder, card, "read", *keys, *done, "--unsigned")
    assert "card ..e501: a finished card of this site" in said
    assert "versions of keys 0 to 4: 1 1 1 1 1" in said
    assert "R-1's, ev2" in said
    assert FIRST.hex() not in said
    said = on_the_desk(folder, uid_card(bytes.fromhex("11223344")), "read", *keys, *done)
    assert "card ..3344: no NTAG 424 DNA" in said
    assert "nobody's" in said


def test_keys_can_be_typed_instead_of_read_from_a_file(folder: Path) -> None:
    """`--keys -`: the master keys are asked for without an echo; nonsense is refused."""
    keys = new_site_keys(folder / "site-keys.json", "SITE01")
    typed = f"SITE01\n{keys.card_master.hex()}\n{keys.site_master.hex()}\n1\n"
    result = CliRunner().invoke(app, ["export-meta", str(folder / "meta.key"), "--keys", "-"], input=typed)
    assert result.exit_code == 0, result.output
    assert (folder / "meta.key").read_bytes() == keys.meta()
    assert keys.card_master.hex() not in result.output
    wrong = CliRunner().invoke(app, ["export-meta", str(folder / "meta.key"), "--keys", "-"], input="S\n1\n1\n1\n")
    assert wrong.exit_code == 2


def test_a_card_is_revoked_by_its_holder_or_by_laying_it_on(folder: Path) -> None:
    """Of R-1 by name, R-3's roster card by the card itself; the gates refuse both after the next import."""
    (folder / "roster.csv").write_text(ROSTER.replace("5ae2b3de", "5A:E2:B3:DE"))
    table = Table(folder)
    table.lay(NtagCard(FIRST))
    table.close()
    run, done = CliRunner().invoke, str(folder / "issued.csv")
    result = run(app, ["revoke", "--to", done, "--person", "R-1"])
    assert "R-1: one card revoked" in result.output, result.output
    old = uid_card(bytes.fromhex("5AE2B3DE"))
    assert "R-3: one card revoked" in on_the_desk(
        folder, old, "revoke", "--to", done, "--from", str(folder / "roster.csv")
    )
    with Roster.open(folder / "roster.db", bytes(32)) as roster:
        assert roster.import_csv(folder / "roster.csv", at_us=MORNING_US).bad == []
        assert roster.import_csv(folder / "issued.csv", at_us=MORNING_US).bad == []
        assert roster.find_card(FIRST).revoked
        assert roster.find_card(old.uid).revoked
    assert run(app, ["revoke", "--to", done]).exit_code == 2
    with pytest.raises(IssuingError, match="in none of the files"):
        revoke_cards(folder / "issued.csv", person="R-9")


def test_master_keys_are_private_and_never_overwritten(folder: Path) -> None:
    """Mode 0600, refused when others may read them, and a second new-keys does not destroy the first."""
    path = folder / "site-keys.json"
    keys = new_site_keys(path, "SITE01")
    assert load_site_keys(path) == keys
    with pytest.raises(ConfigError, match="never overwritten"):
        new_site_keys(path, "SITE01")
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="0640"):
        load_site_keys(path)


@pytest.mark.parametrize(
    "line",
    ["zz,00,00,3,1", "04a1b2c3d4e501,00,00,3,1", f"04a1b2c3d4e501,{'0' * 32},{'0' * 32},0,1", "04a1b2c3d4e501"],
)
def test_a_wrong_line_of_keys_takes_nothing_and_shows_nothing(folder: Path, line: str) -> None:
    """All or none; the error names the line and not the key."""
    path = folder / "card-keys.csv"
    path.write_text(f"card_uid,gate_key,file_key,gate_key_no,key_version\n{line}\n")
    with pytest.raises(IssuingError, match="line 2") as error:
        read_card_keys(path)
    assert line not in str(error.value)


def test_a_new_osdp_reader_is_given_its_key_by_command(folder: Path) -> None:
    """Drawn, set over the wire, proven; the file is private and is not drawn over."""
    player = OsdpPlayer(None, install=True)
    wire = Wire(folder / "dev" / "osdp", player, baud=9600, seed=1)
    wire.start()
    arguments = ["osdp-key", "--reader", str(wire.link), "--key", str(folder / "osdp.key"), "--draw"]
    try:
        result = CliRunner().invoke(app, arguments)
        again = CliRunner().invoke(app, arguments)
    finally:
        wire.stop()
    assert "holds the site's key" in result.output, result
    assert (folder / "osdp.key").read_bytes() == player.key
    assert stat.S_IMODE((folder / "osdp.key").stat().st_mode) == 0o600
    assert isinstance(again.exception, IssuingError)
    assert (folder / "osdp.key").read_bytes() == player.key
