"""``math`` and ``cmath`` in lifted code: NumPy's functions where a traced number is met."""

from __future__ import annotations

import cmath
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ADSelectError
from ..face.array import Array
from ..face.dispatch import is_traced
from ..values.kinds import isa
from .active import note_python_number, stacked
from .conversions import check_native, number, selected
from .standins import stand_in

__all__ = ["sequential"]


def _special(name: str) -> Callable:
    """A function of scipy.special, which is imported when it is called."""

    def call(x: Any) -> Any:
        try:
            import scipy.special
        except ImportError as error:
            raise ImportError(f"math.{name} of a traced number is scipy.special.{name}: pip install scipy") from error
        return getattr(scipy.special, name)(x)

    return call


def _log(x: Any, *base: Any) -> Any:
    return np.log(x) / np.log(base[0]) if base else np.log(x)


def _fsum(values: Any) -> Any:
    return np.sum(stacked(list(values)))


def _prod(iterable: Any, *, start: Any = 1) -> Any:
    return np.prod(stacked(list(iterable))) * start


def _dist(p: Any, q: Any) -> Any:
    return np.linalg.norm(stacked(list(p)) - stacked(list(q)))


def _hypot(*coordinates: Any) -> Any:
    return np.hypot(*coordinates) if len(coordinates) == 2 else np.linalg.norm(stacked(list(coordinates)))


def _sumprod(p: Any, q: Any) -> Any:
    return np.dot(stacked(list(p)), stacked(list(q)))


def _modf(x: Any) -> Any:
    whole = np.trunc(x)
    return x - whole, whole


def _isclose(a: Any, b: Any, *, rel_tol: float = 1e-09, abs_tol: float = 0.0) -> bool:
    if bool(a == b):
        return True
    if not (bool(np.isfinite(a)) and bool(np.isfinite(b))):
        return False
    return bool(np.abs(a - b) <= max(rel_tol * max(abs(a), abs(b)), abs_tol))


