"""How the server that knows opaque health codes is asked: address, field names, signing, colours. No behaviour.

Codes in the style of GB/T 38961 to 38963 are a token that only the province's server can look up. The exact field names
are agreed with the provider, so every one of them is a setting; the defaults are those of a common provincial interface
(token, app id, time and an upper-case SHA-256 over the sorted fields; status 1 red, 2 green, 3 yellow).
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from config.loader import Section


class Colour(StrEnum):
    """Colour of a health code."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


class BodyForm(StrEnum):
    """How the question travels: a JSON object, or a form as browsers send it."""

    JSON = "json"
    FORM = "form"


class TimeForm(StrEnum):
    """How an instant is written: milliseconds or seconds since 1970, or ``yyyyMMddHHmmss`` of local time."""

    MILLISECONDS = "ms"
    SECONDS = "s"
    COMPACT = "compact"


class Signing(StrEnum):
    """What is made of the sorted ``name=value&…`` text: its SHA-256 with the secret as one more field, an HMAC-SHA-256
    under the secret, or nothing."""

    SHA256 = "sha256"
    HMAC_SHA256 = "hmac_sha256"
    NONE = "none"


class LookupRequest(Section):
    """The question's fields. A name of "" leaves that field out."""

    body: BodyForm = Field(default=BodyForm.JSON, description="json or form")
    token: str = Field(default="qrCode", max_length=40, description="field of the code's text")
    app_id: str = Field(default="appId", max_length=40, description="field of the site's id at the provider")
    time: str = Field(default="timestamp", max_length=40, description="field of the time of asking")
    nonce: str = Field(default="nonce", max_length=40, description="field of a random text, new for each question")
    sign: str = Field(default="sign", max_length=40, description="field of the signature")
    time_form: TimeForm = Field(default=TimeForm.MILLISECONDS, description="ms, s (since 1970) or compact")
    fixed: dict[str, str] = Field(default_factory=dict, description="further fields with a constant text")


class LookupReply(Section):
    """Where things stand in the answer, as names joined by dots (``data.status``); "" where the server has none."""

    ok: str = Field(default="code", max_length=80, description="path of the return code")
    ok_values: tuple[str, ...] = Field(default=("0", "200"), description="return codes of an answer")
    unknown_values: tuple[str, ...] = Field(
        default=("404",), description="return codes that say: no such code (it is refused, not asked for again)"
    )
    status: str = Field(default="data.status", max_length=80, description="path of the colour")
    colours: dict[str, Colour] = Field(
        default_factory=lambda: {"1": Colour.RED, "2": Colour.GREEN, "3": Colour.YELLOW},
        description="the server's word for each colour; any other word is: not known",
    )
    token: str = Field(default="data.qrCode", max_length=80, description="path at which the asked token is repeated")
    nonce: str = Field(default="", max_length=80, description="path at which the question's nonce is repeated")
    time: str = Field(default="", max_length=80, description="path of the server's time; five minutes off is refused")
    time_form: TimeForm = Field(default=TimeForm.MILLISECONDS, description="ms, s (since 1970) or compact")
    valid_for_s: str = Field(default="data.validSeconds", max_length=80, description="path of the seconds it holds")
    valid_until: str = Field(default="", max_length=80, description="path of the instant it holds until (time_form)")
    name: str = Field(default="", max_length=80, description="path of the holder's name, used for a keyed hash only")
    birth_date: str = Field(default="", max_length=80, description="path of the holder's birth date, likewise")
    signed: str = Field(default="", max_length=80, description='path of the object that is signed; "" is the whole')
    sign: str = Field(default="", max_length=40, description='name of the signature in that object; "" is unsigned')


class Lookup(Section):
    """Online lookup of opaque health codes, by gatepost-sync; without ``url`` the guard looks at the phone."""

    url: str = Field(default="", max_length=300, description="address asked by POST; https, or http on loopback")
    prefixes: tuple[str, ...] = Field(default=(), max_length=32, description="what the texts of such codes begin with")
    issuer: str = Field(default="online", max_length=40, description="the provider's short name in records")
    time_limit_s: float = Field(
        default=1.5, ge=0.2, le=1.5, description="an answer that is not there by then is the guard's business"
    )
    cache_max_s: int = Field(
        default=600, ge=0, le=86_400, description="a green answer is kept as long as the server says, and this at most"
    )
    ca_file: Path | None = Field(default=None, description="PEM of the only authority trusted for the server's TLS")
    app_id: str = Field(default="", max_length=80, description="the site's id at the provider")
    secret: Path | None = Field(default=None, description="file with the secret that questions are signed with")
    signing: Signing = Field(default=Signing.SHA256, description="sha256, hmac_sha256 or none")
    secret_field: str = Field(
        default="secretKey", max_length=40, description="sha256: the name under which the secret is sorted in"
    )
    upper_case: bool = Field(default=True, description="the signature is written in upper-case hexadecimal")
    request: LookupRequest = Field(default_factory=LookupRequest)
    reply: LookupReply = Field(default_factory=LookupReply)

    @model_validator(mode="after")
    def _signed(self) -> Self:
        reply = self.reply
        inside = f"{reply.signed}." if reply.signed else ""
        for path in (reply.status, reply.token, reply.nonce, reply.time, reply.valid_for_s, reply.valid_until):
            covered = path.startswith(inside) and "." not in path[len(inside) :]
            if reply.sign and path and not covered:
                raise ValueError(f"reply.{path}: outside of what reply.sign covers; name it inside reply.signed")
        return self

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.url:
            return self
        if not self.prefixes or not all(len(prefix) >= 3 for prefix in self.prefixes):
            raise ValueError("prefixes: at least one, each of three characters or more")
        if self.signing is not Signing.NONE and self.secret is None:
            raise ValueError('secret: a file, or signing = "none"')
        if self.signing is Signing.NONE and self.reply.sign:
            raise ValueError("reply.sign: an answer cannot be checked without signing and secret")
        if not self.reply.status or not self.reply.colours:
            raise ValueError("reply.status and reply.colours: without them no answer can be read")
        if not self.request.token:
            raise ValueError("request.token: without it nothing is asked")
        if self.reply.nonce and not self.request.nonce:
            raise ValueError("reply.nonce: nothing to compare, request.nonce is left out")
        return self
