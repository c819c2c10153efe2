"""Making a gate card of a blank NTAG 424 DNA: at the issuing desk only, where the master keys are.

References: NXP NTAG 424 DNA data sheet, sections 10.5 (ISO commands), 10.6.1 (ChangeKey), 10.7.1 (ChangeFileSettings);
AN12196, section 6 (personalisation example).

The order is what makes it safe to pull the card away at any moment: the card answers to the factory's key 0 until the
very last command changes that key, each command is carried out whole or not at all, and every step first asks what
is already done (the version of each key). So the same exchange, run again, goes on where it was. A card that
is finished is checked and left as it is; one whose key 0 is neither the factory's nor ours is refused.

    keys 1 to 4: ours, with their version -> the NDEF text, read again -> its mirrors (SDM) -> key 0: ours
"""

from __future__ import annotations

import binascii
import secrets
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from enum import StrEnum

from drivers.cards.key_diversification import diversify
from drivers.cards.ntag424 import (
    FILE_KEY_NO,
    GATE_KEY_NO,
    MASTER_KEY_NO,
    META_KEY_NO,
    NDEF_FILE,
    NXP_PUBLIC_KEY,
    OK_ISO,
    SEALED_GATE_KEY_NO,
    is_genuine_nxp,
    ndef_of_uri,
    select_application,
)
from drivers.cards.ntag424_ev2 import Ev2Session, WrongKeyError, authenticate_ev2_first
from drivers.devices import CardTap
from drivers.errors import DeviceError, DriverError

GET_KEY_VERSION = 0x64
CHANGE_KEY = 0xC4
CHANGE_FILE_SETTINGS = 0x5F
READ_SIGNATURE = 0x3C
FACTORY_KEY = bytes(16)
NDEF_FILE_NO = 2
MAX_WRITE = 128
"""Bytes in one ISOUpdateBinary: well inside one frame of the reader."""

Steps = Generator[bytes, bytes, "Issued"]
RandomBytes = Callable[[int], bytes]


class Role(StrEnum):
    """What a derived key is for; two letters of the diversification input."""

    MASTER = "MA"
    META = "META"
    FILE = "FR"
    GATE = "AU"
    SEALED_GATE = "A2"


@dataclass(frozen=True, slots=True)
class SiteKeys:
    """The site's two master secrets (16 bytes each), from a file or a prompt, never on a kiosk.

    ``site`` is up to 16 ASCII characters; it and the version are part of every derivation. ``version`` is 1 to 255.
    """

    site: str
    card_master: bytes = field(repr=False)
    site_master: bytes = field(repr=False)
    version: int = 1

    def __post_init__(self) -> None:
        if len(self.card_master) != 16 or len(self.site_master) != 16:
            raise ValueError("master keys have 16 bytes")
        if not 1 <= len(self.site) <= 16 or not self.site.isascii():
            raise ValueError(f"site {self.site!r}: expected 1 to 16 ASCII characters")
        if not 1 <= self.version <= 255:
            raise ValueError(f"key version {self.version}: expected 1 to 255")

    def meta(self) -> bytes:
        """Key 1, the same for all cards of the site."""
        return diversify(self.site_master, self._input(b"", Role.META))

    def of(self, uid: bytes, role: Role) -> bytes:
        """A card's own key."""
        return diversify(self.card_master, self._input(uid, role))

    def _input(self, uid: bytes, role: Role) -> bytes:
        """UID, role, site; the version only from the second on, so that the first keys are those of the vectors."""
        version = bytes((self.version,)) if self.version > 1 else b""
        return uid + role.value.encode() + self.site.encode() + version

    def all_of(self, uid: bytes) -> dict[int, bytes]:
        """Every key of a card by its number."""
        return {
            MASTER_KEY_NO: self.of(uid, Role.MASTER),
            META_KEY_NO: self.meta(),
            FILE_KEY_NO: self.of(uid, Role.FILE),
            GATE_KEY_NO: self.of(uid, Role.GATE),
            SEALED_GATE_KEY_NO: self.of(uid, Role.SEALED_GATE),
        }


@dataclass(frozen=True, slots=True)
class Issued:
    """A finished card. ``changed`` is false when it was finished before."""

    uid: bytes
    key_version: int
    changed: bool


