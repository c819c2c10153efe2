"""Every verdict that is not normal can be computed again from its record alone."""

from __future__ import annotations

import copy
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from config.policy import load_policy
from kiosk.board import MeasureAgain
from kiosk.records import Kind, PayloadClass
from kiosk.replay import replay_temperature
from kiosk.screening import Sensor
from tests.lane import BORDERLINE_SKIN_C, FEVER_SKIN_C, MODEL, NORMAL_SKIN_C, Lane


def temperatures(lane: Lane) -> list[dict]:
    return [
        draft.payloads[PayloadClass.HEALTH]["temperature"]
        for draft in lane.drafts(Kind.PASSAGE)
        if "temperature" in draft.payloads.get(PayloadClass.HEALTH, {})
    ]


def fever_record() -> dict:
    lane = Lane()
    lane.face(FEVER_SKIN_C, 1.0)
    lane.tap("04a1")
    return copy.deepcopy(temperatures(lane)[0])


@given(
    skin_c=st.floats(30.0, 38.0),
    offset_c=st.floats(-0.5, 0.5),
    air_c=st.sampled_from([None, 18.0, 24.0, 30.5]),
    steps_c=st.lists(st.sampled_from([0.0, 0.02, -0.02, 0.1, -0.3, 0.7]), min_size=1, max_size=30),
)
@settings(max_examples=150, deadline=None)
def test_whatever_was_measured_comes_out_again(
    skin_c: float, offset_c: float, air_c: float | None, steps_c: list[float]
) -> None:
    """Settled, moving, too few, cold, normal or raised: the record agrees with itself."""
    lane = Lane(policy=load_policy("case"), sensor=replace(Sensor(model=MODEL), offset_c=offset_c, air_c=air_c))
    lane.tap("04a1")
    for step_c in steps_c:
        lane.wait(0.1)
        lane.reading(round(skin_c + step_c, 2))
    lane.wait(7.0)
    assert temperatures(lane)
    assert [replay_temperature(payload) for payload in temperatures(lane)] == [""] * len(temperatures(lane))


def test_the_window_is_the_one_that_was_measured() -> None:
    """A window that settled long before the code was shown is the one in the record, not the newest."""
    lane = Lane(policy=load_policy("case"))
    lane.face(BORDERLINE_SKIN_C, 0.6)
    lane.tap("04c0")
    lane.face(NORMAL_SKIN_C, 4.0)
    lane.show("HC1:green")
    payload = temperatures(lane)[0]
    assert payload["outcome"] == "borderline"
    assert replay_temperature(payload) == ""


def test_a_second_shot_has_its_own_window() -> None:
    """Measured again: both records come out."""
    lane = Lane(policy=load_policy("case"))
    lane.face(BORDERLINE_SKIN_C, 0.6)
    lane.tap("04a1")
    lane.send(MeasureAgain(lane="in", guard="g"))
    lane.face(FEVER_SKIN_C, 0.8)
    assert [payload["outcome"] for payload in temperatures(lane)] == ["borderline", "raised"]
    assert [replay_temperature(payload) for payload in temperatures(lane)] == ["", ""]


def test_a_changed_record_is_noticed() -> None:
    """Another outcome, another estimate, a missing coefficient: each is told."""
    record = fever_record()
    assert replay_temperature(record) == ""
    assert "computed raised" in replay_temperature(record | {"outcome": "borderline"})
    assert "computed" in replay_temperature(record | {"estimate_centi_c": record["estimate_centi_c"] + 5})
    del record["sensor"]["a_micro_c"]
    assert "a_micro_c" in replay_temperature(record)


def test_a_normal_record_needs_its_version() -> None:
    """Band and version are all a normal record has."""
    assert replay_temperature({"outcome": "normal", "rule": "fever-2/c1", "why_not": "", "by_guard": False}) == ""
    assert replay_temperature({"outcome": "normal", "rule": "", "why_not": "", "by_guard": False})
