"""Prepared operators on the framework backends: the same results as the plain call, for less."""

import multiprocessing
import os
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from samples.functions import rosenbrock

import adselect as ad
from adselect import (
    AutoAutograd,
    AutoFiniteDifferences,
    AutoJax,
    AutoTorch,
    Const,
    PreparationMismatchError,
    UnsupportedError,
    prepare,
)

ADTYPES = [AutoJax(), AutoTorch(), AutoAutograd(), AutoFiniteDifferences()]
X, Z = np.linspace(0.5, 1.5, 4), np.linspace(-0.4, 0.9, 4)


@pytest.fixture(params=ADTYPES, ids=lambda a: type(a).__name__)
def adtype(request):
    pytest.importorskip(request.param.requires)
    return request.param


@pytest.fixture
def jax_type():
    pytest.importorskip("jax")
    return AutoJax()


@pytest.fixture
def torch_type():
    pytest.importorskip("torch")
    return AutoTorch()


def vector(x):
    return np.sin(x) * x[0]


def curve(t):
    return np.stack([np.sin(t) * t, t**3])


def assert_same(one, other):
    """Equal trees: types, dtypes, shapes, values."""
    assert type(one) is type(other)
    if isinstance(one, (tuple, list)):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        np.testing.assert_allclose(one, other, rtol=1e-6 if one.dtype == np.float32 else 1e-12, atol=1e-12)
    elif one is not None and not isinstance(one, str):
        np.testing.assert_allclose(one, other, rtol=1e-6 if one.dtype == np.float32 else 1e-12) if isinstance(
            one, np.generic
        ) else np.testing.assert_allclose(complex(one), complex(other), rtol=1e-12, atol=1e-12)


