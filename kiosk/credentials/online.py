"""Opaque tokens of provincial code systems (GB/T 38961 to 38963): nothing in them can be checked here. Pure.

Such a text is a token or an address that only its server can look up. This verifier recognises it by the prefixes
that the site's settings name and says ``need_online``; ``sync/lookup.py`` asks, and :func:`verdict_of` judges the
answer. Offline the answer stays ``need_online`` and the guard looks at the phone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from kiosk.credentials.code_verdict import (
    NOT_MINE,
    CodeClaims,
    CodeReason,
    CodeState,
    CodeVerdict,
    GateContext,
)
from kiosk.credentials.trust import TrustStore
from kiosk.evidence import CodeStatus

KIND = "online"
MAX_TEXT = 2048
#: No server's answer counts for longer, whatever it says of its own validity.
MAX_VALIDITY = timedelta(hours=24)
ANSWERED_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupAnswer:
    """What the lookup learnt of one token. ``status`` is None for "unknown" or "invalid" at the server.
    ``token_hash`` is the SHA-256 (hex) of the token asked for. ``subject_match`` is the keyed hash of name and
    birth date, computed where the answer came in, "" when the server gives none."""

    token_hash: str
    status: CodeStatus | None
    issuer: str
    answered_at: datetime
    valid_until: datetime
    subject_match: str = ""


def token_hash(text: str) -> str:
    """How a token is named in caches and answers."""
    return hashlib.sha256(b"gatepost token 1\x00" + text.encode("utf-8", "surrogatepass")).hexdigest()


def verify(text: str, store: TrustStore, now: datetime, context: GateContext) -> CodeVerdict:
    """``need_online`` for a text with one of the context's prefixes, ``not_mine`` for any other."""
    del store, now
    if not context.online_prefixes or not text.startswith(context.online_prefixes):
        return NOT_MINE
    if len(text) > MAX_TEXT:
        return CodeVerdict(state=CodeState.INVALID, reason=CodeReason.TOO_LONG, kind=KIND)
    return need_online()


def need_online() -> CodeVerdict:
    """What stands as long as no server has answered."""
    return CodeVerdict(state=CodeState.NEED_ONLINE, reason=CodeReason.NEEDS_ONLINE, kind=KIND)


def verdict_of(answer: LookupAnswer, text: str, now: datetime) -> CodeVerdict:
    """Judges a server's answer about ``text`` at ``now``: refused when it answers another token (a replayed answer),
    does not know it, comes from the future, or has run out."""
    if answer.token_hash != token_hash(text):
        return CodeVerdict(state=CodeState.INVALID, reason=CodeReason.ISSUER_MISMATCH, kind=KIND)
    if answer.status is None:
        return CodeVerdict(state=CodeState.INVALID, reason=CodeReason.ISSUER_UNKNOWN, kind=KIND)
    expires_at = min(answer.valid_until, answer.answered_at + MAX_VALIDITY)
    if now + ANSWERED_TOLERANCE < answer.answered_at:
        return CodeVerdict(state=CodeState.INVALID, reason=CodeReason.NOT_YET_VALID, kind=KIND)
    if now >= expires_at:
        return need_online()
    claims = CodeClaims(
        kind=KIND,
        content="status",
        status=answer.status,
        issuer=answer.issuer,
        expires_at=expires_at,
        subject_match=answer.subject_match,
        credential_id=answer.token_hash[:32],
    )
    return CodeVerdict(state=CodeState.VALID, claims=claims, kind=KIND)
