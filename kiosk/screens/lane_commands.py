"""What a guard does about the person in a lane: forms become commands for the gate, and their answers a sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import anyio.to_thread
from fastapi import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from kiosk.board import CommandResult, Emergency, GuardCommand, LaneView
from kiosk.id_desk import IdDesk
from kiosk.screens import forms
from kiosk.screens.page_tools import PageTools, Route
from kiosk.screens.security import Role, role
from kiosk.screens.texts import Texts

SHEETS = ("override", "deny", "temperature", "visitor")

Commands = Callable[[GuardCommand], CommandResult]


class LaneCommands:
    """The routes below a lane. ``commands`` carries a command out from a worker thread and may block; ``lane_now`` is
    the newest view of a lane (404 for an unknown one), ``words`` the texts in a request's language."""

    def __init__(
        self,
        commands: Commands,
        tools: PageTools,
        lane_now: Callable[[str], LaneView],
        words: Callable[[Request], Texts],
        id_cards: IdDesk | None,
    ) -> None:
        self._commands = commands
        self._tools = tools
        self._lane_now = lane_now
        self._words = words
        self._id_cards = id_cards

    def routes(self) -> list[Route]:
        """Path, method and endpoint."""
        lane = "/guard/lane/{lane}"
        return [
            (f"{lane}/sheet/{{sheet}}", "GET", self.sheet_page),
            (f"{lane}/attest", "POST", self.attest),
            (f"{lane}/override", "POST", self.override),
            (f"{lane}/acknowledge", "POST", self.acknowledge),
            (f"{lane}/measure-again", "POST", self.measure_again),
            (f"{lane}/temperature", "POST", self.temperature),
            (f"{lane}/visitor", "POST", self.visitor),
            (f"{lane}/emergency-close", "POST", self.emergency_close),
        ]

    @role(Role.GUARD)
    async def sheet_page(self, request: Request, lane: str, sheet: str, passage: str = "") -> Response:
        """A form of its own page; the script shows it above the console."""
        self._tools.touch(request)
        found = self._lane_now(lane)
        if sheet not in SHEETS:
            raise HTTPException(404, "no such page")
        values = {"passage": passage[:64] or found.passage}
        note = self._id_cards.take(lane) if self._id_cards is not None and sheet == "visitor" else None
        if note is not None:
            problem = self._words(request).get("id_card", note.problem or "read")
            values |= {"name": note.name[: forms.MAX_NAME], "id_card": problem}
        return self._sheet(request, sheet, found, values, {})

    @role(Role.GUARD)
    async def attest(self, request: Request, lane: str) -> Response:
        """What the guard saw on the phone."""
        found = self._lane_now(lane)
        if self._other_person(request, found):
            return self._tools.answer(request, CommandResult(done=False, message="passage_over"), "attest")
        return await self._carry_out(
            request, forms.read_attest(request.state.form, lane=lane, guard=request.state.guard), "attest", found
        )

    @role(Role.GUARD)
    async def override(self, request: Request, lane: str) -> Response:
        """Admit or deny by the guard's word: reason first, then a confirmation."""
        found, form = self._lane_now(lane), request.state.form
        sheet = "override" if form.get("admit") == "yes" else "deny"
        command = forms.read_override(form, lane=lane, guard=request.state.guard)
        if not isinstance(command, dict) and form.get("confirm") != "yes":
            return self._sheet(request, "confirm", found, {**form, "sheet": sheet}, {})
        return await self._carry_out(request, command, "override", found, sheet=sheet)

    @role(Role.GUARD)
    async def acknowledge(self, request: Request, lane: str) -> Response:
        """A denial dealt with."""
        found = self._lane_now(lane)
        command = forms.read_acknowledge(request.state.form, lane=lane, guard=request.state.guard)
        return await self._carry_out(request, command, "acknowledge", found)

    @role(Role.GUARD)
    async def measure_again(self, request: Request, lane: str) -> Response:
        """A fresh measuring window."""
        found = self._lane_now(lane)
        return await self._carry_out(
            request, forms.read_measure_again(lane=lane, guard=request.state.guard), "measure_again", found
        )

    @role(Role.GUARD)
    async def temperature(self, request: Request, lane: str) -> Response:
        """A contact thermometer's value."""
        found = self._lane_now(lane)
        waiting = {somebody.passage for somebody in found.warming}
        if request.state.form.get("passage", "") not in waiting and self._other_person(request, found):
            return self._tools.answer(request, CommandResult(done=False, message="passage_over"), "temperature")
        command = forms.read_temperature(request.state.form, lane=lane, guard=request.state.guard)
        return await self._carry_out(request, command, "temperature", found, sheet="temperature")

    @role(Role.GUARD)
    async def visitor(self, request: Request, lane: str) -> Response:
        """The register."""
        found = self._lane_now(lane)
        command = forms.read_visitor(request.state.form, lane=lane, guard=request.state.guard)
        return await self._carry_out(request, command, "register", found, sheet="visitor")

    @role(Role.GUARD)
    async def emergency_close(self, request: Request, lane: str) -> Response:
        """End an emergency: explicit, and by somebody who is known."""
        found = self._lane_now(lane)
        command = Emergency(lane=found.lane, open=False, guard=request.state.guard)
        return await self._carry_out(request, command, "emergency_close", found)

    def _other_person(self, request: Request, lane: LaneView) -> bool:
        # The page showed another passage when the guard pressed: the click was meant for somebody else.
        passage = request.state.form.get("passage", "")
        return bool(passage) and passage != lane.passage

    async def _carry_out(
        self, request: Request, command: GuardCommand | forms.Errors, done: str, lane: LaneView, *, sheet: str = ""
    ) -> Response:
        self._tools.touch(request)
        if isinstance(command, dict):
            if not sheet:
                raise HTTPException(400, "form")
            return self._sheet(request, sheet, lane, request.state.form, command, status=422)
        result = await anyio.to_thread.run_sync(self._commands, command)
        return self._tools.answer(request, result, done)

    def _sheet(
        self,
        request: Request,
        sheet: str,
        lane: LaneView,
        values: Mapping[str, str],
        errors: Mapping[str, str],
        *,
        status: int = 200,
    ) -> Response:
        return self._tools.page(
            request,
            f"sheet_{sheet}.html",
            status=status,
            lane=lane,
            values=values,
            errors=errors,
            override_reasons=forms.OVERRIDE_REASONS,
            deny_reasons=forms.DENY_REASONS,
            purposes=forms.PURPOSES,
            categories=forms.VISITOR_CATEGORIES,
        )
