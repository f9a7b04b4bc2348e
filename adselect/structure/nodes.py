"""Any Python value ↔ leaves and skeleton.

A *leaf* is something one can differentiate with respect to: a number or a numeric array. The *skeleton* is the rest:
it rebuilds the value around other leaves (what f receives) and builds the result of the same shape around the
gradients. Objects reached twice share one place, cycles terminate.
"""

from __future__ import annotations

import copy
import functools
import types
from typing import Any

import numpy as np

from ..face.array import Array
from ..values.kinds import isa
from ..values.natives import is_native, module_of_layers, tree_of
from ..values.tangents import Tangent, tangent_of

__all__ = ["Container"]


class Node:
    """One place of the skeleton. ``rebuild`` puts values back, ``result`` builds the tangent of the same shape."""

    __slots__ = ()
    numeric = True  # whether any leaf is below

    def rebuild(self, leaves: list, memo: dict) -> Any:
        raise NotImplementedError

    def result(self, grads: list, memo: dict) -> Any:
        raise NotImplementedError


class Leaf(Node):
    __slots__ = ("index",)

    def __init__(self, index: int):
        self.index = index

    def rebuild(self, leaves: list, memo: dict) -> Any:
        return leaves[self.index]

    def result(self, grads: list, memo: dict) -> Any:
        return grads[self.index]


class Opaque(Node):
    """A value without leaves: passed to f as it is, None in the result."""

    __slots__ = ("value",)
    numeric = False

    def __init__(self, value: Any):
        self.value = value

    def rebuild(self, leaves: list, memo: dict) -> Any:
        return self.value

    def result(self, grads: list, memo: dict) -> Any:
        return None


class CacheNode(Opaque):
    """Scratch memory: f gets an array that takes what is traced, with the buffer's contents."""

    __slots__ = ()

    def rebuild(self, leaves: list, memo: dict) -> Any:
        like = next((leaf for leaf in leaves if isinstance(leaf, Array)), None)
        return self.value if like is None and not any(map(is_native, leaves)) else self._fresh(self.value, like)

    def _fresh(self, value: Any, like: Any) -> Any:
        """A copy of a buffer, of the kind of the leaves."""
        if isinstance(value, (list, tuple)):
            items = [self._fresh(v, like) for v in value]
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        if isinstance(value, dict):
            return {k: self._fresh(v, like) for k, v in value.items()}
        if is_native(value):
            return value + 0  # its own memory, whatever the framework
        if not isa(value, np.ndarray) and not isinstance(value, Array):
            return value
        if like is None:
            return value.copy()
        new = np.array(value, like=like)
        # A value of a program that is being written down takes what is traced above it as a constant there.
        return new if type(new) is type(like) else like._constant(new)


class Container(Node):
    """What can be reached twice or contain itself: built once per rebuild."""

    __slots__ = ("children", "keys", "numeric", "value")

    def __init__(self, value: Any):
        self.value = value
        self.children: list[Node] = []
        self.keys: list[Any] = []
        self.numeric = False

    def rebuild(self, leaves: list, memo: dict) -> Any:
        if not self.numeric:
            return self.value
        if id(self) in memo:
            return memo[id(self)]
        return self._rebuild(leaves, memo)

    def result(self, grads: list, memo: dict) -> Any:
        if id(self) in memo:
            return memo[id(self)]
        return self._result(grads, memo)

    def _rebuild(self, leaves: list, memo: dict) -> Any:
        raise NotImplementedError

    def _result(self, grads: list, memo: dict) -> Any:
        raise NotImplementedError

    def release(self) -> None:
        """Let go of the leaves in the value, as far as rebuilding needs none of them."""
        if self.numeric:
            self._release()

    def _release(self) -> None:
        pass


class TupleNode(Container):
    __slots__ = ()

    def _release(self) -> None:
        self.value = tuple.__new__(type(self.value), (None,) * len(self.value))

    def _make(self, items: list) -> Any:
        cls = type(self.value)
        return cls(*items) if hasattr(cls, "_fields") else cls(items)

    def _rebuild(self, leaves: list, memo: dict) -> Any:
        return self._make([c.rebuild(leaves, memo) for c in self.children])

    def _result(self, grads: list, memo: dict) -> Any:
        return self._make([c.result(grads, memo) for c in self.children])


class ListNode(Container):
    __slots__ = ()

    def _release(self) -> None:
        self.value = [] if type(self.value) is list else self.value

    def _rebuild(self, leaves: list, memo: dict) -> Any:
        new = [] if type(self.value) is list else copy.copy(self.value)
        memo[id(self)] = new
        new[:] = [c.rebuild(leaves, memo) for c in self.children]
        return new

    def _result(self, grads: list, memo: dict) -> Any:
        new: list = []
        memo[id(self)] = new
        new.extend(c.result(grads, memo) for c in self.children)
        return new


class ObjectArrayNode(Container):
    """An object array: a container with a shape; the result is a nested list of the same shape."""

    __slots__ = ()

    def _release(self) -> None:
        self.value = np.empty(self.value.shape, dtype=object)

    def _rebuild(self, leaves: list, memo: dict) -> Any:
        new = np.empty(self.value.shape, dtype=object)
        for index, child in zip(np.ndindex(self.value.shape), self.children, strict=True):
            new[index] = child.rebuild(leaves, memo)
        return new

    def _result(self, grads: list, memo: dict) -> Any:
        new = np.empty(self.value.shape, dtype=object)
        for index, child in zip(np.ndindex(self.value.shape), self.children, strict=True):
            new[index] = child.result(grads, memo)
        return new


