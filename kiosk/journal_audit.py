"""The daily walk of the whole journal, in a process of its own at the lowest priority: the gate does not wait.

``python -m kiosk.journal_audit FILE`` ends with status 0 (every chain holds), 1 (something is wrong) or 2 (the file
could not be opened).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from kiosk.journal_types import JournalError
from kiosk.journal_verify import verify

SOUND, UNSOUND, NOT_OPENED = 0, 1, 2


class Audit:
    """One walk at a time; :meth:`poll` never blocks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin a walk, unless one is under way. A machine that has no room for a process skips it."""
        if self._process is not None:
            return
        command = [sys.executable, "-m", "kiosk.journal_audit", str(self._path)]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        except OSError:
            self._process = None

    def poll(self) -> bool | None:
        """True once when a walk has ended well, False when it found damage; None otherwise."""
        if self._process is None:
            return None
        status = self._process.poll()
        if status is None:
            return None
        self._process = None
        return {SOUND: True, UNSOUND: False}.get(status)

    def stop(self) -> None:
        """End a walk that is under way."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def main() -> int:
    """Walk the file of the first argument; the exit status."""
    os.nice(19)
    try:
        return SOUND if verify(Path(sys.argv[1])).ok else UNSOUND
    except JournalError:
        return NOT_OPENED


if __name__ == "__main__":
    sys.exit(main())
