"""Structured arguments: leaves and skeletons, objects, sharing, cycles, projection."""

from __future__ import annotations

import enum
import functools
import warnings
from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass
from fractions import Fraction
from types import SimpleNamespace

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import adselect as ad
from adselect import Const, Tangent, gradient, project_to
from adselect.structure.flattening import flatten, map_leaves
from adselect.structure.leaves import is_leaf
from adselect.values.natives import is_native, to_numpy

Pair = namedtuple("Pair", "a b")


@dataclass
class Point:
    x: object
    y: object = 0.0
    label: str = "p"


@dataclass(frozen=True)
class Frozen:
    x: float
    tags: tuple = ("a",)


@dataclass(slots=True)
class Slotted:
    x: float
    y: float


@attrs.define
class Attrs:
    x: float
    y: np.ndarray = attrs.field(factory=lambda: np.ones(2))


@attrs.frozen
class AttrsFrozen:
    x: float


class Plain:
    def __init__(self, w):
        self.w = w
        self._hidden = 2.0

    def __call__(self, x):
        return self.w * x + self._hidden

    def method(self, x):
        return self.w * x


class Derived(Plain):
    __slots__ = ("extra",)

    def __init__(self, w, extra):
        super().__init__(w)
        self.extra = extra


class Strict:
    """An object whose __init__ and __setattr__ must not be called again."""

    def __init__(self, w):
        object.__setattr__(self, "w", w)

    def __setattr__(self, name, value):
        raise AttributeError("immutable")


class WithProperty:
    def __init__(self):
        self.base = 2.0

    @property
    def doubled(self):
        return 2 * self.base


class Colour(enum.IntEnum):
    RED = 1


W = np.array([1.0, 2.0])


# -- leaves ----------------------------------------------------------------------------------------------------------

LEAVES = [
    1.0,
    2,
    1j,
    Fraction(1, 2),
    np.float32(1),
    np.int64(1),
    np.complex64(1),
    W,
    W.astype(int),
    W + 1j,
    np.zeros(0),
    np.array(1.0),
]
OTHERS = [
    True,
    np.bool_(True),
    None,
    "s",
    b"b",
    np.array([True]),
    np.array(["a"]),
    np.array([None]),
    len,
    object(),
    Colour.RED,
    (1.0).__class__,
]


@pytest.mark.parametrize("value", LEAVES, ids=repr)
def test_leaves(value):
    assert is_leaf(value)
    leaves, skeleton = flatten((value,))
    assert leaves[0] is value
    assert skeleton.result([5.0]) == (5.0,)


@pytest.mark.parametrize("value", OTHERS, ids=lambda v: type(v).__name__)
def test_what_is_no_leaf(value):
    assert not is_leaf(value)
    leaves, skeleton = flatten((value,))
    assert leaves == []
    assert skeleton.rebuild([])[0] is value


def test_nothing_native_without_a_framework():
    assert not is_native(W)
    assert to_numpy(W) is W


# -- round trips -----------------------------------------------------------------------------------------------------

values = st.recursive(
    st.one_of(st.floats(-10, 10), st.integers(-5, 5), st.booleans(), st.none(), st.text(max_size=3), st.just(W)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.text(max_size=2), inner, max_size=3),
        st.builds(Point, inner, inner),
        st.builds(Pair, inner, inner),
    ),
    max_leaves=12,
)


def same(a, b):
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return type(a) is type(b) and np.array_equal(a, b)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return type(a) is type(b) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, Point):
        return isinstance(b, Point) and same(vars(a), vars(b))
    return type(a) is type(b) and a == b


@given(values)
@settings(max_examples=150, deadline=None)
def test_rebuilding_gives_the_value_back(value):
    leaves, skeleton = flatten((value, 1.0))
    assert same(skeleton.rebuild(leaves)[0], value)
    assert len(skeleton.paths) == len(leaves)
    assert len(set(skeleton.paths)) == len(leaves)


@given(values)
@settings(max_examples=100, deadline=None)
def test_the_gradient_of_the_sum_of_leaves_is_one_everywhere(value):
    def total(v, one):
        return sum((np.sum(leaf) for leaf in flatten((v,))[0]), 0.0) + one

    grads = gradient(total, ad.AutoTape(), value, 1.0)  # named, since value may be None
    assert grads[1] == 1.0
    for leaf in flatten((grads[0],))[0]:
        np.testing.assert_array_equal(leaf, np.ones(np.shape(leaf)))
    assert len(flatten((grads[0],))[0]) == len(flatten((value,))[0])


