"""What a backend is: it sees only flat functions from arrays to arrays.

It implements :meth:`Backend.pullback` or :meth:`Backend.pushforwards`; everything else has a default built on either.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..adtypes import ADType
from ..calls.hook import UnseenCotangentError
from ..calls.in_progress import blind
from ..primitives.words import rule_in_words
from .matrices import (
    contract,
    flat_row,
    is_complex,
    jacobian_rows,
    matrix_by_rows,
    pullback_by_directions,
    size_of,
    units,
)

__all__ = ["Backend"]


# A flat function: lifted leaves -> (outputs to differentiate, auxiliary outputs), both lists of leaves.
Call = Callable[[list], tuple[list, list]]


class Backend:
    """The object that implements a choice.

    A *leaf* is a number, a NumPy array, the framework's own array, or an Array of an outer derivative. ``call`` takes
    one lifted value per leaf (what the user's f shall see) and returns two lists: the outputs to differentiate and the
    auxiliary outputs; entries may be Arrays, native arrays or plain values that do not depend on any leaf. ``call``
    must run exactly once per pullback or pushforward.
    """

    reverse: bool = True  # implements pullback natively
    forward: bool = False  # implements pushforwards natively
    detects_independence: bool = True  # can tell "does not depend on" (None) from "zero slope" (0)
    # What finds second derivatives otherwise than by differentiating a gradient (SecondDifferences shows the methods).
    second_order: Any = None

    def __init__(self, adtype: ADType):
        self.adtype = adtype

    @functools.cached_property
    def cotangents(self) -> bool:
        """Whether what f computes meets its cotangents, in a reverse pass of the backend's own."""
        return self.reverse and type(self).pullback is not Backend.pullback

    def pullback(self, call: Call, leaves: list) -> tuple[list, list, Callable[[list], list]]:
        """``(outputs, aux, back)``; ``back(y_bars)`` gives one cotangent per leaf, None where independent.

        A seed may be None (zero). Outputs and aux come back as plain values (NumPy for NumPy, native for native).
        The default works for any backend with pushforwards: one along every coordinate of the leaves.
        """
        return pullback_by_directions(self.pushforwards, call, leaves)

    @property
    def outer(self) -> Backend:
        """Who differentiates a derivative, where two are taken."""
        return self

    def inner_for(self, leaves: list) -> Backend:
        """Who takes the derivative that ``outer`` differentiates, at leaves as outer gives them to f."""
        return self

    def pull_once(self, back: Callable[[list], list], y_bars: list) -> list:
        """``back(y_bars)`` where back will not be called again: what it holds may be freed on the way."""
        return back(y_bars)

    def pull_into(self, back: Callable[[list], list], y_bars: list, buffers: list) -> list:
        """``pull_once`` with memory for the results: NumPy arrays of zeros, or None, one for each leaf.

        What is returned in the place of a leaf is its buffer, or anything else that the caller then copies there. The
        default writes to none of them.
        """
        return self.pull_once(back, y_bars)

    def pushforwards(self, call: Call, leaves: list, directions: list[list]) -> tuple[list, list[list], list]:
        """Several tangents at one point: ``(outputs, [output_tangents per direction], aux)``, f evaluated once.

        The default works for any backend with a pullback: the rows of the Jacobian, one pullback per output entry.
        """
        with blind(call):
            outputs, aux, back = self.pullback(call, leaves)
        dots: list[list] = [[] for _ in directions]
        for k, output in enumerate(outputs):
            rows = jacobian_rows(back, outputs, k)
            for d, tangents in enumerate(directions):
                dots[d].append(contract(rows, tangents, output))
        return outputs, dots, aux

    def prepare(self, operator: Callable, f: Callable, args: tuple, options: dict, check: str) -> Callable | None:
        """The operator made ready for many calls: a callable ``(leaves, args, fixed) -> result``, None for none.

        leaves are those of all arguments, also of Const; fixed is what stands at the other places. Its attributes
        ``quick`` (a shorter way, made once) and ``reason`` (why it is the plain call after all) are optional.
        """
        return None

    def why_plain(self, operator: Callable) -> str:
        """Why a prepared operator is the plain call here, "" where there is nothing to say."""
        return ""

    def rule_for(self, f: Any) -> str:
        """Which rule the backend uses for f, in words. The default is that of a framework that translates rules."""
        words = rule_in_words(f, self.adtype, forward_first=False)
        if words.startswith(("rule of", "constant", "composition")):
            return f"its translation of {getattr(f, '__name__', f)}, adselect's conventions at kinks"
        return words

    def refusal(self, error: Exception) -> Exception | None:
        """The error to raise for one that came out of f and says less than we know; None for all others."""
        return None

    def explain(self, error: Exception) -> str | None:
        """What the backend knows about an error that came out of f, as a note for it; None for nothing."""
        return None

    def linearized_matrix(self, call: Call, leaves: list) -> tuple[list, list]:
        """``(outputs, [matrix ∂y[k]/∂x[i] per leaf])`` of a single output y, rows and columns flattened.

        The default takes reverse mode row by row; for more rows than columns, or a complex result of real arguments, a
        backend with forward mode of its own evaluates f again and goes column by column.
        """
        outputs, _, back = self.pullback(call, leaves)
        y = outputs[0]
        m = size_of(y)
        n = sum(size_of(leaf) for leaf in leaves)
        if self.forward and (m > n or (is_complex(y) and not any(is_complex(leaf) for leaf in leaves))):
            try:
                return self.matrix_by_columns(call, leaves)
            except UnseenCotangentError:  # f has hooks on them: rows it is
                pass
        return outputs, matrix_by_rows(back, y, leaves)

    def matrix_by_columns(self, call: Call, leaves: list) -> tuple[list, list]:
        """Like :meth:`linearized_matrix`, by one pushforward per column."""
        directions = []
        for i, leaf in enumerate(leaves):
            for unit in units(leaf):
                direction: list = [None] * len(leaves)
                direction[i] = unit
                directions.append(direction)
        outputs, dots, _ = self.pushforwards(call, leaves, directions)
        m, columns, blocks = size_of(outputs[0]), iter(dots), []
        for leaf in leaves:
            block = [flat_row(next(columns)[0], m) for _ in range(size_of(leaf))]
            blocks.append(np.stack(block, axis=1) if block else np.zeros((m, 0)))
        return outputs, blocks
