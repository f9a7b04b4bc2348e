"""NumPy's functions on traced values: which are answered here, and what is settled before an engine is asked."""

from __future__ import annotations

import contextlib
import itertools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..errors import UnsupportedError, user_line
from ..values.kinds import isa
from .binder import binder_of, check_casting
from .dispatch import FAMILIAR_OPERANDS, NEVER_OPERANDS, absorb, carried_out, dispatch, is_familiar, listed
from .foreign import HOLDER, LABELLED, converted, first_refused, is_computed_by_numpy, refused_foreign
from .integers import COMPUTED_IN, INDEX_ARGUMENTS, TO_INTEGERS, as_integers, note_integers, with_plain_indices
from .traced import Traced
from .ufuncs import write_out
from .verdicts import VERDICTS
from .views import broadcast_arrays, each, einsum, linked, part_view
from .writers import WRITERS, check_where


def as_objects(x: Traced, dtype: np.dtype) -> Any:
    """``x.astype(object)``: an object array of traced scalars, as ``np.array([x0, x1])`` makes one."""
    if dtype.kind != "O":
        raise UnsupportedError(
            f"a traced value was converted to dtype {dtype} at {user_line()}, which has no derivative. Convert "
            "adselect.ignore_derivatives(x) where the number is wanted without it."
        )
    if not x.ndim:
        return x[()]
    objects = np.empty(x.shape, object)
    for place in np.ndindex(x.shape):
        objects[place] = x[place]
    return objects


