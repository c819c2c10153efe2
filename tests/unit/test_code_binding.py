"""A code that goes with one pass: the decision holds the two together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.policy import load_policy
from kiosk.credentials.pass_binding import pass_hash
from kiosk.decision import decide
from kiosk.evidence import PassFinding
from kiosk.reasons import CheckName, CheckState, NextStep, Reason
from tests.lane import GREEN, RESIDENT
from tests.unit.test_decision import NOW, evidence

STAFF = replace(RESIDENT, category="staff")


def test_a_code_bound_to_this_pass_is_accepted() -> None:
    """The pass hash of the code is the hash of the card holder's pseudonym."""
    bound = replace(GREEN, bound_pass=pass_hash(STAFF.subject).hex())
    assert decide(evidence(card=STAFF, code=bound), load_policy("case"), NOW).admit


@pytest.mark.parametrize("policy", ["case", "spread"])
def test_a_friends_code_is_refused_whatever_its_age(policy: str) -> None:
    """Fresh, green and genuine, and another's: refused with its own reason."""
    friends = replace(GREEN, bound_pass=pass_hash("fedcba9876543210").hex())
    verdict = decide(evidence(card=STAFF, code=friends), load_policy(policy), NOW)
    assert not verdict.admit
    assert verdict.reasons == (Reason.CODE_OTHER_PERSON,)


def test_a_bound_code_without_its_pass_waits_for_it() -> None:
    """A friend's phone would do as well, so the code alone is unknown and the next step is the pass."""
    bound = replace(GREEN, bound_pass=pass_hash(STAFF.subject).hex())
    verdict = decide(evidence(card=None, code=bound), load_policy("case"), NOW)
    assert not verdict.admit
    assert verdict.next_step is NextStep.TAP_CARD
    code = next(check for check in verdict.checks if check.name is CheckName.HEALTH_CODE)
    assert (code.state, code.reason) == (CheckState.UNKNOWN, Reason.PASS_MISSING)


def test_a_refused_card_is_what_is_shown_not_the_code() -> None:
    """Nothing is known of an unknown card's holder, so the code is not called another person's."""
    bound = replace(GREEN, bound_pass=pass_hash(STAFF.subject).hex())
    unknown = PassFinding(refusal=Reason.CARD_UNKNOWN)
    as_staff = load_policy("case").model_copy(update={"visitor_category": "staff"})
    verdict = decide(evidence(card=unknown, code=bound), as_staff, NOW)
    assert verdict.reasons == (Reason.CARD_UNKNOWN,)