def test_paths_are_what_one_types():
    value = {"layers": [Point(W, (1.0,)), {"b": 2.0}], 3: Pair(1.0, np.array([1.0, None], dtype=object))}
    _, skeleton = flatten((0.5, value))
    assert skeleton.paths == [
        "args[0]",
        "args[1]['layers'][0].x",
        "args[1]['layers'][0].y[0]",
        "args[1]['layers'][1]['b']",
        "args[1][3].a" if "args[1][3].a" in skeleton.paths else "args[1][3][0]",
        "args[1][3].b[0]" if "args[1][3].b[0]" in skeleton.paths else "args[1][3][1][0]",
    ]


def test_map_leaves():
    assert map_leaves(lambda v: 2 * v, {"a": 1.0, "b": (2.0, "s")}) == {"a": 2.0, "b": (4.0, "s")}


# -- containers ------------------------------------------------------------------------------------------------------


def test_containers_keep_their_kind(exact_backend):
    adtype = exact_backend.adtype
    assert gradient(lambda v: v[0] * v[1], adtype, (2.0, 3.0)) == ((3.0, 2.0),)
    assert gradient(lambda v: v[0] * v[1], adtype, [2.0, 3.0]) == ([3.0, 2.0],)
    assert gradient(lambda v: v["a"] * 2, adtype, {"a": 1.0, "b": 2.0, "c": "s"}) == ({"a": 2.0, "b": None, "c": None},)
    (grad,) = gradient(lambda v: v.a * v.b, adtype, Pair(2.0, 3.0))
    assert type(grad) is Pair
    assert grad == Pair(3.0, 2.0)
    assert gradient(lambda v: 1.0, adtype, ()) == ((),)
    assert gradient(lambda v: 1.0, adtype, {}) == ({},)
    assert gradient(lambda v, x: x, adtype, [], 1.0) == ([], 1.0)


def test_f_receives_the_same_kinds(exact_backend):
    seen = []

    def f(v):
        seen.append(v)
        return v["pair"].a * v["list"][0] * v["ordered"]["k"]

    value = {
        "pair": Pair(1.0, 2.0),
        "list": [3.0],
        "ordered": OrderedDict(k=2.0),
        "default": defaultdict(list, q=[1.0]),
    }
    (grad,) = gradient(f, exact_backend.adtype, value)
    assert type(seen[0]["pair"]) is Pair
    assert type(seen[0]["ordered"]) is OrderedDict
    assert type(seen[0]["default"]) is defaultdict
    assert seen[0]["default"]["missing"] == []
    assert grad["ordered"] == {"k": 3.0}
    assert grad["default"] == {"q": [None]}


def test_f_may_change_the_containers_it_receives(exact_backend):
    value = {"a": [1.0, 2.0]}

    def f(v):
        v["a"].append(v["a"][0] * 5)
        v["new"] = v["a"].pop()
        return v["new"] * v["a"][1]

    assert gradient(f, exact_backend.adtype, value) == ({"a": [10.0, 5.0]},)
    assert value == {"a": [1.0, 2.0]}


def test_object_arrays_are_containers():
    value = np.array([1.0, "s", 3.0], dtype=object)
    (grad,) = gradient(lambda v: v[0] * v[2], value)
    assert list(grad) == [3.0, None, 1.0]


# -- objects ---------------------------------------------------------------------------------------------------------

