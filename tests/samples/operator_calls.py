"""PyTorch's operators as a NumPy user would write them: torch name → function of the same arguments.

The sweep of ``test_operator_samples.py`` runs these on PyTorch's own samples. Everything here is plain NumPy (with
``scipy.special`` where NumPy has no counterpart) and knows nothing of adselect.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.special as sp
from numpy.lib.stride_tricks import sliding_window_view

# -- small change ------------------------------------------------------------------------------------------------------


def _axis(dim):
    return tuple(dim) if isinstance(dim, (list, tuple)) else dim


def _reduced(function):
    def call(x, dim=None, keepdim=False, *, dtype=None, **options):
        dim = None if isinstance(dim, (list, tuple)) and not len(dim) else dim
        return function(x, axis=_axis(dim), keepdims=keepdim, **options)

    return call


def _scan(function):
    return lambda x, dim, **_: function(x, axis=dim) if np.ndim(x) else function(x[None], axis=0)[0]


def _spread(function, default):
    """std and var: torch's correction is NumPy's ddof."""

    def call(x, dim=None, unbiased=None, keepdim=False, *, correction=None):
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        ddof = correction if correction is not None else default if unbiased is None else int(unbiased)
        dim = None if isinstance(dim, (list, tuple)) and not len(dim) else dim
        return function(x, axis=_axis(dim), ddof=ddof, keepdims=keepdim)

    return call


def _mean_too(function):
    def call(x, *args, **kwargs):
        def mean(x, axis, ddof, keepdims):
            return np.mean(x, axis=axis, keepdims=keepdims)

        return _spread(function, 1)(x, *args, **kwargs), _spread(mean, 1)(x, *args, **kwargs)

    return call


def _split(x, size_or_sections, dim=0):
    if isinstance(size_or_sections, int):
        return np.split(x, range(size_or_sections, x.shape[dim], size_or_sections), axis=dim)
    return np.split(x, np.cumsum(size_or_sections)[:-1], axis=dim)


def _tensor_split(x, how, dim=0):
    how = how if isinstance(how, int) else [int(i) for i in how] if np.ndim(how) else int(how)
    return np.array_split(x, how, axis=dim) if isinstance(how, int) else np.split(x, how, axis=dim)


def _chunk(x, chunks, dim=0):
    return _split(x, -(-x.shape[dim] // chunks), dim)


def _shape(*shape):
    return tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape


def _reshape(x, *shape):
    return np.reshape(x, _shape(*shape))


def _expand(x, *shape):
    shape = _shape(*shape)
    lead = len(shape) - np.ndim(x)
    return np.broadcast_to(x, tuple([x.shape[k - lead] if n == -1 else n for k, n in enumerate(shape)]))


def _flatten(x, start_dim=0, end_dim=-1):
    if np.ndim(x) == 0:
        return np.reshape(x, 1)
    start, end = start_dim % x.ndim, end_dim % x.ndim
    return np.reshape(x, (*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))


def _unflatten(x, dim, sizes):
    dim %= x.ndim
    return np.reshape(x, (*x.shape[:dim], *sizes, *x.shape[dim + 1 :]))


def _narrow(x, dim, start, length):
    start = int(start) % max(x.shape[dim], 1) if int(start) < 0 else int(start)
    return np.moveaxis(np.moveaxis(x, dim, 0)[start : start + length], 0, dim)


def _select(x, dim, index):
    return np.moveaxis(x, dim, 0)[index]


def _slice(x, dim=0, start=None, end=None, step=1):
    return np.moveaxis(np.moveaxis(x, dim, 0)[start:end:step], 0, dim)


def _written(x, part, dim, where):
    y = np.array(x, copy=True) if type(x) is np.ndarray else np.copy(x)
    np.moveaxis(y, dim, 0)[where] = np.moveaxis(part, dim, 0) if isinstance(where, slice) else part
    return y


def _squeeze(x, dim=None):
    if dim is None:
        return np.squeeze(x)
    dims = [d for d in (dim if isinstance(dim, (list, tuple)) else (dim,)) if np.ndim(x) and x.shape[d] == 1]
    return np.squeeze(x, axis=tuple(dims))


def _transpose(x, first, second):
    return np.swapaxes(x, first, second) if np.ndim(x) else x


def _t(x):
    return np.transpose(x)


def _cat(arrays, dim=0):
    arrays = [a for a in arrays if not (a.ndim == 1 and a.shape[0] == 0)] or list(arrays[:1])
    return np.concatenate(arrays, axis=dim)


def _meshgrid(*arrays, indexing="ij"):
    arrays = arrays[0] if len(arrays) == 1 and isinstance(arrays[0], (list, tuple)) else arrays
    return np.meshgrid(*[np.atleast_1d(a) for a in arrays], indexing=indexing)


def _repeat(x, *repeats):
    return np.tile(x, _shape(*repeats))


def _tile(x, *dims):
    return np.tile(x, _shape(*dims))


def _repeat_interleave(x, repeats, dim=None, **_):
    return np.repeat(x, repeats, axis=dim)


def _diag(x, diagonal=0):
    return np.diag(x, diagonal)


def _diag_embed(x, offset=0, dim1=-2, dim2=-1):
    n = x.shape[-1] + abs(offset)
    y = np.zeros((*x.shape[:-1], n, n), dtype=x.dtype) * 1
    rows = np.arange(x.shape[-1]) + max(-offset, 0)
    y = np.zeros_like(x, shape=(*x.shape[:-1], n, n))
    y[..., rows, rows + offset] = x
    ndim = len(x.shape) + 1
    first, second = dim1 % ndim, dim2 % ndim
    return np.moveaxis(y, (-2, -1), (first, second))


def _roll(x, shifts, dims=None):
    if np.ndim(x) == 0:
        return x
    return np.roll(x, shifts, axis=_axis(dims) if dims is not None and dims != () else None)


def _flip(x, dims):
    return np.flip(x, axis=_axis(dims))


def _rot90(x, k=1, dims=(0, 1)):
    return np.rot90(x, k, tuple(dims))


def _movedim(x, source, destination):
    return np.moveaxis(x, source, destination)


def _unbind(x, dim=0):
    return [np.take(x, i, axis=dim) for i in range(x.shape[dim])]


def _unfold(x, dimension, size, step):
    if np.ndim(x) == 0:
        return np.reshape(x, (1,))[:size]
    return np.moveaxis(np.moveaxis(sliding_window_view(x, size, axis=dimension), dimension, 0)[::step], 0, dimension)


def _as_strided(x, size, stride, storage_offset=0):
    where = sum(  # positions in memory
        (np.arange(n) * s).reshape([-1 if k == j else 1 for j in range(len(size))])
        for k, (n, s) in enumerate(zip(size, stride, strict=True))
    )
    return np.ravel(x)[np.asarray(where + storage_offset).reshape(size)]


def _sum_to_size(x, *shape):
    shape = _shape(*shape)
    lead = x.ndim - len(shape)
    y = np.sum(x, axis=tuple(range(lead)))
    return np.sum(y, axis=tuple([k for k, n in enumerate(shape) if n == 1 and y.shape[k] != 1]), keepdims=True)


# -- indexing ----------------------------------------------------------------------------------------------------------


def _gather(x, dim, index):
    if np.ndim(x) == 0:
        return np.reshape(np.reshape(x, 1)[np.reshape(index, -1)], np.shape(index))
    if np.ndim(index) == 0:
        return np.take_along_axis(x, np.reshape(index, 1), 0)[0]
    return x[_at(x, dim, index)]


def _at(x, dim, index):
    grid = list(np.indices(index.shape, sparse=True))
    grid[dim % x.ndim] = index
    return tuple(grid)


def _scatter(x, dim, index, src, reduce=None, **_):
    if np.ndim(x) == 0:
        return np.reshape(
            _scatter(
                np.reshape(x, 1),
                0,
                np.reshape(index, -1),
                np.reshape(src, -1) if np.ndim(src) == 0 and not isinstance(src, (int, float, complex)) else src,
                reduce,
            ),
            (),
        )
    y = np.copy(x)
    where = _at(x, dim, np.asarray(index))
    part = src[tuple([slice(n) for n in index.shape])] if np.ndim(src) else src
    if reduce == "add":
        np.add.at(y, where, part)
    elif reduce == "multiply":
        np.multiply.at(y, where, part)
    else:
        y[where] = part
    return y


def _scatter_add(x, dim, index, src):
    return _scatter(x, dim, index, src, "add")


def _index_add(x, dim, index, source, *, alpha=1):
    if np.ndim(x) == 0:
        return x + alpha * np.sum(source)
    y = np.copy(x)
    np.add.at(
        y,
        (*[slice(None)] * (dim % x.ndim), np.atleast_1d(index)),
        alpha * (source if np.ndim(source) else source[None]),
    )
    return y


def _index_copy(x, dim, index, source):
    if np.ndim(x) == 0:
        return np.reshape(source, ()) * 1
    y = np.copy(x)
    y[(*[slice(None)] * (dim % x.ndim), np.atleast_1d(index))] = source
    return y


def _index_fill(x, dim, index, value):
    if np.ndim(x) == 0:
        return value * np.ones(()) + 0 * x
    y = np.copy(x)
    y[(*[slice(None)] * (dim % x.ndim), np.atleast_1d(index))] = value
    return y


def _index_put(x, indices, values, accumulate=False):
    y = np.copy(x)
    if accumulate:
        np.add.at(y, tuple(indices), values)
    else:
        y[tuple(indices)] = values
    return y


def _index_select(x, dim, index):
    return np.take(x, np.atleast_1d(index), axis=dim) if np.ndim(x) else np.take(np.reshape(x, 1), index) + 0


def _put(x, index, source, accumulate=False):
    y = np.copy(x).reshape(-1)
    if accumulate:
        np.add.at(y, np.ravel(index), np.ravel(source))
    else:
        y[np.ravel(index)] = np.ravel(source)
    return np.reshape(y, x.shape)


def _masked_scatter(x, mask, source):
    mask = np.broadcast_to(mask, x.shape)
    y = np.copy(x)
    y[mask] = np.ravel(source)[: np.count_nonzero(mask)]
    return y


def _masked_fill(x, mask, value):
    return np.where(mask, value, x)


def _masked_select(x, mask):
    x, mask = np.broadcast_arrays(x, mask) if np.shape(x) != np.shape(mask) else (x, mask)
    return x[mask]


def _take_along_dim(x, index, dim=None):
    if dim is None:
        return np.take_along_axis(x, np.ravel(index), None)
    return np.take_along_axis(x, index, dim)


def _sort(x, dim=-1, descending=False, stable=False):
    y = np.sort(x, axis=dim) if np.ndim(x) else x
    return np.flip(y, axis=dim) if descending and np.ndim(x) else y


def _topk(x, k, dim=-1, largest=True, sorted=True):
    if np.ndim(x) == 0:
        return x
    y = np.sort(x, axis=dim)
    y = np.flip(y, axis=dim) if largest else y
    return _narrow(y, dim, 0, k)


def _kthvalue(x, k, dim=-1, keepdim=False):
    if np.ndim(x) == 0:
        return x
    y = np.take(np.sort(x, axis=dim), k - 1, axis=dim)
    return np.expand_dims(y, dim) if keepdim else y


def _median(x, dim=None, keepdim=False):
    """torch takes the lower of the two middle values."""
    if dim is None:
        return np.quantile(x, 0.5, method="lower")
    return np.quantile(x, 0.5, axis=dim, keepdims=keepdim, method="lower") if np.ndim(x) else x


def _nanmedian(x, dim=None, keepdim=False):
    return np.nanquantile(x, 0.5, axis=dim, keepdims=keepdim, method="lower") if np.ndim(x) else x


def _quantile(x, q, dim=None, keepdim=False, interpolation="linear"):
    return np.quantile(x, q, axis=dim, keepdims=keepdim, method=interpolation)


def _nanquantile(x, q, dim=None, keepdim=False, interpolation="linear"):
    return np.nanquantile(x, q, axis=dim, keepdims=keepdim, method=interpolation)


def _extremum(function, pairwise):
    def call(x, dim=None, keepdim=False):
        if dim is None:
            return function(x)
        if not isinstance(dim, int):
            return pairwise(x, dim)
        return function(x, axis=dim, keepdims=keepdim) if np.ndim(x) else x

    return call


# -- arithmetic --------------------------------------------------------------------------------------------------------


def _div(x, other, rounding_mode=None):
    y = x / other
    return y if rounding_mode is None else np.trunc(y) if rounding_mode == "trunc" else np.floor(y)


def _clamp(x, min=None, max=None):
    return np.clip(x, min, max)


def _gradient(x, *, spacing=None, dim=None, edge_order=1):
    if dim is None:
        dim = tuple(range(np.ndim(x)))
    spacing = [] if spacing is None else spacing if isinstance(spacing, (list, tuple)) else [spacing]
    y = np.gradient(x, *[s if np.ndim(s) else float(s) for s in spacing], axis=_axis(dim), edge_order=edge_order)
    return y if isinstance(y, (list, tuple)) else [y]


def _diff(x, n=1, dim=-1, prepend=None, append=None):
    options = {k: v for k, v in (("prepend", prepend), ("append", append)) if v is not None}
    return np.diff(x, n, axis=dim, **options)


def _trapezoid(y, x=None, *, dx=1.0, dim=-1):
    return np.trapezoid(y, x, dx=dx, axis=dim)


def _cumulative_trapezoid(y, x=None, *, dx=1.0, dim=-1):
    y = np.moveaxis(y, dim, -1)
    if x is not None:
        dx = np.diff(x if np.ndim(x) == 1 else np.moveaxis(x, dim, -1), axis=-1)
    return np.moveaxis(np.cumsum((y[..., 1:] + y[..., :-1]) * dx / 2, axis=-1), -1, dim)


def _norm(x, ord=None, dim=None, keepdim=False, **_):
    if ord is None and dim is None:
        return np.linalg.norm(np.ravel(x)).reshape((1,) * np.ndim(x) if keepdim else ())
    if dim is not None and not isinstance(dim, int) and ord is None:
        return np.sqrt(np.sum(np.abs(x) ** 2, axis=_axis(dim), keepdims=keepdim))
    return np.linalg.norm(x, ord, axis=_axis(dim), keepdims=keepdim)


def _vector_norm(x, ord=2, dim=None, keepdim=False, **_):
    return np.linalg.vector_norm(x, ord=ord, axis=_axis(dim), keepdims=keepdim)


def _matrix_norm(x, ord="fro", dim=(-2, -1), keepdim=False, **_):
    return np.linalg.norm(x, ord, axis=tuple(dim), keepdims=keepdim)


def _old_norm(x, p="fro", dim=None, keepdim=False, **_):
    if p == "nuc":
        return np.linalg.norm(x, "nuc", axis=_axis(dim) or (-2, -1), keepdims=keepdim)
    p = 2 if p in ("fro", None) else p
    axis = tuple(range(np.ndim(x))) if dim is None or dim == [] or dim == () else _axis(dim)
    return np.linalg.vector_norm(x, ord=p, axis=axis, keepdims=keepdim)


def _renorm(x, p, dim, maxnorm):
    axes = tuple([k for k in range(x.ndim) if k != dim % x.ndim])
    norm = np.linalg.vector_norm(x, ord=p, axis=axes, keepdims=True)
    return np.where(norm > maxnorm, x / (norm + 1e-7) * maxnorm, x)


def _addmm(x, a, b, *, beta=1, alpha=1):
    return beta * x + alpha * (a @ b)


def _addr(x, a, b, *, beta=1, alpha=1):
    return beta * x + alpha * np.outer(a, b)


def _addbmm(x, a, b, *, beta=1, alpha=1):
    return beta * x + alpha * np.sum(a @ b, axis=0)


def _cdist(a, b, p=2.0, *_, **__):
    return np.linalg.vector_norm(a[..., :, None, :] - b[..., None, :, :], ord=p, axis=-1)


def _dist(a, b, p=2):
    return np.linalg.vector_norm(np.ravel(a - b), ord=p)


def _cross(a, b, dim=None):
    if dim is None:
        dim = next(k for k, n in enumerate(np.broadcast_shapes(a.shape, b.shape)) if n == 3)
    return np.cross(a, b, axis=dim)


def _linalg_cross(a, b, *, dim=-1):
    shape = np.broadcast_shapes(a.shape, b.shape)
    return np.cross(np.broadcast_to(a, shape), np.broadcast_to(b, shape), axis=dim)


def _tensordot(a, b, dims=2, **_):
    if isinstance(dims, (list, tuple)):  # torch broadcasts contracted axes of length 1
        for i, j in zip(*dims, strict=True):
            a = np.sum(a, axis=i, keepdims=True) if b.shape[j] == 1 else a
            b = np.sum(b, axis=j, keepdims=True) if a.shape[i] == 1 else b
    return np.tensordot(a, b, axes=dims)


def _einsum(operands, equation=None):
    return np.einsum(equation, *operands)


def _vecdot(a, b, *, dim=-1):
    return np.sum(np.conj(a) * b, axis=dim)


def _solve(a, b, *, left=True):
    if not left:
        return np.swapaxes(_solve(np.swapaxes(a, -1, -2), np.swapaxes(b, -1, -2)), -1, -2)
    vector = b.ndim == 1 or (a.ndim - 1 == b.ndim and b.shape == a.shape[:-1])
    return np.linalg.solve(a, b[..., None])[..., 0] if vector else np.linalg.solve(a, b)


def _solve_triangular(a, b, *, upper, left=True, unitriangular=False):
    a = np.triu(a) if upper else np.tril(a)
    if unitriangular:
        a = a - a * np.eye(a.shape[-1]) + np.eye(a.shape[-1])
    if not left:
        return np.swapaxes(np.linalg.solve(np.swapaxes(a, -1, -2), np.swapaxes(b, -1, -2)), -1, -2)
    return np.linalg.solve(a, b)


def _cholesky(a, upper=False):
    factor = np.linalg.cholesky(a)
    return np.conj(np.swapaxes(factor, -1, -2)) if upper else factor


def _cholesky_inverse(a, upper=False):
    a = np.triu(a) if upper else np.tril(a)
    h = np.conj(np.swapaxes(a, -1, -2))
    return np.linalg.inv(h @ a if upper else a @ h)


def _cholesky_solve(b, a, upper=False):
    a = np.triu(a) if upper else np.tril(a)
    h = np.conj(np.swapaxes(a, -1, -2))
    return np.linalg.solve(h @ a if upper else a @ h, b)


def _logdet(a):
    sign, logarithm = np.linalg.slogdet(a)
    return logarithm + np.log(sign) if np.iscomplexobj(a) else logarithm + 0 * np.log(sign)


def _matrix_exp(a):
    """Scaling and squaring of a Taylor polynomial."""
    y = term = np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape) + 0 * a
    a = a / 2.0**6
    for k in range(1, 16):
        term = term @ a / k
        y = y + term
    for _ in range(6):
        y = y @ y
    return y


def _vander(x, N=None):
    x = np.atleast_1d(x)
    n = x.shape[-1] if N is None else N
    return np.stack([x**k for k in range(n)], axis=-1)


def _tensorinv(a, ind=2):
    return np.linalg.tensorinv(a, ind)


def _tensorsolve(a, b, dims=None):
    return np.linalg.tensorsolve(a, b, axes=dims)


def _pinv_of_product(a, b, **_):
    return np.linalg.pinv(a @ np.swapaxes(b, -1, -2))


def _pinv(a, *_, hermitian=False, **__):
    return np.linalg.pinv(a, hermitian=hermitian) if hermitian else np.linalg.pinv(a)


def _lstsq(a, b, *_, **__):
    return np.linalg.pinv(a) @ b


def _svd_values(a, **_):
    return np.linalg.svd(a, compute_uv=False)


def _qr(a, mode="reduced"):
    mode = {True: "reduced", False: "complete"}.get(mode, mode)
    y = np.linalg.qr(a, mode=mode)
    return y if mode == "r" else (y[0], y[1])


def _eigh(a, UPLO="L"):
    return np.linalg.eigvalsh(a, UPLO)


def _trace(x):
    return np.trace(x)


def _cov(x, *, correction=1, fweights=None, aweights=None):
    return np.cov(x, ddof=correction, fweights=fweights, aweights=aweights)


def _histogram_free_round(x, *, decimals=0):
    return np.round(x, decimals)


def _ldexp(x, other):
    return x * 2.0**other


def _frexp(x):
    return x / 2.0 ** np.frexp(x)[1]


def _lerp(a, b, weight):
    return a + weight * (b - a)


def _sgn(x):
    return np.sign(x)


def _polar(r, phi):
    return r * np.cos(phi) + 1j * (r * np.sin(phi))


def _complex(re, im):
    return re + 1j * im


def _view_as_complex(x):
    return x[..., 0] + 1j * x[..., 1]


def _nan_to_num(x, nan=0.0, posinf=None, neginf=None):
    return np.nan_to_num(x, nan=0.0 if nan is None else nan, posinf=posinf, neginf=neginf)


def _mvlgamma(x, p):
    return p * (p - 1) / 4 * math.log(math.pi) + sum(sp.gammaln(x - j / 2) for j in range(p))


def _polygamma(x, n):
    if not isinstance(n, int):
        x, n = n, int(x)
    return sp.digamma(x) if n == 0 else (-1) ** (n + 1) * math.factorial(n) * sp.zeta(n + 1.0, x)


def _logit(x, eps=None):
    return sp.logit(x if eps is None else np.clip(x, eps, 1 - eps))


def _sinc(x):
    return np.sinc(x)


def _where(condition, x, y):
    return np.where(condition, x, y)


def _torch_where(x, condition, y):
    return np.where(condition, x, y)


def _combinations(x, r=2, with_replacement=False):
    import itertools

    pick = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = np.array(list(pick(range(x.shape[0]), r)), dtype=int).reshape(-1, r)
    return x[places]


def _cartesian(*arrays):
    return (
        np.stack([np.ravel(g) for g in np.meshgrid(*arrays, indexing="ij")], axis=-1) if len(arrays) > 1 else arrays[0]
    )


def _block_diag(*arrays):
    arrays = [np.atleast_2d(a) for a in arrays]
    rows = []
    width = sum(a.shape[1] for a in arrays)
    left = 0
    for a in arrays:
        rows.append(np.pad(a, ((0, 0), (left, width - left - a.shape[1]))))
        left += a.shape[1]
    return np.concatenate(rows, axis=0)


# -- exponentials over an axis -----------------------------------------------------------------------------------------


def _logsumexp(x, dim=None, keepdim=False):
    if np.ndim(x) == 0:
        return np.real(x) + np.log(np.exp(1j * np.imag(x))) if np.iscomplexobj(x) else x
    axis = _axis(dim)
    top = np.max(x, axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    y = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return y if keepdim else np.squeeze(y, axis=axis)


def _log_softmax(x, dim=-1, *, dtype=None, **_):
    x = np.real(x) if dtype is not None else x
    return x - _logsumexp(x, dim, True) if np.ndim(x) else x * 0.0


def _softmax(x, dim=-1, *, dtype=None, **_):
    x = np.real(x) if dtype is not None else x
    if np.ndim(x) == 0:
        return x * 0.0 + 1.0
    e = np.exp(x - np.max(x, axis=dim, keepdims=True))
    return e / np.sum(e, axis=dim, keepdims=True)


def _softmin(x, dim=-1, *, dtype=None, **_):
    return _softmax(-x, dim, dtype=dtype)


def _logcumsumexp(x, dim):
    return np.logaddexp.accumulate(x, axis=dim) if np.ndim(x) else x


# -- neural networks ---------------------------------------------------------------------------------------------------


def _softplus(x, beta=1, threshold=20):
    return np.where(beta * x > threshold, x, np.logaddexp(0.0, np.minimum(beta * x, threshold)) / beta)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _relu(x, **_):
    return np.where(x > 0, x, 0.0)


def _leaky_relu(x, negative_slope=0.01, **_):
    return np.where(x > 0, x, negative_slope * x)


def _elu(x, alpha=1.0, **_):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def _celu(x, alpha=1.0, **_):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0) / alpha))


def _selu(x, **_):
    return 1.0507009873554805 * _elu(x, 1.6732632423543772)


def _gelu(x, approximate="none"):
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + sp.erf(x / math.sqrt(2)))


def _silu(x, **_):
    return x * _sigmoid(x)


def _mish(x, **_):
    return x * np.tanh(np.logaddexp(0.0, x))


def _glu(x, dim=-1):
    a, b = np.split(x, 2, axis=dim)
    return a * _sigmoid(b)


def _hardtanh(x, min_val=-1.0, max_val=1.0, **_):
    return np.where(x < min_val, min_val, np.where(x > max_val, max_val, x))


def _hardsigmoid(x, **_):
    return _hardtanh(x / 6 + 0.5, 0.0, 1.0)


def _hardswish(x, **_):
    return np.where(x <= -3, 0.0, np.where(x >= 3, x, x * (x + 3) / 6))


def _hardshrink(x, lambd=0.5):
    return np.where(np.abs(x) > lambd, x, 0.0)


def _softshrink(x, lambd=0.5):
    return np.where(x > lambd, x - lambd, np.where(x < -lambd, x + lambd, 0.0))


def _threshold(x, threshold, value, **_):
    return np.where(x > threshold, x, value)


def _prelu(x, weight):
    if np.ndim(weight) and np.size(weight) > 1:
        weight = np.reshape(weight, (1, -1) + (1,) * (x.ndim - 2)) if x.ndim > 1 else weight
    return np.where(x > 0, x, weight * x)


def _linear(x, weight, bias=None):
    y = x @ np.swapaxes(weight, -1, -2) if weight.ndim > 1 else x @ weight
    return y if bias is None else y + bias


def _bilinear(a, b, weight, bias=None):
    y = np.einsum("...i,oij,...j->...o", a, weight, b)
    return y if bias is None else y + bias


def _tuple(value, n):
    value = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    return value * n if len(value) == 1 else value


def _conv(n):
    letters = "xyz"[:n]

    def conv(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        batched = x.ndim == n + 2
        x = x if batched else x[None]
        stride, dilation = _tuple(stride, n), _tuple(dilation, n)
        kernel = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True)]
        if padding == "same":
            pads = [((k - 1) // 2, (k - 1) - (k - 1) // 2) for k in kernel]
        else:
            pads = [(p, p) for p in _tuple(0 if padding == "valid" else padding, n)]
        x = np.pad(x, [(0, 0), (0, 0), *pads])
        windows = sliding_window_view(x, kernel, axis=tuple(range(2, 2 + n)))
        windows = windows[
            (
                slice(None),
                slice(None),
                *[slice(None, None, s) for s in stride],
                *[slice(None, None, d) for d in dilation],
            )
        ]
        parts = []
        inner, outer = x.shape[1] // groups, weight.shape[0] // groups
        for g in range(groups):
            parts.append(
                np.einsum(
                    f"bc{letters}{letters.upper()},oc{letters.upper()}->bo{letters}",
                    windows[:, g * inner : (g + 1) * inner],
                    weight[g * outer : (g + 1) * outer],
                )
            )
        y = np.concatenate(parts, axis=1)
        if bias is not None:
            y = y + np.reshape(bias, (-1,) + (1,) * n)
        return y if batched else y[0]

    return conv


def _conv_transpose(n):
    def conv(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
        batched = x.ndim == n + 2
        x = x if batched else x[None]
        stride, dilation, padding = _tuple(stride, n), _tuple(dilation, n), _tuple(padding, n)
        extra = _tuple(output_padding, n)
        spread = np.zeros_like(
            x, shape=(*x.shape[:2], *[s * (k - 1) + 1 for s, k in zip(stride, x.shape[2:], strict=True)])
        )
        spread[(slice(None), slice(None), *[slice(None, None, s) for s in stride])] = x
        pads = [
            (d * (k - 1) - p, d * (k - 1) - p + e)
            for d, k, p, e in zip(dilation, weight.shape[2:], padding, extra, strict=True)
        ]
        spread = np.pad(spread, [(0, 0), (0, 0), *[(max(a, 0), max(b, 0)) for a, b in pads]])
        spread = spread[
            (
                slice(None),
                slice(None),
                *[slice(max(-a, 0), spread.shape[2 + k] - max(-b, 0)) for k, (a, b) in enumerate(pads)],
            )
        ]
        inner = x.shape[1] // groups
        kernels = np.flip(weight, axis=tuple(range(2, 2 + n)))
        parts = [
            _conv(n)(
                spread[:, g * inner : (g + 1) * inner],
                np.swapaxes(kernels[g * inner : (g + 1) * inner], 0, 1),
                dilation=dilation,
            )
            for g in range(groups)
        ]
        y = np.concatenate(parts, axis=1)
        if bias is not None:
            y = y + np.reshape(bias, (-1,) + (1,) * n)
        return y if batched else y[0]

    return conv


def _windows(x, n, kernel, stride, padding, fill, dilation=1, ceil_mode=False):
    kernel, padding, dilation = _tuple(kernel, n), _tuple(padding, n), _tuple(dilation, n)
    stride = kernel if stride is None or stride == [] or stride == () else _tuple(stride, n)
    lead = x.ndim - n
    pads = []
    for k in range(n):
        size, width = x.shape[lead + k], dilation[k] * (kernel[k] - 1) + 1
        extra = 0
        if ceil_mode:
            steps = -(-(size + 2 * padding[k] - width) // stride[k])
            if steps * stride[k] >= size + padding[k]:
                steps -= 1
            extra = max(0, steps * stride[k] + width - size - 2 * padding[k])
        pads.append((padding[k], padding[k] + extra))
    padded = np.pad(x, [(0, 0)] * lead + pads, constant_values=fill)
    view = sliding_window_view(
        padded, [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)], axis=tuple(range(lead, lead + n))
    )
    return view[
        (
            *[slice(None)] * lead,
            *[slice(None, None, s) for s in stride],
            *[slice(None, None, d) for d in dilation],
        )
    ]


def _max_pool(n):
    def pool(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        windows = _windows(x, n, kernel_size, stride, padding, -np.inf, dilation, ceil_mode)
        return np.max(windows, axis=tuple(range(-n, 0)))

    return pool


def _avg_pool(n):
    def pool(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None):
        total = np.sum(_windows(x, n, kernel_size, stride, padding, 0.0, 1, ceil_mode), axis=tuple(range(-n, 0)))
        if divisor_override:
            return total / divisor_override
        here = np.ones(x.shape[x.ndim - n :])
        if count_include_pad:
            here = np.pad(here, [(p, p) for p in _tuple(padding, n)], constant_values=1.0)
            count = np.sum(_windows(here, n, kernel_size, stride, 0, 0.0, 1, ceil_mode), axis=tuple(range(-n, 0)))
        else:
            count = np.sum(_windows(here, n, kernel_size, stride, padding, 0.0, 1, ceil_mode), axis=tuple(range(-n, 0)))
        return total / count

    return pool


def _adaptive(function, n):
    def pool(x, output_size, *_, **__):
        sizes = _tuple(output_size, n)
        lead = x.ndim - n
        for k in range(n):
            axis = lead + k
            size = x.shape[axis]
            bins = size if sizes[k] is None else sizes[k]
            parts = [
                function(_narrow(x, axis, i * size // bins, -(-(i + 1) * size // bins) - i * size // bins), axis=axis)
                for i in range(bins)
            ]
            x = np.stack(parts, axis=axis)
        return x

    return pool


def _pad(mode):
    def pad(x, pad, mode=mode, value=None):
        widths = [(0, 0)] * x.ndim
        cut = [slice(None)] * x.ndim
        edges = []
        for k in range(len(pad) // 2):
            a, b = pad[2 * k], pad[2 * k + 1]
            axis = x.ndim - 1 - k
            widths[axis] = (max(a, 0), max(b, 0))
            cut[axis] = slice(max(-a, 0), x.shape[axis] - max(-b, 0))
            edges.append((axis, x.shape[axis], a, b))
        if mode == "constant":
            return np.pad(x[tuple(cut)], widths, constant_values=0.0 if value is None else value)
        if mode == "replicate":
            for axis, n, a, b in edges:
                x = np.take(x, np.clip(np.arange(-a, n + b), 0, n - 1), axis=axis)
            return x
        return np.pad(x[tuple(cut)], widths, mode={"circular": "wrap"}.get(mode, mode))

    return pad


def _pixel_shuffle(x, upscale_factor):
    r = upscale_factor
    *lead, c, h, w = x.shape
    y = np.reshape(x, (*lead, c // r**2, r, r, h, w))
    n = len(lead)
    y = np.transpose(y, (*range(n), n, n + 3, n + 1, n + 4, n + 2))
    return np.reshape(y, (*lead, c // r**2, h * r, w * r))


def _pixel_unshuffle(x, downscale_factor):
    r = downscale_factor
    *lead, c, h, w = x.shape
    y = np.reshape(x, (*lead, c, h // r, r, w // r, r))
    n = len(lead)
    y = np.transpose(y, (*range(n), n, n + 2, n + 4, n + 1, n + 3))
    return np.reshape(y, (*lead, c * r**2, h // r, w // r))


def _channel_shuffle(x, groups):
    y = np.reshape(x, (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]))
    return np.reshape(np.swapaxes(y, 1, 2), x.shape)


def _layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-5):
    axes = tuple(range(-len(normalized_shape), 0))
    y = (x - np.mean(x, axis=axes, keepdims=True)) / np.sqrt(np.var(x, axis=axes, keepdims=True) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _rms_norm(x, normalized_shape, weight=None, eps=None):
    axes = tuple(range(-len(normalized_shape), 0))
    eps = np.finfo(float).eps if eps is None else eps
    y = x / np.sqrt(np.mean(x * x, axis=axes, keepdims=True) + eps)
    return y if weight is None else y * weight


def _channels(v, x):
    return np.reshape(v, (1, -1) + (1,) * (x.ndim - 2))


def _group_norm(x, num_groups, weight=None, bias=None, eps=1e-5):
    y = np.reshape(x, (x.shape[0], num_groups, math.prod(x.shape[1:]) // num_groups))
    y = (y - np.mean(y, axis=-1, keepdims=True)) / np.sqrt(np.var(y, axis=-1, keepdims=True) + eps)
    y = np.reshape(y, x.shape)
    y = y if weight is None else y * _channels(weight, x)
    return y if bias is None else y + _channels(bias, x)


def _batch_norm(x, running_mean=None, running_var=None, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    if training:
        axes = (0, *range(2, x.ndim))
        mean, var = np.mean(x, axis=axes, keepdims=True), np.var(x, axis=axes, keepdims=True)
    else:
        mean, var = _channels(running_mean, x), _channels(running_var, x)
    y = (x - mean) / np.sqrt(var + eps)
    y = y if weight is None else y * _channels(weight, x)
    return y if bias is None else y + _channels(bias, x)


def _instance_norm(
    x, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1, eps=1e-5
):
    axes = tuple(range(2, x.ndim))
    if use_input_stats:
        mean, var = np.mean(x, axis=axes, keepdims=True), np.var(x, axis=axes, keepdims=True)
    else:
        mean, var = _channels(running_mean, x), _channels(running_var, x)
    y = (x - mean) / np.sqrt(var + eps)
    y = y if weight is None else y * _channels(weight, x)
    return y if bias is None else y + _channels(bias, x)


def _local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0):
    squares = np.pad(x * x, [(0, 0), (size // 2, (size - 1) // 2), *[(0, 0)] * (x.ndim - 2)])
    mean = np.sum(sliding_window_view(squares, size, axis=1), axis=-1) / size
    return x / (k + alpha * mean) ** beta


def _normalize(x, p=2.0, dim=1, eps=1e-12):
    norm = np.linalg.vector_norm(x, ord=p, axis=dim, keepdims=True) if np.ndim(x) else np.abs(x)
    return x / np.maximum(norm, eps)


def _cosine_similarity(a, b, dim=1, eps=1e-8):
    a, b = np.broadcast_arrays(a, b)
    dot = np.sum(a * b, axis=dim)
    na, nb = np.linalg.vector_norm(a, axis=dim), np.linalg.vector_norm(b, axis=dim)
    return dot / (np.maximum(na, eps) * np.maximum(nb, eps))


def _pairwise_distance(a, b, p=2.0, eps=1e-6, keepdim=False):
    return np.linalg.vector_norm(a - b + eps, ord=p, axis=-1, keepdims=keepdim)


def _pdist(x, p=2.0):
    i, j = np.triu_indices(x.shape[0], 1)
    return np.linalg.vector_norm(x[i] - x[j], ord=p, axis=-1)


def _attention(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    if enable_gqa:
        k = np.repeat(k, q.shape[-3] // k.shape[-3], axis=-3)
        v = np.repeat(v, q.shape[-3] // v.shape[-3], axis=-3)
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = q @ np.swapaxes(k, -1, -2) * scale
    if is_causal:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
    if attn_mask is not None:
        scores = np.where(attn_mask, scores, -np.inf) if attn_mask.dtype == bool else scores + attn_mask
    return _softmax(scores) @ v


def _embedding(weight, index, *_, **__):
    return weight[index]


def _unfold_patches(x, kernel_size, dilation=1, padding=0, stride=1):
    batched = x.ndim == 4
    x = x if batched else x[None]
    windows = _windows(x, 2, kernel_size, _tuple(stride, 2), padding, 0.0, dilation)
    b, c, h, w, kh, kw = windows.shape
    y = np.reshape(np.transpose(windows, (0, 1, 4, 5, 2, 3)), (b, c * kh * kw, h * w))
    return y if batched else y[0]


def _nearest(x, size=None, scale_factor=None, **_):
    n = x.ndim - 2
    for k in range(n):
        old = x.shape[2 + k]
        new = _tuple(size, n)[k] if size is not None else int(old * _tuple(scale_factor, n)[k])
        factor = old / new if size is not None or scale_factor is None else 1 / _tuple(scale_factor, n)[k]
        x = np.take(x, np.minimum((np.arange(new) * factor).astype(int), old - 1), axis=2 + k)
    return x


# -- losses ------------------------------------------------------------------------------------------------------------


def loss_of(function):
    def call(*args, reduction="mean", size_average=None, reduce=None, **kwargs):
        y = function(*args, **kwargs)
        return np.mean(y) if reduction == "mean" else np.sum(y) if reduction == "sum" else y

    return call


def _huber(x, target, delta=1.0, weight=None):
    d = np.abs(x - target)
    return np.where(d < delta, 0.5 * d * d, delta * (d - 0.5 * delta))


def _smooth_l1(x, target, beta=1.0):
    d = np.abs(x - target)
    return np.where(d < beta, 0.5 * d * d / beta, d - 0.5 * beta) if beta else d


def _bce(x, target, weight=None):
    y = -(target * np.maximum(np.log(x), -100) + (1 - target) * np.maximum(np.log1p(-x), -100))
    return y if weight is None else y * weight


def _bce_logits(x, target, weight=None, pos_weight=None):
    scale = 1.0 if pos_weight is None else 1 + (pos_weight - 1) * target
    y = (1 - target) * x + scale * np.logaddexp(0.0, -x)
    return y if weight is None else y * weight


def _kl_div(x, target, reduction="mean", log_target=False, **_):
    y = np.exp(target) * (target - x) if log_target else sp.xlogy(target, target) - target * x
    if reduction == "batchmean":
        return np.sum(y) / x.shape[0] if x.ndim else np.sum(y)
    return np.mean(y) if reduction == "mean" else np.sum(y) if reduction == "sum" else y


def _poisson(x, target, log_input=True, full=False, eps=1e-8):
    y = np.exp(x) - target * x if log_input else x - target * np.log(x + eps)
    if full:
        safe = np.where(target > 1, target, 1.0)
        y = y + np.where(target > 1, safe * np.log(safe) - safe + 0.5 * np.log(2 * np.pi * safe), 0.0)
    return y


def _gaussian_nll(x, target, var, full=False, eps=1e-6):
    if np.ndim(var) == np.ndim(x) - 1 and np.shape(var) != np.shape(x):
        var = var[..., None]
    var = np.where(var > eps, var, eps)
    y = 0.5 * (np.log(var) + (x - target) ** 2 / var)
    return y + 0.5 * math.log(2 * math.pi) if full else y


def _margin_ranking(a, b, target, margin=0.0):
    return _relu(-target * (a - b) + margin)


def _hinge_embedding(x, target, margin=1.0):
    return np.where(target == 1, x, 0.0) + np.where(target == -1, _relu(margin - x), 0.0)


def _cosine_embedding(a, b, target, margin=0.0):
    cos = np.sum(a * b, axis=-1) / np.sqrt((np.sum(a * a, axis=-1) + 1e-12) * (np.sum(b * b, axis=-1) + 1e-12))
    return np.where(target == 1, 1 - cos, 0.0) + np.where(target == -1, _relu(cos - margin), 0.0)


def _soft_margin(x, target):
    return np.logaddexp(0.0, -target * x)


def _multilabel_soft_margin(x, target, weight=None):
    y = target * np.logaddexp(0.0, -x) + (1 - target) * np.logaddexp(0.0, x)
    return np.mean(y if weight is None else y * weight, axis=-1)


def _multi_margin(x, target, p=1, margin=1.0, weight=None):
    x = np.atleast_2d(x)
    target = np.atleast_1d(target)
    rows = np.arange(len(target))
    y = _relu(margin - x[rows, target][:, None] + x) ** p
    if weight is not None:
        y = y * weight[target][:, None]
    keep = np.ones(x.shape)
    keep[rows, target] = 0
    return np.sum(y * keep, axis=1) / x.shape[1]


def _triplet(a, p_, n_, margin=1.0, p=2.0, eps=1e-6, swap=False):
    def far(u, v):
        return np.linalg.vector_norm(u - v + eps, ord=p, axis=-1)

    negative = np.minimum(far(a, n_), far(p_, n_)) if swap else far(a, n_)
    return _relu(far(a, p_) - negative + margin)


def _nll(x, target, weight=None, ignore_index=-100, reduction="mean", **_):
    x = np.moveaxis(x, 1 if x.ndim > 1 else 0, -1)
    kept = target != ignore_index
    safe = np.where(kept, target, 0)
    w = np.where(kept, 1.0 if weight is None else weight[safe], 0.0)
    y = -np.take_along_axis(x, safe[..., None], -1)[..., 0] * w
    return y if reduction == "none" else np.sum(y) if reduction == "sum" else np.sum(y) / np.sum(w)


def _cross_entropy(x, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0, **_):
    axis = 1 if x.ndim > 1 else 0
    logs = np.moveaxis(_log_softmax(x, axis), axis, -1)
    c = logs.shape[-1]
    per_class = np.ones(c) if weight is None else weight
    if np.issubdtype(np.result_type(target), np.floating):
        t = np.moveaxis(target, axis, -1) * (1 - label_smoothing) + label_smoothing / c
        y = -np.sum(t * logs * per_class, axis=-1)
        return y if reduction == "none" else np.sum(y) if reduction == "sum" else np.sum(y) / max(np.size(y), 1)
    kept = target != ignore_index
    safe = np.where(kept, target, 0)
    w = np.where(kept, per_class[safe], 0.0)
    y = -np.take_along_axis(logs, safe[..., None], -1)[..., 0] * w * (1 - label_smoothing)
    if label_smoothing:
        y = y - np.where(kept, np.sum(logs * per_class, axis=-1), 0.0) * label_smoothing / c
    return y if reduction == "none" else np.sum(y) if reduction == "sum" else np.sum(y) / np.sum(w)


# -- masked ------------------------------------------------------------------------------------------------------------


def _masked(function, fill):
    def call(x, dim=None, *, mask=None, keepdim=False, dtype=None):
        if mask is not None:
            x = np.where(mask, x, fill)
        return function(x, axis=_axis(dim), keepdims=keepdim)

    return call


def _masked_mean(x, dim=None, *, mask=None, keepdim=False, **_):
    here = np.broadcast_to(True if mask is None else mask, x.shape)
    total = np.sum(np.where(here, x, 0.0), axis=_axis(dim), keepdims=keepdim)
    return total / np.sum(here, axis=_axis(dim), keepdims=keepdim)


def _masked_scan(function, fill):
    return lambda x, dim, *, mask=None, **_: function(x if mask is None else np.where(mask, x, fill), axis=dim)


def _masked_along(function, fill):
    def call(x, dim, *args, mask=None, **kwargs):
        return function(x if mask is None else np.where(mask, x, fill), dim)

    return call


def _masked_norm(x, ord=2, dim=None, *, mask=None, keepdim=False, **_):
    fill = np.inf if ord == -np.inf else 0.0
    axis = tuple(range(x.ndim)) if dim is None else _axis(dim)
    return np.linalg.vector_norm(x if mask is None else np.where(mask, x, fill), ord=ord, axis=axis, keepdims=keepdim)


# -- Fourier -----------------------------------------------------------------------------------------------------------


def _fft(name):
    function = getattr(np.fft, name)
    if name.endswith("shift"):
        return lambda x, dim=None: function(x, axes=_axis(dim))
    if name.endswith(("2", "n")):

        def axes_of(dim):
            return (dim,) if isinstance(dim, int) else tuple(dim)

        default = (-2, -1) if name.endswith("2") else None
        return lambda x, s=None, dim=default, norm=None: function(
            x, s=s, axes=axes_of(dim) if dim is not None else None if s is None else tuple(range(-len(s), 0)), norm=norm
        )
    return lambda x, n=None, dim=-1, norm=None: function(x, n=n, axis=dim, norm=norm)


def _hfft_n(inverse):
    """The Hermitian transforms in several dimensions that NumPy lacks, from those it has."""

    def call(x, s=None, dim=None, norm=None):
        axes = dim if dim is not None else tuple(range(x.ndim))[-len(s) :] if s is not None else tuple(range(x.ndim))
        axes = [axes] if isinstance(axes, int) else list(axes)
        s = [None] * len(axes) if s is None else list(s)
        if inverse:
            x = np.fft.ihfft(x, s[-1], axes[-1], norm)
            for n, a in zip(s[:-1], axes[:-1], strict=True):
                x = np.fft.ifft(x, n, a, norm)
            return x
        for n, a in zip(s[:-1], axes[:-1], strict=True):
            x = np.fft.fft(x, n, a, norm)
        return np.fft.hfft(x, s[-1], axes[-1], norm)

    return call


def _hfft_2(inverse):
    return lambda x, s=None, dim=(-2, -1), norm=None: _hfft_n(inverse)(x, s, dim, norm)


# -- the table ---------------------------------------------------------------------------------------------------------

_UNARY = {
    **{
        n: getattr(np, n)
        for n in [
            "abs",
            "angle",
            "ceil",
            "conj",
            "cos",
            "cosh",
            "exp",
            "exp2",
            "expm1",
            "floor",
            "log",
            "log10",
            "log1p",
            "log2",
        ]
    },
    **{
        n: getattr(np, n)
        for n in ["real", "sign", "sin", "sinh", "sqrt", "square", "tan", "tanh", "trunc", "rad2deg", "deg2rad"]
    },
    **{n: getattr(np, "arc" + n[1:]) for n in ["acos", "acosh", "asin", "asinh", "atan", "atanh"]},
    **{n: getattr(sp, n) for n in ["erf", "erfc", "erfinv", "i0", "digamma"]},
    **{f"special.{n}": getattr(sp, n) for n in ["entr", "erfcx", "i0e", "i1", "i1e", "log_ndtr", "ndtr", "ndtri"]},
    "conj_physical": np.conj,
    "imag": np.imag,
    "lgamma": sp.gammaln,
    "neg": np.negative,
    "positive": np.positive,
    "reciprocal": lambda x: 1 / x,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sgn": _sgn,
    "sigmoid": _sigmoid,
    "sinc": _sinc,
    "frac": lambda x: x - np.trunc(x),
    "frexp": _frexp,
    "logit": _logit,
    "nan_to_num": _nan_to_num,
    "round": _histogram_free_round,
    "resolve_conj": lambda x: x,
    "resolve_neg": lambda x: x,
    "clone": lambda x, **_: np.copy(x),
    "contiguous": lambda x, **_: np.copy(x),
    "double": lambda x, **_: x.astype(np.float64) if x.dtype.kind != "c" else x.real,
    "cdouble": lambda x, **_: x.astype(np.complex128),
    "alias_copy": np.copy,
    "chalf": None,
    "mvlgamma": _mvlgamma,
    "polygamma": _polygamma,
    "special.polygamma": _polygamma,
}

_BINARY = {
    "add": lambda x, y, alpha=1: x + alpha * y,
    "sub": lambda x, y, alpha=1: x - alpha * y,
    "rsub": lambda x, y, alpha=1: y - alpha * x,
    "mul": np.multiply,
    "div": _div,
    "true_divide": np.divide,
    "pow": np.power,
    "float_power": np.float_power,
    "fmod": np.fmod,
    "remainder": np.remainder,
    "atan2": np.arctan2,
    "copysign": np.copysign,
    "hypot": np.hypot,
    "fmax": np.fmax,
    "fmin": np.fmin,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "max": _extremum(np.max, np.maximum),
    "min": _extremum(np.min, np.minimum),
    "logaddexp": np.logaddexp,
    "logaddexp2": np.logaddexp2,
    "ldexp": _ldexp,
    "lerp": _lerp,
    "xlogy": sp.xlogy,
    "special.xlog1py": sp.xlog1py,
    "addcdiv": lambda x, a, b, *, value=1: x + value * a / b,
    "addcmul": lambda x, a, b, *, value=1: x + value * a * b,
    "__radd__": lambda x, y: y + x,
    "__rdiv__": lambda x, y: y / x,
    "__rmod__": lambda x, y: y % x,
    "__rmul__": lambda x, y: y * x,
    "__rpow__": lambda x, y: y**x,
    "__rsub__": lambda x, y: y - x,
    "__rmatmul__": lambda x, y: y @ x,
    "clamp": _clamp,
    "clamp_max": np.minimum,
    "clamp_min": np.maximum,
    "where": _torch_where,
    "complex": _complex,
    "polar": _polar,
    "view_as_complex": _view_as_complex,
    "dist": _dist,
}

_REDUCTIONS = {
    "sum": _reduced(np.sum),
    "mean": _reduced(np.mean),
    "prod": _reduced(np.prod),
    "amax": _reduced(np.max),
    "amin": _reduced(np.min),
    "nansum": _reduced(np.nansum),
    "nanmean": _reduced(np.nanmean),
    "aminmax": lambda x, *, dim=None, keepdim=False: (
        np.min(x, axis=dim, keepdims=keepdim),
        np.max(x, axis=dim, keepdims=keepdim),
    ),
    "std": _spread(np.std, 1),
    "var": _spread(np.var, 1),
    "std_mean": _mean_too(np.std),
    "var_mean": _mean_too(np.var),
    "cumsum": _scan(np.cumsum),
    "cumprod": _scan(np.cumprod),
    "cummax": _scan(np.maximum.accumulate),
    "cummin": _scan(np.minimum.accumulate),
    "logcumsumexp": _logcumsumexp,
    "logsumexp": _logsumexp,
    "median": _median,
    "nanmedian": _nanmedian,
    "quantile": _quantile,
    "nanquantile": _nanquantile,
    "kthvalue": _kthvalue,
    "topk": _topk,
    "sort": _sort,
    "msort": lambda x: np.sort(x, axis=0),
    "cov": _cov,
    "corrcoef": np.corrcoef,
    "trace": _trace,
    "trapezoid": _trapezoid,
    "trapz": _trapezoid,
    "cumulative_trapezoid": _cumulative_trapezoid,
    "diff": _diff,
    "gradient": _gradient,
    "norm": _old_norm,
    "renorm": _renorm,
    "sum_to_size": _sum_to_size,
}

_SHAPES = {
    "H": lambda x: np.conj(np.transpose(x)),
    "mH": lambda x: np.conj(np.swapaxes(x, -1, -2)),
    "T": np.transpose,
    "mT": lambda x: np.swapaxes(x, -1, -2),
    "t": _t,
    "t_copy": _t,
    "transpose": _transpose,
    "transpose_copy": _transpose,
    "permute": lambda x, *dims: np.transpose(x, _shape(*dims)),
    "permute_copy": lambda x, *dims: np.transpose(x, _shape(*dims)),
    "movedim": _movedim,
    "reshape": _reshape,
    "view": _reshape,
    "view_copy": _reshape,
    "reshape_as": lambda x, other: np.reshape(x, other.shape),
    "view_as": lambda x, other: np.reshape(x, other.shape),
    "ravel": np.ravel,
    "flatten": _flatten,
    "unflatten": _unflatten,
    "expand": _expand,
    "expand_copy": _expand,
    "expand_as": lambda x, other: np.broadcast_to(x, other.shape),
    "broadcast_to": lambda x, shape: np.broadcast_to(x, shape),
    "broadcast_tensors": lambda *arrays: np.broadcast_arrays(*arrays),
    "squeeze": _squeeze,
    "squeeze_copy": _squeeze,
    "unsqueeze": np.expand_dims,
    "unsqueeze_copy": np.expand_dims,
    "atleast_1d": lambda *x: np.atleast_1d(*(x[0] if isinstance(x[0], (list, tuple)) else x)),
    "atleast_2d": lambda *x: np.atleast_2d(*(x[0] if isinstance(x[0], (list, tuple)) else x)),
    "atleast_3d": lambda *x: np.atleast_3d(*(x[0] if isinstance(x[0], (list, tuple)) else x)),
    "cat": _cat,
    "stack": lambda arrays, dim=0: np.stack(arrays, axis=dim),
    "hstack": lambda arrays: np.hstack(arrays),
    "vstack": lambda arrays: np.vstack(arrays),
    "dstack": lambda arrays: np.dstack(arrays),
    "column_stack": lambda arrays: np.column_stack(arrays),
    "split": _split,
    "split_with_sizes": _split,
    "split_with_sizes_copy": _split,
    "unsafe_split": _split,
    "tensor_split": _tensor_split,
    "hsplit": lambda x, how: np.hsplit(x, how),
    "vsplit": lambda x, how: np.vsplit(x, how),
    "dsplit": lambda x, how: np.dsplit(x, how),
    "chunk": _chunk,
    "unsafe_chunk": _chunk,
    "unbind": _unbind,
    "unbind_copy": _unbind,
    "meshgrid": _meshgrid,
    "repeat": _repeat,
    "tile": _tile,
    "repeat_interleave": _repeat_interleave,
    "diag": _diag,
    "diagflat": lambda x, offset=0: np.diagflat(x, offset),
    "diag_embed": _diag_embed,
    "diagonal": lambda x, offset=0, dim1=0, dim2=1: np.diagonal(x, offset, dim1, dim2),
    "diagonal_copy": lambda x, offset=0, dim1=0, dim2=1: np.diagonal(x, offset, dim1, dim2),
    "linalg.diagonal": lambda x, offset=0, dim1=-2, dim2=-1: np.diagonal(x, offset, dim1, dim2),
    "tril": lambda x, diagonal=0: np.tril(x, diagonal),
    "triu": lambda x, diagonal=0: np.triu(x, diagonal),
    "roll": _roll,
    "flip": _flip,
    "fliplr": np.fliplr,
    "flipud": np.flipud,
    "rot90": _rot90,
    "unfold": _unfold,
    "unfold_copy": _unfold,
    "as_strided": _as_strided,
    "as_strided_copy": _as_strided,
    "block_diag": _block_diag,
    "cartesian_prod": _cartesian,
    "combinations": _combinations,
    "constant_pad_nd": lambda x, pad, value=0.0: _pad("constant")(x, pad, value=value),
    "fill": lambda x, value: np.broadcast_to(value, x.shape) + 0 * x,
}

_INDEXING = {
    "__getitem__": lambda x, index: x[index],
    "gather": _gather,
    "scatter": _scatter,
    "scatter_add": _scatter_add,
    "index_add": _index_add,
    "index_copy": _index_copy,
    "index_fill": _index_fill,
    "index_put": _index_put,
    "index_select": _index_select,
    "put": _put,
    "take": lambda x, index: np.take(x, index),
    "take_along_dim": _take_along_dim,
    "masked_fill": _masked_fill,
    "masked_scatter": _masked_scatter,
    "masked_select": _masked_select,
    "narrow": _narrow,
    "narrow_copy": _narrow,
    "select": _select,
    "select_scatter": lambda x, src, dim, index: _written(x, src, dim, index),
    "slice": _slice,
    "slice_scatter": lambda x, src, dim=0, start=None, end=None, step=1: _written(x, src, dim, slice(start, end, step)),
}

_LINEAR_ALGEBRA = {
    "matmul": np.matmul,
    "mm": np.matmul,
    "mv": np.matmul,
    "bmm": np.matmul,
    "dot": np.dot,
    "vdot": np.vdot,
    "inner": np.inner,
    "outer": np.outer,
    "kron": np.kron,
    "addmm": _addmm,
    "addmv": _addmm,
    "addr": _addr,
    "addbmm": _addbmm,
    "baddbmm": _addmm,
    "tensordot": _tensordot,
    "einsum": _einsum,
    "cross": _cross,
    "linalg.cross": _linalg_cross,
    "linalg.vecdot": _vecdot,
    "cdist": _cdist,
    "cholesky": _cholesky,
    "cholesky_inverse": _cholesky_inverse,
    "cholesky_solve": _cholesky_solve,
    "linalg.cholesky": lambda a, *, upper=False: _cholesky(a, upper),
    "linalg.cholesky_ex": lambda a, *, upper=False, **_: _cholesky(a, upper),
    "linalg.cond": lambda a, p=None: np.linalg.cond(a, p),
    "linalg.det": np.linalg.det,
    "linalg.eigvals": np.linalg.eigvals,
    "linalg.eigvalsh": _eigh,
    "linalg.inv": np.linalg.inv,
    "linalg.inv_ex": lambda a, **_: np.linalg.inv(a),
    "linalg.lstsq": _lstsq,
    "linalg.matrix_norm": _matrix_norm,
    "linalg.matrix_power": np.linalg.matrix_power,
    "linalg.multi_dot": lambda arrays: np.linalg.multi_dot(arrays),
    "linalg.norm": _norm,
    "linalg.pinv": _pinv,
    "linalg.pinv(singular)": _pinv_of_product,
    "pinverse": _pinv,
    "linalg.qr": _qr,
    "qr": lambda a, some=True: _qr(a, some),
    "linalg.slogdet": lambda a: np.linalg.slogdet(a),
    "logdet": _logdet,
    "linalg.solve": _solve,
    "linalg.solve_ex": lambda a, b, *, left=True, **_: _solve(a, b, left=left),
    "linalg.solve_triangular": _solve_triangular,
    "linalg.svdvals": _svd_values,
    "linalg.tensorinv": _tensorinv,
    "linalg.tensorsolve": _tensorsolve,
    "linalg.vander": lambda x, N=None: _vander(x, N),
    "linalg.vector_norm": _vector_norm,
    "matrix_exp": _matrix_exp,
}

_NETWORKS = {
    **{f"nn.functional.adaptive_avg_pool{n}d": _adaptive(np.mean, n) for n in (1, 2, 3)},
    **{f"nn.functional.adaptive_max_pool{n}d": _adaptive(np.max, n) for n in (1, 2, 3)},
    **{f"nn.functional.avg_pool{n}d": _avg_pool(n) for n in (1, 2, 3)},
    **{f"nn.functional.max_pool{n}d": _max_pool(n) for n in (1, 2, 3)},
    **{f"nn.functional.conv{n}d": _conv(n) for n in (1, 2, 3)},
    **{f"nn.functional.conv_transpose{n}d": _conv_transpose(n) for n in (1, 2, 3)},
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "nn.functional.batch_norm": _batch_norm,
    "nn.functional.bilinear": _bilinear,
    "nn.functional.binary_cross_entropy": loss_of(_bce),
    "nn.functional.binary_cross_entropy_with_logits": loss_of(_bce_logits),
    "nn.functional.celu": _celu,
    "nn.functional.channel_shuffle": _channel_shuffle,
    "nn.functional.cosine_embedding_loss": loss_of(_cosine_embedding),
    "nn.functional.cosine_similarity": _cosine_similarity,
    "nn.functional.cross_entropy": _cross_entropy,
    "nn.functional.elu": _elu,
    "nn.functional.embedding": _embedding,
    "nn.functional.gaussian_nll_loss": loss_of(_gaussian_nll),
    "nn.functional.gelu": _gelu,
    "nn.functional.glu": _glu,
    "nn.functional.group_norm": _group_norm,
    "nn.functional.hardshrink": _hardshrink,
    "nn.functional.hardsigmoid": _hardsigmoid,
    "nn.functional.hardswish": _hardswish,
    "nn.functional.hardtanh": _hardtanh,
    "nn.functional.hinge_embedding_loss": loss_of(_hinge_embedding),
    "nn.functional.huber_loss": loss_of(_huber),
    "nn.functional.instance_norm": _instance_norm,
    "nn.functional.interpolate(nearest)": _nearest,
    "nn.functional.kl_div": _kl_div,
    "nn.functional.l1_loss": loss_of(lambda x, y, **_: np.abs(x - y)),
    "nn.functional.layer_norm": _layer_norm,
    "nn.functional.leaky_relu": _leaky_relu,
    "nn.functional.linear": _linear,
    "nn.functional.local_response_norm": _local_response_norm,
    "nn.functional.logsigmoid": lambda x: -np.logaddexp(0.0, -x),
    "nn.functional.margin_ranking_loss": loss_of(_margin_ranking),
    "nn.functional.mish": _mish,
    "nn.functional.mse_loss": loss_of(lambda x, y, weight=None: (x - y) ** 2),
    "nn.functional.multi_margin_loss": loss_of(_multi_margin),
    "nn.functional.multilabel_soft_margin_loss": loss_of(_multilabel_soft_margin),
    "nn.functional.nll_loss": _nll,
    "nn.functional.normalize": _normalize,
    "nn.functional.pad(constant)": _pad("constant"),
    "nn.functional.pad(reflect)": _pad("reflect"),
    "nn.functional.pad(replicate)": _pad("replicate"),
    "nn.functional.pad(replicate_negative)": _pad("replicate"),
    "nn.functional.pad(circular)": _pad("circular"),
    "nn.functional.pairwise_distance": _pairwise_distance,
    "nn.functional.pdist": _pdist,
    "nn.functional.pixel_shuffle": _pixel_shuffle,
    "nn.functional.pixel_unshuffle": _pixel_unshuffle,
    "nn.functional.poisson_nll_loss": loss_of(_poisson),
    "nn.functional.prelu": _prelu,
    "nn.functional.relu": _relu,
    "nn.functional.relu6": lambda x, **_: _hardtanh(x, 0.0, 6.0),
    "nn.functional.rms_norm": _rms_norm,
    "nn.functional.scaled_dot_product_attention": _attention,
    "nn.functional.selu": _selu,
    "nn.functional.silu": _silu,
    "nn.functional.smooth_l1_loss": loss_of(_smooth_l1),
    "nn.functional.soft_margin_loss": loss_of(_soft_margin),
    "nn.functional.softmin": _softmin,
    "nn.functional.softplus": _softplus,
    "nn.functional.softshrink": _softshrink,
    "nn.functional.softsign": lambda x: x / (1 + np.abs(x)),
    "nn.functional.tanhshrink": lambda x: x - np.tanh(x),
    "nn.functional.threshold": _threshold,
    "nn.functional.triplet_margin_loss": loss_of(_triplet),
    "nn.functional.unfold": _unfold_patches,
    "nn.functional.upsample_nearest": _nearest,
    "masked.amax": _masked(np.max, -np.inf),
    "masked.amin": _masked(np.min, np.inf),
    "masked.sum": _masked(np.sum, 0.0),
    "masked.prod": _masked(np.prod, 1.0),
    "masked.mean": _masked_mean,
    "masked.cumsum": _masked_scan(np.cumsum, 0.0),
    "masked.cumprod": _masked_scan(np.cumprod, 1.0),
    "masked.softmax": _masked_along(_softmax, -np.inf),
    "masked.log_softmax": _masked_along(_log_softmax, -np.inf),
    "masked.softmin": _masked_along(_softmin, np.inf),
    "masked.norm": _masked_norm,
}

_FOURIER = {
    **{
        f"fft.{n}": _fft(n)
        for n in [
            "fft",
            "fft2",
            "fftn",
            "fftshift",
            "hfft",
            "ifft",
            "ifft2",
            "ifftn",
            "ifftshift",
            "ihfft",
            "irfft",
            "irfft2",
            "irfftn",
            "rfft",
            "rfft2",
            "rfftn",
        ]
    },
    "fft.hfftn": _hfft_n(False),
    "fft.ihfftn": _hfft_n(True),
    "fft.hfft2": _hfft_2(False),
    "fft.ihfft2": _hfft_2(True),
}

OPERATORS = {
    name: function
    for table in (_UNARY, _BINARY, _REDUCTIONS, _SHAPES, _INDEXING, _LINEAR_ALGEBRA, _NETWORKS, _FOURIER)
    for name, function in table.items()
    if function is not None
}
