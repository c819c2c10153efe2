"""What is asked of a person, and what is still missing (``kiosk/passage_asked.py``)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from config.policy import load_policy
from kiosk import screening
from kiosk.evidence import Attestation, AttestedCode
from kiosk.passage_asked import missing_credentials, pass_fails, temperature_missing, temperature_only_hinted
from kiosk.passage_state import Person
from kiosk.reasons import ClockTrust, Direction
from tests.lane import COURIER, GREEN, RESIDENT, REVOKED_CARD, UNKNOWN_CARD, Lane, bench_of, somebody

CASE, CLEAR, SPREAD = (load_policy(name) for name in ("case", "clear", "spread"))


def missing(lane: Lane, **known: object) -> tuple[str, ...]:
    return missing_credentials(bench_of(lane), somebody(lane, **known))


def said(code: AttestedCode | None = None, trip_clear: bool | None = None) -> Attestation:
    return Attestation(guard="wang", code=code, trip_clear=trip_clear, at_us=1)


def test_a_stranger_is_asked_for_what_a_visitor_needs() -> None:
    """Nobody known yet: a pass first, and where the policy wants one a health code."""
    assert missing(Lane(policy=CLEAR)) == ("card", "code")
    assert missing(Lane(policy=CLEAR), code=GREEN) == ("card",)


def test_a_known_person_is_asked_for_what_their_category_needs() -> None:
    """After a case a courier shows a code, a resident does not."""
    assert missing(Lane(policy=CASE), card=RESIDENT) == ()
    assert missing(Lane(policy=CASE), card=COURIER) == ("code",)


@pytest.mark.parametrize("card", [UNKNOWN_CARD, REVOKED_CARD])
def test_a_refused_card_settles_it(card: object) -> None:
    """Nobody is sent to look for a phone when the card alone already means no; nor before the thermometer."""
    lane = Lane(policy=CASE)
    person = somebody(lane, card=card)
    assert missing_credentials(bench_of(lane), person) == ()
    assert not temperature_missing(bench_of(lane), person)


def test_nothing_is_asked_that_no_device_can_take() -> None:
    """Camera or reader out of service: what they would take is not waited for."""
    lane = Lane(policy=CLEAR)
    lane.unplug("camera")
    assert missing(lane) == ("card",)
    lane.unplug("reader")
    assert missing(lane) == ()


@pytest.mark.parametrize(
    ("attested", "waits"),
    [
        (said(code=AttestedCode.SEEN_GREEN), ("code",)),
        (said(trip_clear=True), ("code",)),
        (said(code=AttestedCode.SEEN_GREEN, trip_clear=True), ()),
        (said(code=AttestedCode.SEEN_GREEN, trip_clear=False), ()),
    ],
)
def test_the_guards_word_stands_for_the_code_only_where_it_says_both(
    attested: Attestation, waits: tuple[str, ...]
) -> None:
    """Where code and trip are asked for, one of the two said leaves the other open."""
    assert missing(Lane(policy=SPREAD), card=RESIDENT, attestation=attested) == waits


def test_where_only_the_code_is_asked_for_its_colour_is_enough() -> None:
    """After a case a courier's trip is waived: the guard need not have asked."""
    assert missing(Lane(policy=CASE), card=COURIER, attestation=said(code=AttestedCode.SEEN_GREEN)) == ()


def test_a_category_without_a_way_in_is_asked_for_no_more_than_a_pass() -> None:
    """While it spreads visitors do not come in: a stranger may still turn out to be a resident, a courier may not."""
    lane = Lane(policy=SPREAD)
    assert missing(lane) == ("card",)
    assert missing(lane, card=COURIER) == ()
    assert not temperature_missing(bench_of(lane), somebody(lane, card=COURIER))


def test_leaving_asks_for_nothing() -> None:
    """No policy that is shipped measures exits or asks a person who leaves for a card."""
    lane = Lane(policy=CASE, direction=Direction.OUT)
    assert missing(lane) == ()
    assert not temperature_missing(bench_of(lane), somebody(lane, card=RESIDENT))


def known(lane: Lane, **more: object) -> Person:
    return somebody(lane, card=RESIDENT, **more)


def test_a_temperature_is_missing_until_there_is_one() -> None:
    """Any result counts, also that nothing could be measured."""
    lane = Lane(policy=CASE)
    assert temperature_missing(bench_of(lane), known(lane))
    assert not temperature_missing(bench_of(lane), known(lane, temperature=screening.by_contact_thermometer(36.6)))


def test_nobody_waits_for_a_thermometer_that_is_out_of_service_or_not_there() -> None:
    """The policy says what then; the person is not kept standing for it."""
    lane = Lane(policy=CASE)
    lane.unplug("thermo")
    assert not temperature_missing(bench_of(lane), known(lane))
    bare = Lane(policy=CASE, sensor=None)
    assert not temperature_missing(bench_of(bare), known(bare))


def test_a_module_that_only_hints_is_told_from_one_that_fails() -> None:
    """It works and yet gives nothing to rest a verdict on: "hint only", not a fault."""
    lane = Lane(policy=CASE, sensor=None)
    assert temperature_only_hinted(bench_of(lane), known(lane))
    lane.unplug("thermo")
    assert not temperature_only_hinted(bench_of(lane), known(lane))
    measuring = Lane(policy=CASE)
    assert not temperature_only_hinted(bench_of(measuring), known(measuring))
    leaving = Lane(policy=CASE, sensor=None, direction=Direction.OUT)
    assert not temperature_only_hinted(bench_of(leaving), known(leaving))


def test_a_pass_fails_for_good_only_once_it_was_presented() -> None:
    """Before, it is missing; an unknown card fails at once."""
    lane = Lane(policy=CASE)
    assert not pass_fails(bench_of(lane), somebody(lane))
    assert not pass_fails(bench_of(lane), known(lane))
    assert pass_fails(bench_of(lane), somebody(lane, card=UNKNOWN_CARD))


def test_after_the_orders_end_nothing_on_health_is_asked() -> None:
    """The order ran out in January: a courier needs a pass, no code and no temperature; untrusted time ends nothing."""
    order = CASE.order
    assert order is not None
    over = CASE.model_copy(update={"order": order.model_copy(update={"until": datetime(2026, 1, 31, tzinfo=UTC)})})
    lane = Lane(policy=over)
    assert missing(lane) == ("card",)
    assert missing(lane, card=COURIER) == ()
    assert not temperature_missing(bench_of(lane), somebody(lane, card=COURIER))
    unsure = Lane(policy=over, clock_trust=ClockTrust.NONE)
    assert missing(unsure, card=COURIER) == ("code",)
