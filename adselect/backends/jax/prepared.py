"""Prepared operators on JAX: the operator's whole computation compiled by ``jax.jit``, NumPy in and NumPy out.

The operator itself is run once under ``jax.jit``, on leaves that are traced: what it computes on the way (seeds,
projections, the rows of a matrix) becomes part of one program, and the structure of its result is kept beside it.

Nobody can look at a derivative while JAX compiles, so strong zeros would have to be paid for in every product. Two
programs are made instead: one with JAX's own products, and, when the first of its results comes out that is not
finite, one with strong ones.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from ...adtypes import AutoJax
from ...calls.captured import Watch, classes_of
from ...calls.operator_facts import OperatorFacts, facts_of
from ...errors import ADSelectError, TracedValueError, UnsupportedError
from ...face.array import Array
from ...places import place_text
from ...structure.flattening import Skeleton, flatten
from ...structure.leaves import Const
from ...values.kinds import isa
from .call import FlatCall, precise
from .callbacks import original_error
from .face import JaxArray
from .natives import placed
from .nesting import NO_VALUE, close, opened, texts_known, under_jit
from .prepared_inputs import (
    UnknownFixedError,
    contents_of,
    floating,
    is_integer,
    joined,
    key_of,
    needs_conversion,
    number,
)
from .prepared_results import NOT_FINITE, finisher, kind_of

__all__ = ["CompiledOperator", "compile_operator"]


RENEWALS = 4  # times that an operator is compiled anew because f captures other values; then it is called plainly
PROGRAMS = 32  # compiled at a time for one prepared operator, one for each set of fixed values
_CONFIG = jax.config
_AN_ARRAY = np.zeros(1)
_FORESEEN = (np.ndarray, np.floating, np.complexfloating, np.integer, float, complex, int)


def compile_operator(
    operator: Callable, f: Callable, adtype: AutoJax, args: tuple, options: dict
) -> CompiledOperator | None:
    """``operator(f, adtype, *args, **options)`` compiled, or None where it has to stay a plain call.

    Plain are operators that return functions, calls inside another derivative, and arguments of which compiling would
    freeze a part that may change from call to call.
    """
    facts = facts_of(operator)
    if facts is None or facts.returns_function or not adtype.jit:
        return None
    leaves, skeleton = flatten(args)
    if not leaves or any(isinstance(leaf, (Array, Tracer)) for leaf in leaves):
        return None
    try:
        key_of(skeleton)
    except UnknownFixedError:
        return None
    return CompiledOperator(operator, f, adtype, args, options)


class CompiledOperator:
    """An operator compiled for arguments of one structure; call it with their leaves and the arguments themselves."""

    def __init__(self, operator: Callable, f: Callable, adtype: AutoJax, args: tuple, options: dict):
        self.operator, self.f, self.adtype, self.options = operator, f, adtype, options
        self.name, self.facts = operator.__name__, facts_of(operator) or OperatorFacts()
        leaves, skeleton = flatten(args)
        flat = FlatCall(lambda lifted: ([], []), leaves, adtype.face)
        self.wide = flat.wide
        self.native = [kind == "native" for kind in flat.kinds]
        self.converters = [i for i, leaf in enumerate(leaves) if needs_conversion(leaf)]
        self.args = args
        self.has_fixed = key_of(skeleton) != ((), [])
        self.integers = [i for i in self.converters if is_integer(leaves[i])]
        self.arrays = [i for i, leaf in enumerate(leaves) if isa(leaf, np.ndarray) and leaf.ndim > 1]
        self.by_integer = False  # whether a program is compiled for each set of integers
        self.programs: dict[tuple, _Program] = {}
        self.python = all([type(leaf) in (float, int, complex) for leaf in leaves])
        self.reference = None
        if not self._foreseeable(leaves):
            # The eager result says of every leaf what it is to be: a Python number, NumPy, a jax array.
            self.reference = flatten((operator(f, adtype, *args, **options),))[0]
        self.gradients = self._gradients(leaves, skeleton)
        # Of the results, by path, which are to lie where an argument does.
        self.places = self._gradients([float(i) for i in range(len(leaves))], skeleton) if any(self.native) else {}
        self.watch = Watch({"f": f, **options}, classes_of(args))
        self.traced = False  # whether f has been called since it was last looked at
        self.renewed = 0  # times that something f captures was found changed
        self(leaves, args)

    def _is_another(self) -> bool:
        """What f captures is not what it was when it was compiled: compile anew, at most a few times."""
        changes = self.watch.changes()
        if changes:
            self.renewed += 1
            self.programs.clear()
            self.only, self.watch = None, self.watch.renewed()
        return self.renewed > RENEWALS

    def __call__(self, leaves: list, args: tuple, fixed: tuple = ()) -> Any:
        if not self.watch.holds() and self._is_another():
            return self.operator(self.f, self.adtype, *args, **self.options)
        if self.has_fixed:
            key, leaves, arrays = self._keyed(args)
            program = self.programs.get(key)
        else:
            key, program, arrays = (), self.only, None
        given = leaves
        ordered = [leaves[i].strides for i in self.arrays if not leaves[i].flags.c_contiguous]
        if ordered:  # f may ask for the order in memory
            key = (key, tuple([leaves[i].strides for i in self.arrays]))
            program = self.programs.get(key)
        if self.by_integer:
            key = (key, tuple([contents_of(leaves[i]) for i in self.integers]))
            program = self.programs.get(key)
        if self.converters:
            leaves = list(leaves)
            for i in self.converters:
                leaves[i] = number(leaves[i])
        if arrays:
            leaves = [*leaves, *arrays]
        if program is None:
            program = self._program(key, args, {i: given[i] for i in self.integers} if self.by_integer else {})
            if not (self.has_fixed or self.by_integer or ordered):
                self.only = program
        try:
            if self.wide and not _CONFIG.jax_enable_x64:
                with jax.enable_x64(True):
                    result = program(leaves)
            else:
                result = program(leaves)
        except Exception as error:
            original = original_error(error)
            if program.finish is None and self.integers and not self.by_integer:
                # f may have used an integer as an index or a size: those have to be known to be compiled.
                return self._by_integer(given, args)
            if original is None:
                raise
            raise original from None
        if self.traced:
            self.traced = False
            self.watch = self.watch.settled(lambda: self.operator(self.f, self.adtype, *args, **self.options))
        return result

    only: _Program | None = None

    # Every single operation of an eager run is compiled by itself, which takes several times as long as compiling the
    # whole: what the results are to be is told without one where that is possible.

    def _foreseeable(self, leaves: list) -> bool:
        """Whether the kinds of all results follow from those of the leaves."""
        if self.facts.gradient:
            return all([isinstance(leaf, _FORESEEN) and not isa(leaf, Fraction) for leaf in leaves])
        return self.python or all([isa(leaf, (np.ndarray, np.generic)) and np.ndim(leaf) for leaf in leaves])

    def _gradients(self, leaves: list, skeleton: Skeleton) -> dict[str, Any]:
        """Places in the result that are like a leaf of the arguments, by their paths."""
        if not self.facts.gradient:
            return {}
        result = skeleton.result(leaves)
        if self.facts.with_value:
            from ...calls.results import WithGradient

            result = WithGradient(None, result)
        found, places = flatten((result,))
        return dict(zip(places.paths, found, strict=True))

    def likeness(self, i: int, count: int, path: str, value: Any) -> Any:
        """Something of the kind that result i of count is in the eager call; None where that is not known."""
        if self.reference is not None:
            return self.reference[i] if len(self.reference) == count else None
        like = self.gradients.get(path)
        if like is not None:
            return float(like) if type(like) is int else like
        if value.ndim:
            return _AN_ARRAY
        return 0.0 if self.python and value.dtype in (np.float64, np.complex128) else np.float64(0.0)

    def _by_integer(self, leaves: list, args: tuple) -> Any:
        """The call, and those that follow, by programs that are compiled for one set of integers each."""
        self.by_integer, self.only = True, None
        self.programs.clear()
        try:
            return self(leaves, args)
        except Exception:
            self.by_integer = False
            raise

    def _program(self, key: tuple, args: tuple, integers: dict[int, Any]) -> _Program:
        program = _Program(self, args, integers)
        if len(self.programs) >= PROGRAMS:
            self.programs.clear()
        self.programs[key] = program
        return program

    def _keyed(self, args: tuple) -> tuple[tuple, list, list]:
        """What a program is compiled for, and all the values it takes: the leaves and the arrays of fixed parts."""
        leaves, skeleton = flatten(args)
        try:
            key, arrays = key_of(skeleton)
        except UnknownFixedError as unknown:
            raise UnsupportedError(
                f"an argument of a prepared {self.name} holds a {unknown}, which JAX cannot take as an argument nor "
                "compare with the one it compiled for; call the operator unprepared, or use AutoJax(jit=False)"
            ) from None
        return key, leaves, arrays


class _Program:
    """The compiled computation for one set of fixed values; made on first use, and once more with strong zeros."""

    def __init__(self, owner: CompiledOperator, args: tuple, integers: dict[int, Any]):
        self.owner, self.args, self.integers = owner, args, integers
        self.places: list[tuple[int, int]] = []  # which native result lies where which argument does
        self.finish: Any = None
        self.finish_unchecked: Any = None
        self.weak = jax.jit(lambda *values: self._trace(values, strong=False))
        self.strong = jax.jit(lambda *values: self._trace(values, strong=True))

    def __call__(self, values: list) -> Any:
        try:
            natives = self._placed(self.weak(*values), values)
        except NO_VALUE as error:
            raise UnsupportedError(
                under_jit("A Python branch, size or index", place_text(error)) + self._hint()
            ) from error
        except UnsupportedError as error:
            if not self.integers:
                raise
            raise UnsupportedError(f"{error}{self._hint()}") from error
        except (IndexError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, TracedValueError) and self.integers:
                error.add_note(f"adselect:{self._hint()}")
            if not self.integers or isinstance(error, ADSelectError):
                raise
            raise UnsupportedError(
                f"f cannot be compiled by JAX: {error} (at {place_text(error)}).{self._hint()}"
            ) from error
        result = self.finish(natives)
        if result is NOT_FINITE:
            result = self.finish_unchecked(self._placed(self.strong(*values), values))
        return result

    def _placed(self, natives: list, values: list) -> list:
        for i, k in self.places:
            natives[i] = placed(natives[i], values[k])
        return natives

    def _hint(self) -> str:
        if not self.integers:
            return ""
        return (
            " An integer argument that is differentiated counts as a float here: prepare with Const(n) where n is an "
            "index, a size or a setting, or with AutoJax(jit=False), where f runs eagerly."
        )

    def _trace(self, values: tuple, strong: bool) -> list:
        """Run the operator on traced values; gives its native results and notes what they are."""
        owner = self.owner
        owner.traced = True
        traces = opened(values, -1)
        try:
            args = self._arguments(values)
            with precise(strong), texts_known(bool(self.integers) or not owner.integers):
                result = owner.operator(_Inside(owner.f), owner.adtype, *args, **owner.options)
        finally:
            close(traces)
        leaves, skeleton = flatten((result,))
        natives, kinds, constants, self.places = [], [], [], []
        for i, (leaf, path) in enumerate(zip(leaves, skeleton.paths, strict=True)):
            value = leaf._primal if isinstance(leaf, JaxArray) else leaf
            if isinstance(value, jax.Array):
                reference = owner.likeness(i, len(leaves), path, value)
                natives.append(value)
                constants.append(None)
                kinds.append(kind_of(reference, leaf, value, any(owner.native)))
                if kinds[-1] == "native" and path in owner.places:
                    self.places.append((len(natives) - 1, int(owner.places[path])))
            else:
                constants.append(value)
                kinds.append("")
        self.finish = finisher(skeleton, constants, kinds, checked=True)
        self.finish_unchecked = finisher(skeleton, constants, kinds, checked=False)
        return natives

    def _arguments(self, values: tuple) -> list:
        """The operator's arguments around traced values."""
        leaves, skeleton = flatten(self.args)
        count = len(leaves)
        lifted: list = [v if n else JaxArray(v, 0) for v, n in zip(values[:count], self.owner.native, strict=True)]
        lifted = [x if type(x) is not JaxArray else x._given_as(leaf) for x, leaf in zip(lifted, leaves, strict=False)]
        for i, integer in self.integers.items():
            lifted[i]._integer = integer
        lifted = [floating(x) for x in lifted]
        remaining = iter(values[count:])
        for node, old in zip(skeleton.nodes, self.args if skeleton.nodes else (), strict=True):
            if not node.numeric:
                value = joined(node.value, remaining)
                node.value = value if isinstance(old, Const) or not isinstance(value, (Array, Tracer)) else _held(value)
        rebuilt = skeleton.rebuild(lifted)
        return [type(old)(new) if isinstance(old, Const) else new for old, new in zip(self.args, rebuilt, strict=True)]


class _Inside:
    """f as the traced operator calls it: with strong zeros in the derivatives that it takes itself.

    Only the operator's own results are looked at afterwards. Arguments that are held back from the operator (a mask is
    no leaf, and must not become one by being traced) are handed out.
    """

    def __init__(self, f: Callable):
        self.f = self.__wrapped__ = f

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args = tuple([a() if getattr(a, "__code__", None) is _HELD else a for a in args])
        with precise(True):
            return self.f(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.f, name)


def _held(value: Any) -> Callable[[], Any]:
    """A traced value as something that has no leaves: a function without a closure."""

    def handed_out(value: Any = value) -> Any:
        return value

    return handed_out


_HELD = _held(None).__code__  # type: ignore[attr-defined]
