"""The reverse pass: from the cotangents of the results to the cotangents of the leaves.

One walk over the records from the last to the first, no recursion. Three things keep it cheap:

* a cotangent may be *lazy*, smaller than its value and only broadcastable to it (a sum's pullback does not broadcast);
* contributions add up in a buffer the pass owns, in place from the third one on;
* the cotangent of an indexed array is one buffer that every ``x[i]`` adds into, so a loop over entries stays linear.

All of it works on values that are traced by an outer derivative too; then nothing is done in place.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ..face.array import Array
from ..face.atoms import accumulate_at, scatter
from ..face.dispatch import is_traced, plain
from ..rules.indexing import SET_ITEM, pull_set_item
from ..rules.rule import AtIndex, Elementwise, Given, Uniform
from . import trace as _trace
from .trace import CONSTANT, ITEM

__all__ = ["pull_back"]

_REUSE = 8192  # entries from which a dying cotangent's memory is worth reusing
_ALL = np.logical_and.reduce
_FLOAT64, _FLOAT32 = np.dtype(np.float64), np.dtype(np.float32)


# A singular branch that is not taken divides by zero on the way back; what matters is judged by the result.
@np.errstate(all="ignore")
def pull_back(
    records: dict,
    n: int,
    n_leaves: int,
    seeds: dict[int, Any],
    values: list,
    outputs: dict[int, Any] | None = None,
    nested: bool = False,
    consume: bool = False,
) -> list:
    """Cotangents of the first ``n_leaves`` places, given the cotangents ``seeds`` of some places below n.

    values are the leaves' values. An entry is None where no seed depends on the leaf. When a result is not finite
    although the ``outputs`` at the seeds' places are, the records are gone over again with strong zeros: what is 0 on
    one side of a product stays 0, even where the other side is infinite (see ``careful.py``, also for nested).
    With consume the records are freed on the way back, where none of them can make a NaN of finite numbers.
    """
    consume = consume and _is_regular(records)
    grads = _walk(records, n, n_leaves, seeds, consume)
    for i, bar in enumerate(grads):
        if bar is not None:
            bar = grads[i] = _finish(bar, values[i])
            if not _finite(bar):
                break
    else:
        return _separate(grads, seeds)
    if not consume and (outputs is None or _defined(outputs, seeds)):
        from .careful import pull_carefully

        grads = pull_carefully(records, n, n_leaves, seeds, nested)
    return _separate([None if g is None else _finish(g, v) for g, v in zip(grads, values, strict=True)], seeds)


def _defined(outputs: dict[int, Any], seeds: dict[int, Any]) -> bool:
    """Whether the outputs that a seed is not 0 at are finite."""
    for place, y in outputs.items():
        if place in seeds and not np.all(np.isfinite(plain(y)) | np.equal(plain(seeds[place]), 0)):
            return False
    return True


def _is_regular(records: dict) -> bool:
    """Whether all slopes in the records are finite: seen from their values for the common functions, else False."""
    for rule, _, y, args, _ in records.values():
        function = rule.function
        if function in _BOUNDED or rule is CONSTANT:
            continue
        if function in _BY_VALUE:
            if not all([_finite(v) for v in ((y,) if y is not None else args) if v is not None]):
                return False
        elif function in _AWAY_FROM_ZERO:
            (v,) = (y,) if function is np.sqrt else args
            if not (_finite(v) and _ALL(v, None)):
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


def _walk(records: dict, n: int, n_leaves: int, seeds: dict[int, Any], consume: bool = False) -> list:
    bars: list[Any] = [None] * n
    owned = bytearray(n)  # 1 where bars[k] is a buffer nobody else holds
    for place, seed in seeds.items():
        bars[place] = seed
    getitem, ndarray, add, zeros = _trace.GETITEM, np.ndarray, np.add, np.zeros
    # What depends on a value was written down after it: the reverse of the order of writing is an order of pulling.
    for k, record in _emptied(records) if consume else reversed(records.items()):
        g = bars[k] if k < n else None
        if g is None:
            continue
        bars[k] = None
        rule, parents, y, args, kwargs = record
        record = None
        kind = type(rule)
        if type(g) is _Scatter:
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
        if rule is getitem:
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
        if rule is ITEM:
            slots = bars[parents[0]]
            if slots is None:
                slots = bars[parents[0]] = [None] * len(args[0])
            i = args[1]
            slots[i] = g if slots[i] is None else slots[i] + g
            continue
        if rule is CONSTANT:
            continue
        if type(y) in (tuple, list) or isinstance(y, tuple):
            if rule.partial:
                g = Given([None if bar is None else _dense(bar, item) for bar, item in zip(g, y, strict=True)])
            else:
                g = [_zeros_like(item) if bar is None else _dense(bar, item) for bar, item in zip(g, y, strict=True)]
        elif not rule.lazy:
            g = _dense(g, y)
        if rule is SET_ITEM:
            base_bar, value_bar, still_owned = pull_set_item(g, args, parents, bool(owned[k]))
            if parents[0] >= 0:
                _add(bars, owned, parents[0], base_bar)
                owned[parents[0]] = still_owned and bars[parents[0]] is base_bar
            if parents[1] >= 0:
                _add(bars, owned, parents[1], value_bar)
            continue
        for i, p in enumerate(parents):
            if p >= 0:
                x_bar = rule.pull(i, g, y, args, kwargs)
                if type(x_bar) is AtIndex:
                    _accumulate_index(bars, owned, p, args[i], x_bar.index, x_bar.value)
                elif x_bar is not None:
                    _add(bars, owned, p, x_bar)
    return bars[:n_leaves]


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
    if type(b) is _Scatter:
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


class _Scatter:
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
    if traced or isinstance(g, Array) or isinstance(b, (Array, _Scatter)):
        if type(b) is not _Scatter:
            dtype = getattr(g, "dtype", None)
            dtype = dtype if dtype is not None and dtype.kind in "fc" else np.dtype(float)
            b = bars[p] = _Scatter(shape, dtype, b)
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


def _dense(g: Any, y: Any) -> Any:
    """A lazy cotangent in full size."""
    shape = getattr(y, "shape", ())
    return g if getattr(g, "shape", ()) == shape else np.broadcast_to(g, shape)


def _zeros_like(value: Any) -> Any:
    return np.zeros(np.shape(value), getattr(value, "dtype", float))


def _finish(bar: Any, value: Any) -> Any:
    """A leaf's cotangent in full size."""
    kind = type(bar)
    if kind is np.ndarray:
        if bar.shape == getattr(value, "shape", ()):
            return bar
    elif kind is type(value) and not issubclass(kind, Array):  # a number for a number
        return bar
    if type(bar) is _Scatter:
        bar = bar.total()
    return _dense(bar, value)


