"""Rows of functions that run on the atoms as well.

They are here for two reasons. While JAX does not compile, every function of its own costs a dispatch, and one for five
makes the gradient of a call 1.3 to 5 times as fast. While it compiles there are no values: what looks at values when it
is written with others (which entries are NaN, which places are asked for) is one function of JAX's that does not. What
gains neither has no row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from ...rules.quantiles import WHOLE, quantile_dtype
from ..framework_array import UntranslatedError
from .kinks import root
from .operands import (
    SHORTCUTS,
    TABLE,
    concrete,
    is_complex,
    like_numpy,
    listed,
    of_lists,
    promoting,
    same_name,
    shortcut,
)
from .table_decompositions import eigenpairs, solutions
from .table_elementwise import arctan2
from .table_linalg import from_triangle, need_numbers
from .table_quantiles import axes_last, ranked_by_places
from .table_reductions import counting, reducing

same_name(
    """
    nancumsum nancumprod cumulative_sum corrcoef unwrap modf frexp
    ravel swapaxes moveaxis rollaxis matrix_transpose
    tile rot90 diag diagonal trace diff resize ix_
    array_split unstack linspace logspace geomspace take_along_axis
    linalg.trace linalg.diagonal linalg.matrix_transpose
    fft.fftn fft.ifftn fft.rfftn fft.irfftn fft.hfft fft.ihfft fft.fftshift fft.ifftshift
""",
    into=SHORTCUTS,
)
same_name(
    """
    divmod matvec vecmat dot inner outer kron cross append polyval polyder polyint
    ediff1d linalg.outer linalg.cross
