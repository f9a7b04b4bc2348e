"""adselect: write f once in plain NumPy, differentiate it with any backend chosen at the call.

>>> import numpy as np, adselect as ad
>>> ad.gradient(lambda x: np.sum(x**2), np.array([1.0, 2.0]))
(array([2., 4.]),)
"""

from . import tape as _tape  # noqa: F401  (rules and operators of the built-in engine)
from .adtypes import ADType, AutoAutograd, AutoFiniteDifferences, AutoForward, AutoJax, AutoTape, AutoTorch
from .array import Array
from .backends.registry import available_backends
from .errors import (
    ADSelectError,
    BackendNotInstalledError,
    InaccurateDerivativeWarning,
    MissingRuleError,
    NotReplayedWarning,
    NotScalarError,
    PreparationMismatchError,
    RuleError,
    TracedValueError,
    UnsupportedError,
)
from .operators.gradient import gradient, pullback, withgradient
from .operators.hessian import diaghessian, hessian, hessian_reverse, hvp, withhessian
from .operators.jacobian import jacobian, withjacobian
from .operators.prepare import prepare, source
from .operators.pushforward import derivative, pushforward, second_derivative
from .rules.config import HasForwardMode, HasReverseMode, RuleConfig, SupportsMutation
from .rules.primitives import (
    define_frule,
    define_rrule,
    frule,
    non_differentiable,
    opt_out,
    primitive,
    rrule,
    rules_for,
    scalar_rule,
)
from .rules.thunks import Thunk, unthunk
from .structure import Const, project_to
from .tangents import NoTangent, Tangent, ZeroTangent, canonicalize
from .toolbox.buffer import Buffer
from .toolbox.ignoring import ignore_derivatives
from .toolbox.tracing import is_traced

__all__ = [
    "ADSelectError",
    "ADType",
    "Array",
    "AutoAutograd",
    "AutoFiniteDifferences",
    "AutoForward",
    "AutoJax",
    "AutoTape",
    "AutoTorch",
    "BackendNotInstalledError",
    "Buffer",
    "Const",
    "HasForwardMode",
    "HasReverseMode",
    "InaccurateDerivativeWarning",
    "MissingRuleError",
    "NoTangent",
    "NotReplayedWarning",
    "NotScalarError",
    "PreparationMismatchError",
    "RuleConfig",
    "RuleError",
    "SupportsMutation",
    "Tangent",
    "Thunk",
    "TracedValueError",
    "UnsupportedError",
    "ZeroTangent",
    "available_backends",
    "canonicalize",
    "define_frule",
    "define_rrule",
    "derivative",
    "diaghessian",
    "frule",
    "gradient",
    "hessian",
    "hessian_reverse",
    "hvp",
    "ignore_derivatives",
    "is_traced",
    "jacobian",
    "non_differentiable",
    "opt_out",
    "prepare",
    "primitive",
    "project_to",
    "pullback",
    "pushforward",
    "rrule",
    "rules_for",
    "scalar_rule",
    "second_derivative",
    "source",
    "unthunk",
    "withgradient",
    "withhessian",
    "withjacobian",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name == "testing":  # loaded on first use
        import importlib

        return importlib.import_module(".testing", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
