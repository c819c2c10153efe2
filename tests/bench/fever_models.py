"""Candidate models from measured sites and air to the oral temperature; fitted on some people, asked about others.

All take ``x`` (people x terms, degC; the last column is the air) and the oral truth ``oral_c``, and return a function
from ``x`` to scores in degC of estimated oral temperature. numpy only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Score = Callable[[np.ndarray], np.ndarray]
Fit = Callable[[np.ndarray, np.ndarray], Score]


@dataclass(frozen=True)
class Linear:
    """``score = intercept + weights . x``: the only form that is shipped."""

    intercept_c: float
    weights: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.intercept_c + x @ self.weights


def ridge(strength: float) -> Fit:
    """Least squares on the oral temperature with the standardised weights drawn towards zero by ``strength``.

    The oral temperature of everybody teaches the weights, not the few fevers alone; the strength makes sites that
    say the same thing share the weight, which averages their errors out.
    """

    def fit(x: np.ndarray, oral_c: np.ndarray) -> Linear:
        mean, sd = x.mean(axis=0), x.std(axis=0) + 1e-9
        z = (x - mean) / sd
        weights = np.linalg.solve(z.T @ z + strength * np.eye(x.shape[1]), z.T @ (oral_c - oral_c.mean())) / sd
        return Linear(float(oral_c.mean() - mean @ weights), weights)

    return fit


def monotone(x: np.ndarray, oral_c: np.ndarray) -> Linear:
    """Least squares with no negative weight on any site (the air is free): hotter never means healthier.

    Coordinate descent on the standardised problem.
    """
    mean, sd = x.mean(axis=0), x.std(axis=0) + 1e-9
    z, y = (x - mean) / sd, oral_c - oral_c.mean()
    weights = np.zeros(x.shape[1])
    for _ in range(300):
        for j in range(len(weights)):
            rest = y - z @ weights + z[:, j] * weights[j]
            best = float(z[:, j] @ rest / (z[:, j] @ z[:, j]))
            weights[j] = best if j == len(weights) - 1 else max(0.0, best)
    weights = weights / sd
    return Linear(float(oral_c.mean() - mean @ weights), weights)


def logistic(strength: float) -> Fit:
    """Logistic regression on fever yes or no (Newton steps): only the 37.5 degC line teaches it."""

    def fit(x: np.ndarray, oral_c: np.ndarray) -> Score:
        mean, sd = x.mean(axis=0), x.std(axis=0) + 1e-9
        z, ill = np.c_[np.ones(len(x)), (x - mean) / sd], (oral_c >= 37.5).astype(float)
        weights, pull = np.zeros(z.shape[1]), strength * np.eye(z.shape[1])
        pull[0, 0] = 0
        for _ in range(25):
            p = 1 / (1 + np.exp(-z @ weights))
            hessian = (z * (p * (1 - p) + 1e-6)[:, None]).T @ z + pull
            weights = weights + np.linalg.solve(hessian, z.T @ (ill - p) - pull @ weights)
        return lambda x: np.asarray(np.c_[np.ones(len(x)), (x - mean) / sd] @ weights)

    return fit


def stumps(rounds: int, rate: float = 0.1) -> Fit:
    """A small ensemble: boosted one-split trees on the oral temperature, splits at deciles."""

    def fit(x: np.ndarray, oral_c: np.ndarray) -> Score:
        cuts = [np.unique(np.quantile(x[:, j], np.linspace(0.05, 0.95, 19))) for j in range(x.shape[1])]
        found: list[tuple[int, float, float, float]] = []
        left_over, base = oral_c - oral_c.mean(), float(oral_c.mean())
        for _ in range(rounds):
            best: tuple[float, int, float, float, float] | None = None
            for j, column_cuts in enumerate(cuts):
                for cut in column_cuts:
                    above = x[:, j] >= cut
                    if not 10 <= above.sum() <= len(x) - 10:
                        continue
                    low, high = left_over[~above].mean(), left_over[above].mean()
                    gain = low**2 * (~above).sum() + high**2 * above.sum()
                    if best is None or gain > best[0]:
                        best = (gain, j, float(cut), float(low), float(high))
            if best is None:
                break
            _, j, cut, low, high = best
            found.append((j, cut, rate * low, rate * high))
            left_over = left_over - np.where(x[:, j] >= cut, rate * high, rate * low)

        def score(x: np.ndarray) -> np.ndarray:
            total = np.full(len(x), base)
            for j, cut, low, high in found:
                total += np.where(x[:, j] >= cut, high, low)
            return total

        return score

    return fit
