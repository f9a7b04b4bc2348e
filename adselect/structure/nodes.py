"""Any Python value ↔ leaves and skeleton.

A *leaf* is something one can differentiate with respect to: a number or a numeric array. The *skeleton* is the rest:
it rebuilds the value around other leaves (what f receives) and builds the result of the same shape around the
gradients. Objects reached twice share one place, cycles terminate.
"""

from __future__ import annotations

import copy
import functools
import sys
import types
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from ..errors import ADSelectTypeError
from ..face.array import Array
from ..face.foreign import FAMILIAR, GUESTS, foreign_of
from ..values.kinds import isa
from ..values.natives import is_native, natives_of, to_numpy
from ..values.tangents import NoTangent, Tangent, ZeroTangent, field_names, tangent_of

__all__ = [
    "CLOSED_PACKAGES",
    "Const",
    "Container",
    "Skeleton",
    "flatten",
    "is_enum",
    "is_extension_float",
    "is_leaf",
    "is_mask",
    "is_value",
    "opens",
    "project",
    "project_to",
    "settings_of",
]


class Const:
    """An argument that is not differentiated: ``gradient(f, Const(data), x)`` has None at its place.

    >>> import adselect as ad
    >>> ad.gradient(lambda a, b: a * b, ad.Const(2.0), 3.0)
    (None, 2.0)
    """

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __repr__(self) -> str:
        return f"Const({self.value!r})"


# -- leaves ------------------------------------------------------------------------------------------------------------

_NUMBERS = (float, int, complex, Fraction, np.integer, np.floating, np.complexfloating)


def is_leaf(value: Any) -> bool:
    """Whether one can differentiate with respect to value itself: a number or numeric array, not a bool.

    >>> is_leaf(2), is_leaf(True), is_leaf(np.ones(2)), is_leaf("x")
    (True, False, True, False)
    """
    kind = type(value)
    if kind is float:
        return True
    if kind is np.ndarray:
        return value.dtype.kind in "fiuc"
    if isa(value, (bool, np.bool_)):
        return False
    if isa(value, _NUMBERS):
        return not is_enum(value)
    if isa(value, np.ndarray):
        return value.dtype.kind in "fiuc"
    if isinstance(value, Array):
        return value.dtype.kind in "fiuc"
    natives = natives_of(value)
    return natives is not None and natives.is_numeric(value)


def is_value(value: Any) -> bool:
    """Whether value is something that a function computes with though it is no leaf: a mask, or JAX's bfloat16."""
    return is_mask(value) or is_extension_float(getattr(value, "dtype", None))


def is_extension_float(dtype: Any) -> bool:
    """Whether this is a NumPy dtype of floating-point numbers that NumPy itself does not have, such as bfloat16."""
    return getattr(dtype, "kind", "") == "V" and "float" in str(dtype) and getattr(dtype, "names", None) is None


def is_mask(value: Any) -> bool:
    """Whether value is boolean and not a Python bool: no leaf, but not a setting that stays what it is, either."""
    dtype = getattr(value, "dtype", None)
    kind = getattr(dtype, "kind", "")
    return kind == "b" if kind else dtype is not None and "bool" in str(dtype)


def is_enum(value: Any) -> bool:
    """Whether value is a member of an enumeration."""
    enum = sys.modules.get("enum")
    return enum is not None and isinstance(value, enum.Enum)


# -- skeleton nodes ----------------------------------------------------------------------------------------------------


class _Node:
    """One place of the skeleton. ``rebuild`` puts values back, ``result`` builds the tangent of the same shape."""

    __slots__ = ()
    numeric = True  # whether any leaf is below

    def rebuild(self, leaves: list, memo: dict) -> Any:
        raise NotImplementedError

    def result(self, grads: list, memo: dict) -> Any:
        raise NotImplementedError


class _Leaf(_Node):
    __slots__ = ("index",)

    def __init__(self, index: int):
        self.index = index

    def rebuild(self, leaves: list, memo: dict) -> Any:
        return leaves[self.index]

    def result(self, grads: list, memo: dict) -> Any:
        return grads[self.index]


class _Opaque(_Node):
    """A value without leaves: passed to f as it is, None in the result."""

    __slots__ = ("value",)
    numeric = False

    def __init__(self, value: Any):
        self.value = value

    def rebuild(self, leaves: list, memo: dict) -> Any:
        return self.value

    def result(self, grads: list, memo: dict) -> Any:
        return None


