"""Prepared operators on the tape: trace once, replay, watch the guards, compare with the eager result now and then."""

from __future__ import annotations

import inspect
import logging
import math
import re
import threading
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from ..adtypes import AutoTape
from ..calls.captured import FAILURES, Watch, classes_of
from ..calls.fixed import Unknown, parts
from ..engine.entering import enter
from ..errors import ADSelectError, ADSelectValueError, BackendNotInstalledError, NotReplayedWarning, warn_user
from ..face.dispatch import is_traced, plain
from ..places import place_text
from ..primitives.primitive import REGISTRATIONS
from ..structure.flattening import flatten
from ..structure.leaves import Const, is_leaf
from ..values.kinds import isa
from ..values.natives import is_native
from .native import compile_natively
from .program import NotReplayable, Program, ProgramArray, Ref
from .rounding import rounding_noise
from .writing import GuardFailed, Replay, compile_program, readable

__all__ = ["ReplayedOperator"]

LIMIT = 20_000  # operations of one program; longer computations stay eager
VARIANTS = 4  # programs for different branches; more of them and the call stays eager for good
_LONG = 100_000  # entries of arguments of which no copy is kept
FIXED = 32  # programs for different slices, masks, flags, functions among the arguments; the same
LOGGER = logging.getLogger("adselect")
_BEYOND = object()  # a result that a replay cannot give, on a branch that it knows


