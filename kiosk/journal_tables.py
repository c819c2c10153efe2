"""The journal's tables and the statements on them: the only place that knows their columns.

One record is a row of ``journal_record`` whose ``header`` holds the canonical bytes that were hashed (so that a chain
can be walked without building the record again) and, for each payload class, a row in that class's own table.
Counters and heads live in ``journal_chain``, never in ``max(seq)``: after a full purge a kiosk must not start at 1
again.
"""

from __future__ import annotations

from sqlalchemy import BigInteger
from sqlmodel import Field

from kiosk.database import Database, KioskTable, create_statements, insert_statement
from kiosk.records import PayloadClass, Stream

APPLICATION_ID = 0x47504A31
"""``GPJ1`` in the file's header (PRAGMA application_id): this is a Gatepost journal."""

SCHEMA_VERSION = 1
"""PRAGMA user_version. A later one comes with a numbered migration."""

STREAM_NUMBER = {Stream.ALARM: 1, Stream.DIAGNOSTIC: 2, Stream.PASSAGE: 3}
"""How a stream is written in a key. Passages come last, so that the busiest stream fills the tree at its end."""

STREAM_OF_NUMBER = {number: stream for stream, number in STREAM_NUMBER.items()}


SEQ_BITS = 40
SEQ_MASK = (1 << SEQ_BITS) - 1


def row_key(number: int, stream: Stream, seq: int) -> int:
    """The one integer under which a record and its payloads lie: incarnation number, stream, sequence number.

    Being SQLite's own row number it costs no index, and records of a chain lie one after the other.
    """
    return (number << 44) | (STREAM_NUMBER[stream] << SEQ_BITS) | seq


class JournalIncarnation(KioskTable, table=True):
    """One life of a journal. The one with the highest number is written; lower ones are read and sent to the end."""

    __tablename__ = "journal_incarnation"

    number: int = Field(primary_key=True)
    incarnation: str = Field(unique=True)
    kiosk_id: str


class JournalChain(KioskTable, table=True):
    """Counter and head of one stream: the last ``seq`` and its hash, and the last purged ``seq`` and its hash."""

    __tablename__ = "journal_chain"

    number: int = Field(primary_key=True)
    stream: int = Field(primary_key=True)
    last_seq: int = Field(sa_type=BigInteger)
    head: bytes
    base_seq: int = Field(sa_type=BigInteger)
    base_head: bytes


class JournalRecord(KioskTable, table=True):
    """One record, under its :func:`row_key`: canonical header, digests of its payloads in the header's order, hash."""

    __tablename__ = "journal_record"

    id: int = Field(primary_key=True)
    header: bytes
    digests: bytes
    hash: bytes


class _JournalPayload(KioskTable):
    """One payload, under its record's :func:`row_key`. ``body`` and ``salt`` are null where damage destroyed it."""

    id: int = Field(primary_key=True)
    at_us: int = Field(sa_type=BigInteger)
    salt: bytes | None
    body: bytes | None


class JournalFacts(_JournalPayload, table=True):
    """Payloads of class ``facts``: what happened, about nobody's health and nobody's name."""

    __tablename__ = "journal_facts"


class JournalHealth(_JournalPayload, table=True):
    """Payloads of class ``health``: temperature and health code findings."""

    __tablename__ = "journal_health"


class JournalPerson(_JournalPayload, table=True):
    """Payloads of class ``person``: pseudonym of the holder, guard's notes."""

    __tablename__ = "journal_person"


class JournalErasure(KioskTable, table=True):
    """Up to when payloads of a class were erased: a payload missing at or after it was not erased by retention."""

    __tablename__ = "journal_erasure"

    payload_class: str = Field(primary_key=True)
    before_us: int = Field(sa_type=BigInteger)


PAYLOAD_TABLE = {
    PayloadClass.FACTS: "journal_facts",
    PayloadClass.HEALTH: "journal_health",
    PayloadClass.PERSON: "journal_person",
}

JOURNAL_TABLES: tuple[type[KioskTable], ...] = (
    JournalIncarnation,
    JournalChain,
    JournalRecord,
    JournalFacts,
    JournalHealth,
    JournalPerson,
    JournalErasure,
)

INSERT_INCARNATION = insert_statement(JournalIncarnation)
INSERT_CHAIN = insert_statement(JournalChain)
INSERT_RECORD = insert_statement(JournalRecord)
INSERT_PAYLOAD = {
    PayloadClass.FACTS: insert_statement(JournalFacts),
    PayloadClass.HEALTH: insert_statement(JournalHealth),
    PayloadClass.PERSON: insert_statement(JournalPerson),
}
# The old counter stands in the condition: if anything else moved it, no row changes and the commit is given up.
ADVANCE_CHAIN = "UPDATE journal_chain SET last_seq = ?, head = ? WHERE number = ? AND stream = ? AND last_seq = ?"
CHAINS = """
    SELECT i.number, i.incarnation, i.kiosk_id, c.stream, c.last_seq, c.head, c.base_seq, c.base_head
    FROM journal_incarnation i JOIN journal_chain c ON c.number = i.number ORDER BY i.number, c.stream"""
RECORDS_AFTER = f"""
    SELECT id & {SEQ_MASK}, header, digests, hash FROM journal_record
    WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"""  # noqa: S608
RECORD_HASH = "SELECT hash FROM journal_record WHERE id = ?"
PAYLOADS_BETWEEN = {
    cls: f"SELECT id & {SEQ_MASK}, at_us, salt, body FROM {table} WHERE id BETWEEN ? AND ?"  # noqa: S608
    for cls, table in PAYLOAD_TABLE.items()
}


def rows_after(number: int, stream: Stream, seq: int, limit: int) -> tuple[int, int, int]:
    """The parameters of ``RECORDS_AFTER``."""
    return row_key(number, stream, seq), row_key(number, stream, SEQ_MASK), limit


def create_schema(database: Database) -> None:
    """Make the tables in a new, empty file (inside the caller's transaction)."""
    for statement in create_statements(JOURNAL_TABLES):
        database.run(statement)
    database.run(f"PRAGMA application_id = {APPLICATION_ID}")
    database.run(f"PRAGMA user_version = {SCHEMA_VERSION}")
