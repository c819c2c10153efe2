"""Expected sensitivity with a unit's own error, the retest budget, and the queue of a gate."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from config.sensor_model import load_sensor_model
from kiosk.expectation import expected, expected_of_unit, threshold_for_retest, wilson
from kiosk.plan_cli import app
from kiosk.planning import erlang_c, plan_gate, waiting
from kiosk.screening import Sensor

SITES = ("full_face", "forehead_max", "single_spot")


def test_the_site_is_worth_more_than_anything_else() -> None:
    """At one healthy person in ten measured again: hottest face spot before forehead maximum before a single spot."""
    found = [
        expected(model, low_c=threshold_for_retest(model, 0.10)).sensitivity
        for model in (load_sensor_model(site) for site in SITES)
    ]
    assert found[0] > 0.85
    assert found[0] > found[1] > found[2]


@pytest.mark.parametrize("site", SITES)
def test_a_noisy_unit_shows_the_honest_lower_figure(site: str) -> None:
    """SD 0.5 degC of its own: fewer fevers at the same number of retests, and more retests at the same threshold."""
    model = load_sensor_model(site)
    budget = 0.10
    clean = expected(model, low_c=threshold_for_retest(model, budget))
    noisy = expected(model, unit_sd_c=0.5, low_c=threshold_for_retest(model, budget, unit_sd_c=0.5))
    assert noisy.sensitivity < clean.sensitivity
    assert expected(model, unit_sd_c=0.5).retest > expected(model).retest


def test_a_unit_that_reads_half_a_degree_low_misses_fevers() -> None:
    """Bias -0.5: sensitivity falls by a third or more; +0.5: a third or more of the healthy are measured again."""
    model = load_sensor_model("full_face")
    assert expected(model, bias_c=-0.5).sensitivity < 0.7 * expected(model).sensitivity
    assert expected(model, bias_c=0.5).retest > 0.33


def test_an_uncalibrated_unit_claims_nothing() -> None:
    """Unknown until calibrated; then its own error is in the figure; drifted, unknown again."""
    sensor = Sensor(model=load_sensor_model("full_face"))
    assert expected_of_unit(sensor) is None
    calibrated = replace(sensor, calibration="c1", unit_error_c=0.3)
    assert expected_of_unit(calibrated).sensitivity < expected(sensor.model).sensitivity
    assert expected_of_unit(replace(calibrated, drifted=True)) is None


@given(
    site=st.sampled_from(SITES),
    share=st.floats(0.01, 1.0),
    sd_c=st.floats(0, 1.5),
    bias_c=st.floats(-1, 1),
)
@settings(max_examples=50, deadline=None)
def test_the_budget_is_kept(site: str, share: float, sd_c: float, bias_c: float) -> None:
    """The threshold for a budget asks no more than that, unless the raised ones alone are more."""
    model = load_sensor_model(site)
    low_c = threshold_for_retest(model, share, unit_sd_c=sd_c, bias_c=bias_c)
    assert low_c <= model.high_c
    found = expected(model, unit_sd_c=sd_c, bias_c=bias_c, low_c=low_c)
    assert found.retest <= share + 1e-9 or low_c == pytest.approx(model.high_c, abs=0.01)


def test_wilson_intervals() -> None:
    """57 of 61: 0.84 to 0.97 (Wilson 1927); nobody: anything."""
    low, high = wilson(57 / 61, 61)
    assert (round(low, 2), round(high, 2)) == (0.84, 0.97)
    assert wilson(0.5, 0) == (0.0, 1.0)


def test_erlang_c() -> None:
    """Known values: one server waits as often as it is busy; 8 erlang on 10 servers wait in 41 % of cases."""
    assert erlang_c(0.6, 1) == pytest.approx(0.6)
    assert erlang_c(8, 10) == pytest.approx(0.409, abs=0.001)


def test_a_queue_without_end() -> None:
    """A load that reaches the lanes has no finite wait; none at all has none."""
    assert waiting(1.0, 4.0, 4) == (math.inf, math.inf)
    assert waiting(0.0, 4.0, 1) == (0.0, 0.0)


def test_a_community_of_2400_households() -> None:
    """One gate for all: three lanes are needed, and 60 retests an hour cost sensitivity."""
    model = load_sensor_model("full_face")
    plan = plan_gate(households=2400, lanes=3, model=model, unit_sd_c=0.2, retests_per_hour=60)
    assert plan.arrivals_per_hour == pytest.approx(2088)
    assert plan.lanes_needed == 3
    assert plan.wait_mean_s < 5
    assert plan.expectation.sensitivity < expected(model, unit_sd_c=0.2).sensitivity
    assert plan_gate(households=2400, lanes=2, model=model).wait_mean_s == math.inf
    with pytest.raises(ValueError, match="one household"):
        plan_gate(households=0, lanes=1, model=model)


def test_the_command_says_what_it_costs() -> None:
    """gatepost plan gate prints waiting, retests, missed fevers and where the figures come from."""
    result = CliRunner().invoke(app, ["gate", "--households", "600", "--retests-per-hour", "60"])
    assert result.exit_code == 0
    for words in ("people in", "measured again", "missed", "never at a gate"):
        assert words in result.output
