"""Results as named numbers: walking a gradient's tree and measuring how far two of them are apart.

An *entry* is one number, array or None of a result, named by its path (``args[0]['w']``). Both ``check_backend`` and
``compare`` look at results through here, so that a missing entry or another shape counts the same in both.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..face.array import Array
from ..values.kinds import isa
from ..values.natives import is_native, to_numpy
from ..values.tangents import NoTangent, Tangent, ZeroTangent

__all__ = ["difference", "entries", "magnitude", "mismatches"]


def entries(result: Any, path: str = "result") -> dict[str, Any]:
    """The numbers, arrays and Nones of a result by path.

    >>> entries(({"a": 1.0, "b": None}, np.ones(2)))
    {"result[0]['a']": 1.0, "result[0]['b']": None, 'result[1]': array([1., 1.])}
    """
    found: dict[str, Any] = {}
    _walk(result, path, found, set())
    return found


def _walk(value: Any, path: str, found: dict[str, Any], above: set[int]) -> None:
    children = _children(value, path)
    if children is None:
        found[path] = value
    elif id(value) not in above:  # a cycle has been listed already
        for name, child in children:
            _walk(child, name, found, above | {id(value)})


def _children(value: Any, path: str) -> list[tuple[str, Any]] | None:
    """Names and values one level below, or None for an entry."""
    if isinstance(value, Tangent):
        return [(f"{path}.{k}", v) for k, v in value.items()]
    if isinstance(value, dict):
        return [(f"{path}[{k!r}]", v) for k, v in value.items()]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return [(f"{path}.{k}", v) for k, v in zip(value._fields, value, strict=True)]
    if isinstance(value, (tuple, list)):
        return [(f"{path}[{i}]", v) for i, v in enumerate(value)]
    if isa(value, np.ndarray) and value.dtype == object:
        return [(f"{path}[{', '.join(map(str, i))}]", value[i]) for i in np.ndindex(value.shape)]
    return None


def _number(value: Any) -> Any:
    """An entry as a NumPy array, or None where it is no number."""
    if isinstance(value, ZeroTangent):
        return np.zeros(())
    if value is None or isinstance(value, (NoTangent, Array, str, bytes)):
        return None
    array = np.asarray(to_numpy(value))
    return array if array.dtype.kind in "fciub" else np.asarray(float(array)) if array.shape == () else None


def magnitude(value: Any) -> float:
    """The largest absolute value of an entry; 0 where it is no finite number.

    >>> magnitude(np.array([1.0, -3.0, np.inf])), magnitude(None)
    (3.0, 0.0)
    """
    array = _number(value)
    if array is None or array.size == 0:
        return 0.0
    sizes = np.abs(array[np.isfinite(array)])
    return float(sizes.max()) if sizes.size else 0.0


def has_nan(value: Any) -> bool:
    """Whether an entry holds a NaN.

    >>> has_nan(np.array([1.0, np.nan])), has_nan(np.inf), has_nan(None)
    (True, False, False)
    """
    array = _number(value)
    return array is not None and bool(np.isnan(array).any())


def difference(a: Any, b: Any) -> float:
    """The largest absolute difference of two entries; inf where they cannot be compared. NaN equals NaN only.

    >>> difference(1.0, 1.5), difference(np.nan, np.nan), difference(np.nan, 0.0), difference(None, 0.0)
    (0.5, 0.0, inf, inf)
    """
    if a is None and b is None:
        return 0.0
    x, y = _number(a), _number(b)
    if x is None or y is None or x.shape != y.shape:
        return math.inf
    if x.size == 0:
        return 0.0
    same = np.equal(x, y) | (np.isnan(x) & np.isnan(y))  # infinities of the same sign among them
    if same.all():
        return 0.0
    with np.errstate(all="ignore"):
        distance = np.abs(np.where(same, 0.0, x) - np.where(same, 0.0, y))
    return math.inf if not np.isfinite(distance).all() else float(distance.max())


def mismatches(
    got: Any, expected: Any, rtol: float, *, path: str = "result", zero_for_none: bool = False, kinds: bool = True
) -> list[str]:
    """What is wrong with a result, one sentence per entry; empty if it is right.

    rtol is relative to the largest entry of the same array (of the whole result where that array is 0).
    zero_for_none: accept zeros where None is expected. kinds: also compare dtypes and types.

    >>> mismatches((1.0, None), (1.0, 2.0), 1e-10)
    ['result[1] is None, expected 2.0']
    """
    wrong = _structure(got, expected, path)
    if wrong:
        return [wrong]
    found, wanted = entries(got, path), entries(expected, path)
    overall = max(map(magnitude, wanted.values()), default=0.0) or 1.0
    problems = []
    for name, right in wanted.items():
        if name not in found:
            problems.append(f"{name} is missing")
            continue
        problem = _entry(found[name], right, rtol, overall, zero_for_none, kinds)
        if problem:
            problems.append(f"{name} {problem}")
    problems += [f"{name} is not expected: {short(found[name])}" for name in found if name not in wanted]
    return problems


def _structure(got: Any, expected: Any, path: str) -> str:
    """The first place where two results are not containers of the same kind and length."""
    ours, theirs = _children(got, path), _children(expected, path)
    if theirs is None:
        return "" if ours is None else f"{path} is {type(got).__name__}, expected {short(expected)}"
    if ours is None or type(got) is not type(expected):
        return f"{path} is {type(got).__name__}, expected {type(expected).__name__}"
    if isinstance(expected, Tangent) and got._primal is not expected._primal:
        return f"{path} is {got!r}, expected a {expected!r}"
    below = dict(ours)
    for name, child in theirs:
        if name in below:
            wrong = _structure(below[name], child, name)
            if wrong:
                return wrong
    return ""


def _entry(got: Any, right: Any, rtol: float, overall: float, zero_for_none: bool, kinds: bool) -> str:
    if right is None:
        fine = got is None or (zero_for_none and _number(got) is not None and not np.any(_number(got)))
        return "" if fine else f"is {short(got)}, expected None"
    if got is None:
        return f"is None, expected {short(right)}"
    x, y = _number(got), _number(right)
    if y is None:  # a string or another value without numbers
        return (
            ""
            if got is right or (type(got) is type(right) and got == right)
            else f"is {short(got)}, expected {short(right)}"
        )
    if x is None:
        return f"is {type(got).__name__}, expected {short(right)}"
    if x.shape != y.shape:
        return f"has shape {x.shape}, expected {y.shape}"
    if kinds:
        problem = _kind(got, right, x, y)
        if problem:
            return problem
    tolerance = rtol * (magnitude(right) or overall)
    apart = difference(got, right)
    if apart > tolerance:
        return f"is {short(got)}, expected {short(right)} (difference {apart:.1e}, tolerance {tolerance:.1e})"
    return ""


def _kind(got: Any, right: Any, x: Any, y: Any) -> str:
    """A difference of dtype or of kind (Python number, NumPy, native array)."""
    if x.dtype != y.dtype:
        return f"has dtype {x.dtype}, expected {y.dtype}"
    for what, test in (("an array", _is_array), ("a Python number", _is_python)):
        if test(got) != test(right):
            return f"is {'' if test(got) else 'not '}{what} ({type(got).__name__}), expected {type(right).__name__}"
    if is_native(got) != is_native(right):
        return f"is {type(got).__name__}, expected {type(right).__name__}"
    return ""


def _is_array(value: Any) -> bool:
    return isa(value, np.ndarray) and value.ndim > 0


def _is_python(value: Any) -> bool:
    return type(value) in (int, float, complex)


def short(value: Any) -> str:
    """A value in a few characters."""
    if isa(value, np.ndarray) and value.size > 6:
        return f"array{value.shape} {np.array2string(value.reshape(-1)[:4], precision=6)[:-1]} …]".replace("\n", "")
    if isa(value, np.ndarray):
        return np.array2string(value, precision=8, separator=", ").replace("\n", "")
    text = repr(value)
    return text if len(text) < 80 else text[:77] + "…"
