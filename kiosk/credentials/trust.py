"""The trust store: every key that a health code may be signed by, and everything revoked. Immutable, swapped whole.

A folder holds any of

    hcert_dsc.json      {"certificates": [{"kid": base64 of 8 bytes, "x509": base64 DER}]}; one kid may stand twice
    hcert_revoked.json  {"entries": [{"kid", "hashType": UCI | COUNTRYCODEUCI | SIGNATURE, "hash": base64}]}

National lists hold odd certificates, so anchors load one by one: a bad one is skipped and reported in
``TrustStore.skipped``, and the rest stands. A file that is not readable as a whole is an error, since a store
that silently lacks its revocations would accept what was revoked.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from config.errors import ConfigError
from kiosk.credentials.certificate import read_certificate
from kiosk.credentials.revocations import RevocationKind, RevocationSet
from kiosk.credentials.signing_key import SigningKey

MAX_FILE_BYTES = 256 * 1024 * 1024
MIN_MATCH_KEY_BYTES = 16
KID_BYTES = 8

#: What a DSC may sign, by extended key usage; both arcs are in use. Source: EU eHealth Network, "Technical
#: specifications for digital green certificates", volume 3, interoperable 2D code, annex on certificate governance.
_USAGE_ARCS = ("1.3.6.1.4.1.1847.2021.1.", "1.3.6.1.4.1.0.1847.2021.1.")
_USAGE_GROUPS = {"1": "t", "2": "v", "3": "r"}
_USAGES = {arc + last: group for arc in _USAGE_ARCS for last, group in _USAGE_GROUPS.items()}


@dataclass(frozen=True, slots=True)
class SkippedAnchor:
    """One anchor that was left out: where, which, why. Shown by ``doctor`` and on the console."""

    file: str
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class DocumentSigner:
    """One DSC: its key, its dates, and the groups (``v``, ``t``, ``r``) it may sign; all where it names none."""

    key: SigningKey
    not_before: datetime
    not_after: datetime
    groups: frozenset[str]
    country: str

    def covers(self, now: datetime) -> bool:
        """Whether ``now`` lies within the certificate's dates, both ends included."""
        return self.not_before <= now <= self.not_after


def _read(folder: Path, name: str) -> Any:
    """The parsed file, or None where the folder has none. Raises ConfigError when it cannot be read as a whole."""
    path = folder / name
    try:
        if not path.is_file():
            return None
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(str(path), seen=f"{path.stat().st_size} bytes", expected=f"at most {MAX_FILE_BYTES}")
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            str(path), seen=str(error)[:120], expected="JSON in the layout of a trust folder", hint="load it again"
        ) from error


def _rows(document: Any, key: str, path: Path) -> list[Any]:
    if document is None:
        return []
    rows = document.get(key) if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise ConfigError(str(path), seen=f"no list {key!r}", expected=f'{{"{key}": [...]}}', hint="load it again")
    return rows


def _bytes(row: Any, key: str) -> bytes:
    value = row.get(key) if isinstance(row, dict) else None
    if not isinstance(value, str):
        raise ValueError(f"no {key}")
    return base64.b64decode(value, validate=True)


def _document_signer(der: bytes) -> DocumentSigner:
    certificate = read_certificate(der)
    groups = frozenset(_USAGES[usage] for usage in certificate.extended_key_usages() if usage in _USAGES)
    return DocumentSigner(
        key=SigningKey.of(certificate.public_key),
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        groups=groups or frozenset(_USAGE_GROUPS.values()),
        country=certificate.country,
    )


def _load_hcert(
    folder: Path, skipped: list[SkippedAnchor]
) -> tuple[Mapping[bytes, tuple[DocumentSigner, ...]], RevocationSet]:
    signers: dict[bytes, tuple[DocumentSigner, ...]] = {}
    file = "hcert_dsc.json"
    for index, row in enumerate(_rows(_read(folder, file), "certificates", folder / file)):
        try:
            kid = _bytes(row, "kid")
            if len(kid) != KID_BYTES:
                raise ValueError(f"kid of {len(kid)} bytes")
            signers[kid] = (*signers.get(kid, ()), _document_signer(_bytes(row, "x509")))
        except ValueError as error:
            skipped.append(SkippedAnchor(file, f"certificate {index}", str(error)[:120]))
    entries = []
    file = "hcert_revoked.json"
    for index, row in enumerate(_rows(_read(folder, file), "entries", folder / file)):
        try:
            kid, digest = _bytes(row, "kid"), _bytes(row, "hash")
            if len(kid) != KID_BYTES or len(digest) != 16:
                raise ValueError(f"kid of {len(kid)} and hash of {len(digest)} bytes")
            entries.append((kid, RevocationKind(row.get("hashType")), digest))
        except ValueError as error:
            skipped.append(SkippedAnchor(file, f"entry {index}", str(error)[:120]))
    return MappingProxyType(signers), RevocationSet(entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustStore:
    """One snapshot of what is trusted. Never changed: a newer one replaces it, see :meth:`replaced_by`.

    ``match_key`` (16 bytes or more, of the site) keys the hash of name and birth date; without it codes carry no
    such match. ``newest_seen`` is the newest instant that the store itself proves, as a floor for the clock.
    """

    hcert_signers: Mapping[bytes, tuple[DocumentSigner, ...]] = field(default_factory=lambda: MappingProxyType({}))
    hcert_revoked: RevocationSet = field(default_factory=RevocationSet)
    skipped: tuple[SkippedAnchor, ...] = ()
    match_key: bytes = b""

    @classmethod
    def load(cls, folder: Path | str, *, match_key: bytes = b"") -> TrustStore:
        """Reads a trust folder. Raises ConfigError when the folder is missing, or a file in it is not readable as a
        whole, or ``match_key`` is given and shorter than 16 bytes."""
        folder = Path(folder)
        if not folder.is_dir():
            raise ConfigError(f"trust folder {folder}", seen="no folder", expected="a folder of trust lists")
        if 0 < len(match_key) < MIN_MATCH_KEY_BYTES:
            raise ConfigError("match key", seen=f"{len(match_key)} bytes", expected=f"{MIN_MATCH_KEY_BYTES} or more")
        skipped: list[SkippedAnchor] = []
        signers, revoked = _load_hcert(folder, skipped)
        return cls(hcert_signers=signers, hcert_revoked=revoked, skipped=tuple(skipped), match_key=match_key)

    def replaced_by(self, newer: TrustStore) -> TrustStore:
        """``newer`` with everything that this store has revoked: revocation is sticky, and an update that forgot an
        entry never brings a refused code back."""
        return replace(newer, hcert_revoked=newer.hcert_revoked.union(self.hcert_revoked))

    def key_count(self) -> int:
        """How many keys are trusted, all formats together."""
        return sum(map(len, self.hcert_signers.values()))


def describe_skipped(skipped: Iterable[SkippedAnchor]) -> str:
    """One line an anchor, for ``doctor``."""
    return "\n".join(f"{anchor.file}: {anchor.name}: {anchor.why}" for anchor in skipped)
