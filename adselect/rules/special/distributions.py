"""Distribution functions of statistics and their inverses."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special as sc

from .gamma import beta_density, gamma_density
from .rows import row


def _t_density(v: Any, t: Any) -> Any:
    return np.exp(-sc.betaln(v / 2, 0.5) - 0.5 * np.log(v) - (v + 1) / 2 * np.log1p(t * t / v))


def _f_density(a: Any, b: Any, x: Any) -> Any:
    a, b = a / 2, b / 2
    return np.exp(sc.xlogy(a, a / b) + sc.xlogy(a - 1, x) - (a + b) * np.log1p(a / b * x) - sc.betaln(a, b))


def _chi2_density(v: Any, x: Any) -> Any:
    return 0.5 * gamma_density(v / 2, x / 2)


row("chdtr", "v", lambda g, y, v, x: g * _chi2_density(v, x))
row("chdtrc", "v", lambda g, y, v, x: -g * _chi2_density(v, x))
row("chdtri", "v", lambda g, y, v, p: -g / _chi2_density(v, y))
row("stdtr", "df", lambda g, y, v, t: g * _t_density(v, t))
row("stdtrit", "df", lambda g, y, v, p: g / _t_density(v, y))
row("fdtr", "dfn", "dfd", lambda g, y, a, b, x: g * _f_density(a, b, x))
row("fdtrc", "dfn", "dfd", lambda g, y, a, b, x: -g * _f_density(a, b, x))
row("fdtri", "dfn", "dfd", lambda g, y, a, b, p: g / _f_density(a, b, y))
row(
    "gdtr",
    lambda g, y, a, b, x: g * (x * gamma_density(b, a * x)),
    "b",
    lambda g, y, a, b, x: g * (a * gamma_density(b, a * x)),
)
row(
    "gdtrc",
    lambda g, y, a, b, x: -g * (x * gamma_density(b, a * x)),
    "b",
    lambda g, y, a, b, x: -g * (a * gamma_density(b, a * x)),
)
row("pdtr", "k", lambda g, y, k, m: -g * gamma_density(np.floor(k) + 1.0, m))
row("pdtrc", "k", lambda g, y, k, m: g * gamma_density(np.floor(k) + 1.0, m))
row("bdtr", "k", "n", lambda g, y, k, n, p: -g * beta_density(n - np.floor(k), np.floor(k) + 1.0, 1 - p))
row("bdtrc", "k", "n", lambda g, y, k, n, p: g * beta_density(np.floor(k) + 1.0, n - np.floor(k), p))
row("nbdtr", "k", "n", lambda g, y, k, n, p: g * beta_density(1.0 * n, k + 1.0, p))
row("nbdtrc", "k", "n", lambda g, y, k, n, p: -g * beta_density(1.0 * n, k + 1.0, p))
