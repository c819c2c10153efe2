"""Cards and codes as they are presented, and what they turned out to be. Pure."""

from __future__ import annotations

from drivers.devices import CardTap, QrText
from kiosk.board import Hint, Phase
from kiosk.passage_advance import advance
from kiosk.passage_begin import begin, credential_key, verify
from kiosk.passage_bench import NS, Bench, second_by, tell
from kiosk.passage_events import CodeAwaited, CodeIncomplete, CodeVerified, CredentialGone, PassVerified, TapTorn
from kiosk.passage_state import Queued, Sighting

HELD_CARD_NS = 1 * NS
"""A reader reports a card that stays several times a second; a pause of this length means it was away."""
HELD_CODE_NS = 3 * NS
"""A camera misses a code that stays for longer than a reader misses a card."""
MAX_SIGHTINGS = 8


def _hint_of(event: CardTap | QrText) -> Hint | None:
    if isinstance(event, CardTap) and event.cards_in_field > 1:
        return Hint.ONE_CARD_ONLY
    if isinstance(event, CardTap) and event.random_uid:
        return Hint.USE_REAL_CARD
    return None


def _still_held(bench: Bench, event: CardTap | QrText) -> bool:
    """Whether this is the same presentation going on; notes the sighting either way."""
    key = credential_key(event)
    before = next((seen.last_ns for seen in bench.state.sightings if seen.key == key), None)
    others = tuple(seen for seen in bench.state.sightings if seen.key != key)
    bench.put(sightings=(*others, Sighting(key=key, last_ns=bench.ns))[-MAX_SIGHTINGS:])
    pause = HELD_CARD_NS if isinstance(event, CardTap) else HELD_CODE_NS
    return before is not None and bench.ns - before < pause


def _just_admitted(bench: Bench, event: CardTap | QrText) -> bool:
    """The same person again right after an admission: the same credential, or the other kind that was not needed."""
    decided = bench.state.decided
    if decided is None or not decided.verdict.admit:
        return False
    if bench.ns - decided.decided_ns >= int(bench.setup.policy.holds.same_card_s * NS):
        return False
    key, person = credential_key(event), decided.person
    if key in (person.card_key, person.code_key):
        return True
    watch = bench.state.watch
    left = person.presence is not None and not (watch.present and watch.number == person.presence)
    return isinstance(event, QrText) and not person.code_key and bool(person.card_key) and not left


def first_credential(bench: Bench, event: CardTap | QrText) -> None:
    """IDLE, FAULT, or IDENTIFYING with nobody identified: a passage begins."""
    hint = _hint_of(event)
    if hint is not None:
        tell(bench, hint)
        return
    if _still_held(bench, event) or _just_admitted(bench, event):
        return
    begin(bench, event)


def another_credential(bench: Bench, event: CardTap | QrText) -> None:
    """IDENTIFYING or MEASURING: it joins when of another kind, otherwise it waits for the next person."""
    person = bench.state.person
    if person is None:
        first_credential(bench, event)
        return
    hint = _hint_of(event)
    if hint is not None:
        tell(bench, hint)
        return
    if _still_held(bench, event) or credential_key(event) in (person.card_key, person.code_key, person.pending):
        return
    if isinstance(event, CardTap):
        joins = person.card is None
    else:
        joins = person.code is None or person.code.refusal is not None
    if joins and not person.pending:
        verify(bench, event)
        return
    bench.put(queued=Queued(event=event, until_ns=bench.seconds(bench.setup.policy.waits.credential_s)))
    tell(bench, Hint.WAIT_FOR_YOUR_TURN)


def credential_after_verdict(bench: Bench, event: CardTap | QrText) -> None:
    """DECIDED: a new presentation interrupts the hold; a card that is still held does not."""
    if bench.state.decided is None or not bench.state.decided.committed:
        bench.put(queued=Queued(event=event, until_ns=bench.seconds(bench.setup.policy.waits.credential_s)))
        return
    if _hint_of(event) is not None or _still_held(bench, event) or _just_admitted(bench, event):
        return
    begin(bench, event)


def torn(bench: Bench, _: TapTorn) -> None:
    """A card left the field too early: say so, unless a verdict stands on the screen."""
    if bench.state.phase is not Phase.DECIDED:
        tell(bench, Hint.CARD_AGAIN)


def gone(bench: Bench, _: CredentialGone) -> None:
    """The source says that nothing is held any more: the same credential counts as new."""
    bench.put(sightings=())


def pass_verified(bench: Bench, event: PassVerified) -> None:
    """The answer for the credential that the passage waits for; one for anything else is too late."""
    person = bench.state.person
    if person is None or person.pending != event.credential:
        return
    bench.person(card=event.finding, card_key=event.credential, pending="", deadline_ns=second_by(bench))
    if event.finding.used_at:
        bench.alarm("pass_used_elsewhere", event.finding.used_at, passage=person.passage, place=event.finding.used_at)
    advance(bench)


def code_verified(bench: Bench, event: CodeVerified) -> None:
    """The answer for the code that the passage waits for; one for anything else is too late."""
    person = bench.state.person
    if person is None or event.credential not in (person.pending, person.awaited):
        return
    pending = "" if person.pending == event.credential else person.pending
    bench.person(
        code=event.finding,
        code_key=event.credential,
        code_parts=None,
        pending=pending,
        awaited="",
        deadline_ns=second_by(bench),
    )
    if event.finding.used_at not in ("", bench.setup.place):
        bench.alarm("code_used_elsewhere", event.finding.used_at, passage=person.passage, place=event.finding.used_at)
    advance(bench)


def code_awaited(bench: Bench, event: CodeAwaited) -> None:
    """A server is asked about the code: until it answers, the code counts as one that needs the network."""
    person = bench.state.person
    if person is None or person.pending != event.credential:
        return
    bench.person(
        code=event.finding,
        code_key=event.credential,
        pending="",
        awaited=event.credential,
        await_by_ns=event.until_ns,
        deadline_ns=second_by(bench),
    )
    advance(bench)


def code_incomplete(bench: Bench, event: CodeIncomplete) -> None:
    """A part of a code in several parts: the next part is awaited."""
    person = bench.state.person
    if person is None or person.pending != event.credential:
        return
    bench.person(pending="", deadline_ns=second_by(bench), code_parts=(event.seen, event.total))
    advance(bench)
