"""The autograd backend: derivatives right where autograd's own are not, state restored, nesting, what f receives."""

from __future__ import annotations

import threading

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from autograd.tracer import trace_stack

import adselect.rules  # noqa: F401 - registers the shared rules
from adselect.adtypes import AutoAutograd, AutoTape
from adselect.backends.autograd.backend import AutogradBackend
from adselect.backends.autograd.face import AutogradArray
from adselect.backends.choice import backend_of
from adselect.backends.finite_differences.backend import gradient_with_error
from adselect.errors import ADSelectTypeError, ADSelectValueError, MissingRuleError, TracedValueError, UnsupportedError
from adselect.face.array import Array

BACKEND = AutogradBackend(AutoAutograd())
NATIVE = AutogradBackend(AutoAutograd(face="native"))
X = np.array([0.3, 0.7, -1.2])
M = np.array([[2.0, 0.5, 0.1], [0.5, 3.0, -0.2], [0.1, -0.2, 1.0]])


def gradient(f, *args, seed=1.0, backend=BACKEND):
    _, _, back = backend.pullback(lambda xs: ([f(*xs)], []), list(args))
    return back([seed])


def in_place(x):
    y = np.zeros_like(x)
    y[0] = x[1] * 2
    y[1:] += x[:2] ** 2
    view = y[1:]
    view *= x[0]
    return y.sum()


FUNCTIONS = {
    "operators": lambda x: np.sum((2 * x - x / 3 + x**2 - 1 / (x + 5) + (-x) % 1.7) * x),
    "loop over entries": lambda x: sum(x[i] * i for i in range(3)) + sum(v * v for v in x),
    "in place": in_place,
    "concatenate": lambda x: np.sum(np.concatenate([x[1:], x[:1] ** 2]) * np.arange(3)),
    "stack": lambda x: np.stack([x[0], x[1] * x[2], 1.0]).sum(),
    "object array": lambda x: np.array([x[0], x[1] * x[2]]).sum() * x[0],
    "where": lambda x: np.sum(np.where(x > 0, x**2, np.sin(x))),
    "clip": lambda x: np.clip(x, -1.0, 0.5) @ x,
    "sort, take, flip": lambda x: np.sort(x)[0] * np.take(x, [0, 0, 2]).sum() + np.flip(x)[0] ** 2,
    "mask": lambda x: x[x > 0].sum() * x[-1],
    "moments": lambda x: np.std(x) + np.var(x, ddof=1) + np.mean(x) ** 2,
    "scans": lambda x: np.cumsum(x) @ np.cumprod(x) + np.diff(x) @ x[1:],
    "products": lambda x: np.einsum("i,ij,j->", x, M, x) + np.outer(x, x)[0, 1] + np.tensordot(M, x, 1)[2],
    "solve, inv, det": lambda x: (
        np.linalg.solve(M + np.diag(x), x).sum() + np.linalg.det(M * x[0]) + np.linalg.inv(M + np.outer(x, x))[0, 1]
    ),
    "slogdet": lambda x: np.linalg.slogdet(M + np.outer(x, x)).logabsdet,
    "cholesky": lambda x: np.linalg.cholesky(M + np.outer(x, x))[2, 1],
    "eigh": lambda x: np.linalg.eigh(M + np.outer(x, x)).eigenvalues[0] + np.linalg.eigh(M + np.diag(x))[0][2],
    "fft": lambda x: np.abs(np.fft.fft(x)[1]) ** 2,
    "complex inside": lambda x: np.real(np.sum(np.exp(1j * x) * (x + 2j))),
    "pad, reshape, roll": lambda x: np.sum(np.pad(x, (1, 0)).reshape(2, 2).T ** 2 * M[:2, :2]) + np.roll(x, 1)[0],
    "reductions": lambda x: x.max() * x.min() + np.prod(x) + np.sum(np.outer(x, x), axis=(0, -1), keepdims=True)[0, 0],
    "lists as operands": lambda x: np.sum(x * x * [1.0, 2.0, 3.0]) + np.dot([[1.0, 0.0, 2.0]], x)[0],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_plain_numpy_against_finite_differences(name):
    f = FUNCTIONS[name]
    got = gradient(f, X)[0]
    (expected,), (error,) = gradient_with_error(f, X)
    assert type(got) is np.ndarray
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, expected, rtol=1e-7, atol=1e-9 + error.max())


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n not in ("fft", "in place")])
def test_second_order_against_finite_differences(name):
    f = FUNCTIONS[name]
    w = np.array([1.0, -0.5, 2.0])
    got = gradient(lambda x: np.sum(gradient(f, x)[0] * w), X)[0]
    along = BACKEND.pushforwards(lambda xs: ([gradient(f, xs[0])[0]], []), [X], [[w]])[1][0][0]
    expected = gradient_with_error(lambda x: float(gradient(f, x)[0] @ w), X)[0][0]
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(along, got, rtol=1e-11, atol=1e-11)


