"""What the console says: reasons, waivers, the one next action, and how old the world is."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from kiosk.board import KioskView, LaneView, TrustAge, WarmingView
from kiosk.credentials.bundle import AgeLight
from kiosk.reasons import ClockTrust, Direction, NextStep, Remark
from kiosk.screens.console import Console, LanePanel, Level, console, expectation_lines, lane_panel, next_action
from kiosk.screens.faces import resident_screen
from kiosk.screens.preview import MORNING_US, busy_view, kiosk_view, scenes
from kiosk.screens.texts import Language, texts

ZH = texts(Language.ZH)
EN = texts(Language.EN)
SHANGHAI = ZoneInfo("Asia/Shanghai")


def drawn(view: KioskView) -> Console:
    return console(view, EN, SHANGHAI)


def panel(lane: LaneView) -> LanePanel:
    return drawn(kiosk_view(lane)).lanes[0]


@pytest.mark.parametrize(
    ("missing", "said", "leads_to"),
    [
        (("card", "code"), "Still missing: card, health code", "attest"),
        (("card",), "Still missing: card", "visitor"),
        (("temperature",), "Still missing: temperature", ""),
    ],
)
def test_while_waiting_the_guard_reads_for_what(missing: tuple[str, ...], said: str, leads_to: str) -> None:
    """A missing code can be attested, a person without a card registered; a temperature is only awaited."""
    shown = panel(replace(scenes()["identifying"], waiting_for=missing))
    assert shown.instruction == said
    assert (shown.action is None) == (not leads_to)
    if shown.action is not None:
        assert leads_to in (shown.action.post, shown.action.sheet)


def test_a_waiver_is_named() -> None:
    """The guard sees by what a check was waived."""
    chips = {chip.name: chip for chip in panel(scenes()["admit_waived"]).checks}
    assert chips["Temperature"].state == "waived"
    assert "clear" in chips["Temperature"].why
    assert chips["Pass"].why == ""


def test_every_true_reason_is_shown_the_first_largest() -> None:
    """One reason leads, the others follow."""
    shown = panel(scenes()["unknown_card"])
    assert shown.reason == "Card is not on the roster"
    assert shown.more_reasons == ("No health code shown yet",)


def test_nobody_is_denied_the_way_out() -> None:
    """An exit lane has no button to deny."""
    assert panel(scenes()["admit"]).may_deny
    assert not panel(replace(scenes()["admit"], direction=Direction.OUT)).may_deny


def test_a_denial_stays_until_it_is_acknowledged() -> None:
    """The lane may be idle again; the guard still has something to do."""
    denied = replace(scenes()["fever"], phase=scenes()["idle"].phase)
    assert panel(denied).to_do
    assert panel(denied).headline == "DENY"
    assert panel(replace(denied, acknowledged=True)).headline == "Idle"


@pytest.mark.parametrize(
    ("step", "leads_to"),
    [
        (NextStep.CONTACT_THERMOMETER, "temperature"),
        (NextStep.REGISTER_WITH_GUARD, "visitor"),
        (NextStep.LOOK_AT_SENSOR, "measure-again"),
        (NextStep.WAIT_AND_MEASURE_AGAIN, "measure-again"),
        (NextStep.WAIT_INSIDE, "temperature"),
        (NextStep.SHOW_CODE_TO_GUARD, "attest"),
        (NextStep.SEE_GUARD, "acknowledge"),
        (NextStep.COME_BACK_IN_HOURS, "acknowledge"),
    ],
)
def test_the_big_button_is_the_next_step(step: NextStep, leads_to: str) -> None:
    """One press leads to what the verdict asks for."""
    action = next_action(step, to_do=True, words=EN)
    assert action is not None
    assert leads_to in (action.post, action.sheet)


def test_a_central_that_is_away_is_told_with_its_backlog() -> None:
    """Offline is a fact with a number, and the gate works on."""
    view = kiosk_view(scenes()["idle"])
    assert view.last_ack_us is not None
    away = drawn(replace(view, at_us=view.last_ack_us + 720 * 10**6, backlog=318)).strip
    assert away.banner == "Offline 12 min, the gate works on / 318 records to send"
    assert away.lights[0].level is Level.BAD
    assert drawn(view).strip.banner == ""


def test_a_clock_that_ran_backwards_does_not_show_negative_ages() -> None:
    """An acknowledgement from the future counts as fresh."""
    view = kiosk_view(scenes()["emergency"])
    shown = drawn(replace(view, at_us=0, last_ack_us=10**15))
    assert shown.strip.banner == ""
    assert shown.lanes[0].emergency == "Emergency open 0 min"


@pytest.mark.parametrize(
    ("trust", "level"),
    [
        (ClockTrust.SYNCED, Level.OK),
        (ClockTrust.HOLDOVER, Level.WARN),
        (ClockTrust.ASSERTED, Level.WARN),
        (ClockTrust.NONE, Level.BAD),
    ],
)
def test_clock_trust_has_its_light(trust: ClockTrust, level: Level) -> None:
    """Every degree of trust is seen."""
    assert drawn(replace(kiosk_view(scenes()["idle"]), clock_trust=trust)).strip.lights[1].level is level


def test_a_broken_device_says_how_long() -> None:
    """The thermometer's light turns, with its fault and the age of its last good reading."""
    light = panel(scenes()["fault"]).lights[2]
    assert (light.level, light.word, light.detail) == (Level.BAD, "Thermometer", "not connected · 1 min ago")


