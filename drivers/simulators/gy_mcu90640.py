"""A simulated GY-MCU90640: a room, a face that comes in from the left, perhaps a black body and dead pixels.

Plan keys beside the scene's: ``pixel_noise_c`` (standard deviation of a pixel, default 0.15), ``dead_pixels`` (how
many, at places drawn by the seed, default 0), ``black_body_c`` (a target of 4 x 4 pixels in the top right corner;
absent: none).

The face is an ellipse of about 13 x 9 pixels, as at half a metre with the 55 degree lens: the inner corners of the
eyes carry the skin temperature asked for, the forehead is 0.3 degC below, cheeks and chin up to 1.5 degC.
"""

from __future__ import annotations

import random

from drivers.simulators.registry import Spec
from drivers.simulators.scene import Scene
from drivers.simulators.streaming import StreamPlayer
from drivers.thermometers import gy_mcu90640 as protocol

_FACE_ROW, _FACE_COLUMN = 11.0, 15.0
_FACE_HALF_HEIGHT, _FACE_HALF_WIDTH = 6.5, 4.5
_EYES = ((9, -1), (9, 0), (9, 1), (10, -1), (10, 1))
"""Row, and column from the middle of the face."""
_DEAD_CENTI_C = -27315


class ArrayPicture:
    """Draws the picture of a scene; the noise of its pixels comes from the seed of the plan."""

    def __init__(self, spec: Spec) -> None:
        self._random = random.Random(spec.seed + 1)
        self._noise_c = spec.number("pixel_noise_c", 0.15)
        self._dead = self._random.sample(range(protocol.PIXELS), round(spec.number("dead_pixels", 0)))
        self._black_body_c = spec.number("black_body_c", 0.0) if "black_body_c" in spec.options else None

    def frame(self, scene: Scene, at_ns: int) -> bytes:
        """One frame of the scene."""
        near = scene.nearness(at_ns)
        room_c = scene.room_c
        pixels = [room_c] * protocol.PIXELS
        if near > 0:
            self._draw_face(pixels, scene.skin_c, near)
        if self._black_body_c is not None:
            for row in range(4):
                start = row * protocol.COLUMNS + protocol.COLUMNS - 4
                pixels[start : start + 4] = [self._black_body_c] * 4
        bias_c = scene.bias_c
        values = [round((pixel + bias_c + self._random.gauss(0.0, self._noise_c)) * 100) for pixel in pixels]
        for index in self._dead:
            values[index] = _DEAD_CENTI_C
        return protocol.encode(tuple(values), scene.ambient_c())

    @staticmethod
    def _draw_face(pixels: list[float], skin_c: float, near: float) -> None:
        # Coming and leaving, the face stands further left by as much as is missing.
        middle = round(_FACE_COLUMN - (1.0 - near) * (_FACE_COLUMN + _FACE_HALF_WIDTH))
        for row in range(protocol.ROWS):
            for column in range(protocol.COLUMNS):
                down = (row - _FACE_ROW) / _FACE_HALF_HEIGHT
                across = (column - middle) / _FACE_HALF_WIDTH
                from_middle = down * down + across * across
                if from_middle <= 1.0:
                    forehead = row < 9 and abs(across) < 0.7
                    below_c = 0.3 if forehead else 0.5 + 1.0 * from_middle
                    pixels[row * protocol.COLUMNS + column] = skin_c - below_c
        for row, aside in _EYES:
            if 0 <= middle + aside < protocol.COLUMNS:
                pixels[row * protocol.COLUMNS + middle + aside] = skin_c


def player(spec: Spec) -> StreamPlayer:
    """The model that a plan's ``kind = "gy_mcu90640"`` names."""
    return StreamPlayer(
        spec,
        ArrayPicture(spec).frame,
        period_s=protocol.PERIOD_S,
        continuous=protocol.CONTINUOUS,
        once=protocol.QUERY,
    )
