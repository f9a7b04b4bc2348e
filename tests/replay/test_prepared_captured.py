"""New contents of captured arrays are seen by a prepared call, whatever f does with them."""

from __future__ import annotations

import numpy as np
import pytest
from samples.elementwise import SMOOTH_TWO

import adselect as ad
from adselect import AutoTape

# Right answers count here, replayed or not; what is not replayed has its own tests.
pytestmark = pytest.mark.filterwarnings("ignore::adselect.NotReplayedWarning")

X = np.array([1.0, 2.0, 3.0, 4.5])
A = np.array([1.0, 2.0, 3.0, 4.0])
M = np.arange(16.0).reshape(4, 4) / 7 + 2 * np.eye(4)
EAGER = AutoTape(replay=False)


def same(got, want):
    np.testing.assert_allclose(np.asarray(got[0], float), np.asarray(want[0], float), rtol=1e-10, atol=1e-12)


# -- arrays ------------------------------------------------------------------------------------------------------------

# f(x, a): a is captured and changed in place from first to second.
VECTORS = {
    **{u.__name__: lambda x, a, u=u: np.sum(u(x, a)) for u in [getattr(np, name) for name in SMOOTH_TWO]},
    **{
        f"{u.__name__} reversed": lambda x, a, u=u: np.sum(u(a, x))
        for u in (np.subtract, np.divide, np.power, np.arctan2, np.hypot, np.logaddexp, np.floor_divide, np.heaviside)
    },
    "a sum of it": lambda x, a: np.sum(np.sum(a) * x),
    "one entry": lambda x, a: np.sum(a[1] * x**2),
    "a loop over it": lambda x, a: sum([float(v) * x[k] for k, v in enumerate(a)]),
    "a branch on it": lambda x, a: np.sum(x) if a[0] < 1.5 else np.sum(x**2),
    "its length by value": lambda x, a: np.sum(x) * np.count_nonzero(a > 2),
    "a view of it": lambda x, a: np.sum(a[::2] * x[::2] ** 2),
    "a list of it": lambda x, a: np.sum(np.array(list(a)) * x),
    "dot": lambda x, a: np.dot(x, a) ** 2,
    "inner": lambda x, a: np.inner(x, a) ** 2,
    "outer": lambda x, a: np.sum(np.outer(x, a) ** 2),
    "vdot": lambda x, a: np.vdot(x, a) ** 2,
    "cross": lambda x, a: np.sum(np.cross(x[:3], a[:3]) ** 2),
    "kron": lambda x, a: np.sum(np.kron(x, a) ** 2),
    "convolve": lambda x, a: np.sum(np.convolve(x, a) ** 2),
    "correlate": lambda x, a: np.sum(np.correlate(x, a, mode="full") ** 2),
    "polyval": lambda x, a: np.sum(np.polyval(a, x)),
    "interp": lambda x, a: np.sum(np.interp(x, np.sort(a), np.cumsum(a)) ** 2),
    "trapezoid": lambda x, a: np.trapezoid(x**2, np.cumsum(a)),
    "gradient": lambda x, a: np.sum(np.gradient(x**2, np.cumsum(a)) ** 2),
    "average": lambda x, a: np.average(x**2, weights=a),
    "cov": lambda x, a: np.sum(np.cov(x, a)),
    "corrcoef": lambda x, a: np.sum(np.corrcoef(x, a)),
    "einsum": lambda x, a: np.einsum("i,i->", x**2, a),
    "tensordot": lambda x, a: np.tensordot(x, a, axes=1) ** 2,
    "clip": lambda x, a: np.sum(np.clip(x, 1.5, a + 0.5) ** 2),
    "where": lambda x, a: np.sum(np.where(a > 2, x, x**2)),
    "mask": lambda x, a: np.sum(x[a > 2] ** 2),
    "sum where": lambda x, a: np.sum(x**2, where=a > 2),
    "max where": lambda x, a: np.max(x**2, where=a < 3.5, initial=0.0),
    "index": lambda x, a: np.sum(x[a.astype(int) % 4] ** 2),
    "index written": lambda x, a: put(x, a.astype(int) % 4),
    "take": lambda x, a: np.sum(np.take(x, a.astype(int) % 4) ** 2),
    "choose": lambda x, a: np.sum(np.choose(a.astype(int) % 2, [x, x**2])),
    "repeat": lambda x, a: np.sum(np.repeat(x, a.astype(int)) ** 2),
    "roll": lambda x, a: np.roll(x, int(a[0]))[0] ** 2,
    "searchsorted": lambda x, a: np.sum(x * np.searchsorted(np.sort(a), x)),
    "digitize": lambda x, a: np.sum(x * np.digitize(x, np.sort(a))),
    "isin": lambda x, a: np.sum(x * np.isin(x, a)),
    "select": lambda x, a: np.sum(np.select([a > 3, a > 1], [x, x**2], 3 * x)),
    "piecewise": lambda x, a: np.sum(np.piecewise(x, [a > 2], [lambda v: v**2, lambda v: 3 * v])),
    "concatenate": lambda x, a: np.sum(np.cumsum(np.concatenate([a, x])) ** 2),
    "stack": lambda x, a: np.sum(np.prod(np.stack([a, x]), axis=0)),
    "insert": lambda x, a: np.sum(np.cumprod(np.insert(x, 1, a[0]))),
    "diff": lambda x, a: np.sum(np.diff(x, prepend=a[:1]) ** 2),
    "ediff1d": lambda x, a: np.sum(np.ediff1d(x, to_begin=a[0]) ** 2),
    "unwrap of a sum": lambda x, a: np.sum(np.unwrap(x + a) ** 2),
    "compress": lambda x, a: np.sum(np.compress(a > 2, x) ** 2),
    "quantile": lambda x, a: np.sum(np.quantile(x, a / 10)),
    "norm": lambda x, a: np.linalg.norm(x - a / 2),
    "matmul": lambda x, a: (x @ a) ** 2,
    "in place": lambda x, a: added(x, a),
    "a ufunc's out": lambda x, a: np.sum(np.multiply(x, a, out=np.zeros_like(x)) ** 2),
    "a pullback inside": lambda x, a: np.sum(ad.gradient(lambda v: np.sum(v**3 * a), x)[0] ** 2),
}
MATRICES = {
    "product": lambda x, m: np.sum((m @ x) ** 2),
    "quadratic form": lambda x, m: 0.5 * x @ m @ x,
    "solve": lambda x, m: np.sum(np.linalg.solve(m, x) ** 2),
    "solve of a sum": lambda x, m: np.sum(np.linalg.solve(m + np.diag(x), x)),
    "inverse": lambda x, m: np.sum(np.linalg.inv(m) @ x**2),
    "determinant": lambda x, m: np.linalg.det(m + np.outer(x, x)),
    "einsum": lambda x, m: np.einsum("ij,i,j->", m, x, x**2),
    "trace": lambda x, m: np.trace(m * x[:, None]),
    "eigvalsh": lambda x, m: np.sum(np.linalg.eigvalsh(m + m.T + np.diag(x)) ** 2),
    "norm": lambda x, m: np.linalg.norm(m * x),
    "lstsq": lambda x, m: np.sum(np.linalg.lstsq(m, x)[0] ** 2),
    "multi_dot": lambda x, m: np.sum(np.linalg.multi_dot([x, m, m]) ** 2),
    "a row": lambda x, m: np.sum(m[1] * x**2),
    "transposed": lambda x, m: np.sum((m.T @ x) ** 2),
    "trilled": lambda x, m: np.sum((np.tril(m) @ x) ** 2),
    "kept dimensions": lambda x, m: np.sum(x / np.sum(m, axis=1)),
}


