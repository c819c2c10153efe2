"""An NTAG 424 DNA that really has files, keys, a counter and the cryptography of its data sheet.

Reference: NXP NTAG 424 DNA data sheet (NT4H2421Gx), sections 8, 9 and 10; AN12196. What it does not have: the delay
after failed authentications, the random UID mode, LRP, GetVersion. A command that it does not know is 6D00 or 911C,
as on the real card. Each command is carried out whole or not at all, also when the field goes away: the real card
promises the same.
"""

from __future__ import annotations

import binascii
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA224
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from drivers.cards import ntag424_sdm as sdm
from drivers.cards.key_diversification import aes_cbc_decrypt, aes_cbc_encrypt
from drivers.cards.ntag424 import APPLICATION, ndef_of_uri
from drivers.cards.ntag424_ev2 import Ev2Session, padded, rotated, session_of, unpadded
from drivers.errors import DeviceError

ATS = bytes.fromhex("067777710280")
FREE, NEVER = 0xE, 0xF
PLAIN, MAC, FULL = 0x00, 0x01, 0x03

_STATUS_OK = 0x00
_ILLEGAL_COMMAND = 0x1C
_INTEGRITY_ERROR = 0x1E
_NO_SUCH_KEY = 0x40
_LENGTH_ERROR = 0x7E
_PERMISSION_DENIED = 0x9D
_PARAMETER_ERROR = 0x9E
_AUTHENTICATION_ERROR = 0xAE
_ADDITIONAL_FRAME = 0xAF
_BOUNDARY_ERROR = 0xBE
_FILE_NOT_FOUND = 0xF0


