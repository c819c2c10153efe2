"""Starts, watches, kills and restarts the demo's separate programs, as systemd would on a real gate."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from config.errors import GatepostError


class ProgramError(GatepostError):
    """A program of the demo did not start, or ended by itself."""


@dataclass(slots=True)
class Program:
    """One program: its command line, its log file and the running process."""

    name: str
    arguments: Sequence[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it with its output appended to its log; it gets a session of its own, like a service."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environ},
                start_new_session=True,
            )
        self.starts += 1

    def kill(self) -> None:
        """SIGKILL to this process alone, as a crash would be; its children are left to their own devices."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=10)

    def stop(self, timeout_s: float = 10.0) -> None:
        """SIGTERM, then SIGKILL to the whole session when it does not end in time."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(timeout=10)

    def tail(self, lines: int = 15) -> str:
        """The last lines of its log, for an error message."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""


class Programs:
    """The demo's programs by name, started in order and stopped in reverse."""

    def __init__(self, log_folder: Path) -> None:
        self._log_folder = log_folder
        self._programs: dict[str, Program] = {}
        log_folder.mkdir(parents=True, exist_ok=True)

    def __getitem__(self, name: str) -> Program:
        return self._programs[name]

    def start(self, name: str, *arguments: str, environ: Mapping[str, str] | None = None) -> Program:
        """Start ``python -m arguments`` under a name; its log is ``<name>.log`` in the log folder."""
        program = Program(name, arguments, self._log_folder / f"{name}.log", environ=environ or {})
        self._programs[name] = program
        program.start()
        return program

    def wait_for(self, what: str, ready: Callable[[], bool], *, program: str, timeout_s: float = 30.0) -> None:
        """Wait until ``ready`` holds; ProgramError with the log's tail when the program dies or time runs out."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if not self._programs[program].running or time.monotonic() > deadline:
                raise ProgramError(
                    f"{program} ({what})",
                    seen="it ended" if not self._programs[program].running else f"nothing within {timeout_s:.0f} s",
                    expected=what,
                    hint=f"its log {self._programs[program].log} ends with:\n{self._programs[program].tail()}",
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop all, the last started first."""
        for program in reversed(self._programs.values()):
            program.stop()
