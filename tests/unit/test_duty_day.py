"""Who was on duty when, and how long nobody was: a day of one gate, from what its records say."""

from __future__ import annotations

from sync.central.duty import DutyDay, Post, Shift, Signs, duty_day

MIN = 60 * 1_000_000
HOUR = 60 * MIN
DAY = 24 * HOUR


def shift(at_us: int, event: str, guard: str = "wang", session: str = "a") -> Shift:
    return Shift(at_us, event, guard, session)


def busy(from_us: int = 0, to_us: int = DAY) -> list[int]:
    """Somebody passes every ten minutes."""
    return list(range(from_us, to_us, 10 * MIN))


def day(shifts: list[Shift], *, boots: list[int] | None = None, moments: list[int] | None = None) -> DutyDay:
    """A gate that was heard of after the day."""
    signs = Signs(shifts=shifts, boots_us=boots or [], moments_us=busy() if moments is None else moments)
    signs.heard_us = 2 * DAY
    return duty_day("gate-1", signs, from_us=0, to_us=DAY)


def lines(found: DutyDay) -> list[tuple[str, float, float, str]]:
    """Who, from hour, to hour, how it ended."""
    return [
        (each.guard or str(each.post), each.from_us / HOUR, each.to_us / HOUR, each.how) for each in found.stretches
    ]


def test_log_ins_and_the_times_between_them_are_the_day() -> None:
    """Wang 8 to 12, Li 12:00:30 to 18: the half minute is in the sum and no line of its own."""
    found = day(
        [
            shift(8 * HOUR, "logged_in"),
            shift(12 * HOUR, "logged_out"),
            shift(12 * HOUR + MIN // 2, "handed_over", "li", "b"),
            shift(18 * HOUR, "idle_locked", "li", "b"),
        ]
    )
    assert lines(found) == [
        ("nobody", 0, 8, ""),
        ("wang", 8, 12, "logged_out"),
        ("li", 12 + 1 / 120, 18, "idle_locked"),
        ("nobody", 18, 24, ""),
    ]
    assert found.vacant_us == 14 * HOUR + MIN // 2
    assert [each.passages for each in found.stretches] == [48, 24, 35, 36]


def test_the_last_passage_that_was_heard_of_is_in_the_last_line() -> None:
    """The day so far ends with it: 08:00, 08:30 and 09:00 are three passages with nobody on duty."""
    signs = Signs(moments_us=[8 * HOUR, 8 * HOUR + 30 * MIN, 9 * HOUR])
    (line,) = duty_day("gate-1", signs, from_us=0, to_us=DAY).stretches
    assert (line.to_us, line.passages) == (9 * HOUR, 3)


def test_two_guards_at_two_consoles_leave_no_gap_and_one_guard_at_two_is_one_line() -> None:
    """Wang on console and tablet, Li beside, Zhao within Li's time: as long as one of them is there, somebody is."""
    found = day(
        [
            shift(0, "logged_in"),
            shift(2 * HOUR, "logged_in", session="tablet"),
            shift(3 * HOUR, "logged_out"),
            shift(4 * HOUR, "logged_in", "li", "b"),
            shift(6 * HOUR, "logged_out", session="tablet"),
            shift(10 * HOUR, "shift_ended", "li", "b"),
            shift(5 * HOUR, "logged_in", "zhao", "c"),
            shift(7 * HOUR, "logged_out", "zhao", "c"),
        ]
    )
    assert lines(found) == [
        ("wang", 0, 6, "logged_out"),
        ("li", 4, 10, "shift_ended"),
        ("zhao", 5, 7, "logged_out"),
        ("nobody", 10, 24, ""),
    ]


def test_a_night_shift_is_cut_at_midnight_and_a_log_in_without_an_end_lasts_twelve_hours() -> None:
    """Logged in at 20:00 the day before, no end ever came: until 8. One that goes on past midnight has no end here."""
    found = day(
        [
            shift(-4 * HOUR, "logged_in"),
            shift(20 * HOUR, "logged_in", "li", "b"),
            shift(28 * HOUR, "logged_out", "li", "b"),
        ]
    )
    assert lines(found) == [("wang", 0, 8, ""), ("nobody", 8, 20, ""), ("li", 20, 24, "")]


def test_a_start_ends_the_log_ins_that_a_killed_gate_could_not_end() -> None:
    """Killed and back within minutes: nobody has the console from the start on, until somebody logs in again."""
    found = day(
        [
            shift(8 * HOUR, "logged_in"),
            shift(11 * HOUR, "logged_in", session="b"),
            shift(12 * HOUR, "logged_out", session="b"),
        ],
        boots=[10 * HOUR + MIN],
    )
    assert lines(found)[1:] == [
        ("wang", 8, 10 + 1 / 60, "boot"),
        ("nobody", 10 + 1 / 60, 11, ""),
        ("wang", 11, 12, "logged_out"),
        ("nobody", 12, 24, ""),
    ]


def test_a_gate_that_was_off_has_no_gap_on_its_account() -> None:
    """Nobody was heard from 10 to 14 and then it started: neither somebody nor nobody was on duty there."""
    found = day([shift(8 * HOUR, "logged_in")], boots=[14 * HOUR], moments=[*busy(0, 10 * HOUR + 1), *busy(14 * HOUR)])
    assert lines(found) == [
        ("nobody", 0, 8, ""),
        ("wang", 8, 10, "boot"),
        ("silent", 10, 14, ""),
        ("nobody", 14, 24, ""),
    ]
    assert found.vacant_us == 18 * HOUR


def test_a_quiet_gate_that_tells_when_it_last_ran_was_not_off() -> None:
    """Nobody came from 10 to 14; the start at 14 says that the run before went on until 13:59, so Wang was there."""
    signs = Signs(shifts=[shift(8 * HOUR, "logged_in")], boots_us=[14 * HOUR], heard_us=2 * DAY)
    signs.moments_us, signs.alive_us = [7 * HOUR], [14 * HOUR - MIN]
    found = duty_day("gate-1", signs, from_us=0, to_us=DAY)
    assert lines(found) == [("nobody", 0, 8, ""), ("wang", 8, 14, "boot"), ("nobody", 14, 24, "")]


def test_the_day_ends_with_the_last_that_was_heard() -> None:
    """Today at noon nobody can say who will be there in the evening; a new gate begins with its first start."""
    signs = Signs(shifts=[shift(9 * HOUR, "logged_in")], boots_us=[8 * HOUR], heard_us=12 * HOUR)
    found = duty_day("gate-1", signs, from_us=0, to_us=DAY)
    assert lines(found) == [("silent", 0, 8, ""), ("nobody", 8, 9, ""), ("wang", 9, 12, "")]


def test_lock_outs_of_the_day_are_counted_by_login() -> None:
    """Three waits of Wang's login, one of names that nobody has, one of the day before."""
    found = day(
        [*(shift(HOUR + n, "locked_out") for n in range(3)), shift(2 * HOUR, "locked_out", ""), shift(-1, "locked_out")]
    )
    assert found.lock_outs == (("wang", 3), ("", 1))
    assert found.stretches[0].post is Post.NOBODY


def test_facts_of_another_form_are_read_over() -> None:
    """A kiosk of another version, or nonsense: no line and no error."""
    found = day(
        [
            Shift.of(HOUR, {}),
            Shift.of(HOUR, {"event": ["logged_in"], "guard": 7}),
            shift(HOUR, "logged_out", session="unknown"),
        ]
    )
    assert lines(found) == [("nobody", 0, 24, "")]
