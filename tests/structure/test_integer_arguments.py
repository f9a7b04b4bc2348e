"""An array of integers counts as its float64 values: nothing wraps. As an index or a size it is what it is."""

import numpy as np
import pytest

import adselect as ad

W = np.array([1.0, 2.0, 3.0, 4.0])
I = np.array([2, 0, 2], dtype=np.uint8)  # noqa: E741
TABLE = np.array([3.0, 5.0, 7.0, 9.0])


def written(w, i):
    y = w * 1
    y[i] = w[:3] ** 2
    return np.sum(y**2)


def added(w, i):
    y = w * 1
    np.add.at(y, i, w[:3] ** 2)
    return np.sum(y**2)


def changed(w, i):
    j = np.copy(i)
    j[0] = j[1] + 1
    j += 1
    return np.sum(w[j] ** 2)


INDICES = {
    "array": lambda w, i: np.sum(w[i] ** 2),
    "arithmetic": lambda w, i: np.sum(w[(i + 3) % 4] ** 2),
    "below zero": lambda w, i: np.sum(w[i - 3] ** 2),
    "element": lambda w, i: w[i[0]] ** 2,
    "loop": lambda w, i: sum(w[k] ** 2 for k in i),
    "range": lambda w, i: sum(w[k] for k in range(i[0])),
    "int": lambda w, i: w[int(i[0])] ** 2,
    "slice": lambda w, i: np.sum(w[: i[0]] ** 2),
    "list": lambda w, i: np.sum(w[[i[0], i[1]]] ** 2),
    "reshaped": lambda w, i: np.sum(w[i.reshape(3, 1).T] ** 2),
    "moved": lambda w, i: np.sum(w[np.concatenate([i, np.sort(i)[::-1]])] ** 2 * np.arange(6)),
    "chosen": lambda w, i: np.sum(w[np.where(i > 0, i, 1)] ** 2),
    "clipped": lambda w, i: np.sum(w[np.clip(i, 1, 2)] ** 2),
    "largest": lambda w, i: w[np.max(i)] ** 2,
    "plain table": lambda w, i: np.sum(TABLE[i] * w[:3]),
    "plain table, two indices": lambda w, i: np.sum(TABLE.reshape(2, 2)[i // 2, i * 0] * w[:3]),
    "take": lambda w, i: np.sum(np.take(w, i) ** 2),
    "method": lambda w, i: np.sum(w.take(i) ** 2),
    "take_along_axis": lambda w, i: np.sum(np.take_along_axis(w, i, 0) ** 2),
    "bincount": lambda w, i: np.sum(np.bincount(i, minlength=4) * w),
    "weights": lambda w, i: np.sum(np.bincount(i, weights=w[:3], minlength=4) ** 2),
    "repeat": lambda w, i: np.sum(np.repeat(w[:3], i) ** 2),
    "roll": lambda w, i: np.sum(np.roll(w, i[0]) * np.arange(4.0)),
    "split": lambda w, i: np.sum(np.split(w, i[:1])[0] ** 2),
    "sizes": lambda w, i: np.sum(np.zeros((i[0], 2))) + np.sum(w.reshape(i[0], -1)[0] ** 2),
    "axis": lambda w, i: np.sum(w.reshape(2, 2).sum(axis=i[1]) ** 2),
    "bits": lambda w, i: np.sum(w[i & 1] ** 2) + np.sum(w[i >> 1]),
    "astype": lambda w, i: np.sum(w[i.astype(int)] ** 2),
    "exponent": lambda w, i: np.sum(np.ldexp(w[:3], i)),
    "written": written,
    "added": added,
    "changed": changed,
}


@pytest.mark.parametrize("case", INDICES)
def test_integers_are_indices(exact_backend, case):
    f = INDICES[case]
    (want,) = ad.gradient(lambda w: f(w, I.astype(int)), W)
    np.testing.assert_allclose(ad.gradient(f, exact_backend.adtype, W, I)[0], want)


@pytest.mark.parametrize("case", INDICES)
def test_integers_are_indices_in_a_prepared_call(case):
    f = INDICES[case]
    prepared = ad.prepare(ad.gradient, f, ad.AutoTape(), W, I)
    assert not prepared.reason
    for i in (I, np.array([1, 2, 1], dtype=np.uint8), I):
        try:
            (want,) = ad.gradient(lambda w, i=i: f(w, i.astype(int)), W)
        except (IndexError, ValueError):
            continue
        np.testing.assert_allclose(prepared(W, i)[0], want)


@pytest.mark.parametrize(
    ("f", "x", "want"),
    [
        (lambda x: np.sum(x**30), np.array([10]), [3e30]),
        (lambda x: np.sum((2 - x) ** 2), np.array([5], np.uint8), [6.0]),
        (lambda x: np.sum((2 - x) ** 2), np.uint8(5), 6.0),
        (lambda x: x**30, np.int64(10), 3e30),
        (lambda x: np.prod(x), np.array([2**40, 2**40]), [2.0**40] * 2),
        (lambda x: x @ x, np.array([2**40, 2**40]), [2.0**41] * 2),
        (lambda x: np.sum(x), np.array([200, 100], np.uint8), [1.0, 1.0]),
        (lambda x: np.sum(x * x), np.array([-128, 100], np.int8), [-256.0, 200.0]),
    ],
)
def test_nothing_wraps(exact_backend, f, x, want):
    value, (g,) = ad.withgradient(f, exact_backend.adtype, x)
    np.testing.assert_allclose(g, want)
    assert g.dtype == np.float64
    np.testing.assert_allclose(value, f(x.astype(float)))
    np.testing.assert_allclose(np.ravel(ad.jacobian(f, exact_backend.adtype, x)[0]), np.ravel(want))


def test_a_product_with_a_python_integer_does_not_wrap(exact_backend):
    g = ad.gradient(lambda w, k: w[k[0]] ** 2 * k[1] ** 30, exact_backend.adtype, W, [2, 10])
    np.testing.assert_allclose(g[0], [0, 0, 6e30, 0])
    assert g[1][0] is None
    np.testing.assert_allclose(g[1][1], 2.7e31)


def test_they_are_floats_to_code_that_asks(exact_backend):
    def f(w, i):
        assert i.dtype == np.float64
        assert isinstance(i, np.ndarray)
        assert isinstance(i[0], float)
        assert not isinstance(i[0], (int, np.integer))
        return np.sum(w)

    ad.gradient(f, exact_backend.adtype, W, I)


def test_what_is_no_integer_is_no_index(exact_backend):
    with pytest.raises(IndexError, match="used as an index"):
        ad.gradient(lambda w, i: np.sum(w[i / 2]), exact_backend.adtype, W, I)


def test_second_order(exact_backend):
    hess = ad.hessian(lambda x: np.sum(x**25), exact_backend.adtype, np.array([10, 2]))
    np.testing.assert_allclose(hess, np.diag([6e25, 600.0 * 2**23]))
    (inner,) = ad.gradient(
        lambda i: np.sum(ad.gradient(lambda w: np.sum(w[i] ** 2), W)[0]) + np.sum(i), ad.AutoTape(), I
    )
    np.testing.assert_allclose(inner, [1.0, 1.0, 1.0])
