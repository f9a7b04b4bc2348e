"""What a row of scipy.special is written with: real arguments only, parameters without a slope, series near a point."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sc
from scipy.special import _ufuncs

from ...errors import UnsupportedError, user_line
from ..registry import RULES, elementwise
from ..rule import somewhere

PI, SQRT_PI, SQRT_2 = np.pi, math.sqrt(np.pi), math.sqrt(2)
DEGREE, LOG10 = np.pi / 180, math.log(10)


def row(name: str, *forms: Any, singular: bool = False) -> None:
    """One ufunc and the forms of its arguments; a string names an argument without a derivative."""
    function = getattr(_ufuncs if name.startswith("_") else sc, name, None)
    if function is None or function in RULES:  # another SciPy version, or two names of one function
        return
    elementwise(function, *[parameter(name, f) if isinstance(f, str) else f for f in forms], singular=singular)


def parameter(name: str, argument: str) -> Callable:
    def refuse(g: Any, y: Any, *args: Any) -> Any:
        raise UnsupportedError(
            f"scipy.special.{name} has no derivative in its argument {argument} ({user_line()}); if it is not to be "
            "differentiated, pass it as adselect.Const or use a plain number inside f"
        )

    return refuse


def series_near(x: Any, radius: float, series: Callable, formula: Callable, away: float = 1.0) -> Any:
    """``series(x)`` where |x| < radius and ``formula(x)`` elsewhere; formula holds at ``away``."""
    close = np.less(np.abs(x), radius)
    if not somewhere(close):
        return formula(x)
    return np.where(close, series(np.where(close, x, 0.0)), formula(np.where(close, away, x)))


def polynomial(x: Any, coefficients: Any) -> Any:
    """Σ coefficients[k] x**k."""
    total: Any = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        total = total * x + c
    return total


def real_only(name: str, x: Any) -> None:
    if np.iscomplexobj(x):
        raise UnsupportedError(
            f"scipy.special.{name} of complex numbers has no derivative rule ({user_line()}): it is not holomorphic or "
            "its derivative is not available for complex numbers"
        )
