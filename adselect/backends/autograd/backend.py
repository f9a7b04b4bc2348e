"""The HIPS autograd backend: f runs once on autograd's Boxes, behind the NumPy face, and is pulled back by its vjps.

Every NumPy function becomes one autograd primitive. Where autograd's own derivative is right it is used (``OWN``);
elsewhere — functions it lacks, kinks where it gives NaN — the primitive's vjp is the shared rule of
``adselect.rules``, run over the face, so that it is recorded again when an outer derivative looks on. What has no rule
here and a derivative there (decompositions, FFTs, special functions) goes to autograd as it is. Nothing is ever left
to NumPy's object arrays.

Around autograd's core this module keeps three promises that it does not make: the stack of traces is restored after an
exception, several outputs and leaves are pulled back in one pass, and "does not depend on" is told from "has slope 0",
by looking whether a leaf's node can be reached. autograd's complex convention is the conjugate of ours:
``pullback(y_bar) = conj(vjp(conj(y_bar)))``.
"""

from __future__ import annotations

import math
import operator
import sys
import threading
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd.core import VJPNode, add_outgrads, defjvp_argnums, defvjp_argnums, primitive_vjps, vspace
from autograd.numpy.numpy_boxes import ArrayBox
from autograd.numpy.numpy_vjps import untake
from autograd.tracer import getval, isbox, new_box, notrace_primitives, primitive, trace_primitives_map, trace_stack
from autograd.util import toposort

from ...adtypes import AutoAutograd
from ...engine import careful
from ...errors import ADSelectTypeError, MissingRuleError, TracedValueError, UnsupportedError, user_line
from ...face.array import Array
from ...face.dispatch import absorb
from ...primitives.invocation import FirstOrderError
from ...primitives.leaves import is_cut_off
from ...primitives.own_rules import ENFORCED, stand_in
from ...rules.registry import COMPOSITES, NO_DERIVATIVE, RULES, AtIndex, Rule, positional
from ...values.kinds import isa
from ..backend import Backend, Call
from ..faces import NUMPY_CURE, check_face
from ..framework_array import FrameworkArray

__all__ = ["AutogradArray", "AutogradBackend"]

# NumPy functions whose derivative is autograd's own, kinks included. Not arcsin and its like, which are wrong there for
# complex numbers.
OWN = {
    *(np.add, np.subtract, np.multiply, np.divide, np.negative, np.square, np.reciprocal, np.sqrt, np.matmul),
    *(np.exp, np.exp2, np.expm1, np.log, np.log2, np.log10, np.log1p, np.maximum, np.minimum),
    *(np.sin, np.cos, np.tan, np.arctan, np.deg2rad, np.rad2deg, np.radians, np.degrees),
    *(np.sinh, np.cosh, np.tanh, np.arctanh, np.real, np.imag, np.conjugate),
}
_PLAIN = frozenset({float, int, complex, np.float64, np.float32, np.complex128})
# Results without a derivative that are arrays to write into: they stay behind the face.
BLANK = {np.zeros_like, np.ones_like, np.empty_like}


# -- traces ------------------------------------------------------------------------------------------------------------


