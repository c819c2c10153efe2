"""Revision 0003: an index of the few records that say who was on duty, for the daily report."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
additive = True  # an index; making it reads every record once

DUTY_RECORDS = "kind IN ('boot', 'shift')"


def upgrade() -> None:
    """Make the index."""
    op.create_index(
        "records_duty",
        "records",
        ["at_us"],
        sqlite_where=sa.text(DUTY_RECORDS),
        postgresql_where=sa.text(DUTY_RECORDS),
        if_not_exists=True,
    )
