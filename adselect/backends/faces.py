"""Which face f is given for native arrays: the framework's own, until f turns out to be NumPy code.

With ``face="auto"`` a framework's own arrays reach f as they are. Where a NumPy function, or something only NumPy
arrays have, then meets one of them, the call is made again behind the NumPy face, and f is remembered as NumPy code.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from ..errors import ADSelectError, ADSelectValueError
from ..places import PACKAGE, is_library, package_of
from ..values.natives import loaded

__all__ = [
    "FACES",
    "NUMPY_CODE",
    "NUMPY_CURE",
    "NumPyMetError",
    "call_again",
    "check_face",
    "is_numpy_code",
    "wants_numpy",
]

FACES = ("auto", "numpy", "native")
NUMPY_CURE = (
    'NumPy, or code written for its arrays, met one of the framework\'s own: {}(face="auto"), the default, puts '
    "NumPy's protocols in front of them, and results still come back in the kind of the argument."
)
_REMEMBERED = 4096  # functions; beyond that they are found out about again
_lock = threading.Lock()
NUMPY_CODE: set = set()


class NumPyMetError(Exception):
    """Raised where a NumPy function is about to call a method of a framework's array, which may mean another thing."""


def check_face(face: str) -> str:
    """The face of a choice; raises ADSelectValueError for one that does not exist."""
    if face not in FACES:
        raise ADSelectValueError(f"face={face!r}: write face='auto', face='numpy' or face='native'")
    return face


def wants_numpy(face: str, call: Any) -> bool:
    """Whether native arrays go behind the NumPy face at once: asked for, or f is known to be NumPy code."""
    return face == "numpy" or (face == "auto" and bool(NUMPY_CODE) and _key(_function_of(call)) in NUMPY_CODE)


def call_again(call: Any, first: Exception, behind: Callable[[], Any], foreign: Sequence[str]) -> Any:
    """``behind()``, the call behind the NumPy face, after ``first`` has shown f to be NumPy code; f is remembered.

    foreign: the names by which errors call the framework's face, for errors that a native array would not have caused.
    """
    try:
        result = behind()
    except (TypeError, AttributeError) as second:
        if not isinstance(second, ADSelectError) and any(name in str(second) for name in foreign):
            raise first from None  # neither will do: f uses the framework, too
        raise
    key = _key(_function_of(call))
    with _lock:
        if len(NUMPY_CODE) >= _REMEMBERED:
            NUMPY_CODE.clear()
        NUMPY_CODE.add(key)
    return result


def is_numpy_code(error: BaseException) -> bool:
    """Whether an error of f says that NumPy, or code written for its arrays, met a framework's array."""
    if isinstance(error, NumPyMetError):
        return True
    if isinstance(error, ADSelectError):
        return False
    chain: list = [error]
    while (above := chain[-1].__cause__ or chain[-1].__context__) is not None and above not in chain:
        chain.append(above)
    return any(_refuses_numpy(e) for e in chain) or _first_library(error) == "numpy"


# What Python and NumPy say where a framework's arrays are taken for NumPy's; frameworks' own words are in their rows.
_REFUSALS = ("builtin_function_or_method", "for NumPy arrays, use np.concatenate()")


def _refuses_numpy(error: BaseException) -> bool:
    if isinstance(error, AttributeError):
        text = str(error)
        name = error.name or text.rpartition("attribute ")[2].strip("'\". ")
        owned = any(word in text for natives in loaded() for word in natives.words)
        return owned and hasattr(np.ndarray, name)
    if not isinstance(error, (TypeError, RuntimeError, ValueError)):
        return False
    text = str(error)
    return any(r in text for r in _REFUSALS) or any(r in text for natives in loaded() for r in natives.refusals)


def _first_library(error: BaseException) -> str:
    """The package of the first library frame below the last line of the user's own in a traceback."""
    traceback, first = error.__traceback__, ""
    while traceback is not None:
        frame = traceback.tb_frame
        if not frame.f_code.co_filename.startswith(PACKAGE):
            first = (first or package_of(frame)) if is_library(frame) else ""
        traceback = traceback.tb_next
    return first


def _function_of(call: Any) -> Any:
    """The user's f behind a flat call."""
    return getattr(call, "f", call)


def _key(f: Any, depth: int = 4) -> Any:
    """What f is recognised by: its code and that of the functions it closes over. So a lambda made anew is known."""
    while isinstance(f, functools.partial):
        f = f.func
    code = getattr(f, "__code__", None)
    if code is None:
        wrapped = getattr(f, "__wrapped__", None)
        if wrapped is not None and depth:
            return _key(wrapped, depth - 1)
        code = getattr(vars(type(f)).get("__call__"), "__code__", None)
        if code is None:
            return f if isinstance(f, Hashable) else type(f)
    cells = [_content(cell) for cell in getattr(f, "__closure__", None) or ()] if depth else []
    return code, tuple([_key(content, depth - 1) for content in cells if callable(content)])


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None
