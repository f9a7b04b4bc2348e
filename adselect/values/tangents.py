"""Tangents that are no arrays: NoTangent, ZeroTangent, and Tangent[P], the derivative of a structured value.

The three types and their algebra follow ChainRulesCore.jl.
"""

from __future__ import annotations

import dis
import reprlib
import types
from collections.abc import Iterator
from typing import Any

__all__ = ["NoTangent", "Tangent", "ZeroTangent", "canonicalize"]


class _Absorbing:
    """What NoTangent and ZeroTangent share: one instance each, adding nothing, absorbing products."""

    __slots__ = ()

    def __mul__(self, other: Any) -> Any:
        return other if isinstance(other, ZeroTangent) else self

    __rmul__ = __mul__
    __matmul__ = __mul__
    __rmatmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return self

    def __add__(self, other: Any) -> Any:
        return _stronger(self, other) if isinstance(other, _Absorbing) else other

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return _stronger(self, other) if isinstance(other, _Absorbing) else -other

    def __rsub__(self, other: Any) -> Any:
        return other

    def __neg__(self) -> Any:
        return self

    __pos__ = __abs__ = conj = conjugate = __neg__

    def __getitem__(self, index: Any) -> Any:
        return self

    def __call__(self, *args: Any) -> Any:
        return self

    @property
    def real(self) -> Any:
        return self

    imag = T = real

    def __bool__(self) -> bool:
        return False

    def __float__(self) -> float:
        return 0.0

    def __complex__(self) -> complex:
        return 0j

    def __int__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __reduce__(self) -> Any:
        return type(self), ()

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    # NumPy scalars and arrays on the left leave the operation to us.
    __array_ufunc__ = None


class ZeroTangent(_Absorbing):
    """The zero of every tangent space: adding it changes nothing, a product with it is it.

    >>> ZeroTangent() + 1, ZeroTangent() * 3.5, float(ZeroTangent())
    (1, ZeroTangent(), 0.0)
    """

    __slots__ = ()
    _instance: Any = None

    def __new__(cls) -> ZeroTangent:
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance


class NoTangent(_Absorbing):
    """The tangent of something that has none: a string, a function without state, an index.

    >>> NoTangent() + ZeroTangent() is NoTangent()
    True
    """

    __slots__ = ()
    _instance: Any = None

    def __new__(cls) -> NoTangent:
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance


def _stronger(a: _Absorbing, b: Any) -> Any:
    return b if isinstance(b, NoTangent) else a


class Tangent:
    """The derivative with respect to a structured value: one entry per field, ``Tangent[P](field=…)``.

    Fields that are left out are ZeroTangent; a name that is no field of P is an AttributeError. Addition is fieldwise,
    a number scales every field. A gradient with respect to an object comes back as its Tangent; entries of fields
    without a derivative are None.

    >>> class Point:
    ...     def __init__(self, x, y): self.x, self.y = x, y
    >>> Tangent[Point](x=1.5) + Tangent[Point](x=2.5, y=1.0)
    Tangent[Point](x=4.0, y=1.0)
    >>> (2 * Tangent[Point](x=1.5)).x
    3.0
    """

    # _others: names of the fields that the object behind a gradient has besides; None where there was no object.
    __slots__ = ("_fields", "_others", "_primal")

    def __init__(self, _primal: type | None = None, /, **fields: Any):
        _set_up(self, _primal, fields, None)

    def __class_getitem__(cls, primal: type) -> _TangentOf:
        return _TangentOf(primal)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        fields = object.__getattribute__(self, "_fields")
        if name in fields:
            return fields[name]
        others = object.__getattribute__(self, "_others")
        primal = object.__getattribute__(self, "_primal")
        if name in (others or ()) or (primal is not None and _is_field(primal, name, others is None)):
            return ZeroTangent()
        kind = getattr(primal, "__name__", "")
        raise AttributeError(f"Tangent[{kind}] has no field {name!r}; fields: {', '.join(fields)}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("a Tangent is immutable; build a new one")

    def __getitem__(self, name: Any) -> Any:
        """The entry of a field, also by a dotted path: ``g["hidden.weight"]``."""
        fields = self._fields
        if name in fields:
            return fields[name]
        value: Any = self
        if not isinstance(name, str) or "." not in name:
            raise KeyError(name)
        for part in name.split("."):
            if isinstance(value, (list, tuple)):
                value = value[int(part)]
            elif isinstance(value, (Tangent, dict)):
                value = value[part]
            else:
                raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def keys(self) -> Any:
        return self._fields.keys()

    def values(self) -> Any:
        return self._fields.values()

    def items(self) -> Any:
        return self._fields.items()

    def __len__(self) -> int:
        return len(self._fields)

    def _asdict(self) -> dict[str, Any]:
        return dict(self._fields)

    def __add__(self, other: Any) -> Any:
        if isinstance(other, _Absorbing):
            return self
        if not isinstance(other, Tangent) or other._primal is not self._primal:
            return NotImplemented
        return add(self, other)

    __radd__ = __add__

    def __neg__(self) -> Any:
        return scale(self, -1)

    def __sub__(self, other: Any) -> Any:
        return self + (-other)

    def __mul__(self, factor: Any) -> Any:
        return factor if isinstance(factor, _Absorbing) else scale(self, factor)

    __rmul__ = __mul__

    def __truediv__(self, factor: Any) -> Any:
        return self * (1 / factor)

    __array_ufunc__ = None

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, Tangent) or other._primal is not self._primal:
            return NotImplemented
        return _same(self, other, set())

    __hash__ = None  # type: ignore[assignment]

    @reprlib.recursive_repr("…")
    def __repr__(self) -> str:
        name = getattr(self._primal, "__name__", "")
        return f"Tangent[{name}]({', '.join([f'{k}={v!r}' for k, v in self._fields.items()])})"

    def __reduce__(self) -> Any:
        # The fields come as a state, after the object itself is known: one of them may lead back to it.
        return Tangent, (self._primal,), (self._fields, self._others)

    def __setstate__(self, state: tuple) -> None:
        _set_up(self, self._primal, *state)


