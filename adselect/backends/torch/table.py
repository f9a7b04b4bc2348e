"""The table NumPy function → torch implementation, with NumPy's signatures and NumPy's answers.

An entry takes tensors, Python numbers and lists, under NumPy's names and in NumPy's order, and returns tensors of the
shape and dtype NumPy would return. Most entries are rows of a dictionary; a function stands where the two libraries
differ in more than a name: ``axis``/``dim``, NumPy 2's type promotion (torch lets a 0-d tensor be weak), and the kinks
where torch's own derivative is not the one adselect promises. What is missing here falls back to the composites. The
rows stand in one file per subject of the rules.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ..framework_call import OF_RULES_ONLY
from . import (  # noqa: F401  (their rows join the table)
    shortcuts,
    table_creation,
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
from .operands import SHORTCUTS, TABLE
from .table_special import SPECIAL

__all__ = ["BY_NUMPY", "REAL_ONLY", "TABLE", "target"]


TABLE.update(SHORTCUTS)
# Atoms that torch lacks: steps between floating-point numbers.
BY_NUMPY = OF_RULES_ONLY | {np.nextafter}
# What torch has for real numbers only; functions of scipy.special are added when they are met.
REAL_ONLY: set[Any] = {np.arcsin, np.arccos, np.arcsinh, np.arccosh}


def target(function: Any) -> Callable | None:
    """The torch implementation of a NumPy or scipy.special function, or None."""
    implementation = TABLE.get(function)
    if implementation is None and isinstance(function, np.ufunc):
        special = sys.modules.get("scipy.special")
        name = function.__name__
        if special is not None and name in SPECIAL and getattr(special, name, None) is function:
            implementation = TABLE[function] = SPECIAL[name]
            REAL_ONLY.add(function)
    return implementation