def test_scipy_special():
    special = pytest.importorskip("scipy.special")
    assert gradient(lambda x: special.gammaln(x) + special.erf(x), 2.5)[0] == pytest.approx(
        special.digamma(2.5) + 2 / np.sqrt(np.pi) * np.exp(-6.25), rel=1e-12
    )


def test_the_oracle_rejects_a_wrong_derivative(monkeypatch):
    from autograd.core import primitive_vjps
    from autograd.tracer import trace_primitives_map

    wrong = lambda argnums, y, args, kwargs: lambda g: (g * 0.999,)
    monkeypatch.setitem(primitive_vjps, trace_primitives_map[np.tanh], wrong)
    (expected,), (error,) = gradient_with_error(np.tanh, 0.3)
    assert abs(gradient(np.tanh, 0.3)[0] - expected) > 1e3 * error


# -- kinks, where autograd alone gives NaN or nothing ----------------------------------------------------------------

KINKS = {
    "abs": (np.abs, 0.0, 0.0),
    "prod with one zero": (np.prod, np.array([2.0, 0.0, 3.0]), [0.0, 6.0, 0.0]),
    "prod with two zeros": (np.prod, np.array([0.0, 0.0, 3.0]), [0.0, 0.0, 0.0]),
    "cumprod": (lambda x: np.cumprod(x).sum(), np.array([2.0, 0.0, 3.0]), [1.0, 8.0, 0.0]),
    "norm": (np.linalg.norm, np.zeros(2), [0.0, 0.0]),
    "std of a constant": (np.std, np.ones(3), [0.0, 0.0, 0.0]),
    "det of zeros": (np.linalg.det, np.zeros((3, 3)), np.zeros((3, 3))),
    "sinc": (np.sinc, 0.0, 0.0),
    "power zero": (lambda x: x**0.0, 0.0, 0.0),
    "clip at its bound": (lambda x: np.clip(x, 1.0, 2.0), 1.0, 1.0),
    "max of equals": (np.max, np.array([1.0, 1.0, 0.0]), [0.5, 0.5, 0.0]),
    "sqrt in the other branch": (lambda x: np.where(x > 0, np.sqrt(x), 0.0), 0.0, 0.0),
    "log in the other branch": (lambda x: np.where(x > 0, np.log(x), 0.0), -1.0, 0.0),
    "quotient in the other branch": (lambda x: np.where(x != 0, np.sin(x) / x, 1.0), 0.0, 0.0),
    "sqrt itself": (np.sqrt, 0.0, np.inf),
}


@pytest.mark.parametrize("name", KINKS)
def test_kinks(name):
    f, x, expected = KINKS[name]
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(gradient(f, x)[0], expected)


def test_singular_determinant_by_cofactors():
    got = gradient(np.linalg.det, np.ones((2, 2)))[0]
    np.testing.assert_allclose(got, [[1.0, -1.0], [-1.0, 1.0]], rtol=1e-14)


@pytest.mark.parametrize("f", [np.hypot, np.arctan2])
def test_two_arguments_at_the_origin(f):
    assert gradient(f, 0.0, 0.0) == [0.0, 0.0]


def test_a_zero_tangent_stays_zero_through_an_infinite_slope():
    with np.errstate(all="ignore"):
        x = np.array([0.0, 1.0])
        _, (dots,), _ = BACKEND.pushforwards(lambda xs: ([np.sqrt(xs[0])], []), [x], [[x]])
    np.testing.assert_array_equal(dots[0], [0.0, 0.5])


