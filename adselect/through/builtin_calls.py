"""Functions of Python that call the functions they are given, in lifted code: these are rebuilt as well."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

from .standins import stand_in

__all__: list[str] = []


def _calling_first(original: Any) -> Callable:
    """Of functions whose first argument is called, or None."""

    def call(scope: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
        return original(function if function is None else scope.call(function), *args, **kwargs)

    call.needs_scope = True  # type: ignore[attr-defined]
    return call


def _calling_second(original: Any, name: str) -> Callable:
    """Of functions whose second argument, which has a name, is called."""

    def call(scope: Any, first: Any, *args: Any, **kwargs: Any) -> Any:
        if args and args[0] is not None:
            args = (scope.call(args[0]), *args[1:])
        if kwargs.get(name) is not None:
            kwargs = {**kwargs, name: scope.call(kwargs[name])}
        return original(first, *args, **kwargs)

    call.needs_scope = True  # type: ignore[attr-defined]
    return call


def _with_key(original: Any) -> Callable:
    def call(scope: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("key") is not None:
            kwargs = {**kwargs, "key": scope.call(kwargs["key"])}
        return original(*args, **kwargs)

    call.needs_scope = True  # type: ignore[attr-defined]
    return call


for _original in (map, filter, functools.reduce, itertools.starmap, itertools.takewhile, itertools.dropwhile):
    stand_in(_original, _calling_first(_original))
stand_in(itertools.filterfalse, _calling_first(itertools.filterfalse))
stand_in(itertools.accumulate, _calling_second(itertools.accumulate, "func"))
stand_in(itertools.groupby, _calling_second(itertools.groupby, "key"))
for _original in (sorted, min, max):
    stand_in(_original, _with_key(_original))


def _getattr(scope: Any, owner: Any, name: str, *default: Any) -> Any:
    if not default:
        return scope.attribute(owner, name)
    try:
        return scope.attribute(owner, name)
    except AttributeError:
        return default[0]


_getattr.needs_scope = True  # type: ignore[attr-defined]
stand_in(getattr, _getattr)
