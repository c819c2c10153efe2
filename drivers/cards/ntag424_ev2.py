"""AuthenticateEV2First and the secure messaging after it (NTAG 424 DNA, DESFire EV2 and later), AES-128.

Reference: NXP AN12196 sections 4.4 and 5; NTAG 424 DNA data sheet, sections 9.1.4 to 9.1.10.

    host: 90 71 00 00 02 | key number, 00 | 00         card: E(K, RndB) 91AF
    host: 90 AF 00 00 20 | E(K, RndA | RndB') | 00     card: E(K, TI | RndA' | PDcap2 | PCDcap2) 9100
                                                       ' = rotated left by one byte, E = AES-CBC, IV 0
    SV1 / SV2 = A5 5A / 5A A5 | 00 01 00 80 | RndA[15:14] | RndA[13:8] xor RndB[15:10] | RndB[9:0] | RndA[7:0]
    KSesAuthENC = CMAC(K, SV1)    KSesAuthMAC = CMAC(K, SV2)

    command MAC   CMAC(KSesAuthMAC, code | CmdCtr | TI | header | data), its odd bytes
    answer MAC    CMAC(KSesAuthMAC, status | CmdCtr + 1 | TI | data), its odd bytes
    IV            AES-ECB(KSesAuthENC, A5 5A (command) or 5A A5 (answer) | TI | CmdCtr | 8 zero bytes)

Everything here is bytes and time-free; :mod:`drivers.cards.ntag424` carries it to a card.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from drivers.cards.key_diversification import aes_cbc_decrypt, aes_cbc_encrypt, aes_cmac, aes_ecb
from drivers.cards.ntag424_sdm import truncated
from drivers.errors import DeviceError

OK = b"\x91\x00"
MORE = b"\x91\xaf"
AUTHENTICATION_ERROR = b"\x91\xae"
NO_SUCH_KEY = b"\x91\x40"
AUTHENTICATION_DELAY = b"\x91\xad"

AUTHENTICATE_EV2_FIRST = 0x71
ADDITIONAL_FRAME = 0xAF


class WrongKeyError(DeviceError):
    """The card and we do not hold the same key."""


class FalseProofError(WrongKeyError):
    """The card took our challenge for right and cannot answer its own part: no genuine chip does."""


class NotSupportedError(DeviceError):
    """The card does not know the command: it is no card of this kind."""


def rotated(data: bytes) -> bytes:
    """Left by one byte."""
    return data[1:] + data[:1]


def wrapped(code: int, data: bytes = b"") -> bytes:
    """A native command in its ISO/IEC 7816-4 wrapping."""
    return bytes((0x90, code, 0, 0)) + (bytes((len(data),)) + data if data else b"") + b"\x00"


def session_vectors(rnd_a: bytes, rnd_b: bytes) -> tuple[bytes, bytes]:
    """SV1 (for ENC) and SV2 (for MAC)."""
    mixed = bytes(a ^ b for a, b in zip(rnd_a[2:8], rnd_b[:6], strict=True))
    tail = b"\x00\x01\x00\x80" + rnd_a[:2] + mixed + rnd_b[6:] + rnd_a[8:]
    return b"\xa5\x5a" + tail, b"\x5a\xa5" + tail


def padded(data: bytes) -> bytes:
    """ISO/IEC 9797-1 padding method 2: 80, then zeros to a whole block."""
    data += b"\x80"
    return data + bytes(-len(data) % 16)


def unpadded(data: bytes) -> bytes:
    """The reverse of :func:`padded`. Raises DeviceError where no padding is."""
    stripped = data.rstrip(b"\x00")
    if not stripped.endswith(b"\x80"):
        raise DeviceError("card's answer", seen="no padding after decryption", expected="80 and zeros")
    return stripped[:-1]


@dataclass(slots=True)
class Ev2Session:
    """The state both sides share after an authentication. ``cmd_ctr`` counts the commands, 0 to 65535."""

    ti: bytes
    k_enc: bytes = field(repr=False)
    k_mac: bytes = field(repr=False)
    cmd_ctr: int = 0

    def mac(self, head: int, data: bytes, cmd_ctr: int) -> bytes:
        """Eight bytes over command code or status, counter, TI and data."""
        message = bytes((head,)) + cmd_ctr.to_bytes(2, "little") + self.ti + data
        return truncated(aes_cmac(self.k_mac, message))

    def iv(self, label: bytes, cmd_ctr: int) -> bytes:
        """The IV of a command (A5 5A) or an answer (5A A5)."""
        return aes_ecb(self.k_enc, label + self.ti + cmd_ctr.to_bytes(2, "little") + bytes(8))

    def encrypt_command(self, data: bytes) -> bytes:
        """The data of a command in full mode; nothing stays nothing."""
        return aes_cbc_encrypt(self.k_enc, self.iv(b"\xa5\x5a", self.cmd_ctr), padded(data)) if data else b""

    def command(self, code: int, header: bytes = b"", data: bytes = b"", *, full: bool = False) -> bytes:
        """The APDU with its MAC; in full mode ``data`` is encrypted, ``header`` never."""
        body = header + (self.encrypt_command(data) if full else data)
        return wrapped(code, body + self.mac(code, body, self.cmd_ctr))

    def answer(self, response: bytes, *, full: bool = False) -> bytes:
        """The data of the answer to :meth:`command`; counts on.

        Raises DeviceError for a status other than 9100 and for a wrong MAC.
        """
        data, status = response[:-2], response[-2:]
        if status != OK:
            raise DeviceError("card", seen=f"status {status.hex()}", expected="9100")
        self.cmd_ctr += 1
        body, mac = data[:-8], data[-8:]
        if not hmac.compare_digest(self.mac(status[1], body, self.cmd_ctr), mac):
            raise DeviceError("card's answer", seen="a wrong MAC", expected="the session's")
        if not full or not body:
            return body
        if len(body) % 16:
            raise DeviceError("card's answer", seen=f"{len(body)} encrypted bytes", expected="whole blocks")
        return unpadded(aes_cbc_decrypt(self.k_enc, self.iv(b"\x5a\xa5", self.cmd_ctr), body))


def session_of(key: bytes, rnd_a: bytes, rnd_b: bytes, ti: bytes) -> Ev2Session:
    """The session that both sides derive."""
    sv1, sv2 = session_vectors(rnd_a, rnd_b)
    return Ev2Session(ti, aes_cmac(key, sv1), aes_cmac(key, sv2))


def authenticate_ev2_first(
    key: bytes, key_no: int, random_bytes: Callable[[int], bytes]
) -> Generator[bytes, bytes, Ev2Session]:
    """The exchange: yields APDUs, is sent answers, returns the session.

    ``random_bytes`` is ``secrets.token_bytes`` (a test forces RndA). Raises WrongKeyError (FalseProofError where the
    card pretends), NotSupportedError, and
    DeviceError for an answer of another length or a card that asks to wait (91AD after many failures).
    """
    answer = yield wrapped(AUTHENTICATE_EV2_FIRST, bytes((key_no, 0)))
    status = answer[-2:]
    if status == NO_SUCH_KEY:
        raise WrongKeyError("card", seen=f"no key {key_no}", expected="a personalised card")
    if status == AUTHENTICATION_DELAY:
        raise DeviceError("card", seen="91AD: it waits after failed authentications", hint="hold the card longer")
    if status != MORE:
        raise NotSupportedError("card", seen=f"status {status.hex()}", expected="91AF: AuthenticateEV2First")
    if len(answer) != 18:
        raise DeviceError("card", seen=f"{len(answer) - 2} bytes", expected="16: its random number")
    rnd_b = aes_cbc_decrypt(key, bytes(16), answer[:16])
    rnd_a = random_bytes(16)
    answer = yield wrapped(ADDITIONAL_FRAME, aes_cbc_encrypt(key, bytes(16), rnd_a + rotated(rnd_b)))
    if answer[-2:] == AUTHENTICATION_ERROR:
        raise WrongKeyError("card", seen="91AE: it does not accept our key", expected="the key of its UID")
    if answer[-2:] != OK or len(answer) != 34:
        raise DeviceError("card", seen=f"status {answer[-2:].hex()}, {len(answer) - 2} bytes", expected="9100 and 32")
    plain = aes_cbc_decrypt(key, bytes(16), answer[:32])
    if not hmac.compare_digest(plain[4:20], rotated(rnd_a)):
        raise FalseProofError("card", seen="our random number, wrongly", expected="proof of the key of its UID")
    return session_of(key, rnd_a, rnd_b, plain[:4])
