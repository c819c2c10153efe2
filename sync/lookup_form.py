"""The question about one opaque token and the reading of its answer, as the settings describe the server. Pure.

A signature is made of the fields sorted by name and joined as ``name=value&name=value`` (a field of "" is left out):
SHA-256 of that text with the secret as one more field, or HMAC-SHA-256 under the secret. The same rule checks a signed
answer, over the scalar fields of the object that holds the signature.

Nothing of an answer is believed that does not say what it is about: another token or nonce (a replayed answer), a time
five minutes off, a wrong signature, or a body of another form is no answer, and the guard looks at the phone.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any
from urllib.parse import urlencode

from config.lookup import BodyForm, Lookup, Signing, TimeForm
from kiosk.credentials.person_match import person_match
from kiosk.evidence import CodeStatus
from kiosk.line_wire import NoAnswer

MAX_ANSWER_BYTES = 64 * 1024
CLOCK_TOLERANCE_S = 300
#: What an answer counts for when its server names no time: this one person's visit to the gate, and no cache.
UNSAID_VALIDITY_S = 60
MAX_VALIDITY_S = 86_400
_MAX_DEPTH = 8


class NoAnswerError(Exception):
    """Raised inside the lookup at the first thing that makes an answer none."""

    def __init__(self, why: NoAnswer) -> None:
        super().__init__(str(why))
        self.why = why


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is sent: ``content_type`` and ``body``; ``nonce`` and ``token`` are compared with the answer."""

    content_type: str
    body: bytes
    nonce: str
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the server says: a colour, or None for a token that it does not know; for how many seconds (``stated``: the
    server said so itself)."""

    status: CodeStatus | None
    valid_s: int
    stated: bool
    subject_match: str = ""


def question(lookup: Lookup, token: str, *, secret: str, nonce: str, at: datetime, zone: tzinfo = UTC) -> Question:
    """The signed question about ``token`` at ``at``; local times are in ``zone``."""
    names = lookup.request
    fields = {
        names.token: token,
        names.app_id: lookup.app_id,
        names.time: _written(at, names.time_form, zone),
        names.nonce: nonce,
    } | names.fixed
    fields.pop("", None)
    if lookup.signing is not Signing.NONE and names.sign:
        fields[names.sign] = signature_of(lookup, fields, secret)
    if names.body is BodyForm.FORM:
        return Question(
            content_type="application/x-www-form-urlencoded", body=urlencode(fields).encode(), nonce=nonce, token=token
        )
    body = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    return Question(content_type="application/json", body=body, nonce=nonce, token=token)


def signature_of(lookup: Lookup, fields: dict[str, str], secret: str) -> str:
    """The signature of these fields; see the top of this file."""
    named = dict(fields)
    if lookup.signing is Signing.SHA256:
        named[lookup.secret_field] = secret
    text = "&".join(f"{name}={named[name]}" for name in sorted(named) if named[name] != "").encode()
    digest = (
        hashlib.sha256(text).hexdigest()
        if lookup.signing is Signing.SHA256
        else hmac.digest(secret.encode(), text, "sha256").hex()
    )
    return digest.upper() if lookup.upper_case else digest


def read_answer(
    lookup: Lookup, asked: Question, body: bytes, *, secret: str, match_key: bytes, at: datetime, zone: tzinfo = UTC
) -> Found:
    """What ``body`` says about the question. Raises NoAnswerError for anything that is no answer to it."""
    document = _document(body)
    reply = lookup.reply
    # A refusal needs no signature: who can forge one could as well cut the line, and it opens nothing.
    if reply.ok:
        code = _word(_at(document, reply.ok))
        if code in reply.unknown_values:
            return Found(status=None, valid_s=0, stated=False)
        if code not in reply.ok_values:
            raise NoAnswerError(NoAnswer.SERVER_ERROR)
    if reply.sign:
        _check_signature(lookup, _at(document, reply.signed), secret)
    if reply.nonce and _at(document, reply.nonce) != asked.nonce:
        raise NoAnswerError(NoAnswer.OTHER_TOKEN)
    if reply.time and abs((_instant(_at(document, reply.time), reply.time_form, zone) - at).total_seconds()) > (
        CLOCK_TOLERANCE_S
    ):
        raise NoAnswerError(NoAnswer.OTHER_TIME)
    if reply.token and _at(document, reply.token) != asked.token:
        raise NoAnswerError(NoAnswer.OTHER_TOKEN)
    word = _word(_at(document, reply.status))
    colour = reply.colours.get(word)
    valid_s, stated = _validity(lookup, document, at, zone)
    if valid_s <= 0:
        raise NoAnswerError(NoAnswer.BAD_ANSWER)
    if colour is None:
        return Found(status=None, valid_s=0, stated=False)
    return Found(
        status=CodeStatus(str(colour)),
        valid_s=min(valid_s, MAX_VALIDITY_S),
        stated=stated,
        subject_match=_match(lookup, document, match_key),
    )


def _document(body: bytes) -> Any:
    if len(body) > MAX_ANSWER_BYTES:
        raise NoAnswerError(NoAnswer.BAD_ANSWER)
    try:
        document = json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise NoAnswerError(NoAnswer.BAD_ANSWER) from None
    if not isinstance(document, dict):
        raise NoAnswerError(NoAnswer.BAD_ANSWER)
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A name that stands twice could be read one way here and signed another way there."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _at(document: Any, path: str) -> Any:
    """What stands at a path of names; None where nothing does."""
    here = document
    for name in path.split(".")[:_MAX_DEPTH] if path else ():
        here = here.get(name) if isinstance(here, dict) else None
    return here


def _word(value: Any) -> str:
    """A text or whole number as the settings write it; "" for anything else."""
    if isinstance(value, str):
        return value
    return str(value) if type(value) is int else ""


def _check_signature(lookup: Lookup, signed: Any, secret: str) -> None:
    given = signed.get(lookup.reply.sign) if isinstance(signed, dict) else None
    if not isinstance(given, str) or not isinstance(signed, dict):
        raise NoAnswerError(NoAnswer.BAD_SIGNATURE)
    fields = {name: _scalar(value) for name, value in signed.items() if name != lookup.reply.sign}
    expected = signature_of(lookup, {name: text for name, text in fields.items() if text is not None}, secret)
    if not hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogatepass")):
        raise NoAnswerError(NoAnswer.BAD_SIGNATURE)


def _scalar(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _word(value) if isinstance(value, (str, int)) else None


def _validity(lookup: Lookup, document: Any, at: datetime, zone: tzinfo) -> tuple[int, bool]:
    reply = lookup.reply
    seconds = _at(document, reply.valid_for_s) if reply.valid_for_s else None
    if isinstance(seconds, str) and seconds.isascii() and seconds.isdigit() and len(seconds) <= 9:
        seconds = int(seconds)
    if type(seconds) is int:
        return seconds, True
    until = _at(document, reply.valid_until) if reply.valid_until else None
    if until is not None:
        return int((_instant(until, reply.time_form, zone) - at).total_seconds()), True
    return UNSAID_VALIDITY_S, False


def _match(lookup: Lookup, document: Any, match_key: bytes) -> str:
    name, birth_date = (_at(document, path) if path else None for path in (lookup.reply.name, lookup.reply.birth_date))
    if not isinstance(name, str) or not isinstance(birth_date, str) or len(name) > 200 or len(birth_date) > 20:
        return ""
    digits = "".join(character for character in birth_date if character.isdigit() and character.isascii())
    if len(digits) == 8:
        birth_date = f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"
    return person_match(match_key, name, "", birth_date)


def _written(at: datetime, form: TimeForm, zone: tzinfo) -> str:
    if form is TimeForm.COMPACT:
        return at.astimezone(zone).strftime("%Y%m%d%H%M%S")
    return str(round(at.timestamp() * (1000 if form is TimeForm.MILLISECONDS else 1)))


def _instant(value: Any, form: TimeForm, zone: tzinfo) -> datetime:
    text = _word(value)
    try:
        if form is TimeForm.COMPACT:
            return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=zone)
        if not text.isascii() or not text.isdigit() or len(text) > 15:
            raise ValueError("no number")
        return datetime.fromtimestamp(int(text) / (1000 if form is TimeForm.MILLISECONDS else 1), UTC)
    except (ValueError, OverflowError, OSError):
        raise NoAnswerError(NoAnswer.BAD_ANSWER) from None
