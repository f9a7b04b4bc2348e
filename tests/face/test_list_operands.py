"""Lists, tuples and ranges of plain numbers count as arrays wherever NumPy takes them, on every backend."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import numeric_jacobian

import adselect as ad

X = np.array([1.3, 2.1, 0.7, 3.2])
L = [0.5, 1.0, 2.0, 4.0]

CALLS = {
    "clip": lambda x: np.clip(x, L, 5.0) + np.clip(L, x, 9.0),
    "clip by method": lambda x: x.clip(max=L),
    "trapezoid": lambda x: np.trapezoid(x, L) + np.trapezoid(L, x),
    "select": lambda x: np.select([[True, False, True, True]], [x], L),
    "cov": lambda x: np.cov(x, L) + np.corrcoef(x, L),
    "einsum": lambda x: np.einsum("i,i->i", x, L),
    "arctan2": lambda x: np.arctan2(L, x),
    "hypot": lambda x: np.hypot(x, L),
    "diff": lambda x: np.diff(x, prepend=[1.0, 2.0], append=[3.0]),
    "ediff1d": lambda x: np.ediff1d(x, [1.0, 2.0], [3.0]),
    "rot90": lambda x: np.rot90(np.outer(x, x), 1, [1, 0]),
    "resize": lambda x: np.resize(x, [2, 3]),
    "linspace": lambda x: np.linspace([0.0, 1.0], x[:2], 3) + np.linspace(x[:2], [5.0, 6.0], 3),
    "geomspace": lambda x: np.geomspace([1.0, 1.0], x[:2], 3),
    "fmax": lambda x: np.fmax(x, L),
    "insert": lambda x: np.insert([1.0, 2.0], 1, x[0]),
    "where of a reduction": lambda x: (
        np.sum(x, where=[True, False, True, True]) + x.mean(where=[True, False, True, True])
    ),
    "where of reduce": lambda x: np.add.reduce(x, where=[True, False, True, True]),
    "a mask": lambda x: x[[True, False, True, True]],
    "a mask of an axis": lambda x: np.outer(x, x)[:, [True, False, True, True]],
    "an empty list as index": lambda x: np.sum(x[[]]) + x,
    "range on the left": lambda x: range(4) * x - x,
    "range on the right": lambda x: (x - range(4)) / range(1, 5),
    "range in a ufunc": lambda x: np.maximum(range(4), x),
    "range in a function": lambda x: np.dot(x, range(4)) + np.polyval(range(3), x),
    "range as axes": lambda x: np.moveaxis(np.multiply.outer(np.outer(x, x), x), range(2), range(1, 3)),
    "range as shape": lambda x: np.zeros_like(x, shape=range(2, 4)) + x[0],
    "range as index": lambda x: x[range(1, 3)] * np.sum(x[range(0)] + 1.0),
    "numbers in r_": lambda x: np.r_[x, x[0], 3.0, [1, 2]],
    "the variance around a given mean": lambda x: (
        x.var(mean=np.array([1.0])) + np.std(x, mean=np.mean(x, keepdims=True))
    ),
    "edges of a histogram": lambda x: np.histogram_bin_edges(x, 3) + np.histogram(x, 3)[1],
    "large ints": lambda x: x * 10**30 * 1e-30 + np.add(x, 2**70) * 0.0,
}


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivative(exact_backend, name):
    weights = lambda y: np.cos(np.arange(np.size(y))).reshape(np.shape(y))
    f = lambda x: np.sum(CALLS[name](x) * weights(CALLS[name](x)))
    value, (gradient,) = ad.withgradient(f, exact_backend.adtype, X)
    np.testing.assert_allclose(value, f(X), rtol=1e-12)
    np.testing.assert_allclose(gradient, numeric_jacobian(f, X)[0], rtol=1e-6, atol=1e-7)


def test_reductions_of_integers_along_an_axis(exact_backend):
    n = np.array([[1, 2], [3, 4]])
    for f in (lambda n: np.sum(np.prod(n, 1)), lambda n: n.prod(0).sum(), lambda n: np.sum(np.cumprod(n, axis=1))):
        value, (gradient,) = ad.withgradient(f, exact_backend.adtype, n)
        assert value == f(n)
        np.testing.assert_allclose(gradient, numeric_jacobian(f, n)[0].reshape(2, 2), rtol=1e-6)
