"""torch for NumPy's elementwise functions."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...face.atoms import clipped, select
from ...rules.reductions import root
from ...rules.rule import vanishing
from ...values.kinds import isa
from .kinks import bent, root_of
from .operands import (
    INEXACT,
    TABLE,
    common_dtype,
    first_tensor,
    implements,
    inexact,
    promoted,
    tensor_of,
    torch_dtype,
)
from .zeros import Unknown

__all__ = ["BINARY", "UNARY"]


# -- elementwise -------------------------------------------------------------------------------------------------------


def float_unary(operate: Callable) -> Callable:
    """A ufunc whose result is floating whatever comes in."""

    def call(x: Any) -> Tensor:
        if isinstance(x, Tensor) and x.dtype in INEXACT:
            return operate(x)
        return operate(inexact(x))

    return call


def unary(operate: Callable) -> Callable:
    return lambda x: operate(tensor_of(x))


def binary(operate: Callable, numbers: bool = False, floating: bool = False) -> Callable:
    """A ufunc of two operands; numbers: whether torch's function takes a Python number for one of them."""

    def call(a: Any, b: Any) -> Tensor:
        if isinstance(a, Tensor):
            if isinstance(b, Tensor):
                if a.dtype is b.dtype and (not floating or a.dtype in INEXACT):
                    return operate(a, b)
            elif numbers and a.dtype in INEXACT and type(b) in (float, int):
                return operate(a, float(b))
        elif numbers and type(a) in (float, int) and isinstance(b, Tensor) and b.dtype in INEXACT:
            return operate(float(a), b)
        a, b = promoted(a, b)
        if floating and a.dtype not in INEXACT:
            a, b = inexact(a), inexact(b)
        return operate(a, b)

    return call


def _power(a: Any, b: Any) -> Tensor:
    if isinstance(a, Tensor) and a.dtype in INEXACT and type(b) in (float, int):
        return torch.pow(a, b)
    if isinstance(b, Tensor) and b.dtype in INEXACT and type(a) in (float, int):
        return torch.pow(float(a), b)
    a, b = promoted(a, b)
    y = torch.pow(a, b)
    if not (a.requires_grad and b.requires_grad) or y.is_complex():
        return y
    return bent(y, (a == 0) & (b <= 1), a, b)  # its slopes grow beyond all bounds beside it


