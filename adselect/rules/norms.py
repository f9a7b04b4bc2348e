"""Norms of vectors and matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from .reductions import root, squared_modulus
from .registry import composite


@composite(np.linalg.norm)
def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if axis is None:
        if ord is None or (ord == 2 and np.ndim(x) == 1) or (ord == "fro" and np.ndim(x) == 2):
            flat = np.reshape(x, -1)
            squares = np.sum(squared_modulus(flat))
            result = root(squares)
            return np.reshape(result, (1,) * np.ndim(x)) if keepdims else result
        axis = tuple(range(np.ndim(x)))
    axes = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    if len(axes) == 1:
        ord = 2 if ord is None else ord
        return np.linalg.vector_norm(x, axis=axes[0], ord=ord, keepdims=keepdims)
    moved = np.moveaxis(x, axes, (-2, -1))
    result = np.linalg.matrix_norm(moved, ord="fro" if ord is None else ord)
    if keepdims:
        for a in sorted(a % np.ndim(x) for a in axes):
            result = np.expand_dims(result, a)
    return result


def _largest(a: Any, **options: Any) -> Any:
    """The largest of numbers that are not negative, 0 of none."""
    return np.max(a, **options) if np.size(a) else np.sum(a, **options)


@composite(np.linalg.vector_norm)
def _vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    if ord == 2:
        return root(np.sum(squared_modulus(x), axis=axis, keepdims=keepdims))
    size = np.abs(x)
    if ord == np.inf:
        return _largest(size, axis=axis, keepdims=keepdims)
    if ord == -np.inf:
        return np.min(size, axis=axis, keepdims=keepdims)
    if ord == 0:
        return np.sum(np.not_equal(size, 0).astype(size.dtype), axis=axis, keepdims=keepdims)
    if ord == 1:
        return np.sum(size, axis=axis, keepdims=keepdims)
    total = np.sum(size**ord, axis=axis, keepdims=keepdims)
    return root(total, ord)


@composite(np.linalg.matrix_norm)
def _matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    if ord not in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf):
        raise ValueError("Invalid norm order for matrices.")
    if ord == "fro":
        result = np.linalg.vector_norm(x, axis=(-2, -1))
    elif ord in (1, -1):
        sums = np.sum(np.abs(x), axis=-2)
        result = _largest(sums, axis=-1) if ord == 1 else np.min(sums, axis=-1)
    elif ord in (np.inf, -np.inf):
        sums = np.sum(np.abs(x), axis=-1)
        result = _largest(sums, axis=-1) if ord == np.inf else np.min(sums, axis=-1)
    else:
        s = np.linalg.svdvals(x)
        result = {"nuc": lambda: np.sum(s, axis=-1), 2: lambda: _largest(s, axis=-1), -2: lambda: np.min(s, axis=-1)}[
            ord
        ]()
    return np.expand_dims(result, (-2, -1)) if keepdims else result
