"""PyTorch's operators that take a whole algorithm in plain NumPy: factorisations, scatters, resampling, spectra.

Like ``operator_calls``, which has the one-liners: torch name → function of the same arguments, knowing nothing of
adselect.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .operator_calls import OPERATORS as SIMPLE
from .operator_calls import loss_of

# -- writing and scattering --------------------------------------------------------------------------------------------


def at(dim, ndim, index):
    """The index that takes ``index`` along axis dim and everything along the others."""
    return (slice(None),) * (dim % max(ndim, 1)) + (index,)


def positions(dim, index):
    """The NumPy index that torch's gather and scatter mean by (dim, index)."""
    grid = list(np.ogrid[tuple(slice(n) for n in index.shape)])
    grid[dim % index.ndim] = index
    return tuple(grid)


def scatter_reduced(x, dim, index, src, reduce, include_self):
    places, src = positions(dim, index), src[tuple(slice(n) for n in index.shape)]
    neutral = {"sum": 0.0, "mean": 0.0, "prod": 1.0, "amin": np.inf, "amax": -np.inf}[reduce]
    hit = np.zeros(x.shape)
    np.add.at(hit, places, 1.0)
    y = x.copy() if include_self else np.where(hit > 0, neutral, x)
    operate = {"sum": np.add, "mean": np.add, "prod": np.multiply, "amin": np.minimum, "amax": np.maximum}[reduce]
    operate.at(y, places, src)
    return y / np.maximum(hit + include_self, 1) if reduce == "mean" else y


def _scatter_reduce(x, dim, index, src, reduce, include_self=True):
    if not x.ndim:
        x, index, src = np.atleast_1d(x), np.atleast_1d(index), np.atleast_1d(src)
        return scatter_reduced(x, dim, index, src, reduce, include_self).reshape(())
    return scatter_reduced(x, dim, index, src, reduce, include_self)


def _index_reduce(x, dim, index, source, reduce, include_self=True):
    y = np.atleast_1d(x)
    source = source.reshape([len(index) if k == dim % y.ndim else n for k, n in enumerate(y.shape)])
    index = np.broadcast_to(index.reshape([-1 if k == dim % y.ndim else 1 for k in range(y.ndim)]), source.shape)
    return scatter_reduced(y, dim, index, source, reduce, include_self).reshape(x.shape)


def _diagonal_scatter(x, src, offset=0, dim1=0, dim2=1):
    places = np.diagonal(np.arange(x.size).reshape(x.shape), offset, dim1, dim2)
    y = x.ravel().copy()
    y[places] = src
    return y.reshape(x.shape)


def _masked_index(x, mask, index, fill):
    places = [np.clip(i, 0, n - 1) for i, n in zip(index, x.shape, strict=True)]
    return np.where(mask, x[tuple(places)], fill)


def _masked_index_put(x, mask, index, values):
    places = [np.clip(i, -n, n - 1) for i, n in zip(index, x.shape, strict=True)]
    y = x.copy()
    np.add.at(y, tuple(places), np.where(mask, values, 0.0))
    return y


def _segment_reduce(x, reduce, axis=0, unsafe=False, initial=None, lengths=None, offsets=None):
    bounds = np.concatenate([[0], np.cumsum(lengths)]) if offsets is None and lengths.ndim == 1 else offsets
    if axis:  # one row of segments for each entry of the first axis
        rows = [
            _segment_reduce(
                part,
                reduce,
                axis - 1,
                unsafe,
                initial,
                None if lengths is None else lengths[i],
                None if offsets is None else offsets[i],
            )
            for i, part in enumerate(x)
        ]
        return np.stack(rows)
    operate = {"max": np.max, "min": np.min, "sum": np.sum, "prod": np.prod, "mean": np.sum}[reduce]
    parts = []
    for start, stop in itertools.pairwise(bounds):
        start, stop = int(start), int(stop)
        part = operate(x[start:stop], axis=0, initial=initial)
        parts.append(part / (stop - start) if reduce == "mean" and stop > start else part)
    return np.stack(parts)


