"""The trust bundle: every list of a trust folder in one signed file, by network or USB stick. Pure.

    line 1     "gatepost-trust 1"
    line 2     manifest: RFC 8785 JSON
    line 3     signatures: JSON object, root key id (16 hex digits) -> base64 of Ed25519(purpose ‖ manifest)
    the rest   zlib stream of the files, one after another in the manifest's order

    manifest   {"version": n, "created_us": µs, "next_update_us": µs,
                "roots": [base64 of 32 bytes, …], "files": [{"name", "size", "sha256"}, …],
                "reinstated": [{"file", "entry"}, …]}

What a kiosk holds against a bundle is its :class:`TrustState`: version, roots, counts. A bundle is accepted when a
root trusted *now* signed it; the version rises; nothing is older than before; every file has its size and hash; and
no list lost more than a fifth of its keys, unless somebody confirms that. ``roots`` are the roots trusted *from now
on*: a new one comes in by a bundle that an old root and the new one both signed, so two offline roots suffice for
ever. Revocations only grow (:func:`keep_revocations`) except by a signed ``reinstated``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from config.errors import GatepostError
from kiosk.credentials.jcs import canonical

HEAD = b"gatepost-trust 1"
PURPOSE = b"gatepost trust bundle 1\x00"
MAX_BUNDLE_BYTES = 64 * 1024 * 1024
MAX_FILES_BYTES = 256 * 1024 * 1024
MAX_LINE_BYTES = 1024 * 1024
MAX_ROOTS = 4
SHRINK_LIMIT = 0.2
DEFAULT_RED_AFTER = timedelta(days=7)

#: The files a bundle may hold, and where each keeps the anchors that the shrink guard counts.
FILES: dict[str, str] = {
    "hcert_dsc.json": "certificates",
    "hcert_revoked.json": "",
    "shc_issuers.json": "issuerInfo",
    "shc_crl.json": "",
    "vdsnc_csca.json": "csca",
    "community_keys.json": "keys",
    "rules.json": "",
}


class BundleError(GatepostError):
    """A bundle that is not taken; the trust store stays as it was."""


class ShrinkError(BundleError):
    """A genuine bundle with far fewer keys than before: taken only when somebody confirms it."""


class AgeLight(StrEnum):
    """How old the trust store is, for the console."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustState:
    """What this kiosk has accepted so far. A new kiosk has version 0 and the roots from its installation."""

    version: int
    roots: tuple[bytes, ...]
    created_at: datetime | None = None
    next_update: datetime | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedBundle:
    """A bundle that was accepted: its files, the state that now holds, and the revocations it lifts."""

    files: Mapping[str, bytes]
    state: TrustState
    reinstated: frozenset[tuple[str, bytes]]


def root_id(root: bytes) -> str:
    """A root's name: first 8 bytes of SHA-256 of its 32, in hex."""
    return hashlib.sha256(root).digest()[:8].hex()


def make_bundle(
    files: Mapping[str, bytes],
    *,
    version: int,
    created_at: datetime,
    next_update: datetime,
    root_keys: Sequence[Ed25519PrivateKey],
    roots: Sequence[bytes] | None = None,
    reinstated: Sequence[Mapping[str, Any]] = (),
) -> bytes:
    """The bundle's bytes, signed by each of ``root_keys``. ``roots`` are those trusted from then on; by default the
    signers'. Raises BundleError for an unknown file name."""
    unknown = set(files) - set(FILES)
    if unknown:
        raise BundleError("trust bundle", seen=", ".join(sorted(unknown)), expected=", ".join(FILES))
    names = [name for name in FILES if name in files]
    signers = {key.public_key().public_bytes_raw(): key for key in root_keys}
    manifest = canonical(
        {
            "version": version,
            "created_us": _micros(created_at),
            "next_update_us": _micros(next_update),
            "roots": [base64.b64encode(root).decode() for root in (signers if roots is None else roots)],
            "files": [
                {"name": name, "size": len(files[name]), "sha256": hashlib.sha256(files[name]).hexdigest()}
                for name in names
            ],
            "reinstated": list(reinstated),
        }
    )
    signatures = {root_id(raw): base64.b64encode(key.sign(PURPOSE + manifest)).decode() for raw, key in signers.items()}
    body = zlib.compress(b"".join(files[name] for name in names), 9)
    return b"\n".join((HEAD, manifest, canonical(signatures), body))


