"""The table NumPy function → torch implementation, with NumPy's signatures and NumPy's answers.

An entry takes tensors, Python numbers and lists, under NumPy's names and in NumPy's order, and returns tensors of the
shape and dtype NumPy would return. Most entries are rows of a dictionary; a function stands where the two libraries
differ in more than a name: ``axis``/``dim``, NumPy 2's type promotion (torch lets a 0-d tensor be weak), and the kinks
where torch's own derivative is not the one adselect promises. What is missing here falls back to the composites.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import operator
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import UnsupportedError, user_line
from ...face.array import fingerprint, overwritten
from ...face.refusals import LISTS
from ...primitives.own_rules import within_a_rule
from ...rules.decompositions import SINGULAR, in_blocks, noise, refusal
from ...rules.quantiles import quantile_dtype, ranked
from ...rules.registry import vanishing
from ...values.kinds import isa
from ..base import OwnRuleError, UntranslatedError
from .zeros import Unknown

__all__ = [
    "BINARY",
    "REAL_ONLY",
    "SHARED",
    "TABLE",
    "UNARY",
    "from_numpy",
    "get_item",
    "numpy_dtype",
    "set_item",
    "target",
    "torch_dtype",
]

_NOT_GIVEN: Any = np._NoValue
TABLE: dict[Any, Callable] = {}


def implements(*functions: Any) -> Callable:
    """Decorator: put an implementation into the table under the given NumPy functions."""

    def enter(implementation: Callable) -> Callable:
        for function in functions:
            TABLE[function] = implementation
        return implementation

    return enter


# -- dtypes and promotion ----------------------------------------------------------------------------------------------

_NAMES = "bool uint8 int8 int16 int32 int64 float16 float32 float64 complex64 complex128"
TORCH_DTYPES = {np.dtype(name): getattr(torch, name) for name in _NAMES.split()}
NUMPY_DTYPES = {t: n for n, t in TORCH_DTYPES.items()}
# torch has hardly any operation on these: the nearest type that holds every (or, for uint64, nearly every) value.
_NEAREST = {
    "uint16": np.int32,
    "uint32": np.int64,
    "uint64": np.int64,
    "longdouble": np.float64,
    "clongdouble": np.complex128,
}


def torch_dtype(dtype: Any) -> torch.dtype:
    """torch's dtype for anything NumPy takes as one."""
    if isinstance(dtype, torch.dtype):
        return dtype
    dtype = np.dtype(dtype).newbyteorder("=")
    if dtype.name in _NEAREST or dtype.type.__name__ in _NEAREST:
        dtype = np.dtype(_NEAREST.get(dtype.name) or _NEAREST[dtype.type.__name__])
    try:
        return TORCH_DTYPES[dtype]
    except KeyError:
        hint = f"; build an array of traced numbers with {LISTS}" if dtype.kind == "O" else ""
        raise UnsupportedError(f"torch has no arrays of dtype {dtype} ({user_line()}){hint}") from None


def numpy_dtype(dtype: torch.dtype) -> np.dtype:
    """NumPy's dtype for torch's."""
    try:
        return NUMPY_DTYPES[dtype]
    except KeyError:
        raise UnsupportedError(
            f"NumPy has no dtype like {dtype} ({user_line()}): convert with .to(torch.float32), or work on torch "
            'tensors with AutoTorch(face="native")'
        ) from None


class Shared(threading.local):
    """The large plain arrays whose memory the derivative in progress on this thread reads, by identity.

    A small array is copied: f may write into it before the pass backward. A large one is shared, with a fingerprint
    that :meth:`check` compares, as the built-in tape does it: an error is better than a copy of all data in every call.
    """

    arrays: dict[int, tuple[np.ndarray, int, Tensor]] | None = None  # None: all are copied

    def enter(self, sharing: bool) -> Any:
        """f is called; the state to leave with."""
        before, self.arrays = self.arrays, {} if sharing else None
        return before

    def leave(self, before: Any) -> dict:
        """f has returned: the arrays whose memory is read."""
        mine, self.arrays = self.arrays or {}, before
        if before is not None:
            before.update(mine)
        return mine

    def tensor(self, array: np.ndarray) -> Tensor:
        """The array as a tensor on its memory."""
        arrays: Any = self.arrays
        known = arrays.get(id(array))
        if known is None:
            known = arrays[id(array)] = (array, fingerprint(array), torch.from_numpy(array))
        elif known[1] != fingerprint(array):
            raise overwritten(array)
        return known[2]

    @staticmethod
    def check(arrays: dict) -> None:
        """Raise where an array is not what it was."""
        for array, mark, _ in arrays.values():
            if fingerprint(array) != mark:
                raise overwritten(array)


SHARED = Shared()
_LARGE = 32_768  # entries from which an array is shared


def from_numpy(array: Any, device: Any = None) -> Tensor:
    """A tensor of what the array holds now: of its own memory, or watched."""
    array = np.asarray(array)
    if array.dtype in TORCH_DTYPES:  # not so for a foreign byte order, and for what torch has no dtype for
        if array.size >= _LARGE and SHARED.arrays is not None and array.flags.writeable and min(array.strides) >= 0:
            tensor = SHARED.tensor(array)
        else:
            tensor = torch.from_numpy(array.copy(order="K"))
    else:
        tensor = torch.from_numpy(array.astype(NUMPY_DTYPES[torch_dtype(array.dtype)], order="C"))
    return tensor if device is None else tensor.to(device)


_COMMON: dict[tuple, torch.dtype] = {}


def _common_dtype(kinds: tuple) -> torch.dtype:
    """NumPy's result type; kinds holds torch dtypes and, for the weak operands, Python's number types."""
    try:
        return _COMMON[kinds]
    except KeyError:
        pass
    strong = [k for k in kinds if isinstance(k, torch.dtype)]
    if all(k in NUMPY_DTYPES for k in strong):
        result = torch_dtype(np.result_type(*[NUMPY_DTYPES[k] if isinstance(k, torch.dtype) else k(0) for k in kinds]))
    else:  # bfloat16 and the like are unknown to NumPy
        result = strong[0]
        for k in strong[1:]:
            result = torch.promote_types(result, k)
    _COMMON[kinds] = result
    return result


def _tensor(x: Any, like: Any = None) -> Tensor:
    """x as a tensor; a Python number, a nested list or a list of tensors becomes one."""
    if isinstance(x, Tensor):
        return x
    device = like.device if isinstance(like, Tensor) else None
    if isinstance(x, (list, tuple)) and _first_tensor(x) is not None:
        first = _first_tensor(x)
        return torch.stack(_promoted(*[_tensor(v, first) for v in x]))
    if type(x) in (float, int, complex, bool) and isinstance(like, Tensor):
        return torch.tensor(x, dtype=_common_dtype((like.dtype, type(x))), device=device)
    return from_numpy(x, device)


def _first_tensor(items: Any) -> Tensor | None:
    for item in items:
        if isinstance(item, Tensor):
            return item
        if isinstance(item, (list, tuple)):
            found = _first_tensor(item)
            if found is not None:
                return found
    return None


def _promoted(*operands: Any) -> list:
    """The operands as tensors of NumPy's common dtype (Python numbers are weak, 0-d tensors are not)."""
    first = next((x for x in operands if isinstance(x, Tensor)), None)
    device = None if first is None else first.device
    arrays = (list, tuple, np.ndarray, np.generic)
    operands = tuple([from_numpy(x, device) if isinstance(x, arrays) else x for x in operands])
    dtype = _common_dtype(tuple([x.dtype if isinstance(x, Tensor) else _number_kind(x) for x in operands]))
    result = []
    for x in operands:
        if not isinstance(x, Tensor):
            x = torch.tensor(x, dtype=dtype, device=device)
        result.append(x if x.dtype is dtype else x.to(dtype))
    return result


def _number_kind(x: Any) -> type:
    for kind in (bool, int, float, complex):
        if isinstance(x, kind):
            return kind
    raise TypeError(f"cannot use {type(x).__name__} as an operand of a NumPy function ({user_line()})")


_INEXACT = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128})
_FLOATS: dict[torch.dtype, torch.dtype] = {}


def _inexact(x: Any) -> Tensor:
    """x in a floating dtype, the one NumPy's float ufuncs choose for integers."""
    x = _tensor(x)
    if x.dtype in _INEXACT:
        return x
    dtype = _FLOATS.get(x.dtype)
    if dtype is None:
        dtype = _FLOATS[x.dtype] = torch_dtype(np.sqrt(np.ones(1, NUMPY_DTYPES[x.dtype])).dtype)
    return x.to(dtype)


# -- elementwise -------------------------------------------------------------------------------------------------------


def _float_unary(operate: Callable) -> Callable:
    """A ufunc whose result is floating whatever comes in."""

    def call(x: Any) -> Tensor:
        if isinstance(x, Tensor) and x.dtype in _INEXACT:
            return operate(x)
        return operate(_inexact(x))

    return call


def _unary(operate: Callable) -> Callable:
    return lambda x: operate(_tensor(x))


def _binary(operate: Callable, numbers: bool = False, floating: bool = False) -> Callable:
    """A ufunc of two operands; numbers: whether torch's function takes a Python number for one of them."""

    def call(a: Any, b: Any) -> Tensor:
        if isinstance(a, Tensor):
            if isinstance(b, Tensor):
                if a.dtype is b.dtype and (not floating or a.dtype in _INEXACT):
                    return operate(a, b)
            elif numbers and a.dtype in _INEXACT and type(b) in (float, int):
                return operate(a, float(b))
        elif numbers and type(a) in (float, int) and isinstance(b, Tensor) and b.dtype in _INEXACT:
            return operate(float(a), b)
        a, b = _promoted(a, b)
        if floating and a.dtype not in _INEXACT:
            a, b = _inexact(a), _inexact(b)
        return operate(a, b)

    return call


def _power(a: Any, b: Any) -> Tensor:
    if isinstance(a, Tensor) and a.dtype in _INEXACT and type(b) in (float, int):
        return torch.pow(a, b)
    if isinstance(b, Tensor) and b.dtype in _INEXACT and type(a) in (float, int):
        return torch.pow(float(a), b)
    a, b = _promoted(a, b)
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


