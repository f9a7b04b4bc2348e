"""The NumPy face: protocols, operators, methods, views and writing in place, against NumPy's own results.

Every case is a function of one array. NumPy says what its value is, plain differences what its Jacobian is; each
backend must give the same. The face is one piece of code, so all cases run on every exact backend.
"""

from __future__ import annotations

import copy
import functools
import math
import operator
import pickle
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from conftest import EXACT, numeric_jacobian
from limits import LIMITS, judge

import adselect as ad
from adselect.errors import MissingRuleError, TracedValueError, UnsupportedError
from adselect.face.array import Array

X = np.array([[1.3, -0.7, 2.1], [0.4, 3.2, -1.6]])
V = np.array([1.3, -0.7, 2.1, 0.4])
P = np.array([0.3, 0.8, 1.7])
SQUARE = np.array([[2.0, 0.5, -0.3], [0.1, 1.5, 0.4], [-0.2, 0.3, 1.8]])

OPERATORS = {
    "x + x": (lambda x: x + x * x, X),
    "x - 1": (lambda x: x - 1, X),
    "1 - x": (lambda x: 1 - x, X),
    "2.5 * x": (lambda x: 2.5 * x * x, X),
    "x / 2": (lambda x: x / 2, X),
    "1 / x": (lambda x: 1 / x, X),
    "x // 0.5": (lambda x: x // 0.5 + x, X),
    "7 // x": (lambda x: 7.3 // x + x, X),
    "x % 0.9": (lambda x: x % 0.9, X),
    "3 % x": (lambda x: 3 % x, X),
    "x ** 2": (lambda x: x**2, X),
    "x ** 3": (lambda x: x**3, X),
    "x ** 1.5": (lambda x: x**1.5, P),
    "x ** -1": (lambda x: x**-1.0, X),
    "2 ** x": (lambda x: 2.0**x, X),
    "x ** x": (lambda x: x**x, P),
    "x @ y": (lambda x: x @ X.T, X),
    "y @ x": (lambda x: X.T @ x, X),
    "vector @ vector": (lambda x: x @ x, V),
    "-x": (lambda x: -x, X),
    "+x": (lambda x: +x, X),
    "abs(x)": (abs, X),
    "ndarray + x": (lambda x: X + x, X),
    "ndarray * x": (lambda x: X * x, X),
    "ndarray / x": (lambda x: X / x, X),
    "ndarray - row": (lambda x: X - x, np.array([1.0, 2.0, 3.0])),
    "ndarray ** x": (lambda x: np.abs(X) ** x, X),
    "ndarray @ x": (lambda x: SQUARE @ x, P),
    "list + x": (lambda x: [1.0, 2.0, 3.0] + x, P),  # noqa: RUF005
    "x * list": (lambda x: x * [1.0, 2.0, 3.0], P),
    "x + numpy scalar": (lambda x: np.float64(2.0) * x + np.float32(0.5) * x, X),
    "int64 * x": (lambda x: np.arange(3) * x, X),
    "divmod": (lambda x: divmod(x, 0.93)[1] * divmod(x, 0.93)[0], X),
    "rdivmod": (lambda x: divmod(5.0, x)[1], P),
    "round": (lambda x: round(x[0, 0], 1) + x, X),
    "operator.add": (lambda x: operator.add(x, x), X),
    "operator.matmul": (lambda x: operator.matmul(x, X.T), X),
    "x += 1": (lambda x: operator.iadd(x * 1.0, 1), X),
    "comparison as mask": (lambda x: x * (x > 0) + (x <= 0) * 2 * x, X),
    "comparison of two": (lambda x: np.where(x == x, x * x, 0.0) + (x != 99.0) * x, X),
    "logical mask": (lambda x: x * ((x > 0) & (x < 2)) + x * ~(x > 0), X),
    "chained broadcasting": (lambda x: x[:, None] * x[None, :] - x, V),
    "sum() of the builtins": (lambda x: sum(x), X),
    "max() of the builtins": (lambda x: max(x) * 2, V),
    "sorted() of the builtins": (lambda x: np.stack(sorted(x)), V),
    "iteration": (lambda x: np.stack([r.sum() for r in x]), X),
    "unpacking": (lambda x: (lambda a, b, c, d: a * b - c / d)(*x), V),
    "enumerate, zip, reversed": (
        lambda x: sum(i * a * b for (i, a), b in zip(enumerate(x), reversed(x), strict=True)),
        V,
    ),
    "len and range": (lambda x: sum(x[i] ** i for i in range(len(x))), V),
    "in": (lambda x: x * (2.0 if 99.0 in x else 3.0), V),
    "if on a value": (lambda x: x[0] * 2 if x[0] > 1 and x[1] < 0 else x[1], V),
    "while on a value": (lambda x: _halved(x), P),
    "f-string and repr": (lambda x: x * (len(f"{x[0]:.2f}") + len(repr(x)[:0]) + len(str(x[0])[:1])), V),
    "Fraction": (lambda x: x[0] * Fraction(1, 4) - Fraction(1, 2) / x[1], V),
    "math.floor of Python": (lambda x: x[0] * math.floor(2.7), V),
}


def _halved(x):
    while np.max(x) > 0.1:
        x = x / 2
    return x


METHODS = {
    "sum": (lambda x: x.sum(), X),
    "sum axis": (lambda x: x.sum(axis=0), X),
    "sum keepdims": (lambda x: x.sum(axis=1, keepdims=True) * x, X),
    "sum of two axes": (lambda x: x.sum(axis=(0, 1)), X),
    "sum negative axis": (lambda x: x.sum(-1), X),
    "prod": (lambda x: x.prod(), X),
    "prod axis": (lambda x: x.prod(axis=1), X),
    "mean": (lambda x: x.mean(), X),
    "mean axis": (lambda x: x.mean(axis=0, keepdims=True), X),
    "std": (lambda x: x.std(), X),
    "std ddof": (lambda x: x.std(axis=1, ddof=1), X),
    "var": (lambda x: x.var(axis=0), X),
    "max": (lambda x: x.max(), X),
    "max axis": (lambda x: x.max(axis=1), X),
    "min axis": (lambda x: x.min(axis=0), X),
    "cumsum": (lambda x: x.cumsum(), X),
    "cumsum axis": (lambda x: x.cumsum(axis=1), X),
    "cumprod": (lambda x: x.cumprod(axis=0), X),
    "argmax": (lambda x: x * x.argmax(), X),
    "argmin axis": (lambda x: x * x.argmin(axis=0), X),
    "argsort": (lambda x: x[x.argsort()], V),
    "all any": (lambda x: x * (x > -9).all() * (x > 2).any(), X),
    "take": (lambda x: x.take([2, 0, 2], axis=1), X),
    "take flat": (lambda x: x.take([5, 0]), X),
    "trace": (lambda x: x.trace(), X),
    "diagonal": (lambda x: x.diagonal(1), X),
    "dot": (lambda x: x.dot(SQUARE), X),
    "repeat": (lambda x: x.repeat(2, axis=1), X),
    "squeeze": (lambda x: x[:, :1].squeeze(), X),
    "compress": (lambda x: x.compress([True, False, True], axis=1), X),
    "nonzero": (lambda x: x[x.nonzero()], X),
    "searchsorted": (lambda x: x * np.sort(X.ravel()).searchsorted(0.5), X),
    "reshape": (lambda x: x.reshape(3, 2), X),
    "reshape tuple": (lambda x: x.reshape((3, -1)) @ x, X),
    "reshape order": (lambda x: x.reshape(6, order="F"), X),
    "ravel": (lambda x: x.ravel(), X),
    "ravel order": (lambda x: x.ravel("F"), X),
    "flatten": (lambda x: x.flatten(), X),
    "flatten order": (lambda x: x.flatten("F"), X),
    "transpose": (lambda x: x.transpose(), X),
    "transpose axes": (lambda x: x[None].transpose(2, 0, 1), X),
    "transpose tuple": (lambda x: x[None].transpose((1, 2, 0)), X),
    "swapaxes": (lambda x: x[None].swapaxes(0, 2), X),
    "T": (lambda x: x.T * 2, X),
    "mT": (lambda x: x[None].mT, X),
    "real imag conj": (lambda x: x.real + x.imag + x.conj() + x.conjugate(), X),
    "astype": (lambda x: x.astype(np.float64), X),
    "astype int cuts": (lambda x: x.astype(int) * x, X),
    "copy": (lambda x: x.copy() * x, X),
    "copy.copy": (lambda x: copy.copy(x) * copy.deepcopy(x), X),
    "item": (lambda x: x[0, :1].item() * x.item(4) * x.item(1, 2), X),
    "tolist": (lambda x: np.stack([a * b for a, b in zip(x.tolist()[0], x.tolist()[1], strict=True)]), X),
    "clip": (lambda x: x.clip(-1.0, 2.0), X),
    "clip min": (lambda x: x.clip(min=0.0), X),
    "round": (lambda x: x.round(1) + x, X),
    "shape ndim size": (lambda x: x * (x.shape[1] + x.ndim + x.size + x.nbytes / x.itemsize), X),
    "flat": (lambda x: np.stack([v * v for v in x.flat]), X),
    "dtype": (lambda x: x * (x.dtype == np.float64), X),
    "choose": (
        lambda x: np.choose(np.array([0, 1, 0]), [x[0], x[1]]),
        X,
    ),
}

FUNCTIONS = {
    "ufunc.reduce": (lambda x: np.add.reduce(x), X),
    "ufunc.reduce axis": (lambda x: np.multiply.reduce(x, axis=1), X),
    "maximum.reduce": (lambda x: np.maximum.reduce(x, axis=None), X),
    "ufunc.accumulate": (lambda x: np.add.accumulate(x, axis=1), X),
    "multiply.accumulate": (lambda x: np.multiply.accumulate(x), V),
    "ufunc.outer": (lambda x: np.multiply.outer(x, x), V),
    "subtract.outer": (lambda x: np.subtract.outer(x, P), V),
    "ufunc.reduceat": (lambda x: np.add.reduceat(x, [0, 2, 3]), V),
    "ufunc where out": (lambda x: np.sqrt(np.abs(x), where=x > 0, out=np.zeros_like(x)), X),
    "ufunc out": (lambda x: np.exp(x, out=np.empty_like(x)), X),
    "ufunc dtype": (lambda x: np.add(x, 1, dtype=np.float64), X),
    "np.add of lists": (lambda x: np.add([1.0, 2.0, 3.0], x), P),
    "positional out": (lambda x: np.sum(x, axis=0), X),
    "keyword arguments": (lambda x: np.sum(a=x, axis=1), X),
    "array namespace": (lambda x: _standard(x), X),
    "concatenate of rows": (lambda x: np.concatenate([x[0], x[1], P]), X),
    "stack with plain": (lambda x: np.stack([x, X * x, X]), X),
    "vstack hstack dstack": (lambda x: np.vstack([np.hstack([x, x]), np.hstack([X, x])]) + np.dstack([x, x]).sum(), X),
    "block": (lambda x: np.block([[x, X], [x * 2, x]]), X),
    "append": (lambda x: np.append(x, [1.0, 2.0]), X),
    "insert by concatenation": (lambda x: np.concatenate([x[:1], [9.0], x[1:]]), V),
    "where of three": (lambda x: np.where(x > 0, x, X * 2), X),
    "where of one": (lambda x: x[np.where(x > 0)], X),
    "select": (lambda x: np.select([x > 1, x > 0], [x, x**2], -x), X),
    "piecewise": (lambda x: np.piecewise(x, [x < 0, x >= 0], [lambda t: -t, lambda t: t**2]), X),
    "interp by hand": (lambda x: x[np.searchsorted(np.array([0.0, 1.0]), 0.5)], V),
    "meshgrid": (lambda x: np.meshgrid(x, x)[0] * np.meshgrid(x, x, indexing="ij")[0], V),
    "einsum": (lambda x: np.einsum("ij,kj->ik", x, X), X),
    "einsum implicit": (lambda x: np.einsum("ij,jk", x, SQUARE), X),
    "einsum ellipsis": (lambda x: np.einsum("...j,...j->...", x, x), X),
    "einsum optimize": (lambda x: np.einsum("ij,kj,kl->il", x, X, X, optimize=True), X),
    "einsum sublists": (lambda x: np.einsum(x, [0, 1], X, [2, 1], [0, 2]), X),
    "kron outer inner vdot": (lambda x: np.kron(x, P).sum() + np.outer(x, P) * np.inner(x, P) + np.vdot(x, P), P),
    "cross": (lambda x: np.cross(x, np.array([1.0, 2.0, 3.0])), P),
    "trapezoid": (lambda x: np.trapezoid(x, dx=0.5), V),
    "diff n": (lambda x: np.diff(x, n=2), V),
    "gradient of numpy": (lambda x: np.gradient(x), V),
    "convolve": (lambda x: np.convolve(x, [1.0, -1.0, 2.0]), V),
    "correlate": (lambda x: np.correlate(x, [1.0, 2.0]), V),
    "polyval": (lambda x: np.polyval(x, 2.0), V),
    "median": (lambda x: np.median(x), V),
    "percentile": (lambda x: np.percentile(x, 30), V),
    "quantile axis": (lambda x: np.quantile(x, [0.2, 0.7], axis=1), X),
    "average weights": (lambda x: np.average(x, axis=0, weights=[1.0, 3.0]), X),
    "cov": (lambda x: np.cov(x), X),
    "corrcoef": (lambda x: np.corrcoef(x), X),
    "ptp": (lambda x: np.ptp(x), X),
    "nansum": (lambda x: np.nansum(x * np.array([1.0, np.nan, 1.0])), X),
    "nanmean": (lambda x: np.nanmean(np.where(x > 3, np.nan, x)), X),
    "logaddexp": (lambda x: np.logaddexp(x, 0.5), X),
    "hypot arctan2": (lambda x: np.hypot(x, 1.0) + np.arctan2(x, 2.0), X),
    "sinc heaviside": (lambda x: np.sinc(x) + np.heaviside(x, 0.5) * x, X),
    "interp": (lambda x: np.interp(x, np.array([-3.0, 0.0, 4.0]), np.array([1.0, 2.0, 0.0])), X),
    "tri": (lambda x: np.tril(x) + np.triu(x, 1) * 2, SQUARE),
    "diag": (lambda x: np.diag(x) + np.diag(np.diag(SQUARE @ np.diag(x)), 0), P),
    "roll axis": (lambda x: np.roll(x, 1, axis=1), X),
    "rot90": (lambda x: np.rot90(x), X),
    "flip": (lambda x: np.flip(x, 0) + np.fliplr(x) + np.flipud(x), X),
    "moveaxis": (lambda x: np.moveaxis(x[None], 0, -1), X),
    "take_along_axis": (lambda x: np.take_along_axis(x, np.argsort(X, axis=1), axis=1), X),
    "unique values by index": (lambda x: x[np.unique(X, return_index=True)[1] // 3], X),
    "sort axis": (lambda x: np.sort(x, axis=0), X),
    "partition": (lambda x: np.partition(x, 1)[:1], V),
    "pad edge": (lambda x: np.pad(x, 1, mode="edge"), X),
    "pad reflect": (lambda x: np.pad(x, ((0, 0), (1, 1)), mode="reflect"), X),
    "array_split": (lambda x: np.concatenate([p * (i + 1) for i, p in enumerate(np.array_split(x, 3))]), V),
    "linalg.inv": (lambda x: np.linalg.inv(x), SQUARE),
    "linalg.solve": (lambda x: np.linalg.solve(x, P), SQUARE),
    "linalg.det": (lambda x: np.linalg.det(x), SQUARE),
    "linalg.norm axis": (lambda x: np.linalg.norm(x, axis=1), X),
    "linalg.norm ord 1": (lambda x: np.linalg.norm(x, 1), V),
    "linalg.norm ord inf": (lambda x: np.linalg.norm(x, np.inf), V),
    "linalg.norm ord 3": (lambda x: np.linalg.norm(x, 3), V),
    "linalg.matrix_power": (lambda x: np.linalg.matrix_power(x, 3), SQUARE),
    "linalg.slogdet": (lambda x: np.linalg.slogdet(x)[1], SQUARE),
    "linalg.eigh": (lambda x: np.linalg.eigh(x + x.T)[0], SQUARE),
    "linalg.eigvalsh": (lambda x: np.linalg.eigvalsh(x @ x.T), SQUARE),
    "linalg.svd values": (lambda x: np.linalg.svd(x, compute_uv=False), X),
    "linalg.qr product": (lambda x: np.linalg.qr(x)[0] @ np.linalg.qr(x)[1], SQUARE),
    "linalg.pinv": (lambda x: np.linalg.pinv(x), X),
    "fft real part": (lambda x: np.fft.fft(x).real, V),
    "rfft power": (lambda x: np.abs(np.fft.rfft(x)) ** 2, V),
    "dot of three axes": (lambda x: np.dot(np.multiply.outer(x[0], x), np.multiply.outer(x[:, 0], x.T)), X),
    "dot of three axes and a vector": (lambda x: np.dot(np.multiply.outer(x, x[0]), x[1]), X),
    "inner": (lambda x: np.inner(np.multiply.outer(x[0], x), x), X),
    "inner of a number": (lambda x: np.inner(x, x[0, 0]), X),
    "tensordot of no axis": (lambda x: np.tensordot(x, x, 0), X),
    "tensordot of one axis": (lambda x: np.tensordot(x, x.T, 1), X),
    "tensordot of two axes": (lambda x: np.tensordot(np.multiply.outer(x[0], x), x, axes=2), X),
    "tensordot of axes": (lambda x: np.tensordot(np.multiply.outer(x[0], x), x, axes=([2, 1], [1, 0])), X),
    "tensordot of a pair": (lambda x: np.tensordot(x, np.multiply.outer(x[0], x), axes=(1, -1)), X),
    "gradient to the edge": (lambda x: np.gradient(x**2, edge_order=2), V),
    "gradient of unequal spacing": (lambda x: np.gradient(x**2, np.array([0.0, 1, 3, 4]), edge_order=2), V),
    "gradient along an axis": (lambda x: np.gradient(x**2, 0.3, axis=1, edge_order=2), X),
    "piecewise of constants": (lambda x: np.piecewise(x, [x < 0, x > 2], [lambda v: v**2, 5.0, np.exp]), X),
    "real_if_close": (lambda x: np.real_if_close(x * (1 + 0j)) ** 2, X),
    "nanmedian": (lambda x: np.nanmedian(np.where(x > 3, np.nan, x), axis=1), X),
    "nanquantile": (lambda x: np.nanquantile(np.where(x > 3, np.nan, x), [0.2, 0.7], axis=-1, keepdims=True), X),
    "nanpercentile": (lambda x: np.nanpercentile(np.where(x < -1, np.nan, x), 30), X),
    "scalar argument": (lambda x: np.sin(x[0]) * np.exp(x[1]) / np.sqrt(x[2]), V),
}


def _standard(x):
    """Code for any array library."""
    xp = x.__array_namespace__()
    y = xp.concat([xp.sin(x), xp.exp(-x)])
    return xp.permute_dims(y, (1, 0)) * xp.mean(x) + xp.sum(xp.astype(x, xp.float64))


# Each works on y = x * 1.0, a fresh array, and returns something computed from it.
def write_item(y):
    y[0, 1] = y[1, 0] * 3
    return y


def write_constant(y):
    y[1] = 7.0
    return y * y


def write_slice(y):
    y[:, 1:] = y[:, :2] ** 2
    return y


def write_broadcast(y):
    y[...] = y[0]
    return y


def write_mask(y):
    y[y > 1] = 0.5
    return y


def write_mask_values(y):
    y[y > 1] *= 2.0
    return y


def write_fancy(y):
    y[[0, 1], [2, 2]] = y[:, 0] * 5
    return y


def write_fancy_repeated(y):
    y[0, [1, 1, 2]] = y[1] * 2  # the last write counts
    return y


def augmented_fancy_repeated(y):
    y[0, [1, 1]] += 1.0  # counts once
    return y * y


def add_at(y):
    np.add.at(y, (0, [1, 1, 2]), y[1] * 2)
    return y


def augmented_overlap(y):
    v = y.reshape(-1)
    v[1:] += v[:-1]
    return y


def assignment_overlap(y):
    v = y.reshape(-1)
    v[1:] = v[:-1]
    return v * y.reshape(-1)


def swap_entries(y):
    y[0, 0], y[1, 1] = y[1, 1], y[0, 0]
    return y


def swap_rows(y):
    y[0], y[1] = y[1], y[0]  # views: both rows end up equal
    return y


def swap_rows_fancy(y):
    y[[0, 1]] = y[[1, 0]]
    return y


def view_of_slice(y):
    v = y[:, 1]
    v[0] = 9.0
    v *= 2
    return y


def view_of_view(y):
    v = y[1:]
    w = v[0, 1:]
    w[1] = y[0, 0] ** 2
    v += 1.0
    return y


def view_sees_base(y):
    v = y[0]
    y[0, 1] = 5.0
    return v * y[1]


def view_of_transpose(y):
    y.T[2, 0] = y[1, 1] * 2
    return y


def view_of_transpose_sees_base(y):
    t = y.T
    y[1, 0] = 4.0
    return t * t


def view_of_reshape(y):
    r = y.reshape(3, 2)
    r[1] *= 10
    return y


def view_of_ravel(y):
    y.ravel()[4] = 0.0
    return y


def view_of_swapaxes(y):
    y.swapaxes(0, 1)[0] = y[0, :2] * 3
    return y


def view_of_newaxis(y):
    y[None, :, 0][0] = 8.0
    return y


def view_of_squeeze(y):
    z = y[:, :1]
    z.squeeze()[1] = 6.0
    return y


def view_of_np_squeeze(y):
    np.squeeze(y[None])[0] = 6.0
    return y


def view_of_expand_dims(y):
    np.expand_dims(y, 0)[0, 1] = 3.0
    return y


def view_of_moveaxis(y):
    np.moveaxis(y, 0, 1)[2] = 1.5
    return y


def view_of_flip(y):
    np.flip(y, 0)[0] = 1.5
    return y


def view_of_rot90(y):
    np.rot90(y)[0] = 2.5
    return y


def view_of_split(y):
    np.split(y, 2)[1][...] = y[0] * 2
    return y


def view_of_atleast(y):
    np.atleast_3d(y)[0, 0, 0] = 9.0
    return y


def view_by_iteration(y):
    for row in y:
        row *= row[0]
    return y


def view_of_real(y):
    y.real[0] = 2.0
    return y


def view_by_asarray(y):
    y[:][0, 0] = 4.0
    return y


def copies_are_no_views(y):
    for z in (y.copy(), y.flatten(), y[[0, 1]], y[y < 99], y + 0, np.array([[1.0]]) * y):
        z[0] = 100.0
    return y


def flat_write(y):
    y.flat[2] = 7.0
    return y


def augmented_each(y):
    y += 1.0
    y -= y * 0.5
    y *= 3.0
    y /= 2.0
    y **= 2
    y %= 5.0
    y //= 0.5
    return y


def augmented_with_ndarray(y):
    y += X
    y[0] *= X[1]
    return y * y


def augmented_matmul(y):
    z = y @ y.T
    z @= z
    return z


def augmented_alias(y):
    z = y
    z += 1.0
    return y * z


def augmented_scalar_is_rebinding(y):
    a = y[0, 0]
    b = a
    a += 5.0
    return a * b


def copyto(y):
    np.copyto(y, y[0] * 2, where=np.array([True, False, True]))
    return y


def put(y):
    np.put(y, [0, 4], [1.0, 2.0])
    y.put([1], y[1, 2])
    return y


def fill_diagonal(y):
    np.fill_diagonal(y, 5.0)
    return y


def put_along_axis(y):
    np.put_along_axis(y, np.array([[1], [2]]), y[:, :1] * 3, axis=1)
    return y


def place(y):
    np.place(y, y > 1, [0.5, 0.25])
    return y


def putmask(y):
    np.putmask(y, y > 1, y * 2)
    return y


def sort_in_place(y):
    y.sort()
    return y * np.arange(3.0)


def sort_in_place_axis(y):
    y.sort(axis=0)
    return y


def fill(y):
    y[0].fill(2.0)
    return y * y


def out_argument(y):
    np.multiply(y, 2.0, out=y)
    np.sin(y[0], out=y[1])
    return y


def out_of_reduction(y):
    np.sum(y, axis=0, out=y[0])
    return y


def collect_into_zeros_like(y):
    z = np.zeros_like(y)
    for i in range(2):
        z[i] = y[1 - i] * (i + 1)
    return z


def collect_into_zeros_with_like(y):
    z = np.zeros(3, like=y) if isinstance(y, Array) else np.zeros(3)
    for i in range(3):
        z[i] = y[0, i] * y[1, i]
    return z


def collect_into_empty_like(y):
    z = np.empty_like(y[0])
    z[:] = y[0] * y[1]
    return z


def cumulative_in_place(y):
    for i in range(1, 3):
        y[:, i] += y[:, i - 1]
    return y


def read_before_write(y):
    before = y[0] * 2
    y[0] = 0.0
    return before + y


def gauss_elimination(y):
    a = y @ y.T + 3 * np.eye(2)
    a[1] -= a[0] * (a[1, 0] / a[0, 0])
    return a


WRITES = [
    *(write_item, write_constant, write_slice, write_broadcast, write_mask, write_mask_values, write_fancy),
    *(write_fancy_repeated, augmented_fancy_repeated, add_at, augmented_overlap, assignment_overlap, swap_entries),
    *(swap_rows, swap_rows_fancy, view_of_slice, view_of_view, view_sees_base, view_of_transpose),
    *(view_of_transpose_sees_base, view_of_reshape, view_of_ravel, view_of_swapaxes, view_of_newaxis, view_of_squeeze),
    *(view_of_np_squeeze, view_of_expand_dims, view_of_moveaxis, view_of_flip, view_of_rot90, view_of_split),
    *(view_of_atleast, view_by_iteration, view_of_real, view_by_asarray, copies_are_no_views, flat_write),
    *(augmented_each, augmented_with_ndarray, augmented_matmul, augmented_alias, augmented_scalar_is_rebinding),
    *(copyto, put, fill_diagonal, put_along_axis, place, putmask, sort_in_place, sort_in_place_axis, fill),
    *(out_argument, out_of_reduction, collect_into_zeros_like, collect_into_zeros_with_like, collect_into_empty_like),
    *(cumulative_in_place, read_before_write, gauss_elimination),
]

CASES = {f"operator {k}": v for k, v in OPERATORS.items()}
CASES |= {f"method {k}": v for k, v in METHODS.items()}
CASES |= {f"function {k}": v for k, v in FUNCTIONS.items()}
CASES |= {f"writing {w.__name__}": ((lambda x, w=w: w(x * 1.0)), X) for w in WRITES}


def problems_with(adtype, f, x):
    """What a backend gets wrong about the value and the Jacobian of f."""
    y = np.array(f(x.copy()))
    kept = x.copy()
    try:
        with np.errstate(all="ignore"):
            value, (J,) = ad.withjacobian(f, adtype, x)
    except Exception as error:
        return [f"raised {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"]
    problems = []
    if not isinstance(value, (np.ndarray, np.generic, float)):
        problems.append(f"the value is {type(value).__name__}")
    if np.shape(value) != y.shape:
        return [f"the value has shape {np.shape(value)}, NumPy's {y.shape}"]
    if not np.allclose(value, y, rtol=1e-12, atol=1e-12):
        problems.append(f"the value is {np.asarray(value).tolist()}, NumPy's {y.tolist()}")
    right = numeric_jacobian(f, x, 1e-4)
    if J.shape != right.shape:
        problems.append(f"the Jacobian has shape {J.shape}, it should have {right.shape}")
    elif not np.allclose(J, right, rtol=1e-6, atol=1e-6):
        problems.append(f"the Jacobian is {np.round(J, 6).tolist()}, it should be {np.round(right, 6).tolist()}")
    if not np.array_equal(x, kept):
        problems.append("the argument was changed")
    return problems


@pytest.mark.parametrize("name", CASES)
def test_case(exact_backend, name):
    f, x = CASES[name]
    judge(exact_backend.name, f"array: {name}", problems_with(exact_backend.adtype, f, x))


def test_limits_name_existing_cases():
    cases = {case.removeprefix("array: ") for _, case in LIMITS if case.startswith("array: ")}
    assert cases <= set(CASES)


# -- every operator, method and attribute of ndarray -----------------------------------------------------------------

# What ndarray has and a traced array deliberately has not.
ABSENT = {
    *("__array_finalize__", "__array_interface__", "__array_struct__", "__array_wrap__", "__class_getitem__"),
    *("__dlpack__", "__dlpack_device__", "__setstate__", "__delitem__", "__buffer__"),
    *("base", "byteswap", "ctypes", "data", "dump", "dumps", "flags", "getfield", "setfield", "setflags", "strides"),
    *("tofile", "partition"),
    *("_set_dtype", "_set_shape"),  # of NumPy 2.5 and later, for its own use
}


def test_no_method_of_ndarray_is_forgotten():
    removed = {"itemset", "newbyteorder", "ptp", "tostring"}  # by NumPy 2.0 and 2.3; before, most of them only raise
    missing = {name for name in dir(np.ndarray) if not hasattr(Array, name)} - removed
    assert missing <= ABSENT, sorted(missing - ABSENT)


def traced(f, x):
    """f's side effects on a traced x; the derivative itself is not looked at."""
    found = []

    def probe(t):
        found.append(f(t))
        return np.sum(t * 1.0)

    ad.gradient(probe, ad.AutoTape(), x)
    return found[0]


def test_attributes_are_numpys():
    for x in (X, V, np.float64(2.0), np.zeros((0, 3)), X.astype(np.float32), np.array(3.0), X + 1j):
        for name in ("shape", "dtype", "ndim", "size", "itemsize", "nbytes"):
            if np.iscomplexobj(x):
                got = []
                ad.gradient(lambda t, name=name, got=got: (got.append(getattr(t, name)), np.sum(np.abs(t)))[1], x)
                assert got[0] == getattr(x, name)
            else:
                assert traced(lambda t, name=name: getattr(t, name), x) == getattr(x, name)


def test_comparisons_are_plain_booleans():
    for compare in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne):
        mask = traced(lambda t, compare=compare: compare(t, 0.4), X)
        assert isinstance(mask, np.ndarray)
        assert mask.dtype == bool
        assert np.array_equal(mask, compare(X, 0.4))
        mask = traced(lambda t, compare=compare: compare(X[::-1], t), X)
        assert np.array_equal(mask, compare(X[::-1], X))
    assert traced(lambda t: (t == None, t != "text", t == "text"), V) == (False, True, False)  # noqa: E711
    assert traced(lambda t: bool(t[0] > 1), V) is True
    with pytest.raises(TypeError):
        traced(lambda t: t[0] < "text", V)


def test_truth_of_an_array_is_ambiguous_as_in_numpy():
    with pytest.raises(ValueError, match="ambiguous"):
        traced(bool, V)
    assert traced(lambda t: bool(t[0]), V)


def test_functions_without_derivative_are_plain():
    assert traced(lambda t: np.argmax(t), X) == 4
    assert isinstance(traced(lambda t: np.argsort(t), V), np.ndarray)
    assert traced(lambda t: np.shape(t), X) == (2, 3)
    assert traced(lambda t: np.allclose(t, X), X) is True
    assert traced(lambda t: np.isfinite(t).all(), X)
    assert traced(lambda t: np.count_nonzero(t > 0), X) == 4
    assert traced(lambda t: np.array_equal(t, X), X)


def test_integers_are_indices():
    x = np.array([10.0, 20.0, 30.0])
    assert ad.gradient(lambda i, v: v[i] * 2.0, 1, x)[1].tolist() == [0, 2, 0]
    assert ad.gradient(lambda n, v: sum(v[k] for k in range(n)), 2, x)[1].tolist() == [1, 1, 0]
    assert ad.gradient(lambda i, v: {0: v[0], 1: v[1] * 3}[i], 1, x)[1].tolist() == [0, 3, 0]
    assert ad.gradient(lambda i, v: np.sum(v[i]), np.array([0, 0, 2]), x)[1].tolist() == [2, 0, 1]
    with pytest.raises(IndexError, match="float64 value was used as an index"):
        ad.gradient(lambda v: v[v[0]], x)


def test_array_hashing():
    # Equal floats may be different variables: a cache that looks them up by value would mix up their derivatives.
    for use in (hash, lambda v: {v: 1}, lambda v: {v}, functools.lru_cache(lambda v: v * v)):
        with pytest.raises(TracedValueError, match="hashed at"):
            traced(lambda t, use=use: use(t[0]), V)
    assert traced(lambda t: {int(np.argmin(V)): 5.0}[np.argmin(t)], V) == 5.0
    with pytest.raises(TypeError, match="unhashable"):
        traced(hash, V)


def test_a_cache_that_looks_up_by_value_is_refused(exact_backend):
    squared = functools.lru_cache(lambda v: v * v)
    squared(2.0)  # filled before: a look-up would answer with a plain number
    with pytest.raises(TracedValueError, match="hashed at"):
        ad.gradient(lambda a, b: squared(a) + squared(b), exact_backend.adtype, 2.0, 2.0)
    assert squared.cache_info().currsize == 1
    assert ad.gradient(lambda a: squared.__wrapped__(a), exact_backend.adtype, 2.0) == (4.0,)


@pytest.mark.parametrize("x", [0.0, 1.0, 2.5])
def test_membership_of_numbers_written_there_is_a_comparison(exact_backend, x):
    f = lambda v: 3.0 * v if v in {0, 1} else v**2  # SciPy's own code asks so
    assert ad.gradient(f, exact_backend.adtype, x) == ad.gradient(lambda v: 3.0 * v if x in {0, 1} else v**2, x)
    members = {0, 1}
    with pytest.raises(TracedValueError, match="hashed at"):
        ad.gradient(lambda v: v if v in members else v**2, exact_backend.adtype, x)


def test_printing():
    assert "1.3" in traced(repr, V)
    assert traced(str, V) == str(V)
    assert traced(lambda t: f"{t[0]:.3f}", V) == "1.300"


# -- object arrays ---------------------------------------------------------------------------------------------------


SELECTIONS = {
    "min of arguments": (lambda *x: min(*x), (3.0, 1.0, 2.0), (0.0, 1.0, 0.0)),
    "max of arguments": (lambda *x: max(*x), (3.0, 1.0, 2.0), (1.0, 0.0, 0.0)),
    "min of a list": (lambda x: min(x), ([3.0, 1.0, 2.0],), ([0.0, 1.0, 0.0],)),
    "sorted": (lambda x, y: sorted([x, y])[0], (3.0, 1.0), (0.0, 1.0)),
    "a branch": (lambda x, y: 2 * x if x > y else y, (3.0, 1.0), (2.0, 0.0)),
    "a branch on one": (lambda x, y: 2 * x if y > 0 else x, (3.0, 1.0), (2.0, None)),
    "nothing compared": (lambda x, y: 2 * x, (3.0, 1.0), (2.0, None)),
    "a derivative within": (None, (3.0, 1.0), (1.0, None)),
}


@pytest.mark.parametrize("name", SELECTIONS)
def test_scalars_compared_with_one_another_have_slope_zero(exact_backend, name):
    f, args, expected = SELECTIONS[name]
    adtype = exact_backend.adtype
    if name == "a derivative within":

        def f(x, y):
            return ad.gradient(lambda z: max(z, x) * z, adtype, y)[0]

    assert ad.gradient(f, adtype, *args) == expected
    if exact_backend.name != "jax":  # a compiled call cannot branch
        assert ad.prepare(ad.gradient, f, adtype, *args)(*args) == expected
    one = [1.0, *[0.0] * (len(args) - 1)] if name != "min of a list" else ([1.0, 0.0, 0.0],)
    assert ad.pushforward(f, adtype, args, tuple(one))[1] == (expected[0] if name != "min of a list" else 0.0)


@pytest.mark.parametrize("number", [Fraction(1, 2), Decimal("0.5")])
def test_an_array_and_an_exact_number(exact_backend, number):
    # In NumPy itself this makes an array of objects; a traced array stays one of floats.
    y, (g,) = ad.withgradient(lambda x: np.sum(x**number + number * x - number / x), exact_backend.adtype, P)
    np.testing.assert_allclose(y, np.sum(np.sqrt(P) + 0.5 * P - 0.5 / P), rtol=1e-14)
    np.testing.assert_allclose(g, 0.5 / np.sqrt(P) + 0.5 + 0.5 / P**2, rtol=1e-14)


OBJECT_ARRAYS = {
    "np.array of entries": lambda x: np.array([x[0] * x[1], x[2], 3.0]) * 2.0,
    "np.array returned": lambda x: np.array([x[0] ** 2, x[1]]),
    "ufunc of it": lambda x: np.sin(np.array([x[0], x[1] * x[2]])),
    "binary ufunc of it": lambda x: np.arctan2(np.array([x[0], x[1]]), 2.0),
    "with a traced array": lambda x: np.array([x[0], x[1], x[0], x[1]]) * x,
    "sum of it": lambda x: np.sum(np.array([x[0], x[1] ** 2])),
    "matmul with it": lambda x: SQUARE @ np.array([x[0], x[1], x[2]]),
    "nested": lambda x: np.array([[x[0], x[1]], [x[2], x[3]]]) @ np.array([1.0, 2.0]),
    "np.full": lambda x: np.full(3, x[0] * x[1]) * P,
    "np.asarray": lambda x: np.asarray([x[0], x[1]]) ** 2,
    "filled by hand": lambda x: _filled_object(x),
    "list in a numpy call": lambda x: np.sum([x[0], x[1] * x[2]]),
    "max of a list": lambda x: np.max([x[0], x[1] * 9]),
    "dot of lists": lambda x: np.dot([x[0], x[1]], [x[2], x[3]]),
    "linalg of a list": lambda x: np.linalg.norm([x[0], x[1]]),
}


def _filled_object(x):
    a = np.empty(2, dtype=object)
    a[0], a[1] = x[0] * 2, x[1] * x[0]
    return a * 3.0


@pytest.mark.parametrize("name", OBJECT_ARRAYS)
def test_object_arrays_of_traced_scalars(exact_backend, name):
    f = OBJECT_ARRAYS[name]
    numeric = lambda x: np.asarray(f(x), dtype=float)
    value, (J,) = ad.withjacobian(f, exact_backend.adtype, V)
    np.testing.assert_allclose(np.asarray(value, dtype=float), numeric(V))
    np.testing.assert_allclose(J, numeric_jacobian(numeric, V), atol=1e-8)


# -- what must not be silent -----------------------------------------------------------------------------------------

HERE = "test_array.py"


def _write_into_plain(x):
    a = np.zeros(3)
    a[0] = x[0]
    return np.sum(a)


def _write_slice_into_plain(x):
    a = np.zeros(3)
    a[:] = x[:3]
    return np.sum(a)


def _iadd_into_plain(x):
    a = np.zeros(4)
    a += x
    return np.sum(a)


CUTS = {
    "float(x)": (lambda x: float(x[0]), r"float\(\)"),
    "int(x)": (lambda x: int(x[0]), r"int\(\)"),
    "complex(x)": (lambda x: complex(x[0]), r"complex\(\)"),
    "math.sin(x)": (lambda x: math.sin(x[0]), "np.sin"),
    "math.hypot": (lambda x: math.hypot(x[0], x[1]), "np.hypot"),
    "np.asarray(x)": (lambda x: np.asarray(x), "np.stack"),
    "np.array(x)": (lambda x: np.array(x), r"np\.stack"),
    "np.array of rows": (lambda x: np.array([x, x]), "np.stack"),
    "A[i] = x": (_write_into_plain, "np.zeros_like"),
    "A[:] = x": (_write_slice_into_plain, "np.stack"),
    "A += x": (_iadd_into_plain, "y = y \\+ x"),
    "out=": (lambda x: np.sum(np.sin(x, out=np.zeros(4))), "cut the derivative"),
    "np.copyto": (lambda x: np.copyto(np.zeros(4), x), "cut the derivative"),
    "np.add.at": (lambda x: np.add.at(np.zeros(4), [0], x[0]), "cut the derivative"),
    "tobytes": (lambda x: x.tobytes(), "cut the derivative"),
    "pickle": (pickle.dumps, "pickled"),
}


@pytest.mark.parametrize("name", CUTS)
def test_silent_cuts_raise_at_the_line(exact_backend, name):
    f, says = CUTS[name]
    with pytest.raises(TracedValueError, match=says) as caught:
        ad.gradient(f, exact_backend.adtype, V)
    message = str(caught.value)
    if name != "pickle":
        assert HERE in message, message
    assert isinstance(caught.value, TypeError)


def test_functions_without_a_rule_raise_at_the_line(exact_backend):
    strange = np.frompyfunc(lambda t: t, 1, 1)
    with pytest.raises(MissingRuleError, match=HERE):
        ad.gradient(lambda x: np.sum(strange(x)), exact_backend.adtype, V)


def test_views_that_reinterpret_memory_are_refused(exact_backend):
    with pytest.raises(UnsupportedError, match="astype"):
        ad.gradient(lambda x: np.sum(x.view(np.float32)), exact_backend.adtype, V)
    with pytest.raises(UnsupportedError, match=r"np\.resize"):
        ad.gradient(lambda x: x.resize(2), exact_backend.adtype, V)


def test_writing_errors_are_numpys(exact_backend):
    def scalar_write(x):
        x[0][()] = 1.0

    with pytest.raises(TypeError):
        ad.gradient(scalar_write, exact_backend.adtype, V)

    def wrong_shape(x):
        y = x * 1.0
        y[:2] = x[:3]
        return np.sum(y)

    with pytest.raises((ValueError, TypeError, RuntimeError)):
        ad.gradient(wrong_shape, exact_backend.adtype, V)

    def growing(x):
        y = x * 1.0
        y += np.ones((2, 4))
        return np.sum(y)

    with pytest.raises(ValueError, match="broadcast"):
        ad.gradient(growing, exact_backend.adtype, V)
    with pytest.raises(IndexError):
        ad.gradient(lambda x: x[7], exact_backend.adtype, V)


def test_arguments_are_never_written_through(exact_backend):
    """f may overwrite what it receives; the caller's array stays."""
    x = V.copy()

    def overwrites(y):
        y *= 2.0
        y[0] = 0.0
        return np.sum(y * y)

    (grad,) = ad.gradient(overwrites, exact_backend.adtype, x)
    assert np.array_equal(x, V)
    np.testing.assert_allclose(grad, [0.0, *(8 * V[1:])])


@pytest.mark.parametrize("backend_name", [b.name for b in EXACT])
def test_float32_stays(backend_name):
    backend = next(b for b in EXACT if b.name == backend_name)
    if not backend.installed:
        pytest.skip("not installed")
    x = V.astype(np.float32)
    for f in (
        np.sin,
        lambda t: t * 2.0,
        lambda t: 1.0 / t,
        lambda t: t**2,
        lambda t: np.where(t > 0, t, 0.5),
        lambda t: np.mean(t) * t,
    ):
        value, (J,) = ad.withjacobian(f, backend.adtype, x)
        assert value.dtype == f(x).dtype == np.float32
        assert J.dtype == np.float32
