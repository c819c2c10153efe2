"""Two people hold their phones before the real gate at once: two passages, the nearer one's first, and no third."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.opencv import cv2
from kiosk.journal import JournalReader
from kiosk.records import Kind, PayloadClass, Record, Stream
from tests.integration.test_phones_in_view import FPS, Phone, view
from tests.scenarios.camera_gate import CameraGate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

NEAR = Phone("GC1:NEAR-AND-FORGED", 220, side=230)
FAR = Phone("GC1:FAR-AND-FORGED", 500, y=180, side=110)


def film(path: Path, scenes: list[tuple[float, Callable[[float], list[Phone]]]]) -> Path:
    """Scene after scene: its seconds, and the phones in view at each instant of it."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (640, 480), False)
    number = 0
    for seconds, phones in scenes:
        for frame in range(round(seconds * FPS)):
            number += 1
            writer.write(view(number, phones(frame / FPS)))
    writer.release()
    return path


def passages(gate: CameraGate) -> list[Record]:
    """The passages that the journal holds so far."""
    reader = JournalReader(gate.folder / "state/journal.db")
    try:
        incarnation = next(iter(reader.positions()), ("", ""))[0]
        records = reader.slice(incarnation, Stream.PASSAGE, 0).records if incarnation else []
    finally:
        reader.close()
    return [record for record in records if record.kind is Kind.PASSAGE]


def test_two_phones_held_together_are_two_passages(tmp_path: Path) -> None:
    """Held for five seconds, then one goes, then the other; the nearer one comes back later and counts anew."""
    path = film(
        tmp_path / "lane.avi",
        [
            (1.0, lambda t: []),
            (5.0, lambda t: [FAR, NEAR]),
            (1.0, lambda t: [FAR]),
            (4.0, lambda t: []),
            (2.0, lambda t: [NEAR]),
            (6.0, lambda t: []),
        ],
    )
    gate = CameraGate(tmp_path, "video", path)
    began = time.monotonic()
    try:
        while len(passages(gate)) < 3 and time.monotonic() - began < 40:
            time.sleep(0.25)
        time.sleep(1.0)  # a fourth one, which must not come, would be here by then
        found = passages(gate)
    finally:
        gate.stop()
    shown = [record.payloads[PayloadClass.HEALTH].body["code"]["evidence_hash"] for record in found]
    assert shown == [hashlib.sha256(phone.text.encode()).hexdigest() for phone in (NEAR, FAR, NEAR)]
    first, second, again = (record.at_us / 1e6 for record in found)
    assert second - first >= 1.9, "the first person's verdict stood long enough to be read"
    assert again - first > 7
