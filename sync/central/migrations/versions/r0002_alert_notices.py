"""Revision 0002: alerts that were sent by mail or webhook, and the ways they are sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
additive = True  # two tables that a program of the revision before does not know


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "alert_channels",
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("lease_by", sa.String(), nullable=False),
        sa.Column("lease_until_us", sa.BigInteger(), nullable=False),
        sa.Column("next_us", sa.BigInteger(), nullable=False),
        sa.Column("sent_us", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("failing_since_us", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("channel"),
        if_not_exists=True,
    )
    op.create_table(
        "alert_notices",
        sa.Column("alert_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("sent_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("alert_id", "channel"),
        if_not_exists=True,
    )
