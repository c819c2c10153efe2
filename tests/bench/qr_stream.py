"""Streams: how long from "readable by eye" to a text, how much is never read, and what it costs to look.

    python -m tests.bench.qr_stream

Each sequence is a webcam at 15 frames a second: the empty lane, a hand brings a phone or sheet with a dense code in
from the side (moving, blurred), tilts it, and holds it with a tremor; some under glare, moire or low light. The
clock is virtual: a frame that arrives while the reader is busy is dropped, as on the gate. *Readable* is the first
frame in which the code lies whole in the picture, two pixels a module, tilted under 50 degrees, blurred by less than
0.6 of a module. Beside ours, zxing-cpp alone on every frame.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from drivers import qr
from drivers.camera import Frame
from drivers.qr_stream import StreamReader
from tests.bench import qr_pictures
from tests.bench.qr_pictures import Shot

FPS = 15
SECONDS = 3.2
CONDITIONS = ("plain", "glare", "moire", "low light")


@dataclass
class Sequence:
    """Frames, the text, and the index of the first frame that a person could read."""

    frames: list[np.ndarray]
    text: str
    readable: int | None


def sequence(size: tuple[int, int], condition: str, seed: int) -> Sequence:
    """One visitor, by seed."""
    rng = np.random.default_rng([seed, CONDITIONS.index(condition)])
    text = qr_pictures.payload(rng, int(rng.integers(250, 450)))
    sheet = qr_pictures.sheet_of(qr_pictures.code_texture(text, "l"), text, 0.06, rng)
    modules = sheet.texture.shape[0] / 8
    fill, side = rng.uniform(0.72, 0.92), rng.choice([-1, 1])
    tilt, lean = rng.uniform(0.3, 0.9), rng.uniform(-0.35, 0.35)
    arrive_s, settle_s = rng.uniform(0.7, 1.1), rng.uniform(0.5, 0.9)
    tremor = rng.uniform(0.001, 0.006)
    empty = qr_pictures.Sheet(np.full((8, 8), 0.5, np.float32), [], [])
    frames: list[np.ndarray] = []
    readable: int | None = None
    for i in range(int(SECONDS * FPS)):
        t = i / FPS - 0.5
        near = min(1.0, max(0.0, t / arrive_s))
        ease = near * near * (3 - 2 * near)
        hold = min(1.0, max(0.0, (t - arrive_s) / settle_s))
        speed = 6 * near * (1 - near) / arrive_s  # of the ease, a second
        module_px = size[1] * fill * (0.55 + 0.45 * ease) / modules
        shot = Shot(
            size=size,
            fill=fill * (0.55 + 0.45 * ease),
            yaw=tilt * (1 - hold) * side + 0.05 * math.sin(7 * t),
            pitch=0.25 * math.sin(2.1 * t + seed) * (1 - 0.6 * hold),
            roll=lean + 0.15 * (1 - hold),
            shift=(side * 1.6 * (1 - ease) + tremor * math.sin(23 * t), 0.1 * (1 - ease) + tremor * math.sin(19 * t)),
            motion_px=0.35 * speed * size[1] / FPS + 40 * tremor,
            motion_angle=0.2,
            defocus_px=module_px * (0.9 * (1 - hold) + 0.12),
            supersample=1,
        )
        if condition == "glare":
            shot.overlays = [qr_pictures.glare]
        elif condition == "moire":
            shot.overlays, shot.noise = [qr_pictures.bands], 0.025
        elif condition == "low light":
            shot.light, shot.noise, shot.ink = 0.18, 0.03, 0.25
        blur = (shot.defocus_px + 0.6 * shot.motion_px) / module_px
        if readable is None and near >= 1 and module_px >= 2 and blur < 0.6 and abs(shot.yaw) < 0.87:
            readable = i
        steady = np.random.default_rng([seed, 7])  # light and backdrop stay, only the noise changes
        steady_glare = np.random.default_rng([seed, 8])
        shot.overlays = [_fixed(overlay, steady_glare) for overlay in shot.overlays]
        noise = np.random.default_rng([seed, i])
        frames.append(qr_pictures.take(sheet if t >= 0 else empty, shot, steady, noise))
    return Sequence(frames, text, readable)


def _fixed(overlay: Callable[..., np.ndarray], rng: np.random.Generator) -> Callable[..., np.ndarray]:
    return lambda picture, uv, _: overlay(picture, uv, rng)


Taker = Callable[[Frame], str | None]


def gatepost() -> Taker:
    """The stream reader as the camera runs it."""
    reader = qr.QrReader()
    if reader.child is not None:
        reader.child.wait_ready(20)
    stream = [StreamReader(reader)]

    def take(frame: Frame) -> str | None:
        if frame.number == 1:
            stream[0] = StreamReader(reader)
        text = stream[0].take(frame)
        return text.text if text else None

    return take


def zxing_alone() -> Taker:
    """zxing-cpp on each frame."""
    import zxingcpp

    def take(frame: Frame) -> str | None:
        found = zxingcpp.read_barcodes(frame.gray, formats=zxingcpp.BarcodeFormat.QRCode)
        return found[0].text if found else None

    return take


def play(frames: Iterator[np.ndarray] | list[np.ndarray], take: Taker) -> Iterator[tuple[int, float, str]]:
    """(frame, second at which it came out, text) of each text, with the time that the reading took."""
    free_s = 0.0
    for i, gray in enumerate(frames):
        at_s = i / FPS
        if at_s < free_s:
            continue
        began = time.thread_time()  # as on a machine that does nothing else
        text = take(Frame(gray, int(at_s * 1e9), i + 1))
        free_s = at_s + time.thread_time() - began
        if text is not None:
            yield i, free_s, text


def idle_cost(size: tuple[int, int], take: Taker, seconds: int = 20) -> float:
    """Percent of one core, processor time, for an empty lane with a sensor's noise."""
    rng = np.random.default_rng(5)
    scene = (qr_pictures.backdrop(size, rng) * 200).astype(np.float32)
    frames = [np.clip(scene + rng.normal(0, 3, scene.shape), 0, 255).astype(np.uint8) for _ in range(8)]
    take(Frame(frames[0], 0, 1))
    began = time.process_time()
    for i in range(seconds * FPS):
        take(Frame(frames[i % 8], int((i + 1) / FPS * 1e9), i + 2))
    return 100 * (time.process_time() - began) / seconds