def _set_up(tangent: Tangent, primal: Any, fields: dict, others: Any) -> Tangent:
    for name, value in (("_primal", primal), ("_fields", fields), ("_others", others)):
        object.__setattr__(tangent, name, value)
    return tangent


def tangent_of(primal: type, others: Any = ()) -> tuple[Tangent, dict]:
    """A Tangent and the dict of its fields, to be filled in while it is being referred to: objects may be cyclic."""
    fields: dict = {}
    return _set_up(Tangent(primal), primal, fields, frozenset(others)), fields


class _TangentOf:
    """``Tangent[P]``: builds tangents of P."""

    __slots__ = ("primal",)

    def __init__(self, primal: type):
        self.primal = primal

    def __call__(self, **fields: Any) -> Tangent:
        return Tangent(self.primal, **fields)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, _TangentOf) and other.primal is self.primal

    def __hash__(self) -> int:
        return hash((Tangent, self.primal))

    def __instancecheck__(self, value: Any) -> bool:
        return isinstance(value, Tangent) and value._primal is self.primal

    def __repr__(self) -> str:
        return f"Tangent[{getattr(self.primal, '__name__', self.primal)}]"


def _is_field(primal: type, name: str, assigned: bool) -> bool:
    """Whether instances of a class have a field of this name, as far as the class tells.

    assigned: whether to read it off its methods as well, where they assign to attributes.
    """
    names = getattr(primal, "__dataclass_fields__", None) or getattr(primal, "_fields", None)
    if names is not None:
        return name in names
    for cls in primal.__mro__[:-1]:
        space = vars(cls)
        slots = space.get("__slots__", ())
        if name in ((slots,) if isinstance(slots, str) else slots) or name in getattr(cls, "__annotations__", ()):
            return True
        if name in space:  # of what the class itself holds, data is a field and a method or property is none
            return not (callable(space[name]) or hasattr(type(space[name]), "__get__"))
        if assigned and any(_assigns(m.__code__, name) for m in space.values() if isinstance(m, types.FunctionType)):
            return True
    return False


def _assigns(code: types.CodeType, name: str) -> bool:
    """Whether code assigns to an attribute of this name, or mentions it as a text (setattr, register_buffer)."""
    if name in code.co_consts:
        return True
    return name in code.co_names and any(
        i.opname == "STORE_ATTR" and i.argval == name for i in dis.get_instructions(code)
    )