class Container(_Node):
    """What can be reached twice or contain itself: built once per rebuild."""

    __slots__ = ("children", "keys", "numeric", "value")

    def __init__(self, value: Any):
        self.value = value
        self.children: list[_Node] = []
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


class _Tuple(Container):
    __slots__ = ()

    def _release(self) -> None:
        self.value = tuple.__new__(type(self.value))

    def _make(self, items: list) -> Any:
        cls = type(self.value)
        return cls(*items) if hasattr(cls, "_fields") else cls(items)

    def _rebuild(self, leaves: list, memo: dict) -> Any:
        return self._make([c.rebuild(leaves, memo) for c in self.children])

    def _result(self, grads: list, memo: dict) -> Any:
        return self._make([c.result(grads, memo) for c in self.children])


class _List(Container):
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


class _ObjectArray(Container):
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


class _Dict(Container):
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


class _Object(Container):
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


class _Module(_Object):
    """A torch module: parameters and submodules are its fields, buffers and settings stay."""

    __slots__ = ()

    def _others(self) -> Any:
        value = self.value
        names = (*value.__dict__, *value._parameters, *value._buffers)
        return [n for n in names if not n.startswith("_") and n not in self.keys]

    def _release(self) -> None:
        pass

    def _rebuild(self, leaves: list, memo: dict) -> Any:
        value = self.value
        new = object.__new__(type(value))
        memo[id(self)] = new
        new.__dict__.update(value.__dict__)
        new.__dict__["_parameters"] = dict(value._parameters)
        new.__dict__["_modules"] = dict(value._modules)
        for name, child in zip(self.keys, self.children, strict=True):
            place = "_parameters" if name in value._parameters else "_modules"
            new.__dict__[place][name] = child.rebuild(leaves, memo)
        return new


class _Closure(Container):
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


class _Method(Container):
    """A bound method: the object behind it is what is differentiated."""

    __slots__ = ()

    def _rebuild(self, leaves: list, memo: dict) -> Any:
        return types.MethodType(self.value.__func__, self.children[0].rebuild(leaves, memo))

    def _result(self, grads: list, memo: dict) -> Any:
        return self.children[0].result(grads, memo) if self.numeric else None


class _Partial(Container):
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


# -- flattening --------------------------------------------------------------------------------------------------------

# Instances of these packages' classes are values to pass on, not structures to open.
CLOSED_PACKAGES = (frozenset(sys.stdlib_module_names) - {"builtins", "__main__"}) | {
    *("numpy", "scipy", "pandas", "jaxlib", "jax", "autograd", "sympy", "matplotlib"),
}
_HEAP_TYPE = 1 << 9  # CPython's flag of classes made by a class statement
_OPEN_ANYWAY = (types.SimpleNamespace,)


def opens(value: Any) -> bool:
    """Whether the fields of an instance are looked into."""
    if isinstance(value, (type, types.ModuleType, BaseException)) or is_enum(value):
        return False
    if getattr(type(value), "_opaque", False):  # a primitive: a function, whatever it wraps
        return False
    if isinstance(value, _OPEN_ANYWAY):
        return True
    package = type(value).__module__.partition(".")[0]
    if package in CLOSED_PACKAGES or not type(value).__flags__ & _HEAP_TYPE:
        return False
    if package == "torch" and not _is_module(value):
        return False
    return hasattr(value, "__dict__") or any("__slots__" in c.__dict__ for c in type(value).__mro__[:-1])


def settings_of(value: Any) -> dict[str, Any] | None:
    """All attributes of an object that is looked into; None for one that is passed on as it is.

    >>> import math, types
    >>> settings_of(types.SimpleNamespace(a=1.0)), settings_of(math)
    ({'a': 1.0}, None)
    """
    if is_native(value) or not opens(value):
        return None
    return {name: getattr(value, name) for name in field_names(value)}


def _is_module(value: Any) -> bool:
    nn = sys.modules.get("torch.nn")
    return nn is not None and isinstance(value, nn.Module)


