"""RuleConfig: what a rule may ask of the differentiation that runs it.

A rule for a function of functions has to differentiate the function it is given. It cannot know how: the answer is in
the configuration it is called with when it was registered with ``needs=``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..adtypes import ADType, AutoForward, AutoTape
from ..primitives.borrowed import BORROWED
from ..primitives.config import capabilities_of
from ..primitives.thunks import unthunk
from ..structure.flattening import flatten
from ..values.tangents import NoTangent, ZeroTangent
from .gradient import pullback
from .pushforward import pushforward

__all__ = ["RuleConfig"]


class RuleConfig:
    """The differentiation a rule runs under: its adtype, and what it is capable of.

    A rule registered with ``needs={HasReverseMode}`` gets it as its first argument and calls back into the AD with
    :meth:`rrule_via_ad`; higher order then works as it does for everything else.

    >>> import numpy as np
    >>> y, pullback = RuleConfig().rrule_via_ad(np.square, 3.0)
    >>> y, pullback(1.0)
    (np.float64(9.0), (NoTangent(), 6.0))
    """

    __slots__ = ("adtype", "capabilities")

    def __init__(self, adtype: ADType | None = None):
        self.adtype = AutoTape() if adtype is None else adtype
        self.capabilities = capabilities_of(self.adtype)

    def __repr__(self) -> str:
        return f"RuleConfig({self.adtype!r})"

    def rrule_via_ad(self, f: Callable, /, *args: Any, **kwargs: Any) -> tuple[Any, Callable]:
        """``(y, pullback)`` of f at args by this AD; ``pullback(y_bar)`` is one tangent per input, that of f first."""

        def call(f: Callable, *args: Any) -> Any:
            return f(*args, **kwargs)

        y, back = pullback(call, self._reverse, f, *args)

        def via_ad_pullback(y_bar: Any) -> tuple:
            y_bar = unthunk(y_bar)
            seed = None if isinstance(y_bar, (ZeroTangent, NoTangent)) else y_bar
            return tuple([_tangent(x_bar, x) for x_bar, x in zip(back(seed), (f, *args), strict=True)])

        return y, via_ad_pullback

    def frule_via_ad(self, tangents: tuple, f: Callable, /, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """``(y, y_dot)`` of f at args along tangents (that of f first) by this AD."""

        def call(f: Callable, *args: Any) -> Any:
            return f(*args, **kwargs)

        dots = [None if isinstance(t, (ZeroTangent, NoTangent)) else unthunk(t) for t in tangents]
        y, y_dot = pushforward(call, self.adtype, (f, *args), tuple(dots))
        return y, _tangent(y_dot, y)

    @property
    def _reverse(self) -> ADType:
        # Forward mode pulls back by one pushforward per entry; the tape does the same in one pass over the same values.
        return AutoTape() if isinstance(self.adtype, AutoForward) else self.adtype


def _tangent(tangent: Any, x: Any) -> Any:
    if tangent is not None:
        return tangent
    return ZeroTangent() if flatten((x,))[0] else NoTangent()


BORROWED["config"] = RuleConfig