def _same(a: Any, b: Any, under_way: set) -> bool:
    if a is b:
        return True
    if isinstance(a, Tangent) and isinstance(b, Tangent):
        if a._primal is not b._primal:
            return False
        if (id(a), id(b)) in under_way:
            return True
        under_way = under_way | {(id(a), id(b))}
        zero = ZeroTangent()
        names = a._fields.keys() | b._fields.keys()
        return all(_same(a._fields.get(n, zero), b._fields.get(n, zero), under_way) for n in names)
    if isinstance(a, (_Absorbing, Tangent)) or isinstance(b, (_Absorbing, Tangent)) or a is None or b is None:
        return type(a) is type(b) and a == b
    if isinstance(a, (list, tuple)) and type(a) is type(b):
        return len(a) == len(b) and all(_same(x, y, under_way) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k], under_way) for k in a)
    try:
        return bool((a == b).all())  # type: ignore[union-attr]
    except AttributeError:
        return bool(a == b)


def add(a: Any, b: Any, done: dict | None = None) -> Any:
    """a + b for tangents of any structure; None (no derivative) adds nothing. Done: pairs whose sum is known."""
    if a is None or isinstance(a, ZeroTangent):
        return b
    if b is None or isinstance(b, ZeroTangent):
        return a
    done = {} if done is None else done
    key = (id(a), id(b))
    if key in done:
        return done[key]
    if isinstance(a, Tangent) and isinstance(b, Tangent) and a._primal is b._primal:
        both = None if a._others is None and b._others is None else frozenset((*(a._others or ()), *(b._others or ())))
        fields: dict = {}
        total = done[key] = _set_up(Tangent(a._primal), a._primal, fields, both)
        for name in {**a._fields, **b._fields}:
            fields[name] = add(a._fields.get(name), b._fields.get(name), done)
        return total
    if isinstance(a, dict):
        summed = done[key] = {}
        summed.update({k: add(a.get(k), b.get(k), done) for k in {**a, **b}})
        return summed
    if type(a) is list and type(b) is list:
        items = done[key] = []
        items += [add(x, y, done) for x, y in zip(a, b, strict=True)]
        return items
    if isinstance(a, (tuple, list)) and type(a) is type(b):
        items = [add(x, y, done) for x, y in zip(a, b, strict=True)]
        return type(a)(*items) if hasattr(a, "_fields") else type(a)(items)
    return a + b


def scale(tangent: Any, factor: Any, done: dict | None = None) -> Any:
    """factor · tangent for tangents of any structure. Done: those whose product is known."""
    if tangent is None or isinstance(tangent, _Absorbing):
        return tangent
    done = {} if done is None else done
    if id(tangent) in done:
        return done[id(tangent)]
    if isinstance(tangent, Tangent):
        fields: dict = {}
        new = done[id(tangent)] = _set_up(Tangent(tangent._primal), tangent._primal, fields, tangent._others)
        fields.update({k: scale(v, factor, done) for k, v in tangent._fields.items()})
        return new
    if isinstance(tangent, dict):
        scaled = done[id(tangent)] = {}
        scaled.update({k: scale(v, factor, done) for k, v in tangent.items()})
        return scaled
    if type(tangent) is list:
        items = done[id(tangent)] = []
        items += [scale(v, factor, done) for v in tangent]
        return items
    if isinstance(tangent, (tuple, list)):
        items = [scale(v, factor, done) for v in tangent]
        return type(tangent)(*items) if hasattr(tangent, "_fields") else type(tangent)(items)
    return tangent * factor


def canonicalize(tangent: Tangent, primal: Any) -> Tangent:
    """The tangent with one entry per field of ``primal``, in order; absent fields become ZeroTangent.

    Raises ValueError for a field that the primal does not have.

    >>> class Point:
    ...     def __init__(self, x, y): self.x, self.y = x, y
    >>> canonicalize(Tangent[Point](y=10), Point(1.0, 2.0))
    Tangent[Point](x=ZeroTangent(), y=10)
    """
    names = field_names(primal)
    unknown = [n for n in tangent if n not in names]
    if unknown:
        raise ValueError(f"{tangent!r} has fields {unknown} that {type(primal).__name__} does not have: {list(names)}")
    return Tangent(type(primal), **{n: tangent._fields.get(n, ZeroTangent()) for n in names})


def field_names(value: Any) -> list[str]:
    """The data fields of an object: slots of its classes in order, then its ``__dict__``."""
    names: list[str] = []
    for cls in reversed(type(value).__mro__):
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name in ("__dict__", "__weakref__"):
                continue
            if name.startswith("__") and not name.endswith("__"):
                name = f"_{cls.__name__.lstrip('_')}{name}"
            if hasattr(value, name) and name not in names:
                names.append(name)
    names.extend(n for n in getattr(value, "__dict__", ()) if n not in names)
    return names
