"""Who holds the card that was just presented: name, photograph, and the member who lent it. For the guard alone.

Nothing of it travels with the events: the console's panel says only that there is a photograph. A photograph's address
names the passage it was made for, so that a page left open never shows the next person's under the face of this one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import anyio.to_thread
from fastapi import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from kiosk.board import LaneView
from kiosk.screens.page_tools import PageTools, Route
from kiosk.screens.security import Role, role


@dataclass(frozen=True, slots=True)
class Holder:
    """What the roster has of somebody; empty texts where it has nothing."""

    name: str
    phone: str


class People(Protocol):
    """What the pages need of roster and photographs (``kiosk/people.py``)."""

    def holder(self, subject: str) -> Holder | None:
        """The person behind a pseudonym; None for nobody known."""
        ...

    def has_photo(self, subject: str) -> bool:
        """Whether there is a photograph."""
        ...

    def photo(self, subject: str) -> bytes | None:
        """The photograph as JPEG."""
        ...


class HolderPages:
    """Two routes. ``lane_now`` is the newest view of a lane (404 for an unknown one)."""

    def __init__(self, people: People | None, tools: PageTools, lane_now: Callable[[str], LaneView]) -> None:
        self._people = people
        self._lane_now = lane_now
        self._tools = tools

    def routes(self) -> list[Route]:
        """Path, method and endpoint."""
        return [
            ("/guard/lane/{lane}/holder", "GET", self.holder_page),
            ("/guard/lane/{lane}/holder/photo", "GET", self.photo),
        ]

    def pictured(self, subject: str) -> bool:
        """Whether the console should show a photograph."""
        return bool(subject) and self._people is not None and self._people.has_photo(subject)

    @role(Role.GUARD)
    async def holder_page(self, request: Request, lane: str, passage: str = "") -> Response:
        """Name, photograph, lender of the passage that the lane shows now; ``passage`` insists on that one."""
        people, found = self._asked(lane, passage)
        self._tools.touch(request)
        holder = await anyio.to_thread.run_sync(people.holder, found.holder) if found.holder else None
        lender = await anyio.to_thread.run_sync(people.holder, found.lent_by) if found.lent_by else None
        pictured = holder is not None and await anyio.to_thread.run_sync(people.has_photo, found.holder)
        return self._tools.page(request, "holder.html", lane=found, holder=holder, lender=lender, pictured=pictured)

    @role(Role.GUARD)
    async def photo(self, lane: str, passage: str = "") -> Response:
        """The photograph, kept by no cache."""
        people, found = self._asked(lane, passage or "none")
        picture = await anyio.to_thread.run_sync(people.photo, found.holder)
        if picture is None:
            raise HTTPException(404, "no photograph")
        return Response(picture, media_type="image/jpeg", headers={"cache-control": "no-store"})

    def _asked(self, lane: str, passage: str) -> tuple[People, LaneView]:
        found = self._lane_now(lane)
        if self._people is None or passage not in ("", found.passage):
            raise HTTPException(404, "nobody known")
        return self._people, found