def main() -> None:
    """See the module's description."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=3, help="sequences of each condition and size")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    readers = {"gatepost": gatepost(), "zxing-cpp": zxing_alone()}
    for size in ((640, 480), (1280, 720)):
        delays: dict[str, list[float]] = {name: [] for name in readers}
        never = dict.fromkeys(readers, 0)
        wrong = dict.fromkeys(readers, 0)
        active = dict.fromkeys(readers, 0.0)
        shown = 0
        for condition in CONDITIONS:
            for seed in range(options.seed, options.seed + options.count):
                film = sequence(size, condition, seed)
                if film.readable is None:
                    continue
                shown += 1
                for name, take in readers.items():
                    began = time.process_time()
                    texts = list(play(film.frames, take))
                    active[name] += time.process_time() - began
                    wrong[name] += any(text != film.text for _, _, text in texts)
                    right = [at_s for _, at_s, text in texts if text == film.text]
                    if right:
                        delays[name].append(max(0.0, 1e3 * (right[0] - film.readable / FPS)))
                    else:
                        never[name] += 1
        for name, take in readers.items():
            times = sorted(delays[name]) or [math.nan]
            p95 = times[min(len(times) - 1, int(0.95 * len(times)))]
            cost = f"{100 * active[name] / shown / SECONDS:.1f} %, idle {idle_cost(size, take):.1f} % of a core"
            print(
                f"{size[0]}x{size[1]} {name:10} {shown} sequences: readable to text "
                f"p50 {statistics.median(times):.0f} ms, p95 {p95:.0f} ms; never read {never[name]}, "
                f"wrong {wrong[name]}; processor active {cost}"
            )


if __name__ == "__main__":
    main()
