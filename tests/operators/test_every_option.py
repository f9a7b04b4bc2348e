"""Every operator with every option, on the tape, JAX and torch, prepared and not: one table, and what is not in it."""

from __future__ import annotations

import functools
import inspect
import pickle

import numpy as np
import pytest
from conftest import BACKENDS, present

import adselect as ad
from adselect import Const
from adselect.calls.operator_facts import OPERATORS, facts_of
from adselect.errors import ADSelectTypeError, ADSelectValueError

X, V = np.array([0.3, 0.9, -0.4]), np.array([1.0, 0.0, 2.0])
OURS = sorted(name for name, function in OPERATORS.items() if function.__module__.startswith("adselect."))
CHOSEN = [b for b in BACKENDS if b.name in ("tape", "jax", "torch")]
OPTIONS = ("adtype", "missing", "out", "check", "check_finite")


def f(x):
    return np.sum(np.sin(x) ** 2) if np.ndim(x) else np.sin(x) ** 2


def broken(x):
    """NaN in value and derivatives for what is negative."""
    return np.sum(np.sqrt(x)) if np.ndim(x) else np.sqrt(x)


def operands(name):
    if "derivative" in name:
        return (0.7,)
    return {"arguments": (X,), "points, directions": ((X,), (V,)), "point, direction": (X, V)}[
        facts_of(OPERATORS[name]).takes
    ]


def numbers(result):
    """The derivative in a result."""
    while isinstance(result, tuple):
        result = result[-1]
    return numbers(result(1.0)) if callable(result) else np.asarray(result)


@pytest.fixture(params=CHOSEN, ids=lambda b: b.name)
def chosen(request):
    return present(request.param).adtype


@pytest.fixture(params=[False, True], ids=["plain", "prepared"])
def called(request, chosen):
    """Calls an operator with options: as it is, or prepared with the options in the call and in the preparation."""
    if not request.param:
        return lambda name, f, args, **options: [OPERATORS[name](f, chosen, *args, **options)]

    def both(name, f, args, **options):
        first = ad.prepare(OPERATORS[name], f, chosen, *args)
        results = [first(*args, **options)]
        if "out" not in options:
            with_options = ad.prepare(OPERATORS[name], f, chosen, *args, **options)
            results += [with_options(*args), with_options(*args)]
        return results

    return both


@pytest.mark.parametrize("name", OURS)
def test_every_operator_has_every_option(name):
    parameters = inspect.signature(OPERATORS[name]).parameters
    assert [p for p in OPTIONS if p not in parameters] == []


@pytest.mark.parametrize("name", OURS)
def test_missing_check_and_check_finite_change_nothing_where_all_is_well(name, called):
    args = operands(name)
    wanted = numbers(OPERATORS[name](f, ad.AutoTape(), *args))
    for options in ({"missing": "zeros"}, {"check": True}, {"check_finite": True}, {"check": False}):
        for result in called(name, f, args, **options):
            np.testing.assert_allclose(numbers(result), wanted, rtol=1e-10, atol=1e-12)
            assert facts_of(OPERATORS[name]).with_value == isinstance(result, tuple) or len(result) == 1


@pytest.mark.parametrize("name", OURS)
def test_adtype_by_name(name, chosen):
    args = operands(name)
    wanted = numbers(OPERATORS[name](f, ad.AutoTape(), *args))
    np.testing.assert_allclose(numbers(OPERATORS[name](f, *args, adtype=chosen)), wanted, rtol=1e-10)
    np.testing.assert_allclose(numbers(ad.prepare(OPERATORS[name], f, *args, adtype=chosen)(*args)), wanted, rtol=1e-10)


