"""Every error adselect raises, and the sentences they are made of.

An error says what happened, where (operation, the user's file and line, argument path), the shapes, and what to
type instead. Each class also descends from the built-in that fits, so ``except TypeError`` keeps working.
"""

from __future__ import annotations

import sys
import threading
import warnings
from typing import Any

from .places import PACKAGE, is_library, user_place

__all__ = [
    "REFUSALS",
    "ADSelectError",
    "ADSelectTypeError",
    "ADSelectValueError",
    "BackendNotInstalledError",
    "ExecutorError",
    "InaccurateDerivativeWarning",
    "MissingRuleError",
    "NonFiniteError",
    "NotReplayedWarning",
    "NotScalarError",
    "PreparationMismatchError",
    "RuleError",
    "TracedValueError",
    "UnsupportedError",
    "line_of",
    "user_line",
    "warn_user",
]


class ADSelectError(Exception):
    """Base class of everything adselect raises on purpose."""


class ADSelectTypeError(ADSelectError, TypeError):
    """An argument of the wrong kind."""


class ADSelectValueError(ADSelectError, ValueError):
    """An argument of the right kind with a value that cannot be used."""


class BackendNotInstalledError(ADSelectError, ImportError):
    """The package behind a chosen adtype is not installed; the message names the line to type."""


class MissingRuleError(ADSelectError, NotImplementedError):
    """A function was called on a traced value and no derivative rule is known for it."""


class NotScalarError(ADSelectTypeError):
    """f returned something a gradient is not defined for: an array, a complex number, not a number."""


class TracedValueError(ADSelectTypeError):
    """A traced value reached a place that would cut the derivative silently (``float(x)``, ``np.asarray(x)``, …)."""

    def __init__(self, *args: object):
        super().__init__(*args)
        REFUSALS.count += 1
        REFUSALS.last, REFUSALS.library = args, ""
        self.withdrawn = False

    def withdraw(self) -> None:
        """NumPy refuses the call as well, and is to have the word."""
        REFUSALS.count -= 1
        self.withdrawn = True


class Refusals(threading.local):
    """The refusals raised on this thread: compiled code may drop one and raise an error of its own, or none.

    What is kept is the text of the last one and not the error, whose traceback would keep all of f's arrays alive.
    """

    count = 0
    last: tuple = ()
    library = ""  # the function of a library's that the last one was asked for by


REFUSALS = Refusals()


class UnsupportedError(ADSelectError, NotImplementedError):
    """A combination of choices that cannot work; the message names the way out."""


class ExecutorError(ADSelectError, RuntimeError):
    """The executor that evaluations are spread over failed: a worker died, or it has been shut down."""


class RuleError(ADSelectError, TypeError):
    """A derivative rule returned something a rule must not return, or was registered ambiguously."""


class InaccurateDerivativeWarning(UserWarning):
    """A derivative came out with an error that is not small, and the backend that found it knows."""


class NonFiniteError(ADSelectError, FloatingPointError):
    """``check_finite=True`` found a NaN or an infinity in the value of f or in its derivative.

    path: where. operation, file, line, source, phase: of its birth, the first operation that makes such a number of
    finite ones; phase is ``"value"`` or ``"cotangent"``. None where it was not found.

    >>> issubclass(NonFiniteError, ArithmeticError)
    True
    """

    def __init__(self, message: str, path: str = "", birth: Any = None):
        super().__init__(message)
        self.path = path
        self.operation: str | None = getattr(birth, "operation", None)
        self.file: str | None = getattr(birth, "file", None)
        self.line: int | None = getattr(birth, "line", None)
        self.source: str | None = getattr(birth, "source", None)
        self.phase: str | None = getattr(birth, "phase", None)

    def __reduce__(self) -> tuple:
        return _again, (str(self), self.__dict__)


def _again(message: str, facts: dict) -> NonFiniteError:
    """A NonFiniteError that comes from another process."""
    error = NonFiniteError(message)
    error.__dict__.update(facts)
    return error


class PreparationMismatchError(ADSelectTypeError):
    """A prepared operator was called with arguments of another structure, shape or dtype."""


class NotReplayedWarning(RuntimeWarning):
    """A prepared operator runs eagerly, or with NumPy instead of machine code; the message says why.

    >>> issubclass(NotReplayedWarning, UserWarning), issubclass(NotReplayedWarning, RuntimeWarning)
    (False, True)
    """


def user_line() -> str:
    """``file:line`` of the innermost frame that is neither ours nor a library's, for error messages."""
    place = user_place()
    return "<unknown line>" if place is None else str(place)


def line_of(error: BaseException) -> str:
    """``file:line`` of the innermost frame that an error came through and that is neither ours nor a library's."""
    found, tb = "<unknown line>", error.__traceback__
    while tb is not None:
        if not is_library(tb.tb_frame) and not tb.tb_frame.f_code.co_filename.startswith(PACKAGE):
            found = f"{tb.tb_frame.f_code.co_filename}:{tb.tb_lineno}"
        tb = tb.tb_next
    return found


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn at the innermost line that is neither ours nor a library's."""
    line, depth, frame = user_line(), 1, sys._getframe(1)
    while frame is not None and f"{frame.f_code.co_filename}:{frame.f_lineno}" != line:
        frame, depth = frame.f_back, depth + 1
    warnings.warn(message, category, stacklevel=depth + 1)
