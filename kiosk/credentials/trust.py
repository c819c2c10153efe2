"""The trust store: every key that a health code may be signed by, and everything revoked. Immutable, swapped whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from config.errors import ConfigError
from kiosk.credentials.anchors import CommunityKey, DocumentSigner, RuleSet, ShcKey, SkippedAnchor
from kiosk.credentials.certificate import Certificate
from kiosk.credentials.chain import RevocationList
from kiosk.credentials.revocations import RevocationSet
from kiosk.credentials.trust_folder import TrustFolder

MIN_MATCH_KEY_BYTES = 16
#: How far this clock may be behind the one that made the store.
CLOCK_TOLERANCE = timedelta(minutes=5)


def _nothing() -> Mapping[Any, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustStore:
    """One snapshot of what is trusted. Never changed: a newer one replaces it, see :meth:`replaced_by`.

    ``skipped`` are the anchors left out, with the reason. ``match_key`` (16 bytes or more, of the site) keys the
    hash of name and birth date; without it codes carry no such match. ``created_at`` is when the store was made,
    None for a bare folder: a clock before it is wrong, and nothing is judged by it.
    """

    hcert_signers: Mapping[bytes, tuple[DocumentSigner, ...]] = field(default_factory=_nothing)
    hcert_revoked: RevocationSet = field(default_factory=RevocationSet)
    shc_keys: Mapping[str, tuple[ShcKey, ...]] = field(default_factory=_nothing)
    shc_revoked: Mapping[tuple[str, str], int | None] = field(default_factory=_nothing)
    country_authorities: tuple[Certificate, ...] = ()
    revocation_lists: tuple[RevocationList, ...] = ()
    community_keys: Mapping[bytes, CommunityKey] = field(default_factory=_nothing)
    community_revoked_keys: frozenset[bytes] = frozenset()
    community_revoked_passes: frozenset[bytes] = frozenset()
    rule_sets: Mapping[str, RuleSet] = field(default_factory=_nothing)
    skipped: tuple[SkippedAnchor, ...] = ()
    match_key: bytes = field(default=b"", repr=False)
    created_at: datetime | None = None

    @classmethod
    def load(cls, folder: Path | str, *, match_key: bytes = b"", created_at: datetime | None = None) -> TrustStore:
        """Reads a trust folder (its layout stands in ``trust_folder.py``; any file may be missing).

        Raises ConfigError when the folder is missing, a file in it cannot be read as a whole, or ``match_key`` is
        given and shorter than 16 bytes.
        """
        if 0 < len(match_key) < MIN_MATCH_KEY_BYTES:
            raise ConfigError("match key", seen=f"{len(match_key)} bytes", expected=f"{MIN_MATCH_KEY_BYTES} or more")
        reading = TrustFolder(folder)
        community_keys, revoked_keys, revoked_passes = reading.community()
        return cls(
            hcert_signers=reading.hcert_signers(),
            hcert_revoked=reading.hcert_revoked(),
            shc_keys=reading.shc_keys(),
            shc_revoked=reading.shc_revoked(),
            country_authorities=reading.country_authorities(),
            revocation_lists=reading.revocation_lists(),
            community_keys=community_keys,
            community_revoked_keys=revoked_keys,
            community_revoked_passes=revoked_passes,
            rule_sets=reading.rule_sets(),
            skipped=tuple(reading.skipped),
            match_key=match_key,
            created_at=created_at,
        )

    def replaced_by(self, newer: TrustStore) -> TrustStore:
        """``newer`` with everything that this store has revoked: revocation is sticky, and an update that forgot an
        entry never brings a refused code back."""
        shc = dict(self.shc_revoked)
        for card, before_s in newer.shc_revoked.items():
            known = shc.get(card, 0)
            shc[card] = None if before_s is None or known is None else max(before_s, known)
        return replace(
            newer,
            hcert_revoked=newer.hcert_revoked.union(self.hcert_revoked),
            shc_revoked=MappingProxyType(shc),
            revocation_lists=tuple(dict.fromkeys((*newer.revocation_lists, *self.revocation_lists))),
            community_revoked_keys=newer.community_revoked_keys | self.community_revoked_keys,
            community_revoked_passes=newer.community_revoked_passes | self.community_revoked_passes,
        )

    def clock_is_possible(self, now: datetime) -> bool:
        """False when ``now`` lies before the store was made: expired codes would pass by a clock set back."""
        return self.created_at is None or now + CLOCK_TOLERANCE >= self.created_at

    def key_count(self) -> int:
        """How many keys are trusted, all formats together."""
        several = (self.hcert_signers, self.shc_keys)
        return (
            sum(len(keys) for by_id in several for keys in by_id.values())
            + len(self.country_authorities)
            + len(self.community_keys)
        )


def describe_skipped(skipped: Iterable[SkippedAnchor]) -> str:
    """One line an anchor, for ``doctor``."""
    return "\n".join(f"{anchor.file}: {anchor.name}: {anchor.why}" for anchor in skipped)


__all__ = ["SkippedAnchor", "TrustStore", "describe_skipped"]
