"""Runs the screens' web server (uvicorn) in a thread of the gate's process."""

from __future__ import annotations

import socket
import ssl
import threading

import uvicorn
from fastapi import FastAPI

from config.errors import ConfigError
from config.tablet import is_loopback
from kiosk.screens.bounded_listener import BoundedListener
from kiosk.screens.hub import Hub
from kiosk.screens.impatient_protocol import ImpatientProtocol
from kiosk.screens.watch import BrowserWatch, Painted

STOP_TIMEOUT_S = 5.0


class ScreensServer:
    """``start`` returns once connections are accepted, ``stop`` when the port is free again.

    Without ``tls`` it listens on loopback alone; with it on any address, with bounds for connections.
    ``setting`` is what errors name.
    """

    def __init__(
        self,
        app: FastAPI,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        setting: str = "web.port",
    ) -> None:
        if tls is None and not is_loopback(host):
            raise ConfigError(
                f"{setting} {host}", seen="an address of a network, without TLS", expected="loopback",
                hint="web.tablet shows the console on a network, by TLS to paired tablets",
            )  # fmt: skip
        self._tls = tls
        self._setting = setting
        self._hub: Hub = app.state.hub
        self._watch: BrowserWatch = app.state.watch
        self._host = host
        self._port = port
        self._socket: socket.socket | None = None
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,  # uvicorn's own would write plain text among the program's lines
                log_level="warning",
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=2,
                limit_concurrency=100,
                h11_max_incomplete_event_size=16 * 1024,
                http="h11" if tls is None else ImpatientProtocol,
                ws="none",
                loop="asyncio",  # another loop that happens to be installed would accept past the listener's bounds
            )
        )
        self._thread = threading.Thread(target=self._serve, name="screens", daemon=True)

    def start(self) -> None:
        """Listen and serve. Raises ConfigError when the address is taken or may not be used."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener: socket.socket
        if self._tls is not None:
            listener = BoundedListener(family)
        else:
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            if isinstance(listener, BoundedListener):
                listener.bind_early(self._host, self._port)
            else:
                listener.bind((self._host, self._port))
            listener.listen(128)
        except OSError as error:
            listener.close()
            raise ConfigError(
                f"{self._setting} {self._host}:{self._port}",
                seen=error.strerror or str(error),
                expected="a free address of this machine",
                hint=f"stop the other program, or set another {self._setting}",
            ) from error
        # Listening already queues connections: no page is refused while uvicorn gets ready.
        self._socket = listener
        self._port = listener.getsockname()[1]
        self._thread.start()

    def _serve(self) -> None:
        if self._socket is None:
            return
        if self._tls is not None:
            self._server.config.load()
            self._server.config.ssl = self._tls
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """End all event streams and the server; safe to call twice."""
        self._hub.close()
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)
        if self._socket is not None:
            self._socket.close()

    @property
    def port(self) -> int:
        """The TCP port, also when 0 was asked for."""
        return self._port

    @property
    def address(self) -> str:
        """The address of the index page, such as ``http://127.0.0.1:8470``."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self._port}"

    @property
    def running(self) -> bool:
        """Whether the server's thread lives."""
        return self._thread.is_alive()

    def browser_age_s(self, screen: str | None = None) -> float | None:
        """Seconds since a browser painted ``screen`` (``lane/in``, ``guard``; without one: any); None before that."""
        return self._watch.age_s(screen)

    def painted(self) -> tuple[Painted, ...]:
        """The last verdicts that resident screens said to have painted."""
        return self._watch.painted_verdicts()
