"""How fast the sensor decoders read: ``python -m tests.bench.parsers``.

Each decoder reads a minute's worth of frames in reads of 4096 bytes (as the port delivers at most) and in reads of one
frame (as it delivers mostly), and random bytes. Beside each figure stands the physical limit of the line: what
arrives at most at the sensor's own baud rate. Times are of the processor, so that a busy machine does not count.
The goal is 2 MB/s; for the distance sensor, whose every four bytes are an event, 1 MB/s.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from typing import Any

from drivers.thermometers import aa55_kiosk, dyp_distance, gy_614v3, gy_mcu90615, gy_mcu90640

GOAL_MB_S = 2.0
GOALS_MB_S = {"dyp_distance": 1.0}
_STREAM_BYTES = 400_000

CASES: dict[str, tuple[Callable[[], Any], Callable[[random.Random], bytes], int]] = {
    "gy_mcu90615": (
        gy_mcu90615.Decoder,
        lambda draw: gy_mcu90615.encode(draw.uniform(20, 40), draw.uniform(15, 35)),
        115200,
    ),
    "gy_614v3": (
        gy_614v3.Decoder,
        lambda draw: gy_614v3.encode(draw.uniform(20, 40), draw.uniform(15, 35), draw.uniform(35, 38)),
        115200,
    ),
    "gy_mcu90640": (
        gy_mcu90640.Decoder,
        lambda draw: gy_mcu90640.encode(tuple(draw.randrange(2000, 3700) for _ in range(768)), 25.0),
        460800,
    ),
    "aa55_kiosk": (
        lambda: aa55_kiosk.Decoder(aa55_kiosk.Encoding.BCD),
        lambda draw: aa55_kiosk.encode(draw.uniform(34, 39), aa55_kiosk.Encoding.BCD),
        115200,
    ),
    "dyp_distance": (dyp_distance.Decoder, lambda draw: dyp_distance.encode(draw.randrange(30, 4000)), 9600),
}


def speed_mb_s(decoder: Any, stream: bytes, read_bytes: int) -> float:
    """Megabytes a second, the best of three."""
    best_s = float("inf")
    for _ in range(3):
        fresh = decoder()
        begun = time.process_time()
        for index in range(0, len(stream), read_bytes):
            fresh.feed(stream[index : index + read_bytes], 0)
        best_s = min(best_s, time.process_time() - begun)
    return len(stream) / best_s / 1e6


def main() -> int:
    """Print the table; 1 when a decoder misses the goal in reads of 4096 bytes."""
    draw = random.Random(6)
    slow = []
    print(f"{'decoder':14} {'4096 B reads':>13} {'frame reads':>12} {'noise':>8} {'line':>10}   MB/s")
    for name, (decoder, frame, baud) in CASES.items():
        frames = [frame(draw) for _ in range(200)]
        stream = b"".join(frames) * (_STREAM_BYTES // len(b"".join(frames)) + 1)
        whole = speed_mb_s(decoder, stream, 4096)
        single = speed_mb_s(decoder, stream, len(frames[0]))
        noise = speed_mb_s(decoder, draw.randbytes(_STREAM_BYTES), 4096)
        print(f"{name:14} {whole:13.1f} {single:12.1f} {noise:8.1f} {baud / 10 / 1e6:10.4f}")
        if whole < GOALS_MB_S.get(name, GOAL_MB_S):
            slow.append(name)
    if slow:
        print(f"below the goal: {', '.join(slow)}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
