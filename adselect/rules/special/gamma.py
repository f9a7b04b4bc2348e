"""The gamma and beta functions and their relatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special as sc

from ..rule import somewhere
from .rows import real_only, row


def _trigamma(g: Any, y: Any, x: Any) -> Any:
    real_only("digamma", x)
    return g * sc.zeta(2.0, x)


def _rgamma(g: Any, y: Any, x: Any) -> Any:
    pole = np.less_equal(np.real(x), 0) & np.equal(x, np.floor(np.real(x)))
    if not somewhere(pole):
        return -g * y * sc.digamma(x)
    n = -np.where(pole, np.real(x), 0.0)
    there = np.where(n % 2 == 0, 1.0, -1.0) * sc.gamma(n + 1)
    return g * np.where(pole, there, -y * sc.digamma(np.where(pole, 1.0, x)))


def _beta(g: Any, mine: Any, other: Any) -> Any:
    return g * (sc.digamma(mine) - sc.digamma(mine + other))


def gamma_density(a: Any, x: Any) -> Any:
    return np.exp(sc.xlogy(a - 1, x) - x - sc.gammaln(a))


def beta_density(a: Any, b: Any, x: Any) -> Any:
    return np.exp(sc.xlogy(a - 1, x) + sc.xlog1py(b - 1, -x) - sc.betaln(a, b))


row("gamma", lambda g, y, x: g * y * sc.digamma(x))
row("gammaln", lambda g, y, x: g * sc.digamma(x))
row("loggamma", lambda g, y, x: g * sc.digamma(x))
row("rgamma", _rgamma)
row("gammasgn", lambda g, y, x: 0.0)
row("digamma", _trigamma)
row("psi", _trigamma)
row("_zeta", "x", lambda g, y, s, q: g * (-s * sc.zeta(s + 1, q)))
row("_riemann_zeta", "x")
row("zetac", "x")
row("beta", lambda g, y, a, b: _beta(g, a, b) * y, lambda g, y, a, b: _beta(g, b, a) * y)
row("betaln", lambda g, y, a, b: _beta(g, a, b), lambda g, y, a, b: _beta(g, b, a))
row(
    "binom",
    lambda g, y, n, k: g * y * (sc.digamma(n + 1.0) - sc.digamma(n - k + 1.0)),
    lambda g, y, n, k: g * y * (sc.digamma(n - k + 1.0) - sc.digamma(k + 1.0)),
)
row(
    "poch",
    lambda g, y, z, m: g * y * (sc.digamma(z + m) - sc.digamma(z)),
    lambda g, y, z, m: g * y * sc.digamma(z + m),
)
row("gammainc", "a", lambda g, y, a, x: g * gamma_density(a, x))
row("gammaincc", "a", lambda g, y, a, x: -g * gamma_density(a, x))
row("gammaincinv", "a", lambda g, y, a, p: g / gamma_density(a, y))
row("gammainccinv", "a", lambda g, y, a, p: -g / gamma_density(a, y))
row("betainc", "a", "b", lambda g, y, a, b, x: g * beta_density(a, b, x))
row("betaincc", "a", "b", lambda g, y, a, b, x: -g * beta_density(a, b, x))
row("betaincinv", "a", "b", lambda g, y, a, b, p: g / beta_density(a, b, y))
row("betainccinv", "a", "b", lambda g, y, a, b, p: -g / beta_density(a, b, y))
