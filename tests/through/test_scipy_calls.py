"""Compiled functions of SciPy in lifted code: values, gradients against differences of SciPy's own, replayed."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import numeric_jacobian

import adselect as ad
from adselect import lift

linalg = pytest.importorskip("scipy.linalg")
special = pytest.importorskip("scipy.special")

X = np.array([0.4, 0.7, 1.3])
B = np.random.default_rng(2).random((3, 3))
S = B @ B.T + 3 * np.eye(3)
RIGHT = np.array([[1.0, 2.0], [0.5, -1.0], [0.25, 3.0]])


def matrix(x):
    return S * x[0] + np.diag(x) + np.outer(x, x) * B


PROGRAMS = {
    "solve": lambda x: np.sum(linalg.solve(matrix(x), x) ** 2),
    "solve pos": lambda x: np.sum(linalg.solve(matrix(x), RIGHT, assume_a="pos") ** 2),
    "solve sym lower": lambda x: np.sum(linalg.solve(matrix(x), x, assume_a="sym", lower=True) ** 2),
    "solve transposed": lambda x: np.sum(linalg.solve(matrix(x), x, transposed=True) ** 2),
    "inv det": lambda x: np.sum(linalg.inv(matrix(x))) + linalg.det(matrix(x)),
    "cholesky": lambda x: np.sum(np.sin(linalg.cholesky(matrix(x)))),
    "cholesky lower": lambda x: np.sum(np.sin(linalg.cholesky(matrix(x), lower=True))),
    "cho_factor": lambda x: np.sum(np.sin(linalg.cho_factor(matrix(x))[0])),
    "cho_solve": lambda x: np.sum(linalg.cho_solve(linalg.cho_factor(matrix(x)), RIGHT) ** 2),
    "cho_solve lower": lambda x: np.sum(linalg.cho_solve(linalg.cho_factor(matrix(x), lower=True), x)),
    "cho_solve plain": lambda x: np.sum(linalg.cho_solve(linalg.cho_factor(S), x) ** 2),
    "lu": lambda x: np.sum(linalg.lu_solve(linalg.lu_factor(matrix(x)[::-1]), x) ** 2),
    "lu trans": lambda x: np.sum(linalg.lu_solve(linalg.lu_factor(matrix(x)[::-1]), RIGHT, trans=1) ** 2),
    "lu_factor": lambda x: np.sum(np.sin(linalg.lu_factor(matrix(x)[::-1])[0])),
    "triangular": lambda x: np.sum(linalg.solve_triangular(matrix(x), x) ** 2),
    "triangular lower trans": lambda x: np.sum(linalg.solve_triangular(matrix(x), RIGHT, trans="T", lower=True) ** 2),
    "triangular unit": lambda x: np.sum(linalg.solve_triangular(matrix(x), x, unit_diagonal=True) ** 2),
    "expm": lambda x: np.sum(linalg.expm(matrix(x) / 8) ** 2),
    "expm of a large matrix": lambda x: np.sum(np.sin(linalg.expm(matrix(x) - 5 * S / 4))),
    "logsumexp": lambda x: special.logsumexp(x) + np.sum(special.logsumexp(np.outer(x, x), axis=1)),
    "softmax": lambda x: np.sum(special.softmax([x[0], 1.0, x[1]]) ** 2) + np.sum(special.log_softmax(x) * x),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_value_and_gradient(name, exact_backend):
    f = PROGRAMS[name]
    val, (grad,) = ad.withgradient(lift(f), exact_backend.adtype, X)
    np.testing.assert_allclose(val, f(X), rtol=1e-12)
    np.testing.assert_allclose(grad, numeric_jacobian(f, X)[0], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", PROGRAMS)
def test_second_derivatives_and_replay(name):
    f = lift(PROGRAMS[name])
    wanted = numeric_jacobian(lambda x: ad.gradient(f, ad.AutoForward(), x)[0], X)
    np.testing.assert_allclose(ad.hessian(f, X), wanted, rtol=1e-5, atol=1e-5)
    prepared = ad.prepare(ad.gradient, f, X)
    for x in (X, X * 1.1, X[::-1].copy()):
        np.testing.assert_allclose(prepared(x)[0], ad.gradient(f, ad.AutoForward(), x)[0], rtol=1e-9)


def test_one_triangle_is_read():
    """As SciPy's own function: the gradient of the other triangle is 0."""
    for lower in (False, True):
        f = lambda a, lower=lower: np.sum(np.sin(linalg.cholesky(a, lower=lower)))
        (grad,) = ad.gradient(lift(f), S)
        np.testing.assert_allclose(grad, numeric_jacobian(f, S).reshape(3, 3), atol=1e-8)
        assert not np.any(np.triu(grad, 1) if lower else np.tril(grad, -1))


