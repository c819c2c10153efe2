"""How long what lies outside takes: a code looked up, and a neighbour's fact heard. ``python -m tests.bench.outside``.

The lookup goes the whole way: the gate's line, sync's event loop, HTTP to a server that checks and signs, and back.
Beside it, in the same run, the same question asked of that server over a kept-open connection and nothing else. A fact
goes from one gate's line to another's over sockets of this machine; beside it, one datagram there and back.
"""

from __future__ import annotations

import json
import queue
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx

from config.loader import load
from config.lookup import Lookup
from config.settings import Settings
from kiosk.line_wire import Answered, Heard, Hello
from kiosk.neighbours import Fact, FactKind
from kiosk.sync_line import News, SyncLine
from sync.line import LineOptions, LineThread
from sync.lookup_form import question
from tests.code_server import RED, SECRET, CodeServer, settings_of

ROUNDS = 300
SHARE_MS = 15.0
"""What our own side may add to the server's answer, median, on this machine."""
BASE = '[site]\nkiosk_id = "north-1"\n[[lane]]\nname = "in"\n'


def lookup_in(folder: Path, url: str) -> Lookup:
    """The settings for the reference server."""
    (folder / "lookup.secret").write_text(SECRET)
    (folder / "lookup.secret").chmod(0o600)
    (folder / "gate.toml").write_text(BASE + settings_of(url, str(folder / "lookup.secret")))
    return load(Settings, folder / "gate.toml", {}).settings.lookup


def timed(rounds: int, once: Callable[[], None]) -> list[float]:
    """Milliseconds of each round, the first ten left out."""
    found = []
    for number in range(rounds + 10):
        began = time.perf_counter()
        once()
        if number >= 10:
            found.append((time.perf_counter() - began) * 1000)
    return found


def line_of(
    folder: Path, name: str, options: LineOptions, news: queue.SimpleQueue[News]
) -> tuple[SyncLine, LineThread]:
    """A gate's line with its sync, both running."""
    sync = LineThread(options)
    sync.start()
    line = SyncLine(folder, Hello(kiosk_id=name, peer_key=bytes(32), match_key=bytes(32)))
    line.start(news.put)
    while not line.up:
        time.sleep(0.01)
    return line, sync


def lookups(folder: Path) -> tuple[list[float], list[float]]:
    """The whole way, and the server alone. Red codes, which are asked for each time."""
    server = CodeServer().start()
    lookup = lookup_in(folder, server.url)
    news: queue.SimpleQueue[News] = queue.SimpleQueue()
    line, sync = line_of(folder, "north-1", LineOptions(folder=folder, lookup=lookup, secret=SECRET), news)
    token = server.make_code(RED)

    def whole() -> None:
        line.ask(token, 1500)
        while not isinstance(answer := news.get(timeout=5), Answered):
            pass
        assert answer.status is not None

    with httpx.Client() as client:

        def alone() -> None:
            nonce = f"{time.perf_counter_ns():x}"
            asked = question(lookup, token, secret=SECRET, nonce=nonce, at=datetime.now(UTC))
            reply = client.post(server.url, content=asked.body, headers={"Content-Type": asked.content_type})
            assert json.loads(reply.content)["code"] == "0"

        found = timed(ROUNDS, whole), timed(ROUNDS, alone)
    line.stop()
    sync.stop()
    server.stop()
    return found


def facts(folder: Path) -> tuple[list[float], list[float]]:
    """From one gate's line to the other's, and one datagram there and back."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    addresses = [("127.0.0.1", int(one.getsockname()[1])) for one in sockets]

    def there_and_back() -> None:
        sockets[0].sendto(bytes(200), addresses[1])
        data, source = sockets[1].recvfrom(1200)
        sockets[1].sendto(data, source)
        sockets[0].recvfrom(1200)

    limit = timed(ROUNDS, there_and_back)
    for one in sockets:
        one.close()
    lines = []
    queues: list[queue.SimpleQueue[News]] = [queue.SimpleQueue(), queue.SimpleQueue()]
    for number, name in enumerate(("north-1", "south-1")):
        place = folder / name
        place.mkdir(mode=0o700)
        options = LineOptions(
            folder=place, lookup=Lookup(), listen=addresses[number], neighbours=(addresses[1 - number],)
        )
        lines.append(line_of(place, name, options, queues[number]))
    time.sleep(3)  # they greet each other

    def tell() -> None:
        what = time.perf_counter_ns().to_bytes(16, "big")
        fact = Fact(kind=FactKind.CODE, what=what, place="north", mono_ns=time.monotonic_ns())
        lines[0][0].tell((fact,))
        while not isinstance(queues[1].get(timeout=5), Heard):
            pass

    found = timed(ROUNDS, tell)
    for line, sync in lines:
        line.stop()
        sync.stop()
    return found, limit


def main() -> int:
    """Print both; 1 when our own side adds too much to a server's answer."""
    with tempfile.TemporaryDirectory() as text:
        whole, alone = lookups(Path(text))
        heard, limit = facts(Path(text))
    for name, found in (
        ("lookup, gate to server and back", whole),
        ("the server alone, same question", alone),
        ("fact, gate to neighbouring gate", heard),
        ("one datagram there and back", limit),
    ):
        p95 = statistics.quantiles(found, n=20)[18]
        print(f"{name:34} p50 {statistics.median(found):7.2f} ms   p95 {p95:7.2f} ms   max {max(found):7.2f} ms")
    added = statistics.median(whole) - statistics.median(alone)
    print(f"our own side of a lookup: {added:.2f} ms (goal {SHARE_MS:.0f})")
    return 0 if added <= SHARE_MS else 1


if __name__ == "__main__":
    sys.exit(main())
