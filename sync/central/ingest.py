"""Takes in batches and heartbeats: verify, compare with the ledger, store, and only then acknowledge.

What can become of a batch whose signature holds:

===========  =========================================================================================  ======
stored       it continues the chain; every record is committed                                             200
duplicate    every record is here already, byte for byte                                                   200
partial      stored, but some records are outside the contract: set aside raw in quarantine, acknowledged  200
gap          it begins too late or follows a record unknown here: nothing stored, see ``resend_from``      409
fork         it contradicts what is stored under the same identity: set aside whole, alert, never merged   409
===========  =========================================================================================  ======

Records that the kiosk itself says are gone (``gap_first``) are written into table ``gaps`` and the chain goes on
behind them. Nothing is ever dropped without a row that says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from kiosk.records import ZERO_HASH
from sync import keys
from sync.answer import Answer, Rejected, Result, StreamAck
from sync.batch_header import BatchHeader, head_statement
from sync.batch_parse import ParsedBatch, parse
from sync.batch_scan import ParsedRecord
from sync.central.alerts import raise_alert
from sync.central.gate_alarms import alerts_of
from sync.central.record_rows import write_records
from sync.central.store import Store
from sync.central.tables import Batch, Fork, Gap, Kiosk, Ledger, Quarantined, StoredRecord, table
from sync.errors import WireError
from sync.heartbeat import Heartbeat, Position

kiosks, ledger, records = table(Kiosk), table(Ledger), table(StoredRecord)
batches, quarantine, forks, gaps = table(Batch), table(Quarantined), table(Fork), table(Gap)

# The statements of every request are built once: building one costs more than running it.
_THIS_KIOSK = kiosks.c.kiosk_id == bindparam("b_kiosk_id")
_KEYS_OF_KIOSKS = select(kiosks.c.kiosk_id, kiosks.c.public_key, kiosks.c.state).where(
    kiosks.c.kiosk_id.in_(bindparam("b_kiosk_ids", expanding=True))
)
_NOTE_KIOSK = update(kiosks).where(_THIS_KIOSK)
_HEARD_OF_KIOSK = select(kiosks.c.heartbeat_boot_id, kiosks.c.heartbeat_mono_ns).where(_THIS_KIOSK)


def _this_chain(target: Any) -> Any:
    return and_(*(target.c[name] == bindparam(f"b_{name}") for name in ("kiosk_id", "incarnation", "stream")))


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
_HASH_OF_RECORD = select(records.c.hash).where(_this_chain(records), records.c.seq == bindparam("b_seq"))
_HASH_SET_ASIDE = select(quarantine.c.digest).where(
    _this_chain(quarantine), quarantine.c.seq == bindparam("b_seq"), quarantine.c.reason != "fork"
)
_IS_SET_ASIDE = select(quarantine.c.quarantine_id).where(
    _this_chain(quarantine), quarantine.c.seq == bindparam("b_seq"), quarantine.c.digest == bindparam("b_digest")
)
_INSERT_BATCHES = insert(batches).returning(batches.c.batch_id, sort_by_parameter_order=True)

APPROVED = "approved"
CLOCK_ALARM_US = 30_000_000
MAX_EPOCH_LEAP = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedBody:
    """A request as it came in: who says to have sent it, and the bytes with their signatures."""

    kiosk_id: str
    request: str
    body: bytes
    signature: bytes
    encoding: str = ""
    head_signature: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedBatch:
    """A batch whose signatures, form and chain were found right."""

    signed: SignedBody
    parsed: ParsedBatch
    public_key: bytes


@dataclass(frozen=True, slots=True)
class _Entry:
    """The line of the sync log that a change belongs to."""

    batch_id: int
    now_us: int


@dataclass(frozen=True, slots=True)
class _Standing:
    """What every answer of one transaction says: the central's clock, its epoch, what it offers."""

    now_us: int
    epoch: int
    offers: dict[str, str]


