"""The guard's forms: what becomes a command and what is sent back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.board import Attest, EnterTemperature, Override, PassWish, RegisterVisitor
from kiosk.evidence import AttestedCode
from kiosk.screens import forms

WHO = {"lane": "in", "guard": "wang"}
VISITOR = {
    "name": "李 明",
    "phone_last4": "1234",
    "host": "3号楼 2单元 501",
    "purpose": "visit",
    "category": "visitor",
}


def test_an_override_needs_a_reason_of_the_list() -> None:
    """No reason, an unknown one, or a reason of the other decision: nothing is commanded."""
    for reason in ("", "because", "not_the_holder"):
        assert forms.read_override({"admit": "yes", "reason": reason}, **WHO) == {"reason": "choose"}
    command = forms.read_override({"admit": "yes", "reason": "urgent_need", "passage": "p1"}, **WHO)
    assert command == Override(lane="in", passage="p1", guard="wang", admit=True, reason="urgent_need")


def test_the_reason_other_must_be_written_out() -> None:
    """A click on "other" alone explains nothing."""
    form = {"admit": "yes", "reason": "other", "note": "  "}
    assert forms.read_override(form, **WHO) == {"note": "note"}
    assert isinstance(forms.read_override({**form, "note": "送急救药"}, **WHO), Override)


def test_anything_but_yes_denies() -> None:
    """A damaged field can never turn into an admission."""
    command = forms.read_override({"admit": "YES", "reason": "not_the_holder"}, **WHO)
    assert isinstance(command, Override)
    assert not command.admit


@pytest.mark.parametrize(
    ("text", "centi_c"), [("36.8", 3680), ("37", 3700), ("37,25", 3725), ("３６．５", 3650), (" 43.0 ", 4300)]
)
def test_a_thermometer_value_is_read_as_people_write_it(text: str, centi_c: int) -> None:
    """Point, comma and full-width digits mean the same."""
    assert forms.read_temperature({"object_c": text}, **WHO) == EnterTemperature(object_centi_c=centi_c, **WHO)


@pytest.mark.parametrize("text", ["", "33.9", "43.1", "368", "36.8.1", "nan", "3e1", "-36", "36.812", "٣٦"])
def test_an_implausible_value_is_sent_back(text: str) -> None:
    """A slip of the finger decides nothing."""
    assert forms.read_temperature({"object_c": text}, **WHO) == {"object_c": "temperature"}


def test_a_visitor_is_registered() -> None:
    """A complete form becomes one command."""
    assert forms.read_visitor(VISITOR, **WHO) == RegisterVisitor(**WHO, **VISITOR)


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("name", "", "required"),
        ("name", "长" * 41, "too_long"),
        ("name", "李\u202e明", "odd_characters"),
        ("host", "a\x00b", "odd_characters"),
        ("phone_last4", "12345", "four_digits"),
        ("phone_last4", "12a4", "four_digits"),
        ("purpose", "tourism", "choose"),
        ("category", "resident", "choose"),
    ],
)
def test_a_visitor_form_names_the_field_to_mend(field: str, value: str, error: str) -> None:
    """The wrong field is named, the others stay; nobody can be registered as a resident."""
    assert forms.read_visitor({**VISITOR, field: value}, **WHO) == {field: error}


def test_an_attestation_says_one_thing_at_least() -> None:
    """Code, trip or both; an unknown word attests nothing."""
    assert forms.read_attest({"code": "seen_green"}, **WHO) == Attest(**WHO, code=AttestedCode.SEEN_GREEN)
    assert forms.read_attest({"trip": "not_clear"}, **WHO) == Attest(**WHO, trip_clear=False)
    for form in ({}, {"code": "green"}, {"trip": "yes"}):
        assert forms.read_attest(form, **WHO) == {"code": "choose"}


@given(
    st.dictionaries(
        st.sampled_from([*sorted(VISITOR), "note", "reason", "admit", "object_c", "code", "trip"]), st.text()
    )
)
def test_no_form_raises(form: dict[str, str]) -> None:
    """Whatever arrives, the answer is a command or named errors, within the bounds."""
    visitor = forms.read_visitor(form, **WHO)
    if isinstance(visitor, RegisterVisitor):
        assert len(visitor.name) <= forms.MAX_NAME
        assert visitor.name.isprintable()
    for read in (forms.read_override, forms.read_temperature, forms.read_attest):
        read(form, **WHO)


PASS = {"category": "courier", "use": "here", "hours": "24", "from": "8:00", "until": "18：00"}


def test_a_pass_form_says_category_place_life_and_hours() -> None:
    """Full-width digits are read too; once means this gate, whatever else is ticked."""
    wish = forms.read_pass(PASS, guard="wang")
    assert wish == PassWish(guard="wang", category="courier", hours=24, once=False, from_minute=480, until_minute=1080)
    once = forms.read_pass({**PASS, "use": "once", "from": "", "until": ""}, guard="wang")
    assert isinstance(once, PassWish)
    assert (once.once, once.every_gate, once.from_minute, once.until_minute) == (True, False, None, None)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"category": "resident"}, "category"),
        ({"use": "always"}, "use"),
        ({"hours": "9999"}, "hours"),
        ({"from": "8"}, "from"),
        ({"until": "25:00"}, "until"),
        ({"until": ""}, "until"),
        ({"until": "08:00"}, "from"),
    ],
)
def test_a_pass_form_refuses_what_no_pass_may_say(change: dict[str, str], field: str) -> None:
    """No resident's pass, no life beyond a week, no half of a window."""
    found = forms.read_pass({**PASS, **change}, guard="wang")
    assert isinstance(found, dict)
    assert field in found
