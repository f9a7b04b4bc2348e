"""Vectors of repeated eigenvalues and singular values are determined up to a rotation: right, or refused."""

import numpy as np
import pytest
from conftest import EXACT, present

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


WEIGHTS = np.arange(9.0).reshape(3, 3)
STANDING_ALONE = {
    "eigh": lambda m: np.sum(np.linalg.eigh(m)[1][:, 2] ** 2 * WEIGHTS[0]) + np.sum(np.linalg.eigh(m)[0] ** 2),
    "eigh's projector": lambda m: (lambda v: np.sum((v @ v.T) * WEIGHTS))(np.linalg.eigh(m)[1][:, 2:]),
    "eig": lambda m: np.sum(np.abs(np.linalg.eig(m)[1][:, 2]) ** 2 * WEIGHTS[0]),
    "svd": lambda m: np.sum(np.linalg.svd(m)[0][:, :1] @ np.linalg.svd(m)[2][:1] * WEIGHTS),
}


@pytest.mark.parametrize("name", STANDING_ALONE)
def test_vectors_whose_values_stand_alone_have_their_derivative(exact_backend, name):
    f, m = STANDING_ALONE[name], np.diag([1.0, 1.0, 3.0])
    turn = np.random.default_rng(1).normal(size=(3, 3))
    turn = turn + turn.T
    step = 1e-5
    want = (f(m + step * turn) - f(m - step * turn)) / (2 * step)
    for matrix, weight in ((m, 1), (np.stack([m, m + np.diag([0.5, 0.0, 0.0])]), 0)):
        (g,) = ad.gradient(f if weight else lambda s: f(s[0]) + np.sum(s[1]), exact_backend.adtype, matrix)
        np.testing.assert_allclose(np.sum((g if weight else g[0]) * turn), want, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(ad.pushforward(f, exact_backend.adtype, (m,), (turn,))[1], want, rtol=1e-6, atol=1e-8)
    with pytest.raises(ad.UnsupportedError) if exact_backend.name != "jax" else np.errstate():
        assert not np.isfinite(ad.hessian(f, exact_backend.adtype, m)).any()


def test_a_stack_with_one_repeated_value(exact_backend):
    m = np.stack([np.diag([1.0, 1.0, 3.0]), np.array([[2.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 5.0]])])

    def f(m):
        return np.sum(np.linalg.eigh(m)[1][..., 2] ** 2 * WEIGHTS[0])

    (g,) = ad.gradient(f, exact_backend.adtype, m)
    np.testing.assert_allclose(g[1], ad.gradient(f, m[1])[0], atol=1e-12)
    np.testing.assert_allclose(g[0], np.zeros((3, 3)), atol=1e-12)


def test_the_refusal_says_what_to_use_instead(exact_backend):
    with pytest.raises(ad.UnsupportedError, match="1 minus the projector") as caught:
        ad.gradient(lambda m: np.trace(np.linalg.eigh(m)[1]), exact_backend.adtype, EYE)
    assert ",," not in str(caught.value)


@pytest.mark.parametrize("name", ["tape", "torch", "autograd"])
def test_the_phase_of_complex_vectors_is_refused_in_reverse_mode(name):
    backend = present(next(b for b in EXACT if b.name == name))
    m = np.array([[1.0, 1j], [-1j, 3.0]])
    with pytest.raises(ad.UnsupportedError, match="phase of complex"):
        ad.gradient(lambda m: np.sum(np.real(np.linalg.eigh(m)[1])), backend.adtype, m)


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
