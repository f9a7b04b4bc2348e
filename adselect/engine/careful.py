"""The careful reverse pass: a zero contributes 0, also through a derivative that is not finite.

Run over the same records when the plain pass came out non-finite although the value of f is finite. At each product
of a cotangent and a slope, 0 · ∞ is 0. What is no product entry by entry is a linear map: where an infinite cotangent
made a NaN of it, it is applied to one such entry after the other.

Beside each cotangent goes a mask of the entries that are *alive*. One that is not is 0 because nothing depends on it:
the branch of ``np.where`` that was not taken, a constant weight of 0. Its product is 0 to every order. Any other zero
is a number that happens to be 0 here and hides a derivative nobody knows: an outer derivative meets NaN in its place.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..face.array import Array
from ..face.dispatch import plain
from ..rules.indexing import SET_ITEM, pull_set_item, scatter
from ..rules.registry import Elementwise, choose, kink, vanishing
from ..rules.rule import AtIndex, Uniform, by_entries, unbroadcast
from .trace import CONSTANT, ITEM

__all__ = ["pull_carefully"]


class _Bar:
    """A cotangent, and which of its entries are alive (None: all)."""

    __slots__ = ("alive", "value")

    def __init__(self, value: Any, alive: Any):
        self.value, self.alive = value, alive

    def add(self, other: _Bar) -> _Bar:
        alive = None if self.alive is None or other.alive is None else self.alive | other.alive
        return _Bar(self.value + other.value, alive)


def pull_carefully(
    records: dict, n: int, n_leaves: int, seeds: dict[int, Any], nested: bool, constants: bool = True
) -> list:
    """Cotangents of the first ``n_leaves`` places, lazy ones included; see :func:`adselect.engine.reverse.pull_back`.

    nested: whether what was recorded holds a derivative itself. A zero that is alive is then no reason for a 0.
    constants: whether a factor that is not recorded is a constant of f, and not a number f has computed.
    """
    fixed = (np.multiply, np.divide) if constants else ()
    bars: list[Any] = [None] * n
    for place, seed in seeds.items():
        bars[place] = _Bar(seed, None if isinstance(seed, Array) else np.not_equal(seed, 0))
    for k, (rule, parents, y, args, kwargs) in reversed(records.items()):
        bar = bars[k] if k < n else None
        if bar is None or rule is CONSTANT:
            continue
        if k >= n_leaves:
            bars[k] = None
        if rule is ITEM:
            slots = bars[parents[0]]
            if slots is None:
                slots = bars[parents[0]] = [None] * len(args[0])
            slots[args[1]] = bar if slots[args[1]] is None else slots[args[1]].add(bar)
            continue
        for i, found in _pulled(rule, parents, bar, y, args, kwargs, nested, fixed):
            p = parents[i]
            bars[p] = found if bars[p] is None else bars[p].add(found)
    return [None if bar is None else bar.value for bar in bars[:n_leaves]]


def _pulled(rule: Any, parents: tuple, bar: Any, y: Any, args: tuple, kwargs: dict, nested: bool, fixed: tuple) -> list:
    """``(number of the argument, its cotangent)`` for each traced argument."""
    wanted = [i for i, p in enumerate(parents) if p >= 0]
    if type(rule) in (Elementwise, Uniform):
        return [
            (i, _product(rule, i, bar, y, args, kwargs, nested, _is_fixed(rule, parents, i, fixed))) for i in wanted
        ]
    if type(bar) is list:
        g: Any = [_zeros_like(item) if b is None else _dense(b.value, item) for b, item in zip(bar, y, strict=True)]
        alive = None
    else:
        g, alive = bar.value, bar.alive
        if rule.function is operator.getitem:
            shape = args[0] if type(args[0]) is tuple else np.shape(args[0])
            return [(0, _Bar(scatter([g], [args[1]], shape, _float(g)), _scattered(alive, g, args[1], shape)))]
        if not rule.lazy:
            g = _dense(g, y)
    if rule is SET_ITEM:
        base_bar, value_bar, _ = pull_set_item(g, args, parents, False)
        return [(i, _Bar((base_bar, value_bar)[i], None)) for i in wanted]
    if rule.function in (vanishing, kink):
        return [(i, _stubborn(rule, i, g, alive, y, args)) for i in wanted]
    found = []
    for i in wanted:
        x_bar = _linear(rule, i, g, alive, y, args, kwargs, nested)
        if x_bar is not None:
            found.append((i, x_bar))
    return found


def _stubborn(rule: Any, i: int, g: Any, alive: Any, y: Any, args: tuple) -> _Bar:
    """The NaN of an unknown derivative stands, unless nothing depends on it."""
    reached = np.logical_not(plain(args[1]))
    if i == 2:
        reached = ~reached
    elif rule.function is vanishing:
        reached = reached | plain(args[2])
    alive = np.broadcast_to(reached if alive is None else alive & reached, np.shape(y))
    return _Bar(choose(alive, rule.pull(i, g, y, args, {}), 0.0), alive)


def _is_fixed(rule: Any, parents: tuple, i: int, functions: tuple) -> bool:
    """Whether the slope with respect to argument i is that of a choice, or a factor that is a constant."""
    return rule.keeps_zeros or (rule.function in functions and parents[1 - i] < 0)


def _product(rule: Any, i: int, bar: _Bar, y: Any, args: tuple, kwargs: dict, nested: bool, fixed: bool) -> _Bar:
    """The cotangent of argument i of an elementwise function."""
    g, alive, form, x = bar.value, bar.alive, rule.vjps[i], args[i]
    is_complex = np.iscomplexobj(g) or np.iscomplexobj(y)
    product = np.conj(form(np.conj(g), y, *args, **kwargs)) if is_complex else form(g, y, *args, **kwargs)
    slope = form(1.0, y, *args, **kwargs)
    if is_complex and not np.iscomplexobj(x):
        product = np.real(product)
    # A slope that is no traced value is that of a constant, or of a choice: its zeros are alive nowhere.
    if rule.function is np.sum:
        alive = None if alive is None else np.not_equal(form(np.multiply(alive, 1.0), y, *args), 0)
    elif (fixed or not nested) and not isinstance(slope, Array):
        through = np.not_equal(slope, 0)
        alive = through if alive is None else alive & through
    known, f, s = plain(product), plain(product if rule.function is np.sum else g), plain(slope)
    lost = ((np.equal(f, 0) | (np.equal(s, 0) & ~np.isnan(f))) & ~np.isfinite(known)) & _numeric(known)
    if np.any(lost):
        dead = False if alive is None else ~alive
        if not nested and not isinstance(g, Array):
            dead = dead | np.equal(f, 0)
        unknown = lost & ~dead
        if nested:
            lost = lost & dead
            product = vanishing(product, lost, False) if np.any(lost) else product
        else:
            product = vanishing(product, lost, unknown) if isinstance(product, Array) else choose(lost, 0.0, product)
    if type(rule) is Uniform:
        return _Bar(product, alive)
    shape, x_shape = np.shape(y), np.shape(x)
    if alive is not None and shape != x_shape:
        alive = np.greater(unbroadcast(np.multiply(alive, 1.0), shape, x_shape), 0)
    return _Bar(rule.reduce(product, shape, x), alive)


def _numeric(value: Any) -> bool:
    """Whether a value has an infinity: exact numbers have not."""
    dtype = getattr(value, "dtype", None)
    return dtype.kind in "fc" if dtype is not None else type(value) in (float, complex)


def _linear(rule: Any, i: int, g: Any, alive: Any, y: Any, args: tuple, kwargs: dict, nested: bool) -> _Bar | None:
    """The cotangent of argument i of any other function, linear in the cotangent of the result."""
    x_bar = _dense_at(rule.pull(i, g, y, args, kwargs), args[i])
    if x_bar is None:
        return None
    dead = alive is not None and not np.any(alive)
    if dead or (not nested and not any(np.any(plain(v)) for v in (g if type(g) is list else [g]))):
        lost = ~np.isfinite(plain(x_bar))
        x_bar = vanishing(x_bar, lost, lost & (not dead)) if np.any(lost) else x_bar
        return _Bar(x_bar, np.zeros((), bool) if dead else None)
    alive = None if alive is None else _reached(rule, i, alive, y, args, kwargs)
    bad = np.isnan(plain(x_bar))
    if not np.any(bad):
        return _Bar(x_bar, alive)
    pull_strong = getattr(rule, "pull_strong", None)
    values = [plain(v) for v in g] if type(g) is list else plain(g)
    if pull_strong is not None:
        strong: Any = pull_strong(i, values, _plain(y), tuple([_plain(a) for a in args]), kwargs)
    elif type(g) is list:
        return _Bar(x_bar, alive)
    else:
        y, args = _plain(y), tuple([_plain(a) for a in args])
        strong = by_entries(lambda g: _dense_at(rule.pull(i, g, y, args, kwargs), args[i]), values, np.size(args[i]))
    if strong is None:
        return _Bar(x_bar, alive)
    if not isinstance(x_bar, Array):
        return _Bar(strong, alive)
    repaired = bad & ~np.isnan(plain(strong))
    if nested and alive is not None:
        repaired = repaired & ~alive
    elif nested:
        return _Bar(x_bar, alive)
    return _Bar(vanishing(x_bar, repaired, True if alive is None else alive) + np.where(repaired, strong, 0.0), alive)


def _reached(rule: Any, i: int, alive: Any, y: Any, args: tuple, kwargs: dict) -> Any:
    """Which entries of argument i an alive entry of the result may depend on."""
    if not rule.keeps_zeros or isinstance(y, (tuple, list)):
        return None
    mark = np.broadcast_to(np.multiply(alive, 1.0), np.shape(y))
    mark = _dense_at(rule.pull(i, mark, _plain(y), tuple([_plain(a) for a in args]), kwargs), args[i])
    return np.not_equal(mark, 0)


def _scattered(alive: Any, g: Any, index: Any, shape: tuple) -> Any:
    mark = np.ones(np.shape(g), bool)
    if alive is not None:  # which may have more entries than a cotangent that is the same for all
        mark = np.broadcast_to(alive, np.broadcast_shapes(np.shape(alive), np.shape(g)))
    return np.not_equal(scatter([np.multiply(mark, 1.0)], [index], shape, float), 0)


def _dense_at(x_bar: Any, x: Any) -> Any:
    if type(x_bar) is AtIndex:
        return scatter([x_bar.value], [x_bar.index], np.shape(x), _float(x_bar.value))
    return x_bar


def _float(g: Any) -> Any:
    dtype = getattr(g, "dtype", None)
    return dtype if dtype is not None and dtype.kind in "fc" else np.dtype(float)


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return type(value)(plain(v) for v in value) if not hasattr(value, "_fields") else value
    return plain(value)


def _dense(g: Any, y: Any) -> Any:
    shape = getattr(y, "shape", ())
    return g if getattr(g, "shape", ()) == shape else np.broadcast_to(g, shape)


def _zeros_like(value: Any) -> Any:
    return np.zeros(np.shape(value), getattr(value, "dtype", float))
