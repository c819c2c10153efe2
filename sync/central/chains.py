"""Where each chain stands: its row of the ledger, and the links that are stored of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, insert, select, update

from kiosk.records import ZERO_HASH
from sync.batch_header import BatchHeader
from sync.central.tables import Ledger, Quarantined, StoredRecord, table

ledger, records, quarantine = table(Ledger), table(StoredRecord), table(Quarantined)


def _this_chain(target: Any) -> Any:
    return and_(*(target.c[name] == bindparam(f"b_{name}") for name in ("kiosk_id", "incarnation", "stream")))


# The statements of every request are built once: building one costs more than running it.
# A few more rows than asked for may come, never fewer; all processes lock them in one order.
_LEDGER_ROWS = (
    select(ledger.c.kiosk_id, ledger.c.incarnation, ledger.c.stream, ledger.c.hi, ledger.c.head)
    .where(
        ledger.c.kiosk_id.in_(bindparam("b_kiosks", expanding=True)),
        ledger.c.incarnation.in_(bindparam("b_incarnations", expanding=True)),
    )
    .order_by(ledger.c.kiosk_id, ledger.c.incarnation, ledger.c.stream)
    .with_for_update()
)
_MOVE_LEDGER = (
    update(ledger)
    .where(_this_chain(ledger))
    .values(
        hi=bindparam("b_hi"),
        head=bindparam("b_head"),
        last_us=bindparam("b_last_us"),
        records=ledger.c.records + bindparam("b_count"),
    )
)
_INSERT_LEDGER = insert(ledger)
_CLAIM_LEDGER = update(ledger).where(_this_chain(ledger)).values(claimed_last=bindparam("b_last"))
_COUNT_FORK = update(ledger).where(_this_chain(ledger)).values(forks=ledger.c.forks + 1)
_HASH_OF_RECORD = select(records.c.hash).where(_this_chain(records), records.c.seq == bindparam("b_seq"))
_HASH_SET_ASIDE = select(quarantine.c.digest).where(
    _this_chain(quarantine), quarantine.c.seq == bindparam("b_seq"), quarantine.c.reason != "fork"
)
_IS_SET_ASIDE = select(quarantine.c.quarantine_id).where(
    _this_chain(quarantine), quarantine.c.seq == bindparam("b_seq"), quarantine.c.digest == bindparam("b_digest")
)


@dataclass(slots=True)
class Chain:
    """The ledger's row of one chain, as it stands inside the transaction."""

    key: dict[str, str]
    hi: int
    head: bytes
    known: bool

    def bound(self, **more: Any) -> dict[str, Any]:
        """The parameters that name this chain in a statement."""
        return {**{f"b_{name}": value for name, value in self.key.items()}, **more}

    def move(self, header: BatchHeader, now_us: int, count: int) -> Move:
        """Stand at the end of a batch of which ``count`` records are stored; returns what the ledger has to learn."""
        self.hi, self.head = header.last, header.last_head
        if self.known:
            return Move(False, self.bound(b_hi=self.hi, b_head=self.head, b_last_us=now_us, b_count=count))
        self.known = True
        row = {**self.key, "hi": self.hi, "head": self.head, "records": count, "claimed_last": header.last}
        row |= {"first_us": now_us, "last_us": now_us, "forks": 0, "base_seq": 0, "base_head": ZERO_HASH}
        return Move(True, row)

    def claim(self, connection: Connection, last: int) -> None:
        """Note how far the kiosk says to have written it."""
        if self.known:
            connection.execute(_CLAIM_LEDGER, self.bound(b_last=last))

    def count_fork(self, connection: Connection) -> None:
        """One more fork of it was found."""
        connection.execute(_COUNT_FORK, self.bound())

    def hash_at(self, connection: Connection, seq: int) -> bytes | None:
        """The stored link of one record, also of a record that was set aside as outside the contract."""
        found = connection.execute(_HASH_OF_RECORD, self.bound(b_seq=seq)).scalar()
        if found is None:
            found = connection.execute(_HASH_SET_ASIDE, self.bound(b_seq=seq)).scalar()
        return bytes(found) if found is not None else None

    def is_set_aside(self, connection: Connection, seq: int, link: bytes) -> bool:
        """Whether the record with this link is one of a fork that is being set aside."""
        return connection.execute(_IS_SET_ASIDE, self.bound(b_seq=seq, b_digest=link)).first() is not None


@dataclass(frozen=True, slots=True)
class Move:
    """What one step of a chain changes in the ledger: a new row, or the values of an update."""

    new: bool
    row: dict[str, Any]


def write_moves(connection: Connection, moves: Sequence[Move]) -> None:
    """Write steps of chains into the ledger, in order."""
    new, known = [move.row for move in moves if move.new], [move.row for move in moves if not move.new]
    if new:
        connection.execute(_INSERT_LEDGER, new)
    if known:
        connection.execute(_MOVE_LEDGER, known)


def key_of(header: BatchHeader) -> dict[str, str]:
    """The columns that name the chain of a batch."""
    return {"kiosk_id": header.kiosk_id, "incarnation": header.incarnation, "stream": str(header.stream)}


def chains_of(connection: Connection, named: Sequence[dict[str, str]]) -> dict[tuple[str, ...], Chain]:
    """Where chains stand, each under the values of its key; one that nothing came of yet stands at 0."""
    chains = {tuple(key.values()): Chain(key, 0, ZERO_HASH, known=False) for key in named}
    wanted = {
        "b_kiosks": sorted({key["kiosk_id"] for key in named}),
        "b_incarnations": sorted({key["incarnation"] for key in named}),
    }
    for row in connection.execute(_LEDGER_ROWS, wanted):
        chain = chains.get((row.kiosk_id, row.incarnation, row.stream))
        if chain is not None:
            chain.hi, chain.head, chain.known = row.hi, bytes(row.head), True
    return chains
