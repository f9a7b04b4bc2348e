"""``statistics`` in lifted code: NumPy's functions where traced numbers are met."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from .active import stacked
from .mathematics import sequential
from .named_calls import RULES

__all__: list[str] = []


def _fmean(data: Any, weights: Any = None) -> Any:
    values = stacked(list(data))
    if weights is None:
        return np.mean(values)
    weights = stacked(list(weights))
    return np.sum(values * weights) / np.sum(weights)


def _central(ddof: int, root: bool) -> Callable:
    def spread(data: Any, centre: Any = None) -> Any:
        values = stacked(list(data))
        if len(values) <= ddof:
            raise sys.modules["statistics"].StatisticsError("variance requires at least two data points")
        centre = np.mean(values) if centre is None else centre
        variance = np.sum((values - centre) ** 2) / (len(values) - ddof)
        return np.sqrt(variance) if root else variance

    return spread


def _geometric_mean(data: Any) -> Any:
    return np.exp(np.mean(np.log(stacked(list(data)))))


def _covariance(x: Any, y: Any, /) -> Any:
    x, y = stacked(list(x)), stacked(list(y))
    return np.sum((x - np.mean(x)) * (y - np.mean(y))) / (len(x) - 1)


def _correlation(x: Any, y: Any, /) -> Any:
    x, y = stacked(list(x)), stacked(list(y))
    x, y = x - np.mean(x), y - np.mean(y)
    return np.sum(x * y) / np.sqrt(np.sum(x * x) * np.sum(y * y))


_FUNCTIONS: dict[str, Callable] = {
    "mean": _fmean,
    "fmean": _fmean,
    "median": lambda data: np.median(stacked(list(data))),
    "variance": _central(1, False),
    "pvariance": _central(0, False),
    "stdev": _central(1, True),
    "pstdev": _central(0, True),
    "geometric_mean": _geometric_mean,
    "covariance": _covariance,
    "correlation": _correlation,
}


def _instead(function: Callable) -> Callable:
    return lambda original: sequential(original, function)


RULES.update({f"statistics.{name}": _instead(function) for name, function in _FUNCTIONS.items()})
