"""What the gate and the issuing desk say to an NTAG 424 DNA: exchanges over APDUs, without any I/O.

References: NXP NTAG 424 DNA data sheet (NT4H2421Gx), sections 8 (files), 9 (security) and 10 (commands); AN12196;
NFC Forum Type 4 Tag and NDEF specifications.

An exchange is a generator: it yields a command APDU, is sent the card's answer and returns its result, so that the
PN532 conversation, a PC/SC reader and a test can all carry it. Key numbers on a card of ours:

    0  master: changes keys and settings; only at the issuing desk
    1  meta read: one per site; opens UID and counter of the rolling code
    2  file read: per card; the MAC of the rolling code
    3  gate: per card; challenge and response
    4  second gate key: per card, sealed; on no kiosk until the first had to be retired
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA224

from drivers.cards import ntag424_sdm as sdm
from drivers.cards.ntag424_ev2 import FalseProofError, NotSupportedError, WrongKeyError, authenticate_ev2_first
from drivers.devices import CardProof, CardTap, ProofKind, ProofOutcome
from drivers.errors import DeviceError

Exchange = Generator[bytes, bytes, CardProof]

APPLICATION = bytes.fromhex("D2760000850101")
NDEF_FILE = b"\xe1\x04"
OK_ISO = b"\x90\x00"
MASTER_KEY_NO = 0
META_KEY_NO = 1
FILE_KEY_NO = 2
GATE_KEY_NO = 3
SEALED_GATE_KEY_NO = 4

NXP_PUBLIC_KEY = bytes.fromhex(
    "048A9B380AF2EE1B98DC417FECC263F8449C7625CECE82D9B916C992DA209D68422B81EC20B65A66B5102A61596AF3379200599316A00A1410"
)
"""NXP's key for the originality signature of the NTAG 424 DNA (AN12196, section 8.2)."""

_URI_PREFIXES = {0x00: "", 0x01: "http://www.", 0x02: "https://www.", 0x03: "http://", 0x04: "https://"}


@dataclass(frozen=True, slots=True)
class CardKeys:
    """What a kiosk holds of one card: never a master key. 16 bytes each.

    ``gate_key_no`` is 3, or 4 after the first gate keys were retired.
    """

    gate_key: bytes = field(repr=False)
    file_key: bytes = field(repr=False)
    gate_key_no: int = GATE_KEY_NO
    key_version: int = 1


KeysOf = Callable[[bytes], CardKeys | None]
"""The keys of the card with this UID; None where the kiosk holds none."""


# --- exchanges ------------------------------------------------------------------------------------------------


def select_application() -> Generator[bytes, bytes, None]:
    """Choose the NDEF application. Raises NotSupportedError where there is none: a card of another kind."""
    answer = yield bytes.fromhex("00A4040007") + APPLICATION + b"\x00"
    if answer[-2:] != OK_ISO:
        raise NotSupportedError("card", seen=f"status {answer[-2:].hex()}", expected="the NTAG 424 DNA application")


def read_ndef(first_bytes: int = 2) -> Generator[bytes, bytes, bytes]:
    """The NDEF message. ``first_bytes`` of the file come first (0 asks for 256), the rest, if any, by its length.

    Raises NotSupportedError without such a file, DeviceError for a length that the file cannot have.
    """
    answer = yield bytes.fromhex("00A4000C02") + NDEF_FILE
    if answer[-2:] != OK_ISO:
        raise NotSupportedError("card", seen=f"status {answer[-2:].hex()}", expected="an NDEF file")
    answer = yield bytes.fromhex("00B00000") + bytes((first_bytes,))
    data = _read_data(answer)
    length = int.from_bytes(data[:2])
    if len(data) < 2 or length > 254:
        raise DeviceError("card's NDEF file", seen=f"length {data[:2].hex()}", expected="up to 254 bytes")
    message = data[2 : 2 + length]
    if len(message) < length:
        start = 2 + len(message)
        answer = yield bytes((0x00, 0xB0, start >> 8, start & 0xFF, length - len(message)))
        message += _read_data(answer)
    return message


def _read_data(answer: bytes) -> bytes:
    if answer[-2:] != OK_ISO:
        raise DeviceError("card's NDEF file", seen=f"status {answer[-2:].hex()}", expected="9000")
    return answer[:-2]


def uri_of(message: bytes) -> str | None:
    """The address in a message of one short URI record; None for any other message."""
    if len(message) < 5 or message[:2] != b"\xd1\x01" or message[3] != 0x55 or len(message) != 4 + message[2]:
        return None
    prefix = _URI_PREFIXES.get(message[4])
    if prefix is None:
        return None
    try:
        return prefix + message[5:].decode("ascii")
    except UnicodeDecodeError:
        return None


def ndef_of_uri(uri: str) -> bytes:
    """The message of one short URI record. Raises ValueError for an address that does not fit in 250 characters."""
    code, prefix = next((c, p) for c, p in sorted(_URI_PREFIXES.items(), reverse=True) if uri.startswith(p))
    rest = uri.removeprefix(prefix).encode("ascii")
    if len(rest) > 249:
        raise ValueError(f"address of {len(rest)} characters: expected up to 249")
    return bytes((0xD1, 0x01, len(rest) + 1, 0x55, code)) + rest


# --- at the gate ----------------------------------------------------------------------------------------------


