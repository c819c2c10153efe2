"""What each kiosk holds of what is offered: the page, in both languages, and the alert about a kiosk that goes by old
documents."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, insert, update
from starlette.testclient import TestClient
from typer.testing import CliRunner

from config.errors import ConfigError, GatepostError
from kiosk.signed_document import DocumentKind
from sync import keys
from sync.central import cli
from sync.central.access import Role
from sync.central.alerts import close_alert
from sync.central.document_watch import watch_documents
from sync.central.documents import sign_and_publish
from sync.central.held_documents import Standing, look_at_documents
from sync.central.signed_text import SignedText
from sync.central.tables import Alert, Audit, Document, Kiosk, table
from tests.fakes import MORNING_US
from tests.integration.test_central_policy import CASE, case
from tests.integration.test_central_web import Site
from tests.sync_kit import KIOSK, MemoryCentral

AUTHORITY = Ed25519PrivateKey.from_private_bytes(bytes(32))
HOUR_S = 3600.0


class Town(Site):
    """A central that publishes, and two kiosks that say what they hold."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        helper = MemoryCentral.__new__(MemoryCentral)
        helper._now, helper.store = self.clock.now, self.store
        helper.admit("gate-north")
        helper.admit("gate-new", state="pending")

    def publish(self, kind: DocumentKind, body: bytes = b"x") -> int:
        with self.store.writing() as connection:
            return sign_and_publish(
                connection, self.clock.at_us, kind=kind, body=body, authority_key=AUTHORITY, by="<b>li</b>"
            ).version

    def holds(self, kiosk_id: str, alarms: str = "", **held: int) -> None:
        told = {"held": json.dumps({kind: str(version) for kind, version in held.items()}), "alarms": alarms}
        with self.store.writing() as connection:
            connection.execute(update(table(Kiosk)).where(table(Kiosk).c.kiosk_id == kiosk_id).values(**told))

    def alerts(self) -> list[tuple[str, str, bool]]:
        """Look now; kiosk, detail and whether it is open, of every alert about documents."""
        with self.store.writing() as connection:
            watch_documents(connection, self.clock.at_us)
            rows = connection.execute(table(Alert).select().where(table(Alert).c.code == "documents_old")).all()
        return [(row.kiosk_id, row.detail, row.closed_us is None) for row in rows]


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    town = Town(tmp_path)
    yield town
    town.store.close()


@pytest.fixture
def client(town: Town) -> Iterator[TestClient]:
    with TestClient(town.app, base_url="http://central.test", follow_redirects=False) as client:
        yield client


def test_what_is_held_stands_beside_what_is_offered(town: Town) -> None:
    """Current, behind, missing, ahead and nothing; behind since the first version that was not taken."""
    for _ in range(3):
        town.publish(DocumentKind.ROSTER)
        town.clock.advance(60)
    town.publish(DocumentKind.REVOCATIONS)
    town.publish(DocumentKind.TRUST)
    town.holds(KIOSK, roster=1, revocations=1, cards=9)
    with town.store.reading() as connection:
        (kiosk, other) = look_at_documents(connection).kiosks
    assert (kiosk.kiosk_id, other.kiosk_id) == (KIOSK, "gate-north")
    assert {str(each.kind): each.standing for each in kiosk.documents} == {
        "roster": Standing.BEHIND,
        "revocations": Standing.CURRENT,
        "policy": Standing.NOTHING,
        "trust": Standing.MISSING,
        "cards": Standing.AHEAD,
    }
    roster = kiosk.of("roster")
    assert roster.published_us is not None
    assert roster.behind_since_us == roster.published_us + 60_000_000
    assert [each.standing for each in other.documents].count(Standing.MISSING) == 3


def test_a_kiosk_that_goes_by_old_documents_raises_one_alert(town: Town) -> None:
    """After an hour, once; closed when it took them, or by hand until something newer comes."""
    town.publish(DocumentKind.REVOCATIONS)
    town.holds(KIOSK, revocations=1)
    town.holds("gate-north", revocations=1)
    assert town.alerts() == []
    town.publish(DocumentKind.REVOCATIONS)
    town.holds("gate-north", revocations=2)
    town.clock.advance(HOUR_S)
    assert town.alerts() == []
    town.clock.advance(1)
    assert town.alerts() == town.alerts() == [(KIOSK, "revocations 1 < 2", True)]
    with town.store.writing() as connection:
        (row,) = connection.execute(table(Alert).select().where(table(Alert).c.code == "documents_old")).all()
        close_alert(connection, town.clock.at_us, row.alert_id, "li")
    town.clock.advance(5 * HOUR_S)
    assert town.alerts() == [(KIOSK, "revocations 1 < 2", False)]
    town.publish(DocumentKind.ROSTER)
    town.holds("gate-north", revocations=2, roster=1)
    town.clock.advance(HOUR_S + 1)
    assert town.alerts()[1:] == [(KIOSK, "roster – < 1, revocations 1 < 2", True)]
    town.holds(KIOSK, revocations=2, roster=1)
    assert [still_open for _, _, still_open in town.alerts()] == [False, False]


