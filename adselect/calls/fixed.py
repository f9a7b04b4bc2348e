"""What is fixed in an argument: everything that is no number or numeric array, as a key that two calls can be held by.

A prepared operator is a program for one set of such values: slices, masks, flags, names, functions, what a function
captured. The leaves of its arguments are the program's inputs; :func:`parts` tells the rest, and what has the same
parts runs the same program.
"""

from __future__ import annotations

import dis
import fractions
import functools
import re
import sys
import types
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..places import PACKAGE
from ..structure.flattening import Skeleton
from ..structure.leaves import is_enum
from ..structure.opening import CLOSED_PACKAGES, opens
from ..values.kinds import isa
from ..values.natives import is_native
from ..values.tangents import field_names

__all__ = [
    "Unknown",
    "UnknownError",
    "class_settings",
    "code_names",
    "frozen",
    "global_names",
    "imported_names",
    "is_closed_function",
    "is_setting",
    "parts",
    "picture",
]

_SETTINGS = (
    str,
    bytes,
    bool,
    int,
    float,
    complex,
    type(None),
    type(Ellipsis),
    np.generic,
    np.dtype,
    fractions.Fraction,
)
# Values of Python's own modules. There are none while their module has not been imported, which costs some of them ms.
_VALUES = (
    ("decimal", "Decimal"),
    ("datetime", "date"),
    ("datetime", "time"),
    ("datetime", "timedelta"),
    ("uuid", "UUID"),
    ("pathlib", "PurePath"),
)
_TEXT = 200  # characters of a string in which names are looked for
_WORD = re.compile(r"[^\W\d]\w*")
_NAMED = (type, types.ModuleType, np.ufunc, types.CodeType, types.MethodDescriptorType)


class UnknownError(Exception):
    """A value that cannot be compared with what it was: its type's name."""


class Unknown:
    """Stands for a value of which nobody can tell whether it has changed: equal to nothing."""

    def __init__(self, name: str):
        self.name = name


