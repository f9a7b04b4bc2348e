"""Arrays made like a traced one, and plain arrays that traced numbers are written into."""

from __future__ import annotations

from typing import Any

import numpy as np

from .dispatch import is_traced
from .refusals import refused_write
from .traced import Traced

# Functions that reach us only by their like= argument: array constructors.
CREATORS: frozenset[Any] = frozenset(
    {
        *(np.array, np.asarray, np.asanyarray, np.ascontiguousarray, np.asfortranarray, np.require),
        *(np.zeros, np.ones, np.empty, np.full, np.eye, np.identity, np.tri, np.arange),
        *(np.fromfunction, np.fromiter, np.frombuffer, np.fromstring, np.fromfile, np.loadtxt, np.genfromtxt),
    }
)


def created(like: Traced, function: Any, args: tuple, kwargs: dict) -> Any:
    """``function(*args, like=like, **kwargs)``: a traced array, so that traced values can be written into it."""
    from .namespace import Namespace

    if function is np.full and is_traced(args[1:]):
        value = Namespace(like).full(*args, **{k: v for k, v in kwargs.items() if k == "dtype"})
    elif is_traced(args[:1]):
        value = Namespace(like).asarray(args[0], dtype=kwargs.get("dtype"), copy=function is np.array or None)
    else:
        value = function(*args, **kwargs)
    if not isinstance(value, Traced) and not like._closed:
        value = like._constant(value)
    return value._as_array() if isinstance(value, Traced) and not value.shape else value


def into_plain(function: Any, *args: Any, name: str = "", **kwargs: Any) -> Any:
    """``function(*args)``, which writes into a plain array: of values that carry no derivative."""
    known = [a._known() if isinstance(a, Traced) else a for a in args]
    if any([k is NotImplemented or is_traced(k) for k in known]):
        raise refused_write(name or f"np.{function.__name__}")
    return function(*known, **kwargs)
