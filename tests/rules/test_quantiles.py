"""Medians, quantiles and percentiles: all methods, axes, NaN-ignoring forms, ties."""

import numpy as np
import pytest
from witnesses import witness

import adselect as ad

RNG = np.random.default_rng(5)
X = RNG.standard_normal((3, 4, 5))
V = RNG.standard_normal(7)
HOLES = X.copy()
HOLES[0, 1, 2] = HOLES[2, 3, 0] = HOLES[2, 3, 1] = np.nan
METHODS = [
    *("inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen", "weibull"),
    *("linear", "median_unbiased", "normal_unbiased", "lower", "higher", "midpoint", "nearest"),
]
AXES = [None, 0, -1, (0, 2), (-1, 0, 1)]


@pytest.mark.parametrize("method", METHODS)
def test_methods(method):
    for q in (0.0, 0.13, 0.5, 0.77, 1.0):
        witness(lambda x, q=q: np.quantile(x, q, method=method), V, order=1)
    witness(lambda x: np.percentile(x, [20, 64.0], axis=1, method=method), X)
    witness(lambda x: np.nanquantile(x, np.array([[0.3], [0.8]]), axis=0, method=method), X, order=1)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("keepdims", [False, True])
def test_axes(axis, keepdims):
    for function in (np.median, np.nanmedian):
        witness(lambda x, function=function: function(x, axis=axis, keepdims=keepdims), X, order=1, h=1e-5, tol=1e-6)
    witness(lambda x: np.quantile(x, 0.3, axis, keepdims=keepdims), X, order=1, h=1e-5, tol=1e-6)
    witness(lambda x: np.quantile(x, [0.3, 0.6], axis, keepdims=keepdims), X, order=1, h=1e-5, tol=1e-6)
    witness(lambda x: np.nanpercentile(x, 30, axis=axis, keepdims=keepdims), X, order=1, h=1e-5, tol=1e-6)


@pytest.mark.parametrize("method", ["linear", "hazen", "weibull", "median_unbiased", "normal_unbiased"])
def test_derivative_in_q(method):
    witness(lambda x, q: np.quantile(x, q, method=method), V, 0.37, h=1e-4)
    witness(lambda x, q: np.quantile(x, q, axis=0, method=method), X[0], np.array([0.21, 0.64]), h=1e-4)
    witness(lambda q: np.percentile(V, q, method=method), 37.0, order=1)


def test_values_of_single_precision():
    x = V.astype("f4")
    for f in (lambda x: np.quantile(x, 0.3), lambda x: np.median(x), lambda x: np.quantile(x, np.array([0.3, 0.4]))):
        value = ad.withgradient(lambda x, f=f: (np.sum(f(x)), f(x)), x).val[1]
        np.testing.assert_allclose(value, f(x), rtol=1e-6)
        assert value.dtype == f(x).dtype


def test_weights():
    w = np.array([1.0, 2.0, 0.5, 1.0])
    witness(lambda x: np.quantile(x, 0.4, axis=1, weights=w, method="inverted_cdf"), X, order=1)
    witness(lambda x: np.percentile(x[0, :, 0], [10, 40, 90], weights=w, method="inverted_cdf"), X, order=1)


@pytest.mark.parametrize("function", [np.nanmedian, lambda x, axis: np.nanquantile(x, 0.3, axis), np.median])
def test_nan(function):
    for axis in (0, 1, -1, (0, 1), None):
        value, (g,) = ad.withgradient(lambda x, axis=axis: np.nansum(function(x, axis=axis)), HOLES)
        np.testing.assert_allclose(value, np.nansum(function(HOLES, axis=axis)))
        if function is not np.median:
            assert np.all(g[np.isnan(HOLES)] == 0)
            d = RNG.standard_normal(X.shape)
            up, down = (np.sum(function(HOLES + h * d, axis=axis)) for h in (1e-6, -1e-6))
            np.testing.assert_allclose(np.sum(g * d), (up - down) / 2e-6, rtol=1e-6)


TIES = [
    (np.median, [1.0, 1.0, 2.0], [0.5, 0.5, 0.0]),
    (np.median, [1.0, 2.0, 3.0, 4.0], [0.0, 0.5, 0.5, 0.0]),
    (np.median, [2.0, 2.0, 2.0, 2.0], [0.25] * 4),
    (np.median, [1.0, 2.0, 2.0, 3.0], [0.0, 0.5, 0.5, 0.0]),
    (lambda x: np.percentile(x, 50), [1.0, 1.0, 2.0], [0.5, 0.5, 0.0]),
    (lambda x: np.quantile(x, 0.25), [1.0, 1.0, 5.0], [0.5, 0.5, 0.0]),
    (lambda x: np.quantile(x, 1.0), [5.0, 1.0, 5.0], [0.5, 0.0, 0.5]),
    (lambda x: np.nanmedian(x), [1.0, 1.0, np.nan, 2.0], [0.5, 0.5, 0.0, 0.0]),
    (lambda x: np.nanmedian(x), [1.0, np.nan, 2.0, 2.0], [0.0, 0.0, 0.5, 0.5]),
    (lambda x: np.nanquantile(x, 0.5), [1.0, np.nan, 2.0, 2.0, 2.0], [0.0, 0.0, 1 / 3, 1 / 3, 1 / 3]),
    (lambda x: np.nanpercentile(x, 40), [1.0, 2.0, 2.0, 3.0], [0.0, 0.5, 0.5, 0.0]),
]


@pytest.mark.parametrize(("f", "x", "expected"), TIES)
def test_ties_share(f, x, expected, exact_backend):
    np.testing.assert_allclose(ad.gradient(f, exact_backend.adtype, np.array(x))[0], expected, atol=1e-15)