# -- conventions -----------------------------------------------------------------------------------------------------


def test_independent_arguments_are_none_and_flat_ones_zero():
    assert gradient(lambda x, y: 2 * x, 1.0, 3.0) == [2.0, None]
    assert gradient(lambda x, y: x + np.floor(y), 1.5, 3.5) == [1.0, 0.0]
    assert gradient(lambda x, y: np.where(y > 0, x, 2 * x) + np.argmax(y), 1.0, 3.0) == [1.0, None]
    assert gradient(lambda x: 3.0, 1.0) == [None]


def test_pythons_min_and_max_depend_on_what_they_compared():
    assert gradient(lambda x, y, z: min(x, y) + 0.0, 1.0, 2.0, 3.0) == [1.0, 0.0, None]


def test_overwritten_values_are_independent():
    def f(x, y):
        z = x * 1.0
        z[:] = y
        return z.sum()

    x_bar, y_bar = gradient(f, X, X)
    assert x_bar is None
    np.testing.assert_array_equal(y_bar, np.ones(3))


def test_complex_convention_is_the_conjugate_of_autograds():
    z = 1 + 2j
    assert gradient(lambda z: np.real(z * z), z)[0] == 2 - 4j
    assert gradient(lambda z: z**3, z, seed=1.0)[0] == np.conj(3 * z**2)
    assert gradient(lambda z: z**3, z, seed=1j)[0] == pytest.approx(1j * np.conj(3 * z**2))
    _, (dots,), _ = BACKEND.pushforwards(lambda xs: ([xs[0] ** 3, 1j * np.real(xs[0])], []), [z], [[1j]])
    assert dots == [pytest.approx(3j * z**2), 0]


def test_single_precision_stays_single():
    x = X.astype(np.float32)
    assert gradient(lambda x: np.sum(x * np.ones(3)), x)[0].dtype == np.float32
    outputs, _, _ = BACKEND.pullback(lambda xs: ([np.sin(xs[0]) * 2.0], []), [x])
    assert outputs[0].dtype == np.float32


def test_integers_count_and_differentiate():
    def f(n, x):
        return n * x[n + 1] + np.zeros(n).size

    n_bar, x_bar = gradient(f, 1, X)
    assert (type(n_bar), n_bar) == (np.float64, X[2])
    np.testing.assert_array_equal(x_bar, [0.0, 0.0, 1.0])
    np.testing.assert_array_equal(gradient(lambda i, x: np.sum(x[i] * i), np.array([0, 2]), X)[0], X[[0, 2]])


def test_back_may_be_called_again_and_shares_no_memory():
    _, _, back = BACKEND.pullback(lambda xs: ([xs[0] + 0.0, xs[0] * 2.0], []), [X])
    seed = np.ones(3)
    first = back([seed, None])[0]
    first[:] = 7.0
    np.testing.assert_array_equal(back([seed, None])[0], np.ones(3))
    np.testing.assert_array_equal(back([seed, seed])[0], np.full(3, 3.0))
    np.testing.assert_array_equal(seed, np.ones(3))


def test_f_runs_once():
    calls = []

    def f(x):
        calls.append(1)
        return np.sum(x**2)

    gradient(f, X)
    BACKEND.pushforwards(lambda xs: ([f(xs[0])], []), [X], [[e] for e in np.eye(3)])
    assert len(calls) == 2


# -- state -----------------------------------------------------------------------------------------------------------


def test_the_trace_stack_survives_an_exception():
    before = trace_stack.top

    def f(x):
        autograd.grad(lambda z: 1 / 0)(1.0)

    with pytest.raises(ZeroDivisionError):
        gradient(f, 1.0)
    assert trace_stack.top == before
    assert gradient(np.sin, 0.0) == [1.0]
    assert autograd.grad(anp.sin)(0.0) == 1.0