def _refuse_extension_float(value: Any, path: str) -> None:
    if is_extension_float(value.dtype):
        raise ADSelectTypeError(
            f"{path} has dtype {value.dtype}, which NumPy's functions do not all take. Pass {path}.astype(np.float32), "
            "or Const(…) where it needs no derivative."
        )


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

    def node(self, value: Any, path: str) -> _Node:
        if self.is_leaf(value):
            if isa(value, np.ndarray) and type(value) is not np.ndarray and foreign_of(value) is not None:
                return node_of(value, path, self)
            self.leaves.append(value)
            self.paths.append(path)
            return _Leaf(len(self.leaves) - 1)
        if isa(value, (str, bytes, bool, type(None), np.generic)):
            if isa(value, np.generic):
                _refuse_extension_float(value, path)
                if foreign_of(value) is not None:
                    return node_of(value, path, self)
            return _Opaque(value)
        known = self.seen.get(id(value))
        if known is not None:
            return known
        if isinstance(value, tuple):
            return self.fill(_Tuple(value), [(f"{path}[{i}]", v) for i, v in enumerate(value)], share=False)
        if isinstance(value, list):
            return self.fill(_List(value), [(f"{path}[{i}]", v) for i, v in enumerate(value)])
        if isinstance(value, dict) and (type(value) is dict or foreign_of(value) is None):
            return self.fill(_Dict(value), [(f"{path}[{k!r}]", v) for k, v in value.items()], list(value))
        if isa(value, np.ndarray):
            if foreign_of(value) is not None:
                return node_of(value, path, self)
            if value.dtype != object:
                _refuse_extension_float(value, path)
                return _Opaque(value)
            items = [(f"{path}[{', '.join(map(str, i))}]", value[i]) for i in np.ndindex(value.shape)]
            return self.fill(_ObjectArray(value), items)
        if isinstance(value, types.FunctionType):
            return self._closure(value, path)
        if isinstance(value, types.MethodType):
            return self.fill(_Method(value), [(path, value.__self__)], share=False)
        if isinstance(value, functools.partial):
            parts = [(f"{path}.func", value.func), (f"{path}.args", value.args), (f"{path}.keywords", value.keywords)]
            return self.fill(_Partial(value), parts)
        if is_native(value):
            return _Opaque(value)
        if type(value) not in FAMILIAR and (node := node_of(value, path, self)) is not None:
            return node
        if not opens(value):
            return _Opaque(value)
        if _is_module(value):
            children = {n: p for n, p in value._parameters.items() if p is not None} | dict(value._modules)
            return self.fill(_Module(value), [(f"{path}.{n}", v) for n, v in children.items()], list(children))
        names = field_names(value)
        return self.fill(_Object(value), [(f"{path}.{n}", getattr(value, n)) for n in names], names)

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

    def opaque(self, value: Any) -> _Node:
        """The node of a value without leaves."""
        return _Opaque(value)

    def opens(self, value: Any) -> bool:
        """Whether the fields of an instance are looked into."""
        return opens(value)

    def _closure(self, f: Any, path: str) -> _Node:
        if not f.__closure__:
            return _Opaque(f)
        before = len(self.leaves)
        node = _Closure(f)
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

    def __init__(self, nodes: list[_Node], paths: list[str], simple: bool):
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
            if isinstance(node, _Opaque):
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
    nodes: list[_Node] = []
    for i, value in enumerate(values):
        nodes.append(_Opaque(value.value) if isinstance(value, Const) else flattener.node(value, f"{root}[{i}]"))
    return flattener.leaves, Skeleton(nodes, flattener.paths, False)


def map_leaves(function: Callable[[Any], Any], value: Any) -> Any:
    """The same structure with function applied to every leaf."""
    leaves, skeleton = flatten((value,))
    return skeleton.rebuild([function(leaf) for leaf in leaves])[0]


# -- projection --------------------------------------------------------------------------------------------------------


class ExactFraction(Fraction):
    """A Fraction that NumPy reads as a float64 instead of as an object."""

    __slots__ = ()

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(float(self), dtype=dtype)

    def __repr__(self) -> str:
        return f"Fraction({self.numerator}, {self.denominator})"