@pytest.mark.parametrize("name", OURS)
def test_out(name, called):
    args = operands(name)
    reference = OPERATORS[name](f, ad.AutoTape(), *args)
    wanted, without = numbers(reference), facts_of(OPERATORS[name]).without_out
    out = np.full(wanted.shape, 7.0)
    if without:
        with pytest.raises(ADSelectTypeError, match=f"{name} takes no out="):
            called(name, f, args, out=out)
        return
    for result in called(name, f, args, out=out):  # a bare array, where there is one argument
        derivative = result[-1] if facts_of(OPERATORS[name]).with_value else result
        assert derivative is out
        np.testing.assert_allclose(out, wanted, rtol=1e-10, atol=1e-12)
    if isinstance(reference, tuple) and not facts_of(OPERATORS[name]).with_value:
        whole = (np.full(wanted.shape, 7.0),)
        for result in called(name, f, args, out=whole):
            assert result is whole
            np.testing.assert_allclose(whole[0], wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", OURS)
def test_missing(name, called):
    constant = lambda x: 3.0
    args = operands(name)
    zeros = np.zeros(np.shape(numbers(OPERATORS[name](f, ad.AutoTape(), *args))))
    for result in called(name, constant, args, missing="zeros"):
        np.testing.assert_array_equal(numbers(result), zeros)
    for result in called(name, constant, args):
        found = numbers(result)
        if name in ("gradient", "withgradient", "pullback"):
            assert found[()] is None
        else:
            np.testing.assert_array_equal(found, zeros)


@pytest.mark.parametrize("name", OURS)
def test_missing_error(name, chosen):
    args = operands(name)
    call = functools.partial(OPERATORS[name], lambda x: 3.0, chosen, *args, missing="error")
    if name == "pullback":
        with pytest.raises(ADSelectValueError, match=r"does not depend on args\[0\]"):
            call()[1](1.0)
        return
    with pytest.raises(ADSelectValueError, match=r"missing='error'|does not depend"):
        call()
    with pytest.raises(ADSelectValueError, match="missing must be"):
        OPERATORS[name](f, chosen, *args, missing="some")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OURS)
def test_check_finite(name, called):
    args = (-0.7,) if "derivative" in name else operands(name)
    with np.errstate(all="ignore"):
        with pytest.raises(
            ad.NonFiniteError, match=rf"{name}\(…, check_finite=True\) at .*test_every_option.py"
        ) as error:
            called(name, broken, args, check_finite=True)
        called(name, broken, args)  # without it a NaN is an answer
    assert isinstance(error.value, ArithmeticError)
    assert error.value.operation == "sqrt"
    assert error.value.source == "return np.sum(np.sqrt(x)) if np.ndim(x) else np.sqrt(x)"
    assert error.value.phase == "value"


@pytest.mark.parametrize("option", ["check", "check_finite"])
@pytest.mark.parametrize("name", OURS)
def test_looks_are_true_or_false(name, option, chosen):
    with pytest.raises(ADSelectTypeError, match=f"{option}= is True or False, not 'yes'"):
        OPERATORS[name](f, chosen, *operands(name), **{option: "yes"})
    with pytest.raises(ADSelectTypeError, match=f"{option}= is True or False, not 3"):
        ad.prepare(OPERATORS[name], f, chosen, *operands(name))(*operands(name), **{option: 3})


@pytest.mark.parametrize("name", OURS)
def test_check_finds_another_value(name, chosen):
    def other(x):
        y = x**2 if ad.is_traced(x) else x**3
        return np.sum(y) if np.ndim(x) else y

    with pytest.raises(ADSelectValueError, match="when called plainly"):
        OPERATORS[name](other, chosen, *operands(name), check=True)
    with pytest.raises(ADSelectValueError, match="when called plainly"):
        ad.prepare(OPERATORS[name], other, chosen, *operands(name))(*operands(name), check=True)


# -- check_finite ----------------------------------------------------------------------------------------------------


def first_line(function):
    return inspect.getsourcelines(function)[1]


def with_a_singular_slope(x):
    harmless = np.where(x > 0, np.log(np.abs(x)), 0.0)
    root = np.sqrt(x[1] - 2.0)
    return np.sum(harmless) + root


def with_an_overflow(x):
    large = np.exp(800 * x)
    twice = 2 * large
    return np.sum(twice)


@pytest.mark.parametrize("prepared", [False, True])
def test_the_birth_is_found(chosen, prepared):
    def call(f, x):
        if prepared:
            return ad.prepare(ad.gradient, f, chosen, x, check_finite=True)(x)
        return ad.gradient(f, chosen, x, check_finite=True)

    with np.errstate(all="ignore"):
        with pytest.raises(ad.NonFiniteError, match=r"the derivative of np\.sqrt at .*slope is not") as error:
            call(with_a_singular_slope, np.array([0.0, 2.0]))
        assert error.value.line == first_line(with_a_singular_slope) + 2
        assert (error.value.operation, error.value.phase) == ("sqrt", "cotangent")
        assert "1 of 2 entries that are not finite, the first, [1], is inf" in str(error.value)
        with pytest.raises(ad.NonFiniteError, match=r"the value of f is inf.*np\.exp at") as error:
            call(with_an_overflow, np.array([0.1, 1.0]))
        assert error.value.line == first_line(with_an_overflow) + 1
        assert error.value.source == "large = np.exp(800 * x)"


