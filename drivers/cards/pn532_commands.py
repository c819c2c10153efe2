"""What is asked of a PN532, each as a whole frame, and its answer to the search for cards.

Reference: NXP UM0701-02 "PN532 User Manual", sections 7.2.2 (GetFirmwareVersion), 7.2.10 (SAMConfiguration), 7.3.1
(RFConfiguration), 7.3.5 (InListPassiveTarget), 7.3.8 (InDataExchange), 7.3.9 (InCommunicateThru); the wake-up as
libnfc, nfcpy and Adafruit send it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from drivers.cards.pn532_frames import HOST_TFI, frame
from drivers.cards.pn532_type_b import ALL_FAMILIES, TYPE_B_106
from drivers.errors import FrameError

WAKE_UP = b"\x55\x55" + bytes(14)


class Code(IntEnum):
    """Command codes (UM0701-02, section 7); the answer's code is one higher."""

    GET_FIRMWARE_VERSION = 0x02
    SAM_CONFIGURATION = 0x14
    RF_CONFIGURATION = 0x32
    IN_DATA_EXCHANGE = 0x40
    IN_COMMUNICATE_THRU = 0x42
    IN_LIST_PASSIVE_TARGET = 0x4A


def command(code: int, params: bytes = b"") -> bytes:
    """A whole command frame from the host."""
    return frame(bytes((HOST_TFI, code)) + params)


def get_firmware_version() -> bytes:
    """Asks for IC, version, revision, support: what proves that a PN532 is there."""
    return command(Code.GET_FIRMWARE_VERSION)


def sam_configuration() -> bytes:
    """Normal mode, no security module: must be the first command after the wake-up."""
    return command(Code.SAM_CONFIGURATION, b"\x01")


def field_off() -> bytes:
    """Switches the field off: every card in it loses power and forgets where it was."""
    return command(Code.RF_CONFIGURATION, b"\x01\x00")


def limit_activation_tries(tries: int) -> bytes:
    """MaxRetries: ATR and PSL as after reset; a poll gives up after ``tries`` + 1 attempts instead of never."""
    return command(Code.RF_CONFIGURATION, bytes((0x05, 0xFF, 0x01, tries)))


def in_list_passive_target(max_targets: int = 2) -> bytes:
    """Looks for up to two ISO/IEC 14443 type A cards at 106 kbit/s, and runs RATS with those that know it."""
    return command(Code.IN_LIST_PASSIVE_TARGET, bytes((max_targets, 0x00)))


def in_list_type_b() -> bytes:
    """Looks for one ISO/IEC 14443 type B card of any family at 106 kbit/s."""
    return command(Code.IN_LIST_PASSIVE_TARGET, bytes((1, TYPE_B_106, ALL_FAMILIES)))


def in_communicate_thru(data: bytes) -> bytes:
    """These bytes to the card as they are, with a checksum and without the chip's protocol."""
    return command(Code.IN_COMMUNICATE_THRU, data)


def in_data_exchange(target: int, apdu: bytes) -> bytes:
    """One APDU to a listed card. Raises FrameError over 262 bytes (no card of ours needs more)."""
    return command(Code.IN_DATA_EXCHANGE, bytes((target,)) + apdu)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One card of an InListPassiveTarget answer, the UID MSB first; ``tg`` is its number in later commands."""

    tg: int
    atqa: int
    sak: int
    uid: bytes
    ats: bytes = b""

    @property
    def random_uid(self) -> bool:
        """Four bytes beginning 08 are drawn afresh at each power-up (ISO/IEC 14443-3, 6.5.4)."""
        return len(self.uid) == 4 and self.uid[0] == 0x08


def parse_targets(data: bytes) -> tuple[Target, ...]:
    """The cards of an InListPassiveTarget answer (its data without the code 4B). Raises FrameError."""
    wrong = FrameError("PN532 list of cards", seen=data.hex(), expected="NbTg, then Tg ATQA SAK length UID ATS")
    if not data or data[0] > 2:
        raise wrong
    targets = []
    at = 1
    for _ in range(data[0]):
        if len(data) < at + 5:
            raise wrong
        tg, atqa, sak, uid_length = data[at], data[at + 1] * 256 + data[at + 2], data[at + 3], data[at + 4]
        uid = data[at + 5 : at + 5 + uid_length]
        at += 5 + uid_length
        if uid_length not in (4, 7, 10) or len(uid) != uid_length:
            raise wrong
        ats = b""
        # ISO/IEC 14443-4: the chip has asked for the ATS; its first byte is its length.
        if sak & 0x20 and at < len(data):
            ats = data[at : at + data[at]]
            if not data[at] or len(ats) != data[at]:
                raise wrong
            at += data[at]
        targets.append(Target(tg=tg, atqa=atqa, sak=sak, uid=uid, ats=ats))
    return tuple(targets)
