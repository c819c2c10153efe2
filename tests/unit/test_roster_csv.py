"""The roster's CSV: good lines come out checked, bad lines are told by number and reason, nothing raises."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiosk.evidence import CardStrength
from kiosk.roster_csv import (
    MAX_BAD_LINES_TOLD,
    OPTIONAL,
    REQUIRED,
    ImportReport,
    RosterLine,
    RosterLineError,
    inert,
    parse_hours,
    read_lines,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")


def read(text: str | bytes) -> tuple[list[RosterLine], ImportReport]:
    """The good lines and the report of a file."""
    report = ImportReport()
    raw = text if isinstance(text, bytes) else text.encode("utf-8")
    return list(read_lines(raw.splitlines(keepends=True), report, zone=SHANGHAI)), report


def one(header: str, line: str) -> RosterLine | str:
    """The one line of a file, or why it was refused."""
    lines, report = read(f"{header}\n{line}\n")
    return lines[0] if lines else report.bad[0].why


def test_a_line_comes_out_checked() -> None:
    """Card number, limits in the site's time zone, flags and places."""
    line = one(
        "person_id,name,category,card_uid,card_strength,valid_from,valid_until,hours,places,registered,revoked",
        "R-1,王芳,Resident,04:a1:b2:c3:d4:e5:f6,EV2,2026-11-01,2026-11-30,mon-fri 07:00-19:00,east-gate;in-2,yes,no",
    )
    assert isinstance(line, RosterLine)
    assert (line.person_id, line.name, line.category) == ("R-1", "王芳", "resident")
    assert (line.card_uid.hex(), line.card_strength) == ("04a1b2c3d4e5f6", CardStrength.EV2)
    assert line.valid_from_us == round(datetime(2026, 11, 1, tzinfo=SHANGHAI).timestamp() * 1e6)
    assert line.valid_until_us == round(datetime(2026, 12, 1, tzinfo=SHANGHAI).timestamp() * 1e6)
    assert (line.places, line.registered, line.revoked) == (("east-gate", "in-2"), True, False)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (",resident,04a1b2c3", "person_id"),
        ("R 1,resident,04a1b2c3", "person_id"),
        ("-1,resident,04a1b2c3", "person_id"),
        ("R1,,04a1b2c3", "category"),
        ("R1,resident,04a1b2cg", "not hexadecimal"),
        ("R1,resident,04a1", "2 bytes"),
        ("R1,resident,08a1b2c3", "random"),
        ("R1,resident", "2 fields, expected 3"),
        ("R1,resident,04a1b2c3,", "4 fields"),
        ('R1,resident,"04a1b2c3', "not CSV"),
        ("R1,resident,\x0004", "control character"),
        ("R1,resident," + "0" * 201, "201 characters"),
        ("R1,resident," + "0" * 5000, "longer than 4096"),
    ],
)
def test_a_bad_line_is_refused_with_its_reason(line: str, why: str) -> None:
    """Each thing that can be wrong names itself."""
    refusal = one("person_id,category,card_uid", line)
    assert isinstance(refusal, str)
    assert why in refusal


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("name", "=HYPERLINK(1)"),
        ("name", "@sum"),
        ("phone", "call me"),
        ("valid_from", "01.11.2026"),
        ("valid_until", "2026-13-01"),
        ("hours", "always"),
        ("hours", "mon-xyz 07:00-19:00"),
        ("hours", "07:00-07:00"),
        ("places", "east gate"),
        ("registered", "perhaps"),
        ("revoked", "2"),
        ("card_strength", "pass_code"),
        ("birth_date", "1990"),
    ],
)
def test_a_bad_value_names_its_column(column: str, value: str) -> None:
    """And repeats the value in quotes, so that a report opened in a spreadsheet runs nothing."""
    refusal = one(f"person_id,category,{column}", f"R1,resident,{value}")
    assert isinstance(refusal, str)
    assert column in refusal
    assert f"'{value}'" in refusal


