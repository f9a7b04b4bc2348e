"""Finite differences: accuracy where steps are hard to choose, honest error estimates, what f receives, executors."""

from __future__ import annotations

import functools
import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from samples.functions import Counted, rosenbrock

import adselect as ad
from adselect import hvp, jacobian, pushforward
from adselect.adtypes import AutoFiniteDifferences, AutoForward, AutoTape
from adselect.backends.choice import backend_of
from adselect.backends.finite_differences.backend import (
    FiniteDifferencesBackend,
    gradient_with_error,
    one_sided_stencil,
    stencil,
)
from adselect.errors import ADSelectError, ADSelectTypeError, ADSelectValueError, UnsupportedError

COS1 = math.cos(1.0)


def differences():
    return FiniteDifferencesBackend(AutoFiniteDifferences())


def gradient(f, *args, adtype=None):
    return gradient_with_error(f, adtype or AutoFiniteDifferences(), *args)[0]


# -- stencils --------------------------------------------------------------------------------------------------------


def test_stencil_coefficients_are_exact():
    assert stencil(2) == ((1, 0.5),)
    assert stencil(4) == ((1, 2 / 3), (2, -1 / 12))
    assert one_sided_stencil(2) == ((0, -1.5), (1, 2.0), (2, -0.5))


@pytest.mark.parametrize("order", [1, 3, 0, -2, 2.5])
def test_an_order_without_a_central_stencil_is_refused(order):
    with pytest.raises(ADSelectError, match="order"):
        FiniteDifferencesBackend(AutoFiniteDifferences(order=order))


# -- accuracy --------------------------------------------------------------------------------------------------------

HARD = {
    # name: f, x, exact derivative
    "smooth": (math.sin, 1.0, COS1),
    "tiny argument": (lambda x: math.sin(x * 1e8), 2.0**-27, 1e8 * math.cos(1e8 * 2.0**-27)),
    "large offset": (lambda x: math.sin(x - 1e10), 1e10 + 0.5, math.cos(0.5)),
    "fast oscillation": (lambda x: math.sin(1e6 * x), 1.0, 1e6 * math.cos(1e6)),
    "a period that divides 1": (lambda x: math.sin(128 * math.pi * x), 1.0, 128 * math.pi),
    "close to a pole": (lambda x: 1 / (x - 1), 1 + 2.0**-10, -(2.0**20)),
    "close to a kink": (lambda x: abs(x - 1), 1 + 1e-9, 1.0),
    "close to the edge of the domain": (math.sqrt, 2.0**-40, 2.0**19),
    "close to overflow": (math.exp, 700.0, math.exp(700.0)),
    "at zero, small scale": (lambda x: math.sin(1e9 * x), 0.0, 1e9),
    "at zero, large scale": (lambda x: math.sin(1e-9 * x), 0.0, 1e-9),
    "huge argument, tiny slope": (lambda x: x * 1e-300, 1e300, 1e-300),
    "hidden by rounding": (lambda x: 1e6 + 1e-6 * np.tanh(x), 1.0, 1e-6 / np.cosh(1.0) ** 2),
}


@pytest.mark.parametrize("name", HARD)
def test_hard_steps(name):
    f, x, exact = HARD[name]
    (got,), (error,) = gradient_with_error(f, x)
    assert got == pytest.approx(exact, rel=1e-6, abs=0)
    assert abs(got - exact) <= error + 1e-13 * abs(exact)


def test_badly_scaled_coordinates_are_right_componentwise():
    def brown(x):
        return (x[0] - 1e6) ** 2 + (x[1] - 2e-6) ** 2 + (x[0] * x[1] - 2) ** 2

    (got,) = gradient(brown, np.ones(2))
    np.testing.assert_allclose(got, [-2e6, -4e-6], rtol=1e-6)


def test_large_steps_do_not_mistake_saturation_for_a_zero_slope():
    # math.tanh takes no complex number: only real differences can answer.
    exact = 1e-6 / math.cosh(1.0) ** 2
    (got,), (error,) = gradient_with_error(lambda x: 1e6 + 1e-6 * math.tanh(x), 1.0)
    assert abs(got - exact) <= error < 0.1 * exact


@pytest.mark.parametrize(
    "rounded",
    [
        lambda x: float(np.float32(math.sin(x))),
        lambda x: float(np.sin(np.float32(x))),
        lambda x: round(math.sin(x), 6),
    ],
)
def test_rounding_inside_f_shows_in_the_error_estimate(rounded):
    (got,), (error,) = gradient_with_error(rounded, 1.0)
    assert abs(got - COS1) <= error
    assert error < 1e-3


