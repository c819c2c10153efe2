"""Sync's end of the local socket, with what lies behind it: the lookup server and the neighbouring gates.

One event loop on a thread of its own, beside the sender of batches; neither waits for the other. The gate comes and
goes; its keys are held in memory only, from its hello on. Facts that neighbours tell while no gate is there wait for
it, and after its restart it is told again what was let in lately, its own included.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, tzinfo
from pathlib import Path

import structlog

from config.lookup import Lookup
from config.neighbours import address_of
from config.settings import Settings
from kiosk.line_wire import (
    MAX_FACTS,
    MAX_LINE_BYTES,
    Answered,
    Ask,
    Heard,
    Hello,
    LineError,
    Message,
    NoAnswer,
    Silent,
    Tell,
    decode,
    encode,
)
from kiosk.neighbours import FactKind, HeardFact
from kiosk.sync_line import SOCKET_NAME, peer_is_us
from sync.errors import SyncError
from sync.lookup import LookupServer, load_secret
from sync.peer import Address, PeerDesk
from sync.peer_wire import MAX_DATAGRAM_BYTES

log = structlog.get_logger("gatepost.line")

TICK_S = 0.25
SILENT_EVERY_S = 5.0
SETTLE_S = 0.05
"""A connection that was accepted takes a few rounds of the event loop until it can be closed."""
MAX_HEARD = 5000
MAX_WAITING_BYTES = 1024 * 1024
RETOLD = frozenset({FactKind.CODE, FactKind.PASS, FactKind.HOLDER})
"""What a gate keeps in memory only and is told again after its restart; hearing it twice changes nothing. Its own
holders are not among it: the gate's journal knows them, and one is at two gates only by what another gate told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineOptions:
    """What the line is told: the gate's state folder, its lookup, its neighbours. ``listen`` None: no neighbours."""

    folder: Path
    lookup: Lookup
    secret: str = ""
    zone: tzinfo = UTC
    listen: Address | None = None
    neighbours: tuple[Address, ...] = ()


def line_options(settings: Settings) -> LineOptions | None:
    """The options in the gate's settings; None where it has neither lookup nor neighbours. Raises ConfigError."""
    lookup, neighbours = settings.lookup, settings.neighbours
    if not lookup.url and not neighbours.addresses:
        return None
    return LineOptions(
        folder=settings.state.folder,
        lookup=lookup,
        secret=load_secret(lookup) if lookup.url else "",
        zone=settings.site.zone,
        listen=address_of(neighbours.listen) if neighbours.listen else None,
        neighbours=tuple(address_of(text) for text in neighbours.addresses),
    )


class LineThread:
    """The line on a thread of its own, from :meth:`start` to :meth:`stop`."""

    def __init__(self, options: LineOptions) -> None:
        self._options = options
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="line", daemon=True)
        self._ready = threading.Event()

    def start(self) -> None:
        """Begin; raises what kept it from beginning (a port that is taken, an address that is not of this machine)."""
        self._thread.start()
        self._ready.wait()
        if self._failed is not None:
            raise self._failed

    def stop(self) -> None:
        """End, and wait for it."""
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=5)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except (SyncError, OSError) as error:
            self._failed = error
            log.error("line_ended", error=str(error))
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with AsyncExitStack() as stack:
            line = Line(self._options)
            await line.open(stack)
            self._ready.set()
            await self._stop.wait()


