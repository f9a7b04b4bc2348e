"""Array-API code: every function of the standard (2024.12) through ``x.__array_namespace__()``, on every backend.

A case is a function of the namespace and one traced array. Plain NumPy says what value, shape and dtype it has, plain
differences what its derivative is; each backend must give the same, forward and reverse. Arguments are named as in the
standard, so a name that a backend does not take is a failure.
"""

from __future__ import annotations

import operator

import numpy as np
import pytest
from conftest import numeric_jacobian

import adselect as ad
from adselect.errors import TracedValueError

X = np.array([[1.3, -0.7, 2.1], [0.4, 3.2, -1.6]])
V = np.array([1.3, -0.7, 2.1, 0.4])
P = np.array([0.3, 0.8, 1.7])
U = np.array([0.3, -0.8, 0.55])
M = np.array([[2.0, 0.5, -0.3], [0.1, 1.5, 0.4], [-0.2, 0.35, 1.8]])
STACK = np.stack([M, M.T + 0.5])
FACTORS = np.array([[0.7, -1.1], [2.0, 0.3], [-0.4, 1.6]])


def _named(names, call, x, title="{}", module=None):
    """One case per name: ``call(xp, the function of that name, x)``; of the namespace, or of a module."""

    def case(name):
        *path, last = name.split(".")

        def f(xp, x):
            where = module or (getattr(xp, path[0]) if path else xp)
            return call(xp, getattr(where, last), x)

        return f

    return {title.format(name): (case(name), x) for name in names.split()}


ELEMENTWISE = {
    **_named("abs atan asinh cos cosh exp expm1 negative positive reciprocal sign sin sinh", lambda xp, f, x: f(x), X),
    **_named("square tan tanh real conj ceil floor round trunc", lambda xp, f, x: f(x), X),
    **_named("log log1p log2 log10 sqrt", lambda xp, f, x: f(x), P),
    **_named("acos asin atanh", lambda xp, f, x: f(x), U),
    "acosh": (lambda xp, x: xp.acosh(x), P + 1),
    "imag": (lambda xp, x: xp.imag(x * (1 + 2j)) + xp.real(x * 1j), X),
    "complex conj": (lambda xp, x: xp.conj(x * (1 + 2j)) * x, X),
    **_named("add subtract multiply divide atan2 hypot", lambda xp, f, x: f(x, xp.square(x) + 0.3), X),
    **_named("logaddexp maximum minimum copysign remainder floor_divide", lambda xp, f, x: f(x, xp.square(x) + 0.3), X),
    **_named(
        "add subtract multiply divide pow atan2 hypot maximum minimum copysign remainder",
        lambda xp, f, x: f(x, 0.9) + f(2.5, x),
        P,
        "{} of a number",
    ),
    "nextafter": (lambda xp, x: xp.nextafter(x, 7.0), X),
    "pow": (lambda xp, x: xp.pow(x, xp.asarray([2.0, 0.5, -1.5])), P),
    "pow of both": (lambda xp, x: xp.pow(x, x), P),
    "clip": (lambda xp, x: xp.clip(x, min=-0.5, max=2.0), X),
    "clip below": (lambda xp, x: xp.clip(x, min=-0.5), X),
    "clip to arrays": (lambda xp, x: xp.clip(x, xp.square(x) - 2, xp.asarray([1.0, 2.0, 3.0])), X),
    **_named(
        "equal not_equal less less_equal greater greater_equal",
        lambda xp, f, x: f(x, xp.asarray([[1.3], [0.4]])),
        X,
    ),
    **_named(
        "isfinite isinf isnan",
        lambda xp, f, x: f(xp.where(x > 2, xp.inf, xp.where(x < 0, xp.nan, x))),
        X,
    ),
    "signbit": (lambda xp, x: xp.signbit(x), X),
    **_named(
        "logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor",
        lambda xp, f, x: f(x > 0, x < 2),
        X,
    ),
    "logical_not": (lambda xp, x: xp.logical_not(x > 0), X),
    "bitwise_invert": (lambda xp, x: xp.bitwise_invert(x > 0), X),
    "bitwise_left_shift": (lambda xp, x: xp.bitwise_left_shift(xp.argmax(x, axis=1), 2), X),
    "bitwise_right_shift": (lambda xp, x: xp.bitwise_right_shift(xp.argmax(x, axis=1), 1), X),
}

