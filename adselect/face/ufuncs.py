"""ufuncs on traced values, and their methods: reduce, accumulate, outer, at, reduceat."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from ..errors import MissingRuleError, UnsupportedError, user_line
from ..values.kinds import isa
from .creating import into_plain
from .dispatch import NEVER_OPERANDS, absorb, carried_out, dispatch, is_traced, listed
from .foreign import FAMILIAR, GUESTS, HOLDER, LABELLED, converted, first_refused, refused_foreign
from .indices import occurrences, picked, plain_index
from .integers import OF_INTEGERS, TO_INTEGERS, as_integers, note_integers
from .refusals import refused_write
from .traced import Traced
from .writers import check_where

# ufunc.reduce and friends are the named function with the same derivative.
REDUCTIONS: dict[Any, Callable] = {
    np.add: np.sum,
    np.multiply: np.prod,
    np.maximum: np.max,
    np.minimum: np.min,
    np.logical_and: np.all,
    np.logical_or: np.any,
}
ACCUMULATIONS: dict[Any, Callable] = {np.add: np.cumsum, np.multiply: np.cumprod}


def ufunc_call(ufunc: Any, method: str, inputs: tuple, kwargs: dict) -> Any:
    """A ufunc, or one of its methods, on traced values."""
    out = kwargs.pop("out", None)
    for a in inputs:
        if type(a) is np.ndarray:
            if a.dtype.char in "OV":
                if a.dtype.names is not None:
                    raise refused_foreign(a)
                inputs = tuple([absorb(a) for a in inputs])
            else:
                continue
        elif type(a) in FAMILIAR:
            continue
        if first_refused(inputs, NEVER_OPERANDS) is not None:
            inputs = _met_in_ufunc(inputs)
            if inputs is NotImplemented:
                return NotImplemented
            if first_refused(inputs, (HOLDER,)) is not None:
                return getattr(ufunc, method)(*inputs, **(kwargs if out is None else {**kwargs, "out": out}))
        break
    if ufunc in OF_INTEGERS:
        inputs = tuple([as_integers(a) for a in inputs])
    if method == "__call__":
        where = kwargs.pop("where", True)
        if kwargs:
            inputs, kwargs = _ufunc_options(ufunc, inputs, kwargs, out)
        keepdims = kwargs.pop("keepdims", False)
        result = carried_out(ufunc, inputs, kwargs)
        if keepdims:  # a product of vectors: the axis that is gone
            result = np.expand_dims(result, kwargs.get("axis", -1))
        if not (isinstance(result, Traced) and result._finds_integers) and ufunc in TO_INTEGERS:
            note_integers(result, ufunc, inputs, kwargs)
        if where is not True:
            check_where(where)
            if out is None:
                raise UnsupportedError(
                    f"np.{ufunc.__name__}(…, where=mask) without out= leaves the other elements undefined "
                    f"({user_line()}); write np.where(mask, np.{ufunc.__name__}(…), other)"
                )
            result = np.where(where, result, out[0])
    elif method == "reduce":
        if ufunc not in REDUCTIONS and ufunc.nin == 2 and ufunc.nout == 1:
            result = _stepwise(ufunc, *inputs, **_reduction_options(ufunc, kwargs))
        else:
            result = dispatch(_reduction(REDUCTIONS, ufunc, method), inputs, _reduction_options(ufunc, kwargs))
    elif method == "accumulate":
        kwargs.setdefault("axis", 0)
        if ufunc not in ACCUMULATIONS and ufunc.nin == 2 and ufunc.nout == 1:
            result = _stepwise(ufunc, *inputs, **kwargs, every=True)
        else:
            result = dispatch(_reduction(ACCUMULATIONS, ufunc, method), inputs, kwargs)
    elif method == "outer":
        a, b = inputs
        shape = np.shape(a) + (1,) * np.ndim(b)
        return ufunc_call(
            ufunc, "__call__", (np.reshape(a, shape), b), kwargs if out is None else {**kwargs, "out": out}
        )
    elif method == "at":
        return _ufunc_at(ufunc, inputs)
    elif method == "reduceat":
        result = _reduceat(ufunc, *inputs, **kwargs)
    else:
        raise MissingRuleError(f"np.{ufunc.__name__}.{method} has no derivative rule ({user_line()})")
    if out is not None:
        return write_out(out, result, ufunc.__name__)
    return result


# Without an identity, and still the same in any order.
_REORDERABLE = frozenset({np.maximum, np.minimum, np.fmax, np.fmin, np.logaddexp, np.logaddexp2, np.hypot})


def _met_in_ufunc(inputs: tuple) -> Any:
    """Operands of which some are foreign: sequences as arrays, others refused or left to their library."""
    refused = first_refused(inputs)
    if refused is not None:
        raise refused_foreign(refused)
    if first_refused(inputs, (HOLDER,)) is not None:
        return NotImplemented
    labelled = first_refused(inputs, (LABELLED,))
    if labelled is None:
        return converted(inputs, absorb)
    inputs = tuple([GUESTS["lifted"](a) for a in inputs])
    if first_refused(inputs, (LABELLED,)) is not None:
        raise refused_foreign(labelled)
    return inputs


def _ufunc_options(ufunc: Any, inputs: tuple, kwargs: dict, out: Any) -> tuple[tuple, dict]:
    """The operands in the dtype that the options ask for, and the options that are left for the rule.

    Which are allowed, and what they lead to, says NumPy.
    """
    kwargs = {k: v for k, v in kwargs.items() if v is not None and not (k == "keepdims" and v is False)}
    typing = {k: kwargs.pop(k) for k in ("dtype", "casting", "signature", "sig") if k in kwargs}
    for name in ("order", "subok"):
        kwargs.pop(name, None)
    if typing and ufunc.signature is None:
        given = [a.dtype if hasattr(a, "dtype") else type(a) for a in inputs]
        results = out if type(out) is tuple else (out,) * ufunc.nout
        given += [None if t is None else t.dtype for t in results]
        loop = _signature(ufunc, typing)
        options = {} if loop is None else {"signature": loop}
        chosen = ufunc.resolve_dtypes(tuple(given), casting=typing.get("casting", "same_kind"), **options)
        inputs = tuple(
            [
                a.astype(t) if isinstance(a, Traced) or isa(a, np.ndarray) else a
                for a, t in zip(inputs, chosen, strict=False)
            ]
        )
    return inputs, kwargs


def _signature(ufunc: Any, typing: dict) -> Any:
    """What ``dtype=`` means: the dtype of the loop's results."""
    if typing.get("dtype") is not None:
        return (None,) * ufunc.nin + (np.dtype(typing["dtype"]),) * ufunc.nout
    return typing.get("signature", typing.get("sig"))


