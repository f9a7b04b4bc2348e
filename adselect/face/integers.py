"""Traced integers: they count as floats, and still work as indices, as counts and in texts."""

from __future__ import annotations

import operator
from dis import (
    _nb_ops,  # type: ignore[attr-defined]
    opmap,  # type: ignore[attr-defined]
)
from typing import Any

import numpy as np

from ..values.kinds import isa
from .dispatch import plain
from .indices import plain_index
from .traced import Traced

# -- dispatch --------------------------------------------------------------------------------------------------------


def among_constants(frame: Any) -> bool:
    """Whether a frame asks ``x in {0, 1}``, of numbers written there: a comparison, which mixes up no variables."""
    code, at = frame.f_code, frame.f_lasti
    if at < 2 or code.co_code[at] != _CONTAINS or code.co_code[at - 2] != _LOAD_CONST:
        return False
    constant = code.co_consts[code.co_code[at - 1]]
    return type(constant) is frozenset and all([isa(c, (int, float, complex)) for c in constant])


_CONTAINS, _LOAD_CONST = opmap["CONTAINS_OP"], opmap["LOAD_CONST"]


# -- integers, which count as floats and still work as indices ---------------------------------------------------------

# Parameters that are indices or counts, and the functions of integers only: there integers are taken as what they are.
INDEX_ARGUMENTS: dict[Any, tuple[tuple[int, str], ...]] = {
    **dict.fromkeys((np.take, np.take_along_axis), ((1, "indices"),)),
    **dict.fromkeys((np.delete, np.insert), ((1, "obj"),)),
    **dict.fromkeys(
        (np.split, np.array_split, np.hsplit, np.vsplit, np.dsplit), ((1, "indices_or_sections"), (2, "axis"))
    ),
    **dict.fromkeys((np.compress, np.extract), ((0, "condition"),)),
    **dict.fromkeys((np.linalg.matrix_power, np.diff), ((1, "n"),)),
    **dict.fromkeys((np.choose, np.packbits, np.unpackbits), ((0, "a"),)),
    **dict.fromkeys((np.round, np.around), ((1, "decimals"),)),
    **dict.fromkeys((np.expand_dims, np.squeeze, np.flip), ((1, "axis"),)),
    **dict.fromkeys((np.rot90, np.tril, np.triu, np.diag), ((1, "k"),)),
    np.bincount: ((0, "x"),),
    np.repeat: ((1, "repeats"),),
    np.tile: ((1, "reps"),),
    np.roll: ((1, "shift"),),
    np.broadcast_to: ((1, "shape"),),
    np.resize: ((1, "new_shape"),),
    np.unravel_index: ((0, "indices"), (1, "shape")),
    np.ravel_multi_index: ((0, "multi_index"), (1, "dims")),
    np.moveaxis: ((1, "source"), (2, "destination")),
    np.swapaxes: ((1, "axis1"), (2, "axis2")),
    np.ix_: ((0, "0"), (1, "1"), (2, "2"), (3, "3")),
}
OF_INTEGERS = frozenset(
    {
        *(np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert, np.left_shift, np.right_shift),
        *(np.gcd, np.lcm, np.bitwise_count),
    }
)
# Functions that make integers of integers: what is computed from an index is an index.
TO_INTEGERS: frozenset[Any] = frozenset(
    {
        *(operator.getitem, np.add, np.subtract, np.multiply, np.negative, np.positive, np.floor_divide, np.remainder),
        *(np.fmod, np.absolute, np.square, np.sign, np.maximum, np.minimum, np.fmax, np.fmin, np.power, np.matmul),
        *(np.reshape, np.ravel, np.transpose, np.swapaxes, np.moveaxis, np.squeeze, np.expand_dims, np.broadcast_to),
        *(np.sum, np.prod, np.max, np.min, np.cumsum, np.cumprod, np.dot, np.diff, np.clip, np.where, np.copy),
        *(np.concatenate, np.stack, np.vstack, np.hstack, np.take, np.take_along_axis, np.sort, np.flip, np.roll),
        *(np.repeat, np.tile, np.unique, np.atleast_1d, np.atleast_2d, np.delete, np.insert, np.append, np.round),
        *(np.diagonal, np.diag, np.triu, np.tril, np.rot90, np.split, np.array_split, np.ptp, np.rint, np.trace),
        *(np.floor, np.ceil, np.trunc),
    }
)
# Where integers beyond 2**63 would wrap: no index, then.
_GROWING = frozenset({np.multiply, np.square, np.power, np.prod, np.cumprod})


def _is_subscript(frame: Any) -> bool:
    """Whether a frame is carrying out ``a[b]`` or ``a[b] = c``: NumPy converts b, and a conversion is not refused."""
    code, place = frame.f_code.co_code, frame.f_lasti
    if code[place] == opmap["STORE_SUBSCR"]:
        return True
    if "BINARY_SUBSCR" in opmap:
        return code[place] == opmap["BINARY_SUBSCR"]
    return code[place] == opmap["BINARY_OP"] and _nb_ops[code[place + 1]][1] == "[]"  # from Python 3.14 on


