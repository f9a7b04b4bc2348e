"""Guards: what the traced code looked at is looked at again."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..instructions import Contents, GuardFailed, Outline, Strides
from .page import Page

__all__ = ["write_guards"]


def write_guards(page: Page, n: int, values: list) -> None:
    """A line for each value that an instruction is expected to have."""
    for value in values:
        page.use("GuardFailed", GuardFailed)
        page.lines.append(f"if {_is_other(page, n, page.place[n], value)}: raise GuardFailed")


def _is_other(page: Page, n: int, expression: str, value: Any) -> str:
    """The test whether something is not as expected."""
    if type(value) is Outline:
        return _has_other_outline(page, n, expression, value)
    if type(value) is Contents:
        other = f"{expression}.tobytes() != {page.named(value.bytes)}"
        return f"{expression}.shape != {page.constant(value.shape)} or {other}"
    if type(value) is Strides:
        wrong = f".strides != {value.strides}" if value.strides else ".flags.c_contiguous is False"
        return f"{expression}{wrong}"
    if value is True:
        return f"not {expression}"
    return expression if value is False else f"{expression} != {page.constant(value)}"


def _has_other_outline(page: Page, n: int, expression: str, outline: Outline) -> str:
    """The test whether a result has another shape or dtype than when it was traced."""
    shape = page.constant(outline.shape)
    if outline.dtype is None:  # several results
        return f"len({expression}) != {outline.shape[0]}"
    if page.instructions[n].scalar:
        page.use("shape", np.shape)
        page.use("iscomplexobj", np.iscomplexobj)
        return f"shape({expression}) or iscomplexobj({expression}) is not {outline.dtype.kind == 'c'}"
    return f"{expression}.shape != {shape} or {expression}.dtype != {page.named(outline.dtype)}"
