"""Programs as people write them who have never heard of traced values, each with the same in NumPy functions alone."""

from __future__ import annotations

import cmath
import colorsys
import copy
import functools
import itertools
import math
import operator
import statistics
from dataclasses import dataclass

import numpy as np
from numpy import array, zeros

POINT = np.array([0.4, 0.7, 1.3])
SCALE = 2.0


def helper(v):
    return math.sqrt(v) * SCALE


class Spring:
    """A class with everything that a class has."""

    def __init__(self, k, rest=0.1):
        self.k, self.rest, self.calls = k, float(rest), 0

    @property
    def stiffness(self):
        return math.exp(self.k)

    @functools.cached_property
    def slow(self):
        return math.cos(self.k)

    @classmethod
    def soft(cls, k):
        return cls(float(k) / 10)

    @staticmethod
    def damping(v):
        return math.tanh(v)

    def __private(self, x):
        return math.log(x)

    def energy(self, x):
        self.calls += 1
        return 0.5 * self.stiffness * (x - self.rest) ** 2 + self.__private(x)

    def __call__(self, x):
        return math.sin(x) * self.k


class Doubled(Spring):
    def energy(self, x):
        return 2 * super().energy(x)


OUTSIDE = Doubled(0.3)


@dataclass
class Point:
    x: float
    y: float

    def norm(self):
        return math.hypot(self.x, self.y)


def with_note(f):
    @functools.wraps(f)
    def wrapper(*args, **kwargs):
        return f(*args, **kwargs) + 1.0

    return wrapper


@with_note
def decorated(x, factor=3.0, *, shift=math.pi):
    return math.sin(x) * factor + shift


@functools.cache
def remembered(x):
    return math.sin(x) ** 2


@functools.singledispatch
def kind_of(x):
    return 0.0 * x


@kind_of.register
def _(x: float):
    return math.exp(x)


def buffer(x):
    out = zeros(3)
    out[0] = x[0] ** 2
    out[1] += x[1] * x[0]
    out[2] = math.sin(x[2])
    return np.sum(out**2)


def views(x):
    out = np.empty((2, 3))
    row = out[1]
    out[0] = x * 2
    row[:] = 1.0
    row[1:] *= x[:2]
    return np.sum(out * np.arange(6.0).reshape(2, 3))


def table(x):
    grid = np.full((2, 2), x[0])
    grid[1, 1] = x[1]
    more = np.eye(2)
    more[0, 1] = x[2]
    more += grid
    return np.linalg.det(more @ more)


def matrix(x):
    c, s = math.cos(x[0]), math.sin(x[0])
    rotation = array([[c, -s], [s, c]], dtype=float)
    return float(np.asarray([x[1], x[2]]) @ rotation @ np.array([1.0, 2.0]))


def copied(x):
    base = np.array([1.0, 2.0, 3.0])
    one, two, three = base.copy(), base.astype(float), copy.deepcopy(base)
    one[0] = x[0]
    two[1] = x[1]
    three[2] = x[2]
    return np.sum(one * two * three)


def branches(x):
    total = 0.0
    for v in x:
        if isinstance(v, float) and np.isscalar(v):
            total += math.exp(v) if v > 0.5 else math.log1p(v)
    return total


def simpson(f, a, b, n=6):
    h = (b - a) / n
    s = f(a) + f(b)
    for i in range(1, n):
        s += f(a + i * h) * (4 if i % 2 else 2)
    return s * h / 3


def newton(x):
    t = 1.0
    while True:
        step = (t**3 + x[0] * t - x[1]) / (3 * t**2 + x[0])
        t -= step
        if abs(step) < 1e-13 or math.isnan(step):
            return t


def generator(n, x):
    for i in range(n):
        yield math.sin(i * x)


def recursive(n, x):
    return x if n == 0 else math.sin(recursive(n - 1, x))


def counter(x):
    state = 0.0

    def add(v, f=math.exp):
        nonlocal state
        state += f(v)
        return state

    return sum([add(v) for v in x])


