"""Residents' phones at the central: one-time codes, fresh health codes by signature, revocation, the admin's page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from starlette.testclient import TestClient

from config.central import Codes
from config.errors import ConfigError
from kiosk.credentials import CodeClaims, CodeReason, CodeState, gc1, verify_health_code
from kiosk.credentials.pass_binding import pass_hash
from kiosk.credentials.pseudonym import subject_key_of, subject_of
from kiosk.evidence import CodeStatus
from kiosk.roster import Roster
from sync.central import access, phones, status_orders
from sync.central.access import Role
from sync.central.app import create_app
from sync.central.code_issuer import CodeIssuer, load_issuer
from sync.central.context import CentralOptions
from sync.central.retention import Retention, forget
from sync.central.store import Store
from sync.errors import WireError
from tests.fakes import FakeClock
from tests.unit.test_community_codes import COMMUNITY, trusting

COMMUNITY_KEY = bytes(range(32))
SUBJECT_KEY = subject_key_of(COMMUNITY_KEY)
ISSUER = CodeIssuer(private_key=COMMUNITY, subject_key=SUBJECT_KEY, lifetime=timedelta(hours=12))
PASSPHRASE = "correct horse battery staple"
DAY_US = 86_400_000_000


class PhoneKey:
    """A phone: signs as a browser's WebCrypto does."""

    def __init__(self, number: int) -> None:
        self._key = ec.derive_private_key(number, ec.SECP256R1())
        self.point = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)

    def sign(self, signed: bytes) -> str:
        r, s = decode_dss_signature(self._key.sign(signed, ec.ECDSA(hashes.SHA256())))
        return (r.to_bytes(32, "big") + s.to_bytes(32, "big")).hex()

    def enrol(self, code: str) -> dict[str, Any]:
        signature = self.sign(phones.ENROL_PURPOSE + phones.normal(code).encode())
        return {"code": code, "holder_key": self.point.hex(), "signature": signature}

    def renew(self, at_s: int) -> dict[str, Any]:
        signature = self.sign(phones.RENEW_PURPOSE + str(at_s).encode())
        return {"at_s": at_s, "holder_key": self.point.hex(), "signature": signature}

    def shown(self, text: str, at: datetime) -> str:
        return gc1.show(text, self._key, at)


class Office:
    """A central that issues codes, with a clock that stands still at the codes' test time."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock(at_us=int(datetime(2026, 3, 2, 8, 0, tzinfo=UTC).timestamp() * 1_000_000))
        self.store = Store(folder / "central.db")
        self.app = create_app(self.store, options=CentralOptions(issuer=ISSUER), now_us=lambda: self.clock.at_us)

    def make_users(self) -> None:
        with self.store.writing() as connection:
            for role in (Role.ADMIN, Role.AUDITOR):
                access.set_user(connection, self.clock.at_us, str(role), role, PASSPHRASE)

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.clock.at_us / 1_000_000, tz=UTC)

    def make_code(self, person_id: str = "R-1") -> str:
        with self.store.writing() as connection:
            return phones.make_code(connection, self.clock.at_us, ISSUER.subject_of(person_id), "test")


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


@pytest.fixture
def client(office: Office) -> Iterator[TestClient]:
    with TestClient(office.app, base_url="http://central.test", follow_redirects=False) as client:
        yield client


def test_a_phone_enrols_once_and_shows_a_code_that_a_gate_takes(office: Office, client: TestClient) -> None:
    """The code is bound to the person's pass as the kiosk's roster names it, and good only with the phone's key."""
    phone = PhoneKey(1)
    answer = client.post("/v1/phones/enrol", json=phone.enrol(office.make_code().lower()))
    assert answer.status_code == 200
    text = answer.json()["code"]
    assert verify_health_code(text, trusting(), office.at).reason is CodeReason.STALE
    verdict = verify_health_code(phone.shown(text, office.at), trusting(), office.at)
    assert verdict.state is CodeState.VALID
    assert verdict.claims is not None
    assert verdict.claims.pass_hash == pass_hash(subject_of(SUBJECT_KEY, "R-1")).hex()
    assert verdict.claims.expires_at == office.at + timedelta(hours=12)


def test_the_roster_and_the_central_give_a_person_the_same_pseudonym(tmp_path: Path) -> None:
    """The key of pseudonyms is all that the central needs of the community's key."""
    with Roster.open(tmp_path / "roster.db", COMMUNITY_KEY) as roster:
        assert roster.subject_of("R-1") == ISSUER.subject_of("R-1")