def test_random_noise_shows_in_the_error_estimate():
    random = np.random.default_rng(0)
    (got,), (error,) = gradient_with_error(lambda x: math.sin(x) + 1e-6 * random.standard_normal(), 1.0)
    assert abs(got - COS1) <= 2 * error
    assert 1e-7 < error < 1e-2


def test_the_imaginary_step_is_not_believed_against_the_differences():
    # |z| of a complex argument has imaginary part 0: believed, the slope of abs would come out 0.
    (got,) = gradient(lambda x: np.abs(x) + 1e-7 * np.tanh(x - 1) + 1e5, 1.0)
    assert got == pytest.approx(1 + 1e-7, rel=1e-8)


@pytest.mark.parametrize(
    ("f", "x", "exact"),
    [
        (abs, 0.0, 0.0),
        (lambda x: max(x, 0.0), 0.0, 0.5),
        (lambda x: x * x, 0.0, 0.0),
        (math.floor, 1.5, 0.0),
        (math.sqrt, 0.0, math.inf),
        (math.asin, 1.0, math.inf),
    ],
)
def test_kinks_and_edges(f, x, exact):
    assert gradient(f, x) == (exact,)


def test_one_sided_where_the_other_side_is_undefined():
    (got,) = gradient(lambda x: np.sqrt(x) ** 4 + 3 * x, 0.0)
    assert got == pytest.approx(3.0, rel=1e-8)


# -- cost ------------------------------------------------------------------------------------------------------------


AT_THE_POINT = 2  # f is evaluated at the point itself before and after the others


def test_a_smooth_coordinate_costs_eight_evaluations():
    f = Counted(rosenbrock)
    gradient(f, np.array([-1.2, 1.0, 0.5, -0.3]))
    assert f.calls == AT_THE_POINT + 4 * 8


def test_a_jacobian_costs_what_a_gradient_costs():
    for rows in (1, 7):
        f = Counted(lambda x, m=rows: np.sin(np.arange(1.0, m + 1)) * np.sum(x**2))
        jacobian(f, AutoFiniteDifferences(), np.array([-1.2, 1.0, 0.5, -0.3]))
        assert f.calls == AT_THE_POINT + 4 * 8


def test_a_coordinate_that_f_ignores_is_exactly_zero_and_cheap():
    f = Counted(lambda x: x[0] ** 2)
    (got,), (error,) = gradient_with_error(f, np.array([3.0, 7.0]))
    assert got[1] == 0.0
    assert error[1] == 0.0
    assert f.calls == AT_THE_POINT + 8 + 14