class _Bend(torch.autograd.Function):
    """Zeros with slope 0, and a second derivative of NaN where marked."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, marked: Tensor) -> Tensor:
        return torch.zeros_like(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *bars: Any) -> Any:
        x, marked = ctx.saved_tensors
        return bars[0] * Unknown.apply(x, marked), None


def bent(y: Tensor, at: Tensor, *of: Tensor) -> Tensor:
    """y, with a second derivative with respect to ``of`` that is NaN where ``at``: there y has a kink."""
    if torch.compiler.is_compiling():
        return y
    plain = not torch._C._functorch.is_functorch_wrapped_tensor(at)
    if (plain and not bool(at.any())) or not any(x.requires_grad or not plain for x in of):
        return y
    return y + _Bend.apply(sum(of[1:], of[0]), at)


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
    """The slope is ±1 everywhere: the sign bit of 0 counts too."""
    turned = torch.where(torch.signbit(x) == torch.signbit(sign), 1.0, -1.0).to(x.dtype)
    return x * turned


def _heaviside(x: Tensor, at_zero: Tensor) -> Tensor:
    return torch.where(x == 0, at_zero, (torch.sign(x) + 1) / 2)


def _absolute(x: Any) -> Tensor:
    x = _tensor(x)
    if x.is_complex():
        y = torch.abs(x)
        return bent(y, y == 0, x.real, x.imag)
    return x if x.dtype is torch.bool else torch.abs(x)


def _sign(x: Any) -> Tensor:
    x = _tensor(x)
    return torch.sgn(x) if x.is_complex() else torch.sign(x)


def _keep_integers(operate: Callable) -> Callable:
    """floor, ceil and the like leave integers as they are."""
    return lambda x: operate(x) if (x := _tensor(x)).dtype in _INEXACT else x


def _ldexp(x: Any, exponent: Any) -> Tensor:
    x = _inexact(x)
    two, exponent = torch.tensor(2.0, dtype=x.dtype, device=x.device), _tensor(exponent, x).to(x.dtype)
    exponent = exponent.detach() + 0 * exponent if exponent.requires_grad else exponent  # slope 0
    half = torch.floor(exponent / 2)  # 2 to the whole exponent may be out of range where the product is not
    return x * torch.pow(two, half) * torch.pow(two, exponent - half)


def _frexp(x: Any) -> tuple:
    x = _inexact(x)
    _, exponent = torch.frexp(x.detach())
    return _ldexp(x, -exponent), exponent


def _modf(x: Any) -> tuple:
    x = _inexact(x)
    whole = torch.trunc(x)
    return torch.where(torch.isinf(x), torch.zeros_like(x), x - whole), whole


def _comparison(operate: Callable) -> Callable:
    def call(a: Any, b: Any) -> Tensor:
        if isinstance(a, Tensor) and isa(b, (float, Tensor)) and (type(b) is float or a.dtype is b.dtype):
            return operate(a, b)
        return operate(*_promoted(a, b))

    return call


def _degrees(x: Tensor) -> Tensor:
    return x * (180 / math.pi)


def _radians(x: Tensor) -> Tensor:
    return x * (math.pi / 180)


UNARY: dict[Any, Callable] = {
    np.exp: _float_unary(torch.exp),
    np.exp2: _float_unary(torch.exp2),
    np.expm1: _float_unary(torch.expm1),
    np.log: _float_unary(torch.log),
    np.log2: _float_unary(torch.log2),
    np.log10: _float_unary(torch.log10),
    np.log1p: _float_unary(torch.log1p),
    np.sqrt: _float_unary(torch.sqrt),
    np.cbrt: _float_unary(_CubeRoot.apply),
    np.sin: _float_unary(torch.sin),
    np.cos: _float_unary(torch.cos),
    np.tan: _float_unary(torch.tan),
    np.arctan: _float_unary(torch.atan),
    np.sinh: _float_unary(torch.sinh),
    np.cosh: _float_unary(torch.cosh),
    np.tanh: _float_unary(torch.tanh),
    np.arctanh: _float_unary(torch.atanh),
    np.degrees: _float_unary(_degrees),
    np.rad2deg: _float_unary(_degrees),
    np.radians: _float_unary(_radians),
    np.deg2rad: _float_unary(_radians),
    np.fabs: _float_unary(torch.abs),
    np.rint: lambda x: _round(_inexact(x)),
    np.floor: _keep_integers(torch.floor),
    np.ceil: _keep_integers(torch.ceil),
    np.trunc: _keep_integers(torch.trunc),
    np.negative: _unary(torch.neg),
    np.positive: _unary(lambda x: x.view_as(x)),
    np.absolute: _absolute,
    np.sign: _sign,
    np.square: _unary(torch.square),
    np.reciprocal: _unary(torch.reciprocal),
    np.conjugate: _unary(torch.conj),
    np.isnan: _unary(torch.isnan),
    np.isinf: _unary(torch.isinf),
    np.isfinite: _unary(torch.isfinite),
    np.signbit: _unary(torch.signbit),
    np.logical_not: _unary(torch.logical_not),
    np.invert: _unary(torch.bitwise_not),
    np.frexp: _frexp,
    np.modf: _modf,
}

BINARY: dict[Any, Callable] = {
    np.add: _binary(torch.add, numbers=True),
    np.subtract: _binary(operator.sub, numbers=True),
    np.multiply: _binary(torch.mul, numbers=True),
    np.true_divide: _binary(operator.truediv, numbers=True, floating=True),
    np.power: _power,
    np.float_power: lambda a, b: _power(_at_least_double(a), _at_least_double(b)),
    np.floor_divide: _binary(lambda a, b: torch.div(a, b, rounding_mode="floor")),
    np.remainder: _binary(torch.remainder),
    np.fmod: _binary(torch.fmod),
    np.divmod: lambda a, b: (BINARY[np.floor_divide](a, b), BINARY[np.remainder](a, b)),
    np.maximum: _binary(torch.maximum),
    np.minimum: _binary(torch.minimum),
    np.fmax: _binary(_extremum(torch.maximum)),
    np.fmin: _binary(_extremum(torch.minimum)),
    np.hypot: _binary(_hypot, floating=True),
    np.arctan2: _binary(_arctan2, floating=True),
    np.logaddexp: _binary(_between_infinities(torch.logaddexp), floating=True),
    np.logaddexp2: _binary(_between_infinities(torch.logaddexp2), floating=True),
    np.copysign: _binary(_copysign, floating=True),
    np.heaviside: _binary(_heaviside, floating=True),
    np.ldexp: _ldexp,
    np.equal: _comparison(torch.eq),
    np.not_equal: _comparison(torch.ne),
    np.less: _comparison(torch.lt),
    np.less_equal: _comparison(torch.le),
    np.greater: _comparison(torch.gt),
    np.greater_equal: _comparison(torch.ge),
    np.logical_and: _binary(torch.logical_and),
    np.logical_or: _binary(torch.logical_or),
    np.logical_xor: _binary(torch.logical_xor),
    np.bitwise_and: _binary(torch.bitwise_and),
    np.bitwise_or: _binary(torch.bitwise_or),
    np.bitwise_xor: _binary(torch.bitwise_xor),
    np.left_shift: _binary(torch.bitwise_left_shift),
    np.right_shift: _binary(torch.bitwise_right_shift),
    np.gcd: _binary(torch.gcd),
    np.lcm: _binary(torch.lcm),
}

TABLE |= {
    **UNARY,
    **BINARY,
    # For real numbers only: on a branch cut torch's slopes belong to the other side.
    np.arcsin: _float_unary(torch.asin),
    np.arccos: _float_unary(torch.acos),
    np.arcsinh: _float_unary(torch.asinh),
    np.arccosh: _float_unary(torch.acosh),
}


def _at_least_double(x: Any) -> Any:
    return x.to(_common_dtype((x.dtype, torch.float64))) if isinstance(x, Tensor) else x


@implements(vanishing)
def _vanishing(value: Tensor, lost: Any, unknown: Any) -> Tensor:
    lost, unknown = [
        torch.as_tensor(mask, dtype=torch.bool, device=value.device).expand(value.shape) for mask in (lost, unknown)
    ]
    return torch.where(lost, torch.zeros_like(value), value) + Unknown.apply(value, unknown)


@implements(np.where)
def _where(condition: Any, x: Any = _NOT_GIVEN, y: Any = _NOT_GIVEN, /) -> Any:
    if x is _NOT_GIVEN:
        return torch.nonzero(torch.atleast_1d(_tensor(condition)), as_tuple=True)
    like = _first_tensor((condition, x, y))
    condition = _tensor(condition, like)
    if condition.dtype is not torch.bool:
        condition = condition != 0
    x, y = _chosen(x, y, like)
    return torch.where(condition, x, y)


def _chosen(x: Any, y: Any, like: Any) -> list:
    """The two branches of a choice, promoted; both may be Python numbers."""
    if not isinstance(x, (Tensor, list, tuple)) and not isinstance(y, (Tensor, list, tuple)):
        dtype = torch_dtype(np.result_type(x, y))
        return [torch.tensor(v, dtype=dtype, device=like.device) for v in (x, y)]
    return _promoted(x, y)


@implements(np.clip)
def _clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Tensor:
    low, high = a_min if _given(a_min) else min, a_max if _given(a_max) else max
    low, high = low if _given(low) else None, high if _given(high) else None
    if low is None and high is None:
        return _tensor(a).clone()
    if isinstance(a, Tensor) and a.dtype in _INEXACT and all(v is None or type(v) in (float, int) for v in (low, high)):
        return torch.clamp(a, low, high)
    bounds = [v for v in (low, high) if v is not None]
    a, *bounds = _promoted(a, *bounds)
    if low is None:
        return torch.where(a > bounds[0], bounds[0], a)
    a = torch.where(a < bounds[0], bounds[0], a)
    return a if high is None else torch.where(a > bounds[1], bounds[1], a)


@implements(np.round, np.around)
def _round(a: Any, decimals: Any = 0) -> Tensor:
    a, decimals = _tensor(a), int(decimals)
    if a.is_complex():
        return torch.complex(_round(a.real, decimals), _round(a.imag, decimals))
    if a.dtype not in _INEXACT or decimals == 0:
        return a if a.dtype not in _INEXACT else torch.round(a)
    scale = 10.0 ** abs(decimals)
    return torch.round(a * scale) / scale if decimals > 0 else torch.round(a / scale) * scale


@implements(np.real)
def _real(val: Any) -> Tensor:
    val = _tensor(val)
    return torch.real(val) if val.is_complex() else val.view_as(val)


@implements(np.imag)
def _imag(val: Any) -> Tensor:
    val = _tensor(val)
    return torch.imag(val) if val.is_complex() else torch.sgn(val) * 0  # slope 0, not none


@implements(np.angle)
def _angle(z: Any, deg: bool = False) -> Tensor:
    z = _inexact(z)
    angle = torch.angle(z)
    if z.is_complex() and z.requires_grad:
        angle = bent(angle, z == 0, z.real, z.imag)
    return _degrees(angle) if deg else angle


@implements(np.nan_to_num)
def _nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Tensor:
    x = _tensor(x)
    if x.is_complex():
        return torch.complex(*[_nan_to_num(p, copy, nan, posinf, neginf) for p in (x.real, x.imag)])
    return torch.nan_to_num(x, nan, posinf, neginf) if x.dtype in _INEXACT else x.clone()


@implements(np.i0)
def _i0(x: Any) -> Tensor:
    return torch.special.i0(_inexact(x))


TABLE[np.sinc] = _float_unary(_sinc)
TABLE[np.fix] = TABLE[np.trunc]
TABLE[np.isposinf] = _unary(torch.isposinf)
TABLE[np.isneginf] = _unary(torch.isneginf)
TABLE[np.isreal] = _unary(torch.isreal)
TABLE[np.iscomplex] = _unary(lambda x: ~torch.isreal(x))
TABLE[np.iscomplexobj] = lambda x: _tensor(x).is_complex()
TABLE[np.isrealobj] = lambda x: not _tensor(x).is_complex()


# -- reductions --------------------------------------------------------------------------------------------------------


def _given(value: Any) -> bool:
    return value is not None and value is not _NOT_GIVEN


def _axes(axis: Any, ndim: int) -> tuple:
    """axis as a tuple of non-negative ints; all of them for None."""
    if axis is None:
        return tuple(range(ndim))
    axes = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    return tuple([_axis(a, ndim) for a in axes])


def _axis(axis: Any, ndim: int) -> int:
    axis = operator.index(axis)
    if not -ndim <= axis < ndim:
        if ndim == 0 and axis in (0, -1):
            return 0
        raise np.exceptions.AxisError(axis, ndim)
    return axis + ndim if axis < 0 else axis


def _masked(a: Tensor, where: Any, neutral: Any) -> Tensor:
    """a with the neutral element where the mask excludes it."""
    if where is True or not _given(where):
        return a
    return torch.where(_tensor(where, a).to(torch.bool), a, torch.tensor(neutral, dtype=a.dtype, device=a.device))


def _truth(keepdims: Any) -> bool:
    return keepdims is not _NOT_GIVEN and bool(keepdims)


@implements(np.sum)
def _sum(
    a: Any, axis: Any = None, dtype: Any = None, *rest: Any, keepdims: Any = False, initial: Any = 0, where: Any = True
) -> Tensor:
    a, keepdims, initial = _positional(a, rest, keepdims, initial)
    a = _masked(a, where, 0)
    if dtype is not None and dtype is not _NOT_GIVEN:
        a = a.to(torch_dtype(dtype))
    if axis is None and not keepdims:
        y = torch.sum(a)
    else:
        axes = _axes(axis, a.ndim)
        y = torch.sum(a, axes, keepdim=keepdims) if axes else a.clone() if a.dtype in _INEXACT else a.to(torch.int64)
    return y if (type(initial) is int and initial == 0) or initial is _NOT_GIVEN else TABLE[np.add](y, initial)


def _positional(a: Any, rest: tuple, keepdims: Any, initial: Any = None) -> tuple:
    """The rare positional tail (out, keepdims, initial) of NumPy's reductions."""
    if rest:
        keepdims = rest[1] if len(rest) > 1 else keepdims
        initial = rest[2] if len(rest) > 2 else initial
    return _tensor(a), _truth(keepdims), initial