def test_the_end_must_come_after_the_beginning() -> None:
    """A card that is never valid is a mistake."""
    assert "not after" in str(one("person_id,category,valid_from,valid_until", "R1,staff,2026-12-01,2026-11-01"))


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("person_id,colour", "unknown column 'colour'"),
        ("person_id,name", "category is missing"),
        ("person_id,category,name,name", "twice"),
        ("", "person_id is missing"),
    ],
)
def test_a_wrong_first_line_ends_the_import(header: str, why: str) -> None:
    """Nothing is guessed from the order of columns."""
    lines, report = read(f"{header}\nR1,resident\n")
    assert lines == []
    assert why in report.bad[0].why


def test_an_empty_file_says_so() -> None:
    """No line at all is a mistake too."""
    assert "empty" in read("")[1].bad[0].why


def test_bytes_that_are_not_utf_8_name_the_line() -> None:
    """GBK from a spreadsheet: the other lines are taken."""
    lines, report = read(b"person_id,category,name\nR1,resident,\xcd\xf5\nR2,resident,ok\n")
    assert [line.person_id for line in lines] == ["R2"]
    assert (report.bad[0].line, "UTF-8" in report.bad[0].why) == (2, True)


def test_a_byte_order_mark_and_empty_lines_are_fine() -> None:
    """As spreadsheets save them."""
    lines, report = read("\ufeffperson_id,category\r\n\r\nR1,resident\r\n,\r\n")
    assert ([line.person_id for line in lines], report.bad) == (["R1"], [])


def test_only_the_first_thousand_bad_lines_are_told() -> None:
    """A wrong file does not fill the memory with complaints; the count stays true."""
    _, report = read("person_id,category\n" + ",x\n" * 1500)
    assert (len(report.bad), report.bad_lines) == (MAX_BAD_LINES_TOLD, 1500)


def test_hours_run_over_the_weekend_and_past_midnight() -> None:
    """fri-mon wraps around; 22:00-06:00 belongs to the day on which it opens."""
    (window,) = parse_hours("fri-mon 22:00-06:00")
    assert set(window.days) == {"fri", "sat", "sun", "mon"}
    assert window.contains(4, 23 * 60)
    assert window.contains(1, 5 * 60)
    assert not window.contains(2, 5 * 60)
    assert parse_hours("") == ()


def test_what_a_report_repeats_is_short_and_quoted() -> None:
    """No control character, no formula, no page-long value."""
    assert inert("=cmd|\n" + "x" * 100) == "'=cmd|?" + "x" * 34 + "…'"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_read_without_an_exception(data: bytes) -> None:
    """Behind a right first line, whatever follows is either a line or a reason."""
    header = ",".join(REQUIRED + OPTIONAL).encode()
    lines, report = read(header + b"\n" + data)
    assert len(lines) + report.bad_lines <= data.count(b"\n") + data.count(b"\r") + 1


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab 王'\t", max_size=8))
def test_quotation_marks_make_no_difference_where_none_are_needed(name: str) -> None:
    """A line without any is split by its commas alone; it must mean what the same line in quotes means."""
    header, cells = "person_id,category,name", ["R1", "resident", name]
    bare, quoted = ",".join(cells), ",".join(f'"{cell}"' for cell in cells)
    assert one(header, bare) == one(header, quoted)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_text_as_hours_is_windows_or_a_reason(text: str) -> None:
    """No other exception than the line's own."""
    with contextlib.suppress(RosterLineError):
        parse_hours(text)


def test_zone_less_times_are_the_sites() -> None:
    """18:00 in the file is 18:00 at the gate; an offset in the file wins."""
    line = one("person_id,category,valid_until", "R1,staff,2026-11-21T18:00")
    assert isinstance(line, RosterLine)
    assert line.valid_until_us == round(datetime(2026, 11, 21, 10, tzinfo=UTC).timestamp() * 1e6)
    line = one("person_id,category,valid_until", "R1,staff,2026-11-21T18:00+00:00")
    assert isinstance(line, RosterLine)
    assert line.valid_until_us == round(datetime(2026, 11, 21, 18, tzinfo=UTC).timestamp() * 1e6)
