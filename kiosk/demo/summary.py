"""Adds up a demo's day and checks its promises: every record at the central once, the chain whole, the relay kept.

What is compared are the three programs' own words: the kiosk's journal, sync's acknowledgements, and the central's
export. A record is *sent* when sync has an acknowledgement for it, *stored* when the central exports it.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from kiosk.acks import newest, read_acknowledged
from kiosk.demo.day import PULSE_S, DayHouse
from kiosk.demo.player import Outcome
from kiosk.journal import verify
from kiosk.reasons import Reason
from kiosk.records import PayloadClass, Record, Stream

PULSE_MARGIN_S = 0.25
"""What a pulse may be longer than asked: two frames on a 9600 baud wire, and this machine's scheduling."""
WAITED_IN_VAIN = frozenset(map(str, (Reason.PASS_MISSING, Reason.CODE_MISSING, Reason.TRIP_MISSING)))
VERDICT_TO_PULSE_NS = 3_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One day in figures. ``unscripted`` are the outcomes that differ from the script; ``relay`` is what was wrong
    with an output, in sentences."""

    passages: int
    admits: int
    denies: Counter[str]
    unscripted: tuple[Outcome, ...]
    median_ms: float
    p95_ms: float
    people_per_hour: float
    journaled: int
    sent: int
    stored: int
    duplicates: int
    lost: int
    chain_ok: bool
    relay: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        return not (self.unscripted or self.lost or self.duplicates or self.relay) and self.chain_ok


def percentile(values: list[float], share: float) -> float:
    """The value below which ``share`` of the values lie (nearest rank); 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def summarise(house: DayHouse, outcomes: list[Outcome], elapsed_s: float) -> Summary:
    """The day's figures, from what the programs wrote."""
    records = house.passage_records()
    exported = [(str(row["incarnation"]), int(str(row["seq"]))) for row in house.export()]
    journaled = {(record.incarnation, record.seq) for record in records}
    acked = newest(read_acknowledged(house.state / "sync.db"))
    sent = sum(
        1
        for record in records
        if (mark := acked.get((record.incarnation, Stream.PASSAGE))) is not None and record.seq <= mark.seq
    )
    # Where the gate waited for something that never came, the time is the person's, not the gate's.
    times_ms = [
        float(str(outcome.verdict["credential_to_verdict_ms"]))
        for outcome in outcomes
        if outcome.verdict is not None and outcome.reason not in WAITED_IN_VAIN
    ]
    return Summary(
        passages=len(outcomes),
        admits=sum(outcome.admit for outcome in outcomes),
        denies=Counter(outcome.reason for outcome in outcomes if not outcome.admit),
        unscripted=tuple(outcome for outcome in outcomes if not outcome.as_scripted),
        median_ms=statistics.median(times_ms) if times_ms else 0.0,
        p95_ms=percentile(times_ms, 0.95),
        people_per_hour=len(outcomes) / elapsed_s * 3600 if elapsed_s else 0.0,
        journaled=len(records),
        sent=sent,
        stored=len(set(exported)),
        duplicates=len(exported) - len(set(exported)),
        lost=len(journaled - set(exported)),
        chain_ok=verify(house.state / "journal.db").ok,
        relay=tuple(relay_faults(records, house.relay_changes())),
    )


def relay_faults(records: Iterable[Record], changes: list[dict[str, object]]) -> list[str]:
    """What was wrong with the opening output: a pulse without a committed ADMIT just before it, or one too long.

    ``changes`` are the relay simulator's own log lines (``channel``, ``on``, ``at_ns`` monotonic).
    """
    admits = sorted(
        record.mono_ns for record in records if (record.payloads[PayloadClass.FACTS].body or {}).get("admit")
    )
    faults: list[str] = []
    on_since: dict[object, int] = {}
    for change in changes:
        channel, at_ns = change["channel"], int(str(change["at_ns"]))
        if change["on"]:
            if channel in on_since:
                continue
            on_since[channel] = at_ns
            cause = next((admit for admit in admits if 0 <= at_ns - admit <= VERDICT_TO_PULSE_NS), None)
            if cause is None:
                faults.append(f"relay {channel} on at {at_ns} ns without a committed ADMIT before it")
            else:
                admits.remove(cause)
        elif channel in on_since:
            length_s = (at_ns - on_since.pop(channel)) / 1e9
            if length_s > PULSE_S + PULSE_MARGIN_S:
                faults.append(f"relay {channel} on for {length_s:.2f} s, asked for {PULSE_S} s")
    faults += [f"relay {channel} still on" for channel in on_since]
    return faults
