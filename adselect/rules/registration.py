"""Every subject's rules, registered by importing it: whoever looks rules up imports this file first.

The subjects that most programs never meet are loaded with the first function that is not found without them, so that a
first gradient does not wait for them. Who reads the tables as a whole calls ``load_all`` first.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from . import choosing, elementwise, indexing, linalg, reductions, scans, shaping, undetermined  # noqa: F401
from .registry import COMPOSITES, NO_DERIVATIVE, RULES

_LATER = [
    *("creation", "eigenvalues", "fft", "least_squares", "norms", "polynomials", "quantiles", "set_routines"),
    *("signals", "singular_values", "solving", "statistics"),
]


def load_all() -> None:
    """Register every subject."""
    while _LATER:
        # Named until it is there: another thread that looks meanwhile waits for the import.
        importlib.import_module(f".{_LATER[0]}", __package__)
        del _LATER[:1]


def load_for(function: Any) -> bool:
    """Whether rules that are loaded on demand cover function; registers them the first time.

    The functions of scipy.special are ufuncs and arrive like NumPy's own. Their rules need SciPy, which ``import
    adselect`` must not load: whoever calls one of them has it loaded already.
    """
    if _LATER:
        load_all()
        if _is_known(function):
            return True
    if "scipy.special" not in sys.modules or "adselect.rules.special" in sys.modules:
        return False
    from .special import rows as special  # noqa: F401  (registration)

    return _is_known(function)


def _is_known(function: Any) -> bool:
    return function in RULES or function in COMPOSITES or function in NO_DERIVATIVE
