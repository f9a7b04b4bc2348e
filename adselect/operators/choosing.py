"""The arguments of an operator: where the choice stands among them, and which backend it means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..adtypes import ADType, AutoTape
from ..backends.backend import Backend
from ..backends.choice import backend_of
from ..backends.registry import class_named
from ..calls.operator_facts import facts_of
from ..calls.results import check_missing_option
from ..errors import ADSelectTypeError, ADSelectValueError, user_line
from ..structure.duplicated import Duplicated
from ..structure.params import Params
from ..values.kinds import isa
from .duplicating import refuse_duplicated

DEFAULT = AutoTape()
# The operators that take Params in the place of arguments.
IMPLICIT = ("gradient", "withgradient", "pullback", "jacobian", "withjacobian")


def take_adtype(operator: str, args: tuple, adtype: Any = None) -> tuple[ADType, tuple]:
    """``(adtype, the other arguments)`` from what came second and what came as ``adtype=``.

    None in either place means the default. Refuses both at once, an adtype class, and a text that names a backend.
    """
    if args:
        first = args[0]
        if issubclass(type(first), ADType):
            if adtype is not None:
                raise _two_adtypes(operator, first, adtype)
            if len(args) > 1 and issubclass(type(args[1]), (ADType, type)) and _is_choice(args[1]):
                raise _two_adtypes(operator, first, args[1])
            return first, args[1:]
        if first is None:
            if adtype is not None or (len(args) > 1 and _is_choice(args[1])):
                raise _two_adtypes(operator, None, args[1] if adtype is None else adtype)
            return DEFAULT, args[1:]
        if issubclass(type(first), (type, str)):
            refuse_adtype(operator, first)
    if adtype is None:
        return DEFAULT, args
    if not isa(adtype, ADType):
        refuse_adtype(operator, adtype, f"{operator}(f, …, adtype=adselect.{{}}())")
        raise ADSelectTypeError(
            f"{operator} was given adtype={adtype!r}; an adtype is an object such as adselect.AutoTape(), and adtype= "
            "is no argument of f"
        )
    return adtype, args


def _is_choice(value: Any) -> bool:
    return isinstance(value, ADType) or (isinstance(value, type) and issubclass(value, ADType))


def _two_adtypes(operator: str, first: Any, second: Any) -> ADSelectTypeError:
    written = [f"{a.__name__}()" if isinstance(a, type) else repr(a) for a in (first, second)]
    default = " (None stands for the default, AutoTape())" if first is None else ""
    return ADSelectTypeError(
        f"{operator} was given two adtypes, {written[0]} and {written[1]}{default}. Write {operator}(f, {written[0]}, "
        f"…) or {operator}(f, {written[1]}, …)"
    )


def refuse_adtype(operator: str, value: Any, line: str = "") -> None:
    """Raise for what was meant as an adtype and is none: a class without brackets, a text that names a backend.

    line: what to write, with {} for the name of the class.
    """
    if isinstance(value, type) and issubclass(value, ADType):
        written = line.format(value.__name__) or f"{operator}(f, {value.__name__}(), …)"
        raise ADSelectTypeError(
            f"{operator} was given the class {value.__name__}; an adtype is an object. Write {written}"
        )
    cls = class_named(value) if isinstance(value, str) else None
    if cls is not None:
        written = line.format(cls.__name__) or (
            f"{operator}(f, adselect.{cls.__name__}(), …); a text that f is to have as its first argument stands "
            f"behind the adtype: {operator}(f, AutoTape(), {value!r}, …)"
        )
        raise ADSelectTypeError(f"{operator} was given the string {value!r} where an adtype goes. Write {written}")


def check_function(operator: str, f: Any) -> None:
    """Raise unless f, the function to differentiate, can be called."""
    if not callable(f):
        raise ADSelectTypeError(
            f"{operator}'s first argument is the function to differentiate, not {type(f).__name__}: write "
            f"{operator}(f, {'adtype, ' if isinstance(f, ADType) else ''}*args)"
        )


def resolve(operator: str, f: Any, args: tuple, adtype: Any = None) -> tuple[Backend, tuple]:
    """The backend an operator call asks for, and the arguments of f, of which there is at least one."""
    if not callable(f):
        check_function(operator, f)
    adtype, rest = take_adtype(operator, args, adtype)
    if not rest:
        none = ", None standing for the default adtype" if args and args[0] is None else ""
        raise ADSelectTypeError(
            f"{operator} was called without a positional argument ({user_line()}{none}), so there is nothing to "
            f"differentiate with respect to: write {operator}(f, {'adtype, ' if args else ''}x). Keyword arguments go "
            f"to f and are not differentiated. For a function of x: {_as_function(operator, bool(args))}"
        )
    if operator not in IMPLICIT and Params in map(type, rest):
        raise ADSelectTypeError(
            f"{operator} takes no Params ({user_line()}); {', '.join(IMPLICIT)} do. Make the arrays arguments of f: "
            f"{operator}(lambda W: …, W)"
        )
    if Duplicated in map(type, rest):
        refuse_duplicated(operator)
    return backend_of(adtype), rest


def _as_function(operator: str, chosen: bool) -> str:
    """How to have an operator's result as a function of the arguments, in words."""
    adtype = "adtype, " if chosen else ""
    words = f"prepare({operator}, f, {adtype}x), or lambda x: {operator}(f, {adtype}x)"
    of_objective = ("gradient", "jacobian", "hessian", "hvp")
    return f"Objective(f{', adtype' if chosen else ''}).{operator}, {words}" if operator in of_objective else words


def check_missing(operator: str, missing: Any) -> None:
    """Hold the option ``missing`` of an operator whose results have zeros where f does not depend on an argument."""
    if missing not in ("none", "zeros"):
        check_missing_option(missing)
        raise ADSelectValueError(
            f"{operator} gives zeros where f does not depend on an argument and cannot tell the two apart: "
            "missing='error' is for gradient, withgradient and pullback"
        )


def refuse_out(operator: Callable, out: Any) -> None:
    """Raise where ``out=`` was given to an operator whose result has parts of several kinds."""
    facts = facts_of(operator)
    if out is not None and facts is not None and facts.without_out:
        raise ADSelectTypeError(f"{operator.__name__} takes no out= ({user_line()}); {facts.without_out}")
