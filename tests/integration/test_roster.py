"""The roster: cards by keyed hash, people sealed, revocations sticky, imports whole."""

from __future__ import annotations

import sqlite3
import stat
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from drivers.devices import CardTap
from kiosk.credentials.person_match import person_match
from kiosk.credentials.uid_card import pass_of_uid
from kiosk.database import Failure
from kiosk.evidence import CardStrength, PassFinding
from kiosk.reasons import ClockTrust, Reason, Remark
from kiosk.roster import Roster
from kiosk.roster_tables import SCHEMA_VERSION, RosterError
from tests.fakes import MORNING_US
from tests.faulty_database import FaultPlan

KEY = bytes(range(32))
MATCH_KEY = bytes(range(32, 64))
SHANGHAI = ZoneInfo("Asia/Shanghai")
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=SHANGHAI)  # a Saturday
HEADER = (
    b"person_id,name,phone,category,card_uid,card_strength,valid_from,valid_until,hours,places,registered,revoked\n"
)
LINES = [
    HEADER,
    "R-1,张伟,138 0000 0001,resident,04a1b2c3d4e5f6,uid,,,,,,\n".encode(),
    "R-1,张伟,138 0000 0001,resident,04a1b2c3d4e5f7,ev2,,,,,,\n".encode(),
    b"R-2,Li Na,,resident,11223344,uid,,,,,,yes\n",
    b"C-1,,,courier,21223344,uid,2026-11-01,2026-11-30,mon-fri 08:00-20:00,,yes,\n",
    b"C-2,,,courier,31223344,uid,2026-10-01,2026-10-31,,,yes,\n",
    b"C-3,,,courier,41223344,uid,2026-12-01,,,,yes,\n",
    b"S-1,,,staff,51223344,uid,,,,west-gate;in-9,,\n",
]


@pytest.fixture
def roster(memory_folder: Path) -> Roster:
    """A roster of five people and seven cards."""
    roster = Roster.open(memory_folder / "roster.db", KEY, match_key=MATCH_KEY)
    report = roster.import_csv(LINES, at_us=MORNING_US, zone=SHANGHAI)
    assert report.bad == []
    return roster


def tap(uid: str, **more: object) -> CardTap:
    """A tap of that card."""
    return CardTap(uid=bytes.fromhex(uid), at_ns=1, **more)  # type: ignore[arg-type]


def refusal(roster: Roster, uid: str, at: datetime = NOON, **more: object) -> Reason | None:
    """What the gate says of a card at the east gate's lane in-1."""
    return pass_of_uid(tap(uid), roster, lane="in-1", place="east-gate", at=at, **more).refusal  # type: ignore[arg-type]


def test_a_known_card_names_its_holder_by_pseudonym(roster: Roster) -> None:
    """Two cards of one person give one pseudonym, and no name."""
    finding = pass_of_uid(tap("04a1b2c3d4e5f6"), roster, lane="in-1", place="east-gate", at=NOON)
    assert (finding.refusal, finding.category, finding.registered) == (None, "resident", False)
    assert finding.subject == roster.subject_of("R-1")
    assert len(finding.subject) == 16
    assert roster.find_card(bytes.fromhex("04a1b2c3d4e5f7")).subject == finding.subject  # type: ignore[union-attr]
    assert "张伟" not in repr(finding)


@pytest.mark.parametrize(
    ("uid", "at", "reason"),
    [
        ("99999999", NOON, Reason.CARD_UNKNOWN),
        ("11223344", NOON, Reason.CARD_REVOKED),
        ("04a1b2c3d4e5f7", NOON, Reason.CARD_WEAK),
        ("21223344", NOON, Reason.OUT_OF_HOURS),
        ("21223344", datetime(2026, 11, 20, 12, 0, tzinfo=SHANGHAI), None),
        ("21223344", datetime(2026, 11, 30, 19, 59, tzinfo=SHANGHAI), None),
        ("21223344", datetime(2026, 11, 30, 20, 0, tzinfo=SHANGHAI), Reason.OUT_OF_HOURS),
        ("21223344", datetime(2026, 12, 1, 12, 0, tzinfo=SHANGHAI), Reason.CARD_EXPIRED),
        ("31223344", NOON, Reason.CARD_EXPIRED),
        ("31223344", datetime(2026, 10, 31, 23, 59, 59, tzinfo=SHANGHAI), None),
        ("31223344", datetime(2026, 11, 1, tzinfo=SHANGHAI), Reason.CARD_EXPIRED),
        ("41223344", NOON, Reason.PASS_NOT_YET_VALID),
        ("51223344", NOON, Reason.PASS_OTHER_GATE),
    ],
)
def test_what_is_wrong_with_a_card_is_its_refusal(
    roster: Roster, uid: str, at: datetime, reason: Reason | None
) -> None:
    """Unknown, revoked, weak, out of hours, expired, not yet, another gate."""
    assert refusal(roster, uid, at) is reason