def test_a_one_time_code_serves_one_phone(office: Office, client: TestClient) -> None:
    """The same phone may ask again because answers get lost; another phone, a wrong and a late code are refused."""
    code = office.make_code()
    assert client.post("/v1/phones/enrol", json=PhoneKey(1).enrol(code)).status_code == 200
    assert client.post("/v1/phones/enrol", json=PhoneKey(1).enrol(code)).status_code == 200
    assert client.post("/v1/phones/enrol", json=PhoneKey(2).enrol(code)).status_code == 403
    assert client.post("/v1/phones/enrol", json=PhoneKey(2).enrol("AAAA-BBBB-CCCC")).status_code == 403
    late = office.make_code()
    office.clock.at_us += phones.CODE_VALID_US + 1
    assert client.post("/v1/phones/enrol", json=PhoneKey(2).enrol(late)).status_code == 403


def test_a_code_overheard_on_the_way_enrols_no_foreign_key(office: Office, client: TestClient) -> None:
    """The signature covers the code and is checked against the key that is sent: swapping either fails."""
    mine, thief = PhoneKey(1).enrol(office.make_code()), PhoneKey(2)
    assert client.post("/v1/phones/enrol", json={**mine, "holder_key": thief.point.hex()}).status_code == 400
    assert client.post("/v1/phones/enrol", json={**mine, "code": office.make_code()}).status_code == 400


def test_fresh_codes_until_the_phone_is_revoked(office: Office, client: TestClient) -> None:
    """Each is good from the moment it was asked for; a stranger's phone, a wrong clock and a revoked phone get none."""
    phone = PhoneKey(1)
    client.post("/v1/phones/enrol", json=phone.enrol(office.make_code()))
    office.clock.at_us += 6 * 3600 * 1_000_000
    at_s = office.clock.at_us // 1_000_000
    renewed = client.post("/v1/phones/code", json=phone.renew(at_s))
    assert renewed.status_code == 200
    shown = phone.shown(renewed.json()["code"], office.at)
    claims = verify_health_code(shown, trusting(), office.at).claims
    assert claims is not None
    assert claims.expires_at == office.at + timedelta(hours=12)
    assert client.post("/v1/phones/code", json=PhoneKey(2).renew(at_s)).status_code == 403
    assert client.post("/v1/phones/code", json=phone.renew(at_s - 3601)).status_code == 422
    assert client.post("/v1/phones/code", json={**phone.renew(at_s), "at_s": at_s + 1}).status_code == 400
    with office.store.writing() as connection:
        assert phones.revoke(connection, office.clock.at_us, phones.phone_id_of(phone.point), "test")
    assert client.post("/v1/phones/code", json=phone.renew(at_s)).status_code == 403
    assert client.post("/v1/phones/enrol", json=phone.enrol(office.make_code())).status_code == 403


def test_a_person_has_five_phones_at_most(office: Office, client: TestClient) -> None:
    """The sixth is told so, and one fewer makes room."""
    for number in range(1, 6):
        answer = client.post("/v1/phones/enrol", json=PhoneKey(number).enrol(office.make_code()))
        assert answer.status_code == 200
    sixth = PhoneKey(6).enrol(office.make_code())
    assert client.post("/v1/phones/enrol", json=sixth).status_code == 409
    with office.store.writing() as connection:
        phones.revoke(connection, office.clock.at_us, phones.phone_id_of(PhoneKey(1).point), "test")
    assert client.post("/v1/phones/enrol", json=sixth).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{" * 500,
        b'{"code": 1, "holder_key": "", "signature": ""}',
        b'{"code": "A", "holder_key": "zz", "signature": ""}',
        b'{"code": "A", "holder_key": "' + b"00" * 33 + b'", "signature": "00"}',
        b'{"code": "A", "holder_key": "", "signature": "", "more": ""}',
        b" " * 2000,
    ],
)
def test_what_is_no_request_is_refused_with_a_sentence(client: TestClient, body: bytes) -> None:
    """Nothing from outside reaches the database or ends in a server's fault."""
    for path in ("/v1/phones/enrol", "/v1/phones/code"):
        answer = client.post(path, content=body)
        assert 400 <= answer.status_code < 500
        assert answer.json()["error"]["thing"]


