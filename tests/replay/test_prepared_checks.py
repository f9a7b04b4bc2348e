"""The comparison of a replay with the eager result: entry by entry, with nothing excused but rounding."""

from __future__ import annotations

import numpy as np
import pytest

import adselect as ad
from adselect import AutoTape

EAGER = AutoTape(replay=False)


def same(got, want):
    np.testing.assert_allclose(np.asarray(got[0], float), np.asarray(want[0], float), rtol=1e-10, atol=1e-12)


# -- the comparison with the eager result ------------------------------------------------------------------------------


def falsified(prepared, change):
    variant = prepared._run.variants[0]  # private: nobody can have a wrong program otherwise
    right = variant.replay
    variant.run = lambda inputs: change([np.asarray(v) for v in right(inputs)])


@pytest.mark.parametrize("scale", [1e3, 1e12, 1e20])
def test_entries_are_compared_one_by_one(scale):
    """An entry that is wrong is found beside one of any size."""
    f = lambda x: np.sum(np.array([scale, 1.0]) * x**2)
    prepared = ad.prepare(ad.gradient, f, AutoTape(), np.ones(2), check="always")
    same(prepared(np.ones(2)), (np.array([2 * scale, 2.0]),))
    falsified(prepared, lambda values: (values[0] + np.array([0.0, 2.0]),))
    with pytest.raises(ValueError, match=r"\[0\]\[1\] is 4 instead of 2"):
        prepared(np.ones(2))


def test_rounding_is_no_difference():
    """What is left when large numbers cancel is rounding, and differs from one order of summing to another."""
    big = np.array([1e12, 3e11, 7e12])

    def f(x):
        y = (x + big) - big
        return np.sum(y * y) + np.sum((x - np.sum(x + 1e10)) ** 2) * 1e-10

    prepared = ad.prepare(ad.gradient, f, AutoTape(), np.array([0.1, 0.2, 0.3]), check="always")
    for k in range(20):
        x = np.random.default_rng(k).normal(size=3)
        np.testing.assert_allclose(prepared(x)[0], ad.gradient(f, EAGER, x)[0], rtol=1e-2)
    assert ad.source(prepared)


def test_rounding_excuses_no_mistake():
    def f(x):
        y = (x + 1e8) - 1e8
        return np.sum(y * y)

    prepared = ad.prepare(ad.gradient, f, AutoTape(), np.ones(3), check="always")
    falsified(prepared, lambda values: (values[0] * 1.001,))
    with pytest.raises(ValueError, match="instead of"):
        prepared(np.ones(3))
