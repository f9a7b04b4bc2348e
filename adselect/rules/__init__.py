"""Derivative rules, registered on import; ``registry`` says what a rule is."""

from . import calls, elementwise, fft, indexing, linalg, reductions, shaping  # noqa: F401  (registration)
