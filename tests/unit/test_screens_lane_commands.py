"""What a guard does about the person in a lane (``kiosk/screens/lane_commands.py``): a form, a command, a sentence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import UTC
from typing import Any

import pytest
from fastapi import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from drivers.devices import IdCardRead, Observed
from kiosk.board import (
    Acknowledge,
    Attest,
    CommandResult,
    Emergency,
    EnterTemperature,
    GuardCommand,
    LaneView,
    MeasureAgain,
    Override,
    Phase,
    RegisterVisitor,
    WarmingView,
)
from kiosk.evidence import AttestedCode
from kiosk.id_desk import IdDesk
from kiosk.reasons import Direction
from kiosk.screens import forms
from kiosk.screens.lane_commands import SHEETS, LaneCommands
from kiosk.screens.page_tools import PageTools
from kiosk.screens.texts import Language, texts
from tests.fakes import FakeClock

NOW_THERE = "in-5f0c1d2e-7"
VISITOR = {
    "name": "Li Na",
    "phone_last4": "1234",
    "host": "3-502",
    "purpose": "visit",
    "category": "visitor",
}


@dataclass
class Console:
    """One lane with somebody in it; pages, answers and commands are noted instead of drawn and carried out."""

    lane: LaneView = field(
        default_factory=lambda: LaneView(lane="in", direction=Direction.IN, phase=Phase.IDENTIFYING, passage=NOW_THERE)
    )
    result: CommandResult = field(default_factory=lambda: CommandResult(done=True, passage=NOW_THERE))
    id_cards: IdDesk | None = None
    commands: list[GuardCommand] = field(default_factory=list)
    pages: list[tuple[str, int, dict[str, Any]]] = field(default_factory=list)
    answers: list[tuple[CommandResult, str]] = field(default_factory=list)
    touched: int = 0

    def __post_init__(self) -> None:
        tools = PageTools(page=self._page, answer=self._answer, touch=self._touch, zone=UTC)
        self.desk = LaneCommands(
            self._carry_out, tools, self._lane_now, lambda _: texts(Language.EN), id_cards=self.id_cards
        )

    def _page(self, _: Request, name: str, *, status: int = 200, **values: Any) -> Response:
        self.pages.append((name, status, values))
        return Response(status_code=status)

    def _answer(self, _: Request, result: CommandResult, done: str) -> Response:
        self.answers.append((result, done))
        return Response()

    def _touch(self, _: Request) -> None:
        self.touched += 1

    def _carry_out(self, command: GuardCommand) -> CommandResult:
        self.commands.append(command)
        return self.result

    def _lane_now(self, lane: str) -> LaneView:
        if lane != self.lane.lane:
            raise HTTPException(404, "no such lane")
        return self.lane

    def post(self, endpoint: str, *, lane: str = "in", **form: str) -> Response:
        """The guard Wang presses the button of a form."""
        return self._run(getattr(self.desk, endpoint), lane, form=form)

    def get(self, sheet: str, *, passage: str = "") -> Response:
        return self._run(self.desk.sheet_page, "in", sheet, passage)

    def _run(
        self,
        endpoint: Callable[..., Coroutine[Any, Any, Response]],
        *arguments: str,
        form: dict[str, str] | None = None,
    ) -> Response:
        request = Request({"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""})
        request.state.guard, request.state.form = "wang", form or {}
        return asyncio.run(endpoint(request, *arguments))


@pytest.fixture
def console() -> Console:
    return Console()


@pytest.mark.parametrize(
    ("endpoint", "form", "command", "done"),
    [
        (
            "attest",
            {"code": "seen_green", "trip": "clear"},
            Attest(lane="in", guard="wang", code=AttestedCode.SEEN_GREEN, trip_clear=True),
            "attest",
        ),
        (
            "override",
            {"admit": "yes", "reason": "known_resident", "passage": NOW_THERE, "confirm": "yes"},
            Override(lane="in", guard="wang", passage=NOW_THERE, admit=True, reason="known_resident", note=""),
            "override",
        ),
        (
            "override",
            {"admit": "no", "reason": "person_refuses", "passage": NOW_THERE, "confirm": "yes"},
            Override(lane="in", guard="wang", passage=NOW_THERE, admit=False, reason="person_refuses", note=""),
            "override",
        ),
        ("acknowledge", {"passage": "in-1"}, Acknowledge(lane="in", guard="wang", passage="in-1"), "acknowledge"),
        ("measure_again", {}, MeasureAgain(lane="in", guard="wang"), "measure_again"),
        (
            "temperature",
            {"object_c": "36,8", "passage": NOW_THERE},
            EnterTemperature(lane="in", guard="wang", object_centi_c=3680, passage=NOW_THERE),
            "temperature",
        ),
        ("visitor", VISITOR, RegisterVisitor(lane="in", guard="wang", **VISITOR), "register"),
        ("emergency_close", {}, Emergency(lane="in", open=False, guard="wang"), "emergency_close"),
    ],
)
def test_a_form_becomes_one_command_in_the_guards_name(
    console: Console, endpoint: str, form: dict[str, str], command: GuardCommand, done: str
) -> None:
    """What the gate made of it is told; the guard is at work, so the session stays open."""
    console.post(endpoint, **form)
    assert console.commands == [command]
    assert console.answers == [(console.result, done)]
    assert console.touched == 1


@pytest.mark.parametrize(
    ("endpoint", "form", "page", "errors"),
    [
        ("override", {"admit": "yes", "reason": "", "confirm": "yes"}, "sheet_override.html", {"reason"}),
        ("override", {"admit": "no", "reason": "known_resident"}, "sheet_deny.html", {"reason"}),
        ("temperature", {"object_c": "12.5"}, "sheet_temperature.html", {"object_c"}),
        ("visitor", {**VISITOR, "phone_last4": "12"}, "sheet_visitor.html", {"phone_last4"}),
    ],
)
def test_a_form_with_a_mistake_comes_back_as_it_was_filled_in(
    console: Console, endpoint: str, form: dict[str, str], page: str, errors: set[str]
) -> None:
    """Nothing reaches the gate; the field that is wrong is named and what was typed is kept."""
    assert console.post(endpoint, **form).status_code == 422
    ((name, status, values),) = console.pages
    assert (name, status, set(values["errors"]), values["values"]) == (page, 422, errors, form)
    assert (console.commands, console.touched) == ([], 1)


def test_an_attestation_of_nothing_has_no_form_to_come_back_to(console: Console) -> None:
    """It is two buttons; a request without either was not made by the page."""
    with pytest.raises(HTTPException) as caught:
        console.post("attest")
    assert caught.value.status_code == 400
    assert console.commands == []


@pytest.mark.parametrize(("admit", "sheet"), [("yes", "override"), ("no", "deny")])
def test_an_override_is_asked_twice(console: Console, admit: str, sheet: str) -> None:
    """Reason first, then a confirmation, which carries everything on and knows its way back."""
    reason = "known_resident" if admit == "yes" else "person_refuses"
    form = {"admit": admit, "reason": reason, "passage": NOW_THERE}
    console.post("override", **form)
    ((name, status, values),) = console.pages
    assert (name, status, values["values"]) == ("sheet_confirm.html", 200, {**form, "sheet": sheet})
    assert console.commands == []


@pytest.mark.parametrize(
    ("endpoint", "form"),
    [("attest", {"code": "seen_green"}), ("temperature", {"object_c": "36.8"})],
)
def test_a_word_about_somebody_who_has_gone_is_nobodys(console: Console, endpoint: str, form: dict[str, str]) -> None:
    """The next person stepped up while the guard's finger came down."""
    console.post(endpoint, passage="in-5f0c1d2e-6", **form)
    assert console.answers == [(CommandResult(done=False, message="passage_over"), endpoint)]
    assert console.commands == []


