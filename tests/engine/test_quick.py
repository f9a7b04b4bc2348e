"""The short paths of the tape against the general ones: the same values, derivatives and errors, with either."""

from __future__ import annotations

import contextlib
import importlib.util
import operator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from samples.options import SAMPLES, function_of

import adselect as ad
from adselect import AutoTape
from adselect.engine import quick, quick_reverse, reverse
from adselect.engine.quick import without_short_paths
from adselect.engine.trace import TapeArray, Trace
from adselect.testing.results import mismatches
from adselect.testing.scenarios import default_scenarios

TAPE = AutoTape()
# Additions in another order, and 2·x·g for x·g + x·g.
ROUNDING = 1e-13
SCENARIOS = {s.name: s for s in default_scenarios()}


def outcome(call):
    """The result of a call, or the error it raises."""
    with np.errstate(all="ignore"):
        try:
            return call()
        except Exception as error:
            return (type(error).__name__, str(error))


def hold_together(call, rtol=ROUNDING):
    """The call with the short paths, and without."""
    short = outcome(call)
    with without_short_paths():
        general = outcome(call)
    assert not mismatches(short, general, rtol), mismatches(short, general, rtol)
    return short


# -- the switch --------------------------------------------------------------------------------------------------------


def shorts_on():
    return [name for name, path in quick._PATHS.items() if vars(TapeArray).get(name) is path]


def test_the_switch_switches_and_is_put_back():
    everything = (len(quick._PATHS), quick_reverse.walk)
    assert len(shorts_on()) > 30
    assert (len(shorts_on()), reverse.walk) == everything
    found = []
    with contextlib.suppress(KeyError), without_short_paths():
        found.append((len(shorts_on()), reverse.walk.__module__))
        raise KeyError
    assert found == [(0, "adselect.engine.reverse")]
    assert (len(shorts_on()), reverse.walk) == everything


def rules_of(f, *values):
    trace = Trace()
    f(*[trace.leaf(v) for v in values])
    return [type(rule).__name__ for rule, *_ in trace.records.values()]


def test_the_records_differ_with_the_switch():
    """What the short paths write holds less; the general paths write the rules as they are registered."""
    f = lambda x: np.sum(np.sin(x) * x)
    assert rules_of(f, np.ones(3)) == ["Uniform"] * 3
    with without_short_paths():
        assert "Uniform" not in rules_of(f, np.ones(3))


@pytest.mark.parametrize("name", ["__mul__", "__array_ufunc__", "sum", "__getitem__"])
def test_a_wrong_short_path_is_found(name, monkeypatch):
    """Each short path in turn gives its result a factor; the comparison must see it."""
    path = quick._PATHS[name]
    monkeypatch.setitem(quick._PATHS, name, lambda *args, **options: path(*args, **options) - 0.25)
    quick.install()
    f = lambda x: (np.sin(x * 1.5)[1:] * x[:-1]).sum() ** 3
    try:
        with pytest.raises(AssertionError, match="expected"):
            hold_together(lambda: ad.gradient(f, TAPE, np.array([0.3, 0.8, -1.2])))
    finally:
        monkeypatch.undo()
        quick.install()


def test_a_wrong_walk_is_found(monkeypatch):
    def wrong(*args):
        return [None if bar is None else bar * 1.001 for bar in quick_reverse.walk(*args)]

    monkeypatch.setattr(reverse, "walk", wrong)
    with pytest.raises(AssertionError, match="expected"):
        hold_together(lambda: ad.gradient(np.sum, TAPE, np.ones(3)))


def test_either_walk_reads_either_records():
    """The records of the short paths are pulled back by the plain walk too, and the other way round."""
    f = lambda x: np.sum(np.sin(x[1:]) * x[:-1]) + x[0] ** 2 + np.sum(np.sum(x * x[::-1], axis=0, keepdims=True) ** 2)
    x = np.array([0.3, 0.8, -1.2])
    found = []
    for written in (contextlib.nullcontext, without_short_paths):
        trace = Trace()
        leaf = trace.leaf(x)
        with written():
            y = f(leaf)
        trace.close()
        n = trace.next_place()
        found += [walk(trace.records, n, 1, {y._place: 1.0})[0] for walk in (quick_reverse.walk, quick._WALK)]
    for bar in found[1:]:
        np.testing.assert_allclose(bar, found[0], rtol=ROUNDING)


# -- the same results --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenarios(name):
    scenario = SCENARIOS[name]
    result = hold_together(lambda: scenario.run(TAPE), rtol=1e-12)
    assert not (type(result) is tuple and result and type(result[0]) is str), result


