"""Tables of rewrites: which function they match, what its operands must be, and what comes instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

from ..instructions import Instruction
from .draft import Draft, Term

__all__ = ["ANY", "ARRAY", "CONSTANT_TERM", "NUMBER", "REWRITES", "ZERO", "Rows", "Table"]

# What an operand may be.
ZERO = 0
NUMBER = 1
ARRAY = 2
CONSTANT_TERM = (ZERO, NUMBER)
ANY = (ZERO, NUMBER, ARRAY)

Rewrite = Callable[..., Any]


class Rows:
    """The rows of one function, in order, by what its first ``count`` operands are (as digits of a number).

    ``exact``: those that leave every digit of the result as it is.
    """

    def __init__(self, count: int):
        self.count = count
        self.by_kinds: list[list[Rewrite]] = [[] for _ in range(3**count)]
        self.exact: list[list[Rewrite]] = [[] for _ in range(3**count)]


class Table:
    """Rows by function; the first whose rewrite gives something decides.

    ``@table.row((np.add,), ANY, ARRAY)`` registers ``rewrite(draft, instruction, a, b)``: a and b are the first two
    arguments as Terms. Without kinds a rewrite reads the arguments itself. A row that rounds nothing otherwise than
    NumPy does says ``exact=True``: where a last digit decides, only such rows are used.
    """

    def __init__(self) -> None:
        self.rows: dict[Any, Rows] = {}

    def row(
        self, functions: Iterable[Any], *kinds: int | tuple[int, ...], exact: bool = False
    ) -> Callable[[Rewrite], Rewrite]:
        each = [k if isinstance(k, tuple) else (k,) for k in kinds]

        def register(rewrite: Rewrite) -> Rewrite:
            for function in functions:
                rows = self.rows.setdefault(function, Rows(len(kinds)))
                assert rows.count == len(kinds), f"{function} has rows of another length"
                for digits in product(*each):
                    rows.by_kinds[_number(digits)].append(rewrite)
                    if exact:
                        rows.exact[_number(digits)].append(rewrite)
            return rewrite

        return register

    def apply(self, draft: Draft, i: Instruction) -> Any:
        """What comes in place of an old instruction: a Term, a Ref; None where no row matches."""
        rows = self.rows.get(i.function)
        if rows is None:
            return None
        terms, dtype = [], i.dtype
        for spec in i.args[: rows.count]:
            term = draft.term(spec, dtype)
            if term is None:
                return None
            terms.append(term)
        return self.consult(i.function, draft, i, *terms)

    def consult(self, function: Any, draft: Draft, i: Instruction, *terms: Term) -> Any:
        """The same with operands given: a call of ``function`` on these, with a result like that of i."""
        kinds = 0
        for factor, base in terms:
            kinds = 3 * kinds + (ARRAY if base is not None else NUMBER if factor else ZERO)
        rows = self.rows[function]
        for rewrite in (rows.exact if draft.strict else rows.by_kinds)[kinds]:
            value = rewrite(draft, i, *terms)
            if value is not None:
                return value
        return None

    def first(self, function: Any, *given: Any) -> Any:
        """The same for rows without kinds."""
        for rewrite in self.rows[function].by_kinds[0]:
            value = rewrite(*given)
            if value is not None:
                return value
        return None


def _number(digits: tuple) -> int:
    number = 0
    for digit in digits:
        number = 3 * number + digit
    return number


REWRITES = Table()  # of the old instructions