def test_a_card_may_be_limited_to_lanes(roster: Roster) -> None:
    """in-9 is this card's lane, so the place it stands in is too."""
    finding = pass_of_uid(tap("51223344"), roster, lane="in-9", place="east-gate", at=NOON)
    assert (finding.refusal, finding.places) == (None, ("east-gate",))


def test_without_a_trusted_clock_only_cards_without_limits_work(roster: Roster) -> None:
    """A resident gets home; a courier's hours cannot be judged; what is over by the floor is over."""
    none = ClockTrust.NONE
    assert refusal(roster, "04a1b2c3d4e5f6", clock_trust=none) is None
    assert refusal(roster, "21223344", clock_trust=none) is Reason.CLOCK_UNTRUSTED
    assert refusal(roster, "31223344", clock_trust=none) is Reason.CARD_EXPIRED


def test_taps_that_name_nobody_are_unknown(roster: Roster) -> None:
    """A random UID and two cards at once never open by chance."""
    for odd in (tap("04a1b2c3d4e5f6", random_uid=True), tap("04a1b2c3d4e5f6", cards_in_field=2)):
        assert pass_of_uid(odd, roster, lane="in-1", place="east-gate", at=NOON).refusal is Reason.CARD_UNKNOWN


def test_an_unknown_card_leaves_a_keyed_hash(roster: Roster) -> None:
    """The same stranger can be recognised, but his number is not kept."""
    finding = pass_of_uid(tap("99999999"), roster, lane="in-1", place="east-gate", at=NOON)
    assert finding.evidence_hash == roster.card_hash(bytes.fromhex("99999999")).hex()
    assert "99999999" not in finding.evidence_hash


def test_a_stolen_file_names_nobody(roster: Roster, memory_folder: Path) -> None:
    """No name, phone or card number stands in any of the files, which only the owner may read."""
    data = b"".join(file.read_bytes() for file in memory_folder.glob("roster.db*"))
    for canary in ("张伟".encode(), b"Li Na", b"138 0000", bytes.fromhex("04a1b2c3d4e5f6"), b"04a1b2c3d4e5f6"):
        assert canary not in data
    assert {stat.S_IMODE(file.stat().st_mode) for file in memory_folder.glob("roster.db*")} == {0o600}


def test_the_guard_can_open_the_sealed_part(roster: Roster) -> None:
    """Name and phone come back for the right person, and nothing for a stranger."""
    contact = roster.contact_of(roster.subject_of("R-1"))
    assert contact is not None
    assert (contact.name, contact.phone) == ("张伟", "138 0000 0001")
    assert roster.contact_of("0" * 16) is None


def test_a_sealed_name_cannot_be_moved_to_another_row(roster: Roster) -> None:
    """The seal is bound to column and person."""
    roster._database.run(
        "UPDATE roster_person SET name_sealed = (SELECT name_sealed FROM roster_person WHERE person_id = 'R-1') "
        "WHERE person_id = 'R-2'"
    )
    with pytest.raises(RosterError, match="this key does not open"):
        roster.contact_of(roster.subject_of("R-2"))


def test_another_key_is_refused(roster: Roster, memory_folder: Path) -> None:
    """Opened with a wrong key every card would be unknown: better not to start."""
    roster.close()
    with pytest.raises(RosterError, match="another key"):
        Roster.open(memory_folder / "roster.db", bytes(32))
    with pytest.raises(RosterError, match="31 bytes"):
        Roster.open(memory_folder / "roster.db", bytes(31))


