"""The built-in engine: nesting, exceptions, threads, long programs, views, memory."""

from __future__ import annotations

import gc
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import adselect as ad
from adselect import AutoForward, AutoTape, derivative, gradient, hessian, jacobian, pullback, withgradient
from adselect.engine.trace import TapeArray, Trace
from adselect.face.array import Array

BOTH = pytest.mark.parametrize("adtype", [AutoTape(), AutoForward()], ids=repr)
PAIRS = [(a, b) for a in (AutoTape(), AutoForward()) for b in (AutoTape(), AutoForward())]


def slope(f, adtype, x):
    """f′(x) by gradient, whatever the mode."""
    return gradient(f, adtype, x)[0]


# -- nesting ---------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_nesting(adtype, depth):
    f = lambda x: np.sin(2.0 * x) * x
    g = f
    for _ in range(depth):
        g = lambda x, g=g: slope(g, adtype, x)
    x = 0.7
    s, c = np.sin(2 * x), np.cos(2 * x)
    exact = [2 * c * x + s, -4 * s * x + 4 * c, -8 * c * x - 12 * s, 16 * s * x - 32 * c][depth - 1]
    assert g(x) == pytest.approx(exact, rel=1e-12)
    h = f
    for _ in range(depth):
        h = lambda x, h=h: derivative(h, adtype, x)
    assert h(x) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize(("outer", "inner"), PAIRS, ids=repr)
def test_nesting_across_modes(outer, inner):
    f = lambda x: np.sum(np.exp(x) * x[::-1])
    x = np.array([0.1, -0.4, 0.8])
    J = jacobian(lambda t: gradient(f, inner, t)[0], outer, x)[0]
    n = len(x)
    H = np.zeros((n, n))
    for i in range(n):
        H[i, i] += np.exp(x[i]) * x[n - 1 - i]
        H[i, n - 1 - i] += np.exp(x[i]) + np.exp(x[n - 1 - i])
    H[1, 1] = np.exp(x[1]) * (x[1] + 2)
    np.testing.assert_allclose(J, H, rtol=1e-12)


@pytest.mark.parametrize(("outer", "inner"), PAIRS, ids=repr)
def test_perturbation_confusion(outer, inner):
    """d/dx [x · d/dy (x + y)] = 1, and relatives that confuse levels if tags are reused."""
    assert slope(lambda x: x * slope(lambda y: x + y, inner, 1.0), outer, 1.0) == 1.0
    assert slope(lambda x: x * slope(lambda y: x * y, inner, 2.0), outer, 3.0) == 6.0
    assert slope(lambda x: slope(lambda y: y**x, inner, 2.0), outer, 3.0) == pytest.approx(4 * (1 + 3 * np.log(2)))
    assert slope(lambda x: slope(lambda y: x, inner, 2.0) or x, outer, 3.0) == 1.0


@pytest.mark.parametrize(("outer", "inner"), PAIRS, ids=repr)
def test_inner_derivative_through_a_captured_container(outer, inner):
    def f(x):
        box = [x, {"twice": 2 * x}]
        return slope(lambda y: box[0] * y**2 + box[1]["twice"] * y, inner, 3.0) * x

    assert slope(f, outer, 2.0) == pytest.approx(2 * 8 * 2.0)


def test_derivative_of_an_inner_pullback():
    def f(x):
        _, back = pullback(lambda y: np.sin(x * y), AutoTape(), 2.0)
        return back(x)[0]

    x = 0.3
    assert slope(f, AutoTape(), x) == pytest.approx(2 * x * np.cos(2 * x) - 2 * x**2 * np.sin(2 * x), rel=1e-12)


def test_hessian_of_a_function_that_differentiates():
    f = lambda x: np.sum(gradient(lambda y: np.sum(y**3 * x), x * 1.0)[0])
    x = np.array([1.0, 2.0])
    # f = Σ 3 x² · x
    np.testing.assert_allclose(hessian(f, x), np.diag(18 * x))