class _RefusedError(Exception):
    """The card answers with this status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"91{status:02X}")
        self.status = status


@dataclass(slots=True)
class Sdm:
    """Secure dynamic messaging of a file: which keys, and where the mirrors stand. Encrypted PICCData only."""

    meta_key_no: int
    file_key_no: int
    picc_data_offset: int
    mac_input_offset: int
    mac_offset: int


@dataclass(slots=True)
class File:
    """A standard data file; the four rights are key numbers, E for free, F for never."""

    iso_id: bytes
    data: bytearray
    read: int = FREE
    write: int = 0
    read_write: int = 0
    change: int = 0
    mode: int = PLAIN
    sdm: Sdm | None = None
    settings: bytes = b""


def factory_files() -> dict[int, File]:
    """Capability container, NDEF file, proprietary file, as they leave the factory (data sheet, 8.2.3)."""
    container = bytes.fromhex("001720010000FF0406E104010000000506E10500808283000000000000000000")
    return {
        1: File(b"\xe1\x03", bytearray(container), write=0),
        2: File(b"\xe1\x04", bytearray(256), write=FREE, read_write=FREE),
        3: File(b"\xe1\x05", bytearray(128), read=2, write=3, read_write=3, mode=FULL),
    }


@dataclass(slots=True)
class NtagCard:
    """One card. ``keys`` and ``versions`` are by key number 0 to 4; a new card has zeros for all."""

    uid: bytes
    keys: dict[int, bytes] = field(default_factory=lambda: dict.fromkeys(range(5), bytes(16)), repr=False)
    versions: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(5), 0))
    files: dict[int, File] = field(default_factory=factory_files)
    read_ctr: int = 0
    maker: ec.EllipticCurvePrivateKey | None = field(default=None, repr=False)
    random_bytes: Callable[[int], bytes] = secrets.token_bytes
    atqa: int = 0x0344
    sak: int = 0x20
    ats: bytes = ATS
    _selected: bool = False
    _file: int | None = None
    _counted: bool = False
    _session: Ev2Session | None = None
    _key_no: int | None = None
    _challenge: tuple[int, bytes] | None = None
    _salt: bytes = b""

    # --- the air ------------------------------------------------------------------------------------------------

    def power_off(self) -> None:
        """Out of the field: files, keys and counter stay, everything else is forgotten."""
        self._selected = False
        self._file = None
        self._counted = False
        self._forget_session()

    def _forget_session(self) -> None:
        self._session = self._key_no = self._challenge = None

    def apdu(self, command: bytes) -> bytes:
        """Answer one command APDU, status word included."""
        if len(command) < 4:
            return b"\x67\x00"
        if command[0] == 0x00:
            return self._iso(command)
        if command[0] != 0x90 or not self._selected:
            return b"\x6e\x00" if command[0] != 0x90 else b"\x91\x1c"
        data = command[5 : 5 + command[4]] if len(command) > 5 else b""
        code, challenge = command[1], self._challenge
        self._challenge = None
        try:
            if code == 0x71:
                return self._challenged(data)
            if code == 0xAF and challenge is not None:
                return self._authenticated(challenge, data)
            return self._native(code, data)
        except _RefusedError as refused:
            self._forget_session()
            return bytes((0x91, refused.status))

    # --- ISO/IEC 7816-4 -----------------------------------------------------------------------------------------

    def _iso(self, command: bytes) -> bytes:
        code, p1, p2 = command[1], command[2], command[3]
        body = command[5:]
        if code == 0xA4 and p1 == 0x04:
            self.power_off()
            self._selected = body[: command[4]] == APPLICATION if len(command) > 5 else False
            return b"\x90\x00" if self._selected else b"\x6a\x82"
        if not self._selected:
            return b"\x69\x85" if code in (0xA4, 0xB0, 0xD6) else b"\x6d\x00"
        if code == 0xA4:
            self._file = next((n for n, file in self.files.items() if file.iso_id == body[:2]), None)
            self._counted = False
            self._forget_session()
            return b"\x90\x00" if self._file is not None else b"\x6a\x82"
        file = self.files.get(self._file or 0)
        if code not in (0xB0, 0xD6):
            return b"\x6d\x00"
        if file is None:
            return b"\x69\x86"
        offset = p1 << 8 | p2
        if code == 0xB0:
            if FREE not in (file.read, file.read_write):
                return b"\x69\x82"
            data = self._mirrored(file)[offset : offset + (command[4] if len(command) > 4 and command[4] else 256)]
            return data + b"\x90\x00" if data else b"\x6a\x82"
        if FREE not in (file.write, file.read_write):
            return b"\x69\x82"
        if offset + len(body) > len(file.data):
            return b"\x67\x00"
        file.data[offset : offset + len(body)] = body
        return b"\x90\x00"

    def _mirrored(self, file: File) -> bytes:
        """The file as an unauthenticated reader sees it; the first reading of a selection counts."""
        if file.sdm is None or self._session is not None:
            return bytes(file.data)
        if not self._counted:
            if self.read_ctr >= sdm.COUNTER_MAX:
                return b""
            self.read_ctr += 1
            self._counted = True
            self._salt = self.random_bytes(5)
        place, data = file.sdm, bytearray(file.data)
        picc = sdm.PiccData(self.uid, self.read_ctr)
        plain = bytes((sdm.PICC_TAG,)) + self.uid + self.read_ctr.to_bytes(3, "little") + self._salt
        hidden = aes_cbc_encrypt(self.keys[place.meta_key_no], bytes(16), plain).hex().upper().encode()
        data[place.picc_data_offset : place.picc_data_offset + 32] = hidden
        mac_input = bytes(data[place.mac_input_offset : place.mac_offset])
        mac = sdm.sdm_mac(self.keys[place.file_key_no], picc, mac_input).hex().upper().encode()
        data[place.mac_offset : place.mac_offset + 16] = mac
        return bytes(data)

    # --- authentication -----------------------------------------------------------------------------------------

    def _challenged(self, data: bytes) -> bytes:
        self._forget_session()
        if len(data) < 2:
            raise _RefusedError(_LENGTH_ERROR)
        if data[0] not in self.keys:
            raise _RefusedError(_NO_SUCH_KEY)
        rnd_b = self.random_bytes(16)
        self._challenge = (data[0], rnd_b)
        return aes_cbc_encrypt(self.keys[data[0]], bytes(16), rnd_b) + bytes((0x91, _ADDITIONAL_FRAME))

    def _authenticated(self, challenge: tuple[int, bytes], data: bytes) -> bytes:
        key_no, rnd_b = challenge
        if len(data) != 32:
            raise _RefusedError(_LENGTH_ERROR)
        key = self.keys[key_no]
        plain = aes_cbc_decrypt(key, bytes(16), data)
        if plain[16:] != rotated(rnd_b):
            raise _RefusedError(_AUTHENTICATION_ERROR)
        ti = self.random_bytes(4)
        self._session, self._key_no = session_of(key, plain[:16], rnd_b, ti), key_no
        return aes_cbc_encrypt(key, bytes(16), ti + rotated(plain[:16]) + bytes(12)) + b"\x91\x00"

    # --- native commands ----------------------------------------------------------------------------------------

    def _native(self, code: int, data: bytes) -> bytes:
        match code:
            case 0x64:
                return self._answered(bytes((self._version(self._checked(code, data)),)))
            case 0x51:
                self._checked(code, data, authenticated=True)
                return self._answered(self.uid, full=True)
            case 0x3C:
                return self._answered(self._signature(self._checked(code, data)), full=True)
            case 0xC4:
                return self._change_key(*self._opened(code, data, header=1))
            case 0x5F:
                self._change_settings(*self._opened(code, data, header=1))
                return self._answered(b"")
            case 0x8D:
                return self._write(data)
            case 0xAD:
                return self._read(data)
            case _:
                raise _RefusedError(_ILLEGAL_COMMAND)

    def _checked(self, code: int, data: bytes, *, authenticated: bool = False) -> bytes:
        """The data of a command in MAC mode (in plain without a session)."""
        if self._session is None:
            if authenticated:
                raise _RefusedError(_AUTHENTICATION_ERROR)
            return data
        body, mac = data[:-8], data[-8:]
        if self._session.mac(code, body, self._session.cmd_ctr) != mac:
            raise _RefusedError(_INTEGRITY_ERROR)
        return body

    def _opened(self, code: int, data: bytes, *, header: int) -> tuple[bytes, bytes]:
        """Header and decrypted data of a command in full mode."""
        body = self._checked(code, data, authenticated=True)
        session = self._session
        if session is None or len(body) <= header or (len(body) - header) % 16:
            raise _RefusedError(_LENGTH_ERROR)
        plain = aes_cbc_decrypt(session.k_enc, session.iv(b"\xa5\x5a", session.cmd_ctr), body[header:])
        try:
            return body[:header], unpadded(plain)
        except DeviceError as error:
            raise _RefusedError(_INTEGRITY_ERROR) from error

    def _answered(self, data: bytes, *, full: bool = False) -> bytes:
        session = self._session
        if session is None:
            return data + b"\x91\x00"
        session.cmd_ctr += 1
        if full and data:
            data = aes_cbc_encrypt(session.k_enc, session.iv(b"\x5a\xa5", session.cmd_ctr), padded(data))
        return data + session.mac(_STATUS_OK, data, session.cmd_ctr) + b"\x91\x00"

    def _version(self, data: bytes) -> int:
        if not data or data[0] not in self.versions:
            raise _RefusedError(_NO_SUCH_KEY)
        return self.versions[data[0]]

    def _signature(self, data: bytes) -> bytes:
        if data != b"\x00":
            raise _RefusedError(_PARAMETER_ERROR)
        if self.maker is None:
            return bytes(56)
        der = self.maker.sign(self.uid.rjust(28, b"\x00"), ec.ECDSA(Prehashed(SHA224())))
        r, s = decode_dss_signature(der)
        return r.to_bytes(28) + s.to_bytes(28)

    def _change_key(self, header: bytes, plain: bytes) -> bytes:
        key_no = header[0]
        if self._key_no != 0:
            raise _RefusedError(_AUTHENTICATION_ERROR)
        if key_no not in self.keys:
            raise _RefusedError(_NO_SUCH_KEY)
        if key_no == 0:
            if len(plain) != 17:
                raise _RefusedError(_LENGTH_ERROR)
            self.keys[0], self.versions[0] = plain[:16], plain[16]
            self._forget_session()  # the session rested on the old key
            return b"\x91\x00"
        if len(plain) != 21:
            raise _RefusedError(_LENGTH_ERROR)
        key = bytes(a ^ b for a, b in zip(plain[:16], self.keys[key_no], strict=True))
        if jam_crc32(key) != plain[17:]:
            raise _RefusedError(_INTEGRITY_ERROR)
        self.keys[key_no], self.versions[key_no] = key, plain[16]
        return self._answered(b"")

    def _change_settings(self, header: bytes, plain: bytes) -> None:
        file = self._numbered(header[0])
        if self._key_no != file.change:
            raise _RefusedError(_AUTHENTICATION_ERROR if file.change != NEVER else _PERMISSION_DENIED)
        if len(plain) < 3:
            raise _RefusedError(_LENGTH_ERROR)
        option, low, high = plain[0], plain[1], plain[2]
        mirrors = _sdm_of(plain[3:], len(file.data)) if option & 0x40 else None
        file.sdm, file.mode = mirrors, option & 0x03
        file.read_write, file.change, file.read, file.write = low >> 4, low & 0xF, high >> 4, high & 0xF
        file.settings = plain

    def _numbered(self, number: int) -> File:
        file = self.files.get(number)
        if file is None:
            raise _RefusedError(_FILE_NOT_FOUND)
        return file

    def _write(self, data: bytes) -> bytes:
        """WriteData: file number, offset, length, data; in the file's own mode when a key is asked for."""
        file = self._numbered(data[0] if data else 0)
        free = FREE in (file.write, file.read_write)
        if not free and self._key_no not in (file.write, file.read_write):
            raise _RefusedError(_AUTHENTICATION_ERROR)
        if free and self._session is None:
            header, body = data[:7], data[7:]
        elif file.mode == FULL:
            header, body = self._opened(0x8D, data, header=7)
        else:
            checked = self._checked(0x8D, data)
            header, body = checked[:7], checked[7:]
        offset, length = _offset_and_length(header)
        if length != len(body) or offset + length > len(file.data):
            raise _RefusedError(_BOUNDARY_ERROR)
        file.data[offset : offset + length] = body
        return self._answered(b"")

    def _read(self, data: bytes) -> bytes:
        """ReadData: file number, offset, length (0: to the end)."""
        file = self._numbered(data[0] if data else 0)
        if FREE not in (file.read, file.read_write) and self._key_no not in (file.read, file.read_write):
            raise _RefusedError(_AUTHENTICATION_ERROR)
        offset, length = _offset_and_length(self._checked(0xAD, data))
        content = self._mirrored(file)
        return self._answered(content[offset : offset + length if length else None], full=file.mode == FULL)


