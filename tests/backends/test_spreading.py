"""Finite differences over executors: what came out is what comes out without one, evaluated elsewhere."""

from __future__ import annotations

import functools
import multiprocessing
import pickle
import subprocess
import sys
import threading
import types
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from samples import simulators
from samples.simulators import leaving_a_trace, rosenbrock, vector

import adselect as ad
from adselect import AutoFiniteDifferences
from adselect.backends.finite_differences import spreading

pytest.importorskip("findiff")

X, V = np.array([-1.2, 1.0, 0.5]), np.array([1.0, -1.0, 0.5])
SERIAL = AutoFiniteDifferences()

# Forking is refused a process that runs threads, as it does once JAX is imported: a program of its own does that below.
spawned = functools.partial(ProcessPoolExecutor, mp_context=multiprocessing.get_context("spawn"))


def over_threads():
    with ThreadPoolExecutor(2) as pool:
        yield pool


def over_processes():
    with spawned(2) as pool:
        yield pool


def over_loky():
    loky = pytest.importorskip("joblib.externals.loky")
    pool = loky.ProcessPoolExecutor(2)
    yield pool
    pool.shutdown()


def over_dask():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client.get_executor()


@pytest.fixture(scope="module", params=[over_threads, over_processes, over_loky, over_dask], ids=lambda f: f.__name__)
def pool(request):
    """An executor of each kind; it is open to the end of the module, so none of these tests may shut it down."""
    yield from request.param()


@pytest.fixture(scope="module")
def processes():
    yield from over_processes()


def same(got, expected):
    if isinstance(expected, (tuple, list)):
        assert type(got) is type(expected)
        assert len(got) == len(expected)
        for a, b in zip(got, expected, strict=True):
            same(a, b)
    else:
        np.testing.assert_array_equal(got, expected)


# -- every operator --------------------------------------------------------------------------------------------------

OPERATORS = {
    "gradient": (rosenbrock, lambda f, adtype: ad.gradient(f, adtype, X), 24),
    "withgradient": (rosenbrock, lambda f, adtype: tuple(ad.withgradient(f, adtype, X)), 24),
    "pullback": (vector, lambda f, adtype: ad.pullback(f, adtype, X)[1](V), 24),
    "pushforward": (vector, lambda f, adtype: ad.pushforward(f, adtype, (X,), (V,)), 8),
    "jacobian": (vector, lambda f, adtype: ad.jacobian(f, adtype, X), 24),
    "hessian": (rosenbrock, lambda f, adtype: ad.hessian(f, adtype, X), 48),
    "diaghessian": (rosenbrock, lambda f, adtype: ad.diaghessian(f, adtype, X), 24),
    "hvp": (rosenbrock, lambda f, adtype: ad.hvp(f, adtype, X, V), 56),
    "prepared gradient": (rosenbrock, lambda f, adtype: ad.prepare(ad.gradient, f, adtype, V)(X), 24),
    "prepared jacobian": (vector, lambda f, adtype: ad.prepare(ad.jacobian, f, adtype, V)(X), 24),
    "one step": (
        vector,
        lambda f, adtype: ad.jacobian(f, AutoFiniteDifferences(step=1e-4, executor=adtype.executor), X),
        6,
    ),
}


@pytest.mark.parametrize("operator", OPERATORS)
def test_evaluations_are_those_of_the_serial_run_and_in_workers(pool, operator, tmp_path):
    f, way, evaluations = OPERATORS[operator]
    expected = way(f, SERIAL)
    got = way(functools.partial(leaving_a_trace, str(tmp_path), f), AutoFiniteDifferences(executor=pool))
    same(got, expected)
    counts = {file.name: len(file.read_text().splitlines()) for file in tmp_path.iterdir()}
    here = counts.pop(str(multiprocessing.current_process().pid))
    if isinstance(pool, ThreadPoolExecutor):
        assert not counts
        assert here >= evaluations + 2  # all of them in this process, and the two at the point
    else:
        assert sum(counts.values()) >= evaluations
        assert here <= 2  # here, f is evaluated at the point only
    assert pool.submit(int, "3").result(timeout=60) == 3


def test_three_witnesses(pool):
    (got,) = ad.gradient(rosenbrock, AutoFiniteDifferences(executor=pool), X)
    steep = -400 * X[:-1] * (X[1:] - X[:-1] ** 2) - 2 * (1 - X[:-1])
    analytic = np.append(steep, 0.0) + np.append(0.0, 200 * (X[1:] - X[:-1] ** 2))
    np.testing.assert_allclose(got, analytic, rtol=1e-8)
    np.testing.assert_allclose(got, ad.gradient(rosenbrock, ad.AutoTape(), X)[0], rtol=1e-8)
    same(got, ad.gradient(rosenbrock, SERIAL, X)[0])


