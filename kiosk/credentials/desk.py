"""One lane's desk for QR texts: chunks collected, passes and health codes judged, showings remembered.

The verifiers are pure; this small object holds what has to be remembered between texts. Time is an argument, and
nothing is read from disk: the loop hands over what it knows, and calls :meth:`CodeDesk.admitted` once the passage is
committed, so that a code that was refused, or whose owner turned back, is not counted as used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from kiosk.credentials import verify_health_code
from kiosk.credentials.code_verdict import CodeClaims, CodeVerdict, GateContext
from kiosk.credentials.finding import code_finding
from kiosk.credentials.gp1 import one_time_gate_of, pass_finding, pass_id_of
from kiosk.credentials.reuse import Again, ReuseMemory, Use, reused
from kiosk.credentials.shc_chunks import ChunkCollector, ChunksMissing
from kiosk.credentials.trust import TrustStore
from kiosk.evidence import CodeFinding, PassFinding
from kiosk.neighbours import UsedPasses
from kiosk.reasons import Reason

#: Put behind the detail of a code that was let in here or next door a few minutes ago; policy decides what it means.
AGAIN = "again"


@dataclass(frozen=True, slots=True)
class Admitted:
    """What the person who was let in had shown: a code (its use), a one-time pass (its id), or neither."""

    use: Use | None = None
    one_time_pass: str = ""


@dataclass(slots=True, kw_only=True)
class CodeDesk:
    """For one lane. ``memory`` may be shared by the lanes of a kiosk. ``used_passes`` are the ids (hex) of one-time
    passes let in before, from the journal and as neighbours told. ``hash_id`` turns the id of a credential or showing
    into the keyed name under which neighbouring gates remember it. ``risk_regions`` are those that the order names,
    None without one."""

    memory: ReuseMemory
    used_passes: UsedPasses = field(default_factory=UsedPasses)
    hash_id: Callable[[str], str] = str
    risk_regions: frozenset[str] | None = None
    _chunks: ChunkCollector = field(default_factory=ChunkCollector)
    _claims: CodeClaims | None = None
    _one_time_pass: str = ""

    def read(
        self, text: str, store: TrustStore, now: datetime, context: GateContext
    ) -> PassFinding | CodeFinding | ChunksMissing:
        """What one text is: a temporary pass, a health code (or nothing known: a refusal), or a part of a card."""
        found = pass_finding(text, store, now, context, self.used_passes)
        if found is not None:
            self._one_time_pass = found.subject if found.refusal is None and one_time_gate_of(text) else ""
            if found.refusal is Reason.PASS_USED:
                return replace(found, used_at=self.used_passes.let_in_at(pass_id_of(text)))
            return found
        whole = self._chunks.take(text, now)
        if isinstance(whole, ChunksMissing):
            return whole
        return self.judge(verify_health_code(whole, store, now, context), whole, now)

    def judge(self, verdict: CodeVerdict, text: str, now: datetime) -> CodeFinding:
        """The finding for a verdict about ``text``, made here or learnt from a server: shown before, or not."""
        finding = code_finding(verdict, text, risk_regions=self.risk_regions)
        self._claims = verdict.claims
        if verdict.claims is None:
            return finding
        self._claims = claims = self._named(verdict.claims)
        again = self.memory.again(claims, now)
        if again is Again.NEW:
            return finding
        used_at = self.memory.last_place(claims.credential_id)
        if again is Again.SAME_SHOWING:
            return replace(reused(finding), used_at=used_at)
        return replace(finding, detail=f"{finding.detail} {AGAIN}", used_at=used_at)

    def admitted(self, gate: str, now: datetime) -> Admitted:
        """The person whose texts these were was let in at ``gate``: code and one-time pass count as used. What did."""
        use = None
        if self._claims is not None:
            use = Use(self._claims.credential_id, self._claims.showing, gate, now)
            self.memory.remember(use, now)
        if self._one_time_pass:
            self.used_passes.add(self._one_time_pass)
        done = Admitted(use, self._one_time_pass)
        self.next_person()
        return done

    def next_person(self) -> None:
        """The lane is free: nothing of this person is joined to the next one's."""
        self._chunks.reset()
        self._claims, self._one_time_pass = None, ""

    def _named(self, claims: CodeClaims) -> CodeClaims:
        showing = self.hash_id(claims.showing) if claims.showing else ""
        return replace(claims, credential_id=self.hash_id(claims.credential_id), showing=showing)
