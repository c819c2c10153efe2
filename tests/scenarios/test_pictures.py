"""Third-party pictures of health codes go through the whole gate: camera path, decision, journal."""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from shutil import copy

import pytest

from config.settings import load_settings
from drivers.qr_stream import QrCamera
from kiosk.clock import Instant
from kiosk.journal import JournalReader
from kiosk.reasons import ClockTrust
from kiosk.records import Kind, PayloadClass, Stream
from kiosk.run import build

pytestmark = [pytest.mark.data, pytest.mark.slow]

GATE = """
[site]
kiosk_id = "pictures-1"
[state]
folder = "{state}"
[policy]
file = "code_check"
[trust]
folder = "{trust}"
[keys]
community = "{key}"
[web]
port = 0
[[lane]]
name = "in"
  [lane.camera]
  source = "folder"
  path = "{pictures}"
"""


#: Genuine certificates of a positive test: valid, and therefore red at a gate.
GENUINE_AND_RED = {"s-0500"}


class PictureClock:
    """Tells the time that the picture before the camera was made for; the monotonic clock is the machine's."""

    def __init__(self, times: dict[str, datetime]) -> None:
        self._times = times
        self.camera: QrCamera | None = None

    def now(self) -> Instant:
        frame = self.camera.latest_frame() if self.camera else None
        at = self._times[frame.name] if frame else min(self._times.values())
        return Instant(int(at.timestamp() * 1_000_000), ClockTrust.SYNCED, "boot", time.monotonic_ns())


def pictured(test_data: Path, trust: str) -> list[dict[str, str]]:
    """The manifest's lines that have a picture and this trust folder."""
    lines = (test_data / "healthcodes/manifest.jsonl").read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line]
    return [row for row in rows if row.get("image") and row["trust"] == trust]


def judge(folder: Path, pictures: Path, trust: Path, clock: PictureClock, count: int) -> list[tuple[str, str]]:
    """State and reason of the code check of each picture, in order: by the whole gate, from its journal."""
    key = folder / "community.key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o600)
    config = folder / "gate.toml"
    config.write_text(GATE.format(state=folder / "state", trust=trust, key=key, pictures=pictures))
    settings = load_settings(config, {}).settings
    with ExitStack() as stack:
        gate = build(settings, stack, clock=clock)
        clock.camera = gate.rack.lanes["in"].camera
        thread = threading.Thread(target=gate.run, name="gate")
        thread.start()
        stack.callback(thread.join, 10)
        stack.callback(gate.stop)
        return wait_for_passages(folder / "state/journal.db", count)


def wait_for_passages(journal: Path, count: int) -> list[tuple[str, str]]:
    """The code checks of ``count`` passages; fails when they do not come within a minute."""
    reader = JournalReader(journal)
    found: list[tuple[str, str]] = []
    after, deadline = 0, time.monotonic() + 60
    try:
        incarnation = next(iter(reader.positions()))[0]
        while len(found) < count and time.monotonic() < deadline:
            for record in reader.slice(incarnation, Stream.PASSAGE, after).records:
                after = record.seq
                if record.kind is Kind.PASSAGE:
                    checks = record.payloads[PayloadClass.FACTS].body["checks"]
                    check = next(check for check in checks if check["name"] == "health_code")
                    found.append((check["state"], check["reason"]))
            time.sleep(0.02)
    finally:
        reader.close()
    assert len(found) == count
    return found


@pytest.mark.parametrize(("trust", "count", "reds"), [("eu-acc", 142, GENUINE_AND_RED), ("dcc-testdata", 1, set())])
def test_every_picture_is_judged_at_its_own_time(
    tmp_path: Path, test_data: Path, trust: str, count: int, reds: set[str]
) -> None:
    """Valid codes pass the code check; none with a revocation, an unknown key or a wrong date does."""
    cases = pictured(test_data, f"trust/{trust}")
    assert len(cases) == count
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    times: dict[str, datetime] = {}
    for number, case in enumerate(cases):
        name = f"{number:04d}.png"
        copy(test_data / "healthcodes" / case["image"], pictures / name)
        times[name] = datetime.fromisoformat(case["now"])
    checks = judge(tmp_path, pictures, test_data / "healthcodes/trust" / trust, PictureClock(times), len(cases))
    wrong = [
        f"{case['id']} ({case['category']}): {state} {reason}"
        for case, (state, reason) in zip(cases, checks, strict=True)
        if (state == "pass") != (case["expected"] == "valid" and case["id"] not in GENUINE_AND_RED)
    ]
    assert wrong == []
    red = {case["id"] for case, check in zip(cases, checks, strict=True) if check == ("fail", "code_red")}
    assert red == reds