""",
    promoting,
    into=SHORTCUTS,
)
same_name("var nansum nanprod nanmean nanvar", reducing, into=SHORTCUTS)
same_name("nanmax nanmin", lambda function: counting(reducing(function)), into=SHORTCUTS)
same_name("ptp", counting, into=SHORTCUTS)
# The first argument is a list of arrays, which promote among each other.
same_name("concatenate stack block", of_lists, into=SHORTCUTS)
SHORTCUTS[np.nanstd] = lambda a, *args, **kwargs: root(jnp.nanvar(a, *args, **kwargs))
SHORTCUTS[np.partition] = lambda a, kth, axis=-1, *rest, **other: jnp.sort(a, axis)
SHORTCUTS[np.sort] = lambda a, axis=-1, *rest, **other: jnp.sort(a, axis)
SHORTCUTS[np.repeat] = lambda a, repeats, axis=None: jnp.repeat(
    a, repeats if np.ndim(repeats) == 0 else np.asarray(repeats), axis
)
SHORTCUTS[np.tensordot] = lambda a, b, axes=2: jnp.tensordot(*like_numpy((listed(a), listed(b))), axes=axes)
SHORTCUTS[np.einsum] = lambda *operands, optimize="auto", **kwargs: jnp.einsum(
    *operands[: isinstance(operands[0], str)], *like_numpy(operands[isinstance(operands[0], str) :]), **kwargs
)


@shortcut(np.where)
def _where(condition: Any, *choices: Any) -> Any:
    if not choices:
        return jnp.nonzero(condition)
    return jnp.where(jnp.asarray(condition), *like_numpy([listed(c) for c in choices]))


def _shaped_like(target: Callable) -> Callable:
    def call(a: Any, *args: Any, order: Any = "K", subok: bool = True, **kwargs: Any) -> Any:
        return target(a, *args, **kwargs)

    return call


same_name("zeros_like ones_like empty_like full_like", _shaped_like, into=SHORTCUTS)


@shortcut(np.angle)
def _angle(z: Any, deg: bool = False) -> Any:
    z = jnp.asarray(z)
    angle = arctan2(z.imag, z.real) if is_complex(z) else jnp.where(z < 0, np.pi, 0 * z)
    return jnp.rad2deg(angle) if deg else angle


@shortcut(np.delete)
def _delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    return jnp.delete(listed(arr), np.asarray(obj) if type(obj) is list else obj, axis)


@shortcut(np.take)
def _take(a: Any, indices: Any, axis: Any = None, mode: str = "raise") -> Any:
    if mode != "raise":
        return jnp.take(a, jnp.asarray(indices), axis, mode=mode)
    n = jnp.size(a) if axis is None else jnp.shape(a)[axis]
    known = concrete(indices)
    if known is None:  # while JAX compiles: an index out of bounds becomes NaN
        return jnp.take(a, indices, axis, mode="fill")
    known = known.astype(np.intp, casting="same_kind") if known.size else known.astype(np.intp)
    if known.size and (known.min() < -n or known.max() >= n):
        bad = known[(known < -n) | (known >= n)].flat[0]
        raise IndexError(f"index {bad} is out of bounds for axis {0 if axis is None else axis} with size {n}")
    return jnp.take(a, known % n if known.size else known, axis)


@shortcut(np.bincount)
def _bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    x = np.asarray(x, np.intp) if type(x) in (list, tuple) else x
    known = concrete(x)
    if known is not None and not known.size:
        return jnp.zeros(minlength, int)
    if known is None:
        return jnp.bincount(x, weights, minlength)
    length = max(minlength, int(known.max()) + 1 if known.size else 0)
    if weights is not None:
        weights = jnp.asarray(weights)
        if weights.dtype != np.float64:
            weights = weights.astype(np.float64)
    return jnp.bincount(known, weights, length=length)


@shortcut(np.pad)
def _pad(array: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> Any:
    if (not array.size and mode not in ("constant", "empty")) or 0 in np.ravel(options.get("stat_length", 1)):
        raise UntranslatedError("no entries")
    if isinstance(pad_width, dict):
        widths = [(0, 0)] * array.ndim
        for axis, width in pad_width.items():
            widths[axis] = width if np.ndim(width) else (width, width)
        pad_width = widths
    return jnp.pad(array, pad_width, mode, **options)


@shortcut(np.cov)
def _cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: Any = None, fweights: Any = None, **rest: Any
) -> Any:
    if (
        ddof is not None
        and fweights is None
        and rest.get("aweights") is None
        and ddof >= jnp.shape(m)[-1 if rowvar else 0]
    ):
        raise UntranslatedError("no degrees of freedom")
    rest = {k: listed(v) for k, v in rest.items()}
    return jnp.cov(m, y, rowvar, bias, ddof, listed(fweights), **rest)


@shortcut(np.polymul)
def _polymul(a1: Any, a2: Any) -> Any:
    a1, a2 = like_numpy([jnp.asarray(a) for a in (a1, a2)])
    if concrete(a1) is None or concrete(a2) is None:  # JAX compiles: leading zeros stay
        return jnp.polymul(a1, a2)
    raise UntranslatedError("leading zeros")


@shortcut(np.linalg.matrix_power)
def _matrix_power(a: Any, n: int) -> Any:
    if n < 0:
        a, n = TABLE[np.linalg.inv](a), -n  # which knows a singular matrix
    return jnp.linalg.matrix_power(a, n)


def _of_entries(function: Callable) -> Callable:
    """JAX stumbles over arrays without entries: the composite takes over."""

    def call(a: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(a, (list, tuple)) and not jnp.size(a):
            raise UntranslatedError("no entries")
        return function(a, *args, **kwargs)

    return call


SHORTCUTS[np.trapezoid] = _of_entries(promoting(jnp.trapezoid))


def _of_vectors(function: Callable) -> Callable:
    """NumPy takes numbers for vectors of one entry."""

    def call(a: Any, v: Any, *args: Any, **options: Any) -> Any:
        return function(jnp.atleast_1d(jnp.asarray(a)), jnp.atleast_1d(jnp.asarray(v)), *args, **options)

    return call


SHORTCUTS[np.convolve] = _of_vectors(promoting(jnp.convolve))
SHORTCUTS[np.correlate] = _of_vectors(promoting(jnp.correlate))


@shortcut(np.interp)
def _interp(x: Any, xp: Any, fp: Any, *args: Any, **kwargs: Any) -> Any:
    y = promoting(jnp.interp)(x, xp, fp, *args, **kwargs)
    known, at, knots = concrete(y), concrete(x), concrete(xp)
    if known is None or at is None or knots is None or np.isnan(known).any() or np.isnan(at).any():
        raise UntranslatedError("values that are not finite")
    if y.dtype not in (np.float64, np.complex128) or knots[-1] == knots[-2:][0]:
        raise UntranslatedError("single precision, or a jump at the end")
    return y


def _two_axes(name: str) -> None:
    """JAX insists on two axes, NumPy takes any number of them."""
    function = getattr(jnp.fft, name.replace("2", "n"))

    @shortcut(getattr(np.fft, name))
    def transform(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None) -> Any:
        return function(a, s, axes, norm)


for _name in ("fft2", "ifft2", "rfft2", "irfft2"):
    _two_axes(_name)


# -- values without their vectors --------------------------------------------------------------------------------------


@shortcut(np.linalg.eigvalsh)
def _eigvalsh(a: Any, UPLO: str = "L") -> Any:
    return jnp.linalg.eigh(from_triangle(a, UPLO.upper() == "U"))[0]


@shortcut(np.linalg.svdvals)
def _svdvals(x: Any, /) -> Any:
    need_numbers(x)
    return jnp.linalg.svdvals(x)


@shortcut(np.linalg.eigvals)
def _eigvals(a: Any) -> Any:
    return eigenpairs(a)[0]  # JAX's own function has a first derivative only


@shortcut(np.linalg.lstsq)
def _lstsq(a: Any, b: Any, rcond: Any = None) -> tuple:
    a, b = jnp.asarray(a), jnp.asarray(b)
    dtype = np.result_type(*[v.dtype if jnp.issubdtype(v.dtype, jnp.inexact) else np.float64 for v in (a, b)])
    a, b = a.astype(dtype), b.astype(dtype)
    x, residuals, rank, s = solutions(a, b, rcond)
    m, n = a.shape
    known = concrete(rank)
    if m <= n or (known is not None and known < n):
        residuals = jnp.zeros(0, s.dtype)
    return x, residuals, rank.astype(np.int32), s


# -- order statistics --------------------------------------------------------------------------------------------------


def _between(h: Any, n: Any) -> tuple[Any, Any, Any]:
    """The ranks below and above the (fractional) rank h of n elements, and the weight of the one above."""
    outside, h = h < 0, jnp.clip(h, 0, n - 1)
    low = jnp.clip(jnp.floor(lax.stop_gradient(h)), 0, jnp.maximum(n - 2, 0)).astype(int)
    return low, jnp.where(outside, low, jnp.minimum(low + 1, n - 1)), h - low


def _at(rounding: Callable) -> Callable:
    def ranks(q: Any, n: Any) -> tuple[Any, Any, Any]:
        rank = rounding(lax.stop_gradient(q * (n - 1))).astype(int)
        return rank, rank, 0 * q

    return ranks


def _midpoint(q: Any, n: Any) -> tuple[Any, Any, Any]:
    low, high, t = _between(q * (n - 1), n)
    return low, high, jnp.where((t == 0) | (t == 1), lax.stop_gradient(t), 0.5)


def _plotting(alpha: float, beta: float) -> Callable:
    return lambda q, n: _between(n * q + alpha + q * (1 - alpha - beta) - 1, n)


# method -> (q, n) -> (rank below, rank above, weight of the rank above)
_QUANTILES: dict[str, Callable] = {
    "median": _midpoint,
    "linear": _plotting(1, 1),
    "lower": _at(jnp.floor),
    "higher": _at(jnp.ceil),
    "nearest": _at(jnp.round),
    "midpoint": _midpoint,
    "interpolated_inverted_cdf": _plotting(0, 1),
    "hazen": _plotting(0.5, 0.5),
    "weibull": _plotting(0, 0),
    "median_unbiased": _plotting(1 / 3, 1 / 3),
    "normal_unbiased": _plotting(3 / 8, 3 / 8),
}


@shortcut(np.quantile)
def _quantile(
    a: Any,
    q: Any,
    axis: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
    ignore_nan: bool = False,
    function: Any = np.quantile,
) -> Any:
    if method == "inverted_cdf" and weights is None and concrete(a) is None:
        target: Any = jnp.nanquantile if ignore_nan else jnp.quantile
        q = jnp.asarray(q) / 100 if function is np.percentile else jnp.asarray(q)
        return target(a, q, axis=axis, method=method, keepdims=keepdims)
    if method not in _QUANTILES or weights is not None:
        raise UntranslatedError(f"method={method!r}")
    if not jnp.size(a) or is_complex(a):
        raise UntranslatedError("no entries, or complex ones")
    a, kept = axes_last(a, axis)
    q = np.asarray(q) if type(q) in (list, tuple) else q
    weak = not hasattr(q, "dtype") or getattr(q, "weak_type", False)
    dtype = a.dtype
    if dtype.kind == "f" and method != "median":
        dtype = quantile_dtype(function, dtype, float if weak else np.dtype(q.dtype), method)
    a = a.astype(jnp.promote_types(dtype, a.dtype))
    q = jnp.asarray(q, a.dtype if weak else jnp.promote_types(q.dtype, a.dtype))
    q = q / 100 if function is np.percentile else q
    # NaN is sorted to the end.
    n = jnp.sum(~jnp.isnan(a), -1, keepdims=True) if ignore_nan else a.shape[-1]
    low, high, t = _QUANTILES[method](q.reshape(-1), n)
    below, above = ranked_by_places(a, low), ranked_by_places(a, high)
    if method in WHOLE:
        y = below
    elif method == "median":
        y = jnp.where(t == 0, below, jnp.where(t == 1, above, (below + above) / 2))
    else:
        # An infinite neighbour of weight zero makes a NaN, as it does in NumPy; the highest rank is its own neighbour.
        step = above - below
        y = jnp.where(t < 0.5, below + step * t, above - jnp.where(t == 1, above - above, step * (1 - t)))
    undefined = n == 0 if ignore_nan else jnp.any(jnp.isnan(a), -1, keepdims=True)
    y = jnp.moveaxis(jnp.where(undefined, jnp.nan, y), -1, 0)
    return y.reshape(q.shape + (kept if keepdims else y.shape[1:])).astype(dtype)


@shortcut(np.nanquantile)
def _nan_quantile(*args: Any, **kwargs: Any) -> Any:
    return _quantile(*args, **kwargs, ignore_nan=True)


@shortcut(np.percentile)
def _percentile(a: Any, q: Any, *args: Any, **kwargs: Any) -> Any:
    return _quantile(a, q, *args, **kwargs, function=np.percentile)


@shortcut(np.nanpercentile)
def _nan_percentile(*args: Any, **kwargs: Any) -> Any:
    return _percentile(*args, **kwargs, ignore_nan=True)


@shortcut(np.median)
def _median(a: Any, axis: Any = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    return _quantile(a, 0.5, axis, method="median", keepdims=keepdims)


@shortcut(np.nanmedian)
def _nan_median(a: Any, axis: Any = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    return _quantile(a, 0.5, axis, method="median", keepdims=keepdims, ignore_nan=True)
