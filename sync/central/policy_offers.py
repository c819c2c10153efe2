"""Which policy each kiosk is offered: one for it alone before one for several, and that before one for every kiosk.

Whom a policy is for stands in it (``kiosks``), under the authority's signature, and the gate refuses one that is not
for it; which of those that are for it a kiosk is offered is decided here. Table ``policy_offers`` has a row for each
kiosk that a policy names and one ("") for every kiosk; a policy takes the place of the one before it of its reach.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from kiosk.signed_document import DocumentKind
from sync.central.tables import Document, PolicyOffer, table

offers, documents = table(PolicyOffer), table(Document)

EVERY_KIOSK = ""
"""The name under which the policy for every kiosk stands in the table."""
_ALL = select(offers.c.kiosk_id, offers.c.reach, offers.c.version)
_OF_SOME = _ALL.where(offers.c.kiosk_id.in_(bindparam("b_kiosk_ids", expanding=True)))


class Reach(IntEnum):
    """How many kiosks a policy is for; the higher goes before the lower."""

    EVERY = 0
    SEVERAL = 1
    ALONE = 2

    @classmethod
    def of(cls, kiosks: Sequence[str]) -> Reach:
        """The reach of a policy that names these kiosks."""
        if not kiosks:
            return cls.EVERY
        return cls.ALONE if len(kiosks) == 1 else cls.SEVERAL


@dataclass(frozen=True, slots=True, order=True)
class Offered:
    """A policy document that is offered."""

    reach: Reach
    version: int


@dataclass(frozen=True, slots=True)
class PolicyOffers:
    """What is offered; ``best`` has the kiosks that some policy names, and ``EVERY_KIOSK``."""

    best: Mapping[str, Offered]

    def to(self, kiosk_id: str) -> Offered | None:
        """What this kiosk is offered; None where there is no policy for it."""
        return self.best.get(kiosk_id) or self.best.get(EVERY_KIOSK)


def read_offers(connection: Connection, kiosk_ids: Collection[str] | None = None) -> PolicyOffers:
    """What is offered to these kiosks; to every kiosk there is when none are given."""
    if kiosk_ids is None:
        rows = connection.execute(_ALL)
    else:
        rows = connection.execute(_OF_SOME, {"b_kiosk_ids": [EVERY_KIOSK, *kiosk_ids]})
    best: dict[str, Offered] = {}
    for kiosk_id, reach, version in rows:
        found = Offered(Reach(reach), version)
        best[kiosk_id] = max(best.get(kiosk_id, found), found)
    return PolicyOffers(best)


def kiosks_named(body: bytes) -> tuple[str, ...]:
    """The kiosks that a policy document is for; none for every kiosk, and for a body that is no policy at all."""
    try:
        named = tomllib.loads(body.decode("utf-8")).get("kiosks", [])
    except (ValueError, RecursionError):
        return ()
    return tuple(dict.fromkeys(each for each in named if isinstance(each, str))) if isinstance(named, list) else ()


def offer(connection: Connection, version: int, kiosks: Sequence[str]) -> None:
    """Offer a policy document to these kiosks, to every kiosk for none."""
    names, reach = list(kiosks) or [EVERY_KIOSK], Reach.of(kiosks)
    connection.execute(delete(offers).where(offers.c.kiosk_id.in_(names), offers.c.reach == int(reach)))
    connection.execute(insert(offers), [{"kiosk_id": name, "reach": int(reach), "version": version} for name in names])


def offer_unlisted(connection: Connection) -> None:
    """Offer what a central of an older program published beside this one: policies above all that are on offer.

    The highest document is always on offer here, whatever was withdrawn (``sync/central/policy_withdrawal.py``).
    """
    newest = connection.execute(select(func.max(offers.c.version))).scalar() or 0
    wanted = (documents.c.kind == str(DocumentKind.POLICY), documents.c.version > newest)
    rows = connection.execute(
        select(documents.c.version, documents.c.body).where(*wanted).order_by(documents.c.version)
    ).all()
    for version, body in rows:
        offer(connection, version, kiosks_named(bytes(body)))


def offer_instead(connection: Connection, version: int, newer: int) -> None:
    """Whoever was offered ``version`` is offered the same policy as document ``newer``."""
    connection.execute(update(offers).where(offers.c.version == version).values(version=newer))


def end_offer(connection: Connection, version: int) -> tuple[str, ...]:
    """Offer a document to nobody by name any more; the kiosks to which it was offered so."""
    ended = (offers.c.version == version, offers.c.reach > int(Reach.EVERY))
    names = connection.execute(select(offers.c.kiosk_id).where(*ended).order_by(offers.c.kiosk_id)).scalars().all()
    connection.execute(delete(offers).where(*ended))
    return tuple(names)
