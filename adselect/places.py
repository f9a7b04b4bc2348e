"""Where in the user's code something happened, and which library stands between that line and ours.

Looked at only when an error is about to be raised: nothing here is called on the way of a computation that goes well.
"""

from __future__ import annotations

import dis
import linecache
import os
import sys
from types import CodeType, FrameType
from typing import Any, NamedTuple

from .frameworks import PACKAGES

__all__ = ["NUMERIC", "PACKAGE", "Place", "is_library", "package_of", "place_of", "place_text", "user_place"]

PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
# Never the user's, wherever they are installed: they stand between the user's line and ours when a call is dispatched.
NUMERIC = PACKAGES | {"numpy", "scipy", "pandas", "xarray", "sklearn", "matplotlib"}
_STANDARD = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


class Place(NamedTuple):
    """A line of the user's, and what it was about to do there.

    library: the public name of the library function (one in Python) that the line had called, "" where it called ours
    itself. operation: the name of the bytecode instruction; expression: the source text it belongs to, where it is
    known.
    """

    file: str
    line: int
    library: str
    operation: str
    expression: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def package_of(frame: FrameType) -> str:
    """The top-level package whose code a frame runs."""
    return (frame.f_globals.get("__name__") or "").partition(".")[0]


def is_library(frame: FrameType, own: str = "") -> bool:
    """Whether a frame runs installed code that is not of the package ``own``; ours does not count as installed."""
    package = package_of(frame)
    if package in NUMERIC:
        return True
    file = frame.f_code.co_filename
    if file.startswith(PACKAGE):
        return False
    if any(part in file for part in _INSTALLED):
        return package != own
    return file.startswith((_STANDARD, "<frozen "))


def user_place() -> Place | None:
    """The innermost line of the user's, from a frame of ours; None where there is none.

    The user's is what is neither ours nor a library's; installed code counts as the user's where f is defined in it.
    """
    frames: list[FrameType] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    own = _package_of_f(frames)
    between: list[FrameType] = []
    for frame in frames:
        if frame.f_code.co_filename.startswith(PACKAGE):
            continue
        if is_library(frame, own):
            between.append(frame)
            continue
        return _place(frame, between[::-1], frame.f_lasti, frame.f_lineno)
    return None


def place_of(error: BaseException, outermost: bool = False) -> Place | None:
    """The same for an error that has come out of f: the last line of the user's in its traceback.

    outermost: the first line of the user's that calls a library, also where that calls the user's code again.
    """
    traceback, found = error.__traceback__, None
    between: list[FrameType] = []
    while traceback is not None:
        frame = traceback.tb_frame
        if not frame.f_code.co_filename.startswith(PACKAGE):
            if is_library(frame):
                between.append(frame)
            elif outermost and between and found is not None:
                break
            else:
                found, between = traceback, []
        traceback = traceback.tb_next
    return None if found is None else _place(found.tb_frame, between, found.tb_lasti, found.tb_lineno)


def place_text(error: BaseException) -> str:
    """``file:line, `source` `` of the innermost line of the user's that an error passed through; "" without one."""
    place = place_of(error)
    source = linecache.getline(place.file, place.line).strip() if place is not None else ""
    return "" if place is None else f"{place}, `{source}`" if source else str(place)


def _package_of_f(frames: list[FrameType]) -> str:
    """The package that f, of the innermost derivative under way, is defined in."""
    before = None
    for frame in frames:
        if frame.f_code.co_filename.startswith(PACKAGE):
            if frame.f_code.co_name == "call_user" and before is not None:
                return package_of(before)
        else:
            before = frame
    return ""


def _place(frame: FrameType, between: list[FrameType], at: int, line: int) -> Place:
    """between: the library's frames below the user's, outermost first."""
    code = frame.f_code
    named = [f for f in between if "<locals>" not in f.f_code.co_qualname]  # not the wrappers that decorators make
    library = _public_name((named or between)[0]) if between else ""
    operation = dis.opname[code.co_code[at]] if 0 <= at < len(code.co_code) else ""
    return Place(code.co_filename, line, library, operation, _expression(code, at))


def _expression(code: CodeType, at: int) -> str:
    """The source text of the instruction at an offset; "" where it is not there or longer than a line."""
    for k, (line, last, start, end) in enumerate(code.co_positions()):
        if 2 * k == at:
            if line is None or line != last or start is None:
                return ""
            text = linecache.getline(code.co_filename, line).encode()
            return text[start:end].decode(errors="replace").strip()
    return ""


def _public_name(frame: FrameType) -> str:
    """``scipy.optimize.brentq`` for the frame of ``scipy.optimize._zeros_py.brentq``."""
    name = frame.f_code.co_qualname.removesuffix(".__init__").removesuffix(".__call__")
    module = frame.f_globals.get("__name__") or "?"
    parts = module.split(".")
    first = name.partition(".")[0]
    for n in range(1, len(parts) + 1):
        if any(part.startswith("_") for part in parts[:n]):
            break
        public = ".".join(parts[:n])
        if _is_same(getattr(sys.modules.get(public), first, None), frame):
            return f"{public}.{name}"
    return f"{module}.{name}"


def _is_same(found: Any, frame: FrameType) -> bool:
    """Whether a public object is the function (or the class with the method) whose code a frame runs."""
    try:
        for part in frame.f_code.co_qualname.split(".")[1:]:
            found = getattr(found, part)
    except AttributeError:
        return False
    while found is not None:
        if getattr(found, "__code__", None) is frame.f_code:
            return True
        found = getattr(found, "__wrapped__", None)
    return False
