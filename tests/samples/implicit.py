"""Functions without arguments, the arrays that they reach, and the gradients: one row a way of reaching an array.

Each sample makes everything anew: ``(f, arrays, gradients)``, a gradient for each array.
"""

from __future__ import annotations

import abc
import argparse
import collections
import contextlib
import dataclasses
import functools
import sys
import types
import weakref

import numpy as np

import adselect as ad

SAMPLES = {}
G = np.array([1.0, 2.0, 3.0])  # a parameter that is a global
HELD = [np.array([2.0, 3.0])]


def sample(make):
    SAMPLES[make.__name__] = make
    return make


def ones(*shape):
    return np.ones(shape or 2)


class Linear:
    """A layer as one writes it without a library."""

    def __init__(self, W, b):
        self.W, self.b = W, b

    def __call__(self, x):
        return self.W @ x + self.b

    def forward(self, x):
        return self(x)


X = np.array([1.0, -1.0, 2.0])


def a_layer():
    return Linear(np.arange(6.0).reshape(2, 3), np.array([0.5, -0.5]))


# -- functions ---------------------------------------------------------------------------------------------------------


@sample
def closures_and_defaults():
    W, b, c = np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([5.0, 6.0])

    def f(x=W, *, k=b):
        return np.sum(x * k * c)

    return f, [W, b, c], [b * c, W * c, W * b]


@sample
def globals_of_a_module():
    return lambda: np.sum(G**2) + np.sum(HELD[0] ** 3), [G, HELD[0]], [2 * G, 3 * HELD[0] ** 2]


def _calls_another():
    return _of_globals() * 2.0


def _of_globals():
    return np.sum(G**3)


@sample
def functions_that_call_functions():
    return _calls_another, [G], [6 * G**2]


@sample
def recursion():
    W = np.array([1.0, 2.0])

    def power(n):
        return np.sum(W) if n == 0 else power(n - 1) * W[0]

    return lambda: power(2), [W], [np.array([3 * W[0] ** 2 + 2 * W[0] * W[1], W[0] ** 2])]


@sample
def decorators():
    W = np.array([1.0, 2.0])

    def doubled(function):
        @functools.wraps(function)
        def wrapper(*args):
            return 2 * function(*args)

        return wrapper

    @doubled
    def h(x):
        return np.sum(W * x)

    return lambda: h(3.0), [W], [np.array([6.0, 6.0])]


@sample
def a_cache_is_looked_through():
    W = np.array([1.0, 2.0])

    @functools.lru_cache
    def power(k):
        return np.sum(W**k)

    power(2)
    W *= 2.0  # what the cache holds is old
    return lambda: power(2), [W], [2 * W]


@sample
def generators_and_comprehensions():
    Ws = [np.array([1.0, 2.0]), np.array([3.0])]

    def squares():
        for W in Ws:
            yield np.sum(W**2)

    return lambda: sum(squares()) + sum([np.sum(W) for W in Ws]), Ws, [2 * W + 1 for W in Ws]


@sample
def context_managers():
    W = ones()

    @contextlib.contextmanager
    def doubled():
        yield W * 2.0

    def f():
        with doubled() as w:
            return np.sum(w)

    return f, [W], [2 * ones()]


@sample
def single_dispatch():
    W = ones()

    @functools.singledispatch
    def scaled(x):
        return np.sum(W) * x

    return lambda: scaled(2), [W], [2 * ones()]


@sample
def partial_and_keywords():
    layer = a_layer()
    f = functools.partial(lambda m, x, k: np.sum(m(x)) * k, layer, x=X, k=2.0)
    return f, [layer.W, layer.b], [2 * np.stack([X, X]), 2 * ones()]


@sample
def nested_lambdas():
    W = ones()
    f = lambda: (lambda k: (lambda: np.sum(W) * k)())(3.0)
    return f, [W], [3 * ones()]


@sample
def methods_of_compiled_code():
    W = ones()
    total, product = W.sum, W.dot
    return lambda: 2 * total() + product(np.array([1.0, 3.0])), [W], [np.array([3.0, 5.0])]


