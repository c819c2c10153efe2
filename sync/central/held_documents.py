"""What documents each kiosk holds, beside what it is offered, and since when it is behind.

A kiosk says with each heartbeat which versions its sync has brought and put in place. Whether its gate took them too
it says by its alarms (``document_refused``, ``policy_fallback``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, func, select

from config.errors import ConfigError
from config.policy import parse_policy
from kiosk.signed_document import DocumentKind
from sync.central import offers
from sync.central.enrolment import APPROVED
from sync.central.policy_offers import EVERY_KIOSK, PolicyOffers, Reach
from sync.central.tables import Document, Kiosk, table

documents, kiosks = table(Document), table(Kiosk)


class Standing(StrEnum):
    """How what a kiosk holds stands to what it is offered."""

    CURRENT = "current"
    BEHIND = "behind"
    MISSING = "missing"
    AHEAD = "ahead"
    """It holds a higher number than this central has: a central that was restored from a backup."""
    NOTHING = "nothing"
    """Nothing is offered, nothing is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldDocument:
    """One kind at one kiosk: versions (0 for none), when the one it holds was published (None where that is not known),
    and since when a higher one is offered (None where none is). UTC in microseconds."""

    kind: DocumentKind
    held: int
    offered: int
    published_us: int | None
    behind_since_us: int | None

    @property
    def standing(self) -> Standing:
        """What to say of it in a word."""
        if self.held == self.offered:
            return Standing.CURRENT if self.held else Standing.NOTHING
        if self.held > self.offered:
            return Standing.AHEAD
        return Standing.BEHIND if self.held else Standing.MISSING


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedPolicy:
    """A policy that is offered: its document, its name ("" where it cannot be read), and whom it is for."""

    version: int
    name: str
    reach: Reach
    kiosks: tuple[str, ...]
    published_us: int
    published_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KioskDocuments:
    """An approved kiosk; ``alarms`` are those about documents."""

    kiosk_id: str
    last_seen_us: int | None
    documents: tuple[HeldDocument, ...]
    policy: OfferedPolicy | None
    alarms: tuple[str, ...]

    def of(self, kind: str) -> HeldDocument:
        """The document of a kind; KeyError for a word that is none."""
        return {str(each.kind): each for each in self.documents}[kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewestDocument:
    """The newest of a kind that is the same for every kiosk."""

    kind: DocumentKind
    version: int
    published_us: int
    published_by: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentsThere:
    """Everything that the page of documents shows."""

    newest: tuple[NewestDocument, ...]
    policies: tuple[OfferedPolicy, ...]
    kiosks: tuple[KioskDocuments, ...]


ALARMS = frozenset({"document_refused", "policy_fallback"})
_PUBLISHED = select(documents.c.kind, documents.c.version, documents.c.published_us).order_by(documents.c.version)


def look_at_documents(connection: Connection) -> DocumentsThere:
    """What is offered, and what each approved kiosk holds of it."""
    offered = offers.read(connection)
    published: dict[str, dict[int, int]] = {str(kind): {} for kind in DocumentKind}
    for kind, version, at_us in connection.execute(_PUBLISHED):
        published.setdefault(kind, {})[version] = at_us
    policies = _policies(connection, offered.policies)
    rows = connection.execute(select(kiosks).where(kiosks.c.state == APPROVED).order_by(kiosks.c.kiosk_id)).all()
    found = []
    for row in rows:
        versions, held = offered.to(row.kiosk_id), _held(row.held)
        policy = offered.policies.to(row.kiosk_id)
        found.append(
            KioskDocuments(
                kiosk_id=row.kiosk_id,
                last_seen_us=row.last_seen_us,
                documents=tuple(
                    _held_document(kind, held.get(str(kind), 0), int(versions.get(kind, "0")), published[str(kind)])
                    for kind in DocumentKind
                ),
                policy=None if policy is None else policies.get(policy.version),
                alarms=tuple(sorted(ALARMS.intersection(row.alarms.split()))),
            )
        )
    return DocumentsThere(
        newest=_newest(connection),
        policies=tuple(sorted(policies.values(), key=lambda each: (each.reach, each.version))),
        kiosks=tuple(found),
    )


def _held_document(kind: DocumentKind, held: int, offered: int, published: Mapping[int, int]) -> HeldDocument:
    # A policy above the held one may be for other kiosks; of the rest every version is for all.
    newer = [offered] if kind is DocumentKind.POLICY else [version for version in published if held < version]
    since_us = min((published[version] for version in newer if version in published), default=None)
    return HeldDocument(
        kind=kind,
        held=held,
        offered=offered,
        published_us=published.get(held),
        behind_since_us=since_us if held < offered else None,
    )


def _held(told: str) -> dict[str, int]:
    """The versions that a kiosk told; what is no number counts as none."""
    found = json.loads(told)
    return {kind: int(text) for kind, text in found.items() if text.isascii() and text.isdigit() and len(text) <= 15}


def _policies(connection: Connection, offered: PolicyOffers) -> dict[int, OfferedPolicy]:
    whom: dict[int, list[str]] = {}
    for kiosk_id, best in offered.best.items():
        whom.setdefault(best.version, []).append(kiosk_id)
    rows = connection.execute(
        select(documents).where(documents.c.kind == str(DocumentKind.POLICY), documents.c.version.in_(whom))
    )
    reach = {best.version: best.reach for best in offered.best.values()}
    return {
        row.version: OfferedPolicy(
            version=row.version,
            name=_name(bytes(row.body)),
            reach=reach[row.version],
            kiosks=tuple(sorted(kiosk for kiosk in whom[row.version] if kiosk != EVERY_KIOSK)),
            published_us=row.published_us,
            published_by=row.published_by,
        )
        for row in rows
    }


def _name(body: bytes) -> str:
    try:
        return parse_policy(body, "policy").version
    except ConfigError:
        return ""


def _newest(connection: Connection) -> tuple[NewestDocument, ...]:
    last = (
        select(documents.c.kind, func.max(documents.c.version).label("version"))
        .where(documents.c.kind.in_([str(kind) for kind in DocumentKind if kind is not DocumentKind.POLICY]))
        .group_by(documents.c.kind)
        .subquery()
    )
    rows = connection.execute(
        select(
            documents.c.kind,
            documents.c.version,
            documents.c.published_us,
            documents.c.published_by,
            func.length(documents.c.body).label("size_bytes"),
        )
        .join(last, (documents.c.kind == last.c.kind) & (documents.c.version == last.c.version))
        .order_by(documents.c.kind)
    )
    return tuple(
        NewestDocument(
            kind=DocumentKind(row.kind),
            version=row.version,
            published_us=row.published_us,
            published_by=row.published_by,
            size_bytes=row.size_bytes,
        )
        for row in rows
    )
