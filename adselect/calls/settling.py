"""What f captured and wrote to: its traced values become plain when the derivative is over."""

from __future__ import annotations

import types
from collections import deque
from typing import Any

from ..face.array import Array

__all__ = ["settle_captured", "settled"]

_LOOKED_THROUGH = 256  # entries per container: a traced value that escaped into more behaves as a plain value anyway


def settle_captured(f: Any) -> None:
    """Replace traced values that f stored in captured containers by their plain values.

    Looks into the dicts, lists and objects f reaches through its closure and the globals it names. Values it does not
    find keep behaving as plain values, since their trace is closed.
    """
    code = getattr(f, "__code__", None)
    if code is None:
        if (wrapped := getattr(f, "__wrapped__", None)) is not None:
            settle_captured(wrapped)
        return
    if f.__closure__:
        for cell in f.__closure__:
            try:
                content = cell.cell_contents
            except ValueError:
                continue
            if isinstance(content, Array):
                if content._closed:
                    cell.cell_contents = settled(content)
            else:
                _settle(content, 2)
    if code.co_names:
        names = f.__globals__
        for name in code.co_names:
            content = names.get(name)
            kind = type(content)
            if kind is dict or kind is list:
                _settle(content, 2)
            elif isinstance(content, Array) and content._closed:
                names[name] = settled(content)


def settled(value: Array) -> Any:
    """The plain value of one whose derivatives are over."""
    inner: Any = value
    while isinstance(inner, Array) and inner._closed:
        inner = inner._inside
    return inner


def _settle(container: Any, depth: int) -> None:
    kind = type(container)
    if kind is deque:
        kind = list
    if kind is dict:
        if len(container) > _LOOKED_THROUGH:
            return
        items: Any = list(container.items())
    elif kind is list:
        n = len(container)
        items = [(i, container[i]) for i in range(max(0, n - _LOOKED_THROUGH), n)]
    elif isinstance(container, (types.ModuleType, type, types.FunctionType)) or not hasattr(container, "__dict__"):
        return
    else:
        container = container.__dict__
        return _settle(dict(container) and container, depth)
    for key, value in items:
        if isinstance(value, Array):
            if value._closed:
                container[key] = settled(value)
        elif depth and (type(value) is dict or type(value) is list):
            _settle(value, depth - 1)
