"""Revision 0001: the tables as they stood when migrations came in.

Written out here once and for ever: it imports no model, so that changing a model cannot change history. What is
there already is left as it is, so that the same revision takes over a database that ``create_all`` made before
(``sync/central/migrate.py`` compares the outcome with the models before it commits).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
additive = True  # what a program of the revision before may go on working beside; see sync/central/migrate.py


def upgrade() -> None:
    """Make every table and index that is missing."""
    _table(
        "meta",
        _text("name"),
        _text("value"),
        sa.PrimaryKeyConstraint("name"),
    )
    _table(
        "counters",
        _text("name"),
        _big("value"),
        sa.PrimaryKeyConstraint("name"),
    )
    _table(
        "kiosks",
        _text("kiosk_id"),
        _blob("public_key"),
        _text("fingerprint"),
        _text("state"),
        _big("enrolled_us"),
        _big("decided_us", nullable=True),
        _text("decided_by"),
        _big("last_seen_us", nullable=True),
        _text("heartbeat_boot_id"),
        _big("heartbeat_mono_ns"),
        _big("wall_us", nullable=True),
        _text("clock_trust"),
        _big("offset_us", nullable=True),
        _big("offset_error_us", nullable=True),
        _big("backlog"),
        _big("oldest_us", nullable=True),
        _text("software"),
        _text("held"),
        _text("alarms"),
        sa.PrimaryKeyConstraint("kiosk_id"),
    )
    _table(
        "ledger",
        _text("kiosk_id"),
        _text("incarnation"),
        _text("stream"),
        _big("hi"),
        _blob("head"),
        _big("records"),
        _big("first_us"),
        _big("last_us"),
        _big("claimed_last"),
        _big("forks"),
        _big("base_seq"),
        _blob("base_head"),
        sa.PrimaryKeyConstraint("kiosk_id", "incarnation", "stream"),
    )
    _table(
        "records",
        _big("receive_id"),
        _text("kiosk_id"),
        _text("incarnation"),
        _text("stream"),
        _big("seq"),
        _text("kind"),
        _big("at_us"),
        _text("clock_trust"),
        _text("boot_id"),
        _big("mono_ns"),
        _text("lane"),
        _text("ref"),
        _text("payload_classes"),
        _blob("hash"),
        _big("batch_id"),
        _big("received_us"),
        sa.PrimaryKeyConstraint("receive_id"),
    )
    _index("records_identity", "records", "kiosk_id", "incarnation", "stream", "seq", unique=True)
    _index("records_ref", "records", "ref")
    _table(
        "payloads",
        _big("receive_id"),
        _text("payload_class"),
        _blob("digest"),
        _blob("salt", nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("receive_id", "payload_class"),
    )
    _table(
        "passages",
        _big("receive_id"),
        _text("kiosk_id"),
        _text("incarnation"),
        _big("seq"),
        _text("ref"),
        _big("at_us"),
        _text("clock_trust"),
        _text("lane"),
        _text("direction"),
        sa.Column("admit", sa.Boolean(), nullable=True),
        _text("reason"),
        _text("reasons"),
        _text("category"),
        _text("place"),
        _text("credential"),
        _text("code_kind"),
        _text("policy_version"),
        _text("checks"),
        _big("credential_to_verdict_ms", nullable=True),
        _text("passed"),
        _text("overridden"),
        _big("received_us"),
        sa.PrimaryKeyConstraint("receive_id"),
    )
    _index("passages_at", "passages", "at_us")
    _index("passages_ref", "passages", "kiosk_id", "ref")
    _table(
        "batches",
        _serial("batch_id"),
        _text("kiosk_id"),
        _text("incarnation"),
        _text("stream"),
        _big("first_seq"),
        _big("last_seq"),
        _big("count"),
        _big("stored"),
        _big("duplicates"),
        _big("rejected"),
        _big("compressed_bytes"),
        _big("body_bytes"),
        _big("received_us"),
        _big("lag_us"),
        _text("result"),
        _text("detail"),
        _blob("digest"),
        _blob("signature"),
        _blob("last_head"),
        _blob("head_signature"),
        _text("fingerprint"),
        sa.PrimaryKeyConstraint("batch_id"),
    )
    _index("batches_kiosk", "batches", "kiosk_id", "batch_id")
    _index("ix_batches_result", "batches", "result")
    _table(
        "quarantine",
        _serial("quarantine_id"),
        _text("kiosk_id"),
        _text("incarnation"),
        _text("stream"),
        _big("seq"),
        _blob("digest"),
        _text("reason"),
        _text("detail"),
        sa.Column("raw", sa.Text(), nullable=False),
        _big("batch_id"),
        _big("received_us"),
        sa.PrimaryKeyConstraint("quarantine_id"),
    )
    _index("quarantine_identity", "quarantine", "kiosk_id", "incarnation", "stream", "seq", "digest", unique=True)
    _table(
        "forks",
        _serial("fork_id"),
        _text("kiosk_id"),
        _text("incarnation"),
        _text("stream"),
        _big("seq"),
        _blob("stored_hash"),
        _blob("seen_hash"),
        _big("quarantined_to"),
        _big("first_seen_us"),
        _big("last_seen_us"),
        sa.PrimaryKeyConstraint("fork_id"),
    )
    _table(
        "gaps",
        _serial("gap_id"),
        _text("kiosk_id"),
        _text("incarnation"),
        _text("stream"),
        _big("first_seq"),
        _big("last_seq"),
        _big("batch_id"),
        _big("declared_us"),
        sa.PrimaryKeyConstraint("gap_id"),
    )
    _table(
        "alerts",
        _serial("alert_id"),
        _big("at_us"),
        _text("code"),
        _text("kiosk_id"),
        _text("detail"),
        _big("times"),
        _big("last_us"),
        _big("closed_us", nullable=True),
        _text("closed_by"),
        sa.PrimaryKeyConstraint("alert_id"),
    )
    _index("ix_alerts_at_us", "alerts", "at_us")
    _table(
        "enrolment_codes",
        _blob("code_hash"),
        _text("kiosk_id"),
        _text("created_by"),
        _big("expires_us"),
        _big("used_us", nullable=True),
        sa.PrimaryKeyConstraint("code_hash"),
    )
    _table(
        "phone_codes",
        _blob("code_hash"),
        _text("subject"),
        _text("created_by"),
        _big("created_us"),
        _big("expires_us"),
        _big("used_us", nullable=True),
        _text("used_by"),
        sa.PrimaryKeyConstraint("code_hash"),
    )
    _table(
        "phones",
        _text("phone_id"),
        _text("subject"),
        _blob("holder_key"),
        _big("enrolled_us"),
        _big("last_code_us"),
        _big("revoked_us", nullable=True),
        _text("revoked_by"),
        sa.PrimaryKeyConstraint("phone_id"),
    )
    _index("ix_phones_subject", "phones", "subject")
    _table(
        "status_orders",
        _serial("order_id"),
        _text("subject"),
        _text("status"),
        _text("number"),
        _text("issuer"),
        _text("appeal"),
        _big("until_us"),
        _text("proposed_by"),
        _big("proposed_us"),
        _text("approved_by"),
        _big("approved_us", nullable=True),
        _text("lifted_by"),
        _big("lifted_us", nullable=True),
        sa.PrimaryKeyConstraint("order_id"),
    )
    _index("ix_status_orders_subject", "status_orders", "subject")
    _table(
        "documents",
        _text("kind"),
        _big("version"),
        _blob("manifest"),
        _blob("signature"),
        _blob("body"),
        _big("published_us"),
        _text("published_by"),
        sa.PrimaryKeyConstraint("kind", "version"),
    )
    _table(
        "users",
        _text("name"),
        _text("role"),
        _text("secret"),
        _big("created_us"),
        _big("failures"),
        _big("not_before_us"),
        sa.PrimaryKeyConstraint("name"),
    )
    _table(
        "sessions",
        _blob("token_hash"),
        _text("kind"),
        _text("name"),
        _text("role"),
        _big("created_us"),
        _big("last_used_us"),
        _big("expires_us"),
        sa.PrimaryKeyConstraint("token_hash"),
    )
    _table(
        "audit",
        _serial("audit_id"),
        _big("at_us"),
        _text("name"),
        _text("action"),
        _text("detail"),
        sa.PrimaryKeyConstraint("audit_id"),
    )
    _index("ix_audit_at_us", "audit", "at_us")


def _table(name: str, *parts: sa.Column[object] | sa.PrimaryKeyConstraint) -> None:
    op.create_table(name, *parts, if_not_exists=True)


def _index(name: str, table: str, *columns: str, unique: bool = False) -> None:
    op.create_index(name, table, list(columns), unique=unique, if_not_exists=True)


def _text(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.String(), nullable=False)


def _blob(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.LargeBinary(), nullable=nullable)


def _big(name: str, *, nullable: bool = False) -> sa.Column[object]:
    # 64 bits, and never a sequence on PostgreSQL because it happens to be a key.
    return sa.Column(name, sa.BigInteger(), nullable=nullable, autoincrement=False)


def _serial(name: str) -> sa.Column[object]:
    # SQLite numbers rows by itself only where the key is an INTEGER.
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False)
