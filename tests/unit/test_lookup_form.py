"""The question about a token and the reading of its answer: signatures, echoes, times, and nonsense."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from config.lookup import BodyForm, Lookup, LookupReply, LookupRequest, Signing, TimeForm
from kiosk.evidence import CodeStatus
from kiosk.line_wire import NoAnswer
from sync.lookup_form import NoAnswerError, Question, question, read_answer, signature_of

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
SECRET = "s3cret-of-the-site"
KEY = bytes(32)


def lookup(**changes: Any) -> Lookup:
    """A site's settings."""
    fields = {"url": "https://hc.example", "prefixes": ("hc:",), "secret": "lookup.secret", "app_id": "7"} | changes
    return Lookup.model_validate(fields)


def asked(settings: Lookup) -> Question:
    """The question of that moment."""
    return question(settings, "hc:1", secret=SECRET, nonce="0f", at=NOW, zone=ZoneInfo("Asia/Shanghai"))


def read(settings: Lookup, document: Any) -> tuple[CodeStatus | None, int, bool]:
    """Colour, seconds, and whether the server stated them."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    found = read_answer(settings, asked(settings), body, secret=SECRET, match_key=KEY, at=NOW)
    return found.status, found.valid_s, found.stated


def refused(settings: Lookup, document: Any) -> NoAnswer:
    """Why it is no answer."""
    with pytest.raises(NoAnswerError) as caught:
        read(settings, document)
    return caught.value.why


def good(**changes: Any) -> dict[str, Any]:
    """The answer of the defaults."""
    return {"code": "0", "data": {"status": 2, "qrCode": "hc:1", "validSeconds": 90} | changes}


def test_the_signature_is_the_documented_one() -> None:
    """Worked out by hand with sha256sum: fields sorted by name, the secret as one of them, upper case."""
    fields = {"qrCode": "hc:1", "appId": "7", "timestamp": "1795312800000", "nonce": "0f", "empty": ""}
    # printf 'appId=7&nonce=0f&qrCode=hc:1&secretKey=s3cret-of-the-site&timestamp=1795312800000' | sha256sum
    assert signature_of(lookup(), fields, SECRET) == (
        "19972EACE324AB4E5DFC14F0DD89BAEE230C00B9B1D95817D4DC14102DD4149F"
    )
    assert json.loads(asked(lookup()).body)["sign"] == signature_of(
        lookup(), {key: value for key, value in fields.items() if value}, SECRET
    )


def test_names_times_and_forms_are_settings() -> None:
    """Another provider: a form, other names, local time, a constant field, HMAC in lower case, no nonce."""
    settings = lookup(
        signing="hmac_sha256",
        upper_case=False,
        request=LookupRequest(
            body=BodyForm.FORM,
            token="code",
            app_id="app",
            time="t",
            nonce="",
            sign="mac",
            time_form=TimeForm.COMPACT,
            fixed={"ver": "2"},
        ),
    )
    sent = {name: values[0] for name, values in parse_qs(asked(settings).body.decode()).items()}
    assert sent.pop("mac") == signature_of(settings, sent, SECRET)
    assert sent == {"code": "hc:1", "app": "7", "t": "20261122100000", "ver": "2"}
    assert asked(settings).content_type == "application/x-www-form-urlencoded"


def test_what_an_answer_says() -> None:
    """Colour and validity by the settings' paths; without a stated validity a minute, and not stated."""
    assert read(lookup(), good()) == (CodeStatus.GREEN, 90, True)
    assert read(lookup(), good(status="1")) == (CodeStatus.RED, 90, True)
    assert read(lookup(), good(status=0)) == (None, 0, False)
    assert read(lookup(), good(status=True)) == (None, 0, False)
    unsaid = good()
    del unsaid["data"]["validSeconds"]
    assert read(lookup(), unsaid) == (CodeStatus.GREEN, 60, False)
    assert read(lookup(), good(validSeconds="120")) == (CodeStatus.GREEN, 120, True)
    assert read(lookup(), good(validSeconds=10**8)) == (CodeStatus.GREEN, 86_400, True)
    assert read(lookup(), {"code": 404}) == (None, 0, False)
    until = lookup(reply=LookupReply(valid_for_s="", valid_until="data.until"))
    later = int((NOW + timedelta(minutes=5)).timestamp() * 1000)
    assert read(until, good(until=later)) == (CodeStatus.GREEN, 300, True)


