"""A mail server for tests: SMTP on a port of its own (RFC 5321), with STARTTLS (RFC 3207) or TLS, and AUTH PLAIN."""

from __future__ import annotations

import base64
import socketserver
import ssl
import threading
from contextlib import suppress
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import TracebackType
from typing import Any


class MailServer:
    """Runs from enter to exit. ``mails`` is what it took; ``refuse`` is its answer to DATA, ``hold`` stops it there."""

    def __init__(
        self, *, tls: ssl.SSLContext | None = None, starttls: ssl.SSLContext | None = None, login: str = ""
    ) -> None:
        self.mails: list[EmailMessage] = []
        self.envelopes: list[list[str]] = []
        self.said: list[str] = []
        self.refuse = ""
        self.hold: threading.Event | None = None
        self.reached = threading.Event()
        self._tls, self.starttls, self.login = tls, starttls, login
        server = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with suppress(OSError, ValueError):  # the client hung up, or did not trust us
                    _Talk(server, self.request).run()

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

            def get_request(self) -> Any:
                plain, address = super().get_request()
                plain.settimeout(10)
                if server._tls is None:
                    return plain, address
                return server._tls.wrap_socket(plain, server_side=True), address

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that refused our certificate is none of our business."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> MailServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.hold is not None:
            self.hold.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Talk:
    """One conversation."""

    def __init__(self, server: MailServer, connection: Any) -> None:
        self._server, self._socket = server, connection
        self._file = connection.makefile("rb")
        self._to: list[str] = []
        self._private = isinstance(connection, ssl.SSLSocket)
        self._logged_in = not server.login

    def _say(self, *lines: str) -> None:
        self._socket.sendall("".join(line + "\r\n" for line in lines).encode())

    def run(self) -> None:
        self._say("220 test ready")
        while line := self._file.readline(2000):
            words = line.decode("ascii").strip()
            self._server.said.append(words)
            verb = words.split()[0].upper() if words else ""
            if verb in ("EHLO", "HELO"):
                offers = ["250-AUTH PLAIN"] if self._server.login else []
                if self._server.starttls is not None and not self._private:
                    offers.append("250-STARTTLS")
                self._say("250-test", *offers, "250 8BITMIME")
            elif verb == "STARTTLS" and self._server.starttls is not None:
                self._say("220 go on")
                self._socket = self._server.starttls.wrap_socket(self._socket, server_side=True)
                self._file, self._private = self._socket.makefile("rb"), True
            elif verb == "AUTH":
                user, password = base64.b64decode(words.split()[-1]).decode().split("\0")[1:]
                self._logged_in = f"{user}:{password}" == self._server.login
                self._say("235 welcome" if self._logged_in else "535 wrong")
            elif verb == "MAIL":
                self._say("250 ok" if self._logged_in else "530 log in first")
            elif verb == "RCPT":
                self._to.append(words.partition("<")[2].rstrip(">"))
                self._say("250 ok")
            elif verb == "DATA":
                self._take()
            elif verb == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 ok")

    def _take(self) -> None:
        self._server.reached.set()
        if self._server.hold is not None:
            self._server.hold.wait(30)
        if self._server.refuse:
            self._say(self._server.refuse)
            return
        self._say("354 go on")
        lines = []
        while (line := self._file.readline(100_000)) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b".") else line)
        mail = message_from_bytes(b"".join(lines), policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self._server.mails.append(mail)
        self._server.envelopes.append(self._to)
        self._say("250 taken")
