"""Which results are views: writing to a result reaches its argument exactly where it does in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import adselect as ad
from adselect.errors import UnsupportedError
from adselect.face.dispatch import plain

A = np.arange(1.0, 7.0).reshape(2, 3)
S = np.array([[2.0, 0.5], [0.5, 3.0]])
V = np.array([3.0, 1.0, 2.0])
C = np.array([[1.0 + 2.0j, 0.5j], [3.0, 1.0 - 1.0j]])

# (function, argument): the function's results are written to, then the argument.
CASES = {
    "T.ravel": (lambda x: x.T.ravel(), A),
    "columns ravel": (lambda x: x[:, :2].ravel(), A),
    "one column ravel": (lambda x: x[:, :1].ravel(), A),
    "one column reshape": (lambda x: x[:, :1].reshape(-1), A),
    "rows ravel": (lambda x: x[:1].ravel(), A),
    "steps reshape": (lambda x: x[:, ::2].reshape(-1), A),
    "reshape": (lambda x: x.reshape(3, 2), A),
    "reshape F": (lambda x: x.reshape((3, 2), order="F"), A),
    "reshape A": (lambda x: x.T.reshape((2, 3), order="A"), A),
    "reshape copy": (lambda x: np.reshape(x, -1, copy=True), A),
    "T.reshape F": (lambda x: x.T.reshape(-1, order="F"), A),
    "ravel F": (lambda x: np.ravel(x, "F"), A),
    "ravel K": (lambda x: x.T.ravel("K"), A),
    "ravel A": (lambda x: x.T.ravel("A"), A),
    "ravel K of steps": (lambda x: x[:, ::-1].ravel("K"), A),
    "ravel K in three dimensions": (lambda x: x[None].transpose(2, 0, 1).ravel("K"), A),
    "flatten": (lambda x: x.flatten(), A),
    "flatten F": (lambda x: x.flatten("F"), A),
    "copy": (lambda x: x.copy(), A),
    "np.copy": (lambda x: np.copy(x), A),
    "copy of T, ravel": (lambda x: np.copy(x.T).ravel(), A),
    "T": (lambda x: x.T, A),
    "mT": (lambda x: x.mT, A),
    "transpose": (lambda x: np.transpose(x, (1, 0)), A),
    "matrix_transpose": (lambda x: np.matrix_transpose(x), A),
    "linalg.matrix_transpose": (lambda x: np.linalg.matrix_transpose(x), A),
    "swapaxes": (lambda x: x.swapaxes(0, 1), A),
    "moveaxis": (lambda x: np.moveaxis(x, 0, 1), A),
    "rollaxis": (lambda x: np.rollaxis(x, 1), A),
    "squeeze": (lambda x: x[None].squeeze(), A),
    "squeeze to no dimensions": (lambda x: np.squeeze(x[:1, :1]), A),
    "expand_dims": (lambda x: np.expand_dims(x, (0, -1)), A),
    "atleast_3d": (lambda x: np.atleast_3d(x), A),
    "flip": (lambda x: np.flip(x), A),
    "flipud": (lambda x: np.flipud(x), A),
    "rot90": (lambda x: np.rot90(x), A),
    "rot90 k=2": (lambda x: np.rot90(x, 2), A),
    "split": (lambda x: np.split(x, 3), V),
    "array_split": (lambda x: np.array_split(x, 2), V),
    "hsplit": (lambda x: np.hsplit(x, 3), A),
    "vsplit": (lambda x: np.vsplit(x, 2), A),
    "unstack": (lambda x: np.unstack(x), A),
    "diagonal": (lambda x: np.diagonal(x), S),
    "linalg.diagonal": (lambda x: np.linalg.diagonal(x), S),
    "diag of a matrix": (lambda x: np.diag(x), S),
    "diag of a vector": (lambda x: np.diag(x), V),
    "broadcast_to": (lambda x: np.broadcast_to(x, (2, 2, 3)), A),
    "sliding_window_view": (lambda x: np.lib.stride_tricks.sliding_window_view(x, 2), V),
    "einsum ii->i": (lambda x: np.einsum("ii->i", x), S),
    "einsum ij->ji": (lambda x: np.einsum("ij->ji", x), A),
    "einsum sums": (lambda x: np.einsum("ij->j", x), A),
    "astype": (lambda x: x.astype(float), A),
    "astype without copy": (lambda x: x.astype(float, copy=False), A),
    "astype to float32 without copy": (lambda x: x.astype(np.float32, copy=False), A),
    "np.astype without copy": (lambda x: np.astype(x, float, copy=False), A),
    "nan_to_num": (lambda x: np.nan_to_num(x), A),
    "nan_to_num without copy": (lambda x: np.nan_to_num(x, copy=False), A),
    "real": (lambda x: x.real, C),
    "imag": (lambda x: x.imag, C),
    "real of a real": (lambda x: np.real(x), A),
    "positive": (lambda x: +x, A),
    "matrix_power 1": (lambda x: np.linalg.matrix_power(x, 1), S),
    "diff 0": (lambda x: np.diff(x, 0), V),
    "real_if_close": (lambda x: np.real_if_close(x), A),
    "block": (lambda x: np.block(x), V),
    "tile": (lambda x: np.tile(x, 1), V),
    "roll": (lambda x: np.roll(x, 0), V),
    "pad": (lambda x: np.pad(x, 0), V),
    "trim_zeros": (lambda x: np.trim_zeros(x), V),
    "resize": (lambda x: np.resize(x, 3), V),
    "x[:]": (lambda x: x[:], A),
    "x[...]": (lambda x: x[...], A),
    "x[0, 0, ...]": (lambda x: x[0, 0, ...], A),
    "x[[0, 1]]": (lambda x: x[[0, 1]], A),
    "x[True]": (lambda x: x[True], A),
    "x[None]": (lambda x: x[None], A),
    "x[np.array(0)]": (lambda x: x[np.array(0)], A),
    "view of a view": (lambda x: x.T[1:].reshape(-1), A),
    "pick, then ravel": (lambda x: x[:, [1, 1]].T.ravel(), A),
}


def pieces(value):
    return [p for v in value for p in pieces(v)] if isinstance(value, (list, tuple)) else [value]


def written(f, x):
    """What becomes of x, and of f's results, when each is written to."""
    x = x * 1.0
    refusals = []
    for piece in pieces(f(x)):
        try:
            piece[...] = 7.0
            refusals.append(None)
        except ValueError as error:
            refusals.append(type(error))
    after = x + 0.0
    results = pieces(f(x))
    x[...] = 5.0
    return after, [r + 0.0 for r in results], refusals


