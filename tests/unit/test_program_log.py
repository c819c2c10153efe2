"""The gate's log reaches standard output, and a log that cannot be written stops nothing."""

from __future__ import annotations

import io
import json
import sys

import pytest
import structlog

from kiosk.program_log import StandardOutput, set_up_logging


class FullDisk(io.StringIO):
    """Standard output into a file on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_line_goes_to_what_standard_output_is_now(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON, one object a line; also after standard output was exchanged and the old one closed."""
    before = structlog.get_config()
    try:
        old, sys.stdout = sys.stdout, io.StringIO()
        set_up_logging()
        log = structlog.get_logger("test")
        log.info("first", lane="in")
        sys.stdout.close()
        sys.stdout = old
        log.info("second", lane="in")
    finally:
        structlog.configure(**before)
    line = json.loads(capsys.readouterr().out)
    assert (line["event"], line["lane"], line["level"]) == ("second", "in", "info")


def test_a_log_that_cannot_be_written_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, and a standard output that is closed."""
    closed = io.StringIO()
    closed.close()
    for broken in (FullDisk(), closed):
        monkeypatch.setattr(sys, "stdout", broken)
        StandardOutput().write("a line\n")
        StandardOutput().flush()
