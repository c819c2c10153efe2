"""Screening: one person's readings -> an estimate -> normal, borderline, raised or not measured (and why). Pure.

A *presence* is one person continuously before the sensor: by a presence contact where one is wired, otherwise while
the object is more than 28 degC and more than 4 degC warmer than the sensor itself. A window belongs to one presence:
readings from before it began, or older than 300 ms when they arrive, are dropped. Hair, aim and distance all read
low, so the estimate rests on the mean of the upper half of the readings, after dropping what lies more than 0.5 degC
from the median; a window that ranges or slopes too much is unsettled and is given time once, up to 2 s.

The decision rests on the raw object temperature with correction for the air, never on a module's "body" value. The
sensor's own temperature is not the air's: without an air sensor the nominal air is taken and the uncertainty grows.

Limits: measurement design in ``docs/temperature.md``; the coefficients come from ``config/models/fever.json``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean, median

from config.sensor_model import SensorModel
from drivers.devices import TemperatureReading
from kiosk.evidence import Estimate, NotMeasured, TemperatureOutcome

WARM_OBJECT_C = 28.0
WARM_OVER_AMBIENT_C = 4.0
MAX_AGE_NS = 300_000_000
WIRE_NS = 20_000_000
"""A frame is dated when it is whole; on a line of 9600 baud it was taken up to so long before."""
MAX_GAP_S = 0.35
PRESENCE_SILENCE_S = 0.45
"""Two people cannot change places before the sensor in less."""
COLD_READINGS_END = 2
SLOW_SILENCE_S = 0.8
"""From this silence on a sensor is so slow that a single cold reading ends a presence."""
STUCK_RUN = 20
LIVE_RUN = 4
"""So many equal readings in a row empty the window: skin and sensor move by a hundredth of a degree from one to the
next, a module that has just hung does not. They count as silence, too; a module that goes on is :attr:`Watch.stuck`."""
HALF_WARM_C = 2.0
HALF_WARM_RUN = 4
HALF_COLD_RUN = 2
ROOM_RUN = 300
"""So many half-warm readings in a row are the room's new temperature: half a minute at 10 Hz."""
WARMING_C_PER_MIN = 0.2
WARMING_SPAN_NS = 60_000_000_000
CHIP_OVER_AIR_C = 8.0
LOWEST_ESTIMATE_C = 35.0
LAB_ERROR_C = 0.3 / math.sqrt(3)
UNKNOWN_AIR_SD_C = 3.0
NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRule:
    """When readings are enough and settled. Times in seconds, temperatures in degrees Celsius.

    ``max_gap_s`` is the longest pause between two readings of a window: a line that stops longer and then delivers
    what had waited tells the past. After ``silence_s`` without a new warm reading whoever stood there counts as gone.
    """

    min_good: int = 5
    window_s: float = 1.0
    extended_s: float = 2.0
    drop_c: float = 0.5
    max_range_c: float = 0.3
    max_slope_c_per_s: float = 0.15
    max_gap_s: float = MAX_GAP_S
    silence_s: float = PRESENCE_SILENCE_S


