"""Revision 0005: no index of records by passage; nobody asks for them so, and every record paid for it."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
additive = True  # a program of the revision before asks nothing of it; on SQLite its pages are wiped once


def upgrade() -> None:
    """Drop the index."""
    op.drop_index("records_ref", table_name="records", if_exists=True)
