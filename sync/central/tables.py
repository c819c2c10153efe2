"""The central's tables.

They have a registry of their own, so that they never meet the kiosk's. Every count and every instant is a
BigInteger: SQLModel's plain ``int`` is 32 bits on PostgreSQL. Instants are UTC in microseconds.

``ledger`` is what deduplicates: for each chain (kiosk, incarnation, stream) the highest contiguous seq and its hash.
``counters.receive_id`` numbers stored records in commit order (its row is locked by the storing transaction), so
an export's cursor never jumps over a record that was committed later under a lower number.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Dialect, Index, Integer, LargeBinary, Table, Text, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel


class Bytes(LargeBinary):
    """A binary column whose values go to the driver as they are; wrapping each one costs more than storing it."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> None:
        """Bytes are what the drivers take."""

    def result_processor(self, dialect: Dialect, coltype: object) -> None:
        """And what they give."""


class CentralTable(SQLModel, registry=registry()):
    """Base of every table of the central."""


def _big(*, key: bool = False, index: bool = False, nullable: bool = False) -> Any:
    return Field(sa_column=Column(BigInteger, primary_key=key, index=index, nullable=nullable, autoincrement=False))


def _serial() -> Any:
    # SQLite numbers rows by itself only where the key is an INTEGER.
    kind = BigInteger().with_variant(Integer, "sqlite")
    return Field(default=None, sa_column=Column(kind, primary_key=True, autoincrement=True))


class Meta(CentralTable, table=True):
    """Facts of the store: ``store_epoch``, ``store_id``, and ``schema_version`` for programs before migrations."""

    __tablename__ = "meta"
    name: str = Field(primary_key=True)
    value: str


class Counter(CentralTable, table=True):
    """Numbers that are given out in commit order: ``receive_id``."""

    __tablename__ = "counters"
    name: str = Field(primary_key=True)
    value: int = _big()


class Kiosk(CentralTable, table=True):
    """One kiosk: its key, whether it may send, and what it last said of itself."""

    __tablename__ = "kiosks"
    kiosk_id: str = Field(primary_key=True)
    public_key: bytes = Field(sa_column=Column(Bytes, nullable=False))
    fingerprint: str
    state: str
    enrolled_us: int = _big()
    decided_us: int | None = _big(nullable=True)
    decided_by: str = ""
    last_seen_us: int | None = _big(nullable=True)
    heartbeat_boot_id: str = ""
    heartbeat_mono_ns: int = _big()
    wall_us: int | None = _big(nullable=True)
    clock_trust: str = ""
    offset_us: int | None = _big(nullable=True)
    offset_error_us: int | None = _big(nullable=True)
    backlog: int = _big()
    oldest_us: int | None = _big(nullable=True)
    software: str = ""
    held: str = "{}"
    alarms: str = ""


class Ledger(CentralTable, table=True):
    """One chain: the highest contiguous seq committed here, its hash, and how much came.

    Records up to ``base_seq`` (hash ``base_head``) were forgotten by retention; 0 and zero bytes while all are here.
    """

    __tablename__ = "ledger"
    kiosk_id: str = Field(primary_key=True)
    incarnation: str = Field(primary_key=True)
    stream: str = Field(primary_key=True)
    hi: int = _big()
    head: bytes = Field(sa_column=Column(Bytes, nullable=False))
    records: int = _big()
    first_us: int = _big()
    last_us: int = _big()
    claimed_last: int = _big()
    forks: int = _big()
    base_seq: int = _big()
    base_head: bytes = Field(sa_column=Column(Bytes, nullable=False))


DUTY_RECORDS = "kind IN ('boot', 'shift')"
"""Which records the index ``records_duty`` holds. A query uses it only where it says the very same."""


class StoredRecord(CentralTable, table=True):
    """The header of one record, in columns; its payloads lie apart, each with its own retention."""

    __tablename__ = "records"
    __table_args__ = (
        Index("records_identity", "kiosk_id", "incarnation", "stream", "seq", unique=True),
        # Few rows: whoever asks who was on duty need not read every record.
        Index("records_duty", "at_us", sqlite_where=text(DUTY_RECORDS), postgresql_where=text(DUTY_RECORDS)),
    )
    receive_id: int = _big(key=True)
    kiosk_id: str
    incarnation: str
    stream: str
    seq: int = _big()
    kind: str
    at_us: int = _big()
    clock_trust: str
    boot_id: str
    mono_ns: int = _big()
    lane: str
    ref: str
    payload_classes: str
    hash: bytes = Field(sa_column=Column(Bytes, nullable=False))
    batch_id: int = _big()
    received_us: int = _big()


