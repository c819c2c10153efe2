"""``GP1:``, the community's temporary pass: who may come where, when, how often. Pure.

    "GP1:" + Base45( CBOR [ body, signature, kiosk certificate | null ] )

    body        = CBOR [ 1, key id (8), pass id (8), category, places, windows, issued s, expires s, one-time gate ]
    windows     = [ [ weekdays as bits (Monday 1 … Sunday 64), from minute, until minute ], … ]      none: always
    certificate = CBOR [ kiosk body, signature of the community's key ]
    kiosk body  = CBOR [ 1, community key id (8), kiosk id, public key (32), from s, until s ]

A pass is signed by the community's key, or on a guard's console while the network is down by that kiosk's key, whose
certificate it then carries: made by the community's key, short-lived, revocable by its key id. A one-time pass names
one gate ("" for a pass that may be used again), since two gates that do not hear each other could both let it in.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from kiosk.credentials.anchors import CommunityUse
from kiosk.credentials.cbor import CborError, dumps, loads
from kiosk.credentials.code_verdict import CodeReason, CodeRefusedError, GateContext
from kiosk.credentials.community import (
    KEY_ID_BYTES,
    VERSION,
    a_text,
    an_instant,
    key_id_of,
    open_text,
    read_body,
    seal,
    sign,
    signed_by,
    some_bytes,
    some_texts,
    trusted_key,
)
from kiosk.credentials.evidence_hash import evidence_hash
from kiosk.credentials.trust import TrustStore
from kiosk.evidence import CardStrength, PassFinding
from kiosk.reasons import Reason

PREFIX = "GP1:"
PURPOSE = b"gatepost GP1 1\x00"
KIOSK_PURPOSE = b"gatepost kiosk key 1\x00"
PASS_ID_BYTES = 8
MAX_LIFETIME = timedelta(days=366)
#: A kiosk stands in the street: what its key may give away ends soon.
MAX_KIOSK_LIFETIME = timedelta(days=7)
MAX_CERTIFICATE_LIFETIME = timedelta(days=92)
ISSUED_TOLERANCE = timedelta(minutes=5)
MAX_NAME = 40
MAX_PLACES = 8
MAX_WINDOWS = 8
MINUTES_A_DAY = 24 * 60

#: What the verdict says of a pass for each short reason; a pass of any other fault is forged.
_PASS_REASONS = {
    CodeReason.ISSUER_UNKNOWN: Reason.CARD_OTHER_SITE,
    CodeReason.REVOKED: Reason.PASS_REVOKED,
    CodeReason.KEY_REVOKED: Reason.PASS_REVOKED,
    CodeReason.KEY_EXPIRED: Reason.PASS_EXPIRED,
    CodeReason.EXPIRED: Reason.PASS_EXPIRED,
    CodeReason.NOT_YET_VALID: Reason.PASS_NOT_YET_VALID,
    CodeReason.OUT_OF_WINDOW: Reason.OUT_OF_HOURS,
    CodeReason.OTHER_GATE: Reason.PASS_OTHER_GATE,
    CodeReason.REUSED: Reason.PASS_USED,
    CodeReason.CLOCK: Reason.CLOCK_UNTRUSTED,
}


@dataclass(frozen=True, slots=True)
class PassWindow:
    """Local hours on some weekdays: ``weekdays`` as bits (Monday 1 to Sunday 64), minutes of the day, end excluded.
    ``until_minute`` of 1440 is midnight; a window over midnight is two windows."""

    weekdays: int
    from_minute: int
    until_minute: int

    def contains(self, weekday: int, minute: int) -> bool:
        """Whether ``minute`` (0 to 1439) of ``weekday`` (0 Monday) lies inside."""
        return bool(self.weekdays >> weekday & 1) and self.from_minute <= minute < self.until_minute


@dataclass(frozen=True, slots=True, kw_only=True)
class TemporaryPass:
    """What a ``GP1:`` pass says. ``places`` empty: every gate. ``one_time_gate`` "": not a one-time pass.
    ``issuer`` is the community key's name, or ``kiosk:`` and the kiosk's id."""

    pass_id: bytes
    category: str
    issued_at: datetime
    expires_at: datetime
    places: tuple[str, ...] = ()
    windows: tuple[PassWindow, ...] = ()
    one_time_gate: str = ""
    issuer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KioskKey:
    """A kiosk's certified key, as its certificate says."""

    kiosk_id: str
    public_key: Ed25519PublicKey
    not_before: datetime
    not_after: datetime


