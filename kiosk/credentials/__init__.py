"""Verifiers of credentials: one file a verifier, each a pure function over an immutable trust store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from kiosk.credentials import divoc, gc1, hcert, online, shc, vdsnc
from kiosk.credentials.code_verdict import (
    NO_CONTEXT,
    NOT_MINE,
    CodeClaims,
    CodeReason,
    CodeState,
    CodeVerdict,
    GateContext,
)
from kiosk.credentials.trust import TrustStore

#: Tried in this order; the first that does not say ``not_mine`` has judged.
Verifier = Callable[[str, TrustStore, datetime, GateContext], CodeVerdict]
VERIFIERS: tuple[Verifier, ...] = (hcert.verify, gc1.verify, shc.verify, vdsnc.verify, divoc.verify, online.verify)


def verify_health_code(text: str, store: TrustStore, now: datetime, context: GateContext = NO_CONTEXT) -> CodeVerdict:
    """Judges a health code's text against ``store`` at ``now``.

    A SMART Health Card in several chunks comes as one text joined by line feeds; a code of bytes as latin-1.
    ``now`` must carry a time zone (ValueError otherwise). No text raises anything: what nobody can read is
    ``not_mine``, what is wrong ``invalid``.
    """
    if now.tzinfo is None:
        raise ValueError("now has no time zone")
    if not store.clock_is_possible(now):
        return CodeVerdict(state=CodeState.INVALID, reason=CodeReason.CLOCK)
    for verifier in VERIFIERS:
        verdict = verifier(text, store, now, context)
        if verdict.state is not CodeState.NOT_MINE:
            return verdict
    return NOT_MINE


__all__ = [
    "VERIFIERS",
    "CodeClaims",
    "CodeReason",
    "CodeState",
    "CodeVerdict",
    "GateContext",
    "TrustStore",
    "verify_health_code",
]
