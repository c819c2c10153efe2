"""The time that two people said, in a file of its own: it outlives a restart of the program, not a reboot.

``clock.asserted`` in the state folder, one line of JSON, mode 0600, replaced whole. After a reboot the monotonic clock
has begun anew, so what remains is that the time said has passed. A file that cannot be read counts as none.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from kiosk.durable_file import replace_file

FILE = "clock.asserted"
MAX_BYTES = 512
_LAST_US = 4_102_444_800_000_000  # 2100-01-01


@dataclass(frozen=True, slots=True)
class Assertion:
    """``at_us`` (UTC, microseconds) was the time at ``mono_ns`` of the monotonic clock of ``boot_id``."""

    at_us: int
    mono_ns: int
    boot_id: str


def keep(path: Path, assertion: Assertion) -> None:
    """Write it durably. Raises OSError; the caller says so, since an assertion that is lost is asked for again."""
    replace_file(path, json.dumps(asdict(assertion)).encode("ascii"))


def recall(path: Path) -> Assertion | None:
    """The last one, of this boot or an earlier one; None where there is none that can be read."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(MAX_BYTES))
        assertion = Assertion(**found)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    whole = type(assertion.at_us) is int and type(assertion.mono_ns) is int and type(assertion.boot_id) is str
    return assertion if whole and 0 < assertion.at_us < _LAST_US and assertion.mono_ns >= 0 else None


def forget(path: Path) -> None:
    """The machine was synced: what people said no longer counts. A file that stays is overruled by the next sync."""
    with contextlib.suppress(OSError):
        path.unlink()
