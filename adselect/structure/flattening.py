"""A value taken apart: leaves, and the skeleton that puts new ones in their place."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ADSelectTypeError, user_line
from ..face.array import Array
from ..face.foreign import FAMILIAR, GUESTS, foreign_of
from ..values.kinds import isa
from ..values.natives import is_native, module_of_layers, tree_of
from ..values.tangents import field_names
from .leaves import Cache, Const, is_extension_float, is_leaf
from .nodes import (
    CacheNode,
    ClosureNode,
    Container,
    DictNode,
    Leaf,
    ListNode,
    MethodNode,
    ModuleNode,
    Node,
    ObjectArrayNode,
    ObjectNode,
    Opaque,
    PartialNode,
    TreeNode,
    TupleNode,
)
from .opening import opens
from .params import Params

__all__ = ["Skeleton", "flatten"]


_MISPLACED = (
    "{} is Params ({}): these stand alone after f in gradient, withgradient, pullback, jacobian, withjacobian and "
    "prepare of these. For other operators make the arrays arguments, as in hessian(lambda W: …, W); for an argument "
    "that holds arrays pass list(ps)"
)


def _refuse_extension_float(value: Any, path: str) -> None:
    if is_extension_float(value.dtype):
        raise ADSelectTypeError(
            f"{path} has dtype {value.dtype}, which NumPy's functions do not all take. Pass {path}.astype(np.float32), "
            "or Const(…) where it needs no derivative."
        )


def _closed(value: Any, path: str) -> Opaque:
    """The node of a value that is passed on as it is; an error for what goes around whole arguments."""
    if getattr(type(value), "_whole", False):
        raise ADSelectTypeError(
            f"{path} is a {type(value).__name__}, which goes around a whole argument and not around a part of one: "
            f"write {type(value).__name__}(…) with all of it inside, or make the part an argument of its own"
        )
    return Opaque(value)


def node_of(value: Any, path: str, flattener: _Flattener) -> Any:
    """The node of a container of another library's; None for a value that is none."""
    return GUESTS["node"](value, path, flattener)


class _Flattener:
    """Collects leaves; remembers mutable places by identity."""

    def __init__(self, also: Callable[[Any], bool] | None) -> None:
        self.is_leaf = is_leaf if also is None else lambda value: is_leaf(value) or also(value)
        self.leaves: list = []
        self.paths: list[str] = []
        self.seen: dict[int, Container] = {}
        self.alive: list = []  # keeps temporary values alive while their ids are keys

    def node(self, value: Any, path: str) -> Node:
        if self.is_leaf(value):
            if isa(value, np.ndarray) and type(value) is not np.ndarray and foreign_of(value) is not None:
                return node_of(value, path, self)
            self.leaves.append(value)
            self.paths.append(path)
            return Leaf(len(self.leaves) - 1)
        if isa(value, (str, bytes, bool, type(None), np.generic)):
            if isa(value, np.generic):
                _refuse_extension_float(value, path)
                if foreign_of(value) is not None:
                    return node_of(value, path, self)
            return Opaque(value)
        known = self.seen.get(id(value))
        if known is not None:
            return known
        if isinstance(value, tuple):
            return self.fill(TupleNode(value), [(f"{path}[{i}]", v) for i, v in enumerate(value)], share=False)
        if isinstance(value, list):
            return self.fill(ListNode(value), [(f"{path}[{i}]", v) for i, v in enumerate(value)])
        if isinstance(value, dict) and (type(value) is dict or foreign_of(value) is None):
            return self.fill(DictNode(value), [(f"{path}[{k!r}]", v) for k, v in value.items()], list(value))
        if isa(value, np.ndarray):
            if foreign_of(value) is not None:
                return node_of(value, path, self)
            if value.dtype != object:
                _refuse_extension_float(value, path)
                return Opaque(value)
            items = [(f"{path}[{', '.join(map(str, i))}]", value[i]) for i in np.ndindex(value.shape)]
            return self.fill(ObjectArrayNode(value), items)
        if isinstance(value, types.FunctionType):
            return self._closure(value, path)
        if isinstance(value, types.MethodType):
            return self.fill(MethodNode(value), [(path, value.__self__)], share=False)
        if isinstance(value, functools.partial):
            parts = [(f"{path}.func", value.func), (f"{path}.args", value.args), (f"{path}.keywords", value.keywords)]
            return self.fill(PartialNode(value), parts)
        if is_native(value):
            return Opaque(value)
        if isinstance(value, Params):
            raise ADSelectTypeError(_MISPLACED.format(path, user_line()))
        if type(value) not in FAMILIAR and (node := node_of(value, path, self)) is not None:
            return node
        if not opens(value):
            return _closed(value, path)
        if (natives := module_of_layers(value)) is not None:
            children = natives.children(value)
            return self.fill(ModuleNode(value), [(f"{path}.{n}", v) for n, v in children.items()], list(children))
        if (tree := tree_of(value)) is not None:
            names, parts, definition = tree
            items = [(f"{path}{name}", part) for name, part in zip(names, parts, strict=True)]
            return self.fill(TreeNode(value, definition), items, names)
        names = field_names(value)
        return self.fill(ObjectNode(value), [(f"{path}.{n}", getattr(value, n)) for n in names], names)

    def fill(self, node: Container, items: list, keys: list | None = None, share: bool = True) -> Container:
        before = len(self.leaves)
        if share:
            self.seen[id(node.value)] = node
        self.alive.append(node.value)
        node.keys = keys or []
        for path, item in items:
            node.children.append(self.node(item, path))
        node.numeric = len(self.leaves) > before or any(c.numeric for c in node.children)
        return node

    def opaque(self, value: Any) -> Node:
        """The node of a value without leaves."""
        return Opaque(value)

    def opens(self, value: Any) -> bool:
        """Whether the fields of an instance are looked into."""
        return opens(value)

    def _closure(self, f: Any, path: str) -> Node:
        if not f.__closure__:
            return Opaque(f)
        before = len(self.leaves)
        node = ClosureNode(f)
        self.seen[id(f)] = node
        node.keys = list(f.__code__.co_freevars)
        for name, cell in zip(node.keys, f.__closure__, strict=True):
            try:
                content = cell.cell_contents
            except ValueError:
                node.children.append(None)  # type: ignore[arg-type]
                continue
            node.children.append(self.node(content, f"{path}.{name}"))
        node.numeric = len(self.leaves) > before or any(c is not None and c.numeric for c in node.children)
        return node


