"""What is particular to AutoJax: tracing, precision, pytrees, native arrays, nesting and its error sentences."""

import threading

import numpy as np
import pytest

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

from adselect import AutoJax, AutoTape, UnsupportedError, gradient, hessian, pullback, pushforward  # noqa: E402
from adselect.backends.choice import backend_of  # noqa: E402
from adselect.backends.jax.call import FlatCall  # noqa: E402
from adselect.backends.jax.face import JaxArray  # noqa: E402
from adselect.backends.jax.table import TABLE  # noqa: E402
from adselect.backends.jax.zeros import strong_product  # noqa: E402

JAX = AutoJax()
NATIVE = AutoJax(face="native")


@pytest.fixture(autouse=True)
def _x64_flag_untouched():
    assert not jax.config.jax_enable_x64
    yield
    assert not jax.config.jax_enable_x64
    assert jnp.ones(1).dtype == jnp.float32


# -- tracing -------------------------------------------------------------------------------------------------------


def _numpy_code(np, x, w):
    h = np.tanh(w @ x)
    return np.sum(np.exp(-h) * h) + np.mean(np.sin(x)) / 2.0


def test_the_face_adds_nothing_to_the_program():
    x, w = np.ones(3), np.ones((2, 3))
    with jax.enable_x64(True):
        flat = FlatCall(lambda leaves: ([_numpy_code(np, *leaves)], []), [x, w], "numpy")
        ours = jax.make_jaxpr(flat)(*flat.values)
        native = jax.make_jaxpr(lambda x, w: ([_numpy_code(jnp, x, w)], []))(x, w)
    assert str(ours) == str(native)


def test_the_flat_call_can_be_jitted():
    x = np.array([0.3, 0.7])
    with jax.enable_x64(True):
        flat = FlatCall(lambda leaves: ([np.sum(np.sin(leaves[0]) ** 2)], []), [x], "numpy")
        run = jax.jit(lambda *values: jax.vjp(flat, *values, has_aux=True)[1]([jnp.ones(())]))
        (x_bar,) = run(*flat.values)
        np.testing.assert_allclose(x_bar, np.sin(2 * x), rtol=1e-12)


def test_f_runs_once_and_eagerly():
    calls = []

    def f(x):
        calls.append(bool(x[0] > 0))
        return np.sum(x**2) if x[0] > 0 else np.sum(x)

    (g,) = gradient(f, JAX, np.array([1.0, 2.0]))
    np.testing.assert_array_equal(g, [2.0, 4.0])
    (g,) = gradient(f, JAX, np.array([-1.0, 2.0]))
    np.testing.assert_array_equal(g, [1.0, 1.0])
    assert calls == [True, False]


def test_mutating_a_captured_array_after_use_does_not_change_the_gradient():
    buffer = np.ones(1000)

    def f(x):
        y = np.sum(x * buffer)
        buffer[:] = 5.0
        return y

    x = np.ones(1000)
    _, back = pullback(f, JAX, x)
    x[:] = 9.0
    np.testing.assert_array_equal(back(1.0)[0], np.ones(1000))


def test_results_are_writable_numpy():
    (g,) = gradient(lambda x: np.sum(x**2), JAX, np.ones(3))
    assert type(g) is np.ndarray
    g *= 0.5
    np.testing.assert_array_equal(g, np.ones(3))


def test_captured_containers_hold_plain_values_afterwards():
    kept = {}

    def f(x):
        kept["y"] = np.sin(x)
        return np.sum(kept["y"])

    gradient(f, JAX, np.ones(2))
    np.testing.assert_allclose(kept["y"] + 1, np.sin(1.0) + 1)
    np.testing.assert_allclose(np.asarray(kept["y"]), np.sin(np.ones(2)))


# -- precision -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex64, np.complex128])
def test_precision_is_the_arguments(dtype):
    x = np.array([0.5, 2.0], dtype)
    y, back = pullback(lambda x: np.sum((x * x).real), JAX, x)
    assert y.dtype == x.real.dtype
    (g,) = back(1.0)
    assert g.dtype == dtype
    np.testing.assert_array_equal(g, 2 * x)


