"""Second card keys: sealed at the desk, released to the kiosks that are left, to nobody else."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from kiosk.card_release import (
    CardReleaseError,
    SecondKeys,
    make_escrow,
    make_release,
    montgomery_private,
    montgomery_public,
    open_escrow,
    open_release,
)
from kiosk.revocation_list import RevocationList
from kiosk.sealing import Seal
from kiosk.signed_document import DocumentError, DocumentKind, Manifest, check_document

RELEASE_KEY = bytes(range(32))
NORTH, SOUTH, STOLEN = (Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2, 3))
CARDS = tuple(SecondKeys(bytes([4, *[number] * 6]), bytes([number]) * 16, bytes([99]) * 16) for number in range(5))


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def test_the_montgomery_form_is_the_known_one() -> None:
    """Both halves belong together for any seed; a published pair (RFC 8032 test 1 seed, as libsodium converts it)."""
    for key in (NORTH, SOUTH, STOLEN, Ed25519PrivateKey.generate()):
        assert montgomery_private(key).public_key().public_bytes_raw() == montgomery_public(public(key))
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    known = Ed25519PrivateKey.from_private_bytes(seed)
    assert montgomery_public(public(known)).hex() == "d85e07ec22b0ad881537c2f44d662d1a143cf830c57aca4305d85c7a90f6b62e"
    for wrong in (b"", bytes(31), (1).to_bytes(32, "little"), b"\xff" * 32):
        with pytest.raises(ValueError, match="Ed25519"):
            montgomery_public(wrong)


@pytest.mark.parametrize(("gate_key_no", "key_version"), [(3, 1), (0, 1), (4, 0), (4, 256)])
def test_only_second_keys_go_out(gate_key_no: int, key_version: int) -> None:
    """A first key, or a master's slot, in a release would open again what the theft has closed; versions are a byte."""
    with pytest.raises(ValueError, match="second gate key"):
        SecondKeys(bytes(7), bytes(16), bytes(16), gate_key_no, key_version)


def test_an_escrow_with_a_first_key_in_it_is_not_opened() -> None:
    """Made by something else under the right release key: its rows are looked at, one by one."""
    row = bytes(7) + bytes((3, 1)) + bytes(32)
    escrow = Seal(RELEASE_KEY).sealed(row, b"gatepost card escrow 1")
    with pytest.raises(CardReleaseError, match="second gate key"):
        open_escrow(escrow, RELEASE_KEY)


def test_an_escrow_opens_under_its_release_key_alone() -> None:
    """Whoever has the central has nothing."""
    escrow = make_escrow(CARDS, RELEASE_KEY)
    assert open_escrow(escrow, RELEASE_KEY) == CARDS
    assert CARDS[3].gate_key not in escrow
    for wrong in (bytes(32), bytes(31)):
        with pytest.raises(CardReleaseError):
            open_escrow(escrow, wrong)
    with pytest.raises(CardReleaseError):
        open_escrow(escrow[:-1] + bytes([escrow[-1] ^ 1]), RELEASE_KEY)
    with pytest.raises(CardReleaseError, match="each once"):
        make_escrow((CARDS[0], CARDS[0]), RELEASE_KEY)


def test_a_release_is_for_the_kiosks_it_was_sealed_to() -> None:
    """Each of them opens it with its own key; the stolen one, or one under another's name, does not."""
    body = make_release(CARDS, {"north-1": public(NORTH), "south-1": public(SOUTH)})
    assert open_release(body, "north-1", NORTH).cards == open_release(body, "south-1", SOUTH).cards == CARDS
    assert open_release(body, "north-1", NORTH).keep_others is False
    for kiosk_id, key in (("stolen-1", STOLEN), ("north-1", STOLEN), ("north-1", SOUTH)):
        with pytest.raises(CardReleaseError):
            open_release(body, kiosk_id, key)
    swapped = json.loads(body)
    swapped["sealed"]["north-1"] = swapped["sealed"]["south-1"]
    with pytest.raises(CardReleaseError):
        open_release(json.dumps(swapped).encode(), "north-1", SOUTH)
    assert b"keep_others" in body
    for card in CARDS:
        assert base64.b64encode(card.gate_key)[:16] not in body


@given(st.data())
def test_no_changed_release_opens_as_another(data: st.DataObject) -> None:
    """A byte changed anywhere: the same cards, or an error by name."""
    body = bytearray(make_release(CARDS, {"north-1": public(NORTH)}))
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        assert open_release(bytes(body), "north-1", NORTH).cards == CARDS
    except CardReleaseError:
        return


documents = st.dictionaries(
    st.sampled_from(["v", "cards", "reinstated", "passes"]),
    st.none()
    | st.integers()
    | st.lists(st.text(max_size=20) | st.dictionaries(st.sampled_from(["uid", "why"]), st.text())),
)


@given(documents.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200))
def test_a_list_of_revocations_is_whole_or_refused(body: bytes) -> None:
    """Nothing but DocumentError, whatever comes."""
    try:
        RevocationList.parse(body)
    except DocumentError:
        return


def test_what_a_list_of_revocations_says() -> None:
    """Numbers with their reasons; a card in both lists, an odd number, or another field is refused whole."""
    good: dict[str, Any] = {
        "v": 1,
        "cards": [{"uid": "04A1B2C3D4E501", "why": "lost"}],
        "reinstated": ["04A1B2C3D4E502"],
        "passes": ["0011223344556677"],
    }
    found = RevocationList.parse(json.dumps(good).encode())
    assert found.cards == ((bytes.fromhex("04A1B2C3D4E501"), "lost"),)
    assert found.passes == (bytes.fromhex("0011223344556677"),)
    wrongs: tuple[dict[str, Any], ...] = (
        {"v": 2},
        {"reinstated": ["04A1B2C3D4E501"]},
        {"passes": ["0011"]},
        {"cards": [{"uid": "04", "why": ""}]},
        {"cards": [{"uid": "04A1B2C3D4E501", "why": "a\nb"}]},
        {"more": []},
    )
    for wrong in wrongs:
        with pytest.raises(DocumentError):
            RevocationList.parse(json.dumps(good | wrong).encode())


def test_the_gate_believes_the_authority_alone() -> None:
    """As sync does, with the same rules: signature, kind, version, whole body."""
    authority = Ed25519PrivateKey.generate()
    body = b"cards"
    manifest = Manifest.of(DocumentKind.CARDS, 3, body, 5).to_bytes()
    signature = authority.sign(b"gatepost/snapshot/1\n" + manifest)
    good: dict[str, Any] = {"authority": public(authority), "wanted": DocumentKind.CARDS, "held": 2}
    assert check_document(manifest, signature, body, **good).version == 3
    for changed in ({"held": 3}, {"wanted": DocumentKind.ROSTER}, {"authority": public(NORTH)}):
        with pytest.raises(DocumentError):
            check_document(manifest, signature, body, **(good | changed))
    with pytest.raises(DocumentError):
        check_document(manifest, signature, body + b"x", **good)
    spaced = manifest.replace(b":", b": ")
    with pytest.raises(DocumentError):
        check_document(spaced, authority.sign(b"gatepost/snapshot/1\n" + spaced), body, **good)