def certify_kiosk(
    kiosk_id: str,
    public_key: Ed25519PublicKey,
    community_key: Ed25519PrivateKey,
    *,
    not_before: datetime,
    not_after: datetime,
) -> bytes:
    """The certificate of a kiosk's key, for at most 92 days. CodeRefusedError where no gate would accept it."""
    body = dumps(
        [
            VERSION,
            key_id_of(community_key.public_key()),
            kiosk_id,
            public_key.public_bytes_raw(),
            int(not_before.timestamp()),
            int(not_after.timestamp()),
        ]
    )
    _read_kiosk(body)
    return dumps([body, sign(community_key, KIOSK_PURPOSE, body)])


def issue(content: TemporaryPass, private_key: Ed25519PrivateKey, certificate: bytes | None = None) -> str:
    """The signed text; ``certificate`` when ``private_key`` is a kiosk's. CodeRefusedError where :func:`verify`
    would refuse what it says."""
    body = dumps(
        [
            VERSION,
            key_id_of(private_key.public_key()),
            content.pass_id,
            content.category,
            list(content.places),
            [[window.weekdays, window.from_minute, window.until_minute] for window in content.windows],
            int(content.issued_at.timestamp()),
            int(content.expires_at.timestamp()),
            content.one_time_gate,
        ]
    )
    _read(body, MAX_LIFETIME if certificate is None else MAX_KIOSK_LIFETIME)
    return seal(PREFIX, [body, sign(private_key, PURPOSE, body), certificate])


def verify(text: str, store: TrustStore, now: datetime) -> TemporaryPass:
    """The genuine, unrevoked, current pass in ``text``; what gate, hour and earlier use make of it is
    :func:`pass_finding`. Raises CodeRefusedError naming the first thing that is wrong."""
    body, signature, certificate = open_text(PREFIX, text, frozenset({3}))
    content, key_id = _read(body, MAX_LIFETIME if certificate is None else MAX_KIOSK_LIFETIME)
    if key_id in store.community_revoked_keys:
        raise CodeRefusedError(CodeReason.KEY_REVOKED, key_id.hex())
    if certificate is None:
        key = trusted_key(store, key_id, CommunityUse.PASS)
        public_key, covered, issuer = key.public_key, key.covers(content.issued_at), key.name
    else:
        kiosk = _certified(certificate, store)
        if key_id_of(kiosk.public_key) != key_id:
            raise CodeRefusedError(CodeReason.ISSUER_MISMATCH, key_id.hex())
        public_key, issuer = kiosk.public_key, f"kiosk:{kiosk.kiosk_id}"
        covered = kiosk.not_before - ISSUED_TOLERANCE <= content.issued_at <= kiosk.not_after
    if not signed_by(public_key, PURPOSE, body, signature):
        raise CodeRefusedError(CodeReason.SIGNATURE, key_id.hex())
    if not covered:
        raise CodeRefusedError(CodeReason.KEY_EXPIRED, key_id.hex())
    if content.pass_id in store.community_revoked_passes:
        raise CodeRefusedError(CodeReason.REVOKED, key_id.hex())
    if now >= content.expires_at:
        raise CodeRefusedError(CodeReason.EXPIRED, key_id.hex())
    if now + ISSUED_TOLERANCE < content.issued_at:
        raise CodeRefusedError(CodeReason.NOT_YET_VALID, key_id.hex())
    return TemporaryPass(
        pass_id=content.pass_id,
        category=content.category,
        issued_at=content.issued_at,
        expires_at=content.expires_at,
        places=content.places,
        windows=content.windows,
        one_time_gate=content.one_time_gate,
        issuer=issuer,
    )


def pass_finding(
    text: str, store: TrustStore, now: datetime, context: GateContext, used: Collection[str] = frozenset()
) -> PassFinding | None:
    """What a text is as a pass; None when it is no ``GP1:`` at all.

    ``used`` are the pass ids (hex) of one-time passes that this gate has let in. Hours are judged by the local time
    of ``context``; a pass with hours at a gate that does not know its local time is out of hours.
    """
    if not text.startswith(PREFIX):
        return None
    try:
        if now.tzinfo is None:
            raise ValueError("now has no time zone")
        if not store.clock_is_possible(now):
            raise CodeRefusedError(CodeReason.CLOCK)
        content = verify(text, store, now)
        _check_gate(content, context, used)
    except CodeRefusedError as refused:
        return PassFinding(
            refusal=_PASS_REASONS.get(refused.reason, Reason.PASS_FORGED),
            strength=CardStrength.PASS_CODE,
            evidence_hash=evidence_hash(text),
        )
    return PassFinding(
        refusal=None,
        subject=content.pass_id.hex(),
        category=content.category,
        strength=CardStrength.PASS_CODE,
        registered=True,
        places=content.places,
    )


