"""Infinite values, arrays without entries, singular matrices, wrong indices: there NumPy has the last word, too.

Each row is a function of one argument; value, shape, dtype or the class of the error are held against plain NumPy.
"""

from __future__ import annotations

import numpy as np
import pytest
from conftest import EXACT, present

import adselect as ad

INF, NAN = np.inf, np.nan
V = np.array
SINGLE = np.float32
ZERO, ONES = np.zeros((2, 2)), np.ones((2, 2))
STACK = np.stack([ZERO, np.eye(2), ONES])
MASK = V([1.0, 0.0, 3.0])
ROWS = V([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]])
TALL = V([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
PLACES = V([-INF, -1.0, 0.0, 0.5, 1.0, 2.0, INF, NAN])


def written(write, x):
    """What a function that writes leaves behind in a copy of x."""
    y = x * 1.0
    write(y)
    return y


def interpolation():
    for name, xp, fp in (
        ("infinite height", [0.0, 1.0, 2.0], [1.0, INF, 2.0]),
        ("infinite first knot", [-INF, 0.0, 1.0], [1.0, 2.0, 3.0]),
        ("infinite last knot", [0.0, 1.0, INF], [1.0, 2.0, 2.0]),
        ("a jump", [0.0, 1.0, 1.0, 2.0], [1.0, 2.0, 3.0, 4.0]),
        ("a jump at the end", [0.0, 1.0, 1.0], [1.0, 2.0, 3.0]),
        ("level between infinities", [-INF, INF], [10.0, 10.0]),
        ("one knot", [0.0], [2.0]),
    ):
        yield f"interp x, {name}", lambda x, xp=xp, fp=fp: np.interp(x, xp, fp), PLACES
        yield f"interp fp, {name}", lambda fp, xp=xp: np.interp(PLACES, xp, fp), V(fp)
        yield f"interp xp, {name}", lambda xp, fp=fp: np.interp(PLACES, xp, fp), V(xp)
    yield "interp float32", lambda x: np.interp(x, V([0, 1], SINGLE), V([0, 1], SINGLE)), V([0.5], SINGLE)
    yield "interp complex", lambda fp: np.interp([0.0, 0.5, 1.0], [0.0, 1.0], fp), V([1 + 2j, INF + 1j])


METHODS = (
    *("linear", "lower", "higher", "nearest", "midpoint", "inverted_cdf", "averaged_inverted_cdf"),
    *("closest_observation", "interpolated_inverted_cdf", "hazen", "weibull", "median_unbiased", "normal_unbiased"),
)
REDUCTIONS = (
    *(np.max, np.min, np.ptp, np.argmax, np.argmin, np.nanmax, np.nanmin, np.mean, np.std, np.var, np.sum, np.prod),
    *(np.trapezoid, np.sort, np.diff, np.nanmean),
)
PADS = (
    *("constant", "edge", "linear_ramp", "maximum", "mean", "median", "minimum"),
    *("reflect", "symmetric", "wrap", "bad"),
)
SAMPLES = (
    [1.0, INF, INF],
    [INF, INF],
    [-INF, 0.0, 1.0, INF],
    [-INF, INF],
    [NAN, INF, -INF, 2.0],
    [-INF, 5.0],
    [NAN] * 2,
)


def quantiles():
    for k, sample in enumerate(SAMPLES):
        for f in (np.median, np.nanmedian):
            yield f"{f.__name__} {k}", lambda x, f=f: f(x), V(sample)
        for method in METHODS:
            for f in (np.quantile, np.nanquantile):
                q = [0.0, 0.25, 0.3, 0.5, 1.0]
                yield f"{f.__name__} {method} {k}", lambda x, f=f, m=method, q=q: f(x, q, method=m), V(sample)
    for name, q in {"float32": SINGLE(0.5), "float64": np.float64(0.5), "array": V([0.5, 0.2]), "list": [0.5]}.items():
        for method in METHODS:
            for single in (True, False):
                a = V([1.0, 2.0, 4.0], SINGLE if single else float)
                row = f"q {name} {method} {a.dtype}"
                yield row, lambda x, m=method, q=q: np.quantile(x, q, method=m), a
                if name != "list":
                    yield f"traced {row}", lambda q, m=method, a=a: np.quantile(a, q, method=m), q
        yield f"percentile {name}", lambda x, q=q: np.percentile(x, q), V([1.0, 2.0, 4.0], SINGLE)
    for k, sample in enumerate(([NAN + 0j, NAN], [NAN + 0j, 1j, 2, 3], [1j, 2, 3, 1 + 1j])):
        yield f"complex nanmedian {k}", lambda x: np.nanmedian(x), V(sample)
        yield f"complex median {k}", lambda x: np.median(x), V(sample)
    for f in (np.median, np.nanmedian):
        yield f"{f.__name__} of none", lambda x, f=f: f(x), np.zeros(0)
        yield f"{f.__name__} of no columns", lambda x, f=f: f(x, axis=1), np.zeros((0, 3))


def weights():
    yield "cov, aweights < 0", lambda w: np.cov(ROWS, aweights=w), V([-1.0, -1.0, -1.0])
    yield "cov, aweights", lambda w: np.cov(ROWS, aweights=w), V([1.0, 2.0, 1.0])
    yield "cov, fweights < 0", lambda x: np.cov(x, fweights=[1, -1, 2]), ROWS
    yield "cov, fractions", lambda w: np.cov(ROWS, fweights=w), V([1.5, 1.0, 2.0])
    yield "cov, ddof", lambda x: np.cov(x, ddof=5), V([[1.0, 2.0], [2.0, 5.0]])
    yield "average, 0", lambda w: np.average([1.0, 2.0], weights=w), V([1.0, -1.0])
    yield "average, 0 in a row", lambda w: np.average(ONES, axis=1, weights=w), V([[3.0, -1.0], [1.0, -1.0]])
    yield "average, one axis", lambda w: np.average(ROWS, axis=0, weights=w), V([3.0, -1.0])
    yield "average of none", lambda x: np.average(x), np.zeros(0)
    yield "average float32", lambda x: np.average(x, weights=[1, 3]), V([1.0, 2.0], SINGLE)
    yield "quantile, 0", lambda x: np.quantile(x, 0.5, weights=[0.0, 0.0], method="inverted_cdf"), V([0.0, 0.0])
    yield "bincount < 0", lambda w: np.bincount([-1, 1], w), V([1.0, 2.0])
    yield "bincount of floats", lambda x: np.bincount(x), V([1.0])


def indices():
    yield "delete", lambda i: np.delete(np.arange(3.0), i), V([1.0, 2.5])
    yield "insert", lambda i: np.insert(np.arange(3.0), i, 9.0), V([1.0, 2.5])
    yield "take_along_axis", lambda i: np.take_along_axis(ROWS, i, axis=1), V([[1.5], [0.5]])
    yield "take", lambda i: np.take(np.arange(3.0), i), V([1.5])
    yield "take of itself", lambda i: np.take(i, i), V([1.0, 0.0])
    yield "plain[x]", lambda i: np.arange(3.0)[i], V([1.0])
    yield "repeat", lambda i: np.repeat(np.arange(2.0), i), V([1.0, 2.0])
    yield "repeat itself", lambda i: np.repeat(i, i), V([1.0, 2.0])
    yield "choose", lambda i: np.choose(i, [i, i]), V([1.0, 0.0])
    yield "put", lambda x: written(lambda y: np.put(y, x, 1.0), x), MASK
    yield "x.put", lambda x: written(lambda y: y.put(x, 1.0), x), MASK
    yield "put out of bounds", lambda x: written(lambda y: np.put(y, [7], 1.0), x), MASK
    yield "put from the end", lambda x: written(lambda y: np.put(y, [-1], 1.0), x), MASK
    yield "put_along_axis", lambda x: written(lambda y: np.put_along_axis(y, x, 1.0, 0), x), MASK
    yield "linspace", lambda x: np.linspace(x[0], 2.0, x[2]), MASK
    yield "round", lambda x: np.round(x, x[0]), MASK
    yield "broadcast_to", lambda x: np.broadcast_to(x, (x[0], 3)), MASK
    yield "diff of a number", lambda x: np.diff(x), V(1.5)
    yield "diff, order", lambda x: np.diff(x, -1), MASK


def masks():
    yield "place", lambda x: written(lambda y: np.place(y, x, [5.0, 6.0]), x), MASK
    yield "place of none", lambda x: written(lambda y: np.place(y, x, []), x), MASK
    yield "place, shape", lambda x: written(lambda y: np.place(y, x[:2], [5.0]), x), MASK
    yield "putmask", lambda x: written(lambda y: np.putmask(y, x, [5.0, 6.0]), x), MASK
    yield "putmask, shape", lambda x: written(lambda y: np.putmask(y, x[:2], [5.0]), x), MASK
    yield "extract", lambda x: np.extract(x, x), MASK
    yield "compress", lambda x: np.compress(x, x), MASK
    yield "x.compress", lambda x: x.compress(x), MASK
    yield "copyto", lambda x: written(lambda y: np.copyto(y, 7.0, where=x), x), MASK
    yield "sum where", lambda x: np.sum(x, where=x), MASK
    yield "add where", lambda x: np.add(x, 1.0, where=x, out=x * 1.0), MASK
    yield "select", lambda x: np.select([x], [x]), MASK


def overwritten():
    cube = V([[[3.0, 1.0, 2.0], [9.0, 7.0, 8.0]], [[-1.0, 5.0, 4.0], [0.0, 6.0, -2.0]]])
    views = {"itself": lambda x: x * 1.0, "turned": lambda x: (x * 1.0).T, "backwards": lambda x: (x * 1.0)[:, ::-1]}
    for axis in (None, 0, 1, -1, (0, 1), (1, 2), (0, 2), (2, 0, 1)):
        for name, view in views.items():

            def both(x, view=view, axis=axis):
                y = view(x)
                return np.median(y, axis=axis, overwrite_input=True), y

            yield f"median, overwritten, {axis}, {name}", both, cube
    for sample in ([1.0, -0.5, 7.0, 3.0, 2.0], [3.0, 1.0, 3.0, 3.0, 2.0, 2.0], [3.0, NAN, 1.0, 2.0]):
        yield f"overwritten {sample}", lambda x: written(lambda y: np.median(y, overwrite_input=True), x), V(sample)
    yield "a part", lambda x: written(lambda y: np.median(y[:3], overwrite_input=True), x), V([3.0, 5.0, 1.0, 2.0])


def matrices():
    none = (np.zeros((0, 0)), np.zeros((3, 0, 0)), np.zeros((0, 3)), np.zeros((3, 0)), np.zeros((2, 0, 3)))
    for k, a in enumerate((ZERO, ONES, STACK, np.zeros((2, 2), SINGLE), np.eye(2) * 1j, *none)):
        for p in (None, 1, -1, 2, -2, INF, "fro", "nuc", 3):
            yield f"cond {k} {p}", lambda x, p=p: np.linalg.cond(x, p), a
            if p is not None:
                yield f"matrix_norm {k} {p}", lambda x, p=p: np.linalg.matrix_norm(x, ord=p), a
            yield f"norm {k} {p}", lambda x, p=p: np.linalg.norm(x, p, axis=(-2, -1), keepdims=True), a
        for p in (0, 1, -1, 2, 3, INF, -INF):
            yield f"vector_norm {k} {p}", lambda x, p=p: np.linalg.vector_norm(x, ord=p, axis=-1), a
        for f in (np.linalg.det, np.linalg.inv, np.linalg.pinv, np.linalg.svdvals, np.linalg.tensorinv):
            yield f"{f.__name__} {k}", lambda x, f=f: f(x), a
        yield f"slogdet {k}", lambda x: tuple(np.linalg.slogdet(x)), a
        yield f"rank {k}", lambda x: np.linalg.matrix_rank(x) * 1.0, a
        yield f"power {k}", lambda x: np.linalg.matrix_power(x, -1), a
        if a.ndim == 2:
            yield f"lstsq {k}", lambda x: tuple(np.linalg.lstsq(x, np.ones(len(x)), rcond=None))[1:], a
    for rcond in (-1, None, 0.7, 1e-15):
        yield f"lstsq, rcond {rcond}", lambda b, r=rcond: tuple(np.linalg.lstsq(TALL, b, r)), V([1.0, 2.0, 5.0])
    yield "lstsq of integers", lambda b: tuple(np.linalg.lstsq(np.eye(2, dtype=int), b, None)), np.ones((2, 2))
    yield "lstsq float32", lambda b: tuple(np.linalg.lstsq(np.eye(2, dtype=SINGLE), b, None)), np.ones(2)
    yield "lstsq, infinite", lambda a: tuple(np.linalg.lstsq(a, np.ones(2), None)), V([[INF, 1.0], [1.0, 2.0]])
    yield "tensorsolve", lambda x: np.linalg.tensorsolve(x, np.zeros((0, 3))), np.zeros((0, 3, 3, 0))


def padding():
    for k, a in enumerate((np.ones((2, 3)), np.zeros((2, 0)), np.zeros((0, 2)), np.zeros(0))):
        for mode in PADS:
            for width in (1, 0, ((1, 1), (0, 0))):
                yield f"pad {k} {mode} {width}", lambda x, m=mode, w=width: np.pad(x, w, mode=m), a
    for width in ({1: 5}, {-1: (5, 10)}, {0: (1, 2), 1: 3}, {}, {5: 1}, {0: -1}, {0: 1.5}, 1.5, (1, 2, 3), ((1, 2),)):
        for mode in ("constant", "edge"):
            yield f"pad {width} {mode}", lambda x, w=width, m=mode: np.pad(x, w, mode=m), np.ones((2, 3))


def nothing():
    for f in REDUCTIONS:
        yield f"{f.__name__} of none", lambda x, f=f: f(x), np.zeros(0)
        for axis in (0, 1):
            yield f"{f.__name__} of no rows, {axis}", lambda x, f=f, axis=axis: f(x, axis=axis), np.zeros((0, 3))
    for axis in (0, 1, 2):
        yield f"apply_along_axis {axis}", lambda x, k=axis: np.apply_along_axis(lambda v: 1.0, k, x), np.ones((10, 0))
    yield "convolve", lambda x: np.convolve(x, [1.0]), np.zeros(0)
    yield "polyval", lambda c: np.polyval(c, 2.0), np.zeros(0)
    yield "polyadd", lambda x: np.polyadd(x, [1.0]), np.zeros(0)
    yield "gradient", lambda x: np.gradient(x), np.zeros(0)
    yield "nanargmax", lambda x: np.nanargmax(x), V([NAN, NAN])
    yield "trapezoid of lists", lambda x: np.trapezoid(x, [0.0, INF]), V([1.0, 2.0])


GROUPS = (interpolation, quantiles, weights, indices, masks, overwritten, matrices, padding, nothing)


def outcome(call):
    try:
        with np.errstate(all="ignore"):
            value = call()
    except Exception as error:
        return type(error).__name__
    return value if isinstance(value, tuple) else (value,)


# JAX compiles every operation for every shape: minutes for these.
COMPILED = (quantiles, overwritten, matrices, padding)
EVERYWHERE = [
    pytest.param(
        backend,
        group,
        id=f"{backend.name}-{group.__name__}",
        marks=[pytest.mark.sweep] if backend.name == "jax" and group in COMPILED else [],
    )
    for backend in EXACT
    for group in GROUPS
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("backend", "group"), EVERYWHERE)
def test_numpy_has_the_last_word(backend, group):
    wrong, adtype = [], present(backend).adtype
    for name, f, x in group():
        wanted, found = (
            outcome(lambda f=f, x=x: f(x)),
            outcome(lambda f=f, x=x: ad.pullback(f, adtype, x)[0]),
        )
        if isinstance(wanted, str) or isinstance(found, str) or len(wanted) != len(found):
            same = wanted == found
        else:
            same = all(map(alike, wanted, found))
        if not same:
            wrong.append(f"{name}: {found}, and not {wanted}")
    assert not wrong, "\n".join(wrong)


def alike(wanted, found):
    wanted, found = np.asarray(wanted), np.asarray(found)
    if (wanted.shape, wanted.dtype) != (found.shape, found.dtype):
        return False
    if wanted.dtype == float:  # a number divided by rounding noise, which is 0 in another LAPACK
        wanted, found = (np.where(a > 1 / np.finfo(float).eps, INF, a) for a in (wanted, found))
    return np.allclose(wanted, found, 1e-5 if wanted.dtype == SINGLE else 1e-8, equal_nan=True)


GRADIENTS = {
    "interp from the other end": (lambda x: np.interp(x, [-INF, 1.0], [10.0, 10.0]), 0.5, 0.0),
    "interp beside an infinity": (lambda fp: np.interp(0.5, [0.0, 1.0, 2.0], fp), [1.0, 3.0, INF], [0.5, 0.5, 0.0]),
    "interp at a knot": (lambda fp: np.interp(1.0, [0.0, 1.0, 2.0], fp), [1.0, 3.0, INF], [0.0, 1.0, 0.0]),
    "interp at an infinite slope": (lambda x: np.interp(x, [0.0, 1.0, 2.0], [1.0, 3.0, INF]), 1.0, NAN),
    "nanmedian": (np.nanmedian, [INF, 2.0, NAN, 1.0, 4.0], [0.0, 0.5, 0.0, 0.0, 0.5]),
    "median beside infinities": (np.median, [INF, 2.0, -INF], [0.0, 1.0, 0.0]),
    "quantile": (lambda x: np.quantile(x, 0.25), [3.0, 1.0, 2.0, INF], [0.0, 0.25, 0.75, 0.0]),
    "median, overwritten": (
        lambda x: np.sum(written(lambda y: np.median(y, overwrite_input=True), x) * V([1.0, 10.0, 100.0])),
        [3.0, 1.0, 2.0],
        [100.0, 1.0, 10.0],
    ),
    "place": (lambda x: np.sum(written(lambda y: np.place(y, x, [5.0]), x) * 2), [1.0, 0.0, 3.0], [0.0, 2.0, 0.0]),
    "cond of 0": (np.linalg.cond, ZERO, np.full((2, 2), NAN)),
    "cond of a singular matrix": (lambda x: np.linalg.cond(x, 1), ONES, np.full((2, 2), NAN)),
    "norm of order 1/2 beside zeros": (
        lambda x: np.sum(np.linalg.vector_norm(x, ord=0.5, axis=-1)),
        [[[0.0, 0.0], [1.0, 4.0]]],
        [[[0.0, 0.0], [3.0, 1.5]]],
    ),
    "lstsq of integers": (
        lambda b: np.sum(np.linalg.lstsq(V([[2, 0], [0, 4]]), b, None)[0]),
        [1.0, 2.0],
        [0.5, 0.25],
    ),
    "svd of none": (lambda x: np.sum(np.linalg.svd(x)[0]), np.zeros((3, 0)), np.zeros((3, 0))),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("row", GRADIENTS)
def test_the_gradient_there(row, exact_backend):
    f, x, wanted = GRADIENTS[row]
    x = V(x) if np.ndim(x) else x
    (g,) = ad.gradient(f, exact_backend.adtype, x)
    np.testing.assert_allclose(np.zeros(np.shape(x)) if g is None else g, wanted, atol=1e-12)


PREPARED = {
    "interp": (lambda x: np.sum(np.interp(x, [0.0, 1.0, 2.0], [1.0, 3.0, 4.0])), [0.5, 1.5, 0.2]),
    "interp, heights": (lambda fp: np.interp(0.5, [0.0, 1.0, 2.0], fp), [1.0, 3.0, 4.0]),
    "inverted_cdf": (lambda x: np.quantile(x, 0.5, method="inverted_cdf"), [3.0, 1.0, 2.0]),
    "average": (lambda x: np.average(x, weights=[1.0, 2.0, 3.0]), [3.0, 1.0, 2.0]),
    "polymul": (lambda x: np.sum(np.polymul(x, [1.0, 2.0]) ** 2), [3.0, 1.0, 2.0]),
    "cond": (np.linalg.cond, [[2.0, 0.5], [0.5, 3.0]]),
    "lstsq": (lambda b: np.sum(np.linalg.lstsq(TALL, b, None)[0]), [3.0, 1.0, 2.0]),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("row", PREPARED)
def test_prepared(row, exact_backend):
    f, x = PREPARED[row]
    x = V(x) if np.ndim(x) else x
    prepared = ad.prepare(ad.gradient, f, exact_backend.adtype, x)
    np.testing.assert_allclose(prepared(x)[0], ad.gradient(f, ad.AutoTape(), x)[0], rtol=1e-9)


@pytest.mark.parametrize("window", [np.bartlett, np.blackman, np.hamming, np.hanning, lambda m: np.kaiser(m, 2.0)])
def test_windows(window, exact_backend):
    for n in (0, 1, 5):
        np.testing.assert_allclose(ad.pullback(lambda m: window(m) * 1.0, exact_backend.adtype, n)[0], window(n))
        with pytest.raises(ad.TracedValueError, match="number of points"):
            ad.pullback(window, exact_backend.adtype, float(n))


def test_kaisers_parameter(exact_backend):
    for n, slope in ((0, 0.0), (1, 0.0), (5, None)):
        y, (g,) = ad.withgradient(lambda b, n=n: np.sum(np.kaiser(n, b)), exact_backend.adtype, 2.0)
        np.testing.assert_allclose(y, np.sum(np.kaiser(n, 2.0)))
        ends = np.sum(np.kaiser(n, 2.0 + 1e-6)) - np.sum(np.kaiser(n, 2.0 - 1e-6))
        np.testing.assert_allclose(g or 0.0, ends / 2e-6 if slope is None else slope, rtol=1e-6)