def open_bundle(data: bytes, state: TrustState, *, confirm_shrink: bool = False) -> OpenedBundle:
    """The files of ``data`` when this kiosk may take it.

    Raises ShrinkError when only the shrink guard objects, and BundleError for everything else.
    """
    if len(data) > MAX_BUNDLE_BYTES:
        raise BundleError("trust bundle", seen=f"{len(data)} bytes", expected=f"at most {MAX_BUNDLE_BYTES}")
    lines = data.split(b"\n", 3)
    if len(lines) != 4 or lines[0] != HEAD or max(map(len, lines[1:3])) > MAX_LINE_BYTES:
        raise BundleError("trust bundle", seen="another file", expected=HEAD.decode())
    _check_signature(lines[1], lines[2], state.roots)
    manifest = _object(lines[1], "manifest")
    version, created_at, next_update = _head(manifest)
    if version <= state.version:
        raise BundleError("trust bundle", seen=f"version {version}", expected=f"above {state.version}")
    if state.created_at is not None and created_at < state.created_at:
        raise BundleError("trust bundle", seen=f"made {created_at}", expected=f"not before {state.created_at}")
    roots = _roots(manifest, lines[1], lines[2], state.roots)
    files = _files(manifest, lines[3])
    counts = {name: _count(name, content) for name, content in files.items() if FILES[name]}
    if not confirm_shrink:
        _guard_shrink(state.counts, counts)
    return OpenedBundle(
        files=files,
        state=TrustState(version=version, roots=roots, created_at=created_at, next_update=next_update, counts=counts),
        reinstated=_reinstated(manifest),
    )


def claimed_version(data: bytes) -> int | None:
    """The version that a bundle says it has; None for something else. Nothing of it is believed yet."""
    lines = data.split(b"\n", 2)
    if len(lines) != 3 or lines[0] != HEAD or len(lines[1]) > MAX_LINE_BYTES:
        return None
    try:
        version = _object(lines[1], "manifest").get("version")
    except BundleError:
        return None
    return version if type(version) is int else None


def age_light(state: TrustState, now: datetime, *, red_after: timedelta = DEFAULT_RED_AFTER) -> AgeLight:
    """Green until the announced next update, amber after it, red ``red_after`` later or without any bundle."""
    if state.next_update is None or now >= state.next_update + red_after:
        return AgeLight.RED
    return AgeLight.AMBER if now >= state.next_update else AgeLight.GREEN


def keep_revocations(
    old: Mapping[str, bytes], new: Mapping[str, bytes], reinstated: frozenset[tuple[str, bytes]] = frozenset()
) -> dict[str, bytes]:
    """``new`` with every revocation of ``old`` that it forgot, except those in ``reinstated``: what a kiosk writes
    to its trust folder, so that no update brings a revoked code back by omission."""
    kept = dict(new)
    for name, key in (("hcert_revoked.json", "entries"), ("vdsnc_csca.json", "crl")):
        _keep_rows(kept, old, name, key, reinstated)
    for key in ("revoked_keys", "revoked_passes"):
        _keep_rows(kept, old, "community_keys.json", key, reinstated)
    if "shc_crl.json" in old:
        merged = _json(new.get("shc_crl.json", b"{}"))
        for kid, row in _json(old["shc_crl.json"]).items():
            mine = merged.setdefault(kid, {**row, "rids": []})
            mine["rids"] = _union(row["rids"], mine["rids"], "shc_crl.json", reinstated)
        kept["shc_crl.json"] = canonical(merged)
    return kept


def _keep_rows(
    kept: dict[str, bytes],
    old: Mapping[str, bytes],
    name: str,
    key: str,
    reinstated: frozenset[tuple[str, bytes]],
) -> None:
    before = _json(old[name]).get(key, []) if name in old else []
    if not before:
        return
    document = _json(kept.get(name, b"{}"))
    document[key] = _union(before, document.get(key, []), name, reinstated)
    if FILES[name]:  # a file that the new bundle dropped keeps its revocations alone, never its keys
        document.setdefault(FILES[name], [])
    kept[name] = canonical(document)


def _union(old: list[Any], new: list[Any], name: str, reinstated: frozenset[tuple[str, bytes]]) -> list[Any]:
    known = {canonical(row) for row in new}
    return [*new, *(row for row in old if canonical(row) not in known and (name, canonical(row)) not in reinstated)]