def test_nested_indexing_and_writing():
    def f(x):
        def g(y):
            z = y * 1.0
            z[0] = y[1] * x[2]
            z[1:] += x[:2]
            return np.sum(z * z)

        return np.sum(gradient(g, AutoTape(), x)[0] * x)

    x = np.array([0.5, -1.0, 2.0])
    step = 1e-6
    numeric = [(f(x + step * e) - f(x - step * e)) / (2 * step) for e in np.eye(3)]
    np.testing.assert_allclose(gradient(f, x)[0], numeric, rtol=1e-6)


# -- exceptions, escape, state ---------------------------------------------------------------------------------------


@BOTH
def test_exceptions_leave_no_state(adtype):
    class MineError(Exception):
        pass

    kept = []

    def fails(x):
        kept.append(x * 2)
        raise MineError("no")

    for _ in range(3):
        with pytest.raises(MineError, match="no"):
            gradient(fails, adtype, 1.0)
    assert float(kept[-1]) == 2.0  # the trace is closed: a plain value
    assert gradient(lambda x: x**2, adtype, 3.0) == (6.0,)
    with pytest.raises(MineError):
        gradient(lambda x: x * slope(fails, adtype, x), adtype, 1.0)
    assert slope(lambda x: slope(lambda y: x * y, adtype, 1.0), adtype, 2.0) == 1.0


@BOTH
def test_exceptions_inside_are_caught_by_f(adtype):
    def f(x):
        try:
            slope(lambda y: 1 / 0, adtype, x)
        except ZeroDivisionError:
            return x**2
        return x

    assert gradient(f, adtype, 3.0) == (6.0,)


@BOTH
def test_escaped_values_behave_as_plain_numbers(adtype):
    leaked = []
    captured = {"last": None, "all": []}

    def f(x):
        leaked.append(x)
        captured["last"] = x * 2
        captured["all"].append(x + 1)
        return np.sum(x**2)

    x = np.array([1.0, 2.0])
    gradient(f, adtype, x)
    assert not isinstance(captured["last"], Array)
    np.testing.assert_array_equal(captured["last"], 2 * x)
    np.testing.assert_array_equal(captured["all"][0], x + 1)
    np.testing.assert_array_equal(np.asarray(leaked[0]) + 1, x + 1)
    assert gradient(lambda y: np.sum(y * leaked[0]), adtype, x)[0].tolist() == x.tolist()


@BOTH
def test_generators_and_callbacks(adtype):
    def powers(x):
        y = x
        while True:
            yield y
            y = y * x

    def f(x):
        g = powers(x)
        return sum(next(g) for _ in range(3))

    assert slope(f, adtype, 2.0) == 1 + 4 + 12


def test_pullback_may_be_called_any_number_of_times():
    x = np.array([1.0, 2.0])
    y, back = pullback(lambda t: t**3, x)
    first, second = back(np.ones(2))[0], back(np.array([1.0, 0.0]))[0]
    np.testing.assert_array_equal(first, 3 * x**2)
    np.testing.assert_array_equal(second, [3.0, 0.0])
    first[0] = 99.0
    np.testing.assert_array_equal(back(np.ones(2))[0], 3 * x**2)
    y[0] = 99.0
    np.testing.assert_array_equal(back(np.ones(2))[0], 3 * x**2)


def test_seeds_and_results_share_no_memory():
    seed = np.ones(3)
    _, back = pullback(lambda t: t + 0.0, np.zeros(3))
    (x_bar,) = back(seed)
    x_bar[0] = 5.0
    assert seed[0] == 1.0
    a, b = gradient(lambda p, q: np.sum(p + q), np.zeros(3), np.ones(3))
    a[0] = 7.0
    assert b[0] == 1.0


# -- threads ---------------------------------------------------------------------------------------------------------


@BOTH
def test_threads_differentiate_independently(adtype):
    def work(k):
        x = np.linspace(0.1, 1.0, 20) * k
        f = lambda t: np.sum(np.sin(t) * gradient(lambda y: np.sum(y**2 * t), adtype, t)[0])
        return gradient(f, adtype, x)[0], 2 * (np.cos(x) * x * x + np.sin(x) * 2 * x)

    with ThreadPoolExecutor(8) as pool:
        for got, right in pool.map(work, np.linspace(0.5, 2.0, 24)):
            np.testing.assert_allclose(got, right, rtol=1e-12)


