"""Regularised logistic regression on scikit-learn's breast-cancer data, with the gradient from any backend.

    python examples/logistic_regression.py --adtype AutoJax

The loss is written once, in plain NumPy. Its gradients from all installed backends are compared; then it is minimised
with scipy.optimize and the result is held against scikit-learn's own optimum of the same objective.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

import adselect as ad
from adselect.testing import compare

# scikit-learn minimises C · Σ log-loss + |w|²/2; divided by C that is the loss below with penalty = 1/C.
PENALTY = 1.0


def loss(weights: Any, features: np.ndarray, labels: np.ndarray, penalty: float) -> Any:
    """Σ log(1 + exp(-y·z)) + penalty · |w|²/2 with z = features @ w + b; labels y are ±1, b is the last weight."""
    slopes, intercept = weights[:-1], weights[-1]
    margins = labels * (features @ slopes + intercept)
    return np.sum(np.logaddexp(0.0, -margins)) + 0.5 * penalty * np.sum(slopes**2)


def load() -> tuple[np.ndarray, np.ndarray]:
    """569 tumours: 30 standardised measurements each, and the label +1 (benign) or -1 (malignant)."""
    data = load_breast_cancer()
    features = (data.data - data.data.mean(axis=0)) / data.data.std(axis=0)
    return features, 2.0 * data.target - 1.0


def problem() -> tuple[Callable, np.ndarray]:
    """The objective as a function of the weights alone, and a point to compare gradients at."""
    features, labels = load()
    objective = functools.partial(loss, features=features, labels=labels, penalty=PENALTY)
    return objective, np.random.default_rng(0).normal(size=features.shape[1] + 1) / 10


def fit(objective: Callable, adtype: ad.ADType, start: np.ndarray) -> np.ndarray:
    """The minimiser of the objective, by scipy's BFGS with value and gradient from one call."""

    def value_and_gradient(weights: np.ndarray) -> tuple[float, np.ndarray]:
        value, (gradient,) = ad.withgradient(objective, adtype, weights)
        return value, gradient

    return minimize(value_and_gradient, start, jac=True, method="BFGS", options={"gtol": 1e-7}).x


def reference(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """scikit-learn's optimum of the same objective (it leaves the intercept unpenalised, as the loss does)."""
    model = LogisticRegression(C=1 / PENALTY, solver="newton-cholesky", tol=1e-10).fit(features, labels)
    return np.append(model.coef_, model.intercept_)


def main(argv: list[str] | None = None) -> int:
    """Compare, fit, hold against scikit-learn; 0 if all backends agree and the optimum is scikit-learn's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adtype", default="AutoTape", help="the choice that fits the model, such as AutoJax")
    adtype = getattr(ad, parser.parse_args(argv).adtype)()

    objective, start = problem()
    report = compare(objective, start)
    print(report)

    weights = fit(objective, adtype, np.zeros_like(start))
    features, labels = load()
    difference = np.max(np.abs(weights - reference(features, labels)))
    predicted = np.sign(features @ weights[:-1] + weights[-1])
    print(f"\nfitted with {adtype}: loss {objective(weights):.6f}, accuracy {np.mean(predicted == labels):.3f}")
    print(f"largest difference from scikit-learn's weights: {difference:.1e}")
    return 0 if report.agree and difference < 1e-6 else 1


if __name__ == "__main__":
    raise SystemExit(main())
