"""Makes the pictures of ``docs/screens.md`` from the preview's scenes.

    python -m tests.browser.screenshots

Each picture is written with its 256 commonest colours as a palette (PNG, colour type 3) and stays under 200 kB.
"""

from __future__ import annotations

import shutil
import struct
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import cv2
import numpy as np
from playwright.sync_api import sync_playwright

from kiosk.clock import SystemClock
from kiosk.screens.app import create_app
from kiosk.screens.guards import Guard, GuardBook, hash_secret
from kiosk.screens.hub import Hub
from kiosk.screens.preview import PreviewGate, busy_view, kiosk_view, scenes
from kiosk.screens.server import ScreensServer
from kiosk.screens.tablet_door import TabletDoor
from kiosk.tablet_book import TabletBook
from tests.browser.conftest import HASHER, SECRET
from tests.chromium import FLAGS

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "img"
MAX_BYTES = 200_000
RESIDENT = {"idle": "idle", "pending": "measuring", "admit": "admit", "deny": "code_expired", "guard": "fever"}


def indexed_png(picture: bytes) -> bytes:
    """A screenshot as a PNG with a palette: its 256 commonest colours exactly, the rest by the nearest of them."""
    pixels = cv2.cvtColor(cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    colours, index, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True, return_counts=True)
    palette = colours[np.argsort(counts)[::-1][:256]].astype(int)
    nearest = np.array([np.abs(palette - colour).sum(axis=1).argmin() for colour in colours.astype(int)], np.uint8)
    height, width, _ = pixels.shape
    lines = np.hstack([np.zeros((height, 1), np.uint8), nearest[index].reshape(height, width)])

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
        + chunk(b"PLTE", palette.astype(np.uint8).tobytes())
        + chunk(b"IDAT", zlib.compress(lines.tobytes(), 9))
        + chunk(b"IEND", b"")
    )


@contextmanager
def pairing_page() -> Iterator[str]:
    """The address of a tablet's console, here on loopback without TLS, which changes nothing of the picture."""
    hub = Hub()
    hub.publish(busy_view(1))
    with tempfile.TemporaryDirectory() as folder:
        door = TabletDoor(TabletBook(Path(folder)), SystemClock(None).now)
        server = ScreensServer(create_app(hub, PreviewGate(hub), guards=GuardBook(), door=door))
        server.start()
        yield server.address
        server.stop()


def main() -> int:
    """Write the pictures; 1 when one is too large."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("screenshots: no chromium here")
        return 1
    hub = Hub()
    guards = GuardBook({"wang": Guard("wang", "王师傅", hash_secret(SECRET, HASHER))}, hasher=HASHER)
    app = create_app(
        hub,
        PreviewGate(hub),
        guards=guards,
        site_code_text="https://example.org/place/east-gate",
        zone=ZoneInfo("Asia/Shanghai"),
    )
    server = ScreensServer(app)
    hub.publish(busy_view(1))
    server.start()
    made: list[Path] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.emulate_media(reduced_motion="reduce")

        def keep(name: str) -> None:
            target = FOLDER / f"screen-{name}.png"
            target.write_bytes(indexed_png(page.screenshot()))
            made.append(target)

        def shoot(name: str, path: str, size: tuple[int, int] = (1280, 800)) -> None:
            page.set_viewport_size({"width": size[0], "height": size[1]})
            page.goto(server.address + path)
            keep(name)

        for name, scene in RESIDENT.items():
            hub.publish(kiosk_view(scenes()[scene]))
            shoot(f"resident-{name}", "/lane/east-in", (800, 480))
        page.evaluate("document.documentElement.dataset.live = 'no'")
        keep("resident-not-live")
        shoot("locked", "/guard")
        page.fill("[name=login]", "wang")
        page.fill("[name=secret]", SECRET)
        page.press("[name=secret]", "Enter")
        page.wait_for_selector(".lanes")
        for lanes in (1, 4):
            page.goto("about:blank")
            hub.publish(busy_view(lanes))
            shoot(f"guard-{lanes}-zh", "/guard")
        page.click(".more a[href$=visitor]")
        page.wait_for_selector("dialog[open]")
        keep("guard-visitor")
        page.goto(server.address + "/guard?lang=en")
        page.goto("about:blank")
        view = busy_view(4, 5)
        hub.publish(replace(view, at_us=view.at_us + 720_000_000, backlog=318, alarms=("stranded",)))
        shoot("guard-4-en", "/guard")
        shoot("place-code", "/place-code", (800, 800))
        page.set_viewport_size({"width": 800, "height": 480})
        with pairing_page() as address:
            page.goto(address)
            keep("tablet-pair")
        browser.close()
    server.stop()
    large = [path.name for path in made if path.stat().st_size > MAX_BYTES]
    print(f"{len(made)} pictures in {FOLDER}" + (f"; too large: {', '.join(large)}" if large else ""))
    return 1 if large else 0


if __name__ == "__main__":
    sys.exit(main())
