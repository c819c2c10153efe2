"""The console's clock page over HTTP: one guard says the time, another agrees by name and secret."""

from __future__ import annotations

import re
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from argon2 import PasswordHasher
from starlette.testclient import TestClient

from kiosk.board import CommandResult
from kiosk.clock import SystemClock
from kiosk.clock_desk import ClockDesk
from kiosk.reasons import ClockTrust
from kiosk.screens.app import create_app
from kiosk.screens.clock_pages import read_local
from kiosk.screens.guards import FREE_TRIES, Guard, GuardBook, hash_secret
from kiosk.screens.hub import Hub
from kiosk.screens.preview import busy_view
from tests.fakes import MORNING_US

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
SECRETS = {"wang": "correct horse", "li": "battery staple"}
BEIJING = ZoneInfo("Asia/Shanghai")


class Kiosk:
    """A kiosk that knows no time, and its console with wang logged in."""

    def __init__(self) -> None:
        self.mono_ns = 0
        self.written: list[dict[str, Any]] = []
        self.clock = SystemClock(
            None,
            built_at_us=MORNING_US - 86_400_000_000,
            wall_us=lambda: 0,
            monotonic_ns=lambda: self.mono_ns,
            synced=lambda: False,
            rtc_present=lambda: False,
        )
        hub = Hub(clock_ns=lambda: self.mono_ns)
        hub.publish(busy_view(1))
        guards = {login: Guard(login, login, hash_secret(secret, CHEAP)) for login, secret in SECRETS.items()}
        app = create_app(
            hub,
            lambda _command: CommandResult(done=True),
            guards=GuardBook(guards, hasher=CHEAP),
            clock=ClockDesk(self.clock, self.written.append),
            zone=BEIJING,
            allowed_hosts=("testserver",),
            now_ns=lambda: self.mono_ns,
        )
        self.client = TestClient(app, follow_redirects=False)
        open_token = re.search(r'name="gatepost-token" content="([0-9a-f]{64})"', self.client.get("/").text)
        assert open_token
        form = {"token": open_token[1], "login": "wang", "secret": SECRETS["wang"]}
        assert self.client.post("/guard/login", data=form).status_code == 303

    def post(self, path: str, **form: str) -> tuple[int, str]:
        token = re.search(r'name="token" value="([0-9a-f]{64})"', self.client.get("/guard").text)
        assert token
        answer = self.client.post(path, data={"token": token[1], **form})
        return answer.status_code, answer.text


@pytest.fixture
def kiosk() -> Kiosk:
    return Kiosk()


def test_two_guards_set_the_time_in_the_sites_own_zone(kiosk: Kiosk) -> None:
    """16:00 in Beijing is 08:00 UTC; the second person uses a name and secret of their own."""
    assert "/guard/clock" in kiosk.client.get("/guard").text
    status, page = kiosk.post("/guard/clock", date="2026-11-21", time="16:00:00")
    assert (status, "2026-11-21 16:00:00" in page, "/guard/clock/agree" in page) == (200, True, True)
    assert kiosk.post("/guard/clock/agree", login="li", secret=SECRETS["li"])[0] == 303
    now = kiosk.clock.now()
    assert (now.at_us, now.clock_trust) == (MORNING_US, ClockTrust.ASSERTED)
    assert [facts["people"] for facts in kiosk.written] == [["wang", "li"]]


def test_the_same_guard_cannot_agree_and_a_wrong_secret_does_not(kiosk: Kiosk) -> None:
    """Neither sets anything, and wrong secrets grow the same delay as at the log-in."""
    kiosk.post("/guard/clock", date="2026-11-21", time="16:00")
    assert kiosk.post("/guard/clock/agree", login="wang", secret=SECRETS["wang"])[0] == 409
    tries = [kiosk.post("/guard/clock/agree", login="li", secret="a guess too many")[0] for _ in range(FREE_TRIES)]
    assert tries == [*[403] * (FREE_TRIES - 1), 429]
    assert kiosk.post("/guard/clock/agree", login="li", secret=SECRETS["li"])[0] == 429
    assert kiosk.clock.now().clock_trust is ClockTrust.NONE
    assert kiosk.written == []


@pytest.mark.parametrize(
    ("date", "time", "status"),
    [("2026-11-21", "25:00", 422), ("21.11.2026", "16:00", 422), ("", "", 422), ("2036-11-21", "16:00", 409)],
)
def test_what_is_no_time_or_cannot_be_one_says_so(kiosk: Kiosk, date: str, time: str, status: int) -> None:
    """The form comes back with a sentence; nothing waits for a second word."""
    seen, page = kiosk.post("/guard/clock", date=date, time=time)
    assert (seen, 'role="alert"' in page, "/guard/clock/agree" in page) == (status, True, False)


@pytest.mark.parametrize(("date", "days"), [("2027-11-21", "366"), ("2026-12-21", "")])
def test_a_time_far_ahead_is_pointed_out_to_the_second_person(kiosk: Kiosk, date: str, days: str) -> None:
    """A misread year is not seen at a glance, and what it makes too old is erased for good."""
    status, page = kiosk.post("/guard/clock", date=date, time="16:00:00")
    assert (status, page.count('role="alert"')) == (200, 2 if days else 1)
    assert not days or f" {days} " in page


def test_an_hour_that_the_zone_leaves_out_is_no_time() -> None:
    """Clocks put forward: 02:30 never was; of an hour that came twice the first is meant."""
    berlin = ZoneInfo("Europe/Berlin")
    assert read_local("2026-03-29", "02:30", berlin) is None
    twice = read_local("2026-10-25", "02:30", berlin)
    assert twice is not None
    assert twice.isoformat() == "2026-10-25T00:30:00+00:00"