def jam_crc32(data: bytes) -> bytes:
    """The CRC of ChangeKey: CRC-32 without its final inversion, least significant byte first."""
    return (binascii.crc32(data) ^ 0xFFFFFFFF).to_bytes(4, "little")


def _offset_and_length(header: bytes) -> tuple[int, int]:
    if len(header) != 7:
        raise _RefusedError(_LENGTH_ERROR)
    return int.from_bytes(header[1:4], "little"), int.from_bytes(header[4:7], "little")


def _sdm_of(plain: bytes, size: int) -> Sdm:
    """The SDM part of ChangeFileSettings; only UID and counter, encrypted, with a MAC (options C1)."""
    if len(plain) != 12 or plain[0] != 0xC1:
        raise _RefusedError(_PARAMETER_ERROR)
    meta_key_no, file_key_no = plain[2] >> 4, plain[2] & 0xF
    picc_data, mac_input, mac = (int.from_bytes(plain[at : at + 3], "little") for at in (3, 6, 9))
    if max(meta_key_no, file_key_no) > 4 or mac_input > mac or max(picc_data + 32, mac + 16) > size:
        raise _RefusedError(_PARAMETER_ERROR)
    return Sdm(meta_key_no, file_key_no, picc_data, mac_input, mac)


def public_key_of(maker: ec.EllipticCurvePrivateKey) -> bytes:
    """The uncompressed point under which this maker's originality signatures verify."""
    return maker.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


