"""Decompositions of numpy.linalg, of functions that do not depend on the choice of the vectors."""

import numpy as np
import pytest
from witnesses import witness

import adselect as ad


def matrix(*shape, kind="f"):
    rng = np.random.default_rng([3, *shape])
    x = rng.standard_normal(shape)
    return x if kind == "f" else x + 1j * rng.standard_normal(shape)


def adjoint(x):
    return np.conj(np.swapaxes(x, -1, -2))


def sym(x):
    return x + adjoint(x)


SHAPES = [(3, 3), (2, 3, 3)]
KINDS = ["f", "c"]
W = np.array([0.3, -1.2, 0.7])


def matrix_function(x, function):
    w, v = np.linalg.eigh(sym(x))
    return (v * function(w)[..., None, :]) @ adjoint(v)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
class TestEigen:
    def test_eigenvalues(self, shape, kind):
        x = matrix(*shape, kind=kind)
        for uplo in "LU":
            witness(lambda x, uplo=uplo: np.linalg.eigvalsh(sym(x), uplo), x)
            witness(lambda x, uplo=uplo: np.linalg.eigh(sym(x), UPLO=uplo).eigenvalues, x, order=1)

    def test_eigenvectors(self, shape, kind):
        x = matrix(*shape, kind=kind)
        witness(lambda x: np.abs(np.linalg.eigh(sym(x)).eigenvectors) ** 2, x)
        witness(lambda x: matrix_function(x, np.exp), x, tol=1e-6)
        if kind == "f":
            sign = np.sign(np.linalg.eigh(sym(x))[1][..., :1, :])

            def vectors(x):
                v = np.linalg.eigh(sym(x))[1]
                return v * sign * np.sign(v[..., :1, :])

            witness(vectors, x)

    def test_eigenvalues_of_general_matrices(self, shape, kind):
        x = matrix(*shape, kind=kind)
        witness(lambda x: np.linalg.eigvals(x), x, tol=1e-6)
        witness(lambda x: np.abs(np.linalg.eig(x)[1]) ** 2, x, tol=1e-6)

        def exponential(x):
            w, v = np.linalg.eig(x)
            return (v * np.exp(w)[..., None, :]) @ np.linalg.inv(v)

        witness(exponential, x, tol=1e-6)


def test_real_eigenvectors_of_a_general_matrix():
    x = np.diag([1.0, 2.0, 4.0]) + 0.1 * matrix(3, 3)
    witness(lambda x: np.linalg.eig(x)[1], x)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (2, 3, 2)])