class Skeleton:
    """The structure of several values without their leaves; ``paths`` names each leaf (``args[0].layers[1].W``)."""

    __slots__ = ("nodes", "paths", "simple")

    def __init__(self, nodes: list[Node], paths: list[str], simple: bool):
        self.nodes, self.paths, self.simple = nodes, paths, simple

    def rebuild(self, leaves: list) -> list:
        """The values again, around other leaves."""
        if self.simple:
            return leaves
        memo: dict = {}
        return [n.rebuild(leaves, memo) for n in self.nodes]

    def result(self, grads: list) -> tuple:
        """One entry per value: the same structure around grads."""
        if self.simple:
            return tuple(grads)
        memo: dict = {}
        return tuple([n.result(grads, memo) for n in self.nodes])

    def settings(self) -> list:
        """The values without leaves that are part of the structure: strings, None, functions, …"""
        found: list = []
        pending, seen = list(self.nodes), set()
        while pending:
            node = pending.pop()
            if isinstance(node, Opaque):
                found.append((type(node.value), node.value))
            elif isinstance(node, Container) and id(node) not in seen:
                seen.add(id(node))
                found.append((type(node), tuple(node.keys)))
                pending += [c for c in node.children if c is not None]
        return found

    def release(self) -> None:
        """Let go of the values the skeleton was made from, for one that lives longer than they should."""
        pending, seen = [n for n in self.nodes if isinstance(n, Container)], set()
        while pending:
            node = pending.pop()
            if id(node) not in seen:
                seen.add(id(node))
                node.release()
                pending += [c for c in node.children if isinstance(c, Container)]


_SIMPLE_PATHS = [[f"args[{i}]" for i in range(n)] for n in range(8)]


def flatten(values: tuple, root: str = "args", also: Callable[[Any], bool] | None = None) -> tuple[list, Skeleton]:
    """Leaves and skeleton of several values; ``also`` says what else is a leaf.

    >>> leaves, skeleton = flatten((1.0, {"a": 2.0, "b": "text"}))
    >>> leaves, skeleton.paths
    ([1.0, 2.0], ['args[0]', "args[1]['a']"])
    >>> skeleton.result([10.0, 20.0])
    (10.0, {'a': 20.0, 'b': None})
    """
    for value in values:
        kind = type(value)
        if not (kind is float or (kind is np.ndarray and value.dtype.kind in "fiuc") or isinstance(value, Array)):
            break
    else:
        n = len(values)
        paths = _SIMPLE_PATHS[n] if n < 8 and root == "args" else [f"{root}[{i}]" for i in range(n)]
        return list(values), Skeleton([], paths, True)
    flattener = _Flattener(also)
    nodes: list[Node] = []
    for i, value in enumerate(values):
        if isinstance(value, Const):
            nodes.append(CacheNode(value.value) if isinstance(value, Cache) else Opaque(value.value))
        else:
            nodes.append(flattener.node(value, f"{root}[{i}]"))
    return flattener.leaves, Skeleton(nodes, flattener.paths, False)


def map_leaves(function: Callable[[Any], Any], value: Any) -> Any:
    """The same structure with function applied to every leaf."""
    leaves, skeleton = flatten((value,))
    return skeleton.rebuild([function(leaf) for leaf in leaves])[0]