def test_a_policy_for_others_makes_nobody_old(town: Town) -> None:
    """gate-north has a policy of its own; the other kiosk goes by the one for all, which is the lower number."""
    every = town.publish(DocumentKind.POLICY, case("all-1").encode())
    own = town.publish(DocumentKind.POLICY, case("north-2", head='kiosks = ["gate-north"]\n').encode())
    town.holds(KIOSK, policy=every)
    town.holds("gate-north", policy=own)
    town.clock.advance(9 * HOUR_S)
    assert town.alerts() == []


def test_what_an_admin_removed_or_a_newer_program_added_is_no_fault(town: Town, client: TestClient) -> None:
    """A policy that is on offer has gone from the table, a kind is there that this program does not know."""
    town.publish(DocumentKind.POLICY, case("all-1").encode())
    town.holds(KIOSK, policy=0)
    row = {"kind": "holograms", "version": 1, "manifest": b"", "signature": b"", "body": b""}
    with town.store.writing() as connection:
        connection.execute(delete(table(Document)).where(table(Document).c.kind == "policy"))
        connection.execute(insert(table(Document)).values(**row, published_us=MORNING_US, published_by="li"))
    assert town.alerts() == []
    town.log_in(client, Role.ADMIN)
    assert client.get("/admin/documents").status_code == 200
    assert (
        CliRunner().invoke(cli.app, ["policy", "offers", "--database", str(town.store.engine.url.database)]).exit_code
        == 0
    )


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("What each kiosk holds", "old for 2 h", "1 → 2", "for this kiosk alone", "north-2", "Withdraw")),
        ("zh-CN", ("各终端持有的版本", "已过时 2", "1 → 2", "仅这台终端", "north-2", "撤回")),
    ],
)
def test_the_page_shows_it(town: Town, client: TestClient, language: str, words: tuple[str, ...]) -> None:
    """Approved kiosks, what they hold, for whom each policy is; only an admin may withdraw; names are escaped."""
    town.publish(DocumentKind.POLICY, case("all-1").encode())
    town.publish(DocumentKind.POLICY, case("north-2", head='kiosks = ["gate-north"]\n').encode())
    for _ in range(2):
        town.publish(DocumentKind.REVOCATIONS)
    town.holds(KIOSK, alarms="document_refused stranded", revocations=1)
    town.clock.advance(2 * HOUR_S)
    town.log_in(client, Role.ADMIN)
    shown = client.get(f"/admin/documents?lang={language}").text
    assert [word for word in words if word not in shown] == []
    assert "<b>li</b>" not in shown
    assert "gate-new" not in shown
    client.cookies.clear()
    town.log_in(client, Role.AUDITOR)
    shown = client.get(f"/admin/documents?lang={language}").text
    assert words[0] in shown
    assert words[-1] not in shown


def test_an_admin_withdraws_where_no_key_is_needed(town: Town, client: TestClient) -> None:
    """The one that comes instead is newer: done, and in the audit log. Where it is older, the page says who can."""
    town.publish(DocumentKind.POLICY, case("north-1", head='kiosks = ["gate-north"]\n').encode())
    town.publish(DocumentKind.POLICY, case("all-2").encode())
    own = town.publish(DocumentKind.POLICY, case("east-3", head=f'kiosks = ["{KIOSK}"]\n').encode())
    csrf = town.log_in(client, Role.ADMIN)

    def withdraw(document: str, token: str = csrf) -> tuple[int, str]:
        answer = client.post("/admin/documents/withdraw?lang=en", data={"csrf": token, "document": document})
        return answer.status_code, re.sub(r"<[^>]+>", "", answer.text)

    assert withdraw("1", "forged")[0] == 403
    assert withdraw("1")[0] == 303
    for document, status, why in (
        (str(own), 409, "with the authority&#39;s key"),
        ("1", 409, "cannot be withdrawn"),
        ("x", 400, "form was not understood"),
    ):
        found, said = withdraw(document)
        assert (found, why in said) == (status, True), said
    with town.store.reading() as connection:
        offered = {kiosk.kiosk_id: kiosk.of("policy").offered for kiosk in look_at_documents(connection).kiosks}
    assert offered == {KIOSK: own, "gate-north": 2}


# -- publishing from the page ----------------------------------------------------------------------------------


