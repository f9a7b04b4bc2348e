"""What a value really is: a traced value answers ``isinstance`` as the NumPy value it stands for, to us as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from typing_extensions import TypeIs

__all__ = ["TracedValue", "isa"]

T = TypeVar("T")


def isa(value: object, classes: type[T] | tuple[type[T], ...]) -> TypeIs[T]:
    """isinstance by the real type: ``__class__``, which a traced value answers as NumPy would, is not asked."""
    return issubclass(type(value), classes)


class TracedValue:
    """The root of all traced values: what they are to whoever stands below the array face."""

    __slots__ = ()