@dataclass(slots=True)
class _Chain:
    """The ledger's row of one chain, as it stands inside the transaction."""

    key: dict[str, str]
    hi: int
    head: bytes
    known: bool

    def bound(self, **more: Any) -> dict[str, Any]:
        """The parameters that name this chain in a statement."""
        return {**{f"b_{name}": value for name, value in self.key.items()}, **more}


class Ingest:
    """The receiving side. ``check`` costs processor time and may run anywhere; the rest runs in a transaction."""

    def __init__(
        self, store: Store, *, now_us: Callable[[], int], offers: Callable[[Connection], dict[str, str]] | None = None
    ) -> None:
        self._store = store
        self._now_us = now_us
        self._offers = offers or (lambda _connection: {})
        self._known_keys: dict[str, bytes] = {}

    # -- before the transaction --------------------------------------------------------------------------------

    def check_batch(self, signed: SignedBody) -> CheckedBatch:
        """Verify signature, form and chain.

        Raises WireError: 401 unknown kiosk or bad signature, 403 not approved or revoked, 400/413/415/422 form.
        """
        return _checked(signed, self._key_that_signed(signed))

    def check_at_once(self, signed: SignedBody) -> CheckedBatch | None:
        """As ``check_batch`` if a key seen before signed the body; None, without asking the store, if not."""
        known = self._known_keys.get(signed.kiosk_id)
        if known is None or not keys.verify(known, keys.BATCH_CONTEXT, signed.body, signed.signature):
            return None
        return _checked(signed, known)

    def _key_that_signed(self, signed: SignedBody) -> bytes:
        """The key of the kiosk, once it verified the body; one seen before is tried before the store is asked.

        Whether that key is still admitted is looked up where it counts, in the transaction that stores the batch.
        """
        known = self._known_keys.get(signed.kiosk_id)
        if known is not None and keys.verify(known, keys.BATCH_CONTEXT, signed.body, signed.signature):
            return known
        public_key = self._public_key(signed.kiosk_id)
        _require_signature(public_key, keys.BATCH_CONTEXT, signed.body, signed.signature)
        self._known_keys[signed.kiosk_id] = public_key
        return public_key

    def check_heartbeat(self, signed: SignedBody) -> Heartbeat:
        """Verify signature and form; raises WireError as ``check_batch`` does."""
        public_key = self._public_key(signed.kiosk_id)
        _require_signature(public_key, keys.HEARTBEAT_CONTEXT, signed.body, signed.signature)
        heartbeat = Heartbeat.parse(signed.body)
        if heartbeat.kiosk_id != signed.kiosk_id:
            raise WireError("heartbeat kiosk_id", status=422, seen=heartbeat.kiosk_id, expected=signed.kiosk_id)
        return heartbeat

    def _public_key(self, kiosk_id: str) -> bytes:
        with self._store.reading() as connection:
            return admitted_key(connection, kiosk_id)

    # -- batches, inside the transaction -----------------------------------------------------------------------

    def store_batches(self, connection: Connection, group: Sequence[CheckedBatch]) -> list[Answer | WireError]:
        """Put checked batches into the store, all with the same few statements; in order, an answer or refusal each.

        An answer may be sent once the transaction is durable. What simply continues its chain is gathered and
        written together; anything else is dealt with alone, after what was gathered so far.
        """
        standing = _Standing(
            now_us=self._now_us(), epoch=self._store.epoch(connection), offers=self._offers(connection)
        )
        admitted = _kiosk_rows(connection, {batch.signed.kiosk_id for batch in group})
        chains = _chains_of(connection, [_key_of(batch.parsed.header) for batch in group])
        gathered = _Gathered(connection, standing.now_us)
        answers: list[Answer | WireError] = []
        for batch in group:
            try:
                require_admitted(batch.signed.kiosk_id, admitted.get(batch.signed.kiosk_id), batch.public_key)
            except WireError as refusal:
                self._known_keys.pop(batch.signed.kiosk_id, None)
                answers.append(refusal)
                continue
            chain = chains[tuple(_key_of(batch.parsed.header).values())]
            if _continues(chain, batch.parsed):
                gathered.add(batch, chain)
                answers.append(_answer(batch, standing, chain, Result.STORED))
            else:
                gathered.write()
                answers.append(self._store_odd(connection, batch, standing, chain))
        gathered.write()
        return answers

    def store_batch(self, connection: Connection, batch: CheckedBatch) -> Answer:
        """As ``store_batches``, for one; raises WireError where that gives a refusal."""
        (answer,) = self.store_batches(connection, [batch])
        if isinstance(answer, WireError):
            raise answer
        return answer

    def _store_odd(self, connection: Connection, batch: CheckedBatch, standing: _Standing, chain: _Chain) -> Answer:
        """A batch that repeats, overlaps, leaves a gap, forks, or holds a record outside the contract."""
        header, now_us = batch.parsed.header, standing.now_us
        verdict, first_different = self._compare(connection, chain, header, batch.parsed.records)
        fresh = [item for item in batch.parsed.records if item.seq > chain.hi] if verdict is None else []
        rejected = [item for item in fresh if item.record is None]
        if verdict is None:
            verdict = Result.DUPLICATE if not fresh else Result.PARTIAL if rejected else Result.STORED
        row = _batch_row(batch, verdict, now_us, fresh=len(fresh), rejected=len(rejected))
        entry = _Entry(int(connection.execute(_INSERT_BATCHES, [row]).scalar_one()), now_us)
        quarantined_to = 0
        if verdict is Result.GAP and first_different:
            detail = f"{header.stream} {header.incarnation[:8]} < {header.first}"
            raise_alert(connection, now_us, "fork", header.kiosk_id, detail)
        if verdict is Result.FORK:
            quarantined_to = _set_aside_fork(connection, batch, entry, chain, first_different)
        elif fresh:
            _append(connection, header, entry, chain, fresh)
        connection.execute(_NOTE_KIOSK, _kiosk_note(header, now_us))
        return _answer(batch, standing, chain, verdict, quarantined_to=quarantined_to, rejected=rejected)

    def _compare(
        self, connection: Connection, chain: _Chain, header: BatchHeader, items: Sequence[ParsedRecord]
    ) -> tuple[Result | None, int]:
        """GAP or FORK, or None when what is new may be appended; for a fork also the first seq that differs."""
        if header.first > chain.hi + 1:
            if _is_set_aside(connection, chain, header.first - 1, header.prev_head):
                return Result.FORK, header.first
            if header.gap_first is not None and header.gap_first <= chain.hi + 1:
                return None, 0
            return Result.GAP, 0
        if header.first == chain.hi + 1:
            if header.prev_head == chain.head:
                return None, 0
            return self._fork_or_gap(connection, chain, header, header.first)
        # The batch overlaps what is stored. A hash covers everything before it, so one comparison proves it all.
        common = min(header.last, chain.hi)
        ours = chain.head if common == chain.hi else _hash_at(connection, chain, common)
        theirs = items[common - header.first].hash
        if ours is None or theirs is None or ours == theirs:
            return None, 0
        for item in items[: common - header.first + 1]:
            stored = _hash_at(connection, chain, item.seq)
            if stored is not None and stored != item.hash:
                return self._fork_or_gap(connection, chain, header, item.seq)
        return self._fork_or_gap(connection, chain, header, common)

    def _fork_or_gap(self, connection: Connection, chain: _Chain, header: BatchHeader, seq: int) -> tuple[Result, int]:
        """A fork is taken aside only where it joins what is known here; else its earlier part is asked for.

        Otherwise a part of it that went elsewhere (to a copy of this store that is gone) would be missed by nobody.
        """
        before = header.first - 1
        if before == 0 or header.gap_first is not None:
            return Result.FORK, seq
        ours = chain.head if before == chain.hi else _hash_at(connection, chain, before)
        if ours is None or ours == header.prev_head:
            return Result.FORK, seq
        if _is_set_aside(connection, chain, before, header.prev_head):
            return Result.FORK, seq
        return Result.GAP, seq

    # -- heartbeats, inside the transaction --------------------------------------------------------------------

    def note_heartbeat(self, connection: Connection, signed: SignedBody, heartbeat: Heartbeat) -> Answer:
        """Note what the kiosk says of itself and tell it where each of its chains stands here."""
        now_us = self._now_us()
        admitted_key(connection, heartbeat.kiosk_id)
        self._note_kiosk_heartbeat(connection, heartbeat, now_us)
        acks = [self._ack_position(connection, heartbeat, position, now_us) for position in heartbeat.positions]
        epoch = self._store.epoch(connection)
        told_more = heartbeat.store_epoch == epoch and any(ack.resend_from is not None for ack in acks)
        if told_more or epoch < heartbeat.store_epoch <= epoch + MAX_EPOCH_LEAP:
            # This kiosk was told by this very epoch that we had more, or knows an epoch that we do not: this store
            # is an older copy of itself. A new epoch, higher than any heard of, makes every kiosk look again.
            epoch = self._store.raise_epoch(connection, above=heartbeat.store_epoch)
            raise_alert(connection, now_us, "store_went_back", heartbeat.kiosk_id, f"store_epoch {epoch}")
        return Answer(
            request=signed.request,
            store_epoch=epoch,
            server_us=now_us,
            acks=tuple(acks),
            offers=self._offers(connection),
        )

    def _ack_position(self, connection: Connection, heartbeat: Heartbeat, position: Position, now_us: int) -> StreamAck:
        key = {
            "kiosk_id": heartbeat.kiosk_id,
            "incarnation": position.incarnation,
            "stream": str(position.stream),
        }
        chain = _chains_of(connection, [key])[tuple(key.values())]
        if chain.known:
            connection.execute(_CLAIM_LEDGER, chain.bound(b_last=position.last))
        if position.last < chain.hi or (position.last == chain.hi and position.last_head != chain.head):
            detail = f"{position.stream} {position.last} < {chain.hi}"
            raise_alert(connection, now_us, "kiosk_went_back", heartbeat.kiosk_id, detail)
        aside = position.set_aside
        aside_is_here = not aside or _is_set_aside(connection, chain, aside, position.set_aside_head)
        return StreamAck(
            incarnation=position.incarnation,
            stream=position.stream,
            acked=chain.hi,
            head=chain.head,
            resend_from=None if position.acked <= chain.hi and aside_is_here else chain.hi + 1,
            quarantined_to=aside if aside_is_here else 0,
        )

    def _note_kiosk_heartbeat(self, connection: Connection, heartbeat: Heartbeat, now_us: int) -> None:
        row = connection.execute(_HEARD_OF_KIOSK, {"b_kiosk_id": heartbeat.kiosk_id}).one()
        if row.heartbeat_boot_id == heartbeat.boot_id and heartbeat.mono_ns <= row.heartbeat_mono_ns:
            return  # repeated by the network or by someone else: already known, and no sign of life
        connection.execute(
            _NOTE_KIOSK,
            {
                "b_kiosk_id": heartbeat.kiosk_id,
                "last_seen_us": now_us,
                "heartbeat_boot_id": heartbeat.boot_id,
                "heartbeat_mono_ns": heartbeat.mono_ns,
                "wall_us": heartbeat.wall_us,
                "clock_trust": heartbeat.clock_trust,
                "offset_us": heartbeat.offset_us,
                "offset_error_us": heartbeat.offset_error_us,
                "backlog": heartbeat.backlog,
                "oldest_us": heartbeat.oldest_us,
                "software": heartbeat.software,
                "held": json.dumps(heartbeat.held, sort_keys=True),
                "alarms": " ".join(heartbeat.alarms),
            },
        )
        if heartbeat.offset_us is not None and abs(heartbeat.offset_us) > CLOCK_ALARM_US:
            detail = f"{heartbeat.offset_us // 1_000_000} s"
            raise_alert(connection, now_us, "clock_offset", heartbeat.kiosk_id, detail)
        for code in heartbeat.alarms:
            raise_alert(connection, now_us, f"kiosk_{code}"[:60], heartbeat.kiosk_id, "")


