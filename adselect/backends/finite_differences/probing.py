"""One evaluation of f at a moved point: its warnings are dropped, what it raises is a result."""

from __future__ import annotations

import os
import pickle
import threading
import traceback
import warnings
from typing import Any, NamedTuple

import numpy as np

from ...values.kinds import isa
from ..backend import Call
from .points import numbers

__all__ = ["SILENCE", "Failure", "evaluate", "portable", "this_process"]

# What f may raise outside its domain: such a point counts as NaN.
OUTSIDE = (ArithmeticError, ValueError)


# -- one evaluation --------------------------------------------------------------------------------------------------


class _Silence(threading.local):
    """Drops the warnings of this thread while it is entered, whatever other threads do.

    A warning filter that asks for the thread: ``match`` is what the warnings module calls on a filter's message. The
    filter stands in the list only while some thread is silent. No registry of warnings already given is touched, which
    ``warnings.catch_warnings`` would reset for the whole process.
    """

    deep = 0

    def match(self, text: str) -> bool:
        return self.deep > 0

    def __enter__(self) -> None:
        with _LOCK:
            filters = _filters()
            if not any(entry is _FILTER for entry in filters[:1]):
                filters.insert(0, _FILTER)
            _SILENT.append(filters)
            self.lists = [*getattr(self, "lists", []), filters]
        self.deep += 1

    def __exit__(self, *exception: Any) -> None:
        self.deep -= 1
        with _LOCK:
            filters = self.lists.pop()
            _SILENT[:] = _without(_SILENT, filters)
            if not any(other is filters for other in _SILENT):
                filters[:] = [entry for entry in filters if entry is not _FILTER]


def _without(lists: list, one: list) -> list:
    """The lists without one occurrence of this one, which is found by identity."""
    i = next(i for i, other in enumerate(lists) if other is one)
    return lists[:i] + lists[i + 1 :]


def _filters() -> list:
    """The list of warning filters in force (from Python 3.14 on it may belong to the context)."""
    own = getattr(warnings, "_get_filters", None)
    return own() if own is not None else warnings.filters  # type: ignore[return-value]


_LOCK = threading.Lock()
_SILENT: list[list] = []  # one entry per silence that is in force: the list it put its filter into
SILENCE = _Silence()
_FILTER: Any = ("ignore", SILENCE, Warning, None, 0)


_TOKEN = os.urandom(8)  # two machines may give the same number to a process


def this_process() -> tuple[int, bytes]:
    """What tells this process from every other one, on other machines as well."""
    return os.getpid(), _TOKEN


class Failure(NamedTuple):
    """f raised at a probe: what, and whether that only says that the point is outside the domain.

    error: the exception itself, where it says more than that.
    """

    said: str
    outside: bool
    error: Exception | None = None


def evaluate(call: Call, leaves: list) -> list | Failure:
    """The outputs of f as arrays of numbers, or what it raised."""
    with SILENCE, np.errstate(all="ignore"):
        try:
            outputs, _ = call(leaves)
            return [numbers(y) for y in outputs]
        except Exception as error:
            place = error.__traceback__
            while place is not None and place.tb_next is not None:
                place = place.tb_next
            first = str(error).partition("\n")[0]
            where = "" if place is None else f" ({place.tb_frame.f_code.co_filename}:{place.tb_lineno})"
            outside = isa(error, OUTSIDE)
            return Failure(f"{type(error).__name__}: {first}{where}", outside, None if outside else error)


def portable(failure: Failure) -> Failure:
    """A failure that can be sent to another process: its traceback becomes a note, for it does not travel."""
    error = failure.error
    if error is None:
        return failure
    text = "".join(traceback.format_exception(error))
    try:
        sent = pickle.loads(pickle.dumps(error))  # an exception that cannot be made anew would break the pool
    except Exception:
        sent = RuntimeError(f"{type(error).__name__}: {error}")
    sent.add_note(f"\nIn the process that evaluated f:\n{text}")
    return failure._replace(error=sent)
