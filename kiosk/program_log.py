"""The gate's log: JSON lines on standard output, for the system's log; never a personal datum.

A log that cannot be written (a full disk behind it, a reader that has gone) never stops the gate: what matters is in
the journal.
"""

from __future__ import annotations

import contextlib
import sys

import structlog


def set_up_logging() -> None:
    """From now on every logger of this process writes so."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=StandardOutput()),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )


class StandardOutput:
    """Whatever standard output is at the moment of a line, failures left unsaid."""

    def write(self, text: str) -> None:
        """Write a line, or lose it."""
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.write(text)

    def flush(self) -> None:
        """Hand it on, or lose it."""
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
