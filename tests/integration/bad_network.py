"""A TCP proxy that misbehaves by a seeded plan: cuts connections mid-body, delays, repeats requests, drops answers."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from types import TracebackType

FAULTS = ("none", "cut_request", "drop_answer", "delay", "cut_answer", "duplicate")


class BadNetwork:
    """Listens on a free loopback port and forwards to ``target_port``; each connection has one fault, in a seeded
    order in which all of them come up. A connection without a fault of its own ends after a few answers.

    ``duplicate`` sends the bytes of the first request to the target a second time over another connection, as a
    retrying middlebox would, and throws that second answer away. ``calm()`` ends all mischief.
    """

    def __init__(self, target_port: int, *, seed: int) -> None:
        self.target_port = target_port
        self.port = 0
        self.faults: list[str] = []
        self._rng = random.Random(seed)
        self._order: list[str] = []
        self._calm = False
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> BadNetwork:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)

    def calm(self) -> None:
        """From now on an honest proxy."""
        self._calm = True

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self.faults) % len(FAULTS) == 0:
            self._order = self._rng.sample(FAULTS, len(FAULTS))
        fault = "none" if self._calm else self._order[len(self.faults) % len(FAULTS)]
        self.faults.append(fault)
        limit = self._rng.randrange(50, 1500)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            try:
                to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
            except OSError:
                writer.close()
                return
            seen = bytearray()
            up = asyncio.create_task(self._pump_up(reader, to_writer, fault, limit, seen))
            down = asyncio.create_task(self._pump_down(to_reader, writer, fault, limit, seen))
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            for task in (up, down):
                task.cancel()
            for end in (writer, to_writer):
                end.close()

    async def _pump_up(
        self, reader: asyncio.StreamReader, to: asyncio.StreamWriter, fault: str, limit: int, seen: bytearray
    ) -> None:
        while data := await reader.read(4096):
            seen += data
            if fault == "cut_request" and len(seen) > limit:
                to.write(data[: max(1, len(data) // 2)])
                await to.drain()
                return
            if fault == "delay":
                await asyncio.sleep(0.05)
            to.write(data)
            await to.drain()

    async def _pump_down(
        self, reader: asyncio.StreamReader, to: asyncio.StreamWriter, fault: str, limit: int, seen: bytearray
    ) -> None:
        answers = self._rng.randrange(1, 4)
        while data := await reader.read(4096):
            if fault == "drop_answer":
                return
            if fault == "cut_answer":
                to.write(data[: min(len(data) - 1, limit // 4)])
                await to.drain()
                return
            if fault == "duplicate" and seen:
                await self._again(bytes(seen))
                seen.clear()
            to.write(data)
            await to.drain()
            answers -= 1
            if answers <= 0 and not self._calm:
                return

    async def _again(self, request: bytes) -> None:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.target_port)
            writer.write(request)
            await writer.drain()
            await asyncio.wait_for(reader.read(65536), 5)
            writer.close()