class ReplayedOperator:
    """``operator(f, AutoTape(), *args)`` by replay, for arguments of one structure."""

    def __init__(self, operator: Callable, f: Callable, adtype: AutoTape, args: tuple, options: dict, check: str):
        self.operator, self.f, self.options, self.check = operator, f, options, check
        self.eager_type = AutoTape(replay=False)
        self.adtype = adtype
        self.variants: list[_Variant] = []
        self.reason = ""  # why calls are not replayed
        self.native_reason = ""  # why replays are not machine code
        self.native_failed = False  # and whether they should have been
        self.told = False
        self.lock = threading.RLock()
        self.calls = 0
        self.next_check = 1
        self.direct = all(is_leaf(a) for a in args)  # arguments that are leaves, none of them Const
        self.given: tuple | None = None  # the watch, its version, and the function that quick() gave away then
        self.changed = 0  # times that something captured was found changed
        reference = self.eager(args)  # what f sets up when it is first called is there from now on
        self.classes = classes_of(args)  # of objects among the arguments: what their methods do is watched
        self.watch, self.began = self._watched(), _copied(args)
        skeleton = flatten(_bare(args))[1]
        self._trace(args, reference, () if skeleton.simple else parts(skeleton)[1])
        self._tell()

    def _watched(self) -> Watch:
        named = type(self.f).__name__ if not hasattr(self.f, "__name__") else self.f.__name__
        kept = {k: v for k, v in self.options.items() if k not in ("out", "missing")}
        return Watch({named: self.f, **kept}, self.classes)

    def _tell(self) -> None:
        """Warn, once, that calls are not what was asked for."""
        told, self.told = self.told, bool(self.reason or self.native_failed)
        if self.told and not told:
            name = f"{getattr(self.operator, '__name__', 'operator')} of {getattr(self.f, '__qualname__', self.f)!s}"
            what = f"is not replayed, its calls run eagerly: {self.reason}"
            if not self.reason:
                what = f"is replayed with NumPy's calls, since compiling it failed: {self.native_reason}"
            warn_user(f"the prepared {name} {what}", NotReplayedWarning)

    def eager(self, args: tuple) -> Any:
        """The operator's result without replay."""
        return self.operator(self.f, self.eager_type, *args, **self.options)

    def _evaluated(self, args: tuple) -> Any:
        """The eager result, where nothing that f captures had changed before; its own counters may have, now."""
        result = self.eager(args)
        if not self.watch.holds():
            self._let_go(self.watch.changed(), args)
        return result

    def _let_go(self, names: set[str], args: tuple) -> set[str]:
        """Watch no longer what f itself changes; gives the names of that.

        They were different after a call of f. Another thread may have done that: f is asked twice more. A counter
        counts on; a buffer holds what it held when f is called as it was called when the watch began.
        """
        again = self._watched()
        try:
            self.eager(args)
            own = names & again.changed()
            if names - own and self.began is not None:
                self.eager(self.began)
                own |= names - self.watch.changed()
        except Exception:  # f does not take these arguments any more
            return set()
        with self.lock:
            self.watch.forget(own)
            if self.watch.scratch:
                self.variants, self.reason = [], self._scratched()
        self._tell()
        return own

    def _scratched(self) -> str:
        return f"f writes into a large array that it captures ({self.watch.scratch})"

    def __call__(self, leaves: list, args: tuple, fixed: tuple = ()) -> Any:
        if self.reason:
            return self.eager(args)
        if not self.watch.holds() and self.watch.changes():
            return self._retraced(leaves, args, fixed)
        if self.check != "never":
            self.calls += 1
            if self.check == "always" or self.calls >= self.next_check:
                self.next_check = 2 * self.calls
                if self.watch.changes(whole=True):
                    return self._retraced(leaves, args, fixed)
                return self._checked(leaves, args, fixed)
        variant, result = self._replay(leaves, fixed)
        return self._elsewhere(leaves, args, fixed) if variant is None else result

    def quick(self) -> Callable[[tuple], Any] | None:
        """The call for plain arrays and floats in one function, which gives NotImplemented where it cannot answer.

        Written as source: what does not change from call to call is decided here once.
        """
        usable = self.variants and self.direct and self.check != "always"
        self.given = (self.watch, self.watch.version, _write_quick(self) if usable else None)
        return self.given[2]

    def is_old(self, quick: Callable | None) -> bool:
        """Whether quick() gives another function by now; copies of a prepared operator share this object."""
        if self.given is None:
            return False
        watch, version, last = self.given
        return watch is not self.watch or version != watch.version or last is not quick

    def _replay(self, leaves: list, fixed: tuple) -> tuple[_Variant | None, Any]:
        """The variant that answers and its result; None and _BEYOND or NotImplemented where there is none."""
        missing: Any = NotImplemented
        for variant in self.variants:
            if fixed and variant.fixed != fixed:
                continue
            try:
                return variant, variant(leaves)
            except GuardFailed:
                continue
            except Exception as error:  # these numbers are beyond this program: f is asked, which may branch there
                if variant.is_beyond(error):
                    missing = _BEYOND
        return None, missing

    def _elsewhere(self, leaves: list, args: tuple, fixed: tuple) -> Any:
        """No variant fits: trace the branch that is taken now, or stay eager."""
        result = self._evaluated(args)
        with self.lock:
            again = self._replay(leaves, fixed)[1]
            if again is NotImplemented and not self.reason:
                if sum(v.fixed == fixed for v in self.variants) >= VARIANTS:
                    self.reason = f"more than {VARIANTS} different branches were taken{self._branches()}"
                elif len(self.variants) >= FIXED:
                    self.reason = f"the arguments that are no arrays took more than {FIXED} different values"
                else:
                    self._trace(args, result, fixed)
        self._tell()
        return result

    def _branches(self) -> str:
        """The user's lines that the branches depend on, as far as they are known."""
        lines = dict.fromkeys(line for v in self.variants for line in v.branches if line)
        return f" (on values of {', '.join(list(lines)[:VARIANTS])})" if lines else ""

    def _checked(self, leaves: list, args: tuple, fixed: tuple) -> Any:
        variant, result = self._replay(leaves, fixed)
        if variant is None:
            return self._elsewhere(leaves, args, fixed)
        reference = self._evaluated(args)
        difference = variant.difference(result, reference, leaves)
        if difference:
            again = _difference(self.eager(args), reference)
            cause = (
                "f itself gives different results for the same arguments: does it draw random numbers or change state?"
                if again
                else "something f captures has changed since preparation: an attribute, a global or a closure variable "
                "was rebound, or an array that only preparation looked at was modified"
            )
            raise self._differs(difference, cause)
        return result

    def _differs(self, difference: str, cause: str) -> ADSelectValueError:
        return ADSelectValueError(
            f"the replay of {getattr(self.operator, '__name__', 'the operator')} differs from the eager result "
            f"({difference}); {cause}. Pass it as an argument (Const(value) if it is not differentiated), prepare "
            "again, or call the operator unprepared."
        )

    def _retraced(self, leaves: list, args: tuple, fixed: tuple) -> Any:
        """Something that f captures is not what it was: new contents of an array are seen, a new binding that makes a
        difference is an error.
        """
        changes = self.watch.changes(whole=True)
        variant, result = self._replay(leaves, fixed)
        now = self._watched()
        reference = self.eager(args)
        own = now.changed()
        if own:
            # f writes there itself, and has been called by somebody else: nothing that the programs rely on.
            own = self._let_go(own, args)
            changes = self.watch.changes(whole=True)
            if not changes and not self.watch.scratch:
                return reference
        rebound = [change.text for change in changes if change.how == "rebound"]
        difference = variant.difference(result, reference, leaves) if variant is not None and rebound else ""
        if difference:
            raise self._differs(difference, f"{' and '.join(rebound)} since preparation")
        with self.lock:
            self.changed += 1
            self.variants = []
            if self.reason:
                return reference
            if self.changed > VARIANTS:
                self.reason = f"what f captures keeps changing ({changes[0].text if changes else 'its state'})"
            else:
                self.watch, self.began = self._watched(), _copied(args)
                self.watch.forget(own)
                self._trace(args, reference, fixed)
        self._tell()
        return reference

    def _trace(self, args: tuple, reference: Any, fixed: tuple) -> None:
        leaves, skeleton = flatten(_bare(args))
        program = Program(LIMIT)
        if fixed and not classes_of(args) <= self.classes:
            self.classes |= classes_of(args)
            self.watch = self._watched()
        try:
            for part in fixed:
                if isinstance(part, Unknown):
                    raise NotReplayable(f"an argument holds a {part.name}, and nobody can tell whether it has changed")
            for leaf in leaves:
                if isa(leaf, Fraction):
                    raise NotReplayable("an argument holds a Fraction, and NumPy computes with floats")
            if any(is_native(leaf) for leaf in leaves):
                raise NotReplayable("an argument is another framework's array, which may be traced there")
            inputs = [program.input(enter(leaf)) for leaf in leaves]
            traced_args = _with_constants(args, skeleton.rebuild(inputs))
            options = {k: v for k, v in self.options.items() if k != "out"}
            result = self.operator(self.f, self.eager_type, *traced_args, **options)
            if program.refusal:
                raise NotReplayable(program.refusal)
            program.open = False
            names = _argument_names(self.f, args, skeleton)
            variant = self._variant(program, result, reference, leaves, names, args)
            variant.fixed = fixed
            if self.adtype.native:
                reason, failed = variant.compile(leaves, reference)
                self.native_reason, self.native_failed = reason or self.native_reason, self.native_failed or failed
            changed = self.watch.changed()
            if changed:  # once by the trace; what changes again is f's own
                again = self._watched()
                self.eager(args)
                self.watch.forget(changed & again.changed())
            if self.watch.scratch:
                raise NotReplayable(self._scratched())
            self.variants = [*self.variants, variant]
        except (ADSelectValueError, BackendNotInstalledError):
            raise
        except Exception as error:
            # Whatever the tracing met, the eager result stands.
            self.reason = _reason(error)
        finally:
            program.open = False

    def _variant(
        self, program: Program, result: Any, reference: Any, leaves: list, names: list[str], args: tuple
    ) -> _Variant:
        """The traced branch, compiled and confirmed; as it was written down where a simplification went wrong."""
        name, first = getattr(self.operator, "__name__", "replay"), None
        for plainly in (False, True):
            try:
                variant = _Variant(program, result, reference, leaves, name, names, plainly)
                variant.confirm(leaves, reference, lambda: self.eager(args))
            except (ADSelectValueError, GuardFailed):
                raise
            except Exception as error:
                if first is not None:
                    raise first from None
                first = error
                continue
            if first is not None:
                LOGGER.warning(
                    "simplifying the program of %s failed; it is replayed as it was written down", name, exc_info=first
                )
            return variant
        raise AssertionError

    def source(self) -> str:
        """The source of the replayed programs."""
        if self.reason:
            raise ADSelectError(f"this operator is not replayed: {self.reason}")
        note = f"# not compiled: {self.native_reason}\n" if self.native_reason else ""
        return note + "\n".join(v.readable() for v in self.variants)