def window_for(period_s: float) -> WindowRule:
    """The window of a sensor that reads every ``period_s`` seconds: five readings must fit, however slow it is.

    10 Hz keeps one second and two; an array at 4 Hz settles after 1.25 s, a module at 2 Hz after 2.5 s.
    """
    window_s = max(1.0, 5.2 * period_s)
    return WindowRule(
        window_s=window_s,
        extended_s=max(2.0, 1.6 * window_s),
        max_gap_s=max(MAX_GAP_S, 1.6 * period_s),
        silence_s=max(PRESENCE_SILENCE_S, 3.2 * period_s),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """The thermometer of a lane: its site's model, its window, its own calibration and the air about it.

    ``offset_c`` is added to every object temperature; ``calibration`` is its version ("" while uncalibrated) and
    ``unit_error_c`` its standard uncertainty (a unit without calibration takes its maker's figure).
    ``drifted`` stops automatic outcomes until the unit is calibrated again.
    """

    model: SensorModel
    window: WindowRule = WindowRule()
    offset_c: float = 0.0
    unit_error_c: float = 0.5
    calibration: str = ""
    air_c: float | None = None
    drifted: bool = False

    @property
    def rule(self) -> str:
        """Names model and calibration in records."""
        return f"{self.model.version}/{self.calibration or 'uncalibrated'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What is known of the sensor and of whoever stands before it.

    ``since_ns`` is when the present presence began (None: nobody); ``number`` counts presences; ``warm`` are its
    newest readings, as long as a window can use; ``warm_at_ns`` is when the newest came that was
    not equal to the one before, and ``silence_ns`` how long it speaks for a presence. ``live_at_ns`` is when the
    newest of any temperature came that was not equal to the one before. ``identical`` counts equal readings in a row.
    ``glimpsed_ns`` is when somebody stepped away who was never warm enough for a presence (too far, or very cold): told
    from the empty room's ``room_c`` by ``half_warm`` readings in a row, or by ``half_cold`` ones where what had been
    taken for the empty room was somebody.
    """

    since_ns: int | None = None
    number: int = 0
    warm: tuple[TemperatureReading, ...] = ()
    seen: int = 0
    warm_at_ns: int = 0
    silence_ns: int = int(PRESENCE_SILENCE_S * 1_000_000_000)
    cold_run: int = 0
    last: TemperatureReading | None = None
    live_at_ns: int = 0
    room_c: float | None = None
    half_warm: int = 0
    half_cold: int = 0
    glimpsed_ns: int = 0
    identical: int = 0
    ambient_c: float | None = None
    ambient_at_ns: int = 0
    warming_up: bool = False

    @property
    def present(self) -> bool:
        """Whether somebody stands there."""
        return self.since_ns is not None

    @property
    def stuck(self) -> bool:
        """20 equal readings in a row: no skin is that steady."""
        return self.identical >= STUCK_RUN


def is_warm(reading: TemperatureReading, room_c: float | None = None) -> bool:
    """Whether a reading looks like a face before the sensor rather than the room.

    The room's is the sensor's own temperature, or what it saw of the empty room where that is lower: a chip that warms
    itself comes near a face's temperature.
    """
    room = [c for c in (reading.ambient_c, room_c) if c is not None]
    return reading.object_c > WARM_OBJECT_C and (not room or reading.object_c - min(room) > WARM_OVER_AMBIENT_C)


def begin_presence(watch: Watch, at_ns: int) -> Watch:
    """Somebody stepped before the sensor: a fresh window; nothing from before is in it."""
    if watch.present:
        return watch
    return replace(watch, since_ns=at_ns, number=watch.number + 1, warm=(), seen=0, cold_run=0)


def end_presence(watch: Watch) -> Watch:
    """The person left: their readings are gone."""
    return replace(watch, since_ns=None, warm=(), seen=0, cold_run=0)


def silence(watch: Watch, now_ns: int, *, contact: bool) -> Watch:
    """The presence ends when no new warm reading came for 450 ms (a slow sensor: for three of its periods)."""
    if watch.present and not contact and now_ns - _last_warm_ns(watch) >= watch.silence_ns:
        return end_presence(watch)
    return watch


def _last_warm_ns(watch: Watch) -> int:
    return max(watch.warm_at_ns, watch.since_ns or 0)


def presence_ends_ns(watch: Watch, *, contact: bool) -> int | None:
    """When :func:`silence` would end the presence if nothing more came."""
    return None if contact or not watch.present else _last_warm_ns(watch) + watch.silence_ns


def blind_from_ns(watch: Watch, since_ns: int) -> int:
    """From when on nobody can say who came and went since ``since_ns``, unless a new reading comes before."""
    return max(watch.live_at_ns, since_ns) + watch.silence_ns


def observe(watch: Watch, reading: TemperatureReading, now_ns: int, sensor: Sensor, *, contact: bool) -> Watch:
    """Take one reading. ``contact`` says that a presence contact, not the readings, tells who is there.

    A reading older than 300 ms on arrival, or from before the one last seen, is dropped.
    """
    if now_ns - reading.at_ns > MAX_AGE_NS or (watch.last is not None and reading.at_ns < watch.last.at_ns):
        return watch
    watch = silence(watch, reading.at_ns, contact=contact)
    # Where readings were lost beside a cold one, more cold ones may have been.
    paused = watch.last is not None and reading.at_ns - watch.last.at_ns > watch.silence_ns // 2 and not contact
    watch = replace(_watch_sensor(watch, reading), silence_ns=int(sensor.window.silence_s * NS))
    warm = is_warm(reading, watch.room_c)
    watch = _glimpse(watch, reading, warm=warm)
    if paused and watch.cold_run:
        watch = end_presence(watch)
    if watch.identical >= LIVE_RUN:
        return replace(watch, warm=(), seen=watch.seen + watch.present)
    if not contact:
        if warm and watch.identical == 1:
            watch = replace(begin_presence(watch, reading.at_ns), cold_run=0, warm_at_ns=reading.at_ns)
        elif warm:
            pass  # equal to the one before: it may be the past, so it speaks for nobody's presence
        elif watch.present:
            # Whoever stands there afterwards, their window begins afresh.
            watch = replace(watch, cold_run=watch.cold_run + 1, warm=())
            if watch.cold_run >= COLD_READINGS_END or sensor.window.silence_s >= SLOW_SILENCE_S or paused:
                return end_presence(watch)
    if watch.since_ns is None or reading.at_ns < watch.since_ns:
        return watch
    watch = replace(watch, seen=watch.seen + 1)
    if not (warm and reading.plausible_skin):
        return watch
    oldest = reading.at_ns - int(sensor.window.extended_s * NS)
    return replace(watch, warm=(*(r for r in watch.warm if r.at_ns > oldest), reading))


def _glimpse(watch: Watch, reading: TemperatureReading, *, warm: bool) -> Watch:
    """Learn the empty room; note somebody who steps away without ever having been warm enough.

    Whoever stands there already when the sensor begins is taken for the room, until they leave and it turns colder. A
    room that itself turned warmer is believed after half a minute.
    """
    at_ns, object_c, room_c = reading.at_ns, reading.object_c, watch.room_c
    if warm:
        return replace(watch, half_warm=0, half_cold=0)
    if room_c is None:
        return replace(watch, room_c=object_c)
    if object_c > room_c + HALF_WARM_C and watch.half_warm < ROOM_RUN:
        return replace(watch, half_warm=watch.half_warm + 1, half_cold=0)
    if object_c < room_c - HALF_WARM_C:
        if watch.half_cold + 1 < HALF_COLD_RUN:
            return replace(watch, half_cold=watch.half_cold + 1)
        return replace(watch, room_c=object_c, glimpsed_ns=at_ns, half_warm=0, half_cold=0)
    if watch.half_warm >= ROOM_RUN:
        return replace(watch, room_c=object_c, half_warm=0, half_cold=0)
    glimpsed_ns = at_ns if watch.half_warm >= HALF_WARM_RUN else watch.glimpsed_ns
    return replace(watch, room_c=0.9 * room_c + 0.1 * object_c, glimpsed_ns=glimpsed_ns, half_warm=0, half_cold=0)


def _watch_sensor(watch: Watch, reading: TemperatureReading) -> Watch:
    last = watch.last
    same = last is not None and (reading.object_c, reading.ambient_c) == (last.object_c, last.ambient_c)
    watch = replace(
        watch,
        last=reading,
        live_at_ns=watch.live_at_ns if same else reading.at_ns,
        identical=watch.identical + 1 if same else 1,
    )
    if reading.ambient_c is None:
        return watch
    if watch.ambient_c is None:
        return replace(watch, ambient_c=reading.ambient_c, ambient_at_ns=reading.at_ns)
    span_ns = reading.at_ns - watch.ambient_at_ns
    if span_ns < WARMING_SPAN_NS:
        return watch
    per_min = abs(reading.ambient_c - watch.ambient_c) / (span_ns / WARMING_SPAN_NS)
    return replace(
        watch, ambient_c=reading.ambient_c, ambient_at_ns=reading.at_ns, warming_up=per_min > WARMING_C_PER_MIN
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A window that settled: ``object_c`` by the robust rule, from ``count`` of ``seen`` readings."""

    object_c: float
    count: int
    seen: int


def robust_window(values: list[tuple[int, float]], rule: WindowRule) -> Settled | NotMeasured:
    """Judge readings ``(at_ns, object_c)`` of one presence, oldest first: settled, or why not.

    Whoever comes up to the sensor leaves readings on the way, of which the last may lie within the drop: so the oldest
    are left out one by one as long as ``min_good`` remain, and the longest window that settles counts. The reason for
    not settling is that of them all. A pause over ``max_gap_s`` anywhere is TOO_FEW.
    """
    if not values:
        return NotMeasured.NO_READING
    if any(later - at > int(rule.max_gap_s * NS) for (at, _), (later, _) in pairwise(values)):
        return NotMeasured.TOO_FEW  # what came after a pause may be what had waited: all of it is left to grow old
    found = _settled(values, rule)
    for first in range(1, len(values) - rule.min_good + 1):
        if isinstance(found, Settled):
            break
        later = _settled(values[first:], rule)
        found = later if isinstance(later, Settled) else found
    return found


def _settled(values: list[tuple[int, float]], rule: WindowRule) -> Settled | NotMeasured:
    """Judge one window.

    Drops what lies more than ``drop_c`` from the median; fewer than ``min_good`` left is TOO_FEW; a newest one that
    was dropped (somebody who steps aside), a range, or a slope beyond the rule by more than its standard error is
    MOVING; otherwise the mean of the upper half (the middle one belongs to it).
    """
    middle = median(c for _, c in values)
    kept = [(at, c) for at, c in values if abs(c - middle) <= rule.drop_c]
    if len(kept) < rule.min_good:
        return NotMeasured.TOO_FEW
    if kept[-1] != values[-1]:
        return NotMeasured.MOVING
    temperatures = sorted(c for _, c in kept)
    slope_c_per_s, error_c_per_s = _slope_c_per_s(kept)
    if temperatures[-1] - temperatures[0] > rule.max_range_c:
        return NotMeasured.MOVING
    if abs(slope_c_per_s) - error_c_per_s > rule.max_slope_c_per_s:
        return NotMeasured.MOVING
    return Settled(object_c=fmean(temperatures[len(temperatures) // 2 :]), count=len(kept), seen=len(values))


def _slope_c_per_s(points: list[tuple[int, float]]) -> tuple[float, float]:
    """The straight line's slope and its standard error, from what the points leave beside the line.

    Five readings of a module that scatters by 0.06 degC lie within 0.4 s: their slope alone scatters by 0.19 degC/s,
    more than the limit, for somebody who stands perfectly still.
    """
    seconds = [(at - points[0][0]) / NS for at, _ in points]
    mean_s, mean_c = fmean(seconds), fmean(c for _, c in points)
    spread = sum((s - mean_s) ** 2 for s in seconds)
    if spread == 0:
        return 0.0, 0.0
    slope = sum((s - mean_s) * (c - mean_c) for s, (_, c) in zip(seconds, points, strict=True)) / spread
    beside = sum((c - mean_c - slope * (s - mean_s)) ** 2 for s, (_, c) in zip(seconds, points, strict=True))
    return slope, math.sqrt(beside / max(1, len(points) - 2) / spread)


def measure(watch: Watch, sensor: Sensor, now_ns: int, bound_ns: int) -> Estimate | None:
    """What the present window says at ``now_ns``; None while it may still settle.

    ``bound_ns`` is when the credential bound to the presence (or the presence began, whichever was later): from
    there the window has one second, and once more up to two. The newest reading must be under 300 ms old,
    its time on the wire included; one that repeats the reading before it is as old as the first of them (a quick
    sensor: a slow one's readings are further apart than that).
    """
    trouble = sensor_trouble(watch, sensor)
    if trouble is not None:
        return not_measured(trouble, sensor, seen=watch.seen)
    newest_ns = watch.warm[-1].at_ns if watch.warm else 0
    if sensor.window.silence_s < SLOW_SILENCE_S:
        newest_ns = min(newest_ns, watch.live_at_ns)
    fresh = bool(watch.warm) and now_ns - newest_ns <= MAX_AGE_NS - WIRE_NS
    found: Settled | NotMeasured = NotMeasured.TOO_FEW
    if fresh:
        oldest = watch.warm[-1].at_ns - int(sensor.window.window_s * NS)
        found = robust_window([(r.at_ns, r.object_c) for r in watch.warm if r.at_ns > oldest], sensor.window)
        if isinstance(found, Settled):
            return estimate(found, sensor)
    if now_ns - max(bound_ns, watch.since_ns or 0) < int(sensor.window.extended_s * NS):
        return None
    if not watch.warm:
        found = NotMeasured.TOO_FAR if watch.seen else NotMeasured.NO_READING
    return not_measured(found if isinstance(found, NotMeasured) else NotMeasured.MOVING, sensor, seen=watch.seen)


def sensor_trouble(watch: Watch, sensor: Sensor) -> NotMeasured | None:
    """Why this sensor can measure nobody now, whoever stands there; None when it can."""
    if watch.stuck:
        return NotMeasured.STUCK
    if sensor.drifted:
        return NotMeasured.DRIFT
    if watch.warming_up:
        return NotMeasured.WARMING_UP
    air_c = sensor.air_c
    if air_c is not None:
        if not sensor.model.air_from_c <= air_c <= sensor.model.air_to_c:
            return NotMeasured.SURROUNDINGS
        chip_c = watch.last.ambient_c if watch.last is not None else None
        if chip_c is not None and abs(chip_c - air_c) > CHIP_OVER_AIR_C:
            return NotMeasured.FAULT
    return None


def estimate(settled: Settled, sensor: Sensor) -> Estimate:
    """The estimate and its outcome. Under 35 degC it is no low temperature but no measurement (cold skin)."""
    model = sensor.model
    air_c = model.nominal_air_c if sensor.air_c is None else sensor.air_c
    object_c = settled.object_c + sensor.offset_c
    estimate_c = model.gain * object_c + model.a_c + model.b * air_c
    if estimate_c < LOWEST_ESTIMATE_C:
        return replace(not_measured(NotMeasured.COLD_SKIN, sensor, seen=settled.seen), object_c=object_c)
    if estimate_c < model.low_c:
        outcome = TemperatureOutcome.NORMAL
    else:
        outcome = TemperatureOutcome.RAISED if estimate_c >= model.high_c else TemperatureOutcome.BORDERLINE
    return Estimate(
        outcome=outcome,
        estimate_c=estimate_c,
        uncertainty_c=uncertainty_c(sensor),
        object_c=object_c,
        count=settled.count,
        seen=settled.seen,
        rule=sensor.rule,
    )


def uncertainty_c(sensor: Sensor) -> float:
    """One standard deviation: repeatability, spread between people, laboratory error, this unit's own, the air."""
    model = sensor.model
    air_c = abs(model.b) * UNKNOWN_AIR_SD_C if sensor.air_c is None else 0.0
    unit_c = model.gain * math.hypot(sensor.unit_error_c, LAB_ERROR_C)
    return math.hypot(model.repeatability_c, model.spread_c, unit_c, air_c)


def not_measured(why: NotMeasured, sensor: Sensor | None, *, seen: int = 0) -> Estimate:
    """No temperature, and why."""
    return Estimate(
        outcome=TemperatureOutcome.NOT_MEASURED, why_not=why, seen=seen, rule=sensor.rule if sensor is not None else ""
    )


def by_contact_thermometer(object_c: float) -> Estimate:
    """A contact thermometer's value that the guard entered: it decides, at the medical limits.

    Under 37.3 degC (the limit of the gates' instructions) normal, from there raised; outside 34.0 to 43.0 it is
    refused by the caller as a slip of the keys. Uncertainty 0.2 degC (ASTM E1112 class).
    """
    raised = object_c >= CONTACT_RAISED_C
    return Estimate(
        outcome=TemperatureOutcome.RAISED if raised else TemperatureOutcome.NORMAL,
        estimate_c=object_c,
        uncertainty_c=0.2,
        object_c=object_c,
        count=1,
        seen=1,
        rule="contact",
        by_guard=True,
    )


CONTACT_RAISED_C = 37.3
CONTACT_FROM_C, CONTACT_TO_C = 34.0, 43.0
