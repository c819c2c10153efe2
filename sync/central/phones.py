"""Residents' phones: enrolled once with a one-time code, then given fresh health codes until somebody revokes them.

1. An admin makes a code for a person of the roster (12 characters, valid a day, used once) and hands over the link.
2. The phone's browser makes a P-256 key that it cannot hand out, and sends the code and the public half, signed.
3. From then on the phone asks for a new ``GC1:`` code by a signature of that key; the code carries its public half.

Kept here are the pseudonym and the public key: no name, no number of the phone. Signatures are ES256 of 64 bytes,
as browsers' WebCrypto gives them, each over a purpose of its own.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection, func, insert, select, update

from kiosk.credentials.signing_key import Algorithm, SigningKey
from sync.central.audit import note
from sync.central.enrolment import ALPHABET
from sync.central.tables import Phone, PhoneCode, table
from sync.errors import WireError
from sync.wire_fields import short

phones, phone_codes = table(Phone), table(PhoneCode)

ENROL_PURPOSE = b"gatepost phone enrol 1\x00"
RENEW_PURPOSE = b"gatepost phone code 1\x00"
HOLDER_KEY_BYTES = 33
CODE_CHARS = 12
CODE_VALID_US = 24 * 3600 * 1_000_000
#: A phone that is further off cannot show a code that a gate takes; better told here than at the gate.
CLOCK_TOLERANCE_US = 3600 * 1_000_000
MAX_PHONES_A_PERSON = 5


@dataclass(frozen=True, slots=True)
class Holder:
    """A phone that may have a code: whose, and with which key."""

    phone_id: str
    subject: str
    holder_key: bytes


def _hash(code: str) -> bytes:
    return hashlib.sha256(b"gatepost phone code\x00" + normal(code).encode("utf-8")).digest()


def normal(code: str) -> str:
    """A code as it is hashed and signed, however it was typed: upper case, without hyphens and spaces."""
    return code.replace("-", "").replace(" ", "").upper()


def phone_id_of(holder_key: bytes) -> str:
    """A phone's name: 12 hexadecimal digits of SHA-256 of its key."""
    return hashlib.sha256(holder_key).hexdigest()[:12]


def make_code(connection: Connection, now_us: int, subject: str, by: str) -> str:
    """A new one-time code for the person of this pseudonym, valid for a day; only its hash is kept."""
    short(subject, "pseudonym")
    code = "".join(secrets.choice(ALPHABET) for _ in range(CODE_CHARS))
    connection.execute(
        insert(phone_codes).values(
            code_hash=_hash(code),
            subject=subject,
            created_by=by,
            created_us=now_us,
            expires_us=now_us + CODE_VALID_US,
            used_us=None,
            used_by="",
        )
    )
    note(connection, now_us, by, "phone_code", subject)
    return "-".join(code[at : at + 4] for at in range(0, CODE_CHARS, 4))


def enrol(connection: Connection, now_us: int, *, code: str, holder_key: bytes, signature: bytes) -> Holder:
    """Take a phone's key in by its one-time code.

    The same phone asking again with the same code gets the same answer, since answers get lost. Raises WireError
    (403) for a code that is wrong, expired or used by another phone, and for a phone that was revoked; (400) for
    a key that is none, or a signature that is not its own; (409) for a sixth phone of one person.
    """
    _check(holder_key, ENROL_PURPOSE + normal(code).encode("utf-8"), signature)
    phone_id = phone_id_of(holder_key)
    row = connection.execute(select(phone_codes).where(phone_codes.c.code_hash == _hash(code))).one_or_none()
    if row is None or now_us > row.expires_us or (row.used_us is not None and row.used_by != phone_id):
        raise WireError("phone code", status=403, seen="wrong, used or expired", hint="ask the office for a new one")
    known = connection.execute(select(phones).where(phones.c.phone_id == phone_id)).one_or_none()
    if known is not None and known.revoked_us is not None:
        raise WireError("phone", status=403, seen="one that was revoked", hint="ask the office")
    if row.used_us is None:
        _take(connection, now_us, row.subject, holder_key, known=known is not None)
        connection.execute(
            update(phone_codes).where(phone_codes.c.code_hash == row.code_hash).values(used_us=now_us, used_by=phone_id)
        )
        note(connection, now_us, phone_id, "phone_enrolled", row.subject)
    return Holder(phone_id, row.subject, holder_key)


def _take(connection: Connection, now_us: int, subject: str, holder_key: bytes, *, known: bool) -> None:
    phone_id = phone_id_of(holder_key)
    if known:  # the phone changes hands within the family: its next codes are the new person's
        connection.execute(
            update(phones).where(phones.c.phone_id == phone_id).values(subject=subject, enrolled_us=now_us)
        )
        return
    in_use = select(func.count()).where(phones.c.subject == subject, phones.c.revoked_us.is_(None))
    if connection.execute(in_use).scalar_one() >= MAX_PHONES_A_PERSON:
        raise WireError(
            "phone", status=409, seen=f"{MAX_PHONES_A_PERSON} phones of this person", hint="the office revokes one"
        )
    connection.execute(
        insert(phones).values(
            phone_id=phone_id,
            subject=subject,
            holder_key=holder_key,
            enrolled_us=now_us,
            last_code_us=now_us,
            revoked_us=None,
            revoked_by="",
        )
    )


def renew(connection: Connection, now_us: int, *, holder_key: bytes, at_s: int, signature: bytes) -> Holder:
    """The phone that asks for a fresh code at ``at_s`` of its own clock (whole seconds of UTC).

    Raises WireError (403) for a phone that is unknown or revoked, (400) for a signature that is not its own, and
    (422) when its clock is more than an hour off.
    """
    _check(holder_key, RENEW_PURPOSE + str(at_s).encode("ascii"), signature)
    row = connection.execute(select(phones).where(phones.c.phone_id == phone_id_of(holder_key))).one_or_none()
    if row is None or row.revoked_us is not None:
        raise WireError("phone", status=403, seen="not enrolled, or revoked", hint="ask the office for a new link")
    if abs(at_s * 1_000_000 - now_us) > CLOCK_TOLERANCE_US:
        raise WireError("phone's clock", status=422, seen="more than an hour off", hint="set date and time")
    connection.execute(update(phones).where(phones.c.phone_id == row.phone_id).values(last_code_us=now_us))
    return Holder(row.phone_id, row.subject, holder_key)


def revoke(connection: Connection, now_us: int, phone_id: str, by: str) -> bool:
    """No further code for this phone; False when there is none of that name. What it has ends within its hours."""
    changed = connection.execute(
        update(phones)
        .where(phones.c.phone_id == phone_id, phones.c.revoked_us.is_(None))
        .values(revoked_us=now_us, revoked_by=by)
    ).rowcount
    if changed:
        note(connection, now_us, by, "phone_revoked", phone_id)
    return changed > 0


def _check(holder_key: bytes, signed: bytes, signature: bytes) -> None:
    if len(holder_key) != HOLDER_KEY_BYTES:
        raise WireError("holder key", seen=f"{len(holder_key)} bytes", expected=f"{HOLDER_KEY_BYTES}")
    try:
        public_key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), holder_key)
    except ValueError:
        raise WireError("holder key", seen="no point of P-256", expected="a compressed point") from None
    if not SigningKey(Algorithm.ES256, public_key).verifies(signature, signed):
        raise WireError("signature", seen="not by this phone's key")
