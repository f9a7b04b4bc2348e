"""Capabilities: what a rule may need of the differentiation that runs it, and which differentiation has what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..adtypes import ADType, AutoForward, AutoTape

__all__ = ["HasForwardMode", "HasReverseMode", "SupportsMutation", "capabilities_of", "needs_of"]


class HasReverseMode:
    """Capability: ``config.rrule_via_ad`` works."""


class HasForwardMode:
    """Capability: ``config.frule_via_ad`` works."""


class SupportsMutation:
    """Capability: the values a rule receives are (or behave like) writable NumPy arrays."""


_ALL = (HasReverseMode, HasForwardMode, SupportsMutation)


def needs_of(needs: Any) -> frozenset:
    """The capabilities that ``needs=`` names: one, or any number of them.

    >>> needs_of(HasReverseMode) == needs_of({HasReverseMode})
    True
    """
    wanted: Iterable = needs if isinstance(needs, (set, frozenset, tuple, list)) else (needs,)
    for one in wanted:
        if one not in _ALL:
            raise TypeError(f"needs= takes HasReverseMode, HasForwardMode and SupportsMutation, not {one!r}")
    return frozenset(wanted)


def capabilities_of(adtype: ADType) -> frozenset:
    """What a rule that runs under adtype may rely on.

    >>> HasForwardMode in capabilities_of(AutoTape())
    True
    """
    numpy_values = isinstance(adtype, (AutoTape, AutoForward))
    return frozenset(_ALL if numpy_values else _ALL[:2])
