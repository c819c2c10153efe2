"""Two gates of one site, each with its gate and sync programs: a code that went in at one is noticed at the other."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kiosk.demo.programs import Programs
from tests.code_server import GREEN, SECRET, CodeServer, settings_of
from tests.scenarios.test_online_lookup import GATE, LookupGate

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("whole-gate"), pytest.mark.timeout(120)]

NAMES = ("north", "south")


def free_udp_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture
def server() -> Iterator[CodeServer]:
    running = CodeServer().start()
    yield running
    running.stop()


@pytest.fixture
def gates(tmp_path: Path, server: CodeServer) -> Iterator[dict[str, LookupGate]]:
    ports = dict(zip(NAMES, free_udp_ports(2), strict=True))
    running: dict[str, LookupGate] = {}
    with ExitStack() as stack:
        for name, other in (NAMES, NAMES[::-1]):
            folder = tmp_path / name
            (folder / "pictures").mkdir(parents=True)
            (folder / "community.key").write_bytes(bytes(range(32)))
            (folder / "lookup.secret").write_text(SECRET)
            for secret in ("community.key", "lookup.secret"):
                (folder / secret).chmod(0o600)
            table = settings_of(server.url, str(folder / "lookup.secret"))
            table += f'[neighbours]\nlisten = "127.0.0.1:{ports[name]}"\naddresses = ["127.0.0.1:{ports[other]}"]\n'
            text = GATE.format(folder=folder, now=datetime.now(UTC).isoformat())
            text = text.replace("[[lane]]", table + "[[lane]]", 1).replace(
                '"lookup-1"', f'"{name}-1"\nplace = "{name}"'
            )
            (folder / "gate.toml").write_text(text)
            programs = Programs(folder / "log")
            stack.callback(programs.stop)
            running[name] = LookupGate(folder, programs)
            programs.start("gate", "kiosk.cli", "run", "--config", str(folder / "gate.toml"))
            programs.start("sync", "sync.cli", "run", "--config", str(folder / "gate.toml"))
        for gate in running.values():
            gate.wait_for_line(1)
        yield running


GREET_S, TELL_S, ALARM_S = 4.0, 1.5, 5.0
"""Gates greet each other once a second and tell within milliseconds; a busy machine takes longer over both."""


def noticed(gate: LookupGate) -> int:
    """How often a code of the other gate was noticed here."""
    return gate.alarms().count("code_used_elsewhere")


def comes_to_notice(gate: LookupGate, times: int) -> bool:
    """Whether it is noticed so often within the time; the alarm is written just after the verdict."""
    until = time.monotonic() + ALARM_S
    while noticed(gate) != times and time.monotonic() < until:
        time.sleep(0.05)
    return noticed(gate) == times


def test_a_code_that_went_in_at_one_gate_is_noticed_at_the_other(
    gates: dict[str, LookupGate], server: CodeServer
) -> None:
    """Told within a moment; with sync killed what was last heard stands; what was missed arrives when it is back."""
    north, south = gates["north"], gates["south"]
    first, second = server.make_code(GREEN), server.make_code(GREEN)
    time.sleep(GREET_S)  # the gates greet each other, once a second
    assert north.reason(first) == "all_checks_passed"
    time.sleep(TELL_S)
    assert south.reason(first) == "all_checks_passed"
    assert comes_to_notice(south, 1)
    assert noticed(north) == 0
    south.programs["sync"].kill()
    assert north.reason(second) == "all_checks_passed"
    south.programs["sync"].start()
    south.wait_for_line(2)
    time.sleep(GREET_S)
    assert south.reason(second) == "all_checks_passed"
    assert comes_to_notice(south, 2)
    third = server.make_code(GREEN)
    assert south.reason(third) == "all_checks_passed"
    assert noticed(south) == 2
    north.programs["gate"].kill()
    for picture in (north.folder / "pictures").iterdir():
        picture.unlink()  # a camera of pictures begins with the first one again
    north.programs["gate"].start()
    north.wait_for_line(2)
    assert north.reason(third) == "all_checks_passed"
    assert comes_to_notice(north, 1)
