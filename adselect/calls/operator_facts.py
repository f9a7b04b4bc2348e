"""What an operator is, as facts that stand with it: backends, preparation and tests ask these, never its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

__all__ = ["OPERATORS", "OperatorFacts", "facts_of", "operator"]

F = TypeVar("F", bound=Callable)


class OperatorFacts(NamedTuple):
    """How an operator is called and what it returns.

    order: of the derivative. takes: what follows f, ``"arguments"``, ``"points, directions"`` (two tuples) or
    ``"point, direction"``. with_value: whether the value of f comes first and the derivative last, in a tuple.
    projected: whether the derivative has the structure, dtype and kind of the arguments. gradient: whether it is one
    cotangent per argument of a real number. returns_function: whether it is a function of seeds that are not known yet.
    without_out: what to write instead of ``out=``, "" where the operator takes it.
    """

    order: int = 1
    takes: str = "arguments"
    with_value: bool = False
    projected: bool = False
    gradient: bool = False
    returns_function: bool = False
    without_out: str = ""


# Every operator, by name.
OPERATORS: dict[str, Callable] = {}


def operator(facts: OperatorFacts) -> Callable[[F], F]:
    """Make a function an operator: its facts are ``facts_of(function)`` from now on.

    >>> @operator(OperatorFacts(order=3))
    ... def third(f, x): ...
    >>> facts_of(third).order, OPERATORS.pop("third") is third
    (3, True)
    """

    def register(function: F) -> F:
        function.facts = facts  # type: ignore[attr-defined]
        OPERATORS[function.__name__] = function
        return function

    return register


def facts_of(function: Callable) -> OperatorFacts | None:
    """The facts of an operator, None for a function that is none of ours."""
    facts = getattr(function, "facts", None)
    return facts if isinstance(facts, OperatorFacts) else None
