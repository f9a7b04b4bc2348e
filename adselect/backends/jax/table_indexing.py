"""jax.numpy for the positions of elements, and for what kind of array there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...values.kinds import isa
from .operands import TABLE, concrete, like_numpy, listed, promoting, same_name

same_name("nonzero argwhere flatnonzero unravel_index lexsort")
same_name("isin allclose array_equal array_equiv", promoting)
TABLE[np.argpartition] = lambda a, kth, axis=-1, *rest, **other: jnp.argsort(a, axis)
TABLE[np.argsort] = lambda a, axis=-1, *rest, **other: jnp.argsort(a, axis)
TABLE[np.searchsorted] = lambda a, v, side="left", sorter=None: jnp.searchsorted(
    *like_numpy((listed(a), listed(v))), side=side, sorter=sorter
).astype(int)
TABLE[np.digitize] = lambda x, bins, right=False: jnp.digitize(listed(x), listed(bins), right).astype(int)
TABLE[np.result_type] = lambda *args: np.result_type(*[_weak_or_dtype(a) for a in args])
TABLE[np.tril_indices_from] = lambda arr, k=0: np.tril_indices(*_rectangle(arr, k))
TABLE[np.triu_indices_from] = lambda arr, k=0: np.triu_indices(*_rectangle(arr, k))


def _rectangle(a: Any, k: int) -> tuple:
    rows, columns = jnp.shape(a)
    return rows, k, columns


def _weak_or_dtype(a: Any) -> Any:
    if getattr(a, "weak_type", False):
        return {"i": 0, "f": 0.0, "c": 0j, "b": False}[a.dtype.kind]
    return a.dtype if isa(a, (jax.Array, np.ndarray, np.generic)) else a


def _position(function: Callable) -> Callable:
    """NumPy's error where there is nothing but NaN."""

    def call(a: Any, *args: Any, **kwargs: Any) -> Any:
        position = function(a, *args, **kwargs)
        known = concrete(position)
        if known is not None and (known < 0).any():
            raise ValueError("All-NaN slice encountered")
        return position

    return call


same_name("nanargmax nanargmin", _position)