OBJECTS = {
    "dataclass": (Point(2.0, W), lambda o: o.x * np.sum(o.y), {"x": 3.0, "y": [2.0, 2.0], "label": None}),
    "frozen dataclass": (Frozen(3.0), lambda o: o.x**2, {"x": 6.0, "tags": (None,)}),
    "slots": (Slotted(2.0, 3.0), lambda o: o.x * o.y, {"x": 3.0, "y": 2.0}),
    "attrs": (Attrs(2.0), lambda o: o.x * np.sum(o.y), {"x": 2.0, "y": [2.0, 2.0]}),
    "frozen attrs": (AttrsFrozen(2.0), lambda o: o.x**3, {"x": 12.0}),
    "plain class": (Plain(2.0), lambda o: o(3.0), {"w": 3.0, "_hidden": 1.0}),
    "class with dict and slots": (
        Derived(2.0, 5.0),
        lambda o: o(3.0) * o.extra,
        {"w": 15.0, "_hidden": 5.0, "extra": 8.0},
    ),
    "immutable class": (Strict(2.0), lambda o: o.w**2, {"w": 4.0}),
    "property": (WithProperty(), lambda o: o.doubled**2, {"base": 16.0}),
    "namespace": (SimpleNamespace(a=2.0, b="s"), lambda o: o.a**2, {"a": 4.0, "b": None}),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_objects(exact_backend, name):
    value, f, right = OBJECTS[name]
    (grad,) = gradient(f, exact_backend.adtype, value)
    assert isinstance(grad, Tangent)
    assert set(grad) == set(right)
    for key, expected in right.items():
        got = grad[key]
        if isinstance(expected, list):
            np.testing.assert_allclose(got, expected)
        else:
            assert got == pytest.approx(expected) if isinstance(expected, float) else got == expected
        assert getattr(grad, key) is got


def test_models_methods_partials_and_closures(exact_backend):
    adtype, model = exact_backend.adtype, Plain(2.0)
    assert gradient(lambda m, x: m(x), adtype, model, 3.0)[0].w == 3.0
    assert gradient(lambda m, x: m(x), adtype, model.method, 3.0)[0].w == 3.0
    partial = functools.partial(model, 3.0)
    (grad,) = gradient(lambda m: m(), adtype, partial)
    assert grad.func.w == 3.0
    assert grad.args == (2.0,)

    def make(a, b):
        return lambda x: a * x + b["c"]

    (grad, gx) = gradient(lambda g, x: g(x), adtype, make(2.0, {"c": 1.0}), 3.0)
    assert (grad.a, grad.b, gx) == (3.0, {"c": 1.0}, 2.0)


def test_modules_functions_and_types_have_no_derivative(exact_backend):
    for value in (
        np,
        len,
        np.sin,
        Point,
        test_objects,
        lambda x: x,
        iter([1.0]),
        {1.0},
        range(3),
        ValueError("e"),
    ):
        assert gradient(lambda x, v: x * 2, exact_backend.adtype, 1.0, value) == (2.0, None)


def test_the_object_itself_is_not_changed(exact_backend):
    value = Point(2.0, W.copy())

    def f(p):
        p.x = p.x * 2
        p.extra = 1.0
        p.y[0] = 0.0
        return p.x * np.sum(p.y)

    gradient(f, exact_backend.adtype, value)
    assert vars(value).keys() == {"x", "y", "label"}
    assert value.x == 2.0
    assert value.y.tolist() == W.tolist()


def test_private_slots():
    class Private:
        __slots__ = ("__w",)

        def __init__(self, w):
            self.__w = w

        def value(self):
            return self.__w**2

    (grad,) = gradient(lambda p: p.value(), Private(3.0))
    assert list(grad.values()) == [6.0]


# -- sharing and cycles ----------------------------------------------------------------------------------------------


def test_an_object_reached_twice_has_one_gradient(exact_backend):
    shared = Point(2.0)
    for value in ([shared, shared], (shared, shared), {"a": shared, "b": shared}, Point(shared, shared)):
        get = (
            (lambda v: (v.x, v.y))
            if isinstance(value, Point)
            else (lambda v: tuple(v.values()) if isinstance(v, dict) else tuple(v))
        )

        def f(v, get=get):
            first, second = get(v)
            assert first is second
            return first.x * second.x

        (grad,) = gradient(f, exact_backend.adtype, value)
        first, second = get(grad) if not isinstance(grad, Tangent) else (grad.x, grad.y)
        assert first is second
        assert first.x == 4.0


def test_an_object_given_as_two_arguments():
    shared = Point(3.0)
    a, b = gradient(lambda p, q: p.x * q.x, shared, shared)
    assert a.x == b.x == 6.0


def test_shared_lists():
    inner = [2.0]
    (grad,) = gradient(lambda v: v[0][0] * v[1][0], [inner, inner])
    assert grad == [[4.0], [4.0]]
    assert grad[0] is grad[1]


def test_cycles_terminate(exact_backend):
    a = Point(2.0)
    a.y = a
    (grad,) = gradient(lambda p: p.x * p.y.x * p.y.y.x, exact_backend.adtype, a)
    assert grad.x == pytest.approx(12.0)
    assert grad.y is grad
    assert "…" in repr(grad)
    loop = [1.0]
    loop.append(loop)
    (grad,) = gradient(lambda v: v[1][1][0] ** 2, exact_backend.adtype, loop)
    assert grad[0] == 2.0
    assert grad[1] is grad
    book = {"x": 3.0}
    book["self"] = book
    (grad,) = gradient(lambda v: v["self"]["x"] ** 2, exact_backend.adtype, book)
    assert grad["x"] == 6.0


def test_a_recursive_closure_terminates():
    def make(w):
        def power(n):
            return 1.0 if n == 0 else w * power(n - 1)

        return power

    (grad,) = gradient(lambda g: g(3), make(2.0))
    assert grad.w == 12.0


def test_deep_nesting():
    value = 1.0
    for _ in range(200):
        value = [value]

    def f(v):
        while isinstance(v, list):
            v = v[0]
        return v * 3

    (grad,) = gradient(f, value)
    assert f(grad) == 9.0


def test_const_inside_a_call():
    leaves, skeleton = flatten((Const({"a": 1.0}), 2.0))
    assert leaves == [2.0]
    assert skeleton.rebuild([5.0])[0] == {"a": 1.0}
    assert skeleton.result([7.0]) == (None, 7.0)


# -- projection ------------------------------------------------------------------------------------------------------


def test_project_to():
    assert project_to(1.0)(2.5 + 1j) == 2.5
    assert type(project_to(1)(np.float64(2.5))) is float
    assert project_to(np.zeros(2, np.float32))(np.ones(2)).dtype == np.float32
    assert project_to(np.zeros(2, int))(np.ones(2)).dtype == np.float64
    assert project_to(W)(W + 1j).dtype == np.float64
    assert project_to(W + 1j)(W).dtype == np.complex128
    assert project_to(np.zeros((2, 1)))(W).shape == (2, 1)
    assert project_to(Fraction(1, 2))(0.25) == Fraction(1, 4)
    assert project_to("text")(1.0) is ad.NoTangent()
    assert project_to(W)(None) is None
    assert project_to(W)(ad.ZeroTangent()) is ad.ZeroTangent()
    assert project_to({"a": 1.0, "b": W})({"a": 1 + 1j, "b": W})["a"] == 1.0
    assert "project_to" in repr(project_to(1.0))
    with pytest.raises(TypeError, match="cannot be projected"):
        project_to(W)(np.ones(3))


@pytest.mark.parametrize(
    "x",
    [np.float32(2), np.array([2], np.float32), np.array(2.0), np.array([1 + 1j]), 2, 2.0, np.array([2, 3])],
    ids=repr,
)
def test_gradients_live_in_their_arguments_space(exact_backend, x):
    (grad,) = gradient(lambda t: np.sum(np.abs(t * t)), exact_backend.adtype, x)
    assert np.shape(grad) == np.shape(x)
    wanted = np.result_type(x)
    assert np.result_type(grad) == (np.float64 if wanted.kind == "i" else wanted)
    assert isinstance(grad, np.ndarray) == isinstance(x, np.ndarray)


def test_subclasses_of_ndarray():
    class Tagged(np.ndarray):
        pass

    x = np.array([1.0, 2.0]).view(Tagged)
    (grad,) = gradient(lambda t: np.sum(t * t), x)
    assert grad.tolist() == [2.0, 4.0]


def test_ndarrays_whose_operators_mean_something_else_are_refused(backend):
    """Masked arrays and matrices would be differentiated as if they were plain arrays."""
    for x in (np.ma.masked_array([1.0, 2.0, 3.0], mask=[False, True, False]), np.ma.masked_array([1.0, 2.0])):
        with pytest.raises(ad.ADSelectError, match="mask"):
            gradient(lambda t: np.sum(t * t), backend.adtype, x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        matrix = np.matrix([[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(ad.ADSelectError, match="matrix"):
        gradient(lambda t: np.sum(t * t), backend.adtype, matrix)


def test_dtypes_of_other_libraries_are_refused(backend):
    """bfloat16 is no float to NumPy: it must not count as something that has no derivative."""
    dtype = pytest.importorskip("ml_dtypes").bfloat16
    x = np.ones(3, dtype)
    for value, path in ((x, r"args\[0\]"), (x[0], r"args\[0\]"), ({"w": x}, r"args\[0\]\['w'\]")):
        with pytest.raises(ad.ADSelectError, match=rf"{path} has dtype bfloat16.*astype\(np.float32\)"):
            gradient(lambda t: 1.0, backend.adtype, value)
    found = gradient(lambda t, c: np.sum(t * c.astype(np.float32)), backend.adtype, np.ones(3), ad.Const(x))
    np.testing.assert_allclose(found[0], 1.0, rtol=1e-6)
