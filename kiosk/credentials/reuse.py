"""Anti-replay: which credentials were shown lately, at this gate and at the neighbours'. Pure; time is an argument.

A credential is known by the hash in ``CodeClaims.credential_id``, a showing by ``CodeClaims.showing``. Two rules:

    the very same showing again     one picture on two phones: refused as re-used
    the same credential again       the same phone twice, or a printed code passed on: told, policy decides

What neighbouring gates let in is remembered here, too (``GateVerifier.heard``); with the network down, what was last
heard counts.
The memory is bounded: the oldest uses go first, and all go after ``remember``.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from kiosk.credentials.code_verdict import CodeClaims
from kiosk.evidence import CodeFinding
from kiosk.reasons import Reason

REMEMBER = timedelta(minutes=10)
MAX_USES = 50_000
#: A use that a neighbour reports from further ahead than this is not believed: it would never be forgotten.
CLOCK_TOLERANCE = timedelta(minutes=5)


class Again(StrEnum):
    """What the memory says of a showing."""

    NEW = "new"
    SAME_CREDENTIAL = "same_credential"
    SAME_SHOWING = "same_showing"


@dataclass(frozen=True, slots=True)
class Use:
    """One credential shown once: its id, the showing, the gate, and when."""

    credential_id: str
    showing: str
    gate: str
    at: datetime


class ReuseMemory:
    """The uses of the last minutes, by credential and showing."""

    def __init__(self, *, remember: timedelta = REMEMBER, max_uses: int = MAX_USES) -> None:
        self._remember = remember
        self._max_uses = max_uses
        self._uses: OrderedDict[tuple[str, str], Use] = OrderedDict()
        self._showings: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._uses)

    def again(self, claims: CodeClaims, now: datetime) -> Again:
        """Whether these claims were shown before, without remembering them."""
        self._forget(now)
        if (claims.credential_id, claims.showing) in self._uses:
            # A printed code has one showing only, so showing it again says no more than the credential does.
            return Again.SAME_SHOWING if claims.showing else Again.SAME_CREDENTIAL
        return Again.SAME_CREDENTIAL if self._showings.get(claims.credential_id) else Again.NEW

    def last_place(self, credential_id: str) -> str:
        """The gate that let this credential in last; "" for none. For what :meth:`again` has just found."""
        uses = [use for use in self._uses.values() if use.credential_id == credential_id]
        return max(uses, key=lambda use: use.at).gate if uses else ""

    def remember(self, use: Use, now: datetime) -> None:
        """Keeps one use, of this gate (when the person was let in) or of a neighbour."""
        if not use.credential_id or not now - self._remember < use.at <= now + CLOCK_TOLERANCE:
            return
        key = (use.credential_id, use.showing)
        if key not in self._uses:
            self._showings[use.credential_id] = self._showings.get(use.credential_id, 0) + 1
        elif self._uses[key].at >= use.at:
            return
        self._uses[key] = use
        self._uses.move_to_end(key)
        while len(self._uses) > self._max_uses:
            self._drop(next(iter(self._uses)))

    def _forget(self, now: datetime) -> None:
        # Nearly in order of time: a neighbour's late report may keep its place a little longer.
        while self._uses:
            key, use = next(iter(self._uses.items()))
            if use.at > now - self._remember:
                break
            self._drop(key)

    def _drop(self, key: tuple[str, str]) -> None:
        del self._uses[key]
        left = self._showings[key[0]] - 1
        if left:
            self._showings[key[0]] = left
        else:
            del self._showings[key[0]]


def reused(finding: CodeFinding) -> CodeFinding:
    """The finding of a genuine code, refused because this showing was let in already."""
    return replace(finding, refusal=Reason.CODE_REUSED, detail="reused")
