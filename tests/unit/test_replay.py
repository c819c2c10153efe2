"""Every verdict that is not normal can be computed again from its record alone."""

from __future__ import annotations

import base64
import contextlib
import copy
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.policy import load_policy
from config.sensor_model import load_sensor_model
from drivers.devices import Decoder
from drivers.simulators.gy_mcu90640 import ArrayPicture
from drivers.simulators.registry import Spec
from drivers.simulators.scene import Scene
from drivers.thermometers import gy_mcu90615, gy_mcu90640
from drivers.thermometers.raw_frames import MAX_FRAME_BYTES, from_text
from kiosk.board import EnterTemperature, MeasureAgain
from kiosk.records import Kind, PayloadClass, canonical
from kiosk.replay import replay_temperature
from kiosk.screening import NS, Sensor, window_for
from kiosk.temperature_record import as_recorded
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


NORMAL = {"outcome": "normal", "rule": "m-2/0001", "why_not": "", "by_guard": False, "band_centi_c": [3500, 3750]}


def test_a_normal_record_is_held_against_its_versions() -> None:
    """Band and versions are all a normal record has: a band that is not its model's, or a missing version, is told."""
    known = {"m-2": 37.5}
    assert replay_temperature(NORMAL, known) == ""
    assert replay_temperature(NORMAL | {"rule": "m-9/0001"}, known) == "", "a model of another program is not judged"
    assert replay_temperature(NORMAL | {"rule": "m-2@37.20/0001", "band_centi_c": [3500, 3720]}, known) == ""
    for wrong in (
        {"rule": ""},
        {"rule": "m-2"},
        {"rule": "m-2/"},
        {"rule": "m-2@37.20/0001"},
        {"band_centi_c": [3500, 3800]},
        {"band_centi_c": [3400, 3750]},
        {"band_centi_c": []},
    ):
        assert replay_temperature(NORMAL | wrong, known), wrong


def test_a_contact_thermometers_word_is_checked_at_its_limit() -> None:
    """37.3 degC and more is raised; a record that says otherwise is told."""
    lane = Lane(policy=load_policy("case"))
    lane.face(FEVER_SKIN_C, 1.0)
    lane.tap("04a1")
    for centi_c in (3729, 3730):
        lane.send(EnterTemperature(lane="in", guard="g", object_centi_c=centi_c))
    low, high = temperatures(lane)[1], temperatures(lane)[1] | {"outcome": "raised"}
    assert replay_temperature(low) == ""
    assert low["band_centi_c"] == [3400, 3730]
    assert replay_temperature(low | {"band_centi_c": [3400, 3800]})
    assert replay_temperature(high | {"estimate_centi_c": 3729})
    assert replay_temperature(high | {"estimate_centi_c": 3730}) == ""


def framed_record(lane: Lane, frame: Callable[[int], bytes], decoder: Decoder, period_s: float) -> dict:
    """The record of a person whose readings came as frames."""
    lane.tap("04a1")
    for number in range(12):
        lane.wait(period_s)
        for event in decoder.feed(frame(number), lane.ns):
            lane.send(event)
    return copy.deepcopy(temperatures(lane)[0])


def test_a_point_sensors_frames_stand_in_the_record() -> None:
    """The window holds each frame as the module sent it; one altered frame is told."""
    record = framed_record(
        Lane(policy=load_policy("case")),
        lambda number: gy_mcu90615.encode(FEVER_SKIN_C + number % 3 / 100, 25.0),
        gy_mcu90615.Decoder(),
        0.1,
    )
    assert record["outcome"] == "raised"
    assert record["window"][0][3].startswith("5a5a4504")
    assert replay_temperature(record) == ""
    record["window"][1][3] = gy_mcu90615.encode(FEVER_SKIN_C - 1, 25.0).hex()
    assert "its frame says" in replay_temperature(record)
    record["window"][1][3] = "5a5a4504"
    assert "not one good frame" in replay_temperature(record)


def test_an_arrays_pictures_stand_in_the_record() -> None:
    """The face is found again in every picture; a window of pictures stays under 16 kB."""
    sensor = Sensor(model=load_sensor_model("full_face"), window=window_for(0.25))
    spec = Spec("t", "gy_mcu90640", 115200, 3, Path("."), {"dead_pixels": 3})
    picture, scene = ArrayPicture(spec), Scene(spec)
    scene.command({"do": "person", "skin_c": 37.4})
    scene.nearness(0)
    record = framed_record(
        Lane(policy=load_policy("case"), sensor=as_recorded(sensor)),
        lambda number: picture.frame(scene, NS + number * NS // 4),
        gy_mcu90640.Decoder(),
        0.25,
    )
    assert record["outcome"] in ("borderline", "raised")
    assert replay_temperature(record) == ""
    assert len(canonical(record)) < 16_000
    record["window"][-1][1] += 5
    assert "its frame says" in replay_temperature(record)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: "z:" + base64.b64encode(raw).decode()))
def test_no_text_breaks_the_reader_of_frames(text: str) -> None:
    """A frame's text from a record that somebody altered is a ValueError, never more than a frame's memory."""
    with contextlib.suppress(ValueError):
        assert len(from_text(text)) <= MAX_FRAME_BYTES


def test_a_frame_that_unpacks_without_end_is_refused() -> None:
    """A zip bomb is no frame."""
    with pytest.raises(ValueError, match="more than 1544 bytes"):
        from_text("z:" + base64.b64encode(zlib.compress(bytes(10_000_000))).decode())
