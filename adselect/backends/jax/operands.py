"""What a row of the JAX table is given: native arrays, numbers and lists, and what they become in NumPy's eyes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import concrete_or_error

from ..framework_call import rows_into

TABLE: dict[Any, Callable] = {}  # the atoms that JAX has
SHORTCUTS: dict[Any, Callable] = {}  # and what would do without a row
# Functions that JAX has for real numbers only.
REAL_ONLY: set[Any] = set()


implements, shortcut = rows_into(TABLE), rows_into(SHORTCUTS)


def same_name(names: str, prepare: Callable | None = None, into: dict = TABLE) -> None:
    """Enter the functions that have one name and one meaning in NumPy and in ``jax.numpy``."""
    for name in names.split():
        function, target = _find(np, name), _find(jnp, name)
        # A name that this NumPy does not have yet is not a row.
        if function is not None and target is not None:
            into[function] = prepare(target) if prepare else target


def _find(module: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        module = getattr(module, part, None)
    return module


def concrete(value: Any) -> np.ndarray | None:
    """The NumPy value behind a native array, also one being differentiated; None while JAX compiles or batches."""
    try:
        return concrete_or_error(np.asarray, value)
    except jax.errors.JAXTypeError:
        return None


def is_complex(x: Any) -> bool:
    return jnp.iscomplexobj(x)


_INTEGERS = frozenset("iu")


def like_numpy(operands: Any) -> Any:
    """Operands with integer arrays cast to the float type NumPy would compute in."""
    dtypes = {a.dtype for a in operands if hasattr(a, "dtype") and not getattr(a, "weak_type", False)}
    if len(dtypes) < 2 or not any(d.kind in _INTEGERS for d in dtypes):
        return operands
    target = np.result_type(*dtypes)
    if target.kind not in "fc":
        return operands
    real = np.empty(0, target).real.dtype
    return [a.astype(real) if is_strong_integer(a) else a for a in operands]


def is_strong_integer(a: Any) -> bool:
    return hasattr(a, "dtype") and a.dtype.kind in _INTEGERS and not getattr(a, "weak_type", False)


def promoting(function: Callable) -> Callable:
    def call(*args: Any, **kwargs: Any) -> Any:
        kwargs = {k: jnp.asarray(v) if type(v) is list else v for k, v in kwargs.items()}
        return function(*like_numpy([listed(a) for a in args]), **kwargs)

    return call


def listed(a: Any) -> Any:
    """JAX takes no lists for arrays."""
    return jnp.asarray(a) if type(a) in (list, tuple) else a


def of_lists(function: Callable) -> Callable:
    nested = function is jnp.block  # its lists are rows, not arrays

    def call(arrays: Any, *args: Any, casting: Any = None, **kwargs: Any) -> Any:
        if isinstance(arrays, (list, tuple)):
            items = [a if hasattr(a, "dtype") or (nested and isinstance(a, list)) else jnp.asarray(a) for a in arrays]
            arrays = list(like_numpy(items))
        return function(arrays, *args, **kwargs)

    return call