@pytest.mark.parametrize("passage", ["", NOW_THERE])
@pytest.mark.parametrize(
    ("endpoint", "form"),
    [("attest", {"code": "seen_green"}), ("temperature", {"object_c": "36.8"})],
)
def test_a_word_about_whoever_is_there_now_counts(
    console: Console, endpoint: str, form: dict[str, str], passage: str
) -> None:
    """A page that names no passage means the one that it shows."""
    console.post(endpoint, passage=passage, **form)
    assert len(console.commands) == 1


def test_who_waits_inside_is_measured_by_the_passage_they_had(console: Console) -> None:
    """Somebody else stands in the lane by then: the value is still the waiting one's."""
    waits = WarmingView(passage="in-5f0c1d2e-3", category="resident", since_us=0)
    console.lane = replace(console.lane, warming=(waits,))
    console.post("temperature", object_c="36.8", passage=waits.passage)
    ((command,), ((result, _),)) = console.commands, console.answers
    assert isinstance(command, EnterTemperature)
    assert (command.passage, result) == (waits.passage, console.result)


def test_what_the_gate_refuses_is_told_as_it_said_it(console: Console) -> None:
    """The page adds nothing to the gate's own word."""
    console.result = CommandResult(done=False, message="already_admitted")
    console.post("override", admit="yes", reason="known_resident", passage=NOW_THERE, confirm="yes")
    assert console.answers == [(console.result, "override")]