@BOTH
def test_threads_inside_f(adtype):
    def f(x):
        with ThreadPoolExecutor(4) as pool:
            return sum(pool.map(lambda k: np.sin(k * x), range(1, 9)))

    x = 0.3
    assert slope(f, adtype, x) == pytest.approx(sum(k * np.cos(k * x) for k in range(1, 9)), rel=1e-12)


def test_one_pullback_called_from_many_threads():
    x = np.linspace(0, 1, 50)
    _, back = pullback(lambda t: np.exp(t) * t, x)
    right = np.exp(x) * (1 + x)
    with ThreadPoolExecutor(8) as pool:
        for k, (got,) in enumerate(pool.map(lambda k: back(np.full(50, float(k))), range(40))):
            np.testing.assert_allclose(got, k * right)


def test_a_gradient_in_another_thread_than_the_forward_pass():
    found = []
    _, back = pullback(lambda t: t**2, 3.0)
    thread = threading.Thread(target=lambda: found.append(back(1.0)))
    thread.start()
    thread.join()
    assert found == [(6.0,)]


# -- long programs ---------------------------------------------------------------------------------------------------


def test_a_hundred_thousand_operations():
    def f(x):
        y = x
        for _ in range(50_000):
            y = y * 1.00001 + 1e-9
        return y

    limit = sys.getrecursionlimit()
    assert slope(f, AutoTape(), 1.0) == pytest.approx(1.00001**50_000, rel=1e-9)
    assert slope(f, AutoForward(), 1.0) == pytest.approx(1.00001**50_000, rel=1e-9)
    assert sys.getrecursionlimit() == limit


def test_deep_recursion_of_f_is_the_only_recursion():
    def f(x, n):
        return x if n == 0 else np.sin(f(x, n - 1)) + x

    depth = 300
    value, grad = withgradient(lambda x: f(x, depth), 0.2)
    y, y_dot = 0.2, 1.0
    for _ in range(depth):
        y, y_dot = np.sin(y) + 0.2, np.cos(y) * y_dot + 1
    assert value == pytest.approx(y)
    assert grad[0] == pytest.approx(y_dot)


def best_of(call, n=3):
    """The shortest of n times: robust against a busy machine."""
    times = []
    for _ in range(n):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def test_a_loop_over_entries_is_linear():
    def f(x):
        total = 0.0
        for i in range(x.size):
            total = total + x[i] * x[i]
        return total

    def seconds(n):
        x = np.linspace(0, 1, n)
        return best_of(lambda: gradient(f, x))

    seconds(500)
    # 8 times the entries: 8 times the time where it is linear, 64 where each x[i] costs a vector.
    assert seconds(16_000) / seconds(2_000) < 24


def test_a_loop_of_writes_is_not_quadratic_in_the_reverse_pass():
    n = 400
    x = np.linspace(0.5, 1, n)

    def f(x):
        y = x * 1.0
        for i in range(1, n):
            y[i] = y[i - 1] * y[i]
        return y[-1]

    (grad,) = gradient(f, x)
    np.testing.assert_allclose(grad, np.prod(x) / x, rtol=1e-9)


def test_many_leaves():
    args = [float(i) for i in range(2000)]
    grads = gradient(lambda *a: sum(v * v for v in a), *args)
    assert grads == tuple([2.0 * a for a in args])


# -- memory ----------------------------------------------------------------------------------------------------------


@BOTH
def test_nothing_is_left_after_a_gradient(adtype):
    """Neither the trace nor the intermediate values survive, even without the cycle collector."""
    seen = []

    def f(x):
        y = np.sin(x) * x
        seen.append(weakref.ref(y))
        y[0] = 2.0
        z = y[1:]
        z *= 3.0
        seen.append(weakref.ref(z))
        return np.sum(y)

    gc.collect()
    gc.disable()
    try:
        gradient(f, adtype, np.ones(1000))
        alive = [r for r in seen if r() is not None]
    finally:
        gc.enable()
    assert not alive


def test_an_abandoned_pullback_frees_its_trace():
    big = []

    def f(x):
        y = np.exp(x)
        big.append(weakref.ref(y))
        return y

    gc.disable()
    try:
        _, back = pullback(f, np.ones(10))
        del back
        assert big[0]() is None
    finally:
        gc.enable()


