"""Vectors of repeated eigenvalues and singular values are determined up to a rotation: right, or refused."""

import numpy as np
import pytest

import adselect as ad

EYE = np.eye(2)
A = np.array([[1.0, 2.0], [2.0, 5.0]])


def rebuilt(m):
    u, s, vh = np.linalg.svd(m)
    return np.linalg.norm((u * s) @ vh)


def weighted(m):
    w, v = np.linalg.eigh(m)
    return np.sum(A * ((v * w) @ v.T))


REFUSED = {
    "trace of u": (lambda m: np.trace(np.linalg.svd(m)[0]), EYE),
    "trace of vh": (lambda m: np.trace(np.linalg.svd(m)[2]), EYE),
    "both traces": (lambda m: np.trace(np.linalg.svd(m)[0]) + np.trace(np.linalg.svd(m)[2]), EYE),
    "eigenvectors": (lambda m: np.trace(np.linalg.eigh(m)[1]), EYE),
    "eigenvectors of a general matrix": (lambda m: np.trace(np.real(np.linalg.eig(m)[1])), EYE),
    "not a multiple of 1": (weighted, EYE),
    "beyond 2**53": (
        lambda m: np.sum(np.linalg.eigh(m)[1] ** 2 * A),
        np.array([[2.0**54, 1.0], [1.0, 2.0**54 + 8]]),
    ),
    "r without full rank": (lambda m: np.sum(np.linalg.qr(m)[1]), np.ones((3, 2))),
    "q without full rank": (lambda m: np.sum(np.linalg.qr(m)[0]), np.ones((3, 2))),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_result_that_depends_on_the_choice_is_refused(exact_backend, case):
    f, m = REFUSED[case]
    with pytest.raises(ad.UnsupportedError, match=r"does not determine|no derivative"):
        ad.gradient(f, exact_backend.adtype, m)


def test_a_result_that_does_not_depend_on_it_is_right(exact_backend):
    (g,) = ad.gradient(rebuilt, exact_backend.adtype, EYE)
    np.testing.assert_allclose(g, EYE / np.sqrt(2), atol=1e-12)
    value, (g,) = ad.withgradient(rebuilt, exact_backend.adtype, EYE)
    np.testing.assert_allclose(value, np.sqrt(2))
    np.testing.assert_allclose(g, EYE / np.sqrt(2), atol=1e-12)


def test_other_operators_refuse_it(exact_backend):
    with pytest.raises(ad.UnsupportedError):
        ad.jacobian(rebuilt, exact_backend.adtype, EYE)


@pytest.mark.parametrize("adtype", [ad.AutoTape(), ad.AutoForward()])
def test_vectors_weighted_with_an_eigenvalue_that_is_0(adtype):
    # The cotangent of the vectors is 0, and still the result depends on them.
    with pytest.raises(ad.UnsupportedError):
        ad.gradient(weighted, adtype, np.zeros((2, 2)))


def test_values_alone_have_no_such_trouble(exact_backend):
    for f in (
        lambda m: np.sum(np.linalg.svd(m)[1]),
        lambda m: np.sum(np.linalg.eigh(m)[0]),
        lambda m: np.sum(np.real(np.linalg.eigvals(m))),
        lambda m: np.linalg.norm(m, "nuc"),
    ):
        np.testing.assert_allclose(ad.gradient(f, exact_backend.adtype, EYE)[0], EYE, atol=1e-14)


def test_the_surplus_vectors_follow(exact_backend):
    m = np.random.default_rng(5).normal(size=(4, 2))
    weights = np.arange(16.0).reshape(4, 4)

    def of_svd(m):
        u = np.linalg.svd(m)[0][:, 2:]
        return np.sum((u @ u.T) * weights)

    def of_qr(m):
        q = np.linalg.qr(m, "complete")[0][:, 2:]
        return np.sum((q @ q.T) * weights)

    for f in (of_svd, of_qr):
        (want,) = ad.gradient(lambda m: -np.sum((m @ np.linalg.inv(m.T @ m) @ m.T) * weights), m)
        np.testing.assert_allclose(ad.gradient(f, exact_backend.adtype, m)[0], want, atol=1e-9)