@pytest.mark.parametrize(
    ("constant", "expected"),
    [
        (2.0, np.float32),
        (2, np.float32),
        (np.float32(2), np.float32),
        (np.float64(2), np.float64),
        (np.arange(2), np.float64),
        (np.arange(2, dtype=np.int16), np.float32),
        (np.ones(2), np.float64),
    ],
)
@pytest.mark.parametrize("operation", [np.add, np.multiply, np.power, np.arctan2, lambda x, c: np.where(x > 0, x, c)])
def test_constants_promote_as_in_numpy(operation, constant, expected):
    x = np.ones(2, np.float32)
    assert operation(x, constant).dtype == expected
    y, back = pullback(lambda x: operation(x, constant), JAX, x)
    assert y.dtype == expected
    assert back(np.ones(2))[0].dtype == np.float32


def test_python_numbers_are_weak():
    y, _ = pullback(lambda a, x: a * x, JAX, 2.0, np.ones(2, np.float32))
    assert y.dtype == np.float32


def test_double_precision_survives_outside_the_call():
    y, back = pullback(lambda x: np.sum(x + 1e-12), JAX, np.ones(2))
    assert y == 2 + 2e-12
    assert back(1 / 3)[0][0] == 1 / 3


def test_double_precision_in_a_thread_started_by_f():
    def f(x):
        result = []
        thread = threading.Thread(target=lambda: result.append(np.sum((x + 1e-12) * 1.0 + 1e-12)))
        thread.start()
        thread.join()
        return result[0]

    y, back = pullback(f, JAX, np.ones(2))
    assert y == np.sum((np.ones(2) + 1e-12) + 1e-12)
    np.testing.assert_array_equal(back(1.0)[0], [1.0, 1.0])


def test_integers_count_as_floats_and_still_index():
    x = np.array([1.0, 2.0, 3.0])
    (gx, gn) = gradient(lambda x, n: x[n] * n + np.sum(np.ones(n)) + x[n - 1] + len(range(n)), JAX, x, 2)
    np.testing.assert_array_equal(gx, [0.0, 1.0, 2.0])
    assert gn == 3.0
    assert isinstance(gn, float)
    indices = np.array([2, 0])
    g = gradient(lambda x, i: np.sum(x[i] * i), JAX, x, indices)
    np.testing.assert_array_equal(g[0], [0.0, 0.0, 2.0])
    np.testing.assert_array_equal(g[1], [3.0, 1.0])


# -- native arrays and jax.numpy -----------------------------------------------------------------------------------


def test_native_in_native_out():
    x = jnp.array([1.0, 2.0])

    def f(x):
        assert isinstance(x, jax.Array)
        return jnp.sum(jnp.sin(x))

    y, back = pullback(f, JAX, x)
    assert isinstance(y, jax.Array)
    (g,) = back(1.0)
    assert isinstance(g, jax.Array)
    assert g.dtype == jnp.float32
    np.testing.assert_allclose(g, np.cos(x))


def test_native_face_with_numpy_arguments():
    def f(x):
        assert isinstance(x, jax.Array)
        return jax.lax.sin(x).sum()

    (g,) = gradient(f, NATIVE, np.ones(2))
    assert type(g) is np.ndarray
    assert g.dtype == np.float64
    np.testing.assert_allclose(g, np.cos(1.0), rtol=1e-15)


def test_independence_is_seen_in_native_code():
    x, y = jnp.ones(2), jnp.ones(2)
    assert gradient(lambda x, y: jnp.sum(x), JAX, x, y)[1] is None
    assert gradient(lambda x, y: jnp.sum(x * jax.lax.stop_gradient(y)), JAX, x, y)[1] is None
    assert gradient(lambda x, y: jnp.sum(jnp.where(y > 0, x, 2 * x)), JAX, x, y)[1] is None
    scanned = gradient(lambda x, y: jax.lax.scan(lambda c, a: (c + a, None), 0.0, x)[0], JAX, x, y)
    assert scanned[1] is None
    np.testing.assert_array_equal(scanned[0], [1.0, 1.0])
    np.testing.assert_array_equal(gradient(lambda x, y: jnp.sum(x) + 0 * jnp.sum(y), JAX, x, y)[1], [0.0, 0.0])


