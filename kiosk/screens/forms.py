"""The guard's forms: bounded fields become a :data:`GuardCommand`, or field errors by name. Pure.

Each ``read_*`` function returns the command, or a dictionary ``field -> key of [field_error]``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from kiosk.board import Acknowledge, Attest, EnterTemperature, MeasureAgain, Override, PassWish, RegisterVisitor
from kiosk.evidence import AttestedCode

Form = Mapping[str, str]
Errors = dict[str, str]

MAX_NAME = 40
MAX_HOST = 40
MAX_NOTE = 200
OVERRIDE_REASONS = (
    "known_resident",
    "checked_by_hand",
    "device_fault",
    "child_or_elder",
    "urgent_need",
    "official_duty",
    "other",
)
DENY_REASONS = ("person_refuses", "not_the_holder", "under_instruction", "other")
PURPOSES = ("visit", "delivery", "repair", "housekeeping", "moving", "business")
VISITOR_CATEGORIES = ("visitor", "courier", "service_worker")
#: How long a temporary pass of this kiosk may live, in hours; a kiosk's key gives out seven days at most.
PASS_HOURS = (2, 4, 12, 24, 72, 168)
PASS_USES = ("once", "here", "every_gate")
#: Range in which a contact thermometer's value is believed, in degrees Celsius.
MIN_BODY_C, MAX_BODY_C = Decimal("34.0"), Decimal("43.0")


def clean_text(text: str, limit: int) -> tuple[str, str]:
    """Text in NFC without outer space, and the key of its error ("" when it has none).

    Control, format and unassigned characters are refused: they hide in a list, turn its direction or break a line.
    """
    text = unicodedata.normalize("NFC", text).strip()
    if len(text) > limit:
        return text, "too_long"
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp") for c in text):
        return text, "odd_characters"
    return text, ""


def read_attest(form: Form, *, lane: str, guard: str) -> Attest | Errors:
    """What the guard saw: ``code`` is one of AttestedCode, ``trip`` is clear or not_clear; one of them at least."""
    code, trip = form.get("code", ""), form.get("trip", "")
    if code not in ("", *AttestedCode) or trip not in ("", "clear", "not_clear") or not (code or trip):
        return {"code": "choose"}
    return Attest(
        lane=lane,
        guard=guard,
        code=AttestedCode(code) if code else None,
        trip_clear={"clear": True, "not_clear": False}.get(trip),
    )


def read_override(form: Form, *, lane: str, guard: str) -> Override | Errors:
    """Admit or deny once: a reason of the closed list, and a note where the reason is "other"."""
    admit = form.get("admit", "") == "yes"
    errors: Errors = {}
    reason = form.get("reason", "")
    if reason not in (OVERRIDE_REASONS if admit else DENY_REASONS):
        errors["reason"] = "choose"
    note, wrong = clean_text(form.get("note", ""), MAX_NOTE)
    if wrong:
        errors["note"] = wrong
    elif reason == "other" and not note:
        errors["note"] = "note"
    if errors:
        return errors
    return Override(lane=lane, passage=form.get("passage", "")[:64], guard=guard, admit=admit, reason=reason, note=note)


def read_acknowledge(form: Form, *, lane: str, guard: str) -> Acknowledge:
    """A denial dealt with."""
    return Acknowledge(lane=lane, passage=form.get("passage", "")[:64], guard=guard)


def read_measure_again(*, lane: str, guard: str) -> MeasureAgain:
    """A fresh measuring window."""
    return MeasureAgain(lane=lane, guard=guard)


def read_temperature(form: Form, *, lane: str, guard: str) -> EnterTemperature | Errors:
    """A contact thermometer's value, 34.0 to 43.0 degC, written with point, comma or full-width digits."""
    text = unicodedata.normalize("NFKC", form.get("object_c", "")).strip().replace(",", ".").replace("。", ".")
    if not re.fullmatch(r"\d{2}(\.\d{1,2})?", text, re.ASCII):
        return {"object_c": "temperature"}
    try:
        value_c = Decimal(text)
    except InvalidOperation:
        return {"object_c": "temperature"}
    if not MIN_BODY_C <= value_c <= MAX_BODY_C:
        return {"object_c": "temperature"}
    passage = form.get("passage", "")[:64]
    return EnterTemperature(lane=lane, guard=guard, object_centi_c=int(value_c * 100), passage=passage)


def read_visitor(form: Form, *, lane: str, guard: str) -> RegisterVisitor | Errors:
    """A visitor's entry: name, last four digits of the phone, whom they visit, purpose, category."""
    errors: Errors = {}
    values: dict[str, str] = {}
    for field, limit in (("name", MAX_NAME), ("host", MAX_HOST)):
        values[field], wrong = clean_text(form.get(field, ""), limit)
        if wrong or not values[field]:
            errors[field] = wrong or "required"
    phone_last4 = unicodedata.normalize("NFKC", form.get("phone_last4", "")).strip()
    if not re.fullmatch(r"\d{4}", phone_last4, re.ASCII):
        errors["phone_last4"] = "four_digits"
    purpose, category = form.get("purpose", ""), form.get("category", "")
    if purpose not in PURPOSES:
        errors["purpose"] = "choose"
    if category not in VISITOR_CATEGORIES:
        errors["category"] = "choose"
    if errors:
        return errors
    return RegisterVisitor(
        lane=lane,
        guard=guard,
        name=values["name"],
        phone_last4=phone_last4,
        host=values["host"],
        purpose=purpose,
        category=category,
    )


def read_pass(form: Form, *, guard: str) -> PassWish | Errors:
    """A temporary pass: category, once or again and where, how long, and the hours of the day (both or neither)."""
    errors: Errors = {}
    category, use, hours = form.get("category", ""), form.get("use", ""), form.get("hours", "")
    for field, wrong in (
        ("category", category not in VISITOR_CATEGORIES),
        ("use", use not in PASS_USES),
        ("hours", hours not in map(str, PASS_HOURS)),
    ):
        if wrong:
            errors[field] = "choose"
    minutes = {field: _minute_of_day(form.get(field, "")) for field in ("from", "until")}
    begin, end = minutes["from"], minutes["until"]
    for field, minute in minutes.items():
        if minute == _NO_TIME or (begin is None) != (end is None) or (begin is not None and begin == end):
            errors[field] = "time_of_day"
    if errors:
        return errors
    return PassWish(
        guard=guard,
        category=category,
        hours=int(hours),
        once=use == "once",
        every_gate=use == "every_gate",
        from_minute=begin,
        until_minute=end,
    )


_NO_TIME = -1


def _minute_of_day(text: str) -> int | None:
    """Minutes since midnight of ``8:00`` or ``24:00``; None for nothing, _NO_TIME for no time of day."""
    text = unicodedata.normalize("NFKC", text).strip()
    if not text:
        return None
    found = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)|24:00", text, re.ASCII)
    if found is None:
        return _NO_TIME
    return 24 * 60 if found[1] is None else int(found[1]) * 60 + int(found[2])