def unpooling(n):
    def unpool(x, indices, kernel_size, stride=None, padding=0, output_size=None):
        size, stride = each(kernel_size, n), each(kernel_size if stride is None else stride, n)
        if output_size is None:
            shape = [
                (m - 1) * s - 2 * p + k for m, s, p, k in zip(x.shape[-n:], stride, each(padding, n), size, strict=True)
            ]
        else:
            shape = list(output_size)[-n:]
        y = np.zeros((*x.shape[:-n], math.prod(shape)), like=x, dtype=x.dtype)
        lead = x.shape[:-n]
        np.put_along_axis(y, indices.reshape(*lead, -1), x.reshape(*lead, -1), axis=-1)
        return y.reshape(*lead, *shape)

    return unpool


# -- linear algebra ----------------------------------------------------------------------------------------------------


def adjoint(a):
    return np.conj(np.swapaxes(a, -1, -2))


def _svd(a, some=True):
    u, s, vh = np.linalg.svd(a, full_matrices=not some)
    return [u, s, adjoint(vh)]


def _triangular_solve(b, a):
    # PyTorch's own check hands the operator a lower triangle.
    return [SIMPLE["linalg.solve_triangular"](a, b, upper=False), np.tril(a)]


def permutation(pivots, n):
    """The matrix P of ``P @ L @ U`` from LAPACK's row interchanges (from 1)."""
    matrices = []
    for swaps in np.reshape(pivots, (-1, np.shape(pivots)[-1])):
        order = list(range(n))
        for i, j in enumerate(swaps):
            order[i], order[j - 1] = order[j - 1], order[i]
        matrices.append(np.eye(n)[:, order])
    return np.reshape(matrices, (*np.shape(pivots)[:-1], n, n))


def triangles(lu):
    """(L, U) of a packed factorisation."""
    m, n = lu.shape[-2:]
    k = min(m, n)
    return np.tril(lu[..., :, :k], -1) + np.eye(m, k), np.triu(lu[..., :k, :])


def _lu_solve(b, lu, pivots):
    lower, upper = triangles(lu)
    return np.linalg.solve(permutation(pivots, lu.shape[-1]) @ lower @ upper, b)


def _linalg_lu_solve(lu, pivots, b, left=True, adjoint=False):
    lower, upper = triangles(lu)
    a = permutation(pivots, lu.shape[-1]) @ lower @ upper
    a = np.conj(np.swapaxes(a, -1, -2)) if adjoint else a
    if left:
        return np.linalg.solve(a, b)
    return np.swapaxes(np.linalg.solve(np.swapaxes(a, -1, -2), np.swapaxes(b, -1, -2)), -1, -2)


def factorised(a, pivot):
    """Gaussian elimination: (L and U packed, the order of the rows)."""
    if a.ndim > 2:
        done = [factorised(part, pivot) for part in a.reshape(-1, *a.shape[-2:])]
        return np.stack([lu for lu, _ in done]).reshape(a.shape), np.stack([o for _, o in done]).reshape(a.shape[:-1])
    m, n = a.shape
    lu, order = a.copy(), np.arange(m)
    for k in range(min(m, n)):
        column = lu[k:, k]
        p = k + int(np.argmax(np.abs(column.real) + np.abs(column.imag))) if pivot else k
        swap = np.arange(m)
        swap[[k, p]] = swap[[p, k]]
        lu, order = lu[swap], order[swap]
        lu[k + 1 :, k] = lu[k + 1 :, k] / lu[k, k]
        lu[k + 1 :, k + 1 :] = lu[k + 1 :, k + 1 :] - np.outer(lu[k + 1 :, k], lu[k, k + 1 :])
    return lu, order


