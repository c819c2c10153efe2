"""One lane's desk for QR texts: chunks collected, passes and health codes judged, showings remembered.

The verifiers are pure; this small object holds what has to be remembered between texts. Time is an argument, and
nothing is read from disk: the loop hands over what it knows, and calls :meth:`CodeDesk.admitted` once the passage is
committed, so that a code that was refused, or whose owner turned back, is not counted as used.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from kiosk.credentials import verify_health_code
from kiosk.credentials.code_verdict import CodeClaims, GateContext
from kiosk.credentials.finding import code_finding
from kiosk.credentials.gp1 import one_time_gate_of, pass_finding
from kiosk.credentials.reuse import Again, ReuseMemory, Use, reused
from kiosk.credentials.shc_chunks import ChunkCollector, ChunksMissing
from kiosk.credentials.trust import TrustStore
from kiosk.evidence import CodeFinding, PassFinding

#: Put behind the detail of a code that was let in here or next door a few minutes ago; policy decides what it means.
AGAIN = "again"


@dataclass(slots=True, kw_only=True)
class CodeDesk:
    """For one lane. ``memory`` may be shared by the lanes of a kiosk. ``used_passes`` are the ids (hex) of one-time
    passes let in before, from the journal. ``risk_regions`` are those that the order names, None without one."""

    memory: ReuseMemory
    used_passes: set[str] = field(default_factory=set)
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
            return found
        whole = self._chunks.take(text, now)
        if isinstance(whole, ChunksMissing):
            return whole
        verdict = verify_health_code(whole, store, now, context)
        finding = code_finding(verdict, whole, risk_regions=self.risk_regions)
        self._claims = verdict.claims
        if verdict.claims is None:
            return finding
        again = self.memory.again(verdict.claims, now)
        if again is Again.SAME_SHOWING:
            return reused(finding)
        return finding if again is Again.NEW else replace(finding, detail=f"{finding.detail} {AGAIN}")

    def admitted(self, gate: str, now: datetime) -> None:
        """The person whose texts these were was let in at ``gate``: code and one-time pass count as used."""
        if self._claims is not None:
            self.memory.remember(Use(self._claims.credential_id, self._claims.showing, gate, now), now)
        if self._one_time_pass:
            self.used_passes.add(self._one_time_pass)
        self.next_person()

    def next_person(self) -> None:
        """The lane is free: nothing of this person is joined to the next one's."""
        self._chunks.reset()
        self._claims, self._one_time_pass = None, ""