def is_formatting(frame: Any) -> bool:
    """Whether a frame is carrying out ``"%.3f" % x``: no other left operand of ``%`` asks for the number behind x."""
    while frame.f_code.co_name in ("__int__", "__float__"):  # of an engine
        frame = frame.f_back
    code, place = frame.f_code.co_code, frame.f_lasti
    return code[place] == opmap["BINARY_OP"] and _nb_ops[code[place + 1]][1] in ("%", "%=")


def is_index(value: Traced, frame: Any) -> bool:
    """Whether NumPy converts value for an index, or for a number of repeats, of a plain array."""
    if not _by_method(frame):
        return _is_subscript(frame)
    return frame.f_locals["method"] in ("take", "repeat") and frame.f_locals["args"][0] is value


def check_index(value: Traced, frame: Any) -> None:
    """NumPy's error for an array of floats as the index, or the numbers of repeats, of a plain array."""
    if _by_method(frame):
        if is_index(value, frame):
            getattr(np.asarray(frame.f_locals["obj"]), frame.f_locals["method"])(np.ones(value.shape, value.dtype))
    elif _is_subscript(frame) and not _is_written(frame):
        raise IndexError("arrays used as indices must be of integer (or boolean) type")


def _by_method(frame: Any) -> bool:
    """Whether one of NumPy's functions is calling the method of a plain array."""
    return frame.f_code.co_name in ("_wrapfunc", "_wrapit") and frame.f_globals.get("__name__", "").startswith("numpy.")


def _is_written(frame: Any) -> bool:
    return frame.f_code.co_code[frame.f_lasti] == opmap["STORE_SUBSCR"]


_JUST_INT = frozenset({int})


def as_integers(value: Any) -> Any:
    """The integers behind a traced value, also in lists; anything else as it is."""
    kind = type(value)
    if kind is int or kind is np.ndarray:
        return value
    if isinstance(value, Traced):
        integers = value._integers()
        if integers is None:
            return plain_index(value) if value.dtype.kind in "iu" else value
        return plain_index(integers)
    if kind in (list, tuple) and not _JUST_INT.issuperset(map(type, value)):
        items = [as_integers(v) for v in value]
        return value if all(map(operator.is_, items, value)) else kind(items)
    return value


def with_plain_indices(places: tuple, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    for place, name in places:
        if place < len(args):
            value = args[place]
            if type(value) is not int and (known := as_integers(value)) is not value:
                args = (*args[:place], known, *args[place + 1 :])
        elif name in kwargs and (known := as_integers(kwargs[name])) is not kwargs[name]:
            kwargs = {**kwargs, name: known}
    return args, kwargs


def whole_behind(leaf: Any) -> Any:
    """The whole numbers that a framework's value behind the face stands for, None for anything else."""
    return leaf._integer if isinstance(leaf, Traced) else None


def note_integers(result: Any, function: Any, args: tuple, kwargs: dict) -> None:
    """Let a framework's result know the integers it stands for, where it was computed from integers alone."""
    parts = result if isa(result, (list, tuple)) else [result]
    if not any([isinstance(part, Traced) and not part._finds_integers for part in parts]):
        return
    if not any([(isinstance(a, Traced) and a._integer is not None) or type(a) in (list, tuple) for a in args]):
        return
    integers = [integers_in(a) for a in args]
    if any(i is NotImplemented for i in integers):
        return
    if function in _GROWING:
        n_operands = getattr(function, "nin", 1)  # what follows them is an axis
        sizes = function(*[np.asarray(i, float) for i in integers[:n_operands]], *integers[n_operands:], **kwargs)
        if np.any(np.abs(sizes) >= 2**53) or np.any(sizes != np.floor(sizes)):
            return
    with np.errstate(all="ignore"):
        values = function(*integers, **kwargs)
    for part, value in zip(parts, values if parts is result else [values], strict=True):
        if isinstance(part, Traced) and not part._finds_integers and np.result_type(value).kind in "iu":
            part._integer = value


def integers_in(value: Any) -> Any:
    """value as integers, NotImplemented where it is something else."""
    if type(value) in (list, tuple):
        items = [integers_in(v) for v in value]
        return NotImplemented if any(i is NotImplemented for i in items) else type(value)(items)
    if isinstance(value, Traced):
        known = plain(value) if value.dtype.kind == "b" else value._integer
        return NotImplemented if known is None else known
    if isa(value, (float, complex, np.inexact)) or getattr(value, "dtype", np.dtype(bool)).kind in "fc":
        return NotImplemented
    return value


# Functions whose dtype= is the one they compute in.
COMPUTED_IN: frozenset[Any] = frozenset(
    {
        *(np.sum, np.prod, np.mean, np.var, np.std, np.cumsum, np.cumprod, np.cumulative_sum, np.cumulative_prod),
        *(np.nansum, np.nanprod, np.nanmean, np.nanvar, np.nanstd, np.trace, np.linalg.trace),
    }
)
