"""Random programs of indices, views and writes on a traced array against the same program on a plain one.

Every program is linear in x, so its pullback is the transpose of the matrix that plain NumPy gives for unit vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import adselect as ad
from adselect.errors import UnsupportedError

VIEWS: list[Callable] = [
    lambda a: a.T,
    lambda a: a.ravel(),
    lambda a: a.ravel("F"),
    lambda a: a.ravel("K"),
    lambda a: a.reshape(-1),
    lambda a: a.reshape(-1, order="F"),
    lambda a: np.swapaxes(a, 0, -1),
    lambda a: np.moveaxis(a, 0, -1),
    lambda a: np.flip(a),
    lambda a: np.rot90(a) if a.ndim > 1 else a,
    lambda a: np.expand_dims(a, 0),
    lambda a: np.squeeze(a),
    lambda a: np.diagonal(a) if a.ndim > 1 else a,
    lambda a: np.array_split(a, 2)[0],
    lambda a: np.broadcast_to(a, (2, *a.shape)),
    lambda a: a.copy(),
    lambda a: a.copy("K"),
    lambda a: a.flat[:],
    lambda a: a.real,
]


def single(rng: np.random.Generator, n: int) -> Any:
    """An index of one axis of length n."""
    kind = rng.integers(0, 9)
    if kind == 0 and n:
        return int(rng.integers(-n, n))
    if kind == 1:
        return slice(None, None, int(rng.choice([-2, -1, 2])))
    if kind == 2:
        return slice(*sorted(rng.integers(-n - 1, n + 2, 2).tolist()))
    if kind == 3 and n:
        return rng.integers(-n, n, rng.integers(1, 3, rng.integers(0, 3)))
    if kind == 4 and n:
        return rng.integers(-n, n, 2).tolist()
    if kind == 5:
        return rng.random(n) < 0.5
    if kind == 6 and n:
        return np.int64(rng.integers(-n, n))
    return slice(None)


def some_index(rng: np.random.Generator, shape: tuple) -> Any:
    if rng.random() < 0.05 and shape:
        return rng.random(shape) < 0.5
    index: list = [single(rng, n) for n in shape[: rng.integers(0, len(shape) + 1)]]
    for special in (None, Ellipsis):
        if rng.random() < 0.15:
            index.insert(int(rng.integers(0, len(index) + 1)), special)
    return index[0] if len(index) == 1 and rng.random() < 0.7 else tuple(index)


def carry_out(arrays: list, step: tuple) -> None:
    what, source, *rest = step
    a = arrays[source]
    if what == "get":
        arrays.append(a[rest[0]])
    elif what == "view":
        arrays.append(VIEWS[rest[0]](a))
    elif what == "set":
        a[rest[0]] = rest[1]
    elif what == "copy over":
        a[rest[0]] = arrays[rest[1]]
    elif what == "update":
        a[rest[0]] *= rest[1]
    else:
        a *= rest[0]
        arrays[source] = a


def some_program(rng: np.random.Generator, shape: tuple) -> list[tuple]:
    """Steps, the last of which NumPy may refuse."""
    steps: list[tuple] = []
    arrays: list = [np.arange(float(np.prod(shape))).reshape(shape).copy()]
    for _ in range(rng.integers(1, 6)):
        source = int(rng.integers(0, len(arrays)))
        a = arrays[source]
        if not isinstance(a, np.ndarray):
            continue
        what = str(rng.choice(["get", "get", "view", "set", "copy over", "update", "scale"]))
        index = some_index(rng, a.shape)
        step: tuple = (what, source)
        if what == "view":
            step += (int(rng.integers(0, len(VIEWS))),)
        elif what == "scale":
            step += (float(rng.normal()),)
        elif what == "copy over":
            step += (index, int(rng.integers(0, len(arrays))))
        elif what in ("set", "update"):
            step += (index, float(rng.normal()))
        else:
            step += (index,)
        steps.append(step)
        try:
            carry_out(arrays, step)
        except (ValueError, IndexError, TypeError):
            break
    return steps


def run(x: Any, steps: list[tuple]) -> tuple:
    arrays = [x.copy()]
    for step in steps:
        carry_out(arrays, step)
    return tuple(arrays)


def outcome(f: Callable) -> Any:
    try:
        return f()
    except (ValueError, IndexError, TypeError) as error:
        return error


def check(adtype: ad.ADType, seed: int, number: int) -> None:
    rng = np.random.default_rng([seed, number])
    shape = tuple(rng.integers(1, 4, rng.integers(1, 4)).tolist())
    if rng.random() < 0.05:
        shape = (*shape[:-1], 0)
    steps = some_program(rng, shape)
    x = rng.normal(size=shape)
    x = np.asfortranarray(x) if rng.random() < 0.25 else x
    wanted = outcome(lambda: run(x, steps))
    try:
        found = outcome(lambda: ad.pullback(lambda z: run(z, steps), adtype, x))
    except UnsupportedError as error:  # the order of an array in memory is not known: a refusal, and said so
        if not any(said in str(error) for said in ("order in memory", "not known whether NumPy", "broadcast array")):
            raise
        return
    what = f"program {number}: x of shape {shape}, {'F' if np.isfortran(x) else 'C'} order, {steps}"
    if isinstance(wanted, Exception):
        assert isinstance(found, type(wanted)), f"{what}: {found!r} instead of {wanted!r}"
        return
    assert not isinstance(found, Exception), f"{what}: {found!r}"
    values, back = found
    for value, plain in zip(values, wanted, strict=True):
        assert np.shape(value) == np.shape(plain), what
        assert np.array_equal(value, plain), what
    seeds = tuple([rng.normal(size=np.shape(v)) for v in wanted])
    gradient = back(seeds)[0]
    zero = run(np.zeros_like(x), steps)
    expected = np.zeros(x.size)
    for i in range(x.size):
        unit = np.zeros_like(x)
        unit[np.unravel_index(i, shape)] = 1.0
        moved = run(unit, steps)
        expected[i] = sum([np.sum(s * (m - z)) for s, m, z in zip(seeds, moved, zero, strict=True)])
    gradient = np.zeros(shape) if gradient is None else gradient
    assert np.allclose(gradient, expected.reshape(shape), atol=1e-9), what


COUNTS = {"tape": 1000, "forward": 400, "autograd": 400, "torch": 400, "jax": 12}


def test_random_programs(exact_backend):
    for number in range(COUNTS.get(exact_backend.name, 100)):
        check(exact_backend.adtype, 1, number)


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(2, 7))
def test_many_random_programs(exact_backend, seed):
    for number in range(3 * COUNTS.get(exact_backend.name, 100)):
        check(exact_backend.adtype, seed, number)
