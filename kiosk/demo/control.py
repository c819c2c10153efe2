"""The demo's hand on the simulated hardware: one JSON line to the simulators' control socket, one line back."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from config.errors import GatepostError


class ControlError(GatepostError):
    """The simulators refused a command or do not answer."""


class Control:
    """A connection to ``control.sock`` of ``python -m drivers.simulators``, opened anew for each command."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def ready(self) -> bool:
        """Whether the simulators answer yet."""
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(self._path))
        except OSError:
            return False
        return True

    def __call__(self, device: str, do: str, **options: Any) -> dict[str, Any]:
        """Carry out one command; ControlError with the simulators' own words when it is refused."""
        line = json.dumps({"device": device, "do": do, **options}) + "\n"
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(5)
                sock.connect(str(self._path))
                sock.sendall(line.encode())
                with sock.makefile("rb") as answers:
                    answer: dict[str, Any] = json.loads(answers.readline())
        except (OSError, ValueError) as error:
            raise ControlError(f"simulators at {self._path}", seen=str(error), expected="an answer") from error
        if not answer.get("ok"):
            raise ControlError(f"simulated {device}, {do}", seen=str(answer.get("error")), expected="ok")
        return answer