def _householder_product(a, tau):
    *batch, m, n = a.shape
    q = np.broadcast_to(np.eye(m), (*batch, m, m))
    for i in range(tau.shape[-1]):
        v = np.concatenate([np.zeros((*batch, i)), np.ones((*batch, 1)), a[..., i + 1 :, i]], axis=-1)
        q = q - tau[..., i, None, None] * (q @ v[..., :, None]) * np.conj(v)[..., None, :]
    return q[..., :, :n]


def _ormqr(a, tau, other, left=True, transpose=False):
    *batch, m, n = a.shape
    q = _householder_product(np.concatenate([a, np.zeros((*batch, m, max(m - n, 0)))], axis=-1), tau)
    q = adjoint(q) if transpose else q
    return q @ other if left else other @ q


# -- spectra -----------------------------------------------------------------------------------------------------------


def _stft(
    x,
    n_fft,
    hop_length=None,
    win_length=None,
    window=None,
    center=True,
    pad_mode="reflect",
    normalized=False,
    onesided=None,
    return_complex=None,
):
    hop = hop_length or n_fft // 4
    if center:
        x = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(n_fft // 2, n_fft // 2)], mode=pad_mode)
    frames = sliding_window_view(x, n_fft, axis=-1)[..., ::hop, :]
    frames = frames * centred(window, win_length or n_fft, n_fft)
    if onesided is None:
        onesided = not np.iscomplexobj(frames)
    spectrum = (np.fft.rfft if onesided else np.fft.fft)(frames, norm="ortho" if normalized else None)
    spectrum = np.swapaxes(spectrum, -1, -2)
    return spectrum if return_complex else np.stack([spectrum.real, spectrum.imag], axis=-1)


def centred(window, length, n):
    window = np.ones(length) if window is None else window
    left = (n - length) // 2
    return np.pad(window, (left, n - length - left))


def _istft(
    spectrum,
    n_fft,
    hop_length=None,
    win_length=None,
    window=None,
    center=True,
    normalized=False,
    onesided=None,
    length=None,
    return_complex=False,
):
    hop = hop_length or n_fft // 4
    window = centred(window, win_length or n_fft, n_fft)
    spectrum = (
        np.swapaxes(spectrum, -1, -2)
        if np.iscomplexobj(spectrum)
        else SIMPLE["view_as_complex"](np.swapaxes(spectrum, -2, -3))
    )
    norm = "ortho" if normalized else None
    if return_complex:
        frames = np.fft.ifft(spectrum, n_fft, norm=norm)
    else:  # of a real signal: the other half says nothing new
        frames = np.fft.irfft(spectrum[..., : n_fft // 2 + 1], n_fft, norm=norm)
    frames = frames * window
    count = frames.shape[-2]
    total = n_fft + hop * (count - 1)
    y = sum(pad_last(frames[..., t, :], t * hop, total) for t in range(count))
    envelope = sum(pad_last(window**2, t * hop, total) for t in range(count))
    start = n_fft // 2 if center else 0
    stop = start + length if length is not None else total - (n_fft // 2 if center else 0)
    y = y[..., start:stop] / envelope[start:stop]
    missing = 0 if length is None else length - y.shape[-1]
    return pad_last(y, 0, length) if missing > 0 else y


def pad_last(x, before, total):
    return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(before, total - before - x.shape[-1])])


# -- networks ----------------------------------------------------------------------------------------------------------


def _multilabel_margin_loss(x, y):
    single = x.ndim < 2
    x, y = np.atleast_2d(x), np.atleast_2d(y)
    rows = []
    for scores, labels in zip(x, y, strict=True):
        labels = labels[: np.argmax(labels < 0)] if (labels < 0).any() else labels
        others = np.setdiff1d(np.arange(len(scores)), labels)
        rows.append(np.sum(np.maximum(0, 1 - scores[labels][:, None] + scores[others])) / len(scores))
    return rows[0] if single else np.stack(rows)


def _linear_cross_entropy(x, w, y, linear_bias=None, options=None, **kwargs):
    logits = x @ w.T + (0 if linear_bias is None else linear_bias)
    if x.ndim > 2:
        logits = np.moveaxis(logits, -1, 1)
    return SIMPLE["nn.functional.cross_entropy"](logits, y, **kwargs)


def _native_layer_norm(x, shape, weight, bias, eps):
    axis = tuple(range(-len(shape), 0))
    mean, var = np.mean(x, axis=axis, keepdims=True), np.var(x, axis=axis, keepdims=True)
    return [SIMPLE["nn.functional.layer_norm"](x, shape, weight, bias, eps), mean, 1 / np.sqrt(var + eps)]


def _native_group_norm(x, weight, bias, n, c, hw, groups, eps):
    flat = x.reshape(n, groups, -1)
    return [
        SIMPLE["nn.functional.group_norm"](x, groups, weight, bias, eps),
        np.mean(flat, axis=-1),
        1 / np.sqrt(np.var(flat, axis=-1) + eps),
    ]


def _native_batch_norm(x, weight, bias, mean, var, training, momentum, eps):
    axis = (0, *range(2, x.ndim))
    y = SIMPLE["nn.functional.batch_norm"](x, mean, var, weight, bias, training, momentum, eps)
    return [y, np.mean(x, axis=axis), 1 / np.sqrt(np.var(x, axis=axis) + eps)] if training else [y]


def _native_batch_norm_legit(x, weight, bias, *rest):
    mean, var, training, momentum, eps = rest if len(rest) == 5 else (None, None, *rest)
    return _native_batch_norm(x, weight, bias, mean, var, training, momentum, eps)


def _batch_norm_with_update(x, weight, bias, mean, var, momentum, eps):
    return _native_batch_norm(x, weight, bias, mean, var, True, momentum, eps)


def _embedding_bag(
    weight,
    index,
    offsets=None,
    mode="mean",
    per_sample_weights=None,
    include_last_offset=False,
    padding_idx=None,
    max_norm=None,
    scale_grad_by_freq=False,
    sparse=False,
):
    if index.ndim == 2:
        offsets = np.arange(len(index)) * index.shape[1]
        per_sample_weights = None if per_sample_weights is None else per_sample_weights.reshape(-1)
        index = index.ravel()
    elif include_last_offset:
        offsets = offsets[:-1]
    padding_idx = None if padding_idx is None else padding_idx % len(weight)
    bags = []
    for start, stop in itertools.pairwise([*offsets, len(index)]):
        places = np.arange(start, stop)
        places = places[index[places] != padding_idx]
        rows = weight[index[places]]
        if per_sample_weights is not None:
            rows = rows * per_sample_weights[places][:, None]
        if not len(places):
            bags.append(np.zeros(weight.shape[1]))
        else:
            bags.append({"sum": np.sum, "mean": np.mean, "max": np.max}[mode](rows, axis=0))
    return np.stack(bags)


# -- resampling --------------------------------------------------------------------------------------------------------


def each(value, n):
    return (tuple(value) * n if len(value) == 1 else tuple(value)) if isinstance(value, list | tuple) else (value,) * n


def weights(length, count, scale, mode, align_corners):
    """The matrix that resamples one axis."""
    matrix = np.zeros((count, length))
    step = 1 / scale if scale else length / count
    for i in range(count):
        if mode == "nearest":
            matrix[i, min(int(i * step), length - 1)] = 1.0
            continue
        if mode == "nearest-exact":
            matrix[i, min(int((i + 0.5) * step), length - 1)] = 1.0
            continue
        if align_corners:
            at = i * (length - 1) / (count - 1) if count > 1 else 0.0
        else:
            at = (i + 0.5) * step - 0.5
            at = at if mode == "cubic" else max(at, 0.0)
        first = math.floor(at)
        t = at - first
        if mode == "linear":
            taps = [(0, 1 - t), (1, t)]
        else:
            taps = [(k, cubic(abs(t - k))) for k in (-1, 0, 1, 2)]
        for k, w in taps:
            matrix[i, min(max(first + k, 0), length - 1)] += w
    return matrix


def cubic(t, a=-0.75):
    if t <= 1:
        return ((a + 2) * t - (a + 3)) * t * t + 1
    return a * (((t - 5) * t + 8) * t - 4) if t < 2 else 0.0


def _interpolate(x, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None):
    n = x.ndim - 2
    scales = [None] * n if scale_factor is None else list(each(scale_factor, n))
    counts = (
        each(size, n) if size is not None else [math.floor(m * s) for m, s in zip(x.shape[2:], scales, strict=True)]
    )
    if mode == "area":
        return SIMPLE[f"nn.functional.adaptive_avg_pool{n}d"](x, counts)
    if recompute_scale_factor:
        scales = [None] * n
    kind = {"linear": "linear", "bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    for k in range(n):
        matrix = weights(x.shape[2 + k], counts[k], scales[k], kind, align_corners)
        x = np.moveaxis(np.tensordot(matrix, x, axes=(1, 2 + k)), 0, 2 + k)
    return x


def _upsample_bilinear(x, size=None, scale_factor=None):
    return _interpolate(x, size, scale_factor, "bilinear", True)


def sampled(x, grid, nearest, padding, align_corners):
    """``grid_sample``: x at the points of grid (whose last axis runs over the axes of x from the last)."""
    n = grid.shape[-1]
    places = []
    for k, length in enumerate(x.shape[2:]):
        g = grid[..., n - 1 - k]
        at = (g + 1) / 2 * (length - 1) if align_corners else ((g + 1) * length - 1) / 2
        if padding == "border":
            at = np.clip(at, 0, length - 1)
        elif padding == "reflection":
            low, high = (0, length - 1) if align_corners else (-0.5, length - 0.5)
            span = high - low
            at = np.abs(at - low) % (2 * span) if span else 0 * at
            at = np.clip(np.where(at > span, 2 * span - at, at) + low, 0, length - 1)
        places.append(at)
    batch = np.arange(x.shape[0]).reshape([-1] + [1] * (grid.ndim - 2))
    rows = np.moveaxis(x, 1, -1)
    total = 0.0
    for corner in [(0,) * n] if nearest else itertools.product((0, 1), repeat=n):
        weight, index, inside = 1.0, [], True
        for at, c, length in zip(places, corner, x.shape[2:], strict=True):
            first = np.rint(at) if nearest else np.floor(at)
            if not nearest:
                weight = weight * (at - first if c else 1 - (at - first))
            i = (first + c).astype(int)
            inside = inside & (i >= 0) & (i < length)
            index.append(np.clip(i, 0, length - 1))
        total = total + (rows[(batch, *index)] * (weight * inside)[..., None])
    return np.moveaxis(total, -1, 1)


def _grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False):
    return sampled(x, grid, mode == "nearest", padding_mode, align_corners)


def _grid_sampler(x, grid, mode, padding, align_corners):
    return sampled(x, grid, mode == 1, ("zeros", "border", "reflection")[padding], align_corners)


# -- statistics, masked ------------------------------------------------------------------------------------------------


def axes(dim):
    """torch takes lists, and [] for all axes."""
    return (tuple(dim) or None) if isinstance(dim, (list, tuple)) else dim


def kept(x, mask, fill):
    """x with ``fill`` where the mask leaves elements out."""
    return x if mask is None else np.where(mask, x, fill)


def counted(x, dim, mask):
    mask = np.ones(x.shape, bool) if mask is None else np.broadcast_to(mask, x.shape)
    return np.sum(mask, axis=axes(dim), keepdims=True)


def _masked_var(x, dim=None, unbiased=None, correction=None, keepdim=False, dtype=None, mask=None):
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    ddof = correction if correction is not None else 1 if unbiased is None else int(unbiased)
    d = kept(x - SIMPLE["masked.mean"](x, dim=dim, keepdim=True, mask=mask), mask, 0.0)
    count = np.maximum(counted(x, dim, mask) - ddof, 0)
    y = np.sum(np.abs(d) ** 2 if np.iscomplexobj(d) else d * d, axis=axes(dim), keepdims=True) / count
    return y if keepdim else np.squeeze(y, axis=axes(dim))


def _masked_std(*args, **kwargs):
    return np.sqrt(_masked_var(*args, **kwargs))


def _masked_normalize(x, ord, dim, eps=1e-12, dtype=None, mask=None):
    n = np.linalg.vector_norm(kept(x, mask, 0.0), ord=ord, axis=dim, keepdims=True)
    return kept(x, mask, 0.0) / np.maximum(n, eps)


def _masked_logaddexp(x, y, dtype=None, input_mask=None, other_mask=None):
    return np.logaddexp(kept(x, input_mask, -np.inf), kept(y, other_mask, -np.inf))


def _masked_logsumexp(x, dim=None, keepdim=False, dtype=None, mask=None):
    return SIMPLE["logsumexp"](kept(x, mask, -np.inf), dim, keepdim)


def _masked_median(x, dim, keepdim=False, dtype=None, mask=None):
    # The lower one of the middle two, among those that are left.
    return np.nanquantile(kept(x, mask, np.nan), 0.5, axis=dim, keepdims=keepdim, method="lower")


def _mode(x, dim=-1, keepdim=False):
    # All values of a sample differ: the most frequent one is then the smallest.
    return np.min(x, axis=dim, keepdims=keepdim) if x.ndim else x.copy()


def _to(x, *args, **kwargs):
    for wanted in args:
        dtype = wanted if isinstance(wanted, np.dtype) else getattr(wanted, "dtype", None)
        if dtype is None:
            continue
        return x.real.astype(dtype) if x.dtype.kind == "c" and dtype.kind == "f" else x.astype(dtype)
    return x.copy()


def _kept_whole(x, p=0.5, training=True):
    return x.copy()


OPERATORS = {
    "zero_": lambda x: 0 * x,
    "to": _to,
    "imag": np.imag,
    "nextafter": np.nextafter,
    "view_as_real": lambda x: np.stack([x.real, x.imag], axis=-1),
    "mode": _mode,
    "scatter_reduce": _scatter_reduce,
    "index_reduce": _index_reduce,
    "_segment_reduce": _segment_reduce,
    "diagonal_scatter": _diagonal_scatter,
    "_unsafe_masked_index": _masked_index,
    "_unsafe_masked_index_put_accumulate": _masked_index_put,
    "linalg.eig": lambda a: list(np.linalg.eig(a)),
    "linalg.eigh": lambda a, UPLO="L": list(np.linalg.eigh(a, UPLO)),
    "linalg.svd": lambda a, full_matrices=True: list(np.linalg.svd(a, full_matrices)),
    "svd": _svd,
    "linalg.householder_product": _householder_product,
    "ormqr": _ormqr,
    "lu": lambda a, *options: factorised(a, True)[0],
    "linalg.lu": lambda a, pivot=True: list(triangles(factorised(a, pivot)[0])),
    "linalg.lu_factor": lambda a, pivot=True: factorised(a, pivot)[0],
    "linalg.lu_factor_ex": lambda a, pivot=True: factorised(a, pivot)[0],
    "lu_unpack": lambda lu, pivots, **options: list(triangles(lu)),
    "lu_solve": _lu_solve,
    "linalg.lu_solve": _linalg_lu_solve,
    "triangular_solve": _triangular_solve,
    "stft": _stft,
    "istft": _istft,
    "_softmax_backward_data": lambda g, y, dim, dtype: y * (g - np.sum(y * g, axis=dim, keepdims=True)),
    "torch.ops.aten._safe_softmax.default": SIMPLE["softmax"],
    "native_dropout_backward": lambda g, mask, scale: g * mask * scale,
    **{f"nn.functional.{name}": _kept_whole for name in ("dropout", "dropout2d", "dropout3d", "alpha_dropout")},
    "nn.functional.feature_alpha_dropout": _kept_whole,
    "nn.functional.rrelu": lambda x, lower=1 / 8, upper=1 / 3, training=False: np.where(
        x >= 0, x, (lower + upper) / 2 * x
    ),
    "nn.functional.multilabel_margin_loss": loss_of(_multilabel_margin_loss),
    "nn.functional.triplet_margin_with_distance_loss": lambda *args, distance_function, **options: SIMPLE[
        "nn.functional.triplet_margin_loss"
    ](*args, **options),
    "nn.functional.linear_cross_entropy": _linear_cross_entropy,
    "nn.functional.embedding_bag": _embedding_bag,
    "native_layer_norm": _native_layer_norm,
    "native_group_norm": _native_group_norm,
    "native_batch_norm": _native_batch_norm,
    "_native_batch_norm_legit": _native_batch_norm_legit,
    "_batch_norm_with_update": _batch_norm_with_update,
    "nn.functional.interpolate": _interpolate,
    "nn.functional.upsample_bilinear": _upsample_bilinear,
    "nn.functional.grid_sample": _grid_sample,
    "grid_sampler_2d": _grid_sampler,
    "grid_sampler_3d": _grid_sampler,
    **{f"nn.functional.max_unpool{n}d": unpooling(n) for n in (1, 2, 3)},
    "masked.var": _masked_var,
    "masked.std": _masked_std,
    "masked.median": _masked_median,
    "masked.normalize": _masked_normalize,
    "masked.logaddexp": _masked_logaddexp,
    "masked.logsumexp": _masked_logsumexp,
}


# -- what can be compared of them --------------------------------------------------------------------------------------


def _vectors(factors):
    """Eigenvectors are unique up to a factor of modulus 1."""
    values, vectors = factors
    return [values, abs(vectors)]


def _factors(columns):
    """So are singular vectors, those beyond the singular values not even that."""

    def compare(factors):
        u, s, v = factors
        k = s.shape[-1]
        return [abs(u[..., :k]), s, abs(v[..., :k] if columns else v[..., :k, :])]

    return compare


def _first(results):
    """The others are statistics without a derivative."""
    return results[0]


# Of results that are not unique, what is: for PyTorch's tensors and for arrays alike.
UNIQUE = {
    "linalg.eig": _vectors,
    "linalg.eigh": _vectors,
    "linalg.svd": _factors(columns=False),
    "svd": _factors(columns=True),
    "native_layer_norm": _first,
    "native_batch_norm": _first,
    "_native_batch_norm_legit": _first,
    "_batch_norm_with_update": _first,
}


def _without_chance(sample):
    return sample.kwargs.get("p") == 0.0 or not sample.kwargs.get("training", True)


def _written_once(sample):
    """PyTorch does not say which of several writes to one place stays."""
    rows = sample.args[0].flatten(2).flatten(0, 1)
    return all(len(set(row.tolist())) == len(row) for row in rows)


# Operator → whether plain NumPy code can mean a sample: no random numbers, no option that changes the derivative only.
USABLE = {
    **{f"nn.functional.{name}": _without_chance for name in ("dropout", "dropout2d", "dropout3d", "alpha_dropout")},
    "nn.functional.feature_alpha_dropout": _without_chance,
    "nn.functional.rrelu": lambda sample: not sample.kwargs.get("training"),
    "nn.functional.linear_cross_entropy": lambda sample: sample.args[0].ndim == 2,
    **{f"nn.functional.max_unpool{n}d": _written_once for n in (1, 2, 3)},
    "nn.functional.grid_sample": lambda sample: sample.kwargs["mode"] != "bicubic",
    "grid_sampler_2d": lambda sample: sample.args[1] != 2,
    "native_group_norm": lambda sample: sample.input.numel(),
    # PyTorch gives 0 for a row that is all -inf.
    "torch.ops.aten._safe_softmax.default": lambda sample: sample.input.isfinite().all(),
}