def test_a_branch_that_is_not_taken_is_no_error(exact_backend):
    x = np.array([0.0, 4.0])
    f = lambda x: np.sum(np.where(x > 0, np.sqrt(x), 0.0))
    with np.errstate(all="ignore"):
        (found,) = ad.gradient(f, exact_backend.adtype, x, check_finite=True)
        np.testing.assert_array_equal(found, [0.0, 0.25])
        ready = ad.prepare(ad.gradient, f, exact_backend.adtype, x, check_finite=True)
        np.testing.assert_array_equal(ready(x)[0], [0.0, 0.25])


def test_places_in_structures(exact_backend):
    f = lambda m, n: np.sum(m["a"] ** 2) + np.sqrt(m["b"][1]) + n
    with np.errstate(all="ignore"), pytest.raises(ad.NonFiniteError) as error:
        ad.gradient(f, exact_backend.adtype, {"a": np.ones(2), "b": (1.0, 0.0)}, 1.0, check_finite=True)
    assert error.value.path == "the derivative of args[0]['b'][1]"
    assert pickle.loads(pickle.dumps(error.value)).path == error.value.path
    ready = ad.prepare(ad.gradient, f, exact_backend.adtype, {"a": np.ones(2), "b": (1.0, 1.0)}, 1.0)
    with np.errstate(all="ignore"), pytest.raises(ad.NonFiniteError) as error:
        ready({"a": np.ones(2), "b": (1.0, 0.0)}, 1.0, check_finite=True)
    assert error.value.path == "the derivative of args[0]['b'][1]"
    d = ad.Duplicated({"a": np.ones(2), "b": (1.0, 0.0)})
    with np.errstate(all="ignore"), pytest.raises(ad.NonFiniteError) as error:
        ad.gradient(f, exact_backend.adtype, d, 1.0, check_finite=True)
    assert error.value.path == "the derivative of args[0]['b'][1]"


def test_what_is_not_finite_in_the_arguments_has_no_birth():
    with pytest.raises(ad.NonFiniteError, match="the value of f is nan") as error:
        ad.gradient(np.sum, np.array([1.0, np.nan]), check_finite=True)
    assert error.value.operation is None
    assert "locating" in str(error.value)


def test_finite_differences_and_frameworks_own_code():
    with np.errstate(all="ignore"):
        with pytest.raises(ad.NonFiniteError):
            ad.gradient(lambda x: np.log(x[0]), ad.AutoFiniteDifferences(), np.zeros(1), check_finite=True)
        torch = pytest.importorskip("torch")
        with pytest.raises(ad.NonFiniteError, match="locating the operation was not possible"):
            ad.gradient(lambda x: torch.sum(torch.log(x)), ad.AutoTorch(), torch.zeros(2), check_finite=True)


def test_f_is_evaluated_once_unless_there_is_something_to_find():
    calls = []
    ad.gradient(lambda x: calls.append(1) or np.sum(x**2), X, check_finite=True)
    assert len(calls) == 1


def test_an_outer_derivative_has_no_numbers_to_look_at(exact_backend):
    f = lambda t: np.sum(ad.gradient(lambda x: np.sum(x**3), exact_backend.adtype, t * X, check_finite=True)[0])
    np.testing.assert_allclose(ad.derivative(f, exact_backend.adtype, 2.0), np.sum(12.0 * X**2))


def test_pullbacks_look_at_each_result(exact_backend):
    _, back = ad.pullback(lambda x: x**2, exact_backend.adtype, X, check_finite=True)
    np.testing.assert_allclose(back(V)[0], 2 * X * V)
    with pytest.raises(ad.NonFiniteError, match=r"the derivative of args\[0\]"), np.errstate(all="ignore"):
        back(V * np.inf)


# -- out= for several arguments, with constants ----------------------------------------------------------------------


def test_out_of_several_arguments(chosen):
    out = (np.zeros(3), None, np.zeros(()))
    g = lambda x, c, t: np.sum(x * c) * t
    for call in (
        lambda: ad.gradient(g, chosen, X, Const(2.0), 3.0, out=out),
        lambda: ad.prepare(ad.gradient, g, chosen, X, Const(2.0), 3.0)(X, 2.0, 3.0, out=out),
    ):
        out[0][:] = 7.0
        assert call() is out
        np.testing.assert_allclose(out[0], 6.0)
        np.testing.assert_allclose(out[2], 2 * np.sum(X))