def issue(
    uid: bytes,
    keys: SiteKeys,
    *,
    address: str,
    public_key: bytes | None = NXP_PUBLIC_KEY,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> Steps:
    """Personalise the card with this UID, or go on with it; harmless when it is finished.

    ``address`` is the page that a phone opens (``https://gate.example/p``); ``public_key`` None skips the check that
    the chip is NXP's. Raises NotSupportedError for another kind of card, WrongKeyError for a card of somebody else,
    DeviceError for a chip that is not genuine or an answer out of order; the card is then as it was before.
    """
    card_keys = keys.all_of(uid)
    yield from select_application()
    if public_key is not None:
        yield from _check_maker(uid, public_key)
    try:
        session = yield from authenticate_ev2_first(FACTORY_KEY, MASTER_KEY_NO, random_bytes)
    except WrongKeyError:
        yield from select_application()
        session = yield from authenticate_ev2_first(card_keys[MASTER_KEY_NO], MASTER_KEY_NO, random_bytes)
        yield from _check_versions(session, keys.version)
        return Issued(uid, keys.version, changed=False)
    begun = []
    for key_no in (META_KEY_NO, FILE_KEY_NO, GATE_KEY_NO, SEALED_GATE_KEY_NO):
        version = yield from key_version(session, key_no)
        if version not in (0, keys.version):
            raise DeviceError("card", seen=f"key {key_no} of version {version}", expected="0 or this site's version")
        if version:
            begun.append(key_no)
    if begun:
        for key_no in begun:
            yield from _check_key(card_keys[key_no], key_no, random_bytes)
        session = yield from authenticate_ev2_first(FACTORY_KEY, MASTER_KEY_NO, random_bytes)
    for key_no in (META_KEY_NO, FILE_KEY_NO, GATE_KEY_NO, SEALED_GATE_KEY_NO):
        if key_no not in begun:
            yield from _change_key(session, key_no, FACTORY_KEY, card_keys[key_no], keys.version)
    yield from _write_text(address)
    # Selecting the file has ended the session; key 0 changes settings, and it is still the factory's.
    yield from select_application()
    session = yield from authenticate_ev2_first(FACTORY_KEY, MASTER_KEY_NO, random_bytes)
    yield from _set_mirrors(session, address)
    yield from _change_master(session, card_keys[MASTER_KEY_NO], keys.version)
    yield from select_application()
    yield from authenticate_ev2_first(card_keys[MASTER_KEY_NO], MASTER_KEY_NO, random_bytes)
    return Issued(uid, keys.version, changed=True)


def desk_dialogue(
    keys: SiteKeys,
    report: Callable[[Issued | DriverError], None],
    *,
    address: str,
    public_key: bytes | None = NXP_PUBLIC_KEY,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> Callable[[CardTap], Generator[bytes, bytes, None]]:
    """What the desk's reader does with each card (:class:`drivers.cards.pn532.Pn532Conversation`).

    ``report`` is told once a presentation: the card, or why it cannot be issued. A card that is pulled away is
    neither; presented again, it goes on.
    """

    def dialogue(tap: CardTap) -> Generator[bytes, bytes, None]:
        try:
            done = yield from issue(tap.uid, keys, address=address, public_key=public_key, random_bytes=random_bytes)
        except DriverError as error:
            report(error)
        else:
            report(done)

    return dialogue


def text_of(address: str) -> tuple[bytes, int, int]:
    """The NDEF file of a card, where its PICCData and where its MAC will stand."""
    message = ndef_of_uri(f"{address}?d={'0' * 32}&c={'0' * 16}")
    file = len(message).to_bytes(2) + message
    return file, len(file) - 16 - 3 - 32, len(file) - 16


def mirror_settings(address: str) -> bytes:
    """What ChangeFileSettings is told: read free, write and change with key 0; PICCData under key 1, MAC with key 2."""
    _, picc_data, mac = text_of(address)
    offsets = b"".join(offset.to_bytes(3, "little") for offset in (picc_data, mac, mac))
    # 40: mirrors on, plain. 00 E0: read and write and change key 0, read free, write key 0. C1: UID and counter,
    # ASCII. FF 12: nobody retrieves the counter; key 1 reads the meta data, key 2 makes the MAC.
    return bytes.fromhex("4000E0C1FF12") + offsets


def bears_signature(uid: bytes, public_key: bytes) -> Generator[bytes, bytes, bool]:
    """Whether the chip shows its maker's signature over this UID."""
    answer = yield bytes((0x90, READ_SIGNATURE, 0, 0, 1, 0, 0))
    return answer[-2:] == b"\x91\x00" and is_genuine_nxp(uid, answer[:-2], public_key)


def _check_maker(uid: bytes, public_key: bytes) -> Generator[bytes, bytes, None]:
    if not (yield from bears_signature(uid, public_key)):
        raise DeviceError("card", seen="no signature of the maker for this UID", expected="a genuine NTAG 424 DNA")


def key_version(session: Ev2Session, key_no: int) -> Generator[bytes, bytes, int]:
    """The version of one key, 0 for a factory key. Raises DeviceError for an answer out of order."""
    answer = yield session.command(GET_KEY_VERSION, bytes((key_no,)))
    data = session.answer(answer)
    if len(data) != 1:
        raise DeviceError("card", seen=f"{len(data)} bytes", expected="one: the version of a key")
    return data[0]


def _check_key(key: bytes, key_no: int, random_bytes: RandomBytes) -> Generator[bytes, bytes, None]:
    """A key that was set before, perhaps by another site of the same version: only who knows it can change it."""
    try:
        yield from authenticate_ev2_first(key, key_no, random_bytes)
    except WrongKeyError:
        hint = "finish it with the master keys that it was begun with"
        raise DeviceError("card", seen=f"another site's key {key_no}", expected="this site's", hint=hint) from None


def _check_versions(session: Ev2Session, version: int) -> Generator[bytes, bytes, None]:
    for key_no in range(5):
        seen = yield from key_version(session, key_no)
        if seen != version:
            raise DeviceError("card", seen=f"key {key_no} of version {seen}", expected=f"version {version}")


def _change_key(
    session: Ev2Session, key_no: int, old: bytes, new: bytes, version: int
) -> Generator[bytes, bytes, None]:
    mixed = bytes(a ^ b for a, b in zip(new, old, strict=True))
    check = (binascii.crc32(new) ^ 0xFFFFFFFF).to_bytes(4, "little")
    answer = yield session.command(CHANGE_KEY, bytes((key_no,)), mixed + bytes((version,)) + check, full=True)
    session.answer(answer)


def _change_master(session: Ev2Session, new: bytes, version: int) -> Generator[bytes, bytes, None]:
    answer = yield session.command(CHANGE_KEY, bytes((MASTER_KEY_NO,)), new + bytes((version,)), full=True)
    if answer != b"\x91\x00":  # the session ends with its key: there is no MAC
        raise DeviceError("card", seen=f"status {answer[-2:].hex()}", expected="9100")


def _write_text(address: str) -> Generator[bytes, bytes, None]:
    """Write the file while it is still free, as it leaves the factory, and read it again; mirrors come afterwards.

    These answers have no MAC: neither the reader's checksum nor a card's "done" says what stands on the card now.
    """
    answer = yield bytes.fromhex("00A4000C02") + NDEF_FILE
    if answer[-2:] != OK_ISO:
        raise DeviceError("card's NDEF file", seen=f"status {answer[-2:].hex()}", expected="9000")
    file, picc_data, mac = text_of(address)
    for start in range(0, len(file), MAX_WRITE):
        part = file[start : start + MAX_WRITE]
        answer = yield bytes((0x00, 0xD6, start >> 8, start & 0xFF, len(part))) + part
        if answer[-2:] == b"\x69\x82":
            break  # the settings are changed already, and they only are after the text was whole
        if answer[-2:] != OK_ISO:
            raise DeviceError("card's NDEF file", seen=f"status {answer[-2:].hex()}", expected="9000")
    read = b""
    for start in range(0, len(file), MAX_WRITE):
        count = min(MAX_WRITE, len(file) - start)
        answer = yield bytes((0x00, 0xB0, start >> 8, start & 0xFF, count))
        read += answer[:-2]
    # Where the card was begun before, its mirrors stand in their places already.
    plain = read[:picc_data] + file[picc_data : picc_data + 32] + read[picc_data + 32 : mac] + file[mac:]
    if plain != file:
        hint = "lay it on again; a card that was begun with another --address is finished with that one"
        raise DeviceError("card's NDEF file", seen="another text than was written", expected=address, hint=hint)


def _set_mirrors(session: Ev2Session, address: str) -> Generator[bytes, bytes, None]:
    answer = yield session.command(CHANGE_FILE_SETTINGS, bytes((NDEF_FILE_NO,)), mirror_settings(address), full=True)
    session.answer(answer)