CREATION = {
    "arange": (lambda xp, x: x * xp.arange(1, 6, 2, dtype=xp.float64), X),
    "arange of traced ends": (lambda xp, x: xp.arange(x[0], x[1], x[2]) ** 2, np.array([0.5, 3.4, 0.4])),
    "asarray": (lambda xp, x: xp.asarray(x, dtype=xp.float64, device=None, copy=True) * 2, X),
    "asarray of scalars": (lambda xp, x: xp.asarray([[x[0], 1.0], [x[1], x[2] ** 2]]), P),
    "asarray of another dtype": (lambda xp, x: xp.asarray(x, dtype=xp.float32), X),
    "asarray of plain values": (lambda xp, x: xp.asarray([1, 2, 3]) * x, X),
    "empty": (lambda xp, x: _filled(xp.empty(3), x), X),
    "empty_like": (lambda xp, x: _filled(xp.empty_like(x, dtype=None, device=None), x), X),
    "eye": (lambda xp, x: xp.eye(3, 3, k=1, dtype=xp.float64) * x[0], X),
    "full": (lambda xp, x: xp.full((2, 3), 2.0, dtype=xp.float64) * x, X),
    "full of a traced value": (lambda xp, x: xp.full((2, 2), x[0, 0]) * x[1, 1], X),
    "full of a shape in a number": (lambda xp, x: xp.full(3, fill_value=x[0, 0] ** 2), X),
    "full_like": (lambda xp, x: xp.full_like(x, 3.0) * x + xp.full_like(x, x[0, 0]), X),
    "linspace": (lambda xp, x: xp.linspace(0.0, 1.0, 3, endpoint=False) * x, X),
    "linspace of traced ends": (lambda xp, x: xp.linspace(x[0], x[1] ** 2, num=4, endpoint=True), V),
    "meshgrid": (lambda xp, x: xp.multiply(*xp.meshgrid(x, x**2, indexing="ij")), P),
    "meshgrid xy": (lambda xp, x: xp.stack(list(xp.meshgrid(x, x[:2]))), P),
    "ones": (lambda xp, x: _filled(xp.ones((3,), dtype=xp.float64), x), X),
    "ones_like": (lambda xp, x: _filled(xp.ones_like(x), x), X),
    "tril": (lambda xp, x: xp.tril(x, k=-1), M),
    "triu": (lambda xp, x: xp.triu(x), STACK),
    "zeros": (lambda xp, x: _filled(xp.zeros(3), x), X),
    "zeros_like": (lambda xp, x: _filled(xp.zeros_like(x), x), X),
}


def _filled(out, x):
    """out, one entry of which is written."""
    out[..., 1] = x[0, 0] ** 2
    out[..., 0] *= 0.0 if out.dtype.kind == "f" else 1
    out[..., 2] = x[1, 1]
    return out


REDUCTIONS = "max mean min prod std sum var"
STATISTICAL = {
    **_named(REDUCTIONS, lambda xp, f, x: f(x), X),
    **_named(REDUCTIONS, lambda xp, f, x: f(x, axis=1, keepdims=True), X, "{} along an axis"),
    **_named(REDUCTIONS, lambda xp, f, x: f(x, axis=(0, -1)), STACK, "{} along two axes"),
    **_named(
        "sum prod cumulative_sum cumulative_prod",
        lambda xp, f, x: f(x, axis=0, dtype=xp.float32),
        X,
        "{} to another dtype",
    ),
    "std of a sample": (lambda xp, x: xp.std(x, axis=1, correction=1.0), X),
    "var of a sample": (lambda xp, x: xp.var(x, correction=1, keepdims=True), X),
    "cumulative_sum": (lambda xp, x: xp.cumulative_sum(x), V),
    "cumulative_sum from nothing": (lambda xp, x: xp.cumulative_sum(x, axis=1, include_initial=True), X),
    "cumulative_prod": (lambda xp, x: xp.cumulative_prod(x, axis=0), X),
    "cumulative_prod from nothing": (lambda xp, x: xp.cumulative_prod(x, axis=-1, include_initial=True), X),
}

