"""Tangents that are no arrays: NoTangent, ZeroTangent, and Tangent[P], the derivative of a structured value.

The three types and their algebra follow ChainRulesCore.jl.
"""

from __future__ import annotations

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

    Fields that are left out are ZeroTangent. Addition is fieldwise, a number scales every field. A gradient with
    respect to an object comes back as its Tangent; entries of fields without a derivative are None.

    >>> class Point:
    ...     def __init__(self, x, y): self.x, self.y = x, y
    >>> Tangent[Point](x=1.5) + Tangent[Point](x=2.5, y=1.0)
    Tangent[Point](x=4.0, y=1.0)
    >>> (2 * Tangent[Point](x=1.5)).x
    3.0
    """

    __slots__ = ("_fields", "_primal")

    def __init__(self, _primal: type | None = None, /, **fields: Any):
        object.__setattr__(self, "_primal", _primal)
        object.__setattr__(self, "_fields", fields)

    def __class_getitem__(cls, primal: type) -> _TangentOf:
        return _TangentOf(primal)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        fields = object.__getattribute__(self, "_fields")
        if name in fields:
            return fields[name]
        primal = object.__getattribute__(self, "_primal")
        if primal is not None and _has_field(primal, name) is False:
            raise AttributeError(f"{self!r} has no field {name!r}; fields: {', '.join(fields)}")
        return ZeroTangent()

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

    def _map(self, function: Any) -> Tangent:
        return Tangent(self._primal, **{k: function(v) for k, v in self._fields.items()})

    def __add__(self, other: Any) -> Any:
        if isinstance(other, _Absorbing):
            return self
        if not isinstance(other, Tangent) or other._primal is not self._primal:
            return NotImplemented
        fields = dict(self._fields)
        for name, value in other._fields.items():
            fields[name] = add(fields[name], value) if name in fields else value
        return Tangent(self._primal, **fields)

    __radd__ = __add__

    def __neg__(self) -> Any:
        return self._map(lambda v: scale(v, -1))

    def __sub__(self, other: Any) -> Any:
        return self + (-other)

    def __mul__(self, factor: Any) -> Any:
        if isinstance(factor, _Absorbing):
            return factor
        return self._map(lambda v: scale(v, factor))

    __rmul__ = __mul__

    def __truediv__(self, factor: Any) -> Any:
        return self * (1 / factor)

    __array_ufunc__ = None

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, Tangent) or other._primal is not self._primal:
            return NotImplemented
        names = self._fields.keys() | other._fields.keys()
        return all(_same(self._fields.get(n, ZeroTangent()), other._fields.get(n, ZeroTangent())) for n in names)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        name = getattr(self._primal, "__name__", "")
        shown = []
        for k, v in self._fields.items():
            shown.append(f"{k}={'…' if v is self else repr(v)}")
        return f"Tangent[{name}]({', '.join(shown)})"

    def __reduce__(self) -> Any:
        return _rebuild, (self._primal, self._fields)


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


def _rebuild(primal: Any, fields: dict) -> Tangent:
    return Tangent(primal, **fields)


def _has_field(primal: type, name: str) -> bool | None:
    """False only where the type says which fields it has and name is none of them."""
    names = getattr(primal, "__dataclass_fields__", None) or getattr(primal, "_fields", None)
    return None if names is None else name in names


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if isinstance(a, (_Absorbing, Tangent)) or isinstance(b, (_Absorbing, Tangent)) or a is None or b is None:
        return type(a) is type(b) and a == b
    try:
        return bool((a == b).all())  # type: ignore[union-attr]
    except AttributeError:
        return bool(a == b)


def add(a: Any, b: Any) -> Any:
    """a + b for tangents of any structure; None (no derivative) adds nothing."""
    if a is None or isinstance(a, ZeroTangent):
        return b
    if b is None or isinstance(b, ZeroTangent):
        return a
    if isinstance(a, dict):
        return {k: add(a.get(k), b.get(k)) for k in {**a, **b}}
    if isinstance(a, (tuple, list)) and type(a) is type(b):
        items = [add(x, y) for x, y in zip(a, b, strict=True)]
        return type(a)(*items) if hasattr(a, "_fields") else type(a)(items)
    return a + b


def scale(tangent: Any, factor: Any) -> Any:
    """factor · tangent for tangents of any structure."""
    if tangent is None or isinstance(tangent, _Absorbing):
        return tangent
    if isinstance(tangent, dict):
        return {k: scale(v, factor) for k, v in tangent.items()}
    if isinstance(tangent, (tuple, list)):
        items = [scale(v, factor) for v in tangent]
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