# -- the pieces ------------------------------------------------------------------------------------------------


class _Gathered:
    """Batches that continue their chains, to be written together: one statement a table, however many they are."""

    def __init__(self, connection: Connection, now_us: int) -> None:
        self._connection = connection
        self._now_us = now_us
        self._batches: list[CheckedBatch] = []
        self._new_chains: list[dict[str, Any]] = []
        self._moves: list[dict[str, Any]] = []

    def add(self, batch: CheckedBatch, chain: _Chain) -> None:
        """One more; ``chain`` stands behind it from now on."""
        header = batch.parsed.header
        self._batches.append(batch)
        new, move = _move(chain, header, self._now_us, len(batch.parsed.records))
        self._new_chains += new
        self._moves += move

    def write(self) -> None:
        """Write what was gathered, and begin anew."""
        if not self._batches:
            return
        rows = [
            _batch_row(batch, Result.STORED, self._now_us, fresh=len(batch.parsed.records), rejected=0)
            for batch in self._batches
        ]
        ids = self._connection.execute(_INSERT_BATCHES, rows).scalars().all()
        found = zip(ids, (batch.parsed.records for batch in self._batches), strict=True)
        write_records(self._connection, found, self._now_us)
        for batch in self._batches:
            _tell_of(self._connection, batch.parsed.header.kiosk_id, batch.parsed.records, self._now_us)
        _move_ledger(self._connection, self._new_chains, self._moves)
        self._connection.execute(
            _NOTE_KIOSK, [_kiosk_note(batch.parsed.header, self._now_us) for batch in self._batches]
        )
        self._batches, self._new_chains, self._moves = [], [], []


