"""Reductions and scans with every option: axes, keepdims, dtype, initial, where, ddof, empty and 0-d arrays."""

import numpy as np
import pytest
from witnesses import witness

import adselect as ad

RNG = np.random.default_rng(8)
X = RNG.standard_normal((3, 4, 2)) + 0.1
Z = X + 1j * RNG.standard_normal(X.shape)
MASK = RNG.random(X.shape) < 0.6
MASK[0, 0] = MASK[:, 1] = MASK[2, 2] = MASK[1, 3] = True
AXES = [None, 0, -1, 1, (0, 2), (-1, 0), (0, 1, 2), ()]
NAMES = ["sum", "mean", "prod", "max", "min", "amax", "amin", "var", "std", "ptp", "nansum", "nanmean", "nanprod"]
NAMES += ["nanmax", "nanmin", "nanvar", "nanstd"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("keepdims", [False, True])
def test_axes(name, keepdims):
    function = getattr(np, name)
    for axis in AXES:
        if axis == () and name in ("ptp", "std", "nanstd"):
            continue
        witness(lambda x, axis=axis: function(x, axis=axis, keepdims=keepdims), X, order=2 if axis in (None, 1) else 1)


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "var", "std", "nansum", "nanmean", "nanvar"])
def test_complex(name):
    function = getattr(np, name)
    for axis in (None, 1, (0, -1)):
        witness(lambda z, axis=axis: function(z, axis=axis), Z)


@pytest.mark.parametrize(
    "name", ["sum", "mean", "prod", "var", "std", "nansum", "nanmean", "nanprod", "nanvar", "nanstd"]
)
def test_where(name):
    function = getattr(np, name)
    for axis in (None, 1, (0, 2)):
        witness(lambda x, axis=axis: function(x, axis=axis, where=MASK), X)
        witness(lambda x, axis=axis: function(x, axis=axis, where=MASK, keepdims=True), X, order=1)
    witness(lambda x: function(x, axis=1, where=x > -0.5), np.abs(X) + 0.2, order=1)


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "nansum", "nanprod", "nanmax", "nanmin"])
def test_initial(name):
    function = getattr(np, name)
    for initial in (0.5, -0.3):
        witness(lambda x, initial=initial: function(x, axis=1, initial=initial), X)
        witness(lambda x, initial=initial: function(x, axis=(0, 1), initial=initial, where=MASK), X, order=1)
        witness(lambda x, initial=initial: function(x, initial=initial, keepdims=True), X, order=1)


