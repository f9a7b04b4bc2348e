"""Every subject's rules, registered by importing it: whoever looks rules up imports this file first."""

from __future__ import annotations

import sys
from typing import Any

from . import (  # noqa: F401
    choosing,
    creation,
    eigenvalues,
    elementwise,
    fft,
    indexing,
    least_squares,
    linalg,
    norms,
    polynomials,
    quantiles,
    reductions,
    scans,
    set_routines,
    shaping,
    signals,
    singular_values,
    solving,
    statistics,
    undetermined,
)
from .registry import COMPOSITES, RULES


def load_for(function: Any) -> bool:
    """Whether rules of a package loaded later cover function; registers them the first time.

    The functions of scipy.special are ufuncs and arrive like NumPy's own. Their rules need SciPy, which ``import
    adselect`` must not load: whoever calls one of them has it loaded already.
    """
    if "scipy.special" not in sys.modules or "adselect.rules.special" in sys.modules:
        return False
    from .special import rows as special  # noqa: F401  (registration)

    return function in RULES or function in COMPOSITES
