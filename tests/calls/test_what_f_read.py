"""What f read and later overwrote counts as it was when it was read."""

import numpy as np
import pytest

import adselect as ad

X = np.array([1.0, 2.0, 3.0, 4.0])


def growing_list(x):
    total, places = 0.0, []
    for k in range(3):
        places.append(k)
        total = total + np.sum(x[places] ** 2)
    return total


def list_in_take(x):
    total, places = 0.0, [0, 1]
    for k in range(3):
        places[1] = k
        total = total + np.sum(np.take(x, places) ** 2) + np.sum(np.reshape(x, (2, 2))[:, [places[1] % 2]])
    return total


def index_arrays(x):
    total, i, m = 0.0, np.zeros(2, int), x.reshape(2, 2)
    for k in range(2):
        i[:] = k
        total = total + np.sum(x[i] ** 2) + np.sum(m[0, i] ** 2) + np.sum(np.take_along_axis(x, i, 0) ** 3)
    return total


def masks(x):
    total, mask = 0.0, np.zeros(4, bool)
    for k in range(3):
        mask[:] = False
        mask[k] = True
        total = total + np.sum(x[mask] ** 2) + np.sum(np.where(mask, x, 0) ** 3) + np.sum(x**2, where=mask)
    return total


def where_option(x):
    y, mask = np.zeros_like(x), np.array([True, False, True, False])
    np.multiply(x, x, out=y, where=mask)
    mask[:] = False
    return np.sum(y**2)


def writes(x):
    y, rows, columns = np.zeros((3, 3), like=x), np.array([0, 1]), np.array([0, 2])
    y[rows, columns] = x[:2] ** 2
    rows[:] = 2
    y[rows, columns] += x[2:]
    columns[:] = 0
    return np.sum(y**3)


def writes_at_a_list(x):
    y, places = np.zeros_like(x), [0, 1]
    y[places] = x[:2]
    places[0] = 3
    y[places] = x[:2] ** 2
    places[1] = 2
    return np.sum(y**2)


def add_at(x):
    y, i = x * 1, np.array([0, 1])
    for k in range(3):
        i[:] = k
        np.add.at(y, i, x[:2] ** 2)
    return np.sum(y**2)


def operands(x):
    total, plain, number, weights, matrix = 0.0, [1.0, 2.0, 3.0, 4.0], np.array(1.0), np.ones(4), np.eye(4)
    for k in range(3):
        plain[k], number[...], weights[k], matrix[0, 1] = 7.0, k, 5.0, k
        total = total + np.dot(x * x, plain) + np.sum(x**2 * number) + np.average(x**2, weights=weights)
        total = total + np.einsum("i,ij,j->", x, matrix, x) + np.sum(np.clip(x, weights / 2, 10) ** 2)
    return total


def reused_one_hot(x):
    total, hot = 0.0, np.zeros(5000)
    for k in (0, 1, 0, 3):
        hot[:] = 0
        hot[k] = 1.0
        total = total + np.sum(hot * x[0] ** 2) * (k + 1) + np.sum(hot[:, None] * x**2 * X)
    hot[:] = 0
    hot[0] = 1.0
    return total


PROGRAMS = [
    *(growing_list, list_in_take, index_arrays, masks, where_option, writes, writes_at_a_list),
    *(add_at, operands, reused_one_hot),
]


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_it_counts_as_it_was(exact_backend, f):
    (want,) = ad.gradient(f, ad.AutoFiniteDifferences(), X)
    np.testing.assert_allclose(ad.gradient(f, exact_backend.adtype, X)[0], want, rtol=1e-6)


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_in_second_order(f):
    want = ad.hessian(f, ad.AutoFiniteDifferences(), X)
    np.testing.assert_allclose(ad.hessian(f, X), want, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(ad.hessian_reverse(f, X), want, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("n", [4, 5000, 100_000])
@pytest.mark.parametrize("what", ["operand", "argument"])
def test_one_entry_changed_before_the_pullback(exact_backend, n, what):
    if exact_backend.name == "forward" and n > 4:
        pytest.skip("one direction per entry")
    rng = np.random.default_rng(0)
    x, a = rng.random(n), rng.random(n)
    want = 3 * x**2 * a
    _, back = ad.pullback(lambda x: np.sum(x**3 * a), exact_backend.adtype, x)
    (a if what == "operand" else x)[3] += 1
    if n > 65536 and (exact_backend.name == "tape" or (exact_backend.name == "torch" and what == "operand")):
        with pytest.raises(ad.TracedValueError, match="was written to"):
            back(1.0)
        return
    np.testing.assert_allclose(back(1.0)[0], want)


@pytest.mark.parametrize("dtype", [float, np.float32, complex, int, bool, np.uint8, ">f8"])
def test_the_mark_of_an_array_shows_every_change(dtype):
    from adselect.face.watching import fingerprint

    rng = np.random.default_rng(1)
    array = (rng.random(5000) * 100).astype(dtype)
    mark = fingerprint(array)
    assert fingerprint(array.copy()) == mark
    for i in (0, 1, 777, 4999):
        changed = array.copy()
        changed[i] = not changed[i] if dtype is bool else changed[i] + 1
        assert fingerprint(changed) != mark
    if dtype is not bool:
        hot = np.zeros(5000, dtype)
        marks = set()
        for i in (0, 1, 255, 256, 1024, 2048, 4999):
            hot[:] = 0
            hot[i] = 1
            marks.add(fingerprint(hot))
        assert len(marks) == 7
    stripes = np.arange(5000) % 2
    assert fingerprint(stripes.astype(dtype)) != fingerprint((1 - stripes).astype(dtype))
