"""``np.r_``, ``np.c_``, ``np.mgrid`` and views of a traced array."""

from __future__ import annotations

import numpy as np
import pytest

import adselect as ad

X = np.array([1.5, 0.3, 2.5])
W = np.arange(1.0, 7.0)

PROGRAMS = {
    "r_ with a number": lambda x: np.sum(np.exp(np.r_[x, 1.0]) * W[:4]),
    "r_ behind a number": lambda x: np.sum(np.exp(np.r_[0.0, x]) * W[:4]),
    "r_ alone": lambda x: np.sum(np.exp(np.r_[x])),
    "r_ with an element": lambda x: np.sum(np.exp(np.r_[x, x[0]]) * W[:4]),
    "r_ of elements": lambda x: np.sum(np.r_[x[0], 1.0] ** 2),
    "r_ with ranges and integers": lambda x: np.sum(np.exp(np.r_[x, 0:2, 5] * 0.5) * W),
    "r_ with a traced range": lambda x: np.sum(np.exp(np.r_[0 : x[0] : 3j, x]) * W),
    "r_ with complex": lambda x: np.sum(np.abs(np.r_[x, 1j] * np.exp(1j * W[:4])) ** 2),
    "r_ of rows": lambda x: np.sum(np.exp(np.r_["0,2", x, x * 2]) * W.reshape(2, 3)),
    "r_ of columns": lambda x: np.sum(np.sin(np.r_["1,2,0", x, x**2]) * W.reshape(3, 2)),
    "r_ of columns below each other": lambda x: np.sum(np.sin(np.r_["0,2,0", x, x**2]) * W.reshape(6, 1)),
    "r_ along the last axis": lambda x: np.sum(np.exp(np.r_["-1", x.reshape(1, 3), np.ones((1, 3))]) * W),
    "r_ in three dimensions": lambda x: np.sum(np.r_["0,3", x, x] ** 2 * W.reshape(1, 2, 3)),
    "c_": lambda x: np.sum(np.exp(np.c_[x, x**2]) * W.reshape(3, 2)),
    "c_ with ones": lambda x: np.sum(np.exp(np.c_[np.ones(3), x]) @ np.array([1.0, 2.0])),
    "c_ of matrices": lambda x: np.sum(np.c_[x.reshape(3, 1), np.outer(x, x)] ** 2 @ W[:4]),
    "mgrid": lambda x: np.sum(np.mgrid[0 : x[0] : 3j] ** 2),
    "ogrid": lambda x: np.sum(np.ogrid[0 : x[0] : 3j] ** 2),
    "meshgrid": lambda x: np.sum(np.meshgrid(np.linspace(0, x[0], 3), np.linspace(0, 1, 2), indexing="ij")[0] ** 2),
    "view": lambda x: np.sum(x.view() ** 2 * W[:3]),
    "view of a class": lambda x: np.sum(x.view(np.ndarray) ** 2 * W[:3]),
    "view of the same dtype": lambda x: np.sum(x.view(float) ** 2 * W[:3] + x.view(dtype=np.float64)),
    "view of a number": lambda x: x[0].view() ** 2,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients(exact_backend, name):
    f = PROGRAMS[name]
    value, (g,) = ad.withgradient(f, exact_backend.adtype, X)
    assert np.isclose(value, f(X), rtol=1e-12)
    step = 1e-6
    differences = [(f(X + step * e) - f(X - step * e)) / (2 * step) for e in np.eye(3)]
    np.testing.assert_allclose(g, differences, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["r_ with a number", "c_", "r_ of columns", "view of a class"])
def test_prepared(name):
    f = PROGRAMS[name]
    prepared = ad.prepare(ad.gradient, f, ad.AutoTape(), X)
    np.testing.assert_allclose(prepared(X + 1)[0], ad.gradient(f, X + 1)[0], rtol=1e-12)


def test_a_second_derivative_goes_through():
    h = ad.hessian(lambda x: np.sum(np.r_[x, 1.0, x[0]] ** 3), X)
    np.testing.assert_allclose(h, np.diag(6 * X * [2, 1, 1]))


def test_views_are_linked(exact_backend):
    def f(x):
        y = x * 1
        v = y.view()
        v[0] = 5 * x[1]
        w = y.view(np.ndarray)
        w[1:] *= 2
        return np.sum(y**2) + v[1]

    (g,) = ad.gradient(f, exact_backend.adtype, X)
    np.testing.assert_allclose(g, [0, 50 * X[1] + 8 * X[1] + 2, 8 * X[2]])


def test_memory_read_as_another_dtype_is_refused(exact_backend):
    for wanted, says in ((np.float32, "astype"), ("i8", "astype"), (np.matrix, "matrix")):
        with pytest.raises((ad.UnsupportedError, ad.TracedValueError), match=says):
            ad.gradient(lambda x, wanted=wanted: np.sum(x.view(wanted)), exact_backend.adtype, X)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_what_cannot_be_joined_says_what_can(exact_backend):
    with pytest.raises(ad.TracedValueError, match=r"np\.mgrid .*test_joining.*np\.meshgrid"):
        ad.gradient(lambda x: np.sum(np.mgrid[0 : x[0] : 3j, 0:1:2j]), exact_backend.adtype, X)
    with pytest.raises(ad.TracedValueError, match="matrix"):
        ad.gradient(lambda x: np.sum(np.r_["r", x, 1.0]), exact_backend.adtype, X)