@implements(np.mean)
def _mean(a: Any, axis: Any = None, dtype: Any = None, *rest: Any, keepdims: Any = False, where: Any = True) -> Tensor:
    a, keepdims, _ = _positional(a, rest, keepdims)
    a = a.to(torch_dtype(dtype)) if _given(dtype) else a if a.dtype in _INEXACT else a.to(torch.float64)
    if where is not True and _given(where):
        mask = _tensor(where, a).to(torch.bool)
        total, count = _sum(a, axis, keepdims=keepdims, where=mask), _sum(mask.expand(a.shape), axis, keepdims=keepdims)
        return total / count.to(total.dtype)
    if axis is None and not keepdims:
        return torch.mean(a)
    axes = _axes(axis, a.ndim)
    return torch.mean(a, axes, keepdim=keepdims) if axes else a.clone()


def _moments(operate: Callable) -> Callable:
    def call(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        ddof: Any = 0,
        keepdims: Any = False,
        *,
        where: Any = True,
        mean: Any = None,
        correction: Any = _NOT_GIVEN,
    ) -> Tensor:
        a = _tensor(a)
        a = a.to(torch_dtype(dtype)) if _given(dtype) else a if a.dtype in _INEXACT else a.to(torch.float64)
        ddof = ddof if correction is _NOT_GIVEN else correction
        keepdims, axes = _truth(keepdims), _axes(axis, a.ndim)
        if where is not True or not axes or _given(mean):
            mask = torch.ones_like(a, dtype=torch.bool)
            if where is not True:
                mask = _tensor(where, a).to(torch.bool).expand(a.shape)
            count = _sum(mask, axis, keepdims=True)
            centre = _tensor(mean, a) if _given(mean) else _sum(a, axis, keepdims=True, where=mask) / count
            centred = a - centre
            total = _sum(torch.abs(centred) ** 2, axis, keepdims=keepdims, where=mask)
            variance = total / (count.reshape(total.shape) - ddof).clamp(min=0).to(total.dtype)
            return variance if operate is torch.var else _root(variance)
        return operate(a, axes, correction=ddof, keepdim=keepdims)

    return call


def _std(a: Tensor, axes: tuple, correction: Any, keepdim: bool) -> Tensor:
    return _root(torch.var(a, axes, correction=correction, keepdim=keepdim))


def _root(variance: Tensor) -> Tensor:
    """The square root with slope 0 at 0, and no second derivative there."""
    flat = variance == 0
    root = torch.sqrt(torch.where(flat, torch.ones_like(variance), variance))
    return bent(torch.where(flat, torch.zeros_like(root), root), flat, variance)


TABLE[np.var] = _moments(torch.var)
TABLE[np.std] = _moments(_std)


def _extremes(reduce: Callable, pick: Callable) -> Callable:
    def call(
        a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, initial: Any = None, where: Any = True
    ) -> Tensor:
        a, keepdims, axes = _tensor(a), _truth(keepdims), _axes(axis, _tensor(a).ndim)
        if _given(initial):
            a = _masked(a, where, initial)
        elif where is not True and _given(where):
            raise ValueError("reduction with where= needs initial=")
        if a.numel() == 0:  # torch refuses to reduce an empty axis
            if not _given(initial) and 0 in [a.shape[k] for k in axes]:
                raise ValueError("zero-size array to reduction operation which has no identity")
            initial = initial if _given(initial) else 0
            shape = [1 if k in axes else n for k, n in enumerate(a.shape) if keepdims or k not in axes]
            return _tensor(initial, a).expand(shape).to(a.dtype)
        y = reduce(a, axes, keepdim=keepdims) if axes else a.clone()
        return pick(y, initial) if _given(initial) else y

    return call


TABLE[np.max] = TABLE[np.amax] = _extremes(torch.amax, TABLE[np.maximum])
TABLE[np.min] = TABLE[np.amin] = _extremes(torch.amin, TABLE[np.minimum])


@implements(np.ptp)
def _ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Tensor:
    return TABLE[np.max](a, axis, None, keepdims) - TABLE[np.min](a, axis, None, keepdims)


def _last(a: Tensor, axis: Any) -> tuple[Tensor, tuple]:
    """a with the reduced axes joined into one at the end, and its shape with those axes as 1."""
    axes = _axes(axis, a.ndim)
    kept = [k for k in range(a.ndim) if k not in axes]
    shape = tuple([1 if k in axes else n for k, n in enumerate(a.shape)])
    return a.permute(kept + list(axes)).reshape([a.shape[k] for k in kept] + [-1]), shape


def _overflows(a: Tensor) -> bool:
    """Whether factors beside a 0 may overflow: torch's derivative of a product multiplies the two."""
    if torch.compiler.is_compiling() or torch._C._functorch.is_functorch_wrapped_tensor(a) or not a.requires_grad:
        return False
    zero = a.detach() == 0
    return bool(zero.any()) and bool(torch.isinf(torch.where(zero, torch.ones_like(a), a.detach()).abs().prod()))


@implements(np.prod)
def _prod(
    a: Any, axis: Any = None, dtype: Any = None, *rest: Any, keepdims: Any = False, initial: Any = 1, where: Any = True
) -> Tensor:
    a, keepdims, initial = _positional(a, rest, keepdims, initial)
    a = _masked(a, where, 1)
    a = a.to(torch_dtype(dtype)) if _given(dtype) else a
    if _overflows(a):
        flat, shape = _last(a, axis)
        y = functools.reduce(operator.mul, flat.unbind(-1))
        y = y.reshape(shape) if keepdims else y
    elif axis is None and not keepdims:
        y = torch.prod(a)
    elif axis is None or isinstance(axis, (tuple, list)):
        if isinstance(axis, (tuple, list)) and not axis:
            return a.clone()
        flat, shape = _last(a, axis)
        y = torch.prod(flat, -1)
        y = y.reshape(shape) if keepdims else y
    else:
        y = torch.prod(a, _axis(axis, a.ndim), keepdim=keepdims)
    return y if (type(initial) is int and initial == 1) or initial is _NOT_GIVEN else TABLE[np.multiply](y, initial)


def _truths(operate: Callable, neutral: bool) -> Callable:
    def call(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True) -> Tensor:
        a = _masked(_tensor(a) != 0, where, neutral)
        axes = _axes(axis, a.ndim)
        return operate(a, axes, keepdim=_truth(keepdims)) if axes else a

    return call


TABLE[np.any] = _truths(torch.any, False)
TABLE[np.all] = _truths(torch.all, True)


@implements(np.count_nonzero)
def _count_nonzero(a: Any, axis: Any = None, *, keepdims: Any = False) -> Tensor:
    return _sum((_tensor(a) != 0).to(torch.int64), axis, keepdims=keepdims)


