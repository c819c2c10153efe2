"""A recorded frame becomes its reading again, by the decoder that its header names. Pure.

For checking records: the same decoders as on the line, so that a record can be computed again from the bytes.
"""

from __future__ import annotations

import base64
import binascii
import zlib

from drivers.devices import Decoder, TemperatureReading, ThermalFrame
from drivers.thermometers import gy_614v3, gy_mcu90615, gy_mcu90640

MAX_FRAME_BYTES = gy_mcu90640.FRAME_BYTES
SHORT_BYTES = 32
"""Up to here a frame is written in hexadecimal; a longer one is deflated first."""
PACKED = "z:"


def as_text(raw: bytes) -> str:
    """A frame as a record keeps it: hexadecimal, or ``z:`` and base64 of its zlib stream (RFC 1950) when it is long."""
    return raw.hex() if len(raw) <= SHORT_BYTES else PACKED + base64.b64encode(zlib.compress(raw, 9)).decode("ascii")


def from_text(text: str) -> bytes:
    """The frame's bytes; ValueError for what is no frame's text or unpacks to more than a frame can have."""
    try:
        if not text.startswith(PACKED):
            return bytes.fromhex(text)
        packed = zlib.decompressobj()
        raw = packed.decompress(base64.b64decode(text[len(PACKED) :], validate=True), MAX_FRAME_BYTES + 1)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"no frame: {error}") from error
    if len(raw) > MAX_FRAME_BYTES or not packed.eof:
        raise ValueError(f"no frame: more than {MAX_FRAME_BYTES} bytes, or cut off")
    return raw


def reading_of(raw: bytes) -> TemperatureReading | ThermalFrame:
    """What the frame says, stamped 0. ValueError for bytes that are not exactly one good frame of a known module."""
    decoder = _decoder(raw)
    found = [] if decoder is None else decoder.feed(raw, 0)
    if decoder is None or len(found) != 1 or decoder.discarded:
        raise ValueError(f"not one good frame of a known module: {raw[:12].hex()}…")
    [event] = found
    if not isinstance(event, TemperatureReading | ThermalFrame):
        raise ValueError(f"a frame without a usable temperature: {raw[:12].hex()}…")
    return event


def _decoder(raw: bytes) -> Decoder | None:
    if raw.startswith(gy_mcu90640.HEADER + gy_mcu90640.LENGTH_FIELD):
        return gy_mcu90640.Decoder()
    if raw.startswith(gy_mcu90615.HEADER):
        return gy_mcu90615.Decoder(gy_mcu90615.FACTS_90614)  # the wider range of the two that share the frame
    return gy_614v3.Decoder() if raw.startswith(gy_614v3.HEADER) else None