def sizes(x):
    n = int(x[2] * 3)
    return sum(x[i % 2] * math.floor(x[2] + i) for i in range(n))


def strings(x):
    parts = {"a": x[0], "b": math.sqrt(x[1])}
    return sum(parts[k] for k in sorted(parts)) * max(x, key=lambda v: -v)


def errors(x):
    total = 0.0
    for v in (x[0] - 1, x[1], x[2] * 600):
        try:
            total += math.log(v)
        except ValueError:
            total += v**2
        try:
            total += math.exp(v)
        except OverflowError:
            total += v
    return total


def heap(x):
    points = [Point(a, b) for a, b in itertools.pairwise(x)]
    return functools.reduce(operator.mul, (p.norm() for p in points))


def running(x):
    return sum(itertools.accumulate(x, lambda a, b: math.sin(a) * b))


def wave(x):
    z = cmath.exp(complex(0.0, x[0])) * cmath.sqrt(complex(x[1], x[2]))
    return abs(z) + cmath.phase(z) + z.real


def filled(x):
    a = np.fromiter((math.sin(v) for v in x), dtype=float)
    b = np.full_like(a, x[0])
    c = np.linspace(x[0], x[1], 4)
    d = np.atleast_2d([x[0], 1.0])
    return np.sum(np.r_[a, b, 2.0] ** 2) + np.sum(np.c_[c, c]) + np.sum(np.block([[d], [d]])) + np.sum(np.require(x))


def entry_by_entry(x):
    return np.sum(np.vectorize(lambda v: math.sin(v) * 2.0)(x))


