"""Warnings at the user's line, and the line of the user's that an error passed through."""

from __future__ import annotations

import linecache
import os
import sys
import warnings
from types import FrameType

__all__ = ["place_of", "warn_user"]

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
# Frames of these packages stand between the user's line and ours when a call is dispatched.
_BETWEEN = ("numpy", "jax", "jaxlib", "torch", "autograd", "scipy", "contextlib", "abc", "functools")


def _is_users(frame: FrameType) -> bool:
    if frame.f_code.co_filename.startswith(_PACKAGE):
        return False
    return (frame.f_globals.get("__name__") or "").partition(".")[0] not in _BETWEEN


def place_of(error: BaseException) -> str:
    """``file:line, `source` `` of the innermost line of the user's that error passed through; "" without one."""
    found, tb = None, error.__traceback__
    while tb is not None:
        if _is_users(tb.tb_frame):
            found = tb
        tb = tb.tb_next
    if found is None:
        return ""
    file, line = found.tb_frame.f_code.co_filename, found.tb_lineno
    source = linecache.getline(file, line, found.tb_frame.f_globals).strip()
    return f"{file}:{line}" + (f", `{source}`" if source else "")


def warn_user(text: str, category: type[Warning]) -> None:
    """A warning at the innermost line of the user's."""
    frame = sys._getframe(1)
    while frame.f_back is not None and not _is_users(frame):
        frame = frame.f_back
    place = frame.f_globals
    registry = place.setdefault("__warningregistry__", {})
    name = place.get("__name__") or "<unknown>"
    warnings.warn_explicit(text, category, frame.f_code.co_filename, frame.f_lineno, name, registry)