SEARCHING = {
    "argmax": (lambda xp, x: xp.argmax(x), X),
    "argmax along an axis": (lambda xp, x: xp.argmax(x, axis=1, keepdims=True), X),
    "argmin": (lambda xp, x: xp.argmin(x, axis=0), X),
    "count_nonzero": (lambda xp, x: xp.count_nonzero(xp.round(x), axis=1, keepdims=True), X),
    "nonzero": (lambda xp, x: xp.nonzero(x > 1)[1], X),
    "searchsorted": (lambda xp, x: xp.searchsorted(xp.sort(x), xp.asarray([0.5, 1.3]), side="right"), V),
    "searchsorted of a sorter": (lambda xp, x: xp.searchsorted(x, x * 0.9, sorter=xp.argsort(x)), V),
    "where": (lambda xp, x: xp.where(x > 0, x**2, 1.0), X),
    "where of two": (lambda xp, x: xp.where(x > 1, xp.exp(x), -x), X),
    "all": (lambda xp, x: xp.all(x > -1, axis=1, keepdims=True), X),
    "any": (lambda xp, x: xp.any(x > 3, axis=(0, 1)), X),
    "diff": (lambda xp, x: xp.diff(x, axis=1), X),
    "diff with ends": (lambda xp, x: xp.diff(x, n=2, prepend=x[:1], append=xp.asarray([4.0])), V),
}

SORTING = {
    "argsort": (lambda xp, x: xp.argsort(x, axis=0), X),
    "argsort stable": (lambda xp, x: xp.argsort(xp.round(x), stable=True), X),
    "sort": (lambda xp, x: xp.sort(x, axis=0, stable=False) * FACTORS.T, X),
}
# name, function, what NumPy says it is
BEYOND_NUMPY = {
    "argsort": (
        lambda xp, x: xp.argsort(x, axis=1, descending=True),
        lambda x: np.flip(np.argsort(x, axis=1), 1),
    ),
    "argsort of equals": (
        lambda xp, x: xp.argsort(xp.floor(xp.abs(x)), descending=True, stable=True),
        lambda x: np.argsort(-np.floor(np.abs(x)), stable=True),
    ),
    "sort": (lambda xp, x: xp.sort(x, descending=True), lambda x: np.flip(np.sort(x), -1)),
    "clip with one bound of each kind": (
        lambda xp, x: xp.clip(x, -0.5, max=2.0) + xp.clip(x, 0.0) + xp.clip(x),
        lambda x: np.clip(x, -0.5, 2.0) + np.maximum(x, 0.0) + x,
    ),
    "sort of an axis": (lambda xp, x: xp.sort(x, axis=0, descending=True), lambda x: np.flip(np.sort(x, axis=0), 0)),
}

SETS = {
    "unique_all": (lambda xp, x: xp.unique_all(x).values, X),
    "unique_all indices": (lambda xp, x: xp.unique_all(xp.round(x)).inverse_indices, X),
    "unique_counts": (lambda xp, x: xp.unique_counts(x).values * xp.unique_counts(x).counts, X),
    "unique_inverse": (lambda xp, x: xp.unique_inverse(x).values[xp.unique_inverse(x).inverse_indices], X),
    "unique_values": (lambda xp, x: xp.unique_values(x**2), X),
}

MANIPULATION = {
    "broadcast_arrays": (lambda xp, x: xp.multiply(*xp.broadcast_arrays(x, x[:, :1])), X),
    "broadcast_to": (lambda xp, x: xp.broadcast_to(x, (2, 2, 3)), X),
    "concat": (lambda xp, x: xp.concat([x, 2 * x], axis=1), X),
    "concat flat": (lambda xp, x: xp.concat((x, xp.asarray([[5.0]])), axis=None), X),
    "expand_dims": (lambda xp, x: xp.expand_dims(x, axis=1), X),
    "flip": (lambda xp, x: xp.flip(x), X),
    "flip of an axis": (lambda xp, x: xp.flip(x, axis=(1,)), X),
    "moveaxis": (lambda xp, x: xp.moveaxis(x, 0, 2), STACK),
    "permute_dims": (lambda xp, x: xp.permute_dims(x, (2, 0, 1)), STACK),
    "permute_dims by name": (lambda xp, x: xp.permute_dims(x, axes=(1, 0)), X),
    "repeat": (lambda xp, x: xp.repeat(x, 2, axis=1), X),
    "repeat of each": (lambda xp, x: xp.repeat(x, xp.asarray([1, 0, 3]), axis=-1), X),
    "reshape": (lambda xp, x: xp.reshape(x, (3, -1)), X),
    "reshape by name": (lambda xp, x: xp.reshape(x, shape=(6,), copy=True), X),
    "roll": (lambda xp, x: xp.roll(x, 2), X),
    "roll of axes": (lambda xp, x: xp.roll(x, shift=(1, -1), axis=(0, 1)), X),
    "squeeze": (lambda xp, x: xp.squeeze(x[:, :1], axis=1), X),
    "stack": (lambda xp, x: xp.stack([x, x**2], axis=-1), X),
    "tile": (lambda xp, x: xp.tile(x, (2, 1, 2)), X),
    "unstack": (lambda xp, x: xp.multiply(*xp.unstack(x, axis=0)), X),
    "take": (lambda xp, x: xp.take(x, xp.asarray([2, 0, 2]), axis=1), X),
    "take of a vector": (lambda xp, x: xp.take(x, xp.asarray([1, 1])), V),
    "take_along_axis": (lambda xp, x: xp.take_along_axis(x, xp.argsort(x, axis=1), axis=1), X),
    "isdtype, astype": (lambda xp, x: xp.astype(x, xp.float32, copy=True, device=None), X),
    "astype to bool": (lambda xp, x: xp.astype(xp.round(x), xp.bool), X),
    "astype to complex": (lambda xp, x: xp.astype(x, xp.complex128) * 1j, X),
    "isin": (lambda xp, x: xp.isin(xp.round(x), xp.asarray([1.0, 3.0]), invert=True), X),
}

