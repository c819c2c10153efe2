"""The array's picture as one reading: the hottest spot of the face, without dead pixels and lone spikes."""

from __future__ import annotations

from drivers.devices import ThermalFrame
from kiosk.face_blob import hottest_of_face
from kiosk.screening import is_warm

COLUMNS, ROWS = 32, 24


def picture(*, face: int = 40, dead: tuple[int, ...] = (), spike: int | None = None) -> ThermalFrame:
    """A room of 23 degC with a face of so many pixels: 33.0 degC, its four hottest 35.0 to 35.6."""
    pixels = [2300] * (COLUMNS * ROWS)
    cells = [(5 + i // 8) * COLUMNS + 10 + i % 8 for i in range(face)]
    for index, cell in enumerate(cells):
        pixels[cell] = 3300 + (index >= face - 4) * (200 + 20 * (index - face + 4))
    for cell in dead:
        pixels[cell] = -27315
    if spike is not None:
        pixels[spike] = 4200
    return ThermalFrame(pixels_centi_c=tuple(pixels), columns=COLUMNS, ambient_c=24.0, at_ns=7)


def test_the_mean_of_the_four_hottest() -> None:
    """35.0, 35.2, 35.4, 35.6 make 35.3 degC, stamped as the picture."""
    reading = hottest_of_face(picture())
    assert (reading.object_c, reading.ambient_c, reading.at_ns) == (35.3, 24.0, 7)
    assert is_warm(reading)


def test_dead_pixels_and_a_lone_spike_do_not_count() -> None:
    """A dead pixel within the face and a hot lamp of one pixel leave the reading where it was."""
    spoiled = hottest_of_face(picture(dead=(5 * COLUMNS + 12, 700), spike=20 * COLUMNS + 20))
    assert spoiled.object_c == 35.3


def test_a_spike_in_the_face_itself() -> None:
    """One pixel of 42 degC amid skin of 33 is not the hottest spot."""
    assert hottest_of_face(picture(spike=6 * COLUMNS + 12)).object_c == 35.3


def test_a_cup_of_tea_is_no_face() -> None:
    """Eleven warm pixels are too few, and anything over 43 degC is no skin: the room is read, nobody is present."""
    assert not is_warm(hottest_of_face(picture(face=11)))
    hot = picture(face=40)
    boiling = ThermalFrame(
        pixels_centi_c=tuple(6000 if c > 2300 else c for c in hot.pixels_centi_c),
        columns=COLUMNS, ambient_c=24.0, at_ns=7,
    )  # fmt: skip
    assert hottest_of_face(boiling).object_c == 23.0


def test_a_wholly_dead_picture() -> None:
    """Nothing but dead pixels is nobody, and no error."""
    frame = ThermalFrame(pixels_centi_c=(-27315,) * 768, columns=COLUMNS, ambient_c=24.0, at_ns=7)
    assert not is_warm(hottest_of_face(frame))
