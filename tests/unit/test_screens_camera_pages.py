"""The pages around a lane's camera (``kiosk/screens/camera_pages.py``), and the time as all pages show it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from fastapi import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from drivers.camera import Frame
from drivers.qr_stream import CameraStats
from kiosk.camera_report import CameraReport
from kiosk.screens.aim import Aim
from kiosk.screens.camera_pages import CameraPages
from kiosk.screens.page_tools import PageTools
from tests.unit.test_camera_report import WELL

GRAY = np.full((480, 640), 128, np.uint8)


@dataclass
class Camera:
    """A camera that notes how many threads ask it at the same time; without ``go`` each waits in it."""

    frame: Frame | None = None
    asking: int = 0
    most: int = 0
    go: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.go.set()

    def latest_frame(self) -> Frame | None:
        self.asking += 1
        self.most = max(self.most, self.asking)
        self.go.wait()
        self.asking -= 1
        return self.frame

    def stats(self) -> CameraStats:
        return WELL


@dataclass
class Pages:
    """The camera pages of a gate; what they would draw is noted."""

    cameras: dict[str, Camera]
    drawn: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    touched: int = 0

    def __post_init__(self) -> None:
        tools = PageTools(page=self._page, answer=lambda *_: Response(), touch=self._touch, zone=UTC)
        # Every question reaches the camera: an hour passes between any two.
        hours = iter(range(10_000))
        aim = Aim(self.cameras, clock_ns=lambda: next(hours) * 3600 * 10**9)
        self.pages = CameraPages(aim, tools, self._part)

    def _page(self, _: Request, name: str, **values: Any) -> Response:
        self.drawn.append((name, values))
        return Response()

    def _part(self, _: Request, name: str, **values: Any) -> str:
        self.drawn.append((name, values))
        return "figures"

    def _touch(self, _: Request) -> None:
        self.touched += 1


def request() -> Request:
    return Request({"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""})


def asked(answer: Coroutine[Any, Any, Response]) -> Response:
    return asyncio.run(answer)


@pytest.fixture
def pages() -> Pages:
    """Two lanes with a camera; only the first has seen a frame yet."""
    return Pages({"east-in": Camera(Frame(GRAY, 0, 1)), "out": Camera()})


def test_the_menu_leads_to_the_first_camera(pages: Pages) -> None:
    """The others are links on its page."""
    answer = asked(pages.pages.cameras_page(request()))
    assert (answer.status_code, answer.headers["location"]) == (303, "/guard/camera/east-in")


def test_a_gate_without_a_camera_has_nothing_to_aim() -> None:
    """A link from an older page finds no page."""
    with pytest.raises(HTTPException) as caught:
        asked(Pages({}).pages.cameras_page(request()))
    assert caught.value.status_code == 404


def test_the_page_has_the_lanes_and_the_figures_and_keeps_the_session_open(pages: Pages) -> None:
    """The guard pressed something to get it."""
    asked(pages.pages.camera_page(request(), "out"))
    ((name, values),) = pages.drawn
    assert (name, values["lane"], values["lanes"], pages.touched) == ("camera.html", "out", ("east-in", "out"), 1)
    assert isinstance(values["report"], CameraReport)


def test_what_the_page_asks_for_by_itself_keeps_no_session_open(pages: Pages) -> None:
    """A page that was left lying open logs its guard out all the same."""
    picture = asked(pages.pages.camera_picture("east-in"))
    figures = asked(pages.pages.camera_figures(request(), "east-in"))
    assert pages.touched == 0
    assert (picture.media_type, picture.headers["cache-control"]) == ("image/jpeg", "no-store")
    assert picture.body[:2] == b"\xff\xd8"
    assert (figures.body, pages.drawn[0][0]) == (b"figures", "_camera.html")


def test_before_the_first_frame_there_is_no_picture(pages: Pages) -> None:
    """The page asks again."""
    with pytest.raises(HTTPException) as caught:
        asked(pages.pages.camera_picture("out"))
    assert caught.value.status_code == 404


@pytest.mark.parametrize("lane", ["north", ""])
def test_a_lane_without_a_camera_is_asked_nothing(pages: Pages, lane: str) -> None:
    """An address that somebody typed."""
    for answer in (
        pages.pages.camera_page(request(), lane),
        pages.pages.camera_picture(lane),
        pages.pages.camera_figures(request(), lane),
    ):
        with pytest.raises(HTTPException) as caught:
            asked(answer)
        assert caught.value.status_code == 404
    assert pages.drawn == []


def test_however_many_pages_look_one_picture_is_made_at_a_time() -> None:
    """Of all cameras together: the gate keeps its cores."""
    camera = Camera(Frame(GRAY, 0, 1))
    camera.go.clear()
    several = Pages({"in": camera, "out": camera}).pages

    async def all_at_once() -> int:
        pictures = asyncio.gather(*(several.camera_picture(lane) for lane in ("in", "out") * 10))
        while (
            limiter := several._one_thread
        ) is None or limiter.statistics().tasks_waiting + limiter.borrowed_tokens < 20:
            await asyncio.sleep(0)
        let_in = limiter.borrowed_tokens
        camera.go.set()
        await pictures
        return int(let_in)

    assert asyncio.run(all_at_once()) == 1
    assert camera.most == 1


def test_a_time_is_shown_as_the_sites_clock_shows_it() -> None:
    """Eight hours on from UTC at the gate in Wuhan; a page that needs seconds asks for them."""
    tools = PageTools(
        page=lambda *_: Response(),
        answer=lambda *_: Response(),
        touch=lambda _: None,
        zone=ZoneInfo("Asia/Shanghai"),
    )
    at = datetime(2026, 11, 21, 20, 5, 9, tzinfo=UTC)
    assert tools.local(at) == "2026-11-22 04:05"
    assert tools.local(at, "%H:%M:%S") == "04:05:09"
