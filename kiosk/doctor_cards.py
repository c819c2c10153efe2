"""What `gatepost doctor` says of roster and card keys: whether the cards that people hold can be judged here."""

from __future__ import annotations

from collections.abc import Iterator

from config.errors import GatepostError
from config.lane import Strength
from config.settings import Settings
from kiosk.evidence import CardStrength
from kiosk.site_stores import open_card_keys, open_roster


def card_lines(settings: Settings) -> Iterator[tuple[bool, str, str]]:
    """(good, what, detail) of roster and card keys; what is not good says what to do."""
    lanes = [lane for lane in settings.lane if lane.reader is not None]
    if not lanes:
        return
    try:
        with open_roster(settings) as roster:
            people, cards, revocations = roster.counts()
            strengths = roster.strengths()
        with open_card_keys(settings) as store:
            keys = store.count()
    except GatepostError as error:
        yield False, "roster", str(error)
        return
    told = ", ".join(f"{count} {strength}" for strength, count in sorted(strengths.items()))
    if cards:
        yield True, "roster", f"{people} people, {cards} cards ({told}), {revocations} revocations"
    else:
        yield False, "roster", "no card is known: gatepost roster import FILE.csv"
    proving = sum(count for strength, count in strengths.items() if strength is not CardStrength.UID)
    asked = any(lane.reader is not None and lane.reader.strength is not Strength.UID for lane in lanes)
    challenging = any(lane.reader is not None and lane.reader.strength is Strength.EV2 for lane in lanes)
    challenged = strengths.get(CardStrength.EV2, 0)
    if proving and not asked:
        detail = f"{proving} cards must prove themselves and no reader asks them to: strength of lane.reader"
        yield False, "card keys", detail
    elif challenged and not challenging:
        detail = f"{challenged} cards must answer a challenge (ev2), and no reader asks one: every one will be refused"
        yield False, "card keys", detail
    elif proving > keys:
        yield (
            False,
            "card keys",
            f"for {keys} of {proving} cards that must prove themselves: gatepost card take-keys FILE",
        )
    elif proving:
        yield True, "card keys", f"for {keys} cards"
