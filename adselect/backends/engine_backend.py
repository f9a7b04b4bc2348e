"""The built-in backends: what the tape and forward mode have in common, that f computes with NumPy itself."""

from __future__ import annotations

import sys
from typing import Any

from ..adtypes import ADType
from ..errors import ADSelectError, TracedValueError, line_of
from ..face.array import Array
from ..places import place_of
from ..primitives.words import rule_in_words
from .backend import Backend
from .registry import classes


class EngineBackend(Backend):
    """A backend on which f computes with NumPy behind our own traced values."""

    def refusal(self, error: Exception) -> Exception | None:
        """A framework's function was called on one of our values: that is what to say."""
        return _refused_by_framework(error, self.adtype)

    def rule_for(self, f: Any) -> str:
        """Which rule the backend uses for f, in words: the library's own."""
        words = rule_in_words(f, self.adtype, forward_first=not self.reverse)
        return f"adselect's {words}" if words.startswith(("rule of", "constant", "composition")) else words


def _refused_by_framework(error: Exception, adtype: ADType) -> TracedValueError | None:
    """The error for a framework's own function that was called on a value which the built-in engine traces."""
    said = str(error)
    if not isinstance(error, (TypeError, ValueError)) or adtype.requires:
        return None
    if isinstance(error, ADSelectError):  # our own words, which may name the engine's array
        return None
    if not any(cls.__name__ in said for cls in _engines(Array)):
        return None
    if "rgument" not in said and not (
        "unsupported operand" in said and any(map(_is_frameworks, said.split("'")[1::2]))
    ):
        return None
    place = place_of(error)
    if place is not None and place.library.partition(".")[0] in ("pandas", "xarray"):
        return None  # whose own refusal says more
    others = " or ".join(f"{cls.__name__}()" for cls in classes() if "face" in getattr(cls, "__dataclass_fields__", ()))
    return TracedValueError(
        f"a function that is not NumPy's was called at {line_of(error)} on a value that {adtype!r} traces "
        f"({said}). Write NumPy's function there, or choose the backend of the framework it belongs to: {others}"
    )


def _is_frameworks(name: str) -> bool:
    """Whether a framework that has been loaded has a type of this name."""
    return any(hasattr(sys.modules.get(cls.requires), name) for cls in classes() if cls.requires)


def _engines(base: type) -> list[type]:
    """The classes of traced values."""
    return [cls for sub in type.__subclasses__(base) for cls in (sub, *_engines(sub))]
