"""The decoder's child process is killed and stopped under the running gate: back at once, counted, written down."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from drivers.opencv import cv2
from kiosk.journal import JournalReader
from kiosk.records import Kind, PayloadClass, Stream
from tests.canary import Canary
from tests.scenarios.camera_gate import CameraGate, code

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def unreadable(number: int) -> np.ndarray:
    """A code whose finders are whole and whose modules are dice: seen and never read, so that every engine is asked."""
    rng = np.random.default_rng(number)
    picture = code("HC1:" + "6BFOXN" * 30, scale=4)
    side = picture.shape[0]
    dice = rng.integers(0, 2, (side // 4, side // 4), np.uint8).repeat(4, 0).repeat(4, 1) * 255
    spoilt = np.zeros((side, side), bool)
    spoilt[16:-16, 16:-16] = True  # the quiet zone stays
    for rows, columns in ((slice(48), slice(48)), (slice(48), slice(-48, None)), (slice(-48, None), slice(48))):
        spoilt[rows, columns] = False  # so do the finders
    picture = np.where(spoilt, dice, picture)
    frame = np.full((480, 640), 110, np.uint8)
    frame[40 : 40 + side, 100 : 100 + side] = picture
    return np.clip(frame + rng.normal(0, 5, frame.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[CameraGate]:
    film = tmp_path / "lane.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 15.0, (640, 480), False)
    for number in range(45):
        writer.write(unreadable(number))
    writer.release()
    gate = CameraGate(tmp_path, "video", film)
    yield gate
    gate.stop()


def child_of(gate: CameraGate) -> int | None:
    """The process id of the decoder's child, None while there is none."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            parent = re.search(r"^PPid:\t(\d+)$", status.read_text(), re.MULTILINE)
            command = (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if parent and int(parent[1]) == gate.process.pid and b"qr_worker" in command:
            return int(status.parent.name)
    return None


def soon(condition: Callable[[], bool], timeout_s: float) -> float:
    """Seconds until it held; fails when it does not."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout_s
        time.sleep(0.01)
    return time.monotonic() - began


def restarts(client: httpx.Client) -> int:
    """What the page for aiming says."""
    page = client.get("/guard/camera/in/figures").text
    found = re.search(r"<dt>解码器重启</dt><dd>(\d+)</dd>", page)
    assert found, page
    return int(found[1])


def test_a_killed_and_a_stopped_child_are_replaced_within_a_second_and_counted(gate: CameraGate) -> None:
    """The gate itself never stands still; page, log and journal say how often."""
    soon(lambda: child_of(gate) is not None, 30)
    with gate.console() as client:
        assert restarts(client) == 0
        for number, what in ((1, signal.SIGKILL), (2, signal.SIGSTOP)):
            time.sleep(1.0)  # the child has begun to serve: only then is it asked, and can be found late
            pid = child_of(gate)
            assert pid is not None
            with Canary() as canary:
                os.kill(pid, what)
                # A stopped child is found out by the next question, half a second after it; then as for a dead one.
                late_s = soon(lambda old=pid: child_of(gate) not in (None, old), 15)
            assert late_s < (1.0 if what is signal.SIGKILL else 3.0) + canary.overslept_s
            soon(lambda count=number: restarts(client) == count, 10)
            assert gate.process.poll() is None
        assert b"device_crashed" in (gate.folder / "stdout").read_bytes()
    gate.stop()
    reader = JournalReader(gate.folder / "state/journal.db")
    incarnation = next(iter(reader.positions()))[0]
    records = [r for r in reader.slice(incarnation, Stream.DIAGNOSTIC, 0).records if r.kind is Kind.DEVICE]
    reader.close()
    details = [str(record.payloads[PayloadClass.FACTS].body["detail"]) for record in records]
    assert sum("child died 1 times" in detail for detail in details) == 1, details
