"""Fits ``config/models/fever.json`` on a data folder: ``python -m tests.bench.fit_fever --data DIR --out FILE``.

Run once on the dev half (543 people, 61 fevers); ``--compare`` prints the cross-validation by which the models were
chosen (5 folds by person, 10 drawings) and fits nothing. The evaluation (``tests.bench.fever``) never fits.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.fever_data import HIGH_FEVER_C, People, Term, auc, bootstrap, folds, load, sensitivity, specificity
from tests.bench.fever_models import Fit, logistic, monotone, ridge, stumps
from tests.bench.fever_rules import RULES, RuleShape, fills, matrix

VERSION = "fever-2"
ORIGIN = (
    "Wang et al., PhysioNet 2023, doi 10.13026/3bhc-9065 (CC0 1.0), dev half: adults of a university health centre, "
    "indoors, 20-29 degC, rested, unmasked, black body in view; fever = oral >= 37.5 degC"
)
FOLDS, DRAWINGS = 5, 10
#: What a serial sensor of each kind sees, and the column that stands in for it.
SENSOR_SITES = {"single_spot": "T_FHCC", "forehead_max": "T_FH_Max", "full_face": "T_Max"}
#: Share of healthy people below the retest threshold as shipped; a site moves it by its guard's time (planning).
SENSOR_SPECIFICITY = {"single_spot": 0.83, "forehead_max": 0.85, "full_face": 0.89}
#: The fourth image shows an open mouth, which nobody has at a gate.
CLOSED_MOUTH_ROUNDS = 3
RAISED_SPECIFICITY = 0.995
QUANTILES = np.linspace(0.0, 1.0, 101)


def out_of_fold(
    people: People, shape: RuleShape, fit: Fit, terms: tuple[Term, ...], *, drawing: int, images: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score and flag of everybody by a model that never saw them, and who was known (had the first term)."""
    known = ~np.isnan(people.column(terms[0], images=images))
    oral, fever = people.oral_c[known], people.fever[known]
    x = matrix(people, terms, fills(people, terms), images=images)[known]
    fold = folds(fever, count=FOLDS, seed=drawing)
    score, flagged = np.empty(len(oral)), np.zeros(len(oral), dtype=bool)
    for number in range(FOLDS):
        train = fold != number
        model = fit(x[train], oral[train])
        threshold = np.quantile(model(x[train])[~fever[train]], shape.specificity)
        score[~train] = model(x[~train])
        flagged[~train] = score[~train] >= threshold
    return score, flagged, known


def crossed(
    people: People, shape: RuleShape, fit: Fit, terms: tuple[Term, ...], *, images: int | None = None
) -> dict[str, float]:
    """Means over the drawings of out-of-fold AUC, sensitivity, specificity, and high fevers found."""
    found = []
    for drawing in range(DRAWINGS):
        score, flagged, known = out_of_fold(people, shape, fit, terms, drawing=drawing, images=images)
        fever, high = people.fever[known], people.oral_c[known] >= HIGH_FEVER_C
        found.append((auc(score, fever), sensitivity(flagged, fever), specificity(flagged, fever),
                      float(flagged[high].mean())))  # fmt: skip
    return dict(zip(("auc", "sens", "spec", "high"), np.mean(found, axis=0), strict=True))


def crossed_table(cameras: list[People], *, times: int = 2000) -> str:
    """The shipped forms by 5-fold cross-validation by person (one drawing), with bootstrap intervals, as Markdown."""
    lines = ["| camera | rule | AUC | sensitivity | specificity | fevers >= 38.0 found |", "|" + " --- |" * 6]
    for people in cameras:
        for name, shape in RULES.items():
            score, flagged, known = out_of_fold(people, shape, ridge(shape.strength), shape.terms, drawing=0)
            fever, high = people.fever[known], people.oral_c[known] >= HIGH_FEVER_C
            spans = bootstrap(score, flagged, fever, times=times, seed=0)
            cells = [f"{value:.3f} [{low:.3f}, {high_:.3f}]" for value, (low, high_) in (
                (auc(score, fever), spans["auc_ci"]), (sensitivity(flagged, fever), spans["sens_ci"]),
                (specificity(flagged, fever), spans["spec_ci"]))]  # fmt: skip
            lines.append(
                f"| {people.camera} | {name} | {' | '.join(cells)} | {int(flagged[high].sum())} of {int(high.sum())} |"
            )
    return "\n".join(lines)


def candidates(shape: RuleShape) -> Iterator[tuple[str, Fit, tuple[Term, ...], int | None]]:
    """What was tried for each rule, the shipped form first."""
    plain = (shape.plain,)
    yield "shipped: linear, ridge", ridge(shape.strength), shape.terms, None
    yield "one image instead of four", ridge(shape.strength), shape.terms, 1
    yield "plain site and air, linear", ridge(3.0), plain, None
    yield "all terms, no ridge", ridge(0.01), shape.terms, None
    yield "monotone (no negative weight)", monotone, shape.terms, None
    yield "logistic", logistic(3.0), shape.terms, None
    yield "100 boosted stumps", stumps(100), shape.terms, None


