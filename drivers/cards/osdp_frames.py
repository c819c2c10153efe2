"""OSDP version 2: frames, and the Secure Channel over them, for either end of the wire. Sans-I/O.

References: SIA OSDP v2.2, sections 5 (frames) and annexes D and E (Secure Channel); libosdp's and OSDP.Net's tests
(tests/vectors/cards/osdp.json holds whole captured sessions).

    [FF] | 53 | address (bit 7: reply) | LEN (2, LSB first: 53 to the end) | CTRL | [SCB] | code | data | [MAC4] | CRC
    CTRL  bits 0-1 sequence, bit 2 CRC (else one checksum byte), bit 3 a security control block (SCB) follows
    SCB   length, type, ...   11 to 14 set the channel up; 15/16 MAC; 17/18 MAC and encrypted data (command/reply)
    CRC   polynomial 1021, start 1D0F, LSB first          checksum  two's complement of the sum

    S-ENC, S-MAC1, S-MAC2   AES(SCBK, 01 82 | 01 01 | 01 02, RND.A[0:6], zeros)
    client cryptogram       AES(S-ENC, RND.A | RND.B)        server cryptogram   AES(S-ENC, RND.B | RND.A)
    first R-MAC             AES(S-MAC2, AES(S-MAC1, server cryptogram))
    MAC                     CBC over 53 .. data: S-MAC1, the last block S-MAC2; IV: the other side's last MAC
    data                    CBC under S-ENC, padded; IV: the complement of the other side's last MAC
"""

from __future__ import annotations

import binascii
import hmac
from dataclasses import dataclass, field
from enum import IntEnum

from drivers.cards.key_diversification import aes_cbc_decrypt, aes_cbc_encrypt, aes_ecb
from drivers.errors import FrameError

SOM = 0x53
MARK = b"\xff"
MAX_LENGTH = 1440
REPLY = 0x80
DEFAULT_KEY = bytes.fromhex("303132333435363738393A3B3C3D3E3F")
"""SCBK-D: printed in the standard, so that it protects nothing."""


class Code(IntEnum):
    """Commands and replies that the gate uses."""

    POLL = 0x60
    ID = 0x61
    CAP = 0x62
    KEYSET = 0x75
    CHLNG = 0x76
    SCRYPT = 0x77
    ACK = 0x40
    NAK = 0x41
    PDID = 0x45
    PDCAP = 0x46
    RAW = 0x50
    KEYPAD = 0x53
    CCRYPT = 0x76
    RMAC_I = 0x78
    BUSY = 0x79


def crc16(data: bytes) -> bytes:
    """The CRC as sent: LSB first."""
    return binascii.crc_hqx(data, 0x1D0F).to_bytes(2, "little")