class _Traces:
    """Which of autograd's trace numbers are ours and open.

    autograd numbers its traces by depth and keeps the deepest in one global. Ours are multiples of ``STRIDE``, counted
    upwards without reuse, so that a value that outlives its trace is recognised and the user's own traces fit between.
    The global is put back also after an exception, and stays the deepest open trace while several threads work.
    """

    STRIDE = 1 << 20

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.latest = 0
        # Per open trace the nodes of scalars compared with one another: they decide a selection (Python's min and
        # max), which depends on them with slope zero.
        self.open: dict[int, list] = {}
        self.before: dict[int, int] = {}  # closed out of order -> what was the deepest before

    def start(self) -> tuple[int, int]:
        """``(number, the deepest trace before)``."""
        with self.lock:
            before = trace_stack.top
            trace = self.latest = (max(self.latest, before) // self.STRIDE + 1) * self.STRIDE
            self.open[trace] = []
            trace_stack.top = trace
        return trace, before

    def end(self, trace: int, before: int) -> list:
        """Close a trace; the nodes that decided selections on it."""
        with self.lock:
            selecting = self.open.pop(trace)
            if any(t > trace for t in self.open):  # another thread's, still running
                self.before[trace] = before
            else:
                while before in self.before:
                    before = self.before.pop(before)
                trace_stack.top = before
        return selecting

    def is_open(self, box: Any) -> bool:
        """Whether a Box belongs to a derivative still being computed, ours or the user's own."""
        trace = box._trace
        return trace in self.open if trace and trace % self.STRIDE == 0 else trace <= trace_stack.top


TRACES = _Traces()


def settle(value: Any) -> Any:
    """value without the Boxes of derivatives that are over."""
    while isbox(value) and not TRACES.is_open(value):
        value = value._value
    return value


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
        seeds = {places[node]: _face(_conj(g[0])) for node, g in gathered.items()}
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
            found.append(None if bar is None else _conj(_bare(bar)))
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
        shape = np.shape(getattr(_number_of(self.node.call[2]), "vs", self.node.call[2]))  # a sparse cotangent has none
        g = g if np.shape(g) == shape else np.broadcast_to(g, shape)
        before, MODE.strong = MODE.strong, True
        try:
            x_bars = list(self.node.vjp(_conj(_bare(g))))
        finally:
            MODE.strong = before
        return _face(_conj(add_outgrads(None, x_bars[self.node.call[1].index(i)])[0]))  # not sparse any more


def _record_of(node: Any, places: dict) -> tuple:
    """A node as the tape would have written it down."""
    function, argnums, y, args, kwargs = node.call
    parents = [-1] * len(args)
    for argnum, parent in zip(argnums, node.parents, strict=True):
        parents[argnum] = places[parent]
    rule = getattr(function, "rule", None)
    if rule is None:
        return _Opaque(node), tuple(parents), y, args, kwargs
    args, y = _faced(args, y)
    return rule, tuple(parents), y, args, kwargs


class _End:
    """A node above several results, so that one walk starts from all of them."""

    __slots__ = ("parents",)

    def __init__(self, parents: tuple):
        self.parents = parents


class _Mode(threading.local):
    """How the vjps run on this thread: with strong zeros, a cotangent of 0 contributes 0 whatever the derivative."""

    strong = False
    shared = False  # by the shared rules only: what they record can be pulled back with strong zeros again
    depth = 0  # derivatives under way
    encloses = False  # whether the innermost one of them has had another inside


MODE = _Mode()


def pull_carefully_if_needed(recording: Recording, nodes: list, y_bars: list, outputs: list | None = None) -> list:
    """The reverse pass, by the careful one where it came out non-finite although the outputs are finite."""
    x_bars = recording.pull(nodes, y_bars)
    if all([x is None or _is_finite(_number_of(x)) for x in x_bars]):
        return x_bars
    for y, y_bar in zip(outputs or [], y_bars, strict=False):
        if y_bar is not None and not np.all(np.isfinite(_number_of(y)) | np.equal(_number_of(y_bar), 0)):
            return x_bars
    if any(isinstance(_number_of(node.call[2]), tuple) for node in recording._seeded(nodes, y_bars)[1]):
        if recording.enclosing:
            return x_bars
        MODE.strong = True  # several results at once: each vjp for itself
        try:
            return recording.pull(nodes, y_bars)
        finally:
            MODE.strong = False
    return recording.pull_carefully(nodes, y_bars)


def _number_of(value: Any) -> Any:
    """The numbers under all Boxes."""
    while isbox(value):
        value = getval(value)
    return value


def _is_finite(x: Any) -> bool:
    """Whether all numbers are finite; the sum of their squares, which takes less, is then finite or overflowed."""
    return math.isfinite(np.vdot(x, x).real) or bool(np.isfinite(x).all())


# -- primitives --------------------------------------------------------------------------------------------------------


def _face(value: Any) -> Any:
    """A Box behind the face; anything else as it is."""
    if isbox(value):
        if isinstance(value, ArrayBox):
            return AutogradArray(value)
        inner = getval(value)
        return type(inner)(_face(value[i]) for i in range(len(inner)))
    return value


def _bare(value: Any) -> Any:
    return value._primal if isinstance(value, AutogradArray) else value


def _is_complex(value: Any) -> bool:
    return np.iscomplexobj(getval(value))


def _conj(value: Any) -> Any:
    return anp.conj(value) if _is_complex(value) else value


def translate(function: Callable, rule: Rule) -> Callable:
    """The autograd primitive of a NumPy function with a shared rule."""
    own = trace_primitives_map.get(function) if function in OWN else None

    @primitive
    def translated(*args: Any, **kwargs: Any) -> Any:
        return rule.call(*args, **kwargs)

    def make_vjp(argnums: tuple, y: Any, args: tuple, kwargs: dict) -> Callable:
        own_vjp = primitive_vjps[own](argnums, y, args, kwargs) if own is not None and not kwargs else None

        def vjp(g: Any) -> tuple:
            if own_vjp is not None and not MODE.strong and not MODE.shared:
                return tuple(own_vjp(g))
            return tuple([_pull(rule, i, g, y, args, kwargs) for i in argnums])

        return vjp

    def jvp(argnums: Any, x_dots: Any, y: Any, args: tuple, kwargs: dict) -> Any:
        return _push(rule, argnums, x_dots, y, args, kwargs)

    defvjp_argnums(translated, make_vjp)
    defjvp_argnums(translated, jvp)
    translated.rule = rule  # type: ignore[attr-defined]
    translated.__name__ = getattr(function, "__name__", "translated")
    return translated


def _pull(rule: Rule, i: int, g: Any, y: Any, args: tuple, kwargs: dict) -> Any:
    """The cotangent of argument i by the shared rule, in autograd's convention and in the argument's full shape."""
    x = args[i]
    plain_x = getval(x)
    shape = np.shape(plain_x)
    items = isinstance(getval(y), tuple)
    parts = [g[k] for k in range(len(getval(y)))] if items else [g]
    if MODE.strong and not any(np.any(getval(p)) for p in parts):
        return np.zeros(shape, np.result_type(plain_x))
    faces, y_face = _faced(args, y)
    g_face: Any = [_face(_conj(p)) for p in parts] if items else _face(_conj(g))
    if MODE.strong and hasattr(rule, "pull_strong"):
        x_bar = rule.pull_strong(i, g_face, y_face, faces, kwargs)
    else:
        x_bar = rule.pull(i, g_face, y_face, faces, kwargs)
    if x_bar is None:
        return np.zeros(shape, np.result_type(plain_x))
    if type(x_bar) is AtIndex:
        return untake(_conj(_bare(x_bar.value)), x_bar.index, vspace(x))
    if np.shape(x_bar) != shape:
        x_bar = np.broadcast_to(x_bar, shape)
    if np.iscomplexobj(x_bar) and not np.iscomplexobj(plain_x):
        x_bar = np.real(x_bar)
    return _conj(_bare(x_bar))


def _faced(args: tuple, y: Any) -> tuple[tuple, Any]:
    """The arguments and the result of a function behind the NumPy face."""
    several = isinstance(getval(y), tuple)
    y_face = tuple(_face(y[k]) for k in range(len(getval(y)))) if several else _face(y)
    return tuple([_face(a) for a in args]), y_face


def _push(rule: Rule, argnums: Any, x_dots: Any, y: Any, args: tuple, kwargs: dict) -> Any:
    """The tangent of a function's result by the shared rule."""
    faces, y_face = _faced(args, y)
    results = y_face if isinstance(y_face, tuple) else (y_face,)
    dots: list = [None] * len(results)
    for i, x_dot in zip(argnums, x_dots, strict=True):
        found = rule.push(i, _face(x_dot), y_face, faces, kwargs)
        for k, y_dot in enumerate(found if isinstance(y_face, tuple) and found is not None else [found]):
            if y_dot is not None:
                dots[k] = y_dot if dots[k] is None else dots[k] + y_dot
    moved = [
        np.zeros(np.shape(r), np.result_type(_numbers(r))) if d is None else _bare(d)
        for d, r in zip(dots, results, strict=True)
    ]
    return tuple(moved) if isinstance(y_face, tuple) else moved[0]


def _numbers(face: Any) -> Any:
    """The numbers behind a face."""
    value = _bare(face)
    while isbox(value):
        value = getval(value)
    return value


def _getitem(x: Any, index: Any) -> Any:
    """Indexing by autograd's primitive: its cotangents of single elements add up sparsely."""
    return ArrayBox.__getitem__(x, index)


_TARGETS: dict[Any, Callable] = {operator.getitem: _getitem}


def _autograd_function(function: Any) -> Callable | None:
    """autograd's own primitive of a function that has no rule here."""
    special = sys.modules.get("scipy.special")
    if special is not None and getattr(special, getattr(function, "__name__", ""), None) is function:
        import autograd.scipy.special  # noqa: F401 - registers its primitives
    found = trace_primitives_map.get(function)
    return found if found in primitive_vjps else None


# -- the face ----------------------------------------------------------------------------------------------------------


class AutogradArray(FrameworkArray):
    """A traced value of the autograd backend. Behaves like the ``numpy.ndarray`` (or scalar) it stands for.

    ``value`` is a Box, or a plain array that traced values may be written into. ``integer`` keeps the ints of an
    integer argument, which counts as a float in arithmetic and still works as an index or a size.
    """

    __slots__ = ()

    framework = "autograd"

    def _enclose(self) -> None:
        MODE.encloses = True

    # -- translation ---------------------------------------------------------------------------------------------

    @classmethod
    def _target(cls, function: Any) -> Any:
        target = _TARGETS.get(function)
        if target is None:
            rule = RULES.get(function)
            if rule is not None:
                target = translate(function, rule)
            elif function not in COMPOSITES:
                target = _autograd_function(function)
            if target is not None:
                _TARGETS[function] = target
        return target

    def _apply(self, function: Any, args: tuple, kwargs: dict) -> Any:
        if ENFORCED and (by_rule := stand_in(function)) is not None:
            return by_rule(*args, **kwargs)
        if function in NO_DERIVATIVE:
            if function is np.result_type or function is np.can_cast:  # of integers too the dtype that they show
                return function(*[a.dtype if isinstance(a, AutogradArray) else a for a in args], **kwargs)
            result = function(*[_known(a) for a in args], **{k: _known(v) for k, v in kwargs.items()})
            return AutogradArray(result) if function in BLANK else result
        target = self._target(function)
        if target is None:
            return super()._apply(function, args, kwargs)  # a composite, or the error that there is none
        rule = RULES.get(function)
        if kwargs:
            args, kwargs = positional(function, args, kwargs)
            for name, option in kwargs.items():
                if isinstance(option, Array) and option.dtype.kind in "fc" and getattr(option, "integer", None) is None:
                    raise MissingRuleError(
                        f"np.{function.__name__}(…, {name}=…) was given a traced value at {user_line()}; no derivative "
                        f"with respect to {name} is defined"
                    )
            kwargs = {k: _known(v) if getattr(v, "integer", None) is None else v.integer for k, v in kwargs.items()}
        if function is np.astype and np.dtype(args[1]).kind not in "fc":
            return _known(self).astype(args[1])
        values = [self._operand(a) if rule is None or rule.differentiable(i) else _known(a) for i, a in enumerate(args)]
        return _wrap(target(*values, **kwargs))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        target = _TARGETS.get(ufunc)
        if target is not None and not ENFORCED and method == "__call__" and not kwargs and ufunc.nout == 1:
            if len(inputs) == 1:
                return AutogradArray(target(self._primal))
            if len(inputs) == 2:
                a, b = inputs
                if type(a) is AutogradArray:
                    if type(b) is AutogradArray:
                        return AutogradArray(target(a._primal, b._primal))
                    if type(b) in _PLAIN:
                        return AutogradArray(target(a._primal, self._operand(b)))
                elif type(a) in _PLAIN:
                    return AutogradArray(target(self._operand(a), b._primal))
        return super().__array_ufunc__(ufunc, method, *inputs, **kwargs)

    @classmethod
    def _operand(cls, value: Any) -> Any:
        """An argument as autograd's primitives take it."""
        kind = type(value)
        if kind is AutogradArray:
            return value._primal
        if kind is list or kind is tuple or (kind is np.ndarray and value.dtype == object):
            stacked = absorb(value)
            if isinstance(stacked, AutogradArray):
                return stacked._primal
            return np.asarray(stacked) if kind is list else stacked
        if isinstance(value, Array):
            raise UnsupportedError(_foreign(value))
        if isa(value, (Fraction, Decimal)):
            return float(value)  # NumPy would make an object array
        # autograd keeps what it is given until the reverse pass; f may write to its own arrays before.
        return value.copy("K") if kind is np.ndarray else value

    # -- values --------------------------------------------------------------------------------------------------

    @property
    def _inside(self) -> Any:
        value = settle(self._primal)  # what is left of it when its derivative is over belongs to an outer one
        return AutogradArray(value) if isbox(value) and value is not self._primal else getval(value)

    def _known(self) -> Any:
        value = settle(self._primal)
        return NotImplemented if isbox(value) else value

    @property
    def _closed(self) -> bool:
        return isbox(self._primal) and not TRACES.is_open(self._primal)

    def _in_memory(self) -> Any:
        value = self._primal
        while isbox(value):
            value = getval(value)
        return value

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(getval(self._primal))

    @property
    def dtype(self) -> Any:
        value = getval(self._primal)
        return value.dtype if hasattr(value, "dtype") else np.result_type(value)

    def __bool__(self) -> bool:
        return bool(getval(self._primal))

    def __index__(self) -> int:
        return operator.index(getval(self._primal) if self.integer is None else self.integer)

    def __int__(self) -> int:
        return int(self.integer) if self.integer is not None else super().__int__()

    def _as_index(self) -> Any:
        return getval(self._primal) if self.integer is None else self.integer

    # -- indexing ------------------------------------------------------------------------------------------------

    def _getitem(self, index: Any) -> Any:
        integer = self.integer
        result = AutogradArray(ArrayBox.__getitem__(self._primal, _kept(index)))
        if integer is not None:
            result.integer = integer[index]
        return result

    def _setitem(self, index: Any, value: Any) -> Any:
        from ...face.atoms import set_item

        new = self._operand(value)
        if _covers_all(index) and np.shape(getval(new)) == self.shape:
            # Nothing is left of what was there: the result depends on the new value alone.
            if np.iscomplexobj(getval(new)) and self.dtype.kind != "c":
                raise TypeError(
                    f"cannot write a complex value into a {self.dtype} array ({user_line()}); make it complex first"
                )
            result = AutogradArray(new)
            return AutogradArray._face(result.astype(self.dtype)) if result.dtype != self.dtype else result
        return AutogradArray(self._target(set_item)(self._primal, new, _kept(index)))


def _covers_all(index: Any) -> bool:
    if type(index) is tuple:
        return all(i is Ellipsis or (type(i) is slice and i == slice(None)) for i in index)
    return index is Ellipsis or (type(index) is slice and index == slice(None))


def _kept(index: Any) -> Any:
    """An index of which f's own arrays and lists are no part: f may write to them before the reverse pass."""
    kind = type(index)
    if kind is np.ndarray:
        return index.copy("K")
    if kind is tuple:
        return tuple([_kept(i) for i in index])
    return np.array(index, None if index else int) if kind is list else index


def _wrap(value: Any) -> Any:
    """A result behind the face; tuples entry by entry."""
    if isinstance(value, ArrayBox) or type(value) is np.ndarray or isa(value, (np.inexact, float, complex)):
        return AutogradArray(value)
    inner = getval(value)
    if isinstance(inner, (tuple, list)):
        items = [_wrap(value[i]) for i in range(len(inner))]
        return type(inner)(*items) if hasattr(inner, "_fields") else type(inner)(items)
    return value


def _known(value: Any) -> Any:
    """The NumPy value behind a face array, also inside lists and tuples."""
    if isinstance(value, Array):
        if not isinstance(value, AutogradArray):
            raise UnsupportedError(_foreign(value))
        return value._as_index() if value.integer is not None else getval(value._primal)
    if type(value) in (list, tuple):
        return type(value)([_known(v) for v in value])
    if type(value) is np.ndarray:  # a copy: f may write to its own arrays before the reverse pass
        return _known(absorb(value)) if value.dtype == object else value.copy("K")
    return value


def _foreign(value: Any) -> str:
    return (
        f"a {type(value).__name__} of another backend met an autograd value at {user_line()}; AutoAutograd can run "
        "inside another AutoAutograd derivative or inside autograd.grad. For another framework outside, use "
        "adselect.differentiate_with(f, AutoAutograd()), or the built-in AutoTape() inside"
    )


def _note_selection(a: Any, b: Any) -> None:
    if isbox(a) and isbox(b) and a._trace == b._trace and a._trace in TRACES.open:
        TRACES.open[a._trace] += [a._node, b._node]


def _install() -> None:
    """Short paths for operators between two face arrays, or one and a number."""
    numbers = (float, int, complex)

    def binary(name: str, function: Any, reflected: bool, operate: Callable | None) -> Callable:
        through_numpy = getattr(Array, name)

        def call(self: AutogradArray, other: Any) -> Any:
            kind = type(other)
            if kind is AutogradArray:
                value = other._primal
            elif kind in numbers:
                value = other
            else:
                return through_numpy(self, other)
            if ENFORCED or (self.integer is not None and operate is None):
                return through_numpy(self, other)
            target = AutogradArray._target(function)
            result = AutogradArray(target(value, self._primal) if reflected else target(self._primal, value))
            if operate is not None and self.integer is not None:
                integer = other.integer if kind is AutogradArray else other if kind is int else None
                if integer is not None:
                    result.integer = operate(integer, self.integer) if reflected else operate(self.integer, integer)
            return result

        return call

    keeps_integers = {"add", "sub", "mul", "floordiv", "mod"}
    for name, function in {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "truediv": np.divide,
        "floordiv": np.floor_divide,
        "mod": np.remainder,
        "pow": np.power,
        "matmul": np.matmul,
    }.items():
        operate = getattr(operator, name) if name in keeps_integers else None
        for reflected in (False, True):
            full = f"__{'r' if reflected else ''}{name}__"
            setattr(AutogradArray, full, binary(full, function, reflected, operate))

    def comparison(name: str, operate: Callable) -> Callable:
        through_numpy = getattr(Array, name)

        def call(self: AutogradArray, other: Any) -> Any:
            if type(other) is AutogradArray:
                result = operate(getval(self._primal), getval(other._primal))
                if type(result) is not np.ndarray:
                    _note_selection(self._primal, other._primal)
                return result
            return operate(getval(self._primal), other) if type(other) in numbers else through_numpy(self, other)

        return call

    for name in ("lt", "le", "gt", "ge", "eq", "ne"):
        setattr(AutogradArray, f"__{name}__", comparison(f"__{name}__", getattr(operator, name)))
    AutogradArray.__hash__ = Array.__hash__  # type: ignore[method-assign]

    def negative(self: AutogradArray) -> Any:
        result = (
            self._apply(np.negative, (self,), {})
            if ENFORCED
            else AutogradArray(AutogradArray._target(np.negative)(self._primal))
        )
        if self.integer is not None:
            result.integer = -self.integer
        return result

    AutogradArray.__neg__ = negative  # type: ignore[attr-defined]


_install()


# -- the backend -------------------------------------------------------------------------------------------------------


_FLOAT64 = np.dtype(np.float64)
_NUMERIC = (int, float, complex, Fraction, np.number, np.ndarray)


class _Leaf:
    """One argument on its way to autograd and back."""

    __slots__ = ("dtype", "integer", "is_array", "native", "value")

    def __init__(self, leaf: Any):
        if type(leaf) is np.ndarray and leaf.dtype == np.float64:
            self.is_array = self.native = False
            self.integer, self.value, self.dtype = None, self._plain(leaf), _FLOAT64
            return
        self.is_array, self.native = isinstance(leaf, Array), isbox(leaf)
        self.integer: Any = None
        if self.is_array and not isinstance(leaf, AutogradArray):
            raise UnsupportedError(_foreign(leaf))
        value = settle(leaf._primal) if self.is_array else leaf
        if isa(value, (bool, np.bool_)) or not (isbox(value) or isa(value, _NUMERIC)):
            raise ADSelectTypeError(
                f"AutoAutograd differentiates numbers and NumPy arrays, not {type(leaf).__name__}; for jax arrays use "
                "AutoJax(), for torch tensors AutoTorch()"
            )
        if self.is_array:
            self.integer = leaf.integer
        if isa(value, (int, np.integer)) or (isa(value, np.ndarray) and value.dtype.kind in "iu"):
            self.integer = value.astype(np.int64) if isa(value, np.ndarray) else int(value)
        if not isbox(value):
            value = self._plain(value)
        self.value = value
        self.dtype = np.result_type(getval(value))

    @staticmethod
    def _plain(value: Any) -> Any:
        """A scalar as a NumPy scalar (1/0 means what it means in NumPy), an array as a private copy in floats."""
        if isa(value, np.ndarray):
            dtype = value.dtype.newbyteorder("=")
            return value.astype(dtype if dtype.kind in "fc" else np.float64)
        if isa(value, (np.inexact,)):
            return value
        return np.complex128(value) if isa(value, complex) else np.float64(value)

    def cotangent(self, x_bar: Any, stays_face: bool) -> Any:
        """What the caller gets for this leaf: its dtype and shape, our complex convention."""
        if x_bar is None:
            return None
        if type(x_bar) is np.ndarray and x_bar.dtype == self.dtype and self.dtype.kind == "f" and x_bar.ndim:
            return x_bar.copy()  # shared with nobody
        x_bar = settle(_conj(x_bar))
        if np.result_type(getval(x_bar)) != self.dtype:
            if self.dtype.kind != "c" and _is_complex(x_bar):
                x_bar = anp.real(x_bar)
            x_bar = _bare(AutogradArray(x_bar).astype(self.dtype))
        if isbox(x_bar):
            return AutogradArray(x_bar) if stays_face else x_bar
        x_bar = np.array(x_bar, dtype=self.dtype)  # shared with nobody
        return x_bar if x_bar.ndim else x_bar[()]


class AutogradBackend(Backend):
    """Reverse mode by HIPS autograd; forward mode by transposing the pullback once more.

    f gets arrays that speak NumPy's protocols, also for Boxes of the user's own ``autograd.grad``; ``autograd.numpy``
    functions take them, too. With ``face="native"`` it gets autograd's own Boxes.
    """

    reverse = True
    forward = False

    def __init__(self, adtype: AutoAutograd):
        super().__init__(adtype)
        self.face = check_face(adtype.face)

    def pullback(self, call: Call, leaves: list) -> tuple[list, list, Callable[[list], list]]:
        """``(outputs, aux, back)``, as in :meth:`Backend.pullback`."""
        taken, recording, outputs, nodes, aux, nested = self._record(call, leaves)

        def back(y_bars: list) -> list:
            stays_face = nested or any(isinstance(g, Array) for g in y_bars)
            seeds = [_seed(g, y) for g, y in zip(y_bars, outputs, strict=True)]
            x_bars = pull_carefully_if_needed(recording, nodes, seeds, outputs)
            return [leaf.cotangent(x_bar, stays_face) for leaf, x_bar in zip(taken, x_bars, strict=True)]

        return [_leave(y, nested) for y in outputs], [_leave(a, nested) for a in aux], back

    def pushforwards(self, call: Call, leaves: list, directions: list[list]) -> tuple[list, list[list], list]:
        """Through the transposed pullback, f evaluated once; row by row where f holds a rule of first order only."""
        try:
            return self._pushforwards(call, leaves, directions)
        except (FirstOrderError, TracedValueError, ValueError) as error:
            if not isinstance(error, FirstOrderError) and not is_cut_off(error):
                raise
            return super().pushforwards(call, leaves, directions)

    def _pushforwards(self, call: Call, leaves: list, directions: list[list]) -> tuple[list, list[list], list]:
        """The pullback is linear in its cotangent; its own pullback is the pushforward."""
        _, recording, outputs, nodes, aux, nested = self._record(call, leaves)
        dependent = [k for k, node in enumerate(nodes) if node is not None]
        stays_face = nested or any(isinstance(d, Array) for tangents in directions for d in tangents)
        ones = [np.ones(np.shape(getval(outputs[k])), np.result_type(getval(outputs[k])))[()] for k in dependent]
        again = Recording(ones)
        # The derivative of a value that is not finite is not repaired into numbers.
        values = [_number_of(outputs[k]) for k in dependent]
        again.enclosing = recording.enclosing or any([np.any(np.isnan(y)) for y in values])
        again.undefined = not all([np.all(np.isfinite(y)) for y in values])
        again.constants = False
        dots: list[list] = []

        def products(cotangents: list) -> list:
            MODE.shared = True
            try:
                x_bars = recording.pull([nodes[k] for k in dependent], cotangents)
            finally:
                MODE.shared = False
            return [_inner(x_bars, tangents) for tangents in directions]

        for total in again.run(products, ones) if dependent else directions:
            node = again.split(total)[1]
            y_dots: list = [None] * len(outputs)
            for k, y_dot in zip(dependent, pull_carefully_if_needed(again, [node], [np.float64(1.0)]), strict=True):
                y_dots[k] = self._tangent(y_dot, outputs[k], stays_face)
            dots.append(y_dots)
        return [_leave(y, nested) for y in outputs], dots, [_leave(a, nested) for a in aux]

    @staticmethod
    def _tangent(y_dot: Any, y: Any, stays_face: bool) -> Any:
        # The cotangents were fed in autograd's convention, so one conjugation of the result is spent on them.
        if y_dot is None:
            return None
        y_dot = settle(y_dot)
        if isbox(y_dot):
            return AutogradArray(y_dot) if stays_face else y_dot
        return np.array(y_dot, np.result_type(getval(y)))[()]

    def _record(self, call: Call, leaves: list) -> tuple[list[_Leaf], Recording, list, list, list, bool]:
        """Run f once: the leaves, the recording, outputs and their nodes, aux, and whether results stay Arrays."""
        taken = [_Leaf(leaf) for leaf in leaves]
        nested = MODE.depth > 0 or any(leaf.is_array for leaf in taken)
        values = [leaf.value for leaf in taken]
        recording = Recording(values)

        def lifted_call(boxes: list) -> tuple[list, list]:
            if self.face == "native":
                return call(boxes)
            return call(
                [
                    AutogradArray(b, integer=leaf.integer)._given_as(given)
                    for b, leaf, given in zip(boxes, taken, leaves, strict=True)
                ]
            )

        MODE.depth += 1
        before = MODE.strong, MODE.shared
        MODE.strong = MODE.shared = MODE.encloses = False
        try:
            outputs, aux = recording.run(lifted_call, values)
        finally:
            MODE.depth -= 1
            MODE.strong, MODE.shared = before
            recording.enclosing, MODE.encloses = MODE.encloses, MODE.depth > 0
        split = [recording.split(_output(y)) for y in outputs]
        extras = [recording.split(_output(a))[0] for a in aux]
        return taken, recording, [y for y, _ in split], [node for _, node in split], extras, nested

    def explain(self, error: Exception) -> str | None:
        """A hint for errors that the other face would not have caused."""
        if self.face == "native" and "ArrayBox" in str(error) and isinstance(error, TypeError):
            return NUMPY_CURE.format("AutoAutograd")
        if isinstance(error, (TypeError, AttributeError)) and "AutogradArray" in str(error):
            return (
                "adselect: f was given the NumPy face of autograd's arrays (AutogradArray). If f calls autograd.numpy "
                "throughout, AutoAutograd(face='native') gives it autograd's own."
            )
        return None


def _output(value: Any) -> Any:
    """What f returned, without the face."""
    if type(value) is np.ndarray and value.dtype == object:
        value = absorb(value)
    if isinstance(value, AutogradArray):
        return value._primal
    if isinstance(value, Array) and not value._closed:
        raise UnsupportedError(_foreign(value))
    return value


def _leave(value: Any, nested: bool) -> Any:
    """A result as the caller sees it: plain, or still traced by an outer derivative."""
    value = settle(value)
    if isinstance(value, ArrayBox):
        return AutogradArray(value) if nested else value
    return value.copy("K") if type(value) is np.ndarray else value


def _seed(y_bar: Any, y: Any) -> Any:
    """A cotangent in the shape, dtype and convention that autograd expects for y."""
    if y_bar is None:
        return None
    if type(y_bar) is float and type(getval(y)) is np.float64:
        return np.float64(y_bar)
    y_bar = _bare(y_bar)
    if isinstance(y_bar, Array):
        raise UnsupportedError(_foreign(y_bar))
    plain_y = getval(y)
    dtype, shape = np.result_type(plain_y), np.shape(plain_y)
    if dtype.kind != "c" and _is_complex(y_bar):
        y_bar = anp.real(y_bar)
    if isbox(y_bar):
        return _conj(y_bar)
    y_bar = np.conj(np.asarray(y_bar).astype(dtype if dtype.kind in "fc" else float))
    return np.broadcast_to(y_bar, shape) if shape else y_bar.reshape(())[()]


def _inner(x_bars: list, tangents: list) -> Any:
    """Re Σ x̄·ẋ over the leaves; x̄ in autograd's convention, conjugate to ours, so no conjugation is left to do."""
    total: Any = 0.0
    for x_bar, x_dot in zip(x_bars, tangents, strict=True):
        if x_bar is None or x_dot is None:
            continue
        x_dot = _bare(x_dot)
        if isinstance(x_dot, Array):
            raise UnsupportedError(_foreign(x_dot))
        product = np.multiply(_face(x_bar), _face(x_dot))
        product = np.real(product) if np.iscomplexobj(product) else product
        still = np.equal(_number_of(x_dot), 0)
        if np.any(still):
            product = np.where(still, 0.0, product)  # what does not move, whatever its slope is
        total = total + _bare(np.sum(product))
    return total
