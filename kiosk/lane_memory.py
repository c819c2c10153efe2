"""What a lane must not forget over a restart: the drift check's people, whom a refusal keeps waiting. One small file.

``lanes.json`` in the state folder, mode 0600, written whole beside the old one and put in its place, so that a power
cut leaves the one or the other. A file that cannot be read is set aside and the lane starts without: a gate comes up
whatever its memory says. Pseudonyms, and estimates in an order that tells nobody's from another's; no name, no
reading.

Times are kept as UTC and become the new boot's monotonic ones, as far as the clock is known on both sides.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from kiosk.calibration import AirBand, DriftWatch
from kiosk.clock import Instant
from kiosk.durable_file import replace_file
from kiosk.passage_evidence import KEPT_FOR_NS
from kiosk.passage_state import Kept, LaneState
from kiosk.reasons import ClockTrust

log = structlog.get_logger("gatepost.memory")

FILE = "lanes.json"
FORMAT = 1
MAX_BYTES = 4_000_000
MAX_BANDS = 64
MAX_ESTIMATES = 200
EVERY_NS = 10_000_000_000


class LaneMemory:
    """Writes when something changed, at most every ten seconds; ``rules`` name each lane's model and calibration."""

    def __init__(self, folder: Path, rules: dict[str, str]) -> None:
        self._path = folder / FILE
        self._rules = dict(rules)
        self._written: dict[str, Any] = {}
        self._next_ns = 0

    def follow(self, lane: str, rule: str) -> None:
        """The lane's model has another threshold: what is remembered of its drift, which hangs on none, goes on."""
        self._rules[lane] = rule

    def recall(self, states: dict[str, LaneState], at: Instant) -> dict[str, LaneState]:
        """The states with what was kept. Drift of another calibration or model is left behind; never raises."""
        try:
            if self._path.stat().st_size > MAX_BYTES:
                raise ValueError("too large")
            found = json.loads(self._path.read_text(encoding="utf-8"))
            if found["format"] != FORMAT:
                raise ValueError(f"format {found['format']}")
            return {
                lane: self._recalled(lane, state, found["lanes"].get(lane, {}), at) for lane, state in states.items()
            }
        except FileNotFoundError:
            return states
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            log.error("lane_memory_unreadable", file=str(self._path), error=type(error).__name__)
            try:
                self._path.replace(self._path.with_suffix(".bad"))
            except OSError:
                log.error("lane_memory_not_set_aside", file=str(self._path))
            return states

    def keep(self, states: dict[str, LaneState], at: Instant, *, now: bool = False) -> None:
        """Write what changed, when ten seconds have passed or ``now``; a disk that refuses is tried again later."""
        if at.mono_ns < self._next_ns and not now:
            return
        self._next_ns = at.mono_ns + EVERY_NS
        lanes = {lane: self._kept(lane, state, at) for lane, state in states.items()}
        if lanes == self._written:
            return
        try:
            replace_file(self._path, json.dumps({"format": FORMAT, "lanes": lanes}).encode())
            self._written = lanes
        except OSError as error:
            log.error("lane_memory_not_written", file=str(self._path), error=error.strerror)

    def _kept(self, lane: str, state: LaneState, at: Instant) -> dict[str, Any]:
        known = at.clock_trust is not ClockTrust.NONE
        return {
            "rule": self._rules.get(lane, ""),
            "bands": [
                {"number": band.number, "first": _mixed(band.first), "last": _mixed(band.last)}
                for band in state.drift.bands
            ],
            "kept": [
                {
                    "subject": kept.subject,
                    "passage": kept.passage,
                    "referral": kept.referral,
                    "alarmed": kept.alarmed,
                    "since_us": _utc_us(at, kept.since_ns),
                    "stranded_us": _utc_us(at, kept.stranded_ns),
                }
                for kept in state.kept
                if known
            ],
        }

    def _recalled(self, lane: str, state: LaneState, found: dict[str, Any], at: Instant) -> LaneState:
        bands = tuple(
            AirBand(number=int(band["number"]), first=_estimates(band["first"]), last=_estimates(band["last"]))
            for band in found.get("bands", [])[:MAX_BANDS]
        )
        if found.get("rule") == self._rules.get(lane, ""):
            state = replace(state, drift=DriftWatch(bands=bands))
        if at.clock_trust is ClockTrust.NONE:
            return state
        kept = tuple(_kept_again(entry, at) for entry in found.get("kept", []))
        return replace(state, kept=tuple(k for k in kept if 0 <= at.mono_ns - k.since_ns < KEPT_FOR_NS or k.referral))


def _mixed(estimates_c: tuple[float, ...]) -> list[float]:
    """The estimates in an order that says nothing of who came when, to a hundredth of a degree.

    By size and then by strides, so that those that give way first after a restart are not the lowest.
    """
    by_size, count = sorted(round(value, 2) for value in estimates_c), len(estimates_c)
    stride = next(step for step in (37, 41, 43) if math.gcd(step, count) == 1) if count else 1
    return [by_size[index * stride % count] for index in range(count)]


def _utc_us(at: Instant, mono_ns: int) -> int:
    # To the whole second: wall and monotonic clocks drift apart by microseconds, which is no news to write.
    return (at.at_us - (at.mono_ns - mono_ns) // 1000 + 500_000) // 1_000_000 * 1_000_000


def _estimates(found: list[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in found[:MAX_ESTIMATES])


def _kept_again(entry: dict[str, Any], at: Instant) -> Kept:
    return Kept(
        subject=str(entry["subject"]),
        passage=str(entry["passage"]),
        since_ns=at.mono_ns - (at.at_us - int(entry["since_us"])) * 1000,
        referral=bool(entry["referral"]),
        stranded_ns=at.mono_ns - (at.at_us - int(entry["stranded_us"])) * 1000,
        alarmed=bool(entry["alarmed"]),
    )
