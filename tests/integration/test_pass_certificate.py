"""A kiosk's certificate, from the central to the console: fetched, renewed in time, refused to whom it is not for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import update
from starlette.testclient import TestClient

from kiosk.credentials import gp1
from sync.central.app import create_app
from sync.central.context import CentralOptions
from sync.central.kiosk_authority import KioskAuthority
from sync.central.store import Store
from sync.central.tables import Kiosk, table
from sync.certificate_keeper import CertificateKeeper
from sync.errors import LinkError, WireError
from sync.uplink import Reply, SignedRequest, Uplink
from tests.sync_kit import KEY, KIOSK, MemoryCentral
from tests.unit.test_community_codes import COMMUNITY, NOW, trusting

AUTHORITY = KioskAuthority(private_key=COMMUNITY, lifetime=timedelta(days=28))


class Central:
    """A central that certifies, with a clock of its own and one approved kiosk."""

    def __init__(self, folder: Path) -> None:
        self.at = NOW
        self.store = Store(folder / "central.db")
        helper = MemoryCentral(lambda: None, store=self.store)
        helper._now_us = self.now_us  # type: ignore[method-assign]
        helper.admit(KIOSK)
        self.link: Any = Uplink("http://127.0.0.1")

    def now_us(self) -> int:
        return round(self.at.timestamp()) * 1_000_000

    def keeper(self, path: Path, *, key: Ed25519PrivateKey = KEY, kiosk_id: str = KIOSK) -> CertificateKeeper:
        return CertificateKeeper(path, kiosk_id=kiosk_id, private_key=key, link=self.link)


@pytest.fixture(params=[AUTHORITY])
def central(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Central]:
    central = Central(tmp_path)
    options = CentralOptions(kiosk_authority=request.param)
    with TestClient(
        create_app(central.store, options=options, now_us=central.now_us), base_url="http://127.0.0.1"
    ) as client:
        central.link._client = client
        yield central


def test_the_kiosk_gets_its_certificate_and_asks_again_at_half_its_life(central: Central, tmp_path: Path) -> None:
    """With it a pass of this kiosk is genuine at every gate of the community; two weeks later there is a new one."""
    path = tmp_path / "pass-certificate"
    keeper = central.keeper(path)
    assert keeper.due(NOW)
    assert keeper.fetch(NOW, "a1")
    first = path.read_bytes()
    wish = gp1.TemporaryPass(pass_id=bytes(8), category="courier", issued_at=NOW, expires_at=NOW + timedelta(hours=4))
    assert gp1.verify(gp1.issue(wish, KEY, first), trusting(), NOW).issuer == f"kiosk:{KIOSK}"
    assert not keeper.due(NOW + timedelta(days=13))
    central.at = NOW + timedelta(days=14)
    assert keeper.due(central.at)
    assert keeper.fetch(central.at, "a2")
    assert gp1.kiosk_key_of(path.read_bytes()).not_after == NOW + timedelta(days=42)


def test_only_an_approved_kiosk_is_certified_and_only_for_its_own_key(central: Central, tmp_path: Path) -> None:
    """A stranger's key, an unknown name and a revoked kiosk are refused, and nothing is written."""
    path = tmp_path / "pass-certificate"
    for keeper in (
        central.keeper(path, key=Ed25519PrivateKey.generate()),
        central.keeper(path, kiosk_id="gate-nowhere"),
    ):
        with pytest.raises(LinkError, match="401"):
            keeper.fetch(NOW, "a1")
    with central.store.writing() as connection:
        connection.execute(update(table(Kiosk)).values(state="revoked"))
    with pytest.raises(LinkError, match="403"):
        central.keeper(path).fetch(NOW, "a2")
    assert not path.exists()


@pytest.mark.parametrize("central", [None], indirect=True)
def test_a_central_that_certifies_nobody_is_no_error(central: Central, tmp_path: Path) -> None:
    """The kiosk goes on without; the console says what is missing when a pass is asked for."""
    path = tmp_path / "pass-certificate"
    assert not central.keeper(path).fetch(NOW, "a1")
    assert not path.exists()


class LyingLink:
    """A central that answers with something else."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def exchange(self, _: SignedRequest) -> Reply:
        return Reply(status=200, body=self.body)


def test_what_is_not_for_this_key_never_replaces_what_is_held(tmp_path: Path) -> None:
    """Another kiosk's certificate, one that is over, and noise: the held one stays."""
    path = tmp_path / "pass-certificate"
    path.write_bytes(b"held")
    now = datetime(2026, 3, 2, tzinfo=UTC)

    def certificate(key: Ed25519PrivateKey, kiosk_id: str, until: datetime) -> bytes:
        dates = {"not_before": until - timedelta(days=3), "not_after": until}
        return gp1.certify_kiosk(kiosk_id, key.public_key(), COMMUNITY, **dates)

    for body in (
        certificate(Ed25519PrivateKey.generate(), KIOSK, now + timedelta(days=1)),
        certificate(KEY, "gate-west", now + timedelta(days=1)),
        certificate(KEY, KIOSK, now - timedelta(days=1)),
        b"\x00" * 5000,
    ):
        keeper = CertificateKeeper(path, kiosk_id=KIOSK, private_key=KEY, link=LyingLink(body))
        with pytest.raises(WireError):
            keeper.fetch(now, "a1")
        assert path.read_bytes() == b"held"
