"""Which kiosks may send: enrolled and approved, with the key that they have now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, bindparam, select

from sync.central.enrolment import APPROVED
from sync.central.tables import Kiosk, table
from sync.errors import WireError

kiosks = table(Kiosk)

_KEYS_OF_KIOSKS = select(kiosks.c.kiosk_id, kiosks.c.public_key, kiosks.c.state).where(
    kiosks.c.kiosk_id.in_(bindparam("b_kiosk_ids", expanding=True))
)


def kiosk_rows(connection: Connection, kiosk_ids: Iterable[str]) -> dict[str, Any]:
    """Name, key and state of these kiosks, by name; one that never enrolled is missing."""
    found = connection.execute(_KEYS_OF_KIOSKS, {"b_kiosk_ids": sorted(kiosk_ids)})
    return {row.kiosk_id: row for row in found}


def require_admitted(kiosk_id: str, row: Any, public_key: bytes | None = None) -> bytes:
    """The public key in a kiosk's row; raises WireError (401 unknown or another key, 403 not approved or revoked)."""
    if row is None:
        raise WireError(
            "kiosk", status=401, seen=kiosk_id[:64], expected="an enrolled kiosk", hint="gatepost-sync enrol"
        )
    if row.state != APPROVED:
        raise WireError("kiosk", status=403, seen=f"{kiosk_id[:64]} is {row.state}", expected=APPROVED)
    if public_key is not None and row.public_key != public_key:
        raise WireError("signature", status=401, seen="by a key that this kiosk had before")
    return bytes(row.public_key)


def admitted_key(connection: Connection, kiosk_id: str) -> bytes:
    """The public key of an approved kiosk; raises WireError (401 unknown, 403 not approved or revoked)."""
    return require_admitted(kiosk_id, kiosk_rows(connection, [kiosk_id]).get(kiosk_id))
