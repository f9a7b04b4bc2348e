"""What NumPy refuses and a rule or a framework would take: looked at before a call is handed on.

A row says what makes NumPy raise; where that is more than a line, NumPy is asked with ones in the place of the data.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..values.kinds import isa
from .mistakes import Seen
from .traced import Traced

__all__ = ["VERDICTS"]


def _real(a: Any, *args: Any, **options: Any) -> None:
    if np.iscomplexobj(a):
        raise TypeError("a must be an array of real numbers")


def _several(arrays: Any, **options: Any) -> None:
    if len(arrays) < 2:
        raise ValueError("Expecting at least two arrays.")


def _splits(a: Any, ind: int = 2) -> None:
    if ind <= 0:
        raise ValueError("Invalid ind argument.")


def _square(a: Any, n: int) -> None:
    shape = np.shape(a)
    if len(shape) < 2:
        raise np.linalg.LinAlgError(f"{len(shape)}-dimensional array given. Array must be at least two-dimensional")
    if shape[-1] != shape[-2]:
        raise np.linalg.LinAlgError("Last 2 dimensions of the array must be square")


def _weights(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: Any = None,
    fweights: Any = None,
    aweights: Any = None,
    **options: Any,
) -> None:
    if ddof is None and fweights is None and aweights is None:
        return
    weights: list[Any] = [None if w is None else Seen().plain(w) for w in (fweights, aweights)]
    data: list[Any] = [None if v is None else np.ones(np.shape(v)) for v in (m, y)]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.cov(*data, rowvar=rowvar, ddof=ddof, fweights=weights[0], aweights=weights[1])


def _average(*args: Any, **kwargs: Any) -> None:
    weights = _argument(2, "weights", args, kwargs)
    shape = _shape(_argument(0, "a", args, kwargs))
    if weights is None:
        if 0 in shape:  # which of NumPy's means of nothing are an error
            np.average(np.ones(shape), _argument(1, "axis", args, kwargs))
        return
    seen = Seen()
    known = weights if type(weights) is np.ndarray else np.asarray(seen.plain(weights))
    if seen.made_up or known.shape != shape or np.count_nonzero(known > 0) != known.size:
        np.average(np.broadcast_to(1.0, shape), _argument(1, "axis", args, kwargs), known)


def _bincount(*args: Any, **kwargs: Any) -> None:
    if (length := _argument(2, "minlength", args, kwargs, 0)) < 0:
        raise ValueError("'minlength' must not be negative")
    seen = Seen()
    known = seen.plain(_argument(0, "x", args, kwargs))
    if not seen.made_up:
        if np.asarray(known).dtype.kind != "i":
            np.bincount(known, minlength=length)
        elif np.min(known, initial=0) < 0:
            raise ValueError("'list' argument must have no negative elements")


def _cond(x: Any, *args: Any, **options: Any) -> None:
    if 0 in _shape(x)[-2:]:
        raise np.linalg.LinAlgError("cond is not defined on empty arrays")


def _lstsq(a: Any, *args: Any, **options: Any) -> None:
    if len(_shape(a)) != 2:
        raise np.linalg.LinAlgError(f"{len(_shape(a))}-dimensional array given. Array must be two-dimensional")


def _matrices(function: Any) -> Callable:
    """NumPy's word on an array without enough dimensions."""

    def ask(x: Any, *args: Any, **options: Any) -> None:
        if len(_shape(x)) < 2:
            function(np.ones(_shape(x)), *args, **options)

    return ask


def _transforms(function: Any) -> Callable:
    """NumPy's word on a transform of no points."""

    def ask(a: Any, *args: Any, **options: Any) -> None:
        if 0 in _shape(a):
            function(np.ones(_shape(a)), *args, **options)

    return ask


_PAD_OPTIONS = {
    **dict.fromkeys(("empty", "edge", "wrap"), frozenset()),
    **dict.fromkeys(("maximum", "mean", "median", "minimum"), frozenset({"stat_length"})),
    **dict.fromkeys(("reflect", "symmetric"), frozenset({"reflect_type"})),
    "constant": frozenset({"constant_values"}),
    "linear_ramp": frozenset({"end_values"}),
}


def _pad(*args: Any, **kwargs: Any) -> None:
    mode, widths = _argument(2, "mode", args, kwargs, "constant"), _argument(1, "pad_width", args, kwargs)
    if isinstance(mode, str):
        if mode not in _PAD_OPTIONS:
            raise ValueError(f"mode '{mode}' is not supported")
        unknown = set(kwargs) - {"array", "pad_width", "mode"} - _PAD_OPTIONS[mode]
        if unknown:
            raise ValueError(f"unsupported keyword arguments for mode '{mode}': {unknown}")
    listed = isa(widths, (float, tuple, list, np.ndarray))
    if isinstance(widths, dict) or (listed and np.asarray(widths).dtype.kind in "fc"):
        asked: Any = np.pad
        asked(np.ones((0,) * len(_shape(_argument(0, "array", args, kwargs)))), widths)


