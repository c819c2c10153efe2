"""Revision 0004: which policy each kiosk is offered, filled from the policies that were published before."""

from __future__ import annotations

import tomllib

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
additive = True  # a table that a program of the revision before does not know


def upgrade() -> None:
    """Make the table; each policy takes the place of the one before it for as many kiosks."""
    connection = op.get_bind()
    if sa.inspect(connection).has_table("policy_offers"):
        return
    offers = op.create_table(
        "policy_offers",
        sa.Column("kiosk_id", sa.String(), nullable=False),
        sa.Column("reach", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kiosk_id", "reach"),
    )
    rows: dict[tuple[str, int], int] = {}
    published = sa.text("SELECT version, body FROM documents WHERE kind = 'policy' ORDER BY version")
    for version, body in connection.execute(published):
        for kiosk_id, reach in _whom(bytes(body)):
            rows[kiosk_id, reach] = version
    if rows:
        values = [{"kiosk_id": name, "reach": reach, "version": version} for (name, reach), version in rows.items()]
        connection.execute(sa.insert(offers), values)


def _whom(body: bytes) -> list[tuple[str, int]]:
    """The kiosks that a policy names, with 2 for one alone and 1 for several; ("", 0) for every kiosk."""
    try:
        found = tomllib.loads(body.decode("utf-8")).get("kiosks", [])
    except (ValueError, RecursionError):
        found = []
    names = list(dict.fromkeys(each for each in found if isinstance(each, str))) if isinstance(found, list) else []
    return [(name, 2 if len(names) == 1 else 1) for name in names] or [("", 0)]