def _reason(error: Exception) -> str:
    """Why a computation is not replayed, with the user's line where one is to blame."""
    if isinstance(error, GuardFailed):
        return "f took another branch when it was run again with the same arguments"
    text = str(error).strip() or type(error).__name__
    if not isinstance(error, ADSelectError):
        text = f"{type(error).__name__}: {text.splitlines()[0]}"
    place = place_text(error)
    return f"{text} (at {place})" if place and place.partition(", `")[0] not in text else text


def _bare(args: tuple) -> tuple:
    return tuple([a.value if isinstance(a, Const) else a for a in args])


def _copied(args: tuple) -> tuple | None:
    """The arguments with their arrays copied, None where these are large: the caller may write to his own."""
    leaves, skeleton = flatten(_bare(args))
    if sum([np.size(leaf) for leaf in leaves]) > _LONG or any(is_native(leaf) or is_traced(leaf) for leaf in leaves):
        return None
    return _with_constants(args, skeleton.rebuild([leaf.copy() if hasattr(leaf, "copy") else leaf for leaf in leaves]))


def _write_quick(run: ReplayedOperator) -> Callable[[tuple], Any] | None:
    variant = run.variants[0]
    scope: dict[str, Any] = {
        "float64": np.float64,
        "registrations": REGISTRATIONS,
        "run": run,
        "ndarray": np.ndarray,
        "dot": np.dot,
        "isfinite": math.isfinite,
        "inf": math.inf,
        "function": variant.function,
        **run.watch.names,
        "pool": variant.replay.buffers,
        "GuardFailed": GuardFailed,
    }
    names = [f"x{k}" for k in range(len(variant.leaves))]
    checks = [f"len(args) != {len(names)}", f"registrations[0] != {REGISTRATIONS[0]}"]
    if run.check != "never":
        checks.append("run.calls + 1 >= run.next_check")
    kinds = []
    for name, leaf in zip(names, variant.leaves, strict=True):
        if type(leaf) is np.ndarray and leaf.dtype.isnative:
            scope[f"{name}_shape"], scope[f"{name}_dtype"] = leaf.shape, leaf.dtype
            kinds.append(f"type({name}) is not ndarray or {name}.shape != {name}_shape")
            kinds.append(f"{name}.dtype is not {name}_dtype")
        elif type(leaf) is float:
            kinds.append(f"type({name}) is not float")
        else:
            return None
    results, finite = [], []
    for k, (expected, given) in enumerate(zip(variant.expected, variant.replay.results, strict=True)):
        name = f"r{k}"
        if type(expected) is np.ndarray and expected.dtype == np.float64 and given == (expected.shape, expected.dtype):
            flat = name if expected.ndim == 1 else f"{name}.ravel('K')"
            # Overflow or not a number: the ordinary way looks closer.
            finite.append(f"dot({flat}, {flat}) < inf")
        elif type(expected) in (float, np.float64):
            finite.append(f"isfinite({name})")
            name = f"{'float' if type(expected) is float else 'float64'}({name})"
        else:
            return None
        results.append(name)
    everything = f"({', '.join(results)},)"
    if type(variant.reference) is not tuple or len(variant.reference) != len(results):
        cls = type(variant.reference)
        if not variant.is_pair:
            return None
        scope["cls"] = cls
        everything = f"cls({results[0]}, ({', '.join(results[1:])},))"
    elif not all(is_leaf(r) for r in variant.reference):
        return None
    returned = ", ".join(f"r{k}" for k in range(len(results)))
    lines = [
        "def quick(args):",
        f"    if {' or '.join(checks)}: return NotImplemented",
        f"    {', '.join(names)}, = args",
        f"    if {' or '.join(kinds)}: return NotImplemented",
        "    try:",
        f"        if not ({run.watch.test or True}): return NotImplemented",
        f"    except {FAILURES}: return NotImplemented",
        "    try: buffers = pool.pop()",
        "    except IndexError: return NotImplemented",
        f"    try: {returned}, = function(args, buffers)",
        "    except Exception: return NotImplemented",
        "    finally: pool.append(buffers)",
        *(["    run.calls += 1"] if run.check != "never" else []),
        f"    if not ({' and '.join(finite)}): return NotImplemented",
        f"    return {everything}",
    ]
    exec(compile("\n".join(lines), "<adselect quick>", "exec"), scope)
    return scope["quick"]