def _polyder(*args: Any, **kwargs: Any) -> None:
    if _argument(1, "m", args, kwargs, 1) < 0:
        raise ValueError("Order of derivative must be positive (see polyint)")


def _polyfit(*args: Any, **kwargs: Any) -> None:
    degree = _argument(2, "deg", args, kwargs)
    if isa(degree, (int, np.integer)) and degree < 0:
        raise ValueError("expected deg >= 0")
    if _shape(_argument(0, "x", args, kwargs)) == (0,):
        raise TypeError("expected non-empty vector for x")


def _select(*args: Any, **kwargs: Any) -> None:
    for i, condition in enumerate(_argument(0, "condlist", args, kwargs)):
        if getattr(condition, "dtype", np.dtype(bool)).kind != "b":
            raise TypeError(f"invalid entry {i} in condlist: should be boolean ndarray")


def _trapezoid(*args: Any, **kwargs: Any) -> None:
    if not _shape(_argument(0, "y", args, kwargs)):
        raise IndexError("list assignment index out of range")


def _diff(a: Any, n: Any = 1, *args: Any, **options: Any) -> None:
    if n < 0:
        raise ValueError(f"order must be non-negative but got {n!r}")
    if n and not _shape(a):
        raise ValueError("diff requires input that is at least one dimensional")


def _shape(value: Any) -> tuple:
    return tuple(value.shape) if hasattr(value, "shape") else np.shape(value)


def _argument(place: int, name: str, args: tuple, kwargs: dict, default: Any = None) -> Any:
    return args[place] if len(args) > place else kwargs.get(name, default)


def _interp(*args: Any, **kwargs: Any) -> None:
    xp, fp = _argument(1, "xp", args, kwargs), _argument(2, "fp", args, kwargs)
    if len(_shape(xp)) != 1 or len(_shape(fp)) != 1:
        raise ValueError("object of too small depth or too deep for desired array: xp and fp have one dimension")
    if _shape(xp) != _shape(fp):
        raise ValueError("fp and xp are not of the same length.")
    if not _shape(xp)[0]:
        raise ValueError("array of sample points is empty")


def _cross(*args: Any, **kwargs: Any) -> None:
    axis = kwargs.get("axis")
    for place, name in enumerate("ab"):
        shape = _shape(_argument(place, name, args, kwargs))
        own = _argument(place + 2, f"axis{name}", args, kwargs, -1)
        k = normalize_axis_index(own if axis is None else axis, len(shape))
        if shape[k] not in (2, 3):
            raise ValueError("incompatible dimensions for cross product\n(dimension must be 2 or 3)")


def _vectors(*args: Any, **kwargs: Any) -> None:
    if any(len(_shape(a)) > 1 for a in args[:2]):
        raise ValueError("object too deep for desired array")
    if (mode := _argument(2, "mode", args, kwargs, "full")) not in ("full", "same", "valid"):
        np.convolve([1.0], [1.0], mode)


def _vander(*args: Any, **kwargs: Any) -> None:
    if len(_shape(_argument(0, "x", args, kwargs))) != 1:
        raise ValueError("x must be a one-dimensional array or sequence.")


def _linspace(*args: Any, **kwargs: Any) -> None:
    number = _argument(2, "num", args, kwargs, 50)
    if number < 0:
        raise ValueError(f"Number of samples, {number}, must be non-negative.")


def _meshgrid(*args: Any, **kwargs: Any) -> None:
    if kwargs.get("indexing", "xy") not in ("xy", "ij"):
        raise ValueError("Valid values for `indexing` are 'xy' and 'ij'.")


def _where(*args: Any, **kwargs: Any) -> None:
    if len(args) == 2:
        raise ValueError("either both or neither of x and y should be given")


def _along_axis(*args: Any, **kwargs: Any) -> None:
    normalize_axis_index(_argument(1, "axis", args, kwargs), len(_shape(_argument(2, "arr", args, kwargs))))


def _histogram(*args: Any, **kwargs: Any) -> None:
    weights = _argument(4, "weights", args, kwargs)
    if weights is not None and _shape(weights) != _shape(_argument(0, "a", args, kwargs)):
        raise ValueError("weights should have the same shape as a.")


def _diag(*args: Any, **kwargs: Any) -> None:
    if len(_shape(_argument(0, "v", args, kwargs))) not in (1, 2):
        raise ValueError("Input must be 1- or 2-d.")


def _fractions(*args: Any, **kwargs: Any) -> None:
    _real(_argument(0, "a", args, kwargs))
    _hold_fractions(_argument(1, "q", args, kwargs), 1, "Quantiles must be in the range [0, 1]")


def _percents(*args: Any, **kwargs: Any) -> None:
    _real(_argument(0, "a", args, kwargs))
    _hold_fractions(_argument(1, "q", args, kwargs), 100, "Percentiles must be in the range [0, 100]")