class _CubeRoot(torch.autograd.Function):
    """torch has no cube root, and ``x**(1/3)`` is NaN for negative x."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        y = torch.sign(x) * torch.abs(x) ** (1 / 3)
        # One Newton step: the power is exact only to a few units in the last place.
        return torch.where((x == 0) | ~torch.isfinite(x), y, y - (y - x / (y * y)) / 3)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (y,) = ctx.saved_tensors
        return g / (3 * y * y)


def _hypot(a: Tensor, b: Tensor) -> Tensor:
    # At the origin torch gives NaN; the subgradient is 0.
    a, b = torch.broadcast_tensors(a, b)
    origin = (a == 0) & (b == 0)
    h = torch.hypot(torch.where(origin, torch.ones_like(a), a), torch.where(origin, torch.ones_like(b), b))
    return bent(torch.where(origin, torch.zeros_like(h), h), origin, a, b)


def _arctan2(a: Tensor, b: Tensor) -> Tensor:
    # Like hypot; the value at the origin keeps the signs of its zeros.
    a, b = torch.broadcast_tensors(a, b)
    origin = (a == 0) & (b == 0)
    safe = torch.atan2(torch.where(origin, torch.zeros_like(a), a), torch.where(origin, torch.ones_like(b), b))
    return bent(torch.where(origin, torch.atan2(a.detach(), b.detach()), safe), origin, a, b)


def _sinc(x: Tensor) -> Tensor:
    # Close to 0 the quotient cancels and torch's second derivative is 0: a series there, good to all digits.
    u = math.pi * x
    near = torch.abs(u) < 0.5
    s = torch.where(near, u, torch.zeros_like(u)) ** 2
    series = torch.ones_like(s)
    for k in range(9, 0, -1):
        series = 1 - s / ((2 * k) * (2 * k + 1)) * series
    far = torch.where(near, torch.ones_like(u), u)
    return torch.where(near, series, torch.sin(far) / far)


def _extremum(pick: Callable) -> Callable:
    def call(a: Tensor, b: Tensor) -> Tensor:
        # maximum shares a tie, torch.fmax does not; a NaN leaves the other operand.
        return torch.where(torch.isnan(a), b, torch.where(torch.isnan(b), a, pick(a, b)))

    return call


def _between_infinities(function: Callable) -> Callable:
    """logaddexp, whose arguments have equal weights also where both are the same infinity."""

    def call(a: Tensor, b: Tensor) -> Tensor:
        stuck = (torch.isinf(a) | torch.isinf(b)) & ((a <= b) | (a > b))
        y = function(torch.where(stuck, 0.0, a), torch.where(stuck, 0.0, b))
        half = (torch.where(stuck, a, 0.0) + torch.where(stuck, b, 0.0)) / 2
        # Where only one is, or they are opposite, torch's second derivative is NaN.
        return torch.where(stuck, torch.where(a == b, half, torch.where(a > b, a, b)), y)

    return call


def _copysign(x: Tensor, sign: Tensor) -> Tensor:
    """The slope is ±1 everywhere: the sign bit of 0 counts too. In the sign it is 0, which is not None."""
    turned = torch.where(torch.signbit(x) == torch.signbit(sign), 1.0, -1.0).to(x.dtype)
    beside = torch.where(torch.isfinite(sign), sign, torch.where(torch.signbit(sign), -1.0, 1.0).to(sign.dtype))
    return x * turned + 0.0 * beside


def _heaviside(x: Tensor, at_zero: Tensor) -> Tensor:
    return torch.where(x == 0, at_zero, (torch.sign(x) + 1) / 2)


def absolute(x: Any) -> Tensor:
    x = tensor_of(x)
    if x.is_complex():
        y = torch.abs(x)
        return bent(y, y == 0, x.real, x.imag)
    return x if x.dtype is torch.bool else torch.abs(x)


def _sign(x: Any) -> Tensor:
    x = tensor_of(x)
    return torch.sgn(x) if x.is_complex() else torch.sign(x)


def _keep_integers(operate: Callable) -> Callable:
    """floor, ceil and the like leave integers as they are."""
    return lambda x: operate(x) if (x := tensor_of(x)).dtype in INEXACT else x


def ldexp(x: Any, exponent: Any) -> Tensor:
    x = inexact(x)
    two, exponent = torch.tensor(2.0, dtype=x.dtype, device=x.device), tensor_of(exponent, x).to(x.dtype)
    exponent = exponent.detach() + 0 * exponent if exponent.requires_grad else exponent  # slope 0
    half = torch.floor(exponent / 2)  # 2 to the whole exponent may be out of range where the product is not
    return x * torch.pow(two, half) * torch.pow(two, exponent - half)


def _comparison(operate: Callable) -> Callable:
    def call(a: Any, b: Any) -> Tensor:
        if isinstance(a, Tensor) and isa(b, (float, Tensor)) and (type(b) is float or a.dtype is b.dtype):
            return operate(a, b)
        return operate(*promoted(a, b))

    return call


def degrees(x: Tensor) -> Tensor:
    return x * (180 / math.pi)


def _radians(x: Tensor) -> Tensor:
    return x * (math.pi / 180)


UNARY: dict[Any, Callable] = {
    np.exp: float_unary(torch.exp),
    np.exp2: float_unary(torch.exp2),
    np.expm1: float_unary(torch.expm1),
    np.log: float_unary(torch.log),
    np.log2: float_unary(torch.log2),
    np.log10: float_unary(torch.log10),
    np.log1p: float_unary(torch.log1p),
    np.sqrt: float_unary(torch.sqrt),
    np.cbrt: float_unary(_CubeRoot.apply),
    np.sin: float_unary(torch.sin),
    np.cos: float_unary(torch.cos),
    np.tan: float_unary(torch.tan),
    np.arctan: float_unary(torch.atan),
    np.sinh: float_unary(torch.sinh),
    np.cosh: float_unary(torch.cosh),
    np.tanh: float_unary(torch.tanh),
    np.arctanh: float_unary(torch.atanh),
    np.degrees: float_unary(degrees),
    np.rad2deg: float_unary(degrees),
    np.radians: float_unary(_radians),
    np.deg2rad: float_unary(_radians),
    np.fabs: float_unary(torch.abs),
    np.rint: lambda x: round_to(inexact(x)),
    np.floor: _keep_integers(torch.floor),
    np.ceil: _keep_integers(torch.ceil),
    np.trunc: _keep_integers(torch.trunc),
    np.negative: unary(torch.neg),
    np.positive: unary(lambda x: x.view_as(x)),
    np.absolute: absolute,
    np.sign: _sign,
    np.square: unary(torch.square),
    np.reciprocal: unary(torch.reciprocal),
    np.conjugate: unary(torch.conj),
    np.isnan: unary(torch.isnan),
    np.isinf: unary(torch.isinf),
    np.isfinite: unary(torch.isfinite),
    np.signbit: unary(torch.signbit),
    np.logical_not: unary(torch.logical_not),
    np.invert: unary(torch.bitwise_not),
}

BINARY: dict[Any, Callable] = {
    np.add: binary(torch.add, numbers=True),
    np.subtract: binary(operator.sub, numbers=True),
    np.multiply: binary(torch.mul, numbers=True),
    np.true_divide: binary(operator.truediv, numbers=True, floating=True),
    np.power: _power,
    np.float_power: lambda a, b: _power(_at_least_double(a), _at_least_double(b)),
    np.floor_divide: binary(lambda a, b: torch.div(a, b, rounding_mode="floor")),
    np.remainder: binary(torch.remainder),
    np.fmod: binary(torch.fmod),
    np.maximum: binary(torch.maximum),
    np.minimum: binary(torch.minimum),
    np.fmax: binary(_extremum(torch.maximum)),
    np.fmin: binary(_extremum(torch.minimum)),
    np.hypot: binary(_hypot, floating=True),
    np.arctan2: binary(_arctan2, floating=True),
    np.logaddexp: binary(_between_infinities(torch.logaddexp), floating=True),
    np.logaddexp2: binary(_between_infinities(torch.logaddexp2), floating=True),
    np.copysign: binary(_copysign, floating=True),
    np.heaviside: binary(_heaviside, floating=True),
    np.ldexp: ldexp,
    np.equal: _comparison(torch.eq),
    np.not_equal: _comparison(torch.ne),
    np.less: _comparison(torch.lt),
    np.less_equal: _comparison(torch.le),
    np.greater: _comparison(torch.gt),
    np.greater_equal: _comparison(torch.ge),
    np.logical_and: binary(torch.logical_and),
    np.logical_or: binary(torch.logical_or),
    np.logical_xor: binary(torch.logical_xor),
    np.bitwise_and: binary(torch.bitwise_and),
    np.bitwise_or: binary(torch.bitwise_or),
    np.bitwise_xor: binary(torch.bitwise_xor),
    np.left_shift: binary(torch.bitwise_left_shift),
    np.right_shift: binary(torch.bitwise_right_shift),
    np.gcd: binary(torch.gcd),
    np.lcm: binary(torch.lcm),
}

TABLE |= {
    **UNARY,
    **BINARY,
    # For real numbers only: on a branch cut torch's slopes belong to the other side.
    np.arcsin: float_unary(torch.asin),
    np.arccos: float_unary(torch.acos),
    np.arcsinh: float_unary(torch.asinh),
    np.arccosh: float_unary(torch.acosh),
}


def _at_least_double(x: Any) -> Any:
    return x.to(common_dtype((x.dtype, torch.float64))) if isinstance(x, Tensor) else x


@implements(vanishing)
def _vanishing(value: Tensor, lost: Any, unknown: Any) -> Tensor:
    lost, unknown = [
        torch.as_tensor(mask, dtype=torch.bool, device=value.device).expand(value.shape) for mask in (lost, unknown)
    ]
    return torch.where(lost, torch.zeros_like(value), value) + Unknown.apply(value, unknown)


def _chosen(x: Any, y: Any, like: Any) -> list:
    """The two branches of a choice, promoted; both may be Python numbers."""
    if not isinstance(x, (Tensor, list, tuple)) and not isinstance(y, (Tensor, list, tuple)):
        dtype = torch_dtype(np.result_type(x, y))
        return [torch.tensor(v, dtype=dtype, device=like.device) for v in (x, y)]
    return promoted(x, y)


@implements(np.round)
def round_to(a: Any, decimals: Any = 0) -> Tensor:
    a, decimals = tensor_of(a), int(decimals)
    if a.is_complex():
        return torch.complex(round_to(a.real, decimals), round_to(a.imag, decimals))
    if a.dtype not in INEXACT or decimals == 0:
        return a if a.dtype not in INEXACT else torch.round(a)
    scale = 10.0 ** abs(decimals)
    return torch.round(a * scale) / scale if decimals > 0 else torch.round(a / scale) * scale


@implements(np.real)
def _real(val: Any) -> Tensor:
    val = tensor_of(val)
    return torch.real(val) if val.is_complex() else val.view_as(val)


@implements(np.imag)
def _imag(val: Any) -> Tensor:
    val = tensor_of(val)
    return torch.imag(val) if val.is_complex() else torch.sgn(val) * 0  # slope 0, not none


@implements(np.nan_to_num)
def _nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Tensor:
    x = tensor_of(x)
    if x.is_complex():
        return torch.complex(*[_nan_to_num(p, copy, nan, posinf, neginf) for p in (x.real, x.imag)])
    return torch.nan_to_num(x, nan, posinf, neginf) if x.dtype in INEXACT else x.clone()


@implements(np.i0)
def _i0(x: Any) -> Tensor:
    return torch.special.i0(inexact(x))


TABLE[np.sinc] = float_unary(_sinc)
TABLE[np.fix] = TABLE[np.trunc]
TABLE[np.isposinf] = unary(torch.isposinf)
TABLE[np.isneginf] = unary(torch.isneginf)
TABLE[np.isreal] = unary(torch.isreal)
TABLE[np.iscomplex] = unary(lambda x: ~torch.isreal(x))
TABLE[np.iscomplexobj] = lambda x: tensor_of(x).is_complex()
TABLE[np.isrealobj] = lambda x: not tensor_of(x).is_complex()


# -- choices -----------------------------------------------------------------------------------------------------------


@implements(root)
def _root(v: Any, degree: Any = 2) -> Tensor:
    return root_of(tensor_of(v), degree)


@implements(select)
def _select(condition: Any, x: Any, y: Any) -> Tensor:
    like = first_tensor((condition, x, y))
    condition = tensor_of(condition, like)
    if condition.dtype is not torch.bool:
        condition = condition != 0
    return torch.where(condition, *_chosen(x, y, like))


@implements(clipped)
def _clipped(x: Any, low: Any, high: Any) -> Tensor:
    numbers = all([type(v) in (float, int) for v in (low, high)])
    if numbers and isinstance(x, Tensor) and x.dtype in INEXACT:
        return torch.clamp(x, low, high)
    x, *bounds = promoted(x, *[v for v in (low, high) if not _is_endless(v)])
    if not bounds:
        return x.clone()
    if not _is_endless(low):
        x = torch.where(x < bounds[0], bounds[0], x)
    return x if _is_endless(high) else torch.where(x > bounds[-1], bounds[-1], x)


def _is_endless(bound: Any) -> bool:
    return type(bound) is float and math.isinf(bound)
