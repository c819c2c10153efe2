"""How many codes are read, how fast, and what is read that is not there; every reader in the same run.

    python -m tests.bench.qr --data DIR            a folder in the layout of data/qr (manifest.csv, images)
    python -m tests.bench.qr --generate judge      pictures made by seed (tests.bench.qr_pictures)

One thread; files shuffled by ``--seed``, and each file goes through all readers, in an order that changes with the
file, before the next one. A picture's share is the part of its texts that were read; a category's rate is the mean
share of its pictures, the macro rate the mean of the categories. Times are processor time of one call on gray pixels,
that of Gatepost's decoder child included (``--wall``: by the clock on the wall, on a quiet machine).
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from drivers import qr
from drivers.camera import read_picture
from drivers.opencv import cv2
from tests.bench import qr_pictures


@dataclass
class Reader:
    """``read`` gives the texts in gray pixels; ``helper_ns`` the processor time of processes that help it."""

    read: Callable[[np.ndarray], list[str]]
    helper_ns: Callable[[], int] = lambda: 0


NOCODE = "nocode"


def normal(text: str) -> str:
    """Line ends and outer white space do not count, as in the ground truth."""
    return text.replace("\r\n", "\n").strip()


def gatepost(budget_s: float) -> Reader:
    """Gatepost's decode, its child process started."""
    reader = qr.QrReader()
    if reader.child is not None:
        reader.child.wait_ready(20)
    child = reader.child

    def helper_ns() -> int:
        try:
            return int(Path(f"/proc/{child.pid}/schedstat").read_text(encoding="ascii").split()[0]) if child else 0
        except OSError:
            return 0

    return Reader(lambda gray: [text.text for text in reader.decode(gray, budget_s)], helper_ns)


def zxing_alone() -> Reader:
    """zxing-cpp for QR codes with its own defaults."""
    import zxingcpp

    options: dict[str, Any] = {"formats": zxingcpp.BarcodeFormat.QRCode, "text_mode": zxingcpp.TextMode.Plain}
    return Reader(lambda gray: [qr.text_of(s.bytes, s.text) for s in zxingcpp.read_barcodes(gray, **options)])


def pyzbar_alone() -> Reader:
    """pyzbar in this process, QR codes only, as its readme shows it."""
    from pyzbar import pyzbar

    symbols = [pyzbar.ZBarSymbol.QRCODE]
    return Reader(lambda gray: [qr.text_of(s.data) for s in pyzbar.decode(gray, symbols=symbols)])


def opencv_alone() -> Reader:
    """OpenCV's QRCodeDetector, several codes."""
    detector = cv2.QRCodeDetector()

    def read(gray: np.ndarray) -> list[str]:
        try:
            found, texts, _, _ = detector.detectAndDecodeMulti(gray)
        except (cv2.error, UnicodeDecodeError):
            return []
        return [text for text in texts if text] if found else []

    return Reader(read)


@dataclass
class Score:
    """What one reader did."""

    shares: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    wrong: list[str] = field(default_factory=list)
    with_code_ms: list[float] = field(default_factory=list)
    no_code_ms: list[float] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def rate(self, category: str) -> float:
        """Percent."""
        return 100 * statistics.fmean(self.shares[category])

    @property
    def macro(self) -> float:
        """Percent: the mean of the categories."""
        return statistics.fmean(self.rate(category) for category in self.shares)


def load(folder: Path) -> list[dict[str, str]]:
    """The manifest's rows."""
    csv.field_size_limit(10_000_000)
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def run(
    folder: Path, readers: dict[str, Reader], seed: int, limit: int | None = None, wall: bool = False
) -> dict[str, Score]:
    """Every reader over every picture."""
    rows = load(folder)
    dice = random.Random(seed)
    dice.shuffle(rows)
    scores = {name: Score() for name in readers}
    for reader in readers.values():  # first calls load tables
        reader.read(np.full((200, 200), 255, np.uint8))
    for row in rows[:limit]:
        gray = read_picture(folder / row["file"])
        expected = {normal(text) for text in json.loads(row["expected_text"])}
        order = list(readers)
        dice.shuffle(order)
        for name in order:
            reader = readers[name]

            def clock(reader: Reader = reader) -> int:
                return time.perf_counter_ns() if wall else time.thread_time_ns() + reader.helper_ns()

            began_ns = clock()
            found = reader.read(gray)
            ms = (clock() - began_ns) / 1e6
            texts = {normal(text) for text in found}
            score = scores[name]
            (score.with_code_ms if expected else score.no_code_ms).append(ms)
            if expected:
                share = len(texts & expected) / len(expected)
                score.shares[row["category"]].append(share)
                if share < 1:
                    score.missed.append(row["file"])
            if texts - expected and row["complete"] == "1":
                score.wrong.append(row["file"])
    return scores


