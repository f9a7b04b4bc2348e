"""The walk of ``reverse.py`` for speed: the same cotangents, added up in memory that the walk owns.

Four things keep it cheap, none of which changes a result beyond the order of additions:

* contributions add up in a buffer that nobody else holds, in place from the third one on;
* a large cotangent that dies with its last use is written over by the product it is used in (a rule's ``into``);
* the cotangent of an indexed array is one buffer that every ``x[i]`` adds into, so a loop over entries stays linear;
* where nobody will go over the records again, they are freed on the way.

Nothing is done in place with values that an outer derivative traces; what is indexed there is summed up by one
operation at the end.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..face.array import Array
from ..face.atoms import accumulate_at
from ..face.dispatch import is_traced
from ..rules.indexing import SET_ITEM, pull_set_item, scatter
from ..rules.reductions import expand
from ..rules.registry import RULES, Elementwise, Rule
from ..rules.rule import AtIndex, Uniform
from .reverse import dense, is_finite, of_results
from .trace import CONSTANT, ITEM

__all__ = ["ENTRY", "PART_OF_TOTAL", "TOTAL", "walk"]

_REUSE = 8192  # entries from which a dying cotangent's memory is worth reusing
_BLOCK = 65536  # entries of a product that are computed at a time where it is added to a buffer
_ALL = np.logical_and.reduce
_FLOAT64, _FLOAT32 = np.dtype(np.float64), np.dtype(np.float32)
_GETITEM = RULES[operator.getitem]

# -- rules of short records, which hold no more than the way back needs ------------------------------------------------

# The sum of all entries of a real array: the cotangent goes to every entry, and neither result nor array is needed.
TOTAL = Uniform(np.sum, (lambda g, y, x: g,))
# The same along axes; the shape of the array takes its place.
PART_OF_TOTAL = Uniform(np.sum, (lambda g, y, shape, axis, keepdims: expand(g, axis, keepdims, shape),))
# An entry or a part of an array; here, too, the shape of the array takes its place.
ENTRY = Rule(
    operator.getitem,
    (lambda g, y, shape, index: scatter([g], [index], shape, getattr(g, "dtype", float)),),
    (lambda x_dot, y, shape, index: x_dot[index],),
    lazy=True,
)

# -- the walk ----------------------------------------------------------------------------------------------------------


# Longer than a function should be, and with the same few lines three times: a call for each of them would cost a tenth.
def walk(
    records: dict, n: int, n_leaves: int, seeds: dict[int, Any], consume: bool = False, buffers: list | None = None
) -> list:
    """See :func:`adselect.engine.reverse.walk`; with consume the records are freed where none of them can make a NaN of
    finite numbers, so that no second look at them will be needed. buffers: one to add up in for each leaf, or None.
    """
    consume = consume and _is_regular(records)
    bars: list[Any] = [None] * n
    owned = bytearray(n)  # 1 where bars[k] is a buffer nobody else holds
    for place, seed in seeds.items():
        bars[place] = seed
    for place, buffer in enumerate(buffers or ()):
        if buffer is not None and bars[place] is None:
            bars[place], owned[place] = buffer, 1
    entry, getitem, ndarray, add, zeros = ENTRY, _GETITEM, np.ndarray, np.add, np.zeros
    for k, record in _emptied(records) if consume else reversed(records.items()):
        g = bars[k] if k < n else None
        if g is None:
            continue
        bars[k] = None
        rule, parents, y, args, kwargs = record
        record = None
        kind = type(rule)
        if type(g) is _Scattered:
            g = g.total()
        if kind is Uniform:
            into, last = None, -1
            if owned[k] and rule.into is not None and type(g) is ndarray and g.size >= _REUSE:
                whole = y if y is not None else args[-1] if args[0] is None else args[0]
                if type(whole) is not ndarray or whole.shape == g.shape:
                    # g dies with its last use here: that one may be written into its memory.
                    into, last = rule.into, 0 if len(parents) == 1 or parents[1] < 0 else 1
            for i, p in enumerate(parents):
                if p >= 0:
                    if i == last and into is not None:
                        x_bar = into[i](g, y, *args)
                    else:
                        x_bar = rule.vjps[i](g, y, *args)
                    b = bars[p]
                    if b is None:
                        bars[p] = x_bar
                        if type(x_bar) is ndarray:
                            # A form computes a new array, or returns the cotangent it was given or a view of it.
                            if x_bar is g:
                                owned[p] = i == last or (owned[k] and (len(parents) == 1 or -1 in parents))
                            else:
                                owned[p] = x_bar.base is None
                    elif owned[p] and type(x_bar) is ndarray and b.shape == x_bar.shape and b.dtype is x_bar.dtype:
                        add(b, x_bar, b)
                    else:
                        _accumulate(bars, owned, p, b, x_bar)
            continue
        if rule is entry or rule is getitem:
            p = parents[0]
            index = args[1]
            kind = type(index)
            if (kind is slice or kind is int) and not isinstance(g, Array):
                b = bars[p]
                x = args[0]
                if b is None:
                    # The first part of a cotangent is written into zeros, the others are added.
                    b = bars[p] = zeros(x if type(x) is tuple else x.shape, getattr(g, "dtype", _FLOAT64))
                    owned[p] = 1
                    b[index] = g
                    continue
                if kind is slice and owned[p] and type(b) is ndarray and b.dtype is getattr(g, "dtype", None):
                    if b.shape == (x if type(x) is tuple else x.shape):
                        b = b[index]
                        add(b, g, b)
                        continue
            _accumulate_index(bars, owned, p, args[0], index, g)
            continue
        if kind is Elementwise:
            vjps, broadcasts = rule.vjps, rule.broadcasts
            dtype = getattr(y, "dtype", None)
            real = dtype is _FLOAT64 or dtype is _FLOAT32
            signs = rule.signs
            into, last = None, -1
            if owned[k] and real and type(g) is ndarray and g.size >= _REUSE and rule.into is not None:
                if g.dtype is dtype and g.shape == y.shape:
                    # g dies with its last use here: that one may be written into its memory.
                    into, last = rule.into, 0 if len(parents) == 1 or parents[1] < 0 else 1
            for i, p in enumerate(parents):
                if p < 0:
                    continue
                if i == last and into is not None and getattr(args[i], "shape", ()) == y.shape:
                    x_bar = into[i](g, y, *args)
                    b = bars[p]
                    if b is None:
                        bars[p] = x_bar
                        owned[p] = 1
                    else:
                        _accumulate(bars, owned, p, b, x_bar)
                    continue
                if signs is not None and real:
                    x_bar = g
                    if broadcasts:
                        shape = y.shape
                        x = args[i]
                        if getattr(x, "shape", ()) != shape:
                            x_bar = rule.reduce(x_bar, shape, x)
                    if signs[i] < 0:
                        x_bar = -x_bar
                elif real:
                    x_bar = vjps[i](g, y, *args)
                    if broadcasts:
                        x = args[i]
                        shape = y.shape
                        if getattr(x, "shape", ()) != shape:
                            x_bar = rule.reduce(x_bar, shape, x)
                else:
                    x_bar = rule.pull(i, g, y, args, kwargs)
                b = bars[p]
                if b is None:
                    bars[p] = x_bar
                    # A form computes a new array, or returns the cotangent it was given.
                    owned[p] = x_bar is not g and type(x_bar) is ndarray and x_bar.base is None
                elif owned[p] and type(x_bar) is ndarray and b.shape == x_bar.shape and b.dtype is x_bar.dtype:
                    add(b, x_bar, b)
                else:
                    _accumulate(bars, owned, p, b, x_bar)
            continue
        if buffers is not None and rule.function is np.matmul:
            parents = _products_added(parents, dense(g, y), args, bars, buffers)
        _pull_any(bars, owned, k, g, rule, parents, y, args, kwargs)
    found = bars[:n_leaves]
    return [b.total() if type(b) is _Scattered else b for b in found] if _Scattered in map(type, found) else found


def _pull_any(
    bars: list, owned: bytearray, k: int, g: Any, rule: Any, parents: tuple, y: Any, args: Any, kwargs: dict
) -> None:
    """A record of any other rule."""
    if rule is ITEM:
        slots = bars[parents[0]]
        if slots is None:
            slots = bars[parents[0]] = [None] * len(args[0])
        i = args[1]
        slots[i] = g if slots[i] is None else slots[i] + g
        return
    if rule is CONSTANT:
        return
    if type(y) in (tuple, list) or isinstance(y, tuple):
        g = of_results(rule, g, y)
    elif not rule.lazy:
        g = dense(g, y)
    if rule is SET_ITEM:
        base_bar, value_bar, still_owned = pull_set_item(g, args, parents, bool(owned[k]))
        if parents[0] >= 0:
            _add(bars, owned, parents[0], base_bar)
            owned[parents[0]] = still_owned and bars[parents[0]] is base_bar
        if parents[1] >= 0:
            _add(bars, owned, parents[1], value_bar)
        return
    for i, p in enumerate(parents):
        if p >= 0:
            x_bar = rule.pull(i, g, y, args, kwargs)
            if type(x_bar) is AtIndex:
                _accumulate_index(bars, owned, p, args[i], x_bar.index, x_bar.value)
            elif x_bar is not None:
                _add(bars, owned, p, x_bar)


def _products_added(parents: tuple, g: Any, args: Any, bars: list, buffers: list) -> tuple:
    """The parents of a matrix product, without those whose cotangent has been added to their buffer."""
    return tuple([-1 if p >= 0 and _is_added(i, g, args, bars, buffers, p) else p for i, p in enumerate(parents)])


def _is_added(i: int, g: Any, args: Any, bars: list, buffers: list, p: int) -> bool:
    """Add the cotangent of a large factor of a matrix product to its buffer, some rows at a time; whether it was."""
    b = buffers[p] if p < len(buffers) else None
    if b is None or bars[p] is not b or b.ndim != 2 or b.size < _REUSE:
        return False
    other = args[1 - i]
    if type(g) is not np.ndarray or type(other) is not np.ndarray or other.ndim > 2:
        return False
    if not (g.dtype is other.dtype is b.dtype and b.dtype.kind == "f"):
        return False
    if i == 0:
        left, right = (g, other.T) if other.ndim == 2 else (g[:, None], other[None, :])
    else:
        left, right = (other.T, g) if other.ndim == 2 else (other[:, None], g[None, :])
    if left.ndim != 2 or right.ndim != 2 or (left.shape[0], right.shape[1]) != b.shape:
        return False
    rows = max(1, _BLOCK // b.shape[1])
    block = np.empty((min(rows, len(b)), b.shape[1]), b.dtype)
    for start in range(0, len(b), rows):
        part = b[start : start + rows]
        product = np.matmul(left[start : start + rows], right, out=block[: len(part)])
        np.add(part, product, out=part)
    return True


def _emptied(records: dict) -> Any:
    """The records from the last to the first, each forgotten as it is handed out."""
    while records:
        yield records.popitem()


def _add(bars: list, owned: bytearray, p: int, x_bar: Any) -> None:
    b = bars[p]
    if b is None:
        bars[p] = x_bar
    else:
        _accumulate(bars, owned, p, b, x_bar)


def _accumulate(bars: list, owned: bytearray, p: int, b: Any, x_bar: Any) -> None:
    """bars[p] = b + x_bar, in place where b is ours."""
    if type(b) is _Scattered:
        b.add(x_bar)
        return
    if owned[p] and type(b) is np.ndarray and not isinstance(x_bar, Array):
        x_dtype = getattr(x_bar, "dtype", b.dtype)
        if x_dtype == b.dtype and _fits(x_bar, b):
            np.add(b, x_bar, b)
            return
    total = b + x_bar
    bars[p] = total
    owned[p] = type(total) is np.ndarray


def _fits(x: Any, b: np.ndarray) -> bool:
    shape = getattr(x, "shape", ())
    if shape == b.shape:
        return True
    return len(shape) <= b.ndim and all(s in (1, t) for s, t in zip(reversed(shape), reversed(b.shape), strict=False))


class _Scattered:
    """Σ of indexed contributions to one array whose values are traced: summed up once, by one operation."""

    __slots__ = ("dense", "dtype", "indices", "parts", "shape")

    def __init__(self, shape: tuple, dtype: Any, dense: Any):
        self.shape, self.dtype, self.dense = shape, dtype, dense
        self.indices: list = []
        self.parts: list = []

    def add(self, x_bar: Any) -> None:
        self.dense = x_bar if self.dense is None else self.dense + x_bar

    def total(self) -> Any:
        scattered = scatter(self.parts, self.indices, self.shape, self.dtype)
        return scattered if self.dense is None else self.dense + scattered


def _accumulate_index(bars: list, owned: bytearray, p: int, x: Any, index: Any, g: Any) -> None:
    """Add g into the cotangent of x (an array, or the shape of one) at index."""
    b = bars[p]
    shape = x if type(x) is tuple else np.shape(x)
    kind = type(index)
    traced = kind is not slice and kind is not int and kind is not np.ndarray and is_traced(index)
    if traced or isinstance(g, Array) or isinstance(b, (Array, _Scattered)):
        if type(b) is not _Scattered:
            dtype = getattr(g, "dtype", None)
            dtype = dtype if dtype is not None and dtype.kind in "fc" else np.dtype(float)
            b = bars[p] = _Scattered(shape, dtype, b)
        b.parts.append(g)
        b.indices.append(index)
        return
    if not (owned[p] and type(b) is np.ndarray and b.shape == shape):
        dtype = getattr(g, "dtype", _FLOAT64)
        if b is not None and getattr(b, "dtype", dtype) is not dtype:
            dtype = np.result_type(b, g)
        buffer = np.zeros(shape, dtype)
        if b is not None:
            buffer += b
        bars[p] = b = buffer
        owned[p] = 1
    if kind is slice or kind is int:
        b[index] += g
    else:
        accumulate_at(b, index, g)


# -- freeing the records -----------------------------------------------------------------------------------------------


def _is_regular(records: dict) -> bool:
    """Whether all slopes in the records are finite: seen from their values for the common functions, else False."""
    for rule, _, y, args, _ in records.values():
        function = rule.function
        if function in _BOUNDED or rule is CONSTANT:
            continue
        if function in _BY_VALUE:
            if not all([is_finite(v) for v in ((y,) if y is not None else args) if v is not None]):
                return False
        elif function in _AWAY_FROM_ZERO:
            (v,) = (y,) if function is np.sqrt else args
            if not (is_finite(v) and _ALL(v, None)):
                return False
        else:
            return False
    return True


# Functions whose slopes are bounded; finite where the value is (or, where that is not kept, the arguments are); finite
# where the result of a root, or the argument of a logarithm, is finite and not 0.
_BOUNDED = frozenset(
    {
        *(np.add, np.subtract, np.negative, np.positive, np.sin, np.cos, np.tanh, np.arctan, np.maximum, np.minimum),
        *(operator.getitem, np.sum, np.mean, np.reshape, np.transpose, np.broadcast_to),
    }
)
_BY_VALUE = frozenset({np.multiply, np.divide, np.exp, np.expm1, np.square, np.matmul})
_AWAY_FROM_ZERO = frozenset({np.sqrt, np.log})
