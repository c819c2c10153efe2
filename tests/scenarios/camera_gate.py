"""The real gate program over a camera that is a folder or a film, with a guard who can log in."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import segno

from drivers.opencv import cv2
from kiosk.screens.guards import set_guard
from tests.conftest import ROOT

GUARD, SECRET = "wang", "correct horse battery"
GATE = """
[site]
kiosk_id = "camera-1"
[state]
folder = "{folder}/state"
[policy]
file = "code_check"
[trust]
folder = "{folder}/trust"
[keys]
community = "{folder}/keys/community.key"
guards = "{folder}/keys/guards.toml"
[web]
port = 0
[[lane]]
name = "in"
  [lane.camera]
  source = "{source}"
  path = "{path}"
  follow = {follow}
"""

#: Everything that has a log says all it can: Python's own logging, OpenCV, the interpreter.
LOUD = "import logging, sys\nlogging.basicConfig(level=logging.DEBUG, stream=sys.stderr)\n"


def code(data: str, scale: int = 4) -> np.ndarray:
    """A code's picture in gray, with its quiet zone."""
    out = io.BytesIO()
    segno.make_qr(data, error="m").save(out, kind="png", scale=scale)
    picture = cv2.imdecode(np.frombuffer(out.getvalue(), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    return picture


class CameraGate:
    """``gatepost run`` as a process of its own; what it says goes to ``stdout`` and ``stderr`` below ``folder``."""

    def __init__(self, folder: Path, source: str, path: Path, *arguments: str) -> None:
        self.folder = folder
        for name in ("keys", "trust", "home", "site"):
            (folder / name).mkdir(exist_ok=True)
        (folder / "site/sitecustomize.py").write_text(LOUD)
        key = folder / "keys/community.key"
        key.write_bytes(bytes(range(32)))
        key.chmod(0o600)
        set_guard(folder / "keys/guards.toml", GUARD, "王师傅", SECRET)
        config = folder / "gate.toml"
        follow = "true" if source == "video" else "false"
        config.write_text(GATE.format(folder=folder, source=source, path=path, follow=follow))
        environ = {
            **os.environ,
            "PYTHONPATH": f"{folder / 'site'}:{ROOT}",
            "PYTHONDEVMODE": "1",
            "OPENCV_LOG_LEVEL": "VERBOSE",
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "home"),
        }
        with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "kiosk.cli", "run", "--config", str(config), *arguments],
                stdout=stdout,
                stderr=stderr,
                env=environ,
                cwd=folder / "home",
            )
        self.address = self._address()

    def _address(self) -> str:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            for line in (self.folder / "stdout").read_text("utf-8").splitlines():
                if '"event": "screens"' in line:
                    return str(json.loads(line)["address"])
            time.sleep(0.05)
        raise AssertionError((self.folder / "stderr").read_text("utf-8", "replace")[-2000:])

    @contextmanager
    def console(self) -> Iterator[httpx.Client]:
        """A logged-in guard's connection."""
        with httpx.Client(base_url=self.address, timeout=10, trust_env=False) as client:
            page = client.get("/guard/login").text
            token = page.split('action="/guard/login"', 1)[1].split('name="token" value="', 1)[1][:64]
            answer = client.post("/guard/login", data={"token": token, "login": GUARD, "secret": SECRET})
            assert answer.status_code == 303, answer.text[:500]
            yield client

    def stop(self) -> None:
        """End the program; it has time to put everything away."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