def _p95(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(0.95 * len(values)))] if values else float("nan")


def report(scores: dict[str, Score]) -> str:
    """The table."""
    categories = sorted(next(iter(scores.values())).shares)
    head = f"{'':14}{'macro':>7}" + "".join(f"{category[:10]:>11}" for category in categories)
    head += f"{'wrong':>7}{'code ms med/p95':>18}{'no code med/p95':>18}"
    lines = [head]
    for name, score in scores.items():
        line = f"{name:14}{score.macro:7.1f}" + "".join(f"{score.rate(category):11.1f}" for category in categories)
        for times in (score.with_code_ms, score.no_code_ms):
            median = statistics.median(times) if times else float("nan")
            cell = f"{median:.1f} / {_p95(times):.1f}"
            if times is score.with_code_ms:
                line += f"{len(score.wrong):7d}"
            line += f"{cell:>18}"
        lines.append(line)
    ours, zbar = scores.get("gatepost"), scores.get("pyzbar")
    if ours is not None and zbar is not None:
        gain = ours.macro / max(zbar.macro, 0.1)
        pace = statistics.median(zbar.with_code_ms) / statistics.median(ours.with_code_ms)
        lines.append(f"gatepost reads {gain:.2f} x pyzbar's macro rate, at 1/{pace:.1f} of its median time")
    return "\n".join(lines)


def shortfalls(scores: dict[str, Score]) -> list[str]:
    """Where Gatepost reads a text that is not there, or less than zxing-cpp alone in any category."""
    ours, alone = scores.get("gatepost"), scores.get("zxing-cpp")
    found = [] if ours is None else [f"gatepost: wrong text in {file}" for file in ours.wrong]
    if ours is not None and alone is not None:
        behind = [category for category in ours.shares if ours.rate(category) < alone.rate(category) - 1e-6]
        found += [f"gatepost reads less than zxing-cpp alone in {category}" for category in behind]
    return found


def main() -> int:
    """See the module's description; 1 when Gatepost falls short (times, which a busy machine bends, do not count)."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path, help="a folder with manifest.csv and images")
    what.add_argument("--generate", choices=["tune", "judge"], help="make the pictures by seed")
    parser.add_argument("--count", type=int, default=10, help="generated pictures of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--budget-ms", type=float, default=1e3 * qr.DEFAULT_BUDGET_S)
    parser.add_argument("--wall", action="store_true", help="time by the clock on the wall")
    parser.add_argument("--only", nargs="*", default=None, help="readers by name")
    parser.add_argument("--missed", action="store_true", help="list what gatepost did not read")
    options = parser.parse_args()
    makers: dict[str, Callable[[], Reader]] = {
        "gatepost": lambda: gatepost(options.budget_ms / 1e3),
        "zxing-cpp": zxing_alone,
        "pyzbar": pyzbar_alone,
        "opencv": opencv_alone,
    }
    readers = {name: make() for name, make in makers.items() if options.only is None or name in options.only}
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.data
        if folder is None:
            folder = Path(scratch)
            left_out = qr_pictures.write(folder, options.generate, options.count, list(qr_pictures.KINDS))
            print("left out as readable by nobody:", *(f"{kind} {n}" for kind, n in left_out.items()))
        scores = run(folder, readers, options.seed, options.limit, options.wall)
    print(report(scores))
    for name, score in scores.items():
        if score.wrong:
            print(f"{name}: wrong texts in {', '.join(sorted(score.wrong))}")
    if options.missed and "gatepost" in scores:
        print("missed:", *sorted(scores["gatepost"].missed))
    short = shortfalls(scores)
    for each in short:
        print(each)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
