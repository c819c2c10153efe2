"""The shipped temperature rules on the public fever data: what issue and documentation claim is so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from config.sensor_model import MODEL_FILE
from tests.bench import fever, fit_fever
from tests.bench.fever_data import auc, folds, load
from tests.bench.fever_models import ridge
from tests.bench.fever_rules import RULES


def test_auc_counts_pairs() -> None:
    """Three of four pairs ranked right and one tie: 3.5 of 4."""
    score, ill = np.array([1.0, 3.0, 3.0, 4.0]), np.array([False, False, True, True])
    assert auc(score, ill) == pytest.approx(3.5 / 4)


def test_nobody_is_in_two_folds() -> None:
    """Each person has one fold, and the fevers are spread evenly."""
    ill = np.arange(100) < 11
    fold = folds(ill, count=5, seed=1)
    assert sorted(np.bincount(fold[ill])) == [2, 2, 2, 2, 3]
    assert set(fold) == {0, 1, 2, 3, 4}


@pytest.mark.data
def test_the_full_face_rule_on_people_it_never_saw(test_data: Path) -> None:
    """5 folds by person: AUC >= 0.97 and not below the plain maximum, sensitivity >= 0.93 at specificity >= 0.88."""
    for people in load(test_data / "fever"):
        shape = RULES["full_face"]
        got = fit_fever.crossed(people, shape, ridge(shape.strength), shape.terms)
        plain = people.column(shape.plain)
        assert got["auc"] >= max(0.97, auc(plain, people.fever))
        assert got["sens"] >= 0.93
        assert got["spec"] >= 0.88
        assert got["high"] == 1.0


@pytest.mark.data
@pytest.mark.parametrize("name", ["canthi", "forehead_max", "single_spot"])
def test_the_other_rules_are_not_below_their_plain_site(test_data: Path, name: str) -> None:
    """5 folds by person, each camera apart."""
    for people in load(test_data / "fever"):
        shape = RULES[name]
        got = fit_fever.crossed(people, shape, ridge(shape.strength), shape.terms)
        assert got["auc"] >= auc(people.column(shape.plain), people.fever)


def numbers(tree: object, path: str = "") -> dict[str, object]:
    """Every leaf by its path."""
    if isinstance(tree, dict):
        return {k: v for key, item in tree.items() for k, v in numbers(item, f"{path}.{key}").items()}
    if isinstance(tree, list):
        return {k: v for index, item in enumerate(tree) for k, v in numbers(item, f"{path}[{index}]").items()}
    return {path: tree}


@pytest.mark.data
def test_the_shipped_file_is_what_the_script_fits(test_data: Path) -> None:
    """config/models/fever.json comes from the committed script and this data (to the rounding of another processor)."""
    shipped = numbers(json.loads(MODEL_FILE.read_text()))
    again = numbers(json.loads(json.dumps(fit_fever.fit(load(test_data / "fever")))))
    assert again.keys() == shipped.keys()
    for path, value in shipped.items():
        assert again[path] == (pytest.approx(value, abs=0.002) if isinstance(value, float) else value), path


@pytest.mark.data
def test_the_evaluation_and_its_pictures(test_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                         monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """The command prints a table, writes figures for five rules and a picture a camera; 37.3 misses 80 % and more."""
    monkeypatch.setattr(fever, "BOOTSTRAPS", 50)
    monkeypatch.setattr(
        "sys.argv",
        ["fever", "--data", str(test_data / "fever"), "--out", str(tmp_path), "--json", str(tmp_path / "f.json")],
    )
    fever.main()
    figures = json.loads((tmp_path / "f.json").read_text())
    assert set(figures) == {"flir", "ici"}
    for rules in figures.values():
        assert set(rules) == {"full_face", "canthi", "forehead_max", "single_spot", "naive_37_3"}
        assert {"auc", "auc_ci", "sens", "spec"} <= set(rules["full_face"])
        assert rules["naive_37_3"]["sens"] <= 0.2
        assert rules["full_face"]["high_fevers_found"] == rules["full_face"]["high_fevers"]
    assert "full_face" in capsys.readouterr().out
    assert (tmp_path / "fever-roc-flir.svg").read_text().startswith("<svg")
