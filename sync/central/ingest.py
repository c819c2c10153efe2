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

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from sync.answer import Answer, Rejected, Result, StreamAck
from sync.central.admission import kiosk_rows, require_admitted
from sync.central.chain_compare import continues
from sync.central.chains import Chain, chains_of, key_of
from sync.central.checks import CheckedBatch, Checks, SignedBody
from sync.central.heartbeats import take_heartbeat
from sync.central.odd_batches import Outcome, store_odd
from sync.central.offers import Offers
from sync.central.ordinary_batches import Gathered
from sync.central.store import Store
from sync.errors import WireError
from sync.heartbeat import Heartbeat


@dataclass(frozen=True, slots=True)
class _Standing:
    """What every answer of one transaction says: the central's clock, its epoch, what it offers whom."""

    now_us: int
    epoch: int
    offers: Offers


class Ingest:
    """The receiving side: ``checks`` come first, and what they let through is stored inside a transaction."""

    def __init__(
        self,
        store: Store,
        *,
        now_us: Callable[[], int],
        offers: Callable[[Connection, Collection[str]], Offers] | None = None,
    ) -> None:
        self.checks = Checks(store)
        self._store = store
        self._now_us = now_us
        self._offers = offers or (lambda _connection, _kiosk_ids: Offers())

    def store_batches(self, connection: Connection, group: Sequence[CheckedBatch]) -> list[Answer | WireError]:
        """Put checked batches into the store, all with the same few statements; in order, an answer or refusal each.

        An answer may be sent once the transaction is durable. What simply continues its chain is gathered and
        written together; anything else is dealt with alone, after what was gathered so far.
        """
        senders = {batch.signed.kiosk_id for batch in group}
        standing = _Standing(
            now_us=self._now_us(), epoch=self._store.epoch(connection), offers=self._offers(connection, senders)
        )
        admitted = kiosk_rows(connection, senders)
        chains = chains_of(connection, [key_of(batch.parsed.header) for batch in group])
        gathered = Gathered(connection, standing.now_us)
        answers: list[Answer | WireError] = []
        for batch in group:
            try:
                require_admitted(batch.signed.kiosk_id, admitted.get(batch.signed.kiosk_id), batch.public_key)
            except WireError as refusal:
                self.checks.forget(batch.signed.kiosk_id)
                answers.append(refusal)
                continue
            chain = chains[tuple(key_of(batch.parsed.header).values())]
            if continues(chain, batch.parsed):
                gathered.add(batch, chain)
                answers.append(_answer(batch, standing, chain, Outcome(Result.STORED)))
            else:
                gathered.write()
                outcome = store_odd(connection, batch, chain, standing.now_us)
                answers.append(_answer(batch, standing, chain, outcome))
        gathered.write()
        return answers

    def store_batch(self, connection: Connection, batch: CheckedBatch) -> Answer:
        """As ``store_batches``, for one; raises WireError where that gives a refusal."""
        (answer,) = self.store_batches(connection, [batch])
        if isinstance(answer, WireError):
            raise answer
        return answer

    def note_heartbeat(self, connection: Connection, signed: SignedBody, heartbeat: Heartbeat) -> Answer:
        """Note what the kiosk says of itself and tell it where each of its chains stands here."""
        now_us = self._now_us()
        epoch, acks = take_heartbeat(self._store, connection, heartbeat, now_us)
        return Answer(
            request=signed.request,
            store_epoch=epoch,
            server_us=now_us,
            acks=tuple(acks),
            offers=self._offers(connection, [heartbeat.kiosk_id]).to(heartbeat.kiosk_id),
        )


def _answer(batch: CheckedBatch, standing: _Standing, chain: Chain, outcome: Outcome) -> Answer:
    header = batch.parsed.header
    return Answer(
        request=batch.signed.request,
        store_epoch=standing.epoch,
        server_us=standing.now_us,
        result=outcome.result,
        acks=(
            StreamAck(
                incarnation=header.incarnation,
                stream=header.stream,
                acked=chain.hi,
                head=chain.head,
                resend_from=chain.hi + 1 if outcome.result is Result.GAP else None,
                quarantined_to=outcome.quarantined_to,
            ),
        ),
        rejected=tuple(Rejected(seq=item.seq, reason=item.refusal) for item in outcome.rejected),
        offers=standing.offers.to(header.kiosk_id),
    )
