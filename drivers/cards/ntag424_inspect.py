"""What a card on the desk is, found out without changing it: an exchange like that of issuing, but reading only.

References: NXP NTAG 424 DNA data sheet, sections 10.6.2 (GetKeyVersion) and 10.13 (Read_Sig).

A key that the card does not accept counts as a failed authentication there (after many in a row it makes one wait,
91AD), so a stranger's card is asked twice at most: with the factory's key 0 and with this site's.
"""

from __future__ import annotations

import secrets
from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum

from drivers.cards.ntag424 import MASTER_KEY_NO, NXP_PUBLIC_KEY, select_application
from drivers.cards.ntag424_ev2 import NotSupportedError, WrongKeyError, authenticate_ev2_first
from drivers.cards.ntag424_issue import FACTORY_KEY, RandomBytes, SiteKeys, bears_signature, key_version
from drivers.devices import CardTap

LAST_KEY_NO = 4


class CardState(StrEnum):
    """How far a card has come on its way to a gate card of this site."""

    LEGACY = "legacy"
    """No NTAG 424 DNA: its number is all it has."""
    BLANK = "blank"
    """As the factory made it."""
    BEGUN = "begun"
    """Issuing was broken off; laid on again with ``card issue`` it is finished."""
    ISSUED = "issued"
    """A finished card of this site."""
    FOREIGN = "foreign"
    """Its key 0 is neither the factory's nor this site's."""
    UNTOLD = "untold"
    """Its key 0 is not the factory's, and no master keys were given to ask further."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """``genuine`` says whether NXP signed the chip (None: not asked, or it has no signature to ask for).

    ``key_versions`` are those of keys 0 to 4 where key 0 let them be read, else empty.
    """

    uid: bytes
    state: CardState
    genuine: bool | None = None
    key_versions: tuple[int, ...] = ()


def inspect(
    tap: CardTap,
    keys: SiteKeys | None,
    *,
    public_key: bytes | None = NXP_PUBLIC_KEY,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> Generator[bytes, bytes, Inspection]:
    """Look at the card. ``keys`` None tells only whether it is blank. Raises DeviceError for answers out of order."""
    try:
        yield from select_application()
    except NotSupportedError:
        return Inspection(uid=tap.uid, state=CardState.LEGACY)
    genuine = None if public_key is None else (yield from bears_signature(tap.uid, public_key))
    tried = [FACTORY_KEY] if keys is None else [FACTORY_KEY, keys.all_of(tap.uid)[MASTER_KEY_NO]]
    for number, key in enumerate(tried):
        try:
            if number:
                yield from select_application()
            session = yield from authenticate_ev2_first(key, MASTER_KEY_NO, random_bytes)
        except WrongKeyError:
            continue
        versions = []
        for key_no in range(LAST_KEY_NO + 1):
            versions.append((yield from key_version(session, key_no)))
        if number:
            state = CardState.ISSUED
        else:
            state = CardState.BEGUN if any(versions) else CardState.BLANK
        return Inspection(uid=tap.uid, state=state, genuine=genuine, key_versions=tuple(versions))
    return Inspection(uid=tap.uid, state=CardState.UNTOLD if keys is None else CardState.FOREIGN, genuine=genuine)
