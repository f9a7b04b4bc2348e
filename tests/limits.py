"""What a backend is known not to do: (backend, case) → reason.

The table is strict: an entry that no longer fails is itself a failure, and so is an entry that names no case.
"""

from __future__ import annotations

import pytest

LIMITS: dict[tuple[str, str], str] = {}


def judge(backend_name: str, case: str, problems: list[str]) -> None:
    """Fail on problems, unless they are in the table; fail on entries that have become wrong."""
    reason = LIMITS.get((backend_name, case))
    if reason is None:
        assert not problems, "\n".join(problems)
    elif not problems:
        pytest.fail(f"({backend_name!r}, {case!r}) is in LIMITS and does not fail: remove the entry")
    else:
        pytest.xfail(reason)
