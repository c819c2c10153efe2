"""What is known of a person (``kiosk/passage_evidence.py``): the lane's faults, an earlier reading, the waiting."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.policy import Policy, load_policy
from kiosk import screening
from kiosk.passage_evidence import evidence_of, recent
from kiosk.passage_state import Kept, Measured
from tests.lane import NEIGHBOUR, RESIDENT, REVOKED_CARD, Lane, bench_of, somebody

NS = 1_000_000_000
NORMAL = screening.by_contact_thermometer(36.6)


def four_hours() -> Policy:
    """A measurement serves a known person for four hours."""
    policy = load_policy("case")
    return policy.model_copy(
        update={"temperature": policy.temperature.model_copy(update={"valid_for_min": 240})}, deep=True
    )


def test_the_lane_speaks_of_itself() -> None:
    """Where, which way, what time of the local day, and which devices are out of service."""
    lane = Lane()
    lane.unplug("camera")
    found = evidence_of(bench_of(lane), somebody(lane, card=RESIDENT))
    assert (found.lane, found.place, found.local_minute, found.weekday) == ("in", "main-gate", 600, 0)
    assert (found.camera_fault, found.thermometer_fault) == (True, False)


def test_the_first_window_is_shot_one() -> None:
    """Also before anything was measured; a second one counts as two."""
    lane = Lane()
    assert evidence_of(bench_of(lane), somebody(lane)).shots == 1
    assert evidence_of(bench_of(lane), somebody(lane, shots=2)).shots == 2


@pytest.mark.parametrize(
    ("age_min", "card", "serves"),
    [
        (0, RESIDENT, True),
        (239, RESIDENT, True),
        (240, RESIDENT, False),
        (1, NEIGHBOUR, False),
        (1, REVOKED_CARD, False),
        (1, None, False),
    ],
)
def test_a_measurement_serves_its_own_person_for_its_time(age_min: int, card: object, serves: bool) -> None:
    """Not a neighbour, not somebody without a card, not a card that is refused, and not a minute longer."""
    lane = Lane(policy=four_hours())
    lane.s = 20_000.0
    kept = Measured(subject=RESIDENT.subject, estimate=NORMAL, at_ns=lane.ns - age_min * 60 * NS)
    nobodys = replace(kept, subject="")
    found = recent(bench_of(lane, measured=(nobodys, kept)), somebody(lane, card=card))
    assert (found is NORMAL) is serves


def test_under_a_policy_without_that_time_every_passage_is_measured() -> None:
    """``valid_for_min = 0`` is the shipped value."""
    lane = Lane(policy=load_policy("case"))
    kept = Measured(subject=RESIDENT.subject, estimate=NORMAL, at_ns=lane.ns)
    assert recent(bench_of(lane, measured=(kept,)), somebody(lane, card=RESIDENT)) is None


@pytest.mark.parametrize(("ago_s", "waited_s"), [(0, 0), (301, 301), (1799, 1799), (1800, 0)])
def test_a_refused_resident_is_remembered_for_half_an_hour(ago_s: int, waited_s: int) -> None:
    """Who comes back later starts anew."""
    lane = Lane()
    lane.s = 5000.0
    kept = Kept(subject=RESIDENT.subject, passage="in-1", since_ns=lane.ns - ago_s * NS, referral=False, stranded_ns=0)
    strangers = replace(kept, subject="", since_ns=lane.ns - 900 * NS)
    bench = bench_of(lane, kept=(strangers, kept))
    assert evidence_of(bench, somebody(lane, card=RESIDENT)).home_waiting_s == waited_s
    assert evidence_of(bench, somebody(lane, card=NEIGHBOUR)).home_waiting_s == 0
    assert evidence_of(bench, somebody(lane, card=REVOKED_CARD)).home_waiting_s == 0
    assert evidence_of(bench, somebody(lane)).home_waiting_s == 0