def test_jax_numpy_takes_the_face():
    x = np.array([0.3, 0.7])
    (g,) = gradient(lambda x: jnp.sum(jnp.sin(x) * x) + jnp.linalg.norm(x), JAX, x)
    np.testing.assert_allclose(g, np.sin(x) + x * np.cos(x) + x / np.linalg.norm(x), rtol=1e-14)
    assert gradient(lambda x, y: jnp.sum(jnp.sin(x)), JAX, x, x)[1] is None


@pytest.mark.parametrize(
    "f",
    [
        lambda x: jax.jit(lambda q: np.sum(np.sin(q)))(x),
        lambda x: jax.vmap(lambda q: np.sin(q))(x).sum(),
        lambda x: jax.lax.scan(lambda c, q: (c + np.sin(q), None), 0 * x[0], x)[0],
        lambda x: jax.lax.fori_loop(0, 2, lambda i, c: c + 0.5 * np.sin(x), 0 * x).sum(),
        lambda x: jax.checkpoint(lambda q: np.sum(np.sin(q)))(x),
        lambda x: jax.lax.cond(True, lambda q: np.sum(np.sin(q)), lambda q: np.sum(q), x),
    ],
)
def test_the_face_is_a_pytree(f):
    x = np.array([0.3, 0.7])
    (g,) = gradient(f, JAX, x)
    np.testing.assert_allclose(g, np.cos(x), rtol=1e-14)


def test_pytree_structure_does_not_depend_on_the_mask():
    a, b = JaxArray(jnp.ones(2), 1), JaxArray(jnp.ones(2), 2)
    assert jax.tree.structure(a) == jax.tree.structure(b)
    assert jax.tree.map(lambda v: v, a)._deps == -1


# -- errors --------------------------------------------------------------------------------------------------------


def test_a_native_call_that_fails_names_the_native_face():
    with pytest.raises(Exception, match="__jax_array__") as error:
        gradient(lambda x: jax.lax.sin(x).sum(), JAX, np.ones(2))
    assert any('face="native"' in note for note in error.value.__notes__)
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(3,\) not aligned") as error:  # NumPy's own
        gradient(lambda x: np.dot(x, np.ones(3)), JAX, np.ones(2))
    assert not any('face="native"' in note for note in getattr(error.value, "__notes__", []))


def test_numpy_on_a_native_tracer_is_explained():
    outer = jnp.ones(2)
    with pytest.raises(jax.errors.TracerArrayConversionError) as error:
        jax.grad(lambda outer: gradient(lambda x: np.sum(np.sin(outer) * x), JAX, 1.0)[0])(outer)
    assert any("jax.numpy" in note for note in error.value.__notes__)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sum(x) if x[0] > 0 else x[0],
        lambda x: np.sum(x[x > 0]),
        lambda x: np.sum(np.ones(np.argmax(x))) + x[0],
        lambda x: np.sum(np.nonzero(x)[0]) + x[0],
        lambda x: np.sum(np.repeat(x, np.argmax(x))),
    ],
)
def test_what_jit_cannot_do_is_refused_with_the_way_out(f):
    x = np.array([1.0, 2.0])
    gradient(f, JAX, x)
    with jax.enable_x64(True):
        flat = FlatCall(lambda leaves: ([f(*leaves)], []), [x], "numpy")
        with pytest.raises(UnsupportedError, match=r"test_jax_face\.py:\d+.*np\.where.*unprepared"):
            jax.jit(flat)(*flat.values)


def test_a_native_branch_under_the_users_jit_is_explained():
    f = jax.jit(lambda t: gradient(lambda x: jnp.sum(x) if x[0] > 0 else x[0], JAX, t))
    with pytest.raises(jax.errors.TracerBoolConversionError) as error:
        f(jnp.ones(2))
    assert any("np.where" in note for note in error.value.__notes__)


def test_an_index_out_of_bounds_is_an_error_not_the_last_element():
    x = np.ones(3)
    for f in (lambda x: x[3], lambda x: np.sum(x[[0, 5]]), lambda x: np.take(x, 7), lambda x: x[-4]):
        with pytest.raises(IndexError):
            gradient(f, JAX, x)

    def write(x):
        y = x * 1
        y[5] = 1.0
        return np.sum(y)

    with pytest.raises(IndexError):
        gradient(write, JAX, x)


