"""What the central takes in, beside the same endpoint without a database: ``python -m tests.bench.sync``.

Records are like a gate's (facts, health, person; random salts and ids). The central runs in a process of its own
(uvicorn, one worker, SQLite with ``synchronous=FULL``); this process sends ready-made batches over several
connections. The *limit* is the same program with everything but the store: signature, decompression, chain and
record checks, answer. All figures are of one run on one machine; only the ratios travel.

Goals: batches of 500: at least 0.40 of the limit; batches of 20: group commit at least 1.3 times one commit a
request; wire at most 95 B/event at 20 and 85 at 500; every one of ``--tampers`` random alterations found by
``verify``.
"""

from __future__ import annotations

import argparse
import base64
import logging
import multiprocessing
import os
import random
import resource
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import structlog
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection

from kiosk.journal_types import Slice
from kiosk.records import Kind, Payload, PayloadClass, Record, Stream
from sync import keys
from sync.answer import Answer, Result, StreamAck
from sync.batch import build
from sync.batch_dictionary import ENCODING
from sync.batch_parse import parse
from sync.central import app as app_module
from sync.central.app import create_app
from sync.central.checks import CheckedBatch, Checks, SignedBody
from sync.central.committer import Committer
from sync.central.ingest import Ingest
from sync.central.store import Store
from sync.central.tables import StoredPayload, StoredRecord, table
from sync.central.verify import verify_store
from sync.compression import decompress, encoding_of
from sync.errors import WireError
from sync.request_headers import HEAD_SIGNATURE_HEADER, KIOSK_HEADER, REQUEST_HEADER, SIGNATURE_HEADER
from sync.uplink import SignedRequest
from tests.fakes import MORNING_US
from tests.integration.central_process import free_port
from tests.sync_kit import BOOT, MemoryCentral, header_of, sign_batch

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def gate_like_records(kiosk_id: str, count: int, rng: random.Random) -> Slice:
    """A chain of passages as a gate writes them in a morning."""
    incarnation = rng.randbytes(16).hex()
    head, at_us = bytes(32), MORNING_US
    records = []
    for seq in range(1, count + 1):
        at_us += rng.randrange(1_500_000, 9_000_000)
        passage, admit = rng.randbytes(8).hex(), rng.random() < 0.93
        facts: dict[str, Any] = {
            "passage": passage,
            "follows": "",
            "direction": "in",
            "place": "gate-1",
            "category": rng.choices(("resident", "courier", "visitor"), (90, 7, 3))[0],
            "policy": "case-4",
            "admit": admit,
            "reasons": ["all_checks_passed"] if admit else [rng.choice(("temperature_raised", "code_expired"))],
            "next_step": "go_in" if admit else "see_guard",
            "checks": [
                {"name": name, "state": "pass" if admit else "fail", "reason": "", "by": ""}
                for name in ("pass", "temperature", "health_code", "register")
            ],
            "credential": "ev2",
            "code_kind": "",
            "thermometer_fault": False,
            "camera_fault": False,
            "shots": 1,
            "credential_to_verdict_ms": rng.randrange(400, 1300),
            "guard": "",
        }
        payloads = {PayloadClass.FACTS: Payload.of(rng.randbytes(16), facts)}
        payloads[PayloadClass.PERSON] = Payload.of(rng.randbytes(16), {"subject": rng.randbytes(8).hex()})
        records.append(
            Record(
                kiosk_id=kiosk_id,
                incarnation=incarnation,
                stream=Stream.PASSAGE,
                seq=seq,
                kind=Kind.PASSAGE,
                at_us=at_us,
                clock_trust="synced",
                boot_id=BOOT,
                mono_ns=at_us * 1000 - MORNING_US * 1000,
                lane="in",
                ref=passage,
                payloads=payloads,
            )
        )
        head = records[-1].hash(head)
    return Slice(tuple(records), bytes(32), head)


def batches_of(whole: Slice, size: int) -> list[SignedRequest]:
    """The chain cut into signed batches."""
    requests = []
    head = whole.prev_head
    for start in range(0, len(whole.records), size):
        records = whole.records[start : start + size]
        last = head
        for record in records:
            last = record.hash(last)
        part = Slice(records, head, last)
        header = header_of(part)
        body = build(header, records)
        encoding = encoding_of(body, ENCODING)
        requests.append(sign_batch(header, body, encoding=encoding, key=KEY, request=f"{start:032x}"))
        head = last
    return requests