class StoredPayload(CentralTable, table=True):
    """One payload of a record; ``salt`` and ``body`` are null once it was erased, here or at the kiosk."""

    __tablename__ = "payloads"
    receive_id: int = _big(key=True)
    payload_class: str = Field(primary_key=True)
    digest: bytes = Field(sa_column=Column(Bytes, nullable=False))
    salt: bytes | None = Field(default=None, sa_column=Column(Bytes, nullable=True))
    body: str | None = Field(default=None, sa_column=Column(Text, nullable=True))


class Passage(CentralTable, table=True):
    """A passage as people look for it, derived from its records; can be built anew from them at any time."""

    __tablename__ = "passages"
    __table_args__ = (Index("passages_at", "at_us"), Index("passages_ref", "kiosk_id", "ref"))
    receive_id: int = _big(key=True)
    kiosk_id: str
    incarnation: str
    seq: int = _big()
    ref: str
    at_us: int = _big()
    clock_trust: str
    lane: str
    direction: str
    admit: bool | None
    reason: str
    reasons: str
    category: str
    place: str
    credential: str
    code_kind: str
    policy_version: str
    checks: str
    credential_to_verdict_ms: int | None = _big(nullable=True)
    passed: str
    overridden: str
    received_us: int = _big()


class Batch(CentralTable, table=True):
    """The sync log: one row for every batch that was signed by its kiosk, whatever became of it."""

    __tablename__ = "batches"
    __table_args__ = (Index("batches_kiosk", "kiosk_id", "batch_id"),)
    batch_id: int = _serial()
    kiosk_id: str
    incarnation: str
    stream: str
    first_seq: int = _big()
    last_seq: int = _big()
    count: int = _big()
    stored: int = _big()
    duplicates: int = _big()
    rejected: int = _big()
    compressed_bytes: int = _big()
    body_bytes: int = _big()
    received_us: int = _big()
    lag_us: int = _big()
    result: str = Field(index=True)
    detail: str = ""
    digest: bytes = Field(sa_column=Column(Bytes, nullable=False))
    signature: bytes = Field(sa_column=Column(Bytes, nullable=False))
    last_head: bytes = Field(sa_column=Column(Bytes, nullable=False))
    head_signature: bytes = Field(sa_column=Column(Bytes, nullable=False))
    fingerprint: str


class Quarantined(CentralTable, table=True):
    """A record that was set aside: outside the contract, or of a forked chain. Raw, visible, never lost."""

    __tablename__ = "quarantine"
    __table_args__ = (Index("quarantine_identity", "kiosk_id", "incarnation", "stream", "seq", "digest", unique=True),)
    quarantine_id: int = _serial()
    kiosk_id: str
    incarnation: str
    stream: str
    seq: int = _big()
    digest: bytes = Field(sa_column=Column(Bytes, nullable=False))
    reason: str
    detail: str
    raw: str = Field(sa_column=Column(Text, nullable=False))
    batch_id: int = _big()
    received_us: int = _big()


class Fork(CentralTable, table=True):
    """Two different records under one identity: a restored or cloned kiosk, or worse."""

    __tablename__ = "forks"
    fork_id: int = _serial()
    kiosk_id: str
    incarnation: str
    stream: str
    seq: int = _big()
    stored_hash: bytes = Field(sa_column=Column(Bytes, nullable=False))
    seen_hash: bytes = Field(sa_column=Column(Bytes, nullable=False))
    quarantined_to: int = _big()
    first_seen_us: int = _big()
    last_seen_us: int = _big()


class Gap(CentralTable, table=True):
    """Records that the kiosk says exist no more; signed by it, since the batch header that says so is."""

    __tablename__ = "gaps"
    gap_id: int = _serial()
    kiosk_id: str
    incarnation: str
    stream: str
    first_seq: int = _big()
    last_seq: int = _big()
    batch_id: int = _big()
    declared_us: int = _big()


class Alert(CentralTable, table=True):
    """Something that a person should look at."""

    __tablename__ = "alerts"
    alert_id: int = _serial()
    at_us: int = _big(index=True)
    code: str
    kiosk_id: str
    detail: str
    times: int = _big()
    last_us: int = _big()
    closed_us: int | None = _big(nullable=True)
    closed_by: str = ""