@pytest.mark.parametrize("name", CASES)
def test_views_and_copies(exact_backend, name):
    f, x = CASES[name]
    kept = []

    def traced(x):
        kept.append(written(f, x))
        return 0.0 * np.sum(np.real(x))

    ad.pullback(traced, exact_backend.adtype, x)
    after, results, refusals = kept[0]
    wanted_after, wanted_results, wanted_refusals = written(f, x)
    assert np.array_equal(plain(after), wanted_after)
    assert refusals == wanted_refusals
    for result, wanted in zip(results, wanted_results, strict=True):
        assert np.array_equal(plain(result), wanted)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("name", ["elementwise", "where", "picked"])
def test_the_order_of_results_follows_the_operands(exact_backend, name, order):
    make = {
        "elementwise": lambda x: np.sin(x.T) * 2.0,
        "where": lambda x: np.where(x.T > 2.0, x.T, 0.0),
        "picked": lambda x: x[:, [1, 1]],
    }[name]

    def f(x):
        y = make(x)
        flat = y.reshape(-1)
        flat[0] = 100.0  # reaches y where flat is a view
        return np.sum(y)

    x = np.array(A, order=order)
    try:
        value = ad.withgradient(f, exact_backend.adtype, x).val
    except UnsupportedError as error:  # where the order is not known, writing is refused
        if exact_backend.name not in ("torch", "jax") or "not known whether NumPy" not in str(error):
            raise
    else:
        assert value == pytest.approx(f(x), rel=1e-12)


def test_writing_through_any_view_differentiates(exact_backend):
    def f(x):
        y = x * 1.0
        y.T.reshape(-1, order="F")[1:3] = 2.0 * x[0, 0]
        np.einsum("ii->i", y[:, :2])[...] *= x[1, 2]
        y.astype(float, copy=False)[1, 0] = 0.0
        return np.sum(y * y)

    g = ad.gradient(f, exact_backend.adtype, A)[0]
    step = 1e-6
    for index in np.ndindex(A.shape):
        moved = [A.copy(), A.copy()]
        moved[0][index] += step
        moved[1][index] -= step
        assert g[index] == pytest.approx((f(moved[0]) - f(moved[1])) / (2 * step), abs=1e-6)


def test_broadcast_arrays_of_one_shape_are_the_arrays(exact_backend):
    def f(x):
        y = x * 1.0
        a, b = np.broadcast_arrays(y, np.ones(3))
        a[0] = x[1]
        return np.sum(y * b)

    assert ad.gradient(f, exact_backend.adtype, V)[0] == pytest.approx([0.0, 2.0, 1.0])


def test_an_array_may_be_written_over_with_a_part_of_itself(exact_backend):
    mask = np.array([[False, True], [False, True]])

    def f(x):
        y = x * 1.0
        y[mask] = y[0]
        y[1] = y[::-1][1] * 2.0
        return y

    y, back = ad.pullback(f, exact_backend.adtype, S)
    assert np.array_equal(y, f(S))
    back(np.ones((2, 2)))


@pytest.mark.parametrize("indexing", ["xy", "ij"])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("written", ["grid", "origin"])
def test_grids_are_copies_or_views(exact_backend, written, copy, sparse, indexing):
    def f(x):
        y = x * 1.0
        a, b = np.meshgrid(y, np.ones(3) * y[0], copy=copy, sparse=sparse, indexing=indexing)
        if written == "grid":
            a[0, 0] = 7.0
        else:
            y[0] = 7.0
        return np.sum(a**2 * np.arange(1.0, a.size + 1).reshape(a.shape)) + np.sum(b**3) + np.sum(y**2)

    x = np.array([1.0, 2.0])
    if written == "grid" and not copy and not sparse:  # NumPy warns that it will be read-only
        with pytest.raises(ValueError, match="read-only"):
            ad.gradient(f, exact_backend.adtype, x)
        return
    value, (gradient,) = ad.withgradient(f, exact_backend.adtype, x)
    assert value == pytest.approx(f(x))
    assert gradient == pytest.approx(ad.gradient(f, ad.AutoFiniteDifferences(), x)[0], rel=1e-6)
