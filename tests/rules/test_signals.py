"""Interpolation, grids, convolution, unwrapping, and covariance and counts."""

import numpy as np
import pytest
from witnesses import witness

import adselect as ad

RNG = np.random.default_rng(6)
KNOTS = np.array([-1.0, 0.2, 0.9, 2.0])
HEIGHTS = np.array([0.3, -1.1, 2.0, 0.4])
AT = np.array([-0.7, 0.5, 1.3, -1.8, 2.5])
X, Y = RNG.standard_normal((2, 4, 5))
V, W = RNG.standard_normal(6), RNG.standard_normal(4)
Z = V + 1j * RNG.standard_normal(6)
STEPS = np.array([0.0, 0.4, 1.0, 1.3, 2.0])


@pytest.mark.parametrize("kwargs", [{}, {"left": -3.0}, {"left": 0.1, "right": 7.0}, {"period": 3.3}])
def test_interp(kwargs):
    witness(lambda x, xp, fp: np.interp(x, xp, fp, **kwargs), AT, KNOTS, HEIGHTS)
    witness(lambda x: np.interp(x, KNOTS, HEIGHTS, **kwargs), 0.4)
    witness(lambda fp: np.interp(AT, KNOTS, fp, **kwargs), HEIGHTS * (1 + 2j))
    witness(lambda x: np.interp(x, KNOTS, HEIGHTS, **kwargs), AT[:4].reshape(2, 2), order=1)


def test_interp_ends_are_differentiable():
    witness(lambda x, a, b: np.interp(x, KNOTS, HEIGHTS, a, b), AT, 0.3, -0.2)
    assert ad.gradient(lambda x: np.interp(x, [0.0, 1.0, 2.0], [0.0, 1.0, 4.0]), 1.0) == (3.0,)


TRAPEZOID = [{}, {"dx": 0.3}, {"axis": 0}, {"x": STEPS}, {"x": STEPS[:4], "axis": 0}, {"x": np.cumsum(np.abs(Y), 1)}]


@pytest.mark.parametrize("kwargs", TRAPEZOID)
def test_trapezoid(kwargs):
    witness(lambda y: np.trapezoid(y, **kwargs), X)
    if "x" in kwargs:
        witness(lambda y, x: np.trapezoid(y, x, axis=kwargs.get("axis", -1)), X, kwargs["x"])
    else:
        witness(lambda dx: np.trapezoid(X, dx=dx), 0.4)


GRADIENT = [
    ((), {}),
    ((0.3,), {}),
    ((0.3, 0.7), {}),
    ((STEPS[:4], STEPS), {}),
    ((0.3, STEPS), {"edge_order": 2}),
    ((), {"axis": 0}),
    ((STEPS,), {"axis": -1}),
    ((0.2, 0.4), {"axis": (1, 0), "edge_order": 2}),
]


@pytest.mark.parametrize(("spacing", "kwargs"), GRADIENT)
def test_gradient(spacing, kwargs):
    def first(f, *spacing):
        result = np.gradient(f, *spacing, **kwargs)
        return result if not isinstance(result, tuple) else np.stack(result)

    witness(first, X)
    if spacing:
        witness(first, X, *spacing)
    witness(lambda f: np.gradient(f), Z, order=1)


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize(("n", "m"), [(6, 4), (4, 6), (5, 5), (6, 3), (3, 6), (1, 4), (4, 1), (2, 5)])
def test_convolve_and_correlate(mode, n, m):
    a, b = RNG.standard_normal(n), RNG.standard_normal(m)
    witness(lambda a, b: np.convolve(a, b, mode), a, b)
    witness(lambda a, b: np.correlate(a, b, mode), a, b)
    witness(lambda a, b: np.correlate(a, b, mode), a + 1j * a[::-1], b - 2j * b[::-1])
    witness(lambda a, b: np.convolve(a, b, mode), a, b - 2j * b[::-1], order=1)


