"""The trust bundle: who may change what a gate trusts, and what no update can undo."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import GatepostError
from kiosk.credentials.bundle import (
    AgeLight,
    BundleError,
    ShrinkError,
    TrustState,
    age_light,
    keep_revocations,
    make_bundle,
    open_bundle,
)

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
ROOT_A = Ed25519PrivateKey.from_private_bytes(bytes(32))
ROOT_B = Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
A, B = (key.public_key().public_bytes_raw() for key in (ROOT_A, ROOT_B))
NEW_KIOSK = TrustState(version=0, roots=(A,))


def signers(count: int) -> bytes:
    """A DSC list of ``count`` rows; the bundle counts them and leaves reading them to the store."""
    return json.dumps({"certificates": [{"kid": str(index)} for index in range(count)]}).encode()


def bundle(version: int = 1, files: Mapping[str, bytes] | None = None, **changes: Any) -> bytes:
    """A bundle signed by root A."""
    arguments: dict[str, Any] = {
        "version": version,
        "created_at": NOW + timedelta(days=version),
        "next_update": NOW + timedelta(days=version + 7),
        "root_keys": [ROOT_A],
    }
    return make_bundle(files or {"hcert_dsc.json": signers(10)}, **(arguments | changes))


def test_a_bundle_of_a_trusted_root_is_taken_whole() -> None:
    """Files come out byte for byte, and the state remembers version, roots, dates and counts."""
    files = {"hcert_dsc.json": signers(10), "rules.json": b'{"sets": {}}'}
    opened = open_bundle(bundle(files=files), NEW_KIOSK)
    assert dict(opened.files) == files
    assert opened.state.version == 1
    assert opened.state.counts == {"hcert_dsc.json": 10}
    assert opened.state.next_update == NOW + timedelta(days=8)


def test_versions_never_go_back() -> None:
    """Neither an older bundle nor the same one again, however well signed."""
    state = open_bundle(bundle(5), NEW_KIOSK).state
    for version in (4, 5):
        with pytest.raises(BundleError, match="version"):
            open_bundle(bundle(version), state)
    with pytest.raises(BundleError, match="made"):
        open_bundle(bundle(6, created_at=NOW), state)


def test_an_unknown_root_is_refused() -> None:
    """And so is a genuine signature over another manifest."""
    with pytest.raises(BundleError, match="trusted root"):
        open_bundle(bundle(root_keys=[ROOT_B]), NEW_KIOSK)
    lines = bundle(1).split(b"\n", 3)
    lines[2] = bundle(2).split(b"\n", 3)[2]
    with pytest.raises(BundleError, match="trusted root"):
        open_bundle(b"\n".join(lines), NEW_KIOSK)


def test_a_root_is_rotated_in_two_steps_that_lock_nobody_out() -> None:
    """Old and new root sign together; from then on the new one alone is enough and the old one is not."""
    with pytest.raises(BundleError, match="trusted root"):
        open_bundle(bundle(1, roots=[B]), NEW_KIOSK)  # nobody has shown that root B exists
    state = open_bundle(bundle(1, root_keys=[ROOT_A, ROOT_B], roots=[B]), NEW_KIOSK).state
    assert state.roots == (B,)
    assert open_bundle(bundle(2, root_keys=[ROOT_B]), state).state.version == 2
    with pytest.raises(BundleError, match="trusted root"):
        open_bundle(bundle(2, root_keys=[ROOT_A]), state)


def test_a_list_that_lost_more_than_a_fifth_needs_a_word_from_somebody() -> None:
    """An empty list would shut out every honest code; a confirmed one is taken."""
    state = open_bundle(bundle(1), NEW_KIOSK).state
    assert open_bundle(bundle(2, {"hcert_dsc.json": signers(8)}), state).state.version == 2
    for files in ({"hcert_dsc.json": signers(7)}, {"rules.json": b"{}"}):
        with pytest.raises(ShrinkError):
            open_bundle(bundle(2, files), state)
        assert open_bundle(bundle(2, files), state, confirm_shrink=True).state.version == 2


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_any_changed_byte_is_noticed(place: int, change: int) -> None:
    """Manifest, signature or files: nothing of a changed bundle is taken, and only our own error is raised."""
    data = bytearray(bundle())
    data[place % len(data)] ^= change
    try:
        opened = open_bundle(bytes(data), NEW_KIOSK)
    except GatepostError:
        return
    assert dict(opened.files) == {"hcert_dsc.json": signers(10)}  # a bit of zlib's head that means nothing


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_with_our_own_error(data: bytes) -> None:
    """A stick may hold anything."""
    with pytest.raises(BundleError):
        open_bundle(b"gatepost-trust 1\n" + data, NEW_KIOSK)


def test_a_bomb_is_not_inflated() -> None:
    """The body is inflated to the manifest's sizes and not a byte further."""
    lines = bundle().split(b"\n", 3)
    lines[3] = zlib.compress(bytes(50_000_000), 9)
    with pytest.raises(BundleError, match="changed"):
        open_bundle(b"\n".join(lines), NEW_KIOSK)


