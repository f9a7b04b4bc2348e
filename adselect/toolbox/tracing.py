"""is_traced: whether a derivative is being computed of a value, for code that needs to know."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import UnsupportedError
from ..face.array import Array
from ..face.dispatch import plain
from ..values.kinds import isa
from ..values.natives import natives_of

__all__ = ["is_traced"]


def is_traced(value: Any) -> bool:
    """Whether value is traced, or a list, tuple, dict or object array that holds a traced value.

    Traced values answer ``isinstance``, ``np.isscalar`` and the like as the NumPy values they stand for; this tells
    them apart, on every backend: values behind the NumPy face, JAX's tracers, autograd's boxes, torch tensors that
    require a gradient. Not traced: plain values, masks and integers without a derivative that have a value, and what f
    kept after its derivative was over. With finite differences f runs on plain values. Cost: a look at each entry.

    >>> import numpy as np, adselect as ad
    >>> seen = []
    >>> def f(x):
    ...     seen.append((is_traced(x), is_traced({"a": [x[0]]}), is_traced(x > 0)))
    ...     return x[0]
    >>> _ = ad.gradient(f, np.ones(2))
    >>> seen, is_traced(np.ones(2))
    ([(True, True, False)], False)
    """
    return _look(value, set())


def _is_there(number: Array) -> bool:
    try:
        known = number._known()
    except UnsupportedError:  # while JAX compiles or batches
        return False
    return known is not NotImplemented and isa(plain(known), (np.ndarray, np.generic))


def _look(value: Any, above: set[int]) -> bool:
    if isinstance(value, Array):
        if value._closed:
            return False
        # Of numbers without a derivative only those are traced that are not there yet, or that a program records.
        return value.dtype.kind not in "iub" or not _is_there(value)
    if isinstance(value, dict):
        entries: Any = list(value.values())
    elif isinstance(value, (list, tuple)):
        entries = value
    elif isa(value, np.ndarray) and value.dtype == object:
        entries = value.flat
    else:
        natives = natives_of(value)
        return natives is not None and natives.is_watched(value)
    if id(value) in above:
        return False
    return any(_look(v, above | {id(value)}) for v in entries)
