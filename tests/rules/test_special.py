"""scipy.special: values and derivatives of every function with a rule, real and complex, to second order."""

import subprocess
import sys

import numpy as np
import pytest
from samples.special import COMPLEX, FIRST_ORDER, REAL, WITH_ORDER, X, Z, has
from witnesses import witness

import adselect as ad
from adselect import special

sc = pytest.importorskip("scipy.special")

INVERSES = {"ndtri_exp", "gammaincinv", "gammainccinv", "betaincinv", "betainccinv", "stdtrit", "fdtri"}


def tolerance(name):
    return 1e-5 if name in INVERSES else 1e-6


@pytest.mark.parametrize(("name", "args"), REAL, ids=[r[0] for r in REAL])
def test_real(name, args):
    function = has(name)
    free = [a for a in args if isinstance(a, np.ndarray)]
    fixed = [a for a in args if not isinstance(a, np.ndarray)]
    witness(lambda *xs: function(*fixed, *xs), *free, tol=tolerance(name), h=2e-4 if name == "ellipkm1" else 1e-3)


@pytest.mark.parametrize(("name", "fixed", "args"), WITH_ORDER, ids=[f"{r[0]}-{r[1][0]}" for r in WITH_ORDER])
def test_with_order(name, fixed, args):
    function = has(name)
    witness(lambda *xs: function(*fixed, *xs), *args, tol=tolerance(name))


@pytest.mark.parametrize(("name", "fixed"), COMPLEX, ids=[r[0] for r in COMPLEX])
def test_complex(name, fixed):
    function = has(name)
    witness(lambda z: function(*fixed, z), Z, tol=1e-6, order=1 if name in FIRST_ORDER else 2)


@pytest.mark.parametrize("name", ["sici", "shichi", "fresnel", "airy", "itj0y0", "iti0k0"])
def test_several_results(name):
    function, n = getattr(sc, name), getattr(sc, name).nout
    for k in range(n):
        witness(lambda x, k=k: function(x)[k], X, tol=1e-6)
    witness(lambda x: sum(function(x)), X[0], tol=1e-6)
    if name in ("fresnel", "airy", "sici"):
        witness(lambda z: function(z)[0] * function(z)[1], Z, tol=1e-6)


@pytest.mark.parametrize("name", ["spherical_jn", "spherical_yn", "spherical_in", "spherical_kn"])
def test_spherical_bessel_functions(name):
    function = getattr(special, name)
    for n in (0, 1, 3):
        for derivative in (False, True):
            z = X if name == "spherical_kn" else np.array([-0.8, 0.6, 2.3])
            np.testing.assert_allclose(function(n, z, derivative), getattr(sc, name)(n, z, derivative), rtol=1e-13)
            witness(lambda x, n=n, derivative=derivative: function(n, x, derivative), z, tol=1e-5)
            witness(lambda x, n=n, derivative=derivative: function(n, x, derivative), Z, tol=1e-6)


A = np.array([[0.3, -1.0, 2.0], [0.5, 0.5, -0.2]])
ARRAYS = [
    ("logsumexp", {}),
    ("logsumexp", {"axis": 1}),
    ("logsumexp", {"axis": (0, 1), "keepdims": True}),
    ("logsumexp", {"axis": -1, "b": np.array([1.0, 0.0, 0.5])}),
    ("softmax", {}),
    ("softmax", {"axis": 0}),
    ("log_softmax", {}),
    ("log_softmax", {"axis": -1}),
]


@pytest.mark.parametrize(("name", "options"), ARRAYS)
def test_array_functions(name, options):
    function = getattr(special, name)
    np.testing.assert_allclose(function(A, **options), getattr(sc, name)(A, **options), rtol=1e-14)
    witness(lambda a: function(a, **options), A)


