"""From a verifier's answer to the evidence of one person: what the decision and the journal may know. Pure."""

from __future__ import annotations

from kiosk.credentials.code_verdict import REASON_OF, CodeReason, CodeState, CodeVerdict
from kiosk.credentials.evidence_hash import evidence_hash
from kiosk.evidence import CodeFinding
from kiosk.reasons import Reason


def code_finding(verdict: CodeVerdict, text: str, *, risk_regions: frozenset[str] | None = None) -> CodeFinding:
    """The finding for ``text`` judged as ``verdict``.

    A refused code leaves its SHA-256 (of the text as UTF-8), its key id and its short reason as evidence; a valid
    one leaves no trace of its text. ``detail`` is ``reason`` or ``reason key-id``. ``risk_regions`` are the regions
    that the order names: a code that states travel is clear of the trip when it touches none of them; with None,
    or a code that says nothing of travel, the trip stays unknown.
    """
    if verdict.state is CodeState.VALID and verdict.claims is not None:
        claims = verdict.claims
        return CodeFinding(
            refusal=None,
            kind=claims.kind,
            status=claims.status,
            issuer=claims.issuer,
            expires_at_us=None if claims.expires_at is None else round(claims.expires_at.timestamp() * 1_000_000),
            subject_match=claims.subject_match,
            bound_pass=claims.pass_hash,
            trip_clear=None
            if claims.regions is None or risk_regions is None
            else risk_regions.isdisjoint(claims.regions),
            detail=claims.content,
        )
    if verdict.state is CodeState.NEED_ONLINE:
        refusal = Reason.CODE_NEEDS_ONLINE
    elif verdict.reason is CodeReason.NONE:
        refusal = Reason.CODE_UNSUPPORTED
    else:
        refusal = REASON_OF[verdict.reason]
    return CodeFinding(
        refusal=refusal,
        kind=verdict.kind,
        detail=f"{verdict.reason} {verdict.key_id}".strip(),
        evidence_hash=evidence_hash(text),
    )