def _micros(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BundleError("trust bundle", seen=str(error)[:80], expected="JSON files") from None


def _object(line: bytes, what: str) -> dict[str, Any]:
    value = _json(line)
    if not isinstance(value, dict):
        raise BundleError(f"trust bundle's {what}", seen=type(value).__name__, expected="an object")
    return value


def _check_signature(manifest: bytes, signatures: bytes, roots: tuple[bytes, ...]) -> None:
    """Returns where one of ``roots`` signed the manifest's exact bytes; BundleError otherwise."""
    given = _object(signatures, "signatures")
    for root in roots:
        signature = given.get(root_id(root))
        try:
            raw = base64.b64decode(signature, validate=True) if isinstance(signature, str) else b""
            Ed25519PublicKey.from_public_bytes(root).verify(raw, PURPOSE + manifest)
        except (InvalidSignature, binascii.Error, ValueError):
            continue
        return
    raise BundleError(
        "trust bundle",
        seen="no signature of a trusted root",
        expected=" or ".join(map(root_id, roots)),
        hint="fetch the bundle again, or install the new root by hand",
    )


def _head(manifest: dict[str, Any]) -> tuple[int, datetime, datetime]:
    numbers = [manifest.get(name) for name in ("version", "created_us", "next_update_us")]
    if any(type(number) is not int or not 0 < number < 2**53 for number in numbers):
        raise BundleError("trust bundle's manifest", seen="no version or dates", expected="whole numbers")
    version, created_us, next_us = (number for number in numbers if isinstance(number, int))
    try:
        created_at, next_update = (datetime.fromtimestamp(us / 1_000_000, tz=UTC) for us in (created_us, next_us))
    except (ValueError, OverflowError, OSError):
        raise BundleError("trust bundle's manifest", seen="dates out of range", expected="microseconds") from None
    return version, created_at, next_update


def _roots(manifest: dict[str, Any], raw: bytes, signatures: bytes, trusted: tuple[bytes, ...]) -> tuple[bytes, ...]:
    try:
        roots = tuple(base64.b64decode(text, validate=True) for text in manifest["roots"])
    except (KeyError, TypeError, ValueError):
        roots = ()
    if not 1 <= len(roots) <= MAX_ROOTS or any(len(root) != 32 for root in roots):
        raise BundleError("trust bundle's roots", seen=f"{len(roots)}", expected=f"1 to {MAX_ROOTS} keys of 32 bytes")
    for root in set(roots) - set(trusted):
        # A new root proves that somebody holds it, or a slip of the pen would lock every kiosk out.
        _check_signature(raw, signatures, (root,))
    return roots


def _files(manifest: dict[str, Any], body: bytes) -> dict[str, bytes]:
    rows = manifest.get("files")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows) or len(rows) > len(FILES):
        raise BundleError("trust bundle's files", seen="no list", expected="names, sizes, hashes")
    names, sizes = [row.get("name") for row in rows], [row.get("size") for row in rows]
    if len(set(names)) != len(names) or not set(names) <= set(FILES):
        raise BundleError("trust bundle's files", seen=f"{names}"[:120], expected=", ".join(FILES))
    if any(type(size) is not int or size < 0 for size in sizes) or sum(sizes) > MAX_FILES_BYTES:
        raise BundleError("trust bundle's files", seen=f"sizes {sizes}"[:120], expected=f"{MAX_FILES_BYTES} in all")
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(body, sum(sizes) + 1)
    except zlib.error:
        content = b""
    if len(content) != sum(sizes) or not stream.eof or stream.unused_data:
        raise BundleError("trust bundle", seen="cut short or changed on the way", expected="the whole file")
    files, at = {}, 0
    for row in rows:
        part = content[at : at + row["size"]]
        at += row["size"]
        if hashlib.sha256(part).hexdigest() != row.get("sha256"):
            raise BundleError(f"trust bundle's {row['name']}", seen="another SHA-256", expected=str(row.get("sha256")))
        files[row["name"]] = part
    return files


def _count(name: str, content: bytes) -> int:
    rows = _object(content, name).get(FILES[name])
    if not isinstance(rows, list):
        raise BundleError(f"trust bundle's {name}", seen=f"no {FILES[name]}", expected="a list")
    return len(rows)


def _guard_shrink(before: Mapping[str, int], now: Mapping[str, int]) -> None:
    for name, count in before.items():
        if now.get(name, 0) < count * (1 - SHRINK_LIMIT):
            raise ShrinkError(
                f"trust bundle's {name}",
                seen=f"{now.get(name, 0)} keys",
                expected=f"about {count}, as before",
                hint="confirm it on the console when the issuer says that it is meant",
            )


def _reinstated(manifest: dict[str, Any]) -> frozenset[tuple[str, bytes]]:
    rows = manifest.get("reinstated", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) and row.get("file") in FILES for row in rows):
        raise BundleError("trust bundle's reinstated", seen="another form", expected='[{"file", "entry"}]')
    return frozenset((row["file"], canonical(row.get("entry"))) for row in rows)
