"""What the installer asks a slot, run by that slot's own Python: can it run here, does it answer, what does it show.

Usage: ``python ask_slot.py QUESTION SETTINGS_FILE``; exit status 1 and one sentence for a no.

- ``check-gate``, ``check-central``: before a switch. Imports every program, checks the site's settings as ``gatepost
  config check`` does, secrets and policy too, and opens the journal read-only. Nothing is written and no device is
  touched, so the gate may go on meanwhile.
- ``answers-gate``, ``answers-central``: after it. Asks the program for a page.
- ``page``: prints the address of the resident's screen: the first lane in, or the first lane.
"""

from __future__ import annotations

import importlib
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path

ANSWER_TIMEOUT_S = 3.0
JOURNAL_NEWEST = 1000
"""So many of the newest records of each chain are walked: a second's work on a Pi, however long the journal is."""


def check_gate(config: Path) -> None:
    """Raises what is in the way of running this gate with this slot."""
    for program in ("kiosk.cli", "kiosk.run", "sync.cli", "sync.run", "cv2", "zxingcpp", "pyzbar.pyzbar", "serial"):
        importlib.import_module(program)
    from config.settings import load_settings, secret_file
    from kiosk.config_cli import check
    from kiosk.screens.guards import read_guards

    check(config, secrets_too=True)
    settings = load_settings(config).settings
    if settings.keys.guards is not None:
        read_guards(secret_file(settings.keys.guards))
    check_journal(settings.state.folder / "journal.db", settings.site.kiosk_id)


def check_journal(path: Path, kiosk_id: str) -> None:
    """Raises when the journal is of a format that this slot does not know, or cannot be read.

    A damaged journal is only said: every version sets it aside at its start, so it is no reason to keep the old one.
    """
    from kiosk.clock import SystemClock
    from kiosk.database import SqliteDatabase
    from kiosk.journal_file import JournalFile

    file = JournalFile(path, kiosk_id=kiosk_id, clock=SystemClock(None), open_database=SqliteDatabase)
    if file.anything_there and (damage := file.examine(JOURNAL_NEWEST)):
        print(f"{path}: {damage}; the gate will set it aside when it starts")  # noqa: T201


def check_central(config: Path) -> None:
    """Raises what is in the way of running this central with this slot."""
    for program in ("sync.central.cli", "sync.central.app", "sync.central.migrate"):
        importlib.import_module(program)
    from config.central import load_central

    load_central(config)


def answers_gate(config: Path) -> None:
    """Raises OSError unless the gate's list of screens answers with status 200."""
    from config.settings import load_settings

    web = load_settings(config).settings.web
    with urllib.request.urlopen(f"http://{web.host}:{web.port}/", timeout=ANSWER_TIMEOUT_S) as answer:
        answer.read(1)


def answers_central(config: Path) -> None:
    """Raises OSError unless the central answers: its login page, or under TLS of its own a connection."""
    from config.central import load_central

    central = load_central(config).settings.central
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(central.host, central.host)  # noqa: S104
    if central.tls_cert is not None:
        # Its certificate names the outside address, so that this machine cannot check it; the rest is the same.
        socket.create_connection((host, central.port), timeout=ANSWER_TIMEOUT_S).close()
        return
    at = f"[{host}]" if ":" in host else host
    try:
        urllib.request.urlopen(f"http://{at}:{central.port}/", timeout=ANSWER_TIMEOUT_S).close()
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            raise


def page(config: Path) -> None:
    """Prints the address that the kiosk's screen shows."""
    from config.lane import LaneDirection
    from config.settings import load_settings

    settings = load_settings(config).settings
    lane = next((lane for lane in settings.lane if lane.direction is LaneDirection.IN), settings.lane[0])
    print(f"http://{settings.web.host}:{settings.web.port}/lane/{lane.name}")  # noqa: T201


QUESTIONS = {
    "check-gate": check_gate,
    "check-central": check_central,
    "answers-gate": answers_gate,
    "answers-central": answers_central,
    "page": page,
}


def main() -> None:
    """The command line: whatever stands in the way becomes one line, whoever raised it."""
    question, config = sys.argv[1:]
    try:
        QUESTIONS[question](Path(config))
    except Exception as error:  # noqa: BLE001 - a slot that is broken in any way must not be switched to
        print(f"{question}: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
