"""A policy for one kiosk goes before one for several, and that before one for every kiosk; and its end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, insert, select, text
from starlette.testclient import TestClient
from typer.testing import CliRunner

from config.errors import ConfigError
from kiosk.signed_document import DocumentKind
from sync import keys
from sync.central import cli, offers
from sync.central.app import create_app
from sync.central.documents import sign_and_publish
from sync.central.policy_offers import kiosks_named, offer_unlisted
from sync.central.policy_withdrawal import Withdrawn, withdraw
from sync.central.store import Store
from sync.central.tables import Audit, Document, PolicyOffer, table
from sync.downlink import Downlink
from sync.uplink import Uplink
from tests.fakes import MORNING_US
from tests.integration.test_central_policy import ROSTER, case
from tests.sync_kit import KEY, MemoryCentral

KIOSKS = ("east", "north", "south")
AUTHORITY = Ed25519PrivateKey.from_private_bytes(bytes(32))


@dataclass
class Town:
    """A central with three kiosks, each with its folder of documents."""

    folder: Path
    store: Store
    client: TestClient
    downlinks: dict[str, Downlink] = field(default_factory=dict)

    def publish(self, name: str, *kiosks: str) -> int:
        head = f"kiosks = [{', '.join(repr(kiosk) for kiosk in kiosks)}]\n" if kiosks else ""
        return self.put(DocumentKind.POLICY, case(name, head=head).encode())

    def put(self, kind: DocumentKind, body: bytes) -> int:
        with self.store.writing() as connection:
            return sign_and_publish(
                connection, MORNING_US, kind=kind, body=body, authority_key=AUTHORITY, by="li"
            ).version

    def offered(self) -> dict[str, int]:
        with self.store.reading() as connection:
            found = offers.read(connection)
            for kiosk in KIOSKS:
                assert offers.read(connection, [kiosk]).to(kiosk) == found.to(kiosk)
        return {kiosk: int(found.to(kiosk).get("policy", "0")) for kiosk in KIOSKS}

    def held(self) -> dict[str, str]:
        """Every kiosk fetches what it is offered, over HTTP; the names of the policies that it then has."""
        link = Uplink("http://127.0.0.1")
        link._client = self.client
        names = {}
        for kiosk, version in self.offered().items():
            down = self.downlinks.setdefault(
                kiosk,
                Downlink(
                    self.folder / kiosk,
                    kiosk_id=kiosk,
                    private_key=KEY,
                    authority=keys.public_bytes(AUTHORITY),
                    link=link,
                ),
            )
            for kind in down.wanted({"policy": str(version)}):
                assert down.fetch(kind, f"r{version}") == version
            body = (self.folder / kiosk / "policy/body").read_text()
            names[kiosk] = body.partition('version = "')[2].partition('"')[0]
        return names

    def withdraw(self, version: int, *, signing: bool = True) -> Withdrawn:
        with self.store.writing() as connection:
            return withdraw(connection, MORNING_US, version, authority_key=AUTHORITY if signing else None, by="li")


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    store = Store(tmp_path / "central.db")
    helper = MemoryCentral(lambda: None, store=store)
    helper._now_us = lambda: MORNING_US  # type: ignore[method-assign]
    for kiosk in KIOSKS:
        helper.admit(kiosk)
    with TestClient(create_app(store), base_url="http://127.0.0.1") as client:
        yield Town(tmp_path, store, client)
    store.close()


def test_the_one_for_fewer_kiosks_goes_first_whatever_came_last(town: Town) -> None:
    """For east alone, for east and north, for all: each kiosk fetches its own and nothing else."""
    town.publish("all-1")
    assert town.held() == {"east": "all-1", "north": "all-1", "south": "all-1"}
    town.publish("east-2", "east")
    town.publish("two-3", "east", "north")
    town.publish("all-4")
    assert town.held() == {"east": "east-2", "north": "two-3", "south": "all-4"}
    town.publish("two-5", "north", "east")
    town.publish("east-6", "east")
    assert town.held() == {"east": "east-6", "north": "two-5", "south": "all-4"}
    with town.store.reading() as connection:
        noted = list(
            connection.execute(select(table(Audit).c.detail).where(table(Audit).c.action == "publish")).scalars()
        )
    assert noted[1:4] == ["policy 2 for east", "policy 3 for east, north", "policy 4 for every kiosk"]


def test_a_kiosk_that_no_policy_is_for_is_offered_none(town: Town) -> None:
    """It keeps the site's own file; asked for by hand there is nothing either."""
    town.publish("east-1", "east")
    assert town.offered() == {"east": 1, "north": 0, "south": 0}


def test_a_withdrawn_policy_gives_way_to_the_one_for_more(town: Town) -> None:
    """What comes instead is older, so it is signed once more under a higher number, which every kiosk takes."""
    town.publish("all-1")
    town.publish("two-2", "east", "north")
    town.publish("east-3", "east")
    assert town.held()["east"] == "east-3"
    assert town.withdraw(3) == Withdrawn(3, {"east": 4})
    assert town.held() == {"east": "two-2", "north": "two-2", "south": "all-1"}
    assert town.offered() == {"east": 4, "north": 4, "south": 1}
    assert town.withdraw(4) == Withdrawn(4, {"east": 5, "north": 5})
    assert town.held() == dict.fromkeys(KIOSKS, "all-1")
    with town.store.reading() as connection:
        actions = connection.execute(select(table(Audit).c.action, table(Audit).c.detail)).all()
    assert ("withdraw", "policy 3 from east") in [tuple(row) for row in actions]