class AlertChannel(CentralTable, table=True):
    """One way alerts reach people (``email``, ``webhook``): who is sending now, when next, and what went wrong.

    A sender holds the row until ``lease_until_us``, so that several central processes send each alert once.
    """

    __tablename__ = "alert_channels"
    channel: str = Field(primary_key=True)
    lease_by: str
    lease_until_us: int = _big()
    next_us: int = _big()
    sent_us: int | None = _big(nullable=True)
    failures: int = _big()
    failing_since_us: int | None = _big(nullable=True)
    error: str


class AlertNotice(CentralTable, table=True):
    """An alert that was sent by a channel: never again, until it is raised anew after having been closed."""

    __tablename__ = "alert_notices"
    alert_id: int = _big(key=True)
    channel: str = Field(primary_key=True)
    sent_us: int = _big()


class EnrolmentCode(CentralTable, table=True):
    """A one-time code, kept as its SHA-256 only."""

    __tablename__ = "enrolment_codes"
    code_hash: bytes = Field(sa_column=Column(Bytes, primary_key=True))
    kiosk_id: str
    created_by: str
    expires_us: int = _big()
    used_us: int | None = _big(nullable=True)


class PhoneCode(CentralTable, table=True):
    """A one-time code with which a resident's phone enrols, kept as its SHA-256 only."""

    __tablename__ = "phone_codes"
    code_hash: bytes = Field(sa_column=Column(Bytes, primary_key=True))
    subject: str
    created_by: str
    created_us: int = _big()
    expires_us: int = _big()
    used_us: int | None = _big(nullable=True)
    used_by: str = ""


class Phone(CentralTable, table=True):
    """A resident's phone: the public half of its key, and whose pseudonym its codes are bound to."""

    __tablename__ = "phones"
    phone_id: str = Field(primary_key=True)
    subject: str = Field(index=True)
    holder_key: bytes = Field(sa_column=Column(Bytes, nullable=False))
    enrolled_us: int = _big()
    last_code_us: int = _big()
    revoked_us: int | None = _big(nullable=True)
    revoked_by: str = ""


class OrderedStatus(CentralTable, table=True):
    """A yellow or red status that an authority ordered for one person; in force once a second admin approved it."""

    __tablename__ = "status_orders"
    order_id: int = _serial()
    subject: str = Field(index=True)
    status: str
    number: str
    issuer: str
    appeal: str
    until_us: int = _big()
    proposed_by: str
    proposed_us: int = _big()
    approved_by: str = ""
    approved_us: int | None = _big(nullable=True)
    lifted_by: str = ""
    lifted_us: int | None = _big(nullable=True)


class Document(CentralTable, table=True):
    """A roster, revocations, policy, trust store or card keys, as the authority signed it. What was signed is
    kept of every version, the body of rosters, revocations and card keys of the newest alone."""

    __tablename__ = "documents"
    kind: str = Field(primary_key=True)
    version: int = _big(key=True)
    manifest: bytes = Field(sa_column=Column(Bytes, nullable=False))
    signature: bytes = Field(sa_column=Column(Bytes, nullable=False))
    body: bytes = Field(sa_column=Column(Bytes, nullable=False))
    published_us: int = _big()
    published_by: str


class PolicyOffer(CentralTable, table=True):
    """The policy document that a kiosk ("": every kiosk) is offered, of those that are for it alone (``reach`` 2), for
    it and others (1), or for every kiosk (0); see ``sync/central/policy_offers.py``."""

    __tablename__ = "policy_offers"
    kiosk_id: str = Field(primary_key=True)
    reach: int = _big(key=True)
    version: int = _big()


class User(CentralTable, table=True):
    """A person (or a program with a token) that may look at the central; ``secret`` is an argon2id hash."""

    __tablename__ = "users"
    name: str = Field(primary_key=True)
    role: str
    secret: str
    created_us: int = _big()
    failures: int = _big()
    not_before_us: int = _big()


class Session(CentralTable, table=True):
    """A login; the cookie's SHA-256 only. ``kind`` is ``browser`` or ``token``."""

    __tablename__ = "sessions"
    token_hash: bytes = Field(sa_column=Column(Bytes, primary_key=True))
    kind: str
    name: str
    role: str
    created_us: int = _big()
    last_used_us: int = _big()
    expires_us: int = _big()


class Audit(CentralTable, table=True):
    """Who did what at the central."""

    __tablename__ = "audit"
    audit_id: int = _serial()
    at_us: int = _big(index=True)
    name: str
    action: str
    detail: str


def table(model: type[CentralTable]) -> Table:
    """The SQLAlchemy table behind a model."""
    result: Table = model.__table__  # type: ignore[attr-defined]
    return result
