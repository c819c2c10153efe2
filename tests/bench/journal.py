"""How fast the journal commits, beside raw SQLite and the disk's own fdatasync in the same rounds; and verifies.

``python -m tests.bench.journal [FOLDER]``. The three methods take turns in short rounds, because a shared disk changes
from minute to minute: only the ratios of one run mean anything. Goals: commits at 0.5 of raw write-ahead log with
synchronous=FULL or better, p99 within 3 times that of fdatasync; verify at 200,000 records a second and core.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kiosk.database import PAGE_BYTES
from kiosk.journal import Entry, Journal, verify
from kiosk.records import Kind, PayloadClass, Stream
from tests.fakes import FakeClock

ROUNDS = 12
COMMITS_PER_ROUND = 100
VERIFY_RECORDS = 100_000

FACTS = {
    "admit": True,
    "category": "resident",
    "checks": [
        {"by": "", "name": "pass", "reason": "", "state": "pass"},
        {"by": "", "name": "temperature", "reason": "", "state": "pass"},
        {"by": "clear", "name": "health_code", "reason": "", "state": "waived"},
        {"by": "clear", "name": "trip", "reason": "", "state": "waived"},
        {"by": "", "name": "register", "reason": "", "state": "pass"},
    ],
    "credential": "ev2",
    "credential_to_verdict_ms": 640,
    "direction": "in",
    "next_step": "go_in",
    "place": "east-gate",
    "policy": "clear 3",
    "reasons": ["all_checks_passed"],
}
HEALTH = {"temperature": {"by_guard": False, "outcome": "normal", "rule": "forehead 2", "why_not": ""}}
PERSON = {"subject": "0123456789abcdef"}


def entry(clock: FakeClock, number: int) -> Entry:
    """One decision as the gate writes it: facts, health band, pseudonym."""
    payloads = {PayloadClass.FACTS: FACTS, PayloadClass.HEALTH: HEALTH, PayloadClass.PERSON: PERSON}
    at = clock.advance(1)
    return Entry(stream=Stream.PASSAGE, kind=Kind.PASSAGE, at=at, lane="in-1", ref=f"p-{number}", payloads=payloads)


def journal_method(folder: Path) -> Callable[[int], None]:
    """The product's path: canonical form, digests, chain, six statements, commit."""
    clock = FakeClock()
    journal = Journal.open(folder / "journal.db", kiosk_id="bench", clock=clock)
    return lambda number: void(journal.append_many([entry(clock, number)]))


def raw_method(folder: Path) -> Callable[[int], None]:
    """The same bytes as one row of one table, write-ahead log, synchronous=FULL: what SQLite can do."""
    raw = sqlite3.connect(folder / "raw.db", isolation_level=None)
    raw.execute(f"PRAGMA page_size={PAGE_BYTES}")
    raw.execute("PRAGMA journal_mode=WAL")
    raw.execute("PRAGMA synchronous=FULL")
    raw.execute("CREATE TABLE r (seq INTEGER PRIMARY KEY, body BLOB)")
    body = os.urandom(1250)
    return lambda number: void(raw.execute("INSERT INTO r VALUES (?, ?)", (number, body)))


def fdatasync_method(folder: Path) -> Callable[[int], None]:
    """One 4 KiB write and fdatasync: what the disk can do."""
    fd = os.open(folder / "sync.bin", os.O_RDWR | os.O_CREAT)
    block = os.urandom(4096)
    os.pwrite(fd, bytes(4096 * 256), 0)
    os.fsync(fd)

    def write(number: int) -> None:
        os.pwrite(fd, block, 4096 * (number % 256))
        os.fdatasync(fd)

    return write


def void(_: object) -> None:
    """Takes a result and gives none."""


def quantile(values: list[float], share: float) -> float:
    """The value below which ``share`` of the values lie."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def commits(folder: Path) -> dict[str, list[float]]:
    """Seconds of each commit, by method; the methods take turns."""
    methods = {
        "fdatasync": fdatasync_method(folder),
        "raw sqlite WAL FULL": raw_method(folder),
        "journal.append": journal_method(folder),
    }
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for turn in range(ROUNDS):
        for name, method in methods.items():
            for index in range(COMMITS_PER_ROUND):
                begun = time.perf_counter()
                method(turn * COMMITS_PER_ROUND + index)
                seconds[name].append(time.perf_counter() - begun)
    return seconds


def verify_rates(folder: Path) -> tuple[dict[str, float], float, float]:
    """Records a second of processor time: verify, reading alone, SHA-256 alone; bytes a record; seconds of a start."""
    clock = FakeClock()
    path = folder / "long.db"
    with Journal.open(path, kiosk_id="bench", clock=clock) as journal:
        for start in range(0, VERIFY_RECORDS, 5000):
            journal.append_many([entry(clock, start + index) for index in range(5000)])
    size = path.stat().st_size / VERIFY_RECORDS
    begun = time.perf_counter()
    Journal.open(path, kiosk_id="bench", clock=clock).close()
    start_s = time.perf_counter() - begun

    def walk() -> None:
        if not verify(path).ok:
            raise SystemExit("verify found fault with a sound journal")

    raw = sqlite3.connect(path)
    rows: dict[str, list[tuple[bytes, ...]]] = {}

    def read() -> None:
        rows["r"] = raw.execute("SELECT header, digests, hash FROM journal_record ORDER BY id").fetchall()
        for table in ("journal_facts", "journal_health", "journal_person"):
            rows[table] = raw.execute(f"SELECT salt, body FROM {table} ORDER BY id").fetchall()  # noqa: S608

    def digest() -> None:
        for values in rows.values():
            for value in values:
                hashlib.sha256(b"".join(value)).digest()

    rates = {}
    for what, work in {"verify": walk, "reading alone": read, "SHA-256 alone": digest}.items():
        taken = []
        for _ in range(3):
            begun = time.process_time()
            work()
            taken.append(time.process_time() - begun)
        rates[what] = VERIFY_RECORDS / min(taken)
    return rates, size, start_s


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        folder = Path(name)
        seconds = commits(folder)
        print(f"{'method':22}{'commits/s':>12}{'of raw':>9}{'p50 ms':>9}{'p99 ms':>9}")
        raw_rate = 1 / statistics.median(seconds["raw sqlite WAL FULL"])
        for method, values in seconds.items():
            rate = 1 / statistics.median(values)
            print(
                f"{method:22}{rate:12.0f}{rate / raw_rate:9.2f}{quantile(values, 0.5) * 1e3:9.3f}"
                f"{quantile(values, 0.99) * 1e3:9.3f}"
            )
        rates, size, start_s = verify_rates(folder)
        for what, rate in rates.items():
            print(f"{what:22}{rate:12,.0f} records a second of processor time (a record has 3 payloads, 4 hashes)")
        print(f"{size:.0f} bytes stored a record; a start on {VERIFY_RECORDS:,} records takes {start_s:.1f} s")


if __name__ == "__main__":
    main()
