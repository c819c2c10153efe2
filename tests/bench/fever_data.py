"""Reads a folder in the layout of the shared fever data set, and the statistics that its evaluation needs.

A folder holds ``subjects.csv`` (one row a person: ``subject``, ``t_atm``, ``oral_monitor``, …) and one
``<camera>_rounds.csv`` a camera (one row a person and image). Source of the set: Wang et al., PhysioNet 2023, doi
10.13026/3bhc-9065, licence CC0 1.0. A fever is ``oral_monitor`` >= 37.5 degC, the set's own truth.

Columns that say who somebody is (gender, age, ethnicity) are not read.

Seen in the set: the fourth image of nearly everybody shows an open mouth (``T_Max`` is then ``T_OR_Max`` and 0.6 degC
higher). The rules over all images may use it; what stands for a gate's sensor takes the first three.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FEVER_C = 37.5
HIGH_FEVER_C = 38.0
NAIVE_C = 37.3


@dataclass(frozen=True)
class Term:
    """One number made of a person's images: ``mean`` or ``max`` over them of a column."""

    how: str
    column: str

    def __str__(self) -> str:
        return f"{self.how} {self.column}"


@dataclass(frozen=True)
class People:
    """People seen by one camera: per person column -> (round, value) of its images; the air and the oral truth."""

    camera: str
    subjects: tuple[str, ...]
    images: tuple[dict[str, list[tuple[int, float]]], ...]
    air_c: np.ndarray
    oral_c: np.ndarray

    @property
    def fever(self) -> np.ndarray:
        """Who has a fever by the oral truth."""
        return self.oral_c >= FEVER_C

    def column(self, term: Term, *, images: int | None = None) -> np.ndarray:
        """A term for everybody, NaN where no image has it; ``images`` takes only the first so many."""
        found = []
        for person in self.images:
            values = [value for _, value in person[term.column][:images]]
            if not values:
                found.append(math.nan)
            else:
                found.append(max(values) if term.how == "max" else sum(values) / len(values))
        return np.array(found)


def load(folder: Path) -> list[People]:
    """Every camera of the folder, in name order; people without air temperature or truth are left out."""
    with (folder / "subjects.csv").open(newline="", encoding="utf-8") as file:
        about = {row["subject"]: row for row in csv.DictReader(file)}
    return [_camera(path, about) for path in sorted(folder.glob("*_rounds.csv"))]


def _camera(path: Path, about: dict[str, dict[str, str]]) -> People:
    images: dict[str, dict[str, list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            person = images[row["subject"]]
            for column, text in row.items():
                if column not in ("subject", "round") and text:
                    person[column].append((int(row["round"]), float(text)))
    known = [s for s in sorted(images) if s in about and about[s]["t_atm"] and about[s]["oral_monitor"]]
    return People(
        camera=path.name.removesuffix("_rounds.csv"),
        subjects=tuple(known),
        images=tuple(images[subject] for subject in known),
        air_c=np.array([float(about[subject]["t_atm"]) for subject in known]),
        oral_c=np.array([float(about[subject]["oral_monitor"]) for subject in known]),
    )


def auc(score: np.ndarray, fever: np.ndarray) -> float:
    """Area under the ROC curve: the share of pairs that are ranked right, ties counted half (Mann-Whitney)."""
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    ill, well = int(fever.sum()), int((~fever).sum())
    if not ill or not well:
        return math.nan
    return float((ranks[fever].sum() - ill * (ill + 1) / 2) / (ill * well))


def sensitivity(flagged: np.ndarray, fever: np.ndarray) -> float:
    """Share of the fevers that are flagged."""
    return float(flagged[fever].mean()) if fever.any() else math.nan


def specificity(flagged: np.ndarray, fever: np.ndarray) -> float:
    """Share of the others that are not flagged."""
    return float((~flagged)[~fever].mean()) if (~fever).any() else math.nan


def bootstrap(
    score: np.ndarray, flagged: np.ndarray, fever: np.ndarray, *, times: int, seed: int
) -> dict[str, list[float]]:
    """95 % percentile intervals of AUC, sensitivity, specificity over people drawn again, fevers and others apart."""
    rng = np.random.default_rng(seed)
    ill, well = np.flatnonzero(fever), np.flatnonzero(~fever)
    if not len(ill) or not len(well):
        return {key: [math.nan, math.nan] for key in ("auc_ci", "sens_ci", "spec_ci")}
    drawn = []
    for _ in range(times):
        who = np.concatenate([rng.choice(ill, len(ill)), rng.choice(well, len(well))])
        drawn.append(
            (auc(score[who], fever[who]), sensitivity(flagged[who], fever[who]), specificity(flagged[who], fever[who]))
        )
    low, high = np.percentile(np.array(drawn), [2.5, 97.5], axis=0)
    return {key: [float(low[i]), float(high[i])] for i, key in enumerate(("auc_ci", "sens_ci", "spec_ci"))}


def folds(fever: np.ndarray, *, count: int, seed: int) -> np.ndarray:
    """The fold of each person, fevers and others spread evenly: nobody is in two folds."""
    rng = np.random.default_rng(seed)
    fold = np.empty(len(fever), dtype=int)
    for group in (fever, ~fever):
        who = np.flatnonzero(group)
        rng.shuffle(who)
        fold[who] = np.arange(len(who)) % count
    return fold
