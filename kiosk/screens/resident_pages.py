"""What everybody may see: the list of screens, the residents' screens, and the site's place code."""

from __future__ import annotations

import io
from typing import Any

import segno
from fastapi import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from kiosk.board import KioskView, LaneView
from kiosk.reasons import Direction
from kiosk.screens.drawing import Drawing
from kiosk.screens.events import EventAnswer, heard
from kiosk.screens.faces import Face, resident_screen
from kiosk.screens.hub import Hub
from kiosk.screens.page_tools import Route, lane_of
from kiosk.screens.security import Role, role
from kiosk.screens.speech import Speech
from kiosk.screens.texts import Language


class ResidentPages:
    """``site_code_text`` is the place code's text, "" for none; ``events`` answers with a page's events."""

    def __init__(self, hub: Hub, drawing: Drawing, speech: Speech, events: EventAnswer, site_code_text: str) -> None:
        self._hub = hub
        self._drawing = drawing
        self._speech = speech
        self._events = events
        self._site_code_text = site_code_text

    def routes(self) -> list[Route]:
        """Path, method and endpoint."""
        return [
            ("/", "GET", self.index),
            ("/lane/{lane}", "GET", self.lane_page),
            ("/events/lane/{lane}", "GET", self.lane_events),
            ("/place-code", "GET", self.place_code),
            ("/place-code.svg", "GET", self.place_code_svg),
        ]

    @role(Role.OPEN)
    async def index(self, request: Request) -> Response:
        """The list of screens."""
        return self._drawing.page(request, "index.html", view=self._hub.current())

    @role(Role.OPEN)
    async def lane_page(self, request: Request, lane: str) -> Response:
        """The resident's screen of one lane."""
        view = self._hub.current()
        if view is None:
            return self._drawing.starting(request)
        voices = self._speech.addresses()
        values = self._values(view, lane_of(view, lane))
        return self._drawing.page(request, "resident.html", voices=voices, **values)

    @role(Role.OPEN)
    async def lane_events(self, request: Request, lane: str) -> Response:
        """The events of a resident's screen."""
        view = self._hub.current()
        if view is not None:
            lane_of(view, lane)
        return self._events(request, lambda newest: self._draw(newest, lane))

    @role(Role.OPEN)
    async def place_code(self, request: Request) -> Response:
        """The site's own place code, for phones that scan the gate."""
        present, view = bool(self._site_code_text), self._hub.current()
        return self._drawing.page(request, "place_code.html", present=present, view=view)

    @role(Role.OPEN)
    async def place_code_svg(self) -> Response:
        """The place code as a picture (ISO/IEC 18004, error correction M, quiet zone of four modules)."""
        if not self._site_code_text:
            raise HTTPException(404, "no place code")
        picture = io.BytesIO()
        segno.make(self._site_code_text, error="m", micro=False).save(
            picture, kind="svg", border=4, scale=8, light="#fff"
        )
        return Response(picture.getvalue(), media_type="image/svg+xml")

    def _values(self, view: KioskView, lane: LaneView) -> dict[str, Any]:
        screen = resident_screen(lane)
        # Whoever scans the gate does it while nobody's verdict stands there.
        shows_place = bool(self._site_code_text) and screen.face is Face.IDLE and lane.direction is Direction.IN
        says = self._speech.says(screen)
        return {"view": view, "lane": lane, "screen": screen, "says": says, "place_code": shows_place}

    def _draw(self, view: KioskView, name: str) -> dict[str, Any]:
        lane = lane_of(view, name)
        values = self._values(view, lane)
        texts_of = self._drawing.texts_of
        html = self._drawing.render("_face.html", zh=texts_of(Language.ZH), en=texts_of(Language.EN), **values)
        told = self._speech.told(values["screen"], view)
        return {"regions": {"face": html}, "lanes": [heard(lane.lane, lane.passage, values["screen"].face) | told]}