LINALG = {
    "matmul": (lambda xp, x: xp.matmul(x, x.T), X),
    "matmul of stacks": (lambda xp, x: xp.matmul(x, x[0]), STACK),
    "matrix_transpose": (lambda xp, x: xp.matrix_transpose(x), STACK),
    "tensordot": (lambda xp, x: xp.tensordot(x, x, axes=1), M),
    "tensordot of axes": (lambda xp, x: xp.tensordot(x, x[0], axes=((1, 2), (0, 1))), STACK),
    "vecdot": (lambda xp, x: xp.vecdot(x, x**2), X),
    "vecdot of an axis": (lambda xp, x: xp.vecdot(x, FACTORS.T, axis=0), FACTORS.T),
    "linalg.cholesky": (lambda xp, x: xp.linalg.cholesky(x @ x.T), M),
    "linalg.cholesky upper": (lambda xp, x: xp.linalg.cholesky(x @ x.mT, upper=True), STACK),
    "linalg.cross": (lambda xp, x: xp.linalg.cross(x, xp.flip(x, axis=0)), X),
    "linalg.cross of an axis": (lambda xp, x: xp.linalg.cross(x, x**2, axis=0), FACTORS),
    "linalg.det": (lambda xp, x: xp.linalg.det(x), STACK),
    "linalg.diagonal": (lambda xp, x: xp.linalg.diagonal(x, offset=1), STACK),
    "linalg.eigh": (lambda xp, x: xp.linalg.eigh(x + x.mT).eigenvalues, M),
    "linalg.eigh vectors": (
        lambda xp, x: (lambda e: e.eigenvectors * e.eigenvalues @ e.eigenvectors.T)(xp.linalg.eigh(x + x.T)),
        M,
    ),
    "linalg.eigvalsh": (lambda xp, x: xp.linalg.eigvalsh(x + x.mT), STACK),
    "linalg.inv": (lambda xp, x: xp.linalg.inv(x), STACK),
    "linalg.matmul": (lambda xp, x: xp.linalg.matmul(x, x), M),
    "linalg.matrix_norm": (lambda xp, x: xp.linalg.matrix_norm(x), STACK),
    **{
        f"linalg.matrix_norm {ord}": (lambda xp, x, ord=ord: xp.linalg.matrix_norm(x, keepdims=True, ord=ord), STACK)
        for ord in ("fro", "nuc", 1, 2, np.inf, -1, -2, -np.inf)
    },
    "linalg.matrix_power": (lambda xp, x: xp.linalg.matrix_power(x, 3) + xp.linalg.matrix_power(x, -1), M),
    "linalg.matrix_rank": (lambda xp, x: xp.linalg.matrix_rank(x, rtol=0.1), STACK),
    "linalg.matrix_transpose": (lambda xp, x: xp.linalg.matrix_transpose(x), X),
    "linalg.outer": (lambda xp, x: xp.linalg.outer(x, x**2), V),
    "linalg.pinv": (lambda xp, x: xp.linalg.pinv(x, rtol=1e-10), X),
    "linalg.qr": (lambda xp, x: xp.linalg.qr(x, mode="reduced").R, FACTORS),
    "linalg.qr product": (lambda xp, x: (lambda q: q.Q @ q.R)(xp.linalg.qr(x)), M),
    "linalg.slogdet": (lambda xp, x: xp.linalg.slogdet(x).logabsdet, STACK),
    "linalg.slogdet sign": (lambda xp, x: xp.linalg.slogdet(x).sign, STACK),
    "linalg.solve": (lambda xp, x: xp.linalg.solve(x, x @ FACTORS), M),
    "linalg.solve of a vector": (lambda xp, x: xp.linalg.solve(x, x[:, 0] ** 2), M),
    "linalg.solve of stacks": (lambda xp, x: xp.linalg.solve(x, x[0]), STACK),
    "linalg.svd": (lambda xp, x: xp.linalg.svd(x, full_matrices=False).S, X),
    "linalg.svd product": (lambda xp, x: (lambda s: s.U * s.S @ s.Vh)(xp.linalg.svd(x, full_matrices=False)), X),
    "linalg.svdvals": (lambda xp, x: xp.linalg.svdvals(x), X),
    "linalg.tensordot": (lambda xp, x: xp.linalg.tensordot(x, x, axes=2), M),
    "linalg.trace": (lambda xp, x: xp.linalg.trace(x, offset=-1, dtype=xp.float64), STACK),
    "linalg.vecdot": (lambda xp, x: xp.linalg.vecdot(x, x, axis=-1), X),
    "linalg.vector_norm": (lambda xp, x: xp.linalg.vector_norm(x), X),
    **{
        f"linalg.vector_norm {ord}": (lambda xp, x, ord=ord: xp.linalg.vector_norm(x, axis=1, ord=ord), X)
        for ord in (0, 1, 2, 3, 2.5, np.inf, -np.inf, -1)
    },
    "linalg.vector_norm of axes": (lambda xp, x: xp.linalg.vector_norm(x, axis=(0, 2), keepdims=True), STACK),
}

