"""What a card on the desk is: told for every kind, at every moment of issuing, and never by changing it."""

from __future__ import annotations

import copy

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from drivers.cards.ntag424_inspect import CardState, Inspection, inspect
from drivers.cards.ntag424_issue import SiteKeys
from drivers.devices import CardTap
from drivers.simulators.ntag424_card import NtagCard, public_key_of
from drivers.simulators.pn532 import uid_card
from tests.unit.test_ntag424_issue import KEYS, MAKER, PUBLIC, UID, carried, issued

TAP = CardTap(uid=UID, at_ns=0, ats=b"\x02\x00")
OTHER_SITE = SiteKeys("OTHER", card_master=bytes(16), site_master=bytes(16))


def inspected(card: object, keys: SiteKeys | None = KEYS, public_key: bytes | None = PUBLIC) -> Inspection:
    """The finding, and proof that the card is as it was."""
    before = copy.deepcopy((card.keys, card.versions)) if isinstance(card, NtagCard) else None
    found = carried(inspect(TAP, keys, public_key=public_key), card)
    assert before is None or (card.keys, card.versions) == before  # type: ignore[attr-defined]
    return found


def test_a_blank_card_is_blank_and_its_maker_is_told() -> None:
    """With NXP's signature or, an imitation, without; unasked it stays open."""
    assert inspected(NtagCard(UID, maker=MAKER)) == Inspection(
        uid=UID, state=CardState.BLANK, genuine=True, key_versions=(0, 0, 0, 0, 0)
    )
    assert inspected(NtagCard(UID)).genuine is False
    assert inspected(NtagCard(UID, maker=ec.derive_private_key(7, ec.SECP224R1()))).genuine is False
    assert inspected(NtagCard(UID, maker=MAKER), public_key=None).genuine is None
    assert public_key_of(MAKER) == PUBLIC


def test_a_finished_card_is_this_sites_and_nobody_elses() -> None:
    """The site that issued it, another site, and a desk without keys."""
    card = NtagCard(UID, maker=MAKER)
    issued(card)
    assert inspected(card) == Inspection(uid=UID, state=CardState.ISSUED, genuine=True, key_versions=(1, 1, 1, 1, 1))
    assert inspected(card, OTHER_SITE).state is CardState.FOREIGN
    assert inspected(card, None).state is CardState.UNTOLD


@pytest.mark.parametrize("pulled_after", range(30))
def test_a_card_pulled_away_while_issued_is_blank_or_begun_or_finished(pulled_after: int) -> None:
    """Never foreign: what is broken off can always be told from a stranger's card."""
    card = NtagCard(UID, maker=MAKER)
    done = issued(card, pulled_after)
    found = inspected(card)
    changed = any(card.versions.values())
    finished = card.versions[0] == 1
    assert found.state is (CardState.ISSUED if finished else CardState.BEGUN if changed else CardState.BLANK)
    assert finished or done is None


def test_a_card_of_another_kind_is_legacy() -> None:
    """No application, no question further."""
    assert inspected(uid_card(UID)) == Inspection(uid=UID, state=CardState.LEGACY)