def test_what_is_no_answer() -> None:
    """Another token, an error code, another form, a name twice, run out."""
    assert refused(lookup(), good(qrCode="hc:2")) is NoAnswer.OTHER_TOKEN
    assert refused(lookup(), {"code": "500"}) is NoAnswer.SERVER_ERROR
    assert refused(lookup(), b"<html>") is NoAnswer.BAD_ANSWER
    assert refused(lookup(), b"[1]") is NoAnswer.BAD_ANSWER
    assert refused(lookup(), b'{"code": "0", "code": "0"}') is NoAnswer.BAD_ANSWER
    assert refused(lookup(), b"[" * 60_000) is NoAnswer.BAD_ANSWER
    assert refused(lookup(), good(validSeconds=-1)) is NoAnswer.BAD_ANSWER
    assert refused(lookup(), b"0" * 70_000) is NoAnswer.BAD_ANSWER


def test_nonce_and_time_tie_an_answer_to_its_question() -> None:
    """A recorded answer about the same token carries another nonce; one of an hour ago another time."""
    nonce = lookup(reply=LookupReply(nonce="data.nonce"))
    assert read(nonce, good(nonce="0f"))[0] is CodeStatus.GREEN
    assert refused(nonce, good(nonce="0e")) is NoAnswer.OTHER_TOKEN
    timed = lookup(reply=LookupReply(time="data.t", time_form=TimeForm.SECONDS))
    assert read(timed, good(t=int(NOW.timestamp()) - 299))[0] is CodeStatus.GREEN
    assert refused(timed, good(t=int(NOW.timestamp()) - 301)) is NoAnswer.OTHER_TIME
    assert refused(timed, good(t="soon")) is NoAnswer.BAD_ANSWER


def test_a_signed_answer_is_believed_only_whole() -> None:
    """A changed colour, a missing signature, another secret: no answer."""
    settings = lookup(reply=LookupReply(signed="data", sign="sign"))
    data = good()["data"]
    right = signature_of(settings, {name: str(value) for name, value in data.items()}, SECRET)
    assert read(settings, good(sign=right))[0] is CodeStatus.GREEN
    assert refused(settings, good(sign=right, status=3)) is NoAnswer.BAD_SIGNATURE
    assert refused(settings, good(sign=right.lower())) is NoAnswer.BAD_SIGNATURE
    assert refused(settings, good()) is NoAnswer.BAD_SIGNATURE
    assert refused(settings, {"code": "0", "data": [1]}) is NoAnswer.BAD_SIGNATURE


@pytest.mark.parametrize(
    "wrong",
    [
        {"prefixes": ()},
        {"prefixes": ("h",)},
        {"secret": None},
        {"signing": Signing.NONE, "secret": None, "reply": LookupReply(sign="sign")},
        {"reply": LookupReply(status="")},
        {"request": LookupRequest(token="")},
        {"request": LookupRequest(nonce=""), "reply": LookupReply(nonce="data.nonce")},
        {"reply": LookupReply(sign="sign", signed="data", status="other.status")},
        {"reply": LookupReply(sign="sign", signed="data", status="data.deep.status")},
        {"time_limit_s": 2.0},
    ],
)
def test_settings_that_could_not_be_safe_are_refused(wrong: dict[str, Any]) -> None:
    """No prefix, no secret, an unsigned path beside a signed object, more than one and a half seconds."""
    with pytest.raises(ValidationError):
        lookup(**wrong)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["code", "data", "status", "qrCode", "validSeconds", "t", "sign"]), inner)
    ),
    max_leaves=12,
)


@given(json_values | st.binary(max_size=200))
def test_nothing_but_the_right_answer_makes_a_colour(document: Any) -> None:
    """Whatever comes back, it is read or refused by name; a colour needs the token repeated."""
    settings = lookup(reply=LookupReply(time="data.t"))
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    try:
        found = read_answer(settings, asked(settings), body, secret=SECRET, match_key=KEY, at=NOW)
    except NoAnswerError:
        return
    assert found.status is None or document["data"]["qrCode"] == "hc:1"