def test_a_revocation_survives_an_import_that_forgot_it(roster: Roster) -> None:
    """Only a reinstatement lifts it; the report says that it was kept."""
    roster.revoke(bytes.fromhex("04a1b2c3d4e5f6"), at_us=MORNING_US, why="lost")
    report = roster.import_csv(LINES, at_us=MORNING_US, zone=SHANGHAI)
    assert report.kept_revoked == 1
    assert refusal(roster, "04a1b2c3d4e5f6") is Reason.CARD_REVOKED
    assert roster.reinstate(bytes.fromhex("04a1b2c3d4e5f6"))
    assert not roster.reinstate(bytes.fromhex("04a1b2c3d4e5f6"))
    assert refusal(roster, "04a1b2c3d4e5f6") is None


def test_a_revoked_card_stays_revoked_when_its_holder_is_gone(roster: Roster) -> None:
    """A replacing import forgets the person, not the stolen card."""
    roster.import_csv(LINES[:2], at_us=MORNING_US, replace=True)
    assert roster.counts() == (1, 1, 1)
    assert refusal(roster, "11223344") is Reason.CARD_REVOKED
    assert refusal(roster, "21223344") is Reason.CARD_UNKNOWN


def test_a_replacing_import_with_a_bad_line_changes_nothing(roster: Roster) -> None:
    """Else somebody's card would silently stop; a merging import takes the good lines."""
    bad = [*LINES[:2], b"R-9,,,resident,zz,uid,,,,,,\n"]
    before = roster.counts()
    assert roster.import_csv(bad, at_us=MORNING_US, replace=True).bad_lines == 1
    assert roster.counts() == before
    report = roster.import_csv(bad, at_us=MORNING_US)
    assert (report.people, report.cards, report.bad_lines) == (1, 1, 1)


def test_lines_that_contradict_each_other_are_told(roster: Roster) -> None:
    """One person with two names, one card on two lines."""
    lines = [
        HEADER,
        b"A,x,,staff,61223344,uid,,,,,,\n",
        b"A,y,,staff,71223344,uid,,,,,,\n",
        b"B,,,staff,61223344,uid,,,,,,\n",
    ]
    report = roster.import_csv(lines, at_us=MORNING_US)
    assert [(bad.line, bad.why.split(" ")[0]) for bad in report.bad] == [(3, "person"), (4, "the")]


def test_a_health_code_of_the_same_person_matches(roster: Roster) -> None:
    """The keyed hash of name and birth date is computed at import; the birth date is not kept."""
    lines = [b"person_id,category,card_uid,surname,given,birth_date\n", b"R-7,resident,81223344,Zhang,Wei,1990-01-02\n"]
    roster.import_csv(lines, at_us=MORNING_US)
    entry = roster.find_card(bytes.fromhex("81223344"))
    assert entry is not None
    assert entry.code_match == person_match(MATCH_KEY, "ZHANG", "WEI", "1990-01-02") != ""
    assert entry.strength is CardStrength.UID


def test_a_file_is_imported_by_path_and_a_missing_one_is_named(roster: Roster, memory_folder: Path) -> None:
    """With an over-long line in it, which is one bad line."""
    file = memory_folder / "people.csv"
    file.write_bytes(LINES[0] + LINES[1] + b"x" * 100_000 + b"\n" + LINES[3])
    report = roster.import_csv(file, at_us=MORNING_US)
    assert ([bad.line for bad in report.bad], report.people) == ([3], 2)
    with pytest.raises(RosterError, match=r"gone\.csv"):
        roster.import_csv(memory_folder / "gone.csv", at_us=MORNING_US)


def test_a_fault_during_an_import_leaves_the_roster_as_it_was(memory_folder: Path) -> None:
    """A full disk at any call of the import: all of it or nothing."""
    fail_at = 0
    while True:
        plan = FaultPlan()
        roster = Roster.open(memory_folder / f"r{fail_at}.db", KEY, open_database=plan.open)
        roster.import_csv(LINES[:2], at_us=MORNING_US)
        plan.calls, plan.fail_at = 0, fail_at + 1
        try:
            roster.import_csv(LINES, at_us=MORNING_US, replace=True)
        except RosterError:
            assert roster.counts() == (1, 1, 0)
        roster.close()
        if not plan.failed:
            break
        fail_at += 1
    assert fail_at > 5