def _hold_fractions(q: Any, top: float, text: str) -> None:
    known = Seen().plain(q) if isinstance(q, Traced) else np.asarray(q)
    if known.dtype.kind in "fiu" and not np.all((known >= 0) & (known <= top)):
        raise ValueError(text)


def _tile(*args: Any, **kwargs: Any) -> None:
    if min(np.ravel(_argument(1, "reps", args, kwargs)), default=0) < 0:
        raise ValueError("negative dimensions are not allowed")


def _take_along_axis(*args: Any, **kwargs: Any) -> None:
    shape, axis = _shape(_argument(0, "arr", args, kwargs)), _argument(2, "axis", args, kwargs, -1)
    n = int(np.prod(shape)) if axis is None else shape[normalize_axis_index(axis, len(shape))]
    _hold_indices(_argument(1, "indices", args, kwargs), n, 0 if axis is None else axis)


def _insert(*args: Any, **kwargs: Any) -> None:
    shape = _shape(_argument(0, "arr", args, kwargs))
    places, axis = _argument(1, "obj", args, kwargs), _argument(3, "axis", args, kwargs)
    n = int(np.prod(shape)) if axis is None else shape[normalize_axis_index(axis, len(shape))]
    if not isinstance(places, slice):
        _hold_indices(places, n, 0 if axis is None else axis, n + 1)


def _hold_indices(indices: Any, n: int, axis: int, top: int | None = None) -> None:
    """NumPy's IndexError for an index outside of [-n, top), where the indices are there to be looked at."""
    seen = Seen()
    known = np.asarray(seen.plain(indices))
    if seen.made_up or known.dtype.kind not in "iu" or not known.size:
        return
    for extreme in (int(known.min()), int(known.max())):
        if not -n <= extreme < (n if top is None else top):
            raise IndexError(f"index {extreme} is out of bounds for axis {axis} with size {n}")


def _choose(*args: Any, **kwargs: Any) -> None:
    seen = Seen()
    known = np.asarray(seen.plain(_argument(0, "a", args, kwargs)))
    if _argument(3, "mode", args, kwargs, "raise") == "raise" and not seen.made_up and known.dtype.kind in "iu":
        choices = _argument(1, "choices", args, kwargs)
        if known.size and not 0 <= known.min() <= known.max() < len(choices):
            raise ValueError("invalid entry in choice array")


def _whole(function: Any, place: int, name: str) -> Callable:
    """NumPy's word on floats in the place of integers, which a framework may round."""

    def ask(*args: Any, **kwargs: Any) -> None:
        if getattr(getattr(_argument(place, name, args, kwargs), "dtype", None), "kind", "") == "f":
            seen = Seen()
            try:
                function(*[seen.plain(a) for a in args], **{k: seen.plain(v) for k, v in kwargs.items()})
            except Exception as own:
                own.of_plain_values = True  # type: ignore[attr-defined]
                raise

    return ask


VERDICTS: dict[Any, Callable] = {
    np.quantile: _fractions,
    np.percentile: _percents,
    np.nanquantile: _fractions,
    np.nanpercentile: _percents,
    np.linalg.multi_dot: _several,
    np.linalg.tensorinv: _splits,
    np.linalg.matrix_power: _square,
    np.cov: _weights,
    np.apply_along_axis: _along_axis,
    np.average: _average,
    np.bincount: _bincount,
    np.choose: _choose,
    np.convolve: _vectors,
    np.correlate: _vectors,
    np.cross: _cross,
    np.diag: _diag,
    np.diff: _diff,
    np.histogram: _histogram,
    np.insert: _insert,
    np.interp: _interp,
    **{f: _whole(f, 1, "decimals") for f in (np.round, np.around)},
    **{f: _whole(f, 1, "kth") for f in (np.partition, np.argpartition)},
    np.repeat: _whole(np.repeat, 1, "repeats"),
    np.unravel_index: _whole(np.unravel_index, 0, "indices"),
    np.linalg.cond: _cond,
    np.linalg.lstsq: _lstsq,
    **{f: _matrices(f) for f in (np.linalg.matrix_norm, np.linalg.matrix_transpose)},
    **{f: _matrices(f) for f in (np.linalg.trace, np.linalg.diagonal)},
    **{f: _transforms(f) for f in (np.fft.fft, np.fft.ifft, np.fft.rfft, np.fft.irfft, np.fft.hfft, np.fft.ihfft)},
    np.linspace: _linspace,
    np.pad: _pad,
    np.polyder: _polyder,
    np.polyfit: _polyfit,
    np.select: _select,
    np.meshgrid: _meshgrid,
    np.take_along_axis: _take_along_axis,
    np.tile: _tile,
    np.trapezoid: _trapezoid,
    np.vander: _vander,
    np.where: _where,
}
