"""The lookup asks a server that behaves like a real one: its good days, its bad days, and its impostors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.loader import load
from config.lookup import Lookup
from config.settings import Settings
from kiosk.credentials.person_match import person_match
from kiosk.evidence import CodeStatus
from kiosk.line_wire import Answered, Ask, NoAnswer
from sync.errors import SyncError
from sync.lookup import LookupServer, load_secret
from tests.code_server import GREEN, PREFIX, RED, SECRET, YELLOW, CodeServer, settings_of

MATCH_KEY = bytes(range(32))
BASE = '[site]\nkiosk_id = "north-1"\n[[lane]]\nname = "in"\n'


@pytest.fixture
def server() -> Iterator[CodeServer]:
    running = CodeServer().start()
    yield running
    running.stop()


def lookup_of(folder: Path, url: str) -> Lookup:
    """The settings of a site that asks this server."""
    (folder / "lookup.secret").write_text(SECRET + "\n")
    (folder / "lookup.secret").chmod(0o600)
    (folder / "gate.toml").write_text(BASE + settings_of(url, str(folder / "lookup.secret")))
    return load(Settings, folder / "gate.toml", {}).settings.lookup


def ask_all(lookup: Lookup, tokens: list[str], within_ms: int = 1500) -> list[Answered]:
    """One question after another over one server's connection."""

    async def run() -> list[Answered]:
        async with LookupServer(lookup, secret=load_secret(lookup), mono_ns=time.monotonic_ns) as server:
            return [
                await server.answer(Ask(number=number, token=token, within_ms=within_ms), MATCH_KEY)
                for number, token in enumerate(tokens)
            ]

    return asyncio.run(run())


def ask_one(lookup: Lookup, token: str) -> Answered:
    """The answer about one token."""
    return ask_all(lookup, [token])[0]


def test_every_colour_and_the_unknown(tmp_path: Path, server: CodeServer) -> None:
    """The server's words become colours by the settings; a token that it does not know is no code."""
    lookup = lookup_of(tmp_path, server.url)
    tokens = [server.make_code(colour) for colour in (GREEN, YELLOW, RED)] + [PREFIX + "never-made"]
    answers = ask_all(lookup, tokens)
    assert [answer.status for answer in answers] == [CodeStatus.GREEN, CodeStatus.YELLOW, CodeStatus.RED, None]
    assert all(answer.no_answer is None for answer in answers)
    assert [answer.valid_ms for answer in answers] == [300_000, 300_000, 300_000, 0]


def test_of_the_holder_comes_a_keyed_hash_and_nothing_else(tmp_path: Path, server: CodeServer) -> None:
    """Name and birth date end where the answer comes in."""
    lookup = lookup_of(tmp_path, server.url)
    answer = ask_one(lookup, server.make_code(GREEN, name="李小明", birth_date="19900412"))
    assert answer.subject_match == person_match(MATCH_KEY, "李小明", "", "1990-04-12") != ""
    assert "李" not in repr(answer)


def test_green_is_kept_as_long_as_the_server_says_and_red_is_not(tmp_path: Path, server: CodeServer) -> None:
    """A second showing of a green code asks nobody; a red one that was corrected is green at the next showing."""
    lookup = lookup_of(tmp_path, server.url)
    green, red = server.make_code(GREEN), server.make_code(RED)
    assert [answer.status for answer in ask_all(lookup, [green, green])] == [CodeStatus.GREEN] * 2
    assert server.asked == [green]
    first = ask_one(lookup, red)
    server.change(red, GREEN)
    assert (first.status, ask_one(lookup, red).status) == (CodeStatus.RED, CodeStatus.GREEN)
    server.asked.clear()
    server.valid_s = 0
    expired = ask_one(lookup, green)
    assert expired.no_answer is NoAnswer.BAD_ANSWER


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        ("slow", NoAnswer.TOO_LATE),
        ("trickling", NoAnswer.TOO_LATE),
        ("broken", NoAnswer.SERVER_ERROR),
        ("redirecting", NoAnswer.SERVER_ERROR),
        ("wrong_signature", NoAnswer.BAD_SIGNATURE),
        ("wrong_body", NoAnswer.BAD_ANSWER),
        ("huge", NoAnswer.BAD_ANSWER),
    ],
)
def test_bad_days_give_no_answer_within_the_limit(
    tmp_path: Path, server: CodeServer, behaviour: str, why: NoAnswer
) -> None:
    """Slow, drop by drop, 5xx, elsewhere, tampered, not JSON, too much: the reason, never a colour."""
    lookup = lookup_of(tmp_path, server.url)
    token = server.make_code(RED)
    server.behave(behaviour)
    began = time.monotonic()
    answer = ask_all(lookup, [token], within_ms=400)[0]
    assert answer.no_answer is why
    assert answer.status is None
    assert time.monotonic() - began < 10  # generous: what is held is that it ends, not how quick this machine is


def test_an_answer_that_was_recorded_counts_for_nobody_else(tmp_path: Path, server: CodeServer) -> None:
    """The green answer about a friend's code, played back for a red one, is genuine, signed, and refused."""
    lookup = lookup_of(tmp_path, server.url)
    friend, red = server.make_code(GREEN), server.make_code(RED)
    assert ask_one(lookup, friend).status is CodeStatus.GREEN
    server.behave("replaying")
    assert ask_one(lookup, red).no_answer is NoAnswer.OTHER_TOKEN


def test_a_server_that_is_down_is_said_to_be(tmp_path: Path) -> None:
    """Nobody listens: not reached, and asked again the next time."""
    server = CodeServer().start()
    lookup = lookup_of(tmp_path, server.url)
    token = server.make_code(GREEN)
    server.stop()
    assert [answer.no_answer for answer in ask_all(lookup, [token, token])] == [NoAnswer.NOT_REACHED] * 2


def test_the_server_refuses_what_is_not_signed_right(tmp_path: Path, server: CodeServer) -> None:
    """The reference server checks as a real one does: another secret is an error there, and no answer here."""
    lookup = lookup_of(tmp_path, server.url)
    (tmp_path / "lookup.secret").write_text("another secret")
    assert ask_one(lookup, server.make_code(GREEN)).no_answer is NoAnswer.SERVER_ERROR


def test_what_cannot_work_is_said_at_the_start(tmp_path: Path) -> None:
    """An address in the clear, a secret that others may read, an authority that is none."""
    lookup = lookup_of(tmp_path, "http://192.0.2.1/health")
    with pytest.raises(SyncError, match="https"):
        ask_one(lookup, PREFIX)
    (tmp_path / "lookup.secret").chmod(0o644)
    with pytest.raises(ConfigError, match="0644"):
        load_secret(lookup)
    (tmp_path / "no.pem").write_text("no certificate")
    unpinned = lookup.model_copy(update={"ca_file": tmp_path / "no.pem", "url": "https://hc.example"})
    with pytest.raises(ConfigError, match="ca_file"):
        LookupServer(unpinned, secret="x", mono_ns=time.monotonic_ns)