def _finite(grad: Any) -> bool:
    kind = type(grad)
    if kind is np.ndarray:
        if grad.dtype is _FLOAT64:
            # One BLAS pass; an overflow of the sum of squares only costs a second, careful look.
            flat = grad if grad.ndim == 1 else grad.reshape(-1)
            return math.isfinite(flat.dot(flat)) or bool(_ALL(np.isfinite(flat), None))
        return grad.dtype.kind not in "fc" or bool(_ALL(np.isfinite(grad), None))
    if kind is np.float64 or kind is float:
        return math.isfinite(grad)
    if isinstance(grad, Array):
        if grad._by_reference:
            return True  # under tracing for replay: every replay judges its own result
        try:
            return _finite(plain(grad))
        except RuntimeError:  # a transform of torch's own holds the numbers back
            return True
    return kind not in (np.float32, np.complex128, complex, np.complex64) or bool(np.isfinite(grad))


def _separate(grads: list, seeds: dict[int, Any]) -> list:
    """Copies where two results, a seed or a view would otherwise share memory."""
    taken: Any = seeds.values()
    if len(grads) == 1 and type(grads[0]) is not np.ndarray:
        return grads
    for i, g in enumerate(grads):
        if type(g) is np.ndarray:
            if g.base is not None or any([other is g for other in taken]) or not g.flags.writeable:
                g = grads[i] = g.copy()
            if len(grads) > 1:
                taken = [*taken, g]
    return grads