@pytest.mark.parametrize("order", [2, 4, 6])
def test_a_given_step_and_order_are_used_exactly(order):
    seen = []

    def f(x):
        seen.append(float(x))
        return math.sin(x)

    gradient(f, 1.0, adtype=AutoFiniteDifferences(order=order, step=2.0**-5))
    offsets = sorted(round((x - 1.0) * 32, 9) for x in seen)
    assert offsets == sorted([*range(-order // 2, order // 2 + 1), 0])


def test_steps_per_coordinate():
    seen = []

    def f(x):
        seen.append(x - np.array([1.0, 2.0]))
        return np.sum(x)

    gradient(f, np.array([1.0, 2.0]), adtype=AutoFiniteDifferences(step=np.array([0.5, 0.25])))
    np.testing.assert_array_equal(
        sorted(map(tuple, seen)), [(-0.5, 0), (0, -0.25), (0, 0), (0, 0), (0, 0.25), (0.5, 0)]
    )


def test_a_step_array_of_the_wrong_shape_is_refused():
    with pytest.raises(ADSelectValueError, match=r"\(3,\).*\(2,\)"):
        gradient(np.sum, np.ones(2), adtype=AutoFiniteDifferences(step=np.ones(3)))


# -- what f receives -------------------------------------------------------------------------------------------------


def test_f_receives_plain_values_and_may_write_into_them():
    x = np.array([1.0, 2.0])

    def f(a):
        assert type(a) is np.ndarray
        a *= a
        return float(a.sum())

    np.testing.assert_allclose(gradient(f, x)[0], [2.0, 4.0], rtol=1e-10)
    np.testing.assert_array_equal(x, [1.0, 2.0])


def test_an_integer_is_perturbed_and_still_an_index_and_a_size():
    assert gradient(lambda n: n**3 * 1.0, 2)[0] == pytest.approx(12.0, rel=1e-9)
    assert gradient(lambda n: np.arange(5.0)[n] + np.zeros(n).size + sum(range(n)) + int(n), 3) == (0.0,)
    assert gradient(lambda n: float(len([0] * n)), np.int64(3)) == (0.0,)


def test_an_integer_array_is_perturbed_or_an_index():
    n = np.array([1, 3])
    np.testing.assert_allclose(gradient(lambda n: np.sum(n**2), n)[0], [2.0, 6.0], rtol=1e-9)
    np.testing.assert_array_equal(gradient(lambda n: np.arange(5.0)[n].sum(), n)[0], [0.0, 0.0])


def test_single_precision_arguments_are_perturbed_in_double():
    x = np.array([1.0, 2.0, 3.0], np.float32)
    dtypes = set()

    def f(a):
        dtypes.add(a.dtype.name)
        return np.sum(np.sin(a))

    (got,) = gradient(f, x)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, np.cos(x), rtol=1e-7)
    assert dtypes == {"float32", "float64"}


def test_single_precision_where_f_insists_on_it():
    x = np.array([1.0, 2.0, 3.0], np.float32)

    def f(a):
        if a.dtype != np.float32:
            raise TypeError("single precision only")
        return np.sum(np.sin(a))

    (got,), (error,) = gradient_with_error(f, x)
    np.testing.assert_allclose(got, np.cos(x), rtol=1e-3)
    assert np.all(np.abs(got - np.cos(x)) <= error)


def test_complex_gradient_is_the_direction_of_steepest_ascent():
    assert gradient(lambda z: (z * z).real, 1 + 2j)[0] == pytest.approx(2 - 4j, rel=1e-9)


def test_error_inside_f_reaches_the_user():
    def f(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        gradient(f, 1.0)


def test_outputs_must_keep_their_shape():
    _, _, back = differences().pullback(lambda xs: ([np.zeros(2 if xs[0] == 1.0 else 3)], []), [1.0])
    with pytest.raises(ADSelectValueError, match="shape"):
        back([np.ones(2)])


def test_gradient_with_error_needs_a_scalar():
    with pytest.raises(ADSelectTypeError, match="one real number"):
        gradient_with_error(np.sin, np.ones(2))


# -- pullback and pushforward ----------------------------------------------------------------------------------------


def test_pullback_evaluates_lazily_and_once():
    f = Counted(lambda x: x**3)
    outputs, aux, back = differences().pullback(lambda xs: ([f(xs[0])], ["note"]), [np.array([1.0, 2.0])])
    assert (f.calls, aux) == (1, ["note"])
    np.testing.assert_array_equal(outputs[0], [1.0, 8.0])
    np.testing.assert_allclose(back([np.array([1.0, 0.0])])[0], [3.0, 0.0], atol=1e-12)
    calls = f.calls
    np.testing.assert_allclose(back([np.array([0.0, 1.0])])[0], [0.0, 12.0], rtol=1e-10)
    np.testing.assert_array_equal(back([None])[0], [0.0, 0.0])
    assert f.calls == calls


def test_pushforward_along_a_direction():
    x, v = np.array([0.3, 0.7]), np.array([2.0, -1.0])
    _, (dots,), _ = differences().pushforwards(lambda xs: ([np.sin(xs[0]), np.exp(1j * xs[0])], []), [x], [[v]])
    np.testing.assert_allclose(dots[0], np.cos(x) * v, rtol=1e-10)
    np.testing.assert_allclose(dots[1], 1j * np.exp(1j * x) * v, rtol=1e-10)


def test_pushforward_across_scales_adds_up_coordinates():
    def f(x):
        return np.sin(x[0] * 1e6) + x[1] ** 2 / 1e12

    x = np.array([2.0**-20, 1e6])
    _, (dots,), _ = differences().pushforwards(lambda xs: ([f(xs[0])], []), [x], [[np.ones(2)]])
    assert dots[0] == pytest.approx(1e6 * np.cos(1e6 * x[0]) + 2e-6, rel=1e-6)


def test_differences_of_differences():
    x = np.array([-1.2, 1.0, 0.5])

    def gradients(xs):
        _, _, back = differences().pullback(lambda ys: ([rosenbrock(ys[0])], []), [xs[0]])
        return back([1.0]), []

    _, rows, _ = differences().pushforwards(gradients, [x], [[e] for e in np.eye(3)])
    exact = np.array(
        [[1200 * 1.44 - 400 + 2, 480, 0], [480, 200 + 1200 - 200 + 2, -400], [0, -400, 200]],
    )
    np.testing.assert_allclose(np.stack([r[0] for r in rows]), exact, rtol=1e-8, atol=1e-6)


@pytest.mark.parametrize("outer", [AutoTape(), AutoForward()])
def test_another_derivative_sees_through_the_differences(outer):
    x = np.array([0.3, 0.7, -2.0])

    def gradient_sum(xs):
        _, _, back = differences().pullback(lambda ys: ([np.sum(np.sin(ys[0]) * ys[0])], []), [xs[0]])
        return [np.sum(back([1.0])[0])], []

    _, _, back = backend_of(outer).pullback(gradient_sum, [x])
    np.testing.assert_allclose(back([1.0])[0], 2 * np.cos(x) - x * np.sin(x), rtol=1e-9)


def test_another_derivative_sees_a_captured_value():
    def slope(xs):
        _, _, back = differences().pullback(lambda ys: ([xs[0] * ys[0] ** 2], []), [3.0])
        return back([1.0]), []

    _, _, back = backend_of(AutoTape()).pullback(slope, [2.0])
    assert back([1.0])[0] == pytest.approx(6.0, rel=1e-9)


# -- executors -------------------------------------------------------------------------------------------------------


# Forking is refused a process that runs threads, as it does once JAX is imported.
Processes = functools.partial(ProcessPoolExecutor, mp_context=multiprocessing.get_context("spawn"))


@pytest.mark.parametrize("executor", [ThreadPoolExecutor, Processes], ids=["threads", "processes"])
def test_evaluations_spread_over_an_executor(executor):
    x = np.array([-1.2, 1.0, 0.5, -0.3])
    with executor(2) as pool:
        (got,) = gradient(rosenbrock, x, adtype=AutoFiniteDifferences(executor=pool))
    np.testing.assert_array_equal(got, gradient(rosenbrock, x)[0])


def test_a_function_that_cannot_be_sent_to_a_process_is_explained():
    with Processes(1) as pool, pytest.raises(UnsupportedError, match="top level"):
        gradient(lambda x: x * x, 2.0, adtype=AutoFiniteDifferences(executor=pool))


# -- memory order ----------------------------------------------------------------------------------------------------


def test_f_receives_the_memory_order_of_its_argument():
    x = np.asfortranarray(np.arange(1.0, 7.0).reshape(2, 3))
    weights = np.arange(1.0, 7.0)

    def f(a):
        assert a.flags.f_contiguous
        assert not a.flags.c_contiguous
        return np.sum(a.ravel("K") ** 3 * weights)

    exact = (3 * x.ravel("K") ** 2 * weights).reshape(3, 2).T
    np.testing.assert_allclose(gradient(f, x)[0], exact, rtol=1e-9)
    np.testing.assert_allclose(hvp(f, AutoFiniteDifferences(), x, np.ones((2, 3))), 2 * exact / x, rtol=1e-9)


def test_an_array_without_axes_stays_an_array():
    def f(a):
        assert isinstance(a, np.ndarray)
        return np.sum(a**3)

    x, one = np.array(2.0), np.array(1.0)
    assert pushforward(f, AutoFiniteDifferences(), (x,), (one,))[1] == pytest.approx(12.0)
    assert hvp(f, AutoFiniteDifferences(), x, one) == pytest.approx(12.0)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_flat_at_the_border_of_the_domain_beside_other_terms():
    for f in (lambda x: np.sum(np.power(x, 2.5)), lambda x: np.sum(np.sqrt(x) ** 4), lambda x: np.sum(np.sqrt(x) ** 5)):
        (g,) = ad.gradient(f, ad.AutoFiniteDifferences(), np.array([0.0, 1.0]))
        np.testing.assert_allclose(g, [0.0, ad.gradient(f, np.array([0.5, 1.0]))[0][1]], atol=1e-6)


def test_an_infinite_slope_beside_other_terms():
    (g,) = ad.gradient(lambda x: np.sum(np.sqrt(x)), ad.AutoFiniteDifferences(), np.array([0.0, 1.0]))
    np.testing.assert_allclose(g, [np.inf, 0.5])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_gradient_of_an_infinity_is_not_made_up():
    for power in (-1.0, -2.0):
        (g,) = ad.gradient(lambda x, power=power: np.sum(x**power), ad.AutoFiniteDifferences(), np.array([0.0, 1.0]))
        assert np.isnan(g).all()