class Line:
    """The socket, the lookup and the neighbours, within one event loop."""

    def __init__(self, options: LineOptions) -> None:
        self._options = options
        self._server: LookupServer | None = None
        self._desk: PeerDesk | None = None
        self._match_key = b""
        self._transport: asyncio.DatagramTransport | None = None
        self._gate: asyncio.StreamWriter | None = None
        self._talking: set[asyncio.StreamWriter] = set()
        self._asking: set[asyncio.Task[None]] = set()
        self._heard: deque[HeardFact] = deque(maxlen=MAX_HEARD)
        self._waiting: deque[HeardFact] = deque(maxlen=MAX_HEARD)

    async def open(self, stack: AsyncExitStack) -> None:
        """Listen; everything ends with ``stack``. Raises SyncError for an address that cannot be had."""
        options = self._options
        if options.lookup.url:
            server = LookupServer(options.lookup, secret=options.secret, zone=options.zone, mono_ns=time.monotonic_ns)
            self._server = await stack.enter_async_context(server)
        if options.listen is not None:
            self._transport = await self._listen(options.listen)
            stack.callback(self._transport.close)
            stack.push_async_callback(_ended, asyncio.create_task(self._tick()))
        options.folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # sync may be started before the gate ever was
        path = options.folder / SOCKET_NAME
        path.unlink(missing_ok=True)  # left by a sync that was killed
        try:
            unix = await asyncio.start_unix_server(self._talk, path, limit=MAX_LINE_BYTES)
        except OSError as error:
            raise SyncError(
                f"local socket {path}", seen=str(error), expected="a path of at most 107 bytes in a folder of ours"
            ) from error
        path.chmod(0o600)
        stack.callback(path.unlink, missing_ok=True)
        stack.push_async_callback(self._hang_up, unix)

    # -- the gate --------------------------------------------------------------------------------------------------

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One gate, from its hello to its end; a new one takes the place of the one before."""
        self._talking.add(writer)
        try:
            if not peer_is_us(writer.get_extra_info("socket")):
                return
            hello = decode(await reader.readline())
            if not isinstance(hello, Hello):
                return
            if self._gate is not None:
                self._gate.close()
            self._gate = writer
            self._greet(hello)
            while line := await reader.readline():
                self._take(decode(line))
        except (OSError, ValueError, LineError) as error:
            log.warning("gate_not_understood", error=type(error).__name__)
        finally:
            if self._gate is writer:
                self._gate = None
            self._talking.discard(writer)
            writer.close()

    def _greet(self, hello: Hello) -> None:
        self._match_key = hello.match_key
        if self._transport is None:
            return
        if self._desk is None:
            self._desk = PeerDesk(
                hello.peer_key, hello.kiosk_id, self._options.neighbours, started_ns=time.monotonic_ns()
            )
        own = [HeardFact(hello.kiosk_id, fact) for fact in self._desk.facts if fact.kind is not FactKind.HOLDER]
        lately = [heard for heard in (*own, *self._heard) if heard.fact.kind in RETOLD]
        missed = [heard for heard in self._waiting if heard.fact.kind not in RETOLD]
        self._waiting.clear()
        self._pass_on([*lately, *missed])

    def _take(self, message: Message) -> None:
        match message:
            case Ask():
                task = asyncio.create_task(self._answer(message))
                self._asking.add(task)
                task.add_done_callback(self._asking.discard)
            case Tell() if self._desk is not None:
                self._desk.tell(message.facts)
                self._send_due()
            case _:
                pass

    async def _answer(self, ask: Ask) -> None:
        if self._server is None:
            self._say(Answered(number=ask.number, no_answer=NoAnswer.NOT_SET_UP))
            return
        self._say(await self._server.answer(ask, self._match_key))

    def _say(self, message: Message) -> None:
        gate = self._gate
        if gate is None:
            return
        if gate.transport.get_write_buffer_size() > MAX_WAITING_BYTES:
            gate.transport.abort()  # a gate that does not read; it comes again when it does
            return
        gate.write(encode(message))

    def _pass_on(self, facts: list[HeardFact]) -> None:
        if self._gate is None:
            self._waiting.extend(facts)
            return
        for at in range(0, len(facts), MAX_FACTS):
            self._say(Heard(tuple(facts[at : at + MAX_FACTS])))

    async def _hang_up(self, unix: asyncio.Server) -> None:
        """Nobody comes in any more, and whoever is in hears that it is over: also one who came in this moment.

        The server is closed last: one that is closed while it accepts leaves that connection open (CPython 3.11,
        ``Server._attach``), and its gate would wait for ever.
        """
        for listening in unix.sockets:
            asyncio.get_running_loop().remove_reader(listening)
        for task in tuple(self._asking):
            await _ended(task)
        await asyncio.sleep(SETTLE_S)
        for writer in tuple(self._talking):
            writer.transport.abort()
        while self._talking:
            await asyncio.sleep(0)
        unix.close()

    # -- the neighbours --------------------------------------------------------------------------------------------

    async def _listen(self, address: Address) -> asyncio.DatagramTransport:
        try:
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Datagrams(self), local_addr=address
            )
        except OSError as error:
            raise SyncError(
                f"neighbours.listen {address[0]}:{address[1]}",
                seen=error.strerror or str(error),
                expected="a free UDP port of an address of this machine",
            ) from error
        return transport

    async def _tick(self) -> None:
        last_silent: int | None = None
        said_s = 0.0
        while True:
            self._send_due()
            now_s = time.monotonic()
            silent = self._desk.silent(time.monotonic_ns()) if self._desk is not None else 0
            if silent != last_silent or now_s - said_s >= SILENT_EVERY_S:
                last_silent, said_s = silent, now_s
                self._say(Silent(silent))
            await asyncio.sleep(TICK_S)

    def _send_due(self) -> None:
        if self._desk is None or self._transport is None:
            return
        for address, data in self._desk.due(time.monotonic_ns()):
            self._transport.sendto(data, address)

    def received(self, data: bytes, address: Address) -> None:
        """A datagram came in."""
        if self._desk is None or len(data) > MAX_DATAGRAM_BYTES:
            return
        facts = self._desk.receive(data, address, time.monotonic_ns())
        if facts:
            self._heard.extend(facts)
            self._pass_on(facts)
        self._send_due()


class _Datagrams(asyncio.DatagramProtocol):
    """From the event loop to the line."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def datagram_received(self, data: bytes, addr: tuple[str, int] | tuple[str, int, int, int]) -> None:
        self._line.received(data, (addr[0], addr[1]))


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
