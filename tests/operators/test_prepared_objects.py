"""Prepared operators as objects: options of a call, copies and pickles, threads, arguments that must not be walked."""

import copy
import io
import logging
import multiprocessing
import pickle
import sys
import threading
import types
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest

import adselect as ad
from adselect import (
    AutoAutograd,
    AutoFiniteDifferences,
    AutoForward,
    AutoJax,
    AutoTape,
    AutoTorch,
    Const,
    PreparationMismatchError,
    prepare,
)
from adselect.operators.travelling import lossless

X = np.array([0.5, 1.5, -0.75])
EVERY = [AutoTape(), AutoForward(), AutoJax(), AutoTorch(), AutoAutograd(), AutoFiniteDifferences()]


@pytest.fixture(params=EVERY, ids=lambda a: type(a).__name__)
def adtype(request):
    if request.param.requires:
        pytest.importorskip(request.param.requires)
    return request.param


def cubes(x):
    return np.sum(x**3) + np.sum(x[1:] * x[:-1])


def powers(x):
    return x**2 * x[0]


def dots(d, y):
    return np.sum(d["w"] * y) * d["b"]


# -- out= --------------------------------------------------------------------------------------------------------------

ROWS = [
    (ad.gradient, cubes, (X,)),
    (ad.jacobian, powers, (X,)),
    (ad.hessian, cubes, (X,)),
    (ad.hessian_reverse, cubes, (X,)),
    (ad.diaghessian, cubes, (X,)),
    (ad.hvp, cubes, (X, X)),
    (ad.derivative, lambda t: np.stack([t**2, t**3]), (0.5,)),
    (ad.second_derivative, lambda t: np.stack([t**2, t**3]), (0.5,)),
]


def bare(result):
    return result[0] if isinstance(result, tuple) else result


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r[0].__name__)
def test_out_is_written_in_every_call_and_returned(adtype, row):
    operator, f, args = row
    buffer = np.full(np.shape(bare(operator(f, adtype, *args))), np.nan)
    prepared = prepare(operator, f, adtype, *args)
    for k in range(4):  # compared with the eager call, replayed, compared again
        now = [a * (1.0 + k) for a in args]
        assert prepared(*now, out=buffer) is buffer
        kept = buffer.copy()
        np.testing.assert_allclose(kept, bare(operator(f, adtype, *now)), rtol=1e-7)
        fresh = bare(prepared(*args))
        assert not np.shares_memory(fresh, buffer)
        np.testing.assert_array_equal(buffer, kept)


def test_out_that_is_given_in_prepare_receives_every_call(adtype):
    buffer = np.zeros(3)
    prepared = prepare(ad.gradient, cubes, adtype, X, out=buffer)
    for k in (1, 2, 3):
        assert prepared(k * X) is buffer
        np.testing.assert_allclose(buffer, ad.gradient(cubes, k * X)[0], rtol=1e-7)
    other = np.zeros(3)
    assert prepared(X, out=other) is other


def test_out_has_the_structure_of_the_result(adtype):
    args = ({"w": X, "b": 2.0}, X)
    prepared = prepare(ad.gradient, dots, adtype, *args)
    out = ({"w": np.zeros(3), "b": np.zeros(())}, np.zeros(3))
    for k in (1.0, 2.0):
        now = ({"w": k * X, "b": k}, X)
        assert prepared(*now, out=out) is out
        want = ad.gradient(dots, *now)
        np.testing.assert_allclose(out[0]["w"], want[0]["w"], rtol=1e-7)
        np.testing.assert_allclose(out[0]["b"], want[0]["b"], rtol=1e-7)
        np.testing.assert_allclose(out[1], want[1], rtol=1e-7)
    with pytest.raises(ad.ADSelectError, match="out"):
        prepared(*args, out=[np.zeros(3)])


def test_withgradient_and_withjacobian_keep_the_value_beside_out(adtype):
    for operator, f in ((ad.withgradient, cubes), (ad.withjacobian, powers)):
        prepared = prepare(operator, f, adtype, X)
        want = operator(f, adtype, 2 * X)
        out = (np.zeros(np.shape(want.grad[0])),)
        got = prepared(2 * X, out=out)
        assert type(got) is type(want)
        assert got.grad is out
        np.testing.assert_allclose(got.val, want.val)
        np.testing.assert_allclose(out[0], want.grad[0], rtol=1e-7)


