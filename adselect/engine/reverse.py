"""The reverse pass: from the cotangents of the results to the cotangents of the leaves.

One walk over the records from the last to the first, no recursion: what depends on a value was written down after it,
so the reverse of the order of writing is an order of pulling. At each record the rule turns the cotangent of the result
into cotangents of the arguments, and these add up at the arguments' places.

A cotangent may be *lazy*, smaller than its value and only broadcastable to it: a sum's pullback hands on the number it
received. All of it works on values that are traced by an outer derivative too: that is how second derivatives are
taken.

This is all there is to it. ``quick_reverse.py`` has a walk with the same results that writes into memory it owns.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..face.array import Array
from ..face.dispatch import plain
from ..rules.indexing import scatter
from ..rules.registry import Rule
from ..rules.rule import AtIndex, Given
from .trace import ITEM

__all__ = ["dense", "is_defined", "is_finite", "of_results", "pull_back", "walk"]

_ALL = np.logical_and.reduce
_FLOAT64 = np.dtype(np.float64)


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
    consume: the records will not be asked again, and may be freed on the way back.
    """
    grads = walk(records, n, n_leaves, seeds, consume)
    for i, bar in enumerate(grads):
        if bar is not None:
            bar = grads[i] = _finish(bar, values[i])
            if not is_finite(bar):
                break
    else:
        return _separate(grads, seeds)
    if records and (outputs is None or is_defined(outputs, seeds)):
        from .careful import pull_carefully

        grads = pull_carefully(records, n, n_leaves, seeds, nested)
    return _separate([None if g is None else _finish(g, v) for g, v in zip(grads, values, strict=True)], seeds)


def walk(records: dict, n: int, n_leaves: int, seeds: dict[int, Any], consume: bool = False) -> list:
    """The cotangents that arrive at the first ``n_leaves`` places, lazy ones included; None where nothing arrives.

    A walk may free the records on its way where consume says so. This one does not.
    """
    bars: list[Any] = [None] * n
    for place, seed in seeds.items():
        bars[place] = seed
    for place, (rule, parents, y, args, kwargs) in reversed(records.items()):
        g = bars[place] if place < n else None
        if g is None:
            continue
        bars[place] = None
        if rule is ITEM:  # entry args[1] of the results args[0], whose cotangents are collected in a list
            if bars[parents[0]] is None:
                bars[parents[0]] = [None] * len(args[0])
            _add(bars[parents[0]], args[1], g)
            continue
        if isinstance(y, (tuple, list)):
            g = of_results(rule, g, y)
        elif not rule.lazy:
            g = dense(g, y)
        for i, p in enumerate(parents):
            if p >= 0:
                _add(bars, p, _spread_out(rule.pull(i, g, y, args, kwargs), args[i]))
    return bars[:n_leaves]


def _add(bars: list, p: int, x_bar: Any) -> None:
    if x_bar is not None:
        bars[p] = x_bar if bars[p] is None else bars[p] + x_bar


def of_results(rule: Rule, g: list, y: Any) -> list:
    """The cotangents of several results, in full size: 0 where nothing depends on one, or None where the rule asks."""
    if rule.partial:
        return Given([None if bar is None else dense(bar, item) for bar, item in zip(g, y, strict=True)])
    return [
        np.zeros(np.shape(item), getattr(item, "dtype", float)) if bar is None else dense(bar, item)
        for bar, item in zip(g, y, strict=True)
    ]


def dense(g: Any, y: Any) -> Any:
    """A lazy cotangent in full size."""
    shape = getattr(y, "shape", ())
    return g if getattr(g, "shape", ()) == shape else np.broadcast_to(g, shape)


def _spread_out(x_bar: Any, x: Any) -> Any:
    """The cotangent of x as an array, where a rule has given it as a value at an index and 0 elsewhere."""
    if type(x_bar) is not AtIndex:
        return x_bar
    dtype = getattr(x_bar.value, "dtype", _FLOAT64)
    return scatter([x_bar.value], [x_bar.index], np.shape(x), dtype if dtype.kind in "fc" else _FLOAT64)


# -- the results -------------------------------------------------------------------------------------------------------


def _finish(bar: Any, value: Any) -> Any:
    """A leaf's cotangent in full size."""
    kind = type(bar)
    if kind is np.ndarray:
        if bar.shape == getattr(value, "shape", ()):
            return bar
    elif kind is type(value) and not issubclass(kind, Array):  # a number for a number
        return bar
    return dense(bar, value)


def is_finite(grad: Any) -> bool:
    """Whether all numbers of a cotangent are; unknown ones count as it."""
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
            return is_finite(plain(grad))
        except RuntimeError:  # a transform of torch's own holds the numbers back
            return True
    return kind not in (np.float32, np.complex128, complex, np.complex64) or bool(np.isfinite(grad))


def is_defined(outputs: dict[int, Any], seeds: dict[int, Any]) -> bool:
    """Whether the outputs that a seed is not 0 at are finite."""
    for place, y in outputs.items():
        if place in seeds and not np.all(np.isfinite(plain(y)) | np.equal(plain(seeds[place]), 0)):
            return False
    return True


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