def pass_id_of(text: str) -> str:
    """The id (hex) of a pass, for a text that :func:`verify` accepted."""
    return _read(open_text(PREFIX, text, frozenset({3}))[0], MAX_LIFETIME)[0].pass_id.hex()


def one_time_gate_of(text: str) -> str:
    """The gate that a pass names, "" for one that may be used again. For a text that :func:`verify` accepted."""
    return _read(open_text(PREFIX, text, frozenset({3}))[0], MAX_LIFETIME)[0].one_time_gate


def _check_gate(content: TemporaryPass, context: GateContext, used: Collection[str]) -> None:
    if content.one_time_gate:
        if content.one_time_gate != context.gate:
            raise CodeRefusedError(CodeReason.OTHER_GATE)
        if content.pass_id.hex() in used:
            raise CodeRefusedError(CodeReason.REUSED)
    if content.places and context.gate not in content.places:
        raise CodeRefusedError(CodeReason.OTHER_GATE)
    if content.windows:
        weekday, minute = context.weekday, context.local_minute
        if weekday is None or minute is None:
            raise CodeRefusedError(CodeReason.OUT_OF_WINDOW)
        if not any(window.contains(weekday, minute) for window in content.windows):
            raise CodeRefusedError(CodeReason.OUT_OF_WINDOW)


def _read(body: Any, max_lifetime: timedelta) -> tuple[TemporaryPass, bytes]:
    fields = read_body(body, 9)
    key_id = some_bytes(fields[1], KEY_ID_BYTES)
    windows = fields[5]
    if not isinstance(windows, list) or len(windows) > MAX_WINDOWS:
        raise CodeRefusedError(CodeReason.STRUCTURE)
    content = TemporaryPass(
        pass_id=some_bytes(fields[2], PASS_ID_BYTES),
        category=a_text(fields[3], MAX_NAME),
        places=some_texts(fields[4], MAX_PLACES, MAX_NAME),
        windows=tuple(map(_read_window, windows)),
        issued_at=an_instant(fields[6]),
        expires_at=an_instant(fields[7]),
        one_time_gate=a_text(fields[8], MAX_NAME, empty=True),
    )
    if not content.issued_at < content.expires_at <= content.issued_at + max_lifetime:
        raise CodeRefusedError(CodeReason.STRUCTURE)
    return content, key_id


def _read_window(value: Any) -> PassWindow:
    if not isinstance(value, list) or len(value) != 3 or any(type(part) is not int for part in value):
        raise CodeRefusedError(CodeReason.STRUCTURE)
    window = PassWindow(*value)
    if not (0 < window.weekdays < 128 and 0 <= window.from_minute < window.until_minute <= MINUTES_A_DAY):
        raise CodeRefusedError(CodeReason.STRUCTURE)
    return window


def _read_kiosk(body: Any) -> tuple[KioskKey, bytes]:
    fields = read_body(body, 6)
    community_key_id = some_bytes(fields[1], KEY_ID_BYTES)
    try:
        public_key = Ed25519PublicKey.from_public_bytes(some_bytes(fields[3], 32))
    except ValueError:
        raise CodeRefusedError(CodeReason.STRUCTURE) from None
    kiosk = KioskKey(
        kiosk_id=a_text(fields[2], MAX_NAME),
        public_key=public_key,
        not_before=an_instant(fields[4]),
        not_after=an_instant(fields[5]),
    )
    if not kiosk.not_before < kiosk.not_after <= kiosk.not_before + MAX_CERTIFICATE_LIFETIME:
        raise CodeRefusedError(CodeReason.STRUCTURE)
    return kiosk, community_key_id


def kiosk_key_of(certificate: bytes) -> KioskKey:
    """What a certificate says, not yet believed. Raises CodeRefusedError (structure) for anything else."""
    return _read_kiosk(_certificate_parts(certificate)[0])[0]


def _certificate_parts(certificate: bytes) -> list[Any]:
    try:
        parts = loads(certificate)
    except CborError:
        raise CodeRefusedError(CodeReason.STRUCTURE) from None
    if not isinstance(parts, list) or len(parts) != 2:
        raise CodeRefusedError(CodeReason.STRUCTURE)
    return parts


def _certified(certificate: bytes, store: TrustStore) -> KioskKey:
    body, signature = _certificate_parts(certificate)
    kiosk, community_key_id = _read_kiosk(body)
    key = trusted_key(store, community_key_id, CommunityUse.KIOSK)
    if not signed_by(key.public_key, KIOSK_PURPOSE, body, signature):
        raise CodeRefusedError(CodeReason.SIGNATURE, community_key_id.hex())
    if not key.covers(kiosk.not_before):
        raise CodeRefusedError(CodeReason.KEY_EXPIRED, community_key_id.hex())
    return kiosk
