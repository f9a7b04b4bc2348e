"""Where JAX's own derivative at a kink is not the one that adselect promises.

Kinks are placed with ``where`` on the argument as well as on the result, which holds in forward and reverse mode and at
every order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .operands import concrete
from .zeros import bend


def safe(function: Callable, bad: Any, x: Any, there: Any = 0) -> Any:
    """function(x) with the constant ``there``, and slope 0, where bad."""
    y = function(jnp.where(bad, 1, x))
    return jnp.where(bad, jnp.asarray(there, y.dtype), y)


def bent(y: Any, at: Any, *of: Any) -> Any:
    """y, with a second derivative with respect to ``of`` that is NaN where ``at``: there y has a kink."""
    known = concrete(at)
    if known is not None and not known.any():
        return y
    return y + bend(sum(of[1:], of[0]), at)


def root(x: Any) -> Any:
    """The square root of a sum of squares: slope 0 at 0, and no second derivative there."""
    return bent(safe(jnp.sqrt, x == 0, x), x == 0, x)


@jax.custom_jvp
def slope_of_absolute(x: Any) -> Any:
    return jnp.sign(x)


@slope_of_absolute.defjvp
def slope_of_absolute_jvp(primals: Any, tangents: Any) -> Any:
    # A zero that belongs to x all the same: at 0 the slope is no constant.
    return slope_of_absolute(*primals), 0 * tangents[0]
