"""Derivatives in progress on this thread: which leaves belong to which, and values of one met in another."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

# Every derivative in progress owns a block of bits that no other one in progress uses: a value's deps then say which of
# the derivatives it belongs to, through any nesting.
_BLOCKS: list[tuple[int, int]] = []
_LOCK = threading.Lock()
LOCAL = threading.local()


def open_block(n: int) -> tuple[int, int]:
    """n bits that no derivative in progress uses: the first one, and the one after the last."""
    with _LOCK:
        start = max([end for _, end in _BLOCKS]) if _BLOCKS else 0
        block = (start, start + n)
        _BLOCKS.append(block)
    return block


def close_block(block: tuple[int, int]) -> None:
    with _LOCK:
        _BLOCKS.remove(block)


def blocks_in_progress() -> list[tuple[int, int]]:
    """The blocks of the derivatives in progress."""
    return list(_BLOCKS)


@contextlib.contextmanager
def reopened(blocks: list[tuple[int, int]]) -> Iterator[None]:
    """Within, derivatives are in progress again, part of which is computed a second time."""
    with _LOCK:
        _BLOCKS.extend(blocks)
    try:
        yield
    finally:
        for block in blocks:
            close_block(block)


def in_progress(deps: int) -> bool:
    """Whether a value with these deps belongs to a derivative in progress."""
    if not _BLOCKS or not deps:
        return bool(_BLOCKS)
    return any(deps >> start & ((1 << end - start) - 1) for start, end in list(_BLOCKS))


def notice_captured() -> None:
    """A tensor of the user's own graph met a face array: the innermost derivative may belong to that graph."""
    calls = getattr(LOCAL, "calls", None)
    if calls:
        calls[-1].captured = True


def calls_in_progress(create: bool = False) -> list:
    """The calls of f under way on this thread, the innermost last."""
    return LOCAL.__dict__.setdefault("calls", []) if create else getattr(LOCAL, "calls", [])


def passing() -> Any:
    """The call of f whose linear maps are being evaluated on this thread, None where none of ours is."""
    return getattr(LOCAL, "passing", None)


@contextlib.contextmanager
def evaluating(call: Any) -> Iterator[None]:
    """Within, the linear maps of a call of f are being evaluated."""
    before, LOCAL.passing = passing(), call
    try:
        yield
    finally:
        LOCAL.passing = before


def enclose() -> None:
    """Note, for the calls under way, that f has taken a derivative itself."""
    for call in calls_in_progress():
        call.record.enclosing = True
