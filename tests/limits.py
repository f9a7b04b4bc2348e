"""What a backend is known not to do: (backend, case) → reason.

The table is strict: an entry that no longer fails is itself a failure, and so is an entry that names no case.
"""

from __future__ import annotations

import pytest

_PLAIN = "f runs on plain numbers: a difference of zero does not tell whether f depends on the argument"
_OFTEN = "f is evaluated at every point of the stencil"

LIMITS: dict[tuple[str, str], str] = {
    ("finitedifferences", "None for an unused argument"): _PLAIN,
    ("finitedifferences", "None for an unused part of a structure"): _PLAIN,
    ("finitedifferences", "None where only the shape is read"): _PLAIN,
    ("finitedifferences", "None for an integer index"): _PLAIN,
    ("finitedifferences", "None behind a comparison"): _PLAIN,
    ("finitedifferences", "f runs once"): _OFTEN,
    (
        "finitedifferences",
        "a primitive's rule is used",
    ): "differences know no rules: they are what rules are checked with",
}


def judge(backend_name: str, case: str, problems: list[str], limits: dict[tuple[str, str], str] = LIMITS) -> None:
    """Fail on problems, unless they are in the table; fail on entries that have become wrong."""
    reason = limits.get((backend_name, case))
    if reason is None:
        assert not problems, "\n".join(problems)
    elif not problems:
        pytest.fail(f"({backend_name!r}, {case!r}) is in LIMITS and does not fail: remove the entry")
    else:
        pytest.xfail(reason)
