"""The operators and methods of traced values, generated from the functions they stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..values.kinds import isa
from .dispatch import dispatch, listed
from .foreign import GUESTS, foreign_of
from .functions import function_call
from .traced import Traced
from .ufuncs import ufunc_call

BINARY_OPERATORS = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.true_divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "pow": np.power,
    "matmul": np.matmul,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
}
COMPARISONS = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
UNARY_OPERATORS = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}

# Methods with the signature of the function of the same name (self first).
METHODS = (
    "sum prod mean std var max min cumsum cumprod argmax argmin argsort argpartition all any trace diagonal "
    "dot repeat squeeze choose nonzero searchsorted"
)

# NumPy's loops over object arrays call the method of the element named like the ufunc.
ELEMENT_METHODS = (
    "sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh exp exp2 expm1 log log2 log10 log1p sqrt "
    "cbrt square reciprocal rint floor ceil trunc sign fabs isnan isfinite isinf deg2rad rad2deg degrees radians "
    "arctan2 hypot logaddexp logaddexp2 fmax fmin maximum minimum heaviside copysign spacing signbit logical_not "
    "logical_and logical_or"
)


def _comparable(other: Any) -> bool:
    return other is not None and not isinstance(other, (str, bytes, dict, set, type))


def install(array: type) -> None:
    def binary(function: Any) -> Callable:
        def forward(self: Traced, other: Any) -> Any:
            if isa(other, (Traced, np.ndarray, np.generic, int, float, complex)):
                return ufunc_call(function, "__call__", (self, other), {})
            return _with_foreign(function, (self, other), other)

        return forward

    def reflected(function: Any) -> Callable:
        def backward(self: Traced, other: Any) -> Any:
            if isa(other, (Traced, np.ndarray, np.generic, int, float, complex)):
                return ufunc_call(function, "__call__", (other, self), {})
            return _with_foreign(function, (other, self), other)

        return backward

    def inplace(function: Any) -> Callable:
        return lambda self, other: self._update(function, other)

    def comparison(function: Any, otherwise: Any) -> Callable:
        def compare(self: Traced, other: Any) -> Any:
            if not _comparable(other):
                return otherwise
            return ufunc_call(function, "__call__", (self, other), {})

        return compare

    def unary(function: Any) -> Callable:
        def apply(self: Traced) -> Any:
            if function is np.invert or self._integer is not None:
                return ufunc_call(function, "__call__", (self,), {})
            return dispatch(function, (self,), {})

        return apply

    def method(name: str) -> Callable:
        function = getattr(np, name)

        def call(self: Traced, *args: Any, **kwargs: Any) -> Any:
            return function_call(function, (self, *args), kwargs)

        call.__name__ = name
        return call

    def element(function: Any) -> Callable:
        return lambda self, *others: ufunc_call(function, "__call__", (self, *others), {})

    for name, function in BINARY_OPERATORS.items():
        setattr(array, f"__{name}__", binary(function))
        setattr(array, f"__r{name}__", reflected(function))
        setattr(array, f"__i{name}__", inplace(function))
    for name, function in COMPARISONS.items():
        setattr(array, f"__{name}__", comparison(function, {"eq": False, "ne": True}.get(name, NotImplemented)))
    for name, function in UNARY_OPERATORS.items():
        setattr(array, f"__{name}__", unary(function))
    for name in METHODS.split():
        setattr(array, name, method(name))
    for name in ELEMENT_METHODS.split():
        setattr(array, name, element(getattr(np, name)))
    array.__divmod__ = lambda self, other: (self // other, self % other)  # type: ignore[attr-defined]
    array.__rdivmod__ = lambda self, other: (other // self, other % self)  # type: ignore[attr-defined]
    array.__round__ = lambda self, digits=0: np.round(self, digits or 0)  # type: ignore[attr-defined]
    array.__floor__ = lambda self: np.floor(self)  # type: ignore[attr-defined]
    array.__ceil__ = lambda self: np.ceil(self)  # type: ignore[attr-defined]
    array.__trunc__ = lambda self: np.trunc(self)  # type: ignore[attr-defined]


def _with_foreign(function: Any, operands: tuple, other: Any) -> Any:
    """An operator whose other side is no number and no array: a list, a Fraction, another library's object."""
    if isinstance(other, (list, tuple, range)):
        return ufunc_call(function, "__call__", tuple([listed(o) for o in operands]), {})
    found = foreign_of(other)
    if found is not None:
        traced = operands[0] if operands[1] is other else operands[1]
        if found.name in ("a deque", "an array.array") and function is np.multiply and not traced.shape:
            return NotImplemented  # NumPy's scalars leave sequences to Python, which repeats them
        if function is np.matmul and other is operands[1] and found.name == "a SciPy sparse array":
            return GUESTS["product"](*operands)
        return ufunc_call(function, "__call__", operands, {})
    from decimal import Decimal
    from fractions import Fraction
    from numbers import Number

    if isa(other, Number):
        traced = inner = operands[0] if operands[1] is other else operands[1]
        while isinstance(inner, Traced):
            inner = inner._primal
        exact = isa(inner, (Fraction, Decimal))  # traced exact numbers stay exact
        if isa(other, (Fraction, Decimal)) and not exact and traced.dtype.kind in "fc":
            operands = tuple([float(o) if o is other else o for o in operands])  # NumPy would make an object array
        return dispatch(function, operands, {})
    return NotImplemented