def test_hard_functions_come_out_alike(pool):
    # One sided, along the imaginary axis, in single precision, complex, a staircase: each its own way of asking for f.
    adtype = AutoFiniteDifferences(executor=pool)
    for f, x in [
        (simulators.edged, np.array([1.0, 2.0])),
        (np.cos, 1e-9),
        (np.sin, np.float32(0.7)),
        (np.abs, np.complex128(1 + 2j)),
        (np.floor, 1.5),
    ]:
        same(ad.gradient(f, adtype, x), ad.gradient(f, SERIAL, x))


@pytest.mark.parametrize(("package", "f"), [("torch", simulators.of_torch), ("jax", simulators.of_jax)])
def test_arrays_of_a_framework_reach_the_workers(processes, package, f):
    pytest.importorskip(package)
    values = {"torch": "torch.tensor([1.0, 2.0], dtype=torch.float64)", "jax": "jax.numpy.array([1.0, 2.0])"}[package]
    x = eval(values, {package: __import__(f"{package}.numpy" if package == "jax" else package)})
    (got,) = ad.gradient(f, AutoFiniteDifferences(executor=processes), x)
    assert type(got) is type(x)
    np.testing.assert_allclose(np.asarray(got), [3.0, 12.0], rtol=1e-6)
    same(np.asarray(got), np.asarray(ad.gradient(f, SERIAL, x)[0]))


