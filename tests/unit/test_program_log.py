"""The programs' log reaches standard output, and a log that cannot be written stops nothing."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from kiosk.program_log import StandardOutput, set_up_logging


class FullDisk(io.StringIO):
    """Standard output into a file on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.fixture
def as_before() -> Iterator[None]:
    """Both ways of logging are put back afterwards."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("as_before")
def test_a_line_goes_to_what_standard_output_is_now(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON, one object a line; also after standard output was exchanged and the old one closed."""
    old, sys.stdout = sys.stdout, io.StringIO()
    set_up_logging()
    log = structlog.get_logger("test")
    log.info("first", lane="in")
    sys.stdout.close()
    sys.stdout = old
    log.info("second", lane="in")
    log.debug("not worth a line")
    line = json.loads(capsys.readouterr().out)
    assert (line["event"], line["lane"], line["level"]) == ("second", "in", "info")


@pytest.mark.usefixtures("as_before")
def test_what_libraries_say_is_a_line_of_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    """The event loop's word with its traceback; a client that tells every request is not heard."""
    set_up_logging()
    logging.getLogger("httpx").info("HTTP Request: POST https://central.example/v1")
    try:
        raise ValueError("门")
    except ValueError:
        logging.getLogger("asyncio").exception("Exception in %s", "callback")
    line = json.loads(capsys.readouterr().out)
    assert (line["event"], line["level"], line["logger"]) == ("Exception in callback", "error", "asyncio")
    assert "ValueError: 门" in line["exception"]


def test_a_log_that_cannot_be_written_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, and a standard output that is closed."""
    closed = io.StringIO()
    closed.close()
    for broken in (FullDisk(), closed):
        monkeypatch.setattr(sys, "stdout", broken)
        StandardOutput().write("a line\n")
        StandardOutput().flush()
