"""The programs' log: JSON lines on standard output, for the system's log; never a personal datum.

The gate, ``gatepost-sync run`` and ``gatepost-central serve`` write so, and so does what their libraries say through
Python's own ``logging``. A log that cannot be written (a full disk behind it, a reader that has gone) never stops a
program: what matters is in the journal, or in the central's database.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys

import structlog
from structlog.typing import Processor


def set_up_logging() -> None:
    """From now on every logger of this process writes so: ours from info on, those of libraries from warning on, or
    from the level that a library was told."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    line = structlog.processors.JSONRenderer(ensure_ascii=False)
    structlog.configure(
        processors=[*shared, line],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=StandardOutput()),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(StandardOutput())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, line],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    atexit.register(_let_go)


def _let_go() -> None:
    """What could not be written is dropped at the end: Python would end with status 120 over it, which looks like a
    program that failed (https://docs.python.org/3/library/sys.html#sys.exit)."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