def _stepwise(
    ufunc: Any,
    a: Any,
    axis: Any = 0,
    dtype: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
    every: bool = False,
) -> Any:
    """``ufunc.reduce`` (with every: ``ufunc.accumulate``) as NumPy defines them: one call of the ufunc per entry."""
    if where is not True:
        raise UnsupportedError(f"np.{ufunc.__name__}.reduce(…, where=mask) has no derivative ({user_line()})")
    a = absorb(a) if not isinstance(a, Traced) else a
    if dtype is not None:
        a = a.astype(dtype)
    axes = tuple(range(a.ndim)) if axis is None else normalize_axis_tuple(axis, a.ndim)
    if len(axes) > 1 and ufunc.identity is None and ufunc not in _REORDERABLE:
        raise ValueError(
            f"reduction operation '{ufunc.__name__}' is not reorderable, so at most one axis may be specified"
        )
    axes = sorted(axes)
    a_shape = a.shape
    rest = [n for k, n in enumerate(a_shape) if k not in axes]
    a = np.reshape(np.moveaxis(a, axes, list(range(len(axes)))), (-1, *rest))
    running = initial
    steps = []
    for i in range(a.shape[0]):
        running = a[i] if running is None else ufunc(running, a[i])
        steps.append(running)
    if every:
        return np.moveaxis(np.stack(steps), 0, axes[0]) if steps else a
    if running is None:
        if ufunc.identity is None:
            raise ValueError(f"zero-size array to reduction operation {ufunc.__name__} which has no identity")
        running = np.full(rest, ufunc.identity)
    return np.reshape(running, [1 if k in axes else n for k, n in enumerate(a_shape)]) if keepdims else running