def prove_ev2(keys: CardKeys, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> Exchange:
    """Challenge and response with the card's gate key: no copy and no text collected ahead passes it.

    What fails at it without holding another key, and yet shows a rolling code, is a device that plays what it read.
    """

    def proof(outcome: ProofOutcome) -> CardProof:
        return CardProof(kind=ProofKind.EV2, outcome=outcome, key_version=keys.key_version)

    try:
        yield from select_application()
        try:
            yield from authenticate_ev2_first(keys.gate_key, keys.gate_key_no, random_bytes)
        except (FalseProofError, NotSupportedError):
            if (yield from _shows_a_code()):
                return proof(ProofOutcome.EMULATED)
            raise
    except WrongKeyError:
        return proof(ProofOutcome.WRONG_KEY)
    except NotSupportedError:
        return proof(ProofOutcome.NOT_SUPPORTED)
    return proof(ProofOutcome.GENUINE)


def _shows_a_code() -> Generator[bytes, bytes, bool]:
    try:
        yield from select_application()
        message = yield from read_ndef()
    except DeviceError:
        return False
    return sdm.parse_sun_text(uri_of(message) or "") is not None


def prove_sun(uid: bytes, meta_key: bytes, keys_of: KeysOf, *, first_bytes: int = 2) -> Exchange:
    """Read the card's text and verify its code; the counter's own rule is the kiosk's."""
    try:
        yield from select_application()
        message = yield from read_ndef(first_bytes)
    except NotSupportedError:
        return CardProof(kind=ProofKind.SUN, outcome=ProofOutcome.NOT_SUPPORTED)
    return judge_sun_text(uri_of(message) or "", meta_key, keys_of, uid=uid)


def judge_sun_text(text: str, meta_key: bytes, keys_of: KeysOf, *, uid: bytes | None = None) -> CardProof:
    """What a card's text proves. ``uid`` is what the card answered on the air, where it was on the air."""

    def proof(outcome: ProofOutcome, read_ctr: int | None = None, version: int | None = None) -> CardProof:
        return CardProof(kind=ProofKind.SUN, outcome=outcome, read_ctr=read_ctr, key_version=version)

    parts = sdm.parse_sun_text(text)
    if parts is None:
        return proof(ProofOutcome.MALFORMED)
    picc = sdm.decrypt_picc_data(meta_key, parts.picc_data)
    if picc is None:
        return proof(ProofOutcome.BAD_PICC_DATA)
    if uid is not None and picc.uid != uid:
        return proof(ProofOutcome.UID_MISMATCH)
    keys = keys_of(picc.uid)
    if keys is None:
        return proof(ProofOutcome.UNKNOWN_CARD, picc.read_ctr)
    right = sdm.mac_is_right(keys.file_key, picc, parts.mac)
    return proof(ProofOutcome.GENUINE if right else ProofOutcome.BAD_MAC, picc.read_ctr, keys.key_version)


def ev2_dialogue(
    keys_of: KeysOf, random_bytes: Callable[[int], bytes] = secrets.token_bytes
) -> Callable[[CardTap], Exchange]:
    """For a site of strength ``ev2``: what :class:`drivers.cards.pn532.Pn532Conversation` asks of each card."""

    def dialogue(tap: CardTap) -> Exchange:
        keys = keys_of(tap.uid)
        if keys is None:
            return _without_asking(ProofKind.EV2, ProofOutcome.UNKNOWN_CARD)
        if not tap.ats:
            return _without_asking(ProofKind.EV2, ProofOutcome.NOT_SUPPORTED)
        return _asked_twice(lambda: prove_ev2(keys, random_bytes))

    return dialogue


def sun_dialogue(meta_key: bytes, keys_of: KeysOf) -> Callable[[CardTap], Exchange]:
    """For a site of strength ``sun``."""

    def dialogue(tap: CardTap) -> Exchange:
        if not tap.ats:
            return _without_asking(ProofKind.SUN, ProofOutcome.NOT_SUPPORTED)
        return _asked_twice(lambda: prove_sun(tap.uid, meta_key, keys_of))

    return dialogue


def _asked_twice(exchange: Callable[[], Exchange]) -> Exchange:
    """A card is called forged only when it fails twice: the reader's checksum of eight bits lets one of 256 damaged
    frames through, and a genuine card must not suffer for it."""
    proof = yield from exchange()
    if proof.outcome in (ProofOutcome.GENUINE, ProofOutcome.UNKNOWN_CARD):
        return proof
    return (yield from exchange())


def _without_asking(kind: ProofKind, outcome: ProofOutcome) -> Exchange:
    """An exchange that is over before the first word: the card cannot say anything that would help."""
    return CardProof(kind=kind, outcome=outcome)
    yield b""  # makes this function an exchange


# --- at the issuing desk --------------------------------------------------------------------------------------


def is_genuine_nxp(uid: bytes, signature: bytes, public_key: bytes = NXP_PUBLIC_KEY) -> bool:
    """Checks NXP's originality signature (56 bytes, r and s) over a 7-byte UID: ECDSA on secp224r1.

    The UID's bytes are the digest themselves, without a hash (AN12196, 8.2); it shows who made the chip, not whose
    card it is.
    """
    if len(signature) != 56 or len(uid) != 7:
        return False
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP224R1(), public_key)
    der = encode_dss_signature(int.from_bytes(signature[:28]), int.from_bytes(signature[28:]))
    try:
        # A digest shorter than the curve's order counts as the number it is: zeros in front do not change it.
        key.verify(der, uid.rjust(28, b"\x00"), ec.ECDSA(Prehashed(SHA224())))
    except InvalidSignature:
        return False
    return True
