"""adselect: write f once in plain NumPy, differentiate it with any backend chosen at the call.

>>> import numpy as np, adselect as ad
>>> ad.gradient(lambda x: np.sum(x**2), np.array([1.0, 2.0]))
(array([2., 4.]),)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .adtypes import (
        ADType,
        AutoAutograd,
        AutoFiniteDifferences,
        AutoForward,
        AutoJax,
        AutoTape,
        AutoTorch,
        SecondOrder,
    )
    from .backends.registry import available_backends, rules_for
    from .bridges.differentiate_with import differentiate_with
    from .errors import (
        ADSelectError,
        BackendNotInstalledError,
        ExecutorError,
        InaccurateDerivativeWarning,
        MissingRuleError,
        NonFiniteError,
        NotReplayedWarning,
        NotScalarError,
        PreparationMismatchError,
        RuleError,
        TracedValueError,
        UnsupportedError,
    )
    from .face.array import Array
    from .operators.ask import frule, rrule
    from .operators.gradient import gradient, pullback, withgradient
    from .operators.hessian import diaghessian, hessian, hessian_reverse, hvp, withhessian
    from .operators.jacobian import jacobian, withjacobian
    from .operators.objective import Objective
    from .operators.prepare import prepare, source
    from .operators.pushforward import derivative, pushforward, second_derivative
    from .operators.rule_config import RuleConfig
    from .primitives.config import HasForwardMode, HasReverseMode, SupportsMutation
    from .primitives.define import define_frule, define_rrule, non_differentiable, opt_out, scalar_rule
    from .primitives.primitive import primitive
    from .primitives.thunks import Thunk, unthunk
    from .structure.duplicated import Duplicated
    from .structure.grads import Grads
    from .structure.leaves import Cache, Const
    from .structure.params import Params
    from .structure.projection import project_to
    from .through.explaining import explain_lift
    from .through.lifting import lift
    from .toolbox.buffer import Buffer
    from .toolbox.checkpointing import checkpointed, checkpointed_chain
    from .toolbox.eager_update import eager_update
    from .toolbox.forwarddiff import forwarddiff
    from .toolbox.hooks import hook, showgrad
    from .toolbox.ignoring import ignore_derivatives
    from .toolbox.raveling import ravel
    from .toolbox.tracing import is_traced
    from .toolbox.updating import OptimiserState, into_grad, setup, update
    from .values.identity import IdDict
    from .values.tangents import NoTangent, Tangent, ZeroTangent, canonicalize

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
    "Cache",
    "Const",
    "Duplicated",
    "ExecutorError",
    "Grads",
    "HasForwardMode",
    "HasReverseMode",
    "IdDict",
    "InaccurateDerivativeWarning",
    "MissingRuleError",
    "NoTangent",
    "NonFiniteError",
    "NotReplayedWarning",
    "NotScalarError",
    "Objective",
    "OptimiserState",
    "Params",
    "PreparationMismatchError",
    "RuleConfig",
    "RuleError",
    "SecondOrder",
    "SupportsMutation",
    "Tangent",
    "Thunk",
    "TracedValueError",
    "UnsupportedError",
    "ZeroTangent",
    "available_backends",
    "canonicalize",
    "checkpointed",
    "checkpointed_chain",
    "define_frule",
    "define_rrule",
    "derivative",
    "diaghessian",
    "differentiate_with",
    "eager_update",
    "explain_lift",
    "forwarddiff",
    "frule",
    "gradient",
    "hessian",
    "hessian_reverse",
    "hook",
    "hvp",
    "ignore_derivatives",
    "into_grad",
    "is_traced",
    "jacobian",
    "lift",
    "non_differentiable",
    "opt_out",
    "prepare",
    "primitive",
    "project_to",
    "pullback",
    "pushforward",
    "ravel",
    "rrule",
    "rules_for",
    "scalar_rule",
    "second_derivative",
    "setup",
    "showgrad",
    "source",
    "unthunk",
    "update",
    "withgradient",
    "withhessian",
    "withjacobian",
]

__version__ = "0.1.0"

# Where each name lives: a module is loaded when one of its names is first asked for, so that importing costs next to
# nothing for whoever only names a choice (AutoJax()), or imports a library that imports adselect.
_HOMES = {
    "adtypes": "ADType AutoAutograd AutoFiniteDifferences AutoForward AutoJax AutoTape AutoTorch SecondOrder",
    "backends.registry": "available_backends rules_for",
    "bridges.differentiate_with": "differentiate_with",
    "errors": (
        "ADSelectError BackendNotInstalledError ExecutorError InaccurateDerivativeWarning MissingRuleError "
        "NonFiniteError NotReplayedWarning NotScalarError PreparationMismatchError RuleError TracedValueError "
        "UnsupportedError"
    ),
    "face.array": "Array",
    "operators.ask": "frule rrule",
    "operators.gradient": "gradient pullback withgradient",
    "operators.hessian": "diaghessian hessian hessian_reverse hvp withhessian",
    "operators.jacobian": "jacobian withjacobian",
    "operators.objective": "Objective",
    "operators.prepare": "prepare source",
    "operators.pushforward": "derivative pushforward second_derivative",
    "operators.rule_config": "RuleConfig",
    "primitives.config": "HasForwardMode HasReverseMode SupportsMutation",
    "primitives.define": "define_frule define_rrule non_differentiable opt_out scalar_rule",
    "primitives.primitive": "primitive",
    "primitives.thunks": "Thunk unthunk",
    "structure.grads": "Grads",
    "structure.params": "Params",
    "structure.duplicated": "Duplicated",
    "structure.leaves": "Cache Const",
    "structure.projection": "project_to",
    "through.explaining": "explain_lift",
    "through.lifting": "lift",
    "toolbox.buffer": "Buffer",
    "toolbox.checkpointing": "checkpointed checkpointed_chain",
    "toolbox.eager_update": "eager_update",
    "toolbox.forwarddiff": "forwarddiff",
    "toolbox.hooks": "hook showgrad",
    "toolbox.ignoring": "ignore_derivatives",
    "toolbox.raveling": "ravel",
    "toolbox.tracing": "is_traced",
    "values.identity": "IdDict",
    "toolbox.updating": "OptimiserState into_grad setup update",
    "values.tangents": "NoTangent Tangent ZeroTangent canonicalize",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}
_ROOMS = frozenset(
    {
        *(
            "adtypes",
            "array",
            "backends",
            "calls",
            "engine",
            "errors",
            "face",
            "operators",
            "places",
            "primitives",
            "replay",
        ),
        *("rules", "structure", "testing", "through", "toolbox", "values"),
    }
)


def __getattr__(name: str) -> object:
    import importlib

    home = _HOME_OF.get(name)
    if home is not None:
        if home.startswith("primitives"):  # frameworks may use a rule before any operator of ours is called
            for room in (".engine.recording", ".operators"):
                importlib.import_module(room, __name__)
        value = globals()[name] = getattr(importlib.import_module(f".{home}", __name__), name)
        return value
    if name in _ROOMS:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
