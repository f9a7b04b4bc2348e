"""Containers of numbers that are not arrays: the same value and its derivative, or a refusal by name."""

from __future__ import annotations

import array
import collections
import types

import numpy as np
import pytest

import adselect as ad

sp = pytest.importorskip("scipy.sparse")

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # NumPy's, of np.matrix
X = np.array([1.0, 2.0, 3.0])
A = np.arange(9.0).reshape(3, 3)
MASKED = np.ma.array(X, mask=[False, True, False])
RECORDS = np.zeros(2, [("a", "f8")])


def is_right(f, adtype, x=X):
    value, (gradient,) = ad.withgradient(f, adtype, x)
    steps = 1e-6 * np.eye(x.size)
    slopes = [(np.sum(f(x + e)) - np.sum(f(x - e))) / 2e-6 for e in steps]
    np.testing.assert_allclose(value, f(x), rtol=1e-12)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-5, atol=1e-7)


# -- met inside f ------------------------------------------------------------------------------------------------------

REFUSED = {
    "matrix on the left": (lambda x: np.sum(np.matrix(A) * x.reshape(3, 1)), "matrix"),
    "matrix on the right": (lambda x: np.sum(x * np.matrix(A)), "matrix"),
    "matrix product": (lambda x: np.sum(np.matrix(A) @ x), "matrix"),
    "np.dot of a matrix": (lambda x: np.sum(np.dot(np.matrix(A), x)), "matrix"),
    "masked on the left": (lambda x: np.sum(MASKED * x), "mask"),
    "masked on the right": (lambda x: np.sum(x * MASKED), "mask"),
    "ufunc of a masked array": (lambda x: np.sum(np.multiply(x, MASKED)), "mask"),
    "where of a masked array": (lambda x: np.sum(np.where(MASKED > 1, x, MASKED)), "mask"),
    "sparse on the left": (lambda x: np.sum(sp.csr_array(A) @ x), "sparse"),
    "elementwise of sparse": (lambda x: np.sum(sp.csr_array(A) * x), "sparse"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_mean_something_else_is_refused_by_name(exact_backend, name):
    f, named = REFUSED[name]
    with pytest.raises(ad.ADSelectError, match=named) as caught:
        ad.gradient(f, exact_backend.adtype, X)
    assert "test_foreign.py" in str(caught.value)


def test_a_sparse_array_on_the_right_is_a_product(exact_backend):
    is_right(lambda x: np.sum((x @ sp.csr_array(A)) ** 2), exact_backend.adtype)


# -- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        (lambda: np.matrix(A), "np.matrix"),
        (lambda: MASKED, "masked array"),
        (lambda: RECORDS, "structured array"),
        (lambda: np.rec.array(RECORDS), "record array"),
        (lambda: array.array("d", [1.0, 2.0]), "array.array"),
    ],
    ids=["matrix", "masked", "structured", "records", "array.array"],
)
def test_arguments_that_cannot_be_followed_are_refused_by_name(exact_backend, argument, named):
    with pytest.raises(ad.ADSelectError, match=named):
        ad.gradient(lambda a: np.sum(np.asarray(a)), exact_backend.adtype, argument())


def test_pythons_containers_are_entered(exact_backend):
    f = lambda d: sum(v**2 for v in d)
    (g,) = ad.gradient(f, exact_backend.adtype, collections.deque([1.0, 2.0]))
    assert type(g) is collections.deque
    assert list(g) == [2.0, 4.0]
    (g,) = ad.gradient(f, exact_backend.adtype, collections.UserList([1.0, 2.0]))
    assert list(g) == [2.0, 4.0]
    by_name = lambda d: d["a"] * d["b"]
    for kind in (collections.UserDict, types.MappingProxyType, collections.ChainMap):
        (g,) = ad.gradient(by_name, exact_backend.adtype, kind({"a": 3.0, "b": 5.0}))
        assert dict(g) == {"a": 5.0, "b": 3.0}


# -- pandas and xarray -------------------------------------------------------------------------------------------------


def test_pandas(exact_backend):
    pd = pytest.importorskip("pandas")
    s = pd.Series(X, index=list("abc"))
    df = pd.DataFrame({"a": X, "b": 2 * X})
    for f in (
        lambda x: np.sum(s * x),
        lambda x: np.sum(x * s),
        lambda x: (df * x[0]).sum().sum(),
        lambda x: np.sum(np.concatenate([x, s])),
        lambda x: np.sum(np.where(s > 1, x, 0.0)),
        lambda x: np.sum(x[s > 1] ** 2),
    ):
        is_right(f, exact_backend.adtype)
    (g,) = ad.gradient(lambda s: (s * s).sum(), exact_backend.adtype, s)
    pd.testing.assert_series_equal(g, 2 * s)
    (g,) = ad.gradient(lambda df: (df * df).to_numpy().sum(), exact_backend.adtype, df)
    pd.testing.assert_frame_equal(g, 2 * df)


def test_xarray(exact_backend):
    xr = pytest.importorskip("xarray")
    da = xr.DataArray(X, dims="t", coords={"t": [10, 20, 30]})
    for f in (lambda x: np.sum(da * x), lambda x: np.sum(x * da)):
        is_right(lambda x, f=f: np.sum(np.asarray(f(x))) if type(x) is np.ndarray else f(x), exact_backend.adtype)
    (g,) = ad.gradient(lambda da: (da * da).sum(), exact_backend.adtype, da)
    xr.testing.assert_identical(g, 2 * da)
