"""A zero contributes 0 through a singular derivative: where it does, where it does not, and what it costs."""

import numpy as np
import pytest

import adselect as ad

LARGE = 120_000
Q = np.array([[2.0, 1.0], [1.0, 3.0]])


@pytest.fixture(autouse=True)
def _quiet():
    with np.errstate(all="ignore"):
        yield


def masked_root(x):
    return np.where(x > 0, np.sqrt(x), 0.0)


# -- f runs once -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [4, LARGE])
@pytest.mark.parametrize("operator", [ad.gradient, ad.withgradient])
def test_f_runs_once_and_value_and_gradient_belong_together(exact_backend, size, operator):
    if size == LARGE and exact_backend.name == "forward":
        pytest.skip("forward mode takes a direction for each entry")
    random, kept = np.random.default_rng(1), []

    def f(x):
        kept.append((random.random(size) > 0.5) * 1.0)
        return np.sum(masked_root(x) * kept[-1])

    x = np.full(size, 4.0)
    x[::2] = 0.0
    result = operator(f, exact_backend.adtype, x)
    assert len(kept) == 1
    (grad,) = result.grad if operator is ad.withgradient else result
    np.testing.assert_allclose(grad, np.where(x > 0, 0.25 * kept[0], 0.0))
    if operator is ad.withgradient:
        assert result.val == pytest.approx(np.sum(masked_root(x) * kept[0]))


@pytest.mark.parametrize("size", [4, LARGE])
def test_a_pullback_does_not_run_f_again(exact_backend, size):
    if size == LARGE and exact_backend.name == "forward":
        pytest.skip("forward mode takes a direction for each entry")
    calls = []

    def f(x):
        calls.append(1)
        return masked_root(x)

    x = np.zeros(size)
    _, back = ad.pullback(f, exact_backend.adtype, x)
    for _ in range(2):
        np.testing.assert_array_equal(back(np.ones(size))[0], np.zeros(size))
    assert calls == [1]


def test_f_runs_once_in_a_pushforward(exact_backend):
    calls = []

    def f(x):
        calls.append(1)
        return np.sum(masked_root(x))

    _, y_dot = ad.pushforward(f, exact_backend.adtype, (np.array([0.0, 4.0]),), (np.ones(2),))
    assert y_dot == 0.25
    assert calls == [1]


# -- products ----------------------------------------------------------------------------------------------------------