FFT = {
    **_named("fft.fft fft.ifft fft.rfft fft.ihfft", lambda xp, f, x: f(x, n=5, axis=1, norm="ortho"), X),
    **_named("fft.irfft fft.hfft", lambda xp, f, x: f(x * (1 + 0.5j), n=4, axis=-1), X),
    **_named("fft.fftn fft.ifftn fft.rfftn", lambda xp, f, x: f(x, s=(2, 4), axes=(0, 1), norm="forward"), X),
    "fft.irfftn": (lambda xp, x: xp.fft.irfftn(x * (1 + 0.5j), axes=(0, 1)), X),
    "fft.fftshift": (lambda xp, x: xp.fft.fftshift(x, axes=1), X),
    "fft.ifftshift": (lambda xp, x: xp.fft.ifftshift(x), V),
    "fft.fftfreq": (lambda xp, x: x * xp.fft.fftfreq(3, d=0.5, device=None), X),
    "fft.rfftfreq": (lambda xp, x: x[0, 0] * xp.fft.rfftfreq(6), X),
}

BINARY = "add sub mul truediv floordiv mod pow"
IN_PLACE = "iadd isub imul itruediv ifloordiv imod ipow imatmul"
OPERATORS = {
    **_named(f"{BINARY} matmul", lambda xp, f, x: f(x, x + 0.3), M + 3, "x {} y", operator),
    **_named(BINARY, lambda xp, f, x: f(x, 2.5) + f(2.5, x), P, "x {} 2", operator),
    **_named(f"{BINARY} matmul", lambda xp, f, x: f(M + 1, x), M + 3, "plain {} x", operator),
    **_named(IN_PLACE, lambda xp, f, x: f(xp.asarray(x, copy=True), 0.3 * M + 1), M + 3, "x {} y", operator),
    **_named("neg pos abs", lambda xp, f, x: f(x), X, "{} x", operator),
    **_named("lt le gt ge eq ne", lambda xp, f, x: f(x, x[::-1]), X, "x {} y", operator),
    **_named("and_ or_ xor", lambda xp, f, x: f(x > 0, x < 2), X, "{} of booleans", operator),
    "not of booleans": (lambda xp, x: ~(x > 0), X),
    "and= of booleans": (lambda xp, x: operator.iand(x > 0, x < 2), X),
    "integers": (lambda xp, x: (xp.argmax(x, axis=1) << 2 | 1) ^ (xp.argmin(x, axis=1) & 3) >> 1, X),
    "mT": (lambda xp, x: x.mT, STACK),
    "T": (lambda xp, x: x.T, X),
    "item": (lambda xp, x: x[0, -1], X),
    "slices": (lambda xp, x: x[..., None, 1::-1], X),
    "mask": (lambda xp, x: x[x > 0], X),
    "integer arrays": (lambda xp, x: x[xp.asarray([1, 0]), xp.asarray([2, 2])], X),
    "written entries": (lambda xp, x: _written(xp.asarray(x, copy=True)), X),
}


