"""Takes in heartbeats: tells a kiosk where each of its chains stands here, and notices a store that went back."""

from __future__ import annotations

from sqlalchemy import Connection

from sync.answer import StreamAck
from sync.central import kiosk_notes
from sync.central.admission import admitted_key
from sync.central.alerts import raise_alert
from sync.central.chains import chains_of
from sync.central.store import Store
from sync.heartbeat import Heartbeat, Position

MAX_EPOCH_LEAP = 1000


def take_heartbeat(
    store: Store, connection: Connection, heartbeat: Heartbeat, now_us: int
) -> tuple[int, list[StreamAck]]:
    """Note what the kiosk says of itself; the store's epoch from now on, and where each of its chains stands.

    Raises WireError (401, 403) when the kiosk is not admitted.
    """
    admitted_key(connection, heartbeat.kiosk_id)
    kiosk_notes.note_heartbeat(connection, heartbeat, now_us)
    acks = [_ack_position(connection, heartbeat, position, now_us) for position in heartbeat.positions]
    epoch = store.epoch(connection)
    told_more = heartbeat.store_epoch == epoch and any(ack.resend_from is not None for ack in acks)
    if told_more or epoch < heartbeat.store_epoch <= epoch + MAX_EPOCH_LEAP:
        # This kiosk was told by this very epoch that we had more, or knows an epoch that we do not: this store
        # is an older copy of itself. A new epoch, higher than any heard of, makes every kiosk look again.
        epoch = store.raise_epoch(connection, above=heartbeat.store_epoch)
        raise_alert(connection, now_us, "store_went_back", heartbeat.kiosk_id, f"store_epoch {epoch}")
    return epoch, acks


def _ack_position(connection: Connection, heartbeat: Heartbeat, position: Position, now_us: int) -> StreamAck:
    key = {
        "kiosk_id": heartbeat.kiosk_id,
        "incarnation": position.incarnation,
        "stream": str(position.stream),
    }
    chain = chains_of(connection, [key])[tuple(key.values())]
    chain.claim(connection, position.last)
    if position.last < chain.hi or (position.last == chain.hi and position.last_head != chain.head):
        detail = f"{position.stream} {position.last} < {chain.hi}"
        raise_alert(connection, now_us, "kiosk_went_back", heartbeat.kiosk_id, detail)
    aside = position.set_aside
    aside_is_here = not aside or chain.is_set_aside(connection, aside, position.set_aside_head)
    return StreamAck(
        incarnation=position.incarnation,
        stream=position.stream,
        acked=chain.hi,
        head=chain.head,
        resend_from=None if position.acked <= chain.hi and aside_is_here else chain.hi + 1,
        quarantined_to=aside if aside_is_here else 0,
    )