@pytest.mark.parametrize("name", SAMPLES)
def test_options(name):
    """A call of each function with options: the value, the pullback and a second derivative."""
    for sample in SAMPLES[name][:: max(1, len(SAMPLES[name]) // 2)]:
        f, args = function_of(sample)

        def pulled(f=f, args=args):
            y, back = ad.pullback(f, TAPE, *args)
            return y, back(y)

        hold_together(pulled, rtol=1e-11)


def _random_programs():
    path = Path(__file__).parent.parent / "replay" / "test_random_programs.py"
    spec = importlib.util.spec_from_file_location("_random_programs_of_the_tape", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PROGRAMS = _random_programs()


@pytest.mark.parametrize("seed", range(60))
def test_random_programs(seed):
    rng = np.random.default_rng(seed)
    f, args = PROGRAMS.random_program(rng, int(rng.integers(3, 25))), PROGRAMS.arguments(rng)
    hold_together(lambda: ad.withgradient(f, TAPE, *args), rtol=1e-10)
    if seed % 4 == 0:
        hold_together(lambda: ad.hvp(lambda a: f(a, *args[1:]), TAPE, args[0], args[0]), rtol=1e-9)


OPERANDS = {
    "number": 0.7,
    "scalar": np.float64(-1.3),
    "int": 3,
    "large int": 2**62 + 1,
    "zero": 0,
    "fraction": Fraction(1, 3),
    "complex": 0.4 + 1.5j,
    "vector": np.array([0.9, -2.1, 1.4]),
    "single": np.array([0.9, -2.1, 1.4], np.float32),
    "ints": np.array([1, 2, 3]),
    "column": np.array([[0.5], [1.5]]),
    "0-d": np.array(1.2),
}


@pytest.mark.parametrize("b", OPERANDS)
@pytest.mark.parametrize("a", OPERANDS)
def test_operators_on_all_pairs_of_operands(a, b):
    """Values of every kind, traced on either side and on both; errors too."""
    x, z = OPERANDS[a], OPERANDS[b]
    powers = () if "large int" in (a, b) else ("pow",)  # which would fill the memory with digits
    rests = () if "complex" in (a, b) else ("mod", "floordiv")  # of which there are none, said in other words
    for name in ("add", "sub", "mul", "truediv", *rests, *powers):
        operate = getattr(operator, name)
        for f, args in (
            (operate, (x, z)),
            (lambda t, o=operate: o(t, z), (x,)),
            (lambda t, o=operate: o(x, t), (z,)),
        ):

            def pulled(f=f, args=args):
                y, back = ad.pullback(f, TAPE, *args)
                return y, back(np.ones(np.shape(y)) if np.shape(y) else 1.0)

            hold_together(pulled)


# -- the same behaviour ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 5000, 100_000])
def test_arrays_that_are_written_over(size):
    """Copied where they are small, refused where they are large: with either way."""
    n = size

    def f(x):
        scratch = np.ones(n)
        y = x * scratch
        scratch[:] = 5.0
        return np.sum(y)

    found = hold_together(lambda: ad.gradient(f, TAPE, np.full(n, 2.0)))
    assert (type(found[0]) is str) == (size > 65536)
    assert type(found[0]) is not str or "was written to after" in found[1]


def test_errors_name_the_same():
    for f in (
        lambda x: x[7],
        lambda x: x["a"],
        lambda x: np.sum(x[0][0]),
        lambda x: x @ np.ones(5),
        lambda x: x + "a",
        lambda x: np.sum(x, axis=4),
        lambda x: float(x[0]) * x[1],
    ):
        found = hold_together(lambda f=f: ad.gradient(f, TAPE, np.ones(3)))
        assert str(found[0]).endswith("Error")


def test_writing_views_selecting_and_nesting():
    def written(x):
        y = np.zeros_like(x)
        part = y[1:]
        part[:] = x[:-1] ** 2
        y[0] += max(x[0], x[1]) * min(x[2], 0.5)
        return np.sum(y * x) + sum(x)

    x = np.array([0.3, 0.8, -1.2])
    hold_together(lambda: ad.gradient(written, TAPE, x))
    hold_together(lambda: ad.hessian(written, TAPE, x))
    hold_together(lambda: ad.derivative(lambda t: t * ad.derivative(lambda s: s**3 * t, TAPE, t), TAPE, 1.3))


def test_a_selection_depends_with_slope_zero():
    """max of two scalars depends on both: 0.0, not None."""
    assert hold_together(lambda: ad.gradient(lambda a, b: max(a, b), TAPE, 2.0, 1.0)) == (1.0, 0.0)


def test_strong_zeros():
    x = np.array([0.0, 4.0])
    for f in (
        lambda x: np.sum(np.where(x > 0, np.sqrt(x), 0.0)),
        lambda x: np.sum(np.where(x != 0, np.sin(x) / x, 1.0)),
        lambda x: np.sqrt(x[0] * 0.0) + x[1],
        lambda x: np.sum(x[np.array([1, 1, 0])] ** 0.5 * np.array([1.0, 2.0, 0.0])),
    ):
        hold_together(lambda f=f: ad.gradient(f, TAPE, x))


def test_results_share_no_memory_either_way():
    x = np.ones(4)

    def pulled_twice():
        _, back = ad.pullback(lambda x, y: x + y, TAPE, x, x)
        first, second = back(x), back(x)
        first[0][:] = 7.0
        return first, second

    hold_together(pulled_twice)
    assert np.all(x == 1.0)
