"""The empty room as the sensor sees it: who stands out against it, and who was taken for it."""

from __future__ import annotations

from drivers.devices import TemperatureReading
from kiosk.screening import NS, ROOM_RUN, Sensor, Watch, is_warm, observe
from tests.lane import MODEL

SENSOR = Sensor(model=MODEL, air_c=24.0)
CHIP_C = 31.0
"""A module that warms itself to eight degrees over the air."""


def watched(values: list[float], *, ambient_c: float = CHIP_C) -> Watch:
    """The watch after these object temperatures, ten a second, no two in a row alike."""
    watch = Watch()
    for index, object_c in enumerate(values):
        now_ns = 1_000 * NS + index * NS // 10
        reading = TemperatureReading(object_c=object_c + index % 2 / 100, ambient_c=ambient_c, at_ns=now_ns)
        watch = observe(watch, reading, now_ns, SENSOR, contact=False)
    return watch


def test_a_face_stands_out_against_the_empty_room_before_a_chip_that_warmed_itself() -> None:
    """33.9 is 2.9 over the chip, and 10.9 over the wall that it saw before."""
    assert watched([23.0] * 5 + [33.9] * 3).present
    assert not watched([33.9] * 3).present, "nothing is known of the room yet"


def test_a_room_that_is_warmer_than_the_chip_makes_nobody_harder_to_see() -> None:
    """The lower of the two counts."""

    def warm(object_c: float) -> bool:
        return is_warm(TemperatureReading(object_c=object_c, ambient_c=27.0, at_ns=0), room_c=29.0)

    assert warm(31.5)
    assert not warm(30.9)


def test_who_stood_there_from_the_first_reading_was_seen_to_leave() -> None:
    """They were taken for the room; when it turns colder twice in a row, they were not."""
    assert watched([33.9] * 20).glimpsed_ns == 0
    assert watched([33.9] * 20 + [31.2]).glimpsed_ns == 0
    left = watched([33.9] * 20 + [31.2, 28.5, 25.6, 23.0, 23.0])
    assert left.glimpsed_ns == 1_000 * NS + 23 * NS // 10
    assert left.room_c is not None
    assert abs(left.room_c - 23.0) < 0.3


def test_somebody_too_far_away_was_there_when_four_readings_say_so() -> None:
    """26 before a wall of 23; three might be a draught, and those before a cold one do not count with those after."""
    far, wall = [26.0], [23.0]
    assert watched(wall * 20 + far * 3 + wall).glimpsed_ns == 0
    assert watched(wall * 20 + far * 4 + wall).glimpsed_ns == 1_000 * NS + 24 * NS // 10
    for between in (wall, [5.0, 5.0], [34.0]):
        assert watched(wall * 20 + far * 3 + between).half_warm == 0
    assert watched(wall * 20 + far * 3 + wall + far * 3 + wall).glimpsed_ns == 0


def test_two_cold_readings_count_only_one_after_the_other() -> None:
    """With the room between them each is one astray."""
    watch = watched([23.0] * 20 + [5.0, 23.0, 5.0, 23.0])
    assert watch.glimpsed_ns == 0
    assert watched([23.0] * 20 + [5.0, 26.0, 5.0]).glimpsed_ns == 0
    assert watched([23.0] * 20 + [5.0, 5.0]).glimpsed_ns > 0


def test_one_reading_astray_is_nobody_who_left() -> None:
    """A single cold one changes neither the room nor what is known of people."""
    watch = watched([23.0] * 20 + [5.0] + [23.0] * 5)
    assert watch.glimpsed_ns == 0
    assert watch.room_c is not None
    assert abs(watch.room_c - 23.0) < 0.1


def test_a_heater_becomes_the_room_after_half_a_minute() -> None:
    """27 instead of 23: for a while it might be somebody far off, then it is the wall; nobody has left."""
    watch = watched([23.0] * 20 + [27.0] * (ROOM_RUN + 1))
    assert watch.room_c is not None
    assert watch.room_c > 26.9
    assert watch.glimpsed_ns == 0
