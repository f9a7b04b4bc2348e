"""What finite differences do around the point stays among themselves: warnings, errors, NumPy's settings, f's notes."""

from __future__ import annotations

import functools
import math
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import adselect as ad
from adselect import AutoFiniteDifferences
from adselect.backends.finite_differences.probing import SILENCE
from adselect.errors import ADSelectValueError

FD = AutoFiniteDifferences()
X = np.array([1.0, 2.0])

# Every way to ask for a derivative: (f, x) -> result.
OPERATORS = {
    "gradient": lambda f, a: ad.gradient(f, a, X),
    "withgradient": lambda f, a: ad.withgradient(f, a, X),
    "pullback": lambda f, a: ad.pullback(f, a, X)[1](1.0),
    "jacobian": lambda f, a: ad.jacobian(f, a, X),
    "pushforward": lambda f, a: ad.pushforward(f, a, (X,), (np.ones(2),)),
    "hessian": lambda f, a: ad.hessian(f, a, X),
    "withhessian": lambda f, a: ad.withhessian(f, a, X),
    "hessian_reverse": lambda f, a: ad.hessian_reverse(f, a, X),
    "diaghessian": lambda f, a: ad.diaghessian(f, a, X),
    "hvp": lambda f, a: ad.hvp(f, a, X, np.array([1.0, -1.0])),
    "prepared": lambda f, a: ad.prepare(ad.gradient, f, a, np.zeros(2))(X),
    "prepared hessian": lambda f, a: ad.prepare(ad.hessian, f, a, np.zeros(2))(X),
}
every_operator = pytest.mark.parametrize("name", OPERATORS)
every_choice = pytest.mark.parametrize(
    "adtype", [FD, AutoFiniteDifferences(step=0.25), AutoFiniteDifferences(order=4)], ids=repr
)


# -- warnings --------------------------------------------------------------------------------------------------------


def complains(category):
    """A function that warns at any point but X, and where it is handed complex numbers."""

    def f(x):
        if not np.array_equal(x, X):
            warnings.warn("mine", category, stacklevel=2)
        return np.sum(x**3)

    return f


@every_operator
@pytest.mark.parametrize(
    "category", [UserWarning, RuntimeWarning, DeprecationWarning, np.exceptions.ComplexWarning, ResourceWarning]
)
def test_no_warning_comes_out_of_a_probe(name, category):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        OPERATORS[name](complains(category), FD)
    assert caught == []


