"""``gatepost plan``: what a gate costs in waiting and in missed fevers, before it is built."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from config.sensor_model import load_sensor_model
from kiosk.expectation import CAVEAT
from kiosk.planning import GatePlan, plan_gate

app = typer.Typer(help="Plan a gate: lanes, waiting, second measurements, missed fevers.", no_args_is_help=True)


@app.callback()
def planning() -> None:
    """Plan a gate: lanes, waiting, second measurements, missed fevers."""


@app.command()
def gate(
    *,
    households: Annotated[int, typer.Option(min=1, help="households that use this gate")],
    lanes: Annotated[int, typer.Option(min=1, max=16, help="lanes in")] = 1,
    site: Annotated[str, typer.Option(help="what the sensor sees: full_face, forehead_max, single_spot")] = "full_face",
    unit_sd_c: Annotated[float, typer.Option(min=0, max=3, help="the calibrated unit's own error, SD in degC")] = 0.2,
    bias_c: Annotated[float, typer.Option(min=-3, max=3, help="what its calibration left over, degC")] = 0.0,
    retests_per_hour: Annotated[
        float | None, typer.Option(min=0, help="people an hour the guard can measure again; default: as shipped")
    ] = None,
    fever_percent: Annotated[float, typer.Option(min=0, max=100, help="assumed share of people with a fever")] = 1.0,
) -> None:
    """The peak hour of one gate: waiting, second measurements, and what they cost in missed fevers."""
    plan = plan_gate(
        households=households,
        lanes=lanes,
        model=load_sensor_model(site),
        unit_sd_c=unit_sd_c,
        bias_c=bias_c,
        retests_per_hour=retests_per_hour,
        fever_share=fever_percent / 100,
    )
    for line in lines(plan):
        typer.echo(line)


def lines(plan: GatePlan) -> list[str]:
    """The plan in words."""
    found = plan.expectation
    told = [
        f"peak hour: {plan.arrivals_per_hour:.0f} people in, {plan.lanes} lanes, {plan.utilisation:.0%} busy",
        f"waiting at the lane: {_seconds(plan.wait_mean_s)} on average, {_seconds(plan.wait_p95_s)} for one in twenty",
        f"lanes for 80 % at most: {plan.lanes_needed}",
        f"measured again from {found.low_c:.2f} degC on: {plan.retests_per_hour:.0f} people in the peak hour "
        f"({plan.retest_share:.1%}), {plan.retests_per_day:.0f} a day; wait for the guard "
        f"{_seconds(plan.retest_wait_mean_s)} on average",
        f"fevers found at the first look: {found.sensitivity:.0%} "
        f"({found.sensitivity_low:.0%} to {found.sensitivity_high:.0%}); "
        f"missed {plan.missed_per_100_fevers:.0f} in 100",
        f"({CAVEAT})",
        f"to measure again from there: borderline_from_c = {found.low_c:.2f} under [temperature] of the policy",
    ]
    if math.isinf(plan.wait_mean_s):
        told.append("the queue grows without end: more lanes, or another gate")
    if math.isinf(plan.retest_wait_mean_s):
        told.append("one guard cannot measure that many again: name a budget with --retests-per-hour")
    return told


def _seconds(value: float) -> str:
    return "without end" if math.isinf(value) else f"{value:.0f} s"