def _written(y):
    y[0, 1:] = y[1, :2] ** 2
    y[y < 0] = 0.5
    y[1, 2] *= y[0, 0]
    return y


CASES = {
    f"{kind}: {name}": case
    for kind, cases in {
        "elementwise": ELEMENTWISE,
        "creation": CREATION,
        "statistical": STATISTICAL,
        "searching": SEARCHING,
        "sorting": SORTING,
        "set": SETS,
        "manipulation": MANIPULATION,
        "linear algebra": LINALG,
        "fft": FFT,
        "operator": OPERATORS,
    }.items()
    for name, case in cases.items()
}


def real(y):
    """A complex result as its two parts."""
    return np.stack([np.real(y), np.imag(y)]) if y.dtype.kind == "c" else y


def hold(f, reference, x, adtype):
    """f through the namespace is the reference: value, shape, dtype and derivative, forward and reverse."""
    expected = np.asarray(reference(x))
    kinds = []

    def traced(x):
        y = f(x.__array_namespace__(), x)
        kinds.append((np.shape(y), np.result_type(y)))
        return y

    single = expected.dtype in (np.float32, np.complex64)
    y, back = ad.pullback(traced, adtype, x)
    np.testing.assert_allclose(y, expected, rtol=1e-6 if single else 1e-10, atol=1e-7 if single else 1e-12)
    assert kinds == [(expected.shape, expected.dtype)], f"{kinds[0]} is not {(expected.shape, expected.dtype)}"
    if expected.dtype.kind not in "fc":
        return
    matrix = numeric_jacobian(lambda x: real(np.asarray(reference(x))), x, step=1e-2 if single else 1e-5)
    rng = np.random.default_rng(2)
    weights = rng.standard_normal(real(expected).shape).astype(real(expected).dtype)
    seed = weights[0] + 1j * weights[1] if expected.dtype.kind == "c" else weights
    tolerance = {"rtol": 1e-3, "atol": 1e-3} if single else {"rtol": 1e-6, "atol": 1e-6}
    bar = back(seed)[0]
    bar = np.zeros(x.shape) if bar is None else bar
    assert bar.dtype == x.dtype
    np.testing.assert_allclose(bar.reshape(-1), weights.reshape(-1) @ matrix, err_msg="reverse", **tolerance)
    direction = rng.standard_normal(x.shape)
    _, dot = ad.pushforward(traced, adtype, (x,), (direction,))
    dot = np.zeros(expected.shape, expected.dtype) if dot is None else np.asarray(dot)
    assert dot.dtype == expected.dtype
    wanted = (matrix @ direction.reshape(-1)).reshape(weights.shape)
    np.testing.assert_allclose(real(dot), wanted, err_msg="forward", **tolerance)


@pytest.mark.parametrize("name", CASES)
def test_function(exact_backend, name):
    f, x = CASES[name]
    hold(f, lambda x: f(np, np.asarray(x)), x, exact_backend.adtype)


@pytest.mark.parametrize("name", BEYOND_NUMPY)
def test_beyond_numpy(exact_backend, name):
    f, reference = BEYOND_NUMPY[name]
    hold(f, reference, X, exact_backend.adtype)


