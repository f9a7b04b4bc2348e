"""autograd's traces under our numbering, and the records of one for the careful pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from autograd.core import VJPNode, add_outgrads, primitive_vjps
from autograd.tracer import getval, isbox, new_box, notrace_primitives
from autograd.util import toposort

from ...engine import careful
from ...rules.rule import Rule
from .face import bare, behind_face, conj, faced
from .modes import MODE, TRACES


class Recording:
    """One run of a function on boxed values, and the reverse pass over what it wrote down."""

    __slots__ = ("constants", "enclosing", "roots", "selecting", "trace", "undefined")

    def __init__(self, values: list):
        self.trace = -1
        self.enclosing = False  # whether an inner derivative ran on values of this one
        self.undefined = False  # whether the function has a value that is not finite
        self.constants = True  # whether a factor that is not recorded does not depend on the values
        self.selecting: list = []
        self.roots = [_Node.new_root(v) for v in values]

    def run(self, function: Callable[[list], Any], values: list) -> Any:
        """``function`` of the boxed values."""
        self.trace, before = TRACES.start()
        try:
            boxes = [new_box(v, self.trace, root) for v, root in zip(values, self.roots, strict=True)]
            return function(boxes)
        finally:
            self.selecting = TRACES.end(self.trace, before)

    def split(self, result: Any) -> tuple[Any, Any]:
        """A result without this recording, and its node (None where it depends on no value)."""
        while isbox(result) and result._trace != self.trace and not TRACES.is_open(result):
            result = result._value  # computed with what an inner derivative, over by now, has left behind
        if isbox(result) and result._trace == self.trace:
            return result._value, result._node
        return result, None

    def pull(self, nodes: list, y_bars: list) -> list:
        """Cotangents of the values (in autograd's convention), None for those that no node depends on."""
        results: list = [None] * len(self.roots)
        gathered, order = self._seeded(nodes, y_bars)
        places = {root: i for i, root in enumerate(self.roots)}
        for node in order:
            g = gathered.pop(node)[0]
            if node in places:
                results[places[node]] = g
                continue
            for parent, x_bar in zip(node.parents, node.vjp(g), strict=False):
                gathered[parent] = add_outgrads(gathered.get(parent), x_bar)
        return results

    def _seeded(self, nodes: list, y_bars: list) -> tuple[dict, list]:
        """The cotangents to begin with, and the nodes they reach, those that depend on others first."""
        seeded = [(n, np.float64(0.0)) for n in self.selecting] if self.selecting else []
        seeded += [(n, g) for n, g in zip(nodes, y_bars, strict=True) if n is not None and g is not None]
        gathered: dict[Any, Any] = {}
        for n, g in seeded:
            gathered[n] = add_outgrads(gathered.get(n), g)
        if not seeded:
            return {}, []
        end = seeded[0][0] if len(seeded) == 1 else _End(tuple([n for n, _ in seeded]))
        return gathered, [node for node in toposort(end) if type(node) is not _End]

    def pull_carefully(self, nodes: list, y_bars: list) -> list:
        """The same by the tape's careful pass, over records made from the graph."""
        gathered, order = self._seeded(nodes, y_bars)
        places = {root: i for i, root in enumerate(self.roots)}
        records: dict = {}
        for node in reversed(order):
            if node not in places:
                place = places[node] = len(self.roots) + len(records)
                records[place] = _record_of(node, places)
        seeds = {places[node]: behind_face(conj(g[0])) for node, g in gathered.items()}
        with np.errstate(all="ignore"):
            bars = careful.pull_carefully(
                records,
                len(self.roots) + len(records),
                len(self.roots),
                seeds,
                self.enclosing or self.undefined,
                self.constants,
            )
        found: list = []
        for root, bar in zip(self.roots, bars, strict=True):
            shape = np.shape(getval(root.call[2]))
            if bar is not None and np.shape(bar) != shape:
                bar = np.broadcast_to(bar, shape)
            found.append(None if bar is None else conj(bare(bar)))
        return found


class _Node(VJPNode):
    """autograd's node, which also knows the call it stands for."""

    __slots__ = ("call",)

    def __init__(self, value: Any, fun: Any, args: tuple, kwargs: dict, parent_argnums: tuple, parents: tuple):
        self.parents = parents
        self.vjp = primitive_vjps[fun](parent_argnums, value, args, kwargs)
        self.call = fun, parent_argnums, value, args, kwargs

    def initialize_root(self, value: Any) -> None:
        super().initialize_root()
        self.call = None, (), value, (), {}


notrace_primitives[_Node] = notrace_primitives[VJPNode]


class _Opaque(Rule):
    """A primitive of autograd's own in the careful pass: a linear map of which nothing is known."""

    def __init__(self, node: Any):
        super().__init__(None, (), (), lazy=True)
        self.node = node

    def pull(self, i: int, g: Any, y: Any, args: Any, kwargs: dict) -> Any:
        shape = np.shape(getattr(number_of(self.node.call[2]), "vs", self.node.call[2]))  # a sparse cotangent has none
        g = g if np.shape(g) == shape else np.broadcast_to(g, shape)
        before, MODE.strong = MODE.strong, True
        try:
            x_bars = list(self.node.vjp(conj(bare(g))))
        finally:
            MODE.strong = before
        return behind_face(conj(add_outgrads(None, x_bars[self.node.call[1].index(i)])[0]))  # not sparse any more


def _record_of(node: Any, places: dict) -> tuple:
    """A node as the tape would have written it down."""
    function, argnums, y, args, kwargs = node.call
    parents = [-1] * len(args)
    for argnum, parent in zip(argnums, node.parents, strict=True):
        parents[argnum] = places[parent]
    rule = getattr(function, "rule", None)
    if rule is None:
        return _Opaque(node), tuple(parents), y, args, kwargs
    args, y = faced(args, y)
    return rule, tuple(parents), y, args, kwargs


class _End:
    """A node above several results, so that one walk starts from all of them."""

    __slots__ = ("parents",)

    def __init__(self, parents: tuple):
        self.parents = parents


def pull_carefully_if_needed(recording: Recording, nodes: list, y_bars: list, outputs: list | None = None) -> list:
    """The reverse pass, by the careful one where it came out non-finite although the outputs are finite."""
    x_bars = recording.pull(nodes, y_bars)
    if all([x is None or _is_finite(number_of(x)) for x in x_bars]):
        return x_bars
    for y, y_bar in zip(outputs or [], y_bars, strict=False):
        if y_bar is not None and not np.all(np.isfinite(number_of(y)) | np.equal(number_of(y_bar), 0)):
            return x_bars
    if any(isinstance(number_of(node.call[2]), tuple) for node in recording._seeded(nodes, y_bars)[1]):
        if recording.enclosing:
            return x_bars
        MODE.strong = True  # several results at once: each vjp for itself
        try:
            return recording.pull(nodes, y_bars)
        finally:
            MODE.strong = False
    return recording.pull_carefully(nodes, y_bars)


def number_of(value: Any) -> Any:
    """The numbers under all Boxes."""
    while isbox(value):
        value = getval(value)
    return value


def _is_finite(x: Any) -> bool:
    """Whether all numbers are finite; the sum of their squares, which takes less, is then finite or overflowed."""
    return math.isfinite(np.vdot(x, x).real) or bool(np.isfinite(x).all())
