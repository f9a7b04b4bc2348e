"""Every option and every error of every operator, and how often each evaluates f."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from conftest import EXACT
from samples.functions import Counted

import adselect as ad
from adselect import (
    AutoForward,
    AutoTape,
    Const,
    derivative,
    diaghessian,
    gradient,
    hessian,
    hessian_reverse,
    hvp,
    jacobian,
    pullback,
    pushforward,
    second_derivative,
    withgradient,
    withhessian,
    withjacobian,
)
from adselect.errors import (
    ADSelectError,
    ADSelectTypeError,
    ADSelectValueError,
    BackendNotInstalledError,
    NotScalarError,
)

X = np.array([1.0, 2.0, 3.0])


def square(x):
    return np.sum(x * x)


# How each operator is called with f and the point x.
CALLS = {
    "gradient": lambda f, a, x: gradient(f, *a, x),
    "withgradient": lambda f, a, x: withgradient(f, *a, x),
    "pullback": lambda f, a, x: pullback(f, *a, x),
    "jacobian": lambda f, a, x: jacobian(f, *a, x),
    "withjacobian": lambda f, a, x: withjacobian(f, *a, x),
    "hessian": lambda f, a, x: hessian(f, *a, x),
    "hessian_reverse": lambda f, a, x: hessian_reverse(f, *a, x),
    "withhessian": lambda f, a, x: withhessian(f, *a, x),
    "diaghessian": lambda f, a, x: diaghessian(f, *a, x),
    "hvp": lambda f, a, x: hvp(f, *a, x, x * 0 + 1.0),
    "pushforward": lambda f, a, x: pushforward(f, *a, (x,), (x * 0 + 1.0,)),
}
SCALAR_CALLS = {
    "derivative": lambda f, a, t: derivative(f, *a, t),
    "second_derivative": lambda f, a, t: second_derivative(f, *a, t),
}
every_operator = pytest.mark.parametrize("name", [*CALLS, *SCALAR_CALLS])


def call(name, f, *adtype):
    return CALLS[name](f, adtype, X) if name in CALLS else SCALAR_CALLS[name](lambda t: f(t * X), adtype, 2.0)


# -- the adtype in second place --------------------------------------------------------------------------------------


@every_operator
def test_adtype_is_optional(name):
    assert repr(call(name, square)).split(" at 0x")[0] == repr(call(name, square, AutoTape())).split(" at 0x")[0]


@every_operator
def test_a_class_is_refused(name):
    with pytest.raises(
        ADSelectTypeError, match=rf"AutoTape; an adtype is an object. Write {name}\(f, AutoTape\(\), …\)"
    ):
        call(name, square, AutoTape)


@every_operator
@pytest.mark.parametrize("second", [AutoTape, AutoTape()])
def test_two_adtypes_are_refused(name, second):
    with pytest.raises(ADSelectTypeError, match=r"was given two adtypes, AutoForward\(\) and AutoTape\(\)"):
        call(name, square, ad.AutoForward(), second)


@every_operator
@pytest.mark.parametrize(
    "string", ["jax", "AutoJax", "torch", "Tape", "finite_differences", "auto-forward", "autograd"]
)
def test_a_string_that_names_a_backend_is_refused(name, string):
    with pytest.raises(ADSelectTypeError, match=r"Write .*adselect\.Auto\w+\(\), …\)") as caught:
        call(name, square, string)
    assert repr(string) in str(caught.value)


def test_any_other_string_is_an_argument():
    assert gradient(lambda mode, x: x**2 if mode == "square" else x, "square", 3.0) == (None, 6.0)


@every_operator
def test_f_must_be_callable(name):
    with pytest.raises(ADSelectTypeError, match=r"first argument is the function"):
        {**CALLS, **SCALAR_CALLS}[name](3.0, (), X if name in CALLS else 2.0)


def test_adtype_in_first_place():
    with pytest.raises(ADSelectTypeError, match="first argument is the function to differentiate, not AutoTape"):
        gradient(AutoTape(), square, X)


def test_missing_package_names_the_line_to_type():
    @dataclass(frozen=True, repr=False)
    class AutoNobody(ad.ADType):
        requires = "a_package_nobody_has"
        extra = "nobody"
        backend = ""

    with pytest.raises(ADSelectTypeError, match="names no backend"):
        gradient(square, AutoNobody(), X)
    try:
        AutoNobody.backend = "a_package_nobody_has:Backend"
        with pytest.raises(BackendNotInstalledError, match=r'pip install "adselect\[nobody\]"') as caught:
            gradient(square, AutoNobody(), X)
        assert isinstance(caught.value, ImportError)
        assert isinstance(caught.value, ADSelectError)
    finally:
        AutoNobody.backend = ""


# -- what f must return ----------------------------------------------------------------------------------------------

BAD_RESULTS = {
    "array": (lambda x: x * 2, "shape .3,.*np.sum"),
    "one entry": (lambda x: x[:1], r"shape \(1,\)"),
    "complex": (lambda x: x[0] * 1j, r"np.real\(y\)"),
    "string": (lambda x: "loss", "got"),
    "None": (lambda x: None, "forget its return"),
    "list": (lambda x: [x[0], x[1]], "pullback|list"),
    "object": (lambda x: object(), "got object"),
}


@pytest.mark.parametrize("what", BAD_RESULTS)
@pytest.mark.parametrize("name", ["gradient", "withgradient", "hessian", "hvp", "hessian_reverse", "diaghessian"])
def test_results_that_are_no_real_number(exact_backend, name, what):
    f, says = BAD_RESULTS[what]
    with pytest.raises(NotScalarError) as caught:
        CALLS[name](f, (exact_backend.adtype,), X)
    assert isinstance(caught.value, TypeError)
    if name == "gradient":
        import re

        assert re.search(says, str(caught.value), re.DOTALL)


@pytest.mark.parametrize("f", [lambda x: None, lambda x: (x, "text"), lambda x: "text", lambda x: {"a": x}])
def test_jacobian_needs_an_array(exact_backend, f):
    with pytest.raises(ADSelectTypeError, match="number or an array"):
        jacobian(f, exact_backend.adtype, X)


def test_results_that_are_fine(exact_backend):
    adtype = exact_backend.adtype
    for f, right in (
        (lambda x: np.sum(x), 1.0),
        (lambda x: x[0] * 1 + 0 * x[1], None),
        (lambda x: np.array(np.sum(x)), 1.0),
        (lambda x: 3, None),
        (lambda x: True, None),
        (lambda x: np.float32(2.0), None),
    ):
        (grad,) = gradient(f, adtype, X)
        if right is not None:
            np.testing.assert_array_equal(grad, np.full(3, right))


# -- missing= --------------------------------------------------------------------------------------------------------


def unused(a, b, c):
    return np.sum(a)


def test_missing_none(exact_backend):
    grads = gradient(unused, exact_backend.adtype, X, 2.0, {"w": X})
    np.testing.assert_array_equal(grads[0], np.ones(3))
    assert grads[1:] == (None, {"w": None})


def test_missing_zeros(exact_backend):
    _, b, c = gradient(unused, exact_backend.adtype, X, 2.0, {"w": X.astype(np.float32), "s": "text"}, missing="zeros")
    assert b == 0.0
    assert type(b) is float
    assert c["w"].dtype == np.float32
    assert c["w"].tolist() == [0, 0, 0]
    assert c["s"] is None


def test_missing_error(exact_backend):
    adtype = exact_backend.adtype
    with pytest.raises(ADSelectValueError, match=r"does not depend on args\[1\]"):
        gradient(unused, adtype, X, 2.0, 1.0, missing="error")
    with pytest.raises(ADSelectValueError, match=r"args\[0\]\['layers'\]\[1\].b"):
        gradient(lambda m: m["layers"][0].a, adtype, {"layers": [Pair(1.0, Const), Pair(Const, 2.0)]}, missing="error")
    assert gradient(square, adtype, X, missing="error")[0].tolist() == [2, 4, 6]


@pytest.mark.parametrize("operator", [gradient, withgradient])
def test_missing_anything_else(operator):
    with pytest.raises(ADSelectValueError, match="'none', 'zeros' or 'error', not 'nan'"):
        operator(square, X, missing="nan")


def test_missing_in_pullback(exact_backend):
    _, back = pullback(lambda a, b: (a * 2, b * 3), exact_backend.adtype, X, 1.0, missing="zeros")
    a, b = back((X, None))
    assert a.tolist() == [2, 4, 6]
    assert b == 0.0
    a, b = back(None)
    assert a.tolist() == [0, 0, 0]
    assert b == 0.0


@dataclass
class Pair:
    a: object
    b: object


# -- out= ------------------------------------------------------------------------------------------------------------


def test_out_of_one_array(exact_backend):
    buffer = np.full(3, 9.0)
    assert gradient(square, exact_backend.adtype, X, out=buffer) is buffer
    assert buffer.tolist() == [2, 4, 6]


def test_out_of_a_structure(exact_backend):
    out = ({"w": np.zeros(3), "b": 0.0}, [np.zeros(2)])
    f = lambda p, q: np.sum(p["w"] * 2) * p["b"] + np.sum(q[0])
    assert gradient(f, exact_backend.adtype, {"w": X, "b": 2.0}, [np.ones(2)], out=out) is out
    assert out[0]["w"].tolist() == [4, 4, 4]
    assert out[0]["b"] == 12.0
    assert out[1][0].tolist() == [1, 1]


def test_out_in_withgradient():
    out = (np.zeros(3),)
    val, grad = withgradient(square, X, out=out)
    assert val == 14.0
    assert grad is out
    assert out[0].tolist() == [2, 4, 6]


def test_out_receives_zeros_for_none():
    out = (np.full(3, 9.0), np.full(3, 9.0))
    gradient(lambda a, b: np.sum(a), X, X, out=out)
    assert out[1].tolist() == [0, 0, 0]


def test_out_that_does_not_fit():
    with pytest.raises(ADSelectValueError, match=r"shape \(2,\).*shape \(3,\)"):
        gradient(square, X, out=np.zeros(2))
    with pytest.raises(ADSelectTypeError, match="structure"):
        gradient(square, X, out=({"w": np.zeros(3)},))
    with pytest.raises(ADSelectError, match="out"):
        gradient(lambda a, b: np.sum(a * b), X, X, out=np.zeros(3))


# -- Const, keyword arguments ----------------------------------------------------------------------------------------


def test_const_everywhere(exact_backend):
    adtype, f = exact_backend.adtype, lambda w, x: np.sum(w * x * x)
    w = np.array([1.0, 2.0, 3.0])
    assert gradient(f, adtype, Const(w), X)[0] is None
    assert gradient(f, adtype, Const(w), X)[1].tolist() == [2, 8, 18]
    assert pullback(f, adtype, Const(w), X)[1](1.0)[0] is None
    J = jacobian(lambda w, x: w * x, adtype, Const(w), X)
    assert J[0] is None
    assert np.array_equal(J[1], np.diag(w))
    assert diaghessian(f, adtype, Const(w), X)[0] is None
    assert diaghessian(f, adtype, Const(w), X)[1].tolist() == [2, 4, 6]
    _, y_dot = pushforward(f, adtype, (Const(w), X), (None, np.ones(3)))
    assert y_dot == 28.0


def test_const_hands_the_object_itself_to_f():
    marker = object()
    seen = []
    gradient(lambda c, x: (seen.append(c), x * 2)[1], Const(marker), 1.0)
    assert seen == [marker]
    data = np.ones(3)
    gradient(lambda c, x: (seen.append(c), x * 2)[1], Const(data), 1.0)
    assert seen[1] is data
    assert repr(Const(2.0)) == "Const(2.0)"


@pytest.mark.parametrize("name", list(CALLS))
def test_keyword_arguments_are_not_differentiated(exact_backend, name):
    seen = []

    def f(x, *, power, data=None):
        seen.append((power, data))
        return np.sum(x**power)

    data = [1.0]
    operator = getattr(ad, name)
    args = {"hvp": (X, X), "pushforward": ((X,), (X,))}.get(name, (X,))
    operator(f, exact_backend.adtype, *args, power=2, data=data)
    assert all(p == 2 and d is data for p, d in seen)
    assert seen


# -- results ---------------------------------------------------------------------------------------------------------


def test_named_tuples():
    result = withgradient(square, X)
    assert result._fields == ("val", "grad")
    assert withjacobian(np.cumsum, X)._fields == ("val", "grad")
    assert withhessian(square, X)._fields == ("val", "grad", "hess")


def test_auxiliary_output(exact_backend):
    adtype = exact_backend.adtype
    val, grad = withgradient(lambda x: (np.sum(x), x * 2, "note"), adtype, X)
    assert val[0] == 6.0
    assert val[1].tolist() == [2, 4, 6]
    assert val[2] == "note"
    assert grad[0].tolist() == [1, 1, 1]
    val, grad = withgradient(lambda x: {"loss": square(x), "parts": [x[0], {"n": 3}]}, adtype, X)
    assert val["parts"][1] == {"n": 3}
    assert val["parts"][0] == 1.0
    assert not isinstance(val["parts"][0], ad.Array)
    assert grad[0].tolist() == [2, 4, 6]
    from collections import namedtuple

    Out = namedtuple("Out", "loss aux")
    val, grad = withgradient(lambda x: Out(square(x), x), adtype, X)
    assert type(val) is Out
    assert val.aux.tolist() == X.tolist()
    with pytest.raises(NotScalarError, match="first entry"):
        withgradient(lambda x: (x, 1.0), adtype, X)


def test_gradient_of_a_tuple_names_withgradient():
    with pytest.raises(NotScalarError, match="withgradient"):
        gradient(lambda x: (square(x), x), X)


def test_jacobian_shapes(exact_backend):
    adtype = exact_backend.adtype
    assert jacobian(lambda x: x, adtype, np.ones((2, 3)))[0].shape == (6, 6)
    assert jacobian(np.sum, adtype, np.ones((2, 3)))[0].shape == (1, 6)
    assert jacobian(lambda t: t * X, adtype, 2.0)[0].shape == (3,)
    assert jacobian(lambda t: t * t, adtype, 2.0)[0].shape == (1,)
    assert jacobian(lambda x: x, adtype, np.ones(1))[0].shape == (1, 1)
    assert jacobian(lambda x: x[:0], adtype, X)[0].shape == (0, 3)


def test_jacobian_of_structured_arguments_is_none(exact_backend):
    J = jacobian(lambda p, x: p["w"] * x, exact_backend.adtype, {"w": 2.0}, X)
    assert J[0] is None
    assert np.array_equal(J[1], 2 * np.eye(3))


def test_hessian_arguments():
    for operator in (hessian, hessian_reverse, withhessian):
        with pytest.raises(ADSelectTypeError, match=r"diaghessian|hvp"):
            operator(lambda a, b: a * b, 1.0, 2.0)
        with pytest.raises(ADSelectTypeError, match="structured"):
            operator(lambda p: p["a"], {"a": 1.0})
        with pytest.raises(ADSelectTypeError):
            operator(square)


def test_hessian_results(exact_backend):
    adtype = exact_backend.adtype
    assert hessian(lambda t: t**3, adtype, 2.0) == pytest.approx(12.0)
    assert isinstance(hessian(lambda t: t**3, adtype, 2.0), float)
    assert hessian(lambda x: np.sum(x**2), adtype, np.ones((2, 2))).shape == (4, 4)
    assert hessian(lambda x: np.sum(x), adtype, X).tolist() == np.zeros((3, 3)).tolist()
    assert hessian(lambda x: 3.0, adtype, X).tolist() == np.zeros((3, 3)).tolist()
    val, grad, hess = withhessian(lambda x: np.sum(x**3), adtype, X)
    assert val == pytest.approx(36.0)
    np.testing.assert_allclose(grad, 3 * X**2)
    np.testing.assert_allclose(hess, np.diag(6 * X))
    np.testing.assert_allclose(hessian_reverse(lambda x: np.sum(x**3), adtype, X), hess)


def test_hvp_arguments(exact_backend):
    adtype = exact_backend.adtype
    with pytest.raises(ADSelectTypeError, match="x and v, got 1"):
        hvp(square, adtype, X)
    with pytest.raises(ADSelectTypeError, match="x and v, got 3"):
        hvp(square, adtype, X, X, X)
    with pytest.raises(ADSelectValueError, match="shape"):
        hvp(square, adtype, X, np.ones(2))
    assert hvp(lambda t: t**3, adtype, 2.0, 5.0) == pytest.approx(60.0)


def test_pushforward_arguments(exact_backend):
    adtype = exact_backend.adtype
    with pytest.raises(ADSelectTypeError, match="two tuples"):
        pushforward(square, adtype, X)
    with pytest.raises(ADSelectValueError, match="1 arguments and 2 tangents"):
        pushforward(square, adtype, (X,), (X, X))
    with pytest.raises(ADSelectValueError, match="shape"):
        pushforward(square, adtype, (X,), (np.ones(2),))
    with pytest.raises(ADSelectValueError, match="complex"):
        pushforward(square, adtype, (X,), (X * 1j,))
    y, y_dot = pushforward(lambda a, b: a * b, adtype, (X, 2.0), (None, 1.0))
    assert y_dot.tolist() == X.tolist()
    y, y_dot = pushforward(lambda a, b: a * b, adtype, (X, 2.0), (X, None))
    assert y_dot.tolist() == (2 * X).tolist()
    y, y_dot = pushforward(lambda a: 5.0, adtype, (X,), (X,))
    assert (y, y_dot) == (5.0, 0.0)
    y, y_dot = pushforward(square, adtype, (X,), (np.array([1, 0, 0]),))
    assert y_dot == 2.0


def test_pullback_seeds(exact_backend):
    adtype = exact_backend.adtype
    _, back = pullback(lambda x: x * 2, adtype, X)
    assert back([1.0, 0.0, 2.0])[0].tolist() == [2, 0, 4]
    assert back(np.array([1, 0, 2]))[0].tolist() == [2, 0, 4]
    assert back([None, 1.0, None])[0].tolist() == [0, 2, 0]
    assert back(1.0)[0].tolist() == [2, 2, 2]
    assert back(None) == (None,)
    with pytest.raises(ADSelectValueError, match=r"shape \(2,\).*shape \(3,\)"):
        back(np.ones(2))
    with pytest.raises(ADSelectValueError, match="real seeds"):
        back(X * 1j)
    with pytest.raises(ADSelectTypeError, match="numeric or None"):
        back("one")


def test_pullback_of_structures(exact_backend):
    adtype = exact_backend.adtype
    y, back = pullback(lambda x: {"a": (x * 2, 1.0), "b": [np.sum(x), "text"]}, adtype, X)
    assert y["b"][1] == "text"
    assert back({"a": (X, None), "b": [1.0, None]})[0].tolist() == [3, 5, 7]
    assert back({"a": None, "b": [1.0, None]})[0].tolist() == [1, 1, 1]
    assert back({"b": [1.0, None]})[0].tolist() == [1, 1, 1]
    with pytest.raises(ADSelectValueError, match="entries"):
        back({"a": (X,), "b": [1.0, None]})
    y, back = pullback(lambda x: (x, x), adtype, X)
    assert back((X, X))[0].tolist() == (2 * X).tolist()
    y, back = pullback(lambda x: [x, x * 0 + 1.0, None], adtype, X)
    assert back([X, X, None])[0].tolist() == X.tolist()


def test_derivative_of_scalars(exact_backend):
    adtype = exact_backend.adtype
    assert derivative(lambda t: t**2, adtype, 3) == 6.0
    assert type(derivative(lambda t: t**2, adtype, 3.0)) is float
    assert derivative(lambda t: {"a": t * 2, "b": (t, 1.0)}, adtype, 3.0) == {"a": 2.0, "b": (1.0, 0.0)}
    assert derivative(lambda t: 5.0, adtype, 3.0) == 0.0
    assert second_derivative(lambda t: t, adtype, 3.0) == 0.0
    np.testing.assert_allclose(second_derivative(lambda t: t**3 * X, adtype, 2.0), 12 * X)
    for operator in (derivative, second_derivative):
        with pytest.raises(ADSelectTypeError, match=r"scalar x, got ndarray of shape \(3,\)"):
            operator(square, adtype, X)
        with pytest.raises(ADSelectTypeError, match="one scalar argument, got 2"):
            operator(square, adtype, 1.0, 2.0)
        with pytest.raises(ADSelectTypeError, match="scalar x"):
            operator(square, adtype, "text")


def test_derivative_without_a_point_is_a_function(exact_backend):
    adtype = exact_backend.adtype
    f1 = derivative(np.sin, adtype)
    assert f1(0.3) == pytest.approx(np.cos(0.3))
    assert derivative(derivative(np.sin, adtype), adtype)(0.3) == pytest.approx(-np.sin(0.3))
    assert second_derivative(np.sin, adtype)(0.3) == pytest.approx(-np.sin(0.3))
    assert derivative(lambda t, *, k: t**k, adtype, k=3)(2.0) == pytest.approx(12.0)


# -- kinds of arguments ----------------------------------------------------------------------------------------------


def test_kinds_of_numbers(exact_backend):
    adtype = exact_backend.adtype
    f = lambda x: x * x
    for x, kind in (
        (3.0, float),
        (3, float),
        (np.float64(3.0), np.float64),
        (np.float32(3.0), np.float32),
        (np.int64(3), np.float64),
    ):
        (grad,) = gradient(f, adtype, x)
        assert type(grad) is kind, (x, type(grad))
        assert grad == 6.0
    (grad,) = gradient(lambda z: abs(z) ** 2, adtype, 3.0 + 4.0j)
    assert type(grad) is complex
    assert gradient(f, adtype, np.array(3.0))[0].shape == ()


def test_fractions_are_exact_on_the_built_in_engine():
    (grad,) = gradient(lambda x: x * x * Fraction(1, 3), Fraction(1, 2))
    assert grad == Fraction(1, 3)
    assert isinstance(grad, Fraction)
    assert gradient(lambda x: x**3, AutoForward(), Fraction(1, 2))[0] == Fraction(3, 4)


def test_what_has_no_derivative(exact_backend):
    def f(x, *others):
        return x * 2

    for other in (
        True,
        np.bool_(True),
        None,
        "text",
        b"bytes",
        len,
        np.sin,
        object(),
        slice(1),
        range(3),
        float,
        np.array(["a"]),
        np.array([True]),
    ):
        assert gradient(f, exact_backend.adtype, 1.0, other) == (2.0, None)


def test_partial_and_closures_are_differentiated():
    w = np.array([1.0, 2.0, 3.0])
    grads = gradient(lambda g, x: np.sum(g(x)), functools.partial(np.multiply, w), X)
    assert grads[0].args[0].tolist() == X.tolist()
    assert grads[1].tolist() == w.tolist()

    def make(w):
        def model(x):
            return w * x

        return model

    grads = gradient(lambda g, x: np.sum(g(x)), make(w), X)
    assert grads[0].w.tolist() == X.tolist()


# -- how often f is evaluated ----------------------------------------------------------------------------------------


REVERSE = [b for b in EXACT if b.name != "forward"]


@pytest.mark.parametrize("name", ["gradient", "withgradient", "pullback"])
@pytest.mark.parametrize("n", [1, 5, 200])
def test_f_is_evaluated_once(exact_backend, name, n):
    if exact_backend.name == "forward" and n > 64:
        pytest.skip("forward mode evaluates f once per chunk of 64 directions")
    f = Counted(square)
    result = CALLS[name](f, (exact_backend.adtype,), np.ones(n))
    assert f.calls == 1
    if name == "pullback":
        for _ in range(3):
            result[1](1.0)
        assert f.calls == 1


def test_forward_mode_evaluates_once_per_chunk():
    for n, chunk, calls in ((200, None, 4), (10, 5, 2), (10, 1, 10), (10, 100, 1)):
        f = Counted(square)
        gradient(f, AutoForward(chunk_size=chunk), np.ones(n))
        assert f.calls == calls


@pytest.mark.parametrize(("m", "n"), [(1, 30), (30, 1), (5, 5)])
def test_budget_of_the_jacobian(exact_backend, m, n):
    f = Counted(lambda x: np.ones((m, n)) @ (x * x))
    withjacobian(f, exact_backend.adtype, np.ones(n))
    assert f.calls <= 2


@pytest.mark.parametrize("name", ["hessian", "withhessian", "hvp", "pushforward", "hessian_reverse"])
def test_budget_of_second_order(name):
    f = Counted(lambda x: np.sum(x**3))
    CALLS[name](f, (AutoTape(),), np.ones(10))
    assert f.calls == 1


def test_budget_of_derivatives():
    f = Counted(np.sin)
    derivative(f, AutoTape(), 1.0)
    assert f.calls == 1
    f = Counted(np.sin)
    second_derivative(f, AutoTape(), 1.0)
    assert f.calls == 1


# -- errors of f keep their kind -------------------------------------------------------------------------------------


@every_operator
def test_errors_of_f_come_through(exact_backend, name):
    class MineError(ValueError):
        pass

    def f(x):
        raise MineError("from f")

    with pytest.raises(MineError, match="from f"):
        call(name, f, exact_backend.adtype)


def test_no_arguments():
    for call in (lambda: gradient(lambda: 1.0), lambda: gradient(lambda x: x), lambda: gradient(square, x=X)):
        with pytest.raises(ADSelectTypeError, match="without a positional argument"):
            call()


@pytest.mark.parametrize("name", ["gradient", "hessian", "jacobian"])
def test_operators_inside_f_take_other_adtypes(name):
    inner = {
        "gradient": lambda a, x: np.sum(gradient(square, a, x)[0]),
        "hessian": lambda a, x: np.sum(hessian(lambda t: np.sum(t**3), a, x)),
        "jacobian": lambda a, x: np.sum(jacobian(lambda t: t**2, a, x)[0]),
    }[name]
    right = {"gradient": 2.0, "hessian": 6.0, "jacobian": 2.0}[name]
    for outer in (AutoTape(), AutoForward()):
        for adtype in (AutoTape(), AutoForward()):
            (grad,) = gradient(lambda x, adtype=adtype: inner(adtype, x), outer, X)
            np.testing.assert_allclose(grad, np.full(3, right))


# -- tangents of what is no array --------------------------------------------------------------------------------------


class Wave:
    def __init__(self, w):
        self.w = w

    def at(self, x):
        return np.sin(self.w * x)


class Narrow:
    __slots__ = ("w",)

    def __init__(self, w):
        self.w = w


def closure_over(a):
    return lambda x: np.sin(a * x)


STRUCTURED = {
    "closure": (lambda f, x: f(x), closure_over(1.5), lambda f: ad.Tangent[type(f)](a=1.0)),
    "partial": (
        lambda f, x: f(x),
        functools.partial(lambda a, x: np.sin(a * x), 1.5),
        lambda f: ad.Tangent[functools.partial](args=(1.0,)),
    ),
    "method": (lambda f, x: f(x), Wave(1.5).at, lambda f: ad.Tangent[Wave](w=1.0)),
    "object": (lambda o, x: o.at(x), Wave(1.5), lambda o: ad.Tangent[Wave](w=1.0)),
    "object, dict": (lambda o, x: o.at(x), Wave(1.5), lambda o: {"w": 1.0}),
    "object, object": (lambda o, x: o.at(x), Wave(1.5), lambda o: Wave(1.0)),
    "slots": (lambda o, x: np.sin(o.w * x), Narrow(1.5), lambda o: ad.Tangent[Narrow](w=1.0)),
    "object array": (lambda o, x: np.sin(o[0] * x), np.array([1.5, "text"], object), lambda o: [1.0, None]),
    "list, array": (lambda o, x: np.sin(o[0] * x), [1.5, 2.0], lambda o: np.array([1.0, 0.0])),
    "thunk": (lambda o, x: np.sin(o * x), 1.5, lambda o: ad.Thunk(lambda: 1.0)),
}


@pytest.mark.parametrize("kind", STRUCTURED)
def test_tangents_of_structured_arguments(kind, exact_backend):
    f, value, tangent = STRUCTURED[kind]
    _, y_dot = pushforward(f, exact_backend.adtype, (value, X), (tangent(value), None))
    np.testing.assert_allclose(y_dot, X * np.cos(1.5 * X))


def test_a_tangent_without_a_place_is_an_error():
    with pytest.raises(ADSelectValueError, match="no numbers"):
        pushforward(lambda f, x: f(x), (np.sin, X), (ad.Tangent[type(np.sin)](a=1.0), None))
    with pytest.raises(ADSelectValueError, match="the value is a dict"):
        pushforward(lambda d: d["a"], ({"a": 1.0},), ([1.0],))
    with pytest.raises(ADSelectValueError, match="2 entries"):
        pushforward(lambda v: v[0], ([1.0, 2.0],), ([1.0],))
