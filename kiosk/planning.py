"""What a gate costs in waiting and in missed fevers: lanes, the guard's time for second measurements. Pure.

The queue at K lanes is taken as M/G/K with the Allen-Cunneen correction of Erlang C (people arrive by chance, passages
take 3 to 5 s, coefficient of variation 0.4); the guard with one contact thermometer as M/M/1. Both are the usual
first estimate and no promise: mornings come in bursts.

The retest budget is what makes temperature screening honest: how many people an hour the guard can measure again
decides the threshold, and the threshold decides what is missed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from config.sensor_model import SensorModel
from kiosk.expectation import Expectation, expected, threshold_for_retest

PEOPLE_PER_HOUSEHOLD = 2.9
ENTRIES_PER_PERSON_DAY = 2.0
PEAK_HOUR_SHARE = 0.15
PASSAGE_S = 4.0
PASSAGE_VARIATION = 0.4
RETEST_S = 45.0
TARGET_UTILISATION = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePlan:
    """One gate in its peak hour. Waits in seconds (inf: the queue grows without end), shares from 0 to 1.

    ``missed_per_100_fevers`` counts people with an oral temperature of 37.5 degC and more who walk through at the
    first look. ``found_per_day`` and ``retests_per_day`` are for the assumed share of people with a fever.
    """

    arrivals_per_hour: float
    lanes: int
    utilisation: float
    wait_mean_s: float
    wait_p95_s: float
    lanes_needed: int
    retests_per_hour: float
    retest_share: float
    retest_wait_mean_s: float
    expectation: Expectation
    missed_per_100_fevers: float
    found_per_day: float
    retests_per_day: float


def plan_gate(
    *,
    households: int,
    lanes: int,
    model: SensorModel,
    unit_sd_c: float = 0.0,
    bias_c: float = 0.0,
    retests_per_hour: float | None = None,
    fever_share: float = 0.01,
    passage_s: float = PASSAGE_S,
) -> GatePlan:
    """Plan one gate that ``households`` use through ``lanes`` lanes in.

    ``retests_per_hour`` is what the guard can measure again in the peak hour (None: the shipped threshold, whatever it
    asks). ``unit_sd_c`` and ``bias_c`` are the calibrated unit's own error. Raises ValueError for less than one
    household or lane, or a share outside 0 to 1.
    """
    if households < 1 or lanes < 1 or not 0 <= fever_share <= 1:
        raise ValueError("a gate has at least one household and one lane, and a fever share between 0 and 1")
    people = households * PEOPLE_PER_HOUSEHOLD
    entries_per_day = people * ENTRIES_PER_PERSON_DAY
    arrivals = entries_per_day * PEAK_HOUR_SHARE
    low_c = model.low_c
    if retests_per_hour is not None:
        share = min(1.0, retests_per_hour / arrivals)
        low_c = threshold_for_retest(model, share, unit_sd_c=unit_sd_c, bias_c=bias_c, fever_share=fever_share)
    found = expected(model, unit_sd_c=unit_sd_c, bias_c=bias_c, low_c=low_c)
    share = found.retest * (1 - fever_share) + found.sensitivity * fever_share
    mean_s, p95_s = waiting(arrivals / 3600, passage_s, lanes)
    return GatePlan(
        arrivals_per_hour=arrivals,
        lanes=lanes,
        utilisation=arrivals / 3600 * passage_s / lanes,
        wait_mean_s=mean_s,
        wait_p95_s=p95_s,
        lanes_needed=max(1, math.ceil(arrivals / 3600 * passage_s / TARGET_UTILISATION)),
        retests_per_hour=arrivals * share,
        retest_share=share,
        retest_wait_mean_s=waiting(arrivals * share / 3600, RETEST_S, 1, variation=1.0)[0],
        expectation=found,
        missed_per_100_fevers=100 * (1 - found.sensitivity),
        found_per_day=entries_per_day * fever_share * found.sensitivity,
        retests_per_day=entries_per_day * share,
    )


def waiting(
    arrivals_per_s: float, service_s: float, servers: int, *, variation: float = PASSAGE_VARIATION
) -> tuple[float, float]:
    """Mean and 95th percentile of the wait before service, seconds; inf when the load reaches the servers."""
    load = arrivals_per_s * service_s
    if load >= servers:
        return math.inf, math.inf
    if load <= 0:
        return 0.0, 0.0
    delayed = erlang_c(load, servers)
    correction = (1 + variation * variation) / 2
    when_delayed_s = service_s / (servers - load) * correction
    p95_s = max(0.0, when_delayed_s * math.log(delayed / 0.05))
    return delayed * when_delayed_s, p95_s


def erlang_c(load: float, servers: int) -> float:
    """The chance that an arrival has to wait, for ``load`` erlang on ``servers`` servers (load < servers)."""
    blocking = 1.0
    for server in range(1, servers + 1):
        blocking = load * blocking / (server + load * blocking)
    return blocking / (1 - load / servers * (1 - blocking))
