"""Prepared operators on the tape: trace once, replay, watch the guards, compare with the eager result now and then."""

from __future__ import annotations

import threading
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from ..adtypes import AutoTape
from ..calls.captured import Watch, classes_of
from ..calls.fixed import Unknown, parts
from ..engine.entering import enter
from ..errors import ADSelectError, ADSelectValueError, BackendNotInstalledError, NotReplayedWarning, warn_user
from ..face.dispatch import is_traced
from ..structure.flattening import flatten
from ..structure.leaves import Const, is_leaf
from ..values.kinds import isa
from ..values.natives import is_native
from .differences import difference_in_words
from .instructions import GuardFailed, NotReplayable
from .program import Program
from .quick import write_quick
from .variant import LOGGER, Variant, argument_names, reason_of

__all__ = ["ReplayedOperator"]


LIMIT = 20_000  # operations of one program; longer computations stay eager
VARIANTS = 4  # programs for different branches; more of them and the call stays eager for good
_LONG = 100_000  # entries of arguments of which no copy is kept
FIXED = 32  # programs for different slices, masks, flags, functions among the arguments; the same
_BEYOND = object()  # a result that a replay cannot give, on a branch that it knows


class ReplayedOperator:
    """``operator(f, AutoTape(), *args)`` by replay, for arguments of one structure."""

    def __init__(self, operator: Callable, f: Callable, adtype: AutoTape, args: tuple, options: dict, check: str):
        self.operator, self.f, self.options, self.check = operator, f, options, check
        self.eager_type = AutoTape(replay=False)
        self.adtype = adtype
        self.variants: list[Variant] = []
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

    def lend(self, leaves: list, args: tuple, fixed: tuple, take: Callable[[Any], Any]) -> Any:
        """``take(result)`` with a result that may lie in memory which the next call fills again."""
        due = self.check == "always" or (self.check == "sometimes" and self.calls + 1 >= self.next_check)
        if not self.reason and not due and self.watch.holds():
            for variant in self.variants:
                if fixed and variant.fixed != fixed:
                    continue
                taken = _Taken(take)
                try:
                    result = variant.lend(leaves, taken)
                except Exception:
                    if taken.called:
                        raise
                    continue  # the ordinary way says what it is
                self.calls += 1
                return result
        return take(self(leaves, args, fixed))

    def quick(self) -> Callable[[tuple], Any] | None:
        """The call for plain arrays and floats in one function, which gives NotImplemented where it cannot answer.

        Written as source: what does not change from call to call is decided here once.
        """
        usable = self.variants and self.direct and self.check != "always"
        self.given = (self.watch, self.watch.version, write_quick(self) if usable else None)
        return self.given[2]

    def is_old(self, quick: Callable | None) -> bool:
        """Whether quick() gives another function by now; copies of a prepared operator share this object."""
        if self.given is None:
            return False
        watch, version, last = self.given
        return watch is not self.watch or version != watch.version or last is not quick

    def _replay(self, leaves: list, fixed: tuple) -> tuple[Variant | None, Any]:
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
            again = difference_in_words(self.eager(args), reference)
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
            names = argument_names(self.f, args, skeleton)
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
            self.reason = reason_of(error)
        finally:
            program.open = False

    def _variant(
        self, program: Program, result: Any, reference: Any, leaves: list, names: list[str], args: tuple
    ) -> Variant:
        """The traced branch, compiled and confirmed; as it was written down where a simplification went wrong."""
        name, first = getattr(self.operator, "__name__", "replay"), None
        for plainly in (False, True):
            try:
                variant = Variant(program, result, reference, leaves, name, names, plainly)
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


class _Taken:
    """A receiver of results that knows whether it has been called."""

    def __init__(self, take: Callable[[Any], Any]):
        self.take, self.called = take, False

    def __call__(self, result: Any) -> Any:
        self.called = True
        return self.take(result)


def _bare(args: tuple) -> tuple:
    return tuple([a.value if isinstance(a, Const) else a for a in args])


def _copied(args: tuple) -> tuple | None:
    """The arguments with their arrays copied, None where these are large: the caller may write to his own."""
    leaves, skeleton = flatten(_bare(args))
    if sum([np.size(leaf) for leaf in leaves]) > _LONG or any(is_native(leaf) or is_traced(leaf) for leaf in leaves):
        return None
    return _with_constants(args, skeleton.rebuild([leaf.copy() if hasattr(leaf, "copy") else leaf for leaf in leaves]))


def _with_constants(args: tuple, rebuilt: list) -> tuple:
    return tuple([type(old)(new) if isinstance(old, Const) else new for old, new in zip(args, rebuilt, strict=True)])