@dataclass(slots=True)
class RecordedCard:
    """A device that shows a card's number and plays the file that was read from it; of keys it knows nothing."""

    uid: bytes
    file: bytes = field(repr=False)
    atqa: int = 0x0344
    sak: int = 0x20
    ats: bytes = ATS

    def power_off(self) -> None:
        """Nothing to forget."""

    def apdu(self, command: bytes) -> bytes:
        """It has the application and the file; a challenge it does not know."""
        if command[:2] == b"\x00\xa4":
            return b"\x90\x00"
        if command[:2] != b"\x00\xb0" or len(command) != 5:
            return b"\x6d\x00"
        start = command[2] << 8 | command[3]
        return self.file[start : start + (command[4] or 256)] + b"\x90\x00"


def recorded(card: NtagCard) -> RecordedCard:
    """What anybody makes who holds the card for a second: it counts as a reading."""
    for apdu in (b"\x00\xa4\x04\x00\x07" + APPLICATION, b"\x00\xa4\x00\x0c\x02\xe1\x04"):
        card.apdu(apdu)
    file = card.apdu(b"\x00\xb0\x00\x00\x00")[:-2]
    card.power_off()
    return RecordedCard(card.uid, file)


def personalised(
    uid: bytes,
    *,
    gate_key: bytes,
    file_key: bytes,
    meta_key: bytes,
    sealed_gate_key: bytes = bytes(16),
    address: str = "https://gate.example/p",
    read_ctr: int = 0,
    key_version: int = 1,
) -> NtagCard:
    """A card as the issuing desk hands it out, with a master key that nobody knows."""
    message = ndef_of_uri(f"{address}?d={'0' * 32}&c={'0' * 16}")
    text = len(message).to_bytes(2) + message
    mac_offset = len(text) - 16
    card = NtagCard(
        uid,
        keys={0: secrets.token_bytes(16), 1: meta_key, 2: file_key, 3: gate_key, 4: sealed_gate_key},
        versions=dict.fromkeys(range(5), key_version),
        read_ctr=read_ctr,
    )
    file = card.files[2]
    file.data[: len(text)] = text
    file.write = file.read_write = 0
    file.sdm = Sdm(1, 2, mac_offset - 3 - 32, mac_offset, mac_offset)
    return card
