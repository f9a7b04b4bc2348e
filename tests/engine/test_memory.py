"""Who owns which array: what happens when somebody writes into an argument, a captured array, a seed or a result."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

import adselect as ad
from adselect import gradient, pullback, pushforward, withgradient, withjacobian

ONES = np.ones(2)


def test_f_may_overwrite_a_captured_array_between_uses(backend):
    scratch = np.zeros(2)

    def f(x):
        total = 0.0
        for k in (1.0, 2.0, 3.0):
            scratch[:] = k
            total = total + np.sum(x * scratch)
        return total

    np.testing.assert_allclose(gradient(f, backend.adtype, ONES)[0], [6.0, 6.0])


def test_f_may_overwrite_a_captured_matrix_between_uses(backend):
    scratch = np.zeros((2, 2))

    def f(x):
        for k in (1.0, 2.0):
            scratch[:] = [[k, 0.0], [1.0, k]]
            x = scratch @ x
        return np.sum(x)

    right = np.array([[2.0, 0], [1, 2]]) @ np.array([[1.0, 0], [1, 1]])
    np.testing.assert_allclose(gradient(f, backend.adtype, ONES)[0], right.sum(0))


def test_f_may_overwrite_a_captured_number(backend):
    class Counter:
        k = 0

    def f(x):
        Counter.k = 0
        y = 0.0
        for _ in range(3):
            Counter.k += 1
            y = y + Counter.k * x
        return y

    assert gradient(f, backend.adtype, 1.0)[0] == pytest.approx(6.0)


def test_later_changes_of_the_argument_do_not_matter(exact_backend):
    x = np.array([1.0, 2.0])
    _, back = pullback(lambda t: t * t, exact_backend.adtype, x)
    x[:] = 100.0
    np.testing.assert_array_equal(back(ONES)[0], [2.0, 4.0])


def test_later_changes_of_a_captured_array_do_not_matter(exact_backend):
    w = np.array([3.0, 4.0])
    _, back = pullback(lambda t: t * w, exact_backend.adtype, np.array([1.0, 2.0]))
    w[:] = 0.0
    np.testing.assert_array_equal(back(ONES)[0], [3.0, 4.0])


def test_later_changes_of_the_value_do_not_matter(exact_backend):
    y, back = pullback(np.exp, exact_backend.adtype, np.zeros(2))
    if y.flags.writeable:
        y[:] = 0.0
    np.testing.assert_array_equal(back(ONES)[0], ONES)


@pytest.mark.parametrize(
    "f", [lambda x: x, lambda x: x[::-1], lambda x: x.reshape(2, 1)], ids=["itself", "view", "reshaped"]
)
def test_results_are_not_the_callers_memory(backend, f):
    """f may return its argument; what comes back is still another array."""
    adtype, x, x_dot = backend.adtype, np.zeros(2), np.zeros(2)
    y, back = pullback(f, adtype, x)
    seed = np.ones(np.shape(y))
    found = {
        "pullback's value": y,
        "pullback's result": back(seed)[0],
        "withgradient's auxiliary": withgradient(lambda t: (np.sum(t), f(t)), adtype, x).val[1],
        "withjacobian's value": withjacobian(f, adtype, x).val,
        "pushforward's value": pushforward(f, adtype, (x,), (x_dot,))[0],
        "pushforward's tangent": pushforward(f, adtype, (x,), (x_dot,))[1],
    }
    shared = [k for k, v in found.items() for owner in (x, x_dot, seed) if np.shares_memory(v, owner)]
    assert not shared


def test_seeds_and_results_share_no_memory(exact_backend):
    seed = np.ones(3)
    _, back = pullback(lambda t: t + 0.0, exact_backend.adtype, np.zeros(3))
    first, second = back(seed)[0], back(seed)[0]
    assert not np.shares_memory(first, seed)
    assert not np.shares_memory(first, second)
    a, b = gradient(lambda p, q: np.sum(p + q), exact_backend.adtype, np.zeros(3), np.ones(3))
    assert not np.shares_memory(a, b)


def test_results_are_writeable(exact_backend):
    """A gradient is the caller's own array: an optimiser may scale it in place."""
    adtype = exact_backend.adtype
    for grad in (
        gradient(lambda x: np.sum(x), adtype, ONES)[0],
        gradient(lambda x: np.sum(np.exp(x)), adtype, ONES)[0],
        ad.jacobian(lambda x: x * 1.0, adtype, ONES)[0],
        ad.hessian(lambda x: np.sum(x**3), adtype, ONES),
        ad.hvp(lambda x: np.sum(x**3), adtype, ONES, ONES),
    ):
        assert grad.flags.writeable
        grad *= 0.5


def test_nothing_is_done_to_constants(backend):
    w = np.array([1.0, 2.0])
    w.flags.writeable = False
    gradient(lambda x: np.sum(x * w), backend.adtype, ONES)
    assert w.tolist() == [1.0, 2.0]


def test_rolling_and_joining_keep_no_array():
    """Their derivatives look at shapes only: the arrays they were given and gave are free once f is done with them."""
    x, born = np.ones(5000), []

    def f(x):
        y = np.roll(x * 2.0, 1)
        born.append(weakref.ref(y._primal))
        z = np.concatenate([y, y]) + 1.0
        return np.sum(z)

    _, back = ad.pullback(f, ad.AutoTape(), x)
    assert born[0]() is None
    np.testing.assert_array_equal(back(1.0)[0], np.full(5000, 4.0))