# The functions of the standard, extensions included.
STANDARD = """
    arange asarray empty empty_like eye full full_like linspace meshgrid ones ones_like tril triu zeros zeros_like
    abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_invert bitwise_or
    bitwise_right_shift bitwise_xor ceil clip conj copysign cos cosh divide equal exp expm1 floor floor_divide greater
    greater_equal hypot imag isfinite isinf isnan less less_equal log log1p log2 log10 logaddexp logical_and logical_not
    logical_or logical_xor maximum minimum multiply negative nextafter not_equal positive pow real reciprocal remainder
    round sign signbit sin sinh square sqrt subtract tan tanh trunc
    cumulative_prod cumulative_sum max mean min prod std sum var
    argmax argmin count_nonzero nonzero searchsorted where all any diff argsort sort
    unique_all unique_counts unique_inverse unique_values
    broadcast_arrays broadcast_to concat expand_dims flip moveaxis permute_dims repeat reshape roll squeeze stack tile
    unstack take take_along_axis astype matmul matrix_transpose tensordot vecdot
    linalg.cholesky linalg.cross linalg.det linalg.diagonal linalg.eigh linalg.eigvalsh linalg.inv linalg.matmul
    linalg.matrix_norm linalg.matrix_power linalg.matrix_rank linalg.matrix_transpose linalg.outer linalg.pinv linalg.qr
    linalg.slogdet linalg.solve linalg.svd linalg.svdvals linalg.tensordot linalg.trace linalg.vecdot linalg.vector_norm
    fft.fft fft.ifft fft.fftn fft.ifftn fft.rfft fft.irfft fft.rfftn fft.irfftn fft.hfft fft.ihfft fft.fftfreq
    fft.rfftfreq fft.fftshift fft.ifftshift
"""


def test_every_function_of_the_standard_has_a_case():
    sampled = {name.partition(": ")[2].split()[0] for name in CASES} | {name.split()[0] for name in BEYOND_NUMPY}
    assert set(STANDARD.split()) <= sampled


def inside(adtype, look, x=X):
    """What ``look(xp, x)`` returns inside a function being differentiated."""
    seen = []

    def f(x):
        seen.append(look(x.__array_namespace__(), x))
        return np.sum(np.real(x))

    ad.gradient(f, adtype, x)
    return seen[0]


# name, question, answer for an array of that dtype
QUESTIONS = {
    "result_type": (lambda xp, x: xp.result_type(x, xp.float32), lambda dtype: np.result_type(dtype, np.float32)),
    "result_type of a number": (lambda xp, x: xp.result_type(x, 1.0), lambda dtype: dtype),
    "result_type of dtypes": (lambda xp, x: xp.result_type(xp.int32, xp.float32), lambda dtype: np.float64),
    "can_cast": (lambda xp, x: xp.can_cast(x, xp.float32), lambda dtype: dtype == np.float32),
    "can_cast of dtypes": (lambda xp, x: xp.can_cast(xp.int8, xp.int16), lambda dtype: True),
    "isdtype": (lambda xp, x: xp.isdtype(x.dtype, "real floating"), lambda dtype: dtype != np.complex128),
    "isdtype of several kinds": (lambda xp, x: xp.isdtype(x.dtype, ("integral", "bool")), lambda dtype: False),
    "finfo": (lambda xp, x: xp.finfo(x).eps, lambda dtype: np.finfo(dtype).eps),
    "finfo of a dtype": (lambda xp, x: xp.finfo(xp.float32).bits, lambda dtype: 32),
    "iinfo": (lambda xp, x: xp.iinfo(xp.argmax(xp.real(x), axis=0)).bits, lambda dtype: 64),
    "iinfo of a dtype": (lambda xp, x: xp.iinfo(xp.int16).max, lambda dtype: 32767),
    "constants": (lambda xp, x: (xp.e, xp.pi, xp.inf, xp.newaxis), lambda dtype: (np.e, np.pi, np.inf, None)),
    "not a number": (lambda xp, x: bool(np.isnan(xp.nan)), lambda dtype: True),
    "bool": (lambda xp, x: (x == x).dtype == xp.bool, lambda dtype: True),
    "default dtypes": (
        lambda xp, x: xp.__array_namespace_info__().default_dtypes()["real floating"],
        lambda dtype: np.float64,
    ),
    "dtypes": (
        lambda xp, x: sorted(xp.__array_namespace_info__().dtypes(kind="complex floating")),
        lambda dtype: ["complex128", "complex64"],
    ),
    "devices": (
        lambda xp, x: (xp.__array_namespace_info__().devices(), xp.__array_namespace_info__().default_device()),
        lambda dtype: (["cpu"], "cpu"),
    ),
    "capabilities": (
        lambda xp, x: xp.__array_namespace_info__().capabilities()["boolean indexing"],
        lambda dtype: True,
    ),
    "attributes": (
        lambda xp, x: (x.dtype, x.shape, x.ndim, x.size, x.device, x.to_device("cpu", stream=None).shape),
        lambda dtype: (dtype, (2, 3), 2, 6, "cpu", (2, 3)),
    ),
    "frequencies": (lambda xp, x: xp.fft.fftfreq(4, dtype=xp.float32).dtype, lambda dtype: np.float32),
    "real frequencies": (lambda xp, x: xp.fft.rfftfreq(4, d=0.1, dtype=None).dtype, lambda dtype: np.float64),
}


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.complex128])
def test_questions_that_are_not_arrays(exact_backend, name, dtype):
    look, answer = QUESTIONS[name]
    assert inside(exact_backend.adtype, look, X.astype(dtype)) == answer(dtype)