@pytest.mark.parametrize("sheet", SHEETS)
def test_each_sheet_speaks_of_the_passage_that_the_page_showed(console: Console, sheet: str) -> None:
    """Cut to what a passage's name can be long; without one, whoever is there now."""
    console.get(sheet, passage="in-1" + "x" * 100)
    console.get(sheet)
    (shown, now) = console.pages
    assert shown[0] == f"sheet_{sheet}.html"
    assert shown[2]["values"] == {"passage": "in-1" + "x" * 60}
    assert now[2]["values"] == {"passage": NOW_THERE}
    assert (now[2]["errors"], now[2]["lane"], console.touched) == ({}, console.lane, 2)


def test_every_choice_of_a_sheet_is_one_that_its_form_takes(console: Console) -> None:
    """The closed lists of ``kiosk/screens/forms.py``, in their order."""
    console.get("override")
    values = console.pages[0][2]
    assert values["override_reasons"] == forms.OVERRIDE_REASONS
    assert values["deny_reasons"] == forms.DENY_REASONS
    assert (values["purposes"], values["categories"]) == (forms.PURPOSES, forms.VISITOR_CATEGORIES)


def test_there_is_no_other_sheet(console: Console) -> None:
    """The confirmation, for one, comes only after its form."""
    with pytest.raises(HTTPException) as caught:
        console.get("confirm")
    assert (caught.value.status_code, console.pages) == (404, [])


@pytest.mark.parametrize(
    "endpoint",
    ["attest", "override", "acknowledge", "measure_again", "temperature", "visitor", "emergency_close"],
)
def test_an_unknown_lane_is_no_lane(console: Console, endpoint: str) -> None:
    """Whatever the form says."""
    with pytest.raises(HTTPException) as caught:
        console.post(endpoint, lane="north", **VISITOR, code="seen_green", object_c="36.8", confirm="yes")
    assert (caught.value.status_code, console.commands) == (404, [])


def id_card(name: str, number: str) -> IdCardRead:
    return IdCardRead(
        name=name, id_number=number, card_type="resident", valid_from="20200101", valid_to="20400101", at_ns=0
    )


@pytest.mark.parametrize(("number", "note"), [("11010519491231002X", "read"), ("110105194912310021", "bad_number")])
def test_a_laid_on_id_card_fills_the_visitors_name_in_once(number: str, note: str) -> None:
    """Cut to the form's length, with what is wrong with the card; no other sheet takes it, and no second one."""
    desk = IdDesk(FakeClock(), UTC)
    desk.observed(Observed(lane="in", device="id", event=id_card("Na" * 30, number)))
    console = Console(id_cards=desk)
    for sheet in ("deny", "visitor", "visitor"):
        console.get(sheet)
    deny, first, second = (values["values"] for _, _, values in console.pages)
    said = texts(Language.EN).get("id_card", note)
    assert first == {"passage": NOW_THERE, "name": "Na" * 20, "id_card": said}
    assert deny == second == {"passage": NOW_THERE}