# f, and the same with NumPy functions alone
PROGRAMS = {
    "math": (
        lambda x: math.sin(x[0]) * math.atan2(x[1], x[2]) + math.hypot(x[0], x[1]) + math.pow(x[0], x[1]),
        lambda x: np.sin(x[0]) * np.arctan2(x[1], x[2]) + np.hypot(x[0], x[1]) + x[0] ** x[1],
    ),
    "more of math": (
        lambda x: math.log(x[0], 3) + math.fsum(x) + math.prod(x) + math.dist(x, [0, 1, 2]) + math.radians(x[1]),
        lambda x: (
            np.log(x[0]) / np.log(3) + np.sum(x) + np.prod(x) + np.linalg.norm(x - np.arange(3.0)) + x[1] * np.pi / 180
        ),
    ),
    "helper": (lambda x: helper(x[0]) * helper(x[1]), lambda x: 4.0 * np.sqrt(x[0] * x[1])),
    "buffer": (buffer, lambda x: x[0] ** 4 + (x[0] * x[1]) ** 2 + np.sin(x[2]) ** 2),
    "views": (views, lambda x: 2 * x[1] + 4 * x[2] + 3.0 + 4 * x[0] + 5 * x[1]),
    "table": (table, lambda x: ((1 + x[0]) * (1 + x[1]) - (x[0] + x[2]) * x[0]) ** 2),
    "matrix": (
        matrix,
        lambda x: np.cos(x[0]) * (x[1] + 2 * x[2]) + np.sin(x[0]) * (x[2] - 2 * x[1]),
    ),
    "copied": (copied, lambda x: x[0] + 4 * x[1] + 9 * x[2]),
    "branches": (branches, lambda x: np.log1p(x[0]) + np.exp(x[1]) + np.exp(x[2])),
    "callback": (
        lambda x: simpson(lambda t: math.exp(-x[0] * t) * x[1], 0.0, x[2]),
        lambda x: np.sum(
            np.exp(-x[0] * x[2] * np.arange(7.0) / 6) * np.array([1, 4, 2, 4, 2, 4, 1]) * x[1] * x[2] / 18
        ),
    ),
    "newton": (newton, None),
    "generator": (lambda x: sum(generator(3, x[0])), lambda x: np.sin(x[0]) + np.sin(2 * x[0])),
    "recursion": (lambda x: recursive(2, x[0]), lambda x: np.sin(np.sin(x[0]))),
    "nonlocal": (counter, lambda x: 3 * np.exp(x[0]) + 2 * np.exp(x[1]) + np.exp(x[2])),
    "sizes": (sizes, lambda x: 1.0 * x[0] + 2.0 * x[1] + 3.0 * x[0]),
    "strings": (strings, lambda x: (x[0] + np.sqrt(x[1])) * x[0]),
    "errors": (
        errors,
        lambda x: (x[0] - 1) ** 2 + np.exp(x[0] - 1) + np.log(x[1]) + np.exp(x[1]) + np.log(x[2] * 600) + x[2] * 600,
    ),
    "dataclass": (heap, lambda x: np.hypot(x[0], x[1]) * np.hypot(x[1], x[2])),
    "accumulate": (
        running,
        lambda x: x[0] + np.sin(x[0]) * x[1] + np.sin(np.sin(x[0]) * x[1]) * x[2],
    ),
    "complex": (
        wave,
        lambda x: (
            (x[1] ** 2 + x[2] ** 2) ** 0.25
            + x[0]
            + np.arctan2(x[2], x[1]) / 2
            + (x[1] ** 2 + x[2] ** 2) ** 0.25 * np.cos(x[0] + np.arctan2(x[2], x[1]) / 2)
        ),
    ),
    "filled": (
        filled,
        lambda x: np.sum(np.sin(x) ** 2) + 3 * x[0] ** 2 + 4.0 + 4 * (x[0] + x[1]) + 2 * x[0] + 2.0 + np.sum(x),
    ),
    "vectorize": (entry_by_entry, lambda x: np.sum(2 * np.sin(x))),
    "method": (
        lambda x: OUTSIDE.energy(x[0]) + OUTSIDE(x[1]),
        lambda x: np.exp(0.3) * (x[0] - 0.1) ** 2 + 2 * np.log(x[0]) + np.sin(x[1]) * 0.3,
    ),
    "made inside": (
        lambda x: Spring(x[0]).energy(x[1]) + Spring.soft(x[2]).k + Spring.damping(x[1]) + Spring(x[0]).slow,
        lambda x: 0.5 * np.exp(x[0]) * (x[1] - 0.1) ** 2 + np.log(x[1]) + x[2] / 10 + np.tanh(x[1]) + np.cos(x[0]),
    ),
    "decorated": (lambda x: decorated(x[0], shift=x[1]), lambda x: 3 * np.sin(x[0]) + x[1] + 1),
    "cache": (lambda x: remembered(x[0]) + remembered(x[1]), lambda x: np.sin(x[0]) ** 2 + np.sin(x[1]) ** 2),
    "singledispatch": (lambda x: kind_of(x[0]) + x[1], lambda x: np.exp(x[0]) + x[1]),
    "partial": (lambda x: functools.partial(decorated, factor=x[1])(x[0]), lambda x: x[1] * np.sin(x[0]) + np.pi + 1),
    "map": (
        lambda x: sum(map(math.sin, x)) + sum(map(OUTSIDE, x)) + sum(map(float, x)),
        lambda x: 1.3 * np.sum(np.sin(x)) + np.sum(x),
    ),
    "statistics": (
        lambda x: statistics.fmean(x) + statistics.stdev(list(x)) + statistics.pvariance(list(x)),
        lambda x: np.mean(x) + np.std(x, ddof=1) + np.var(x),
    ),
    "colorsys": (
        lambda x: sum(colorsys.rgb_to_yiq(*x)),
        lambda x: -0.36 * np.dot(x, [0.3, 0.59, 0.11]) + 1.22 * x[0] + 0.14 * x[2],
    ),
    "polynomial": (
        lambda x: np.polynomial.Polynomial(x)(0.5),
        lambda x: x[0] + 0.5 * x[1] + 0.25 * x[2],
    ),
}
