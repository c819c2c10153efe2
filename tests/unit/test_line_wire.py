"""The lines between gate and sync: every message comes out as it went in, and nothing else does."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.evidence import CodeStatus
from kiosk.line_wire import (
    MAX_FACTS,
    MAX_LINE_BYTES,
    MAX_TOKEN_CHARS,
    Answered,
    Ask,
    Heard,
    Hello,
    LineError,
    Message,
    NoAnswer,
    Silent,
    Tell,
    decode,
    encode,
)
from kiosk.neighbours import HeardFact
from tests.unit.test_peer import facts

numbers = st.integers(0, 2**62)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        Hello,
        kiosk_id=st.text(max_size=32),
        peer_key=st.binary(min_size=32, max_size=32),
        match_key=st.binary(min_size=32, max_size=32),
    ),
    st.builds(Ask, number=numbers, token=st.text(max_size=200), within_ms=st.integers(1, 1500)),
    st.builds(Tell, st.lists(facts, max_size=MAX_FACTS).map(tuple)),
    st.builds(Heard, st.lists(st.builds(HeardFact, st.text(max_size=32), facts), max_size=MAX_FACTS).map(tuple)),
    st.builds(Silent, st.integers(0, 16)),
    st.builds(
        Answered,
        number=numbers,
        no_answer=st.none() | st.sampled_from(NoAnswer),
        status=st.none() | st.sampled_from(CodeStatus),
        age_ms=st.integers(0, 86_400_000),
        valid_ms=st.integers(0, 86_400_000),
        subject_match=st.text("0123456789abcdef", max_size=32),
    ),
)


@given(messages)
def test_every_message_is_one_line_and_comes_back(message: Message) -> None:
    """Also with line feeds, quotes and lone surrogates in a token."""
    line = encode(message)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert len(line) <= MAX_LINE_BYTES
    assert decode(line) == message


def test_the_longest_messages_fit() -> None:
    """A token of every code that a camera can deliver, and as many facts as a line may have."""
    from dataclasses import replace

    from kiosk.neighbours import COUNTER_MAX, Fact, FactKind

    worst = Fact(kind=FactKind.CARD, what=b"\xff" * 16, place="x" * 32, mono_ns=2**62, read_ctr=COUNTER_MAX)
    heard = Heard(tuple(HeardFact("k" * 32, replace(worst, showing=b"\xff" * 16)) for _ in range(MAX_FACTS)))
    assert decode(encode(heard)) == heard
    ask = Ask(number=1, token="\ud800" * MAX_TOKEN_CHARS, within_ms=1)
    assert len(encode(ask)) <= MAX_LINE_BYTES
    assert decode(encode(ask)) == ask


@given(st.binary(max_size=300) | st.recursive(st.none() | st.integers() | st.text(max_size=9), st.lists).map(
    lambda value: json.dumps(value).encode()
) | st.dictionaries(st.sampled_from(["t", "number", "facts", "token"]), st.sampled_from(
    ["ask", "tell", "heard", "answered", "hello", "silent", "", None, [], [{}], 1, -1, True, 2**70])).map(
    lambda value: json.dumps(value).encode()))  # fmt: skip
def test_anything_else_is_refused_by_name(line: bytes) -> None:
    """Noise, other JSON, messages with wrong fields: LineError with a short text, or a message that encodes again."""
    try:
        message = decode(line)
    except LineError as error:
        refusal = str(error)
    else:
        refusal = ""
        assert decode(encode(message)) == message
    assert len(refusal) < 200


def test_deep_long_and_doubtful_lines() -> None:
    """Nesting, a line without an end, a boolean for a number, a key of another length."""
    wrong = [
        b"[" * 10_000,
        b" " * (MAX_LINE_BYTES + 1),
        b'{"t":"ask","number":true,"token":"x","within_ms":5}',
        b'{"t":"hello","kiosk_id":"k","peer_key":"00","match_key":"00"}',
        b'{"t":"ask","number":1,"token":"' + b"x" * 3000 + b'","within_ms":5}',
    ]
    for line in wrong:
        with pytest.raises(LineError):
            decode(line)


def test_keys_and_tokens_are_not_in_a_log() -> None:
    """What a message prints as."""
    hello = Hello(kiosk_id="k", peer_key=b"p" * 32, match_key=b"m" * 32)
    assert "ppp" not in repr(hello)
    assert "secret" not in repr(Ask(number=1, token="secret", within_ms=5))
