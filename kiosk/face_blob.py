"""A picture of a thermal array becomes one reading: the hottest spot of the face in it. Pure.

Pixels between 28 and 43 degC that touch (up, down, left, right) make a blob; the largest of at least 12 pixels is the
face, and its reading is the mean of its four hottest. A dead pixel (outside -40 to 115 degC, the array's own range) and
a lone spike (more than 2 degC over the hottest of its neighbours) are taken for their neighbours' median. At 0.5 m with
the 55 x 35 degree lens a pixel is about 16 mm: this is the hottest face spot, not an inner eye corner.

Without a face the reading is the median of the picture, which the presence rule takes for the room.
"""

from __future__ import annotations

from statistics import fmean, median

from drivers.devices import TemperatureReading, ThermalFrame

FACE_FROM, FACE_TO = 2800, 4300
RANGE_FROM, RANGE_TO = -4000, 11500
SPIKE = 200
MIN_FACE_PIXELS = 12
HOTTEST = 4


def hottest_of_face(frame: ThermalFrame) -> TemperatureReading:
    """The reading of one picture, in degrees Celsius, stamped as the picture is."""
    pixels = _repaired(frame)
    face = _largest_blob(pixels, frame.columns)
    centi_c = fmean(sorted(pixels[i] for i in face)[-HOTTEST:]) if len(face) >= MIN_FACE_PIXELS else median(pixels)
    return TemperatureReading(
        object_c=centi_c / 100, ambient_c=frame.ambient_c, at_ns=frame.at_ns, offset=frame.offset, raw=frame.raw
    )


def _neighbours(index: int, columns: int, count: int) -> list[int]:
    column = index % columns
    found = [index - columns, index + columns]
    if column:
        found.append(index - 1)
    if column < columns - 1:
        found.append(index + 1)
    return [i for i in found if 0 <= i < count]


def _repaired(frame: ThermalFrame) -> list[int]:
    """The picture without dead pixels and lone spikes."""
    pixels = list(frame.pixels_centi_c)
    good = [RANGE_FROM <= value <= RANGE_TO for value in pixels]
    for index, value in enumerate(frame.pixels_centi_c):
        if good[index] and value < FACE_FROM:
            continue  # a cold spike cannot be taken for a face
        around = [frame.pixels_centi_c[i] for i in _neighbours(index, frame.columns, len(pixels)) if good[i]]
        if around and (not good[index] or value > max(around) + SPIKE):
            pixels[index] = round(median(around))
        elif not good[index]:
            pixels[index] = RANGE_FROM
    return pixels


def _largest_blob(pixels: list[int], columns: int) -> list[int]:
    left = {index for index, value in enumerate(pixels) if FACE_FROM <= value <= FACE_TO}
    largest: list[int] = []
    while left:
        blob, todo = [], [left.pop()]
        while todo:
            index = todo.pop()
            blob.append(index)
            near = [i for i in _neighbours(index, columns, len(pixels)) if i in left]
            left.difference_update(near)
            todo.extend(near)
        if len(blob) > len(largest):
            largest = blob
    return largest
