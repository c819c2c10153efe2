"""A server of opaque health codes as a province runs one, in the style of GB/T 38963: it makes codes and verifies them.

It is strict about what it is asked (app id, time, a nonce used once, the signature over the sorted fields) and signs
what it answers; both are written here from the interface's description, not with the product's code. ``behave`` makes
it what real servers are on bad days: slow, wrong, broken, or somebody else who plays back what was recorded.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

APP_ID, SECRET = "gate-0417", "a secret of this site"
PREFIX = "https://hc.example/c/"
RED, GREEN, YELLOW = 1, 2, 3


def sign(fields: dict[str, Any]) -> str:
    """Upper-case SHA-256 of ``k=v&…`` sorted by name, the secret sorted in as ``secretKey``."""
    pairs = sorted((fields | {"secretKey": SECRET}).items())
    return hashlib.sha256("&".join(f"{k}={v}" for k, v in pairs).encode()).hexdigest().upper()


@dataclass
class CodeServer:
    """Runs on a free port between :meth:`start` and :meth:`stop`. ``slow_s`` delays each answer of a slow day."""

    behaviour: str = "well"
    slow_s: float = 3.0
    valid_s: int = 300
    asked: list[str] = field(default_factory=list)
    _codes: dict[str, dict[str, Any]] = field(default_factory=dict)
    _nonces: set[str] = field(default_factory=set)
    _recorded: bytes = b""
    _server: ThreadingHTTPServer | None = None
    _wake: threading.Event = field(default_factory=threading.Event)

    def make_code(self, colour: int, *, name: str = "", birth_date: str = "") -> str:
        """A fresh code's text for somebody of that colour."""
        text = PREFIX + secrets.token_urlsafe(24)
        self._codes[text] = {"status": colour, "name": name, "birth": birth_date}
        return text

    def change(self, text: str, colour: int) -> None:
        """The authority changes its mind about somebody."""
        self._codes[text]["status"] = colour

    @property
    def url(self) -> str:
        """Where it is asked."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_port}/health/decode"

    def start(self) -> CodeServer:
        """Listen."""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # an answer in one piece: in two, the kernel holds the second back for 40 ms

            def do_POST(self) -> None:
                body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), 65536))
                owner.answer(self, body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def stop(self) -> None:
        """Gone; whoever asks now is refused by the machine."""
        self._wake.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def behave(self, behaviour: str) -> None:
        """What the server is from now on: well, slow, trickling, broken, redirecting, wrong_signature, wrong_body,
        huge, nameless, replaying."""
        self.behaviour = behaviour

    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        """One question, answered as the day is."""
        behaviour = self.behaviour
        if behaviour == "slow":
            self._wake.wait(self.slow_s)
        if self._wake.is_set():
            request.close_connection = True  # stopped: also whoever held a connection finds it closed
            return
        if behaviour in ("broken", "redirecting"):
            request.send_response(503 if behaviour == "broken" else 307)
            request.send_header("Location", "http://127.0.0.1:1/elsewhere")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        document = self.verify(json.loads(body))
        content = json.dumps(document).encode()
        if behaviour == "replaying" and self._recorded:
            content = self._recorded
        elif behaviour == "wrong_signature":
            data = document.get("data", {})
            content = json.dumps(document | {"data": data | {"status": GREEN}}).encode()
        elif behaviour == "wrong_body":
            content = b"<html>We are busy</html>"
        elif behaviour == "huge":
            content = b"[" * 1_000_000
        else:
            self._recorded = content
        self._write(request, content, trickle=behaviour == "trickling")

    def _write(self, request: BaseHTTPRequestHandler, content: bytes, *, trickle: bool) -> None:
        try:
            request.send_response(200)
            request.send_header("Content-Type", "application/json;charset=utf-8")
            request.send_header("Content-Length", str(len(content)))
            request.end_headers()
            for byte in content if trickle else ():
                request.wfile.write(bytes((byte,)))
                request.wfile.flush()
                if self._wake.wait(0.05):
                    return
            if not trickle:
                request.wfile.write(content)
            request.wfile.flush()
        except OSError:
            pass  # whoever asked has given up

    def verify(self, question: dict[str, Any]) -> dict[str, Any]:
        """The code verification of the standard: signed and fresh, or an error code."""
        given = question.pop("sign", "")
        self.asked.append(question.get("qrCode", ""))
        if question.get("appId") != APP_ID or given != sign(question):
            return {"code": "40103", "msg": "bad signature"}
        if abs(time.time() * 1000 - int(question["timestamp"])) > 300_000 or question["nonce"] in self._nonces:
            return {"code": "40105", "msg": "stale"}
        self._nonces.add(question["nonce"])
        found = self._codes.get(question["qrCode"])
        if found is None:
            return {"code": "404", "msg": "no such code"}
        data = {"qrCode": question["qrCode"], "validSeconds": self.valid_s, "queryTime": int(time.time() * 1000)}
        data |= {name: value for name, value in found.items() if value}
        return {"code": "0", "msg": "ok", "data": data | {"sign": sign(data)}}


def settings_of(url: str, secret_file: str) -> str:
    """The ``[lookup]`` table that fits this server."""
    return f"""
[lookup]
url = "{url}"
prefixes = ["{PREFIX}"]
issuer = "province"
app_id = "{APP_ID}"
secret = "{secret_file}"
[lookup.reply]
signed = "data"
sign = "sign"
token = "data.qrCode"
time = "data.queryTime"
name = "data.name"
birth_date = "data.birth"
"""
