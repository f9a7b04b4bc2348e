"""What calls of a user's primitive on a framework's values have in common, and how rows enter a framework's table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import UnsupportedError, user_line
from ..face.array import Array
from ..face.integers import whole_behind
from ..primitives.invocation import Invocation
from ..rules.quantiles import rank_of
from ..rules.reductions import exactly
from ..rules.rule import kink
from ..rules.undetermined import inverse_gap

__all__ = ["OF_RULES_ONLY", "FrameworkCall", "dependencies", "rows_into"]

# Atoms that only the rules' own second derivatives need: every framework leaves them to NumPy.
OF_RULES_ONLY = frozenset({exactly, inverse_gap, kink, rank_of})


class FrameworkCall:
    """One call: the framework's values among its leaves are its variables, everything else stays as it is.

    What is kept for a backward pass, and for good in a compiled graph, holds no variable.
    """

    def __init__(self, invocation: Invocation, leaves: Sequence, places: list[int]):
        self.invocation, self.places = invocation, places
        self.treatment = invocation.treatment
        self.integers = [whole_behind(leaves[i]) for i in places]
        self.leaves = list(leaves)
        for i in places:
            self.leaves[i] = None
        invocation.skeleton.release()

    def with_variables(self, values: Any, made: Callable[[Any, Any], Any]) -> list:
        """The leaves, their variables made of these values and of the integers that they stand for."""
        full = list(self.leaves)
        for i, value, integers in zip(self.places, values, self.integers, strict=True):
            full[i] = made(value, integers)
        return full


def dependencies(invocation: Invocation, leaves: Sequence, kind: type[Array]) -> int:
    """The mask of the leaves that those of this call depend on.

    Raises UnsupportedError where a value of another backend is among them.
    """
    deps = 0
    for leaf in leaves:
        if isinstance(leaf, kind):
            deps |= leaf._deps
        elif isinstance(leaf, Array):
            raise UnsupportedError(
                f"{invocation.__name__} was called at {user_line()} with a {type(leaf).__name__} of another backend "
                f"and a {kind._framework} value; derivatives of different frameworks do not nest this way"
            )
    return deps


def rows_into(table: dict[Any, Callable]) -> Callable:
    """A decorator ``implements(*functions)``: what follows is the implementation of these NumPy functions."""

    def implements(*functions: Any) -> Callable:
        def enter(implementation: Callable) -> Callable:
            table.update(dict.fromkeys(functions, implementation))
            return implementation

        return enter

    return implements
