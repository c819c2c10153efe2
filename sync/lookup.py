"""Online lookup of opaque health codes: one question by HTTPS, one answer, within a time limit in total.

The form of both is ``sync/lookup_form.py``. A green answer is kept for as long as its server says (and as the settings
allow), by the hash of its token; red and yellow ones are asked for again each time, since they are what gets corrected.
Redirects are not followed and no proxy of the environment is used: a token goes to the server of the settings alone.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from types import TracebackType

import httpx
import structlog

from config.errors import ConfigError
from config.lookup import Lookup, Signing
from config.settings import secret_file
from kiosk.credentials.online import token_hash
from kiosk.evidence import CodeStatus
from kiosk.line_wire import Answered, Ask, NoAnswer
from sync.lookup_form import MAX_ANSWER_BYTES, Found, NoAnswerError, question, read_answer
from sync.uplink import check_central_url

log = structlog.get_logger("gatepost.lookup")

MAX_KEPT = 4096
MAX_AT_ONCE = 8
MAX_SECRET_BYTES = 512


@dataclass(frozen=True, slots=True)
class _Kept:
    found: Found
    mono_ns: int


def load_secret(lookup: Lookup) -> str:
    """The text of the secret's file ("" where nothing is signed). Raises ConfigError."""
    if lookup.signing is Signing.NONE or lookup.secret is None:
        return ""
    path = secret_file(lookup.secret)
    try:
        secret = path.read_bytes()[: MAX_SECRET_BYTES + 1].decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"secret {path}", seen=str(error), expected="a line of text") from error
    if not 8 <= len(secret) <= MAX_SECRET_BYTES:
        raise ConfigError(f"secret {path}", seen=f"{len(secret)} characters", expected=f"8 to {MAX_SECRET_BYTES}")
    return secret


class LookupServer:
    """The server of the settings, asked from one event loop.

    ``now`` is UTC, ``mono_ns`` the machine's monotonic clock. Raises ConfigError for an address or authority that
    cannot be used.
    """

    def __init__(
        self,
        lookup: Lookup,
        *,
        secret: str,
        zone: tzinfo = UTC,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        mono_ns: Callable[[], int],
    ) -> None:
        self._lookup = lookup
        self._secret = secret
        self._zone = zone
        self._now = now
        self._mono_ns = mono_ns
        self._url = check_central_url(lookup.url)
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._under_way = 0
        self._client = httpx.AsyncClient(
            verify=_authorities(lookup.ca_file),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(lookup.time_limit_s),
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        )

    async def __aenter__(self) -> LookupServer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def answer(self, ask: Ask, match_key: bytes) -> Answered:
        """The answer to one question, always, within its time: from what is kept, from the server, or why there is
        none. ``match_key`` makes the keyed hash of the name, where the server gives one."""
        name = token_hash(ask.token)
        kept = self._still_kept(name)
        if kept is not None:
            age_ms = (self._mono_ns() - kept.mono_ns) // 1_000_000
            return _answered(ask.number, kept.found, age_ms)
        if self._under_way >= MAX_AT_ONCE:
            return Answered(number=ask.number, no_answer=NoAnswer.BUSY)
        self._under_way += 1
        try:
            limit_s = min(ask.within_ms / 1000, self._lookup.time_limit_s)
            async with asyncio.timeout(limit_s):
                found = await self._ask_server(ask.token, match_key)
        except (NoAnswerError, TimeoutError) as error:
            why = error.why if isinstance(error, NoAnswerError) else NoAnswer.TOO_LATE
            log.warning("lookup_without_answer", why=str(why), token=name[:16])
            return Answered(number=ask.number, no_answer=why)
        finally:
            self._under_way -= 1
        self._keep(name, found)
        return _answered(ask.number, found, 0)

    async def _ask_server(self, token: str, match_key: bytes) -> Found:
        asked = question(
            self._lookup, token, secret=self._secret, nonce=secrets.token_hex(16), at=self._now(), zone=self._zone
        )
        headers = {"Content-Type": asked.content_type}
        body = bytearray()
        try:
            async with self._client.stream("POST", self._url, content=asked.body, headers=headers) as response:
                if response.status_code != httpx.codes.OK:
                    raise NoAnswerError(NoAnswer.SERVER_ERROR)
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        raise NoAnswerError(NoAnswer.BAD_ANSWER)
        except httpx.TimeoutException:
            raise NoAnswerError(NoAnswer.TOO_LATE) from None
        except (httpx.HTTPError, ssl.SSLError, OSError):
            raise NoAnswerError(NoAnswer.NOT_REACHED) from None
        return read_answer(
            self._lookup,
            asked,
            bytes(body),
            secret=self._secret,
            match_key=match_key,
            at=self._now(),
            zone=self._zone,
        )

    def _still_kept(self, name: str) -> _Kept | None:
        kept = self._kept.get(name)
        if kept is None:
            return None
        held_s = min(kept.found.valid_s, self._lookup.cache_max_s)
        if self._mono_ns() - kept.mono_ns < held_s * 1_000_000_000:
            return kept
        del self._kept[name]
        return None

    def _keep(self, name: str, found: Found) -> None:
        if found.status is not CodeStatus.GREEN or not found.stated:
            return
        self._kept[name] = _Kept(found, self._mono_ns())
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)


def _answered(number: int, found: Found, age_ms: int) -> Answered:
    return Answered(
        number=number,
        status=found.status,
        age_ms=age_ms,
        valid_ms=found.valid_s * 1000,
        subject_match=found.subject_match,
    )


def _authorities(ca_file: Path | None) -> ssl.SSLContext | bool:
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"lookup.ca_file {ca_file}", seen=str(error), expected="a PEM certificate") from error
