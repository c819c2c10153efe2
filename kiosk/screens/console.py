"""What the guard's console says: a kiosk's view becomes strip, lane panels and rows, in one language. Pure.

All wording happens here, so that the templates only place it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum

from kiosk.board import DeviceLight, KioskView, LaneView, Phase, RecentPassage, WarmingView
from kiosk.credentials.bundle import AgeLight
from kiosk.decision import WARM_AGAIN_S
from kiosk.evidence import TemperatureOutcome
from kiosk.reasons import CheckState, ClockTrust, Direction, NextStep
from kiosk.screens.faces import Face, resident_screen, verdict_face
from kiosk.screens.texts import Language, Texts

RECENT_ROWS = 20
#: Without an acknowledgement for so long the central counts as away (an idle kiosk heartbeats every minute).
OFFLINE_AFTER_S = 300
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Level(StrEnum):
    """How a light looks: shape and colour go together."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """A light: shape and colour by level, and always a word."""

    level: Level
    word: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckChip:
    """One check of the verdict; a waiver says by what."""

    name: str
    state: str
    state_word: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextAction:
    """The one big button: what it says, where it leads (``open``: a sheet's name) or what it posts."""

    word: str
    sheet: str = ""
    post: str = ""
    field: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmingRow:
    """Somebody who waits inside because of cold skin; ``due`` when it is time to measure again."""

    passage: str
    text: str
    due: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LanePanel:
    """One lane on the console. Nobody is held at an exit: ``may_deny`` is False there."""

    lane: str
    passage: str
    direction: str
    may_deny: bool
    face: Face
    admit: bool | None
    headline: str
    reason: str
    more_reasons: tuple[str, ...]
    category: str
    temperature: str
    at: str
    checks: tuple[CheckChip, ...]
    lights: tuple[Light, ...]
    action: NextAction | None
    instruction: str
    to_do: bool
    emergency: str
    warming: tuple[WarmingRow, ...] = ()
    expects: tuple[str, ...] = ()
    holder: bool = False
    pictured: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentRow:
    """One row of the list."""

    passage: str
    lane: str
    at: str
    admit: bool
    reason: str
    category: str
    by_guard: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """The top strip."""

    site: str
    at: str
    lights: tuple[Light, ...]
    banner: str
    alarms: tuple[str, ...]
    simulated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """The whole console."""

    strip: Strip
    lanes: tuple[LanePanel, ...]
    recent: tuple[RecentRow, ...]


def console(
    view: KioskView, words: Texts, zone: tzinfo, pictured: Callable[[str], bool] = lambda _subject: False
) -> Console:
    """The console of a view, with times in the site's ``zone``. ``pictured``: is there a photograph of this holder?"""
    return Console(
        strip=_strip(view, words, zone),
        lanes=tuple(
            replace(
                lane_panel(lane, words, zone, now_us=view.at_us),
                holder=bool(lane.holder),
                pictured=bool(lane.holder) and pictured(lane.holder),
            )
            for lane in view.lanes
        ),
        recent=tuple(_row(row, words, zone) for row in view.recent[:RECENT_ROWS]),
    )


def local_time(at_us: int, zone: tzinfo, form: str = "%H:%M:%S") -> str:
    """An instant (UTC, microseconds) as the site's clock shows it; "" for one that no calendar has."""
    try:
        return (_EPOCH + timedelta(microseconds=at_us)).astimezone(zone).strftime(form)
    except (OverflowError, ValueError):
        return ""


def _strip(view: KioskView, words: Texts, zone: tzinfo) -> Strip:
    return Strip(
        site=view.site_name,
        at=local_time(view.at_us, zone, "%m-%d %H:%M"),
        lights=(_central_light(view, words), _clock_light(view, words), *_trust_light(view, words)),
        banner=_banner(view, words),
        alarms=tuple(words.find("alarm", alarm) for alarm in view.alarms[:4]),
        simulated=view.simulated,
    )


def _silent_s(view: KioskView) -> int | None:
    return None if view.last_ack_us is None else (view.at_us - view.last_ack_us) // 1_000_000


def _central_light(view: KioskView, words: Texts) -> Light:
    silent_s = _silent_s(view)
    backlog = words.get("ui", "backlog", count=view.backlog) if view.backlog else ""
    if silent_s is None:
        return Light(level=Level.WARN, word=words.get("ui", "never_synced"), detail=backlog)
    if silent_s > OFFLINE_AFTER_S:
        return Light(level=Level.BAD, word=words.get("ui", "central_away"))
    return Light(level=Level.OK, word=words.get("ui", "online"), detail=backlog)


def _banner(view: KioskView, words: Texts) -> str:
    if not view.journal_ok:
        return words.get("ui", "journal_failed")
    silent_s = _silent_s(view)
    if silent_s is None or silent_s <= OFFLINE_AFTER_S:
        return ""
    parts = [words.get("ui", "offline", minutes=silent_s // 60)]
    if view.backlog:
        parts.append(words.get("ui", "backlog", count=view.backlog))
    return " / ".join(parts)


def _clock_light(view: KioskView, words: Texts) -> Light:
    level = {ClockTrust.SYNCED: Level.OK, ClockTrust.NONE: Level.BAD}.get(view.clock_trust, Level.WARN)
    return Light(level=level, word=words.get("clock_trust", view.clock_trust))


_AGE_LEVELS = {AgeLight.GREEN: Level.OK, AgeLight.AMBER: Level.WARN, AgeLight.RED: Level.BAD}


def _trust_light(view: KioskView, words: Texts) -> tuple[Light, ...]:
    """The age of the trust store; none where it is a plain folder without a date."""
    trust = view.trust
    if trust is None:
        return ()
    if not trust.version:
        detail = words.get("ui", "trust_none")
    elif trust.days >= 0:
        detail = words.get("ui", "trust_due", days=trust.days)
    else:
        detail = words.get("ui", "trust_overdue", days=-trust.days)
    return (Light(level=_AGE_LEVELS[trust.light], word=words.get("ui", "trust"), detail=detail),)


def device_light(device: DeviceLight, words: Texts) -> Light:
    """A device's light; the age of its last good event is told in the steps a person thinks in."""
    word = words.find("device", device.role, default=device.name)
    kind, _, _ = device.detail.partition(":")  # "missing: /dev/…": the path is for the journal, not for the guard
    detail = "" if device.ok else words.find("fault", kind) or words.get("ui", "device_fault")
    if not device.ok and device.age_ms is not None:
        detail = f"{detail} · {age_text(device.age_ms, words)}"
    return Light(level=Level.OK if device.ok else Level.BAD, word=word, detail=detail)


def age_text(age_ms: int, words: Texts) -> str:
    """``12 s ago``, ``3 min ago``."""
    if age_ms < 60_000:
        return words.get("ui", "ago_s", n=max(0, age_ms) // 1000)
    return words.get("ui", "ago_min", n=age_ms // 60_000)


def lane_panel(lane: LaneView, words: Texts, zone: tzinfo, *, now_us: int) -> LanePanel:
    """One lane's panel. A denial that nobody acknowledged stays, whatever the lane does meanwhile."""
    verdict = lane.verdict
    to_do = verdict is not None and not verdict.admit and not lane.acknowledged
    emergency = ""
    if lane.emergency_since_us is not None:
        minutes = max(0, now_us - lane.emergency_since_us) // 60_000_000
        emergency = words.get("ui", "emergency_since", minutes=minutes)
    lights = tuple(device_light(device, words) for device in lane.devices)
    waiting = LanePanel(
        lane=lane.lane,
        passage=lane.passage,
        direction=words.get("direction", lane.direction),
        may_deny=lane.direction is Direction.IN,
        face=resident_screen(lane).face,
        admit=None,
        headline=words.get("resident", "emergency") if emergency else words.get("phase", lane.phase),
        reason="" if emergency else _waiting_reason(lane, lights, words),
        more_reasons=(),
        category="",
        temperature=_temperature(lane, words),
        at="",
        checks=(),
        lights=lights,
        action=_waiting_action(lane, words),
        instruction=_missing(lane, words),
        to_do=to_do,
        emergency=emergency,
        warming=tuple(_warming(waiting, words, zone, now_us=now_us) for waiting in lane.warming),
        expects=expectation_lines(lane, words),
    )
    if verdict is None or emergency or not (lane.phase is Phase.DECIDED or to_do):
        return waiting
    return replace(
        waiting,
        face=verdict_face(verdict),
        admit=verdict.admit,
        headline=words.get("verdict", "admit" if verdict.admit else "deny"),
        reason=words.get("reason", verdict.reasons[0]),
        more_reasons=(
            *(words.get("reason", reason) for reason in verdict.reasons[1:]),
            *(words.get("remark", remark) for remark in lane.remarks),
        ),
        category=words.find("category", verdict.category),
        at=local_time(lane.decided_at_us, zone) if lane.decided_at_us is not None else "",
        checks=tuple(
            CheckChip(
                name=words.get("check", check.name),
                state=check.state,
                state_word=words.get("check_state", check.state),
                why=words.get("ui", "waived_by", by=check.by) if check.state is CheckState.WAIVED else "",
            )
            for check in verdict.checks
        ),
        action=None if verdict.admit else next_action(verdict.next_step, to_do=to_do, words=words),
        instruction=words.get("next_step", verdict.next_step),
        expects=(),  # the room is the verdict's; the figures stand there again as soon as the lane waits
    )


def _waiting_reason(lane: LaneView, lights: tuple[Light, ...], words: Texts) -> str:
    if lane.phase is not Phase.FAULT:
        parts = "" if lane.code_parts is None else f" {lane.code_parts[0]} / {lane.code_parts[1]}"
        return words.get("hint", lane.hint) + parts
    return " / ".join(f"{light.word} {light.detail}" for light in lights if light.level is Level.BAD)


def _missing(lane: LaneView, words: Texts) -> str:
    if not lane.waiting_for:
        return ""
    joint = "、" if words.language is Language.ZH else ", "
    what = joint.join(words.find("waiting", item) for item in lane.waiting_for)
    return words.get("ui", "waiting_for", what=what)


def _warming(waiting: WarmingView, words: Texts, zone: tzinfo, *, now_us: int) -> WarmingRow:
    inside_s = max(0, now_us - waiting.since_us) // 1_000_000
    category = words.find("category", waiting.category)
    first_s, last_s = WARM_AGAIN_S
    key = "warming" if inside_s < first_s else "warming_due" if inside_s < last_s else "warming_last"
    at = local_time(waiting.since_us, zone, "%H:%M")
    text = words.get("ui", key, category=category, at=at, minutes=inside_s // 60)
    return WarmingRow(passage=waiting.passage, text=text, due=inside_s >= first_s)


def expectation_lines(lane: LaneView, words: Texts) -> tuple[str, ...]:
    """What the lane's thermometer can be expected to find, with intervals, and where the figures come from."""
    if not lane.measures:
        return ()
    found = lane.expected
    if found is None:
        return (words.get("ui", "expects_unknown"),)

    def share(value: tuple[float, float, float]) -> str:
        return words.get("ui", "share", value=f"{value[0]:.0%}", low=f"{value[1]:.0%}", high=f"{value[2]:.0%}")

    return (
        words.get(
            "ui",
            "expects",
            low_c=f"{found.low_c:.2f}",
            sensitivity=share(found.sensitivity),
            specificity=share(found.specificity),
            retest=share(found.retest),
        ),
        words.get("ui", "expects_caveat"),
    )


def _temperature(lane: LaneView, words: Texts) -> str:
    if lane.temperature is None:
        return "" if lane.body_hint_c is None else words.get("ui", "body_hint", value=f"{lane.body_hint_c:.1f}")
    text = words.get("temperature", lane.temperature)
    if lane.temperature is TemperatureOutcome.NOT_MEASURED and lane.not_measured is not None:
        joint = "：" if words.language is Language.ZH else ": "
        text += joint + words.get("not_measured", lane.not_measured)
        if lane.body_hint_c is not None:
            text += " · " + words.get("ui", "body_hint", value=f"{lane.body_hint_c:.1f}")
    return text


def next_action(step: NextStep, *, to_do: bool, words: Texts) -> NextAction | None:
    """The one big button for a denial."""
    if step in (NextStep.LOOK_AT_SENSOR, NextStep.WAIT_AND_MEASURE_AGAIN):
        return NextAction(word=words.get("ui", "measure_again"), post="measure-again")
    if step in (NextStep.CONTACT_THERMOMETER, NextStep.WAIT_INSIDE):  # too early to measure cold skin again
        return NextAction(word=words.get("ui", "enter_temperature"), sheet="temperature")
    if step is NextStep.REGISTER_WITH_GUARD:
        return NextAction(word=words.get("ui", "register"), sheet="visitor")
    if step in (NextStep.SHOW_CODE, NextStep.SHOW_CODE_TO_GUARD, NextStep.REFRESH_CODE, NextStep.TYPE_DIGITS):
        return NextAction(word=words.get("ui", "attest_green"), post="attest", field="code", value="seen_green")
    return NextAction(word=words.get("ui", "acknowledge"), post="acknowledge") if to_do else None


def _waiting_action(lane: LaneView, words: Texts) -> NextAction | None:
    if "code" in lane.waiting_for:
        return NextAction(word=words.get("ui", "attest_green"), post="attest", field="code", value="seen_green")
    if "card" in lane.waiting_for:  # somebody without a card: a visitor
        return NextAction(word=words.get("ui", "register"), sheet="visitor")
    return None


def _row(row: RecentPassage, words: Texts, zone: tzinfo) -> RecentRow:
    return RecentRow(
        passage=row.passage,
        lane=row.lane,
        at=local_time(row.at_us, zone),
        admit=row.admit,
        reason=words.find("reason", row.reason),
        category=words.find("category", row.category),
        by_guard=row.by_guard,
    )