PRODUCTS = {
    "x @ x": lambda x: np.sqrt(x @ x),
    "x @ q @ x": lambda x: np.sqrt(x @ Q @ x),
    "dot": lambda x: np.sqrt(np.dot(x, Q @ x)),
    "inner": lambda x: np.sqrt(np.inner(x, x)),
    "vdot": lambda x: np.sqrt(np.vdot(x, x)),
    "tensordot": lambda x: np.sqrt(np.tensordot(x, x, 1)),
    "einsum": lambda x: np.sqrt(np.einsum("i,ij,j", x, Q, x)),
    "matrix by matrix": lambda x: np.sqrt(np.sum(np.reshape(x, (1, 2)) @ np.reshape(x, (2, 1)))),
    "stacks": lambda x: np.sum(np.sqrt(np.stack([np.reshape(x, (1, 2))] * 2) @ np.reshape(x, (2, 1)))),
    "trace": lambda x: np.sqrt(np.trace(np.outer(x, x))),
    "prod": lambda x: np.sqrt(np.prod(x)),
    "det": lambda x: np.sqrt(np.linalg.det(np.diag(x))),
    "power": lambda x: (x @ x) ** 0.25,
    "cbrt": lambda x: np.cbrt(np.sum(x * x)),
    "abs": lambda x: np.sum(np.sqrt(np.abs(x))),
    "cumsum": lambda x: np.sum(np.sqrt(np.cumsum(x * x))),
    "log": lambda x: np.sum(x * x * np.log(x * x + (x == 0))),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_partial_derivative_of_0_meets_an_infinite_cotangent(exact_backend, name):
    if exact_backend.name == "jax" and name not in ("x @ q @ x", "einsum", "stacks", "prod", "abs"):
        pytest.skip("JAX takes its time")
    f, x = PRODUCTS[name], np.zeros(2)
    adtype = exact_backend.adtype
    np.testing.assert_array_equal(ad.gradient(f, adtype, x)[0], np.zeros(2))
    np.testing.assert_array_equal(ad.jacobian(f, adtype, x)[0].reshape(-1), np.zeros(2))
    assert ad.pushforward(f, adtype, (x,), (np.ones(2),))[1] == 0.0


def test_only_what_is_lost_is_repaired(exact_backend):
    """One row at the singular point, another beside it; infinities of their own stay."""
    x = np.array([[0.0, 0.0], [3.0, 4.0]])
    (grad,) = ad.gradient(lambda x: np.sum(np.sqrt(np.einsum("ij,ij->i", x, x))), exact_backend.adtype, x)
    np.testing.assert_allclose(grad, [[0.0, 0.0], [0.6, 0.8]])
    (grad,) = ad.gradient(lambda x: np.sum(np.sqrt(x @ np.array([1.0, 0.0]))), exact_backend.adtype, x)
    np.testing.assert_allclose(grad, [[np.inf, 0.0], [0.5 / np.sqrt(3.0), 0.0]])


def test_a_matrix_and_a_vector_with_infinite_entries(exact_backend):
    (grad,) = ad.gradient(
        lambda x: np.sum(np.sqrt(Q * [[1.0, 0.0], [0.0, 0.0]] @ x)), exact_backend.adtype, np.zeros(2)
    )
    np.testing.assert_array_equal(grad, [np.inf, 0.0])


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: -np.log((np.exp(x) / np.sum(np.exp(x)))[0]), np.array([1.0, 800.0, 2.0])),
        (lambda x: -np.log((np.exp(x) / np.sum(np.exp(x)))[1]), np.array([1.0, 800.0, 2.0])),
        (lambda x: np.sum(x * np.log(x)), np.zeros(2)),
        (lambda x: np.log(np.sum(np.exp(x))), np.full(2, -np.inf)),
        (lambda x: np.sqrt(x @ x) / (x @ x), np.zeros(2)),
    ],
)
def test_a_value_that_is_not_finite_has_no_repaired_gradient(exact_backend, f, x):
    assert not np.isfinite(f(x))
    assert np.isnan(ad.gradient(f, exact_backend.adtype, x)[0]).all()


def test_infinite_slopes_of_infinite_values_stay(exact_backend):
    np.testing.assert_array_equal(
        ad.gradient(lambda x: np.sum(np.log(2 * x)), exact_backend.adtype, np.array([0.0, 1.0]))[0], [np.inf, 1.0]
    )
    np.testing.assert_array_equal(
        ad.jacobian(np.log, exact_backend.adtype, np.array([0.0, 1.0]))[0], np.diag([np.inf, 1])
    )


# -- second order ------------------------------------------------------------------------------------------------------


def test_what_is_not_taken_is_flat_to_the_second_order(exact_backend):
    x = np.array([0.0, 4.0])
    want = np.diag([0.0, -1 / 32])
    np.testing.assert_allclose(ad.hessian(lambda x: np.sum(masked_root(x)), exact_backend.adtype, x), want)
    np.testing.assert_allclose(
        ad.hessian(lambda x: np.sum(masked_root(x)) ** 2, exact_backend.adtype, x), 0 * want, atol=1e-12
    )
    np.testing.assert_allclose(
        ad.hessian(lambda x: np.sum(np.array([0.0, 1.0]) * np.sqrt(x)), exact_backend.adtype, x), want
    )


