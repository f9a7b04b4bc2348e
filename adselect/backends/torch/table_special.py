"""torch for the functions of scipy.special, by name."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .kinks import bent
from .operands import TABLE
from .table_elementwise import binary, float_unary


def _gamma(x: Tensor) -> Tensor:
    negative = (x < 0) & (torch.floor(x) % 2 != 0)
    return torch.where(negative, -1.0, 1.0).to(x.dtype) * torch.exp(torch.lgamma(x))


def _betaln(a: Tensor, b: Tensor) -> Tensor:
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)


def _relative_entropy(x: Tensor, y: Tensor) -> Tensor:
    # x log(x/y), 0 at x = 0 ≤ y, inf outside.
    safe = (x > 0) & (y > 0)
    one = torch.ones_like(x * y)
    inside = torch.where(safe, x, one) * torch.log(torch.where(safe, x, one) / torch.where(safe, y, one))
    edge = torch.where((x == 0) & (y >= 0), torch.zeros_like(one), torch.full_like(one, math.inf))
    start = (x == 0) & (y > 0)  # with the infinite slope of x log(x)
    at_start = -torch.special.entr(torch.where(start, x, one)) - x * torch.log(torch.where(start, y, one))
    return torch.where(safe, inside, torch.where(start, at_start, edge))


def _exprel(x: Tensor) -> Tensor:
    # (exp(x) - 1)/x, by its series near 0 where the quotient has no derivative.
    near = torch.abs(x) < 1e-2
    t = torch.where(near, x, torch.zeros_like(x))
    series = torch.ones_like(t)
    for k in range(9, 1, -1):
        series = 1 + t / k * series
    far = torch.where(near, torch.ones_like(x), x)
    return torch.where(near, series, torch.expm1(far) / far)


def _times_log(function: Callable, bottom: float) -> Callable:
    """xlogy or xlog1py with slope 0 where 0 meets the logarithm of 0."""

    def call(x: Tensor, y: Tensor) -> Tensor:
        x, y = torch.broadcast_tensors(x, y)
        none = (x == 0) & (y <= bottom)
        one = torch.ones_like(x)
        z = function(torch.where(none, one, x), torch.where(none, one, y))
        z = torch.where(none, torch.zeros_like(z), z)
        return bent(z, none, x, y) if x.requires_grad and y.requires_grad else z

    return call


_SAME_NAME = "erf erfc erfinv erfcx expit logit entr ndtr ndtri log_ndtr i0 i0e i1 i1e gammaln digamma"
SPECIAL: dict[str, Callable] = {
    **{name: float_unary(getattr(torch.special, name)) for name in _SAME_NAME.split()},
    "psi": float_unary(torch.special.digamma),
    "log_expit": float_unary(torch.nn.functional.logsigmoid),
    "gamma": float_unary(_gamma),
    "rgamma": float_unary(lambda x: 1 / _gamma(x)),
    "exp10": float_unary(lambda x: torch.pow(10.0, x)),
    "exp2": TABLE[np.exp2],
    "expm1": TABLE[np.expm1],
    "log1p": TABLE[np.log1p],
    "cbrt": TABLE[np.cbrt],
    "exprel": float_unary(_exprel),
    "erfcinv": float_unary(lambda x: torch.special.erfinv(1 - x)),
    "xlogy": binary(_times_log(torch.special.xlogy, 0), floating=True),
    "xlog1py": binary(_times_log(torch.special.xlog1py, -1), floating=True),
    "betaln": binary(_betaln, floating=True),
    "beta": binary(lambda a, b: _gamma(a) * _gamma(b) / _gamma(a + b), floating=True),
    "rel_entr": binary(_relative_entropy, floating=True),
    "kl_div": binary(lambda x, y: _relative_entropy(x, y) - x + y, floating=True),
}
