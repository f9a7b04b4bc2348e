"""Algebra on a traced program: the same numbers from fewer operations and fewer passes over memory.

One walk over the instructions that are needed writes them anew. Values are carried as :class:`Term`, a number times
an instruction, so that factors and signs travel along products, sums and views to where they cost least (a factor
leaves a sum as one multiplication of numbers, two factors become one, a sign turns an addition into a subtraction).
Sums look at what they add: a total that is known already, a factor that does not vary, a product that one NumPy call
adds up. So the derivative of a shift that cancels (``x - max(x)`` in a stable softmax) is found to be zero.

Only what holds for every finite value is used: where an intermediate value is not finite, the result is not either, and
the caller then turns to the eager tape.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..rules.indexing import rolled, scatter_parts
from ..rules.linalg import contract
from ..rules.reductions import spread
from ..rules.shaping import join
from ..values.kinds import isa
from .instructions import CONSTANT, Contents, Instruction, Ref, key_of, refs_of, uses_of
from .program import Program

__all__ = ["Simplified", "as_written", "is_basic", "simplify"]

_REAL = (np.dtype(np.float64), np.dtype(np.float32))
# Beyond these a product of factors stays where the user wrote it: moved, it might overflow or vanish.
_SMALLEST, _LARGEST = 1e-20, 1e20
_EINSUM = 2048  # entries from which one call of einsum is faster than a product and its sum
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
# What a factor passes through: a value used by these only need not be multiplied out.
_LINEAR = frozenset(
    {
        *(np.multiply, np.negative, np.square, np.sum, np.matmul, np.reshape, np.transpose, np.broadcast_to),
        *(np.swapaxes, np.moveaxis, np.expand_dims, np.squeeze, np.ravel, contract),
    }
)
_VIEWS = frozenset(
    {np.reshape, np.transpose, np.broadcast_to, np.swapaxes, np.moveaxis, np.expand_dims, np.squeeze, np.ravel}
)


class Term(NamedTuple):
    """``factor * base``; base is a :class:`Ref`, an array, or None for the number itself, everywhere."""

    factor: float
    base: Any


def same(a: Any, b: Any) -> bool:
    """Whether two operands are one: the same instruction, the same array, or equal numbers.

    Kinds are looked at first: an operand may be an array, and ``==`` on arrays is a question to every entry.
    """
    if a is b:
        return True
    return type(a) is type(b) and type(a) in (Ref, float, int) and a == b


class Simplified(NamedTuple):
    """A program to be written: instructions, which of them are inputs, guards as (instruction, value), outputs."""

    instructions: list[Instruction]
    inputs: list[int]
    guards: list[tuple[int, Any]]
    outputs: list[Any]


def simplify(program: Program, outputs: list) -> Simplified:
    """The program that computes outputs (Refs and constants) with fewer instructions; guards are kept."""
    return _Algebra(program, outputs).run()


def as_written(program: Program, outputs: list) -> Simplified:
    """The program as it is."""
    guards = [(number, value) for _, number, value in program.guards]
    return Simplified(program.instructions, program.inputs, guards, outputs)


def _key(value: Any) -> Any:
    """What tells a guard's value from others; a number by its digits."""
    return value if type(value) is Contents else repr(value)


