"""Tables of rewrites: which function they match, what its operands must be, and what comes instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

from ..instructions import Instruction
from .draft import Draft, Term

__all__ = ["ANY", "ARRAY", "CONSTANT_TERM", "NUMBER", "REWRITES", "ZERO", "Table"]

# What an operand may be.
ZERO, NUMBER, ARRAY = "zero", "number", "array"
CONSTANT_TERM = (ZERO, NUMBER)
ANY = (ZERO, NUMBER, ARRAY)

Rewrite = Callable[..., Any]


class Table:
    """Rows by function; the first whose rewrite gives something decides.

    ``@table.row((np.add,), ANY, ARRAY)`` registers ``rewrite(draft, instruction, a, b)``: a and b are the first two
    arguments as Terms. Without kinds a rewrite reads the arguments itself.
    """

    def __init__(self) -> None:
        self.rows: dict[Any, dict[tuple, list[Rewrite]]] = {}

    def row(self, functions: Iterable[Any], *kinds: str | tuple[str, ...]) -> Callable[[Rewrite], Rewrite]:
        each = [(k,) if isinstance(k, str) else k for k in kinds]

        def register(rewrite: Rewrite) -> Rewrite:
            for function in functions:
                rows = self.rows.setdefault(function, {})
                assert all(len(key) == len(kinds) for key in rows), f"{function} has rows of another length"
                for key in product(*each):
                    rows.setdefault(key, []).append(rewrite)
            return rewrite

        return register

    def apply(self, draft: Draft, i: Instruction) -> Any:
        """What comes in place of an old instruction: a Term, a Ref; None where no row matches."""
        rows = self.rows.get(i.function)
        if rows is None:
            return None
        terms = []
        for spec in i.args[: len(next(iter(rows)))]:
            term = draft.term(spec, i.dtype)
            if term is None:
                return None
            terms.append(term)
        return self.consult(i.function, draft, i, *terms)

    def consult(self, function: Any, draft: Draft, i: Instruction, *terms: Term) -> Any:
        """The same with operands given: a call of ``function`` on these, with a result like that of i."""
        key = tuple([ARRAY if t.base is not None else NUMBER if t.factor else ZERO for t in terms])
        for rewrite in self.rows[function].get(key, ()):
            value = rewrite(draft, i, *terms)
            if value is not None:
                return value
        return None

    def first(self, function: Any, *given: Any) -> Any:
        """The same for rows without kinds."""
        for rewrite in self.rows[function][()]:
            value = rewrite(*given)
            if value is not None:
                return value
        return None


REWRITES = Table()  # of the old instructions
