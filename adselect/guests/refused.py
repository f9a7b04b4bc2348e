"""What cannot be an argument or a result, said with what to pass or return instead."""

from __future__ import annotations

from typing import Any

from ..errors import ADSelectTypeError
from ..face.foreign import Foreign, advice

__all__ = ["refused_argument"]


def refused_argument(found: Foreign, path: str, value: Any = None) -> ADSelectTypeError:
    """The error for a foreign value that was given to be differentiated, or that f returned."""
    names = getattr(getattr(value, "dtype", None), "names", None)
    return ADSelectTypeError(
        f"{path} is {found.name}: {found.why}. {'Return' if path.startswith('f(') else 'Pass'} "
        f"{advice(found, path, names[0] if names else '')}."
    )