class DictNode(Container):
    __slots__ = ()

    def _release(self) -> None:
        self.value = {} if type(self.value) is dict else self.value

    def _rebuild(self, leaves: list, memo: dict) -> Any:
        new = {} if type(self.value) is dict else copy.copy(self.value)
        memo[id(self)] = new
        for key, child in zip(self.keys, self.children, strict=True):
            new[key] = child.rebuild(leaves, memo)
        return new

    def _result(self, grads: list, memo: dict) -> Any:
        new: dict = {}
        memo[id(self)] = new
        for key, child in zip(self.keys, self.children, strict=True):
            new[key] = child.result(grads, memo)
        return new


def _blank(value: Any) -> Any:
    """A new object of value's class whose fields are still to be set."""
    try:
        return object.__new__(type(value))
    except TypeError:  # the class is built on a type that makes its own objects, such as SimpleNamespace
        return copy.copy(value)


class ObjectNode(Container):
    """An instance: f gets a shallow copy whose fields are rebuilt; the result is its Tangent."""

    __slots__ = ()

    def _release(self) -> None:
        self.value = _blank(self.value)

    def _rebuild(self, leaves: list, memo: dict) -> Any:
        value = self.value
        new = _blank(value)
        memo[id(self)] = new
        for name, child in zip(self.keys, self.children, strict=True):
            object.__setattr__(new, name, child.rebuild(leaves, memo))
        return new

    def _result(self, grads: list, memo: dict) -> Any:
        new, fields = tangent_of(type(self.value), self._others())
        memo[id(self)] = new
        for name, child in zip(self.keys, self.children, strict=True):
            fields[name] = child.result(grads, memo)
        return new

    def _others(self) -> Any:
        """Names of fields that the result has no entry for."""
        return ()


class TreeNode(Container):
    """An object that a framework takes apart itself: f gets, and the result is, one of its class."""

    __slots__ = ("definition",)

    def __init__(self, value: Any, definition: Any):
        super().__init__(value)
        self.definition = definition

    def _release(self) -> None:
        pass

    def _rebuild(self, leaves: list, memo: dict) -> Any:
        new = memo[id(self)] = self.definition.unflatten([c.rebuild(leaves, memo) for c in self.children])
        return new

    def _result(self, grads: list, memo: dict) -> Any:
        new = memo[id(self)] = self.definition.unflatten([c.result(grads, memo) for c in self.children])
        return new

    def parts(self, bar: Any) -> list | None:
        """The entries of a tangent, one per child: of an object of the class, or of a record of its fields."""
        if type(bar) is type(self.value):
            found = tree_of(bar)
            return None if found is None or len(found[1]) != len(self.children) else found[1]
        names = [name.removeprefix(".") for name in self.keys]
        if isinstance(bar, (dict, Tangent)) and all(name in names for name in bar):
            fields = bar if isinstance(bar, dict) else bar._fields
            return [fields.get(name) for name in names]
        return None


class ModuleNode(ObjectNode):
    """A framework's module of layers: parameters and submodules are its fields, buffers and settings stay."""

    __slots__ = ()

    def _others(self) -> Any:
        names = self._natives.other_names(self.value)
        return [n for n in names if not n.startswith("_") and n not in self.keys]

    def _release(self) -> None:
        pass

    def _rebuild(self, leaves: list, memo: dict) -> Any:
        new = object.__new__(type(self.value))
        memo[id(self)] = new
        children = {n: child.rebuild(leaves, memo) for n, child in zip(self.keys, self.children, strict=True)}
        self._natives.with_children(self.value, new, children)
        return new

    @property
    def _natives(self) -> Any:
        return module_of_layers(self.value)


class ClosureNode(Container):
    """A function with captured numbers: rebuilt around other cells."""

    __slots__ = ()

    def _release(self) -> None:
        self.value = self._blank()

    def _blank(self) -> types.FunctionType:
        """The same function around empty cells."""
        f = self.value
        cells = tuple(types.CellType() for _ in self.keys)
        new = types.FunctionType(f.__code__, f.__globals__, f.__name__, f.__defaults__, cells)
        new.__kwdefaults__, new.__qualname__, new.__module__ = f.__kwdefaults__, f.__qualname__, f.__module__
        new.__dict__.update(f.__dict__)
        return new

    def _rebuild(self, leaves: list, memo: dict) -> Any:
        new = memo[id(self)] = self._blank()
        for cell, child in zip(new.__closure__ or (), self.children, strict=True):
            if child is not None:
                cell.cell_contents = child.rebuild(leaves, memo)
        return new

    def _result(self, grads: list, memo: dict) -> Any:
        if not self.numeric:
            return None
        new, fields = tangent_of(types.FunctionType)
        memo[id(self)] = new
        for name, child in zip(self.keys, self.children, strict=True):
            fields[name] = None if child is None else child.result(grads, memo)
        return new


class MethodNode(Container):
    """A bound method: the object behind it is what is differentiated."""

    __slots__ = ()

    def _rebuild(self, leaves: list, memo: dict) -> Any:
        return types.MethodType(self.value.__func__, self.children[0].rebuild(leaves, memo))

    def _result(self, grads: list, memo: dict) -> Any:
        return self.children[0].result(grads, memo) if self.numeric else None


class PartialNode(Container):
    """A functools.partial: fields func, args, keywords."""

    __slots__ = ()

    def _release(self) -> None:
        self.value = functools.partial(functools.partial)

    def _rebuild(self, leaves: list, memo: dict) -> Any:
        func, args, keywords = [c.rebuild(leaves, memo) for c in self.children]
        return functools.partial(func, *args, **keywords)

    def _result(self, grads: list, memo: dict) -> Any:
        if not self.numeric:
            return None
        parts = [c.result(grads, memo) for c in self.children]
        return Tangent(functools.partial, **dict(zip(("func", "args", "keywords"), parts, strict=True)))