def test_a_newer_one_for_all_comes_instead_without_any_key(town: Town) -> None:
    """Its number is higher already: nothing needs to be signed."""
    town.publish("east-1", "east")
    town.publish("all-2")
    assert town.withdraw(1, signing=False) == Withdrawn(1, {"east": 2})
    assert town.held() == dict.fromkeys(KIOSKS, "all-2")


def test_what_cannot_be_withdrawn_stays(town: Town) -> None:
    """No key where one is needed, nothing to come instead, one for all, one that is not there, and the way home."""
    town.put(DocumentKind.ROSTER, ROSTER.encode())
    east = town.publish("east-1", "east")
    with pytest.raises(ConfigError, match="nothing else is offered to east"):
        town.withdraw(east)
    town.publish("all-2")
    two = town.publish("two-3", "east", "north")
    with pytest.raises(ConfigError, match="--authority-key"):
        town.withdraw(two, signing=False)
    for version in (2, 99):
        with pytest.raises(ConfigError, match="not offered to any kiosk by name"):
            town.withdraw(version)
    # Under the policy for all a resident would not live here: south would be locked out by the withdrawal.
    strict = case("all-4").replace("lives_here = true\n", "", 1)
    town.put(DocumentKind.POLICY, strict.encode())
    with pytest.raises(ConfigError, match="would not get home"):
        town.withdraw(two)
    assert town.offered() == {"east": east, "north": two, "south": 4}


def test_the_commands_publish_show_and_withdraw(town: Town) -> None:
    """``publish --for``, ``policy offers``, ``policy withdraw``: each says what it did."""
    key, file = town.folder / "authority.key", town.folder / "new.toml"
    keys.generate_key(key)
    where = ["--database", str(town.folder / "central.db")]

    def run(*words: str) -> str:
        result = CliRunner().invoke(cli.app, [*words[:2], *where, *words[2:]])
        assert result.exit_code == 0, (result.output, result.exception)
        return str(result.stdout)

    for name, for_whom in (("all-1", ()), ("east-2", ("--for", "east"))):
        file.write_text(case(name))
        CliRunner().invoke(
            cli.app,
            ["publish", *where, "--kind", "policy", "--file", str(file), "--authority-key", str(key), *for_whom],
            catch_exceptions=False,
        )
    said = run("policy", "offers")
    assert "east: offered 2 east-2 (for this kiosk alone), holds none" in said
    assert "north: offered 1 all-1 (for every kiosk), holds none" in said
    said = run("policy", "withdraw", "--document", "2", "--authority-key", str(key))
    assert said == "east: document 2 is withdrawn, document 3 comes instead\n"


def test_policies_of_before_are_offered_as_they_name_their_kiosks(town: Town) -> None:
    """A central of the revision before had only documents: the last for all, for some and for one are found."""
    for name, kiosks in (("all-1", ()), ("east-2", ("east",)), ("two-3", ("east", "north")), ("all-4", ())):
        town.publish(name, *kiosks)
    town.put(DocumentKind.TRUST, b"x")
    before = town.offered()
    with town.store.writing() as connection:
        connection.execute(delete(table(PolicyOffer)))
        connection.execute(text("DROP TABLE policy_offers"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0003'"))
        row = {"kind": "policy", "version": 9, "manifest": b"", "signature": b"", "body": b"\xff no policy at all"}
        connection.execute(
            insert(table(Document)).values(**row, published_us=MORNING_US, published_by="an older program")
        )
    Store(town.folder / "central.db").close()
    assert town.offered() == {**before, "south": 9}


def test_what_an_older_program_published_beside_this_one_is_offered(town: Town) -> None:
    """It knows no table of offers; the next look of the chores puts its policies there, and changes nothing else."""
    town.publish("all-1")
    town.publish("east-2", "east")
    before = town.offered()
    town.publish("two-3", "east", "north")
    town.publish("all-4")
    with town.store.writing() as connection:
        connection.execute(delete(table(PolicyOffer)).where(table(PolicyOffer).c.version > 2))
        connection.execute(insert(table(PolicyOffer)).values(kiosk_id="", reach=0, version=1))
    assert town.offered() == before
    for _ in range(2):
        with town.store.writing() as connection:
            offer_unlisted(connection)
        assert town.offered() == {"east": 2, "north": 3, "south": 4}
    town.withdraw(3)
    after = town.offered()
    with town.store.writing() as connection:
        offer_unlisted(connection)
    assert town.offered() == after == {"east": 2, "north": 4, "south": 4}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'kiosks = ["a", "b", "a"]\nversion = "x"', ("a", "b")),
        (b'version = "x"', ()),
        (b'kiosks = "a"', ()),
        (b"kiosks = [1, 2]", ()),
        (b"\xff", ()),
        (b"[" * 5000, ()),
    ],
)
def test_whom_a_body_is_for(body: bytes, named: tuple[str, ...]) -> None:
    """A body that is no policy is for nobody by name; the gates refuse it."""
    assert kiosks_named(body) == named
