"""How a kiosk asks to be told at once when the central has a newer document. Pure.

The kiosk says up to which versions it was told; the central answers as soon as it offers a higher one, or with what it
offers after a while. An answer is a hint alone: a document is believed for its authority's signature, once fetched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kiosk.records import canonical
from kiosk.signed_document import DocumentKind
from sync.errors import WireError

NEWS_PATH = "/v1/sync/news"
NEWS_CONTEXT = b"gatepost/news/1\n"
MAX_NEWS_BYTES = 1024
WAIT_S = 25.0
"""The longest that the central keeps a question; shorter than what proxies and the kiosk's read deadline allow."""


def news_question(kiosk_id: str, request: str, told: Mapping[str, str]) -> bytes:
    """What a kiosk signs and sends; ``told`` are the versions by kind that it knows to be offered."""
    return canonical({"v": 1, "kiosk_id": kiosk_id, "request": request, "told": dict(told)})


def read_question(body: bytes, kiosk_id: str, request: str) -> dict[str, int]:
    """The versions that the kiosk was told; raises WireError for anything but its question under these headers."""
    fields = _read(body, "news question")
    if fields.get("kiosk_id") != kiosk_id or fields.get("request") != request:
        raise WireError("news question", seen="another kiosk or request than in the headers")
    return {kind: int(version) for kind, version in _versions(fields.get("told"), "news question").items()}


def news_answer(request: str, offers: Mapping[str, str]) -> bytes:
    """What the central offers now."""
    return canonical({"v": 1, "request": request, "offers": dict(offers)})


def read_answer(body: bytes, request: str) -> dict[str, str]:
    """The versions offered; raises WireError for anything but the answer to this request."""
    fields = _read(body, "news answer")
    if fields.get("request") != request:
        raise WireError("news answer", seen="to another request", expected="to this one")
    return _versions(fields.get("offers"), "news answer")


def newer(offers: Mapping[str, str], told: Mapping[str, int]) -> bool:
    """Whether anything is offered in a higher version than was told."""
    return any(int(version) > told.get(kind, 0) for kind, version in offers.items())


def _read(body: bytes, what: str) -> dict[str, Any]:
    if len(body) > MAX_NEWS_BYTES:
        raise WireError(what, status=413, seen=f"{len(body)} bytes", expected=f"at most {MAX_NEWS_BYTES}")
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise WireError(what, seen="no JSON") from None
    if not isinstance(fields, dict) or fields.get("v") != 1:
        raise WireError(what, seen="another form", expected="version 1")
    return fields


def _versions(found: Any, what: str) -> dict[str, str]:
    """Document kinds with their versions as digits."""
    if not isinstance(found, dict) or not found.keys() <= set(DocumentKind):
        raise WireError(what, seen=str(found)[:80], expected=f"versions of {', '.join(DocumentKind)}")
    for version in found.values():
        if not isinstance(version, str) or not version.isascii() or not version.isdigit() or len(version) > 15:
            raise WireError(what, seen=str(version)[:40], expected="a version")
    return found