def test_a_lane_at_fault_names_the_device() -> None:
    """The guard reads what to look at, not only that something is wrong."""
    assert panel(scenes()["fault"]).reason == "Thermometer not connected · 1 min ago"


def test_an_open_lane_is_called_open() -> None:
    """While the emergency lasts, the lane is neither idle nor denied."""
    denied = replace(scenes()["fever"], emergency_since_us=0)
    for lane in (scenes()["emergency"], denied):
        assert panel(lane).headline == "Emergency open"
        assert panel(lane).admit is None


def test_times_are_the_site_s() -> None:
    """UTC in the record, the community's clock on the screen."""
    assert panel(scenes()["admit"]).at == "08:30:00"


def test_a_site_s_own_category_and_device_are_shown_as_they_are() -> None:
    """Codes that this package does not own do not break a page."""
    view = kiosk_view(scenes()["idle"])
    row = replace(view.recent[0], category="night_shift", reason="somebody's new reason")
    assert drawn(replace(view, recent=(row,))).recent[0].category == "night_shift"


def test_who_warms_up_inside_is_called_when_it_is_time() -> None:
    """Under three minutes waiting, from three due, from five the contact thermometer is named."""
    rows = []
    for inside_s in (60, 180, 299, 300):
        waiting = WarmingView(passage="p1", category="courier", since_us=MORNING_US)
        lane = replace(scenes()["idle"], warming=(waiting,))
        [row] = lane_panel(lane, EN, SHANGHAI, now_us=MORNING_US + inside_s * 1_000_000).warming
        rows.append((row.due, "contact thermometer" in row.text))
    assert rows == [(False, False), (True, False), (True, False), (True, True)]


def test_what_the_thermometer_finds_is_told_with_intervals_or_as_unknown() -> None:
    """Sensitivity, specificity and retests, each with its interval and the caveat; nothing is claimed for the rest."""
    calibrated = scenes()["idle"]
    told = " ".join(expectation_lines(calibrated, EN))
    for figure in ("37.33", "87% (76% to 93%)", "85% (82% to 88%)", "15% (12% to 18%)", "543", "not a medical device"):
        assert figure in told
    assert expectation_lines(replace(calibrated, expected=None), EN) == (EN.get("ui", "expects_unknown"),)
    assert expectation_lines(replace(calibrated, measures=False), EN) == ()


def test_a_modules_own_figure_is_shown_as_a_hint() -> None:
    """On the console, with the word."""
    assert "36.5 °C: a hint only" in panel(replace(scenes()["idle"], body_hint_c=36.5)).temperature


def test_at_most_twenty_passages_are_listed() -> None:
    """The list has a fixed size, whatever is published."""
    view = kiosk_view(scenes()["idle"])
    assert len(drawn(replace(view, recent=view.recent * 3)).recent) == 20


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("shift", range(13))
def test_every_scene_can_be_drawn(language: Language, shift: int) -> None:
    """No state of a lane is without words in either language."""
    assert all(p.headline for p in console(busy_view(4, shift), texts(language), SHANGHAI).lanes)


def test_remarks_on_a_pass_stand_beside_an_admission_and_on_the_console_alone() -> None:
    """A lent card that came in twice opens; the guard reads both, and nothing of it is the person's to read."""
    lane = replace(scenes()["admit"], remarks=(Remark.LENT_CARD, Remark.PASSED_BACK))
    assert panel(lane).more_reasons == (
        "Temporary card, lent by a member",
        "In again without having gone out: was the card lent?",
    )
    assert resident_screen(lane) == resident_screen(scenes()["admit"])


@pytest.mark.parametrize(
    ("light", "version", "days", "level", "detail"),
    [
        (AgeLight.GREEN, 17, 5, Level.OK, "next in 5 d"),
        (AgeLight.AMBER, 17, -1, Level.WARN, "1 d overdue"),
        (AgeLight.RED, 17, -8, Level.BAD, "8 d overdue"),
        (AgeLight.RED, 0, 0, Level.BAD, "none yet"),
    ],
)
def test_the_trust_stores_age_stands_on_the_strip(
    light: AgeLight, version: int, days: int, level: Level, detail: str
) -> None:
    """Green, amber, red, with the days; a plain folder has no date and no light."""
    view = replace(kiosk_view(scenes()["idle"]), trust=TrustAge(light=light, version=version, days=days))
    shown = drawn(view).strip.lights[-1]
    assert (shown.level, shown.word, shown.detail) == (level, "Trust store", detail)
    assert "Trust store" not in [light.word for light in drawn(kiosk_view(scenes()["idle"])).strip.lights]
