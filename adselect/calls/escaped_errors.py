"""An error has come out of f: what it was raised for, where compiled code or a library had the last word.

SciPy's C loops go on after a callback has failed and raise an error of their own, or forget that there was one. The
refusal behind it says what happened and what to type, and takes its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import REFUSALS, ADSelectError, TracedValueError
from ..face.object_arrays import refused_objects
from ..face.refusals import refused_by_library, refused_by_python
from ..places import PACKAGE, is_library, place_of

if TYPE_CHECKING:
    from ..backends.backend import Backend

__all__ = ["explained"]


def explained(error: Exception, before: int, backend: Backend | None) -> Exception:
    """The error to raise for ``error``, which came out of f: ours where it hides one of ours, else itself, with notes.

    before: the count of ``REFUSALS`` when f began.
    """
    if isinstance(error, ADSelectError):
        return _annotated(error, backend)
    ours, by_library = _behind(error), _raised_by_library(error) or _raised_in_a_callback(error, before)
    # Direct cause: NumPy says "setting an array element with a sequence" over our refusal, at the user's own line.
    if ours is not None and (by_library or error.__cause__ is ours):
        return ours.with_traceback(error.__traceback__)
    if REFUSALS.count > before:
        if by_library:
            return TracedValueError(*REFUSALS.last).with_traceback(error.__traceback__)
        # f may ask whether float(x) works and go on; then an error of its own has nothing to do with the answer.
        _note(error, f"adselect: before this, and possibly its cause: {REFUSALS.last[0]}")
    refusal = None if hasattr(error, "of_plain_values") else refused_objects(error)
    if refusal is None and isinstance(error, (TypeError, ValueError)):
        refusal = refused_by_library(error) if by_library else refused_by_python(error)
    if refusal is not None:
        return refusal.with_traceback(error.__traceback__)
    return _annotated(error, backend)


def _annotated(error: Exception, backend: Backend | None) -> Exception:
    """The error, with what the backend knows about it."""
    text = None if backend is None else backend.explain(error)
    if text:
        _note(error, text)
    return error


def _note(error: Exception, text: str) -> None:
    if text not in getattr(error, "__notes__", ()):
        error.add_note(text)


def _behind(error: BaseException) -> ADSelectError | None:
    """The error of ours that error was raised over."""
    pending: list[Any] = [error]
    seen: set[int] = set()
    while pending:
        e = pending.pop()
        if e is None or id(e) in seen:
            continue
        if isinstance(e, ADSelectError) and not getattr(e, "withdrawn", False):
            return e
        seen.add(id(e))
        pending += [e.__context__, e.__cause__]
    return None


def _raised_in_a_callback(error: Exception, before: int) -> bool:
    """Whether a library called f's own code again after a refusal: with an error pending anything may fail there."""
    if REFUSALS.count == before or not REFUSALS.library:
        return False
    if not isinstance(error, (AttributeError, TypeError, ValueError, SystemError)):
        return False
    place = place_of(error, outermost=True)
    return place is not None and place.library == REFUSALS.library


def _raised_by_library(error: BaseException) -> bool:
    """Whether the line that raised was a library's or ours, not the user's."""
    traceback = error.__traceback__
    if traceback is None:
        return False
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    frame = traceback.tb_frame
    return frame.f_code.co_filename.startswith(PACKAGE) or is_library(frame)
