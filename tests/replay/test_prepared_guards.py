"""A prepared call never answers for another program: other arguments, sizes that depend on values, looks at values."""

from __future__ import annotations

import collections
import dataclasses
import decimal
import enum
import functools
import math
import subprocess
import sys

import numpy as np
import pytest

import adselect as ad
from adselect import AutoAutograd, AutoForward, AutoJax, AutoTape, AutoTorch, Const

# Right answers count here, replayed or not; what is not replayed has its own tests.
pytestmark = pytest.mark.filterwarnings("ignore::adselect.NotReplayedWarning")

X = np.array([1.0, -2.0, 3.0, 0.5])
POINTS = [
    X,
    -X,
    X[::-1].copy(),
    np.array([1.0, 1.0, 2.0, 5.0]),
    np.array([0.0, 2.0, 0.0, 1.0]),
    np.abs(X) + 1.0,
    X - 1.0,
]


def same(got, want):
    a, b = np.asarray(got[0], float), np.asarray(want[0], float)
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


# -- arguments that are no arrays --------------------------------------------------------------------------------------


class Mode(enum.Enum):
    LINEAR = 1
    SQUARE = 2


@dataclasses.dataclass
class Layer:
    training: bool
    w: object


@dataclasses.dataclass
class Model:
    layer: Layer
    mode: str
    power: int = 2

    def __call__(self, x):
        return np.sum(np.abs(x) ** self.power * self.layer.w) * (2 if self.layer.training else 3) * len(self.mode)


class Scaled:
    gain = 1.0

    def __init__(self, mode):
        self.mode = mode

    def __call__(self, v):
        return v * self.gain if self.mode == "linear" else v * v * self.gain


def model(training=True, mode="a"):
    return Model(Layer(training, np.ones(4)), mode)


def closure(mode, factor):
    return lambda v: v * factor if mode == "linear" else v * v * factor


def chosen(x, setting):
    return np.sum(x) * 2 if setting else np.sum(x**2)


ARGUMENTS = {
    "slice": (lambda x, s: np.sum(x[s] ** 2), [slice(0, 2), slice(2, 4), slice(None, None, 2), slice(0, 2)]),
    "range": (lambda x, s: np.sum(x[list(s)] ** 2), [range(2), range(1, 3), range(2)]),
    "mask": (lambda x, m: np.sum(x[m] ** 2), [X > 0, X < 0, X > -9]),
    "constant mask": (lambda x, m: np.sum(x[m] ** 2), [Const(X > 0), X < 0]),
    "mask in a dict": (
        lambda x, d: np.sum(x[d["m"]] * d["w"]),
        [Const({"m": X > 0, "w": 2.0}), {"m": X < 0, "w": 3.0}],
    ),
    "constant index": (lambda x, i: np.sum(x[i] ** 2), [Const(np.array([0, 1])), np.array([2, 3]), np.array([1, 1])]),
    "function": (lambda x, g: np.sum(g(x)), [np.sin, np.cos, np.tanh]),
    "lambda": (lambda x, g: np.sum(g(x)), [lambda v: v, lambda v: v * v]),
    "closure with a flag": (lambda x, g: np.sum(g(x)), [closure("linear", 2.0), closure("square", 3.0)]),
    "closure without numbers": (lambda x, g: np.sum(g(x)), [closure("linear", True), closure("square", True)]),
    "partial": (lambda x, g: np.sum(g(x)), [functools.partial(np.power, 2.0), functools.partial(np.power, 3.0)]),
    "partial with a flag": (
        lambda x, g: np.sum(g(x)) * np.sum(x),
        [functools.partial(np.sum, keepdims=True), functools.partial(np.sum, keepdims=False)],
    ),
    "callable object": (lambda x, g: np.sum(g(x)), [Scaled("linear"), Scaled("square")]),
    "bool": (chosen, [True, False, True]),
    "numpy bool": (chosen, [np.bool_(True), np.bool_(False)]),
    "none": (chosen, [None, "set", None]),
    "str": (chosen, ["", "a", ""]),
    "int": (lambda x, n: np.sum(x) * n, [2, 3]),
    "int as an index": (lambda x, n: x[n] ** 2, [2, 3]),
    "int as a size": (lambda x, n: np.sum(np.ones(n)) * np.sum(x[:n]), [2, 3, 2]),
    "int as a range": (lambda x, n: sum([x[i] ** 2 for i in range(n)]), [2, 3, 2]),
    "numpy int": (lambda x, n: np.sum(x[:n] ** 2), [np.int64(2), np.int64(3)]),
    "enum": (lambda x, m: np.sum(x) if m is Mode.LINEAR else np.sum(x * x), [Mode.LINEAR, Mode.SQUARE]),
    "dtype": (lambda x, d: np.sum(np.array([1.5, 2.5, 3.5, 4.5]).astype(d) * x), [np.dtype(int), np.dtype(float)]),
    "type": (lambda x, d: np.sum(np.array([1.5, 2.5, 3.5, 4.5]).astype(d) * x), [int, float]),
    "decimal": (lambda x, d: np.sum(x) * float(d), [decimal.Decimal("1.5"), decimal.Decimal("2.5")]),
    "tuple": (lambda x, t: chosen(x, t[0]) * t[1], [(True, 2.0), (False, 3.0)]),
    "list of str": (lambda x, s: np.sum(x) * len(s), [["a"], ["a", "b"]]),
    "dict of str": (lambda x, d: np.sum(x) * len(d["k"]), [{"k": "a"}, {"k": "abc"}]),
    "set": (lambda x, s: np.sum(x) * len(s), [{1, 2}, {1, 2, 3}]),
    "deque of flags": (lambda x, s: np.sum(x) * len(s), [collections.deque([True]), collections.deque([True, True])]),
    "array of str": (lambda x, s: chosen(x, s[0] == "a"), [np.array(["a", "b"]), np.array(["b", "b"])]),
    "dataclass with flags": (lambda x, m: m(x), [model(), model(False), model(mode="abc"), model()]),
}


