"""Jacobians row by row and column by column, and pullbacks put together from directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..face.array import Array
from ..face.dispatch import is_traced
from ..rules.rule import without_zero_times_infinity
from ..structure.leaves import leaf_dtype
from ..values.kinds import isa
from ..values.natives import to_numpy

if TYPE_CHECKING:
    from .backend import Call

__all__ = ["pullback_by_directions"]


def size_of(x: Any) -> int:
    return int(np.prod(tuple(x.shape))) if hasattr(x, "shape") else 1


def is_complex(x: Any) -> bool:
    return "complex" in str(getattr(x, "dtype", type(x).__name__))


def flat_row(row: Any, n: int) -> Any:
    """A row or column of a Jacobian as a vector; None (independent) is zeros."""
    if row is None:
        return np.zeros(n)
    return row if isinstance(row, Array) and row.ndim == 1 else np.reshape(to_numpy(row), -1)


def units(x: Any) -> list:
    """The unit vectors of the space x lives in, shaped like x."""
    shape = tuple(x.shape) if hasattr(x, "shape") else ()
    name = str(getattr(x, "dtype", type(x).__name__))
    dtype: Any = complex if "complex" in name else np.float32 if "float32" in name else float
    if not shape:
        return [np.dtype(dtype).type(1)]
    eye = np.eye(size_of(x), dtype=dtype)
    return [eye[i].reshape(shape) for i in range(len(eye))]


def matrix_by_rows(back: Callable, y: Any, leaves: list) -> list:
    """The Jacobian of y per leaf, one pullback per row (two where a real argument gives a complex result)."""
    rows: list[list] = [[] for _ in leaves]
    for unit in units(y):
        first = back([unit])
        turned = back([1j * unit]) if is_complex(y) and not all(is_complex(leaf) for leaf in leaves) else None
        for i, leaf in enumerate(leaves):
            row = flat_row(first[i], size_of(leaf))
            if is_complex(leaf):
                row = np.conj(row)
            elif turned is not None:
                row = row + 1j * flat_row(turned[i], size_of(leaf))
            rows[i].append(row)
    return [np.stack(r) if r else np.zeros((0, size_of(leaf))) for r, leaf in zip(rows, leaves, strict=True)]


def jacobian_rows(back: Callable, outputs: list, k: int) -> list[list]:
    """Cotangents of all leaves for each unit seed of output k (and for i times it where the output is complex)."""
    shape = np.shape(outputs[k])
    size = int(np.prod(shape))
    complex_output = np.result_type(outputs[k]).kind == "c"
    rows = []
    for unit in (1.0, 1j) if complex_output else (1.0,):
        for i in range(size):
            seed = np.zeros(size, dtype=type(unit))
            seed[i] = unit
            seeds: list = [None] * len(outputs)
            seeds[k] = seed.reshape(shape) if shape else seed[0]
            rows.append(back(seeds))
    return rows


def contract(rows: list[list], tangents: list, output: Any) -> Any:
    """Σ over leaves of Re⟨row, tangent⟩, shaped like the output; None where the output depends on no leaf."""
    entries, dependent = [], False
    for row in rows:
        total = 0.0
        for x_bar, x_dot in zip(row, tangents, strict=True):
            if x_bar is None or x_dot is None:
                continue
            dependent = True
            product = np.conj(x_bar) * x_dot if np.result_type(x_bar, x_dot).kind == "c" else x_bar * x_dot
            total = total + np.real(np.sum(product))
        entries.append(total)
    if not dependent:
        return None
    size, shape = int(np.prod(np.shape(output))), np.shape(output)
    flat = np.stack(entries) if any(is_traced(e) for e in entries) else np.array(entries, dtype=float)
    if np.result_type(output).kind == "c":
        flat = flat[:size] + 1j * flat[size:]
    if np.result_type(output).kind in "fc":
        flat = flat.astype(np.result_type(output))
    return np.reshape(flat, shape) if shape else flat[0]


def pullback_by_directions(
    pushforwards: Callable, call: Call, leaves: list
) -> tuple[list, list, Callable[[list], list]]:
    """A pullback from pushforwards along every coordinate (and i times it for complex leaves)."""
    directions, place = [], []
    for i, leaf in enumerate(leaves):
        dtype = leaf_dtype(leaf)
        shape = tuple(np.shape(leaf)) if not hasattr(leaf, "shape") else tuple(leaf.shape)
        size = int(np.prod(shape))
        for unit in (1.0, 1j) if dtype is not None and dtype.kind == "c" else (1.0,):
            for j in range(size):
                basis = np.zeros(
                    size, dtype=np.result_type(unit, dtype if dtype is not None and dtype.kind in "fc" else float)
                )
                basis[j] = unit
                direction: list = [None] * len(leaves)
                direction[i] = basis.reshape(shape) if shape else basis[0]
                directions.append(direction)
                place.append((i, j, unit))
    outputs, dots, aux = pushforwards(call, leaves, directions)

    def back(y_bars: list) -> list:
        entries: list[list] = [[] for _ in leaves]
        # What has no entries has a cotangent without entries.
        dependent = [isa(leaf, np.ndarray) and leaf.size == 0 and leaf.dtype.kind in "fc" for leaf in leaves]
        for (i, _, unit), tangents in zip(place, dots, strict=True):
            total: Any = 0.0
            for y_bar, y_dot in zip(y_bars, tangents, strict=True):
                if y_bar is None or y_dot is None:
                    continue
                dependent[i] = True
                product = np.conj(y_bar) * y_dot if _any_complex(y_bar, y_dot) else y_bar * y_dot
                if not (isinstance(product, Array) and product._by_reference):
                    product = without_zero_times_infinity(product, y_bar)
                total = total + np.real(np.sum(product))
            entries[i].append(total * unit)
        return [_assemble(e, leaf) if seen else None for e, leaf, seen in zip(entries, leaves, dependent, strict=True)]

    return outputs, aux, back


def _any_complex(*values: Any) -> bool:
    return any(np.iscomplexobj(v) for v in values)


def _assemble(entries: list, leaf: Any) -> Any:
    """The cotangent of a leaf from its entries (real parts first, then imaginary ones)."""
    shape = tuple(leaf.shape) if hasattr(leaf, "shape") else np.shape(leaf)
    size = int(np.prod(shape))
    if len(entries) == 2 * size and size:
        entries = [a + b for a, b in zip(entries[:size], entries[size:], strict=True)]
    if not shape:
        return entries[0]
    flat = np.stack(entries) if any(isinstance(e, Array) for e in entries) else np.array(entries)
    return np.reshape(flat, shape)
