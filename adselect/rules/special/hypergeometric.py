"""Hypergeometric functions and orthogonal polynomials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sc

from .rows import row

row("hyp0f1", "v", lambda g, y, v, z: g * (sc.hyp0f1(v + 1, z) / v))
row("hyp1f1", "a", "b", lambda g, y, a, b, x: g * (a / b * sc.hyp1f1(a + 1, b + 1, x)))
row("hyperu", "a", "b", lambda g, y, a, b, x: g * (-a * sc.hyperu(a + 1, b + 1, x)))
row("hyp2f1", "a", "b", "c", lambda g, y, a, b, c, z: g * (a * b / c * sc.hyp2f1(a + 1, b + 1, c + 1, z)))


def _lowered(n: Any, slope: Callable) -> Any:
    """``slope(n - 1)``, 0 for n = 0: the polynomial of degree 0 is constant."""
    zero = np.equal(n, 0)
    return np.where(zero, 0.0, slope(np.where(zero, n, n - 1)))


def _polynomials(name: str, *parameters: str, slope: Callable) -> None:
    """An orthogonal polynomial of degree n; ``slope(n - 1, n, *parameters, x)`` is its derivative."""
    row(
        name,
        "n",
        *parameters,
        lambda g, y, n, *rest: g * _lowered(n, lambda k: slope(k, n, *rest)),
    )


_polynomials("eval_legendre", slope=lambda k, n, x: 0.5 * (n + 1) * sc.eval_jacobi(k, 1, 1, x))
_polynomials("eval_sh_legendre", slope=lambda k, n, x: (n + 1) * sc.eval_jacobi(k, 1, 1, 2 * x - 1))
_polynomials("eval_chebyt", slope=lambda k, n, x: n * sc.eval_chebyu(k, x))
_polynomials("eval_sh_chebyt", slope=lambda k, n, x: 2 * n * sc.eval_chebyu(k, 2 * x - 1))
_polynomials("eval_chebyu", slope=lambda k, n, x: 2 * sc.eval_gegenbauer(k, 2, x))
_polynomials("eval_sh_chebyu", slope=lambda k, n, x: 4 * sc.eval_gegenbauer(k, 2, 2 * x - 1))
_polynomials("eval_chebyc", slope=lambda k, n, x: n * sc.eval_chebys(k, x))
_polynomials("eval_chebys", slope=lambda k, n, x: sc.eval_gegenbauer(k, 2, x / 2))
_polynomials("eval_hermite", slope=lambda k, n, x: 2 * n * sc.eval_hermite(k, x))
_polynomials("eval_hermitenorm", slope=lambda k, n, x: n * sc.eval_hermitenorm(k, x))
_polynomials("eval_laguerre", slope=lambda k, n, x: -sc.eval_genlaguerre(k, 1, x))
_polynomials("eval_genlaguerre", "alpha", slope=lambda k, n, a, x: -sc.eval_genlaguerre(k, a + 1, x))
_polynomials("eval_gegenbauer", "alpha", slope=lambda k, n, a, x: 2 * a * sc.eval_gegenbauer(k, a + 1, x))
_polynomials(
    "eval_jacobi",
    "alpha",
    "beta",
    slope=lambda k, n, a, b, x: 0.5 * (n + a + b + 1) * sc.eval_jacobi(k, a + 1, b + 1, x),
)