def _reduction(table: dict, ufunc: Any, method: str) -> Callable:
    function = table.get(ufunc)
    if function is None:
        raise MissingRuleError(f"np.{ufunc.__name__}.{method} has no derivative rule ({user_line()})")
    return function


def _reduction_options(ufunc: Any, kwargs: dict) -> dict:
    options: dict[str, Any] = {"axis": 0}
    for name, value in kwargs.items():
        if (value is not None and value is not np._NoValue) or name == "axis":
            options[name] = listed(value) if name == "where" and type(value) is not bool else value
    return options


def _ufunc_at(ufunc: Any, inputs: tuple) -> None:
    target, indices, *rest = inputs
    if not isinstance(target, Traced):
        return into_plain(ufunc.at, target, plain_index(indices), *rest, name=f"np.{ufunc.__name__}.at")
    indices = plain_index(indices)
    indices = np.asarray(indices) if isinstance(indices, list) else indices
    positions = picked(np.arange(target.size).reshape(target.shape), indices)
    amounts = [np.broadcast_to(absorb(a), positions.shape) for a in rest]
    if ufunc in (np.add, np.subtract):
        # Repeated indices add up, and so do their cotangents: linear in the operand.
        from .atoms import scatter

        dtype = np.result_type(target.dtype, amounts[0].dtype)
        target._write(dispatch(ufunc, (target, scatter(amounts, [indices], target.shape, dtype)), {}))
        return
    # Elsewhere the order counts: one write for each time an index has come up before.
    positions = np.asarray(positions).reshape(-1)
    amounts = [np.reshape(a, -1) for a in amounts]
    seen = occurrences(positions)
    for k in range(int(seen.max(initial=-1)) + 1):
        chosen = np.flatnonzero(seen == k)
        place = np.unravel_index(positions[chosen], target.shape)
        target[place] = dispatch(ufunc, (target[place], *[a[chosen] for a in amounts]), {})


def _reduceat(ufunc: Any, array: Any, indices: Any, axis: int = 0, dtype: Any = None) -> Any:
    array = absorb(array)
    axis = normalize_axis_index(axis, array.ndim)
    if dtype is not None:
        array = array.astype(dtype)
    n, pieces = array.shape[axis], []
    starts = [operator.index(i) for i in np.reshape(plain_index(indices), -1).tolist()]
    for i, start in enumerate(starts):
        if not 0 <= start < n:
            raise IndexError(f"index {start} out-of-bounds in {ufunc.__name__}.reduceat [0, {n})")
        stop = starts[i + 1] if i + 1 < len(starts) else n
        window = [slice(None)] * array.ndim
        window[axis] = slice(start, stop if stop > start else start + 1)
        pieces.append(ufunc.reduce(array[tuple(window)], axis=axis))
    empty = [slice(0) if k == axis else slice(None) for k in range(array.ndim)]
    return np.stack(pieces, axis=axis) if pieces else array[tuple(empty)]


def write_out(out: Any, result: Any, name: str) -> Any:
    targets = out if type(out) is tuple else (out,)
    results = result if type(result) is tuple else (result,)
    for target, value in zip(targets, results, strict=False):
        if target is None:
            continue
        if not isinstance(target, Traced):
            known = value._known() if isinstance(value, Traced) else value
            if known is NotImplemented or is_traced(known):
                raise refused_write(f"np.{name}(…, out=…)")
            target[...] = known
        else:
            if getattr(value, "dtype", None) != target.dtype:
                _check_result(value, target, name)
            target[...] = value
    return targets[0] if len(targets) == 1 else targets


def _check_result(value: Any, target: Traced, name: str) -> None:
    """NumPy's error for a complex result that is to go into a real array."""
    if np.iscomplexobj(value) and target.dtype.kind != "c":
        raise TypeError(
            f"Cannot cast {name!r} output from {np.result_type(value)!r} to {target.dtype!r} with casting rule "
            f"'same_kind' ({user_line()})"
        )