def test_a_singular_matrix_is_an_error_not_nan():
    for f in (lambda a: np.linalg.inv(a).sum(), lambda a: np.linalg.solve(a, np.ones(2)).sum()):
        with pytest.raises(np.linalg.LinAlgError):
            gradient(f, JAX, np.ones((2, 2)))
    with pytest.raises(np.linalg.LinAlgError):
        gradient(lambda a: np.linalg.cholesky(a).sum(), JAX, -np.eye(2))


# -- nesting -------------------------------------------------------------------------------------------------------


def test_gradient_inside_gradient():
    x = np.array([0.5, 2.0])
    (g,) = gradient(lambda x: np.sum(gradient(lambda z: np.sum(z**4), JAX, x)[0]), JAX, x)
    np.testing.assert_allclose(g, 12 * x**2, rtol=1e-14)
    third = gradient(lambda x: gradient(lambda y: gradient(lambda z: z**4, JAX, y)[0], JAX, x)[0], JAX, 2.0)
    assert third == (48.0,)


def test_a_captured_outer_value_belongs_to_the_outer_derivative():
    x, w = np.array([0.5, 2.0]), np.array([1.0, 3.0])

    def f(x, w):
        inner = gradient(lambda z, unused: np.sum(x * z), JAX, w, 1.0)
        assert inner[1] is None
        return np.sum(inner[0] ** 2)

    g = gradient(f, JAX, x, w)
    np.testing.assert_allclose(g[0], 2 * x)
    assert g[1] is None


def test_the_value_of_an_inner_call_depends_on_what_it_captured():
    def f(x, unused):
        y, _ = pullback(lambda z: z * x, JAX, 2.0)
        return y

    g = gradient(f, JAX, 3.0, 1.0)
    assert g == (2.0, None)


def test_hessian_of_a_branch_not_taken_is_finite():
    h = hessian(lambda x: np.sum(np.where(x > 0, x**1.5 * np.log(x), 0)), JAX, np.array([0.0, 1.0]))
    np.testing.assert_allclose(h, [[0.0, 0.0], [0.0, 2.0]], atol=1e-14)


def test_inside_the_users_own_transformations():
    def inner(t):
        return gradient(lambda z: jnp.sum(t * z**3), JAX, t)[0]

    t = jnp.array([1.0, 2.0])
    np.testing.assert_allclose(jax.jit(inner)(t), 3 * t**3, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(lambda t: inner(t).sum())(t), 9 * t**2, rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(inner)(jnp.stack([t, t])), 3 * jnp.stack([t, t]) ** 3, rtol=1e-6)


def test_a_captured_user_tracer_stays_traced():
    def f(t):
        (g,) = gradient(lambda z: np.sum(z**2) * jnp.sum(t), JAX, np.ones(2))
        return jnp.sum(g)

    with jax.enable_x64(True):
        assert jax.grad(f)(jnp.array([3.0])) == 4.0


