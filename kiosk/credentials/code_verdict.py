"""What a verifier of health codes answers: state, reason, minimal claims. Pure, standard library only.

A verifier is a function ``(text, store, now, context) -> CodeVerdict``. It reads no clock, file or network, keeps
nothing, and never raises for what a text holds: every wrong text has a :class:`CodeReason`. Nothing of the text
leaves it except the :class:`CodeClaims`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from kiosk.evidence import CodeStatus
from kiosk.reasons import Reason


class CodeState(StrEnum):
    """The four answers. ``not_mine`` sends the text to the next verifier; ``need_online`` to the lookup."""

    VALID = "valid"
    INVALID = "invalid"
    NOT_MINE = "not_mine"
    NEED_ONLINE = "need_online"


class CodeReason(StrEnum):
    """Why a code is not valid: a closed list, short and fixed, safe to write into a record."""

    NONE = "none"
    NOT_A_CODE = "not_a_code"
    UNSUPPORTED_FORMAT = "unsupported_format"
    TOO_LONG = "too_long"
    ENCODING = "encoding"
    COMPRESSION = "compression"
    STRUCTURE = "structure"
    CHUNKS = "chunks"
    ALGORITHM = "algorithm"
    KEY_ID_MISSING = "key_id_missing"
    ISSUER_UNKNOWN = "issuer_unknown"
    ISSUER_MISMATCH = "issuer_mismatch"
    SIGNATURE = "signature"
    SCHEMA = "schema"
    REVOKED = "revoked"
    KEY_REVOKED = "key_revoked"
    KEY_USAGE = "key_usage"
    KEY_EXPIRED = "key_expired"
    KEY_NOT_YET_VALID = "key_not_yet_valid"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    RULES_FAILED = "rules_failed"
    RULES_MISSING = "rules_missing"
    STALE = "stale"
    HOLDER_KEY = "holder_key"
    CHALLENGE = "challenge"
    REUSED = "reused"
    OTHER_PASS = "other_pass"
    OTHER_GATE = "other_gate"
    OUT_OF_WINDOW = "out_of_window"
    CLOCK = "clock"
    NEEDS_ONLINE = "needs_online"


#: What the verdict says for each short reason. NONE has no entry: a valid code refuses nothing.
REASON_OF: dict[CodeReason, Reason] = {
    CodeReason.NOT_A_CODE: Reason.CODE_UNSUPPORTED,
    CodeReason.UNSUPPORTED_FORMAT: Reason.CODE_UNSUPPORTED,
    CodeReason.TOO_LONG: Reason.CODE_MALFORMED,
    CodeReason.ENCODING: Reason.CODE_MALFORMED,
    CodeReason.COMPRESSION: Reason.CODE_MALFORMED,
    CodeReason.STRUCTURE: Reason.CODE_MALFORMED,
    CodeReason.CHUNKS: Reason.CODE_MALFORMED,
    CodeReason.ALGORITHM: Reason.CODE_FORGED,
    CodeReason.KEY_ID_MISSING: Reason.CODE_MALFORMED,
    CodeReason.ISSUER_UNKNOWN: Reason.CODE_UNKNOWN_ISSUER,
    CodeReason.ISSUER_MISMATCH: Reason.CODE_FORGED,
    CodeReason.SIGNATURE: Reason.CODE_FORGED,
    CodeReason.SCHEMA: Reason.CODE_MALFORMED,
    CodeReason.REVOKED: Reason.CODE_REVOKED,
    CodeReason.KEY_REVOKED: Reason.CODE_REVOKED,
    CodeReason.KEY_USAGE: Reason.CODE_UNKNOWN_ISSUER,
    CodeReason.KEY_EXPIRED: Reason.CODE_EXPIRED,
    CodeReason.KEY_NOT_YET_VALID: Reason.CODE_NOT_YET_VALID,
    CodeReason.EXPIRED: Reason.CODE_EXPIRED,
    CodeReason.NOT_YET_VALID: Reason.CODE_NOT_YET_VALID,
    CodeReason.RULES_FAILED: Reason.CODE_RULES_FAILED,
    CodeReason.RULES_MISSING: Reason.CODE_RULES_FAILED,
    CodeReason.STALE: Reason.CODE_STALE,
    CodeReason.HOLDER_KEY: Reason.CODE_FORGED,
    CodeReason.CHALLENGE: Reason.CODE_CHALLENGE,
    CodeReason.REUSED: Reason.CODE_REUSED,
    CodeReason.OTHER_PASS: Reason.CODE_OTHER_PERSON,
    CodeReason.OTHER_GATE: Reason.PASS_OTHER_GATE,
    CodeReason.OUT_OF_WINDOW: Reason.OUT_OF_HOURS,
    CodeReason.CLOCK: Reason.CLOCK_UNTRUSTED,
    CodeReason.NEEDS_ONLINE: Reason.CODE_NEEDS_ONLINE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeClaims:
    """The little that leaves a verifier.

    ``kind`` is the format (``hcert``, ``shc``, ``gc1``, ``vdsnc``, ``online``); ``content`` what it attests
    (``vaccination``, ``test``, ``recovery``, ``status``, ``other``). ``issuer`` is a country code, an address or a
    key's short name. ``subject_match`` is the keyed hash of name and birth date as 32 hex digits, "" where the
    code or the key is missing. ``pass_hash`` is the hash of the pass a community code is bound to (16 hex digits).
    ``credential_id`` is a hash that stays the same however often the credential is shown, for anti-replay;
    ``showing`` names this very showing of it ("" where there is only one).
    ``regions`` are the regions travelled to, None when the code says nothing of travel. ``static`` says that the
    code can be copied: no holder key signed it just now.
    """

    kind: str
    content: str
    status: CodeStatus
    issuer: str
    expires_at: datetime | None
    subject_match: str = ""
    pass_hash: str = ""
    credential_id: str = ""
    showing: str = ""
    regions: tuple[str, ...] | None = None
    static: bool = True
    order: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeVerdict:
    """One verifier's answer. ``claims`` stand only in a valid one; ``key_id`` (hex or short text) in any that
    came far enough to name a key, as evidence. ``kind`` names the verifier that answered, "" for none."""

    state: CodeState
    reason: CodeReason = CodeReason.NONE
    claims: CodeClaims | None = None
    kind: str = ""
    key_id: str = ""

    def __post_init__(self) -> None:
        if (self.state is CodeState.VALID) != (self.claims is not None):
            raise ValueError("claims stand in a valid verdict and in no other")
        if (self.state is CodeState.VALID) != (self.reason is CodeReason.NONE):
            raise ValueError("a verdict that is not valid names its reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class GateContext:
    """What the gate knows that a code may have to match.

    ``rule_set`` names rules of the trust store ("" applies none). ``gate`` is this gate's name for passes bound to
    one gate. ``challenges`` are the two or three digits that the kiosk's screen shows now and showed just before;
    when given, a holder-signed code must carry one of them. ``local_minute`` (0 to 1439) and ``weekday``
    (0 Monday) are local time for passes with hours. ``online_prefixes`` begin the texts that only a server can judge.
    """

    rule_set: str = ""
    gate: str = ""
    challenges: frozenset[str] = field(default_factory=frozenset)
    local_minute: int | None = None
    weekday: int | None = None
    online_prefixes: tuple[str, ...] = ()


NO_CONTEXT = GateContext()
NOT_MINE = CodeVerdict(state=CodeState.NOT_MINE, reason=CodeReason.NOT_A_CODE)


class CodeRefusedError(Exception):
    """Raised inside a verifier at the first thing that is wrong; it never leaves the verifier's entry point."""

    def __init__(self, reason: CodeReason, key_id: str = "") -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.key_id = key_id


def judged(kind: str, verify: Callable[[], tuple[CodeClaims, str]]) -> CodeVerdict:
    """What a verifier's own part came to: the claims and key id that it returns, or the refusal that it raises."""
    try:
        claims, key_id = verify()
    except CodeRefusedError as refused:
        return CodeVerdict(state=CodeState.INVALID, reason=refused.reason, kind=kind, key_id=refused.key_id)
    return CodeVerdict(state=CodeState.VALID, claims=claims, kind=kind, key_id=key_id)
