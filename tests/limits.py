"""What a backend is known not to do: (backend, case) → reason.

The table is strict: an entry that no longer fails is itself a failure, and so is an entry that names no case.
"""

from __future__ import annotations

import pytest

_PLAIN = "f runs on plain numbers: a difference of zero does not tell whether f depends on the argument"
_OFTEN = "f is evaluated at every point of the stencil"

_NO_COTANGENTS = (
    "derivatives are put together without cotangents; an error says so and names the backends that have them"
)

LIMITS: dict[tuple[str, str], str] = {
    ("forward", "a hook changes the gradient"): _NO_COTANGENTS,
    ("finitedifferences", "a hook changes the gradient"): _NO_COTANGENTS,
    ("forward", "eager_update updates"): _NO_COTANGENTS,
    ("finitedifferences", "eager_update updates"): _NO_COTANGENTS,
    (
        "forward",
        "checkpointed runs f again for the reverse pass",
    ): "there is no reverse pass, and nothing is kept for it",
    ("finitedifferences", "checkpointed runs f again for the reverse pass"): _OFTEN,
    ("jax", "checkpointed runs f again for the reverse pass"): "JAX traces f once and runs what it wrote down again",
    ("autograd", "checkpointed runs f again for the reverse pass"): "autograd's traces cannot be taken up again",
    ("finitedifferences", "ignore_derivatives gives a constant"): _PLAIN,
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
