"""No picture, no frame and no text of a code is ever on a disk or in a log: canaries go through the whole real gate.

Five codes (unknown, two forged, one genuine pass, one too long) and two pictures without one are shown to the gate's
own process while a guard looks through its camera. Then every byte that it left anywhere is searched.
"""

from __future__ import annotations

import base64
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from drivers.opencv import cv2
from kiosk import code_cli
from kiosk.journal import JournalReader
from kiosk.records import Kind, Stream
from tests.scenarios.camera_gate import CameraGate, code

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

CANARY = "CANARY-7F3A9C51-LARK"
UNKNOWN = f"https://example.org/health?person={CANARY}"
FORGED = [f"GC1:{CANARY}.00112233445566778899AABBCCDDEEFF", f"HC1:6BF{CANARY}$NCFOXN%TSMAHN-H"]
LONG = f"GP1:{CANARY}{'0123456789' * 40}"
PICTURE_MARKS = (b"JFIF", b"\x89PNG\r\n", b"WEBPVP8", b"Exif\x00\x00")


def needles_of(text: str) -> list[bytes]:
    """A text as it is, in other character sets, backwards, in hex, and in base64 at each of its three alignments."""
    raw = text.encode()
    forms = [raw, raw[::-1], text.lower().encode(), text.encode("utf-16-le"), text.encode("utf-16-be")]
    forms += [raw.hex().encode(), raw.hex().upper().encode(), raw.hex(" ").encode()]
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            # The first and last characters also hold bits of what stands before and after.
            forms.append(encode(b"\0" * shift + raw)[4:-4])
    forms += [base64.b32encode(raw)[:-8], base64.b85encode(raw)[5:-5]]
    return forms


def found_in(folder: Path, needles: list[bytes], spare: set[Path]) -> list[str]:
    """Where any of the needles stands, in the content or the name of a file."""
    hits = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path not in spare:
            content = path.read_bytes() + b"\n" + str(path.relative_to(folder)).encode()
            hits += [f"{path.relative_to(folder)}: {needle[:40]!r}" for needle in needles if needle in content]
    return hits


def genuine_pass(folder: Path) -> str:
    """A visitor's pass that this gate's trust folder believes."""
    (folder / "issuer").mkdir()
    (folder / "trust").mkdir()
    key, trust = str(folder / "issuer/pass.pem"), str(folder / "trust")
    runner = CliRunner()
    made = runner.invoke(code_cli.app, ["new-key", key, "--name", "Garden", "--use", "pass", "--trust", trust])
    assert made.exit_code == 0, made.output
    issued = runner.invoke(code_cli.app, ["pass", "--key", key, "--category", "visitor", "--hours", "4"])
    assert issued.exit_code == 0, issued.output
    return next(word for word in issued.output.split() if word.startswith("GP1:"))


def test_no_picture_no_frame_and_no_text_of_a_code_is_left_anywhere(tmp_path: Path) -> None:
    """Journal, roster, logs at their loudest, standard error, temporary files: all of it, in seven spellings."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    texts = [UNKNOWN, *FORGED, LONG, genuine_pass(tmp_path)]
    needles = [needle for text in [CANARY, *texts] for needle in needles_of(text)]
    for number, text in enumerate(texts):
        picture = code(text)
        cv2.imwrite(str(pictures / f"{number}.png"), picture)
        # A frame as raw bytes: rows across the middle of the code.
        needles += [picture[row].tobytes() for row in range(40, picture.shape[0] - 40, 16)]
    rng = np.random.default_rng(7)
    blank = rng.integers(90, 130, (480, 640), np.uint8)
    cv2.imwrite(str(pictures / "8.png"), blank)
    (pictures / "9.png").write_bytes((pictures / "0.png").read_bytes()[:-300] + CANARY.encode())
    needles += [blank[100].tobytes(), *PICTURE_MARKS]

    gate = CameraGate(tmp_path, "folder", pictures, "--until-idle-s", "6")
    seen = 0
    limits = Path(f"/proc/{gate.process.pid}/limits").read_text(encoding="ascii").splitlines()
    assert [line.split()[4:6] for line in limits if line.startswith("Max core file size")] == [["0", "0"]]
    try:
        with gate.console() as client:
            deadline = time.monotonic() + 90
            while gate.process.poll() is None and time.monotonic() < deadline:
                try:
                    client.get("/guard/camera/in/figures")
                    seen += client.get("/guard/camera/in/picture").content.startswith(b"\xff\xd8\xff")
                except httpx.TransportError:
                    break  # the gate has come to its end
                assert found_in(tmp_path / "state", needles, set()) == [], "while the gate runs"
                time.sleep(0.2)
        assert gate.process.wait(30) == 0
    finally:
        gate.stop()

    assert seen > 3, "the page for aiming had its pictures"
    reader = JournalReader(tmp_path / "state/journal.db")
    incarnation = next(iter(reader.positions()))[0]
    records = reader.slice(incarnation, Stream.PASSAGE, 0).records
    reader.close()
    assert sum(record.kind is Kind.PASSAGE for record in records) >= 4, "the codes did go through the gate"
    assert "passed over" not in (tmp_path / "stderr").read_text("utf-8", "replace")
    assert found_in(tmp_path, needles, set(pictures.iterdir())) == []
    assert {path.name for path in pictures.iterdir()} == {*(f"{n}.png" for n in (0, 1, 2, 3, 4, 8, 9))}


def test_the_search_itself_finds_every_spelling(tmp_path: Path) -> None:
    """A search that finds nothing must be able to: each form is found wherever it begins."""
    for number, needle in enumerate(needles_of(CANARY)):
        (tmp_path / f"f{number}").write_bytes(b"x" * 17 + needle + b"y" * 5)
    for shift in range(3):
        (tmp_path / f"b{shift}").write_bytes(base64.b64encode(b"a" * shift + CANARY.encode() + b"tail"))
    (tmp_path / f"named-{CANARY}").write_bytes(b"")
    hits = {hit.split(":")[0] for hit in found_in(tmp_path, needles_of(CANARY), set())}
    assert hits == {path.name for path in tmp_path.iterdir()}