def test_over_forked_processes():
    program = """
import multiprocessing, os
from concurrent.futures import ProcessPoolExecutor
import numpy as np
import adselect as ad
home, seen = os.getpid(), multiprocessing.Value("i", 0)

def f(x):
    if os.getpid() != home:
        with seen.get_lock():
            seen.value += 1
    return np.sum(np.sin(x) * x)

x = np.linspace(0.1, 1.0, 5)
serial = ad.gradient(f, ad.AutoFiniteDifferences(), x)[0]
with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
    adtype = ad.AutoFiniteDifferences(executor=pool)
    assert np.array_equal(ad.gradient(f, adtype, x)[0], serial)
    assert np.array_equal(ad.hessian(f, adtype, x), ad.hessian(f, ad.AutoFiniteDifferences(), x))
print(seen.value)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 5 * 8 + 4 * 5 * 6


# -- tasks -----------------------------------------------------------------------------------------------------------


class Watched(Executor):
    """A pool of threads that keeps the sizes of the tasks it is given, and how many it had at once."""

    def __init__(self):
        self.pool, self.sizes, self.lock, self.open, self.most = ThreadPoolExecutor(2), [], threading.Lock(), 0, 0

    def submit(self, fn, /, *args, **kwargs):
        self.sizes.append(len(args[2]))
        with self.lock:
            self.open += 1
            self.most = max(self.most, self.open)
        future = self.pool.submit(fn, *args, **kwargs)
        future.add_done_callback(self.close)
        return future

    def close(self, _):
        with self.lock:
            self.open -= 1


@pytest.fixture
def watched():
    executor = Watched()
    yield executor
    executor.pool.shutdown()


def test_a_fast_function_is_handed_over_in_few_tasks(watched):
    x = np.linspace(0.1, 1.0, 500)
    same(
        ad.gradient(np.linalg.norm, AutoFiniteDifferences(executor=watched), x), ad.gradient(np.linalg.norm, SERIAL, x)
    )
    assert sum(watched.sizes) == 8 * 500
    assert spreading.TASKS <= len(watched.sizes) < 8 * 500 / 10


def test_a_slow_function_is_handed_over_point_by_point(watched):
    ad.gradient(simulators.slow, AutoFiniteDifferences(executor=watched), np.array([1.0, 2.0]))
    assert watched.sizes == [1] * 16


def test_no_more_than_a_number_of_tasks_is_handed_over_at_once(watched, monkeypatch):
    monkeypatch.setattr(spreading, "IN_FLIGHT", 4)
    ad.gradient(simulators.slow, AutoFiniteDifferences(step=1e-3, executor=watched), np.linspace(0.1, 1.0, 6))
    assert watched.sizes == [1] * 12
    assert watched.most == 4


def test_a_worker_does_not_wait_for_its_own_pool():
    for _ in range(20):  # the thread may not yet be entered as one of the pool's
        with ThreadPoolExecutor(1) as pool:
            adtype = AutoFiniteDifferences(executor=pool)
            future = pool.submit(ad.gradient, rosenbrock, adtype, X)
            same(future.result(timeout=60), ad.gradient(rosenbrock, SERIAL, X))


# -- what goes wrong -------------------------------------------------------------------------------------------------


def test_what_f_raises_arrives_with_its_cause_and_coordinate(pool):
    with pytest.raises(ad.ADSelectError, match=r"args\[0\]\['w'\]\[1\] was moved by") as caught:
        ad.gradient(simulators.diverging, AutoFiniteDifferences(executor=pool), {"w": np.array([1.0, 2.0])})
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert "the solver diverged at" in str(caught.value.__cause__)
    if not isinstance(pool, ThreadPoolExecutor):
        assert "in diverging" in caught.value.__cause__.__notes__[0]


def test_an_exception_that_cannot_be_sent_does_not_break_the_pool(pool):
    with pytest.raises(ad.ADSelectError, match="7: diverged") as caught:
        ad.gradient(simulators.diverging_peculiarly, AutoFiniteDifferences(executor=pool), 1.0)
    assert "7: diverged" in str(caught.value.__cause__)
    same(ad.gradient(rosenbrock, AutoFiniteDifferences(executor=pool), X), ad.gradient(rosenbrock, SERIAL, X))


def test_the_coordinate_is_named_without_an_executor_too():
    with pytest.raises(ad.ADSelectError, match=r"args\[0\] was moved by") as caught:
        ad.gradient(simulators.diverging_peculiarly, SERIAL, 1.0)
    assert isinstance(caught.value.__cause__, simulators.PeculiarError)


def test_a_function_that_cannot_be_sent(pool):
    lock = threading.Lock()

    def f(x):
        with lock:
            return x * x

    adtype = AutoFiniteDifferences(executor=pool)
    if isinstance(pool, ThreadPoolExecutor):
        assert ad.gradient(f, adtype, 3.0)[0] == pytest.approx(6.0)
        return
    with pytest.raises(
        ad.UnsupportedError, match=r"(?s)top level of a module.*cloudpickle.*ThreadPoolExecutor"
    ) as caught:
        ad.gradient(f, adtype, 3.0)
    assert isinstance(caught.value.__cause__, Exception)
    same(ad.gradient(rosenbrock, adtype, X), ad.gradient(rosenbrock, SERIAL, X))


def test_a_lambda_where_functions_travel_by_value(pool):
    adtype, factor = AutoFiniteDifferences(executor=pool), 3.0
    f = lambda x: factor * x * x
    if isinstance(pool, ProcessPoolExecutor) and "loky" not in type(pool).__module__:
        with pytest.raises(ad.UnsupportedError, match="top level"):
            ad.gradient(f, adtype, 2.0)
    else:
        assert ad.gradient(f, adtype, 2.0)[0] == pytest.approx(12.0)


def test_a_second_derivative_by_two_backends_says_what_cannot_be_sent(processes):
    choice = ad.SecondOrder(AutoFiniteDifferences(executor=processes), ad.AutoTape())
    with pytest.raises(ad.UnsupportedError, match="the derivative that another backend takes"):
        ad.hessian(rosenbrock, choice, X)
    with ThreadPoolExecutor(2) as pool:
        got = ad.hessian(rosenbrock, ad.SecondOrder(AutoFiniteDifferences(executor=pool), ad.AutoTape()), X)
    np.testing.assert_allclose(got, ad.hessian(rosenbrock, ad.AutoTape(), X), rtol=1e-7)


def test_a_function_that_the_worker_cannot_import(processes, monkeypatch):
    module = types.ModuleType("only_here")
    exec("def f(x):\n    return x * x", module.__dict__)
    monkeypatch.setitem(sys.modules, "only_here", module)
    pickle.dumps(module.f)  # it can be sent, and not be read
    with pytest.raises(ad.UnsupportedError, match=r"could not read f .*only_here"):
        ad.gradient(module.f, AutoFiniteDifferences(executor=processes), 3.0)
    same(ad.gradient(rosenbrock, AutoFiniteDifferences(executor=processes), X), ad.gradient(rosenbrock, SERIAL, X))


def test_a_worker_that_dies():
    with spawned(1) as pool:
        adtype = AutoFiniteDifferences(executor=pool)
        for _ in range(2):  # while the work goes on, and when the pool is asked again
            with pytest.raises(ad.ExecutorError, match=r"BrokenProcessPool.*A broken pool stays broken"):
                ad.gradient(simulators.dying, adtype, 1.0)


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, spawned], ids=["threads", "processes"])
def test_an_executor_that_is_shut_down(kind):
    with kind(1) as pool:
        prepared = ad.prepare(ad.gradient, rosenbrock, AutoFiniteDifferences(executor=pool), X)
    with pytest.raises(ad.ExecutorError, match="has to stay open") as caught:
        prepared(X)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_what_is_waiting_is_taken_back_when_a_task_fails():
    with ThreadPoolExecutor(1) as pool:
        held = []

        class Failing(Executor):
            def submit(self, fn, /, *args, **kwargs):
                held.append(pool.submit(fn, *args, **kwargs) if held else pool.submit(lambda: 1 / 0))
                return held[-1]

        with pytest.raises(ad.ExecutorError, match="ZeroDivisionError"):
            ad.gradient(simulators.slow, AutoFiniteDifferences(executor=Failing()), np.ones(20))
        assert sum(future.cancelled() for future in held) > len(held) // 2


def test_the_point_is_seen_last_where_f_moved_in_this_process():
    seen = []
    with ThreadPoolExecutor(2) as pool:
        ad.gradient(lambda x: seen.append(x) or np.sum(x**2), AutoFiniteDifferences(executor=pool), X)
    same(seen[-1], X)
