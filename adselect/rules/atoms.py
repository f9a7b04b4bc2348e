"""The atoms: the functions that all others are written with, and so what a framework's table has to cover.

A function of NumPy's has a rule, or no derivative, or it is a *composite*, written with other functions. Composites end
in functions that are none: these are the atoms. A face whose table has every atom carries out every function there is;
what else is in a table is a shortcut, and says why it is there. Reading and writing by an index are no functions of the
table's: the face does them itself (``_getitem``, ``_setitem``).
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..face.atoms import scatter_parts, set_item
from .registration import load_all
from .registry import COMPOSITES, NO_DERIVATIVE, RULES

__all__ = ["atoms", "may_stay_with_numpy"]

_BY_INDEX = frozenset({operator.getitem, set_item, scatter_parts})


def atoms() -> frozenset:
    """The functions that a framework translates, or leaves to NumPy where that is possible.

    >>> np.sin in atoms(), np.sum in atoms(), np.stack in atoms()
    (True, True, False)
    """
    load_all()
    return frozenset(f for f in (*RULES, *NO_DERIVATIVE) if _is_atom(f))


def may_stay_with_numpy(atom: Any) -> bool:
    """Whether a framework need not have this atom: NumPy computes it on the host, and its derivative is the rule's.

    So it is for what is computed entry by entry, and for what has no derivative.

    >>> may_stay_with_numpy(np.sin), may_stay_with_numpy(np.argsort), may_stay_with_numpy(np.sum)
    (True, True, False)
    """
    load_all()
    return atom in NO_DERIVATIVE or RULES[atom].pointwise


def _is_atom(function: Any) -> bool:
    if function in COMPOSITES or function in _BY_INDEX or getattr(function, "written_out", False):
        return False
    if isinstance(function, np.ufunc):  # those of scipy.special are loaded with it, or are not
        return getattr(np, function.__name__, None) is function
    return not getattr(function, "__module__", "").startswith("adselect.rules.special")
