"""The built-in engine: ``trace`` writes down, ``reverse`` pulls cotangents back, ``forward`` pushes tangents."""

from ..rules import registration as _rules  # noqa: F401  (the rules come before the operators that use them)
from . import quick

quick.install()
