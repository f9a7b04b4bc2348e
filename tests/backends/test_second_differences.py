"""Second derivatives by finite differences: accuracy, cost, what is told where noise decides, borders, kinds."""

from __future__ import annotations

import functools
import math
import multiprocessing
import warnings
import zlib
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from samples.functions import Counted, rosenbrock

import adselect as ad
from adselect import AutoFiniteDifferences, AutoTape
from adselect.backends.finite_differences.backend import hessian_with_error
from adselect.backends.finite_differences.stencils import second_stencil
from adselect.errors import ADSelectTypeError, ADSelectValueError, InaccurateDerivativeWarning

FD = AutoFiniteDifferences()
AT_THE_POINT = 2  # evaluations of f at the point itself


@pytest.fixture(autouse=True)
def _no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


X10 = np.array([-1.2, 1.0, 0.5, -0.3, 2.0, -0.7, 0.1, 1.4, -2.2, 0.9])


def test_stencil_coefficients_are_exact():
    assert second_stencil(2) == (-2.0, ((1, 1.0),))
    assert second_stencil(4) == (-5 / 2, ((1, 4 / 3), (2, -1 / 12)))


# -- accuracy --------------------------------------------------------------------------------------------------------

SMOOTH = {
    "cubes": (lambda x: np.sum(np.array([1.0, 2.0, 3.0]) * x**3), [1.0, -2.0, 0.5]),
    "rosenbrock of ten": (rosenbrock, X10),
    "at zero": (lambda x: np.exp(x[0]) * np.cos(x[1]), [0.0, 0.0]),
    "one coordinate at zero": (lambda x: x[0] * x[1] + x[0] ** 2, [0.0, 5.0]),
    "oscillating": (lambda x: np.sin(1000 * x[0]) * x[1], [1.0, 2.0]),
    "scales far apart": (lambda x: np.exp(x[0] * 1e6) + np.exp(x[1] * 1e-6) + x[0] * x[1], [1e-6, 1e6]),
    "badly scaled": (lambda x: (x[0] - 1e6) ** 2 + (x[1] - 2e-6) ** 2 + (x[0] * x[1] - 2) ** 2, [1.0, 1.0]),
    "close to a pole": (lambda x: 1 / (x[0] - 1) + x[1] ** 2, [1 + 2.0**-10, 1.0]),
    "close to the edge": (lambda x: np.log(x[0]) + x[1] ** 2, [1e-9, 2.0]),
    "an edge beside a large number": (lambda x: np.log(1 + 1e-9 - x[0]) * x[1], [1.0, 2.0]),
    "an edge across": (lambda x: np.log(1 - x[0] - x[1]), [0.3, 0.69999]),
    "steep": (lambda x: np.exp(50 * x[0]), [1.0]),
    "narrow": (lambda x: 1 / (1 + 1e4 * (x[0] - 1) ** 2), [1.003]),
    "huge": (lambda x: x[0] ** 1.5, [1e150]),
    "linear algebra": (lambda x: np.linalg.slogdet(np.outer(x, x) + np.diag(x**2))[1], [0.3, 1.0, 2.0]),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_hessian(name):
    f, x = SMOOTH[name]
    x = np.array(x)
    exact = ad.hessian(f, AutoTape(), x)
    got = ad.hessian(f, FD, x)
    np.testing.assert_allclose(got, exact, rtol=1e-6, atol=1e-6 * np.abs(exact).max())
    np.testing.assert_array_equal(got, got.T)
    _, error = hessian_with_error(f, x)
    assert np.all(np.abs(got - exact) <= error + 1e-12 * np.abs(exact))
    v = np.linspace(1.0, -1.0, len(x)) * np.abs(x) + 0.0 if "scale" in name else np.linspace(1.0, -0.5, len(x))
    product = exact @ v
    np.testing.assert_allclose(ad.hvp(f, FD, x, v), product, rtol=1e-5, atol=1e-5 * np.abs(product).max())
    np.testing.assert_allclose(
        ad.diaghessian(f, FD, x)[0], np.diag(exact), rtol=1e-6, atol=1e-6 * np.abs(np.diag(exact)).max()
    )


@pytest.mark.parametrize(
    "f", [lambda x: 3 * x[0] - x[1] + 2, lambda x: 5.0, lambda x: np.sum(x) * 1e8, lambda x: x[0] * 0.1 - 7.3]
)
def test_what_does_not_bend_is_exactly_zero(f):
    x = np.array([0.3, 0.7])
    np.testing.assert_array_equal(ad.hessian(f, FD, x), np.zeros((2, 2)))
    np.testing.assert_array_equal(ad.hvp(f, FD, x, np.ones(2)), np.zeros(2))
    np.testing.assert_array_equal(ad.diaghessian(f, FD, x)[0], np.zeros(2))


def test_coordinates_that_do_not_meet_have_exactly_zero():
    got = ad.hessian(lambda x: np.sum(np.sin(x)), FD, np.array([0.3, 1.0, 2.0]))
    assert np.count_nonzero(got) == 3


def test_value_and_gradient_come_along():
    f = Counted(rosenbrock)
    value, grad, hess = ad.withhessian(f, FD, X10)
    assert value == rosenbrock(X10)
    np.testing.assert_allclose(grad, ad.gradient(rosenbrock, X10)[0], rtol=1e-9)
    calls = f.calls
    np.testing.assert_array_equal(hess, ad.hessian(f, FD, X10))
    assert calls == f.calls - calls  # the gradient is made of the same values


@pytest.mark.parametrize(
    ("f", "t", "exact"),
    [
        (math.sin, 1.0, -math.sin(1.0)),
        (lambda t: t**3, 2.0, 12.0),
        (lambda t: math.exp(-1e6 * t), 1e-6, 1e12 * math.exp(-1.0)),
        (math.lgamma, 3.0, 0.3949340668482264),
        (math.sqrt, 1e-12, -0.25 * 1e18),
    ],
)
def test_second_derivative(f, t, exact):
    assert ad.second_derivative(f, FD, t) == pytest.approx(exact, rel=1e-6)


# -- cost ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        (lambda f, x: ad.hessian(f, FD, x), lambda n: 8 * n * (n + 1) // 2),
        (lambda f, x: ad.hessian_reverse(f, FD, x), lambda n: 8 * n * (n + 1) // 2),
        (lambda f, x: ad.withhessian(f, FD, x), lambda n: 8 * n * (n + 1) // 2),
        (lambda f, x: ad.diaghessian(f, FD, x), lambda n: 8 * n),
        (lambda f, x: ad.hvp(f, FD, x, np.ones(len(x))), lambda n: 16 * n + 8),
        (lambda f, x: ad.hvp(f, FD, x, np.eye(len(x))[0]), lambda n: 8 * n + 8 * (n - 1)),
        (lambda f, x: ad.prepare(ad.hessian, f, FD, 0 * x)(x), lambda n: 8 * n * (n + 1) // 2),
    ],
    ids=["hessian", "hessian_reverse", "withhessian", "diaghessian", "hvp", "hvp of a column", "prepared"],
)
@pytest.mark.parametrize("n", [2, 10])
def test_what_a_smooth_function_costs(operator, expected, n):
    f = Counted(lambda x: np.sum(x**3) + np.prod(x[:2]) * x[-1])
    operator(f, X10[:n])
    assert f.calls == AT_THE_POINT + expected(n)


def test_a_second_derivative_costs_eight_evaluations():
    f = Counted(math.exp)
    ad.second_derivative(f, FD, 1.0)
    assert f.calls == AT_THE_POINT + 8


def test_noise_does_not_run_away_with_the_cost():
    f = Counted(lambda x: round(float(np.sum(np.sin(x)) + x[0] * x[1]), 5))
    hessian_with_error(f, np.array([0.3, 1.0, 2.0]))
    assert f.calls < 400


@pytest.mark.parametrize("order", [2, 4, 6])
def test_a_given_step_and_order_are_used_exactly(order):
    seen = set()

    def f(x):
        seen.add((float(x[0] - 1) * 32, float(x[1] - 2) * 32))
        return x[0] ** 3 * x[1] ** 2

    adtype = AutoFiniteDifferences(order=order, step=2.0**-5)
    got = ad.hessian(f, adtype, np.array([1.0, 2.0]))
    side = [o for o in range(-order // 2, order // 2 + 1) if o]
    assert seen == {(0, 0), *((o, 0) for o in side), *((0, o) for o in side), *((o, o) for o in side)}
    np.testing.assert_allclose(got, [[24.0, 12.0], [12.0, 2.0]], rtol=1e-2 if order == 2 else 1e-9)


def test_a_step_per_coordinate():
    adtype = AutoFiniteDifferences(step=np.array([0.5, 0.25]))
    x, v = np.array([1.0, 2.0]), np.array([1.0, -1.0])
    seen = set()

    def f(x):
        seen.add((float(x[0] - 1), float(x[1] - 2)))
        return x[0] ** 2 * x[1]

    np.testing.assert_allclose(ad.hessian(f, adtype, x), [[4.0, 2.0], [2.0, 0.0]], atol=1e-13)
    assert seen == {(0, 0), (0.5, 0), (-0.5, 0), (0, 0.25), (0, -0.25), (0.5, 0.25), (-0.5, -0.25)}
    np.testing.assert_allclose(ad.hvp(f, adtype, x, v), [2.0, 2.0], atol=1e-13)
    with pytest.raises(ADSelectValueError, match=r"\(3,\).*\(2,\)"):
        ad.hessian(f, AutoFiniteDifferences(step=np.ones(3)), x)


# -- noise -----------------------------------------------------------------------------------------------------------


def shaken(size):
    """sin(x₀)·x₁ with deterministic noise of that size."""

    def f(x):
        y = float(np.sin(x[0]) * x[1])
        return y + size * (zlib.crc32(np.float64(y).tobytes()) / 2**32 - 0.5)

    return f


def truth(x):
    return np.array([[-np.sin(x[0]) * x[1], np.cos(x[0])], [np.cos(x[0]), 0.0]])


NOISY = {
    "1e-8": shaken(1e-8),
    "1e-4": shaken(1e-4),
    "1e-2": shaken(1e-2),
    "1": shaken(1.0),
    "three digits": lambda x: round(float(np.sin(x[0]) * x[1]), 3),
    "one digit": lambda x: round(float(np.sin(x[0]) * x[1]), 1),
    "single precision": lambda x: float(np.float32(np.sin(x[0]) * x[1])),
}


@pytest.mark.parametrize("name", NOISY)
@pytest.mark.parametrize("x", [(1.0, 2.0), (2.5, 0.7), (0.4, 3.1)])
def test_noise_is_told_or_does_no_harm(name, x):
    """A number is right to three digits of the largest, or it comes with a warning; none has the wrong sign."""
    x = np.array(x)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        got = ad.hessian(NOISY[name], FD, x)
    exact = truth(x)
    assert caught or np.all(np.abs(got - exact) <= 3e-3 * np.abs(exact).max())
    assert np.all(got * exact >= 0)
    values, error = hessian_with_error(NOISY[name], x)
    assert np.all(np.abs(values - exact) <= 4 * error)
    np.testing.assert_array_equal(got, got.T)


@pytest.mark.parametrize(
    "operator",
    [
        lambda f, x: ad.hessian(f, FD, x),
        lambda f, x: ad.withhessian(f, FD, x),
        lambda f, x: ad.hessian_reverse(f, FD, x),
        lambda f, x: ad.diaghessian(f, FD, x),
        lambda f, x: ad.hvp(f, FD, x, np.ones(2)),
        lambda f, x: ad.hvp(f, FD, x, np.array([1.0, 0.0])),
        lambda f, x: ad.second_derivative(lambda t: f(np.array([t, 2.0])), FD, 1.0),
        lambda f, x: ad.prepare(ad.hessian, f, FD, x)(x),
    ],
)
def test_noise_that_decides_is_told_at_the_users_line(operator):
    with pytest.warns(
        InaccurateDerivativeWarning, match=r"not known to three digits.*±.*AutoTape\(\).*step="
    ) as caught:
        operator(shaken(0.1), np.array([1.0, 2.0]))
    assert caught[0].filename == __file__
    assert issubclass(InaccurateDerivativeWarning, UserWarning)


@pytest.mark.parametrize("offset", [1e6, 1e10, 1e13])
def test_curvature_hidden_by_an_offset_is_found_or_told(offset):
    x = np.array([1.0, 2.0])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        got = ad.hessian(lambda x: offset + float(np.sum(np.sin(x))), FD, x)
    assert caught or np.allclose(got, np.diag(-np.sin(x)), atol=1e-3)
    assert bool(caught) == (offset > 1e6)


def test_a_curvature_far_below_the_others_is_told():
    with pytest.warns(InaccurateDerivativeWarning):
        ad.hessian(lambda x: 50.0 + x[0] + np.log1p(np.exp(x[1] - 30.0)) + np.exp(-x[2]) * 1e-12, FD, np.ones(3))


def test_errors_asked_for():
    h, e = hessian_with_error(lambda x: np.exp(x[0]) * x[1], AutoFiniteDifferences(step=1e-3), np.ones(2))
    assert np.isnan(e).all()
    np.testing.assert_allclose(h, [[math.e, math.e], [math.e, 0.0]], atol=1e-5)
    with pytest.raises(ADSelectTypeError, match="one real number"):
        hessian_with_error(np.sin, np.ones(2))
    with pytest.raises(ADSelectTypeError, match="join"):
        hessian_with_error(lambda a, b: a * b, 1.0, 2.0)


# -- borders and kinks -----------------------------------------------------------------------------------------------


def test_at_the_border_of_the_domain():
    got = ad.hessian(lambda x: np.sqrt(x[0]) ** 5 + 3 * x[0] * x[1], FD, np.array([0.0, 1.0]))
    np.testing.assert_allclose(got, [[0.0, 3.0], [3.0, 0.0]], atol=1e-6)
    got = ad.hessian(lambda x: np.sqrt(x[0]) + x[1] ** 2, FD, np.array([0.0, 1.0]))
    np.testing.assert_allclose(got, [[-np.inf, 0.0], [0.0, 2.0]], atol=1e-8)
    assert ad.hessian(math.sqrt, FD, 0.0) == -math.inf
    # From one side the quotient is all there is.
    assert ad.second_derivative(lambda t: math.sqrt(t) ** 4 * 3 + t, FD, 0.0) == pytest.approx(6.0, rel=1e-6)


@pytest.mark.parametrize(
    ("f", "exact"),
    [
        (lambda x: np.sum(np.abs(x - 1)), np.zeros((2, 2))),
        (lambda x: np.abs(x[0] - x[1]), np.zeros((2, 2))),
        (lambda x: np.maximum(x[0] - 1, 0) * 3 + x[1] ** 2, np.diag([0.0, 2.0])),
        (lambda x: np.abs(x[0] - 1) + x[0] ** 2 * x[1], np.array([[2.0, 2.0], [2.0, 0.0]])),
    ],
)
def test_a_kink_has_the_curvature_beside_it(f, exact):
    np.testing.assert_allclose(ad.hessian(f, FD, np.ones(2)), exact, atol=1e-7)


def test_outside_the_domain_it_is_told():
    def f(x):
        if x[0] != 1.0:
            raise ValueError("outside")
        return 0.0

    with pytest.warns(InaccurateDerivativeWarning):
        assert np.isnan(ad.hessian(f, FD, np.ones(1))).all()


# -- kinds -----------------------------------------------------------------------------------------------------------

KINDS = {
    "int": lambda a: ad.hessian(lambda x: x**3, a, 2),
    "int array": lambda a: ad.hessian(lambda x: np.sum(x**3), a, np.array([1, 2])),
    "float32": lambda a: ad.hessian(lambda x: np.sum(x**3) * x[0], a, np.array([1, 2], np.float32)),
    "float32 number": lambda a: ad.second_derivative(lambda x: x**3, a, np.float32(2)),
    "no axes": lambda a: ad.hessian(lambda x: np.sum(x**3), a, np.array(2.0)),
    "matrix": lambda a: ad.withhessian(lambda x: np.sum(x**3) * x[0, 1], a, np.arange(1.0, 5).reshape(2, 2)),
    "nothing": lambda a: ad.hessian(lambda x: 0.0, a, np.ones(0)),
    "complex": lambda a: ad.hessian(lambda z: abs(z) ** 2 + (z**3).real, a, 1 + 2j),
    "complex array": lambda a: ad.hessian(lambda z: np.sum(np.abs(z) ** 4), a, np.array([1 + 2j, 0.5])),
    "complex hvp": lambda a: ad.hvp(lambda z: np.sum(np.abs(z) ** 4), a, np.array([1 + 2j, 0.5]), np.array([1j, 2])),
    "complex diagonal": lambda a: ad.diaghessian(lambda z: np.sum(np.abs(z) ** 4), a, np.array([1 + 2j, 0.5])),
    "holomorphic": lambda a: ad.second_derivative(lambda z: z**3, a, 1 + 2j),
    "several arguments": lambda a: ad.diaghessian(lambda x, y: np.sum(x**3) * y**2, a, np.array([[1, 2], [3, 4]]), 2),
    "constant argument": lambda a: ad.diaghessian(lambda x, y: x**2 * y, a, 1.5, ad.Const(2.0)),
    "structure": lambda a: ad.hvp(
        lambda d: np.sum(d["w"] ** 3) * d["b"][0],
        a,
        {"w": np.array([1.0, 2.0]), "b": (3, "text")},
        {"w": np.array([1.0, 2.0]), "b": (3.0, None)},
    ),
    "no tangent": lambda a: ad.hvp(lambda p: np.sum(p[0] ** 2 * p[1]), a, (np.ones(2), 2.0), (np.ones(2), None)),
    "outputs": lambda a: ad.second_derivative(lambda t: {"a": t**2, "b": (t**3 * np.ones(2), "x")}, a, 2.0),
    "keywords": lambda a: ad.hessian(lambda x, *, p: np.sum(x**p), a, np.array([1.0, 2.0]), p=4),
}


def same(got, expected):
    if isinstance(expected, dict):
        assert list(got) == list(expected)
        got, expected = tuple(got.values()), tuple(expected.values())
    assert type(got) is type(expected)
    if isinstance(expected, tuple):
        for g, e in zip(got, expected, strict=True):
            same(g, e)
    elif expected is not None:
        assert np.asarray(got).dtype == np.asarray(expected).dtype
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_results_are_of_the_kinds_of_the_tape(name):
    same(KINDS[name](FD), KINDS[name](AutoTape()))


def test_tensors():
    torch = pytest.importorskip("torch")
    x = torch.tensor([1.0, 2.0], dtype=torch.float64)
    got = ad.hessian(lambda x: (x**3).sum(), FD, x)
    assert isinstance(got, torch.Tensor)
    np.testing.assert_allclose(got.numpy(), [[6.0, 0.0], [0.0, 12.0]], atol=1e-9)
    assert isinstance(ad.hvp(lambda x: (x**3).sum(), FD, x, x), torch.Tensor)
    assert isinstance(ad.diaghessian(lambda x: (x**3).sum(), FD, x)[0], torch.Tensor)


def test_an_integer_array_that_is_an_index():
    got = ad.hessian(lambda n: np.arange(5.0)[n].sum(), FD, np.array([1, 2]))
    np.testing.assert_array_equal(got, np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("inner", "exact"),
    [
        (lambda y: np.sum(ad.hvp(lambda x: np.sum(x**3), FD, y, np.ones(2))), [6.0, 6.0]),
        (lambda y: np.sum(ad.hessian(lambda x: np.sum(x**3), FD, y)), [6.0, 6.0]),
        (lambda y: np.sum(ad.diaghessian(lambda x: np.sum(x**3), FD, y)[0]), [6.0, 6.0]),
        (lambda y: ad.second_derivative(lambda t: t**3 * y[0], FD, 2.0), [12.0, 0.0]),
    ],
)
def test_another_derivative_sees_through(inner, exact):
    np.testing.assert_allclose(
        ad.gradient(inner, AutoTape(), np.array([1.0, 2.0]), missing="zeros")[0], exact, rtol=1e-6
    )


# -- executors -------------------------------------------------------------------------------------------------------

Processes = functools.partial(ProcessPoolExecutor, mp_context=multiprocessing.get_context("spawn"))


@pytest.mark.parametrize("executor", [ThreadPoolExecutor, Processes], ids=["threads", "processes"])
def test_evaluations_spread_over_an_executor(executor):
    x, v = X10[:3], np.array([1.0, -1.0, 0.5])
    with executor(2) as pool:
        adtype = AutoFiniteDifferences(executor=pool)
        np.testing.assert_array_equal(ad.hessian(rosenbrock, adtype, x), ad.hessian(rosenbrock, FD, x))
        np.testing.assert_array_equal(ad.hvp(rosenbrock, adtype, x, v), ad.hvp(rosenbrock, FD, x, v))
        np.testing.assert_array_equal(ad.diaghessian(rosenbrock, adtype, x)[0], ad.diaghessian(rosenbrock, FD, x)[0])
        assert ad.second_derivative(math.sin, adtype, 1.0) == ad.second_derivative(math.sin, FD, 1.0)