def test_out_is_written_by_eager_fallbacks_retraced_and_converted_calls():
    def f(x):
        return np.sum(x**2) if x[0] > 0 else np.sum(x**3)

    prepared = prepare(ad.gradient, f, X, strict="retrace", check="never")
    for x in (X, -X, np.array([1.0, 2.0]), -np.array([1.0, 2.0]), np.array([np.inf, 1.0])):
        out = np.zeros(x.shape)
        assert prepared(x, out=out) is out
        np.testing.assert_array_equal(out, ad.gradient(f, x)[0])
    out = np.zeros(3)
    assert prepare(ad.gradient, cubes, X, strict="convert")(X.astype(np.float32), out=out) is out
    np.testing.assert_allclose(out, ad.gradient(cubes, X)[0], rtol=1e-6)
    with pytest.warns(ad.NotReplayedWarning):
        eager = prepare(ad.gradient, lambda n: n**2, Fraction(1, 2))
    out = [None]
    assert eager(Fraction(1, 3), out=out) is out
    assert out == [Fraction(2, 3)]


@pytest.mark.parametrize("operator", [ad.pullback, ad.pushforward, ad.withhessian])
def test_operators_with_results_of_several_kinds_refuse_out(operator):
    args = ((X,), (X,)) if operator is ad.pushforward else (X,)
    with pytest.raises(TypeError, match="takes no out="):
        prepare(operator, cubes, *args)(*args, out=np.zeros(3))
    with pytest.raises(TypeError, match="takes no out="):
        prepare(operator, cubes, *args, out=np.zeros(3))


def test_threads_write_into_their_own_out(adtype):
    prepared = prepare(ad.gradient, cubes, adtype, X)

    def work(k):
        out, x = np.zeros(3), X + 0.1 * k
        return all(
            prepared(x, out=out) is out and np.allclose(out, 3 * x**2 + [x[1], x[0] + x[2], x[1]], atol=1e-6)
            for _ in range(10)
        )

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(12)))


def test_threads_with_other_shapes_retrace_for_themselves():
    prepared = prepare(ad.gradient, lambda x: np.sum(x**2), np.ones(1), strict="retrace", check="never")

    def work(n):
        return all(np.array_equal(prepared(np.full(n, 1.0 + n))[0], np.full(n, 2.0 + 2 * n)) for _ in range(20))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, [1, 3, 1, 4]))


# -- other options of a call -------------------------------------------------------------------------------------------


def test_missing_in_prepare_and_in_the_call(adtype):
    f = lambda a, b: np.sum(a**2)
    if not isinstance(adtype, AutoFiniteDifferences):
        prepared = prepare(ad.gradient, f, adtype, X, X)
        assert prepared(X, X)[1] is None
        assert prepared(X, X, missing="none")[1] is None
        np.testing.assert_array_equal(prepared(X, X, missing="zeros")[1], np.zeros(3))
        with pytest.raises(ValueError, match=r"args\[1\]"):
            prepared(X, X, missing="error")
        out = (np.ones(3), np.ones(3))
        assert prepared(X, X, missing="zeros", out=out) is out
        np.testing.assert_array_equal(out[1], np.zeros(3))
    prepared = prepare(ad.gradient, f, adtype, X, X, missing="zeros")
    np.testing.assert_allclose(prepared(2 * X, X)[1], np.zeros(3), atol=1e-12)
    with pytest.raises(ValueError, match="missing must be"):
        prepared(X, X, missing="some")


def test_words_that_are_fixed_in_prepare():
    prepared = prepare(ad.gradient, lambda x, scale: scale * np.sum(x), X, scale=2.0)
    for word in ({"scale": 3.0}, {"adtype": AutoTape()}, {"check": "always"}):
        with pytest.raises(TypeError, match="fixed in prepare"):
            prepared(X, **word)
    assert "AutoForward()" in repr(prepare(ad.gradient, cubes, X, adtype=AutoForward()))
    for wrong in ("jax", AutoJax, 3):
        with pytest.raises(TypeError, match="adtype"):
            prepare(ad.gradient, cubes, X, adtype=wrong)
    with pytest.raises(TypeError, match="two adtypes"):
        prepare(ad.gradient, cubes, AutoTape(), X, adtype=AutoForward())


# -- arguments that are not structures ---------------------------------------------------------------------------------


class Holder:
    """An object with numbers, and with things that lead to everything else."""

    def __init__(self):
        self.w, self.lock, self.log = X.copy(), threading.Lock(), logging.getLogger("a.b")
        self.library, self.home = np, sys.modules[__name__]


def crowd(n):
    """Objects that all know each other."""
    members = [types.SimpleNamespace(k=float(k)) for k in range(n)]
    for member in members:
        member.others = list(members)
    return members[0]


def diamonds(n):
    """An object that is reached in 2ⁿ ways."""
    top = types.SimpleNamespace(k=1.0)
    for _ in range(n):
        top = types.SimpleNamespace(left=top, right=top)
    return top


