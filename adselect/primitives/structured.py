"""What a rule returned, fitted to the arguments and results it belongs to."""

from __future__ import annotations

from types import MethodType
from typing import Any

import numpy as np

from ..errors import RuleError
from ..face.array import Array
from ..face.dispatch import absorb
from ..structure.leaves import is_extension_float
from ..values.kinds import isa
from ..values.tangents import NoTangent, Tangent, ZeroTangent, add
from .leaves import zeros_of
from .thunks import unthunk


def fitted(bar: Any, shape: tuple, value: Any, where: str) -> Any:
    """A tangent as the rule returned it, checked against the leaf it belongs to."""
    bar = unthunk(bar)
    if bar is None or isinstance(bar, NoTangent):
        return None
    if isinstance(bar, ZeroTangent):
        return zeros_of(value)
    if not hasattr(bar, "shape"):
        bar = absorb(bar) if isinstance(bar, (list, tuple)) else bar
        try:
            bar = bar if isinstance(bar, Array) else np.asarray(bar)[()]
        except ValueError:
            raise RuleError(f"the tangent of {where} is {describe(bar)}, which is no array") from None
    elif type(bar) is np.ndarray and bar.dtype == object:
        bar = absorb(bar)
    host = isa(bar, (Array, np.ndarray, np.generic))
    if host and bar.dtype.kind not in "fiuc" and not is_extension_float(bar.dtype):
        raise RuleError(f"the tangent of {where} is {describe(bar)}, which is no number and no numeric array")
    if tuple(bar.shape) != tuple(shape):
        raise RuleError(f"the tangent of {where} has shape {tuple(bar.shape)}, the value has shape {tuple(shape)}")
    if "complex" in str(bar.dtype) and "complex" not in str(getattr(value, "dtype", type(value).__name__)):
        raise RuleError(f"the tangent of {where} is complex, the value is real; return its real part")
    return bar


def spread(node: Any, bar: Any, found: list, where: str, seen: set | None = None) -> None:
    """Put the entries of a structured tangent at the leaves they belong to; what is reached twice adds up."""
    bar = unthunk(bar)
    if bar is None or isinstance(bar, NoTangent):
        return
    if node is None or hasattr(node, "index"):  # a leaf
        i = 0 if node is None else node.index
        if isinstance(bar, (Tangent, dict)):
            raise RuleError(f"the tangent of {where} is {describe(bar)}, the value is an array or a number")
        found[i] = bar if found[i] is None else add(found[i], bar)
        return
    if not node.numeric:
        return
    seen = set() if seen is None else seen
    if id(node) in seen:
        return
    if not hasattr(node.value, "__len__") or isinstance(node.value, dict):
        seen.add(id(node))
    for i, (child, part) in enumerate(zip(node.children, _parts(node, bar, where), strict=True)):
        if child is not None:
            spread(child, part, found, _within(where, node, i), seen)


def _within(where: str, node: Any, i: int) -> str:
    """The place of a node's i-th entry, in words."""
    place, by, rule = where.partition(" by ")
    if isinstance(node.value, dict):
        step = f"[{node.keys[i]!r}]"
    elif isa(node.value, (tuple, list, np.ndarray)):
        step = f"[{i}]"
    else:
        step = f".{node.keys[i]}" if node.keys else ""
    return f"{place}{step}{by}{rule}"


def _parts(node: Any, bar: Any, where: str) -> list:
    """The entries of a structured tangent, one per child of the node."""
    if isinstance(bar, ZeroTangent):
        return [bar] * len(node.children)
    value, names = node.value, node.keys
    if hasattr(node, "parts"):
        parts = node.parts(bar)
        if parts is None:
            raise RuleError(f"the tangent of {where} is {describe(bar)}; the value is a {type(value).__name__}")
        return parts
    if isinstance(value, dict):
        if isinstance(bar, dict):
            _refuse_strange_names(bar, names, where, "key")
            return [bar.get(k) for k in names]
    elif isa(value, (tuple, list, np.ndarray)):
        if isinstance(bar, Tangent) and hasattr(value, "_fields"):
            _refuse_strange_names(bar, value._fields, where, "field")
            return [bar._fields.get(n) for n in value._fields]
        flat = bar
        if isa(bar, (np.ndarray, Array)) and bar.ndim:
            flat = list(bar.flat) if bar.dtype == object else list(bar)
        if isinstance(flat, (tuple, list)) and len(flat) == len(node.children):
            return list(flat)
    else:
        if isinstance(value, MethodType):
            return [bar]  # the tangent of its object
        names = names or ["func", "args", "keywords"][: len(node.children)]
        if isinstance(bar, dict):
            _refuse_strange_names(bar, names, where, "field")
            return [bar.get(n) for n in names]
        if isinstance(bar, Tangent):
            _refuse_strange_names(bar, names, where, "field")
            return [bar._fields.get(n) for n in names]
        if type(bar) is type(value):
            return [getattr(bar, n, None) for n in names]
    raise RuleError(
        f"the tangent of {where} is {describe(bar)}; the value is a {type(value).__name__}, whose tangent is "
        + (
            "a dict"
            if isinstance(value, dict)
            else f"a {type(value).__name__} of {len(node.children)} entries"
            if isa(value, (tuple, list, np.ndarray))
            else f"Tangent[{type(value).__name__}](…) or NoTangent()"
        )
    )


def _refuse_strange_names(bar: Any, names: Any, where: str, what: str) -> None:
    """Raise for an entry of a tangent that the value does not have."""
    strange = [k for k in bar if k not in names]
    if strange:
        raise RuleError(
            f"the tangent of {where} has the {what} {strange[0]!r}, the value does not; it has "
            f"{', '.join(map(repr, names)) or 'none'}"
        )


def describe(value: Any) -> str:
    """A value in a few words, for error messages."""
    if value is None:
        return "None (is a return statement missing?)"
    if isinstance(value, (Tangent, ZeroTangent, NoTangent)):  # they have every attribute one asks for
        return repr(value)
    if hasattr(value, "shape"):
        return f"an array of shape {tuple(value.shape)} and dtype {value.dtype}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)} entries"
    return repr(value) if isa(value, (int, float, complex, str)) else type(value).__name__
