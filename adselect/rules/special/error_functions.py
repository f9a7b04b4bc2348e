"""The error function and its relatives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special as sc

from ..registry import composite
from .rows import PI, SQRT_2, SQRT_PI, row

row("erf", lambda g, y, x: g * (2 / SQRT_PI * np.exp(-x * x)))
row("erfc", lambda g, y, x: g * (-2 / SQRT_PI * np.exp(-x * x)))
row("erfi", lambda g, y, x: g * (2 / SQRT_PI * np.exp(x * x)))
row("erfcx", lambda g, y, x: g * (2 * x * y - 2 / SQRT_PI))
row("erfinv", lambda g, y, x: g * (SQRT_PI / 2 * np.exp(y * y)))
row("erfcinv", lambda g, y, x: g * (-SQRT_PI / 2 * np.exp(y * y)))
row("dawsn", lambda g, y, x: g * (1 - 2 * x * y))
row("wofz", lambda g, y, x: g * (2j / SQRT_PI - 2 * x * y))
row("ndtr", lambda g, y, x: g * (np.exp(-x * x / 2) / math.sqrt(2 * PI)))
row("log_ndtr", lambda g, y, x: g * (math.sqrt(2 / PI) / sc.erfcx(-x / SQRT_2)))
row("ndtri", lambda g, y, p: g * (math.sqrt(2 * PI) * np.exp(y * y / 2)))
row("ndtri_exp", lambda g, y, x: g * (math.sqrt(2 * PI) * np.exp(x + y * y / 2)))
row(
    "owens_t",
    lambda g, y, h, a: g * (-np.exp(-h * h / 2) * sc.erf(a * h / SQRT_2) / (2 * math.sqrt(2 * PI))),
    lambda g, y, h, a: g * (np.exp(-h * h * (1 + a * a) / 2) / (2 * PI * (1 + a * a))),
)


@composite(sc.voigt_profile)
def _voigt_profile(x: Any, sigma: Any, gamma: Any) -> Any:
    return np.real(sc.wofz((x + 1j * gamma) / (sigma * SQRT_2))) / (sigma * math.sqrt(2 * PI))