class _Same:
    """Equal to nothing but the very same object."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: Any) -> bool:
        return type(other) is _Same and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


class _SameAll:
    """Equal to the very same objects in the same order."""

    __slots__ = ("ids", "values")

    def __init__(self, values: tuple):
        self.values, self.ids = values, tuple(map(id, values))  # values are kept: an id may be used again

    def __eq__(self, other: Any) -> bool:
        return type(other) is _SameAll and other.ids == self.ids

    def __hash__(self) -> int:
        return hash(self.ids)


def parts(skeleton: Skeleton) -> tuple[tuple, tuple]:
    """``(structure, fixed)`` of flattened arguments, both hashable.

    structure says where the leaves are; fixed is what stands at the other places, an Unknown where it cannot be told.
    """
    structure: list = []
    fixed: list = []
    seen: dict[int, int] = {}

    def walk(node: Any) -> None:
        if node is None:
            structure.append(None)
            return
        if not node.numeric:
            structure.append("fixed")
            try:
                fixed.append(frozen(node.value))
            except UnknownError as error:
                fixed.append(Unknown(str(error)))
            return
        if hasattr(node, "index"):
            structure.append("leaf")
            return
        if id(node) in seen:
            structure.append(("again", seen[id(node)]))
            return
        seen[id(node)] = len(seen)
        value = node.value
        if hasattr(node, "labels"):  # of a container of another library's
            structure.append((type(value), node.labels()))
        else:
            structure.append((type(value), *map(_key, node.keys), len(node.children)))
            structure.append(getattr(node, "definition", None))
        if isa(value, np.ndarray):
            structure.append(value.shape)
        elif isinstance(value, types.FunctionType):
            fixed.append(picture(value, captured=False))
        elif isinstance(value, types.MethodType):
            fixed.append(picture(value.__func__))
        elif node.keys and not isinstance(value, dict) and not hasattr(node, "labels"):
            fixed.extend(class_settings(type(value)))
        for child in node.children:
            walk(child)

    for node in skeleton.nodes:
        walk(node)
    return tuple(structure), tuple(fixed)


def _key(key: Any) -> Any:
    return (type(key), key)


def is_setting(value: Any) -> bool:
    """Whether value is one that never changes and is compared by what it is: a number, a string, None, a dtype."""
    return isa(value, _SETTINGS) or is_enum(value)


def frozen(value: Any, memo: dict | None = None) -> Any:
    """A hashable picture of value: equal for what a program cannot tell apart. Raises UnknownError.

    >>> frozen(slice(0, 2)) == frozen(slice(0, 2)), frozen(1) == frozen(True)
    (True, False)
    """
    kind = type(value)
    if kind in (str, bool, int, bytes) or value is None:
        return (kind, value)
    if isa(value, _SETTINGS):
        # By its digits: -0.0 is another number than 0.0, NaN the same as NaN.
        return (kind, repr(value)) if isa(value, (float, complex, np.inexact)) else (kind, value)
    if is_enum(value) or isa(value, _NAMED):
        if isa(value, types.BuiltinFunctionType) and not isinstance(
            value.__self__, (types.ModuleType, type(None), type)
        ):
            raise UnknownError(f"{value.__name__} of a {type(value.__self__).__name__}")  # rng.normal
        return _Same(value)
    if kind is slice or kind is range:
        return (kind, *[frozen(v) for v in (value.start, value.stop, value.step)])
    if isa(value, np.ndarray):
        if value.dtype == object:
            return _opened(value, memo, lambda: (value.shape, *value.flat))
        return (kind, value.dtype, value.shape, value.tobytes())
    if is_native(value):
        return _Same(value)
    if isinstance(value, (tuple, list, deque, set, frozenset)):
        return _opened(value, memo, lambda: value)
    if isinstance(value, (dict, types.MappingProxyType)):
        return _opened(value, memo, lambda: [part for item in value.items() for part in item])
    if isinstance(value, types.FunctionType):
        return _code(value, {} if memo is None else memo)
    if isinstance(value, types.MethodType):
        return _opened(value, memo, lambda: (value.__func__, value.__self__))
    if isinstance(value, functools.partial):
        return _opened(value, memo, lambda: (value.func, value.args, value.keywords))
    return _object(value, memo)


def _is_value(kind: type) -> bool:
    """Whether kind is one of _VALUES; asked last, as it takes a look at every module of theirs."""
    modules = sys.modules
    return any([m in modules and issubclass(kind, getattr(modules[m], name, ())) for m, name in _VALUES])


def _object(value: Any, memo: dict | None) -> Any:
    if _is_value(type(value)):
        return (type(value), value)
    if getattr(type(value), "_opaque", False):  # a primitive, whatever it wraps
        return _Same(value)
    if opens(value):
        names = field_names(value)
        memo = {} if memo is None else memo

        def read() -> Iterator[Any]:
            yield from names
            yield from [getattr(value, n) for n in names]

        if id(value) in memo:
            return ("again", memo[id(value)][0])
        return (*_opened(value, memo, read), *class_settings(type(value), memo))
    if hasattr(value, "__array_interface__") or hasattr(value, "__dlpack__") or isa(value, bytearray):
        return (type(value), np.array(value).tobytes())
    state = getattr(value, "__dict__", None)
    if state is None or not state or isinstance(value, type):
        if callable(value) and not hasattr(value, "__self__"):
            return _Same(value)  # a function of compiled code
        raise UnknownError(type(value).__name__)
    return _opened(value, memo, lambda: [part for item in state.items() for part in item])


def _opened(value: Any, memo: dict | None, read: Any) -> Any:
    """The picture of what holds others; what holds itself, and what is reached twice, is told by its number."""
    memo = {} if memo is None else memo
    if id(value) in memo:
        return ("again", memo[id(value)][0])
    memo[id(value)] = (len(memo), value)
    return (type(value), *[frozen(v, memo) for v in read()])


def _code(f: types.FunctionType, memo: dict, captured: bool = True) -> Any:
    """The picture of a function: its code, defaults, the globals it names and, where asked for, what it captured."""
    if id(f) in memo:
        return ("again", memo[id(f)][0])
    memo[id(f)] = (len(memo), f)
    found: list = [types.FunctionType, f.__code__]
    for part in (f.__defaults__, f.__kwdefaults__, f.__dict__ or None):
        found.append(None if part is None else _captured(part, memo))
    for cell in (f.__closure__ or ()) if captured else ():
        try:
            content = cell.cell_contents
        except ValueError:
            found.append("empty")
            continue
        found.append(_captured(content, memo))
    for name in global_names(f):
        found.append((name, _captured(f.__globals__[name], memo)))
    return tuple(found)


def picture(f: Any, captured: bool = True) -> Any:
    """The picture of a function, with what it captured or without (where that is told by other means)."""
    return _code(f, {}, captured) if isinstance(f, types.FunctionType) else _captured(f, {})


def _captured(value: Any, memo: dict) -> Any:
    """What a function reaches: a module or an object of another library is told by its identity."""
    if isinstance(value, types.ModuleType):
        return _Same(value)
    try:
        return frozen(value, memo)
    except UnknownError:
        return _Same(value)


def code_names(code: types.CodeType) -> frozenset[str]:
    """The names of globals and attributes in a code object and those inside of it."""
    return _names(code)[1]


def is_closed_function(f: types.FunctionType) -> bool:
    """Whether a function is another library's or ours; one of an example in our docstrings is not."""
    package = (f.__module__ or "").partition(".")[0]
    return package in CLOSED_PACKAGES or (package == "adselect" and f.__code__.co_filename.startswith(PACKAGE))


def global_names(f: types.FunctionType) -> list[str]:
    """The global variables that a function's code reads; none of a function of another library's."""
    if is_closed_function(f):
        return []
    return [name for name in _names(f.__code__)[0] if name in f.__globals__]


def imported_names(f: types.FunctionType) -> tuple[str, ...]:
    """The modules that a function's code imports when it runs."""
    return _names(f.__code__)[2]


@functools.lru_cache(maxsize=8192)
def _names(code: types.CodeType) -> tuple[tuple[str, ...], frozenset[str], tuple[str, ...]]:
    """The globals that code reads, all names in it (an attribute may be called like a global), and what it imports."""
    instructions = list(dis.get_instructions(code))
    read = {i.argval for i in instructions if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    imported = {i.argval for i in instructions if i.opname == "IMPORT_NAME"}
    imported |= {name.partition(".")[0] for name in imported}
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, str) and len(constant) < _TEXT:  # getattr(module, "name"), eval("a * name")
            names.update(_WORD.findall(constant))
        if isinstance(constant, types.CodeType):
            inner = _names(constant)
            read.update(inner[0])
            names |= inner[1]
            imported.update(inner[2])
    if not read.isdisjoint(("eval", "exec", "globals")):
        read |= names
    return tuple(sorted(read)), frozenset(names), tuple(sorted(imported))


def class_settings(cls: type, memo: dict | None = None) -> Iterator[Any]:
    """A picture of what an instance finds in its class: the attributes and methods, by identity, and their contents."""
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] in CLOSED_PACKAGES or base is object:
            continue
        yield _SameAll(tuple(vars(base).values()))
        for name, value in vars(base).items():
            if isa(value, (np.ndarray, list, dict, set)) and not name.startswith("__"):
                try:
                    yield frozen(value, memo)
                except UnknownError:
                    yield _Same(value)