@pytest.mark.parametrize("case", ARGUMENTS)
@pytest.mark.parametrize("adtype", [AutoTape(), AutoForward()], ids=repr)
def test_another_setting_is_another_program(case, adtype):
    f, settings = ARGUMENTS[case]
    prepared = ad.prepare(ad.gradient, f, adtype, X, settings[0], check="never")
    for setting in settings:
        bare = setting.value if isinstance(setting, Const) else setting
        same(prepared(2 * X, bare), ad.gradient(f, AutoTape(replay=False), 2 * X, Const(bare)))


@pytest.mark.parametrize("adtype", [AutoJax(), AutoTorch(), AutoAutograd()], ids=repr)
@pytest.mark.parametrize("case", ["slice", "closure with a flag", "bool", "dataclass with flags"])
def test_another_setting_on_the_frameworks(case, adtype):
    pytest.importorskip({AutoJax: "jax", AutoTorch: "torch", AutoAutograd: "autograd"}[type(adtype)])
    f, settings = ARGUMENTS[case]
    prepared = ad.prepare(ad.gradient, f, adtype, X, settings[0], check="never")
    for setting in settings[:3]:
        same(prepared(2 * X, setting), ad.gradient(f, AutoTape(replay=False), 2 * X, Const(setting)))


def test_values_of_pythons_own_modules_are_told_by_what_they_are():
    """Their modules are imported by who makes such values: here after a first look at another object."""
    code = """
from types import SimpleNamespace
from adselect.calls.fixed import frozen
frozen(SimpleNamespace(a=1))
import datetime, decimal, pathlib, uuid
for make in (
    decimal.Decimal,
    lambda n: datetime.date(2020, 1, n),
    lambda n: datetime.datetime(2020, 1, n),
    lambda n: datetime.time(n),
    lambda n: datetime.timedelta(n),
    lambda n: uuid.UUID(int=n),
    lambda n: pathlib.PurePosixPath(str(n)),
    lambda n: pathlib.Path(str(n)),
    lambda n: (pathlib.PureWindowsPath(str(n)),),
):
    assert frozen(make(1)) == frozen(make(1)) != frozen(make(2)), make(1)
    assert hash(frozen(make(1))) == hash(frozen(make(1)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert not done.returncode, done.stderr


def test_settings_are_replayed_and_not_evaluated():
    """Both programs are known after one call each."""
    calls = []

    def f(x, s):
        calls.append(1)
        return np.sum(x[s] ** 2)

    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, slice(0, 2), check="never")
    prepared(X, slice(2, 4))
    seen = len(calls)
    for s in (slice(0, 2), slice(2, 4)) * 3:
        prepared(X, s)
    assert len(calls) == seen


def test_a_flag_switched_in_place():
    m, act = model(), Scaled("linear")
    f = lambda x, m, act: m(act(x))
    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, m, act, check="never")
    for change in (
        lambda: None,
        lambda: setattr(m.layer, "training", False),
        lambda: setattr(m, "mode", "xyz"),
        lambda: setattr(act, "mode", "square"),
        lambda: setattr(m, "power", 3),
    ):
        change()
        same(prepared(X, m, act), ad.gradient(f, X, m, act))


def test_a_class_attribute_of_an_argument():
    class Local(Scaled):
        gain = 2.0

    act = Local("linear")
    f = lambda x, act: np.sum(act(x))
    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, act, check="never")
    same(prepared(X, act), (np.full(4, 2.0),))
    Local.gain = 5.0
    same(prepared(X, act), (np.full(4, 5.0),))


def test_what_a_function_among_the_arguments_captured():
    mode = "linear"

    def act(v):
        return v if mode == "linear" else v * v

    f = lambda x, act: np.sum(act(x))
    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, act, check="never")
    same(prepared(X, act), (np.ones(4),))
    mode = "square"
    same(prepared(X, act), (2 * X,))


def test_too_many_settings_stay_eager(monkeypatch):
    from adselect.replay import prepared as room

    monkeypatch.setattr(room, "FIXED", 3)
    f = lambda x, s: np.sum(x) * len(s)
    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, "a", check="never")
    for n in (2, 3, 4, 5, 1):
        same(prepared(X, "a" * n), (np.full(4, float(n)),))
    with pytest.raises(ad.ADSelectError, match="different values"):
        ad.source(prepared)


def test_what_cannot_be_compared_is_not_replayed():
    """A generator of random numbers has a state that nobody can look at."""
    f = lambda x, rng: np.sum(x * rng.normal(size=4))
    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, np.random.default_rng(0))
    same(prepared(X, np.random.default_rng(1)), (np.random.default_rng(1).normal(size=4),))
    with pytest.raises(ad.ADSelectError, match="Generator"):
        ad.source(prepared)


def test_another_order_of_keys_is_refused():
    f = lambda x, d: np.sum(x * d["a"] + 3 * x * d["b"])
    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, {"a": 1.0, "b": 2.0})
    with pytest.raises(ad.PreparationMismatchError, match="structure"):
        prepared(X, {"b": 2.0, "a": 1.0})


# -- sizes that depend on values ---------------------------------------------------------------------------------------


def over_positive(x):
    s = 0.0
    for v in x[x > 0]:
        s = s + v * v
    return s


SIZES = {
    "len of a selection": lambda x: np.sum(x) * (1 + len(x[x > 0])),
    "size": lambda x: np.sum(x[x > 0] ** 2) * (1 + x[x > 0].size),
    "mean of a selection": lambda x: np.sum(x) * np.mean(np.concatenate([x[x > 0], x])),
    "loop": over_positive,
    "nonzero": lambda x: np.sum(x**2) * (1 + len(np.nonzero(x > 0)[0])),
    "method nonzero": lambda x: np.sum(x**2) * (1 + len((x > 0).nonzero()[0])),
    "flatnonzero": lambda x: np.sum(x[np.flatnonzero(x > 0)] ** 2) * (1 + np.flatnonzero(x > 0).size),
    "argwhere": lambda x: np.sum(x) * (1 + np.argwhere(x > 0).shape[0]),
    "where of one": lambda x: np.sum(x) * (1 + np.where(x > 0)[0].shape[0]),
    "unique": lambda x: np.sum(x) * np.unique(x).size,
    "unique counts": lambda x: np.sum(x) * len(np.unique(x, return_counts=True)[1]),
    "unique_values": lambda x: np.sum(np.unique_values(x) ** 2) * len(np.unique_values(x)),
    "trim_zeros": lambda x: np.sum(x) * (1 + np.trim_zeros(x).size),
    "compress": lambda x: np.sum(np.compress(x > 0, x) ** 2) * (1 + np.compress(x > 0, x).size),
    "extract": lambda x: np.sum(np.extract(x > 0, x) ** 2) * (1 + np.extract(x > 0, x).size),
    "intersect1d": lambda x: np.sum(x) * (1 + np.intersect1d(x, np.array([1.0, 2.0])).size),
    "union1d": lambda x: np.sum(x) * np.union1d(x, np.array([1.0, 2.0])).size,
    "setdiff1d": lambda x: np.sum(x) * (1 + np.setdiff1d(x, np.array([1.0, 2.0])).size),
    "setxor1d": lambda x: np.sum(x) * (1 + np.setxor1d(x, np.array([1.0, 2.0])).size),
    "arange": lambda x: np.sum(x) * len(np.arange(1 + np.argmax(x))),
    "range": lambda x: np.sum(x) * len(range(1 + int(np.argmax(x)))),
    "zeros_like of a shape": lambda x: np.sum(x) * (1 + np.zeros_like(x, shape=np.argmax(x)).size),
    "slice": lambda x: np.sum(x[: np.argmax(x)]) * (1 + len(x[: np.argmax(x)])),
    "repeat": lambda x: np.sum(np.repeat(x, 1 + (x > 0))) * len(np.repeat(x, 1 + (x > 0))),
    "tile": lambda x: np.sum(np.tile(x, 1 + int(np.argmax(x)))),
    "bincount": lambda x: np.sum(x) * len(np.bincount(np.argsort(x)[:1])),
    "delete": lambda x: np.sum(np.delete(x, np.flatnonzero(x > 0))),
    "split": lambda x: np.sum(np.split(x, np.flatnonzero(x > 0))[-1]) + np.sum(x),
    "count_nonzero": lambda x: np.sum(x) * (1 + int(np.count_nonzero(x))),
    "sum of a mask": lambda x: np.sum(x) / (1 + (x > 0).sum()),
    "reshape": lambda x: np.sum(np.reshape(x, (1 + int(x[0] > 0), -1))[0]),
    "list of a selection": lambda x: np.sum(x) * sum([float(i) for i in np.flatnonzero(x > -9)]) + len(list(x[x > 0])),
    "enumerate": lambda x: sum([(k + 1) * v for k, v in enumerate(x[x > 0])], np.sum(x)),
    "unpack": lambda x: np.sum([*x[x > 0], *x]) if len(x[x > 0]) else np.sum(x),
}


@pytest.mark.parametrize("case", SIZES)
def test_sizes_that_depend_on_values(case):
    f = SIZES[case]
    prepared = ad.prepare(ad.withgradient, f, AutoTape(), X, check="never")
    for x in POINTS:
        got, want = prepared(x), ad.withgradient(f, AutoTape(replay=False), x)
        assert got.val == pytest.approx(want.val)
        same(got.grad, want.grad)


# -- looks at a value --------------------------------------------------------------------------------------------------


def twice(x):
    i = np.argmax(x)
    total = np.sum(x)
    if i:
        total = total * 2
    return total * int(i) + np.sum(x) * (i > 1)


LOOKS = {
    "bool and then int": twice,
    "int and then bool": lambda x: np.sum(x) * (int(np.argmax(x)) + (5 if np.argmax(x) else 7)),
    "two thresholds": lambda x: np.sum(x) * ((3 if x[0] > 1.5 else 2) if x[0] > 0 else 1),
    "int": lambda x: np.sum(x) * int(np.argmax(x)),
    "float": lambda x: np.sum(x) * float(np.argmax(x)),
    "complex": lambda x: np.sum(x) * complex(np.argmax(x)).real,
    "float of a comparison": lambda x: np.sum(x) * float(x[0] > 0),
    "int of a comparison": lambda x: np.sum(x) * int(x[0] > 0),
    "index": lambda x: x[[1, 2, 3, 0][np.argmax(x)]] ** 2,
    "index of a list": lambda x: np.sum(x) * [2.0, 3.0, 5.0, 7.0][np.argmax(x)],
    "str": lambda x: np.sum(x) * len(str(np.argmax(x) * 50)),
    "repr": lambda x: np.sum(x) * len(repr(np.argmax(x) * 50)),
    "format": lambda x: np.sum(x) * float(f"{np.argmax(x)}"),
    "str of a number": lambda x: np.sum(x) * len(str(x[0])),
    "format of a number": lambda x: np.sum(x) * float(f"{x[0]:.1f}"),
    "array2string": lambda x: np.sum(x) * len(np.array2string(np.argsort(x)[:1] * 1000)),
    "str of an array": lambda x: np.sum(x) * len(str(np.argsort(x)[:1] * 1000)),
    "round": lambda x: np.sum(x) * round(np.argmax(x)),
    "divmod": lambda x: np.sum(x) * int(divmod(np.argmax(x), 2)[1]),
    "hash in a dict": lambda x: np.sum(x) * {0: 1.0, 1: 2.0, 2: 5.0, 3: 7.0}[np.argmax(x)],
    "hash in a set": lambda x: np.sum(x) * (2.0 if np.argmax(x) in {0, 1} else 3.0),
    "in a list": lambda x: np.sum(x) * (2.0 if np.argmax(x) in [0, 1] else 3.0),
    "in an array": lambda x: np.sum(x) * (2.0 if 1 in np.argsort(x)[:2] else 3.0),
    "equal": lambda x: np.sum(x) * (2.0 if np.argmax(x) == 2 else 3.0),
    "sorted": lambda x: sorted([x[0], x[1], x[2]])[0] * 3 + sorted(x, key=lambda v: -v)[0],
    "max": lambda x: max(x) ** 2 + min(x[0], x[1]),
    "any": lambda x: np.sum(x) * (2.0 if any(x > 2) else 3.0),
    "all": lambda x: np.sum(x) * (2.0 if all(x > 0) else 3.0),
    "while": lambda x: np.sum(x) * 2.0 ** next(k for k in range(9) if x[0] < k),
    "isclose": lambda x: np.sum(x) * (2.0 if np.isclose(x[0], 1.0) else 3.0),
    "array_equal": lambda x: np.sum(x) * (2.0 if np.array_equal(x, X) else 3.0),
    "allclose": lambda x: np.sum(x) * (2.0 if np.allclose(x, X) else 3.0),
    "isnan": lambda x: np.sum(x) * (2.0 if np.isnan(x).any() or x[0] > 0 else 3.0),
    "min_scalar_type": lambda x: np.sum(x) * np.min_scalar_type(np.argmax(x) * 200).itemsize,
    "tolist": lambda x: np.sum(x) * np.argsort(x).tolist()[0],
    "item": lambda x: np.sum(x) * np.argsort(x)[0].item(),
    "math.floor": lambda x: np.sum(x) * math.floor(np.argmax(x)),
    "caught": lambda x: np.sum(x) * caught(np.argsort(x)),
    "written into a plain array": lambda x: np.sum(written(x) * x),
}


def caught(order):
    """Code that swallows every exception must not swallow the end of replay."""
    try:
        return float(str(order[0:1])[1:-1])
    except Exception:
        return -1.0


def written(x):
    buffer = np.zeros(4)
    for k, i in enumerate(np.argsort(x)):
        buffer[k] = i
    return buffer


@pytest.mark.parametrize("case", LOOKS)
def test_every_look_at_a_value_counts(case):
    f = LOOKS[case]
    prepared = ad.prepare(ad.withgradient, f, AutoTape(), X, check="never")
    for x in POINTS:
        got, want = prepared(x), ad.withgradient(f, AutoTape(replay=False), x)
        assert got.val == pytest.approx(want.val)
        same(got.grad, want.grad)


def test_looks_are_guards_and_not_the_end_of_replay():
    prepared = ad.prepare(ad.gradient, LOOKS["bool and then int"], AutoTape(), X, check="never")
    assert ad.source(prepared).count("raise GuardFailed") >= 2


def test_native_code_keeps_all_guards():
    pytest.importorskip("numba")

    def f(a, b):
        return a * b if a > 0 else (a * 2 if b else a * 3)

    prepared = ad.prepare(ad.gradient, f, AutoTape(native=True), -1.0, 2.0, check="never")
    for a, b in ((-1.0, 3.0), (-1.0, 0.0), (1.0, 0.0), (-2.0, 1.0)):
        got, want = prepared(a, b), ad.gradient(f, a, b)
        assert got[0] == want[0]


ORDERS = {
    "ravel": lambda m: np.sum(m.ravel(order="K") * np.arange(6.0)),
    "ravel of a sum": lambda m: np.sum((m + 1.0).ravel(order="K") * np.arange(6.0)),
    "ravel A": lambda m: np.sum(np.ravel(m, order="A") * np.arange(6.0)),
    "flatten": lambda m: np.sum(m.flatten(order="K") * np.arange(6.0)),
    "reshape A": lambda m: np.sum(np.reshape(m, (3, 2), order="A") ** 2 * np.arange(6.0).reshape(3, 2)),
    "flags": lambda m: np.sum(m) * (2 if m.flags.c_contiguous else 3),
    "written view": lambda m: np.sum(write_through(m)),
}


def write_through(m):
    y = m * 1.0
    flat = y.reshape(-1)
    flat[1] = 0.0
    return y**2


@pytest.mark.parametrize("case", ORDERS)
def test_the_order_in_memory_counts(case):
    f, m = ORDERS[case], np.arange(6.0).reshape(2, 3) + 1.0
    layouts = [m, np.asfortranarray(m), np.repeat(m, 2, axis=1)[:, ::2], m]
    for first in layouts:
        prepared = ad.prepare(ad.gradient, f, AutoTape(), first, check="never")
        for other in layouts:
            same(prepared(other), ad.gradient(f, AutoTape(replay=False), other))