# -- zeros and kinks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (lambda x: np.where(x > 0, np.sqrt(x), 0), 0.0, 0.0),
        (lambda x: np.where(x > 0, x * np.log(x), 0), 0.0, 0.0),
        (lambda x: np.where(x != 0, np.sin(x) / x, 1), 0.0, 0.0),
        (lambda x: np.where(x < 9, np.exp(x), x), 1e4, 1.0),
        (lambda x: np.sqrt(x), 0.0, np.inf),
        (lambda x: np.log(x), 0.0, np.inf),
        (abs, 0.0, 0.0),
        (lambda x: x**0.0, 0.0, 0.0),
        (lambda x: np.power(x, np.zeros(())), 0.0, 0.0),
        (lambda x: 0.0**x, 2.0, 0.0),
        (lambda x: 0.0**x, 0.0, 0.0),
        (lambda x: np.clip(x, 0, 1), 0.0, 1.0),
        (lambda x: np.clip(x, 0, 1), 1.0, 1.0),
        (lambda x: np.hypot(x, 0.0), 0.0, 0.0),
        (lambda x: np.arctan2(x, 0.0), 0.0, 0.0),
        (lambda x: np.arctan2(0.0, x), 0.0, 0.0),
        (np.sinc, 0.0, 0.0),
        (lambda x: np.fmax(x, 1.0), 1.0, 0.5),
        (lambda x: np.fmin(x, np.nan), 1.0, 1.0),
        (lambda x: np.maximum(x, 1.0), 1.0, 0.5),
        (np.sign, 3.0, 0.0),
        (np.floor, 3.0, 0.0),
        (lambda x: abs(x * 1j), 0.0, 0.0),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_kinks(f, x, expected):
    (g,) = gradient(f, JAX, x)
    assert g == expected
    _, y_dot = pushforward(f, JAX, (x,), (1.0,))
    assert y_dot == expected
    _, y_dot = pushforward(lambda x, y: f(x) + y, JAX, (x, 1.0), (0.0, 1.0))
    assert y_dot == 1.0


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (np.linalg.norm, [0.0, 0.0], [0.0, 0.0]),
        (lambda x: np.linalg.norm(x, 1), [0.0, 2.0], [0.0, 1.0]),
        (lambda x: np.linalg.norm(x, np.inf), [-2.0, 2.0], [-0.5, 0.5]),
        (lambda x: np.linalg.norm(x, 3), [0.0, 0.0], [0.0, 0.0]),
        (np.std, [2.0, 2.0], [0.0, 0.0]),
        (np.std, [2.0], [0.0]),
        (np.prod, [2.0, 0.0, 3.0], [0.0, 6.0, 0.0]),
        (np.prod, [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]),
        (lambda x: np.sum(np.cumprod(x)), [2.0, 0.0, 3.0], [1.0, 8.0, 0.0]),
        (np.max, [1.0, 1.0, 0.0], [0.5, 0.5, 0.0]),
        (np.median, [1.0, 2.0, 3.0, 4.0], [0.0, 0.5, 0.5, 0.0]),
        (np.median, [1.0, 1.0, 2.0], [0.5, 0.5, 0.0]),
        (lambda x: np.percentile(x, 50), [1.0, 1.0, 2.0], [0.5, 0.5, 0.0]),
        (np.ptp, [1.0, 1.0], [0.0, 0.0]),
        (lambda x: np.linalg.det(x.reshape(2, 2)), [1.0, 1.0, 1.0, 1.0], [1.0, -1.0, -1.0, 1.0]),
        (lambda x: np.linalg.det(np.reshape(x, (3, 3))), [0.0] * 9, [0.0] * 9),
    ],
)
def test_kinks_of_reductions(f, x, expected):
    (g,) = gradient(f, JAX, np.array(x))
    np.testing.assert_allclose(g, expected, atol=1e-14)


def test_complex_gradients_follow_steepest_ascent():
    z = np.array([0.6 + 0.8j])
    for f, expected in (
        (lambda z: np.sum((z * z).real), np.conj(2 * z)),
        (lambda z: np.sum(np.abs(z) ** 2), 2 * z),
        (lambda z: np.sum(np.abs(z)), z / np.abs(z)),
        (lambda z: np.sum(np.arccosh(z).real), np.conj(1 / np.sqrt(z**2 - 1 + 0j) * [1 if z[0].imag >= 0 else -1])),
    ):
        np.testing.assert_allclose(gradient(f, JAX, z)[0], expected, rtol=1e-12)
    _, back = pullback(lambda z: z**3, JAX, z)
    np.testing.assert_allclose(back(np.array([1j]))[0], 1j * np.conj(3 * z**2))


def test_strong_product_is_differentiable_to_any_order_and_batches():
    with jax.enable_x64(True):
        slope, x = jnp.array([jnp.inf, 2.0]), jnp.array([0.0, 3.0])
        np.testing.assert_array_equal(strong_product(slope, x), [0.0, 6.0])
        np.testing.assert_array_equal(jax.jit(jax.vmap(strong_product))(slope, x), [0.0, 6.0])
        _, back = jax.vjp(strong_product, jnp.array([1.0, 2.0]), x)
        slope_bar, x_bar = back(jnp.ones(2))
        np.testing.assert_array_equal(slope_bar, [0.0, 3.0])
        np.testing.assert_array_equal(x_bar, [1.0, 2.0])
        first = jax.grad(lambda b, a: jnp.sum(strong_product(a * a, b)))
        second = jax.grad(lambda a: first(x, a).sum())(jnp.array([1.0, 2.0]))
        np.testing.assert_array_equal(second, [2.0, 4.0])


