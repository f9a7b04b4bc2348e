"""What a backend is, and how an adtype finds its backend.

A backend sees only flat functions from arrays to arrays. It implements :meth:`Backend.pullback` or
:meth:`Backend.pushforwards`; everything else has a default built on either.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from ..adtypes import ADType
from ..errors import ADSelectTypeError, BackendNotInstalledError
from ..face.array import Array
from ..face.dispatch import is_traced
from ..primitives.define import rule_in_words
from ..primitives.own_rules import check_own_rules
from ..rules.registry import without_zero_times_infinity
from ..structure.leaves import leaf_dtype
from ..values.kinds import isa
from ..values.natives import to_numpy

__all__ = ["Backend", "backend_of", "installed", "pullback_by_directions", "register_backend", "unregister_backend"]


# A flat function: lifted leaves -> (outputs to differentiate, auxiliary outputs), both lists of leaves.
Call = Callable[[list], tuple[list, list]]


class Backend:
    """The object that implements a choice.

    A *leaf* is a number, a NumPy array, the framework's own array, or an Array of an outer
    derivative. ``call`` takes one lifted value per leaf (what the user's f shall see) and returns two lists: the
    outputs to differentiate and the auxiliary outputs; entries may be Arrays, native arrays or plain values that do
    not depend on any leaf. ``call`` must run exactly once per pullback or pushforward.
    """

    reverse: bool = True  # implements pullback natively
    forward: bool = False  # implements pushforwards natively
    detects_independence: bool = True  # can tell "does not depend on" (None) from "zero slope" (0)
    # What finds second derivatives otherwise than by differentiating a gradient (SecondDifferences shows the methods).
    second_order: Any = None

    def __init__(self, adtype: ADType):
        self.adtype = adtype

    def pullback(self, call: Call, leaves: list) -> tuple[list, list, Callable[[list], list]]:
        """``(outputs, aux, back)``; ``back(y_bars)`` gives one cotangent per leaf, None where independent.

        A seed may be None (zero). Outputs and aux come back as plain values (NumPy for NumPy, native for native).
        The default works for any backend with pushforwards: one along every coordinate of the leaves.
        """
        return pullback_by_directions(self.pushforwards, call, leaves)

    def pull_once(self, back: Callable[[list], list], y_bars: list) -> list:
        """``back(y_bars)`` where back will not be called again: what it holds may be freed on the way."""
        return back(y_bars)

    def pushforwards(self, call: Call, leaves: list, directions: list[list]) -> tuple[list, list[list], list]:
        """Several tangents at one point: ``(outputs, [output_tangents per direction], aux)``, f evaluated once.

        The default works for any backend with a pullback: the rows of the Jacobian, one pullback per output entry.
        """
        outputs, aux, back = self.pullback(call, leaves)
        dots: list[list] = [[] for _ in directions]
        for k, output in enumerate(outputs):
            rows = _jacobian_rows(back, outputs, k)
            for d, tangents in enumerate(directions):
                dots[d].append(_contract(rows, tangents, output))
        return outputs, dots, aux

    def prepare(self, operator: Callable, f: Callable, args: tuple, options: dict, check: str) -> Callable | None:
        """The operator made ready for many calls: a callable ``(leaves, args, fixed) -> result``, None for none.

        leaves are those of all arguments, also of Const; fixed is what stands at the other places. Its attributes
        ``quick`` (a shorter way, made once) and ``reason`` (why it is the plain call after all) are optional.
        """
        return None

    def why_plain(self, operator: Callable) -> str:
        """Why a prepared operator is the plain call here, "" where there is nothing to say."""
        return ""

    def rule_for(self, f: Any) -> str:
        """Which rule the backend uses for f, in words. The default is that of a framework that translates rules."""
        words = rule_in_words(f, self.adtype, forward_first=False)
        if words.startswith(("rule of", "constant", "composition")):
            return f"its translation of {getattr(f, '__name__', f)}, adselect's conventions at kinks"
        return words

    def explain(self, error: Exception) -> str | None:
        """What the backend knows about an error that came out of f, as a note for it; None for nothing."""
        return None

    def linearized_matrix(self, call: Call, leaves: list) -> tuple[list, list]:
        """``(outputs, [matrix ∂y[k]/∂x[i] per leaf])`` of a single output y, rows and columns flattened.

        The default takes reverse mode row by row; for more rows than columns, or a complex result of real arguments, a
        backend with forward mode of its own evaluates f again and goes column by column.
        """
        outputs, _, back = self.pullback(call, leaves)
        y = outputs[0]
        m = _size(y)
        n = sum(_size(leaf) for leaf in leaves)
        if self.forward and (m > n or (_complex(y) and not any(_complex(leaf) for leaf in leaves))):
            return self.matrix_by_columns(call, leaves)
        return outputs, matrix_by_rows(back, y, leaves)

    def matrix_by_columns(self, call: Call, leaves: list) -> tuple[list, list]:
        """Like :meth:`linearized_matrix`, by one pushforward per column."""
        directions = []
        for i, leaf in enumerate(leaves):
            for unit in units(leaf):
                direction: list = [None] * len(leaves)
                direction[i] = unit
                directions.append(direction)
        outputs, dots, _ = self.pushforwards(call, leaves, directions)
        m, columns, blocks = _size(outputs[0]), iter(dots), []
        for leaf in leaves:
            block = [_flat_row(next(columns)[0], m) for _ in range(_size(leaf))]
            blocks.append(np.stack(block, axis=1) if block else np.zeros((m, 0)))
        return outputs, blocks


def _size(x: Any) -> int:
    return int(np.prod(tuple(x.shape))) if hasattr(x, "shape") else 1


def _complex(x: Any) -> bool:
    return "complex" in str(getattr(x, "dtype", type(x).__name__))


def _flat_row(row: Any, n: int) -> Any:
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
    eye = np.eye(_size(x), dtype=dtype)
    return [eye[i].reshape(shape) for i in range(len(eye))]


def matrix_by_rows(back: Callable, y: Any, leaves: list) -> list:
    """The Jacobian of y per leaf, one pullback per row (two where a real argument gives a complex result)."""
    rows: list[list] = [[] for _ in leaves]
    for unit in units(y):
        first = back([unit])
        turned = back([1j * unit]) if _complex(y) and not all(_complex(leaf) for leaf in leaves) else None
        for i, leaf in enumerate(leaves):
            row = _flat_row(first[i], _size(leaf))
            if _complex(leaf):
                row = np.conj(row)
            elif turned is not None:
                row = row + 1j * _flat_row(turned[i], _size(leaf))
            rows[i].append(row)
    return [np.stack(r) if r else np.zeros((0, _size(leaf))) for r, leaf in zip(rows, leaves, strict=True)]


def _jacobian_rows(back: Callable, outputs: list, k: int) -> list[list]:
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


def _contract(rows: list[list], tangents: list, output: Any) -> Any:
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


# -- from choice to backend ------------------------------------------------------------------------------------------

_CLASSES: dict[type, type[Backend]] = {}


def register_backend(adtype: type[ADType], backend: type[Backend]) -> None:
    """Say which Backend class implements an adtype class: how a third-party package plugs in its own.

    >>> from adselect.backends.tape.backend import TapeBackend
    >>> from adselect import AutoTape
    >>> register_backend(AutoTape, TapeBackend)

    An instance that has been used already keeps the backend it was used with. Raises ADSelectTypeError for a class
    that defines neither ``pullback`` nor ``pushforwards``: each has its default in terms of the other.
    """
    if backend.pullback is Backend.pullback and backend.pushforwards is Backend.pushforwards:
        raise ADSelectTypeError(
            f"{backend.__name__} defines neither pullback nor pushforwards; write one of them, the other is derived"
        )
    _CLASSES[adtype] = backend


def unregister_backend(adtype: type[ADType]) -> None:
    """Forget what :func:`register_backend` said about an adtype class. Raises KeyError where it said nothing."""
    del _CLASSES[adtype]


def installed(adtype: type[ADType] | ADType) -> bool:
    """Whether the package behind an adtype can be imported; imports nothing."""
    from importlib.util import find_spec

    return not adtype.requires or find_spec(adtype.requires) is not None


def backend_of(adtype: ADType) -> Backend:
    """The backend that implements a choice; loads its framework on first use.

    Raises BackendNotInstalledError with the line to type when the package is missing.
    """
    try:
        return adtype.__dict__["_backend"]  # remembered on the choice: hashing a dataclass costs a microsecond
    except KeyError:
        backend = adtype.__dict__["_backend"] = _load(adtype)
        return backend


def _load(adtype: ADType) -> Backend:
    cls = _CLASSES.get(type(adtype))
    if cls is None:
        if not adtype.backend:
            raise ADSelectTypeError(
                f"{type(adtype).__name__} names no backend: set its class attribute backend = 'module:Class' or call "
                "adselect.backends.base.register_backend"
            )
        if not installed(adtype):
            raise BackendNotInstalledError(
                f"{adtype!r} needs the package {adtype.requires!r}, which is not installed. "
                f'Type: pip install "adselect[{adtype.extra}]"'
            )
        module, _, name = adtype.backend.partition(":")
        cls = _CLASSES[type(adtype)] = getattr(importlib.import_module(module), name)
    check_own_rules(adtype)
    return cls(adtype)
