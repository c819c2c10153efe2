"""The register of visitors: sealed on disk, erased in time."""

from __future__ import annotations

from pathlib import Path

import pytest

from kiosk.board import RegisterVisitor
from kiosk.clock import Instant
from kiosk.reasons import ClockTrust
from kiosk.register import Register, RegisterError

KEY = bytes(range(32))
DAY_US = 86_400_000_000
VISITOR = RegisterVisitor(
    lane="in", guard="wang", name="赵来访", phone_last4="4711", host="3-2-501", purpose="visit", category="courier"
)


def at(us: int) -> Instant:
    return Instant(us, ClockTrust.SYNCED, "boot", 0)


def test_a_visit_is_a_pass_for_this_once_and_can_be_read_back(tmp_path: Path) -> None:
    """The finding names a pseudonym and the category; the guard can still read who it was."""
    with Register.open(tmp_path / "register.db", KEY) as register:
        finding = register.enter(VISITOR, at(DAY_US))
        assert finding.refusal is None
        assert finding.category == "courier"
        assert finding.registered
        (visit,) = register.visits(0)
    assert (visit.subject, visit.name, visit.phone_last4, visit.host) == (finding.subject, "赵来访", "4711", "3-2-501")


def test_no_name_stands_on_disk_in_the_clear_and_none_after_erasure(tmp_path: Path) -> None:
    """Database and write-ahead log are searched byte for byte."""
    with Register.open(tmp_path / "register.db", KEY) as register:
        register.enter(VISITOR, at(DAY_US))
        sealed = register._database.rows("SELECT name_sealed FROM register_visit")[0][0]
        files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert sealed in files
        assert "赵来访".encode() not in files
        assert b"3-2-501" not in files
        assert register.erase(2 * DAY_US) == 1
        assert register.visits(0) == []
    assert sealed not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_another_key_opens_nothing(tmp_path: Path) -> None:
    """A stolen file without its key says when somebody came, and no more."""
    with Register.open(tmp_path / "register.db", KEY) as register:
        register.enter(VISITOR, at(DAY_US))
    with Register.open(tmp_path / "register.db", bytes(32)) as register, pytest.raises(RegisterError, match="sealed"):
        register.visits(0)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    """The roster's file is no register."""
    from kiosk.roster import Roster

    with Roster.open(tmp_path / "roster.db", KEY):
        pass
    with pytest.raises(RegisterError, match="application id"):
        Register.open(tmp_path / "roster.db", KEY)
