"""DIVOC (CoWIN): recognised and refused, with the reason. Pure.

A DIVOC code is a zip file holding JSON-LD. Its signature covers what the JSON-LD contexts map, and they do not map
the subject: in the form in use, name and age stand outside the signature, and several terms map to one (dose and
total doses). Anyone can put another name into a genuine code and it verifies. So an automatic gate cannot accept
one, whatever its signature; the guard may look at it and attest.
"""

from __future__ import annotations

from datetime import datetime

from kiosk.credentials.code_verdict import NOT_MINE, CodeReason, CodeState, CodeVerdict, GateContext
from kiosk.credentials.trust import TrustStore

KIND = "divoc"
_ZIP = ("PK\x03\x04", "PK\x05\x06")
_JSON_LD = '"@context"'


def verify(text: str, store: TrustStore, now: datetime, context: GateContext) -> CodeVerdict:
    """Refuses a zip (as latin-1) and bare JSON-LD as an unsupported format; nothing in either is opened."""
    del store, now, context
    if text.startswith(_ZIP) or (text[:1] == "{" and _JSON_LD in text[:2000]):
        return CodeVerdict(state=CodeState.INVALID, reason=CodeReason.UNSUPPORTED_FORMAT, kind=KIND)
    return NOT_MINE
