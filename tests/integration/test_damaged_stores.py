"""A gate comes up whatever a worn card did to its stores: the damaged one is set aside, begun anew, and told."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from config.settings import DOCUMENTS
from kiosk.arrivals import STATE
from kiosk.damaged_stores import STORES, set_aside_damaged
from kiosk.database import Failure
from kiosk.register import Register, RegisterError
from kiosk.roster import Roster
from kiosk.site_stores import PHOTOS, REGISTER, ROSTER
from tests.fakes import MORNING_US, FakeClock
from tests.faulty_database import FaultPlan
from tests.gate_settings import COMMUNITY_KEY
from tests.integration.test_left_out import Site, site, write_authority
from tests.integration.test_policy_from_the_central import Kiosk, kiosk

__all__ = ["kiosk", "site"]  # fixtures

HEAD = b"person_id,category,card_uid,card_strength\n"
PEOPLE = [HEAD] + [b"p-%d,resident,%08X,uid\n" % (n, n + 1) for n in range(300)]


def spoilt(text: bytes, how: str) -> bytes:
    """The file as damage leaves it."""
    match how:
        case "header":
            return bytes(100) + text[100:]
        case "a page":
            return text[:2048] + b"\xa5" * 2048 + text[4096:]
        case _:
            return text[: len(text) // 2]


@pytest.mark.parametrize("how", ["header", "a page", "torn"])
@pytest.mark.parametrize("name", sorted(STORES))
def test_the_gate_starts_with_an_empty_one_and_says_so_once(site: Site, name: str, how: str) -> None:
    """The console has the alarm, the central a record of it; what was damaged lies there as it was."""
    site.guards()
    site.start()
    site.stack.close()
    state = site.folder / "state"
    text = spoilt((state / name).read_bytes(), how)
    (state / name).write_bytes(text)
    console = site.start()
    assert console.log_in("wang") == 303
    assert "数据文件损坏并已重建" in console.client.get("/guard").text
    (alarm,) = site.alarms()
    (aside,) = state.glob(f"{name}.damaged-*Z")
    assert aside.read_bytes() == text
    assert alarm["code"] == "store_damaged"
    assert aside.name in alarm["detail"]
    site.stack.close()
    site.start()
    assert len(site.alarms()) == 1


def test_sound_files_are_left_alone(tmp_path: Path) -> None:
    """None there, or all whole."""
    clock = FakeClock()
    assert list(set_aside_damaged(tmp_path, clock.now())) == []
    with Roster.open(tmp_path / ROSTER, COMMUNITY_KEY) as roster:
        assert roster.import_csv(PEOPLE, at_us=MORNING_US).bad == []
    assert list(set_aside_damaged(tmp_path, clock.now())) == []
    with Roster.open(tmp_path / ROSTER, COMMUNITY_KEY) as roster:
        assert roster.categories() == {"resident": 300}


def test_a_file_of_another_program_is_left_alone_and_refused_by_name(tmp_path: Path) -> None:
    """A mistake of the settings, not damage."""
    with sqlite3.connect(tmp_path / REGISTER) as other:
        other.execute("CREATE TABLE theirs (x)")
    assert list(set_aside_damaged(tmp_path, FakeClock().now())) == []
    with pytest.raises(RegisterError, match=r"register\.db.*application id 0"):
        Register.open(tmp_path / REGISTER, COMMUNITY_KEY)


def test_two_files_may_be_damaged_at_once(site: Site) -> None:
    """Roster and the note of documents: both are told, and the gate starts."""
    write_authority(site.folder / "authority.pub")
    site.guards()
    state = site.folder / "state"
    state.mkdir()
    (state / ROSTER).write_bytes(b"spoilt" * 1000)
    (state / STATE).write_bytes(b"spoilt")
    assert site.start('[sync]\nauthority = "{folder}/authority.pub"\n').log_in("wang") == 303
    assert [alarm["code"] for alarm in site.alarms()] == ["store_damaged", "documents_not_taken"]


@pytest.mark.parametrize(("failure", "gone"), [(Failure.UNREADABLE, False), (Failure.DAMAGED, True)])
def test_a_block_that_can_be_read_the_second_time_is_no_damage(tmp_path: Path, failure: Failure, *, gone: bool) -> None:
    """A worn card: only what fails twice, or what SQLite calls damaged, is set aside."""
    Roster.open(tmp_path / ROSTER, COMMUNITY_KEY).close()
    plan = FaultPlan(fail_at=2, failure=failure)
    found = list(set_aside_damaged(tmp_path, FakeClock().now(), open_database=plan.open))
    assert plan.failed == 1
    assert bool(found) is gone


def test_a_start_that_was_cut_off_in_between_is_finished(tmp_path: Path) -> None:
    """The intention stands; the old write-ahead log must not meet the new file."""
    (tmp_path / PHOTOS).write_bytes(b"spoilt")
    (tmp_path / f"{PHOTOS}-wal").write_bytes(b"log of the old one")
    (tmp_path / f"{PHOTOS}.set-aside").write_text(f"{PHOTOS}.damaged-20261121T080000Z")
    assert list(set_aside_damaged(tmp_path, FakeClock().now())) == []
    assert (tmp_path / f"{PHOTOS}.damaged-20261121T080000Z-wal").read_bytes() == b"log of the old one"
    assert not (tmp_path / PHOTOS).exists()


@pytest.mark.parametrize("erased", [False, True])
def test_the_centrals_roster_comes_back_by_itself_and_an_older_one_does_not(kiosk: Kiosk, *, erased: bool) -> None:
    """The document in force is taken once more, and nothing below it; where its text is gone, sync asks for it."""
    kiosk.send_roster(5)
    people = kiosk.roster.categories()
    assert people
    if erased:
        kiosk.arrivals.look()
    kiosk.roster.close()
    (kiosk.state / ROSTER).write_bytes(b"spoilt" * 1000)
    for suffix in ("-wal", "-shm"):
        (kiosk.state / (ROSTER + suffix)).unlink(missing_ok=True)
    (damaged,) = set_aside_damaged(kiosk.state, FakeClock().now())
    assert damaged.file == ROSTER
    kiosk.roster = Roster.open(kiosk.state / ROSTER, COMMUNITY_KEY)
    assert kiosk.roster.categories() == {}
    kiosk.start()
    if erased:
        kiosk.arrivals.look()
        assert not (kiosk.state / DOCUMENTS / "roster").exists()
    kiosk.send_roster(4)
    assert kiosk.roster.categories() == {}
    kiosk.send_roster(5)
    assert kiosk.roster.categories() == people
    notes = len(kiosk.notes)
    kiosk.arrivals.look()
    assert len(kiosk.notes) == notes
    assert "again" not in (kiosk.state / STATE).read_text()
