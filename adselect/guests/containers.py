"""Python's other containers: deque, UserList, UserDict, ChainMap and mapping proxies, entered as lists and dicts are.

What cannot hold a traced number (array.array, a memoryview) is refused. Sets are settings: their entries have no place.
"""

from __future__ import annotations

import copy
import types
from collections import ChainMap, UserDict, UserList, deque
from typing import Any

from ..errors import ADSelectTypeError
from ..face.foreign import Foreign, advice
from ..structure.leaves import is_leaf
from ..structure.nodes import Container
from ..values.kinds import isa

__all__ = ["container_node", "sequence_node"]

_VIEWS = (type({}.values()), type({}.items()))


class _Sequence(Container):
    """A deque or a UserList: of the same kind, as long as it was."""

    __slots__ = ()

    def _with(self, items: list) -> Any:
        new = copy.copy(self.value)
        new.clear()
        new.extend(items)
        return new

    def _rebuild(self, leaves: list, memo: dict) -> Any:
        new = memo[id(self)] = self._with([])
        new.extend([c.rebuild(leaves, memo) for c in self.children])
        return new

    def _result(self, grads: list, memo: dict) -> Any:
        new = memo[id(self)] = self._with([])
        new.extend([c.result(grads, memo) for c in self.children])
        return new

    def parts(self, bar: Any) -> list | None:
        """The entries of a seed, one per child."""
        fits = isinstance(bar, (deque, UserList, list, tuple)) and len(bar) == len(self.children)
        return list(bar) if fits else None


class _Mapping(Container):
    """A UserDict, a ChainMap or a mapping proxy: of the same kind, with all keys."""

    __slots__ = ()

    def _made(self, items: dict) -> Any:
        if isinstance(self.value, types.MappingProxyType):
            return types.MappingProxyType(items)
        new = copy.copy(self.value)
        if isinstance(new, ChainMap):
            left = dict(items)  # what a map hides of those behind it is nowhere to be seen
            new.maps = [{k: left.pop(k) for k in m if k in left} for m in self.value.maps]
        else:
            new.data = items
        return new

    def _rebuild(self, leaves: list, memo: dict) -> Any:
        return self._made({k: c.rebuild(leaves, memo) for k, c in zip(self.keys, self.children, strict=True)})

    def _result(self, grads: list, memo: dict) -> Any:
        return self._made({k: c.result(grads, memo) for k, c in zip(self.keys, self.children, strict=True)})

    def parts(self, bar: Any) -> list | None:
        """The entries of a seed, one per child."""
        if not isinstance(bar, (dict, UserDict, ChainMap, types.MappingProxyType)) or set(bar) - set(self.keys):
            return None
        return [bar.get(k) for k in self.keys]


def container_node(value: Any, path: str, flattener: Any) -> Any:
    """The node of a mapping that is no dict; None for what is no container."""
    if isinstance(value, (UserDict, ChainMap, types.MappingProxyType)):
        return flattener.fill(_Mapping(value), [(f"{path}[{k!r}]", v) for k, v in value.items()], list(value))
    if isa(value, _VIEWS) and any([_is_numeric(v) for v in value]):
        raise ADSelectTypeError(f"{path} is a view of a dict's numbers ({type(value).__name__}). Pass list({path}).")
    if not isa(value, type) and callable(getattr(type(value), "__array__", None)) and not flattener.opens(value):
        if getattr(getattr(value, "dtype", None), "kind", "f") in "fiuc":
            name = f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}"
            raise ADSelectTypeError(
                f"{path} is a {name}, which NumPy turns into an array. Pass np.asarray({path}), or adselect.Const"
                f"({path}) where it needs no gradient."
            )
    return None


def sequence_node(value: Any, path: str, flattener: Any, found: Foreign) -> Any:
    """The node of a deque or a UserList; the error for an array.array or a memoryview of numbers."""
    if isinstance(value, (deque, UserList)):
        return flattener.fill(_Sequence(value), [(f"{path}[{i}]", v) for i, v in enumerate(value)])
    kind = getattr(value, "typecode", None) or getattr(value, "format", "")
    if kind in ("u", "w", "c", "b", "B", "?") or not kind:
        return flattener.opaque(value)
    raise ADSelectTypeError(
        f"{path} is {found.name}, which holds plain numbers only and no traced ones. Pass {advice(found, path)}."
    )


def _is_numeric(value: Any) -> bool:
    return is_leaf(value) or (isinstance(value, tuple) and any([is_leaf(v) for v in value]))
