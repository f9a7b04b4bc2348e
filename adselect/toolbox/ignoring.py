"""ignore_derivatives: a value, or a piece of code, that the derivative does not see."""

from __future__ import annotations

from typing import Any

from ..backends.framework_array import FrameworkArray
from ..engine.applying import EngineArray
from ..face.array import Array
from ..structure.flattening import flatten
from ..values.natives import is_native, natives_of

__all__ = ["ignore_derivatives"]


def ignore_derivatives(x: Any) -> Any:
    """x, or ``x()`` for a function without arguments, cut off from every derivative that is being taken.

    Numbers, arrays and any structure of them; what is returned counts as a constant. Works on every backend, at every
    order. Raises nothing of its own. Cost: none on the built-in engine.

    >>> import adselect as ad
    >>> ad.gradient(lambda x, w: ad.ignore_derivatives(x) * w, 1.5, 2.5)
    (None, 1.5)
    >>> ad.gradient(lambda x: x * ad.ignore_derivatives(lambda: x * x), 3.0)
    (9.0,)

    Source: ChainRulesCore.jl's ``ignore_derivatives``.
    """
    value = x() if callable(x) and not isinstance(x, Array) and not is_native(x) and not hasattr(x, "shape") else x
    leaves, skeleton = flatten((value,))
    return skeleton.rebuild([_constant(leaf) for leaf in leaves])[0]


def _constant(value: Any) -> Any:
    while isinstance(value, EngineArray):
        value = value._primal
    if isinstance(value, FrameworkArray):
        stopped = _stopped(value._primal)
        return type(value)(stopped, 0, value._integer) if is_native(stopped) else stopped
    return _stopped(value)


def _stopped(value: Any) -> Any:
    """A framework's own array without its history."""
    natives = natives_of(value)
    return value if natives is None else natives.without_history(value)