def _met_in_function(function: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """Arguments of which some are foreign: as arrays, where that is what NumPy makes of them."""
    values = (*args, *kwargs.values()) if kwargs else args
    if all(map(is_familiar, values)):
        return args, kwargs
    if first_refused(values, NEVER_OPERANDS) is None:
        return args, kwargs
    refused = first_refused(values)
    if refused is not None:
        raise refused_foreign(refused)
    guest = first_refused(values, (LABELLED, HOLDER))
    if hasattr(type(guest), "toarray"):
        raise refused_foreign(guest)
    if guest is not None and function not in WRITERS and not is_computed_by_numpy(function, args, kwargs, absorb):
        raise refused_foreign(guest)
    return converted(args, absorb), {k: v if k == "out" else converted(v, absorb) for k, v in kwargs.items()}


def _sorted_partly(a: Any, axis: Any = None, *, overwrite_input: Any = False, **options: Any) -> None:
    """What np.median(a, overwrite_input=True) leaves behind: the middle of a, or of what a is reshaped to, in place."""
    if not overwrite_input or not isinstance(a, Traced) or not a.size or not a.ndim:
        return
    if axis is None:
        a, axis = a.ravel(), 0
    elif len(axes := normalize_axis_tuple(axis, a.ndim)) == 1:
        axis = axes[0]
    else:
        kept = tuple([k for k in range(a.ndim) if k not in axes])
        a = a.transpose(kept + tuple([k for k in range(a.ndim) if k in axes]))
        a, axis = a.reshape((*a.shape[: len(kept)], -1)), -1
    n = a.shape[axis]
    middle = [n // 2] if n % 2 else [n // 2 - 1, n // 2]
    a[...] = dispatch(partitioned, (a, [*middle, -1], axis), {})


def partitioned(a: Any, kth: list, axis: int) -> Any:
    """``np.partition(a, kth, axis)`` with every element where NumPy puts it, which np.argpartition does not tell."""
    return np.partition(a, kth, axis)


def _nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    replaced = dispatch(np.nan_to_num, (x,), {"nan": nan, "posinf": posinf, "neginf": neginf})
    if copy or not isinstance(x, Traced) or x._is_scalar():
        return replaced
    x[...] = replaced
    return x


def _copy(a: Any, order: str = "K", subok: bool = False) -> Any:
    return dispatch(np.copy, (a,), {})._as_array() if a._is_scalar() else a.copy(order)


def _astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    return x.astype(dtype, copy=copy)


def _diff(a: Any, n: int = 1, *args: Any, **kwargs: Any) -> Any:
    return a if n == 0 else dispatch(np.diff, (a, n, *args), kwargs)


def _matrix_power(a: Any, n: int) -> Any:
    return a if operator.index(n) == 1 else dispatch(np.linalg.matrix_power, (a, n), {})


# Functions that return a view of their argument in NumPy: the result keeps the link to the base.
_VIEW_FUNCTIONS: dict[Any, Callable] = {
    np.reshape: lambda a, shape=None, order="C", **options: a.reshape(shape, order=order, **options),
    np.ravel: lambda a, order="C": a.ravel(order),
    np.transpose: lambda a, axes=None: a.transpose() if axes is None else a.transpose(axes),
    np.swapaxes: lambda a, axis1, axis2: a.swapaxes(axis1, axis2),
    np.real: lambda val: part_view(np.real, val),
    np.imag: lambda val: part_view(np.imag, val),
    np.astype: _astype,
    np.copy: _copy,
    np.broadcast_arrays: broadcast_arrays,
    np.einsum: einsum,
    np.diff: _diff,
    np.linalg.matrix_power: _matrix_power,
    np.nan_to_num: _nan_to_num,
    **{f: linked(f) for f in (np.squeeze, np.expand_dims, np.moveaxis, np.rollaxis, np.unstack)},
    **{f: linked(f) for f in (np.matrix_transpose, np.linalg.matrix_transpose)},
    **{f: linked(f) for f in (np.flip, np.fliplr, np.flipud, np.rot90)},
    **{f: linked(f) for f in (np.split, np.array_split, np.hsplit, np.vsplit, np.dsplit)},
    **{f: each(f) for f in (np.atleast_1d, np.atleast_2d, np.atleast_3d)},
    **{f: linked(f) for f in (np.diagonal, np.linalg.diagonal, np.diag, np.broadcast_to)},
    np.lib.stride_tricks.sliding_window_view: linked(np.lib.stride_tricks.sliding_window_view),
}


def function_call(function: Any, args: tuple, kwargs: dict) -> Any:
    """A NumPy function (not a ufunc) on traced values."""
    bind, verdict, own_way, gives_arrays, indices, of_integers = _PLANS.get(function) or _plan(function)
    if not FAMILIAR_OPERANDS(map(type, args)) or (kwargs and not FAMILIAR_OPERANDS(map(type, kwargs.values()))):
        args, kwargs = _met_in_function(function, args, kwargs)
    if indices is not None:
        args, kwargs = with_plain_indices(indices, args, kwargs)
    out = None
    try:
        if bind is not None and (kwargs or len(args) > bind.as_written):
            args, kwargs, out = bind(args, kwargs)
            if kwargs:
                args, kwargs = _checked_options(function, args, kwargs, out)
        if verdict is not None:
            verdict(*args, **kwargs)
        if (
            own_way is not None
            and out is None
            and (any([isinstance(a, Traced) for a in args]) or (kwargs and function in WRITERS))
        ):
            result = own_way(*args, **kwargs)
            if of_integers and not (isinstance(result, Traced) and result._finds_integers):
                note_integers(result, function, args, kwargs)
            return result
        result = carried_out(function, args, kwargs) if kwargs else dispatch(function, args, kwargs)
    except TypeError:
        result = _with_counts(function, args, kwargs if out is None else {**kwargs, "out": out})
        if result is NotImplemented:
            raise
        return result
    if out is not None and _takes_out(function, args, kwargs, out):
        if of_integers:
            note_integers(result, function, args, kwargs)
        return write_out(out, result, function.__name__)
    if isinstance(result, Traced):
        if not result.shape:
            result = result._as_array() if gives_arrays else result._as_scalar()
        if of_integers and not result._finds_integers:
            note_integers(result, function, args, kwargs)
    elif of_integers and isinstance(result, (list, tuple)):
        note_integers(result, function, args, kwargs)
    return result


# What is to be known of a NumPy function before it is called, by function: found when it is first met.
_PLANS: dict[Any, tuple] = {}


def _plan(function: Any) -> tuple:
    plan = (
        *(binder_of(function), _BEFOREHAND.get(function), _OWN_WAYS.get(function), function in ARRAYS_ALWAYS),
        *(INDEX_ARGUMENTS.get(function), function in TO_INTEGERS),
    )
    _PLANS[function] = plan
    return plan


def _checked_options(function: Any, args: tuple, kwargs: dict, out: Any) -> tuple[tuple, dict]:
    """casting= is checked here, and the dtype= of a reduction is that of its operand."""
    if type(kwargs.get("where")) in (list, tuple):
        kwargs = {**kwargs, "where": listed(kwargs["where"])}
    if kwargs.get("where", True) is not True:
        check_where(kwargs["where"])
    if "casting" in kwargs and function not in WRITERS:
        operands = args[0] if isinstance(args[0], (list, tuple)) else args
        check_casting(operands, kwargs.get("dtype") or getattr(out, "dtype", None), kwargs.pop("casting"))
    if kwargs.get("dtype") is not None and function in COMPUTED_IN and isinstance(args[0], Traced):
        args, kwargs = (args[0].astype(kwargs["dtype"]), *args[1:]), {k: v for k, v in kwargs.items() if k != "dtype"}
    return args, kwargs


def _takes_out(function: Any, args: tuple, kwargs: dict, out: Any) -> bool:
    """Whether function writes to its ``out``: some of NumPy's transforms take one and leave it alone."""
    if not (getattr(function, "__module__", None) or "").startswith("numpy.fft"):
        return True
    written = np.empty(out.shape, out.dtype)
    stand_ins = [np.ones(np.shape(a)) if isinstance(a, (Traced, list)) or isa(a, np.ndarray) else a for a in args]
    return function(*stand_ins, **kwargs, out=written) is written


# Functions whose result without dimensions is a 0-d array in NumPy, where others give a scalar.
ARRAYS_ALWAYS: frozenset[Any] = frozenset(
    {
        *(np.where, np.copy, np.tensordot, np.linalg.tensordot, np.cov, np.select, np.piecewise, np.reshape),
        *(
            np.linalg.tensorsolve,
            np.trim_zeros,
            np.argsort,
            np.roll,
            np.pad,
            np.i0,
            np.real_if_close,
            np.astype,
            np.fft.fftn,
            np.fft.ifftn,
        ),
        *(np.zeros_like, np.ones_like, np.empty_like, np.full_like, np.broadcast_to),
        *(np.array, np.asarray, np.asanyarray, np.zeros, np.ones, np.empty, np.full),
    }
)


def _with_counts(function: Any, args: tuple, kwargs: dict) -> Any:
    """The call again, an axis or a count as the integer it was given as; NotImplemented: nothing to try."""
    places: list = [i for i, a in enumerate(args) if i and as_integers(a) is not a]
    places += [name for name, v in kwargs.items() if as_integers(v) is not v]
    for n in (1, 2):
        for chosen in itertools.combinations(places, n):
            given = tuple([as_integers(a) if i in chosen else a for i, a in enumerate(args)])
            options = {k: as_integers(v) if k in chosen else v for k, v in kwargs.items()}
            with contextlib.suppress(TypeError):
                return function_call(function, given, options)
    return NotImplemented


# What is done before a call: it is refused where NumPy refuses it, and its operand is changed where NumPy changes it.
_BEFOREHAND: dict[Any, Callable] = {**VERDICTS, np.median: _sorted_partly}
# Functions that do more than compute: their results are views, or they write.
_OWN_WAYS: dict[Any, Callable] = {**_VIEW_FUNCTIONS, **WRITERS}
