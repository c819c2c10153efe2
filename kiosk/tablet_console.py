"""Puts the second listener together: the guard's console for paired tablets, by TLS alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import structlog

from config.errors import ConfigError
from config.settings import Settings
from kiosk.board import CommandResult, GuardCommand
from kiosk.clock import Clock
from kiosk.id_desk import IdDesk
from kiosk.pass_book import PassBook
from kiosk.people import RosterPeople
from kiosk.screens.app import create_app
from kiosk.screens.guards import GuardBook
from kiosk.screens.hub import Hub
from kiosk.screens.security import bracketed
from kiosk.screens.server import ScreensServer
from kiosk.screens.sessions import Sessions
from kiosk.screens.tablet_door import TabletDoor
from kiosk.screens.tablet_pages import TabletDesk
from kiosk.tablet_book import Tablet, TabletBook
from kiosk.tablet_certificate import AUTHORITY, FOLDER, certificate_files, fingerprint, tls_context

log = structlog.get_logger("gatepost")

Note = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Console:
    """What the tablets' console shares with the kiosk's own: the same gate, guards and sessions."""

    hub: Hub
    commands: Callable[[GuardCommand], CommandResult]
    guards: GuardBook
    sessions: Sessions
    passes: PassBook
    people: RosterPeople
    id_cards: IdDesk


def tablet_address(settings: Settings) -> str:
    """What is typed on a tablet, such as ``https://192.168.7.20:8473``."""
    tablet = settings.web.tablet
    return f"https://{bracketed(tablet.known_as[0])}:{tablet.port}"


def tablet_desk(settings: Settings, clock: Clock, note: Note) -> TabletDesk | None:
    """What the kiosk's own console pairs tablets with; None where the settings have none."""
    if not settings.web.tablet.host:
        return None
    authority = settings.state.folder / FOLDER / AUTHORITY
    try:
        shown = "" if settings.web.tablet.certificate is not None else fingerprint(authority)
    except ConfigError:
        shown = ""
    return TabletDesk(
        book=TabletBook(settings.state.folder),
        now=clock.now,
        address=tablet_address(settings),
        fingerprint=shown,
        told=_teller(note, "revoked"),
    )


def tablet_server(settings: Settings, clock: Clock, console: Console, note: Note) -> ScreensServer | None:
    """The listener, not yet started; None where the settings have none.

    Raises ConfigError without a usable certificate: a network gets TLS or nothing.
    """
    tablet = settings.web.tablet
    if not tablet.host:
        return None
    context = tls_context(certificate_files(settings))
    door = TabletDoor(TabletBook(settings.state.folder), clock.now, _teller(note, "paired"))
    app = create_app(
        console.hub,
        console.commands,
        guards=console.guards,
        passes=console.passes,
        people=console.people,
        id_cards=console.id_cards,
        door=door,
        zone=settings.site.zone,
        allowed_hosts=map(bracketed, tablet.known_as),
        now_ns=lambda: clock.now().mono_ns,
        sessions=console.sessions,
    )
    return ScreensServer(app, host=tablet.host, port=tablet.port, tls=context, setting="web.tablet.port")


def serve_tablets(settings: Settings, stack: ExitStack, clock: Clock, console: Console, note: Note) -> None:
    """Start the listener and end it with ``stack``; nothing where the settings have none. Raises ConfigError."""
    server = tablet_server(settings, clock, console, note)
    if server is None:
        return
    server.start()
    stack.callback(server.stop)
    log.info("tablets", address=server.address, names=list(settings.web.tablet.known_as))


def _teller(note: Note, what: str) -> Callable[[Tablet], None]:
    return lambda tablet: note({"device": "tablet", "role": tablet.tablet_id, "detail": what})
