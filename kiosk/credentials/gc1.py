"""``GC1:``, the community's own health code: short-lived, bound to one pass, re-signed by the phone. Pure.

    "GC1:" + Base45( CBOR [ body, signature ] )                                 printed (static) form
    "GC1:" + Base45( CBOR [ body, signature, showing, holder signature ] )      on a phone, new every 30 s

    body    = CBOR [ 1, key id (8), pass hash (8), status 0 | 1 | 2, issued s, expires s,
                     holder key (33, compressed P-256) | null, order | null, regions | null ]
    order   = [ number, issuer, second approver, until s, whom to appeal to ]
    showing = CBOR [ floor(unix time / 30), challenge ]

A yellow or red status stands only under an order that two people signed off, and lapses with it: the code expires
no later than the order ends, so nothing has to be switched off. The holder key is P-256 because that is what a
phone's browser can keep unexportable; its signature is ES256 over the hash of body and issuer's signature and the
showing. Three steps stand against screenshots: the pass hash (a friend's code fails whatever its age), the showing
(a copy older than 180 s fails), and the re-use memory (``reuse.py``).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from kiosk.credentials.anchors import CommunityUse
from kiosk.credentials.cbor import CborError, dumps, loads
from kiosk.credentials.code_verdict import (
    NOT_MINE,
    CodeClaims,
    CodeReason,
    CodeRefusedError,
    CodeVerdict,
    GateContext,
    judged,
)
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
from kiosk.credentials.pass_binding import PASS_HASH_BYTES
from kiosk.credentials.rules import check_rules
from kiosk.credentials.signing_key import Algorithm, SigningKey
from kiosk.credentials.trust import TrustStore
from kiosk.evidence import CodeStatus

KIND = "gc1"
CONTENT = "status"
PREFIX = "GC1:"
PURPOSE = b"gatepost GC1 1\x00"
SHOWING_PURPOSE = b"gatepost GC1 showing 1\x00"
HOLDER_KEY_BYTES = 33
MAX_LIFETIME = timedelta(hours=24)
SHOWING_S = 30
#: Either way. Sixty seconds turned many honest phones away in the Netherlands in 2021, their clocks being off.
SHOWING_TOLERANCE_S = 180
#: With the kiosk's own challenge signed in, the phone's clock hardly matters.
CHALLENGED_TOLERANCE_S = 900
ISSUED_TOLERANCE = timedelta(minutes=5)
MAX_CHALLENGE = 4
MAX_ORDER_TEXT = 60
MAX_REGIONS, MAX_REGION = 24, 16
_STATUS = (CodeStatus.GREEN, CodeStatus.YELLOW, CodeStatus.RED)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusOrder:
    """The order that a yellow or red status rests on. ``issuer`` and ``approver`` are two different people or
    offices; ``appeal`` says whom to turn to. Texts of 60 characters at most."""

    number: str
    issuer: str
    approver: str
    until: datetime
    appeal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommunityCode:
    """What a ``GC1:`` code says. ``pass_hash`` comes from ``pass_binding``; ``holder_key`` is a compressed P-256 point
    of 33 bytes, None for print; ``regions`` are those travelled to, None when nothing is said of travel."""

    pass_hash: bytes
    status: CodeStatus
    issued_at: datetime
    expires_at: datetime
    holder_key: bytes | None = None
    order: StatusOrder | None = None
    regions: tuple[str, ...] | None = None


def issue(code: CommunityCode, private_key: Ed25519PrivateKey) -> str:
    """The signed text. Raises CodeRefusedError where :func:`verify` would refuse what it says: nothing is issued
    that no gate accepts."""
    order = code.order
    body = dumps(
        [
            VERSION,
            key_id_of(private_key.public_key()),
            code.pass_hash,
            _STATUS.index(code.status),
            int(code.issued_at.timestamp()),
            int(code.expires_at.timestamp()),
            code.holder_key,
            None
            if order is None
            else [order.number, order.issuer, order.approver, int(order.until.timestamp()), order.appeal],
            None if code.regions is None else list(code.regions),
        ]
    )
    _read(body)
    return seal(PREFIX, [body, sign(private_key, PURPOSE, body)])


def show(text: str, holder_key: ec.EllipticCurvePrivateKey, at: datetime, challenge: str = "") -> str:
    """``text`` re-signed by the holder at ``at``: what the phone page does every 30 s."""
    body, signature = open_text(PREFIX, text, frozenset({2, 4}))[:2]
    showing = dumps([int(at.timestamp()) // SHOWING_S, challenge])
    r, s = decode_dss_signature(holder_key.sign(_shown(body, signature, showing), ec.ECDSA(SHA256())))
    return seal(PREFIX, [body, signature, showing, r.to_bytes(32, "big") + s.to_bytes(32, "big")])


def verify(text: str, store: TrustStore, now: datetime, context: GateContext) -> CodeVerdict:
    """Judges one ``GC1:`` code at ``now`` (aware). A red code that is genuine is valid, and its status is red."""
    if not text.startswith(PREFIX):
        return NOT_MINE
    return judged(KIND, lambda: _verify(text, store, now, context))


def _verify(text: str, store: TrustStore, now: datetime, context: GateContext) -> tuple[CodeClaims, str]:
    parts = open_text(PREFIX, text, frozenset({2, 4}))
    body, signature = parts[:2]
    code, key_id = _read(body)
    key = trusted_key(store, key_id, CommunityUse.CODE)
    if not signed_by(key.public_key, PURPOSE, body, signature):
        raise CodeRefusedError(CodeReason.SIGNATURE, key_id.hex())
    if not key.covers(code.issued_at):
        raise CodeRefusedError(CodeReason.KEY_EXPIRED, key_id.hex())
    if now >= code.expires_at:
        raise CodeRefusedError(CodeReason.EXPIRED, key_id.hex())
    if now + ISSUED_TOLERANCE < code.issued_at:
        raise CodeRefusedError(CodeReason.NOT_YET_VALID, key_id.hex())
    showing = ""
    if code.holder_key is not None:
        showing = _check_showing(code.holder_key, parts, now, context, key_id.hex())
    elif len(parts) == 4:
        raise CodeRefusedError(CodeReason.STRUCTURE, key_id.hex())
    check_rules(
        store.rule_sets,
        context,
        code_format=KIND,
        content=CONTENT,
        payload={"status": str(code.status), "printed": code.holder_key is None, "regions": list(code.regions or ())},
        external={},
        now=now,
    )
    claims = CodeClaims(
        kind=KIND,
        content=CONTENT,
        status=code.status,
        issuer=key.name,
        expires_at=code.expires_at,
        pass_hash=code.pass_hash.hex(),
        credential_id=hashlib.sha256(b"gc1\x00" + body).hexdigest()[:32],
        showing=showing,
        regions=code.regions,
        static=code.holder_key is None,
        order="" if code.order is None else code.order.number,
    )
    return claims, key_id.hex()


def _read(body: Any) -> tuple[CommunityCode, bytes]:
    """The fields of a body and its key id, each within its bounds, and the rules that need no key or clock."""
    fields = read_body(body, 9)
    key_id = some_bytes(fields[1], KEY_ID_BYTES)
    status = fields[3]
    if type(status) is not int or not 0 <= status < len(_STATUS):
        raise CodeRefusedError(CodeReason.STRUCTURE)
    holder = fields[6]
    code = CommunityCode(
        pass_hash=some_bytes(fields[2], PASS_HASH_BYTES),
        status=_STATUS[status],
        issued_at=an_instant(fields[4]),
        expires_at=an_instant(fields[5]),
        holder_key=None if holder is None else some_bytes(holder, HOLDER_KEY_BYTES),
        order=None if fields[7] is None else _read_order(fields[7]),
        regions=None if fields[8] is None else some_texts(fields[8], MAX_REGIONS, MAX_REGION),
    )
    if not code.issued_at < code.expires_at <= code.issued_at + MAX_LIFETIME:
        raise CodeRefusedError(CodeReason.STRUCTURE)
    if code.status is not CodeStatus.GREEN and code.order is None:
        raise CodeRefusedError(CodeReason.STRUCTURE)
    if code.order is not None and code.expires_at > code.order.until:
        raise CodeRefusedError(CodeReason.STRUCTURE)
    return code, key_id


def _read_order(value: Any) -> StatusOrder:
    if not isinstance(value, list) or len(value) != 5:
        raise CodeRefusedError(CodeReason.STRUCTURE)
    order = StatusOrder(
        number=a_text(value[0], MAX_ORDER_TEXT),
        issuer=a_text(value[1], MAX_ORDER_TEXT),
        approver=a_text(value[2], MAX_ORDER_TEXT),
        until=an_instant(value[3]),
        appeal=a_text(value[4], MAX_ORDER_TEXT),
    )
    if order.issuer.casefold().strip() == order.approver.casefold().strip():
        raise CodeRefusedError(CodeReason.STRUCTURE)  # nobody approves their own order
    return order


def _shown(body: bytes, signature: bytes, showing: bytes) -> bytes:
    return SHOWING_PURPOSE + hashlib.sha256(body + signature).digest() + showing


def _check_showing(holder_key: bytes, parts: list[Any], now: datetime, context: GateContext, key_id: str) -> str:
    """The showing's name for the re-use memory. CodeRefusedError when it is missing, foreign, old, or for another
    challenge."""
    if len(parts) != 4:
        raise CodeRefusedError(CodeReason.STALE, key_id)
    body, signature, showing, holder_signature = parts
    if not (isinstance(showing, bytes) and isinstance(holder_signature, bytes)):
        raise CodeRefusedError(CodeReason.STRUCTURE, key_id)
    try:
        key = SigningKey(Algorithm.ES256, ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), holder_key))
        fields = loads(showing)
    except (ValueError, CborError):
        raise CodeRefusedError(CodeReason.STRUCTURE, key_id) from None
    if not key.verifies(holder_signature, _shown(body, signature, showing)):
        raise CodeRefusedError(CodeReason.HOLDER_KEY, key_id)
    if not isinstance(fields, list) or len(fields) != 2 or type(fields[0]) is not int:
        raise CodeRefusedError(CodeReason.STRUCTURE, key_id)
    window, challenge = fields[0], fields[1]
    if not isinstance(challenge, str) or len(challenge) > MAX_CHALLENGE:
        raise CodeRefusedError(CodeReason.STRUCTURE, key_id)
    tolerance_s = SHOWING_TOLERANCE_S
    if context.challenges:
        if challenge not in context.challenges:
            raise CodeRefusedError(CodeReason.CHALLENGE, key_id)
        tolerance_s = CHALLENGED_TOLERANCE_S
    if abs(now.timestamp() - window * SHOWING_S) > tolerance_s:
        raise CodeRefusedError(CodeReason.STALE, key_id)
    return f"{window}:{challenge}"
