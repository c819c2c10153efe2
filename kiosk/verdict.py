"""The verdict and its checks: what ``decide`` returns and everything else shows, writes and sends. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from kiosk.reasons import CheckName, CheckState, NextStep, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One rule's result. ``by`` names the policy rule or guard behind a waiver and is empty otherwise."""

    name: CheckName
    state: CheckState
    reason: Reason | None = None
    by: str = ""

    def __post_init__(self) -> None:
        if self.state is CheckState.WAIVED and not self.by:
            raise ValueError(f"check {self.name}: a waiver must name who or what waived it")
        if self.state is CheckState.FAIL and self.reason is None:
            raise ValueError(f"check {self.name}: a failed check must name its reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """ADMIT or DENY; there is no third. The first of ``reasons`` is shown; ``next_step`` is the one thing to do."""

    admit: bool
    reasons: tuple[Reason, ...]
    next_step: NextStep
    checks: tuple[Check, ...]
    policy_version: str
    category: str

    def __post_init__(self) -> None:
        if not self.reasons:
            raise ValueError("a verdict without a reason")
        if self.admit and any(c.state in (CheckState.FAIL, CheckState.UNKNOWN) for c in self.checks):
            raise ValueError("an admitting verdict with a check that neither passed nor was waived")
