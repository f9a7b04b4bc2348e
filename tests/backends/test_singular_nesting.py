"""Derivatives at kinks and infinite slopes, of derivatives that another backend takes inside, and of repaired ones."""

import itertools

import numpy as np
import pytest
from conftest import EXACT, present

import adselect as ad

INSIDE = [b for b in EXACT if b.name in ("tape", "forward")]
PAIRS = list(itertools.product(EXACT, INSIDE))
ZEROS = np.zeros(2)
ACROSS = np.array([1.0, 2.0])
KINKED = {
    "norm": (lambda x: np.linalg.norm(x), ZEROS),
    "norm squared": (lambda x: np.linalg.norm(x) ** 2, ZEROS),
    "root of a product": (lambda x: np.sqrt(x @ x) ** 2, ZEROS),
    "hypot squared": (lambda x: np.hypot(x[0], x[1]) ** 2, ZEROS),
    "variance by std": (lambda x: np.std(x) ** 2, ZEROS),
}


@pytest.fixture(params=PAIRS, ids=lambda pair: f"{pair[1].name} in {pair[0].name}")
def nested(request):
    outer, inner = request.param
    return present(outer).adtype, present(inner).adtype


@pytest.mark.parametrize("name", KINKED)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_no_second_derivative_at_a_kink(nested, name):
    outer, inner = nested
    f, x = KINKED[name]
    assert np.isnan(ad.jacobian(lambda x: ad.gradient(f, inner, x)[0], outer, x)[0]).any()


@pytest.mark.parametrize("name", [name for name in KINKED if name != "norm"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_nor_one_by_a_captured_value(nested, name):
    outer, inner = nested
    f, x = KINKED[name]
    (g,) = ad.gradient(lambda x: ad.gradient(lambda t: f(x + t * ACROSS), inner, 0.0)[0], outer, x)
    assert np.isnan(g).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_entries_beside_an_infinite_slope_keep_theirs(nested):
    outer, inner = nested

    def f(x):
        return np.sum(np.where(x > 0, x * np.log(x), 0.0))

    second = ad.jacobian(lambda x: ad.gradient(f, inner, x)[0], outer, np.array([0.0, 1.0, 2.0]))[0]
    np.testing.assert_allclose(second[1:, 1:], [[1.0, 0.0], [0.0, 0.5]])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_repaired_product_of_matrices_keeps_its_derivative(exact_backend):
    adtype, q, x = exact_backend.adtype, np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([0.0, 1.0])

    def f(x):
        return np.sum(np.sqrt(q @ x))

    _, y_dot = ad.pushforward(f, adtype, (x,), (np.array([0.0, 1.0]),))
    np.testing.assert_allclose(y_dot, 0.5)
    for operator in (ad.hessian, ad.hessian_reverse):
        second = operator(f, adtype, x)
        assert np.isnan(second[1]).all() or np.allclose(second[1, 1], -0.25)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_distances_by_a_product_in_forward_mode(exact_backend):
    points = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    along = np.zeros((3, 2))
    along[0, 0] = 1.0

    def f(x):
        squares = np.sum(x**2, axis=1)
        return np.sum(np.sqrt(np.maximum(squares[:, None] + squares - 2 * x @ x.T, 0)))

    np.testing.assert_allclose(ad.pushforward(f, exact_backend.adtype, (points,), (along,))[1], -np.sqrt(2))


@pytest.mark.parametrize("function", [np.logaddexp, np.logaddexp2])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_larger_of_an_infinity_and_a_number_counts(exact_backend, function):
    for low, high in ((0.0, np.inf), (-np.inf, 1.0), (-np.inf, np.inf)):
        x = np.array([low, high])
        (g,) = ad.gradient(lambda x: function(x[0], x[1]), exact_backend.adtype, x)
        np.testing.assert_array_equal(g, [0.0, 1.0])
        if np.isfinite(high):
            second = ad.hessian(lambda x: function(x[0], x[1]), exact_backend.adtype, x)
            np.testing.assert_array_equal(second, np.zeros((2, 2)))


def test_sinc_close_to_zero(exact_backend):
    x = np.array([1e-4, 1e-8, 1e-160, 0.0])
    (g,) = ad.gradient(lambda x: np.sum(np.sinc(x)), exact_backend.adtype, x)
    np.testing.assert_allclose(g, -(np.pi**2) / 3 * x, rtol=1e-7)
    second = ad.hessian(lambda x: np.sum(np.sinc(x)), exact_backend.adtype, x)
    np.testing.assert_allclose(second, -(np.pi**2) / 3 * np.eye(4), rtol=1e-6)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_power_at_zero_has_no_second_derivative_by_both(exact_backend):
    for exponent in (0.5, 1.0):
        second = ad.hessian(lambda v: v[0] ** v[1], exact_backend.adtype, np.array([0.0, exponent]))
        assert not np.isfinite(second[0, 1])


def test_float_power_of_a_small_integer_at_zero(exact_backend):
    second = ad.hessian(lambda x: np.sum(np.float_power(x, 1)), exact_backend.adtype, np.array([0.0, 2.0]))
    np.testing.assert_array_equal(second, np.zeros((2, 2)))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_angle_of_zero_has_no_second_derivative(exact_backend):
    second = ad.hessian(
        lambda x: np.sum(np.angle(np.fft.rfft(x))), exact_backend.adtype, np.array([1.0, 2.0, 1.0, 0.0])
    )
    assert np.isnan(second).any()


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore:var:UserWarning")
def test_the_variance_of_one_number_without_freedom(exact_backend):
    (g,) = ad.gradient(lambda x: np.var(x, ddof=1), exact_backend.adtype, np.ones(1))
    assert exact_backend.name == "forward" or np.isnan(g).all()