class _Algebra:
    def __init__(self, program: Program, outputs: list):
        self.program, self.outputs = program, outputs
        self.old = program.instructions
        self.new: list[Instruction] = []
        self.known: dict[Any, Ref] = {}
        self.terms: dict[int, Term] = {}  # of old instructions
        self.places: dict[int, Any] = {}  # old instruction -> its value as an argument, where it is not a Term
        self.users: dict[int, list[int]] = {}
        self.origin: dict[int, int] = {}  # new instruction -> the old one it was written for
        self.totals: dict[tuple, tuple[Ref, tuple]] = {}  # (base, axes) -> the sum, and its shape without the axes
        self.line = ""
        self.number = -1

    def run(self) -> Simplified:
        needed = {r.number for r in self.outputs if type(r) is Ref}
        needed.update(number for _, number, _ in self.program.guards)
        kept = set(needed)
        for i in reversed(self.old):
            if i.number in needed:
                for n in uses_of(i):
                    needed.add(n)
                    self.users.setdefault(n, []).append(i.number)
        for n in kept:
            self.users.setdefault(n, []).append(-1)  # leaves the program
        inputs = []
        for i in self.old:
            self.line, self.number = i.line, i.number
            if i.function is None:
                ref = self._emit(None, (), {}, i.shape, i.dtype, i.scalar, shared=False)
                inputs.append(ref.number)
                self._remember(i, ref)
            elif i.number in needed:
                self._remember(i, self._rewrite(i))
        outputs = [self.spec(r) for r in self.outputs]
        guards: list[tuple[int, Any]] = []
        # Every look counts; the same look twice is one.
        for number, value in {(n, type(v), _key(v)): (n, v) for _, n, v in self.program.guards}.values():
            place = self.spec(Ref(number))
            if type(place) is Ref:
                guards.append((place.number, value))
        return Simplified(self.new, inputs, guards, outputs)

    def _remember(self, i: Instruction, value: Any) -> None:
        if type(value) is Term:
            self.terms[i.number] = self._settled(i, value)
        elif type(value) is Ref and self._is_real(i.dtype) and self.new[value.number].dtype == i.dtype:
            self.terms[i.number] = Term(1.0, value)
        else:
            self.places[i.number] = value

    def _settled(self, i: Instruction, term: Term) -> Term:
        """The term with its factor multiplied out where that costs less now than at every user."""
        c, base = term
        if base is None or abs(c) == 1.0:
            return term
        cost, additions = 0.0, 0
        users = self.users.get(i.number, ())
        for user in users:
            if user == -1:
                return Term(1.0, self.whole(term, i.shape, i.dtype, i.scalar))
            if self.old[user].function in (np.add, np.subtract):
                additions += 1
            else:
                cost += self._carrying(user, i.number)
        if cost == math.inf:
            return Term(1.0, self.whole(term, i.shape, i.dtype, i.scalar))
        if cost > math.prod(i.shape) or (additions and len(users) > 1):
            return Term(math.copysign(1.0, c), self.whole(Term(abs(c), base), i.shape, i.dtype, i.scalar))
        return term

    def _carrying(self, user: int, number: int, depth: int = 4) -> float:
        """How many multiplications it takes to carry a factor of instruction number through one of its users."""
        u = self.old[user]
        if not self._is_linear(u, number):
            return math.inf
        if u.function is np.multiply and any(type(a) in (float, int, np.float64) for a in u.args):
            return 0.0  # two numbers become one
        here = math.prod(u.shape)
        users = self.users.get(user, ())
        if depth == 0 or -1 in users or here <= 1:
            return here
        return min(here, sum([self._carrying(v, user, depth - 1) for v in users]))

    @staticmethod
    def _is_real(dtype: Any) -> bool:
        return dtype in _REAL

    # -- values --------------------------------------------------------------------------------------------------

    def term(self, spec: Any, dtype: Any) -> Term | None:
        """An old argument as a Term of this dtype; None where it is something else (an int array, a mask)."""
        kind = type(spec)
        if kind is Ref:
            term = self.terms.get(spec.number)
            if term is None or (term.base is not None and self.dtype(term.base) != dtype):
                return None
            return term
        if kind is float or kind is int or (kind is np.float64 and dtype == np.float64):
            return Term(float(spec), None) if math.isfinite(spec) else None
        if kind is np.ndarray and spec.dtype == dtype:
            return Term(1.0, spec)
        return None

    def dtype(self, base: Any) -> Any:
        return self.new[base.number].dtype if type(base) is Ref else base.dtype

    def shape(self, base: Any) -> tuple:
        return self.new[base.number].shape if type(base) is Ref else np.shape(base)

    def scalar(self, base: Any) -> bool:
        return self.new[base.number].scalar if type(base) is Ref else not isa(base, np.ndarray)

    def maker(self, base: Any, *functions: Any) -> Instruction | None:
        """The new instruction behind base if it is a call of one of the functions on values of base's own dtype."""
        if type(base) is Ref:
            i = self.new[base.number]
            if i.function in functions and all(
                self.dtype(a) == i.dtype for a in i.args if type(a) is Ref or isa(a, np.ndarray)
            ):
                return i
        return None

    def alone(self, base: Any) -> bool:
        """Whether nobody but the instruction being written needs base (which was written for one user)."""
        if type(base) is not Ref:
            return False
        users = self.users.get(self.origin.get(base.number, -1), ())
        return len({self._result(u) for u in users}) == 1 and -1 not in users

    def _result(self, user: int) -> Any:
        """What an old instruction has become; two that have become one count once."""
        term = self.terms.get(user)
        return user if term is None or type(term.base) is not Ref else term.base

    def passes_on(self) -> bool:
        """Whether a factor of the instruction being rewritten goes on to somewhere else."""
        for user in self.users.get(self.number, ()):
            if user == -1:
                return False
            i = self.old[user]
            if not self._is_linear(i, self.number):
                return False
        return True

    @staticmethod
    def _is_linear(user: Instruction, number: int) -> bool:
        """Whether a factor of an instruction passes through one of its users."""
        if user.function is np.divide:
            return same(user.args[0], Ref(number))
        return user.function in _LINEAR or (
            user.function is np.power and type(user.args[1]) in (int, float) and user.args[1] in (1, 2)
        )

    def spec(self, spec: Any) -> Any:
        """An old argument as a new one, factors multiplied out."""
        kind = type(spec)
        if kind is Ref:
            term = self.terms.get(spec.number)
            if term is None:
                return self.places[spec.number]
            i = self.old[spec.number]
            return self.whole(term, i.shape, i.dtype, i.scalar)
        if kind is tuple or kind is list:
            return kind([self.spec(s) for s in spec])
        if kind is slice:
            return slice(self.spec(spec.start), self.spec(spec.stop), self.spec(spec.step))
        return spec

    def whole(self, term: Term, shape: tuple, dtype: Any, scalar: bool) -> Any:
        """A Term as an argument: a number, or an instruction that multiplies it out."""
        c, base = term
        if base is None:
            return c if scalar or not shape else np.broadcast_to(np.array(c, dtype), shape)
        if self.shape(base) != shape:
            base = self._emit(np.broadcast_to, (base, shape), {}, shape, dtype, False)
        if c == 1.0:
            return base
        scaled = self.maker(base, np.multiply)
        if scaled is not None and type(scaled.args[1]) is float and abs(c * scaled.args[1]) == 1.0:
            return self.whole(Term(c * scaled.args[1], scaled.args[0]), shape, dtype, scalar)
        like = (self.shape(base), dtype, self.scalar(base))
        quotient = self.maker(base, np.divide)
        if quotient is not None and type(quotient.args[0]) is float and quotient.args[0] == 1.0:
            return self._emit(np.divide, (c, quotient.args[1]), {}, *like)
        if c == -1.0:
            difference = self.maker(base, np.subtract)
            if difference is not None:
                return self._emit(np.subtract, tuple(difference.args)[::-1], {}, *like)
            return self._emit(np.negative, (base,), {}, *like)
        return self._emit(np.multiply, (base, c), {}, *like)

    def _emit(
        self, function: Any, args: tuple, kwargs: dict, shape: tuple, dtype: Any, scalar: bool, shared: bool = True
    ) -> Ref:
        key = key_of(function, args, kwargs) if shared else None
        if key is not None:
            ref = self.known.get(key)
            if ref is not None:
                return ref
        number = len(self.new)
        i = Instruction.__new__(Instruction)
        i.number, i.function, i.args, i.kwargs, i.line = number, function, args, kwargs, self.line
        i.shape, i.dtype, i.scalar = shape, dtype, scalar
        self.new.append(i)
        self.origin[number] = self.number
        ref = Ref(number)
        if key is not None:
            self.known[key] = ref
        return ref

    # -- rules ---------------------------------------------------------------------------------------------------

    def _rewrite(self, i: Instruction) -> Any:
        if i.function is CONSTANT:
            value = i.args[0]
            if type(value) in (float, int, np.float64, np.float32) and math.isfinite(value):
                return Term(float(value), None)
            return Term(1.0, value) if type(value) is np.ndarray and self._is_real(value.dtype) else value
        if self._is_real(i.dtype):
            rule = _RULES.get(i.function)
            if rule is not None:
                value = rule(self, i)
                if value is not None:
                    return value
        return self.plain(i)

    def plain(self, i: Instruction) -> Ref:
        """The instruction as it is."""
        kwargs = {k: self.spec(v) for k, v in i.kwargs.items()} if i.kwargs else i.kwargs
        return self._emit(i.function, self.spec(tuple(i.args)), kwargs, i.shape, i.dtype, i.scalar)

    def like(self, i: Instruction, function: Any, *args: Any) -> Ref:
        """A call with a result like that of i."""
        return self._emit(function, args, {}, i.shape, i.dtype, i.scalar)

    def _fits(self, term: Term, i: Instruction) -> Term | None:
        """A term as the result of i: of its shape, and a number where i gives one."""
        if not _SMALLEST <= abs(term.factor) <= _LARGEST:
            return None
        base = term.base
        if base is None or (self.shape(base) == i.shape and self.scalar(base) == i.scalar):
            return term
        if self.shape(base) == i.shape or not i.shape:
            return None  # a 0-d array where NumPy gives a number
        return Term(term.factor, self._emit(np.broadcast_to, (base, i.shape), {}, i.shape, i.dtype, False))

    def multiply(self, i: Instruction) -> Any:
        a, b = self.term(i.args[0], i.dtype), self.term(i.args[1], i.dtype)
        if a is None or b is None:
            return None
        c = a.factor * b.factor
        if not _SMALLEST <= abs(c) <= _LARGEST:
            return None
        if a.base is None or b.base is None:
            return self._fits(Term(c, b.base if a.base is None else a.base), i)
        if type(a.base) is Ref and same(a.base, b.base):
            return Term(c, self.like(i, np.square, a.base))
        return Term(c, self.like(i, np.multiply, *self._ordered(a.base, b.base)))

    @staticmethod
    def _ordered(a: Any, b: Any) -> tuple:
        """Two factors in one order, so that a·b and b·a are the same instruction."""
        return (b, a) if type(a) is Ref and type(b) is Ref and b.number < a.number else (a, b)

    def square(self, i: Instruction) -> Any:
        a = self.term(i.args[0], i.dtype)
        if a is None or a.base is None or not _SMALLEST <= a.factor**2 <= _LARGEST:
            return None
        return Term(a.factor**2, self.like(i, np.square, a.base))

    def power(self, i: Instruction) -> Any:
        p = i.args[1]
        if type(p) not in (int, float) or p not in (1, 2):
            return None
        a = self.term(i.args[0], i.dtype)
        return a if a is None or p == 1 else self.square(i)

    def negative(self, i: Instruction) -> Any:
        a = self.term(i.args[0], i.dtype)
        return None if a is None else Term(-a.factor, a.base)

    def divide(self, i: Instruction) -> Any:
        a, b = self.term(i.args[0], i.dtype), self.term(i.args[1], i.dtype)
        if a is None or b is None or b.factor == 0 or a.factor == 0:
            return None
        c = a.factor / b.factor
        if b.base is None:
            return self._fits(Term(c, a.base), i)
        if not _SMALLEST <= abs(c) <= _LARGEST:
            return None
        if a.base is None:
            kind = (self.shape(b.base), i.dtype, self.scalar(b.base) or not self.shape(b.base))
            return self._fits(Term(c, self._emit(np.divide, (1.0, b.base), {}, *kind)), i)
        return Term(c, self.like(i, np.divide, a.base, b.base))

    def add(self, i: Instruction) -> Any:
        a, b = self.term(i.args[0], i.dtype), self.term(i.args[1], i.dtype)
        if a is None or b is None:
            return None
        if i.function is np.subtract:
            b = Term(-b.factor, b.base)
        if a.base is None and b.base is None:
            return Term(a.factor + b.factor, None)
        if a.factor == 0 and a.base is None:
            return self._fits(b, i)
        if b.factor == 0 and b.base is None:
            return self._fits(a, i)
        if a.base is None or b.base is None:
            number, other = (a.factor, b) if a.base is None else (b.factor, a)
            return self._plus_number(i, other, number)
        if type(a.base) is Ref and same(a.base, b.base) and a.factor + b.factor != 0:
            return self._fits(Term(a.factor + b.factor, a.base), i)
        return self._collected(i, a, b) or self._factored(i, a, b) or self._plus(i, a, b)

    def _factored(self, i: Instruction, a: Term, b: Term, lone: bool = False) -> Any:
        """c g + d g h as g (c + d h), where g h is needed for this only: one multiplication of arrays less."""
        for x, y in ((a, b), (b, a)):
            if abs(x.factor) == 1.0 or not self._room(x.factor, y.factor) or not i.shape:
                continue
            if not (lone or self.alone(y.base)) or self._comes_again(y.base):
                continue
            rest = self._without(y.base, x.base, i)
            if rest is not None:
                kind = self._kind(rest)
                d = self.whole(Term(abs(y.factor), rest), *kind)
                c = math.copysign(x.factor, x.factor * y.factor)
                plus = (np.add, (d, c)) if c > 0 else (np.subtract, (d, -c))
                inner = self._emit(*plus, {}, *kind)
                product = self.like(i, np.multiply, *self._ordered(x.base, inner))
                return Term(math.copysign(1.0, y.factor), product)
        return None

    def _comes_again(self, base: Any) -> bool:
        """Whether the sum being rewritten goes into another sum with base, which then collects it."""
        for user in self.users.get(self.number, ()):
            if user != -1 and self.old[user].function in (np.add, np.subtract):
                for spec in self.old[user].args:
                    if type(spec) is Ref and self.old[spec.number].function is np.negative:
                        spec = self.old[spec.number].args[0]
                    term = self.terms.get(spec.number) if type(spec) is Ref else None
                    if term is not None and type(base) is Ref and same(term.base, base):
                        return True
        return False

    def _without(self, base: Any, g: Any, i: Instruction) -> Any:
        """The other factors of a product of arrays of one shape; None where g is not a factor."""
        product = self.maker(base, np.multiply)
        if product is None or type(g) is not Ref or any(self.shape(s) != i.shape for s in (g, *product.args)):
            return None
        x, y = product.args
        if same(g, y):
            return x
        if same(g, x):
            return y
        for one, other in ((x, y), (y, x)):
            rest = self._without(one, g, i) if self.alone(one) else None
            if rest is not None:
                return self.like(i, np.multiply, *self._ordered(rest, other))
        return None

    def _collected(self, i: Instruction, a: Term, b: Term) -> Any:
        """(p ± q) ± q as p ± 2q, where the inner sum is needed for this only."""
        for x, y in ((a, b), (b, a)):
            inner = self.maker(x.base, np.add, np.subtract)
            if inner is None or inner.shape != i.shape or not self.alone(x.base):
                continue
            p, q = inner.args
            sign = 1.0 if inner.function is np.add else -1.0
            for kept, twice, first, second in ((p, q, 1.0, sign), (q, p, sign, 1.0)):
                if type(twice) is not Ref or not same(twice, y.base):
                    continue
                more = Term(x.factor * second + y.factor, twice)
                if not more.factor:
                    return None
                if type(kept) is float:
                    return self._plus_number(i, more, x.factor * first * kept)
                users = self.users.get(self.origin.get(twice.number, -1), ())
                both = {i.number, self.origin[x.base.number]}
                rest = self._unscaled(Term(x.factor * first, kept))
                return self._factored(i, rest, more, lone=both.issuperset(users)) or self._plus(i, rest, more)
        return None

    def _unscaled(self, term: Term) -> Term:
        """A term with a factor that was multiplied out taken out again."""
        scaled = self.maker(term.base, np.multiply)
        if scaled is None or type(scaled.args[1]) is not float:
            return term
        return Term(term.factor * scaled.args[1], scaled.args[0])

    def _plus_number(self, i: Instruction, other: Term, number: float) -> Any:
        c, base = other
        if not self._room(c, number) or self.shape(base) != i.shape:
            return None
        if abs(c) != 1.0 and self.passes_on():
            return Term(c, self._offset(i, base, number / c))
        if c < 0:
            return self.like(i, np.subtract, number, self._scaled(i, base, -c))
        return self._offset(i, self._scaled(i, base, c), number)

    def _offset(self, i: Instruction, base: Any, number: float) -> Ref:
        return self.like(i, np.add, base, number) if number > 0 else self.like(i, np.subtract, base, -number)

    @staticmethod
    def _room(*factors: float) -> bool:
        return all(_SMALLEST <= abs(c) <= _LARGEST for c in factors)

    def _scaled(self, i: Instruction, base: Any, c: float) -> Any:
        return self.whole(Term(c, base), self.shape(base), i.dtype, self.scalar(base))

    def _plus(self, i: Instruction, a: Term, b: Term) -> Any:
        if not self._room(a.factor, b.factor):
            return None
        if abs(a.factor) == abs(b.factor) or (abs(a.factor) != 1.0 != abs(b.factor) and self.passes_on()):
            if a.factor < 0 < b.factor:
                a, b = b, a
            c = a.factor
            a, b = Term(1.0, a.base), Term(b.factor / c, b.base)
        else:
            c = 1.0
            if a.factor < 0 < b.factor:
                a, b = b, a
            elif a.factor < 0:
                c, a, b = -1.0, Term(-a.factor, a.base), Term(-b.factor, b.base)
        left, right = self._scaled(i, a.base, a.factor), self._scaled(i, b.base, abs(b.factor))
        if b.factor < 0:
            return Term(c, self.like(i, np.subtract, left, right))
        return Term(c, self.like(i, np.add, *self._ordered(left, right)))

    # -- views ---------------------------------------------------------------------------------------------------

    def view(self, i: Instruction) -> Any:
        a = self.term(i.args[0], i.dtype)
        if a is None or (i.kwargs and not (i.function is np.reshape and set(i.kwargs) <= {"copy"})):
            return None
        if a.base is None:
            return a
        rest = tuple(i.args[1:])
        if any(True for _ in refs_of(rest)):
            return None
        if i.function is np.reshape:
            return Term(a.factor, self.reshaped(a.base, i.shape))
        if i.function is np.broadcast_to and self.shape(a.base) == i.shape:
            return a
        if i.function is np.transpose:
            return Term(a.factor, self._transposed(i, a.base, rest[0] if rest else None))
        return Term(a.factor, self._emit(i.function, (a.base, *rest), {}, i.shape, i.dtype, False))

    def reshaped(self, base: Any, shape: tuple) -> Any:
        """A base in another shape."""
        if self.shape(base) == shape and not self.scalar(base):
            return base
        inner = self.maker(base, np.reshape)
        if inner is not None:
            return self.reshaped(inner.args[0], shape)
        return self._emit(np.reshape, (base, shape), {}, shape, self.dtype(base), False)

    def _transposed(self, i: Instruction, base: Any, axes: Any) -> Any:
        n = len(i.shape)
        order = tuple(range(n))[::-1] if axes is None else tuple(int(a) % n for a in axes)
        inner = self.maker(base, np.transpose)
        if inner is not None:
            base, first = inner.args
            order = tuple(first[k] for k in order)
        if order == tuple(range(n)):
            return base
        return self._emit(np.transpose, (base, order), {}, i.shape, i.dtype, False)

    def getitem(self, i: Instruction) -> Any:
        a, index = self.term(i.args[0], i.dtype), i.args[1]
        if a is None or any(True for _ in refs_of(index)):
            return None
        if not is_basic(index):
            return self._runs_taken(i, a, index)
        if a.base is None:
            return a
        if i.shape and _only_reshapes(index, self.shape(a.base)):
            return Term(a.factor, self.reshaped(a.base, i.shape))
        return Term(a.factor, self._emit(operator.getitem, (a.base, index), {}, i.shape, i.dtype, i.scalar))

    def _runs_taken(self, i: Instruction, a: Term, index: Any) -> Any:
        """Elements by their numbers where those are a few runs: slices put together."""
        runs = _runs(index, self.shape(a.base)) if a.base is not None else None
        if runs is None:
            return None
        pieces = tuple(
            self._emit(operator.getitem, (a.base, run), {}, (run.stop - run.start,), i.dtype, False) for run in runs
        )
        if len(pieces) == 1:
            return Term(a.factor, pieces[0])
        return Term(a.factor, self._emit(join, pieces, {"axis": 0}, i.shape, i.dtype, False))

    def rolled(self, i: Instruction) -> Any:
        """Two slices put together."""
        a, (shift, axis) = self.term(i.args[0], i.dtype), i.args[1:]
        if a is None or a.base is None:
            return a
        n, pieces = i.shape[axis], []
        for part, m in ((slice(n - shift, None), shift), (slice(None, n - shift), n - shift)):
            index = (*(slice(None),) * axis, part) if axis else part
            shape = (*i.shape[:axis], m, *i.shape[axis + 1 :])
            pieces.append(self._emit(operator.getitem, (a.base, index), {}, shape, i.dtype, False))
        return Term(a.factor, self._emit(join, tuple(pieces), {"axis": axis}, i.shape, i.dtype, False))

    def scatter(self, i: Instruction) -> Any:
        indices, shape = i.kwargs["indices"], i.kwargs["shape"]
        if i.shape != tuple(shape) or not shape or any(True for _ in refs_of(indices)):
            return None
        parts: list[tuple[Term, Any]] = []
        for spec, index in zip(i.args, indices, strict=True):
            term = self.term(spec, i.dtype)
            if term is None:
                return None
            if term.base is None and term.factor == 0:
                continue
            parts.extend(self._in_runs(term, index, shape) or self._unnested(term, index))
        if not parts:
            return Term(0.0, None)
        if len(parts) == 1 and _only_reshapes(parts[0][1], shape):
            (c, base), _ = parts[0]
            if base is None:
                return Term(c, None)
            if math.prod(self.shape(base)) == math.prod(shape):
                return Term(c, self.reshaped(base, i.shape))
        factors = {term.factor for term, _ in parts if term.base is not None}
        c = factors.pop() if len(factors) == 1 and all(term.base is not None for term, _ in parts) else 1.0
        specs = tuple(
            [
                term.factor if term.base is None else self._scaled(i, term.base, 1.0 if c != 1.0 else term.factor)
                for term, _ in parts
            ]
        )
        kwargs = {**i.kwargs, "indices": tuple(index for _, index in parts)}
        return Term(c, self._emit(scatter_parts, specs, kwargs, i.shape, i.dtype, False))

    def _in_runs(self, term: Term, index: Any, shape: tuple) -> list[tuple[Term, Any]] | None:
        """A part that goes to a few runs of elements: a slice for each."""
        runs = _runs(index, shape)
        if runs is None or term.base is None or self.shape(term.base) != index.shape:
            return None
        found, start = [], 0
        for run in runs:
            stop = start + run.stop - run.start
            piece = self._emit(
                operator.getitem,
                (term.base, slice(start, stop)),
                {},
                (stop - start,),
                self.dtype(term.base),
                False,
            )
            found.append((Term(term.factor, piece), run))
            start = stop
        return found

    def _unnested(self, term: Term, index: Any) -> list[tuple[Term, Any]]:
        """A part that was scattered itself, into one row: its parts straight into that row."""
        inner = self.maker(term.base, scatter_parts)
        row = index if type(index) is tuple else (index,)
        if inner is None or not self.alone(term.base) or not all(type(k) is int for k in row):
            return [(term, index)]
        found = []
        for spec, k in zip(inner.args, inner.kwargs["indices"], strict=True):
            if not is_basic(k):
                return [(term, index)]
            part = Term(term.factor * spec, None) if isa(spec, float) else Term(term.factor, spec)
            found.append((part, (*row, *(k if type(k) is tuple else (k,)))))
        return found

    # -- products ------------------------------------------------------------------------------------------------

    def matmul(self, i: Instruction) -> Any:
        a, b = self.term(i.args[0], i.dtype), self.term(i.args[1], i.dtype)
        if i.kwargs or a is None or b is None or a.base is None or b.base is None:
            return None
        c = a.factor * b.factor
        return Term(c, self.like(i, np.matmul, a.base, b.base)) if self._room(c) else None

    def contraction(self, i: Instruction) -> Any:
        terms = [self.term(a, i.dtype) for a in i.args]
        if any(t is None or t.base is None for t in terms):
            return None
        c = math.prod([t.factor for t in terms if t is not None])
        if not self._room(c):
            return None
        bases = tuple([t.base for t in terms if t is not None])
        return Term(c, self._emit(contract, bases, i.kwargs, i.shape, i.dtype, i.scalar))

    def extremum_share(self, i: Instruction) -> Any:
        g = self.term(i.args[0], i.dtype)
        return g if g is not None and g.base is None and g.factor == 0 else None

    # -- sums ----------------------------------------------------------------------------------------------------

    def sum(self, i: Instruction) -> Any:
        if len(i.args) > 2 or not set(i.kwargs) <= {"axis", "keepdims"}:
            return None
        a = self.term(i.args[0], i.dtype)
        axis = i.kwargs.get("axis", i.args[1] if len(i.args) > 1 else None)
        if a is None or type(axis) not in (type(None), int, tuple):
            return None
        shape = self.old[i.args[0].number].shape if type(i.args[0]) is Ref else np.shape(i.args[0])
        axes = tuple(range(len(shape))) if axis is None else axis if type(axis) is tuple else (axis,)
        axes = tuple(sorted(k % len(shape) for k in axes)) if shape else ()
        if not axes:
            return None
        if a.base is None:
            return Term(a.factor * math.prod(shape[k] for k in axes), None)
        if self.shape(a.base) != shape:
            return None
        total = self.total(a.base, axes, lone=self._is_lone(i.args[0]))
        if total is None:
            keepdims = bool(i.kwargs.get("keepdims", False))
            ref = self._summed(a.base, axes, keepdims)
            return Term(a.factor, ref if self.shape(ref) == i.shape else self.reshaped(ref, i.shape))
        total = Term(a.factor * total.factor, total.base)
        if total.base is None:
            return total
        if self.shape(total.base) != i.shape:
            total = Term(total.factor, self.reshaped(total.base, i.shape))
        return total if self.scalar(total.base) == i.scalar else None

    def _is_lone(self, spec: Any) -> bool:
        """Whether an old argument is used by the instruction being rewritten only."""
        return type(spec) is Ref and len(self.users.get(spec.number, ())) == 1

    def _summed(self, base: Any, axes: tuple[int, ...], keepdims: bool) -> Ref:
        """The sum by NumPy; the same sum is taken once, whatever shape it is wanted in."""
        shape = self.shape(base)
        rest = tuple(n for k, n in enumerate(shape) if k not in axes)
        key = (base if type(base) is Ref else id(base), axes)
        known = self.totals.get(key)
        if known is not None:
            return known[0]
        every = len(axes) == len(shape)
        options: dict[str, Any] = {} if every and not keepdims else {"axis": axes[0] if len(axes) == 1 else axes}
        if keepdims:
            options["keepdims"] = True
        if every and keepdims:
            options["axis"] = None
        result = tuple(1 if k in axes else n for k, n in enumerate(shape)) if keepdims else rest
        ref = self._emit(np.sum, (base,), options, result, self.dtype(base), not result)
        self.totals[key] = (ref, rest)
        return ref

    def total(self, base: Any, axes: tuple, lone: bool) -> Term | None:
        """The sum of base over axes where it is known or cheaper than adding up; lone: base is needed for it only.

        Its shape is that without the axes, or with 1 in their place.
        """
        known = self.totals.get((base if type(base) is Ref else id(base), axes))
        if known is not None:
            return Term(1.0, known[0])
        i = self.maker(base, np.multiply, np.add, np.subtract, np.square, np.matmul)
        if i is None:
            return None
        if i.function is np.multiply:
            return self._total_of_product(i, axes, lone)
        if i.function in (np.add, np.subtract):
            return self._total_of_sum(i, axes, lone)
        if lone and i.function is np.square and len(axes) < len(i.shape) and math.prod(i.shape) >= _EINSUM:
            return self._einsum(i, i.args[0], i.args[0], axes)
        if lone and i.function is np.matmul:
            return self._total_of_matmul(i, axes)
        return None

    def _total_of_matmul(self, i: Instruction, axes: tuple) -> Term | None:
        """The rows of a product add up to the product of the added rows."""
        a, b = i.args
        if len(self.shape(a)) < 2 or len(self.shape(b)) < 2 or axes != (len(i.shape) - 2,):
            return None
        row_axis = len(self.shape(a)) - 2
        rows = self.total(a, (row_axis,), False) or Term(1.0, self._summed(a, (row_axis,), True))
        if rows.base is None:
            return None
        kept = tuple(1 if k == row_axis else n for k, n in enumerate(self.shape(a)))
        shape = tuple(1 if k in axes else n for k, n in enumerate(i.shape))
        row = self.reshaped(rows.base, kept)
        return Term(rows.factor, self._emit(np.matmul, (row, b), {}, shape, i.dtype, False))

    def _total_of_sum(self, i: Instruction, axes: tuple, lone: bool) -> Term | None:
        p, q = i.args
        if any(isa(s, float) or self.shape(s) != i.shape for s in (p, q)):
            return None
        if lone and len(axes) == len(i.shape) and i.function is np.add:
            squares = self._total_of_squares(Ref(i.number))
            if squares is not None:
                return squares
        lone_p, lone_q = lone and self.alone(p), lone and self.alone(q)
        a = self._total_scaled(p, axes, lone_p)
        b = self._total_scaled(q, axes, lone_q) if a is not None else None
        if a is None or b is None:
            return None
        if i.function is np.subtract:
            b = Term(-b.factor, b.base)
        if a.base is None and b.base is None:
            return Term(a.factor + b.factor, None)
        if a.base is None or b.base is None:
            return None
        shape = tuple(n for k, n in enumerate(i.shape) if k not in axes)
        left, right = (self._flat(t.base, shape) for t in (a, b))
        # Two different totals are not added: where the summands cancel entry by entry, their totals have lost the rest.
        return Term(a.factor + b.factor, left if a.factor + b.factor else None) if same(left, right) else None

    def _flat(self, base: Any, shape: tuple) -> Any:
        return base if self.shape(base) == shape else self.reshaped(base, shape)

    def _total_scaled(self, base: Any, axes: tuple, lone: bool) -> Term | None:
        """The total of a summand: known, or cheap, also where it was multiplied out."""
        known = self.total(base, axes, lone)
        if known is not None:
            return known
        negated = self.maker(base, np.negative)
        if negated is not None:
            inner = self._total_scaled(negated.args[0], axes, False)
            return None if inner is None else Term(-inner.factor, inner.base)
        scaled = self.maker(base, np.multiply)
        if scaled is not None and type(scaled.args[1]) is float:
            inner = self._total_scaled(scaled.args[0], axes, False)
            return None if inner is None else Term(inner.factor * scaled.args[1], inner.base)
        return None

    def _total_of_squares(self, base: Any) -> Term | None:
        """Σ (c a² + d b² + …) with positive factors, as products of vectors: nothing cancels, nothing is stored."""
        found = self._squares(base, 1.0)
        if found is None or len(found) > 4:
            return None
        total: Any = None
        for c, x in found:
            n = self._emit(np.sum, (self._emit(np.square, (x,), {}, *self._kind(x)),), {}, (), self.dtype(x), True)
            part = self.whole(Term(c, n), (), self.dtype(x), True)
            total = part if total is None else self._emit(np.add, (total, part), {}, (), self.dtype(x), True)
        return Term(1.0, total)

    def _kind(self, base: Any) -> tuple:
        return self.shape(base), self.dtype(base), self.scalar(base)

    def _squares(self, base: Any, c: float) -> list[tuple[float, Any]] | None:
        i = self.maker(base, np.square, np.multiply, np.add)
        if i is None:
            return None
        if i.function is np.square:
            return [(c, i.args[0])]
        if i.function is np.multiply and type(i.args[1]) is float and i.args[1] > 0:
            return self._squares(i.args[0], c * i.args[1])
        if i.function is np.add and all(type(s) is Ref and self.shape(s) == i.shape for s in i.args):
            p, q = (self._squares(s, c) for s in i.args)
            return None if p is None or q is None else p + q
        return None

    def _total_of_product(self, i: Instruction, axes: tuple, lone: bool) -> Term | None:
        for r, x in (i.args, tuple(i.args)[::-1]):
            if type(x) is float or self.shape(x) != i.shape or not self._is_constant_along(r, i.shape, axes):
                continue
            inner = self._total_scaled(x, axes, lone and self.alone(x))
            shape = tuple(n for k, n in enumerate(i.shape) if k not in axes)
            if inner is None:
                if not lone or math.prod(i.shape) < 8:
                    continue
                inner = Term(1.0, self._summed(x, axes, False))
            if inner.base is None:
                continue
            t = self._flat(inner.base, shape)
            if type(r) is float:
                return Term(inner.factor * r, t)
            quotient = self.maker(self._bare(r), np.divide)
            if quotient is not None and same(self._bare(quotient.args[1]), self._bare(t)):
                n = quotient.args[0]
                if type(n) is float:
                    return Term(inner.factor * n, None)
                if math.prod(self.shape(n)) == math.prod(shape):
                    return Term(inner.factor, n)
            if not lone:
                continue
            lead = len(i.shape) - len(self.shape(r))
            own = tuple(n for k, n in enumerate(self.shape(r), lead) if k not in axes)
            r = r if self.scalar(r) else self._flat(r, own)
            return Term(inner.factor, self._emit(np.multiply, self._ordered(r, t), {}, shape, i.dtype, not shape))
        a, b = i.args
        if lone and type(a) is Ref and len(axes) < len(i.shape) and math.prod(i.shape) >= _EINSUM:
            return self._einsum(i, a, b, axes)
        return None

    def _bare(self, base: Any) -> Any:
        """base before it was reshaped."""
        inner = self.maker(base, np.reshape)
        return base if inner is None else self._bare(inner.args[0])

    def _is_constant_along(self, r: Any, shape: tuple, axes: tuple) -> bool:
        if isa(r, float):
            return True
        own = self.shape(r)
        lead = len(shape) - len(own)
        return all(k < lead or own[k - lead] == 1 for k in axes) and (
            not own or tuple(1 if k in axes else n for k, n in enumerate(shape))[lead:] == own
        )

    def _einsum(self, i: Instruction, a: Any, b: Any, axes: tuple) -> Term | None:
        """Σ a·b along axes in one pass."""
        if any(isa(s, float) or self.shape(s) != i.shape or self.dtype(s) != i.dtype for s in (a, b)):
            return None
        letters = _LETTERS[: len(i.shape)]
        shape = tuple(n for k, n in enumerate(i.shape) if k not in axes)
        output = "".join(c for k, c in enumerate(letters) if k not in axes)
        options = {"terms": (letters, letters), "output": output}
        return Term(1.0, self._emit(contract, (a, b), options, shape, i.dtype, False))


