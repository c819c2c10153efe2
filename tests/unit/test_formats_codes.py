"""The examples of docs/formats-codes.md are what the verifiers read."""

from __future__ import annotations

import json
import re
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kiosk.credentials import CodeReason, CodeState, GateContext, TrustStore, gp1, verify_health_code
from kiosk.credentials.bundle import TrustState, open_bundle
from kiosk.credentials.community import open_text
from kiosk.credentials.pass_binding import pass_hash
from kiosk.evidence import CodeStatus
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "formats-codes.md").read_text(encoding="utf-8")
NOW = datetime(2026, 3, 2, 8, 5, tzinfo=UTC)


def example(name: str) -> str:
    """The fenced block after ``<!-- example: name -->``."""
    found = re.search(rf"<!-- example: {re.escape(name)} -->\n```\w+\n(.*?)\n```", PAGE, re.DOTALL)
    assert found is not None, name
    return found[1]


@pytest.fixture
def store(tmp_path: Path) -> TrustStore:
    """A trust folder holding the page's community key."""
    (tmp_path / "community_keys.json").write_text(example("community key"))
    return TrustStore.load(tmp_path)


def test_the_green_code_of_the_page(store: TrustStore) -> None:
    """Valid, bound to the pass that the page names, and its parts are those printed."""
    text = example("gc1 green")
    verdict = verify_health_code(text, store, NOW)
    assert verdict.claims is not None
    assert verdict.claims.status is CodeStatus.GREEN
    assert verdict.claims.pass_hash == pass_hash("0123456789abcdef").hex()
    assert [part.hex() for part in open_text("GC1:", text, frozenset({2}))] == example("gc1 green parts").split("\n")
    assert verify_health_code(text, store, NOW + timedelta(hours=12)).reason is CodeReason.EXPIRED


def test_the_red_code_of_the_page(store: TrustStore) -> None:
    """Valid and red under its order, fresh for 180 s, with its challenge."""
    text = example("gc1 red")
    verdict = verify_health_code(text, store, NOW, GateContext(challenges=frozenset({"417"})))
    assert verdict.claims is not None
    assert (verdict.claims.status, verdict.claims.order, verdict.claims.regions) == (
        CodeStatus.RED,
        "2026-017",
        ("CN-11",),
    )
    assert verify_health_code(text, store, NOW + timedelta(seconds=180)).state is CodeState.VALID
    assert verify_health_code(text, store, NOW + timedelta(seconds=181)).reason is CodeReason.STALE


def test_the_pass_of_the_page(store: TrustStore) -> None:
    """A courier of kiosk-1, once, at the north gate, in office hours."""
    context = GateContext(gate="north", weekday=0, local_minute=16 * 60 + 5)
    finding = gp1.pass_finding(example("gp1 courier"), store, NOW, context)
    assert finding is not None
    assert (finding.refusal, finding.category, finding.subject) == (None, "courier", "a1b2c3d4e5f60718")
    assert gp1.verify(example("gp1 courier"), store, NOW).issuer == "kiosk:kiosk-1"


def test_the_bundle_of_the_page() -> None:
    """Head and file make a bundle that a kiosk with the page's root takes."""
    head, content = example("bundle head"), example("bundle file").encode()
    root = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    data = head.encode() + b"\n" + zlib.compress(content)
    opened = open_bundle(data, TrustState(version=0, roots=(root,)))
    assert dict(opened.files) == {"rules.json": content}
    assert opened.state.version == 1
    assert "entry" in json.loads(content)["sets"]