@sample
def code_that_was_executed():
    names = {"np": np, "W": ones()}
    source = (
        "def f():\n    return np.sum(W**2) + eval('np.sum(W)') + np.sum(globals()['W']) + K().m()\n"
        "class K:\n    def m(self):\n        return np.sum(W)"
    )
    exec(source, names)
    return names["f"], [names["W"]], [5 * ones()]


@sample
def another_module():
    module = types.ModuleType("a_module_of_the_users")
    exec("import numpy as np\nW = np.ones(2)\ndef loss():\n    return np.sum(W**2)", vars(module))
    return lambda: module.loss() + np.sum(module.W), [module.W], [3 * ones()]


@sample
def imported_when_it_runs():
    module = sys.modules["a_module_of_the_users"] = types.ModuleType("a_module_of_the_users")
    exec("import numpy as np\nW = np.ones(2)\ndef loss():\n    return np.sum(W**2)", vars(module))

    def f():
        import a_module_of_the_users
        from a_module_of_the_users import loss

        return loss() + np.sum(a_module_of_the_users.W)

    return f, [module.W], [3 * ones()]


# -- objects -----------------------------------------------------------------------------------------------------------


@sample
def attributes():
    layer = a_layer()
    r = layer(X)
    return lambda: np.sum(layer.forward(X) ** 2), [layer.W, layer.b], [2 * np.outer(r, X), 2 * r]


@sample
def a_bound_method():
    layer = a_layer()

    class Model:
        def __init__(self):
            self.parts = {"first": [layer]}

        def loss(self):
            return np.sum(self.parts["first"][0](X))

    return Model().loss, [layer.W, layer.b], [np.stack([X, X]), ones()]


@sample
def a_callable_instance():
    layer = a_layer()

    class Loss:
        layers = (layer,)

        def __call__(self):
            return np.sum(self.layers[0](X))

    return Loss(), [layer.b], [ones()]


@sample
def attributes_of_a_class():
    class Base:
        W = np.array([1.0, 2.0])
        kept = (W,)

        @property
        def doubled(self):
            return self.W * 2

        @classmethod
        def tripled(cls):
            return cls.W * 3

        @staticmethod
        def fourfold():
            return Base.W * 4

        def total(self):
            return np.sum(self.doubled + self.tripled() + self.fourfold() + self.kept[0])

    class Derived(Base):
        def total(self):
            assert isinstance(self, Base)
            return super().total() * 2 + np.sum(self.W)

    return lambda: Derived().total(), [Base.W], [21 * ones()]


@sample
def the_class_of_a_method():
    class Model:
        W = ones()

        def total(self):
            return np.sum(__class__.W) + self.more()

        def more(self):
            return 0.0 * len(super().__repr__())

    return Model().total, [Model.W], [ones()]


@sample
def methods_that_read_globals():
    class Base(abc.ABC):
        @abc.abstractmethod
        def value(self): ...

        def __call__(self):
            return np.sum(G)

    class Derived(Base):
        def __init_subclass__(cls):
            raise TypeError("no classes may be derived")

        def value(self):
            return self() + super().__call__() + (self + 1.0)

        def __add__(self, other):
            return np.sum(G * other)

    return Derived().value, [G], [3 * np.ones(3)]


@sample
def slots_and_frozen_dataclasses():
    @dataclasses.dataclass(frozen=True)
    class Inner:
        W: np.ndarray
        k: float = 2.0

        def total(self):
            return np.sum(self.W) * self.k

    @dataclasses.dataclass(slots=True)
    class Outer:
        inner: Inner

    outer = Outer(Inner(ones()))
    return lambda: outer.inner.total(), [outer.inner.W], [2 * ones()]


@sample
def a_cached_property():
    class Model:
        def __init__(self):
            self.W = ones()

        @functools.cached_property
        def tripled(self):
            return self.W * 3

    model = Model()
    assert model.tripled[0] == 3.0  # and is kept
    return lambda: np.sum(model.tripled), [model.W], [3 * ones()]