def is_basic(index: Any) -> bool:
    """Whether an index selects a view: slices, ints, None and Ellipsis."""
    if type(index) is tuple:
        return all(_is_basic_part(k) for k in index)
    return _is_basic_part(index)


def _is_basic_part(k: Any) -> bool:
    return k is None or k is Ellipsis or (isa(k, (slice, int, np.integer)) and not isa(k, bool))


def _runs(index: Any, shape: tuple) -> list[slice] | None:
    """Element numbers that nobody can change any more as up to four slices of neighbours; None where they are not."""
    if type(index) is not np.ndarray or index.flags.writeable or index.dtype.kind not in "iu":
        return None
    if index.ndim != 1 or len(shape) != 1 or not index.size or index.min() < 0:
        return None
    breaks = np.flatnonzero(np.diff(index) != 1) + 1
    if len(breaks) > 3:
        return None
    return [slice(int(part[0]), int(part[-1]) + 1) for part in np.split(index, breaks)]


def _only_reshapes(index: Any, shape: tuple) -> bool:
    """Whether an index takes everything, in another shape: new axes, axes of length 1 dropped."""
    if not is_basic(index):
        return False
    parts = index if type(index) is tuple else (index,)
    used = len([k for k in parts if k is not None and k is not Ellipsis])
    axis = 0
    for k in parts:
        if k is Ellipsis:
            axis += len(shape) - used
        elif k is not None:
            n = shape[axis]
            if isinstance(k, slice):
                if k != slice(None):
                    return False
            elif n != 1:
                return False
            axis += 1
    return True


_RULES: dict[Any, Callable[[_Algebra, Instruction], Any]] = {
    np.multiply: _Algebra.multiply,
    np.divide: _Algebra.divide,
    np.add: _Algebra.add,
    np.subtract: _Algebra.add,
    np.negative: _Algebra.negative,
    np.square: _Algebra.square,
    np.power: _Algebra.power,
    np.sum: _Algebra.sum,
    np.matmul: _Algebra.matmul,
    contract: _Algebra.contraction,
    spread: _Algebra.extremum_share,
    operator.getitem: _Algebra.getitem,
    scatter_parts: _Algebra.scatter,
    rolled: _Algebra.rolled,
    **dict.fromkeys(_VIEWS, _Algebra.view),
}
