"""lift: a function with everything that it calls made ready for traced values, no module changed."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable
from typing import Any

from ..calls.in_progress import IN_PROGRESS
from ..errors import ADSelectTypeError, TracedValueError, user_line
from ..face.array import Array
from ..face.refusals import LIFT
from ..structure.flattening import flatten
from ..toolbox.tracing import is_traced
from ..toolbox.values import is_watched
from . import builtin_calls as _builtins  # noqa: F401  (the tables of what is called instead)
from . import conversions as _conversions  # noqa: F401
from . import makers as _makers  # noqa: F401
from . import mathematics as _mathematics  # noqa: F401
from . import scipy_calls as _scipy  # noqa: F401
from . import statistics_calls as _statistics  # noqa: F401
from .calling import Scope, scope_of

__all__ = ["Lifted", "lift"]


class Lifted:
    """f, rebuilt where it is called under a derivative; f itself elsewhere."""

    def __init__(self, f: Any, scope: Scope):
        functools.update_wrapper(self, f, updated=())
        self.__wrapped__, self._scope = f, scope

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        f = self.__wrapped__
        if not _is_traced_call(args, kwargs):
            return f(*args, **kwargs)
        try:
            return entered(f, self._scope)(*args, **kwargs)
        except TracedValueError as error:
            error.args = tuple([_without_advice(a) for a in error.args])
            raise

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None or not hasattr(type(self.__wrapped__), "__get__"):
            return self
        return Lifted(self.__wrapped__.__get__(instance, owner), self._scope)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "__wrapped__" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.__wrapped__, name)

    def __reduce__(self) -> Any:
        f = self.__wrapped__
        name, found = getattr(f, "__qualname__", ""), sys.modules.get(getattr(f, "__module__", None) or "")
        for part in name.split("."):
            found = getattr(found, part, None)
        return name if found is self else (_lift_again, (f, self._scope.only, self._scope.skip))

    def __repr__(self) -> str:
        return f"lift({getattr(self.__wrapped__, '__qualname__', None) or repr(self.__wrapped__)})"


def lift(f: Any = None, *, only: Any = None, skip: Any = ()) -> Any:
    """f for traced values, though neither f nor what it calls was written for them.

    The result computes what f computes. Under a derivative f is rebuilt, with every function, method, property and
    class of pure Python that it calls, in other people's modules too, so that ``np.zeros`` and its like make arrays
    that traced values can be written into, ``np.array`` stacks traced numbers, ``float(x)`` hands x on, and ``math``
    and ``statistics`` compute with NumPy. No module, global or builtin is changed.

    f: a function, bound method, class, instance with ``__call__`` or functools.partial. only, skip: modules or their
    names, one or several, whose code is entered or left as it is; f itself always is entered. Compiled code is not
    entered: it raises at its line, as without lift. Raises ADSelectTypeError where f cannot be called.

    Cost: nothing without a derivative; under one the first call parses the files that f's code is in, later ones pay
    about a tenth of a microsecond per call in f.

    >>> import math, numpy as np, adselect as ad
    >>> def f(x):
    ...     out = np.zeros(2)
    ...     out[0] = math.sin(x[0])
    ...     return float(out[0]) * x[1]
    >>> ad.gradient(ad.lift(f), np.array([0.0, 2.0]))
    (array([2., 0.]),)

    Source: what Julia's Zygote gets from the compiler, which sees all code that is called.
    """
    if f is None:
        return functools.partial(lift, only=only, skip=skip)
    if not callable(f) or isinstance(f, Array):
        raise ADSelectTypeError(
            f"lift at {user_line()}: a function was expected, got {type(f).__name__}: write lift(f), not lift(f(x))"
        )
    scope = scope_of(only, skip)
    if isinstance(f, Lifted):
        if f._scope is scope or (only is None and not skip):
            return f
        f = f.__wrapped__
    return Lifted(f, scope)


def _without_advice(text: Any) -> Any:
    """The text of a refusal inside lifted code, which has to be followed another way."""
    here = " adselect.lift does not enter the code at this line: adselect.explain_lift(f) says what it enters."
    return text.replace(LIFT, here) if isinstance(text, str) else text


def _lift_again(f: Any, only: Any, skip: Any) -> Lifted:
    return lift(f, only=only, skip=skip)


def entered(f: Any, scope: Scope) -> Callable:
    """f rebuilt: the function that was given is entered, wherever it is from."""
    if isinstance(f, types.FunctionType):
        return scope.function(f, given=True)
    if isinstance(f, types.MethodType) and isinstance(f.__func__, types.FunctionType):
        return types.MethodType(scope.function(f.__func__, given=True), f.__self__)
    if type(f) is functools.partial:
        return functools.partial(entered(f.func, scope), *f.args, **f.keywords)
    return scope.call(f)


def _is_traced_call(args: tuple, kwargs: dict) -> bool:
    """Whether a derivative is being computed that a call with these arguments may belong to."""
    calls = IN_PROGRESS.calls
    if calls and (calls[-1].traced is not None or any(map(is_watched, flatten(tuple(calls[-1].args))[0]))):
        return True
    return is_traced(args) or (bool(kwargs) and is_traced(kwargs))
