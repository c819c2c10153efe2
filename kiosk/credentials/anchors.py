"""What the trust store holds of each format: keys with their dates and purposes, as frozen values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from kiosk.credentials.signing_key import SigningKey


@dataclass(frozen=True, slots=True)
class SkippedAnchor:
    """One anchor that was left out: where, which, why. Shown by ``doctor`` and on the console."""

    file: str
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class DocumentSigner:
    """One DSC of HCERT: its key, its dates, and the groups (``v``, ``t``, ``r``) it may sign; all where it names
    none. ``key_ids`` are all ids under which the same key is listed: a renewed certificate has another."""

    key: SigningKey
    not_before: datetime
    not_after: datetime
    groups: frozenset[str]
    country: str
    key_ids: frozenset[bytes] = frozenset()

    def covers(self, now: datetime) -> bool:
        """Whether ``now`` lies within the certificate's dates, both ends included."""
        return self.not_before <= now <= self.not_after


@dataclass(frozen=True, slots=True)
class ShcKey:
    """A SMART Health Card key under one issuer; under two issuers it is two of these."""

    key: SigningKey
    issuer: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule in CertLogic. ``content`` is what it applies to (``vaccination``, …); "" for every code of its
    format."""

    name: str
    code_format: str
    content: str
    logic: Any


@dataclass(frozen=True, slots=True)
class RuleSet:
    """What a gate accepts: the formats, and the rules that a code of each has to meet. ``value_sets`` are what the
    rules look codes up in."""

    formats: frozenset[str]
    rules: tuple[Rule, ...]
    value_sets: Mapping[str, Any]


class CommunityUse(StrEnum):
    """What a community key may sign: health codes, temporary passes, keys of kiosks, trust bundles' roots never."""

    CODE = "code"
    PASS = "pass"
    KIOSK = "kiosk"


@dataclass(frozen=True, slots=True)
class CommunityKey:
    """An Ed25519 key of the community: ``key_id`` is the first 8 bytes of SHA-256 of its 32 bytes."""

    key_id: bytes
    name: str
    public_key: Ed25519PublicKey
    uses: frozenset[CommunityUse]
    not_before: datetime
    not_after: datetime

    def covers(self, at: datetime) -> bool:
        """Whether ``at`` lies within the key's dates, both ends included."""
        return self.not_before <= at <= self.not_after
