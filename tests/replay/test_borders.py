"""On the border, where a last digit decides, a replay falls to the side of the eager call."""

from __future__ import annotations

import numpy as np
import pytest

import adselect as ad
from adselect import AutoTape, Const

RNG = np.random.default_rng(3)
EAGER = AutoTape(replay=False)
W = RNG.normal(size=(6, 5))
V = RNG.normal(size=(5, 300))
DATA = RNG.normal(size=(40, 3))

# What a mask is made of. Each is computed in fewer steps, or by other functions, where nothing depends on its digits.
ARRAYS = {
    "a sum of multiples": lambda x: x + 1.5 * x,
    "a difference of multiples": lambda x: 3.1 * x - (x + 0.3),
    "factors": lambda x: 0.1 * (3.0 * x) / 7.0,
    "signs": lambda x: -(0.3 - x) * -1.7,
    "a common factor": lambda x: 0.1 * x + 0.3 * x * np.sin(x),
    "collected": lambda x: (np.sin(x) - 0.7 * x) - 0.7 * x,
    "squares": lambda x: (0.1 * x) ** 2 - (x * x) * 0.3,
    "powers": lambda x: x**3 + np.power(x, 4) - np.abs(x) ** 0.5 + 2.0**x,
    "quotients": lambda x: 0.3 / (7.0 * x) + x / 0.7,
    "means": lambda x: x - np.mean(x),
    "a norm": lambda x: x / np.linalg.norm(x),
    "a dot product": lambda x: x * np.dot(x, np.sin(x)),
    "a sum of squares": lambda x: x * np.sum(2.0 * x**2 + 3.0 * np.sin(x) ** 2),
    "functions": lambda x: np.exp(0.1 * np.tanh(x)) * np.log1p(np.abs(x)) + np.arctan(x),
    "a softmax": lambda x: np.exp(x - np.max(x)) / np.sum(np.exp(x - np.max(x))),
    "slices": lambda x: np.concatenate([0.1 * x[:5] + x[:5], (3.0 * x[5:]) * 0.1]),
    "rolled": lambda x: np.roll(x, 2) * 0.3 + 0.7 * np.roll(x, -1),
    "written in place": lambda x: written(x),
    "cumulated": lambda x: np.cumsum(0.1 * x) * 0.3,
}
MATRICES = {
    "sums of rows": lambda m: m * np.sum(m, axis=0),
    "sums along rows": lambda m: m / np.sum(m * m, axis=1, keepdims=True),
    "a product": lambda m: np.maximum((m * 0.3) @ W.T, 0) @ W * 0.1 + m,
    "a product with a view": lambda m: m * (W[:, 0] @ W) + (m.T[::2] @ m[:, :1])[0],
    "distances": lambda m: m * np.sum((m[:, None, :] - V.T[None, :, :5]) ** 2, axis=2)[:, :1],
    "an order of the axes": lambda m: m + np.sum(np.sum(m.T * 0.1, axis=0)) + np.sum(2.0 * m.T),
    "a mean over both": lambda m: (m - np.mean(m)) / np.std(m),
    "sums over three axes": lambda m: m * np.sum((m[:, None, :] * DATA[None, :3, :1]).T, axis=1)[0, 0],
    "einsum": lambda m: m * np.einsum("ij,ij->i", m, 0.3 * m)[:, None],
}
NUMBERS = {
    "a sum of multiples": lambda t: t + 1.5 * t,
    "powers": lambda t: t**2 + 0.3 * t**3 - t**4 + t**0.5 + 2.0**t,
    "functions": lambda t: np.exp(-t) + np.sin(t) * np.tanh(0.3 * t) - np.log(t) + np.sqrt(t),
    "a loop": lambda t: steps(t),
}


def written(x):
    y = 0.1 * x
    y[2:] += 0.7 * x[:-2]
    y[::3] *= 1.1
    return y


def steps(t):
    y = t
    for _ in range(10):
        y = y + 0.1 * (np.exp(-y) - 0.3 * y * y * y)
    return y


def eager_value(value, x):
    """What f computes when it is differentiated eagerly."""
    seen = []

    def f(x):
        seen.append(value(x))
        return np.sum(x)

    ad.gradient(f, EAGER, x)
    return np.array(seen[-1]) if isinstance(x, np.ndarray) else float(seen[-1])


def all_on_the_border(value, points, is_on=np.equal):
    """The derivative is 1 where a replay computes exactly the digits of the eager call, and 0 elsewhere."""

    def f(x, border):
        return np.sum(np.where(is_on(value(x), border), x, 0.0))

    at, *points = points
    prepared = ad.prepare(ad.gradient, f, at, Const(eager_value(value, at)), check="never")
    assert not prepared.reason
    for x in (at, *points):
        border = Const(eager_value(value, x))
        np.testing.assert_array_equal(ad.gradient(f, EAGER, x, border)[0], np.ones(np.shape(x)))
        for _ in range(2):  # the first call goes another way than the later ones
            np.testing.assert_array_equal(prepared(x, border)[0], np.ones(np.shape(x)))
    assert ad.source(prepared).count("def ") == 1  # one branch


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name):
    all_on_the_border(ARRAYS[name], [RNG.normal(size=13) for _ in range(8)])