def test_threads_do_not_see_each_other():
    barrier, results = threading.Barrier(3), {}

    def work(k):
        def f(x):
            barrier.wait(10)
            y = gradient(lambda z: z**3, x)[0] * k  # nested, while the others are inside
            barrier.wait(10)
            return y

        for _ in range(3):
            results[k] = gradient(f, 2.0)[0]

    threads = [threading.Thread(target=work, args=(k,)) for k in (1, 2, 3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == {k: 12.0 * k for k in (1, 2, 3)}
    assert trace_stack.top == -1


def test_escaped_values_are_plain_afterwards():
    kept = []

    def f(x):
        kept.append(x * 2)
        return x**2

    gradient(f, 3.0)
    assert kept[0]._closed
    assert float(kept[0]) == 6.0
    assert gradient(lambda x: x * kept[0], 1.0) == [6.0]


# -- nesting ---------------------------------------------------------------------------------------------------------


def test_third_order():
    def second(x):
        return gradient(lambda z: gradient(np.sin, z)[0], x)[0]

    assert gradient(second, 0.5)[0] == pytest.approx(-np.cos(0.5), rel=1e-14)


def test_no_perturbation_confusion():
    assert gradient(lambda x: x * gradient(lambda y: x + y, 1.0)[0], 1.0) == [1.0]


def test_inside_autograds_own_grad():
    inside = autograd.grad(lambda a: gradient(lambda x: a * x**3, 2.0)[0])
    assert inside(1.5) == pytest.approx(12.0)
    at_box = autograd.grad(lambda a: gradient(lambda x: np.sum(x**3), a)[0])
    assert at_box(1.5) == pytest.approx(9.0)


def test_autograds_grad_inside():
    assert gradient(lambda x: x * autograd.grad(lambda z: z**3)(2.0), 5.0) == [12.0]

    def inner(x):
        return autograd.grad(lambda z: anp.sin(z) * anp.exp(z))(x)

    value = gradient(inner, 0.3, backend=NATIVE)[0]
    assert value == pytest.approx(2 * np.cos(0.3) * np.exp(0.3), rel=1e-14)


def test_the_tape_inside():
    tape = backend_of(AutoTape())

    def f(x):
        return gradient(lambda y: np.sum(np.sin(y) * y), x, backend=tape)[0]

    got = gradient(lambda x: np.sum(f(x)), X)[0]
    np.testing.assert_allclose(got, 2 * np.cos(X) - X * np.sin(X), rtol=1e-14)


def test_inside_another_engine_is_refused():
    with pytest.raises(UnsupportedError, match="AutoTape"):
        gradient(lambda x: gradient(lambda y: y**2, x)[0], 1.0, backend=backend_of(AutoTape()))


# -- faces -----------------------------------------------------------------------------------------------------------


def test_native_face_hands_over_boxes():
    seen = []

    def f(x):
        seen.append(type(x).__name__)
        return anp.sum(anp.sin(x))

    np.testing.assert_array_equal(gradient(f, X, backend=NATIVE)[0], np.cos(X))
    assert seen == ["ArrayBox"]


def test_autograd_functions_take_the_numpy_face():
    def f(x):
        assert isinstance(x, AutogradArray)
        return anp.sum(anp.sin(x) * anp.concatenate([x[:1], x[1:]]))

    np.testing.assert_allclose(gradient(f, X)[0], np.cos(X) * X + np.sin(X), rtol=1e-15)


def test_never_element_by_element():
    def f(x):
        for y in (np.sort(x), np.cumprod(x), np.fmod(x, 0.4), np.sinc(x), np.sqrt(x + 5)):
            assert isinstance(y, Array)
            assert y.dtype == np.float64
        return np.sum(x)

    gradient(f, X)


def test_conversions_and_missing_rules_raise_at_the_line():
    with pytest.raises(TracedValueError, match=r"test_autograd_face\.py"):
        gradient(lambda x: float(x), 1.0)
    with pytest.raises(MissingRuleError, match="histogram2d"):
        gradient(lambda x: np.histogram2d(x, x)[0], 1.0)


def test_arguments_that_are_not_numbers_are_refused():
    with pytest.raises(ADSelectTypeError, match="numbers"):
        gradient(lambda x: 1.0, "text")
    with pytest.raises(ADSelectValueError, match="face"):
        AutogradBackend(AutoAutograd(face="box"))
