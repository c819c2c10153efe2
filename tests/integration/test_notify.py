"""systemd hears that the gate is ready, and only a loop that goes round keeps the watchdog quiet."""

from __future__ import annotations

import socket
from pathlib import Path

from kiosk.notify import Notifier

SECOND_NS = 1_000_000_000


def test_ready_and_pings_arrive_at_half_the_limit(tmp_path: Path) -> None:
    """With WatchdogSec=15 a ping leaves every 7.5 s of loop progress, no sooner, and none without progress."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.setblocking(False)
        notifier = Notifier({"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "15000000"})
        notifier.ready()
        for second in range(100, 131):
            notifier.progress(second * SECOND_NS)
        heard = []
        while True:
            try:
                heard.append(manager.recv(64).decode())
            except BlockingIOError:
                break
    assert heard == ["READY=1"] + ["WATCHDOG=1"] * 4


def test_without_a_manager_nothing_happens() -> None:
    """Run by hand, the gate needs no systemd."""
    notifier = Notifier({})
    notifier.ready()
    notifier.progress(SECOND_NS)
    assert notifier.ping_every_ns == 0
