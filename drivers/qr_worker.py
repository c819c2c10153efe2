"""The child process around libzbar: frames in through shared memory, symbols out through a pipe.

libzbar has crashed and looped on crafted codes (double free, pyzbar issue 83; endless loop, zbar issue 184), and
what a camera sees is hostile, so it never runs inside the kiosk. This file imports nothing of Gatepost: it is
started by its path in an isolated interpreter, quickly, by :mod:`drivers.qr_child`.

Wire, little-endian::

    child -> parent  once    b"RDY1" | b"NONE"           NONE: pyzbar or libzbar is missing, and the child ends
    parent -> child  ask     u32 number, u32 width, u32 height     the frame lies at the start of the memory
    child -> parent  answer  u32 number, u16 symbols, then for each symbol
                             8 x f32 corners (x, y; clockwise from the top left), u16 length, bytes

Text is taken from zbar in binary mode (``ZBAR_CFG_BINARY``, zbar 0.23.1 and later): otherwise zbar guesses a
character set and rewrites the bytes (pyzbar issues 14 and 82). Light-on-dark codes are tested too.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import struct
import sys
from typing import Any

ASK = struct.Struct("<III")
ANSWER = struct.Struct("<IH")
SYMBOL = struct.Struct("<8fH")
READY, MISSING = b"RDY1", b"NONE"
MAX_SYMBOLS = 64
MAX_TEXT_BYTES = 7089  # the most that a version 40-L symbol holds, in digits
MEMORY_LIMIT_BYTES = 1 << 30

_GRAY_FOURCC = 0x30303859  # 'Y800'
_QRCODE = 64
_CFG_ENABLE, _CFG_BINARY, _CFG_TEST_INVERTED = 0, 4, 0x81
_ALL_SYMBOLS = 0
_PR_SET_PDEATHSIG, _SIGKILL = 1, 9


class ZBar:
    """One libzbar scanner for QR symbols only, through pyzbar's bindings."""

    def __init__(self) -> None:
        """Raises ImportError when pyzbar or the shared library is missing."""
        from pyzbar import wrapper  # type: ignore[import-untyped, unused-ignore]

        self._z: Any = wrapper
        self._scanner = wrapper.zbar_image_scanner_create()
        configure = wrapper.LIBZBAR.zbar_image_scanner_set_config
        configure(self._scanner, _ALL_SYMBOLS, _CFG_ENABLE, 0)
        configure(self._scanner, _QRCODE, _CFG_ENABLE, 1)
        configure(self._scanner, _QRCODE, _CFG_BINARY, 1)
        configure(self._scanner, _ALL_SYMBOLS, _CFG_TEST_INVERTED, 1)

    def read(self, address: int, width: int, height: int) -> list[tuple[tuple[float, ...], bytes]]:
        """The symbols in the ``width * height`` gray bytes at ``address``: eight corner figures and the bytes."""
        z = self._z
        image = z.zbar_image_create()
        try:
            z.zbar_image_set_format(image, _GRAY_FOURCC)
            z.zbar_image_set_size(image, width, height)
            z.zbar_image_set_data(image, ctypes.c_void_p(address), width * height, None)
            z.zbar_scan_image(self._scanner, image)
            found: list[tuple[tuple[float, ...], bytes]] = []
            symbol = z.zbar_image_first_symbol(image)
            while symbol and len(found) < MAX_SYMBOLS:
                data = ctypes.string_at(z.zbar_symbol_get_data(symbol), z.zbar_symbol_get_data_length(symbol))
                if z.zbar_symbol_get_loc_size(symbol) == 4 and len(data) <= MAX_TEXT_BYTES:
                    # zbar lists top left, bottom left, bottom right, top right
                    corners = (
                        float(place(symbol, corner))
                        for corner in (0, 3, 2, 1)
                        for place in (z.zbar_symbol_get_loc_x, z.zbar_symbol_get_loc_y)
                    )
                    found.append((tuple(corners), data))
                symbol = z.zbar_symbol_next(symbol)
            return found
        finally:
            z.zbar_image_destroy(image)


def _confine() -> None:
    """No core file (it would hold the frame), no file output, bounded memory, gone with the parent."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL)


def _read_exactly(fd: int, size: int) -> bytes:
    """``size`` bytes, or fewer when the parent closed the pipe."""
    data = b""
    while len(data) < size:
        part = os.read(fd, size - len(data))
        if not part:
            break
        data += part
    return data


def serve(memory_fd: int, memory_bytes: int) -> None:
    """Answer until the parent closes the pipe."""
    try:
        zbar = ZBar()
    except ImportError:
        os.write(1, MISSING)
        return
    memory = mmap.mmap(memory_fd, memory_bytes)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    _confine()
    os.write(1, READY)
    while len(ask := _read_exactly(0, ASK.size)) == ASK.size:
        number, width, height = ASK.unpack(ask)
        found = zbar.read(address, width, height) if 0 < width * height <= memory_bytes else []
        answer = b"".join(SYMBOL.pack(*corners, len(data)) + data for corners, data in found)
        os.write(1, ANSWER.pack(number, len(found)) + answer)


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