def test_a_failing_disk_is_a_roster_error(memory_folder: Path) -> None:
    """The lane turns it into a fault; it is not the driver's own exception."""
    plan = FaultPlan(failure=Failure.INPUT_OUTPUT)
    with Roster.open(memory_folder / "r.db", KEY, open_database=plan.open) as roster:
        plan.calls, plan.fail_at = 0, 1
        with pytest.raises(RosterError, match="planned"):
            roster.find_card(b"\x01\x02\x03\x04")


def test_a_journal_is_not_opened_as_a_roster(memory_folder: Path) -> None:
    """A wrong path in the settings is named, and the file is left alone."""
    from tests.integration.journal_cases import open_journal

    open_journal(memory_folder).close()
    with pytest.raises(RosterError, match="a roster of format"):
        Roster.open(memory_folder / "journal.db", KEY)


LENT_HEADER = b"person_id,category,card_uid,card_strength,valid_until,lent_by\n"


def test_a_lent_card_is_tied_to_the_member_who_lends(roster: Roster) -> None:
    """R-1 lends a visitor a card until the 30th: it opens, the guard is told, and R-1 answers for it."""
    lent = b"V-1,visitor,61223344,uid,2026-11-30,R-1\n"
    assert roster.import_csv([LENT_HEADER, lent], at_us=MORNING_US, zone=SHANGHAI).bad == []
    found = pass_of_uid(tap("61223344"), roster, lane="in-1", place="east-gate", at=NOON)
    assert found.refusal is None
    assert (found.lent_by, found.remarks) == (roster.subject_of("R-1"), (Remark.LENT_CARD,))
    assert refusal(roster, "61223344", NOON.replace(month=12)) is Reason.CARD_EXPIRED
    own = pass_of_uid(tap("04a1b2c3d4e5f6"), roster, lane="in-1", place="east-gate", at=NOON)
    assert (own.lent_by, own.remarks) == ("", ())


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"V-1,visitor,61223344,uid,,R-1", "give card_uid and valid_until"),
        (b"V-1,visitor,,uid,2026-11-30,R-1", "give card_uid and valid_until"),
        (b"V-1,visitor,61223344,uid,2026-11-30,V-1", "is the holder"),
        (b"V-1,visitor,61223344,uid,2026-11-30,R-9", "no member of this roster"),
        (b"V-1,visitor,61223344,uid,2026-11-30,R 1", "lent_by"),
    ],
)
def test_a_lent_card_without_end_or_member_is_refused(roster: Roster, line: bytes, why: str) -> None:
    """Each bad line says why; nobody's card is taken."""
    report = roster.import_csv([LENT_HEADER, line], at_us=MORNING_US, zone=SHANGHAI)
    assert why in report.bad[0].why
    assert refusal(roster, "61223344") is Reason.CARD_UNKNOWN


def test_a_lent_card_opens_nothing_once_the_member_is_gone(roster: Roster, memory_folder: Path) -> None:
    """Nobody answers for it any more: a roster without the member, in whatever way it came about."""
    assert roster.import_csv([LENT_HEADER, b"V-1,visitor,61223344,uid,2026-11-30,R-1\n"], at_us=MORNING_US).bad == []
    assert refusal(roster, "61223344") is None
    file = sqlite3.connect(memory_folder / "roster.db")
    file.execute("DELETE FROM roster_person WHERE subject = ?", (roster.subject_of("R-1"),))
    file.commit()
    file.close()
    assert refusal(roster, "61223344") is Reason.CARD_EXPIRED