def project(grad: Any, leaf: Any) -> Any:
    """The gradient as a value of the leaf's kind: shape, dtype, framework, real for real.

    int → float64, Python number → Python number, Fraction → Fraction, NumPy → NumPy, native → native.
    """
    kind = type(leaf)
    if isinstance(grad, Array):
        return _project_traced(grad, leaf)
    if type(grad) is not np.ndarray and not is_native(leaf) and is_tracer(grad):
        return grad  # inside the user's own jax.grad or jax.jit: a NumPy argument's gradient is still being traced
    if kind is np.ndarray:
        dtype = leaf.dtype
        if dtype.kind in "iu":
            dtype = np.float64
        elif not dtype.isnative:
            dtype = dtype.newbyteorder("=")
        if type(grad) is np.ndarray and grad.dtype == dtype and grad.shape == leaf.shape:
            return grad
        grad = np.asarray(to_numpy(grad))
        if grad.dtype.kind == "c" and np.dtype(dtype).kind != "c":
            grad = grad.real
        if grad.dtype == object:
            grad = np.vectorize(float, otypes=[float])(grad) if grad.size else grad.astype(float)
        if grad.shape != leaf.shape:
            grad = np.broadcast_to(grad, leaf.shape).astype(dtype)
        return grad.astype(dtype, copy=False)
    if kind is float or kind is int:
        return float(np.real(to_numpy(grad)))
    if kind is complex:
        return complex(to_numpy(grad))
    if isa(leaf, Fraction):
        return ExactFraction(grad if isa(grad, (Fraction, int)) else float(np.real(grad)))
    if isa(leaf, np.generic):
        dtype = np.float64 if leaf.dtype.kind in "iu" else leaf.dtype
        grad = np.asarray(to_numpy(grad))
        return (grad.real if dtype != grad.dtype and np.dtype(dtype).kind != "c" else grad).astype(dtype)[()]
    if isa(leaf, np.ndarray):
        return project(grad, np.asarray(leaf))
    if isinstance(leaf, Array):
        return project(grad, np.zeros(leaf.shape, leaf.dtype)) if leaf.ndim else grad
    if isa(leaf, (int, float)):
        return float(np.real(to_numpy(grad)))
    natives = natives_of(leaf)
    return grad if natives is None else natives.project(grad, leaf)


def is_tracer(value: Any) -> bool:
    """Whether value is being traced by a framework of its own: its numbers are not there to look at.

    >>> is_tracer(1.0)
    False
    """
    natives = natives_of(value)
    return natives is not None and natives.is_tracer(value)


def _project_traced(grad: Any, leaf: Any) -> Any:
    shape, dtype = np.shape(leaf), leaf_dtype(leaf)
    if dtype is not None and dtype.kind != "c" and grad.dtype.kind == "c":
        grad = grad.real
    if grad.shape != shape:
        grad = np.broadcast_to(grad, shape)
    if dtype is not None and dtype.kind in "fc" and grad.dtype != dtype and isa(leaf, (np.ndarray, Array)):
        grad = grad.astype(dtype)
    return grad


def leaf_dtype(leaf: Any) -> Any:
    """NumPy dtype of a leaf (None for exact numbers such as Fraction)."""
    if isa(leaf, Fraction):
        return None
    if isa(leaf, (np.ndarray, np.generic, Array)):
        return leaf.dtype
    natives = natives_of(leaf)
    return np.result_type(type(leaf)) if natives is None else natives.dtype(leaf)


class project_to:  # noqa: N801 - reads as a function, as in ChainRules' ProjectTo
    """The projection onto the tangent space of ``value``, as a callable remembered for later.

    Applied to a gradient it returns one of value's shape and dtype, real for real; NoTangent for values that have no
    tangent. Raises an error when the sizes differ. Cost: at most one copy.

    >>> project_to(np.array([1.0, 2.0, 3.0]))(np.array([[1], [2], [3]]))
    array([1., 2., 3.])
    >>> project_to(1.0)(2 + 3j)
    2.0
    >>> project_to(True)(2.0)
    NoTangent()
    """

    __slots__ = ("_value",)

    def __init__(self, value: Any):
        self._value = value

    def __call__(self, grad: Any) -> Any:
        value = self._value
        if grad is None or isinstance(grad, (NoTangent, ZeroTangent)):
            return grad
        if not is_leaf(value):
            leaves, skeleton = flatten((value,))
            if not leaves:
                return NoTangent()
            if isinstance(grad, Tangent):
                return grad
            others, _ = flatten((grad,))
            if len(others) != len(leaves):
                raise ADSelectTypeError(f"cannot project {grad!r} onto the tangent space of {value!r}")
            return skeleton.result([project_to(x)(g) for x, g in zip(leaves, others, strict=True)])[0]
        shape = np.shape(value) if not is_native(value) else tuple(value.shape)
        size = int(np.prod(shape))
        if not isinstance(grad, Array) and not is_native(grad):
            grad = np.asarray(grad)
        if tuple(grad.shape) != shape:
            if int(np.prod(tuple(grad.shape))) != size:
                raise ADSelectTypeError(
                    f"a gradient of shape {tuple(grad.shape)} cannot be projected onto a value of shape {shape}"
                )
            grad = grad.reshape(shape)
        return project(grad, value)

    def __repr__(self) -> str:
        return f"project_to({self._value!r})"