def _taken(batch: CheckedBatch) -> Answer:
    header = batch.parsed.header
    ack = StreamAck(incarnation=header.incarnation, stream=header.stream, acked=header.last, head=header.last_head)
    return Answer(request=batch.signed.request, store_epoch=1, server_us=1, result=Result.STORED, acks=(ack,))


class NoStore(Ingest):
    """Everything but the store: the limit that the real one is measured against."""

    def store_batches(self, connection: Connection, group: Sequence[CheckedBatch]) -> list[Answer | WireError]:
        return [_taken(batch) for batch in group]


class NoChecks(Checks):
    """The first batch stands for all."""

    _first: CheckedBatch | None = None

    def batch(self, signed: SignedBody) -> CheckedBatch:
        self._first = self._first or super().batch(signed)
        return replace(self._first, signed=signed)


class Bare(NoStore):
    """Not even a check: what a request costs before anybody looks at it."""

    def __init__(self, store: Store, **fields: Any) -> None:
        super().__init__(store, **fields)
        self.checks = NoChecks(store)


class NoTransaction(Committer):
    """Answers at once, without a transaction."""

    def _in_one_transaction(self, group: list[Any]) -> list[tuple[Any, Any, BaseException | None]]:
        return [(waiting, waiting.run(None), None) for waiting in group if waiting.work is not None]


class OneByOne(Committer):
    """A transaction for every request: what group commit is measured against."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, max_group=1)


def serve(database: str, port: int, mode: str, pipe: Any) -> None:
    """The central's process; sends its processor seconds when asked. It logs nothing amid the figures."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    if mode in ("limit", "bare"):
        app_module.Ingest = NoStore if mode == "limit" else Bare  # type: ignore[misc]
        app_module.Committer = NoTransaction  # type: ignore[misc]
    elif mode == "single":
        app_module.Committer = OneByOne  # type: ignore[misc]
    app = create_app(Store(database))
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, host="127.0.0.1", port=port, log_level="error", access_log=False)
    )

    def tell() -> None:
        while pipe.recv() == "cpu":
            usage = resource.getrusage(resource.RUSAGE_SELF)
            pipe.send(usage.ru_utime + usage.ru_stime)
        server.should_exit = True

    threading.Thread(target=tell, daemon=True).start()
    server.run()


@dataclass(slots=True)
class Figures:
    """One run."""

    events: int = 0
    requests: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    took_ms: list[float] = field(default_factory=list)

    @property
    def events_per_s(self) -> float:
        return self.events / self.wall_s

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.wall_s

    @property
    def cpu_us_per_event(self) -> float:
        return self.cpu_s / self.events * 1e6

    @property
    def cpu_ms_per_request(self) -> float:
        return self.cpu_s / self.requests * 1e3


@contextmanager
def central(mode: str, kiosk_ids: list[str]) -> Iterator[tuple[int, Any]]:
    """A central in a process of its own; its port, and the pipe that asks for its processor time."""
    with tempfile.TemporaryDirectory() as folder:
        database = str(Path(folder) / "central.db")
        store = Store(database)
        helper = MemoryCentral(None, store=store)
        helper._now_us = lambda: MORNING_US  # type: ignore[method-assign]
        for kiosk_id in kiosk_ids:
            helper.admit(kiosk_id, KEY)
        store.close()
        port = free_port()
        ours, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=serve, args=(database, port, mode, theirs), daemon=True)
        process.start()
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"{url}/health", timeout=1.0)
                break
            except httpx.HTTPError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        try:
            yield port, ours
        finally:
            ours.send("stop")
            process.join(timeout=10)
            if process.is_alive():
                process.kill()