def _continues(chain: _Chain, parsed: ParsedBatch) -> bool:
    """Whether a batch is what nearly every batch is: the next records of its chain, each within the contract."""
    header = parsed.header
    return (
        header.first == chain.hi + 1
        and header.prev_head == chain.head
        and all(item.record is not None for item in parsed.records)
    )


def _move(
    chain: _Chain, header: BatchHeader, now_us: int, count: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Move a chain to the end of a batch; returns the rows to insert into the ledger and those to update."""
    chain.hi, chain.head = header.last, header.last_head
    if chain.known:
        return [], [chain.bound(b_hi=chain.hi, b_head=chain.head, b_last_us=now_us, b_count=count)]
    chain.known = True
    row = {**chain.key, "hi": chain.hi, "head": chain.head, "records": count, "claimed_last": header.last}
    row |= {"first_us": now_us, "last_us": now_us, "forks": 0, "base_seq": 0, "base_head": ZERO_HASH}
    return [row], []


def _move_ledger(connection: Connection, new: list[dict[str, Any]], moves: list[dict[str, Any]]) -> None:
    if new:
        connection.execute(_INSERT_LEDGER, new)
    if moves:
        connection.execute(_MOVE_LEDGER, moves)


def _append(
    connection: Connection, header: BatchHeader, entry: _Entry, chain: _Chain, fresh: Sequence[ParsedRecord]
) -> None:
    """Store what is new of a batch and move the ledger."""
    if fresh[0].seq > chain.hi + 1:
        _note_gap(connection, chain, fresh[0].seq - 1, entry)
    sound = [item for item in fresh if item.record is not None]
    write_records(connection, [(entry.batch_id, sound)], entry.now_us)
    _tell_of(connection, header.kiosk_id, sound, entry.now_us)
    set_aside = [item for item in fresh if item.record is None]
    if set_aside:
        _quarantine(connection, chain.key, set_aside, "outside the contract", entry)
        detail = f"{header.stream} {len(set_aside)}"
        raise_alert(connection, entry.now_us, "records_rejected", header.kiosk_id, detail)
    _move_ledger(connection, *_move(chain, header, entry.now_us, len(sound)))


def _tell_of(connection: Connection, kiosk_id: str, items: Sequence[ParsedRecord], now_us: int) -> None:
    """Raise the alerts that new records ask for."""
    for alert in alerts_of(item.record for item in items if item.record is not None):
        raise_alert(connection, now_us, alert.code, kiosk_id, alert.detail, times=alert.times)


def _set_aside_fork(
    connection: Connection, batch: CheckedBatch, entry: _Entry, chain: _Chain, first_different: int
) -> int:
    """Put what contradicts the stored chain into quarantine; returns how far the fork is set aside now."""
    header = batch.parsed.header
    different = [item for item in batch.parsed.records if item.seq >= first_different]
    _quarantine(connection, chain.key, different, "fork", entry)
    known = connection.execute(select(forks.c.fork_id).where(_is(forks, chain)).limit(1)).scalar()
    if known is None:
        connection.execute(
            insert(forks).values(
                **chain.key,
                seq=first_different,
                stored_hash=_hash_at(connection, chain, first_different) or chain.head,
                seen_hash=different[0].hash or header.last_head,
                quarantined_to=header.last,
                first_seen_us=entry.now_us,
                last_seen_us=entry.now_us,
            )
        )
        connection.execute(update(ledger).where(_is(ledger, chain)).values(forks=ledger.c.forks + 1))
    else:
        connection.execute(
            update(forks).where(forks.c.fork_id == known).values(quarantined_to=header.last, last_seen_us=entry.now_us)
        )
    detail = f"{header.stream} {header.incarnation[:8]} {first_different}"
    raise_alert(connection, entry.now_us, "fork", header.kiosk_id, detail)
    return header.last


def _require_signature(public_key: bytes, context: bytes, message: bytes, signature: bytes) -> None:
    if not keys.verify(public_key, context, message, signature):
        raise WireError("signature", status=401, seen="not by this kiosk's key")


def _checked(signed: SignedBody, public_key: bytes) -> CheckedBatch:
    parsed = parse(signed.body, signed.encoding)
    if parsed.header.kiosk_id != signed.kiosk_id:
        raise WireError("batch header kiosk_id", status=422, seen=parsed.header.kiosk_id, expected=signed.kiosk_id)
    _require_signature(public_key, keys.HEAD_CONTEXT, head_statement(parsed.header), signed.head_signature)
    return CheckedBatch(signed=signed, parsed=parsed, public_key=public_key)


def _kiosk_rows(connection: Connection, kiosk_ids: set[str]) -> dict[str, Any]:
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
    return require_admitted(kiosk_id, _kiosk_rows(connection, {kiosk_id}).get(kiosk_id))


def _is(target: Any, chain: _Chain) -> Any:
    return and_(*(target.c[name] == value for name, value in chain.key.items()))


def _key_of(header: BatchHeader) -> dict[str, str]:
    return {"kiosk_id": header.kiosk_id, "incarnation": header.incarnation, "stream": str(header.stream)}


def _chains_of(connection: Connection, named: Sequence[dict[str, str]]) -> dict[tuple[str, ...], _Chain]:
    """Where chains stand, each under the values of its key; one that nothing came of yet stands at 0."""
    chains = {tuple(key.values()): _Chain(key, 0, ZERO_HASH, known=False) for key in named}
    wanted = {
        "b_kiosks": sorted({key["kiosk_id"] for key in named}),
        "b_incarnations": sorted({key["incarnation"] for key in named}),
    }
    for row in connection.execute(_LEDGER_ROWS, wanted):
        chain = chains.get((row.kiosk_id, row.incarnation, row.stream))
        if chain is not None:
            chain.hi, chain.head, chain.known = row.hi, bytes(row.head), True
    return chains


def _answer(
    batch: CheckedBatch,
    standing: _Standing,
    chain: _Chain,
    result: Result,
    *,
    quarantined_to: int = 0,
    rejected: Sequence[ParsedRecord] = (),
) -> Answer:
    header = batch.parsed.header
    return Answer(
        request=batch.signed.request,
        store_epoch=standing.epoch,
        server_us=standing.now_us,
        result=result,
        acks=(
            StreamAck(
                incarnation=header.incarnation,
                stream=header.stream,
                acked=chain.hi,
                head=chain.head,
                resend_from=chain.hi + 1 if result is Result.GAP else None,
                quarantined_to=quarantined_to,
            ),
        ),
        rejected=tuple(Rejected(seq=item.seq, reason=item.refusal) for item in rejected),
        offers=standing.offers,
    )


def _hash_at(connection: Connection, chain: _Chain, seq: int) -> bytes | None:
    """The stored link of one record, also of a record that was set aside as outside the contract."""
    found = connection.execute(_HASH_OF_RECORD, chain.bound(b_seq=seq)).scalar()
    if found is None:
        found = connection.execute(_HASH_SET_ASIDE, chain.bound(b_seq=seq)).scalar()
    return bytes(found) if found is not None else None


def _is_set_aside(connection: Connection, chain: _Chain, seq: int, link: bytes) -> bool:
    """Whether the record before this batch is one of a fork that is being set aside."""
    return connection.execute(_IS_SET_ASIDE, chain.bound(b_seq=seq, b_digest=link)).first() is not None


def _lag_us(batch: CheckedBatch, now_us: int) -> int:
    """How old the batch's oldest record was when it left: by the kiosk's monotonic clock where both are of one boot,
    since its wall clock may be wrong, else by the wall clocks."""
    header = batch.parsed.header
    oldest = next((item.record for item in batch.parsed.records if item.record is not None), None)
    if oldest is None:
        return 0
    if oldest.boot_id == header.boot_id:
        return max(0, header.mono_ns - oldest.mono_ns) // 1000
    return max(0, now_us - oldest.at_us)


def _batch_row(batch: CheckedBatch, result: Result, now_us: int, *, fresh: int, rejected: int) -> dict[str, Any]:
    """The line of the sync log."""
    header, parsed = batch.parsed.header, batch.parsed
    return {
        **_key_of(header),
        "first_seq": header.first,
        "last_seq": header.last,
        "count": len(parsed.records),
        "stored": fresh - rejected,
        "duplicates": len(parsed.records) - fresh if result not in (Result.GAP, Result.FORK) else 0,
        "rejected": rejected,
        "compressed_bytes": parsed.compressed_bytes,
        "body_bytes": parsed.body_bytes,
        "received_us": now_us,
        "lag_us": _lag_us(batch, now_us),
        "result": str(result),
        "detail": "",
        "digest": parsed.digest,
        "signature": batch.signed.signature,
        "last_head": header.last_head,
        "head_signature": batch.signed.head_signature,
        "fingerprint": keys.fingerprint(batch.public_key),
    }


def _quarantine(
    connection: Connection,
    key: dict[str, str],
    items: Sequence[ParsedRecord],
    reason: str,
    entry: _Entry,
) -> None:
    rows = []
    for item in items:
        rows.append(
            {
                **key,
                "seq": item.seq,
                "digest": item.hash or hashlib.sha256(item.raw.encode()).digest(),
                "reason": reason,
                "detail": item.refusal,
                "raw": item.raw,
                "batch_id": entry.batch_id,
                "received_us": entry.now_us,
            }
        )
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(dialect.insert(quarantine).on_conflict_do_nothing(), rows)


def _note_gap(connection: Connection, chain: _Chain, last: int, entry: _Entry) -> None:
    connection.execute(
        insert(gaps).values(
            **chain.key, first_seq=chain.hi + 1, last_seq=last, batch_id=entry.batch_id, declared_us=entry.now_us
        )
    )
    detail = f"{chain.key['stream']} {chain.hi + 1}–{last}"
    raise_alert(connection, entry.now_us, "records_gone", chain.key["kiosk_id"], detail)


def _kiosk_note(header: BatchHeader, now_us: int) -> dict[str, Any]:
    return {
        "b_kiosk_id": header.kiosk_id,
        "last_seen_us": now_us,
        "wall_us": header.wall_us,
        "clock_trust": header.clock_trust,
        "software": header.software,
        "held": json.dumps(header.held, sort_keys=True),
    }
