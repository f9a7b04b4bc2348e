"""Reductions and decompositions of the JAX face that need more than a name: order statistics, norms, linear algebra."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ...errors import user_line
from ...rules.quantiles import WHOLE, quantile_dtype
from ...rules.rule import vanishing
from ...rules.undetermined import CHOICE, in_blocks
from ..framework_array import UntranslatedError
from .table import TABLE, absolute, bent, concrete, is_complex, power_of_number, root, safe, translation

__all__: list[str] = []


# -- order statistics: equal elements share the slope -----------------------------------------------------------------


def _to_last(a: Any, axis: Any) -> tuple[Any, tuple]:
    """a with the axes to be reduced joined into the last one, and the shape of the result under keepdims."""
    a = jnp.asarray(a)
    if not jnp.issubdtype(a.dtype, jnp.inexact):
        a = a.astype(float)
    axes = range(a.ndim) if axis is None else (axis,) if np.ndim(axis) == 0 else axis
    axes = tuple(k % a.ndim for k in axes)
    rest = [k for k in range(a.ndim) if k not in axes]
    kept = tuple(1 if k in axes else n for k, n in enumerate(a.shape))
    return jnp.transpose(a, (*rest, *axes)).reshape(*[a.shape[k] for k in rest], -1), kept


def _ranked(a: Any, ranks: Any) -> Any:
    """The elements of the given ranks along the last axis: the mean of all elements equal to each."""
    ordered = jnp.sort(lax.stop_gradient(a), axis=-1)
    chosen = jnp.take_along_axis(ordered, jnp.broadcast_to(ranks, (*a.shape[:-1], ranks.shape[-1])), axis=-1)
    equal = a[..., None, :] == chosen[..., None]
    wide = jnp.promote_types(a.dtype, jnp.float32)  # float16 may not hold how many there are
    mean = jnp.sum(jnp.where(equal, a[..., None, :], 0).astype(wide), -1) / jnp.sum(equal, -1).astype(wide)
    return mean.astype(a.dtype)


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


@translation(np.quantile)
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
    a, kept = _to_last(a, axis)
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
    below, above = _ranked(a, low), _ranked(a, high)
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


@translation(np.nanquantile)
def _nan_quantile(*args: Any, **kwargs: Any) -> Any:
    return _quantile(*args, **kwargs, ignore_nan=True)


@translation(np.percentile)
def _percentile(a: Any, q: Any, *args: Any, **kwargs: Any) -> Any:
    return _quantile(a, q, *args, **kwargs, function=np.percentile)


@translation(np.nanpercentile)
def _nan_percentile(*args: Any, **kwargs: Any) -> Any:
    return _percentile(*args, **kwargs, ignore_nan=True)


@translation(np.median)
def _median(a: Any, axis: Any = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    return _quantile(a, 0.5, axis, method="median", keepdims=keepdims)


@translation(np.nanmedian)
def _nan_median(a: Any, axis: Any = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    return _quantile(a, 0.5, axis, method="median", keepdims=keepdims, ignore_nan=True)


def _largest(a: Any, *args: Any, **options: Any) -> Any:
    """The largest of numbers that are not negative, 0 of none."""
    return (jnp.max if a.size else jnp.sum)(a, *args, **options)


# -- norms ------------------------------------------------------------------------------------------------------------


@translation(np.linalg.norm)
def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    x = jnp.asarray(x)
    x = x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(float)
    if axis is None:
        if ord is None:
            return root(jnp.sum(_squared(x), keepdims=keepdims))
        axis = tuple(range(x.ndim))
    axis = (axis,) if np.ndim(axis) == 0 else tuple(axis)
    if len(axis) == 1:
        return _vector_norm(x, 2 if ord is None else ord, axis[0], keepdims)
    if len(axis) == 2:
        return _matrix_norm(x, "fro" if ord is None else ord, axis, keepdims)
    raise ValueError("Improper number of dimensions to norm.")


def _squared(x: Any) -> Any:
    return x.real * x.real + x.imag * x.imag if is_complex(x) else x * x


def _vector_norm(x: Any, ord: Any, axis: Any, keepdims: bool) -> Any:
    if isinstance(ord, str):
        raise ValueError(f"Invalid norm order '{ord}' for vectors")
    options = {"axis": axis, "keepdims": keepdims}
    if ord == 2:
        return root(jnp.sum(_squared(x), **options))
    if ord == np.inf:
        return _largest(absolute(x), **options)
    if ord == -np.inf:
        return jnp.min(absolute(x), **options)
    if ord == 0:
        return jnp.sum((x != 0).astype(_squared(x).dtype), **options)
    if ord == 1:
        return jnp.sum(absolute(x), **options)
    total = jnp.sum(power_of_number(absolute(x), ord), **options)
    if ord < 0:
        return power_of_number(total, 1 / ord)
    return bent(safe(lambda t: power_of_number(t, 1 / ord), total == 0, total), total == 0, total)


def _matrix_norm(x: Any, ord: Any, axis: tuple, keepdims: bool) -> Any:
    rows, columns = (k % x.ndim for k in axis)
    if rows == columns:
        raise ValueError("Duplicate axes given.")
    if ord == "fro":
        return root(jnp.sum(_squared(x), axis=(rows, columns), keepdims=keepdims))
    if ord in ("nuc", 2, -2):
        values = jnp.linalg.svd(jnp.moveaxis(x, (rows, columns), (-2, -1)), compute_uv=False)
        y = jnp.sum(values, -1) if ord == "nuc" else _largest(values, -1) if ord == 2 else jnp.min(values, -1)
    elif ord in (1, -1, np.inf, -np.inf):
        inner, outer = (rows, columns) if ord in (1, -1) else (columns, rows)
        totals = jnp.sum(absolute(x), axis=inner, keepdims=True)
        y = (_largest if ord > 0 else jnp.min)(totals, axis=outer, keepdims=True)
        y = jnp.squeeze(y, (rows, columns))
    else:
        raise ValueError("Invalid norm order for matrices.")
    return jnp.expand_dims(y, tuple(sorted((rows, columns)))) if keepdims else y


@translation(getattr(np.linalg, "vector_norm", None))
def _array_api_vector_norm(x: Any, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    x = jnp.asarray(x)
    axis = tuple(range(x.ndim)) if axis is None else (axis,) if np.ndim(axis) == 0 else tuple(axis)
    axis = tuple(k % x.ndim for k in axis) if x.ndim else None
    return _vector_norm(x, ord, axis, keepdims)


@translation(getattr(np.linalg, "matrix_norm", None))
def _array_api_matrix_norm(x: Any, keepdims: bool = False, ord: Any = "fro") -> Any:
    return _matrix_norm(jnp.asarray(x), ord, (-2, -1), keepdims)


@translation(np.linalg.cond)
def _cond(x: Any, p: Any = None) -> Any:
    x = jnp.asarray(x)
    if p in (None, 2, -2):
        values = jnp.linalg.svd(x, compute_uv=False)
        r = values[..., -1] / values[..., 0] if p == -2 else values[..., 0] / values[..., -1]
    else:
        r = _matrix_norm(x, p, (-2, -1), False) * _matrix_norm(jnp.linalg.inv(x), p, (-2, -1), False)
    lost = jnp.isnan(r) & ~jnp.any(jnp.isnan(x), (-2, -1))
    known = concrete(lost)
    if known is not None and not known.any():
        return r
    if known is not None and p == "nuc" and bool(jnp.isfinite(x).all()):
        raise np.linalg.LinAlgError("SVD did not converge")
    return TABLE[vanishing](r, lost, lost) + jnp.where(lost, jnp.inf, 0).astype(r.dtype)


# -- decompositions ---------------------------------------------------------------------------------------------------


@jax.custom_jvp
def _fixed(vectors: Any, columns: Any) -> Any:
    """The vectors, whose tangents are NaN in some columns: those of repeated values have no derivative."""
    return vectors


@_fixed.defjvp
def _fixed_jvp(primals: tuple, tangents: tuple) -> tuple:
    vectors, columns = primals
    return vectors, tangents[0] * jnp.where(columns[..., None, :], jnp.nan, 1).astype(vectors.real.dtype)


def _determined(values: Any, *vectors: Any) -> list:
    """Vectors, one a column, without derivative where their values are equal up to rounding."""
    values = lax.stop_gradient(values)
    known = concrete(values)
    if known is not None:
        blocks = in_blocks(known)
        if not blocks.any():
            return list(vectors)
        CHOICE.met = user_line()
        columns = jnp.asarray(blocks)
    else:
        n = values.shape[-1]
        apart = jnp.abs(values[..., None, :] - values[..., None])
        noise = 4 * n * jnp.finfo(values.dtype).eps * jnp.max(jnp.abs(values), -1, keepdims=True, initial=0)
        columns = jnp.any((apart <= noise[..., None]) & ~jnp.eye(n, dtype=bool), -1)
    return [_fixed(v, columns) for v in vectors]


_svd_result: Any = type(np.linalg.svd(np.eye(1)))
for _decomposition in (np.linalg.eigh, np.linalg.eig):

    def _with_vectors(*args: Any, _target: Any = TABLE[_decomposition], **kwargs: Any) -> Any:
        values, vectors = result = _target(*args, **kwargs)
        return type(result)(values, *_determined(values, vectors))

    TABLE[_decomposition] = _with_vectors


@translation(np.linalg.qr)
def _qr(a: Any, mode: str = "reduced") -> Any:
    result: Any = jnp.linalg.qr(a, mode)
    r = lax.stop_gradient(result if mode == "r" else result[1])
    sizes = jnp.abs(jnp.diagonal(r, 0, -2, -1))
    small = 4 * max(sizes.shape[-1], 1) * jnp.finfo(sizes.dtype).eps * jnp.max(sizes, -1, keepdims=True, initial=0)
    lost = jnp.any(sizes <= small, -1, keepdims=True)
    known = concrete(lost)
    if known is not None and not known.any():
        return result
    if known is not None:
        CHOICE.met = user_line()
    if mode == "r":
        return _fixed(result, jnp.broadcast_to(lost, (*r.shape[:-2], r.shape[-1])))
    return type(result)(*[_fixed(x, jnp.broadcast_to(lost, (*x.shape[:-2], x.shape[-1]))) for x in result])


@translation(np.linalg.svd)
def _svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    rows, columns = jnp.shape(a)[-2:]
    if not compute_uv:
        return jnp.linalg.svd(a, False, False, hermitian)
    # JAX differentiates the thin factors only. The rest is fixed up to a rotation by being orthonormal to them.
    u, s, vh = jnp.linalg.svd(a, False, True, hermitian)
    u, v = _determined(s, u, _adjoint(vh))
    vh = _adjoint(v)
    if not full_matrices or rows == columns:
        return _svd_result(u, s, vh)
    full_u, _, full_vh = jnp.linalg.svd(lax.stop_gradient(a), full_matrices=True)
    k = min(rows, columns)
    if rows > columns:
        u = jnp.concatenate([u, _complement(u, full_u[..., :, k:])], -1)
    else:
        v = _adjoint(vh)
        vh = _adjoint(jnp.concatenate([v, _complement(v, _adjoint(full_vh)[..., :, k:])], -1))
    return _svd_result(u, s, vh)


def _adjoint(x: Any) -> Any:
    return jnp.conj(jnp.swapaxes(x, -1, -2))


def _complement(basis: Any, rest: Any) -> Any:
    """The columns ``rest``, orthonormal to the columns of ``basis`` wherever those move."""
    x = rest - basis @ (_adjoint(basis) @ rest)
    factor = jnp.linalg.cholesky(_adjoint(x) @ x)
    return _adjoint(jnp.linalg.solve(factor, _adjoint(x)))


# -- linear algebra that NumPy refuses and JAX answers with NaN -------------------------------------------------------


_by_svd = TABLE[np.linalg.lstsq]


@translation(np.linalg.lstsq)
def _lstsq(a: Any, b: Any, rcond: Any = None) -> tuple:
    a, b = jnp.asarray(a), jnp.asarray(b)
    dtype = np.result_type(*[v.dtype if jnp.issubdtype(v.dtype, jnp.inexact) else np.float64 for v in (a, b)])
    a, b = a.astype(dtype), b.astype(dtype)
    # What LAPACK takes for its own precision, where rcond is negative, is half of eps.
    x, residuals, rank, s = _by_svd(a, b, rcond if rcond is None or rcond >= 0 else 0.5 * np.finfo(dtype).eps)
    m, n = a.shape
    known = concrete(s)
    if known is not None and not np.isfinite(known).all():
        raise np.linalg.LinAlgError("SVD did not converge in Linear Least Squares")
    known = concrete(rank)
    if m <= n or (known is not None and known < n):
        residuals = jnp.zeros(0, s.dtype)
    return x, residuals, rank.astype(np.int32), s


def _or_error(function: Any, message: str) -> None:
    target = TABLE[function]

    def call(*args: Any, **kwargs: Any) -> Any:
        y = target(*args, **kwargs)
        value = concrete(y)
        if value is not None and not np.isfinite(value).all():
            inputs = [concrete(a) for a in args]
            if all(a is None or a.dtype.kind not in "fc" or np.isfinite(a).all() for a in inputs):
                raise np.linalg.LinAlgError(message)
        return y

    TABLE[function] = call


_or_error(np.linalg.solve, "Singular matrix")
_or_error(np.linalg.inv, "Singular matrix")
_or_error(np.linalg.cholesky, "Matrix is not positive definite")