def test_files_swapped_under_a_genuine_manifest_are_noticed() -> None:
    """The signature covers the manifest; the manifest's hashes cover the files."""
    lines = bundle().split(b"\n", 3)
    lines[3] = zlib.compress(signers(10).replace(b'"9"', b'"8"'))
    with pytest.raises(BundleError, match="SHA-256"):
        open_bundle(b"\n".join(lines), NEW_KIOSK)


def test_the_age_light() -> None:
    """Green until the next bundle is due, amber for a week, then red; red without any."""
    state = open_bundle(bundle(1), NEW_KIOSK).state
    due = NOW + timedelta(days=8)
    assert age_light(state, due - timedelta(seconds=1)) is AgeLight.GREEN
    assert age_light(state, due) is AgeLight.AMBER
    assert age_light(state, due + timedelta(days=7)) is AgeLight.RED
    assert age_light(state, due + timedelta(days=7), red_after=timedelta(days=60)) is AgeLight.AMBER
    assert age_light(NEW_KIOSK, NOW) is AgeLight.RED


def entry(number: int) -> dict[str, str]:
    """A revocation of the HCERT list."""
    return {"kid": "AAAAAAAAAAA=", "hashType": "UCI", "hash": f"hash {number}"}


def revocations(*numbers: int) -> bytes:
    """``hcert_revoked.json``."""
    return json.dumps({"entries": [entry(number) for number in numbers]}).encode()


def test_an_update_that_forgets_a_revocation_lifts_none() -> None:
    """What was revoked stays revoked, in every file that revokes, also when the new bundle lacks the file."""
    old = {
        "hcert_revoked.json": revocations(1, 2),
        "shc_crl.json": b'{"k": {"kid": "k", "method": "rid", "ctr": 1, "rids": ["a"]}}',
        "community_keys.json": b'{"keys": [{"name": "x"}], "revoked_keys": ["aa"], "revoked_passes": ["bb"]}',
        "vdsnc_csca.json": b'{"csca": [], "crl": ["CCCC"]}',
    }
    kept = {name: json.loads(content) for name, content in keep_revocations(old, {"rules.json": b"{}"}).items()}
    assert kept["hcert_revoked.json"] == {"entries": [entry(1), entry(2)]}
    assert kept["shc_crl.json"]["k"]["rids"] == ["a"]
    assert kept["community_keys.json"] == {"keys": [], "revoked_keys": ["aa"], "revoked_passes": ["bb"]}
    assert kept["vdsnc_csca.json"] == {"csca": [], "crl": ["CCCC"]}
    again = keep_revocations(old, {"hcert_revoked.json": revocations(2, 3)})
    assert json.loads(again["hcert_revoked.json"])["entries"] == [entry(2), entry(3), entry(1)]


def test_only_a_signed_word_lifts_a_revocation() -> None:
    """A revocation made by mistake is taken back by the bundle's own ``reinstated``, and by nothing else."""
    lifted = [{"file": "hcert_revoked.json", "entry": entry(1)}]
    opened = open_bundle(bundle(1, {"hcert_revoked.json": revocations(2)}, reinstated=lifted), NEW_KIOSK)
    kept = keep_revocations({"hcert_revoked.json": revocations(1, 2)}, opened.files, opened.reinstated)
    assert json.loads(kept["hcert_revoked.json"])["entries"] == [entry(2)]