def put(x, index):
    y = np.zeros_like(x)
    y[index] = x**2
    return np.sum(y)


def added(x, a):
    y = x * 1.0
    y += a * y
    return np.sum(y**2)


def contents_are_seen(f, start, change, check="never"):
    """Twice as prepared, then after the change, then changed back: the eager result each time."""
    held = start.copy()
    g = lambda x: f(x, held)
    with np.errstate(all="ignore"):
        prepared = ad.prepare(ad.withgradient, g, AutoTape(), X, check=check)
        for step in (None, change, None, lambda a: np.copyto(a, start)):
            if step is not None:
                step(held)
            for x in (X, 1.25 * X):
                got, want = prepared(x), ad.withgradient(g, EAGER, x)
                np.testing.assert_allclose(got.val, want.val, rtol=1e-10)
                same(got.grad, want.grad)


@pytest.mark.parametrize("name", VECTORS)
def test_new_contents_of_a_captured_vector(name):
    contents_are_seen(VECTORS[name], A, lambda a: np.copyto(a, [3.0, 1.0, 2.5, 2.0]))


@pytest.mark.parametrize("name", MATRICES)
def test_new_contents_of_a_captured_matrix(name):
    def change(m):
        m[1, 2] = 5.0
        m[0, 0] = 4.0

    contents_are_seen(MATRICES[name], M, change)


@pytest.mark.parametrize("check", ["always", "sometimes"])
def test_new_contents_are_no_error(check):
    for name in ("power", "a sum of it", "polyval", "one entry", "mask"):
        contents_are_seen(VECTORS[name], A, lambda a: np.copyto(a, [3.0, 1.0, 2.5, 2.0]), check)


def test_a_large_array_that_changes_everywhere():
    data = np.linspace(0.0, 1.0, 20_000)
    f = lambda x: np.sum(np.sum(data) * x) + np.sum(data * np.sum(x))
    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, check="never")
    same(prepared(X), ad.gradient(f, X))
    data *= 2.0
    same(prepared(X), ad.gradient(f, X))


def test_one_entry_of_a_large_array_is_seen_by_a_checked_call():
    data = np.linspace(0.0, 1.0, 20_000)
    f = lambda x: np.sum(np.sum(data) * x)
    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, check="always")
    data[777] += 1000.0
    same(prepared(X), ad.gradient(f, X))


def test_contents_that_keep_changing_end_in_eager():
    w = np.ones(4)
    f = lambda x: np.sum(np.sum(w) * x)
    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, check="never")
    for k in range(8):
        w[0] = k + 2.0
        same(prepared(X), ad.gradient(f, X))
    with pytest.raises(ad.ADSelectError, match="keeps changing"):
        ad.source(prepared)
