"""A wrong shape, axis, index or option: the error that NumPy raises, on every backend."""

from __future__ import annotations

import numpy as np
import pytest

import adselect as ad

X = np.array([1.0, 2.0, 3.0])
A = np.arange(6.0).reshape(2, 3) + 1
outer = lambda x: np.outer(x, x)

MISTAKES = {
    # shapes that cannot be
    "x.reshape(7)": lambda x: x.reshape(7),
    "np.reshape": lambda x: np.reshape(x, (2, 2)),
    "reshape with -1": lambda x: x.reshape(-1, 2),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, 4)),
    "resize": lambda x: np.resize(x, (-1, 2)),
    "tile": lambda x: np.tile(x, -1),
    "repeat": lambda x: np.repeat(x, [1, 2]),
    "split": lambda x: np.split(x, 2),
    "diag": lambda x: np.diag(outer(x)[None]),
    "vander": lambda x: np.vander(outer(x)),
    "linspace": lambda x: np.linspace(0, x[0], -1),
    # operands that do not go together
    "x + array": lambda x: x + np.ones(4),
    "array + x": lambda x: np.ones(4) + x,
    "x - x[:2]": lambda x: x - x[:2],
    "x < x[:2]": lambda x: x < x[:2],
    "np.maximum": lambda x: np.maximum(x, np.ones(2)),
    "np.arctan2": lambda x: np.arctan2(np.ones(4), x),
    "where": lambda x: np.where(np.ones(2, bool), x, x),
    "where with one branch": lambda x: np.where(x > 1, x),
    "clip": lambda x: np.clip(x, np.zeros(2), 1),
    "full_like": lambda x: np.full_like(x, np.ones(5)),
    "interp": lambda x: np.interp(0.5, x, np.ones(4)),
    "cross": lambda x: np.cross(x, np.ones(5)),
    "average": lambda x: np.average(x, weights=np.ones(4)),
    "trapezoid": lambda x: np.trapezoid(x, np.ones(4)),
    "histogram": lambda x: np.histogram([0.0, 1.0], weights=x),
    "bincount": lambda x: np.bincount([0, 1], weights=x),
    # products
    "x @ array": lambda x: x @ np.ones(4),
    "array @ x": lambda x: np.ones((2, 4)) @ x,
    "A @ x[:2]": lambda x: A @ x[:2],
    "x.dot": lambda x: x.dot(np.ones(4)),
    "inner": lambda x: np.inner(x, np.ones(4)),
    "einsum": lambda x: np.einsum("i,i->", x, np.ones(4)),
    "einsum letters": lambda x: np.einsum("ij->i", x),
    "tensordot": lambda x: np.tensordot(x, np.ones(4), 1),
    "convolve": lambda x: np.convolve(x, np.ones((2, 2))),
    # axes
    "sum axis": lambda x: np.sum(x, axis=5),
    "x.mean(axis)": lambda x: x.mean(axis=2),
    "cumsum axis": lambda x: np.cumsum(x, axis=3),
    "sort axis": lambda x: np.sort(x, axis=2),
    "an axis twice": lambda x: np.prod(x, axis=(0, 0)),
    "argmax axis": lambda x: np.argmax(x, axis=3),
    "roll axis": lambda x: np.roll(x, 1, axis=2),
    "norm axis": lambda x: np.linalg.norm(x, axis=3),
    "transpose": lambda x: outer(x).transpose(0, 5),
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "moveaxis": lambda x: np.moveaxis(x, 0, 3),
    "expand_dims": lambda x: np.expand_dims(x, 5),
    "stack axis": lambda x: np.stack([x, x], axis=5),
    "fft axis": lambda x: np.fft.fft(x, axis=2),
    "apply_along_axis": lambda x: np.apply_along_axis(np.sum, 3, x),
    # indices
    "x[10]": lambda x: x[10],
    "x[0, 0]": lambda x: x[0, 0],
    "x[[0, 7]]": lambda x: x[[0, 7]],
    "a mask": lambda x: x[np.ones(4, bool)],
    "a float index": lambda x: x[1.5],
    "a text index": lambda x: x["a"],
    "take": lambda x: np.take(x, 10),
    "take_along_axis": lambda x: np.take_along_axis(x, np.array([7]), 0),
    "choose": lambda x: np.choose([0, 5, 1], [x, x]),
    "delete": lambda x: np.delete(x, 9),
    "insert": lambda x: np.insert(x, 9, 1.0),
    "x[10] = 1": lambda x: x.__setitem__(10, 1.0),
    "x[:] = array": lambda x: x.__setitem__(slice(None), np.ones(4)),
    "x[:2] = x": lambda x: x.__setitem__(slice(0, 2), x.copy()),
    "x += array": lambda x: x.__iadd__(np.ones(2)),
    # joining
    "concatenate ndims": lambda x: np.concatenate([x, A]),
    "concatenate shapes": lambda x: np.concatenate([outer(x), A.T], axis=0),
    "concatenate scalars": lambda x: np.concatenate([x[0], x[1]]),
    "stack": lambda x: np.stack([x, x[:2]]),
    "vstack": lambda x: np.vstack([x, np.ones(4)]),
    "column_stack": lambda x: np.column_stack([x, np.ones(4)]),
    "meshgrid": lambda x: np.meshgrid(x, x, indexing="zz"),
    # matrices
    "inv": lambda x: np.linalg.inv(outer(x)[:2]),
    "inv of a vector": lambda x: np.linalg.inv(x),
    "det": lambda x: np.linalg.det(outer(x)[:2]),
    "solve": lambda x: np.linalg.solve(np.eye(2), x),
    "cholesky": lambda x: np.linalg.cholesky(outer(x)[:2]),
    "eigh": lambda x: np.linalg.eigh(outer(x)[:2]),
    "trace": lambda x: np.trace(x),
    "svd": lambda x: np.linalg.svd(x),
    "qr": lambda x: np.linalg.qr(x),
    "matrix_power": lambda x: np.linalg.matrix_power(outer(x)[:2], 2),
    "lstsq": lambda x: np.linalg.lstsq(A, x)[0],
    "norm order": lambda x: np.linalg.norm(x, ord="fro"),
    # options
    "reshape order": lambda x: np.reshape(x, (3, 1), order="Z"),
    "sum dtype": lambda x: np.sum(x, dtype="no dtype"),
    "astype": lambda x: x.astype("no dtype"),
    "quantile": lambda x: np.quantile(x, 1.5),
    "percentile": lambda x: np.percentile(x, -1),
    "max of nothing": lambda x: np.max(x[:0]),
    "add None": lambda x: np.add(x, None),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_numpys_error(name, exact_backend):
    f = MISTAKES[name]
    with pytest.raises(Exception) as plainly:  # noqa: PT011 - whatever it is, the same is wanted below
        f(X.copy())
    with pytest.raises(plainly.type) as traced:
        ad.pullback(f, exact_backend.adtype, X.copy())
    foreign = ("tensor", "XLA", "jax", "torch", "shape '[")
    assert not any(word in str(traced.value) for word in foreign), str(traced.value)