def test_what_is_not_known_is_refused():
    for f in (
        lambda x: np.sum(linalg.solve(np.diag(x), x, assume_a="diagonal")),
        lambda x: np.sum(linalg.cholesky(np.stack([matrix(x), matrix(x)]))),
        lambda x: np.sum(linalg.sqrtm(matrix(x))),
    ):
        with pytest.raises(ad.ADSelectError, match=r"test_scipy_calls\.py"):
            ad.gradient(lift(f), X)


def test_complex_matrices():
    def f(x):
        a = matrix(x) + 1j * (np.triu(B, 1) - np.triu(B, 1).T) * x[1]
        return np.sum(np.abs(linalg.cho_solve(linalg.cho_factor(a), x)) ** 2)

    np.testing.assert_allclose(ad.gradient(lift(f), X)[0], numeric_jacobian(f, X)[0], rtol=1e-6)


def test_compiled_code_runs_on_plain_values():
    """Tables that are only read, and calls of libraries with nothing traced in them, stay plain."""
    interpolate = pytest.importorskip("scipy.interpolate")

    def f(x):
        knots = np.linspace(0.0, 1.0, 5)
        weights = np.array([1.0, 2.0, 3.0])
        spline = interpolate.CubicSpline(knots, np.sin(knots))
        return float(spline(0.3)) * np.sum(weights * x)

    assert lift(f)(X) == f(X)
    value, (grad,) = ad.withgradient(lift(f), X)
    np.testing.assert_allclose(value, f(X))
    np.testing.assert_allclose(grad, numeric_jacobian(f, X)[0], rtol=1e-8)
    with pytest.raises(ad.ADSelectError):
        ad.gradient(lift(lambda x: interpolate.CubicSpline([0.0, 1.0, 2.0], [1.0, 2.0, 5.0])(x[0])), X)


MATRICES = {
    "solve": lambda a, **options: np.sum(linalg.solve(a, np.ones(2), **options)),
    "inv": lambda a, **options: np.sum(linalg.inv(a, **options)),
    "det": lambda a, **options: linalg.det(a, **options),
    "cholesky": lambda a, **options: np.sum(linalg.cholesky(a, **options)),
    "solve_triangular": lambda a, **options: np.sum(linalg.solve_triangular(a, np.ones(2), **options)),
    "lu_factor": lambda a, **options: np.sum(linalg.lu_factor(a, **options)[0]),
}


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("adtype", [ad.AutoTape(), ad.AutoJax(), ad.AutoTorch()], ids=repr)
def test_scipys_checks_and_options_are_kept(name, adtype):
    pytest.importorskip(adtype.requires or "numpy")
    call, lost = MATRICES[name], np.array([[2.0, 0.5], [np.nan, 1.0]])
    for f in (call, ad.lift(call)):
        with pytest.raises(ValueError, match="array must not contain infs or NaNs"):
            f(lost) if f is call else ad.gradient(f, adtype, lost)
        # Some functions of SciPy read their arrays before they look at the options.
        with pytest.raises(TypeError, match=r"unexpected keyword argument 'unheard_of'|asked for np.asarray"):
            f(lost, unheard_of=1) if f is call else ad.gradient(lambda a, f=f: f(a, unheard_of=1), adtype, lost)
    unchecked = ad.lift(lambda a: call(a, check_finite=False))
    assert np.isfinite(ad.gradient(unchecked, adtype, np.array([[2.0, 0.5], [0.5, 1.0]]))[0]).all()