THINGS = {
    "a module": lambda: np,
    "a module that holds this": lambda: sys.modules[__name__],
    "a class": lambda: Holder,
    "a file": io.StringIO,
    "a lock": threading.Lock,
    "a thread": threading.current_thread,
    "a logger": lambda: logging.getLogger("a.b"),
    "a generator": lambda: (k for k in range(3)),
    "a namespace with a module": lambda: types.SimpleNamespace(a=1.0, library=np),
    "an object with a module": Holder,
    "objects that know each other": lambda: crowd(40),
    "an object reached in many ways": lambda: diamonds(30),
}


@pytest.mark.timeout(20)
@pytest.mark.filterwarnings("ignore::adselect.NotReplayedWarning")  # of what nobody can compare
@pytest.mark.parametrize("thing", THINGS, ids=lambda t: t.replace(" ", "-"))
def test_preparation_walks_into_structures_only(thing):
    value = THINGS[thing]()
    prepared = prepare(ad.gradient, lambda thing, x: np.sum(x**2), value, X)
    np.testing.assert_array_equal(prepared(value, 2 * X)[1], 4 * X)
    with pytest.raises(PreparationMismatchError):
        prepared(value, np.ones(2))


# -- strict="convert" --------------------------------------------------------------------------------------------------

CONVERTED = [
    (1.0, 3),
    (1.0, np.float32(0.1)),
    (1.0, Fraction(1, 4)),
    (X, X.astype(np.float32)),
    (X, np.array([1, 2, 3])),
    (X.astype(np.float32), np.array([0.5, 1.0, np.nan])),
    (X + 0j, X),
    (Fraction(1, 2), 0.1),
    (np.arange(3), np.arange(3, dtype=np.int8)),
    (np.float64(1.0), 2.0),
]
REFUSED = [
    (3, 3.7, "int64"),
    (3, 3.0, "int64"),
    (1.0, 1 + 2j, "float64"),
    (X, X + 0j, "float64"),
    (X, X + 1j, "float64"),
    (np.arange(3), X, "int64"),
    (1.0, 2**53 + 1, "9007199254740993"),
    (X, np.array([1, 2**53 + 1, 2**62 + 1]), "9007199254740993"),
    (X.astype(np.float32), np.array([0.5, 0.1, 1e300]), "0.1"),
    (np.arange(3, dtype=np.int8), np.array([1, 300, 2]), "300"),
    (1.0, Fraction(1, 3), "1/3"),
    (X, np.ones(4), "shape"),
    (X, [1.0, 2.0, 3.0], "prepared for float64 of shape"),
]


def squares(x):
    return np.sum(np.real(x * x)) if hasattr(x, "shape") and x.shape else x * x


@pytest.mark.parametrize(("at", "given"), CONVERTED, ids=repr)
def test_conversion_keeps_every_value(at, given):
    value, refused = lossless(given, at)
    assert not refused
    assert type(value) is type(at)
    assert getattr(value, "dtype", 0) == getattr(at, "dtype", 0)
    np.testing.assert_array_equal(np.asarray(value, complex), np.asarray(given, complex))
    if not isinstance(at, Fraction):
        prepared = prepare(ad.gradient, squares, at, strict="convert", check="never")
        np.testing.assert_allclose(np.asarray(prepared(given)[0], complex), 2 * np.asarray(given, complex), rtol=1e-6)


@pytest.mark.parametrize(("at", "given", "what"), REFUSED, ids=repr)
def test_a_conversion_that_changes_a_value_is_an_error(at, given, what):
    prepared = prepare(ad.gradient, lambda d: squares(d["a"]), {"a": at}, strict="convert")
    with pytest.raises(PreparationMismatchError, match=what) as caught:
        prepared({"a": given})
    assert "args[0]['a']" in str(caught.value)


def test_conversion_does_not_pass_over_another_setting():
    f = lambda d: np.sum(np.sin(d["x"])) if d["way"] == "sin" else np.sum(np.cos(d["x"]))
    prepared = prepare(ad.gradient, f, {"x": X, "way": "sin"}, strict="convert")
    given = {"x": X.astype(np.float32), "way": "cos"}
    for _ in range(3):
        np.testing.assert_allclose(prepared(given)[0]["x"], -np.sin(given["x"].astype(float)), rtol=1e-15)
    with pytest.raises(PreparationMismatchError):
        prepared({"x": X.astype(np.float32), "how": "cos"})


def test_conversion_between_frameworks():
    torch = pytest.importorskip("torch")
    f = lambda t: (t**3).sum()
    prepared = prepare(ad.gradient, f, AutoTorch(), torch.tensor(X), strict="convert")
    np.testing.assert_allclose(prepared(2 * X)[0].numpy(), 12 * X**2)
    with pytest.raises(PreparationMismatchError, match="float32 cannot hold"):
        prepare(ad.gradient, f, AutoTorch(), torch.tensor(X, dtype=torch.float32), strict="convert")(X + 0.1)


