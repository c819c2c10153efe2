"""What the journal is told of the clock: a change of its worth, and not every flutter."""

from __future__ import annotations

from kiosk.clock_watch import ClockWatch
from kiosk.reasons import ClockTrust
from tests.fakes import FakeClock


def seen(watch: ClockWatch, clock: FakeClock, trust: ClockTrust, after_s: float = 1.0) -> tuple[str, str] | None:
    clock.trust = trust
    facts = watch.changed(clock.advance(after_s))
    return None if facts is None else (facts["from"], facts["to"])


def test_a_lost_and_a_found_network_are_told_once_each() -> None:
    """The boot's record tells the first state; after it, each change is one record."""
    watch, clock = ClockWatch(), FakeClock()
    assert seen(watch, clock, ClockTrust.NONE) is None
    assert seen(watch, clock, ClockTrust.NONE) is None
    assert seen(watch, clock, ClockTrust.SYNCED) == ("none", "synced")
    assert seen(watch, clock, ClockTrust.SYNCED) is None
    assert seen(watch, clock, ClockTrust.HOLDOVER, after_s=3600) == ("synced", "holdover")


def test_a_network_that_flaps_writes_one_record_a_minute_and_the_last_state() -> None:
    """Sixty changes in a minute are one; whatever stands when the minute is over is told then."""
    watch, clock = ClockWatch(), FakeClock()
    seen(watch, clock, ClockTrust.SYNCED)
    told = [seen(watch, clock, (ClockTrust.HOLDOVER, ClockTrust.SYNCED)[n % 2]) for n in range(60)]
    assert [one for one in told if one is not None] == [("synced", "holdover")]
    assert seen(watch, clock, ClockTrust.SYNCED) == ("holdover", "synced")