def test_the_error_can_be_caught_inside_f(exact_backend):
    def f(x):
        try:
            return np.sum(x @ np.ones(5))
        except ValueError:
            return np.sum(x**2)

    np.testing.assert_allclose(ad.gradient(f, exact_backend.adtype, X)[0], 2 * X)


def test_errors_of_the_users_own_stay(exact_backend):
    class MineError(ValueError):
        pass

    calls = []

    def row(v):
        calls.append(1)
        raise MineError("mine")

    for f in (lambda x: np.apply_along_axis(row, 0, x), lambda x: row(x)):
        calls.clear()
        with pytest.raises(MineError, match="mine"):
            ad.gradient(f, exact_backend.adtype, X)
        assert len(calls) == 1  # what raised is not called once more


def test_while_jax_compiles():
    jax = pytest.importorskip("jax")
    for f, error in ((lambda x: x.reshape(7), ValueError), (lambda x: np.linalg.inv(x), np.linalg.LinAlgError)):
        with pytest.raises(error):
            jax.jit(lambda x, f=f: ad.gradient(lambda y: np.sum(f(y)), ad.AutoTape(), x)[0])(X)
        with pytest.raises(error):
            ad.prepare(ad.gradient, lambda x, f=f: np.sum(f(x)), ad.AutoJax(), X)(X)
    # No value to look at, so that a matrix of ones must not be called singular.
    inverse = ad.prepare(ad.gradient, lambda x: np.sum(np.linalg.inv(np.outer(x, x) + np.eye(3))), ad.AutoJax(), X)
    assert np.isfinite(inverse(X)[0]).all()


VALID = {
    "interp": lambda x: np.interp(1.5, x, x**2),
    "interp by keyword": lambda x: np.interp(x=1.5, xp=X, fp=x),
    "cross": lambda x: np.cross(x, X[::-1])[0],
    "cross of columns": lambda x: np.cross(np.stack([x, x]), A, axis=1)[0, 0],
    "convolve": lambda x: np.convolve(x, X)[2],
    "vander": lambda x: np.vander(x, 2)[0, 0],
    "linspace": lambda x: np.linspace(x[0], x[1], num=3)[1],
    "meshgrid": lambda x: np.sum(np.meshgrid(x, x, indexing="ij")[0]),
    "where": lambda x: np.sum(np.where(x > 1, x, 0.0)),
    "apply_along_axis": lambda x: np.sum(np.apply_along_axis(np.sum, -1, np.stack([x, x]))),
    "diag": lambda x: np.sum(np.diag(x)),
    "tile": lambda x: np.sum(np.tile(x, (2, 1))),
    "insert": lambda x: np.sum(np.insert(x, 3, 1.0)),
    "insert in front": lambda x: np.sum(np.insert(x, -3, 1.0)),
    "choose": lambda x: np.sum(np.choose([1, 0, 1], [x, x])),
    "quantile": lambda x: np.quantile(x, [0.0, 1.0])[0],
    "percentile": lambda x: np.percentile(x, 100),
    "take_along_axis": lambda x: np.sum(np.take_along_axis(x, np.array([-3, 2]), 0)),
    "histogram": lambda x: np.histogram(X, bins=3, weights=x)[0][0],
}


@pytest.mark.parametrize("name", VALID)
def test_what_is_right_passes_the_checks(name, exact_backend):
    value, (grad,) = ad.withgradient(VALID[name], exact_backend.adtype, X)
    assert value == pytest.approx(float(VALID[name](X)), rel=1e-12)
    assert np.any(grad)
