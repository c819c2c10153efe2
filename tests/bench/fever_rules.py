"""The rules that are compared, and how the shipped model file applies them. Nothing is fitted here.

A rule is a linear score over a few terms and the air, with a threshold from which a person is sent to a second
measurement. ``naive_37_3`` is the rule that gates used: maximum of the forehead >= 37.3 degC, nothing corrected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.bench.fever_data import NAIVE_C, People, Term

FOREHEAD = ("T_FH_Max", "T_FHC_Max", "T_FHCC", "T_FHRC", "T_FHLC", "T_FHBC", "T_FHTC")


@dataclass(frozen=True)
class RuleShape:
    """What a rule looks at. ``plain`` is the single site that it must not fall below.

    ``strength`` is the ridge; ``specificity`` places the threshold: this share of the healthy people it is fitted
    on lies below it. Both were chosen once by cross-validation over the dev half, and are not tuned any further.
    """

    terms: tuple[Term, ...]
    plain: Term
    strength: float
    specificity: float


RULES: dict[str, RuleShape] = {
    # Three sites that each miss something, averaged: the hottest spot, the inner eye corners, the mouth region.
    "full_face": RuleShape(
        terms=(Term("mean", "T_Max"), Term("max", "canthi4Max"), Term("mean", "T_OR")),
        plain=Term("mean", "T_Max"), strength=200.0, specificity=0.89,
    ),
    "canthi": RuleShape(
        terms=(Term("mean", "canthi4Max"), Term("max", "canthi4Max")),
        plain=Term("mean", "canthiMax"), strength=100.0, specificity=0.89,
    ),
    # Hair, sweat and aim all make a forehead read low, so the best of several images counts.
    "forehead_max": RuleShape(
        terms=(*(Term("max", column) for column in FOREHEAD), Term("mean", "T_FH_Max")),
        plain=Term("mean", "T_FH_Max"), strength=3.0, specificity=0.85,
    ),
    "single_spot": RuleShape(
        terms=(Term("max", "T_FHCC"),), plain=Term("mean", "T_FHCC"), strength=3.0, specificity=0.83,
    ),
}  # fmt: skip


def matrix(
    people: People, terms: tuple[Term, ...], fills_c: dict[str, float], *, images: int | None = None
) -> np.ndarray:
    """People x (terms, air). A missing term is the first one plus its usual difference from it (``fills_c``)."""
    columns = [people.column(term, images=images) for term in terms]
    for index, term in enumerate(terms[1:], start=1):
        missing = np.isnan(columns[index])
        columns[index] = np.where(missing, columns[0] + fills_c.get(str(term), 0.0), columns[index])
    return np.stack([*columns, people.air_c], axis=1)


def fills(people: People, terms: tuple[Term, ...]) -> dict[str, float]:
    """The usual difference of each further term from the first, over the people who have both."""
    first = people.column(terms[0])
    return {str(term): round(float(np.nanmean(people.column(term) - first)), 3) for term in terms[1:]}


def apply(model: dict[str, Any], people: People) -> tuple[np.ndarray, float]:
    """Score everybody by one camera's rule of the model file; NaN where the first term is missing."""
    terms = tuple(Term(*name.split(" ", 1)) for name in model["terms"])
    x = matrix(people, terms, model["fills_c"])
    return model["intercept_c"] + x @ np.array([*model["weights"], model["air_weight"]]), float(model["threshold_c"])


def naive(people: People) -> tuple[np.ndarray, float]:
    """The hottest of the forehead against 37.3 degC."""
    return people.column(Term("mean", "T_FH_Max")), NAIVE_C