_SAME = (
    *("sin", "cos", "tan", "exp", "exp2", "expm1", "log2", "log10", "log1p", "sqrt", "cbrt", "sinh", "cosh", "tanh"),
    *("degrees", "radians", "copysign", "fmod", "nextafter", "ulp", "ldexp"),
)
_OTHERS: dict[str, Callable] = {
    **{f"a{name}": getattr(np, f"arc{name}") for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{name: _special(name) for name in ("erf", "erfc", "gamma")},
    "atan2": np.arctan2,
    "pow": np.power,
    "fabs": np.abs,
    "hypot": _hypot,
    "log": _log,
    "lgamma": _special("gammaln"),
    "modf": _modf,
    "remainder": lambda x, y: x - y * np.round(x / y),
}
_LOOKS: dict[str, Callable] = {
    "isnan": lambda x: bool(np.isnan(x)),
    "isinf": lambda x: bool(np.isinf(x)),
    "isfinite": lambda x: bool(np.isfinite(x)),
    "isclose": _isclose,
}
_STEPS = ("floor", "ceil", "trunc")
_SEQUENCES: dict[str, Callable] = {"fsum": _fsum, "prod": _prod, "dist": _dist, "sumprod": _sumprod}


def _one_of(value: Any) -> Any:
    return number(value) if isinstance(value, Array) and value.ndim else value


def _elementwise(original: Callable, function: Callable) -> Callable:
    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        for value in args:
            if isinstance(value, Array):
                return _followed(original, function, [_one_of(a) for a in args], kwargs)
        try:
            return original(*args, **kwargs)
        except Exception:
            check_native(original, *args)
            raise

    return call


def _followed(original: Callable, function: Callable, numbers: list, kwargs: dict) -> Any:
    """The function of NumPy's, after the exceptions of ``math``'s own where there are numbers to look at."""
    plain, written = [], False
    note_python_number()
    for value in numbers:
        while isinstance(value, Array):
            written = written or value._by_reference
            value = value._behind
        plain.append(value)
    known = all([isa(v, (float, int, complex)) for v in plain])
    try:
        if known:
            original(*plain, **kwargs)
    except (ValueError, ArithmeticError):
        if written:  # the program ends its replay where the numbers would not raise any more
            with np.errstate(all="ignore"):
                result = function(*numbers, **kwargs)
                _ = bool(np.isfinite(result)), bool(np.isnan(result))
        raise
    result = function(*numbers, **kwargs)
    if isinstance(result, Array) and (written or not known) and original.__name__ not in _NEVER_RAISE:
        return _checked(original, result, numbers)  # a program that is written down repeats the look
    return result


def _checked(original: Callable, result: Any, numbers: list) -> Any:
    try:
        if bool(np.isfinite(result)) or not all([bool(np.isfinite(n)) for n in numbers]):
            return result
        undefined = bool(np.isnan(result))
    except (ADSelectError, TypeError):
        # While a program is being compiled there are no numbers to look at. Where f would have gone on from an
        # exception, the compiled program goes on with NaN, whose derivative is NaN as well.
        return result * np.where(np.isfinite(result), 1.0, np.nan)
    if undefined or original.__name__ in _POLES:
        raise ValueError("math domain error")
    raise OverflowError("math range error")


_NEVER_RAISE = frozenset({"atan", "atan2", "tanh", "hypot", "erf", "erfc", "fabs", "degrees", "radians", "copysign"})
_POLES = frozenset({"log", "log2", "log10", "log1p", "atanh", "gamma", "lgamma"})


def sequential(original: Callable, function: Callable) -> Callable:
    """Of functions of lists of numbers: function where one of them is traced, else the original."""

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        args = tuple([a if isinstance(a, Array) else list(a) for a in args])
        if not is_traced(list(args)):
            return original(*args, **kwargs)
        note_python_number()
        return function(*args, **kwargs)

    return call


def _stepped(original: Callable) -> Callable:
    """Whole numbers of Python, whose slope is 0: the plain number is enough."""
    step = getattr(np, original.__name__)

    @functools.wraps(original)
    def call(x: Any) -> Any:
        return selected(step(_one_of(x))) if isinstance(x, Array) else original(x)

    return call


for _name in _SAME:
    if hasattr(math, _name) and hasattr(np, _name):
        stand_in(getattr(math, _name), _elementwise(getattr(math, _name), getattr(np, _name)))
for _name, _function in {**_OTHERS, **_LOOKS}.items():
    stand_in(getattr(math, _name), _elementwise(getattr(math, _name), _function))
for _name, _function in _SEQUENCES.items():
    if hasattr(math, _name):
        stand_in(getattr(math, _name), sequential(getattr(math, _name), _function))
for _name in _STEPS:
    stand_in(getattr(math, _name), _stepped(getattr(math, _name)))


# -- cmath -------------------------------------------------------------------------------------------------------------


def _of_complex(function: Callable) -> Callable:
    return lambda x: function(x + 0j)


def _polar(x: Any) -> Any:
    return np.abs(x), np.angle(x)


def _rect(r: Any, phi: Any) -> Any:
    return r * np.cos(phi) + 1j * (r * np.sin(phi))


for _name in ("exp", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "log10"):
    stand_in(getattr(cmath, _name), _elementwise(getattr(cmath, _name), _of_complex(getattr(np, _name))))
for _name in ("sin", "cos", "tan", "sinh", "cosh", "tanh"):
    _original = getattr(cmath, f"a{_name}")
    stand_in(_original, _elementwise(_original, _of_complex(getattr(np, f"arc{_name}"))))
for _original, _function in (
    (cmath.log, lambda x, *base: _log(x + 0j, *[b + 0j for b in base])),
    (cmath.phase, np.angle),
    (cmath.polar, _polar),
    (cmath.rect, _rect),
    (cmath.isnan, lambda x: bool(np.isnan(x))),
    (cmath.isinf, lambda x: bool(np.isinf(x))),
    (cmath.isfinite, lambda x: bool(np.isfinite(x))),
):
    stand_in(_original, _elementwise(_original, _function))
