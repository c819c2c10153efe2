"""What sync itself found to be wrong, kept until the central has heard of it."""

from __future__ import annotations

from enum import StrEnum

import structlog

from sync.ackstore import AckStore

log = structlog.get_logger("gatepost.sync")


class Trouble(StrEnum):
    """What sync itself found; said in heartbeats, in ``sync.db`` (fact ``troubles``) and in ``status``."""

    JOURNAL_WENT_BACK = "journal_went_back"
    JOURNAL_UNREADABLE = "journal_unreadable"
    FORKED = "forked"
    HEAD_MISMATCH = "head_mismatch"
    OLD_CENTRAL = "old_central"
    CENTRAL_WENT_BACK = "central_went_back"
    BATCH_REFUSED = "batch_refused"
    NOT_ADMITTED = "not_admitted"
    RECORDS_GONE = "records_gone"
    DOCUMENT_REFUSED = "document_refused"


class Troubles:
    """The troubles since the last heartbeat that was answered."""

    def __init__(self, state: AckStore) -> None:
        self._state = state
        self._open: dict[str, str] = {}

    @property
    def codes(self) -> tuple[str, ...]:
        """Which, in the order in which they were found."""
        return tuple(self._open)

    def note(self, trouble: Trouble, detail: str) -> None:
        """One more, or the same with another detail."""
        if self._open.get(str(trouble)) == detail:
            return
        log.warning("sync trouble", trouble=str(trouble), detail=detail)
        self._open[str(trouble)] = detail
        self._state.remember(troubles=",".join(self._open), last_trouble=f"{trouble}: {detail}"[:300])

    def told(self) -> None:
        """The central knows of them."""
        self._open.clear()
