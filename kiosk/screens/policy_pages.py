"""The console's page of the policy: which is in force, where it came from, what it rests on, and what was not taken."""

from __future__ import annotations

from typing import Protocol

from fastapi import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from kiosk.policy_keeper import PolicyInForce
from kiosk.screens.page_tools import PageTools, Route
from kiosk.screens.security import Role, role


class PolicyDesk(Protocol):
    """What the page needs of ``kiosk.policy_keeper.PolicyKeeper``."""

    @property
    def in_force(self) -> PolicyInForce:
        """What the gate goes by."""
        ...

    @property
    def why_refused(self) -> str:
        """Why the newest that came was not taken, "" for nothing wrong."""
        ...


class PolicyPages:
    """The page; nothing can be changed on it."""

    def __init__(self, desk: PolicyDesk | None, tools: PageTools) -> None:
        self._desk = desk
        self._tools = tools

    def routes(self) -> list[Route]:
        """Path, method and endpoint."""
        return [("/guard/policy", "GET", self.policy_page)]

    @role(Role.GUARD)
    async def policy_page(self, request: Request) -> Response:
        """Version, source, order with its end, and what was refused."""
        if self._desk is None:
            raise HTTPException(404, "no policy")
        self._tools.touch(request)
        found = self._desk.in_force
        order = found.policy.order
        return self._tools.page(
            request,
            "policy.html",
            found=found,
            until="" if order is None else self._tools.local(order.until),
            refused=self._desk.why_refused,
        )
