"""Code that was never written for traced values, lifted: its value, its derivatives, and that nothing else changes."""

from __future__ import annotations

import builtins
import cmath
import math
import pickle
import sys
import threading
import traceback
import types

import numpy as np
import pytest
from conftest import numeric_jacobian
from samples import never_traced
from samples.never_traced import POINT, PROGRAMS

import adselect as ad
from adselect import lift

LOOKS_AT_NUMBERS = {"branches", "newton", "sizes", "strings", "polynomial"}  # no program without its numbers


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_give_their_value_and_gradient(name, exact_backend):
    f, rewritten = PROGRAMS[name]
    val, (grad,) = ad.withgradient(lift(f), exact_backend.adtype, POINT)
    np.testing.assert_allclose(val, f(POINT), rtol=1e-13)
    grad = np.zeros(3) if grad is None else grad
    np.testing.assert_allclose(grad, numeric_jacobian(f, POINT)[0], rtol=1e-6, atol=1e-7)
    if rewritten is not None:
        np.testing.assert_allclose(grad, ad.gradient(rewritten, POINT)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", PROGRAMS)
def test_plainly_a_lifted_function_is_the_function(name):
    f = PROGRAMS[name][0]
    plain, lifted = f(POINT), lift(f)(POINT)
    assert lifted == plain
    assert type(lifted) is type(plain)


@pytest.mark.parametrize("name", PROGRAMS)
def test_second_derivatives_and_other_modes(name):
    f = lift(PROGRAMS[name][0])
    hessian = ad.hessian(f, POINT)
    wanted = numeric_jacobian(lambda x: ad.gradient(f, ad.AutoForward(), x)[0], POINT)
    np.testing.assert_allclose(hessian, wanted, rtol=1e-5, atol=1e-6)
    tangent = np.array([0.3, -1.0, 0.5])
    _, y_dot = ad.pushforward(f, ad.AutoForward(), (POINT,), (tangent,))
    np.testing.assert_allclose(y_dot, ad.gradient(f, POINT)[0] @ tangent, rtol=1e-12)


@pytest.mark.parametrize("name", PROGRAMS)
def test_prepared(name, exact_backend):
    f = lift(PROGRAMS[name][0])
    if exact_backend.name == "jax" and name in LOOKS_AT_NUMBERS:
        with pytest.raises(ad.ADSelectError, match="compil"):
            ad.prepare(ad.gradient, f, exact_backend.adtype, POINT)(POINT)
        return
    prepared = ad.prepare(ad.gradient, f, exact_backend.adtype, POINT)
    if exact_backend.name == "jax" and name == "errors":  # no exception can be raised by compiled code
        assert np.isnan(prepared(POINT)[0]).any()
        return
    for x in (POINT, POINT + 0.05, POINT[::-1].copy()):
        np.testing.assert_allclose(prepared(x)[0], ad.gradient(f, x)[0], rtol=1e-11, atol=1e-12)


def test_a_prepared_program_sees_that_a_global_was_bound_anew(monkeypatch):
    f = lift(lambda x: never_traced.helper(x[0]))
    prepared = ad.prepare(ad.gradient, f, POINT)
    prepared(POINT)
    monkeypatch.setattr(never_traced, "SCALE", 5.0)
    np.testing.assert_allclose(ad.gradient(f, POINT)[0], [2.5 / np.sqrt(0.4), 0, 0])
    with pytest.raises(ad.ADSelectError, match=r"SCALE was rebound \(from 2.0 to 5.0\)"):
        prepared(POINT)


# -- what may be lifted ------------------------------------------------------------------------------------------------


def test_methods_instances_classes_and_partials():
    spring, doubled = never_traced.Spring(0.5), never_traced.Doubled(0.5)
    slope = np.exp(0.5) * (0.7 - 0.1) + 1 / 0.7
    assert ad.gradient(lift(spring.energy), 0.7)[0] == pytest.approx(slope)
    assert ad.gradient(lift(doubled.energy), 0.7)[0] == pytest.approx(2 * slope)
    assert (spring.calls, doubled.calls) == (1, 1)
    assert ad.gradient(lift(spring), 0.7)[0] == pytest.approx(np.cos(0.7) * 0.5)
    assert ad.gradient(lambda r: lift(never_traced.Spring)(2.0, r).rest * r, 0.7)[0] == 1.4


def test_a_class_and_what_is_made_of_it():
    @lift
    def f(k):
        spring = never_traced.Spring(k)
        assert type(spring) is never_traced.Spring
        return spring.energy(0.7)

    assert ad.gradient(f, 0.5)[0] == pytest.approx(0.5 * np.exp(0.5) * 0.36)


def test_as_a_decorator_of_functions_and_methods():
    class Model:
        def __init__(self, w):
            self.w = w

        @lift
        def loss(self, x):
            return math.sin(x) * float(self.w)

    assert ad.gradient(Model(2.0).loss, 0.5)[0] == pytest.approx(2 * np.cos(0.5))
    assert Model(2.0).loss(0.5) == math.sin(0.5) * 2.0
    (grad,) = ad.gradient(lambda m: m.loss(0.5), Model(2.0))
    assert grad.w == pytest.approx(np.sin(0.5))


def test_what_cannot_be_called_is_refused():
    with pytest.raises(TypeError, match=r"lift.*a function was expected, got float"):
        lift(1.0)


def test_lifted_functions_look_like_the_function_and_travel():
    f = lift(never_traced.buffer)
    assert (f.__name__, f.__doc__, f.__wrapped__) == ("buffer", None, never_traced.buffer)
    again = pickle.loads(pickle.dumps(f))
    np.testing.assert_allclose(ad.gradient(again, POINT)[0], ad.gradient(f, POINT)[0])
    assert lift(f) is f
    assert repr(f) == "lift(buffer)"


def test_native_arrays_of_frameworks(exact_backend):
    """math.sin meets a framework's own array: the call is made again behind the NumPy face."""
    if exact_backend.name in ("tape", "forward", "autograd"):
        pytest.skip("its arrays are NumPy's")
    native = _native(exact_backend.name, POINT)
    (grad,) = ad.gradient(lift(never_traced.buffer), exact_backend.adtype, native)
    assert type(grad) is type(native)
    np.testing.assert_allclose(np.asarray(grad), ad.gradient(lift(never_traced.buffer), POINT)[0], rtol=1e-5)


def _native(name, x):
    if name == "torch":
        import torch

        return torch.tensor(x)
    import jax.numpy as jnp

    return jnp.asarray(x)


def test_implicit_parameters():
    W = np.array([0.5, 2.0])

    def loss():
        out = np.zeros(2)
        out[0] = math.sin(W[0])
        return float(out[0]) * W[1]

    grads = ad.gradient(lift(loss), ad.Params([W]))
    np.testing.assert_allclose(grads[W], [2 * np.cos(0.5), np.sin(0.5)])


def test_derivatives_inside_lifted_code():
    @lift
    def f(x):
        return math.sin(x) * ad.derivative(lambda t: math.exp(t * x), 2.0)

    slope = ad.derivative(lambda x: np.sin(x) * x * np.exp(2 * x), 0.7)
    assert ad.derivative(f, 0.7) == pytest.approx(slope)


# -- only what is asked for --------------------------------------------------------------------------------------------


def test_only_and_skip():
    def f(x):
        return never_traced.helper(math.exp(x))

    for options in ({"skip": never_traced}, {"skip": ["samples"]}, {"only": __name__}, {"only": "scipy"}):
        with pytest.raises(ad.TracedValueError, match=r"never_traced\.py"):
            ad.gradient(lift(f, **options), 1.0)
    for options in ({"only": never_traced}, {"only": ["samples", "x"]}, {"skip": "scipy"}, {}):
        assert ad.gradient(lift(f, **options), 1.0)[0] == pytest.approx(np.exp(0.5))
    with pytest.raises(TypeError, match="a module or the name of one"):
        lift(f, only=[math.sin])


def test_explain_lift():
    text = ad.explain_lift(PROGRAMS["made inside"][0])
    rebuilt, _, rest = text.partition("replaced:")
    assert "samples.never_traced.Spring.__init__" in rebuilt
    assert "float" in rest
    assert "Spring(x[0]).energy(…)" in rest.partition("decided at the call:")[2]
    text = ad.explain_lift(never_traced.helper, skip="math")
    assert f"math.sqrt: {never_traced.__file__}" in text.partition("replaced:")[2]
    text = ad.explain_lift(lambda x: np.linalg.norm(x) + UNSEEN.g(x))
    assert "no source" in text.partition("left as they are:")[2]
    assert "g (no source" in ad.explain_lift(UNSEEN.g)
    with pytest.raises(TypeError, match="a function was expected"):
        ad.explain_lift(1.0)


UNSEEN = types.ModuleType("unseen")
exec("import numpy as np\ndef g(x): return np.sin(x)", vars(UNSEEN))


# -- nothing else changes ----------------------------------------------------------------------------------------------


def test_no_module_is_changed():
    watched = [np, math, cmath, builtins, never_traced, np.polynomial, sys.modules[__name__]]
    before = [dict(vars(m)) for m in watched]
    for name in PROGRAMS:
        ad.gradient(lift(PROGRAMS[name][0]), POINT)
    for module, names in zip(watched, before, strict=True):
        now = vars(module)
        assert [n for n in now if n not in names or now[n] is not names[n]] == [], module


def test_other_threads_see_nothing():
    stop, seen = threading.Event(), []

    def other():
        while not stop.is_set():
            seen.append(type(np.zeros(2)) is np.ndarray and type(never_traced.buffer(POINT)) is np.float64)

    thread = threading.Thread(target=other)
    thread.start()
    try:
        for _ in range(20):
            ad.gradient(lift(never_traced.buffer), POINT)
    finally:
        stop.set()
        thread.join()
    assert seen
    assert all(seen)


def test_one_lifted_function_in_many_threads():
    f, found = lift(PROGRAMS["made inside"][0]), []
    threads = [threading.Thread(target=lambda: found.append(ad.gradient(f, POINT)[0])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    for grad in found:
        np.testing.assert_array_equal(grad, found[0])


CONSTANT = 2.0


def _inner(v):
    return math.exp(v)


def test_names_mean_what_they_mean_at_the_call(monkeypatch):
    def f(x):
        return math.sin(x) * CONSTANT + _inner(x)

    lifted = lift(f)
    assert ad.gradient(lifted, 0.5)[0] == pytest.approx(2 * np.cos(0.5) + np.exp(0.5))
    monkeypatch.setitem(globals(), "CONSTANT", 5.0)
    monkeypatch.setitem(globals(), "_inner", lambda v: math.log(v))
    assert ad.gradient(lifted, 0.5)[0] == pytest.approx(5 * np.cos(0.5) + 2)
    monkeypatch.setattr(math, "sin", math.cos)
    assert ad.gradient(lifted, 0.5)[0] == pytest.approx(-5 * np.sin(0.5) + 2)


COUNT = 0


def test_globals_that_f_sets_are_set():
    def f(x):
        global COUNT
        COUNT += 1
        return math.sin(x) * seen()

    def seen():
        return COUNT

    start = COUNT
    assert ad.gradient(lift(f), 0.5)[0] == pytest.approx((start + 1) * np.cos(0.5))
    assert start + 1 == COUNT


def test_defaults_and_code_changed_later():
    def f(x, k=2.0):
        return inner(x)

    def inner(x, k=2.0):
        return math.sin(x) * k

    lifted = lift(f)
    ad.gradient(lifted, 0.5)
    inner.__defaults__ = (3.0,)
    assert ad.gradient(lifted, 0.5)[0] == pytest.approx(3 * np.cos(0.5))
    inner.__code__ = (lambda x, k=1.0: math.cos(x) * k).__code__
    assert ad.gradient(lifted, 0.5)[0] == pytest.approx(-3 * np.sin(0.5))


def test_tracebacks_show_the_users_lines():
    def f(x):
        y = math.sin(x)
        return {}[y > 0]

    with pytest.raises(KeyError) as caught:
        ad.gradient(lift(f), 0.5)
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (last.filename, last.lineno, last.name) == (__file__, f.__code__.co_firstlineno + 2, "f")
    assert last.line == "return {}[y > 0]"


def test_nothing_leaks():
    kept = []

    def f(x):
        kept.append(np.zeros(2))
        kept.append(np.array([1.0, 2.0]))
        return math.sin(x)

    ad.gradient(lift(f), 0.5)
    assert [type(k) for k in kept] == [np.ndarray, np.ndarray]
    np.testing.assert_array_equal(kept[1], [1.0, 2.0])


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_what_is_not_entered_raises_at_its_line():
    def plain_expression(x):
        w = np.ones(3) * 0 + np.asarray(FIXED) * 2
        v = FIXED * 2.0
        v[0] = x
        return np.sum(v) + np.sum(w)

    def whole_numbers(x):
        n = np.zeros(3, dtype=int)
        n[0] = x
        return np.sum(n) * x

    def keys(x):
        return {x: 1.0}[x] * x

    for f in (plain_expression, whole_numbers, keys):
        with pytest.raises(ad.TracedValueError, match=r"test_lifting\.py"):
            ad.gradient(lift(f), 0.5)


FIXED = np.arange(3.0)


class Unread:
    """An operator, which no call leads to."""

    def __add__(self, other):
        return math.exp(other)


def test_operators_of_users_classes_are_not_entered():
    with pytest.raises(ad.TracedValueError, match=r"test_lifting\.py"):
        ad.gradient(lift(lambda x: Unread() + x), 0.5)


def test_integers_cut_off_have_slope_zero(exact_backend):
    grad = ad.gradient(lift(lambda x: x * int(x * 3)), exact_backend.adtype, 1.5)[0]
    assert grad == 4.0
    assert ad.gradient(lift(lambda x: x * math.floor(x)), exact_backend.adtype, 2.5)[0] == 2.0


def test_type_of_a_number():
    arrays = lift(lambda x: x[0] * 3 if type(x[0]) is np.float64 and type(x) is np.ndarray else 0.0 * x[0])
    assert ad.gradient(arrays, POINT)[0][0] == 3.0
    numbers = lift(lambda a: a * 3 if type(a) is float else a * 2 if type(a) is np.float64 else 0.0)
    assert ad.gradient(numbers, 0.5) == (3.0,)
    assert ad.gradient(numbers, np.float64(0.5)) == (2.0,)
    for f, x in (
        (lambda a: a if type(a * 2.0) is float else 2 * a, 0.5),
        (lambda x: x[0] if type(float(x[0])) is float else 0.0, POINT),
        (lambda x: x[0] if type(math.sin(x[0]) * 2) is float else 0.0, POINT),
    ):
        with pytest.raises(ad.TracedValueError, match=r"type\(x\) of a traced number at .*test_lifting.py"):
            ad.gradient(lift(f), x)


def test_math_raises_what_it_raises_plainly():
    for f, x in ((math.log, -1.0), (math.log, 0.0), (math.sqrt, -1.0), (math.exp, 1e3), (math.acos, 2.0)):
        with pytest.raises((ValueError, OverflowError)) as plain:
            f(x)
        with pytest.raises(type(plain.value)):
            ad.gradient(lift(lambda t, f=f: f(t)), x)


def test_float32_buffers_and_dtypes():
    def f(x):
        out = np.zeros(3, dtype=np.float32)
        out[:] = x
        return np.sum(out.astype(float) ** 2)

    value, (grad,) = ad.withgradient(lift(f), POINT)
    assert value == f(POINT)
    np.testing.assert_allclose(grad, 2 * POINT, rtol=1e-6)
    assert lift(f).__wrapped__ is f


def test_code_without_source():
    module = types.ModuleType("made")
    code = """
import math
import numpy as np
K = 2.0
def inner(v):
    return math.exp(v) * K
def g(x):
    out = np.zeros(2, dtype=float)
    out[0] = float(x) if isinstance(x, float) else 0.0
    out[1] = sum(map(inner, [x]))
    return np.sum(out)
def counted(x):
    global K
    K = 3.0
    return math.exp(x)
"""
    exec(code, vars(module))
    assert ad.gradient(lift(module.g), 0.5)[0] == pytest.approx(1 + 2 * np.exp(0.5))
    module.K = 5.0
    assert ad.gradient(lift(module.g), 0.5)[0] == pytest.approx(1 + 5 * np.exp(0.5))
    with pytest.raises(ad.TracedValueError):
        ad.gradient(lift(module.counted), 0.5)


def test_code_without_source_is_left_where_it_needs_none():
    slope = np.exp(0.5) * (np.sin(0.5) + np.cos(0.5))
    assert ad.gradient(lift(lambda x: UNSEEN.g(x) * math.exp(x)), 0.5)[0] == pytest.approx(slope)
