"""The gate's end of the local socket to sync: questions and facts out, answers and neighbours' facts in.

The gate itself has no network. A thread of its own holds the line; nothing here blocks the capture loop, and with sync
away (not started, killed, stopped) the gate goes on: a code that needs the network is then the guard's business at
once, and facts wait, up to a bound. Every time the line comes up, the gate says who it is and tells the facts of the
last minutes again; whoever heard them before passes over them.

The socket lies in the state folder (mode 0700); both ends are the same user, and each end checks that.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from kiosk.line_wire import (
    MAX_FACTS,
    MAX_LINE_BYTES,
    MAX_TOKEN_CHARS,
    Answered,
    Ask,
    Heard,
    Hello,
    LineError,
    Message,
    Silent,
    Tell,
    decode,
    encode,
)
from kiosk.neighbours import Fact

log = structlog.get_logger("gatepost.line")

SOCKET_NAME = "sync.sock"
MAX_TOLD = 2000
MAX_WAITING_BYTES = 512 * 1024
RETRY_S = 1.0

News = Answered | Heard | Silent


def peer_is_us(connection: socket.socket) -> bool:
    """Whether the other end of a Unix socket is a process of this very user (``SO_PEERCRED``, unix(7))."""
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return bool(uid == os.geteuid())


class SyncLine:
    """One gate's line to the sync program of the same state folder."""

    def __init__(self, folder: Path, hello: Hello) -> None:
        self._path = folder / SOCKET_NAME
        self._hello = hello
        self._told: deque[Fact] = deque(maxlen=MAX_TOLD)
        self._lock = threading.Lock()
        self._number = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    def start(self, deliver: Callable[[News], None]) -> None:
        """Begin to hold the line; ``deliver`` is called on the line's own thread for every piece of news."""
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._hold(deliver, ready)), name="sync-line", daemon=True
        )
        self._thread.start()
        ready.wait(timeout=5)

    def stop(self) -> None:
        """Let go of it."""
        loop, stop = self._loop, self._stop
        if self._thread is None or loop is None or stop is None:
            return
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        self._thread.join(timeout=5)

    @property
    def up(self) -> bool:
        """Whether sync is there."""
        return self._writer is not None

    def ask(self, token: str, within_ms: int) -> int | None:
        """Ask about a token; the number that the answer will carry, None when nobody is there to ask."""
        if not self.up or len(token) > MAX_TOKEN_CHARS:
            return None
        with self._lock:
            self._number += 1
            number = self._number
        self._send(Ask(number=number, token=token, within_ms=within_ms))
        return number

    def tell(self, facts: Iterable[Fact]) -> None:
        """Facts for the neighbours: told now, or when the line is up again."""
        fresh = tuple(facts)
        with self._lock:
            self._told.extend(fresh)
        for part in _parts(fresh):
            self._send(Tell(part))

    def _send(self, message: Message) -> None:
        loop = self._loop
        if loop is not None and self.up:
            loop.call_soon_threadsafe(self._write, message)

    def _write(self, message: Message) -> None:
        writer = self._writer
        if writer is None:
            return
        if writer.transport.get_write_buffer_size() > MAX_WAITING_BYTES:
            log.warning("sync_does_not_read")
            writer.transport.abort()  # a sync that hangs is no sync: the line comes up again when it does
            return
        writer.write(encode(message))

    async def _hold(self, deliver: Callable[[News], None], ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        ready.set()
        stopped = asyncio.create_task(self._stop.wait())
        while not stopped.done():
            talk = asyncio.create_task(self._talk(deliver))
            await asyncio.wait((talk, stopped), return_when=asyncio.FIRST_COMPLETED)
            talk.cancel()
            await asyncio.gather(talk, return_exceptions=True)
            await asyncio.wait((stopped,), timeout=RETRY_S)

    async def _talk(self, deliver: Callable[[News], None]) -> None:
        """One connection, to its end."""
        try:
            reader, writer = await asyncio.open_unix_connection(self._path, limit=MAX_LINE_BYTES)
        except OSError:
            return  # sync is not there; the console says so by its backlog, the lanes by their guard
        try:
            if not peer_is_us(writer.get_extra_info("socket")):
                log.error("line_of_another_user", socket=str(self._path))
                return
            writer.write(encode(self._hello))
            with self._lock:
                told = tuple(self._told)
                self._writer = writer
            log.info("line_up")
            for part in _parts(told):
                self._write(Tell(part))
            while line := await reader.readline():
                message = decode(line)
                if isinstance(message, News):
                    deliver(message)
        except (OSError, ValueError, LineError) as error:
            log.warning("line_broken", error=type(error).__name__)
        finally:
            if self._writer is not None:
                log.info("line_down")
            self._writer = None
            writer.close()


def _parts(facts: tuple[Fact, ...]) -> list[tuple[Fact, ...]]:
    return [facts[at : at + MAX_FACTS] for at in range(0, len(facts), MAX_FACTS)]