def test_traces_are_freed_after_exceptions():
    refs = []

    def f(x):
        refs.append(weakref.ref(x))
        raise RuntimeError

    for _ in range(3):
        with pytest.raises(RuntimeError):
            gradient(f, np.ones(3))
    gc.collect()
    assert not [r for r in refs if r() is not None]


def test_memory_does_not_grow_over_calls():
    import tracemalloc

    def f(x):
        y = x * 1.0
        for i in range(20):
            y[i] = np.sin(y[i])
        return np.sum(y)

    x = np.ones(20)
    for _ in range(20):
        gradient(f, x)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(200):
            gradient(f, x)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 50_000
    finally:
        tracemalloc.stop()


def test_views_do_not_pile_up():
    """A loop that takes views must not keep a reference to each."""

    def f(x):
        y = x * 1.0
        for i in range(3000):
            y[i % 5]
        views = getattr(y, "_views", [])
        assert len(views) < 200
        return np.sum(y)

    gradient(f, np.ones(5))

    def of_slices(x):
        y = x * 1.0
        for i in range(3000):
            y[i % 5 :]
        assert len(getattr(y, "_views", [])) < 200
        return np.sum(y)

    gradient(of_slices, np.ones(5))


# -- the trace itself ------------------------------------------------------------------------------------------------


def test_a_trace_by_hand():
    from adselect.engine.reverse import pull_back

    trace = Trace()
    x, y = trace.leaf(np.float64(3.0)), trace.leaf(np.float64(4.0))
    z = x * y + np.sin(x)
    assert isinstance(z, TapeArray)
    trace.close()
    n = trace.next_place()
    x_bar, y_bar = pull_back(trace.records, n, 2, {z._place: 1.0}, [x._primal, y._primal])
    assert x_bar == pytest.approx(4 + np.cos(3.0))
    assert y_bar == 3.0


def test_levels_grow():
    assert Trace().level < Trace().level


def test_strong_zeros_only_where_needed():
    """A branch not taken contributes nothing, even through an infinite derivative; a real infinity stays."""
    with np.errstate(all="ignore"):
        x = np.array([0.0, 4.0])
        (grad,) = gradient(lambda t: np.sum(np.where(t > 0, np.sqrt(np.abs(t)), 0.0)), x)
        np.testing.assert_array_equal(grad, [0.0, 0.25])
        (grad,) = gradient(lambda t: np.sum(np.where(t > 0, np.log(t), t)), np.array([-1.0, 2.0]))
        np.testing.assert_array_equal(grad, [1.0, 0.5])
        (grad,) = gradient(lambda t: np.sum(np.where(t != 0, np.sin(t) / t, 1.0)), np.zeros(2))
        np.testing.assert_array_equal(grad, [0.0, 0.0])
        assert gradient(np.sqrt, 0.0) == (np.inf,)
        assert np.isnan(gradient(lambda t: np.log(t) * t, 0.0)[0])  # f itself is not a number there


def test_guarded_code_warns_of_nothing():
    """The derivative of guarded code emits no warning that the code itself does not emit (warnings are errors here)."""
    x = np.array([0.0, 4.0])
    gradient(lambda t: np.sum(np.where(t > 0, np.sqrt(np.abs(t)), 0.0)), x)


def test_errstate_is_restored():
    before = np.geterr()
    with np.errstate(all="ignore"):
        gradient(lambda t: np.sum(np.sqrt(t)), np.zeros(2))
    assert np.geterr() == before


def test_same_level_arrays_of_finished_traces_mix():
    kept = []
    gradient(lambda x: (kept.append(x), x * 2)[1], 2.0)
    (grad,) = gradient(lambda x: x * kept[0], 5.0)
    assert grad == 2.0


@BOTH
def test_zero_sized_and_zero_dimensional(adtype):
    assert gradient(lambda x: x * x, adtype, np.array(3.0))[0] == 6.0
    assert gradient(lambda x: np.sum(x), adtype, np.ones((2, 3)))[0].shape == (2, 3)
    assert ad.jacobian(lambda x: x[:0], adtype, np.ones(3))[0].shape == (0, 3)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f8", ">f4"])
