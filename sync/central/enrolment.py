"""Who may send: one-time codes, kiosk keys, approval by a person, revocation.

1. An admin makes a code for a kiosk id (10 characters, valid 15 minutes, used once).
2. The kiosk sends the code and its public key, signed with its private key, which never leaves it.
3. The admin compares the fingerprint on the kiosk's screen with the one here and approves it.
A kiosk that is re-imaged enrols again with a new code; its old key stops working with the approval of the new one.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from sqlalchemy import Connection, insert, select, update

from sync import keys
from sync.central.alerts import raise_alert, settle_alert
from sync.central.audit import note
from sync.central.tables import EnrolmentCode, Kiosk, table
from sync.enrol import EnrolRequest
from sync.errors import WireError
from sync.wire_fields import short

kiosks, codes = table(Kiosk), table(EnrolmentCode)

CODE_VALID_US = 15 * 60 * 1_000_000
# Without 0, 1, I, L, O, U: read aloud over the telephone. 30 letters ^ 10 = 49 bits for 15 minutes.
ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_CHARS = 10
PENDING, APPROVED, REVOKED = "pending", "approved", "revoked"


def _hash(code: str) -> bytes:
    return hashlib.sha256(code.replace("-", "").upper().encode("utf-8")).digest()


def make_code(connection: Connection, now_us: int, kiosk_id: str, by: str) -> str:
    """A new one-time code for ``kiosk_id``, valid for 15 minutes; only its hash is kept."""
    short(kiosk_id, "kiosk id")
    code = "".join(secrets.choice(ALPHABET) for _ in range(CODE_CHARS))
    connection.execute(
        insert(codes).values(
            code_hash=_hash(code), kiosk_id=kiosk_id, created_by=by, expires_us=now_us + CODE_VALID_US, used_us=None
        )
    )
    note(connection, now_us, by, "enrol_code", kiosk_id)
    return f"{code[:5]}-{code[5:]}"


def enrol(connection: Connection, now_us: int, request: EnrolRequest) -> str:
    """Take a kiosk's key as pending; returns its fingerprint.

    The same request again gives the same answer while it waits. Raises WireError (403) for a code that is wrong,
    used by another key, expired, or made for another kiosk.
    """
    fingerprint = keys.fingerprint(request.public_key)
    code = connection.execute(select(codes).where(codes.c.code_hash == _hash(request.code))).one_or_none()
    known = connection.execute(select(kiosks).where(kiosks.c.kiosk_id == request.kiosk_id)).one_or_none()
    if code is not None and code.used_us is not None and known is not None and known.fingerprint == fingerprint:
        return fingerprint
    if code is None or code.used_us is not None or now_us > code.expires_us or code.kiosk_id != request.kiosk_id:
        raise WireError(
            "enrolment code", status=403, seen="wrong, used, expired, or for another kiosk", hint="ask for a new one"
        )
    connection.execute(update(codes).where(codes.c.code_hash == code.code_hash).values(used_us=now_us))
    values: dict[str, Any] = {
        "public_key": request.public_key,
        "fingerprint": fingerprint,
        "state": PENDING,
        "enrolled_us": now_us,
        "decided_us": None,
        "decided_by": "",
    }
    if known is not None:
        connection.execute(update(kiosks).where(kiosks.c.kiosk_id == request.kiosk_id).values(**values))
    else:
        connection.execute(
            insert(kiosks).values(
                kiosk_id=request.kiosk_id,
                heartbeat_boot_id="",
                heartbeat_mono_ns=0,
                clock_trust="",
                backlog=0,
                software="",
                held="{}",
                alarms="",
                **values,
            )
        )
    raise_alert(connection, now_us, "kiosk_waits_for_approval", request.kiosk_id, fingerprint)
    note(connection, now_us, request.kiosk_id, "enrol", fingerprint)
    return fingerprint


def decide(connection: Connection, now_us: int, *, kiosk_id: str, fingerprint: str, state: str, by: str) -> bool:
    """Approve or revoke a kiosk's key; False when there is no such kiosk with this fingerprint.

    The fingerprint is asked for so that nobody approves a key that changed under their hands.
    """
    changed = connection.execute(
        update(kiosks)
        .where(kiosks.c.kiosk_id == kiosk_id, kiosks.c.fingerprint == fingerprint)
        .values(state=state, decided_us=now_us, decided_by=by)
    )
    if changed.rowcount:
        note(connection, now_us, by, state, f"{kiosk_id} {fingerprint}")
        settle_alert(connection, now_us, "kiosk_waits_for_approval", kiosk_id, by)
        if state == REVOKED:
            settle_alert(connection, now_us, "kiosk_silent", kiosk_id, by)  # nobody waits for a word of it any more
    return changed.rowcount > 0


def approved_keys(connection: Connection) -> dict[str, bytes]:
    """Every approved kiosk's public key (32 bytes), by its id."""
    rows = connection.execute(select(kiosks.c.kiosk_id, kiosks.c.public_key).where(kiosks.c.state == APPROVED))
    return {row.kiosk_id: bytes(row.public_key) for row in rows}
