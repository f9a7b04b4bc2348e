"""What is particular to torch: native tensors, torch functions on the face, grad modes, outer graphs, higher order."""

import threading

import numpy as np
import pytest

import adselect as ad

torch = pytest.importorskip("torch")

from adselect.backends.choice import backend_of  # noqa: E402
from adselect.backends.torch.face import TorchArray  # noqa: E402
from adselect.backends.torch.operands import SHARED  # noqa: E402
from adselect.backends.torch.progress import in_progress  # noqa: E402
from adselect.engine.trace import Trace  # noqa: E402

TORCH = ad.AutoTorch()
NATIVE = ad.AutoTorch(face="native")


def cube(x):
    return (x**3).sum()


class Square(torch.autograd.Function):
    """Differentiable once only."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        return g * 2 * ctx.saved_tensors[0]


# -- what goes in comes out --------------------------------------------------------------------------------------------


def test_native_tensor_reaches_f_and_comes_back():
    seen = []

    def f(x):
        seen.append(type(x))
        return cube(x)

    value, (g,) = ad.withgradient(f, TORCH, torch.tensor([1.0, 2.0]))
    assert seen == [torch.Tensor]
    assert isinstance(value, torch.Tensor)
    assert not value.requires_grad
    assert isinstance(g, torch.Tensor)
    assert g.dtype is torch.float32
    assert not g.requires_grad
    torch.testing.assert_close(g, torch.tensor([3.0, 12.0]))


def test_leaf_is_left_alone():
    x = torch.tensor([1.0, 2.0])
    ad.gradient(cube, TORCH, x)
    assert not x.requires_grad
    assert x.grad is None
    p = torch.nn.Parameter(torch.ones(2))
    (g,) = ad.gradient(cube, TORCH, p)
    assert p.grad is None
    assert not g.requires_grad


def test_native_face_takes_numpy_and_gives_numpy():
    def f(x):
        assert isinstance(x, torch.Tensor)
        assert x.dtype is torch.float64
        return torch.sin(x).sum()

    value, (g,) = ad.withgradient(f, NATIVE, np.ones(2))
    assert type(g) is np.ndarray
    assert g.dtype == np.float64
    assert not isinstance(value, torch.Tensor)
    np.testing.assert_allclose(g, np.cos(np.ones(2)))


def test_mixed_leaves():
    g, h = ad.gradient(lambda x, y: (x * y).sum(), TORCH, torch.ones(2, dtype=torch.float64), np.full(2, 3.0))
    torch.testing.assert_close(g, torch.full((2,), 3.0, dtype=torch.float64))
    assert type(h) is np.ndarray
    np.testing.assert_array_equal(h, np.ones(2))


def test_module():
    layer = torch.nn.Linear(2, 1)
    (g,) = ad.gradient(lambda m: m(torch.ones(3, 2)).sum(), TORCH, layer)
    torch.testing.assert_close(g.weight, torch.full((1, 2), 3.0))
    torch.testing.assert_close(g.bias, torch.tensor([3.0]))
    assert layer.weight.grad is None


def test_integer_and_boolean_tensors():
    (g,) = ad.gradient(lambda x: (x**2).sum(), TORCH, torch.arange(3))
    torch.testing.assert_close(g, torch.tensor([0.0, 2.0, 4.0], dtype=torch.float64))
    assert ad.gradient(lambda x, b: x.sum() if b else 0 * x.sum(), TORCH, torch.ones(2), torch.tensor(True))[1] is None


@pytest.mark.parametrize("layout", ["reversed", "strided", "fortran", "read-only", "swapped", "broadcast"])
def test_any_numpy_layout(layout):
    x = np.arange(6.0).reshape(2, 3)
    x = {
        "reversed": lambda: x[::-1, ::-1],
        "strided": lambda: np.arange(12.0).reshape(2, 6)[:, ::2],
        "fortran": lambda: np.asfortranarray(x),
        "read-only": lambda: x.copy(),
        "swapped": lambda: x.astype(">f8"),
        "broadcast": lambda: np.broadcast_to(np.arange(3.0), (2, 3)),
    }[layout]()
    if layout == "read-only":
        x.flags.writeable = False
    before = x.copy()
    (g,) = ad.gradient(lambda t: np.sum(t**2), TORCH, x)
    np.testing.assert_array_equal(g, 2 * before)
    np.testing.assert_array_equal(x, before)


def test_device_option():
    (g,) = ad.gradient(lambda x: np.sum(x * np.arange(2.0)), ad.AutoTorch(device="cpu"), np.ones(2))
    np.testing.assert_array_equal(g, [0.0, 1.0])


def test_results_own_their_memory():
    y, back = ad.pullback(np.exp, TORCH, np.zeros(2))
    y[:] = 7.0
    np.testing.assert_array_equal(back(np.ones(2))[0], [1.0, 1.0])
    g, h = ad.gradient(lambda a, b: np.sum(a + b), TORCH, np.ones(2), np.ones(2))
    g[0] = 5.0
    assert h[0] == 1.0


def test_constants_are_read_when_met():
    buffer = np.zeros(2)

    def f(x):
        total = 0.0
        for i in range(3):
            buffer[:] = i
            total = total + np.sum(x * buffer)
        return total

    np.testing.assert_array_equal(ad.gradient(f, TORCH, np.ones(2))[0], [3.0, 3.0])


def test_default_dtype_and_grad_mode_are_untouched():
    before = torch.get_default_dtype(), torch.is_grad_enabled()
    g = ad.gradient(lambda x: np.sum(x * 2.5 + np.argmax(x) * 0.5), TORCH, np.ones(2))[0]
    assert g.dtype == np.float64
    with pytest.raises(ZeroDivisionError):
        ad.gradient(lambda x: x / 0 if False else 1 // 0, TORCH, 1.0)
    assert (torch.get_default_dtype(), torch.is_grad_enabled()) == before
    assert not in_progress(0)


# -- grad modes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_works_without_grad_mode(mode):
    with mode():
        g = ad.gradient(cube, TORCH, torch.tensor([1.0, 2.0]))[0]
        h = ad.gradient(cube, TORCH, np.array([1.0, 2.0]))[0]
        assert not torch.is_grad_enabled()
    torch.testing.assert_close(g, torch.tensor([3.0, 12.0]))
    np.testing.assert_array_equal(h, [3.0, 12.0])


def test_no_grad_inside_f_is_obeyed():
    def f(x):
        with torch.no_grad():
            c = x * 2
        return np.sum(c * x)

    np.testing.assert_array_equal(ad.gradient(f, TORCH, np.ones(2))[0], [2.0, 2.0])


def test_independence_is_read_off_the_graph():
    x = torch.ones(2)
    assert ad.gradient(lambda a, b: cube(a), TORCH, x, x)[1] is None
    assert ad.gradient(lambda a: cube(a.detach()) + 0.0, TORCH, x) == (None,)
    torch.testing.assert_close(ad.gradient(lambda a: torch.sign(a).sum(), TORCH, x)[0], torch.zeros(2))


# -- torch functions on the face ---------------------------------------------------------------------------------------


def test_torch_functions_take_the_face():
    layer = torch.nn.Linear(2, 1).double()

    def f(x):
        y = torch.nn.functional.softplus(x) + torch.stack([x[0], x[1]])
        assert type(y) is TorchArray
        return np.sum(layer(np.tanh(y)))

    def g(x):
        return layer(torch.tanh(torch.nn.functional.softplus(x) + x)).sum()

    x = np.array([0.3, -0.7])
    expected = torch.func.grad(g)(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(ad.gradient(f, TORCH, x)[0], expected)


@pytest.mark.parametrize("order", ["tensor first", "face first"])
def test_operators_with_tensors(order):
    c = torch.tensor([1.0, 2.0], dtype=torch.float64)
    f = (lambda x: np.sum(c * x)) if order == "tensor first" else (lambda x: np.sum(x * c))
    np.testing.assert_array_equal(ad.gradient(f, TORCH, np.ones(2))[0], [1.0, 2.0])


def fill_tensor(x):
    a = torch.zeros(2, dtype=torch.float64)
    a[0] = x[0]
    return a.sum()


def fill_array(x):
    a = np.zeros(2)
    a[0] = x[0]
    return a.sum()


@pytest.mark.parametrize(
    "f",
    [
        fill_tensor,
        fill_array,
        lambda x: torch.zeros(2, dtype=torch.float64).add_(x).sum(),
        lambda x: torch.add(x, x, out=torch.zeros(2, dtype=torch.float64)).sum(),
        lambda x: float(x[0]) * 2,
    ],
    ids=["tensor[i] = x", "array[i] = x", "add_", "out=", "float"],
)
@pytest.mark.parametrize("adtype", [TORCH, NATIVE], ids=["numpy", "native"])
def test_silent_loss_is_refused(f, adtype):
    if adtype is NATIVE and f is not fill_array and "float" not in f.__code__.co_names:
        pytest.skip("torch follows writes between its own tensors")
    with pytest.raises(ad.TracedValueError):
        ad.gradient(f, adtype, np.ones(2))


def test_item_is_allowed_by_name():
    (g,) = ad.gradient(lambda x: (x * x[0].item()).sum(), TORCH, torch.tensor([2.0, 3.0]))
    torch.testing.assert_close(g, torch.tensor([2.0, 2.0]))


def test_writing_into_an_integer_array_is_refused():
    def f(x):
        y = np.zeros_like(x, dtype=int)
        y[0] = x[0]
        return np.sum(y * x)

    with pytest.raises(ad.TracedValueError, match="int64"):
        ad.gradient(f, TORCH, np.ones(2))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.unsqueeze(0),
        lambda x: torch.from_numpy(x),
        lambda x: torch.as_tensor(x),
        lambda x: torch.tensor([x[0]]),
    ],
    ids=["method", "from_numpy", "as_tensor", "tensor"],
)
def test_errors_that_native_cures_say_so(f):
    with pytest.raises((AttributeError, TypeError)) as caught:
        ad.gradient(f, TORCH, np.ones(2))
    assert 'face="native"' in str(caught.value) + "".join(getattr(caught.value, "__notes__", ()))


def test_errors_it_does_not_cure_do_not():
    backend = backend_of(TORCH)
    assert backend.explain(AttributeError("'TorchArray' object has no attribute 'spam'")) is None
    assert backend.explain(ValueError("TorchArray")) is None
    assert backend_of(NATIVE).explain(AttributeError("'TorchArray' object has no attribute 'unsqueeze'")) is None


def test_linalg_errors_are_numpys():
    def f(x):
        try:
            return np.sum(np.linalg.solve(x, np.ones(2)))
        except np.linalg.LinAlgError:
            return np.sum(x)

    np.testing.assert_array_equal(ad.gradient(f, TORCH, np.ones((2, 2)))[0], np.ones((2, 2)))


def test_escaped_values_are_plain():
    box = []

    def f(x):
        box.append(x * 2)
        return np.sum(x)

    ad.gradient(f, TORCH, np.ones(2))
    np.testing.assert_array_equal(np.asarray(box[0]), [2.0, 2.0])
    assert "grad_fn" not in repr(box[0])


# -- inside the user's own torch code ----------------------------------------------------------------------------------


def test_in_a_graph_of_the_user():
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    (g,) = ad.gradient(cube, TORCH, w * 1)
    torch.testing.assert_close(torch.autograd.grad(g.sum(), w)[0], torch.tensor([6.0, 12.0]))
    (g,) = ad.gradient(cube, TORCH, w)
    torch.testing.assert_close(torch.autograd.grad(g.sum(), w)[0], torch.tensor([6.0, 12.0]))


@pytest.mark.parametrize("x", [torch.ones(2), np.ones(2, np.float32)], ids=["native", "face"])
def test_captured_tensor_of_the_user(x):
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    _, _, back = backend_of(TORCH).pullback(lambda v: ([(w * v[0] ** 2).sum()], []), [x])
    (g,) = back([1.0])
    torch.testing.assert_close(torch.autograd.grad(g.sum(), w)[0], torch.tensor([2.0, 2.0]))


def test_captured_parameters_are_constants():
    layer = torch.nn.Linear(2, 1)
    (g,) = ad.gradient(lambda x: layer(x).sum(), TORCH, torch.ones(2))
    assert not g.requires_grad


def inner(a):
    return ad.gradient(cube, TORCH, a)[0]


X = torch.tensor([1.0, 2.0])


@pytest.mark.parametrize(
    ("transformed", "expected"),
    [
        (lambda: torch.func.grad(lambda a: inner(a).sum())(X), torch.tensor([6.0, 12.0])),
        (lambda: torch.func.jacrev(inner)(X), torch.diag(torch.tensor([6.0, 12.0]))),
        (lambda: torch.func.jacfwd(inner)(X), torch.diag(torch.tensor([6.0, 12.0]))),
        (lambda: torch.func.hessian(lambda a: inner(a).sum())(X), torch.diag(torch.tensor([6.0, 6.0]))),
        (lambda: torch.func.vmap(inner)(torch.stack([X, 2 * X])), torch.stack([3 * X**2, 12 * X**2])),
        (lambda: torch.func.vmap(torch.func.grad(lambda a: inner(a).sum()))(X[None]), 6 * X[None]),
        (lambda: torch.func.jvp(inner, (X,), (torch.ones(2),))[1], torch.tensor([6.0, 12.0])),
    ],
    ids=["grad", "jacrev", "jacfwd", "hessian", "vmap", "vmap(grad)", "jvp"],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")  # torch's own, on its first jvp
def test_inside_torch_func(transformed, expected):
    torch.testing.assert_close(transformed(), expected)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
def test_inside_forward_mode():
    from torch.autograd import forward_ad

    for f, x in ((cube, X), (lambda t: (t**3).sum() + 0 * X.sum(), X)):
        with forward_ad.dual_level():
            (g,) = ad.gradient(f, TORCH, forward_ad.make_dual(x, torch.ones(2)))
            torch.testing.assert_close(forward_ad.unpack_dual(g).tangent, 6 * X)


def test_inside_torch_func_numpy_arguments_and_independence():
    def f(a):
        _, _, back = backend_of(TORCH).pullback(lambda v: ([np.sum(v[0] * v[0] * a)], []), [np.ones(2), 1.0])
        g, h = back([1.0])
        assert h is None
        return g.sum()

    torch.testing.assert_close(torch.func.grad(f)(torch.ones(2)), torch.tensor([2.0, 2.0]))


def test_pushforward_inside_torch_func():
    def f(a):
        return ad.pushforward(lambda x: x**3, TORCH, (a,), (torch.ones(2),))[1].sum()

    torch.testing.assert_close(torch.func.grad(f)(X), 6 * X)


# -- nesting -----------------------------------------------------------------------------------------------------------


def derivative(f):
    return lambda t: ad.gradient(f, TORCH, t)[0]


def test_any_order():
    f = np.exp
    for _ in range(4):
        f = derivative(f)
    np.testing.assert_allclose(f(0.5), np.exp(0.5))


def test_captured_outer_value():
    outer = derivative(lambda a: ad.gradient(lambda x: a * x**2, TORCH, 3.0)[0] * a)
    assert outer(2.0) == 24.0
    assert ad.gradient(lambda a: ad.gradient(lambda x: a + x**2, TORCH, 3.0)[0] * 1.0, TORCH, 2.0) == (None,)


def test_inner_result_that_does_not_depend_is_plain():
    def f(a):
        inner = ad.gradient(lambda x: x**2, TORCH, 3.0)[0]
        assert float(inner) == 6.0
        return a * inner

    assert ad.gradient(f, TORCH, 2.0) == (6.0,)


def test_traced_seed():
    _, back = ad.pullback(lambda x: x**2, TORCH, np.array([1.0, 2.0]))
    (g,) = ad.gradient(lambda s: np.sum(back(s)[0] ** 2), TORCH, np.ones(2))
    np.testing.assert_allclose(g, [8.0, 32.0])


def test_nested_in_threads():
    results: dict = {}

    def work(i):
        results[i] = derivative(lambda a: ad.gradient(lambda x: a * x**2, TORCH, 3.0)[0] * i)(2.0)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == {i: 6.0 * i for i in range(8)}


def test_other_backend_outside_is_refused():
    with pytest.raises(ad.UnsupportedError, match="another backend"):
        backend_of(TORCH).pullback(lambda v: (v, []), [Trace().leaf(1.0)])


# -- first derivative only ---------------------------------------------------------------------------------------------


def test_once_differentiable_second_order_raises():
    x = torch.tensor([1.0, 2.0])
    torch.testing.assert_close(ad.gradient(lambda t: Square.apply(t).sum(), TORCH, x)[0], 2 * x)
    with pytest.raises(ad.UnsupportedError, match="once_differentiable"):
        ad.gradient(lambda a: ad.gradient(lambda t: (Square.apply(t) + t**3).sum(), TORCH, a)[0].sum(), TORCH, x)


def test_once_differentiable_pushforward_falls_back_to_rows():
    x, v = torch.tensor([1.0, 2.0]), torch.tensor([1.0, -1.0])
    _, dot = ad.pushforward(lambda t: Square.apply(t) + t, TORCH, (x,), (v,))
    torch.testing.assert_close(dot, (2 * x + 1) * v)


# -- kinks: orders and places where torch's own answer is another one --------------------------------------------------


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (np.linalg.norm, [0.0, 0.0], np.full((2, 2), np.nan)),
        (np.std, [1.0, 1.0], np.full((2, 2), np.nan)),
        (lambda x: np.hypot(x[0], x[1]), [0.0, 0.0], np.full((2, 2), np.nan)),
        (lambda x: np.arctan2(x[0], x[1]), [0.0, 0.0], np.full((2, 2), np.nan)),
        (lambda x: np.sum(np.sinc(x)), [0.0], [[-(np.pi**2) / 3]]),
        (np.prod, [0.0, 0.0, 3.0], [[0, 3, 0], [3, 0, 0], [0, 0, 0]]),
        (lambda x: np.sum(np.cumprod(x)), [0.0, 0.0, 3.0], [[0, 4, 0], [4, 0, 0], [0, 0, 0]]),
        (np.linalg.det, [[1.0, 1.0], [1.0, 1.0]], [[0, 0, 0, 1], [0, 0, -1, 0], [0, -1, 0, 0], [1, 0, 0, 0]]),
        (lambda x: np.sum(np.where(x > 0, np.sqrt(x), 0.0)), [0.0, 4.0], [[0, 0], [0, -1 / 32]]),
        (lambda x: np.sum(np.where(x != 0, 1 / x, 0.0)), [0.0, 2.0], [[0, 0], [0, 0.25]]),
        (lambda x: np.var(np.where(x > 0, np.sqrt(np.abs(x)), x)), [0.0, 1.0], [[0.5, -0.25], [-0.25, 0]]),
    ],
    ids=["norm", "std", "hypot", "arctan2", "sinc", "prod", "cumprod", "det", "where sqrt", "where 1/x", "var where"],
)
def test_second_order_at_singular_points(f, x, expected):
    x = np.array(x)
    gradient = derivative(f)
    n = x.size
    _, back = ad.pullback(gradient, TORCH, x)
    unit = np.eye(n).reshape(n, *x.shape)
    reverse = [back(e)[0] for e in unit]
    forward = [ad.pushforward(gradient, TORCH, (x,), (e,))[1] for e in unit]
    np.testing.assert_allclose(np.reshape(reverse, (n, n)), expected, atol=1e-12)
    np.testing.assert_allclose(np.reshape(forward, (n, n)), expected, atol=1e-12)


def test_strong_zeros_through_broadcasting():
    a, b = ad.gradient(lambda a, b: np.sum(np.where(b != 0, a / b, 0.0)), TORCH, 2.0, np.array([0.0, 1.0]))
    assert a == 1.0
    np.testing.assert_array_equal(b, [0.0, -2.0])
    (a,) = ad.gradient(lambda a: np.sum(np.where([True, False], a * np.array([1.0, np.inf]), 0.0)), TORCH, 2.0)
    assert a == 1.0


def test_strong_zeros_leave_no_hooks_behind():
    _, back = ad.pullback(lambda x: np.sqrt(x), TORCH, np.array([0.0, 4.0]))
    np.testing.assert_array_equal(back(np.array([0.0, 1.0]))[0], [0.0, 0.25])
    np.testing.assert_array_equal(back(np.array([1.0, 0.0]))[0], [np.inf, 0.0])


def test_det_of_a_singular_larger_matrix():
    x = np.outer([1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 2.0, 1.0]) + np.diag([1.0, 0.0, 0.0, 1.0])
    minors = [
        [np.linalg.det(np.delete(np.delete(x, i, 0), j, 1)) * (-1) ** (i + j) for j in range(4)] for i in range(4)
    ]
    np.testing.assert_allclose(ad.gradient(np.linalg.det, TORCH, x)[0], minors, atol=1e-12)


# -- promotion and indexing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other", [2.0, 2, True, np.float64(2.0), np.arange(2), np.ones(2), np.ones(2, np.float32), 2j], ids=repr
)
@pytest.mark.parametrize("function", [np.add, np.multiply, np.true_divide, np.power, np.maximum, np.arctan2, np.where])
def test_promotion_is_numpys(function, other):
    if function in (np.maximum, np.arctan2) and isinstance(other, complex):
        pytest.skip("real functions")
    x = np.ones(2, np.float32)

    def f(t):
        return np.where(t > 0, t, other) if function is np.where else function(t, other)

    outputs, _, _ = backend_of(TORCH).pullback(lambda v: ([f(v[0])], []), [x])
    with np.errstate(divide="ignore"):
        expected = f(x)
    assert outputs[0].dtype == expected.dtype
    np.testing.assert_allclose(outputs[0], expected, rtol=1e-6)


T = np.arange(24.0).reshape(2, 3, 4)
INDICES = [
    (slice(None, None, -1),),
    (..., slice(3, 0, -2)),
    (slice(None), None, slice(None, None, -1), 1),
    (0, slice(None), [1, 2]),
    ([0, 1], slice(None, None, -1)),
    ([0, 1], slice(None), [2, 3]),
    (np.array([[0, 1], [1, 1]]),),
    (T > 7,),
    (slice(None), T[0, :, 0] > 0, slice(None, None, -2)),
    (True,),
]


@pytest.mark.parametrize("index", INDICES, ids=range(len(INDICES)))
def test_indexing_and_assignment_as_in_numpy(index):
    weights = np.arange(24.0).reshape(T.shape) + 1

    def read(x):
        return np.sum(x[index] * np.arange(T[index].size).reshape(T[index].shape))

    def write(x, v):
        y = x * 1.0
        y[index] = v
        return np.sum(y * weights)

    v = np.arange(T[index].size).reshape(T[index].shape) * 1.0
    for f, args in ((read, (T,)), (write, (T, v)), (write, (T, 5.0))):
        got = ad.withgradient(f, TORCH, *args)
        expected = ad.withgradient(f, ad.AutoTape(), *args)
        assert got.val == f(*args)
        for g, e in zip(got.grad, expected.grad, strict=True):
            np.testing.assert_allclose(np.zeros(()) if g is None else g, np.zeros(()) if e is None else e)


def test_extrema_over_an_empty_axis_are_the_initial_value():
    x = np.zeros((0, 3))
    y, back = ad.pullback(lambda x, a: np.max(x, axis=0, initial=a), TORCH, x, 2.0)
    np.testing.assert_array_equal(y, [2.0, 2.0, 2.0])
    assert back(np.ones(3))[1] == 3.0
    assert ad.gradient(lambda x, a: np.min(x, initial=a), TORCH, x, 2.0)[1] == 1.0


@pytest.mark.parametrize("method", ["linear", "lower", "higher", "midpoint"])
@pytest.mark.parametrize("shape", [(), (2,), (2, 2)])
def test_quantiles_have_a_slope_in_q(method, shape):
    x = np.random.default_rng(2).normal(size=(5, 3))
    q = np.broadcast_to(np.array([0.35, 0.8]), (2, 2)).copy() if len(shape) == 2 else np.array([0.35, 0.8])
    q = q[0] if shape == () else q

    def f(x, q):
        percent = np.percentile(x, 100 * q, axis=0, method=method)
        return np.sum(np.quantile(x, q, axis=0, keepdims=True, method=method) ** 2) + np.sum(percent)

    for got, expected in zip(ad.gradient(f, TORCH, x, q), ad.gradient(f, ad.AutoTape(), x, q), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12)


# -- large plain arrays are read where they lie ------------------------------------------------------------------------


def test_large_captured_arrays_are_not_copied():
    data = np.linspace(0, 1, 200_000).reshape(1000, 200)
    read = []

    def f(w):
        y = data @ w
        read.extend(tensor.data_ptr() for _, _, tensor in SHARED.arrays.values())
        return np.sum(y * y)

    w = np.linspace(-1, 1, 200)
    np.testing.assert_allclose(ad.gradient(f, TORCH, w)[0], 2 * data.T @ (data @ w))
    prepared = ad.prepare(ad.gradient, f, TORCH, w)
    np.testing.assert_allclose(prepared(w)[0], 2 * data.T @ (data @ w))
    assert len(read) >= 2
    assert set(read) == {data.ctypes.data}
    assert SHARED.arrays is None


@pytest.mark.parametrize("prepare", [False, True])
def test_a_large_array_that_f_overwrites_is_an_error(prepare):
    data = np.linspace(0, 1, 50_000)

    def f(x):
        data[:] = np.linspace(0, 1, 50_000)
        y = np.sum(x * data)
        data[:] = 7.0
        return y

    x = np.ones(50_000)
    with pytest.raises(TypeError, match="written to after a traced operation"):
        ad.prepare(ad.gradient, f, TORCH, x) if prepare else ad.gradient(f, TORCH, x)


def test_a_large_array_overwritten_before_the_pullback_is_an_error():
    data = np.linspace(0, 1, 50_000)
    _, back = ad.pullback(lambda x: np.sum(x * data), TORCH, np.ones(50_000))
    back(1.0)
    data[:] = 0.0
    with pytest.raises(TypeError, match="written to after a traced operation"):
        back(1.0)


def test_arrays_seen_in_an_inner_derivative_are_watched_by_the_outer():
    data = np.linspace(0, 1, 50_000)

    def slope(t):
        return ad.gradient(lambda s: np.sum(np.sin(s * data)), TORCH, t)[0]

    curvature = -np.sum(data**2 * np.sin(0.3 * data))
    assert ad.gradient(slope, TORCH, 0.3)[0] == pytest.approx(curvature)
