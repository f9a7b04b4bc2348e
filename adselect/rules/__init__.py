"""Derivative rules, registered on import; ``registry`` says what a rule is."""

from __future__ import annotations

import sys
from typing import Any

from ..tangents import NoTangent, Tangent, ZeroTangent, canonicalize  # noqa: F401
from . import (  # noqa: F401  (registration)
    calls,
    creation,
    decompositions,
    elementwise,
    fft,
    indexing,
    linalg,
    polynomials,
    quantiles,
    reductions,
    sets,
    shaping,
    signals,
    statistics,
)
from .registry import COMPOSITES, RULES


def load_for(function: Any) -> bool:
    """Whether rules of a package loaded later cover function; registers them the first time.

    The functions of scipy.special are ufuncs and arrive like NumPy's own. Their rules need SciPy, which ``import
    adselect`` must not load: whoever calls one of them has it loaded already.
    """
    if "scipy.special" not in sys.modules or "adselect.rules.special" in sys.modules:
        return False
    from . import special  # noqa: F401  (registration)

    return function in RULES or function in COMPOSITES


# Below load_for, which they ask.
from ..structure import project_to  # noqa: E402, F401
from .config import HasForwardMode, HasReverseMode, RuleConfig, SupportsMutation  # noqa: E402, F401
from .primitives import (  # noqa: E402, F401
    define_frule,
    define_rrule,
    frule,
    non_differentiable,
    opt_out,
    primitive,
    rrule,
    scalar_rule,
)
from .thunks import Thunk, unthunk  # noqa: E402, F401


def __getattr__(name: str) -> Any:
    if name == "rules_for":  # a question to the backends, which stand on the rules
        from ..backends.registry import rules_for

        return rules_for
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