def _builder(reference: Any, shape: Any, n: int) -> Callable[[list], Any]:
    """What makes the operator's result from its leaves; the common forms without walking a skeleton."""
    if type(reference) is tuple and len(reference) == n and all(is_leaf(r) for r in reference):
        return tuple
    if hasattr(reference, "_fields") and len(reference) == 2 and type(reference[1]) is tuple:
        value, grads = reference
        if len(grads) == n - 1 and all(is_leaf(r) for r in (value, *grads)):
            cls: Any = type(reference)
            return lambda results: cls(results[0], tuple(results[1:]))
    return lambda results: shape.rebuild(results)[0]


# Names that the generated source uses itself.
_RESERVED = re.compile(
    r"[vbcxkpq]\d.*|[ij]|inputs|buffers|(math|ones|add)_.*|.*_reduce|GuardFailed|share|spread|contract|select|clipped|join"
    r"|pile|set_item|scatter_parts"
)


def _argument_names(f: Callable, args: tuple, skeleton: Any) -> list[str]:
    """Names for the inputs of the source: f's own parameter names where each argument is one leaf."""
    names = [f"x{k}" for k in range(len(skeleton.paths))]
    try:
        parameters = list(inspect.signature(f).parameters.values())[: len(args)]
    except (TypeError, ValueError):
        return names
    if skeleton.paths == [f"args[{k}]" for k in range(len(parameters))] and all(
        p.kind == p.POSITIONAL_OR_KEYWORD for p in parameters
    ):
        for k, p in enumerate(parameters):
            if not _RESERVED.fullmatch(p.name) and not hasattr(np, p.name):
                names[k] = p.name
    return names