def test_further_functions():
    weights = np.array([1.0, -3.0, 0.5])
    np.testing.assert_allclose(
        special.logsumexp(A, -1, weights, return_sign=True), sc.logsumexp(A, -1, weights, return_sign=True)
    )
    witness(lambda a, b: special.logsumexp(a, -1, b, return_sign=True)[0], A, weights)
    assert special.logsumexp(np.array([-np.inf, -np.inf])) == -np.inf
    np.testing.assert_allclose(ad.gradient(special.logsumexp, np.array([-np.inf, 1000.0]))[0], [0, 1])
    for n in (0, 1, 3):
        np.testing.assert_allclose(special.polygamma(n, X), sc.polygamma(n, X))
        witness(lambda x, n=n: special.polygamma(n, x), X, tol=1e-5, h=1e-4)
    np.testing.assert_allclose(special.multigammaln(3 * X + 1, 3), sc.multigammaln(3 * X + 1, 3))
    witness(lambda x: special.multigammaln(x, 2), X + 1)


def test_scipys_own_versions_are_refused():
    with pytest.raises(ad.TracedValueError):
        ad.gradient(sc.logsumexp, A)


def test_jacobi_elliptic():
    for k in range(4):
        witness(lambda u, k=k: sc.ellipj(u, 0.6)[k], X)


def test_gamma_distribution_functions():
    witness(lambda a, x: sc.gdtr(a, 2.3, x), X, X[::-1], tol=1e-6)
    witness(lambda a, x: sc.gdtrc(a, 2.3, x), X, X[::-1], tol=1e-6)


def test_carlson_forms():
    witness(lambda a, b, c: sc.elliprf(a, b, c), X, X + 0.3, X[::-1], order=1)
    witness(lambda a, b: sc.elliprc(a, b), X, X + 0.3, order=1)


ORDERS = [lambda x: sc.jv(x, 1.0), lambda x: sc.gammainc(x, 1.0), lambda x: sc.betainc(1.0, x, 0.5)]


@pytest.mark.parametrize("call", ORDERS)
@pytest.mark.parametrize("adtype", [ad.AutoTape(), ad.AutoForward()])
def test_orders_are_refused_by_name(call, adtype):
    with pytest.raises(ad.UnsupportedError, match=r"scipy\.special\.\w+ has no derivative in its argument"):
        ad.gradient(call, adtype, 1.5)


def test_functions_without_a_rule_are_refused_by_name():
    with pytest.raises(ad.MissingRuleError, match="kolmogorov"):
        ad.gradient(sc.kolmogorov, 0.5)


# function, point, gradient
POINTS = [
    (lambda x: sc.xlogy(x, x), 0.0, 0.0),
    (lambda x: sc.xlogy(2.0, x), 4.0, 0.5),
    (lambda x: sc.rgamma(x), -1.0, -1.0),
    (lambda x: sc.rgamma(x), 0.0, 1.0),
    (lambda x: sc.exprel(x), 0.0, 0.5),
    (lambda x: sc.j1(x), 0.0, 0.5),
    (lambda x: sc.expit(x), 800.0, 0.0),
    (lambda x: sc.expit(x), 40.0, np.exp(-40.0)),
    (lambda x: sc.log_ndtr(x), -1e9, 1e9),
    (lambda x: sc.sici(x)[0], 0.5, np.sin(0.5) / 0.5),
    (lambda x: sc.lambertw(x).real, 0.0, 1.0),
    (lambda x: sc.ellipkm1(x), 1e-30, -0.5e30),
]


@pytest.mark.parametrize(("f", "x", "expected"), POINTS)
@pytest.mark.parametrize("adtype", [ad.AutoTape(), ad.AutoForward()])
def test_points(f, x, expected, adtype):
    np.testing.assert_allclose(ad.gradient(f, adtype, x)[0], expected, rtol=1e-12, atol=1e-300)


def test_single_precision():
    (g,) = ad.gradient(lambda x: np.sum(sc.erf(x)), np.array([0.5], "f4"))
    assert g.dtype == np.float32


def test_importing_adselect_does_not_import_scipy():
    code = "import sys, adselect; assert not any(m.partition('.')[0] == 'scipy' for m in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