ROWS = [
    (ad.gradient, rosenbrock, (X,), (Z,)),
    (ad.withgradient, rosenbrock, (X,), (Z,)),
    (ad.jacobian, vector, (X,), (Z,)),
    (ad.withjacobian, vector, (X,), (Z,)),
    (ad.hessian, rosenbrock, (X,), (Z,)),
    (ad.withhessian, rosenbrock, (X,), (Z,)),
    (ad.diaghessian, rosenbrock, (X,), (Z,)),
    (ad.hvp, rosenbrock, (X, X), (Z, X)),
    (ad.pushforward, vector, ((X,), (X,)), ((Z,), (X,))),
    (ad.derivative, curve, (2.0,), (1.5,)),
    (ad.derivative, np.sin, (np.float64(2.0),), (np.float64(1.5),)),
    (ad.second_derivative, curve, (2.0,), (1.5,)),
    (ad.gradient, lambda t: t**2 * np.sin(t), (2.0,), (1.5,)),
    (ad.withgradient, lambda t: t**2 * np.sin(t), (2.0,), (1.5,)),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{r[0].__name__}-{type(r[2][0]).__name__}")
def test_every_operator_equals_the_plain_call(adtype, row):
    operator, f, at, other = row
    prepared = prepare(operator, f, adtype, *at)
    for args in (other, at, other):
        assert_same(prepared(*args), operator(f, adtype, *args))


def test_float32_stays_float32(adtype):
    x = X.astype(np.float32)
    prepared = prepare(ad.withgradient, rosenbrock, adtype, x)
    assert_same(prepared(2 * x), ad.withgradient(rosenbrock, adtype, 2 * x))


def model(p, y):
    return np.sum((p["w"] * y + p["b"][0]) ** 2)


def test_structured_arguments_and_entries_without_a_derivative(adtype):
    def params(s):
        return {"w": s * X, "b": [s * 2.0, 1.0], "name": "linear"}

    prepared = prepare(ad.gradient, model, adtype, params(1), X)
    assert_same(prepared(params(2), Z), ad.gradient(model, adtype, params(2), Z))
    assert prepared(params(2), Z)[0]["name"] is None


def test_a_function_among_the_arguments_may_change(adtype):
    def power(a, n):
        return (lambda x: a * x**2) if n == 2 else (lambda x: a * np.sin(x))

    def f(g, x):
        return np.sum(g(x))

    prepared = prepare(ad.gradient, f, adtype, power(2.0, 2), X)
    for n in (3, 2):
        got, expected = prepared(power(3.0, n), Z), ad.gradient(f, adtype, power(3.0, n), Z)
        assert_same(got[1], expected[1])


@dataclass
class Line:
    slope: object
    offset: object
    unused: object = 1.0


def test_objects_give_tangents(adtype):
    def f(line, x):
        return np.sum(line.slope * x + line.offset)

    prepared = prepare(ad.gradient, f, adtype, Line(2.0, X), X)
    got, expected = prepared(Line(3.0, Z), Z), ad.gradient(f, adtype, Line(3.0, Z), Z)
    np.testing.assert_allclose(got[0].slope, expected[0].slope)
    np.testing.assert_allclose(got[0].offset, expected[0].offset)
    assert (got[0].unused is None) == (expected[0].unused is None)


def test_a_constant_may_change_from_call_to_call(adtype):
    def f(x, data, n):
        return np.sum((x - data) ** n)

    prepared = prepare(ad.gradient, f, adtype, X, Const(Z), Const(2))
    for data, n in ((X + 1, 2), (Z, 2), (Z, 3), (X, 4)):
        expected = ad.gradient(f, adtype, Z, Const(data), Const(n))
        assert_same(prepared(Z, data, n), expected)
        assert_same(prepared(Z, Const(data), Const(n)), expected)


def test_structured_constants(adtype):
    def f(x, batch):
        return np.sum((x - batch["data"]) ** 2) * batch["scale"]

    prepared = prepare(ad.gradient, f, adtype, X, Const({"data": Z, "scale": 2.0}))
    batch = {"data": X, "scale": 3.0}
    assert_same(prepared(Z, batch), ad.gradient(f, adtype, Z, Const(batch)))


def test_a_mask_among_the_arguments_may_change(adtype):
    def f(x, mask):
        return np.sum(np.where(mask, x**2, x))

    prepared = prepare(ad.gradient, f, adtype, X, X > 1)
    assert_same(prepared(X, X < 1), ad.gradient(f, adtype, X, X < 1))


def test_a_mask_inside_an_argument_may_change(adtype):
    def f(p):
        return np.sum(np.where(p["mask"], p["x"] ** 2, p["x"]))

    prepared = prepare(ad.gradient, f, adtype, {"x": X, "mask": X > 1})
    for mask in (X < 1, X > 1, X < 1):
        assert_same(prepared({"x": X, "mask": mask}), ad.gradient(f, adtype, {"x": X, "mask": mask}))


def test_keyword_arguments_and_options(adtype):
    def f(x, y, scale=1.0):
        return scale * np.sum(x**2)

    prepared = prepare(ad.gradient, f, adtype, X, Z, scale=3.0, missing="zeros")
    assert_same(prepared(Z, X), ad.gradient(f, adtype, Z, X, scale=3.0, missing="zeros"))
    out = np.zeros(4)
    prepared = prepare(ad.gradient, lambda x: np.sum(x**2), adtype, X, out=out)
    assert prepared(Z) is out
    np.testing.assert_allclose(out, 2 * Z, atol=1e-8)


def test_auxiliary_output(adtype):
    def f(x):
        return {"loss": np.sum(x**2), "residual": x - 1, "note": "aux"}

    prepared = prepare(ad.withgradient, f, adtype, X)
    assert_same(prepared(Z).val, ad.withgradient(f, adtype, Z).val)
    assert_same(prepared(Z).grad, ad.withgradient(f, adtype, Z).grad)


def test_integers_count_as_floats(adtype):
    prepared = prepare(ad.gradient, lambda x, n: np.sum(x**2) * n**2, adtype, np.arange(3), 2)
    assert_same(
        prepared(np.arange(3) + 5, 3), ad.gradient(lambda x, n: np.sum(x**2) * n**2, adtype, np.arange(3) + 5, 3)
    )


def test_results_belong_to_the_caller(adtype):
    prepared = prepare(ad.gradient, lambda x, y: np.sum(x + y), adtype, X, X)
    first, second = prepared(Z, Z)
    first[0] = 7.0
    assert second[0] != 7.0
    assert prepared(Z, Z)[0][0] != 7.0


def test_mismatch(adtype):
    prepared = prepare(ad.gradient, rosenbrock, adtype, X)
    with pytest.raises(PreparationMismatchError):
        prepared(np.ones(5))
    convert = prepare(ad.gradient, rosenbrock, adtype, X, strict="convert")
    assert convert(X.astype(np.float32))[0].dtype == np.float64
    retrace = prepare(ad.gradient, rosenbrock, adtype, X, strict="retrace")
    assert_same(retrace(np.ones(5)), ad.gradient(rosenbrock, adtype, np.ones(5)))


def test_threads(adtype):
    prepared = prepare(ad.gradient, rosenbrock, adtype, X)
    points = [X + 0.1 * k for k in range(8)]
    found = [None] * len(points)

    def work(k):
        found[k] = [prepared(points[k])[0] for _ in range(5)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(points))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for point, results in zip(points, found, strict=True):
        for result in results:
            np.testing.assert_allclose(result, ad.gradient(rosenbrock, adtype, point)[0], rtol=1e-8)


@pytest.mark.parametrize("choice", [AutoJax(), AutoTorch(), AutoAutograd()], ids=lambda a: type(a).__name__)
def test_strong_zeros(choice):
    pytest.importorskip(choice.requires)

    def f(x):
        return np.sum(np.where(x > 0, np.sqrt(x), 0.0))

    prepared = prepare(ad.gradient, f, choice, X)
    with np.errstate(divide="ignore", invalid="ignore"):  # autograd's own derivative of sqrt divides
        np.testing.assert_array_equal(prepared(np.array([0.0, 1.0, 4.0, 0.25]))[0], [0.0, 0.5, 0.25, 1.0])
    np.testing.assert_array_equal(prepared(np.ones(4))[0], 0.5 * np.ones(4))


def test_independent_of_an_argument(jax_type, torch_type):
    for choice in (jax_type, torch_type):
        prepared = prepare(ad.gradient, lambda x, y: np.sum(np.floor(x)), choice, X, Z)
        x_bar, y_bar = prepared(X, Z)
        assert y_bar is None
        np.testing.assert_array_equal(x_bar, np.zeros(4))


# -- JAX -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", [ad.gradient, ad.withgradient, ad.jacobian, ad.hessian, ad.diaghessian])
def test_jax_traces_once(jax_type, operator):
    calls = []

    def f(x):
        calls.append(1)
        return np.sum(x**3)

    prepared = prepare(operator, f, jax_type, X)
    assert len(calls) <= 2  # the eager result that says what kinds the results are, and the trace
    before = len(calls)
    for k in range(3):
        prepared(X + k)
    assert len(calls) == before


def test_jax_names_the_way_out_of_a_branch(jax_type):
    def f(x):
        return x**2 if x > 0 else -x

    with pytest.raises(UnsupportedError, match=r"np\.where(.|\n)*AutoJax\(jit=False\)"):
        prepare(ad.gradient, f, jax_type, 1.0)
    prepared = prepare(ad.gradient, f, AutoJax(jit=False), 1.0)
    assert [prepared(3.0), prepared(-3.0)] == [(6.0,), (-1.0,)]


def test_jax_takes_an_integer_argument_as_a_size(jax_type):
    def f(x, n):
        return np.sum(x[:n])

    prepared = prepare(ad.gradient, f, jax_type, X, 2)
    for n in (2, 3, 2):
        assert_same(prepared(X, n), ad.gradient(f, jax_type, X, n))
    prepared = prepare(ad.gradient, f, jax_type, X, Const(2))
    for n in (2, 3, 2):
        assert_same(prepared(X, n), ad.gradient(f, jax_type, X, Const(n)))


def test_jax_native_arrays_stay_native(jax_type):
    jax = pytest.importorskip("jax")
    x = jax.numpy.arange(3.0)
    prepared = prepare(ad.withgradient, lambda x: jax.numpy.sum(x**2), jax_type, x)
    result = prepared(x + 1)
    assert isinstance(result.grad[0], jax.Array)
    assert result.grad[0].dtype == x.dtype
    np.testing.assert_allclose(result.grad[0], [2.0, 4.0, 6.0])


def test_jax_native_face(jax_type):
    jnp = pytest.importorskip("jax.numpy")
    choice = AutoJax(face="native")
    prepared = prepare(ad.withgradient, lambda x: jnp.sum(jnp.sin(x)), choice, X)
    assert_same(prepared(Z), ad.withgradient(lambda x: jnp.sum(jnp.sin(x)), choice, Z))


def test_jax_derivatives_inside_f_keep_strong_zeros(jax_type):
    def inner(x):
        return np.sum(np.where(x > 0, np.sqrt(x), 0.0))

    def f(x):
        g = ad.gradient(inner, jax_type, x)[0]
        return np.sum(np.where(np.isfinite(g), g, 100.0) * x)

    at = np.array([0.0, 1.0, 4.0])
    prepared = prepare(ad.withgradient, f, jax_type, np.ones(3))
    assert_same(prepared(at).val, ad.withgradient(f, jax_type, at).val)


def test_complex_arguments(jax_type, torch_type):
    z = np.array([1 + 2j, 0.5 - 1j])
    for choice in (jax_type, torch_type):
        prepared = prepare(ad.gradient, lambda z: np.sum(np.abs(z) ** 2), choice, z)
        np.testing.assert_allclose(prepared(2 * z)[0], 4 * z)


def test_prepared_inside_another_derivative(jax_type, torch_type):
    for choice in (jax_type, torch_type):
        prepared = prepare(ad.gradient, lambda x: np.sum(x**3), choice, X)
        outer = ad.gradient(lambda x, g=prepared: np.sum(g(x)[0]), choice, X)[0]
        np.testing.assert_allclose(outer, 6 * X)


# -- PyTorch ---------------------------------------------------------------------------------------------------------


def test_torch_leaves_nothing_behind(torch_type):
    seen = {}

    def f(x):
        seen["x"] = x * 2
        return np.sum(x**2)

    prepare(ad.gradient, f, torch_type, X)(Z)
    assert type(seen["x"]) is np.ndarray


def test_torch_branches_are_followed(torch_type):
    prepared = prepare(ad.gradient, lambda x: x**2 if x > 0 else -x, torch_type, 1.0)
    assert [prepared(3.0), prepared(-3.0)] == [(6.0,), (-1.0,)]


def test_torch_evaluates_f_once(torch_type):
    calls = []

    def f(x):
        calls.append(1)
        return np.sum(x**2)

    prepared = prepare(ad.gradient, f, torch_type, X)
    before = len(calls)
    prepared(Z)
    assert len(calls) == before + 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile imports parts of torch that warn
def test_torch_compile():
    pytest.importorskip("torch")
    c = np.arange(4.0)

    def f(x, t):
        return rosenbrock(x) + np.sum(x * c) * t

    choice = AutoTorch(compile=True)
    prepared = prepare(ad.withgradient, f, choice, X, 1.0)
    assert_same(prepared(Z, 2.0), ad.withgradient(f, choice, Z, 2.0))


def test_torch_compile_says_what_it_cannot_do():
    pytest.importorskip("torch")
    choice = AutoTorch(compile=True)
    with pytest.raises(UnsupportedError, match=r"np\.where"):
        prepare(ad.gradient, lambda x: x if x > 0 else 2 * x, choice, 1.0)
    with pytest.raises(UnsupportedError, match="freeze"):
        prepare(ad.gradient, lambda x, m: np.sum(x * m), choice, X, X > 1)
    with pytest.raises(UnsupportedError, match="hessian"):
        prepare(ad.hessian, rosenbrock, choice, X)


# -- finite differences ----------------------------------------------------------------------------------------------


def test_evaluations_spread_over_processes():
    pytest.importorskip("findiff")
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        choice, plain = AutoFiniteDifferences(executor=executor), AutoFiniteDifferences()
        assert_same(ad.gradient(rosenbrock, choice, X), ad.gradient(rosenbrock, plain, X))
        assert_same(ad.jacobian(vector, choice, X), ad.jacobian(vector, plain, X))
        assert_same(prepare(ad.withgradient, rosenbrock, choice, X)(Z), ad.withgradient(rosenbrock, plain, Z))
        assert_same(ad.pullback(vector, choice, X)[1](Z), ad.pullback(vector, plain, X)[1](Z))
        with pytest.raises(UnsupportedError, match="top level"):
            ad.gradient(lambda x: np.sum(x), choice, X)


# -- what a call may cost: counted, since times depend on the machine --------------------------------------------------


def test_preparing_for_jax_calls_f_once(jax_type):
    calls = []

    def f(w, b):
        calls.append(w)
        return np.sum(np.sin(w) * b)

    prepared = prepare(ad.withgradient, f, jax_type, X, 2.0)
    assert len(calls) == 1
    prepared(Z, 3.0)
    assert len(calls) == 1


KINDS = {
    "float": 1.5,
    "int": 2,
    "float64": np.float64(1.5),
    "float32": np.float32(1.5),
    "no axes": np.array(1.5),
    "vector": np.array([1.0, 2.0]),
    "float32 vector": np.array([1.0, 2.0], np.float32),
    "int vector": np.array([1, 2]),
    "complex": 1.0 + 2.0j,
}


@pytest.mark.parametrize(("first", "second"), list(zip(KINDS, [*list(KINDS)[4:], *list(KINDS)[:4]], strict=True)))
def test_results_are_of_the_kinds_of_the_plain_call(jax_type, first, second):
    def f(a, b):
        return np.real(np.sum(a * np.conj(a)) + np.sum(b["b"][0] ** 2)), np.sum(a), a * 2.0

    args = KINDS[first], {"b": [KINDS[second], "name"]}
    assert_same(prepare(ad.withgradient, f, jax_type, *args)(*args), ad.withgradient(f, jax_type, *args))


def shared_memory(a, b):
    """A gradient that equals an argument, one that is a constant, and two that are equal."""
    return np.sum(a * b) + np.sum(a) + np.sum(b)


def passed_on(a, b):
    return np.sum(a + b)


def sliced(a, b):
    return np.sum(np.sin(np.concatenate([a, b])[3:]))


@pytest.mark.parametrize("f", [shared_memory, passed_on, sliced, lambda a, b: np.sum(a * b), lambda a, b: np.sum(a)])
@pytest.mark.parametrize("size", [5, 20_000])
def test_results_can_be_written_and_belong_to_nobody_else(adtype, size, f):
    if isinstance(adtype, AutoFiniteDifferences):
        adtype = AutoFiniteDifferences(step=1e-3)
        size = 5
    args = np.linspace(1.0, 2.0, size), np.linspace(3.0, 5.0, size)
    before = [x.copy() for x in args]
    prepared = prepare(ad.gradient, f, adtype, *args)
    for call in (prepared, lambda *xs: ad.gradient(f, adtype, *xs)):
        first = [g for g in call(*args) if g is not None]
        expected = [g.copy() for g in first]
        for i, g in enumerate(first):
            g[...] = i
        for i, g in enumerate(first):
            assert np.all(g == i)
        for x, old in zip(args, before, strict=True):
            np.testing.assert_array_equal(x, old)
        for g, old in zip([g for g in call(*args) if g is not None], expected, strict=True):
            np.testing.assert_array_equal(g, old)


def frames_of_ours(call):
    """How many functions of adselect a call enters."""
    count = 0

    def watch(frame, event, _):
        nonlocal count
        count += event == "call" and f"{os.sep}adselect{os.sep}" in frame.f_code.co_filename

    call()  # what is remembered from now on
    sys.setprofile(watch)
    try:
        call()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(("make", "most"), [(AutoTorch, 56), (AutoAutograd, 75), (AutoJax, 110)])
def test_a_plain_call_goes_a_short_way(make, most):
    pytest.importorskip(make.requires)
    adtype = make()
    assert frames_of_ours(lambda: ad.gradient(lambda x: x[0], adtype, X)) <= most


OPERATIONS = {
    "x * x": lambda x: x * x,
    "2.0 * x": lambda x: 2.0 * x,
    "x - y": lambda x: x - Z,
    "x @ x": lambda x: x @ x,
    "np.sin": np.sin,
    "np.sum": np.sum,
    "x[1:]": lambda x: x[1:],
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_costs_few_calls_on_torch(torch_type, name):
    counted = []

    def f(x):
        counted.append(frames_of_ours(lambda: OPERATIONS[name](x)))
        return x[0]

    ad.gradient(f, torch_type, X)
    assert counted[0] <= 10


# -- what a framework does not see of its arguments -------------------------------------------------------------------


@pytest.mark.parametrize("order", ["K", "A"])
@pytest.mark.parametrize("first", [0, 1])
def test_the_order_in_memory_of_an_argument(jax_type, torch_type, order, first):
    c = np.arange(12.0).reshape(3, 4)
    points = [c, np.asfortranarray(c), c[::-1]]
    f = lambda m: np.sum(m.ravel(order) * np.arange(12.0))
    for choice in (jax_type, torch_type):
        prepared = prepare(ad.withgradient, f, choice, points[first])
        for m in (*points, *points):
            value, (m_bar,) = prepared(m)
            assert value == f(m)
            np.testing.assert_array_equal(m_bar, ad.gradient(f, m)[0])


def test_auxiliary_output_and_0_d_arrays_on_torch(torch_type):
    f = lambda x: (np.sum(x**2), {"positive": len(x[x > 0]), "name": "f"}, None)
    prepared = prepare(ad.withgradient, f, torch_type, X)
    assert prepared(X).val == f(X)
    zero_d = prepare(ad.gradient, lambda x: x**2, torch_type, np.array(2.0))
    assert type(zero_d(np.array(3.0))[0]) is np.ndarray