def _arg(operate: Callable) -> Callable:
    def call(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Tensor:
        a = _tensor(a)
        a = a.to(torch.uint8) if a.dtype is torch.bool else a
        if a.numel() == 0 and (axis is None or not a.shape[_axis(axis, a.ndim)]):
            raise ValueError("attempt to get the position of an extremum of an empty sequence")
        if a.numel() == 0:
            return torch.zeros_like(torch.sum(a, _axis(axis, a.ndim), keepdim=_truth(keepdims)), dtype=torch.int64)
        return operate(a, None if axis is None else _axis(axis, a.ndim), keepdim=_truth(keepdims))

    return call


TABLE[np.argmax] = _arg(torch.argmax)
TABLE[np.argmin] = _arg(torch.argmin)


def _flat_axis(a: Any, axis: Any) -> tuple[Tensor, int]:
    a = _tensor(a)
    return (a.reshape(-1), 0) if axis is None else (a, _axis(axis, a.ndim))


def _scan(operate: Callable) -> Callable:
    def call(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Tensor:
        a, axis = _flat_axis(a, axis)
        return operate(a.to(torch_dtype(dtype)) if _given(dtype) else a, axis)

    return call


TABLE[np.cumsum] = _scan(torch.cumsum)


def _cumulative_product(a: Tensor, axis: int) -> Tensor:
    if not a.ndim or not _overflows(a):
        return torch.cumprod(a, axis)
    return torch.stack(list(itertools.accumulate(a.unbind(axis), operator.mul)), axis)


TABLE[np.cumprod] = _scan(_cumulative_product)


def _complex_order(a: Tensor, axis: int) -> Tensor:
    """The places of sorted complex numbers: by real part, then by imaginary part."""
    order = torch.argsort(a.imag, dim=axis, stable=True)
    return torch.gather(order, axis, torch.argsort(torch.gather(a.real, axis, order), dim=axis, stable=True))


@implements(np.sort)
def _sort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Tensor:
    a, axis = _flat_axis(a, axis)
    if a.is_complex():
        return torch.gather(a, axis, _complex_order(a, axis))
    return torch.sort(a, dim=axis, stable=True).values


@implements(np.argsort)
def _argsort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Tensor:
    a, axis = _flat_axis(a, axis)
    return _complex_order(a, axis) if a.is_complex() else torch.sort(a, dim=axis, stable=True).indices


def _order_statistic(a: Tensor, ordered: Tensor, k: int) -> Tensor:
    """The k-th smallest along the last axis; entries equal to it share the derivative."""
    value = ordered[..., k : k + 1]
    shared = torch.amax(torch.where(a == value, a, torch.full_like(a, -math.inf)), -1)
    return torch.where(torch.isnan(ordered[..., -1]), ordered[..., -1], shared)  # NaN sorts last


@implements(np.median)
def _median(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False) -> Tensor:
    a = _inexact(a)
    if not a.numel() or a.is_complex():
        raise UntranslatedError("no entries, or complex ones")
    flat, shape = _last(a, axis)
    n, ordered = flat.shape[-1], torch.sort(flat.detach(), dim=-1).values
    high = _order_statistic(flat, ordered, n // 2)
    y = high if n % 2 else (_order_statistic(flat, ordered, n // 2 - 1) + high) / 2
    return y.reshape(shape) if _truth(keepdims) else y


@implements(ranked)
def _ranked(a: Tensor, k: int) -> Tensor:
    if a.is_complex():
        return _sort(a)[..., k]
    return _order_statistic(a, torch.sort(a.detach(), dim=-1).values, k)


@implements(np.quantile)
def _quantile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: Any = False,
    *,
    weights: Any = None,
    function: Any = np.quantile,
) -> Tensor:
    if weights is not None or method not in _BETWEEN:
        raise UntranslatedError(f"method={method!r}")
    if not _tensor(a).numel():
        raise UntranslatedError("no entries")
    a, dtype = _inexact(a), None
    if a.dtype in NUMPY_DTYPES and (isinstance(q, Tensor) or type(q) is not float):
        strong = NUMPY_DTYPES.get(q.dtype) if isinstance(q, Tensor) else np.asarray(q).dtype
        given = type(q) if type(q) is int else strong
        dtype = torch_dtype(quantile_dtype(function, NUMPY_DTYPES[a.dtype], given, method))
        a = a.to(torch.promote_types(a.dtype, dtype))
    if function is np.percentile:
        q = q / 100 if isinstance(q, Tensor) and q.dtype in _INEXACT else _places(q) / 100
    watched = q.ravel() if isinstance(q, Tensor) and q.requires_grad else None
    q = _places(q)
    flat, shape = _last(a, axis)
    steps, ordered = flat.shape[-1] - 1, torch.sort(flat.detach(), dim=-1).values
    if method in ("linear", "midpoint") and _has_infinities(ordered):
        raise UntranslatedError("infinities")
    found = []
    for i, place in enumerate(np.ravel(q) * steps):
        low, high = math.floor(place), math.ceil(place)
        share = _BETWEEN[method](place - low)
        y = _order_statistic(flat, ordered, low if share < 1 else high)
        if 0 < share < 1:
            y = y + (_order_statistic(flat, ordered, high) - y) * share
        if watched is not None:  # by how much a larger q takes the rank, and the value with it, upwards
            gap = _order_statistic(flat, ordered, min(low + 1, steps)) - _order_statistic(flat, ordered, low)
            y = y + gap * ((watched[i] - watched[i].detach()) * (steps if method == "linear" else 0))
        found.append(y.reshape(shape) if _truth(keepdims) else y)
    y = torch.stack(found).reshape(q.shape + found[0].shape)
    return y if dtype is None else y.to(dtype)


def _has_infinities(ordered: Tensor) -> bool:
    if torch.compiler.is_compiling() or torch._C._functorch.is_functorch_wrapped_tensor(ordered):
        return False
    return bool(torch.isinf(ordered).any())


# How far from the lower to the higher neighbour, from the fraction of the way.
_BETWEEN: dict[str, Callable] = {
    "linear": lambda t: t,
    "lower": lambda t: 0,
    "higher": lambda t: 1,
    "midpoint": lambda t: 0.5 if t else 0,
}


@implements(np.percentile)
def _percentile(a: Any, q: Any, *args: Any, **kwargs: Any) -> Tensor:
    return _quantile(a, q, *args, **kwargs, function=np.percentile)


def _without_nan(reduce: Any, neutral: float) -> Callable:
    def call(a: Any, *args: Any, **kwargs: Any) -> Tensor:
        a = _tensor(a)
        if a.dtype in _INEXACT:
            a = torch.where(torch.isnan(a), torch.full_like(a, neutral), a)
        return TABLE[reduce](a, *args, **kwargs)

    return call


TABLE[np.nansum] = _without_nan(np.sum, 0.0)
TABLE[np.nanprod] = _without_nan(np.prod, 1.0)
TABLE[np.nancumsum] = _without_nan(np.cumsum, 0.0)
TABLE[np.nancumprod] = _without_nan(np.cumprod, 1.0)


def _nan_extremes(reduce: Any, neutral: float) -> Callable:
    without = _without_nan(reduce, neutral)

    def call(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Tensor:
        a = _inexact(a)
        y = without(a, axis, None, keepdims)
        missing = TABLE[np.all](torch.isnan(a), axis, None, keepdims)
        return torch.where(missing, torch.full_like(y, math.nan), y)

    return call


TABLE[np.nanmax] = _nan_extremes(np.max, -math.inf)
TABLE[np.nanmin] = _nan_extremes(np.min, math.inf)


@implements(np.nanmean)
def _nanmean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False) -> Tensor:
    a = _inexact(a)
    return _mean(a, axis, dtype, keepdims=keepdims, where=~torch.isnan(a))


def _nan_moments(function: Any) -> Callable:
    def call(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0, keepdims: Any = False
    ) -> Tensor:
        a = _inexact(a)
        kept = ~torch.isnan(a)
        a = torch.where(kept, a, torch.zeros_like(a))
        count = _sum(kept, axis, keepdims=True)
        centred = torch.where(kept, a - _sum(a, axis, keepdims=True) / count, torch.zeros_like(a))
        total = _sum(torch.abs(centred) ** 2, axis, keepdims=_truth(keepdims))
        variance = total / (count.reshape(total.shape) - ddof).to(total.dtype)
        return variance if function is np.nanvar else _root(variance)

    return call


TABLE[np.nanvar] = _nan_moments(np.nanvar)
TABLE[np.nanstd] = _nan_moments(np.nanstd)


@implements(np.diff)
def _diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = _NOT_GIVEN, append: Any = _NOT_GIVEN) -> Tensor:
    a = _tensor(a)
    axis = _axis(axis, a.ndim)
    ends = []
    for end in (prepend, append):
        if end is not _NOT_GIVEN:
            a, end = _promoted(a, _tensor(end, a))
            if end.ndim == 0:
                end = end.expand([1 if k == axis else m for k, m in enumerate(a.shape)])
        ends.append(None if end is _NOT_GIVEN else end)
    return torch.diff(a, n, axis, *ends)


# -- shape -------------------------------------------------------------------------------------------------------------

TABLE[np.shape] = lambda a: tuple(_tensor(a).shape)
TABLE[np.ndim] = lambda a: _tensor(a).ndim


@implements(np.size)
def _size(a: Any, axis: Any = None) -> int:
    shape = _tensor(a).shape
    return math.prod(shape) if axis is None else math.prod([shape[k] for k in _axes(axis, len(shape))])


@implements(np.reshape)
def _reshape(a: Any, /, shape: Any = None, order: str = "C", *, newshape: Any = None, copy: Any = None) -> Tensor:
    a = _tensor(a)
    shape = newshape if shape is None else shape
    shape = tuple([operator.index(n) for n in shape]) if isinstance(shape, (tuple, list)) else (operator.index(shape),)
    if math.prod(shape) != a.numel() and -1 not in shape:
        raise ValueError(f"cannot reshape array of size {a.numel()} into shape {shape}")
    if order == "F":
        return _reversed_axes(_reversed_axes(a).reshape(shape[::-1]))
    return a.reshape(shape)


def _reversed_axes(a: Tensor) -> Tensor:
    return a.permute(tuple(range(a.ndim - 1, -1, -1)))


@implements(np.ravel)
def _ravel(a: Any, order: str = "C") -> Tensor:
    return _reshape(a, -1, "F" if order == "F" else "C")


@implements(np.transpose)
def _transpose(a: Any, axes: Any = None) -> Tensor:
    a = _tensor(a)
    if axes is None:
        return _reversed_axes(a)
    if len(axes) != a.ndim:
        raise ValueError("axes don't match array")
    return a.permute(tuple([operator.index(k) for k in axes]))


@implements(np.swapaxes)
def _swapaxes(a: Any, axis1: int, axis2: int) -> Tensor:
    return torch.swapaxes(_tensor(a), axis1, axis2)


@implements(np.matrix_transpose, np.linalg.matrix_transpose)
def _matrix_transpose(x: Any, /) -> Tensor:
    return torch.swapaxes(_tensor(x), -1, -2)


@implements(np.moveaxis)
def _moveaxis(a: Any, source: Any, destination: Any) -> Tensor:
    return torch.movedim(_tensor(a), _ints(source), _ints(destination))


def _ints(value: Any) -> Any:
    return tuple([operator.index(v) for v in value]) if isinstance(value, (tuple, list)) else operator.index(value)


@implements(np.expand_dims)
def _expand_dims(a: Any, axis: Any) -> Tensor:
    a = _tensor(a)
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = _axes(axes, a.ndim + len(axes))
    shape = list(a.shape)
    for k in sorted(axes):
        shape.insert(k, 1)
    return a.reshape(shape)


@implements(np.squeeze)
def _squeeze(a: Any, axis: Any = None) -> Tensor:
    a = _tensor(a)
    axes = [k for k, n in enumerate(a.shape) if n == 1] if axis is None else _axes(axis, a.ndim)
    if any(a.shape[k] != 1 for k in axes):
        raise ValueError("cannot select an axis to squeeze out which has size not equal to one")
    return a.reshape([n for k, n in enumerate(a.shape) if k not in axes])


def _joined(arrays: Any) -> list:
    items = list(arrays)
    first = _first_tensor(items)
    return _promoted(*[_tensor(a, first) for a in items])


def _cast(tensors: list, dtype: Any) -> list:
    return tensors if dtype is None else [t.to(torch_dtype(dtype)) for t in tensors]


@implements(np.concatenate)
def _concatenate(arrays: Any, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: Any = None) -> Tensor:
    tensors = _cast(_joined(arrays), dtype)
    if axis is None:
        return torch.cat([t.reshape(-1) for t in tensors])
    if any(t.ndim != tensors[0].ndim for t in tensors) or not tensors[0].ndim:
        raise ValueError("all the input array dimensions must match, and be at least one, to concatenate")
    return torch.cat(tensors, _axis(axis, tensors[0].ndim))


@implements(np.stack)
def _stack(arrays: Any, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: Any = None) -> Tensor:
    if any(_tensor(a).shape != _tensor(arrays[0]).shape for a in arrays):
        raise ValueError("all input arrays must have the same shape")
    return torch.stack(_cast(_joined(arrays), dtype), axis)


def _joins(join: Callable) -> Callable:
    return lambda tup, *, dtype=None, casting=None: join(_cast(_joined(tup), dtype))


TABLE[np.vstack] = _joins(torch.vstack)
TABLE[np.hstack] = _joins(torch.hstack)
TABLE[np.dstack] = _joins(torch.dstack)
TABLE[np.column_stack] = lambda tup: torch.column_stack(_joined(tup))


@implements(np.append)
def _append(arr: Any, values: Any, axis: Any = None) -> Tensor:
    return _concatenate((arr, values), axis)


@implements(np.array_split)
def _array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list:
    ary = _tensor(ary)
    axis = _axis(axis, ary.ndim)
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()
    n = ary.shape[axis]
    if isinstance(indices_or_sections, (list, tuple)):
        points = [slice(0, n).indices(n)[0], *[operator.index(i) for i in indices_or_sections], n]
    else:
        sections = operator.index(indices_or_sections)
        size, extra = divmod(n, sections)
        points = [k * size + min(k, extra) for k in range(sections + 1)]
    lead = (slice(None),) * axis
    return [get_item(ary, (*lead, slice(i, j))) for i, j in itertools.pairwise(points)]


@implements(np.split)
def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list:
    if isinstance(indices_or_sections, range):
        indices_or_sections = list(indices_or_sections)
    if not isinstance(indices_or_sections, (list, tuple, Tensor)) and _tensor(ary).shape[axis] % indices_or_sections:
        raise ValueError("array split does not result in an equal division")
    return _array_split(ary, indices_or_sections, axis)


TABLE[np.vsplit] = lambda ary, indices_or_sections: _split(ary, indices_or_sections, 0)
TABLE[np.hsplit] = lambda ary, indices_or_sections: _split(ary, indices_or_sections, 1 if _tensor(ary).ndim > 1 else 0)
TABLE[np.dsplit] = lambda ary, indices_or_sections: _split(ary, indices_or_sections, 2)


@implements(np.broadcast_to)
def _broadcast_to(array: Any, shape: Any, subok: bool = False) -> Tensor:
    return torch.broadcast_to(_tensor(array), _shape(shape))


@implements(np.broadcast_arrays)
def _broadcast_arrays(*args: Any, subok: bool = False) -> tuple:
    first = _first_tensor(args)
    return tuple(torch.broadcast_tensors(*[_tensor(a, first) for a in args]))


@implements(np.tile)
def _tile(A: Any, reps: Any) -> Tensor:
    return torch.tile(_tensor(A), _shape(reps))


@implements(np.repeat)
def _repeat(a: Any, repeats: Any, axis: Any = None) -> Tensor:
    a, axis = _flat_axis(a, axis)
    if isinstance(repeats, (list, tuple)):
        repeats = torch.tensor([operator.index(r) for r in repeats], device=a.device)
    if isinstance(repeats, Tensor):
        return torch.repeat_interleave(a, repeats.to(torch.int64).expand(a.shape[axis]), dim=axis)
    return torch.repeat_interleave(a, operator.index(repeats), dim=axis)


@implements(np.flip)
def _flip(m: Any, axis: Any = None) -> Tensor:
    m = _tensor(m)
    return torch.flip(m, _axes(axis, m.ndim))


TABLE[np.flipud] = lambda m: _flip(m, 0)
TABLE[np.fliplr] = lambda m: _flip(m, 1)
TABLE[np.rot90] = lambda m, k=1, axes=(0, 1): torch.rot90(_tensor(m), k, axes)


@implements(np.roll)
def _roll(a: Any, shift: Any, axis: Any = None) -> Tensor:
    a, shift = _tensor(a), _ints(shift)
    if axis is None:
        return torch.roll(a, sum(shift) if isinstance(shift, tuple) else shift)
    axes = _axes(axis, a.ndim)
    shifts = shift if isinstance(shift, tuple) else (shift,) * len(axes)
    return torch.roll(a, shifts, axes * len(shifts) if len(axes) < len(shifts) else axes)


def _at_least(ndim: int) -> Callable:
    reshape = {1: torch.atleast_1d, 2: torch.atleast_2d, 3: torch.atleast_3d}[ndim]

    def call(*arys: Any) -> Any:
        results = tuple([reshape(_tensor(a)) for a in arys])
        return results[0] if len(results) == 1 else results

    return call


TABLE[np.atleast_1d], TABLE[np.atleast_2d], TABLE[np.atleast_3d] = _at_least(1), _at_least(2), _at_least(3)


def _triangle(operate: Callable) -> Callable:
    def call(m: Any, k: int = 0) -> Tensor:
        m = _tensor(m)
        return operate(m.expand(m.shape[0], m.shape[0]) if m.ndim == 1 else m, k)

    return call


TABLE[np.triu] = _triangle(torch.triu)
TABLE[np.tril] = _triangle(torch.tril)


@implements(np.diag)
def _diag(v: Any, k: int = 0) -> Tensor:
    v = _tensor(v)
    return torch.diag_embed(v, k) if v.ndim == 1 else torch.diagonal(v, k)


TABLE[np.diagflat] = lambda v, k=0: torch.diag_embed(_tensor(v).reshape(-1), k)
TABLE[np.diagonal] = lambda a, offset=0, axis1=0, axis2=1: torch.diagonal(_tensor(a), offset, axis1, axis2)
TABLE[np.linalg.diagonal] = lambda x, /, *, offset=0: torch.diagonal(_tensor(x), offset, -2, -1)


@implements(np.trace)
def _trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Tensor:
    return _sum(torch.diagonal(_tensor(a), offset, axis1, axis2), -1, dtype)


TABLE[np.linalg.trace] = lambda x, /, *, offset=0, dtype=None: _trace(x, offset, -2, -1, dtype)


@implements(np.pad)
def _pad(array: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> Tensor:
    array = _tensor(array)
    if isinstance(pad_width, dict):
        widths = [(0, 0)] * array.ndim
        for k, width in pad_width.items():
            widths[_axis(k, array.ndim)] = width if isinstance(width, (tuple, list)) else (width, width)
    else:
        pad_width = pad_width.tolist() if isinstance(pad_width, Tensor) else pad_width
        widths = np.broadcast_to(np.asarray(pad_width), (array.ndim, 2)).tolist()
    if mode in ("constant", "empty"):
        values = options.get("constant_values", 0)
        for k, (before, after) in enumerate(widths):
            blocks = []
            for side, n in enumerate((before, after)):
                value = _pad_value(values, k, side)
                shape = [n if j == k else m for j, m in enumerate(array.shape)]
                blocks.append(_tensor(value, array).to(array.dtype).expand(shape))
            array = torch.cat([blocks[0], array, blocks[1]], k)
        return array
    if mode not in ("edge", "reflect", "symmetric", "wrap") or options.get("reflect_type", "even") != "even":
        raise UntranslatedError(f"mode={mode!r}")
    for k, width in enumerate(widths):
        places = np.pad(np.arange(array.shape[k]), width, mode=mode)
        array = torch.index_select(array, k, torch.from_numpy(places).to(array.device))
    return array


def _pad_value(values: Any, axis: int, side: int) -> Any:
    """The constant before (side 0) or after (side 1) the given axis: NumPy broadcasts them to (axes, 2)."""
    if isinstance(values, Tensor):
        return torch.broadcast_to(values, (max(axis + 1, len(values) if values.ndim == 2 else 1), 2))[axis, side]
    if not isinstance(values, (tuple, list)):
        return values
    if isinstance(values[0], (tuple, list)):
        values = values[axis if len(values) > 1 else 0]
    return values[side if len(values) > 1 else 0]


@implements(np.take)
def _take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Tensor:
    a = _tensor(a)
    a, axis = (a.reshape(-1), 0) if axis is None else (a, _axis(axis, a.ndim))
    places = _places(indices)
    places = places if places.size or type(indices) is not list else places.astype(np.intp)
    n = a.shape[axis]
    places = places % n if mode == "wrap" else np.clip(places, 0, n - 1) if mode == "clip" else places
    return get_item(a, (slice(None),) * axis + (places,))


def _places(indices: Any) -> np.ndarray:
    return indices.detach().cpu().numpy() if isinstance(indices, Tensor) else np.asarray(indices)


@implements(np.take_along_axis)
def _take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Tensor:
    arr = _tensor(arr)
    indices = _tensor(indices, arr)
    if indices.dtype in _INEXACT:
        raise IndexError("`indices` must be an integer array")
    indices = indices.to(torch.int64)
    arr, axis = (arr.reshape(-1), 0) if axis is None else (arr, _axis(axis, arr.ndim))
    return torch.take_along_dim(arr, torch.where(indices < 0, indices + arr.shape[axis], indices), axis)


@implements(np.bincount)
def _bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Tensor:
    x = _tensor(x, weights).to(torch.int64)
    if not x.numel():
        return torch.zeros(minlength, dtype=torch.int64, device=x.device)
    n = max(int(minlength), int(x.max()) + 1 if x.numel() else 0)
    weights = torch.ones_like(x) if weights is None else _tensor(weights, x).to(torch.float64)
    return torch.zeros(n, dtype=weights.dtype, device=x.device).index_add(0, x, weights)


@implements(np.copy)
def _copy(x: Any, order: str = "K", **options: Any) -> Tensor:
    return _tensor(x).clone(memory_format=torch.contiguous_format if order == "C" else torch.preserve_format)


@implements(np.astype)
def _astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Tensor:
    x, dtype = _tensor(x), torch_dtype(dtype)
    if x.is_complex() and not dtype.is_complex:
        x = x != 0 if dtype is torch.bool else torch.real(x)
    return x.clone() if x.dtype is dtype else x.to(dtype)


def _like(fill: Callable) -> Callable:
    def call(
        a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **other: Any
    ) -> Tensor:
        a = _tensor(a)
        shape = a.shape if not _given(shape) else _shape(shape)
        return fill(shape, dtype=a.dtype if dtype is None else torch_dtype(dtype), device=a.device)

    return call


def _shape(shape: Any) -> tuple:
    return _ints(shape) if isinstance(shape, (tuple, list)) else (operator.index(shape),)


TABLE[np.zeros_like] = TABLE[np.empty_like] = _like(torch.zeros)
TABLE[np.ones_like] = _like(torch.ones)


@implements(np.full_like)
def _full_like(
    a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **other: Any
) -> Tensor:
    a = _tensor(a)
    dtype = a.dtype if dtype is None else torch_dtype(dtype)
    return _tensor(fill_value, a).to(dtype).expand(a.shape if not _given(shape) else _shape(shape)).clone()


def _made(make: Callable) -> Callable:
    """A constructor called with ``like=``: NumPy makes the array, the face makes it one that can be written to."""
    return lambda *args, **kwargs: from_numpy(make(*args, **kwargs))


for _constructor in (np.zeros, np.ones, np.empty, np.arange, np.eye, np.identity):
    TABLE[_constructor] = _made(_constructor)


@implements(np.full)
def _full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C", *, device: Any = None) -> Tensor:
    filled = _tensor(fill_value).expand(_shape(shape)).clone()
    return filled if dtype is None else filled.to(torch_dtype(dtype))


@implements(np.array, np.asarray, np.asanyarray, np.ascontiguousarray)
def _asarray(a: Any, dtype: Any = None, **options: Any) -> Tensor:
    a = _tensor(a).clone()
    return a if dtype is None else _astype(a, dtype)


@implements(np.linspace)
def _linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    **other: Any,
) -> Any:
    first = _first_tensor((start, stop))
    start, stop = [_inexact(x) for x in _promoted(_tensor(start, first), _tensor(stop, first))]
    divisions = num - 1 if endpoint else num
    step = (stop - start) / divisions if divisions > 0 else torch.full_like(stop - start, math.nan)
    start, stop = torch.broadcast_tensors(start, stop)
    ramp = torch.arange(num, dtype=start.dtype, device=start.device).reshape([-1] + [1] * start.ndim)
    y = start + ramp * step if divisions > 0 else start + ramp * 0
    if endpoint and num > 1:
        y = torch.cat([y[:-1], stop.unsqueeze(0)])
    y = torch.movedim(y, 0, axis)
    y = y if dtype is None else _astype(y, dtype)
    return (y, step) if retstep else y


# -- indexing ----------------------------------------------------------------------------------------------------------


def get_item(x: Tensor, index: Any) -> Tensor:
    """``x[index]`` with NumPy's meaning of every index."""
    kind = type(index)
    if kind is int or index is Ellipsis or index is None:
        return _checked(x, index)
    if kind is slice:
        if index.step is None or operator.index(index.step) > 0:
            return _checked(x, index)
        return _reversed_slices(x, (index,))
    if kind is not tuple:
        if not _advanced(index):
            return _checked(x, index)
        return x[_native_index(index, x)] if _is_plain(index) or isinstance(index, Tensor) else _by_number(x, index)
    advanced = [i for i in index if _advanced(i)]
    if not advanced:
        if any(type(i) is slice and not _forward(i) for i in index):
            return _reversed_slices(x, index)
        return _checked(x, index)
    # Single integers and booleans among arrays, empty arrays, and negative steps, mean something else to torch.
    if all(_is_plain(i) if _advanced(i) else _forward(i) for i in index):
        return x[tuple([_native_index(i, x) if _advanced(i) else i for i in index])]
    return _by_number(x, index)


def _is_plain(index: Any) -> bool:
    """Whether an array among indices means to torch what it means to NumPy: it has dimensions and entries."""
    if isinstance(index, Tensor):
        return index.ndim > 0 and index.numel() > 0
    return not isa(index, (bool, np.bool_)) and np.ndim(index) > 0 and np.size(index) > 0


def _by_number(x: Tensor, index: Any) -> Tensor:
    """``x[index]`` by the numbers of the elements, which NumPy's own indexing tells."""
    places = _numbered(x)[index]
    return x.reshape(-1)[torch.from_numpy(np.array(places, order="C")).to(x.device)]  # also without dimensions


def _checked(x: Tensor, index: Any) -> Tensor:
    if index is Ellipsis:
        return x.view_as(x)
    return x[index]


def _advanced(index: Any) -> bool:
    return isa(index, (np.ndarray, list, Tensor, bool, np.bool_))


def _native_index(index: Any, x: Tensor) -> Tensor:
    if isinstance(index, Tensor):
        return index
    array = np.asarray(index)
    if array.size == 0 and array.dtype.kind == "f":
        array = array.astype(np.int64)
    if array.dtype.kind not in "iub":
        raise IndexError("arrays used as indices must be of integer (or boolean) type")
    # A copy: f may write into its own index before the pass backward.
    array = array.astype(np.int64) if array.dtype.kind != "b" else array.copy()
    if not array.flags.writeable or any(s < 0 for s in array.strides):
        array = np.ascontiguousarray(array)
    return torch.from_numpy(array).to(x.device) if x.device.type != "cpu" else torch.from_numpy(array)


def _numbered(x: Tensor) -> np.ndarray:
    """The element numbers of x in its shape: NumPy's own indexing on them says which elements an index means."""
    return np.arange(x.numel()).reshape(tuple(x.shape))


def _reversed_slices(x: Tensor, index: tuple) -> Tensor:
    """Basic indexing with negative steps, which torch lacks: the same elements forwards, then flipped."""
    forward, flips, axis, out = [], [], 0, 0
    consumed = sum(1 for i in index if i is not None and i is not Ellipsis)
    for i in index:
        if i is None:
            out += 1
        elif i is Ellipsis:
            axis, out = axis + x.ndim - consumed, out + x.ndim - consumed
        elif type(i) is slice:
            places = range(*i.indices(x.shape[axis]))
            if places.step < 0:
                flips.append(out)
                i = slice(places[-1], places[0] + 1, -places.step) if len(places) else slice(0, 0)
            axis, out = axis + 1, out + 1
        else:
            axis += 1
        forward.append(i)
    return torch.flip(x[tuple(forward)], flips)


def set_item(x: Tensor, index: Any, value: Any) -> tuple[Tensor, bool]:
    """A copy of x with ``[index]`` replaced, and whether that was all of it: then nothing of x is left."""
    value = _tensor(value, x)
    if value.is_complex() and not x.is_complex():
        raise TypeError(f"a complex value was written into a real array ({user_line()}): make the array complex first")
    if value.dtype is not x.dtype:
        value = value.to(x.dtype)
    if _covers(x, index):
        kept = torch.contiguous_format if x.is_contiguous() else torch.preserve_format  # x stays in its memory order
        return _shrunk(value, x.shape).expand(x.shape).clone(memory_format=kept), True
    if _simple(index):
        new = x.clone()
        new[index] = value
        return new, False
    places = np.array(_numbered(x)[index], order="C")
    value = _shrunk(value, places.shape).expand(places.shape).reshape(-1)
    flat = places.reshape(-1)
    # Where an element is written twice the last one counts, for the derivative too.
    _, last = np.unique(flat[::-1], return_index=True)
    if len(last) < len(flat):
        keep = np.sort(len(flat) - 1 - last)
        flat, value = flat[keep], value[torch.from_numpy(keep).to(x.device)]
    at = torch.from_numpy(np.ascontiguousarray(flat)).to(x.device)
    return x.reshape(-1).index_put((at,), value).reshape(x.shape), False


def _covers(x: Tensor, index: Any) -> bool:
    """Whether an index stands for all of x, in order."""
    items = index if type(index) is tuple else (index,)
    axis = 0
    for i in items:
        if i is Ellipsis:
            axis = x.ndim - (len(items) - items.index(Ellipsis) - 1) if len(items) > 1 else x.ndim
        elif type(i) is slice and axis < x.ndim and i.indices(x.shape[axis]) == (0, x.shape[axis], 1):
            axis += 1
        else:
            return False
    return True


def _forward(index: Any) -> bool:
    """A part of an index that is basic, no integer, and no step backwards."""
    return index is Ellipsis or index is None or (type(index) is slice and (index.step is None or index.step > 0))


def _simple(index: Any) -> bool:
    """Whether torch writes to this basic index as NumPy does."""
    return all(type(i) is int or _forward(i) for i in (index if type(index) is tuple else (index,)))


def _shrunk(value: Tensor, shape: tuple) -> Tensor:
    """value without the surplus leading 1s that NumPy allows in an assignment."""
    while value.ndim > len(shape) and value.shape[0] == 1:
        value = value[0]
    return value


# -- products ----------------------------------------------------------------------------------------------------------


@implements(np.matmul)
def _matmul(a: Any, b: Any) -> Tensor:
    if not (isinstance(a, Tensor) and isinstance(b, Tensor) and a.dtype is b.dtype):
        a, b = _promoted(a, b)
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError("matmul: a scalar operand does not have enough dimensions")
    try:
        return torch.matmul(a, b)
    except RuntimeError as error:
        raise ValueError(f"matmul: operands of shapes {tuple(a.shape)} and {tuple(b.shape)} do not fit") from error


TABLE[np.linalg.matmul] = lambda x1, x2, /: _matmul(x1, x2)


# Its annotation knows a number of axes only.
_native_tensordot: Any = torch.tensordot


@implements(np.dot)
def _dot(a: Any, b: Any, out: Any = None) -> Tensor:
    a, b = _promoted(a, b)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    if a.ndim <= 2 and b.ndim <= 2:
        return _matmul(a, b)
    return _native_tensordot(a, b, dims=([a.ndim - 1], [max(b.ndim - 2, 0)]))


@implements(np.inner)
def _inner(a: Any, b: Any, /) -> Tensor:
    a, b = _promoted(a, b)
    return a * b if a.ndim == 0 or b.ndim == 0 else _native_tensordot(a, b, dims=([a.ndim - 1], [b.ndim - 1]))


@implements(np.vdot)
def _vdot(a: Any, b: Any, /) -> Tensor:
    a, b = _promoted(a, b)
    return torch.vdot(a.reshape(-1), b.reshape(-1))


@implements(np.outer)
def _outer(a: Any, b: Any, out: Any = None) -> Tensor:
    a, b = _promoted(a, b)
    return torch.outer(a.reshape(-1), b.reshape(-1))


TABLE[np.linalg.outer] = lambda x1, x2, /: _outer(x1, x2)


@implements(np.tensordot)
def _tensordot(a: Any, b: Any, axes: Any = 2) -> Tensor:
    a, b = _promoted(a, b)
    if not isinstance(axes, (tuple, list)):
        return torch.tensordot(a, b, dims=operator.index(axes))
    left, right = axes
    return _native_tensordot(a, b, dims=(list(_axes(left, a.ndim)), list(_axes(right, b.ndim))))


TABLE[np.linalg.tensordot] = lambda x1, x2, /, *, axes=2: _tensordot(x1, x2, axes)


@implements(np.einsum)
def _einsum(*operands: Any, out: Any = None, optimize: Any = False, **options: Any) -> Tensor:
    if isinstance(operands[0], str):
        return torch.einsum(operands[0].replace(" ", ""), *_promoted(*[_tensor(o) for o in operands[1:]]))
    arrays = _promoted(*[_tensor(o) for o in operands[0:-1:2] if not _is_sublist(o)])
    sublists = [list(s) for s in operands[1 : 2 * len(arrays) : 2]]
    mixed = [x for pair in zip(arrays, sublists, strict=True) for x in pair]
    return torch.einsum(*mixed, *[list(o) for o in operands[2 * len(arrays) :]])


def _is_sublist(o: Any) -> bool:
    return isinstance(o, (list, tuple)) and all(isa(i, int) or i is Ellipsis for i in o)


@implements(np.kron)
def _kron(a: Any, b: Any) -> Tensor:
    return torch.kron(*_promoted(a, b))


@implements(np.vecdot)
def _vecdot(x1: Any, x2: Any, axis: int = -1) -> Tensor:
    return torch.linalg.vecdot(*torch.broadcast_tensors(*_promoted(x1, x2)), dim=axis)


TABLE[np.linalg.vecdot] = lambda x1, x2, /, *, axis=-1: _vecdot(x1, x2, axis)


@implements(np.cross)
def _cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None) -> Tensor:
    a, b = _promoted(a, b)
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = torch.movedim(a, axisa, -1), torch.movedim(b, axisb, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ValueError("both input arrays must be (arrays of) 3-dimensional vectors")
    a, b = torch.broadcast_tensors(a, b)
    return torch.movedim(torch.linalg.cross(a, b, dim=-1), -1, axisc)


TABLE[np.linalg.cross] = lambda x1, x2, /, *, axis=-1: _cross(x1, x2, axis=axis)


def _windows(a: Tensor, v: Tensor, mode: str) -> Tensor:
    """Sums of products of v with every window of a (no reversal), NumPy's correlate for real v."""
    n, m = a.shape[0], v.shape[0]
    if not n or not m:
        raise ValueError("an operand of np.convolve or np.correlate is empty")
    margin = {"valid": 0, "same": m // 2, "full": m - 1}[mode]
    padded = torch.cat([a.new_zeros(margin), a, a.new_zeros(margin)])
    y = padded.unfold(0, m, 1) @ v
    return y[: max(n, m)] if mode == "same" else y


def _mode(mode: Any) -> str:
    modes: dict[Any, Any] = {0: "valid", 1: "same", 2: "full", "v": "valid", "s": "same", "f": "full"}
    return modes.get(mode, mode)


@implements(np.convolve)
def _convolve(a: Any, v: Any, mode: Any = "full") -> Tensor:
    a, v = [torch.atleast_1d(x) for x in _promoted(a, v)]
    if v.shape[0] > a.shape[0]:
        a, v = v, a
    m, mode = v.shape[0], _mode(mode)
    full = _windows(a, v.flip(0), "full")
    if mode == "full":
        return full
    start, count = ((m - 1) // 2, a.shape[0]) if mode == "same" else (m - 1, a.shape[0] - m + 1)
    return full[start : start + count]


@implements(np.correlate)
def _correlate(a: Any, v: Any, mode: Any = "valid") -> Tensor:
    a, v = [torch.atleast_1d(x) for x in _promoted(a, v)]
    v = torch.conj(v)
    n, m, mode = a.shape[0], v.shape[0], _mode(mode)
    full = _windows(a, v, "full") if n >= m else _windows(v, a, "full").flip(0)
    if mode == "full":
        return full
    short, long = min(n, m), max(n, m)
    # NumPy centres with the odd sample on the left, on the right when the operands had to be swapped.
    start = short // 2 if n >= m else (short - 1) // 2
    start = short - 1 - (short - 1 - start if n >= m else start) if mode == "same" else short - 1
    if mode == "same":
        start = (short - 1) // 2 if n >= m else short // 2
    return full[start : start + (long if mode == "same" else long - short + 1)]


# -- linear algebra ----------------------------------------------------------------------------------------------------

_EighResult = type(np.linalg.eigh(np.eye(1)))
_EigResult = type(np.linalg.eig(np.eye(1)))
_SVDResult: Any = type(np.linalg.svd(np.eye(1)))
_QRResult = type(np.linalg.qr(np.eye(1)))
_SlogdetResult = type(np.linalg.slogdet(np.eye(1)))


def _linalg(*functions: Any) -> Callable:
    """Like ``implements``, for what raises NumPy's LinAlgError where torch raises its own."""

    def enter(implementation: Callable) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return implementation(*args, **kwargs)
            except torch.linalg.LinAlgError as error:  # pyright: ignore[reportPrivateImportUsage]
                raise np.linalg.LinAlgError(str(error)) from error

        for function in functions:
            TABLE[function] = call
        return call

    return enter


def _square(a: Any) -> Tensor:
    a = _inexact(a)
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise np.linalg.LinAlgError("Last 2 dimensions of the array must be square")
    return a


@_linalg(np.linalg.solve)
def _solve(a: Any, b: Any) -> Tensor:
    a, b = _promoted(a, b)
    a, b = _square(a), _inexact(b)
    if b.ndim == 1:
        return torch.linalg.solve(a, b.unsqueeze(-1)).squeeze(-1)
    return torch.linalg.solve(a, b.expand(*a.shape[:-2], *b.shape[-2:]) if b.ndim < a.ndim else b)


@_linalg(np.linalg.inv)
def _inv(a: Any) -> Tensor:
    return torch.linalg.inv(_square(a))


class _Determinant(torch.autograd.Function):
    """det with the cofactor matrix for derivative: exact for singular matrices, to any order."""

    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor) -> Tensor:
        return torch.linalg.det(a)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (a,) = ctx.saved_tensors
        return g[..., None, None] * torch.conj(_cofactors(a))


def _cofactors(a: Tensor) -> Tensor:
    """∂det/∂a: every minor with its sign."""
    n = a.shape[-1]
    if n == 1:
        return torch.ones_like(a)
    if n == 2:
        rows = [torch.stack([a[..., 1, 1], -a[..., 1, 0]], -1), torch.stack([-a[..., 0, 1], a[..., 0, 0]], -1)]
        return torch.stack(rows, -2)
    others = torch.tensor([[j for j in range(n) if j != i] for i in range(n)], device=a.device)
    # minors[..., i, j] is a without row i and column j.
    minors = a[..., others, :][..., others].movedim(-2, -3)
    signs = (-1.0) ** (torch.arange(n, device=a.device)[:, None] + torch.arange(n, device=a.device))
    return _determinant(minors) * signs.to(a.dtype)


# Up to this size minors are cheap enough to be the derivative of every singular matrix.
_LARGEST_MINORS = 40


def _determinant(a: Tensor) -> Tensor:
    d = torch.linalg.det(a)
    if not a.requires_grad or a.shape[-1] <= 1:
        return d if a.shape[-1] != 1 else a[..., 0, 0]
    if a.shape[-1] <= 3:
        return _Determinant.apply(a)
    # Far from singular, det·inv is exact and cheap; the test compares det with the product of the row lengths.
    size = torch.linalg.vector_norm(a.detach(), dim=-1).prod(-1)
    if bool((torch.abs(d.detach()) > 1e-8 * size).all()):
        return d
    if a.shape[-1] > _LARGEST_MINORS:
        raise UnsupportedError(
            f"np.linalg.det of a (nearly) singular {a.shape[-1]}×{a.shape[-1]} matrix at {user_line()}: its derivative "
            "would lose all digits. Use np.linalg.slogdet, or a smaller matrix."
        )
    return _Determinant.apply(a)


@_linalg(np.linalg.det)
def _det(a: Any) -> Tensor:
    return _determinant(_square(a))


@_linalg(np.linalg.slogdet)
def _slogdet(a: Any) -> Any:
    return _SlogdetResult(*torch.linalg.slogdet(_square(a)))


@_linalg(np.linalg.cholesky)
def _cholesky(a: Any, /, *, upper: bool = False) -> Tensor:
    a = _square(a)
    if a.is_complex():  # torch's own cotangent is not Hermitian: the slope is that of the Hermitian part
        half = (a + _conjugate_transpose(a)) / 2
        a = half + (a - half).detach()
    return _upper(a) if upper else torch.linalg.cholesky(a)


def _upper(a: Tensor) -> Tensor:
    return _conjugate_transpose(torch.linalg.cholesky(_conjugate_transpose(a)))


def _conjugate_transpose(a: Tensor) -> Tensor:
    return torch.conj(a).swapaxes(-1, -2)


class _Undetermined(torch.autograd.Function):
    """Vectors, one a column, some of which have no derivative; ``columns`` says which."""

    generate_vmap_rule = True

    @staticmethod
    def forward(vectors: Tensor, columns: Tensor) -> Tensor:
        return vectors.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.columns, ctx.line = inputs[1], user_line()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        if bool(((g != 0) & ctx.columns[..., None, :]).any()):
            raise refusal(SINGULAR, ctx.line)
        return g, None


def _determined(values: Tensor, *vectors: Tensor) -> list:
    """Vectors, one a column, whose derivative is refused where their values are equal up to rounding."""
    if not vectors[0].requires_grad:
        return list(vectors)
    try:
        blocks = in_blocks(values.detach().cpu().numpy())
    except RuntimeError:  # under torch.func.vmap values cannot be looked at
        return list(vectors)
    if not blocks.any():
        return list(vectors)
    if not (blocks.all() or within_a_rule()):  # of those whose values stand alone, torch's derivative is NaN as well
        raise OwnRuleError
    return [_undetermined(v, torch.from_numpy(blocks).to(v.device)) for v in vectors]


def _undetermined(vectors: Tensor, columns: Tensor) -> Tensor:
    result: Any = _Undetermined.apply(vectors, columns)
    return result


@_linalg(np.linalg.eigh)
def _eigh(a: Any, UPLO: str = "L") -> Any:
    w, v = torch.linalg.eigh(_square(a), UPLO=UPLO.upper())
    return _EighResult(w, *_determined(w, v))


@_linalg(np.linalg.eigvalsh)
def _eigvalsh(a: Any, UPLO: str = "L") -> Tensor:
    return torch.linalg.eigvalsh(_square(a), UPLO=UPLO.upper())


def _real_if_real(a: Tensor, *results: Tensor) -> list:
    """torch's general eigenvalues are complex; NumPy's are real when all imaginary parts vanish."""
    if a.is_complex() or not bool((results[0].detach().imag == 0).all()):
        return list(results)
    return [torch.real(r) for r in results]


@_linalg(np.linalg.eig)
def _eig(a: Any) -> Any:
    a = _square(a)
    w, v = torch.linalg.eig(a)
    return _EigResult(*_real_if_real(a, w, *_determined(w, v)))


@_linalg(np.linalg.eigvals)
def _eigvals(a: Any) -> Tensor:
    a = _square(a)
    return _real_if_real(a, torch.linalg.eigvals(a))[0]


@_linalg(np.linalg.svd)
def _svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    a = _inexact(a)
    if not compute_uv:
        return torch.linalg.svdvals(a)
    k = min(a.shape[-2:])
    # torch differentiates the thin factors only. The rest is fixed up to a rotation by being orthonormal to them.
    u, s, vh = torch.linalg.svd(a, full_matrices=False)
    u, v = _determined(s, u, _conjugate_transpose(vh))
    if full_matrices and a.shape[-1] != a.shape[-2]:
        full_u, _, full_vh = torch.linalg.svd(a.detach(), full_matrices=True)
        if a.shape[-2] > k:
            u = torch.cat([u, _complement(u, full_u[..., :, k:])], -1)
        else:
            v = torch.cat([v, _complement(v, _conjugate_transpose(full_vh)[..., :, k:])], -1)
    return _SVDResult(u, s, _conjugate_transpose(v))


def _complement(basis: Tensor, rest: Tensor) -> Tensor:
    """The columns ``rest``, orthonormal to the columns of ``basis`` wherever those move."""
    x = rest - basis @ (_conjugate_transpose(basis) @ rest)
    factor = torch.linalg.cholesky(_conjugate_transpose(x) @ x)
    return _conjugate_transpose(torch.linalg.solve(factor, _conjugate_transpose(x)))


TABLE[np.linalg.svdvals] = lambda x, /: torch.linalg.svdvals(_inexact(x))


@_linalg(np.linalg.qr)
def _qr(a: Any, mode: str = "reduced") -> Any:
    a = _inexact(a)
    if mode not in ("reduced", "complete", "r"):
        raise UntranslatedError(f"mode={mode!r}")
    q, r = torch.linalg.qr(a, mode="reduced")  # torch's other modes have no derivative
    if r.requires_grad:
        with contextlib.suppress(RuntimeError):  # under torch.func.vmap values cannot be looked at
            sizes = torch.diagonal(r.detach(), 0, -2, -1).abs().cpu().numpy()
            lost = (sizes <= noise(sizes)).any(-1, keepdims=True)
            if lost.any():
                columns = torch.from_numpy(lost).to(q.device)
                q, r = [_undetermined(x, columns.expand(x[..., 0, :].shape)) for x in (q, r)]
    m, n = a.shape[-2:]
    if mode == "complete" and m > n:
        q = torch.cat([q, _complement(q, torch.linalg.qr(a.detach(), mode="complete").Q[..., n:])], -1)
        r = torch.cat([r, r.new_zeros(*r.shape[:-2], m - n, n)], -2)
    return r if mode == "r" else _QRResult(q, r)  # type: ignore[arg-type]


@_linalg(np.linalg.pinv)
def _pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = _NOT_GIVEN) -> Tensor:
    a = _inexact(a)
    rtol = rcond if rcond is not None else rtol
    if rtol is _NOT_GIVEN or rtol is None:
        rtol = 1e-15 if rtol is _NOT_GIVEN else max(a.shape[-2:]) * torch.finfo(a.dtype).eps
    return torch.linalg.pinv(a, rtol=rtol, hermitian=hermitian)


@_linalg(np.linalg.matrix_power)
def _matrix_power(a: Any, n: int) -> Tensor:
    return torch.linalg.matrix_power(_square(a), operator.index(n))


@_linalg(np.linalg.multi_dot)
def _multi_dot(arrays: Any, *, out: Any = None) -> Tensor:
    return torch.linalg.multi_dot(_joined(arrays))


@_linalg(np.linalg.lstsq)
def _lstsq(a: Any, b: Any, rcond: Any = None) -> tuple:
    a, b = _promoted(_inexact(a), _inexact(b))
    rtol = torch.finfo(a.dtype).eps * (max(a.shape) if rcond is None else 0.5) if rcond is None or rcond < 0 else rcond
    s = torch.linalg.svdvals(a)
    if not bool(torch.isfinite(s).all()):
        raise np.linalg.LinAlgError("SVD did not converge in Linear Least Squares")
    rank = np.int32((s > rtol * s[:1]).sum().item())  # they are sorted
    x = torch.linalg.pinv(a, rtol=rtol) @ b
    residuals = b - a @ x
    squares = torch.sum(torch.abs(residuals) ** 2, 0, keepdim=b.ndim == 1)
    if rank < a.shape[1] or a.shape[0] <= a.shape[1]:
        squares = s.new_zeros(0)
    return x, squares, rank, s


def _flat_norm(x: Tensor, order: Any, axes: Any, keepdims: bool) -> Tensor:
    """A vector norm: at 0 its slope is 0 and it has no second derivative."""
    if order == 2:
        squares = torch.sum(torch.abs(x) ** 2 if x.is_complex() else x * x, axes, keepdim=keepdims)
        scale = torch.linalg.vector_norm(x.detach(), 2, axes, keepdims)
        tame = (scale == 0) | (squares.detach() > 1e-280) & (squares.detach() < 1e280)
        if x.dtype in (torch.float64, torch.complex128) and bool(tame.all()):
            return _root(squares)
    if not x.numel():
        raise UntranslatedError("no entries")
    y = torch.linalg.vector_norm(x, order, axes, keepdim=keepdims)
    if order in (0, 1, math.inf, -math.inf):
        return y
    x = torch.abs(x) if x.is_complex() else x
    at = x == 0 if order < 2 else (torch.linalg.vector_norm(x.detach(), 2, axes, True) == 0).expand(x.shape)
    bend = bent(torch.zeros_like(x), at, x)
    return y + torch.sum(bend, axes, keepdim=keepdims) if bend.requires_grad else y


@_linalg(np.linalg.norm)
def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    x = _inexact(x)
    if axis is None and ord is None:
        y = _flat_norm(x.reshape(-1), 2, (0,), False)
        return y.reshape([1] * x.ndim) if keepdims else y
    axes = _axes(axis, x.ndim)
    if len(axes) == 1:
        if ord in ("fro", "nuc"):
            raise ValueError(f"Invalid norm order {ord!r} for vectors")
        return _flat_norm(x, 2 if ord is None else ord, axes, keepdims)
    if len(axes) != 2:
        raise ValueError("Improper number of dimensions to norm.")
    if ord in (None, "fro"):
        return _flat_norm(x, 2, axes, keepdims)
    return torch.linalg.matrix_norm(x, ord, axes, keepdim=keepdims)


@_linalg(np.linalg.vector_norm)
def _vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Tensor:
    x = _inexact(x)
    return _flat_norm(x, ord, _axes(axis, x.ndim), keepdims)


@_linalg(np.linalg.matrix_norm)
def _matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    return _norm(x, ord, (-2, -1), keepdims)


@_linalg(np.linalg.cond)
def _cond(x: Any, p: Any = None) -> Tensor:
    if p not in (None, 2, -2):
        raise UntranslatedError(f"p={p!r}")  # torch overwrites what its own derivative needs
    r = torch.linalg.cond(_inexact(x), p)
    plain = not (torch.compiler.is_compiling() or torch._C._functorch.is_functorch_wrapped_tensor(r))
    if plain and bool(torch.isnan(r.detach()).any()):
        raise UntranslatedError("a singular matrix")
    return r


# -- Fourier transforms ------------------------------------------------------------------------------------------------


def _fft_1d(operate: Callable) -> Callable:
    return lambda a, n=None, axis=-1, norm=None, out=None: operate(_inexact(a), n, axis, norm)


def _fft_nd(operate: Callable, default: Any) -> Callable:
    def call(a: Any, s: Any = None, axes: Any = default, norm: Any = None, out: Any = None) -> Tensor:
        a = _inexact(a)
        axes = _axes(axes, a.ndim) if axes is not None or s is None else tuple(range(a.ndim - len(s), a.ndim))
        s = None if s is None else [a.shape[k] if n == -1 else n for n, k in zip(s, axes, strict=True)]
        return operate(a, s, axes, norm)

    return call


for _name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
    TABLE[getattr(np.fft, _name)] = _fft_1d(getattr(torch.fft, _name))
for _name in ("fft2", "ifft2", "rfft2", "irfft2"):
    TABLE[getattr(np.fft, _name)] = _fft_nd(getattr(torch.fft, _name.replace("2", "n")), (-2, -1))
for _name in ("fftn", "ifftn", "rfftn", "irfftn"):
    TABLE[getattr(np.fft, _name)] = _fft_nd(getattr(torch.fft, _name), None)
TABLE[np.fft.fftshift] = lambda x, axes=None: torch.fft.fftshift(_tensor(x), axes)
TABLE[np.fft.ifftshift] = lambda x, axes=None: torch.fft.ifftshift(_tensor(x), axes)


# -- scipy.special, by name --------------------------------------------------------------------------------------------


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
_SPECIAL: dict[str, Callable] = {
    **{name: _float_unary(getattr(torch.special, name)) for name in _SAME_NAME.split()},
    "psi": _float_unary(torch.special.digamma),
    "log_expit": _float_unary(torch.nn.functional.logsigmoid),
    "gamma": _float_unary(_gamma),
    "rgamma": _float_unary(lambda x: 1 / _gamma(x)),
    "exp10": _float_unary(lambda x: torch.pow(10.0, x)),
    "exp2": TABLE[np.exp2],
    "expm1": TABLE[np.expm1],
    "log1p": TABLE[np.log1p],
    "cbrt": TABLE[np.cbrt],
    "exprel": _float_unary(_exprel),
    "erfcinv": _float_unary(lambda x: torch.special.erfinv(1 - x)),
    "xlogy": _binary(_times_log(torch.special.xlogy, 0), floating=True),
    "xlog1py": _binary(_times_log(torch.special.xlog1py, -1), floating=True),
    "betaln": _binary(_betaln, floating=True),
    "beta": _binary(lambda a, b: _gamma(a) * _gamma(b) / _gamma(a + b), floating=True),
    "rel_entr": _binary(_relative_entropy, floating=True),
    "kl_div": _binary(lambda x, y: _relative_entropy(x, y) - x + y, floating=True),
}


# What torch has for real numbers only; functions of scipy.special are added when they are met.
REAL_ONLY: set[Any] = {np.arcsin, np.arccos, np.arcsinh, np.arccosh}


def target(function: Any) -> Callable | None:
    """The torch implementation of a NumPy or scipy.special function, or None."""
    implementation = TABLE.get(function)
    if implementation is None and isinstance(function, np.ufunc):
        special = sys.modules.get("scipy.special")
        name = function.__name__
        if special is not None and name in _SPECIAL and getattr(special, name, None) is function:
            implementation = TABLE[function] = _SPECIAL[name]
            REAL_ONLY.add(function)
    return implementation