@BOTH
def test_dtypes(adtype, dtype):
    x = np.array([1.0, 2.0], dtype=dtype)
    (grad,) = gradient(lambda t: np.sum(t * t), adtype, x)
    assert grad.dtype == x.dtype.newbyteorder("=")
    np.testing.assert_array_equal(grad, [2.0, 4.0])


def test_read_only_and_non_contiguous_arguments():
    x = np.arange(6.0).reshape(2, 3)
    x.flags.writeable = False
    np.testing.assert_array_equal(gradient(lambda t: np.sum(t * t), x)[0], 2 * x)
    np.testing.assert_array_equal(gradient(lambda t: np.sum(t * t), x.T[::-1])[0], 2 * x.T[::-1])
    np.testing.assert_array_equal(
        gradient(lambda t: np.sum(t * t), np.broadcast_to(x[0], (2, 3)))[0], 2 * np.broadcast_to(x[0], (2, 3))
    )


# -- cotangents share no memory they should not ------------------------------------------------------------------------


def _random_program(rng, n, m, length):
    """A program of random steps on (n, m), (n, 1), (n,), (m,) and () values that reuse one another freely."""
    steps = [(int(rng.integers(12)), int(rng.integers(1 << 30)), int(rng.integers(1 << 30))) for _ in range(length)]

    def f(a, b):
        values = [a, b, np.sum(a * a)]
        for kind, first, second in steps:
            x, z = values[first % len(values)], values[second % len(values)]
            shape = np.shape(x)
            if kind == 0:
                y = np.sum(x, axis=-1, keepdims=len(shape) == 2) if shape else x
            elif kind == 1:
                y = np.sum(x)
            elif kind == 2:
                y = x[: max(1, n // 2)] if shape else x
            elif kind == 3:
                y = x[::-1] if shape else x
            elif kind == 4:
                y = x - z if np.shape(z) in (shape, ()) else x
            elif kind in (5, 6):
                y = x + z if np.shape(z) in (shape, ()) else x + 1.0
            elif kind == 7:
                y = x * z if np.shape(z) in (shape, ()) else 0.5 * x
            elif kind == 8:
                y = np.tanh(x)
            elif kind == 9:
                y = -x
            elif kind == 10:
                y = np.mean(x, axis=0) if shape else x
            else:
                y = 0.1 * x * x - x
            values.append(np.tanh(y))
        return sum(np.sum(v) for v in values[2:])

    return f, (rng.normal(size=(n, m)), rng.normal(size=n))


@pytest.mark.parametrize("seed", range(150))
def test_reverse_and_forward_agree_on_random_programs(seed):
    rng = np.random.default_rng(seed)
    f, args = _random_program(rng, 4, 3, 25)
    reverse = ad.gradient(f, *args, missing="zeros")
    forward = ad.gradient(f, ad.AutoForward(), *args, missing="zeros")
    for r, d in zip(reverse, forward, strict=True):
        np.testing.assert_allclose(r, d, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_reverse_and_forward_agree_on_large_random_programs(seed):
    """Above the size from which dying cotangents lend their memory."""
    rng = np.random.default_rng(1000 + seed)
    f, args = _random_program(rng, 3000, 3, 25)
    reverse = ad.gradient(f, *args, missing="zeros")
    direction = [rng.normal(size=a.shape) for a in args]
    _, tangent = ad.pushforward(f, ad.AutoForward(), args, direction)
    np.testing.assert_allclose(
        sum(np.vdot(r, d) for r, d in zip(reverse, direction, strict=True)), tangent, rtol=1e-9, atol=1e-7
    )


def test_a_sum_along_an_axis_does_not_lend_its_cotangent():
    w, v = np.array([1.0, 2.0]), np.array([10.0, 20.0])

    def f(a, b):
        second = np.sum(v * np.sum(a, axis=1))
        return np.sum(w * (np.sum(a, axis=1) + b)) + second

    a_bar, b_bar = ad.gradient(f, np.ones((2, 3)), np.ones(2))
    np.testing.assert_array_equal(a_bar, np.repeat((w + v)[:, None], 3, axis=1))
    np.testing.assert_array_equal(b_bar, w)
