"""Publishing a policy is one command, which looks at it before the authority's key signs anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from config.errors import ConfigError, GatepostError
from config.policy import POLICIES
from sync import keys
from sync.central import cli
from sync.central.offers import newest_versions
from sync.central.store import Store
from sync.central.tables import Document, table
from tests.fakes import MORNING_US
from tests.sync_kit import MemoryCentral

CASE = (POLICIES / "case.toml").read_text("utf-8")
DOOR = (POLICIES / "building_door.toml").read_text("utf-8")
ROSTER = "person_id,category,card_uid\nR-1,resident,04a1b2c3d4e501\nR-1,resident,04a1b2c3d4e502\nA-1,acrobat,\n"


def case(version: str, *, number: str = "2026-17", until: str = "2099-01-31T23:59:59+08:00", head: str = "") -> str:
    """The shipped policy ``case`` on an order of the site's own."""
    text = CASE.replace('version = "case-1"', f'{head}version = "{version}"').replace("example = true\n", "")
    return text.replace('"EXAMPLE-2"', f'"{number}"').replace("2029-12-31T16:00:00Z", until)


@dataclass
class Office:
    """A central's database, the authority's key, and the command."""

    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "central.db"

    def publish(self, text: str, *more: str, kind: str = "policy", key: bool = True) -> str:
        (self.folder / "document").write_text(text, "utf-8")
        signing = ("--authority-key", str(self.folder / "authority.key")) if key else ()
        arguments = ["publish", "--database", str(self.database), "--kind", kind, *signing, *more]
        result = CliRunner().invoke(cli.app, [*arguments, "--file", str(self.folder / "document")])
        if isinstance(result.exception, GatepostError):
            raise result.exception
        assert result.exit_code == 0, (result.output, result.exception)
        return str(result.stdout)

    def offered(self) -> dict[str, str]:
        store = Store(self.database)
        try:
            with store.reading() as connection:
                return newest_versions(connection)
        finally:
            store.close()


@pytest.fixture
def office(tmp_path: Path) -> Office:
    keys.generate_key(tmp_path / "authority.key")
    store = Store(tmp_path / "central.db")
    central = MemoryCentral(lambda: None, store=store)
    central._now_us = lambda: MORNING_US  # type: ignore[method-assign]
    for kiosk in ("north-1", "south-1"):
        central.admit(kiosk)
    store.close()
    return Office(tmp_path)


def test_one_command_offers_the_next_version_and_says_what_it_is(office: Office) -> None:
    """No version to look up; the order, who is let in and what was before stand on the screen."""
    told = office.publish(case("north-7"))
    assert "policy north-7" in told
    assert "before: none" in told
    assert "order 2026-17 of the district's epidemic prevention office, until 2099-01-31 15:59 UTC" in told
    assert "policy version 1:" in told
    assert "before: north-7" in office.publish(case("north-8"))
    assert office.offered() == {"policy": "2"}
    store = Store(office.database)
    with store.reading() as connection:
        body = connection.execute(select(table(Document).c.body).order_by(table(Document).c.version.desc())).scalar()
    store.close()
    assert bytes(body or b"").decode("utf-8") == case("north-8")


def test_a_check_needs_no_key_and_offers_nothing(office: Office) -> None:
    """The admin reads what it would be before the key is fetched from its safe."""
    assert "policy north-7" in office.publish(case("north-7"), "--only-check", key=False)
    assert office.offered() == {}
    with pytest.raises(ConfigError, match="--authority-key"):
        office.publish(case("north-7"), key=False)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (CASE, "the example EXAMPLE-2"),
        (case("c", until="2026-01-01T00:00:00+08:00"), "an order that has not ended"),
        (case("north-7", number="2026-18"), "this name was offered before, as document 1"),
        (case("c", head='kiosks = ["north-1", "nroth-2"]\n'), "nroth-2; expected: approved kiosks"),
        (case("c").replace("lives_here = true", ""), "1 people of the roster who would not get home"),
        (case("c").replace('temperature = "required"', 'temprature = "required"'), "temprature"),
        ("", "version"),
    ],
    ids=["example", "ended", "same name", "unknown kiosk", "locks out", "typing error", "empty"],
)
def test_what_cannot_be_meant_is_not_signed(office: Office, text: str, why: str) -> None:
    """The message says what is wrong, nothing is offered, and no gate ever sees it."""
    office.publish(ROSTER, kind="roster")
    office.publish(case("north-7"))
    with pytest.raises(ConfigError, match=why):
        office.publish(text)
    assert office.offered() == {"roster": "1", "policy": "1"}


def test_categories_that_were_forgotten_are_told_before_anything_is_signed(office: Office) -> None:
    """The roster has an acrobat; the policy may mean to let none in."""
    office.publish(ROSTER, kind="roster")
    assert "LOOK: the roster has people of acrobat" in office.publish(case("north-7"), "--only-check")
    assert "LOOK" not in office.publish(case("n-7") + '\n[[category]]\nname = "acrobat"\n', "--only-check")


def test_whom_a_policy_is_for_is_told(office: Office) -> None:
    """By name in the file or by the command's option; who keeps what they have; who will not get one for all."""
    told = office.publish(case("north-7", head='kiosks = ["north-1"]\n'), "--only-check")
    assert told == office.publish(case("north-7"), "--for", "north-1", "--only-check")
    assert "for north-1\n" in told
    assert "not for south-1: what they have stays in force there" in told
    office.publish(case("north-7"), "--for", "north-1")
    told = office.publish(case("all-8"))
    assert "LOOK: north-1 will not get it" in told
    assert "before: none" in told  # of the kiosk that gets it
    assert "before: all-8" in office.publish(case("south-9"), "--for", "south-1")
    assert "north-1, south-1 will not get it" in office.publish(case("all-10"))


@pytest.mark.parametrize(
    ("text", "more", "why"),
    [
        (case("n", head='kiosks = ["north-1"]\n'), ("--for", "south-1"), "names north-1 itself"),
        (case("n"), ("--for", "nroth-1"), "nroth-1; expected: approved kiosks"),
        (ROSTER, ("--for", "north-1", "--kind", "roster"), "every other document is for every kiosk"),
    ],
)
def test_an_address_that_cannot_be_meant_is_not_signed(
    office: Office, text: str, more: tuple[str, ...], why: str
) -> None:
    """Two addresses, a kiosk that is not there, a document that has none."""
    with pytest.raises(ConfigError, match=why):
        office.publish(text, *more)
    assert office.offered() == {}
