"""The built-in engine: ``trace`` writes down, ``reverse`` pulls cotangents back, ``forward`` pushes tangents."""

from ..rules import registration as _rules  # noqa: F401  (the rules come before the operators that use them)
from . import checkpoints as _checkpoints  # noqa: F401  (what traced values do with a function to be run again)
from . import hooks as _hooks  # noqa: F401  (what traced values do with a function of cotangents)
from . import quick
from . import recorded_primitives as _recorded_primitives  # noqa: F401  (what traced values do with users' primitives)

quick.install()