def _with_constants(args: tuple, rebuilt: list) -> tuple:
    return tuple([Const(new) if isinstance(old, Const) else new for old, new in zip(args, rebuilt, strict=True)])


class _Variant:
    """One traced branch: inputs, compiled program, and how its outputs become the operator's result."""

    def __init__(
        self,
        program: Program,
        result: Any,
        reference: Any,
        leaves: list,
        name: str,
        arguments: list[str],
        plainly: bool = False,
    ):
        traced, _ = flatten((result,))
        expected, self.shape = flatten((reference,))
        if len(traced) != len(expected):
            raise NotReplayable("the traced result has another structure than the eager one")
        outputs = [Ref(t.number) if type(t) is ProgramArray else plain(t) for t in traced]
        self.arguments, self.outputs = arguments, outputs
        self.replay: Replay = compile_program(program, outputs, name, arguments, plainly)
        self.branches = [program.instructions[number].line for _, number, _ in program.guards]
        self.leaves, self.expected, self.reference = leaves, expected, reference
        self.run: Callable[..., tuple] = self.replay
        self.finish = [_finisher(e) for e in expected]
        self.enter = [_entry(leaf) for leaf in leaves]
        self.plain = all(e is None for e in self.enter)
        self.build = _builder(reference, self.shape, len(expected))
        self.fixed: tuple = ()
        self.written, self.inputs = program.instructions, program.inputs
        self.is_pair = (
            hasattr(reference, "_fields")
            and len(reference) == 2
            and type(reference[1]) is tuple
            and len(reference[1]) == len(expected) - 1
            and all(is_leaf(r) for r in (reference[0], *reference[1]))
        )

    def compile(self, leaves: list, reference: Any) -> tuple[str, bool]:
        """Machine code instead of NumPy's calls, where the program is one for that.

        Otherwise the replay stays as it is: the reason, and whether it is a failure of the compiler's or of ours.
        """
        try:
            self.run = compile_natively(self.replay.program)
            try:
                difference = self.difference(self(leaves), reference, leaves)  # numba compiles in the first call
            except (_NotFinite, ArithmeticError):
                difference = ""
            if not difference:
                return "", False
            reason, failed = f"the compiled result differs from the eager one: {difference}", True
        except BackendNotInstalledError:
            raise
        except Exception as error:
            reason, failed = _reason(error), not isinstance(error, NotReplayable)
            if failed:
                LOGGER.warning("compiling a program natively failed", exc_info=error)
        self.run = self.replay
        return reason, failed

    @property
    def function(self) -> Callable[[Any, tuple], tuple]:
        """The program itself: ``function(inputs, buffers)``."""
        return self.replay.function if self.run is self.replay else self.run

    def __call__(self, leaves: list) -> Any:
        inputs = (
            leaves
            if self.plain
            else [leaf if e is None else e(leaf) for leaf, e in zip(leaves, self.enter, strict=True)]
        )
        values = self.run(inputs)
        results = [finish(v) for finish, v in zip(self.finish, values, strict=True)]
        return self.build(results)

    def is_beyond(self, error: Exception) -> bool:
        """Whether an error of the replay says that the result is not finite, as math's functions do by theirs."""
        return isinstance(error, (_NotFinite, ArithmeticError)) or (
            type(error) is ValueError and "math_" in self.replay.source
        )

    def confirm(self, leaves: list, reference: Any, eager: Callable) -> None:
        try:
            difference = self.difference(self(leaves), reference, leaves)
        except (ArithmeticError, ValueError) as error:
            if self.is_beyond(error):
                return  # a point where the eager way decides; the first call that can be replayed is compared
            raise
        if difference:
            if _difference(eager(), reference):
                raise ADSelectValueError(
                    "f gives different results for the same arguments: does it draw random numbers or change state? "
                    "Pass random numbers in as an argument, or call the operator unprepared."
                )
            raise NotReplayable(f"a replay at the prepared point differs from the eager result: {difference}")

    def difference(self, result: Any, reference: Any, leaves: list) -> str:
        """How the result of a replay differs from the eager one, "" where rounding explains it."""
        return _difference(result, reference, lambda: rounding_noise(self.written, self.inputs, self.outputs, leaves))

    def readable(self) -> str:
        return readable(self.replay, self.arguments)


