"""What the central offers a kiosk: the newest document of each kind, and of the policies the one that is for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from kiosk.signed_document import DocumentKind
from sync.central.policy_offers import PolicyOffers, read_offers
from sync.central.tables import Document, table

documents = table(Document)
_POLICY = str(DocumentKind.POLICY)
_NEWEST = select(documents.c.kind, func.max(documents.c.version).label("version")).group_by(documents.c.kind)


@dataclass(frozen=True, slots=True)
class Offers:
    """``newest`` is kind to version of what is the same for all; each kiosk's policy is in ``policies``."""

    newest: Mapping[str, str] = field(default_factory=dict)
    policies: PolicyOffers = field(default_factory=lambda: PolicyOffers({}))

    def to(self, kiosk_id: str) -> dict[str, str]:
        """Kind to version, as every answer to this kiosk says it."""
        offered = {kind: version for kind, version in self.newest.items() if kind != _POLICY}
        policy = self.policies.to(kiosk_id)
        return offered if policy is None else {**offered, _POLICY: str(policy.version)}


def newest_versions(connection: Connection) -> dict[str, str]:
    """Kind to the highest version that there is, whomever it is for."""
    return {row.kind: str(row.version) for row in connection.execute(_NEWEST)}


def read(connection: Connection, kiosk_ids: Collection[str] | None = None) -> Offers:
    """What these kiosks are offered, or every kiosk there is."""
    return Offers(newest_versions(connection), read_offers(connection, kiosk_ids))
