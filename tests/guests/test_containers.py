"""Python's other containers as arguments: entered, with a gradient of the same kind, or refused with what to pass."""

from __future__ import annotations

import array
import types
import warnings
from collections import ChainMap, UserDict, UserList, deque

import numpy as np
import pytest
from conftest import guest

from adselect import Const, gradient, jacobian, pullback
from adselect.errors import ADSelectTypeError, ADSelectValueError

V = np.array([1.0, 2.0])


class Stack(UserList):
    pass


ENTERED = {
    "deque": (deque([1.0, 2.0, "a"], maxlen=5), lambda d: d[0] * d[1], deque([2.0, 1.0, None])),
    "deque of arrays": (deque([V, 3.0]), lambda d: np.sum(d.popleft()) * d[0], None),
    "UserList": (UserList([1.0, 2.0]), lambda d: d[0] * d[-1], UserList([2.0, 1.0])),
    "a subclass": (Stack([1.0, 2.0]), lambda d: d[0] * d[-1], Stack([2.0, 1.0])),
    "UserDict": (UserDict(a=1.0, b=2.0, c="text"), lambda d: d["a"] * d["b"], UserDict(a=2.0, b=1.0, c=None)),
    "mapping proxy": (
        types.MappingProxyType({"a": 1.0, "b": 2.0}),
        lambda d: d["a"] * d["b"],
        types.MappingProxyType({"a": 2.0, "b": 1.0}),
    ),
    "ChainMap": (
        ChainMap({"a": 1.0}, {"a": 5.0, "b": 2.0}),
        lambda d: d["a"] * d["b"],
        ChainMap({"a": 2.0}, {"b": 1.0}),
    ),
}


@pytest.mark.parametrize("name", ENTERED)
@pytest.mark.parametrize("times", [1, 2])
def test_entered(exact_backend, name, times):
    value, f, wanted = ENTERED[name]
    for _ in range(times):  # what is known of a class after the first time leads to the same
        (grad,) = gradient(f, exact_backend.adtype, value)
    assert type(grad) is type(value)
    if wanted is None:
        np.testing.assert_allclose(grad[0], [3.0, 3.0])
        assert grad[1] == 3.0
    else:
        assert grad == wanted
    if isinstance(value, deque):
        assert grad.maxlen == value.maxlen
        assert len(value) in (2, 3)  # f took from one of its own


def test_inside_other_structures(exact_backend):
    value = {"d": deque([1.0, UserDict(x=V)]), "n": 3}
    (grad,) = gradient(lambda v: v["d"][0] * np.sum(v["d"][1]["x"]) * v["n"], exact_backend.adtype, value)
    assert grad["d"][0] == 9.0
    np.testing.assert_allclose(grad["d"][1]["x"], [3.0, 3.0])


def test_as_results_and_seeds(exact_backend):
    y, back = pullback(lambda x: deque([x * 2, {"s": np.sum(x)}]), exact_backend.adtype, V)
    assert type(y) is deque
    np.testing.assert_allclose(y[0], 2 * V)
    np.testing.assert_allclose(back(deque([np.array([1.0, 0.0]), {"s": 10.0}]))[0], [12.0, 10.0])
    with pytest.raises(ADSelectValueError, match="deque"):
        back(3.0)


def records():
    return np.zeros(2, dtype=[("a", float), ("b", int)])


def matrix():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return np.matrix(V)


REFUSED = {
    "array.array": (lambda: array.array("d", V), r"args\[0\] is an array\.array.*np\.asarray\(args\[0\]\)"),
    "memoryview": (lambda: memoryview(V), r"args\[0\] is a memoryview.*np\.asarray\(args\[0\]\)"),
    "dict values": (lambda: {"a": 1.0}.values(), r"dict_values.*list\(args\[0\]\)"),
    "np.matrix": (matrix, r"an np\.matrix.*np\.asarray\(args\[0\]\)"),
    "masked": (lambda: np.ma.array(V), r"a masked array.*np\.ma\.filled\(args\[0\], 0\.0\)"),
    "masked booleans": (lambda: np.ma.array([True, False]), "a masked array"),
    "structured": (records, r"a structured array.*args\[0\]\['a'\]"),
    "records": (lambda: records().view(np.recarray), r"a record array.*args\[0\]\['a'\]"),
    "a record": (lambda: records()[0], r"a record.*args\[0\]\['a'\]"),
    "pandas Index": (lambda: guest("pandas").Index(V), r"a pandas Index.*args\[0\]\.to_numpy\(\)"),
    "pandas array": (lambda: guest("pandas").array(V), r"of pandas.*args\[0\]\.to_numpy\(\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_what_to_pass(backend, name):
    make, text = REFUSED[name]
    for _ in range(2):
        with pytest.raises(ADSelectTypeError, match=text):
            gradient(lambda v: 1.0, backend.adtype, make())
        with pytest.raises(ADSelectTypeError, match=r"args\[0\]\['w'\]"):
            gradient(lambda v: 1.0, backend.adtype, {"w": make()})
    assert gradient(lambda x, v: x * 2, backend.adtype, 1.0, Const(make()))[1] is None


def test_what_is_not_numeric_passes(exact_backend):
    for value in (array.array("b", b"text"), {"a": "b"}.values(), {1.0, 2.0}, deque(), memoryview(b"bytes")):
        found = gradient(lambda x, v: x * 2, exact_backend.adtype, 1.0, value)
        assert found[0] == 2.0
        assert not found[1]


def test_objects_that_numpy_makes_arrays_of(exact_backend):
    class Table:
        __slots__ = ()
        __module__ = "matplotlib.elsewhere"  # a closed package

        def __array__(self, dtype=None, copy=None):
            return np.array(V)

    with pytest.raises(ADSelectTypeError, match=r"which NumPy turns into an array. Pass np\.asarray\(args\[0\]\)"):
        gradient(lambda v: 1.0, exact_backend.adtype, Table())


def test_jacobian_does_not_pass_them_over(exact_backend):
    with pytest.raises(ADSelectTypeError, match=r"args\[0\] is a deque"):
        jacobian(lambda v: V, exact_backend.adtype, deque([1.0]))
