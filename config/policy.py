"""The gate's rules as data: which checks a category needs, in which direction, at which hours, under which order.

A policy is a TOML file (``config/policies/*.toml`` are shipped: ``building_door``, ``clear``, ``case``, ``spread``,
``code_check``). It is read once into frozen values and has no behaviour beyond looking itself up. Every category
states all five checks for each direction: ``"required"``, or the name of a rule in ``[[waiver]]`` that waives it.
Nothing is left out silently, so nothing can be forgotten silently.

What a policy cannot say, on purpose: a rule on origin, ethnicity or the prefix of an identity number; a health
check without an order that names its end; hours, places or a ban for people who live here.
"""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, field_validator, model_validator

from config.errors import ConfigError
from config.loader import Section, load, load_table, nearest, parse_toml

POLICIES = Path(__file__).resolve().parent / "policies"
REQUIRED = "required"
CHECKS = ("pass", "temperature", "health_code", "trip", "register")
HEALTH_CHECKS = frozenset({"temperature", "health_code", "trip"})
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES_A_DAY = 24 * 60
MAX_POLICY_BYTES = 256 * 1024

#: Waivers that the program itself applies; a policy may not define rules of these names.
LAPSED = "order_lapsed"
OUT_NEVER_HOLDS = "out_never_holds"
HOME_FAULT = "home_despite_fault"
HOME_WAITED = "home_after_waiting"
UNAVAILABLE = "temperature_unavailable"
NO_PHONE = "no_phone"
BUILT_IN_WAIVERS = frozenset({LAPSED, OUT_NEVER_HOLDS, HOME_FAULT, HOME_WAITED, UNAVAILABLE, NO_PHONE})

#: Words that no key, category or rule name of a policy may contain: people are not sorted by where they come from.
REFUSED_WORDS = (
    "origin", "ethnic", "ethnicity", "nation", "nationality", "native", "hometown", "province", "hukou", "race",
    "religion", "birthplace", "id_prefix", "id_number", "idcard", "minority", "locals", "outsider",
    "籍贯", "户籍", "民族", "身份证", "原籍", "外地",
)  # fmt: skip

NAME = r"^[a-z0-9][a-z0-9_-]{0,39}$"
Name = Annotated[str, Field(pattern=NAME)]


class Unavailable(StrEnum):
    """What happens when a required temperature cannot be had."""

    GUARD_MEASURES = "guard_measures"
    WAIVE = "waive"
    DENY = "deny"


class JournalFailure(StrEnum):
    """Whom the gate lets in while the journal cannot be written. Neither value keeps a resident out."""

    RESIDENTS_ONLY = "residents_only"
    AS_DECIDED = "as_decided"


class Passback(StrEnum):
    """What a card is that comes in again without having gone out: nothing, a remark for the guard, or refused."""

    OFF = "off"
    SOFT = "soft"
    HARD = "hard"


class Order(Section):
    """The authority's instruction that every health check rests on. Past ``until`` the checks turn themselves off."""

    number: str = Field(min_length=1, max_length=80, description="the order's number")
    issuer: str = Field(min_length=1, max_length=80, description="who issued it")
    scope: str = Field(min_length=1, max_length=200, description="what and where it applies to")
    until: AwareDatetime = Field(description="the instant at which it ends, with its time zone")
    risk_regions: tuple[str, ...] | None = Field(
        default=None,
        max_length=500,
        description="regions that the order names: a code that states travel is clear when it touches none of them; "
        "absent: codes say nothing of the trip, the guard attests it",
    )
    example: bool = Field(default=False, description="true in shipped policies: put your own order in its place")

    @property
    def until_us(self) -> int:
        """The end, UTC in microseconds."""
        return int(self.until.timestamp() * 1_000_000)


class Waiver(Section):
    """A named rule by which a check is not asked; the name stands in every record that it touched."""

    name: Name = Field(description="the rule's name, used in place of 'required'")
    text: str = Field(min_length=1, max_length=200, description="what the rule says, for guard and auditor")


