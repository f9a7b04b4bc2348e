"""NumPy's functions in terms of ``jax.numpy``: the translation table of the JAX face.

Most names mean the same in both libraries and are rows of a list. The rest is written out, in one file per subject of
the rules: where ``jnp`` lacks an option, promotes integers differently, or has another slope at a kink.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..framework_call import OF_RULES_ONLY
from . import (  # noqa: F401  (their rows join the table)
    shortcuts,
    table_decompositions,
    table_elementwise,
    table_fft,
    table_indexing,
    table_linalg,
    table_quantiles,
    table_reductions,
    table_shaping,
    table_signals,
)
from .operands import REAL_ONLY, SHORTCUTS, TABLE
from .table_special import special_function

__all__ = ["BY_NUMPY", "REAL_ONLY", "TABLE", "target"]

TABLE.update(SHORTCUTS)
# Atoms that JAX lacks or has with a wrong derivative (i0 at 0).
BY_NUMPY = OF_RULES_ONLY | {np.i0}


def target(function: Any) -> Callable | None:
    """The JAX implementation of a NumPy or scipy.special function, or None."""
    found = TABLE.get(function)
    if found is None:
        found = special_function(function)
        if found is not None:
            TABLE[function] = found
    return found