def checksum(data: bytes) -> bytes:
    """The one-byte alternative."""
    return bytes((-sum(data) & 0xFF,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """A frame with a right CRC or checksum. ``data`` may be encrypted; ``head`` is what its MAC covers."""

    address: int
    reply: bool
    sequence: int
    code: int
    scb: bytes = b""
    data: bytes = b""
    mac: bytes = b""
    head: bytes = field(default=b"", repr=False)
    at_ns: int = 0
    offset: int = 0

    @property
    def secured(self) -> bool:
        """It carries a MAC."""
        return len(self.scb) >= 2 and 0x15 <= self.scb[1] <= 0x18

    @property
    def encrypted(self) -> bool:
        """Its data are encrypted."""
        return len(self.scb) >= 2 and self.scb[1] in (0x17, 0x18)


def head_of(packet: Packet) -> bytes:
    """53 to the end of the data, with the length that MAC and CRC will make it."""
    body = packet.scb + bytes((packet.code,)) + packet.data
    length = 5 + len(body) + (4 if packet.secured else 0) + 2
    control = packet.sequence | 0x04 | (0x08 if packet.scb else 0)
    address = packet.address | (REPLY if packet.reply else 0)
    return bytes((SOM, address)) + length.to_bytes(2, "little") + bytes((control,)) + body


def encode(packet: Packet, mac: bytes = b"") -> bytes:
    """The bytes of a packet with CRC; ``mac`` are the four bytes of a secured one."""
    whole = head_of(packet) + mac
    return whole + crc16(whole)


class Decoder:
    """Bytes to packets, for any cut of the stream; what is none costs one byte and hides nothing behind it."""

    def __init__(self) -> None:
        self.discarded = 0
        self._buffer = bytearray()
        self._offset = 0

    @property
    def pending(self) -> bool:
        """A frame has begun."""
        return bool(self._buffer)

    def feed(self, data: bytes, at_ns: int) -> list[Packet]:
        """Take the next bytes of the stream."""
        self._buffer += data
        return self._scan(at_ns, at_end=False)

    def silence(self, at_ns: int) -> list[Packet]:
        """A started frame will not be finished; look again inside it."""
        return self._scan(at_ns, at_end=True)

    def _scan(self, at_ns: int, *, at_end: bool) -> list[Packet]:
        packets: list[Packet] = []
        while True:
            start = self._buffer.find(SOM)
            self._drop(len(self._buffer) if start < 0 else start)
            if not self._buffer:
                return packets
            length = self._length()
            if length is None:
                if not at_end:
                    return packets
                self._drop(1)
                continue
            packet = self._parse(length, at_ns) if length else None
            if packet is None:
                self._drop(1)
                continue
            packets.append(packet)
            del self._buffer[:length]
            self._offset += length

    def _length(self) -> int | None:
        """Of the whole frame; 0 when it cannot be one, None when more bytes are needed."""
        if len(self._buffer) < 5:
            return None
        length = int.from_bytes(self._buffer[2:4], "little")
        if not 7 <= length <= MAX_LENGTH:
            return 0
        return length if len(self._buffer) >= length else None

    def _parse(self, length: int, at_ns: int) -> Packet | None:
        frame = bytes(self._buffer[:length])
        control = frame[4]
        tail = 2 if control & 0x04 else 1
        if frame[-tail:] != (crc16 if control & 0x04 else checksum)(frame[:-tail]):
            return None
        body = frame[5:-tail]
        scb = body[: body[0]] if control & 0x08 and body else b""
        if (control & 0x08) and (len(scb) < 2 or len(scb) != body[0]):
            return None
        body = body[len(scb) :]
        secured = len(scb) >= 2 and 0x15 <= scb[1] <= 0x18
        mac = body[-4:] if secured else b""
        content = body[: len(body) - len(mac)]
        if not content or (secured and len(body) < 5):
            return None
        return Packet(
            address=frame[1] & 0x7F,
            reply=bool(frame[1] & REPLY),
            sequence=control & 0x03,
            code=content[0],
            scb=scb,
            data=content[1:],
            mac=mac,
            head=frame[: length - tail - len(mac)],
            at_ns=at_ns,
            offset=self._offset,
        )

    def _drop(self, count: int) -> None:
        self.discarded += count - self._buffer.count(MARK, 0, count)
        del self._buffer[:count]
        self._offset += count


def _inverted(block: bytes) -> bytes:
    return bytes(byte ^ 0xFF for byte in block)


class SecureChannel:
    """Keys and MAC chain of one session; both ends hold the same. The SCBK has 16 bytes."""

    def __init__(self, scbk: bytes, rnd_a: bytes, rnd_b: bytes) -> None:
        salt = rnd_a[:6] + bytes(8)
        self.s_enc, self.s_mac1, self.s_mac2 = (
            aes_ecb(scbk, head + salt) for head in (b"\x01\x82", b"\x01\x01", b"\x01\x02")
        )
        self.client_cryptogram = aes_ecb(self.s_enc, rnd_a + rnd_b)
        self.server_cryptogram = aes_ecb(self.s_enc, rnd_b + rnd_a)
        self.r_mac = aes_ecb(self.s_mac2, aes_ecb(self.s_mac1, self.server_cryptogram))
        self.c_mac = bytes(16)

    def seal(self, packet: Packet) -> bytes:
        """The bytes of a packet of SCB type 15 to 18; its MAC moves the chain on."""
        if packet.encrypted:
            other = self.c_mac if packet.reply else self.r_mac
            padded = packet.data + b"\x80"
            padded += bytes(-len(padded) % 16)
            sealed = aes_cbc_encrypt(self.s_enc, _inverted(other), padded)
            packet = Packet(
                address=packet.address,
                reply=packet.reply,
                sequence=packet.sequence,
                code=packet.code,
                scb=packet.scb,
                data=sealed,
            )
        mac = self._mac(head_of(packet), reply=packet.reply)
        self._move_on(mac, reply=packet.reply)
        return encode(packet, mac[:4])

    def open(self, packet: Packet) -> bytes:
        """The plain data of a secured packet. Raises FrameError when MAC or padding is wrong; the chain then stays."""
        mac = self._mac(packet.head, reply=packet.reply)
        if not packet.secured or not hmac.compare_digest(mac[:4], packet.mac):
            raise FrameError("OSDP Secure Channel", seen="a wrong MAC", expected="the session's")
        data = packet.data
        if packet.encrypted:
            if not data or len(data) % 16:
                raise FrameError("OSDP Secure Channel", seen=f"{len(data)} encrypted bytes", expected="whole blocks")
            other = self.c_mac if packet.reply else self.r_mac
            plain = aes_cbc_decrypt(self.s_enc, _inverted(other), data).rstrip(b"\x00")
            if not plain.endswith(b"\x80"):
                raise FrameError("OSDP Secure Channel", seen="no padding", expected="80 and zeros")
            data = plain[:-1]
        self._move_on(mac, reply=packet.reply)
        return data

    def _move_on(self, mac: bytes, *, reply: bool) -> None:
        if reply:
            self.r_mac = mac
        else:
            self.c_mac = mac

    def _mac(self, message: bytes, *, reply: bool) -> bytes:
        if len(message) % 16:
            message += b"\x80"
            message += bytes(-len(message) % 16)
        iv = self.c_mac if reply else self.r_mac
        if len(message) > 16:
            iv = aes_cbc_encrypt(self.s_mac1, iv, message[:-16])[-16:]
        return aes_cbc_encrypt(self.s_mac2, iv, message[-16:])