class Hours(Section):
    """When a category may come: local time of the site; ``closes`` before ``opens`` runs past midnight."""

    days: tuple[str, ...] = Field(default=DAYS, min_length=1, description="days on which the window opens: mon … sun")
    opens: str = Field(description='"HH:MM", the first minute inside')
    closes: str = Field(description='"HH:MM", the first minute outside again; "24:00" is the end of the day')

    @field_validator("days")
    @classmethod
    def _known_days(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for day in value:
            if day not in DAYS:
                raise ValueError(f"unknown day {day!r}; {nearest(day, list(DAYS))}")
        return value

    @field_validator("opens", "closes")
    @classmethod
    def _clock(cls, value: str) -> str:
        minutes_of(value)
        return value

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        if self.opens == self.closes:
            raise ValueError('opens and closes are the same minute: write "00:00" and "24:00" for the whole day')
        return self

    def contains(self, weekday: int, minute: int) -> bool:
        """Whether local ``minute`` (0 to 1439) of ``weekday`` (0 Monday to 6) lies inside."""
        opens, closes = minutes_of(self.opens), minutes_of(self.closes)
        if opens < closes:
            return DAYS[weekday] in self.days and opens <= minute < closes
        today = DAYS[weekday] in self.days and minute >= opens
        yesterday = DAYS[(weekday - 1) % 7] in self.days and minute < closes
        return today or yesterday


def minutes_of(text: str) -> int:
    """Minutes since midnight of ``"HH:MM"`` (``"24:00"`` is 1440); ValueError otherwise."""
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d|24:00", text):
        raise ValueError(f'{text!r} is not a time of day such as "07:30"')
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


class Category(Section):
    """What one category of people needs. Without ``entry`` it may not come in; leaving is never refused."""

    name: Name = Field(description="resident, resident_under_observation, courier, service_worker, visitor, …")
    lives_here: bool = Field(default=False, description="a held, unrevoked card of this category always gets home")
    entry: dict[str, str] | None = Field(
        default=None,
        description='the five checks coming in: "required" or a waiver; absent: not let in',
    )
    exit: dict[str, str] | None = Field(
        default=None, description="the five checks noted on the way out; they never hold anybody; absent: none asked"
    )
    hours: tuple[Hours, ...] = Field(default=(), max_length=50, description="windows for coming in; none means always")
    places: tuple[str, ...] = Field(
        default=(), max_length=200, description="gates where it may come in; none means all"
    )
    passback: Passback = Field(
        default=Passback.OFF,
        description="in again without having gone out: off; soft tells the guard; hard refuses (needs a read way out)",
    )
    report_exit: bool = Field(default=False, description="leaving is reported at once, and the person told privately")

    @field_validator("entry", "exit")
    @classmethod
    def _all_five(cls, value: dict[str, str] | None) -> dict[str, str] | None:
        if value is None:
            return None
        for check in value:
            if check not in CHECKS:
                raise ValueError(f"unknown check {check!r}; {nearest(check, list(CHECKS))}")
        missing = [check for check in CHECKS if check not in value]
        if missing:
            raise ValueError(f"says nothing of {', '.join(missing)}: each check is {REQUIRED!r} or a waiver's name")
        return value

    @field_validator("places")
    @classmethod
    def _place_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for place in value:
            if not re.fullmatch(NAME, place):
                raise ValueError(f"{place!r} is not the name of a gate (lower-case letters, digits, - and _)")
        return value

    @model_validator(mode="after")
    def _home_is_open(self) -> Self:
        if self.lives_here and self.entry is None:
            raise ValueError("people who live here are always let in: it needs an entry")
        if self.lives_here and (self.hours or self.places):
            raise ValueError("people who live here come home at any hour and by any gate: take out hours and places")
        if self.lives_here and self.passback is Passback.HARD:
            raise ValueError("people who live here are never locked out by a rule on lending: passback off or soft")
        if self.lives_here and self.entry is not None and self.entry["pass"] != REQUIRED:
            raise ValueError("people who live here are known by their pass: entry.pass must be 'required'")
        return self

    def open_at(self, weekday: int, minute: int) -> bool:
        """Whether it may come in at local ``minute`` of ``weekday``; no windows means always."""
        return not self.hours or any(window.contains(weekday, minute) for window in self.hours)


class Temperature(Section):
    """The temperature check."""

    unavailable: Unavailable = Field(default=Unavailable.GUARD_MEASURES, description="when nothing can be measured")
    valid_for_min: int = Field(default=0, ge=0, le=24 * 60, description="minutes a normal measurement serves; 0: never")
    borderline_from_c: float | None = Field(
        default=None, ge=36.0, le=39.0, description="estimate from which people are measured again; absent: the model's"
    )


class CodeAgain(StrEnum):
    """What a code means that was let in minutes ago, here or at a neighbouring gate, with another showing of it."""

    TELL = "tell"
    GUARD_LOOKS = "guard_looks"


class HealthCode(Section):
    """The health code check: what a code on a phone has to prove besides its own validity."""

    challenge: bool = Field(
        default=False,
        description="the digits on the gate's screen must be typed into the phone page, which signs them into its code",
    )
    again: CodeAgain = Field(
        default=CodeAgain.TELL,
        description="a code let in here or next door minutes ago: tell (and alarm for next door), or the guard looks",
    )


class Home(Section):
    """Coming home: how long a resident whose card is good can be kept waiting by anything but a guard's decision."""

    open_after_s: int = Field(
        default=300, ge=30, le=900, description="seconds after the first refusal until the next tap opens all the same"
    )


class CardRules(Section):
    """Lending and copying: what the movements of a card tell."""

    inside_min: int = Field(
        default=240, ge=1, le=24 * 60, description="passback: minutes after which an entry is forgotten"
    )
    walk_s: int = Field(
        default=60, ge=0, le=3600, description="least seconds on foot between two gates of the site; 0: not judged"
    )
    alarm_after: int = Field(default=5, ge=0, le=50, description="refused cards at one lane that alarm; 0: never")
    alarm_within_s: int = Field(default=50, ge=5, le=600, description="within so many seconds")


class Holds(Section):
    """How long things last at the gate, in seconds."""

    admit_s: float = Field(default=3.0, ge=3.0, le=30.0, description="an admission is shown at least this long")
    deny_s: float = Field(default=8.0, ge=8.0, le=120.0, description="a refusal is shown this long, or until a tap")
    same_card_s: float = Field(default=3.0, ge=1.0, le=30.0, description="a card again after an admission is one event")
    passed_within_s: float = Field(default=10.0, ge=1.0, le=60.0, description="time to walk through after an admission")


class Waits(Section):
    """How long the gate waits for evidence, in seconds."""

    credential_s: float = Field(default=20.0, ge=1.0, le=120.0, description="for the second credential after the first")
    temperature_s: float = Field(default=6.0, ge=0.5, le=60.0, description="for a face before the sensor")
    attestation_s: float = Field(default=60.0, ge=1.0, le=600.0, description="after a refusal, for the guard's word")
    stranded_s: float = Field(default=300.0, ge=30.0, le=3600.0, description="until a refused person raises an alarm")


class Policy(Section):
    """One policy, whole."""

    version: str = Field(pattern=r"^[A-Za-z0-9._-]{1,40}$", description="stands in every verdict")
    title: str = Field(default="", max_length=120, description="for people")
    kiosks: tuple[Name, ...] = Field(
        default=(), max_length=500, description="the kiosks that it is for, by kiosk_id; none named: every kiosk"
    )
    visitor_category: Name = Field(default="visitor", description="the category of somebody without a known pass")
    on_journal_failure: JournalFailure = Field(default=JournalFailure.RESIDENTS_ONLY, description="who gets in then")
    no_phone_waives: bool = Field(default=True, description="the guard's 'no phone' waives the health code")
    order: Order | None = Field(default=None, description="the order that health checks rest on")
    temperature: Temperature = Field(default_factory=Temperature)
    health_code: HealthCode = Field(default_factory=HealthCode)
    home: Home = Field(default_factory=Home)
    cards: CardRules = Field(default_factory=CardRules)
    holds: Holds = Field(default_factory=Holds)
    waits: Waits = Field(default_factory=Waits)
    waiver: tuple[Waiver, ...] = Field(
        default=(), max_length=200, description="the rules by which checks are not asked"
    )
    category: tuple[Category, ...] = Field(min_length=1, max_length=100, description="who comes to this gate")

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        _refuse_sorting_people(self)
        names = [category.name for category in self.category]
        rules = [waiver.name for waiver in self.waiver]
        for what, found in (("categories", names), ("waivers", rules)):
            twice = sorted({name for name in found if found.count(name) > 1})
            if twice:
                raise ValueError(f"two {what} are called {', '.join(twice)}")
        taken = sorted(BUILT_IN_WAIVERS & set(rules))
        if taken:
            raise ValueError(f"waiver {', '.join(taken)}: the program's own rule of that name cannot be redefined")
        if self.visitor_category not in names:
            raise ValueError(f"visitor_category {self.visitor_category!r}: {nearest(self.visitor_category, names)}")
        if self.lives_here(self.visitor_category):
            raise ValueError("visitor_category: somebody without a known pass does not live here")
        for category in self.category:
            for way, checks in (("entry", category.entry), ("exit", category.exit)):
                self._check_rules(f"category {category.name}.{way}", checks or {}, rules)
        return self

    def _check_rules(self, where: str, checks: dict[str, str], rules: list[str]) -> None:
        for check, rule in checks.items():
            if rule != REQUIRED and rule not in rules:
                raise ValueError(f"{where}.{check}: no waiver {rule!r}; {nearest(rule, [REQUIRED, *rules])}")
            if rule == REQUIRED and check in HEALTH_CHECKS and self.order is None:
                raise ValueError(f"{where}.{check}: a health check needs an [order] with number, issuer, scope, until")

    def category_named(self, name: str) -> Category | None:
        """The category of that name; None when the policy does not know it."""
        return next((category for category in self.category if category.name == name), None)

    def lives_here(self, name: str) -> bool:
        """Whether people of the category come home here."""
        category = self.category_named(name)
        return category is not None and category.lives_here

    def lapsed(self, at_us: int) -> bool:
        """Whether the order has ended at ``at_us`` (UTC, microseconds); without an order there is nothing to lapse."""
        return self.order is not None and at_us >= self.order.until_us


def _refuse_sorting_people(policy: Policy) -> None:
    named = [("category", category.name) for category in policy.category]
    named += [("waiver", waiver.name) for waiver in policy.waiver]
    for what, name in named:
        parts = set(re.split(r"[_-]", name))
        for word in REFUSED_WORDS:
            if word in parts or (("_" in word or not word.isascii()) and word in name):
                raise ValueError(
                    f"{what} {name!r}: rules on origin, ethnicity or the prefix of an identity number are refused"
                )


def parse_policy(body: bytes, source: str) -> Policy:
    """The policy in a TOML text of at most 256 kB, as it comes down from the central; ``source`` names it in errors.

    Raises ConfigError naming every bad key and its nearest known name.
    """
    if len(body) > MAX_POLICY_BYTES:
        raise ConfigError(source, seen=f"{len(body)} bytes", expected=f"at most {MAX_POLICY_BYTES}")
    try:
        return load_table(Policy, parse_toml(body, source), source, {}).settings
    except ConfigError as error:
        if error.thing != "settings":
            raise
        raise ConfigError(source, seen=error.seen, hint="docs/policy.md") from None


def load_policy(path_or_name: str | Path) -> Policy:
    """The policy of a file, or the shipped one of that name.

    Raises ConfigError naming the file, every bad key and its nearest known name.
    """
    path = _find(path_or_name)
    try:
        return load(Policy, path, {}).settings
    except ConfigError as error:
        if error.thing != "settings":
            raise
        raise ConfigError(f"policy {path}", seen=error.seen, hint="docs/policy.md") from None


def shipped_policies() -> tuple[str, ...]:
    """The names of the shipped policies."""
    return tuple(sorted(path.stem for path in POLICIES.glob("*.toml")))


def _find(path_or_name: str | Path) -> Path:
    text = str(path_or_name)
    if "/" in text or text.endswith(".toml"):
        return Path(text)
    if text in shipped_policies():
        return POLICIES / f"{text}.toml"
    raise ConfigError(
        "policy",
        seen=repr(text),
        expected="a shipped policy or the path of a file",
        hint=nearest(text, list(shipped_policies())),
    )
