"""A real ``gatepost-central serve`` in its own process, for tests; it can be killed and started again."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync import keys
from sync.central import enrolment, lists
from sync.central.store import Store
from sync.enrol import EnrolRequest
from tests.conftest import ROOT


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class CentralProcess:
    """Starts on enter, is killed on exit. ``environ`` is added to the process's environment."""

    def __init__(self, database: Path) -> None:
        self.database = database
        self.port = free_port()
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> CentralProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start it and wait until it answers."""
        arguments = ["serve", "--database", str(self.database), "--port", str(self.port)]
        with (self.database.parent / "central.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "sync.central.cli", *arguments],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )
        self.starts += 1
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:  # noqa: S310 - our own
                    assert answer.status == 200
                return
            except (urllib.error.URLError, OSError):
                assert self._process.poll() is None, (self.database.parent / "central.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL, as a crash would be."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)

    def seen(self, kiosk_id: str) -> int | None:
        """When it last heard of a kiosk, UTC in microseconds; None for never."""
        store = Store(self.database)
        with store.reading() as connection:
            (status,) = [each for each in lists.kiosk_statuses(connection, 0) if each.kiosk_id == kiosk_id]
        store.close()
        return status.last_seen_us

    def admit(self, kiosk_id: str, key: Ed25519PrivateKey) -> None:
        """Enrol and approve a kiosk through the same functions that the programs use."""
        store = Store(self.database)
        now_us = time.time_ns() // 1000
        with store.writing() as connection:
            code = enrolment.make_code(connection, now_us, kiosk_id, "test")
            request = EnrolRequest(kiosk_id=kiosk_id, code=code, public_key=keys.public_bytes(key))
            fingerprint = enrolment.enrol(connection, now_us, request)
            assert enrolment.decide(
                connection, now_us, kiosk_id=kiosk_id, fingerprint=fingerprint, state="approved", by="test"
            )
        store.close()
