"""The control socket of a simulated gate: one JSON object a line in, one JSON object a line out.

``{"device": "thermo-in", "do": "person", "skin_c": 36.4, "for_ms": 2500}`` -> ``{"ok": true}``;
a line that cannot be carried out -> ``{"ok": false, "error": "..."}``, and the connection stays open.
"""

from __future__ import annotations

import json
import socketserver
import threading
from pathlib import Path
from typing import Any

from drivers.simulators.wire import Wire

LINE_BYTES_MAX = 65536


def answer(wires: dict[str, Wire], line: bytes) -> dict[str, Any]:
    """Carry out one control line; every failure becomes an answer."""
    if len(line) > LINE_BYTES_MAX:
        return {"ok": False, "error": f"line longer than {LINE_BYTES_MAX} bytes"}
    try:
        command = json.loads(line)
    except (ValueError, RecursionError) as error:
        return {"ok": False, "error": f"not JSON: {error}"}
    if not isinstance(command, dict) or not isinstance(command.get("do"), str):
        return {"ok": False, "error": 'expected an object such as {"device": "reader-in", "do": "tap"}'}
    wire = wires.get(str(command.get("device")))
    if wire is None:
        return {"ok": False, "error": f"unknown device {command.get('device')!r}; known: {', '.join(sorted(wires))}"}
    try:
        return {"ok": True, **wire.command(command)}
    except (ValueError, ArithmeticError, LookupError, TypeError, OSError) as error:
        return {"ok": False, "error": f"{type(error).__name__}: {error}"}


class ControlSocket:
    """Serves :func:`answer` on a unix socket, a thread a connection."""

    def __init__(self, path: Path, wires: dict[str, Wire]) -> None:
        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while line := self.rfile.readline(LINE_BYTES_MAX + 1):
                    self.wfile.write(json.dumps(answer(wires, line)).encode() + b"\n")
                    if len(line) > LINE_BYTES_MAX:
                        return

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True

        self._path = path
        path.unlink(missing_ok=True)
        self._server = Server(str(path), Handler)
        path.chmod(0o600)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="control", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and remove the socket."""
        self._server.shutdown()
        self._server.server_close()
        self._path.unlink(missing_ok=True)
