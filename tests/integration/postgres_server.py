"""A throw-away PostgreSQL for tests: a cluster in a temporary folder, reached over its Unix socket only."""

from __future__ import annotations

import glob
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError


def _program(name: str) -> str | None:
    """A program of PostgreSQL: on the path, or where Debian keeps the versions apart."""
    return shutil.which(name) or next(iter(sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)), None)


class PostgresServer:
    """A running cluster; ``new_database`` gives the URL of one more empty database in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._databases = 0

    def url(self, name: str) -> str:
        """The SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://gatepost@/{name}?host={self._folder}"

    def new_database(self) -> str:
        """An empty database."""
        self._databases += 1
        name = f"central{self._databases}"
        engine = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self.url(name)


@contextmanager
def running() -> Iterator[PostgresServer]:
    """A cluster from initdb to shutdown; skips with the reason where the server or its driver is missing."""
    initdb, server = _program("initdb"), _program("postgres")
    if initdb is None or server is None:
        pytest.skip("no PostgreSQL server here (Debian: postgresql)")
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("no driver for PostgreSQL (the extra postgresql)")
    # PostgreSQL refuses to run as root; Debian's package brings a user for it.
    owner: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="gatepost-pg-", dir=memory, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if owner:
            shutil.chown(folder, "postgres", "postgres")
        data = folder / "data"
        subprocess.run(
            [initdb, "-D", str(data), "-U", "gatepost", "-A", "trust", "-E", "UTF8", "--locale", "C.UTF-8", "-N"],
            check=True,
            capture_output=True,
            cwd=folder,
            **owner,
        )
        arguments = ["-D", str(data), "-k", name, "-c", "listen_addresses=", "-c", "fsync=off"]
        process = subprocess.Popen(
            [server, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, **owner
        )
        try:
            made = PostgresServer(folder)
            _wait(made, process)
            yield made
        finally:
            process.send_signal(signal.SIGINT)  # "fast": connections that are still open are cut
            process.wait(timeout=30)


def _wait(server: PostgresServer, process: subprocess.Popen[bytes]) -> None:
    engine = create_engine(server.url("postgres"))
    deadline = time.monotonic() + 60
    while True:
        try:
            engine.connect().close()
            break
        except OperationalError:
            assert process.poll() is None, "PostgreSQL did not start"
            assert time.monotonic() < deadline
            time.sleep(0.05)
    engine.dispose()