def test_the_namespaces_of_two_arrays_are_one(exact_backend):
    def look(xp, x):
        other = (x[0] * 2).__array_namespace__()
        return xp == other, len({xp, other}), xp != np, "sort" in dir(xp), xp.sin is np.sin

    assert inside(exact_backend.adtype, look) == (True, 1, True, True, True)


def test_versions(exact_backend):
    assert inside(exact_backend.adtype, lambda xp, x: x.__array_namespace__(api_version="2022.12") == xp)
    with pytest.raises(ValueError, match="not supported"):
        inside(exact_backend.adtype, lambda xp, x: x.__array_namespace__(api_version="1999.12"))


def test_what_the_standard_refuses_is_refused(exact_backend):
    for error, look in [
        (ValueError, lambda xp, x: x[0].mT),
        (ValueError, lambda xp, x: x.to_device("gpu")),
        (ValueError, lambda xp, x: xp.asarray(x, dtype=xp.float32, copy=False)),
        (ValueError, lambda xp, x: xp.squeeze(x, axis=0)),
        (TypeError, lambda xp, x: xp.sort(x, 0)),
        (TypeError, lambda xp, x: operator.iadd(xp.asarray(x, copy=True), 1j)),
        (ValueError, lambda xp, x: operator.iadd(x[0] * 1, x)),
    ]:
        with pytest.raises(error):
            inside(exact_backend.adtype, look)


def test_memory_is_not_handed_out_while_a_derivative_is_computed(exact_backend):
    kept = []
    for look in (lambda xp, x: xp.from_dlpack(x), lambda xp, x: x.__dlpack__()):
        with pytest.raises(TracedValueError, match=r"from_dlpack.*cut off"):
            inside(exact_backend.adtype, look)
    inside(exact_backend.adtype, lambda xp, x: kept.append(x) or x.__dlpack_device__())
    np.testing.assert_array_equal(np.from_dlpack(kept[0]), X)  # over: a plain value


def test_arrays_made_by_the_namespace_are_no_input(exact_backend):
    assert ad.gradient(lambda x: np.sum(x.__array_namespace__().ones(3)), exact_backend.adtype, P) == (None,)
    (g,) = ad.gradient(_first_of_zeros, exact_backend.adtype, P)
    np.testing.assert_array_equal(g, [1.0, 0.0, 0.0])


def _first_of_zeros(x):
    xp = x.__array_namespace__()
    y = xp.zeros((2, 2))
    y[0, 1] = x[0]
    total = xp.sum(y)
    y[0, 1] = 5.0  # no more of x
    return total + y[0, 1]


WRONG = {
    "reverse": None,  # a rule that is slightly wrong
    "value": lambda xp, x: xp.sin(x) + 1e-6,
    "shape": lambda xp, x: xp.broadcast_to(xp.sin(x), (1, 2, 3)),
    "dtype": lambda xp, x: xp.sin(x) + 0j,
    "cut": lambda xp, x: ad.ignore_derivatives(xp.sin(x)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_case_is_noticed(exact_backend, name):
    primitive = ad.primitive(lambda x: np.sin(x))
    ad.define_rrule(primitive)(lambda x: (np.sin(x), lambda g: (ad.NoTangent(), g * np.cos(x) * 1.0001)))
    f = (lambda xp, x: primitive(x)) if name == "reverse" else WRONG[name]
    with pytest.raises(AssertionError):
        hold(f, np.sin, X, exact_backend.adtype)


def test_prepared(exact_backend):
    def f(x):
        xp = x.__array_namespace__()
        y = xp.zeros(3)
        y[1:] = xp.sort(x, descending=True)[:2]
        return xp.linalg.vector_norm(y) + xp.sum(xp.cumulative_sum(xp.clip(x, min=0.5)))

    prepared = ad.prepare(ad.gradient, f, exact_backend.adtype, P)
    for x in (P, P[::-1] * 1.5):
        np.testing.assert_allclose(prepared(x)[0], ad.gradient(f, x)[0], rtol=1e-12)
