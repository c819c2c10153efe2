"""How the tablets' console is put together (``kiosk/tablet_console.py``): with TLS, or not at all."""

from __future__ import annotations

import ssl
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import sentinel

import httpx
import pytest
from structlog.testing import capture_logs

from config.errors import ConfigError
from config.settings import Settings, load_settings
from kiosk.board import CommandResult
from kiosk.id_desk import IdDesk
from kiosk.screens.guards import GuardBook
from kiosk.screens.hub import Hub
from kiosk.screens.preview import busy_view
from kiosk.screens.sessions import Sessions
from kiosk.tablet_book import TabletBook
from kiosk.tablet_certificate import AUTHORITY, FOLDER, fingerprint, make_certificate
from kiosk.tablet_console import Console, serve_tablets, tablet_address, tablet_desk, tablet_server
from tests.fakes import FakeClock
from tests.integration.test_doctor import settings_in
from tests.integration.test_screens_app import CHEAP

HERE = '[web.tablet]\nhost = "127.0.0.1"\nport = 0\n'


def settings_of(folder: Path, tablet: str = HERE) -> Settings:
    settings_in(folder)
    path = folder / "gate.toml"
    path.write_text(path.read_text() + tablet)
    (folder / "state").mkdir(exist_ok=True)
    return load_settings(path, {}).settings


def certified(settings: Settings) -> Path:
    """The kiosk has its certificate; where the authority's lies."""
    folder = settings.state.folder / FOLDER
    make_certificate(folder, settings.web.tablet, now=datetime.now(UTC))
    return folder / AUTHORITY


def console() -> Console:
    """A gate of two lanes in which nobody may log in."""
    hub = Hub()
    hub.publish(busy_view(2))
    return Console(
        hub=hub,
        commands=lambda _: CommandResult(done=True),
        guards=GuardBook({}, hasher=CHEAP),
        sessions=Sessions(),
        passes=sentinel.passes,
        people=sentinel.people,
        id_cards=IdDesk(FakeClock(), UTC),
    )


class Told:
    """What reached the journal."""

    def __init__(self) -> None:
        self.facts: list[dict[str, Any]] = []

    def __call__(self, facts: Any) -> None:
        self.facts.append(dict(facts))


@pytest.mark.parametrize(
    ("tablet", "address"),
    [
        ('[web.tablet]\nhost = "192.168.7.20"\nport = 8473\n', "https://192.168.7.20:8473"),
        ('[web.tablet]\nhost = "192.168.7.20"\nport = 8473\nnames = ["gate.lan"]\n', "https://gate.lan:8473"),
        ('[web.tablet]\nhost = "fd00::20"\nport = 8473\n', "https://[fd00::20]:8473"),
    ],
)
def test_what_is_typed_on_a_tablet(tmp_path: Path, tablet: str, address: str) -> None:
    """The first of its names, else the address; one of IPv6 in brackets."""
    assert tablet_address(settings_of(tmp_path, tablet)) == address


def test_a_kiosk_whose_settings_name_no_network_has_none_of_it(tmp_path: Path) -> None:
    """No desk, no listener, and nothing that could be started."""
    settings = settings_of(tmp_path, "")
    assert tablet_desk(settings, FakeClock(), Told()) is None
    assert tablet_server(settings, FakeClock(), console(), Told()) is None
    with ExitStack() as stack:
        serve_tablets(settings, stack, FakeClock(), console(), Told())


def test_the_desk_shows_the_authoritys_fingerprint_once_there_is_one(tmp_path: Path) -> None:
    """A site's own certificate needs no installing, so it has none to compare."""
    settings = settings_of(tmp_path)
    desk = tablet_desk(settings, FakeClock(), Told())
    assert desk is not None
    assert desk.fingerprint == ""
    authority = certified(settings)
    assert tablet_desk(settings, FakeClock(), Told()).fingerprint == fingerprint(authority)
    files = f'certificate = "{authority}"\nkey = "{authority}"\n'
    assert tablet_desk(settings_of(tmp_path, HERE + files), FakeClock(), Told()).fingerprint == ""


def test_a_tablet_that_is_sent_away_stands_in_the_journal(tmp_path: Path) -> None:
    """By its number; the name that somebody gave it stays out."""
    settings, clock, told = settings_of(tmp_path), FakeClock(), Told()
    desk = tablet_desk(settings, clock, told)
    assert desk is not None
    book = TabletBook(settings.state.folder)
    tablet, _ = book.pair(book.new_code("gatehouse", now=clock.now()), now=clock.now())
    assert [found.tablet_id for found in desk.book.listed()] == [tablet.tablet_id]
    desk.told(tablet)
    assert told.facts == [{"device": "tablet", "role": tablet.tablet_id, "detail": "revoked"}]


def test_without_a_certificate_a_network_gets_nothing(tmp_path: Path) -> None:
    """Never plain HTTP instead."""
    with pytest.raises(ConfigError, match="gatepost console certificate"):
        tablet_server(settings_of(tmp_path), FakeClock(), console(), Told())


def test_the_listener_speaks_tls_as_long_as_the_gate_runs(tmp_path: Path) -> None:
    """And ends with it; a browser that was not paired sees the pairing page alone."""
    settings = settings_of(tmp_path)
    trust = ssl.create_default_context(cafile=str(certified(settings)))
    with capture_logs() as logs, ExitStack() as stack:
        serve_tablets(settings, stack, FakeClock(), console(), Told())
        (line,) = [line for line in logs if line["event"] == "tablets"]
        address = line["address"]
        assert address.startswith("https://127.0.0.1:")
        answer = httpx.get(address + "/guard", verify=trust, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/pair")
    with pytest.raises(httpx.ConnectError):
        httpx.get(address, verify=trust)