def _entry(leaf: Any) -> Callable | None:
    kind = type(leaf)
    if kind is np.ndarray:
        return None if leaf.dtype.isnative else enter
    return None if kind is float else enter


class _NotFinite(ValueError):  # noqa: N818 - a signal, not an error
    """A result that is not finite: the eager pass with strong zeros decides."""


def _finisher(expected: Any) -> Callable:
    """Brings an output into the kind the eager result has; gives the call up where it is not finite."""
    kind = type(expected)
    if kind is np.ndarray:
        dtype, shape = expected.dtype, expected.shape
        isfinite, all_ = np.isfinite, np.logical_and.reduce
        exact = dtype.kind not in "fc"

        def finish_array(value: Any) -> Any:
            if type(value) is not np.ndarray or value.dtype != dtype or value.shape != shape:
                value = np.broadcast_to(np.asarray(value, dtype), shape).copy()
            if not exact and not all_(isfinite(value), None):
                raise _NotFinite
            return value

        return finish_array
    if isa(expected, np.ndarray):
        raise NotReplayable(f"the result is a {kind.__name__}, a class of its own")
    if kind is float:
        isfinite_ = math.isfinite

        def finish_float(value: Any) -> float:
            value = float(value)
            if not isfinite_(value):
                raise _NotFinite
            return value

        return finish_float

    def finish_scalar(value: Any) -> Any:
        value = kind(value)
        if not np.isfinite(value):
            raise _NotFinite
        return value

    return finish_scalar


def _difference(result: Any, reference: Any, noise: Callable[[], list | None] = lambda: None) -> str:
    """The largest difference in words, "" where there is none beyond rounding, entry by entry.

    noise gives, for each value of the result, how far rounding alone can move its entries; it is asked only where an
    entry is off by more than a rounding or two of its own size.
    """
    a, structure = flatten((result,))
    b, _ = flatten((reference,))
    if len(a) != len(b):
        return f"{len(a)} values instead of {len(b)}"
    moved: list | None = None
    for k, (x, y, path) in enumerate(zip(a, b, structure.paths, strict=True)):
        x, y = np.asarray(x), np.asarray(y)
        if x.shape != y.shape:
            return f"shape {x.shape} instead of {y.shape}"
        if not x.size or x.dtype.kind not in "fciu":
            continue
        single = x.dtype in (np.float32, np.complex64)
        with np.errstate(all="ignore"):
            tolerance = (1e-4 if single else 1e-8) * np.abs(y) + (1e-30 if single else 1e-200)
            off = np.where(np.isfinite(y) | np.isfinite(x), np.abs(x - y), 0.0)
            wrong = ~(off <= tolerance)
            if np.any(wrong):
                moved = noise() if moved is None else moved
                if moved is not None and len(moved) == len(a) and np.shape(moved[k]) == x.shape:
                    wrong &= ~(off <= tolerance + moved[k])
        if np.any(wrong):
            worst = np.unravel_index(np.argmax(np.where(wrong, off, -1.0)), x.shape)
            where = f"[{', '.join(map(str, worst))}]" if x.shape else ""
            return f"{path.replace('args', 'result', 1)}{where} is {x[worst]:.6g} instead of {y[worst]:.6g}"
    return ""