class PublishingDesk:
    """The authority's key apart from the central, and an admin's browser."""

    def __init__(self, town: Town, client: TestClient, folder: Path) -> None:
        self.town, self.client, self.folder = town, client, folder
        self.key = folder / "authority.key"
        keys.generate_key(self.key)
        self.csrf = town.log_in(client, Role.ADMIN)

    def sign(self, text: str, document: int, *more: str, key: Path | None = None) -> str:
        """What the command writes that signs a policy."""
        (self.folder / "new.toml").write_text(text, "utf-8")
        words = ["policy", "sign", "--file", str(self.folder / "new.toml"), "--document", str(document)]
        result = CliRunner().invoke(cli.app, [*words, "--authority-key", str(key or self.key), *more])
        if isinstance(result.exception, GatepostError):
            raise result.exception
        return str(result.stdout)

    def post(self, what: str, signed: str, **more: str) -> tuple[int, str]:
        fields = {"csrf": self.csrf, "signed": signed, **more}
        answer = self.client.post(f"/admin/documents/{what}?lang=en", data=fields)
        return answer.status_code, html.unescape(re.sub(r"<[^>]+>", "", answer.text))

    def offered(self) -> dict[str, int]:
        with self.town.store.reading() as connection:
            found = look_at_documents(connection).kiosks
        return {kiosk.kiosk_id: kiosk.of("policy").offered for kiosk in found}


@pytest.fixture
def desk(town: Town, client: TestClient, tmp_path: Path) -> PublishingDesk:
    return PublishingDesk(town, client, tmp_path)


def test_a_policy_is_published_from_the_page(desk: PublishingDesk) -> None:
    """Signed elsewhere, pasted, looked at, offered: to every kiosk, then to one alone; with the admin's name."""
    assert "--document 1" in desk.client.get("/admin/documents?lang=en").text
    signed = desk.sign(case("all-1"), 1)
    status, shown = desk.post("check", signed)
    assert status == 200
    for words in ("Publish all-1?", "every kiosk", "2026-17", "visitor", "Nothing is offered yet"):
        assert words in shown, words
    assert desk.offered() == {KIOSK: 0, "gate-north": 0}
    assert desk.post("publish", signed)[0] == 303
    north = desk.sign(case("north-2"), 2, "--for", "gate-north")
    assert "Keep what they have" in desk.post("check", north)[1]
    assert desk.post("publish", north)[0] == 303
    assert desk.offered() == {KIOSK: 1, "gate-north": 2}
    every = desk.sign(case("all-3"), 3)
    shown = desk.post("check", every)[1]
    assert "will not get it" in shown
    assert "gate-north" in shown
    with desk.town.store.reading() as connection:
        noted = connection.execute(table(Audit).select().where(table(Audit).c.action == "publish")).all()
    assert [(row.name, row.detail) for row in noted] == [
        ("admin", "policy 1 for every kiosk"),
        ("admin", "policy 2 for gate-north"),
    ]


def test_what_is_pasted_is_believed_for_its_signature_alone(desk: PublishingDesk, tmp_path: Path) -> None:
    """No text, another number, altered, another authority, an old name, a roster, a forged form: nothing is offered."""
    first = desk.sign(case("all-1"), 1)
    assert desk.post("publish", first)[0] == 303
    other_key = tmp_path / "other.key"
    keys.generate_key(other_key)
    good = json.loads(desk.sign(case("all-2"), 2))
    altered = {**good, "body": base64.b64encode(case("all-9").encode()).decode()}
    authority = keys.load_private_key(desk.key)
    roster = SignedText.sign(DocumentKind.ROSTER, 1, b"person_id\n", MORNING_US, authority)
    for pasted, status, why in (
        ("", 400, "not a policy that the authority signed"),
        ("[" * 5000, 400, "not a policy that the authority signed"),
        (json.dumps({**good, "body": "?"}), 400, "not a policy that the authority signed"),
        (json.dumps(altered), 400, "not a policy that the authority signed"),
        (str(roster), 400, "not a policy that the authority signed"),
        ("x" * 130_000, 413, "not a policy that the authority signed"),
        ("x" * 300_000, 413, "too large"),
        (first, 409, "another document number than the next one"),
        (desk.sign(case("all-2"), 9), 409, "another document number than the next one"),
        (desk.sign(case("all-2"), 2, key=other_key), 409, "Another key signed it"),
        (desk.sign(case("all-1", number="2026-18"), 2), 409, "cannot be meant"),
    ):
        for what in ("check", "publish"):
            found, said = desk.post(what, pasted)
            assert (found, why in said) == (status, True), (found, said, pasted[:40])
    assert desk.post("publish", json.dumps(good), csrf="forged")[0] == 403
    assert desk.offered()[KIOSK] == 1
    desk.client.cookies.clear()
    csrf = desk.town.log_in(desk.client, Role.OPERATOR)
    assert desk.post("publish", json.dumps(good), csrf=csrf)[0] == 403
    assert desk.offered()[KIOSK] == 1


def test_what_no_central_would_take_is_not_signed(desk: PublishingDesk) -> None:
    """The command knows no kiosk, but an example's order and a typing error it sees."""
    for text in (CASE, case("x").replace("category", "categry")):
        with pytest.raises(ConfigError):
            desk.sign(text, 1)