def test_svd_with_full_matrices_is_differentiable():
    a = np.random.default_rng(0).normal(size=(4, 2))

    def f(a):
        u, _, _ = np.linalg.svd(a)
        return np.sum((u[:, 2:] @ u[:, 2:].T) * np.arange(16.0).reshape(4, 4))

    (g,) = gradient(f, JAX, a)
    step, expected = 1e-6, np.zeros_like(a)
    for i in np.ndindex(a.shape):
        up, down = a.copy(), a.copy()
        up[i] += step
        down[i] -= step
        expected[i] = (f(up) - f(down)) / (2 * step)
    np.testing.assert_allclose(g, expected, atol=1e-6)


def test_every_row_of_the_table_is_a_numpy_function():
    """Or one that rules are written in."""
    assert len(TABLE) > 250
    for function in TABLE:
        assert isinstance(function, np.ufunc) or function.__module__.startswith(
            ("numpy", "adselect.rules.", "adselect.face.atoms")
        )


# -- the backend's own contract ------------------------------------------------------------------------------------


def test_aux_and_outputs_of_every_kind_pass_through():
    def call(leaves):
        (x,) = leaves
        return [np.sum(x), 7.0, np.argmax(x)], ["text", x * 2, None, 3, np.arange(2)]

    outputs, aux, back = backend_of(JAX).pullback(call, [np.array([1.0, 2.0])])
    assert outputs == [3.0, 7.0, 1]
    assert aux[0] == "text"
    assert type(aux[1]) is np.ndarray
    assert aux[2:4] == [None, 3]
    np.testing.assert_array_equal(back([1.0, 1.0, None])[0], [1.0, 1.0])
    np.testing.assert_array_equal(back([None, None, None])[0], [0.0, 0.0])


def test_several_directions_share_one_evaluation():
    calls = []

    def call(leaves):
        calls.append(1)
        x, y = leaves
        return [np.sin(x) * 2, y * 1.0], []

    x = np.array([0.3, 0.7])
    _, dots, _ = backend_of(JAX).pushforwards(call, [x, 1.0], [[np.ones(2), None], [None, 2.0], [None, None]])
    assert len(calls) == 1
    np.testing.assert_allclose(dots[0][0], 2 * np.cos(x))
    assert dots[0][1] is None
    assert dots[1] == [None, 2.0]
    assert dots[2] == [None, None]


@pytest.mark.parametrize("kind", ["real", "complex"])
def test_eigenvectors_have_a_derivative(kind):
    rng = np.random.default_rng(5)
    x = np.diag([1.0, 2.0, 4.0]) + 0.1 * rng.normal(size=(3, 3))
    if kind == "complex":
        x = x + 0.1j * rng.normal(size=(3, 3))

    def f(x):
        values, vectors = np.linalg.eig(x)
        return np.sum(np.abs(vectors) ** 2 * np.arange(9.0).reshape(3, 3)) + np.sum(np.abs(values))

    assert np.linalg.eig(x).eigenvectors.dtype == pushforward(np.linalg.eig, JAX, (x,), (x,))[0].eigenvectors.dtype
    np.testing.assert_allclose(gradient(f, JAX, x)[0], gradient(f, AutoTape(), x)[0], rtol=1e-9)


def test_strong_zeros_beside_a_batch():
    slope, linear = jnp.array([jnp.inf, 2.0]), jnp.array([[0.0, 1.0], [1.0, 3.0], [0.0, 0.0]])
    expected = np.array([[0.0, 2.0], [np.inf, 6.0], [0.0, 0.0]])
    np.testing.assert_array_equal(jax.vmap(strong_product, (None, 0))(slope, linear), expected)
    np.testing.assert_array_equal(jax.vmap(strong_product, (None, 1))(slope, linear.T), expected)
    beside = jax.vmap(strong_product, (0, None))(jnp.stack([slope, 2 * slope]), linear[0])
    np.testing.assert_array_equal(beside, [[0.0, 2.0], [0.0, 4.0]])