OTHERS = {
    "methods": (lambda x: x.sum(0) + x.mean(0) * x.prod(0) + x.std(0) * x.var(0) + x.max(0) - x.min(0), X),
    "sum dtype": (lambda x: np.sum(x, axis=0, dtype=complex) ** 2, X),
    "mean dtype": (lambda x: np.mean(x, 0, dtype=complex) ** 2, X),
    "prod dtype": (lambda x: np.prod(x, 0, dtype=complex), X),
    "var ddof": (lambda x: np.var(x, axis=1, ddof=1), X),
    "std correction": (lambda x: np.std(x, axis=(0, 1), correction=1), X),
    "var mean=": (lambda x: np.var(x, axis=1, mean=np.mean(x, axis=1, keepdims=True)), X),
    "std mean=": (lambda x: np.std(x, axis=0, mean=np.mean(x, axis=0, keepdims=True), ddof=1), X),
    "average": (lambda x: np.average(x, axis=1), X),
    "average all": (lambda x: np.average(x), X),
    "average weights": (lambda x, w: np.average(x, axis=1, weights=w), X, np.array([0.3, 1.0, 2.0, 0.5])),
    "average two axes": (lambda x, w: np.average(x, axis=(0, 2), weights=w), X, RNG.random((3, 2)) + 0.2),
    "average two axes turned": (lambda x, w: np.average(x, axis=(2, 0), weights=w), X, RNG.random((2, 3)) + 0.2),
    "average full weights": (lambda x, w: np.average(x, weights=w, keepdims=True), X, RNG.random((3, 4, 2)) + 0.2),
    "average returned": (
        lambda x, w: np.average(x, 0, w, True)[1] ** 2 + np.average(x, 0, w, returned=True)[0],
        X,
        np.ones(3),
    ),
    "cumsum": (lambda x: np.cumsum(x) ** 2, X),
    "cumsum axis": (lambda x: np.cumsum(x, axis=-2) ** 2, X),
    "cumsum complex": (lambda x: np.cumsum(x, axis=0, dtype=complex) ** 2, X),
    "cumprod": (lambda x: np.cumprod(x), X),
    "cumprod axis": (lambda x: np.cumprod(x, axis=-2), X),
    "cumprod complex": (lambda z: np.cumprod(z, axis=1), Z),
    "cumulative_sum": (lambda x: np.cumulative_sum(x, axis=1, include_initial=True) ** 2, X),
    "cumulative_prod": (lambda x: np.cumulative_prod(x, axis=-1, include_initial=True), X),
    "cumulative_sum vector": (lambda x: np.cumulative_sum(x) ** 2, X[0, :, 0]),
    "diff": (lambda x: np.diff(x) ** 2, X),
    "diff 2": (lambda x: np.diff(x, 2, axis=1) ** 2, X),
    "diff 0": (lambda x: np.diff(x, 0) ** 2, X),
    "diff 0 ends": (lambda x: np.diff(x, 0, prepend=1.0) ** 2, X),
    "diff ends": (lambda x, a, b: np.diff(x, axis=1, prepend=a, append=b) ** 2, X, 0.3, np.ones((3, 2, 2))),
    "add.reduce": (lambda x: np.add.reduce(x) ** 2, X),
    "add.reduce axes": (lambda x: np.add.reduce(x, axis=(0, 1), keepdims=True) ** 2, X),
    "add.reduce where": (lambda x: np.add.reduce(x, axis=None, where=MASK, initial=2.0) ** 2, X),
    "multiply.reduce": (lambda x: np.multiply.reduce(x, axis=1), X),
    "maximum.reduce": (lambda x: np.maximum.reduce(x, axis=1) ** 2, X),
    "minimum.reduce": (lambda x: np.minimum.reduce(x, axis=-1, initial=0.1) ** 2, X),
    "add.accumulate": (lambda x: np.add.accumulate(x) ** 2, X),
    "multiply.accumulate": (lambda x: np.multiply.accumulate(x, axis=1), X),
    "add.reduceat": (lambda x: np.add.reduceat(x, [0, 2, 1], axis=1) ** 2, X),
    "multiply.reduceat": (lambda x: np.multiply.reduceat(x, [0, 2]), X),
    "logsumexp by hand": (lambda x: np.log(np.sum(np.exp(x - x.max(1, keepdims=True)), 1)) + x.max(1), X),
    "scalars": (lambda a: np.sum(a) * np.prod(a) + np.mean(a) * np.max(a) + np.min(a) ** 3, 0.7),
    "count where": (lambda x: np.mean(x, axis=1, where=np.array([[True], [False], [True], [True]])) ** 2, X),
}


@pytest.mark.parametrize("name", OTHERS)
def test_others(name):
    f, *args = OTHERS[name]
    witness(f, *args)


