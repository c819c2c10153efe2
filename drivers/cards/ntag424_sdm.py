"""The rolling code of an NTAG 424 DNA: secure dynamic messaging (SDM), also called SUN.

Reference: NXP AN12196 "NTAG 424 DNA and NTAG 424 DNA TagTamper features and hints", section 3; the data sheet's
section 9.3. At each reading the card puts into its text, at fixed places,

    PICCData     AES-CBC(K_meta, IV 0):  C7 | UID (7) | SDMReadCtr (3, LSB first) | random (5)
    SDMMAC       the odd bytes of AES-CMAC(KSesMAC, text between the two offsets)
    SV1 / SV2    C3 3C 00 01 00 80 / 3C C3 00 01 00 80 | UID | SDMReadCtr (LSB first)
    KSesENC/MAC  AES-CMAC(K_file, SV1) / AES-CMAC(K_file, SV2)
    file data    AES-CBC(KSesENC, IV = AES-ECB(KSesENC, SDMReadCtr (LSB first) | 13 zero bytes))

The counter is LSB first in all of these, but MSB first where it is mirrored in plain. A copied text is worth
nothing once its counter has been used; texts collected ahead from the card are (see ``docs/cards.md``).
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass

from drivers.cards.key_diversification import aes_cbc_decrypt, aes_cmac, aes_ecb

PICC_TAG = 0xC7  # UID mirrored, counter mirrored, UID of 7 bytes
COUNTER_MAX = 0xFFFFFF
MAX_TEXT = 512
_TEXT = re.compile(r"https?://[^\s?#]{1,200}\?d=(?P<d>[0-9A-Fa-f]{32})&c=(?P<c>[0-9A-Fa-f]{16})")


@dataclass(frozen=True, slots=True)
class PiccData:
    """Who the card says it is, and how often it was read (0 to 16777215)."""

    uid: bytes
    read_ctr: int


@dataclass(frozen=True, slots=True)
class SunText:
    """The two secured parts of a card's text."""

    picc_data: bytes
    mac: bytes


def parse_sun_text(text: str) -> SunText | None:
    """``https://gate.example/p?d=<32 hex>&c=<16 hex>``, hex in either case; None for any other text."""
    if len(text) > MAX_TEXT:
        return None
    match = _TEXT.fullmatch(text)
    return SunText(bytes.fromhex(match["d"]), bytes.fromhex(match["c"])) if match else None


def decrypt_picc_data(meta_key: bytes, picc_data: bytes) -> PiccData | None:
    """UID and counter; None when the tag byte is not C7: a wrong key, so that the UID must not be used."""
    plain = aes_cbc_decrypt(meta_key, bytes(16), picc_data)
    if plain[0] != PICC_TAG:
        return None
    return PiccData(plain[1:8], int.from_bytes(plain[8:11], "little"))


def _session_key(file_key: bytes, head: str, picc: PiccData) -> bytes:
    return aes_cmac(file_key, bytes.fromhex(head) + picc.uid + picc.read_ctr.to_bytes(3, "little"))


def session_enc_key(file_key: bytes, picc: PiccData) -> bytes:
    """KSesSDMFileReadENC."""
    return _session_key(file_key, "C33C00010080", picc)


def session_mac_key(file_key: bytes, picc: PiccData) -> bytes:
    """KSesSDMFileReadMAC."""
    return _session_key(file_key, "3CC300010080", picc)


def truncated(cmac: bytes) -> bytes:
    """The eight bytes of a CMAC that NXP sends: 1, 3, 5 .. 15."""
    return cmac[1::2]


def sdm_mac(file_key: bytes, picc: PiccData, mac_input: bytes = b"") -> bytes:
    """The MAC that the card must show; ``mac_input`` is the ASCII text between the offsets, empty by default."""
    return truncated(aes_cmac(session_mac_key(file_key, picc), mac_input))


def mac_is_right(file_key: bytes, picc: PiccData, mac: bytes, mac_input: bytes = b"") -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(sdm_mac(file_key, picc, mac_input), mac)


def decrypt_file_data(file_key: bytes, picc: PiccData, data: bytes) -> bytes:
    """SDMENCFileData, whole blocks, to what was written in the file."""
    key = session_enc_key(file_key, picc)
    iv = aes_ecb(key, picc.read_ctr.to_bytes(3, "little") + bytes(13))
    return aes_cbc_decrypt(key, iv, data)
