"""Derivative rules: the mathematics of NumPy's functions, one subject a file; and the door to rules of one's own.

``registry`` says what a rule is, ``registration`` loads every subject. What a user of rules needs is handed out here
under one name, wherever it lives.
"""

from __future__ import annotations

# Where each public name lives, loaded when it is first asked for: this room stands below most of those.
_HOMES = {
    "backends.registry": "rules_for",
    "operators.ask": "frule rrule",
    "operators.rule_config": "RuleConfig",
    "primitives.config": "HasForwardMode HasReverseMode SupportsMutation",
    "primitives.define": "define_frule define_rrule non_differentiable opt_out scalar_rule",
    "primitives.primitive": "primitive",
    "primitives.thunks": "Thunk unthunk",
    "structure.projection": "project_to",
    "values.tangents": "NoTangent Tangent ZeroTangent canonicalize",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    import importlib

    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if home.startswith("primitives"):  # frameworks may use a rule before any operator of ours is called
        for room in ("..engine.recording", "..operators"):
            importlib.import_module(room, __name__)
    value = globals()[name] = getattr(importlib.import_module(f"..{home}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
