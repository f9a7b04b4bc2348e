"""Every error adselect raises, and the sentences they are made of.

An error says what happened, where (operation, the user's file and line, argument path), the shapes, and what to
type instead. Each class also descends from the built-in that fits, so ``except TypeError`` keeps working.
"""

from __future__ import annotations

import os
import sys
import threading

__all__ = [
    "ADSelectError",
    "ADSelectTypeError",
    "ADSelectValueError",
    "BackendNotInstalledError",
    "MissingRuleError",
    "NotReplayedWarning",
    "NotScalarError",
    "PreparationMismatchError",
    "RuleError",
    "TracedValueError",
    "UnsupportedError",
    "user_line",
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

    def __init__(self, *args):
        super().__init__(*args)
        LAST.error, LAST.serial = args, getattr(LAST, "serial", 0) + 1


LAST = threading.local()


def hidden(error):
    """The error of ours that error was raised over (SciPy's C loops go on after a callback has failed)."""
    seen, todo = set(), [error]
    while todo:
        e = todo.pop()
        if e is None or id(e) in seen:
            continue
        seen.add(id(e))
        if isinstance(e, ADSelectError):
            return e
        todo += [e.__context__, e.__cause__]
    return None


def raised_by_library(error):
    tb = error.__traceback__
    while tb.tb_next is not None:
        tb = tb.tb_next
    file = tb.tb_frame.f_code.co_filename
    return file.startswith(_PACKAGE) or (tb.tb_frame.f_globals.get("__name__") or "").partition(".")[0] in _BETWEEN


class UnsupportedError(ADSelectError, NotImplementedError):
    """A combination of choices that cannot work; the message names the way out."""


class RuleError(ADSelectError, TypeError):
    """A derivative rule returned something a rule must not return, or was registered ambiguously."""


class PreparationMismatchError(ADSelectTypeError):
    """A prepared operator was called with arguments of another structure, shape or dtype."""


class NotReplayedWarning(RuntimeWarning):
    """A prepared operator runs eagerly, or with NumPy instead of machine code; the message says why.

    >>> issubclass(NotReplayedWarning, UserWarning), issubclass(NotReplayedWarning, RuntimeWarning)
    (False, True)
    """


_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
# Frames of these packages stand between the user's line and ours when a call is dispatched.
_BETWEEN = ("numpy", "jax", "jaxlib", "torch", "autograd", "scipy")


def user_line() -> str:
    """``file:line`` of the innermost frame that is neither ours nor a framework's, for error messages."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_PACKAGE):
            package = (frame.f_globals.get("__name__") or "").partition(".")[0]
            if package not in _BETWEEN and package != "contextlib":
                return f"{file}:{frame.f_lineno}"
        frame = frame.f_back
    return "<unknown line>"