def as_http(request: SignedRequest) -> bytes:
    """The request as it goes over the wire, made before the clock runs: the sender shares the server's cores."""
    lines = (
        f"POST {request.path} HTTP/1.1",
        "Host: central",
        f"{KIOSK_HEADER}: {request.kiosk_id}",
        f"{REQUEST_HEADER}: {request.request}",
        f"{SIGNATURE_HEADER}: {base64.b64encode(request.signature).decode()}",
        f"{HEAD_SIGNATURE_HEADER}: {base64.b64encode(request.head_signature).decode()}",
        f"Content-Encoding: {request.encoding}",
        f"Content-Length: {len(request.body)}",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + request.body


def read_answer(connection: socket.socket) -> bytes:
    """One whole answer."""
    found = b""
    while b"\r\n\r\n" not in found:
        found += connection.recv(65536)
    head, _, body = found.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + body


def send_all(port: int, pipe: Any, work: list[list[SignedRequest]], events_each: int) -> Figures:
    """Each list over a connection of its own, in order; all at once."""
    figures = Figures()
    lock = threading.Lock()

    def send(requests: list[SignedRequest]) -> None:
        took = []
        written = [as_http(request) for request in requests]
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for whole in written:
                start = time.perf_counter()
                connection.sendall(whole)
                answer = read_answer(connection)
                took.append((time.perf_counter() - start) * 1000)
                assert answer.startswith(b"HTTP/1.1 200"), answer
        with lock:
            figures.took_ms += took
            figures.requests += len(requests)
            figures.events += len(requests) * events_each

    pipe.send("cpu")
    cpu_before = pipe.recv()
    threads = [threading.Thread(target=send, args=(requests,)) for requests in work]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    figures.wall_s = time.perf_counter() - start
    pipe.send("cpu")
    figures.cpu_s = pipe.recv() - cpu_before
    return figures


def measure(mode: str, size: int, connections: int, batches: int) -> Figures:
    """One central, ``connections`` kiosks, each sending ``batches`` of ``size``."""
    rng = random.Random(size)
    kiosk_ids = [f"gate-{number}" for number in range(connections)]
    work = [batches_of(gate_like_records(kiosk_id, size * batches, rng), size) for kiosk_id in kiosk_ids]
    with central(mode, kiosk_ids) as (port, pipe):
        return send_all(port, pipe, work, size)


def per_event_us(work: Any, events: int, rounds: int = 5) -> float:
    """The best of some rounds, in microseconds of processor time an event."""
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best / events * 1e6


def tamper(count: int) -> tuple[int, float]:
    """How many of ``count`` random alterations of the store ``verify`` finds, and the events it walks a second."""
    rng = random.Random(7)
    memory = MemoryCentral(None, store=Store("sqlite://"))
    memory._now_us = lambda: MORNING_US  # type: ignore[method-assign]
    memory.ingest = Ingest(memory.store, now_us=lambda: MORNING_US)
    memory.admit("gate-0", KEY)
    chain = gate_like_records("gate-0", 60, rng)
    for request in batches_of(chain, 20):
        memory.exchange(request)
    sound = memory.backup()
    assert verify_store(memory.store).ok
    found = 0
    for _ in range(count):
        _alter(memory.store, rng)
        found += not verify_store(memory.store).ok
        memory.restore(sound)
    big = gate_like_records("gate-0", 5000, rng)
    for request in batches_of(big, 500):
        memory.exchange(request)
    start = time.process_time()
    report = verify_store(memory.store)
    assert report.ok
    return found, report.records / (time.process_time() - start)


def _alter(store: Store, rng: random.Random) -> None:
    """One random change: a field, a payload, a hash, a deletion, or two records swapped."""
    records, payloads = table(StoredRecord), table(StoredPayload)
    seq = rng.randrange(1, 61)
    one = records.c.seq == seq
    change = rng.randrange(6)
    with store.writing() as connection:
        if change == 0:
            connection.execute(records.delete().where(one))
        elif change == 1:
            connection.execute(records.update().where(one).values(at_us=records.c.at_us + rng.choice((-1, 1))))
        elif change == 2:
            name = rng.choice(("lane", "ref", "kind", "boot_id", "clock_trust"))
            connection.execute(records.update().where(one).values({name: f"x{rng.randrange(1000)}"}))
        elif change == 3:
            connection.execute(records.update().where(one).values(hash=rng.randbytes(32)))
        elif change == 4:
            body = f'{{"admit":{rng.choice(("true", "false"))}}}'
            connection.execute(payloads.update().where(payloads.c.receive_id == seq).values(body=body))
        else:
            other = seq % 60 + 1
            connection.execute(records.update().where(one).values(seq=10_000))
            connection.execute(records.update().where(records.c.seq == other).values(seq=seq))
            connection.execute(records.update().where(records.c.seq == 10_000).values(seq=other))


def main() -> int:
    """Measure, print, and say which goals were missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=6, help="batches of 500 a connection")
    parser.add_argument("--small", type=int, default=40, help="batches of 20 a connection")
    parser.add_argument("--rounds", type=int, default=3, help="each figure is the median of so many, taken in turns")
    parser.add_argument("--tampers", type=int, default=200)
    options = parser.parse_args()
    missed: list[str] = []

    def goal(name: str, reached: bool) -> None:
        if not reached:
            missed.append(name)

    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores shared with the sender, load {load:.1f} before the run")

    rng = random.Random(1)
    big = gate_like_records("gate-0", 500, rng)
    for size, most in ((20, 95.0), (500, 85.0)):
        wire = sum(len(request.body) for request in batches_of(big, size)) / 500
        goal(f"wire at {size}", wire <= most)
        print(f"wire, batches of {size:3}: {wire:6.1f} B/event (goal <= {most:.0f}; 32 to 48 B of it are random salts)")

    request = batches_of(big, 500)[0]
    public_key = keys.public_bytes(KEY)
    unpack_us = per_event_us(lambda: decompress(request.body, "zstd"), 500)
    parse_us = per_event_us(lambda: parse(request.body, "zstd"), 500)
    verify_us = per_event_us(lambda: keys.verify(public_key, keys.BATCH_CONTEXT, request.body, request.signature), 500)
    print(
        f"check, one core: unzstd {unpack_us:.2f}, parse and chain {parse_us:.1f}, signature {verify_us:.2f} us/event"
    )

    rounds = options.rounds
    limits, stores = in_turns(("limit", "group"), 500, 4, options.batches, rounds)
    ratio = statistics.median(b.events_per_s / a.events_per_s for a, b in zip(limits, stores, strict=True))
    goal("batches of 500", ratio >= 0.40)
    for name, runs in (("no database (limit)", limits), ("SQLite FULL", stores)):
        print(
            f"500 a batch, {name:20}: {_median(runs, 'events_per_s'):8.0f} events/s,"
            f" {_median(runs, 'cpu_us_per_event'):6.1f} us CPU/event, p95 {_p(_took(runs), 0.95):.0f} ms"
        )
    by_cpu = _median(limits, "cpu_us_per_event") / _median(stores, "cpu_us_per_event")
    print(f"ratio {ratio:.2f} (goal >= 0.40); by processor time, which other load disturbs less: {by_cpu:.2f}")

    bares, limits, singles, groups = in_turns(("bare", "limit", "single", "group"), 20, 16, options.small, rounds)
    gains = [b.requests_per_s / a.requests_per_s for a, b in zip(singles, groups, strict=True)]
    gain = statistics.median(gains)
    goal("group commit", gain >= 1.3)
    floor_ms = _median(bares, "cpu_ms_per_request")
    for name, runs in (
        ("neither check nor store", bares),
        ("no database (limit)", limits),
        ("a commit a request", singles),
        ("group commit", groups),
    ):
        cpu_ms = _median(runs, "cpu_ms_per_request")
        print(
            f"20 a batch, {name:24}: {_median(runs, 'requests_per_s'):7.0f} requests/s, {cpu_ms:5.2f} ms CPU/request"
            f" ({cpu_ms / floor_ms:.1f} x the bare request), p99 {_p(_took(runs), 0.99):.0f} ms"
        )
    cpu_ms = _median(groups, "cpu_ms_per_request")
    goal("processor time of a small request", cpu_ms <= 1.2)
    saved = _median(singles, "cpu_ms_per_request") / cpu_ms
    print(f"group commit: {gain:.2f} times the requests (goal >= 1.3; rounds {_listed(gains)}); CPU 1/{saved:.2f}")
    print(f"processor time of a small request {cpu_ms:.2f} ms (goal <= 1.2), load now {os.getloadavg()[0]:.1f}")

    found, walked = tamper(options.tampers)
    goal("tampering", found == options.tampers)
    print(f"verify: {found} of {options.tampers} alterations found, {walked:.0f} events/s/core")
    print("goals met" if not missed else f"goals missed: {', '.join(missed)}")
    return 1 if missed else 0


def in_turns(modes: Sequence[str], size: int, connections: int, batches: int, rounds: int) -> list[list[Figures]]:
    """Each mode once a round, so that a change of the machine's load meets all of them."""
    found: list[list[Figures]] = [[] for _ in modes]
    for _ in range(rounds):
        for runs, mode in zip(found, modes, strict=True):
            runs.append(measure(mode, size, connections, batches))
    return found


def _median(runs: list[Figures], name: str) -> float:
    return statistics.median(getattr(run, name) for run in runs)


def _took(runs: list[Figures]) -> list[float]:
    return [took for run in runs for took in run.took_ms]


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def _p(values: list[float], share: float) -> float:
    return statistics.quantiles(values, n=1000)[round(share * 1000) - 1]


if __name__ == "__main__":
    sys.exit(main())
