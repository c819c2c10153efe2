"""What every group of the console's pages shares: drawing, answering, keeping the session open, the site's time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from kiosk.board import CommandResult, KioskView, LaneView

Route = tuple[str, str, Callable[..., Any]]
"""Path, method and endpoint."""


@dataclass(frozen=True, slots=True)
class PageTools:
    """``page`` draws a template for a request, ``answer`` tells a command's result, ``touch`` keeps the session open;
    ``zone`` is the one in which times are shown and typed."""

    page: Callable[..., Response]
    answer: Callable[[Request, CommandResult, str], Response]
    touch: Callable[[Request], None]
    zone: tzinfo

    def local(self, at: datetime, form: str = "%Y-%m-%d %H:%M") -> str:
        """An aware time as the site's clock shows it."""
        return at.astimezone(self.zone).strftime(form)


def lane_of(view: KioskView, name: str) -> LaneView:
    """One lane of a view; HTTPException 404 for an unknown one."""
    for lane in view.lanes:
        if lane.lane == name:
            return lane
    raise HTTPException(404, "no such lane")
