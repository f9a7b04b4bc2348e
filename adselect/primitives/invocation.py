"""One call of a primitive, as a flat function of its leaves: what every backend's translation of a rule is made of.

A rule speaks of values and tangents in the user's structure; a backend speaks of lists of arrays. An
:class:`Invocation` stands between them: it rebuilds the arguments around whatever leaves a backend has, runs the rule,
checks what came back, and derives the missing mode by transposition. Backends only wrap and unwrap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..adtypes import ADType, AutoForward, AutoTape
from ..errors import MissingRuleError, RuleError, TracedValueError, UnsupportedError, user_line
from ..face.array import Array
from ..face.dispatch import absorb
from ..face.traced import Traced
from ..structure.flattening import Skeleton, flatten
from ..structure.leaves import is_mask
from ..values.tangents import NoTangent
from .borrowed import BORROWED, transpose
from .config import capabilities_of
from .leaves import assembled, host_value, inner, is_cut_off, is_inexact, is_number, is_result, units, zeros_of
from .structured import describe, fitted, spread

__all__ = ["FirstOrderError", "Invocation"]


class FirstOrderError(UnsupportedError):
    """More than one derivative was asked of a rule that runs on real arrays."""


class Invocation:
    """A call of ``primitive`` whose arguments are the leaves of ``skeleton``; calling it runs the primitive again."""

    __slots__ = ("kinds", "primitive", "results", "skeleton")

    results: Skeleton

    def __init__(self, primitive: Any, skeleton: Skeleton, kinds: tuple):
        self.primitive, self.skeleton, self.kinds = primitive, skeleton, kinds

    @property
    def __name__(self) -> str:
        return self.primitive.__name__

    def __call__(self, *values: Any) -> Any:
        args, kwargs = self.arguments(values)
        return self.primitive(*args, **kwargs)

    def arguments(self, values: Any) -> tuple[tuple, dict]:
        """``(args, kwargs)`` around other leaves."""
        args, kwargs = self.skeleton.rebuild(list(values))
        return args, kwargs

    def apply_on(self, array: Array, leaves: tuple) -> Any:
        """Carry the call out on the engine of ``array``, the traced value of the highest level among the leaves."""
        treatment = self.treatment
        if treatment == "missing":
            raise self.missing()
        if treatment == "body":
            args, kwargs = self.arguments(leaves)
            return self.primitive.function(*args, **kwargs)
        return array._call_primitive(self, leaves)

    def check_traced(self, leaves: tuple) -> None:
        """Raise when one of the leaves is traced where rules have no tangent: in a keyword argument."""
        self.check_keywords([isinstance(v, Traced) and v._deps != 0 for v in leaves])

    def check_keywords(self, traced: list[bool]) -> None:
        """Raise when a rule is to be used and a traced value was given by keyword: rules have no tangent for those."""
        if self.treatment != "rule":
            return
        for path, is_traced in zip(self.skeleton.paths, traced, strict=True):
            if is_traced and path.startswith("args[1]"):
                raise UnsupportedError(
                    f"{self.__name__} was given a traced value as the keyword argument {path[7:]} ({user_line()}), and "
                    "its rule has tangents for positional arguments only. Make it a positional argument of "
                    f"{self.__name__}, or mark the value with adselect.ignore_derivatives."
                )

    # -- which rule ----------------------------------------------------------------------------------------------

    @property
    def treatment(self) -> str:
        """``"rule"``, ``"constant"`` (no derivative), ``"body"`` (what the function does is differentiated) or
        ``"missing"`` (a black box without a rule).
        """
        p = self.primitive
        if p.no_derivative:
            return "constant"
        if (p.rrule is None and p.frule is None) or (p.opted_out and p.is_opted_out(self.kinds)):
            return "missing" if p.host else "body"
        return "rule"

    def missing(self) -> MissingRuleError:
        """The error for a black box that has to be differentiated without a rule."""
        p = self.primitive
        return MissingRuleError(
            f"{p.__name__} is a host primitive without a derivative rule{' for these types' if p.opted_out else ''} "
            f"and was called on a traced value at {user_line()}. Give it one with "
            f"adselect.define_rrule({p.__name__}), or "
            f"say that it has no derivative with adselect.non_differentiable({p.__name__})."
        )

    def first_order_only(self, definition: Any = None) -> FirstOrderError:
        """The error for a second derivative of a black box whose rule runs on real arrays."""
        p = self.primitive
        return FirstOrderError(
            f"a second derivative of the host primitive {p.__name__} was asked for at {user_line()}, but its rule "
            f"{definition or p.rrule or p.frule} runs on real arrays and has a first derivative only. Register it with "
            "host=False, written in functions that have derivatives themselves (other primitives included)."
        )

    def _config(self, definition: Any, adtype: ADType) -> Any:
        missing = definition.needs - capabilities_of(adtype)
        if missing:
            raise UnsupportedError(
                f"the rule {definition} needs {', '.join(sorted(n.__name__ for n in missing))}, which {adtype!r} does "
                f"not have ({user_line()}). Choose a backend that has it, or register a rule without that need."
            )
        return BORROWED["config"](adtype)

    def run(self, definition: Any, before: tuple, values: Any, adtype: ADType) -> tuple:
        """What the rule returns: a pair, checked to be one."""
        config = self._config(definition, adtype)
        if definition.host:
            values = [host_value(v, self, definition) for v in values]
        args, kwargs = self.arguments(values)
        first = (config,) if definition.needs else ()
        result = definition.function(*first, *before, *args, **kwargs)
        if type(result) is not tuple or len(result) != 2:
            raise RuleError(
                f"the rule {definition} returned {describe(result)}; a rule returns a pair: {definition.pair}"
            )
        return result

    # -- reverse mode --------------------------------------------------------------------------------------------

    def pull(self, values: Any, adtype: ADType) -> tuple[list, Callable[[list], list]]:
        """``(result leaves, back)`` by the rule: ``back(y_bars)`` is one cotangent per argument leaf, None for none.

        values may be traced by an outer derivative; the rule is then recorded there. The rule runs once.
        """
        definition = self.primitive.rrule
        if self.treatment == "missing":
            raise self.missing()
        if definition is None:
            return self._pull_by_frule(values, adtype)
        y, pullback = self.run(definition, (), values, adtype)
        if not callable(pullback):
            raise RuleError(f"the rule {definition} returned {describe(pullback)} as its pullback; it must be callable")
        outputs = self.take_result(y)
        shapes = [(np.shape(v), v) for v in values]

        def back(y_bars: list) -> list:
            if definition.host:
                y_bars = [None if g is None else host_value(g, self, definition) for g in y_bars]
            bars = pullback(self._result_tangent(outputs, y_bars))
            if not isinstance(bars, (tuple, list)):
                raise RuleError(
                    f"the pullback of {definition} returned {describe(bars)}; it returns a tuple with one tangent per "
                    "input, that of the function itself first: NoTangent() for a plain function"
                )
            return self._argument_tangents(bars, definition, shapes)

        return outputs, back

    def pull_strongly(self, values: list, y_bars: list) -> list:
        """The cotangents, where a cotangent of 0 contributes 0, also through an infinite derivative.

        For plain values, when the pullback came out non-finite: the rule is run again. Its pullback is linear, so it is
        the transpose of its transpose, which the tape works out with strong zeros. A rule on real arrays cannot be
        traced: it is only known that no cotangent at all means no derivative.
        """
        with np.errstate(all="ignore"):
            outputs, back = self.pull(values, AutoTape())
            if self.primitive.stubborn:  # its NaN is meant
                return back(y_bars)
            if not any(g is not None and np.any(g) for g in y_bars):
                return [None if b is None else np.where(np.isfinite(b), b, 0.0)[()] for b in back(y_bars)]
            definition = self.primitive.rrule
            if definition is None or definition.host:
                return back(y_bars)
            live = [k for k, g in enumerate(y_bars) if g is not None]
            reached: list = []

            def cotangent_map(lifted: list) -> tuple[list, list]:
                seeds: list = [None] * len(outputs)
                for k, g in zip(live, lifted, strict=True):
                    seeds[k] = g
                bars = back(seeds)
                reached[:] = [i for i, b in enumerate(bars) if b is not None]
                return [bars[i] for i in reached], []

            ones = [zeros_of(outputs[k]) + 1 for k in live]
            _, _, pushforward = transpose(cotangent_map, ones)
            tangents = [zeros_of(values[i]) + 1 for i in reached]
            _, _, strong = transpose(
                lambda lifted: ([0.0 if d is None else d for d in pushforward(lifted)], []), tangents
            )
            found: list = [None] * len(values)
            for i, x_bar in zip(reached, strong([y_bars[k] for k in live]), strict=True):
                found[i] = zeros_of(values[i]) if x_bar is None else x_bar
            return found

    def _argument_tangents(self, bars: Any, definition: Any, shapes: list) -> list:
        """Cotangents of the argument leaves from a pullback's tuple."""
        nodes = self.skeleton.nodes[0].children  # type: ignore[attr-defined]
        given, most = len(nodes) + 1, max(len(nodes), definition.inputs) + 1
        if not given <= len(bars) <= most:
            raise RuleError(
                f"the pullback of {definition} returned {len(bars)} tangents for {given} inputs (the function itself "
                f"and {given - 1} arguments); return one for each, NoTangent() where there is none"
            )
        found: list = [None] * len(shapes)
        for i, (node, bar) in enumerate(zip(nodes, bars[1:], strict=False)):
            spread(node, bar, found, f"argument {i} by the pullback of {definition}")
        return [
            None
            if bar is None
            else fitted(bar, shape, value, f"args{self.skeleton.paths[i][7:]} by the pullback of {definition}")
            for i, (bar, (shape, value)) in enumerate(zip(found, shapes, strict=True))
        ]

    def _pull_by_frule(self, values: Any, adtype: ADType) -> tuple[list, Callable[[list], list]]:
        """The pullback as the transpose of the linear map that the frule is."""
        definition = self.primitive.frule
        active = [i for i, v in enumerate(values) if is_inexact(v) or (isinstance(v, Array) and not is_mask(v))]
        if definition.host:
            outputs, _ = self.push(values, [[None] * len(values)], adtype)

            def by_units(y_bars: list) -> list:
                found: list = [None] * len(values)
                for i in active:
                    directions = [[unit if j == i else None for j in range(len(values))] for unit in units(values[i])]
                    rows = self.push(values, directions, adtype)[1]
                    found[i] = assembled([inner(y_bars, row) for row in rows], values[i])
                return found

            return outputs, by_units

        def tangent_map(lifted: list) -> tuple[list, list]:
            x_dots: list = [None] * len(values)
            for i, x_dot in zip(active, lifted, strict=True):
                x_dots[i] = x_dot
            # The tape traces the tangents, whoever asked: what the rule asks of its configuration goes by its engine.
            ys, dots = self.push(values, [x_dots], AutoForward())
            return [0.0 if d is None else d for d in dots[0]], ys

        _, outputs, transposed = transpose(tangent_map, [zeros_of(values[i]) for i in active])

        def back(y_bars: list) -> list:
            found: list = [None] * len(values)
            for i, x_bar in zip(active, transposed(y_bars), strict=True):
                found[i] = x_bar
            return found

        return outputs, back

    # -- forward mode --------------------------------------------------------------------------------------------

    def push(self, values: Any, directions: list[list], adtype: ADType) -> tuple[list, list[list]]:
        """``(result leaves, [their tangents per direction])`` by the rule; a tangent None is zero."""
        definition = self.primitive.frule
        if self.treatment == "missing":
            raise self.missing()
        if definition is None:
            return self._push_by_rrule(values, directions, adtype)
        outputs: list = []
        dots = []
        for x_dots in directions:
            full = [
                (zeros_of(v) if is_inexact(v) or (isinstance(v, Array) and not is_mask(v)) else NoTangent())
                if t is None
                else t
                for v, t in zip(values, x_dots, strict=True)
            ]
            if definition.host:
                full = [t if isinstance(t, NoTangent) else host_value(t, self, definition) for t in full]
            nodes = self.skeleton.nodes[0].children  # type: ignore[attr-defined]
            memo: dict = {}
            tangents = tuple([n.result(full, memo) if n.numeric else NoTangent() for n in nodes])
            y, y_dot = self.run(definition, ((NoTangent(), *tangents),), values, adtype)
            outputs = self.take_result(y)
            found: list = [None] * len(outputs)
            node = self.results.nodes[0] if self.results.nodes else None
            spread(node, y_dot, found, f"the result by the rule {definition}")
            dots.append(
                [
                    None if d is None else fitted(d, np.shape(v), v, f"the result by the rule {definition}")
                    for d, v in zip(found, outputs, strict=True)
                ]
            )
        return outputs, dots

    def _push_by_rrule(self, values: Any, directions: list[list], adtype: ADType) -> tuple[list, list[list]]:
        """The pushforward as the transpose of the linear map that the pullback is."""
        outputs, back = self.pull(values, adtype)
        live = [k for k, y in enumerate(outputs) if is_number(y)]
        if self.primitive.rrule.host:
            return outputs, self._push_by_units(outputs, live, back, directions)

        def cotangent_map(lifted: list) -> tuple[list, list]:
            y_bars: list = [None] * len(outputs)
            for k, y_bar in zip(live, lifted, strict=True):
                y_bars[k] = y_bar
            bars = back(y_bars)
            reached.update([i for i, b in enumerate(bars) if b is not None])
            return [0.0 if b is None else b for b in bars], []

        reached: set = set()  # arguments with a tangent, be it zero
        try:
            _, _, transposed = transpose(cotangent_map, [zeros_of(outputs[k]) for k in live])
        except (TracedValueError, ValueError) as error:
            # A pullback that fills plain arrays cannot be traced. It can be called.
            if any(isinstance(v, Array) for v in values) or not is_cut_off(error):
                raise
            return outputs, self._push_by_units(outputs, live, back, directions)
        dots = []
        for x_dots in directions:
            row: list = [None] * len(outputs)
            moved = any(x_dot is not None and i in reached for i, x_dot in enumerate(x_dots))
            for k, y_dot in zip(live, transposed(x_dots), strict=True):
                row[k] = zeros_of(outputs[k]) if y_dot is None and moved else y_dot
            dots.append(row)
        return outputs, dots

    @staticmethod
    def _push_by_units(outputs: list, live: list, back: Callable, directions: list[list]) -> list[list]:
        """One pullback per entry of the result: what a pullback that cannot be traced leaves."""
        dots: list[list] = [[None] * len(outputs) for _ in directions]
        for k in live:
            rows = []
            for unit in units(outputs[k]):
                y_bars: list = [None] * len(outputs)
                y_bars[k] = unit
                rows.append(back(y_bars))
            for d, x_dots in enumerate(directions):
                dots[d][k] = assembled([inner(row, x_dots) for row in rows], outputs[k])
        return dots

    # -- results -------------------------------------------------------------------------------------------------

    def take_result(self, y: Any) -> list:
        """The leaves of what the function, or its rule, returned."""
        if type(y) is np.ndarray and y.dtype == object:
            y = absorb(y)
        leaves, self.results = flatten((y,), root="f(…)", also=is_result)
        self.results.release()
        return [np.float64(v) if type(v) is float else np.bool_(v) if type(v) is bool else v for v in leaves]

    def result(self, leaves: list) -> Any:
        """The result around other leaves."""
        return self.results.rebuild(list(leaves))[0]

    def _result_tangent(self, outputs: list, y_bars: list) -> Any:
        """The cotangent in the result's structure, with zeros where there is none."""
        full = []
        for y, g in zip(outputs, y_bars, strict=True):
            if not is_number(y):
                full.append(NoTangent())
            else:
                full.append(zeros_of(y) if g is None else g)
        return self.results.result(full)[0]
