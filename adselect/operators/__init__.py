"""The operators: validation and derivation from a backend's pullback and pushforward; no framework is named here."""

from .. import guests as _guests  # noqa: F401  (makes the containers of other libraries known)
from . import rule_config as _rule_config  # noqa: F401  (rules that differentiate borrow it)