def test_a_clipped_kernel_has_a_finite_second_derivative(exact_backend):
    points = np.array([[0.1, 0.2], [0.4, -0.3], [0.1, 0.2]]).reshape(-1)

    def kernel(x):
        x = np.reshape(x, (3, 2))
        s = np.sum(x * x, axis=1)
        return np.sum(np.exp(-np.maximum(s[:, None] + s - 2 * x @ x.T, 0.0)))

    assert np.isfinite(ad.hessian(kernel, exact_backend.adtype, points)).all()
    assert ad.second_derivative(lambda x: np.exp(-np.sqrt(np.maximum(x, 0.0))), exact_backend.adtype, -1e-17) == 0.0


def test_beside_the_kink_the_second_derivative_is_what_it_is(exact_backend):
    x = np.array([[0.0, 0.0], [3.0, 4.0]])
    rows = ad.hessian(lambda x: np.sum(np.linalg.norm(x, axis=1) ** 2), exact_backend.adtype, x)
    assert not np.isfinite(np.diagonal(rows)[:2]).any()
    x = np.array([3.0, 4.0])
    np.testing.assert_allclose(
        ad.hessian(lambda x: np.linalg.norm(x) ** 2, exact_backend.adtype, x), 2 * np.eye(2), atol=1e-12
    )


# -- prepared calls and native code ------------------------------------------------------------------------------------


def test_prepared_gradients_are_repaired_too(exact_backend):
    if exact_backend.name == "jax":
        pytest.skip("compiled in test_conventions' place by the tests of prepared calls")
    x = np.zeros(2)
    prepared = ad.prepare(ad.gradient, PRODUCTS["x @ q @ x"], exact_backend.adtype, x + 1)
    np.testing.assert_array_equal(prepared(x)[0], x)


def test_native_code_keeps_the_frameworks_answer():
    torch = pytest.importorskip("torch")
    f = lambda y: torch.sum(torch.where(y > 0, torch.sqrt(y), 0.0))
    x = np.array([0.0, 4.0])
    np.testing.assert_array_equal(ad.gradient(f, ad.AutoTorch(face="native"), x)[0], [np.nan, 0.25])
    np.testing.assert_array_equal(ad.gradient(f, ad.AutoTorch(), torch.tensor(x))[0].numpy(), [np.nan, 0.25])


# -- types -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "convert", [lambda x: x.astype(object), lambda x: np.astype(x, object), lambda x: x.astype("O")]
)
def test_object_arrays_hold_traced_numbers(exact_backend, convert):
    x = np.array([1.0, 2.0])
    np.testing.assert_array_equal(
        ad.gradient(lambda x: np.sum(convert(x) * 2.0), exact_backend.adtype, x)[0], [2.0, 2.0]
    )
    np.testing.assert_array_equal(ad.gradient(lambda x: convert(x)[1] ** 2, exact_backend.adtype, x)[0], [0.0, 4.0])
    assert ad.gradient(lambda x: x.astype(object) * 2.0, exact_backend.adtype, 1.0) == (2.0,)


def test_text_has_no_derivative(exact_backend):
    with pytest.raises(ad.UnsupportedError, match=r"test_strong_zeros\.py"):
        ad.gradient(lambda x: np.sum(x) * len(x.astype(str)), exact_backend.adtype, np.ones(2))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.linalg.matrix_power(x, 0),
        lambda x: np.pad(x, 1, mode="linear_ramp"),
        lambda x: np.pad(x, 1, mode="linear_ramp", end_values=3.0),
        lambda x: np.linalg.norm(x, 0.5, axis=0),
        lambda x: np.maximum(x, 0.0),
    ],
)
def test_single_precision_stays(exact_backend, f):
    x, seen = np.eye(2, dtype=np.float32), []

    def total(x):
        seen.append(f(x).dtype)
        return np.sum(f(x))

    assert ad.gradient(total, exact_backend.adtype, x)[0].dtype == np.float32
    assert seen == [np.float32]


def test_the_identity_is_the_power_0_of_anything(exact_backend):
    x = np.array([[np.inf, 1.0], [0.0, 2.0]])
    np.testing.assert_array_equal(
        ad.withgradient(lambda x: np.sum(np.linalg.matrix_power(x, 0)), exact_backend.adtype, x).val, 2.0
    )
