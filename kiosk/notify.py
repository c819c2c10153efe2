"""Tells systemd that the gate is ready and that its decision loop makes progress (sd_notify(3)).

The protocol is one datagram of ``NAME=value`` lines to the unix socket that ``NOTIFY_SOCKET`` names; a leading
``@`` means the abstract namespace. Without the variable nothing is sent.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping


class Notifier:
    """Sends states to the service manager; the ping must come from the decision loop itself, so that a stalled
    loop is restarted by ``WatchdogSec``."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        #: Nanoseconds between pings: half of the manager's limit, or 0 when it sets none.
        self.ping_every_ns = int(environ.get("WATCHDOG_USEC", "0")) * 1000 // 2 if self._address else 0
        self._last_ping_ns = 0

    def ready(self) -> None:
        """Start-up is complete."""
        self._send("READY=1")

    def stopping(self) -> None:
        """The gate is closing down on purpose."""
        self._send("STOPPING=1")

    def progress(self, at_ns: int) -> None:
        """The decision loop has come round; pings at most every ``ping_every_ns``."""
        if self.ping_every_ns and at_ns - self._last_ping_ns >= self.ping_every_ns:
            self._last_ping_ns = at_ns
            self._send("WATCHDOG=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            try:
                sock.connect(self._address)
                sock.send(state.encode())
            except OSError:
                # The manager is gone or restarting; the gate's work does not depend on it.
                return
