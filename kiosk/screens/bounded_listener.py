"""A listening socket that bounds how many connections it hands out: strangers on a network take no more than that.

The gate shares its file descriptors with its devices and its journal. A connection beyond a bound is closed at once,
before TLS and before any byte is read; it does not disturb those that stand.
"""

from __future__ import annotations

import socket

MAX_CONNECTIONS = 64
MAX_PER_ADDRESS = 16
"""A tablet uses six at most."""

_IP_FREEBIND = 15  # <linux/in.h>
_IPV6_FREEBIND = 78  # <linux/in6.h>


class BoundedListener(socket.socket):
    """As ``socket.socket``; beyond a bound ``accept`` raises ConnectionAbortedError, which asyncio passes over."""

    def __init__(
        self, family: int, *, max_connections: int = MAX_CONNECTIONS, max_per_address: int = MAX_PER_ADDRESS
    ) -> None:
        super().__init__(family, socket.SOCK_STREAM)
        self._max_connections = max_connections
        self._max_per_address = max_per_address
        self._open: list[tuple[socket.socket, str]] = []

    def bind_early(self, host: str, port: int) -> None:
        """Bind to an address that the network may bring only later: a gate does not wait for Wi-Fi. Raises OSError."""
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.family == socket.AF_INET6:
            self.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        else:
            self.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        self.bind((host, port))

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        """The next connection within the bounds."""
        connection, address = super().accept()
        self._open = [(other, host) for other, host in self._open if other.fileno() >= 0]
        same = sum(host == address[0] for _, host in self._open)
        if len(self._open) >= self._max_connections or same >= self._max_per_address:
            connection.close()
            raise ConnectionAbortedError("more connections than a console needs")
        self._open.append((connection, address[0]))
        return connection, address
