"""jax.numpy for the functions that change a shape."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from ...face.atoms import join, pile
from .operands import TABLE, implements, is_complex, like_numpy, same_name

same_name("reshape transpose expand_dims squeeze shape ndim size")
TABLE[np.broadcast_to] = lambda array, shape, subok=False: jnp.broadcast_to(array, shape)


@implements(join)
def _join(*arrays: Any, axis: int) -> Any:
    return jnp.concatenate(like_numpy([jnp.asarray(a) for a in arrays]), axis)


@implements(pile)
def _pile(*arrays: Any, axis: int) -> Any:
    return jnp.stack(like_numpy([jnp.asarray(a) for a in arrays]), axis)


@implements(np.copy)
def _copy(a: Any, order: Any = "K", subok: bool = False) -> Any:
    return a  # jax arrays do not change


@implements(getattr(np, "astype", None))
def _astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    dtype = np.dtype(dtype)
    return x.real.astype(dtype) if is_complex(x) and dtype.kind not in "cb" else x.astype(dtype)
