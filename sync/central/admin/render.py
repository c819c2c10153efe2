"""How a page is made: template, language, menu, and the headers that let a live page refresh itself.

The language is chosen by ``?lang=`` (the link in the header) and remembered in a cookie. A live page may run one script
of ours (``static/live.js``), which asks for the same page again and puts in what changed; no other page runs any.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from kiosk.reasons import Reason
from sync.central import lists
from sync.central.access import Role, Visitor
from sync.central.admin.texts import Language, Texts, local_detail, local_time, size, texts
from sync.central.context import central_of
from sync.central.security import CSP_LIVE

LANGUAGE_COOKIE = "gatepost_language"
LANGUAGE_KEPT_S = 365 * 86_400
REFRESH_EVERY_S = 20
MENU = (
    ("/admin/kiosks", "menu.kiosks"),
    ("/admin/sync-log", "menu.sync_log"),
    ("/admin/passages", "menu.passages"),
    ("/admin/report", "menu.report"),
    ("/admin/documents", "menu.documents"),
    ("/admin/phones", "menu.phones"),
    ("/admin/quarantine", "menu.quarantine"),
    ("/admin/audit", "menu.audit"),
)
ADMIN_MENU = (("/admin/orders", "menu.orders"),)

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).resolve().parent / "templates"),
    autoescape=select_autoescape(default=True, default_for_string=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters["size"] = size


def language_of(request: Request) -> Language:
    """The language that was asked for, else the one chosen before, else Chinese."""
    for wanted in (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
        if wanted in tuple(Language):
            return Language(wanted)
    return Language.ZH


def texts_for(request: Request) -> Texts:
    """The texts in the language of the one who asks."""
    return texts(language_of(request))


def home_of(path: str) -> str:
    """The page of the menu that a path belongs to: where an answer to a form can be asked for again."""
    known = [page for page, _ in MENU + ADMIN_MENU if path == page or path.startswith(page + "/")]
    return known[0] if known else "/admin/login" if path == "/admin/login" else "/admin/kiosks"


def page(
    request: Request, name: str, visitor: Visitor | None, *, live: bool = False, status: int = 200, **values: Any
) -> HTMLResponse:
    """A rendered page; ``visitor`` decides what the menu and the forms offer, ``live`` that it refreshes itself."""
    central, said = central_of(request), texts_for(request)
    options, zone = central.options, central.options.zone
    here = home_of(request.url.path)
    asked = {key: value for key, value in request.query_params.items() if key != "lang"}
    open_alerts = 0
    if visitor is not None:
        with central.store.reading() as connection:
            open_alerts = lists.count_open_alerts(connection)
    html = _templates.get_template(name).render(
        site_name=options.site_name,
        zone=str(zone),
        visitor=visitor,
        may_admin=visitor is not None and visitor.may(Role.ADMIN),
        may_operate=visitor is not None and visitor.may(Role.OPERATOR),
        menu=MENU + (ADMIN_MENU if visitor is not None and visitor.may(Role.ADMIN) else ()),
        here=here,
        open_alerts=open_alerts,
        live_url=_with(here, asked) if live and visitor is not None else "",
        refresh_every_s=REFRESH_EVERY_S,
        language=said.language,
        languages=[(each, _with(here, {**asked, "lang": str(each)})) for each in Language],
        said=said,
        t=said.get,
        marked=said.marked,
        word=said.word,
        all_reasons=tuple(str(reason) for reason in Reason),
        when=lambda at_us: local_time(at_us, zone),
        detail_of=lambda detail: local_detail(detail, zone),
        **values,
    )
    answer = HTMLResponse(html, status)
    if live and visitor is not None:
        answer.headers["Content-Security-Policy"] = CSP_LIVE
    if request.query_params.get("lang") in tuple(Language):
        answer.set_cookie(
            LANGUAGE_COOKIE,
            str(said.language),
            max_age=LANGUAGE_KEPT_S,
            httponly=True,
            samesite="lax",
            secure=options.secure_cookies,
        )
    return answer


def _with(path: str, query: dict[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path