# -- copies and pickles ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("native", [False, True])
def test_pickles_and_copies(adtype, native):
    if native:
        if not isinstance(adtype, AutoTape):
            pytest.skip("only the tape compiles")
        pytest.importorskip("numba")
        adtype = AutoTape(native=True)
    prepared = prepare(ad.gradient, dots, adtype, {"w": X, "b": 2.0}, Const(X), missing="zeros", check="always")
    args = ({"w": 2 * X, "b": 3.0}, X)
    want = prepared(*args)
    for again in (pickle.loads(pickle.dumps(prepared)), copy.copy(prepared), copy.deepcopy(prepared)):
        got = again(*args)
        np.testing.assert_allclose(got[0]["w"], want[0]["w"])
        assert got[1] is None
        assert (again.check, again.options, again.adtype) == ("always", {"missing": "zeros"}, adtype)
        with pytest.raises(PreparationMismatchError):
            again(X, X)


def ask(prepared, x):
    return prepared(x)[0]


def test_prepared_operators_work_in_other_processes():
    adtypes = [AutoTape(), AutoForward(), AutoFiniteDifferences()]
    prepared = [prepare(ad.gradient, cubes, adtype, X) for adtype in adtypes]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = [pool.submit(ask, p, 2 * X) for p in prepared]
        for adtype, future in zip(adtypes, found, strict=True):
            np.testing.assert_allclose(future.result(timeout=100), ad.gradient(cubes, adtype, 2 * X)[0])


class Model:
    """A model that holds its own prepared gradient."""

    def __init__(self):
        self.scale = 2.0
        self.slope = prepare(ad.gradient, self.loss, X)

    def loss(self, x):
        return self.scale * np.sum(x**2)


def test_an_object_that_holds_its_prepared_gradient():
    model = Model()
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert again.slope.f.__self__ is again
        np.testing.assert_array_equal(again.slope(X)[0], 4 * X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model.slope))(X)[0], 4 * X)


def test_what_cannot_be_pickled_or_copied_is_named():
    prepared = prepare(ad.gradient, lambda x: np.sum(x**2), X)
    with pytest.raises(TypeError, match=r"function .*<lambda> \(.*test_prepared_objects.py:\d+\) cannot"):
        pickle.dumps(prepared)
    np.testing.assert_array_equal(copy.deepcopy(prepared)(X)[0], 2 * X)

    class Locked:
        def __init__(self):
            self.lock = threading.Lock()

        def __call__(self, x):
            return np.sum(x**2)

    prepared = prepare(ad.gradient, Locked(), X)
    with pytest.raises(TypeError, match="Locked"):
        pickle.dumps(prepared)
    with pytest.raises(TypeError, match="cannot be copied deeply"):
        copy.deepcopy(prepared)
    np.testing.assert_array_equal(copy.copy(prepared)(X)[0], 2 * X)
    with pytest.warns(ad.NotReplayedWarning, match="an argument holds a lock"):
        prepared = prepare(ad.gradient, lambda_free, threading.Lock(), X)
    with pytest.raises(TypeError, match="example arguments"):
        pickle.dumps(prepared)


def lambda_free(lock, x):
    with lock:
        return np.sum(x**2)


# -- the adtype by its name, and what is captured ----------------------------------------------------------------------


def test_the_adtype_by_its_name():
    f = lambda x: np.sum(x**3)
    for adtype in (AutoTape(), ad.AutoForward(), None):
        prepared = prepare(ad.gradient, f, X, adtype=adtype)
        assert prepared.adtype == (adtype or AutoTape())
        np.testing.assert_allclose(prepared(2 * X)[0], 12 * X**2, rtol=1e-14)
    with pytest.raises(TypeError, match="two adtypes"):
        prepare(ad.gradient, f, AutoTape(), X, adtype=AutoTape())
    with pytest.raises(TypeError, match="class AutoTape"):
        prepare(ad.gradient, f, X, adtype=AutoTape)


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, lambda p: p])
def test_new_contents_of_a_captured_array_reach_out_and_copies(make):
    a, out = np.ones(3), np.empty(3)
    prepared = prepare(ad.gradient, lambda x: np.sum(a * x**2), X, check="never")
    other = make(prepared)
    for k in (1.0, 5.0, 2.0):
        a[:] = k
        for p in (prepared, other):
            for _ in range(3):
                np.testing.assert_allclose(p(X)[0], 2 * k * X, rtol=1e-14)
                p(X, out=(out,))
                np.testing.assert_allclose(out, 2 * k * X, rtol=1e-14)
            # Private: that the short way is taken again is seen in nothing but the time.
            assert p._quick((X,)) is not NotImplemented
