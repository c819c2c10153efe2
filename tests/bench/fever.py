"""How well the shipped temperature rules find fevers: ``python -m tests.bench.fever --data DIR --out docs/img``.

``DIR`` has the layout of the shared fever data set (``subjects.csv``, one ``<camera>_rounds.csv`` a camera). For each
camera the rules full_face, canthi, forehead_max, single_spot and naive_37_3 are scored with the coefficients and
thresholds of ``config/models/fever.json``; nothing is fitted here. Prints AUC, sensitivity and specificity with 95 %
bootstrap intervals over people and the share of fevers >= 38.0 degC found; ``--json FILE`` writes the same; ``--out``
draws the ROC curves. A camera that the model file does not know is scored with its first camera's coefficients, and
the table says so.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from config.sensor_model import MODEL_FILE, load_sensor_model
from kiosk.expectation import expected, threshold_for_retest
from tests.bench.fever_data import (
    HIGH_FEVER_C,
    People,
    auc,
    bootstrap,
    load,
    sensitivity,
    specificity,
)
from tests.bench.fever_rules import apply, naive
from tests.bench.svg import Chart

BOOTSTRAPS = 2000
RETEST_SHARE = 0.10
SEED = 20_200_214


def scores(people: People, model: dict[str, Any]) -> dict[str, tuple[np.ndarray, float]]:
    """Rule -> (score of everybody, threshold)."""
    rules = model["rules"].get(people.camera) or next(iter(model["rules"].values()))
    return {**{name: apply(rule, people) for name, rule in rules.items()}, "naive_37_3": naive(people)}


def judged(score: np.ndarray, threshold_c: float, people: People, *, times: int = BOOTSTRAPS) -> dict[str, Any]:
    """The figures of one rule on one camera. People without the rule's first site are left out and counted."""
    known = ~np.isnan(score)
    score, fever, oral_c = score[known], people.fever[known], people.oral_c[known]
    flagged = score >= threshold_c
    high = oral_c >= HIGH_FEVER_C
    figures: dict[str, Any] = {
        "auc": auc(score, fever),
        "sens": sensitivity(flagged, fever),
        "spec": specificity(flagged, fever),
        **bootstrap(score, flagged, fever, times=times, seed=SEED),
        "threshold_c": threshold_c,
        "people": len(score),
        "fevers": int(fever.sum()),
        "left_out": int((~known).sum()),
        "high_fevers": int(high.sum()),
        "high_fevers_found": int(flagged[high].sum()),
    }
    return {key: _rounded(value) for key, value in figures.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


def evaluate(cameras: list[People], model: dict[str, Any], *, times: int = BOOTSTRAPS) -> dict[str, dict[str, Any]]:
    """Camera -> rule -> figures."""
    return {
        people.camera: {
            name: judged(score, threshold, people, times=times)
            for name, (score, threshold) in scores(people, model).items()
        }
        for people in cameras
    }


def table(results: dict[str, dict[str, Any]], model: dict[str, Any]) -> str:
    """The results for people, as Markdown."""
    lines = ["| camera | rule | AUC | sensitivity | specificity | fevers >= 38.0 found | people |", "|" + " --- |" * 7]
    for camera, rules in results.items():
        note = "" if camera in model["rules"] else " (another camera's coefficients)"
        for name, got in rules.items():
            lines.append(
                f"| {camera}{note} | {name} | {got['auc']:.3f} {_interval(got['auc_ci'])} | {got['sens']:.2f} "
                f"{_interval(got['sens_ci'])} | {got['spec']:.2f} {_interval(got['spec_ci'])} | "
                f"{got['high_fevers_found']} of {got['high_fevers']} | {got['people']}, {got['fevers']} with fever |"
            )
    return "\n".join(lines)


def _interval(pair: list[float]) -> str:
    return f"[{pair[0]:.2f}, {pair[1]:.2f}]"


def roc(people: People, model: dict[str, Any]) -> Chart:
    """The ROC curves of one camera; the dots are the shipped thresholds."""
    chart = Chart(
        title=f"Finding oral temperatures of 37.5 degC and more: {people.camera}",
        note=f"{len(people.subjects)} people, {int(people.fever.sum())} with fever; dots: shipped thresholds",
        x_label="healthy people sent to a second measurement",
        y_label="fevers found",
        x=(0, 1, 0.2),
        y=(0, 1, 0.2),
    )
    for name, (score, threshold_c) in scores(people, model).items():
        known = ~np.isnan(score)
        found, fever = score[known], people.fever[known]
        cuts = np.concatenate([[np.inf], np.unique(found)[::-1]])
        points = [(float((found[~fever] >= cut).mean()), float((found[fever] >= cut).mean())) for cut in cuts]
        chart.line(points, f"{name}, AUC {auc(found, fever):.3f}")
        flagged = found >= threshold_c
        chart.mark(1 - specificity(flagged, fever), sensitivity(flagged, fever))
    return chart


def sensors_chart() -> Chart:
    """What a serial sensor of each kind can be expected to find, by its own error from person to person."""
    chart = Chart(
        title="Expected sensitivity of a serial sensor",
        note="one look; threshold where 1 in 10 healthy people is measured again",
        x_label="the unit's own error from person to person, SD in degC",
        y_label="fevers found",
        x=(0, 1, 0.2),
        y=(0, 1, 0.2),
    )
    for site in ("full_face", "forehead_max", "single_spot"):
        model = load_sensor_model(site)
        points = []
        for sd in range(21):
            low_c = threshold_for_retest(model, RETEST_SHARE, unit_sd_c=sd / 20)
            points.append((sd / 20, expected(model, unit_sd_c=sd / 20, low_c=low_c).sensitivity))
        chart.line(points, site)
    return chart


def main() -> None:
    """Evaluate, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with subjects.csv and *_rounds.csv")
    parser.add_argument("--out", type=Path, help="folder for the pictures")
    parser.add_argument("--json", type=Path, dest="json_file", help="file for the figures")
    options = parser.parse_args()
    model = json.loads(MODEL_FILE.read_text(encoding="utf-8"))
    cameras = load(options.data)
    results = evaluate(cameras, model, times=BOOTSTRAPS)
    print(table(results, model))
    if options.json_file:
        options.json_file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        for people in cameras:
            (options.out / f"fever-roc-{people.camera}.svg").write_text(roc(people, model).svg(), encoding="utf-8")
        (options.out / "fever-sensors.svg").write_text(sensors_chart().svg(), encoding="utf-8")


if __name__ == "__main__":
    main()