def test_who_holds_only_a_lent_card_lends_nothing_on(roster: Roster) -> None:
    """A chain of lenders answers for nobody; in a whole new roster the member must be in the file."""
    chain = [b"V-1,visitor,61223344,uid,2026-11-30,R-1\n", b"V-2,visitor,71223344,uid,2026-11-30,V-1\n"]
    report = roster.import_csv([LENT_HEADER, *chain], at_us=MORNING_US, zone=SHANGHAI)
    assert [bad.line for bad in report.bad] == [3]
    report = roster.import_csv([LENT_HEADER, chain[0]], at_us=MORNING_US, zone=SHANGHAI, replace=True)
    assert report.bad_lines == 1
    assert refusal(roster, "04a1b2c3d4e5f6") is None


def test_an_older_roster_file_is_brought_up_and_keeps_its_people(memory_folder: Path) -> None:
    """A file of format 1 has no lenders; opened, it has the column, its cards, and the new format's number."""
    path = memory_folder / "roster.db"
    with Roster.open(path, KEY) as roster:
        card, subject = roster.card_hash(bytes.fromhex("11223344")), roster.subject_of("R-1")
    raw = sqlite3.connect(path)
    raw.executescript(
        "DROP INDEX ix_roster_card_tail_hash; DROP INDEX ix_roster_card_head_hash;"
        "ALTER TABLE roster_card DROP COLUMN tail_hash; ALTER TABLE roster_card DROP COLUMN head_hash;"
        "ALTER TABLE roster_card DROP COLUMN lent_by; PRAGMA user_version = 1;"
    )
    raw.execute("INSERT INTO roster_person VALUES ('R-1', ?, 'resident', 0, '', x'', x'')", (subject,))
    raw.execute("INSERT INTO roster_card VALUES (?, 'R-1', 'uid', NULL, NULL, '', '')", (card,))
    raw.commit()
    raw.close()
    with Roster.open(path, KEY) as roster:
        entry = roster.find_card(bytes.fromhex("11223344"))
        assert entry is not None
        assert (entry.subject, entry.lent_by, entry.lender_gone) == (subject, "", False)
    with Roster.open(path, KEY):
        pass
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    raw.close()


PART_HEADER = b"person_id,category,card_uid\n"


def found_by_part(roster: Roster, known: str, **unknown: int) -> PassFinding:
    """What a reader of 26 bits gets for these three bytes."""
    at = {"lane": "in-1", "place": "east-gate", "at": NOON}
    return pass_of_uid(tap(known, **unknown), roster, **at)  # type: ignore[arg-type]


def test_a_reader_of_26_bits_finds_the_one_card_with_these_bytes(roster: Roster) -> None:
    """The last three, or (bytes reversed) the first three of 5ae2b3de; the whole number still finds it, too."""
    assert roster.import_csv([PART_HEADER, b"W-1,staff,5ae2b3de\n"], at_us=MORNING_US).bad == []
    subject = roster.subject_of("W-1")
    assert found_by_part(roster, "e2b3de", unknown_first=1).subject == subject
    assert found_by_part(roster, "5ae2b3", unknown_last=1).subject == subject
    assert found_by_part(roster, "e2b3de", unknown_last=1).refusal is Reason.CARD_UNKNOWN
    assert refusal(roster, "e2b3de") is Reason.CARD_UNKNOWN
    assert refusal(roster, "5ae2b3de") is None
    roster.revoke(bytes.fromhex("5ae2b3de"), at_us=MORNING_US, why="lost")
    assert found_by_part(roster, "e2b3de", unknown_first=1).refusal is Reason.CARD_REVOKED


def test_bytes_that_several_cards_share_open_for_none(roster: Roster) -> None:
    """Two four-byte cards, or one and a card enrolled by its three bytes: ambiguous, nobody is named."""
    lines = [b"W-1,staff,5ae2b3de\n", b"W-2,staff,6be2b3de\n", b"W-3,staff,5b112233\n", b"W-4,staff,112233\n"]
    assert roster.import_csv([PART_HEADER, *lines], at_us=MORNING_US).bad == []
    for known in ("e2b3de", "112233"):
        found = found_by_part(roster, known, unknown_first=1)
        assert (found.refusal, found.subject) == (Reason.CARD_AMBIGUOUS, "")
    roster.import_csv([PART_HEADER, b"W-4,staff,112233\n"], at_us=MORNING_US, replace=True)
    assert found_by_part(roster, "112233", unknown_first=1).subject == roster.subject_of("W-4")
