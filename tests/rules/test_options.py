"""Every option of NumPy's functions on every backend, by three witnesses, forwards, backwards and to second order.

A sample of ``options.py`` is held against differences of the plain NumPy function, in first and second order; against
another backend (the built-in tape) entry by entry; and by adjointness, forward and reverse mode being contracted with
the same directions. The default run takes the cheap half; ``-m sweep`` takes all.
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import warnings
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import pytest
from conftest import EXACT, present
from samples import options
from samples.options import REFUSED, SAMPLES, function_of

import adselect as ad
from adselect.errors import ADSelectError, MissingRuleError
from adselect.face.array import Array

STEP = 1e-3
TAPE = ad.AutoTape()


class Reference(NamedTuple):
    """What every backend must give for a sample, from NumPy alone."""

    values: list
    directions: tuple
    others: tuple
    seeds: tuple
    along: list  # the derivative along directions, by differences
    curvature: float  # the second derivative of the loss along directions and others, by differences


def numbers(value: Any) -> list:
    """The results that carry a derivative, flattened."""
    if isinstance(value, (list, tuple)):
        return [leaf for part in value for leaf in numbers(part)]
    return [value] if isinstance(value, Array) or np.result_type(value).kind in "fc" else []


def direction(x: Any, rng: np.random.Generator) -> Any:
    """A random direction in the space x lives in."""
    d = rng.standard_normal(np.shape(x))
    if np.iscomplexobj(x):
        d = d + 1j * rng.standard_normal(np.shape(x))
    return d if isinstance(x, np.ndarray) else d[()] if isinstance(x, np.generic) else type(x)(d)


def inner(a: Any, b: Any) -> float:
    """Re⟨a, b⟩; None is zero."""
    return 0.0 if a is None or b is None else float(np.sum(np.real(np.conj(a) * b)))


def loss(f: Callable, seeds: tuple) -> Callable:
    """Curved in f's results, so that second order passes through f's first derivative."""

    def call(*xs: Any) -> Any:
        return sum(
            [np.sum(np.real(np.conj(s) * (y + 0.5 * y * y))) for s, y in zip(seeds, numbers(f(*xs)), strict=True)]
        )

    return call


def central(f: Callable, args: Iterable, directions: Iterable, h: float = STEP) -> Any:
    """The derivative of f along directions, by the central difference of order 4; f returns an array."""
    args, directions = list(args), list(directions)
    at = lambda t: np.asarray(f(*[a + t * d for a, d in zip(args, directions, strict=True)]))
    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


def reference(f: Callable, args: list) -> Reference:
    rng = np.random.default_rng(3)
    values = numbers(f(*args))
    directions, others = (tuple([direction(x, rng) for x in args]) for _ in range(2))
    seeds = tuple([direction(np.asarray(y), rng)[()] for y in values])
    along = [central(lambda *xs, i=i: numbers(f(*xs))[i], args, directions) for i in range(len(values))]
    slope = lambda *xs: central(loss(f, seeds), xs, directions)
    return Reference(values, directions, others, seeds, along, float(central(slope, args, others)))


@functools.cache
def case(sample: str) -> tuple[Callable, list, Reference]:
    f, args = function_of(sample)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return f, args, reference(f, args)


@functools.cache
def tape_pullback(sample: str) -> tuple | None:
    """The cotangents that the built-in tape gives, for the other backends to be compared with."""
    f, args, ref = case(sample)
    try:
        _, back = ad.pullback(lambda *xs: tuple(numbers(f(*xs))), TAPE, *args)
        return back(ref.seeds)
    except ADSelectError:
        return None


def _close(got: Any, want: Any, rtol: float, what: str) -> None:
    assert np.shape(got) == np.shape(want), f"{what}: shape {np.shape(got)}, not {np.shape(want)}"
    want = np.asarray(want)
    scale = max(1.0, float(np.max(np.abs(want), initial=0.0, where=np.isfinite(want))))
    np.testing.assert_allclose(got, want, rtol=0, atol=rtol * scale, err_msg=what)


def _forward(sample: str, adtype: Any) -> None:
    f, args, ref = case(sample)
    ys, y_dots = ad.pushforward(lambda *xs: tuple(numbers(f(*xs))), adtype, tuple(args), ref.directions)
    for y, y_dot, value, along in zip(ys, y_dots, ref.values, ref.along, strict=True):
        _close(y, value, 1e-9, "value")
        assert np.result_type(y) == np.result_type(value), f"value of dtype {np.result_type(y)}"
        _close(np.zeros(np.shape(value)) if y_dot is None else y_dot, along, 1e-7, "tangent")


def _reverse(sample: str, adtype: Any) -> None:
    f, args, ref = case(sample)
    ys, back = ad.pullback(lambda *xs: tuple(numbers(f(*xs))), adtype, *args)
    for y, value in zip(ys, ref.values, strict=True):
        _close(y, value, 1e-9, "value")
    bars = back(ref.seeds)
    for bar, x, witness in zip(bars, args, tape_pullback(sample) or itertools.repeat(None), strict=False):
        if bar is not None:
            assert np.shape(bar) == np.shape(x), f"cotangent of shape {np.shape(bar)}"
            assert np.result_type(bar) == np.result_type(x), f"cotangent of dtype {np.result_type(bar)}"
        if witness is not None:
            _close(np.zeros(np.shape(x)) if bar is None else bar, witness, 1e-8, "cotangent, against the tape's")
    pulled = sum([inner(bar, d) for bar, d in zip(bars, ref.directions, strict=True)])
    expected = sum([inner(s, along) for s, along in zip(ref.seeds, ref.along, strict=True)])
    _close(pulled, expected, 1e-6, "cotangents along a direction")


def _second(sample: str, adtype: Any) -> None:
    f, args, ref = case(sample)
    whole = loss(f, ref.seeds)
    if len(args) == 1 and isinstance(args[0], np.ndarray) and args[0].dtype == float:
        curvature = inner(ad.hvp(whole, adtype, args[0], ref.directions[0]), ref.others[0])
        _close(curvature, ref.curvature, 1e-5, "Hessian along two directions")

    def slope(*xs: Any) -> Any:
        bars = ad.gradient(whole, adtype, *xs)
        parts = [np.sum(np.real(np.conj(d) * b)) for d, b in zip(ref.directions, bars, strict=True) if b is not None]
        return sum(parts, np.zeros(()))

    bars = ad.gradient(slope, adtype, *args)
    curvature = sum([inner(bar, o) for bar, o in zip(bars, ref.others, strict=True)])
    _close(curvature, ref.curvature, 1e-5, "gradient of a gradient")


CHECKS = {"forward": _forward, "reverse": _reverse, "second order": _second}


def check(name: str, adtype: Any, samples: Iterable[str], modes: Iterable[str] = tuple(CHECKS)) -> None:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for sample, mode in itertools.product(samples, modes):
            try:
                if sample in REFUSED:
                    with pytest.raises(MissingRuleError, match=name.rpartition(".")[2]):
                        CHECKS[mode](sample, adtype)
                else:
                    CHECKS[mode](sample, adtype)
            except Exception as error:
                error.add_note(f"{sample}, {mode}, {adtype!r}")
                raise


@pytest.mark.parametrize("name", SAMPLES)
def test_options_on_the_tape(name):
    check(name, TAPE, SAMPLES[name])


CHEAP = [b for b in EXACT if b.name in ("torch", "autograd")]


@pytest.mark.parametrize("framework", CHEAP, ids=lambda b: b.name)
@pytest.mark.parametrize("name", SAMPLES)
def test_options_backwards(name, framework):
    check(name, present(framework).adtype, SAMPLES[name], ["reverse"])


@pytest.mark.sweep
@pytest.mark.parametrize("name", SAMPLES)
def test_options(name, exact_backend):
    samples, adtype = SAMPLES[name], exact_backend.adtype
    check(name, adtype, samples, ["forward", "reverse"])
    # JAX compiles every operation for every shape: there a few samples stand for second order.
    check(name, adtype, samples[:2] if exact_backend.name == "jax" else samples, ["second order"])


def test_no_function_has_two_entries():
    """The second one would silently take the place of the first."""
    tree = ast.parse(inspect.getsource(options))
    table = next(n.value for n in tree.body if isinstance(n, ast.AnnAssign) and n.target.id == "SAMPLES")
    names = []
    for key, value in zip(table.keys, table.values, strict=True):
        names += [key.value] if key else eval(ast.unparse(value), vars(options))
    assert len(names) == len(SAMPLES)


def test_refused_samples_exist():
    assert {s for samples in SAMPLES.values() for s in samples} >= REFUSED


@pytest.mark.parametrize("mode", CHECKS)
def test_a_wrong_rule_is_caught(mode, monkeypatch):
    from adselect.rules.registry import RULES
    from adselect.rules.rule import Elementwise

    wrong = Elementwise(np.sinh, (lambda g, y, x: g * (1.001 + y * y),))
    monkeypatch.setitem(RULES, np.sinh, wrong)
    with pytest.raises(AssertionError):
        check("np.sinh", TAPE, ["np.sinh(x[:3])"], [mode])