@pytest.mark.parametrize("name", MATRICES)
def test_matrices(name):
    all_on_the_border(MATRICES[name], [RNG.normal(size=(300, 5)) for _ in range(3)])


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name):
    all_on_the_border(NUMBERS[name], RNG.uniform(0.1, 2.0, 40).tolist())


@pytest.mark.parametrize("seed", range(20))
def test_functions_of_functions(seed):
    rng = np.random.default_rng(seed)
    first, second, third = (list(ARRAYS.values())[k] for k in rng.integers(len(ARRAYS), size=3))
    all_on_the_border(lambda x: np.tanh(first(np.sin(second(third(x))))), [rng.normal(size=13) for _ in range(4)])


def test_blocks():
    points = [RNG.normal(size=40_000) for _ in range(2)]
    all_on_the_border(lambda x: chain(x) - 0.3 * np.sum(chain(0.5 * x)) / np.sum(x * x), points)


def chain(x):
    for _ in range(4):
        x = np.sin(0.3 * x) + 0.7 * x
    return x


# Other ways to see that y has the digits of b.
JUMPS = {
    "floor and ceil": lambda y, b: (np.floor(y - b) == 0) & (np.ceil(y - b) == 0),
    "sign": lambda y, b: 1 - np.abs(np.sign(y - b)),
    "a condition": lambda y, b: np.where(y - b, 0, 1),
    "heaviside": lambda y, b: np.heaviside(y - b, 0.5) == 0.5,
    "floor division": lambda y, b: ((y - b) // 1.0 == 0) & ((b - y) // 1.0 == 0),
    "remainder": lambda y, b: (y - b) % 1.0 == (b - y) % 1.0,
    "rounding": lambda y, b: np.round((y - b) * 1e20) == 0,
    "a cast": lambda y, b: ((y - b) * 1e17).astype(int) == 0,
    "isclose": lambda y, b: np.isclose(y, b, 0.0, 0.0),
    "argmax": lambda y, b: (np.argmax(np.stack([y, b]), 0) == 0) & (np.argmax(np.stack([b, y]), 0) == 0),
    "argsort": lambda y, b: (
        np.argsort(np.stack([y, b]), 0, kind="stable")[0] + np.argsort(np.stack([b, y]), 0, kind="stable")[0] == 0
    ),
    "not": lambda y, b: np.logical_not(y - b),
    "a count": lambda y, b: np.count_nonzero(y - b) == 0,
    "all": lambda y, b: np.all(y == b),
    "a mask of several": lambda y, b: (y <= b) & ~(y < b),
    "a sorted array": lambda y, b: np.searchsorted(np.sort(b), y) < np.searchsorted(np.sort(b), y, side="right"),
}


@pytest.mark.parametrize("name", JUMPS)
def test_jumps(name):
    all_on_the_border(ARRAYS["a sum of multiples"], [RNG.normal(size=13) for _ in range(8)], JUMPS[name])


def test_branches():
    def f(x, border):
        y = np.sum(x * 0.3 + 1.5 * x)
        return np.sum(x) if y == border else 2.0 * np.sum(x) if float(y) < border else 3.0 * np.sum(x)

    points = [RNG.normal(size=13) for _ in range(8)]
    borders = [eager_value(lambda x: np.sum(x * 0.3 + 1.5 * x), x).item() for x in points]
    prepared = ad.prepare(ad.gradient, f, points[0], Const(borders[0]), check="never")
    for x, border in zip(points, borders, strict=True):
        np.testing.assert_array_equal(prepared(x, Const(border))[0], np.ones(13))
    assert ad.source(prepared).count("def ") == 1  # one branch


def test_ties_of_an_extremum_are_shared_as_eagerly():
    def f(x):
        return np.max(np.stack([x + 1.5 * x, 2.0 * x + 0.5 * x]), axis=0) @ x

    for x in (RNG.normal(size=40) for _ in range(3)):
        np.testing.assert_allclose(ad.prepare(ad.gradient, f, 2 * x)(x)[0], ad.gradient(f, EAGER, x)[0], rtol=1e-14)
    x = RNG.normal(size=(50, 6))
    distances = lambda x: np.sum((x[:, None] - x[::-1][None, :7]) ** 2, axis=-1)
    f = lambda x: np.sum(np.min(distances(x), axis=1))
    np.testing.assert_allclose(ad.prepare(ad.gradient, f, 2 * x)(x)[0], ad.gradient(f, EAGER, x)[0], rtol=1e-12)


def test_a_primitive_may_jump():
    is_zero = ad.primitive(lambda y: np.where(y == 0, 1.0, 0.0))

    @ad.define_rrule(is_zero)
    def is_zero_rrule(y):
        return np.where(y == 0, 1.0, 0.0), lambda bar: (ad.NoTangent(), np.zeros_like(y))

    is_on = lambda y, b: is_zero(y - b) == 1
    all_on_the_border(ARRAYS["a sum of multiples"], [RNG.normal(size=13) for _ in range(4)], is_on)


def test_what_decides_over_nothing_is_simplified():
    """The shift of a softmax: its derivative is zero, and the extremum's place with it."""

    def f(x):
        y = 0.1 * (3.0 * x) - x
        top = np.max(y)
        return top + np.log(np.sum(np.exp(y - top)))

    prepared = ad.prepare(ad.gradient, f, RNG.normal(size=13))
    source = ad.source(prepared)
    assert "share" not in source
    assert "spread" not in source
    assert "multiply(x, km0_7" in source