@every_operator
def test_warnings_as_errors_change_nothing(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = OPERATORS[name](complains(UserWarning), FD)
    assert repr(result) == repr(OPERATORS[name](complains(UserWarning), FD))


def test_a_function_that_takes_no_complex_numbers_is_not_heard_of():
    # What is hidden by rounding is looked for along the imaginary axis, too; float() of it is a ComplexWarning.
    def f(x):
        y = np.zeros(1)
        y[:] = x
        return 1e6 + 1e-6 * math.tanh(float(y[0]))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ad.gradient(f, FD, 1.0)
        ad.derivative(f, FD, 1.0)
    assert caught == []


def test_the_warning_of_the_plain_call_is_the_users():
    def f(x):
        warnings.warn("of the plain call", UserWarning, stacklevel=2)
        return np.sum(x**2)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ad.gradient(f, FD, X)
    assert [str(w.message) for w in caught] == ["of the plain call"]


def test_other_threads_are_not_silenced():
    heard = []

    def elsewhere():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.warn("loud", UserWarning, stacklevel=1)
        heard.append(len(caught))

    def f(x):
        if not np.array_equal(x, X) and not heard:
            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
        return np.sum(x**2)

    ad.gradient(f, FD, X)
    assert heard == [1]


def test_the_filters_are_as_they_were():
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        ad.hessian(lambda x: np.sum(x**2), AutoFiniteDifferences(executor=pool), X)
        list(pool.map(lambda _: ad.gradient(lambda x: np.sum(x**2), FD, X), range(8)))
    assert warnings.filters == before
    assert SILENCE.deep == 0


def test_what_has_been_said_once_is_not_said_again():
    # catch_warnings would reset the process's memory of warnings already shown.
    def speaks():
        warnings.warn("once", UserWarning, stacklevel=1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        speaks()
        ad.gradient(lambda x: np.sum(x**2), FD, X)
        speaks()
    assert len(caught) == 1


# -- NumPy's settings, errors -----------------------------------------------------------------------------------------


@every_operator
def test_error_state_is_put_back(name):
    states = []

    def f(x):
        states.append(np.geterr())
        if not np.array_equal(x, X):
            np.seterr(all="raise")
        return np.sum(x**2)

    with np.errstate(divide="print", over="call"):
        before = np.geterr()
        OPERATORS[name](f, FD)
        assert np.geterr() == before == states[0]


@every_operator
def test_an_error_on_the_way_is_a_point_outside_the_domain(name):
    class SolverError(Exception):
        pass

    def f(x):
        if x[0] > 1.1 or x[1] > 2.2:
            raise SolverError("did not converge")
        return np.sum(x**3)

    got = _numbers(OPERATORS[name](f, FD))
    np.testing.assert_allclose(got, _numbers(OPERATORS[name](lambda x: np.sum(x**3), ad.AutoTape())), atol=1e-6)


def _numbers(tree):
    return np.concatenate([_numbers(part) for part in tree]) if isinstance(tree, tuple) else np.ravel(tree)


@every_operator
def test_an_error_everywhere_but_at_the_point_says_so(name):
    def f(x):
        assert np.array_equal(x, X), "on the grid only"
        return np.sum(x)

    with pytest.raises(ADSelectValueError, match=r"raised there: AssertionError: on the grid only.*test_probes.py:\d+"):
        OPERATORS[name](f, FD)


# -- what f keeps ----------------------------------------------------------------------------------------------------


class Model:
    """Keeps what it saw last, on itself."""

    def __init__(self):
        self.last, self.seen, self.total = None, [], np.zeros(2)

    def __call__(self, x):
        self.last = x
        self.seen.append(x)
        self.total[:] = x
        return np.sum(x**3)


@every_operator
@every_choice
def test_f_keeps_what_a_plain_call_would_leave_last(name, adtype):
    model, notes = Model(), {}

    def f(x):
        notes["x"] = x
        notes["twice"] = 2 * x
        return model(x)

    OPERATORS[name](f, adtype)
    for kept in (model.last, model.seen[-1], model.seen[0], model.total, notes["x"], notes["twice"] / 2):
        np.testing.assert_array_equal(kept, X)
    assert type(model.last) is np.ndarray


@pytest.mark.parametrize("derivative", [ad.derivative, ad.second_derivative])
@pytest.mark.parametrize("t", [2.0, 2, np.float32(2.0), np.int64(2), 2.0 + 0j])
def test_a_number_is_kept_as_it_was(derivative, t):
    seen = []
    derivative(lambda t: seen.append(t) or t**3, FD, t)
    assert seen[0] == seen[-1] == 2
    assert type(seen[-1]) is type(t)
    assert len(set(seen)) > 5


def test_single_precision_is_kept_as_it_was():
    seen = []
    ad.gradient(lambda x: seen.append(x) or np.sum(x**2), FD, X.astype(np.float32))
    assert seen[-1].dtype == np.float32
    np.testing.assert_array_equal(seen[-1], X)


@every_operator
def test_also_when_an_error_ends_it(name):
    seen = []

    def f(x):
        seen.append(x)
        return np.sum(x) if np.array_equal(x, X) else np.ones(2)  # two shapes: an error of the library

    with pytest.raises(ADSelectValueError, match="shape"):
        OPERATORS[name](f, FD)
    np.testing.assert_array_equal(seen[-1], X)
    assert any(not np.array_equal(x, X) for x in seen)


def test_each_call_of_a_pullback_leaves_the_point():
    seen = []
    y, back = ad.pullback(lambda x: seen.append(x) or x**2, FD, X)
    np.testing.assert_array_equal(y, [1.0, 4.0])
    for seed in (np.ones(2), np.zeros(2)):
        back(seed)
        np.testing.assert_array_equal(seen[-1], X)


def test_under_another_derivative_nothing_is_heard_either():
    def inner(x):
        if x[0] != 1.0 or x[1] != 2.0:
            warnings.warn("mine", UserWarning, stacklevel=2)
        return np.sum(np.log(x - 0.9999))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ad.gradient(lambda x: np.sum(ad.gradient(inner, FD, x)[0]), ad.AutoTape(), X)
    assert [w for w in caught if "mine" in str(w.message)] == []


def test_under_another_derivative_an_error_on_the_way_says_so():
    def inner(x):
        if x[0] > 1.0:
            raise KeyError("no such entry")
        return np.sum(x**2)

    with pytest.raises(ADSelectValueError, match=r"one plain stencil.*KeyError.*no such entry.*step="):
        ad.gradient(lambda x: np.sum(ad.gradient(inner, FD, x)[0]), ad.AutoTape(), X)


def test_under_another_derivative_f_keeps_the_point():
    seen = []

    def inner(x):
        seen.append(x)
        return np.sum(x**3)

    ad.gradient(lambda x: np.sum(ad.gradient(inner, FD, x)[0]), ad.AutoTape(), X)
    np.testing.assert_array_equal(np.asarray([float(v) for v in seen[-1]]), X)


@functools.lru_cache
def cached(a, b):
    return a**2 * b


def test_a_cache_does_not_spoil_the_next_call():
    f = lambda x: cached(float(x[0]), float(x[1]))
    for _ in range(2):
        np.testing.assert_allclose(ad.gradient(f, FD, X)[0], [4.0, 1.0], rtol=1e-8)


def test_threads_leave_the_point_as_well():
    seen = []
    with ThreadPoolExecutor(3) as pool:
        ad.hessian(lambda x: seen.append(x) or np.sum(x**3), AutoFiniteDifferences(executor=pool), X)
    np.testing.assert_array_equal(seen[-1], X)