def test_differences_and_phases():
    witness(lambda x: np.ediff1d(x), X)
    witness(lambda x, a, b: np.ediff1d(x, to_end=a, to_begin=b), X, V, 0.3)
    phases = np.array([0.1, 3.0, -2.8, 0.5, 7.0])
    for kwargs in ({}, {"discont": 4.0}, {"period": 4.0}, {"period": 4.0, "axis": 0}):
        witness(lambda p, kwargs=kwargs: np.unwrap(p, **kwargs), phases)
    witness(lambda p: np.unwrap(p, axis=0), np.stack([phases, 2 * phases, -phases]))
    witness(lambda p, t: np.unwrap(p, period=t), phases, 4.0)


@pytest.mark.parametrize("x", [np.array([-3.0, 0.0, 0.7, 12.0]), 2.0, np.array([[30.0]])])
def test_i0(x):
    witness(lambda x: np.log(np.i0(x)), x)


def test_kaiser_window():
    witness(lambda beta: np.kaiser(5, beta), 3.0)


# -- statistics --------------------------------------------------------------------------------------------------------

WEIGHTS = np.array([0.5, 1.0, 2.0, 0.7, 1.5])
COVARIANCE = [
    {},
    {"rowvar": False},
    {"bias": True},
    {"ddof": 0},
    {"ddof": 2},
    {"fweights": np.array([1, 2, 1, 3, 1])},
    {"aweights": WEIGHTS},
    {"aweights": WEIGHTS, "ddof": 0},
    {"aweights": WEIGHTS, "fweights": np.array([1, 2, 1, 3, 1])},
]


@pytest.mark.parametrize("kwargs", COVARIANCE)
def test_cov(kwargs):
    witness(lambda m: np.cov(m, **kwargs), X)
    witness(lambda m: np.cov(m, **kwargs), X + 1j * Y)
    witness(lambda m, y: np.cov(m, y, **kwargs), X, Y)


def test_cov_of_vectors_and_corrcoef():
    witness(lambda a: np.cov(a), V)
    witness(lambda a, b: np.cov(a, b), V, V[::-1] * 2)
    witness(lambda w: np.cov(X, aweights=w), WEIGHTS)
    for options in ({}, {"rowvar": False}):
        witness(lambda m, options=options: np.corrcoef(m, **options), X, tol=1e-6)
    witness(lambda a, b: np.corrcoef(a, b), V, V[::-1] * 2)
    witness(lambda m: np.corrcoef(m), X + 1j * Y, order=1)


def test_counts_with_weights():
    places = np.array([0, 3, 1, 3, 0, 6])
    witness(lambda w: np.bincount(places, w), V)
    witness(lambda w: np.bincount(places, weights=w, minlength=9) ** 2, V)
    witness(lambda w: np.histogram(V, bins=4, weights=w)[0] ** 2, RNG.standard_normal(6))
    witness(lambda w: np.histogram(V, bins=[-2, -0.5, 0.1, 2.0], weights=w, density=True)[0], np.abs(V[::-1]) + 1)
    witness(lambda x: np.histogram(x, bins=4)[1], V)
    assert (
        ad.gradient(lambda x: np.sum(np.histogram(x, bins=[-2.0, 0.0, 2.0])[0]) + np.sum(x), V)[0].tolist() == [1.0] * 6
    )
    with pytest.raises(ad.MissingRuleError, match="bin edges"):
        ad.gradient(lambda edges: np.histogram(V, np.stack(edges))[0][0] * edges[0], np.array([-1.0, 1.0]))


HOLES = X.copy()
HOLES[1, 2] = HOLES[3, 0] = np.nan


@pytest.mark.parametrize("kwargs", [{}, {"axis": 0}, {"axis": -1, "keepdims": True}, {"axis": 1, "ddof": 1}])
def test_nan_ignoring(kwargs):
    names = (
        ["nanvar", "nanstd"]
        if "ddof" in kwargs
        else ["nanvar", "nanstd", "nansum", "nanmean", "nanprod", "nanmax", "nanmin"]
    )
    for name in names:
        function = getattr(np, name)
        witness(lambda x, function=function: function(x, **kwargs), X)

        def filled(x, function=function):
            return function(np.where(np.isnan(HOLES), np.nan, x), **kwargs)

        witness(filled, X)
    for name in ("nancumsum", "nancumprod"):
        function = getattr(np, name)
        witness(lambda x, function=function: function(np.where(np.isnan(HOLES), np.nan, x), axis=kwargs.get("axis")), X)
