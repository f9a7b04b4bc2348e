"""What the operator sweep is known not to do: (backend, operator) → reason. Strict: an entry that passes fails."""

from __future__ import annotations

LIMITS: dict[tuple[str, str], str] = {}

# Operators whose subgradient at ties is another one in PyTorch: their samples are moved off the ties.
TIES: frozenset[str] = frozenset()
