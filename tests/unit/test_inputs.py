"""Contacts: polled, debounced, named, and honest about a board that is not there."""

from __future__ import annotations

import pytest

from drivers.devices import FaultKind, InputChange, InputName
from drivers.inputs import ContactBoard
from drivers.simulators.contacts import ContactsPlayer
from tests.wire_loop import MS, WireLoop

NAMES = {1: InputName.DOOR_CONTACT, 2: InputName.PASSAGE_BEAM, 3: InputName.FIRE}


def wired(board: ContactBoard | None = None) -> tuple[WireLoop, ContactsPlayer]:
    player = ContactsPlayer(tuple(NAMES.values()))
    return WireLoop(board or ContactBoard(NAMES), player, baud=9600).begin(), player


def told(loop: WireLoop) -> list[tuple[InputName, bool]]:
    return [(event.name, event.active) for _, event in loop.events if isinstance(event, InputChange)]


def test_the_question_is_the_published_one_and_proves_the_board() -> None:
    """01 02 00 00 00 08 79 CC reads inputs 1 to 8; a good answer proves the board; all quiet is nothing to tell."""
    loop, _ = wired()
    loop.run(500)
    assert loop.sent[0][1] == bytes.fromhex("01020000000879CC")
    assert len(loop.proven) == 1
    assert loop.events == []
    assert 9 <= len(loop.sent) <= 11


def test_a_change_is_told_within_120_ms_and_its_return_too() -> None:
    """A broken beam and its return are two events of the right name."""
    loop, player = wired()
    loop.run(230)
    player.command({"do": "set", "contact": "passage_beam", "active": True, "for_ms": 400})
    at_ns = loop.now_ns
    loop.run(1000)
    assert told(loop) == [(InputName.PASSAGE_BEAM, True), (InputName.PASSAGE_BEAM, False)]
    assert loop.events[0][0] - at_ns < 120 * MS


def test_bounce_is_not_told() -> None:
    """A contact that closes for 10 ms only is no event."""
    loop, player = wired()
    loop.run(240)
    player.command({"do": "set", "input": 1, "active": True, "for_ms": 10})
    loop.run(500)
    assert told(loop) == []


def test_what_is_active_at_the_start_is_told() -> None:
    """A fire contact that is active when the kiosk boots is not overlooked."""
    loop, player = wired()
    player.command({"do": "set", "contact": "fire", "active": True})
    loop.run(300)
    assert told(loop) == [(InputName.FIRE, True)]


def test_an_active_low_input_tells_a_cut_wire() -> None:
    """A fire loop that is wired normally closed is active without current."""
    loop, player = wired(ContactBoard(NAMES, active_low=frozenset({3})))
    loop.run(300)
    assert told(loop) == [(InputName.FIRE, True)]
    player.command({"do": "set", "contact": "fire", "active": True})
    loop.run(300)
    assert told(loop)[1:] == [(InputName.FIRE, False)]


def test_nothing_is_told_twice_after_an_unplugging_and_no_change_is_lost() -> None:
    """The door stays open over a reopening of the port: no event; it closed meanwhile: one event."""
    loop, player = wired()
    player.command({"do": "set", "input": 1, "active": True})
    loop.run(300)
    loop.begin().run(300)
    assert told(loop) == [(InputName.DOOR_CONTACT, True)]
    player.command({"do": "set", "input": 1, "active": False})
    loop.begin().run(300)
    assert told(loop)[1:] == [(InputName.DOOR_CONTACT, False)]


def test_two_inputs_of_one_name_are_one_contact() -> None:
    """Either of two exit buttons is the exit button."""
    loop, player = wired(ContactBoard({1: InputName.EXIT_BUTTON, 2: InputName.EXIT_BUTTON}))
    player.command({"do": "set", "input": 2, "active": True})
    loop.run(300)
    player.command({"do": "set", "input": 1, "active": True})
    loop.run(300)
    assert told(loop) == [(InputName.EXIT_BUTTON, True)]


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [(lambda data: b"", FaultKind.SILENT), (lambda data: data[:-1] + bytes((data[-1] ^ 1,)), FaultKind.GARBLED)],
)
def test_a_silent_or_garbled_board_is_broken_within_1500_ms(spoil: object, kind: FaultKind) -> None:
    """After three failed questions in a row the link is told why."""
    loop, _ = wired()
    loop.run(200)
    loop.to_host = spoil
    loop.run(1300)
    assert loop.broken is not None
    assert loop.broken.kind is kind


def test_one_lost_answer_is_no_fault() -> None:
    """A single damaged answer is asked for again."""
    lost = iter([True])
    loop, player = wired()
    loop.run(200)
    loop.to_host = lambda data: b"" if next(lost, False) else data
    player.command({"do": "set", "input": 1, "active": True})
    loop.run(1000)
    assert loop.broken is None
    assert told(loop) == [(InputName.DOOR_CONTACT, True)]


def test_an_input_that_does_not_exist_is_refused() -> None:
    """Inputs are 1 to 8."""
    with pytest.raises(ValueError, match="1 to 8"):
        ContactBoard({9: InputName.FIRE})