def compare(cameras: list[People]) -> str:
    """The cross-validation as a Markdown table."""
    lines = ["| rule | model | " + " | ".join(f"{p.camera} AUC; sens; spec; high fevers" for p in cameras) + " |",
             "| --- | --- |" + " --- |" * len(cameras)]  # fmt: skip
    for name, shape in RULES.items():
        plain = []
        for people in cameras:
            score = people.column(shape.plain)
            known = ~np.isnan(score)
            plain.append(f"{auc(score[known], people.fever[known]):.3f}")
        lines.append(f"| {name} | plain {shape.plain} (nothing fitted) | " + " | ".join(plain) + " |")
        for label, fit, terms, images in candidates(shape):
            cells = []
            for people in cameras:
                got = crossed(people, shape, fit, terms, images=images)
                cells.append(f"{got['auc']:.3f}; {got['sens']:.2f}; {got['spec']:.2f}; {got['high']:.2f}")
            lines.append(f"| {name} | {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def fitted_rule(people: People, shape: RuleShape) -> dict[str, Any]:
    """One camera's rule for the model file."""
    gaps = fills(people, shape.terms)
    known = ~np.isnan(people.column(shape.terms[0]))
    x = matrix(people, shape.terms, gaps)[known]
    model = ridge(shape.strength)(x, people.oral_c[known])
    healthy = model(x)[~people.fever[known]]
    return {
        "terms": [str(term) for term in shape.terms],
        "weights": [round(float(weight), 5) for weight in model.weights[:-1]],
        "air_weight": round(float(model.weights[-1]), 5),
        "intercept_c": round(model.intercept_c, 4),
        "threshold_c": round(float(np.quantile(healthy, shape.specificity)), 3),
        "fills_c": gaps,
    }


def fitted_sensor(site: str, cameras: list[People]) -> dict[str, Any]:
    """The model of a serial sensor that sees one number: skin plus a constant plus a share of the air.

    The share comes from a regression of the oral temperature on the mean of a person's images (with the skin's own
    slope divided out); the constant puts healthy people at their mean oral temperature; the two cameras are averaged,
    since a serial module is neither. **Thresholds and expectations come from single images**: a gate sees a face for
    one second, not four times. The estimates stand in the file, so that a unit's own error can be added to them.
    """
    column = SENSOR_SITES[site]
    slopes = []
    for people in cameras:
        skin = _closed_mouth_mean(people, column)
        known = ~np.isnan(skin)
        model = ridge(0.0)(np.stack([skin, people.air_c], axis=1)[known], people.oral_c[known])
        slopes.append(model.weights[1] / model.weights[0])
    b = round(float(np.mean(slopes)), 4)
    healthy: list[float] = []
    fever: list[float] = []
    spreads, constants = [], []
    for people in cameras:
        skin = _closed_mouth_mean(people, column)
        well = ~np.isnan(skin) & ~people.fever
        a_c = float(np.mean((people.oral_c - skin - b * people.air_c)[well]))
        constants.append(a_c)
        spreads.append(float(np.std((people.oral_c - skin - b * people.air_c)[well])))
        for images, air_c, ill in zip(people.images, people.air_c, people.fever, strict=True):
            (fever if ill else healthy).extend(value + a_c + b * air_c for value in _closed(images[column]))
    return {
        "version": f"{VERSION}-{site}",
        "site": site,
        "gain": 1.0,
        "a_c": round(float(np.mean(constants)), 3),
        "b": b,
        "low_c": round(float(np.quantile(healthy, SENSOR_SPECIFICITY[site])), 2),
        "high_c": round(float(np.quantile(healthy, RAISED_SPECIFICITY)), 2),
        "spread_c": round(max(spreads), 3),
        "repeatability_c": round(max(_within(people, column) for people in cameras), 3),
        "healthy_c": [round(float(q), 2) for q in np.quantile(healthy, QUANTILES)],
        "fever_c": [round(float(q), 2) for q in np.quantile(fever, QUANTILES)],
        "fever_people": _people(cameras, ill=True),
        "healthy_people": _people(cameras, ill=False),
    }


def _closed(images: list[tuple[int, float]]) -> list[float]:
    return [value for number, value in images if number <= CLOSED_MOUTH_ROUNDS]


def _closed_mouth_mean(people: People, column: str) -> np.ndarray:
    values = [_closed(person[column]) for person in people.images]
    return np.array([np.mean(found) if found else np.nan for found in values])


def _people(cameras: list[People], *, ill: bool) -> int:
    return len({s for p in cameras for s, fever in zip(p.subjects, p.fever, strict=True) if bool(fever) is ill})


def _within(people: People, column: str) -> float:
    """SD of a person's images about their mean, pooled over people."""
    squares, freedom = 0.0, 0
    for person in people.images:
        values = np.array(_closed(person[column]))
        if len(values) > 1:
            squares += float(((values - values.mean()) ** 2).sum())
            freedom += len(values) - 1
    return float(np.sqrt(squares / freedom))


def fit(cameras: list[People]) -> dict[str, Any]:
    """The whole model file."""
    return {
        "version": VERSION,
        "origin": ORIGIN,
        "people": {people.camera: [len(people.subjects), int(people.fever.sum())] for people in cameras},
        "sensors": {site: fitted_sensor(site, cameras) for site in SENSOR_SITES},
        "rules": {
            people.camera: {name: fitted_rule(people, shape) for name, shape in RULES.items()} for people in cameras
        },
    }


def main() -> None:
    """Fit and write, or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with subjects.csv and *_rounds.csv")
    parser.add_argument("--out", type=Path, default=Path("config/models/fever.json"))
    parser.add_argument("--compare", action="store_true", help="print the cross-validation and write nothing")
    options = parser.parse_args()
    cameras = load(options.data)
    if options.compare:
        print(crossed_table(cameras), compare(cameras), sep="\n\n")
        return
    options.out.write_text(json.dumps(fit(cameras), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{options.out}: {', '.join(f'{p.camera} {len(p.subjects)} people' for p in cameras)}")


if __name__ == "__main__":
    main()