# f, x, gradient
POINTS = [
    (np.prod, [2.0, 0.0, 3.0], [0.0, 6.0, 0.0]),
    (np.prod, [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]),
    (lambda x: np.sum(np.cumprod(x)), [2.0, 0.0, 3.0], [1.0, 8.0, 0.0]),
    (lambda x: np.prod(x, where=np.array([True, False, True]), initial=2.0), [0.0, 5.0, 3.0], [6.0, 0.0, 0.0]),
    (np.max, [1.0, 1.0, 0.0], [0.5, 0.5, 0.0]),
    (np.min, [0.0, 0.0, 1.0], [0.5, 0.5, 0.0]),
    (lambda x: np.max(x, initial=3.0), [1.0, 2.0], [0.0, 0.0]),
    (lambda x: np.max(x, initial=2.0), [1.0, 2.0], [0.0, 0.5]),
    (np.std, [2.0, 2.0, 2.0], [0.0, 0.0, 0.0]),
    (np.std, [2.0], [0.0]),
    (np.var, [2.0, 2.0], [0.0, 0.0]),
    (np.nansum, [1.0, np.nan], [1.0, 0.0]),
    (np.nanmean, [1.0, np.nan, 2.0], [0.5, 0.0, 0.5]),
    (np.nanmax, [1.0, np.nan, 2.0], [0.0, 0.0, 1.0]),
    (np.nanprod, [3.0, np.nan, 2.0], [2.0, 0.0, 3.0]),
    (np.ptp, [1.0, 3.0, 2.0], [-1.0, 1.0, 0.0]),
]


@pytest.mark.parametrize(("f", "x", "expected"), POINTS)
@pytest.mark.parametrize("adtype", [ad.AutoTape(), ad.AutoForward()])
def test_points(f, x, expected, adtype):
    value, (g,) = ad.withgradient(f, adtype, np.array(x))
    np.testing.assert_allclose(value, f(np.array(x)))
    np.testing.assert_allclose(g, expected, atol=1e-15)


def test_second_derivative_of_products_with_zeros():
    h = ad.hessian(np.prod, np.array([2.0, 0.0, 3.0]))
    assert h.tolist() == [[0, 3, 0], [3, 0, 2], [0, 2, 0]]
    h = ad.hessian(lambda x: np.sum(np.cumprod(x)), np.array([0.0, 0.0, 3.0]))
    assert h.tolist() == [[0, 4, 0], [4, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("adtype", [ad.AutoTape(), ad.AutoForward()])
def test_empty_arrays(adtype):
    for f in (
        np.sum,
        np.prod,
        lambda x: np.sum(np.cumsum(x)),
        lambda x: np.sum(np.cumprod(x)),
        lambda x: np.max(x, initial=0),
    ):
        (g,) = ad.gradient(f, adtype, np.zeros(0))
        assert g is None or g.shape == (0,)
    (g,) = ad.gradient(lambda x: np.sum(np.sum(x, axis=0)), adtype, np.zeros((0, 3)))
    assert g.shape == (0, 3)
    (g,) = ad.gradient(lambda x: np.sum(np.max(x, axis=1)), adtype, np.zeros((0, 3)))
    assert g.shape == (0, 3)


@pytest.mark.parametrize("name", NAMES)
def test_single_precision(name):
    function, x = getattr(np, name), X.astype("f4")
    for adtype in (ad.AutoTape(), ad.AutoForward()):
        y, back = ad.pullback(lambda x: function(x, axis=1), adtype, x)
        assert y.dtype == function(x, axis=1).dtype
        assert back(np.ones(y.shape, "f4"))[0].dtype == np.float32


SCALARS = [
    "sum",
    "mean",
    "prod",
    "max",
    "min",
    "var",
    "std",
    "ptp",
    "nansum",
    "nanprod",
    "nanmax",
    "cumsum",
    "cumprod",
    "median",
]


@pytest.mark.parametrize("name", SCALARS)
def test_zero_dimensional_arrays(name):
    function = getattr(np, name)
    for axis in (None, 0, -1, ()):
        try:
            function(np.array(2.5), axis=axis)
        except (np.exceptions.AxisError, TypeError, IndexError):
            continue  # NumPy refuses this combination
        if name == "std":  # 0, where it has no second derivative
            adtypes = (ad.AutoTape(), ad.AutoForward())
            assert all(
                ad.derivative(lambda x, axis=axis: function(x, axis=axis), a, np.array(2.5)) == 0 for a in adtypes
            )
            continue
        witness(lambda x, axis=axis: function(x, axis=axis) ** 2, np.array(2.5))