class TestSingular:
    def test_values(self, shape, kind):
        x = matrix(*shape, kind=kind) + 3 * np.eye(*shape[-2:])
        witness(lambda x: np.linalg.svdvals(x), x)
        witness(lambda x: np.linalg.svd(x, compute_uv=False) ** 2, x, order=1)

    def test_vectors(self, shape, kind):
        x = matrix(*shape, kind=kind)

        def polar(x):
            u, _, vh = np.linalg.svd(x, full_matrices=False)
            return u @ vh

        witness(polar, x)
        witness(lambda x: np.abs(np.linalg.svd(x, full_matrices=False)[0]) ** 2, x, tol=1e-6)
        witness(lambda x: np.abs(np.linalg.svd(x, full_matrices=False).Vh) ** 2, x, tol=1e-6)
        if kind == "f":
            witness(lambda x: np.linalg.svd(x, False)[0], x, tol=1e-6)

    def test_full(self, shape, kind):
        x = matrix(*shape, kind=kind)
        k = min(shape[-2:])

        def null_projectors(x):
            u, _, vh = np.linalg.svd(x)
            left, right = u[..., k:], vh[..., k:, :]
            return np.sum(left @ adjoint(left), axis=-1), np.sum(adjoint(right) @ right, axis=-1)

        witness(lambda x: null_projectors(x)[0], x)
        witness(lambda x: null_projectors(x)[1], x)

    def test_pinv(self, shape, kind):
        x = matrix(*shape, kind=kind)
        witness(lambda x: np.linalg.pinv(x), x, tol=1e-6)
        witness(lambda x: np.linalg.pinv(x, rtol=1e-8), x, order=1, tol=1e-6)

    def test_qr(self, shape, kind):
        x = matrix(*shape, kind=kind)
        witness(lambda x: np.linalg.qr(x).Q, x, tol=1e-6)
        witness(lambda x: np.linalg.qr(x)[1], x, tol=1e-6)
        witness(lambda x: np.linalg.qr(x, "r"), x, order=1)
        witness(lambda x: np.linalg.qr(x, mode="complete")[1], x, order=1)
        k = min(shape[-2:])

        def beyond(x):
            q = np.linalg.qr(x, "complete")[0][..., k:]
            return np.sum(q @ adjoint(q), axis=-1)

        witness(beyond, x, tol=1e-6)

    def test_cond(self, shape, kind):
        x = matrix(*shape, kind=kind)
        for p in (None, 2, -2) if shape != (3, 3) else (None, 2, -2, 1, -1, np.inf, -np.inf, "fro"):
            witness(lambda x, p=p: np.linalg.cond(x, p), x, tol=1e-6)
        for order in ("nuc", 2, -2):
            witness(lambda x, order=order: np.linalg.norm(x, order, axis=(-2, -1)), x, tol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_hermitian_svd(kind):
    x = matrix(3, 3, kind=kind)
    witness(lambda x: np.linalg.svd(sym(x), compute_uv=False, hermitian=True), x)
    witness(lambda x: (lambda u, s, vh: u @ vh)(*np.linalg.svd(sym(x), hermitian=True)), x)
    witness(lambda x: np.linalg.pinv(sym(x), hermitian=True), x, tol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("m", "n"), [(4, 2), (3, 3), (2, 4)])
def test_least_squares(m, n, kind):
    a = matrix(m, n, kind=kind)
    for b in (matrix(m, kind=kind), matrix(m, 2, kind=kind)):
        witness(lambda a, b: np.linalg.lstsq(a, b)[0], a, b, tol=1e-6)
        if m > n:
            witness(lambda a, b: np.linalg.lstsq(a, b, rcond=1e-10)[1], a, b)
    witness(lambda a, b: np.linalg.lstsq(a, b)[3], a, b)
    rank = ad.withgradient(lambda a: (np.sum(np.abs(np.linalg.lstsq(a, b)[0])), np.linalg.lstsq(a, b)[2]), a).val[1]
    assert rank == min(m, n)


def test_least_squares_without_full_rank():
    a = np.outer([1.0, 2.0, 3.0], [1.0, 1.0]) @ np.array([[1.0, 0.0], [0.5, 1.0]])
    b, turn = np.array([1.0, -1.0, 0.5]), np.array([[0.3], [-1.0], [0.2]])

    def along_rank_one(t):
        return (a[:, :1] + t * turn) * np.stack([1.0, 0.4 + t])

    witness(lambda t: np.linalg.pinv(along_rank_one(t)), 0.1, tol=1e-6)
    witness(lambda t: np.linalg.lstsq(along_rank_one(t), b)[0], 0.1, tol=1e-6)


def test_tensor_solvers():
    a, b = (matrix(6, 6) + 5 * np.eye(6)).reshape(2, 3, 6), matrix(2, 3)
    witness(lambda a, b: np.linalg.tensorsolve(a, b), a, b)
    witness(lambda a, b: np.linalg.tensorsolve(a, b, axes=(1,)), np.moveaxis(a, -1, 1), b)
    a = (matrix(24, 24) + 10 * np.eye(24)).reshape(4, 6, 8, 3)
    witness(lambda a: np.linalg.tensorinv(a), a, order=1)
    witness(lambda a: np.linalg.tensorinv(a, ind=1), (matrix(6, 6) + 5 * np.eye(6)).reshape(6, 2, 3))


# -- repeated and zero values ------------------------------------------------------------------------------------------

ADTYPES = [ad.AutoTape(), ad.AutoForward()]


@pytest.mark.parametrize("adtype", ADTYPES)
def test_repeated_eigenvalues(adtype):
    weights = np.array([1.0, 2.0, 2.0])
    (g,) = ad.gradient(lambda x: np.sum(np.linalg.eigvalsh(x) * weights), adtype, np.diag([1.0, 3.0, 3.0]))
    np.testing.assert_allclose(g, np.diag([1.0, 2.0, 2.0]), atol=1e-14)
    q, _ = np.linalg.qr(matrix(3, 3))
    x = q @ np.diag([1.0, 1.0, 4.0]) @ q.T
    (g,) = ad.gradient(lambda x: np.sum(np.linalg.eigvalsh(x) ** 2), adtype, x)
    np.testing.assert_allclose(g, 2 * x, atol=1e-13)


def test_vectors_of_a_repeated_value_are_refused_when_the_result_mixes_them():
    def f(x):
        return np.sum(np.outer(W, W) * matrix_function(x / 2, np.exp))

    x = np.diag([1.0, 1.0, 2.0])
    with pytest.raises(ad.UnsupportedError, match="repeated eigenvalue"):
        ad.gradient(f, x)
    with pytest.raises(ad.UnsupportedError, match="repeated"):
        ad.gradient(f, ad.AutoForward(), x)
    with pytest.raises(ad.UnsupportedError, match="repeated singular value"):
        ad.gradient(lambda x: np.sum(np.outer(W, W) * (lambda u, s, vh: (u * s**2) @ vh)(*np.linalg.svd(x))), np.eye(3))


@pytest.mark.parametrize("adtype", ADTYPES)
def test_vectors_beside_a_repeated_value(adtype):
    # The vector of the third, simple eigenvalue has a derivative.
    def f(x):
        return np.sum(np.outer(W, W) * np.linalg.eigh(x)[1][:, 2:] ** 2)

    x = np.diag([1.0, 1.0, 2.0]) + 0.3
    g = ad.gradient(lambda x: f(sym(x)), adtype, x / 2)[0]
    d = sym(matrix(3, 3))
    slope = (f(x + 1e-5 * d) - f(x - 1e-5 * d)) / 2e-5
    np.testing.assert_allclose(np.sum(g * d) / 2, slope, atol=1e-8)


@pytest.mark.parametrize("adtype", ADTYPES)
def test_repeated_and_zero_singular_values(adtype):
    (g,) = ad.gradient(lambda x: np.sum(np.linalg.svdvals(x)), adtype, np.ones((2, 2)))
    np.testing.assert_allclose(np.sum(g), 2.0)
    (g,) = ad.gradient(lambda x: np.sum(np.linalg.svdvals(x) ** 2), adtype, np.eye(3))
    np.testing.assert_allclose(g, 2 * np.eye(3), atol=1e-14)


def test_results_that_depend_on_a_choice_are_refused():
    with pytest.raises(ad.UnsupportedError, match="repeated eigenvalue"):
        ad.gradient(lambda x: np.sum(W[:, None] * np.linalg.eigh(x)[1]), np.eye(3) + np.diag([0, 0, 1.0]))
    with pytest.raises(ad.UnsupportedError, match="phase"):
        ad.gradient(lambda x: np.real(np.sum((1 + 2j) * np.linalg.eigh(sym(x))[1])), matrix(3, 3, kind="c"))
    with pytest.raises(ad.UnsupportedError, match="full_matrices"):
        ad.gradient(lambda x: np.sum(np.arange(16.0).reshape(4, 4) * np.linalg.svd(x)[0]), matrix(4, 2))


def test_second_derivatives_at_repeated_values_are_refused():
    for function in (np.linalg.eigvalsh, np.linalg.svdvals, lambda x: np.linalg.eigh(x)[0]):
        with pytest.raises(ad.UnsupportedError, match="second derivative"):
            ad.hessian(lambda x, function=function: np.sum(function(x) ** 2), np.eye(2))


def test_second_derivatives_away_from_them():
    x = np.diag([1.0, 2.0])
    np.testing.assert_allclose(ad.hessian(lambda x: np.sum(np.linalg.svdvals(x) ** 2), x), 2 * np.eye(4), atol=1e-13)
    symmetric = ad.hessian(lambda x: np.sum(np.linalg.eigvalsh(x) ** 2), x)
    np.testing.assert_allclose(symmetric @ np.ravel([[1.0, 2.0], [2.0, 3.0]]), [2.0, 4.0, 4.0, 6.0], atol=1e-13)


def test_single_precision():
    x = matrix(3, 3).astype("f4")
    for f in (
        lambda x: np.sum(np.linalg.eigvalsh(sym(x)) ** 3),
        lambda x: np.sum(np.linalg.eigh(sym(x))[1] ** 4),
        lambda x: np.sum(np.linalg.svd(x)[0] ** 4),
        lambda x: np.sum(np.linalg.qr(x)[0] ** 3),
        lambda x: np.sum(np.linalg.pinv(x) ** 2),
    ):
        (g,) = ad.gradient(f, x)
        (expected,) = ad.gradient(f, x.astype(float))
        assert g.dtype == np.float32
        np.testing.assert_allclose(g, expected, rtol=2e-3, atol=2e-3 * np.abs(expected).max())


# -- one triangle is read ----------------------------------------------------------------------------------------------

TRIANGLES = {
    "cholesky": lambda a: np.linalg.cholesky(a + 20.0 * np.eye(3)),
    "cholesky, upper": lambda a: np.linalg.cholesky(a + 20.0 * np.eye(3), upper=True),
    "eigvalsh": np.linalg.eigvalsh,
    "eigvalsh, upper": lambda a: np.linalg.eigvalsh(a, "U"),
    "eigh": lambda a: np.abs(np.linalg.eigh(a)[1]) ** 2,
    "eigh, upper": lambda a: np.abs(np.linalg.eigh(a, UPLO="U")[1]) ** 2,
}


@pytest.mark.parametrize("kind", [float, complex])
@pytest.mark.parametrize("name", TRIANGLES)
def test_the_other_triangle_is_not_read(name, kind, exact_backend):
    """The value is NumPy's also where the matrix is not Hermitian; the cotangent is Hermitian, the tape's."""
    f = TRIANGLES[name]
    a = np.array([[1.0, 9.0, -2.0], [0.5, 2.0, 7.0], [-0.3, 0.8, 3.0]]).astype(kind)
    if kind is complex:
        a += 1j * np.array([[0.4, 0.3, 1.0], [-0.2, 0.1, -2.0], [0.5, 0.6, -0.3]])
    y, back = ad.pullback(f, exact_backend.adtype, a)
    np.testing.assert_allclose(y, f(a), rtol=1e-12, atol=1e-12)
    y_bar = np.arange(1.0, y.size + 1).reshape(y.shape).astype(y.dtype)
    (x_bar,) = back(y_bar)
    np.testing.assert_allclose(x_bar, np.conj(x_bar).T, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(x_bar, ad.pullback(f, ad.AutoTape(), a)[1](y_bar)[0], rtol=1e-9, atol=1e-10)
