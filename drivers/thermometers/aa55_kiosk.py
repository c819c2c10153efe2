"""AA 55 06 kiosk modules: two makers, one frame, two codings of the same two bytes. A hint, never a reading.

Sources: Heimann IDC-50 (HTPA32x32 inside) and DM21056 (MLX90641 inside) data sheets. Line: 8N1, 115200 baud, a frame
every 500 ms::

    AA 55 06  X Y  SUM      SUM = low byte of the sum of the five bytes before
      int_dec (IDC-50):  X the whole degrees, Y the tenth:  24 07 = 36.7
      bcd (DM21056):     four decimal digits, tenths:       03 70 = 37.0

The module tells only its own "body" figure; there is neither a raw object temperature nor an ambient one. So the
event is a :class:`BodyHint`, which nothing can mistake for a reading. Set to the wrong coding, the driver yields
240.6 degC or a fault, which nobody can take for skin.
"""

from __future__ import annotations

from enum import StrEnum

from drivers.devices import BodyHint, DeviceEvent, DeviceFault, FaultKind
from drivers.thermometers.framing import SummedDecoder
from drivers.thermometers.stream import StreamConversation

HEADER = bytes.fromhex("aa5506")
FRAME_BYTES = 6
MODEL = "AA 55 06 kiosk module"
PERIOD_S = 0.5


class Encoding(StrEnum):
    """Which maker's coding the module speaks."""

    BCD = "bcd"
    INT_DEC = "int_dec"


def encode(body_c: float, encoding: Encoding) -> bytes:
    """The frame for a value of 0.0 to 99.9 degC, rounded to a tenth."""
    tenths = round(body_c * 10)
    if encoding is Encoding.BCD:
        value = bytes.fromhex(f"{tenths:04d}")
    else:
        value = bytes(divmod(tenths, 10))
    body = HEADER + value
    return body + bytes([sum(body) & 0xFF])


class Decoder(SummedDecoder):
    """Bytes in, :class:`BodyHint` out; digits that are none become a transient OUT_OF_RANGE fault."""

    def __init__(self, encoding: Encoding) -> None:
        super().__init__(HEADER, FRAME_BYTES)
        self._encoding = encoding

    def _event(self, frame: bytes, offset: int, at_ns: int) -> DeviceEvent:
        value = frame[3:5]
        digits = value.hex()
        if self._encoding is Encoding.BCD and digits.isdecimal():
            return BodyHint(body_c=int(digits) / 10, at_ns=at_ns, offset=offset)
        if self._encoding is Encoding.INT_DEC and value[1] <= 9:
            return BodyHint(body_c=(value[0] * 10 + value[1]) / 10, at_ns=at_ns, offset=offset)
        detail = f"{MODEL}: raw {digits} is no {self._encoding.value} value; is the module of the other coding?"
        return DeviceFault(kind=FaultKind.OUT_OF_RANGE, detail=detail, at_ns=at_ns, offset=offset, transient=True)


class Aa55KioskConversation(StreamConversation):
    """Two frames are the proof; a module of 2 Hz is silent after 1.2 s."""

    def __init__(self, encoding: Encoding) -> None:
        super().__init__(
            lambda: Decoder(encoding),
            model=MODEL,
            baud_rates=(115200,),
            period_s=PERIOD_S,
            proof_frames=2,
            proof_timeout_s=1.3,
            silent_after_s=1.2,
        )