def test_an_admin_makes_a_link_once_and_revokes_a_phone(office: Office, client: TestClient) -> None:
    """The link and its QR code are on the answer and nowhere else; an auditor sees phones but makes no link."""
    office.make_users()
    client.post("/admin/login", data={"name": "admin", "passphrase": PASSPHRASE})
    csrf = re.findall(r'name="csrf" value="([0-9a-f]+)"', client.get("/admin/phones").text)[0]
    answer = client.post("/admin/phones/code", data={"csrf": csrf, "person_id": "R-7"})
    code = re.findall(r"http://central\.test/code/#enrol=([0-9A-Z-]+)", answer.text)[0]
    assert "<svg" in answer.text
    assert code not in client.get("/admin/phones").text
    phone = PhoneKey(9)
    assert client.post("/v1/phones/enrol", json=phone.enrol(code)).status_code == 200
    page = client.get("/admin/phones").text
    assert phones.phone_id_of(phone.point) in page
    assert ISSUER.subject_of("R-7") in page
    assert "R-7" not in page
    client.post("/admin/phones/revoke", data={"csrf": csrf, "phone_id": phones.phone_id_of(phone.point)})
    assert "revoked" in client.get("/admin/phones").text
    client.cookies.clear()
    client.post("/admin/login", data={"name": "auditor", "passphrase": PASSPHRASE})
    page = client.get("/admin/phones").text
    assert 'action="/admin/phones/code"' not in page
    csrf = re.findall(r'name="csrf" value="([0-9a-f]+)"', page)[0]
    assert client.post("/admin/phones/code", data={"csrf": csrf, "person_id": "R-7"}).status_code == 403


def test_phones_and_their_codes_are_forgotten_in_time(office: Office, client: TestClient) -> None:
    """A used code after two days, a revoked phone after 30, an unused one after 180."""
    for number in (1, 2):
        client.post("/v1/phones/enrol", json=PhoneKey(number).enrol(office.make_code()))
    with office.store.writing() as connection:
        phones.revoke(connection, office.clock.at_us, phones.phone_id_of(PhoneKey(1).point), "test")
        for days, gone in (
            (1, {"phone codes": 0, "phones revoked": 0}),
            (3, {"phone codes": 2}),
            (31, {"phones revoked": 1}),
        ):
            done = forget(connection, office.clock.at_us + days * DAY_US, Retention())
            assert done.items() >= gone.items()
        assert forget(connection, office.clock.at_us + 181 * DAY_US, Retention())["phones unused"] == 1


