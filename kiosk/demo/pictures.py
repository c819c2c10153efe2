"""The gate on a folder of pictures: the real program reads health codes through the camera path, decides, journals.

``gatepost demo --pictures FOLDER --trust FOLDER`` starts central, gate and sync as the separate programs they are,
under the shipped policy ``code_check``, shows every picture to the camera until it is decided, and compares the
gate's journal with what the central has stored. It is meant for trying out a trust folder, and for a first look.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from config.errors import ConfigError
from drivers.camera import PICTURE_SUFFIXES
from kiosk.demo.house import House
from kiosk.demo.sync_state import backlog
from kiosk.journal import verify
from kiosk.records import PayloadClass, Record

QUIET_S = 6.0
"""No new verdict for so long means that the folder has been gone through."""


class PicturesHouse(House):
    """One lane whose camera is a folder of pictures. ``starts_at`` judges them at another time than now."""

    def __init__(self, folder: Path, pictures: Path, trust: Path, *, starts_at: datetime | None = None) -> None:
        super().__init__(folder)
        self._pictures = pictures
        self._trust = trust
        self._starts_at = starts_at
        for name, place in (("--pictures", pictures), ("--trust", trust)):
            if not place.is_dir():
                raise ConfigError(name, seen=str(place), expected="a folder")

    def gate_toml(self) -> str:
        """The policy that looks at codes only, the trust folder, the camera."""
        start = f"[simulation]\nstart_at = {self._starts_at.isoformat()}\n" if self._starts_at else ""
        return f"""[policy]
file = "code_check"
[trust]
folder = "{self._trust}"
{start}[[lane]]
name = "in"
  [lane.camera]
  source = "folder"
  path = "{self._pictures}"
"""

    def count(self) -> int:
        """How many pictures there are."""
        return sum(1 for file in self._pictures.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES)

    def wait_until_quiet(self, timeout_s: float) -> list[Record]:
        """The passages, once no further verdict has come for six seconds (or ``timeout_s`` are over)."""
        deadline = time.monotonic() + timeout_s
        seen, since = -1, time.monotonic()
        while time.monotonic() < deadline and time.monotonic() - since < QUIET_S:
            now = len(self.passage_records())
            if now != seen:
                seen, since = now, time.monotonic()
            time.sleep(0.2)
        return self.passage_records()


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturesSummary:
    """What became of a folder of pictures."""

    pictures: int
    decided: int
    by_reason: Counter[str]
    stored: int
    lost: int
    chain_ok: bool

    @property
    def good(self) -> bool:
        """Every verdict at the central once, the chain whole."""
        return self.lost == 0 and self.stored == self.decided and self.chain_ok


def run_pictures(house: PicturesHouse, *, timeout_s: float = 600.0) -> PicturesSummary:
    """Prepare and start the house, wait for the folder's end and for sync, and add up."""
    house.prepare()
    house.start()
    records = house.wait_until_quiet(timeout_s)
    deadline = time.monotonic() + 30
    while backlog(house) and time.monotonic() < deadline:
        time.sleep(0.1)
    exported = {(str(row["incarnation"]), int(str(row["seq"]))) for row in house.export()}
    reasons = Counter(str((record.payloads[PayloadClass.FACTS].body or {})["reasons"][0]) for record in records)
    return PicturesSummary(
        pictures=house.count(),
        decided=len(records),
        by_reason=reasons,
        stored=len(exported),
        lost=len({(record.incarnation, record.seq) for record in records} - exported),
        chain_ok=verify(house.state / "journal.db").ok,
    )
