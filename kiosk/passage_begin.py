"""A passage begins with a credential: anew, or going on from the refusal just before it. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from drivers.devices import CardTap, QrText
from kiosk.board import Hint, Phase
from kiosk.passage_bench import Bench, normal_only, passage_id
from kiosk.passage_events import VerifyCard, VerifyCode
from kiosk.passage_state import Decided, Person


def credential_key(event: CardTap | QrText) -> str:
    """Names a credential within the lane's memory only; it is never written anywhere."""
    if isinstance(event, CardTap):
        return "card:" + event.uid.hex()
    return "code:" + hashlib.sha256(event.data or event.text.encode("utf-8", "surrogatepass")).hexdigest()


def begin(bench: Bench, event: CardTap | QrText) -> None:
    """A new passage. It carries on from the refusal before it when the same person answers what was missing."""
    before = _carried_on(bench, event)
    person = Person(
        passage=passage_id(bench),
        began_ns=bench.ns,
        credential_ns=bench.ns,
        deadline_ns=bench.seconds(bench.setup.policy.waits.credential_s),
        fresh_from_ns=bench.ns if before is not None else 0,
        shots=before.shots if before is not None else 0,
        follows=before.passage if before is not None else "",
    )
    if before is not None and credential_key(event) not in (before.card_key, before.code_key):
        person = replace(
            person,
            card=before.card,
            card_key=before.card_key,
            code=before.code,
            code_key=before.code_key,
            attestation=before.attestation,
            temperature=normal_only(before.temperature),
            window=before.window,
            presence=before.presence,
        )
    bench.put(person=person, phase=Phase.IDENTIFYING, hint=Hint.NONE, hint_until_ns=0, queued=None)
    verify(bench, event)


def _carried_on(bench: Bench, event: CardTap | QrText) -> Person | None:
    """The refused person whom this credential belongs to as well, or None for somebody new.

    It is the same card or code again, or the other kind, as long as the refusal is on the screen and (where a sensor
    sees people) its person was seen there at the refusal and has not stepped away since.
    """
    decided = bench.state.decided
    if decided is None or decided.verdict.admit or bench.ns >= decided.hold_until_ns or _stepped_away(bench, decided):
        return None
    person, key = decided.person, credential_key(event)
    if key in (person.card_key, person.code_key):
        return person
    other_kind = not person.card_key if isinstance(event, CardTap) else not person.code_key
    return person if other_kind and _genuine(person) else None


def _stepped_away(bench: Bench, decided: Decided) -> bool:
    """Whether whoever is here now may be somebody else than the person of the last verdict.

    Only what sees people can tell: a working thermometer or a presence contact. Without either nobody is known to
    have left. A person whom the sensor had not seen when the verdict fell cannot be told from the next one.
    """
    sees_people = bench.contact or (bench.sensor is not None and bench.up("thermometer"))
    watch = bench.state.watch
    return sees_people and (decided.presence is None or not watch.present or watch.number != decided.presence)


def _genuine(person: Person) -> bool:
    return person.card is None or person.card.refusal is None


def verify(bench: Bench, event: CardTap | QrText) -> None:
    """Ask what this card or code is; the passage waits for the answer, up to its deadline."""
    key = credential_key(event)
    bench.person(pending=key, credential_ns=bench.ns)
    if isinstance(event, CardTap):
        bench.emit(VerifyCard(tap=event, credential=key))
    else:
        bench.emit(VerifyCode(code=event, credential=key))