# -- containers --------------------------------------------------------------------------------------------------------

Pair = collections.namedtuple("Pair", "first second")


def _held(container, get):
    a, b, c = np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([5.0, 6.0])
    inner = (a, [b, Pair(c, "text")])
    held = container(inner)

    def f():
        found = get(held)
        return np.sum(found[0] * found[1][0] * found[1][1].first)

    return f, [a, b, c], [b * c, a * c, a * b]


class Users(list):
    """A list of the user's own."""


def _object_array(inner):
    array = np.empty(1, object)
    array[0] = inner
    return array


CONTAINERS = {
    "list": lambda v: [v],
    "tuple": lambda v: (v,),
    "deque": lambda v: collections.deque([v], 3),
    "list of the users": lambda v: Users([v]),
    "object array": _object_array,
    "dict": lambda v: {0: v},
    "OrderedDict": lambda v: collections.OrderedDict([(0, v)]),
    "defaultdict": lambda v: collections.defaultdict(list, {0: v}),
    "UserDict": lambda v: collections.UserDict({0: v}),
    "ChainMap": lambda v: collections.ChainMap({}, {0: v}),
    "mappingproxy": lambda v: types.MappingProxyType({0: v}),
}
for _name, _container in CONTAINERS.items():
    SAMPLES[f"in a {_name}"] = lambda c=_container: _held(c, lambda held: held[0])
SAMPLES["in a SimpleNamespace"] = lambda: _held(lambda v: types.SimpleNamespace(v=v), lambda held: held.v)
SAMPLES["in a Namespace"] = lambda: _held(lambda v: argparse.Namespace(v=v), lambda held: held.v)


@sample
def in_a_dict_by_weak_keys():
    layer = a_layer()
    kept = weakref.WeakKeyDictionary({layer: layer.b})
    return lambda: np.sum(layer(X)) + np.sum(kept[layer]), [layer.b], [2 * ones()]


@sample
def in_a_set():
    layers = {a_layer()}
    (layer,) = layers
    return lambda: sum(np.sum(m(X)) for m in layers), [layer.b], [ones()]


@sample
def the_params_themselves():
    a, b = np.array([1.0, 2.0]), np.array([3.0])
    ps = ad.Params([a, b])
    weights = ad.IdDict([(a, 2.0), (b, 3.0)])
    return (
        lambda: sum(np.sum(p**2) * weights[p] for p in ps) + ps[0][0] * len(ps),
        [a, b],
        [
            4 * a + np.array([2.0, 0.0]),
            6 * b,
        ],
    )


# -- one memory --------------------------------------------------------------------------------------------------------


@sample
def reached_twice():
    W = np.array([1.0, 2.0])
    a, b = {"w": W}, [W]
    return lambda: np.sum(a["w"] * b[0]), [W], [2 * W]


@sample
def views_that_were_made_before():
    W = np.arange(6.0).reshape(2, 3)
    transposed, row, alias, reshaped, reverse = W.T, W[1], W[:], W.reshape(3, 2), W[:, ::-1]
    c = np.array([1.0, 2.0, 3.0])
    grad = np.outer(np.ones(2), c) + 2 * W
    grad[1] += c
    grad[0, :2] += 1.0
    grad[:, 2] += 5.0

    def f():
        parts = np.sum((transposed @ np.ones(2)) * c), np.sum(row * c), np.sum(alias**2), np.sum(reshaped[0])
        return sum(parts) + 5.0 * np.sum(reverse[:, 0])

    return f, [W], [grad]


@sample
def parameters_that_are_views():
    flat = np.arange(6.0)
    W, b = flat[:4].reshape(2, 2), flat[4:]
    return lambda: np.sum(W**2) + np.sum(b) * W[0, 1], [W, b], [2 * W + np.array([[0.0, 9.0], [0.0, 0.0]]), ones()]
