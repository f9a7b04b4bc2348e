"""Functions with a logarithm at 0, and digamma where its reflection has a pole in the tangent."""

import numpy as np
import pytest
from conftest import guest

import adselect as ad

special = guest("scipy.special")
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def test_zero_times_the_logarithm_of_zero(exact_backend):
    for function, x in ((special.xlogy, [0.0, 2.0]), (lambda x, y: special.xlog1py(x, y - 1), [0.0, 2.0])):
        (g,) = ad.gradient(lambda x, f=function: np.sum(f(x, x)), exact_backend.adtype, np.array(x))
        np.testing.assert_allclose(g, [0.0, np.log(2) + 1])
        second = ad.hessian(lambda x, f=function: np.sum(f(x, x)), exact_backend.adtype, np.array(x))
        assert np.isnan(second[0, 0])
        np.testing.assert_allclose(second[1, 1], 0.5)


def test_a_weight_of_zero_has_second_derivative_zero(exact_backend):
    weights = np.array([0.0, 1.0])
    second = ad.hessian(lambda q: -np.sum(special.xlogy(weights, q)), exact_backend.adtype, np.array([0.0, 0.5]))
    np.testing.assert_allclose(second, [[0.0, 0.0], [0.0, 4.0]])


def test_relative_entropies_have_an_infinite_slope_at_zero(exact_backend):
    half, x = np.array([0.5, 0.5]), np.array([0.0, 1.0])
    for function, slope in ((special.rel_entr, np.log(2) + 1), (special.kl_div, np.log(2))):
        (g,) = ad.gradient(lambda x, f=function: np.sum(f(x, half)), exact_backend.adtype, x)
        np.testing.assert_allclose(g, [-np.inf, slope])
        (g,) = ad.gradient(lambda y, f=function: np.sum(f(x, y)), exact_backend.adtype, half)
        np.testing.assert_allclose(g, [0.0, -2.0] if function is special.rel_entr else [1.0, -1.0])


def test_the_second_derivative_of_digamma_below_zero(exact_backend):
    x = np.array([-0.5, -1.3, 0.25])
    second = ad.hessian(lambda x: np.sum(special.digamma(x)), exact_backend.adtype, x)
    np.testing.assert_allclose(np.diag(second), -2 * special.zeta(3, x), rtol=1e-9)
