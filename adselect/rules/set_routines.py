"""Distinct values: unique, intersections, differences and unions pick elements, and reading them is differentiable."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..face.array import Array
from ..face.atoms import dispatched
from ..face.indices import plain_index
from ..values.kinds import isa
from .registry import composite, no_derivative


@dispatched
def distinct(a: Any, axis: Any, equal_nan: bool) -> tuple:
    """Where the distinct values first occur, the inverse and the counts."""
    return np.unique(a, return_index=True, return_inverse=True, return_counts=True, axis=axis, equal_nan=equal_nan)[1:]


no_derivative(distinct)


def _array(x: Any) -> Any:
    return x if isa(x, (Array, np.ndarray)) else np.asarray(x)


@composite(np.unique)
def _unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: Any = None,
    *,
    equal_nan: bool = True,
    sorted: bool = True,
) -> Any:
    index, inverse, counts = distinct(ar, axis, equal_nan)
    values = np.reshape(ar, -1)[index] if axis is None else np.take(ar, index, axis=axis)
    wanted = (return_index, return_inverse, return_counts)
    extra = [part for part, want in zip((index, inverse, counts), wanted, strict=True) if want]
    return (values, *extra) if extra else values


composite(np.unique_values)(lambda x: _unique(x, equal_nan=False))


def _named(function: Any, *parts: str) -> None:
    """A form of unique that returns a named tuple."""
    result = type(function(np.zeros(1)))

    def unique(x: Any) -> Any:
        options = {f"return_{part}": True for part in parts}
        return result(*_unique(x, **options, equal_nan=False))

    composite(function)(unique)


_named(np.unique_all, "index", "inverse", "counts")
_named(np.unique_counts, "counts")
_named(np.unique_inverse, "inverse")


@composite(np.union1d)
def _union1d(ar1: Any, ar2: Any) -> Any:
    return np.unique(np.concatenate([np.reshape(_array(ar1), -1), np.reshape(_array(ar2), -1)]))


def _members(a: Any, b: Any, invert: bool) -> Any:
    return a[np.flatnonzero(np.isin(a, b, invert=invert))]


@composite(np.setdiff1d)
def _setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    first = np.reshape(_array(ar1), -1)
    return _members(first if assume_unique else np.unique(first), ar2, True)


@composite(np.intersect1d)
def _intersect1d(ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False) -> Any:
    first, second = np.reshape(_array(ar1), -1), np.reshape(_array(ar2), -1)
    start, _, _ = distinct(first, None, True)
    start = start[plain_index(np.flatnonzero(np.isin(first[start], second)))]
    common = first[start]
    if not return_indices:
        return common
    other, _, _ = distinct(second, None, True)
    return common, start, other[plain_index(np.flatnonzero(np.isin(second[other], first)))]


@composite(np.setxor1d)
def _setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    first, second = np.unique(_array(ar1)), np.unique(_array(ar2))
    return np.sort(np.concatenate([_members(first, second, True), _members(second, first, True)]))
