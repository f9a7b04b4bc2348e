"""Where the results of JAX arrays lie: where the arguments do, split as they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import adselect as ad
from adselect import AutoJax, AutoTape

jax = pytest.importorskip("jax")

from adselect.backends.jax.natives import placed  # noqa: E402


def test_on_eight_devices():
    code = [sys.executable, "-W", "ignore::RuntimeWarning", "backends/eight_devices.py"]
    done = subprocess.run(code, capture_output=True, text=True, cwd=Path(__file__).parents[1], timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 300


def test_nothing_is_moved_that_lies_where_it_should():
    device = jax.devices()[0]
    like = jax.device_put(np.ones(3), device)
    assert placed(like, jax.numpy.ones(3)) is like  # which was put nowhere on purpose
    assert placed(like, jax.device_put(np.zeros(3), device)) is like
    matrix = jax.numpy.ones((3, 3))
    assert placed(matrix, like) is matrix


@pytest.mark.parametrize("adtype", [AutoJax(), AutoTape()], ids=repr)
def test_an_array_put_on_a_device_gives_one_put_there(adtype):
    x = jax.device_put(np.ones(3, np.float32), jax.devices()[0])
    for f in (np.sum, lambda x: np.sum(x**2)):
        (g,) = ad.gradient(f, adtype, x)
        assert g.committed
        assert g.sharding == x.sharding