def test_a_central_without_keys_issues_nothing_and_says_so(tmp_path: Path) -> None:
    """The page works, the phone is told, and half a setting is an error that names both keys."""
    store = Store(tmp_path / "central.db")
    with TestClient(create_app(store), base_url="http://central.test") as client:
        assert client.post("/v1/phones/enrol", json=PhoneKey(1).enrol("ABCD-EFGH-JKMN")).status_code == 404
    assert load_issuer(Codes()) is None
    key, subject_key = tmp_path / "code.pem", tmp_path / "subject.key"
    key.write_bytes(COMMUNITY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    subject_key.write_bytes(SUBJECT_KEY)
    for path in (key, subject_key):
        path.chmod(0o600)
    with pytest.raises(ConfigError, match="both or neither"):
        load_issuer(Codes(key=key))
    issuer = load_issuer(Codes(key=key, subject_key=subject_key, hours=3))
    assert issuer is not None
    assert issuer.lifetime == timedelta(hours=3)
    subject_key.write_bytes(b"short")
    with pytest.raises(ConfigError, match="32"):
        load_issuer(Codes(key=key, subject_key=subject_key))


RED = status_orders.Wish(
    subject=ISSUER.subject_of("R-1"),
    status=CodeStatus.RED,
    number="2026-017",
    issuer="District CDC",
    appeal="Residents' committee, 010-1234",
    until_us=0,
)


def test_a_red_code_needs_two_admins_and_ends_by_itself(office: Office, client: TestClient) -> None:
    """Put down it says nothing; nobody approves their own; approved it is in the next code, and gone after its end."""
    phone = PhoneKey(1)
    client.post("/v1/phones/enrol", json=phone.enrol(office.make_code()))

    def seen() -> CodeClaims:
        answer = client.post("/v1/phones/code", json=phone.renew(office.clock.at_us // 1_000_000))
        claims = verify_health_code(phone.shown(answer.json()["code"], office.at), trusting(), office.at).claims
        assert claims is not None
        return claims

    end_us = office.clock.at_us + 3 * 3600 * 1_000_000
    with office.store.writing() as connection:
        status_orders.propose(connection, office.clock.at_us, replace(RED, until_us=end_us), "li")
        [order] = status_orders.current(connection, office.clock.at_us)
    assert seen().status is CodeStatus.GREEN
    with office.store.writing() as connection:
        with pytest.raises(WireError, match="your own"):
            status_orders.approve(connection, office.clock.at_us, order.order_id, "li")
        status_orders.approve(connection, office.clock.at_us, order.order_id, "zhao")
    red = seen()
    assert (red.status, red.order) == (CodeStatus.RED, "2026-017")
    assert red.expires_at == office.at + timedelta(hours=3)
    office.clock.at_us = end_us
    assert seen().status is CodeStatus.GREEN


def test_the_gravest_order_counts_until_it_is_lifted(office: Office) -> None:
    """Yellow and red at once are red; when red is lifted yellow is left; an approved order cannot be approved again."""
    now_us, end_us = office.clock.at_us, office.clock.at_us + DAY_US
    with office.store.writing() as connection:
        for status in (CodeStatus.RED, CodeStatus.YELLOW):
            status_orders.propose(connection, now_us, replace(RED, status=status, until_us=end_us), "li")
        yellow, red = status_orders.current(connection, now_us)
        for order in (yellow, red):
            status_orders.approve(connection, now_us, order.order_id, "zhao")
        assert status_orders.status_of(connection, RED.subject, now_us)[0] is CodeStatus.RED
        with pytest.raises(WireError, match="none that waits"):
            status_orders.approve(connection, now_us, red.order_id, "wu")
        assert status_orders.lift(connection, now_us, red.order_id, "wu")
        assert not status_orders.lift(connection, now_us, red.order_id, "wu")
        assert status_orders.status_of(connection, RED.subject, now_us)[0] is CodeStatus.YELLOW
        assert status_orders.status_of(connection, ISSUER.subject_of("R-2"), now_us) == (CodeStatus.GREEN, None)


@pytest.mark.parametrize(
    "change", [{"status": CodeStatus.GREEN}, {"number": ""}, {"appeal": "x" * 61}, {"issuer": "a\nb"}, {"until_us": 1}]
)
def test_an_order_that_no_code_could_carry_is_not_put_down(office: Office, change: dict[str, Any]) -> None:
    """Every text is there and fits, and the end lies ahead."""
    wish = replace(RED, until_us=office.clock.at_us + DAY_US)
    with office.store.writing() as connection, pytest.raises(WireError):
        status_orders.propose(connection, office.clock.at_us, replace(wish, **change), "li")


def test_two_admins_order_a_status_on_the_page(office: Office, client: TestClient) -> None:
    """The one who put it down sees no button to approve it; times are the site's; an auditor sees nothing of it."""
    office.make_users()
    with office.store.writing() as connection:
        access.set_user(connection, office.clock.at_us, "zhao", Role.ADMIN, PASSPHRASE)
    wish = {"status": "yellow", "number": "17", "issuer": "CDC", "appeal": "office", "until": "2026-03-03T12:00"}

    def signed_in(name: str) -> str:
        client.cookies.clear()
        client.post("/admin/login", data={"name": name, "passphrase": PASSPHRASE})
        return re.findall(r'name="csrf" value="([0-9a-f]+)"', client.get("/admin/phones").text)[0]

    csrf = signed_in("admin")
    assert client.post("/admin/orders", data={"csrf": csrf, "person_id": "R-7", **wish}).status_code == 303
    assert 'value="approve"' not in client.get("/admin/orders").text
    csrf = signed_in("zhao")
    page = client.get("/admin/orders").text
    assert 'value="approve"' in page
    assert "2026-03-03 12:00" in page
    order_id = re.findall(r'name="order_id" value="(\d+)"', page)[0]
    client.post("/admin/orders/decide", data={"csrf": csrf, "order_id": order_id, "do": "approve"})
    with office.store.reading() as connection:
        found = status_orders.status_of(connection, ISSUER.subject_of("R-7"), office.clock.at_us)
    assert found[0] is CodeStatus.YELLOW
    assert found[1] is not None
    assert found[1].approver == "zhao"
    signed_in("auditor")
    assert client.get("/admin/orders").status_code == 403
    assert "/admin/orders" not in client.get("/admin/phones").text
