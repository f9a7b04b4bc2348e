"""prepare: an operator made ready for many calls with arguments of one structure, shape and dtype."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..adtypes import ADType
from ..errors import ADSelectError, ADSelectTypeError, ADSelectValueError
from ..structure.duplicated import Duplicated
from ..values.kinds import isa
from .choosing import take_adtype
from .duplicating import PreparedDuplicated, refuse_duplicated
from .implicit import is_implicit
from .prepared_operator import Prepared, PreparedAtParams

__all__ = ["Prepared", "prepare", "source"]


def prepare(
    operator: Callable,
    f: Callable,
    /,
    *args: Any,
    adtype: ADType | None = None,
    strict: str = "error",
    check: str | bool = "sometimes",
    **kwargs: Any,
) -> Any:
    """``prepare(operator, f, [adtype,] *args)``: a callable with the operator's result for other arguments like these.

    operator is any operator of adselect (``gradient``, ``withgradient``, ``jacobian``, ``hessian``, …); args are
    typical arguments: their structure, shapes and dtypes count, not their values. What can be done once is done here:
    AutoTape traces the operator's whole computation and replays it as straight-line NumPy with reused buffers, AutoJax
    compiles it, finite differences keep their stencils. Keyword arguments of f are fixed here; options of the operator
    (``missing=``, ``out=``, ``check=True``, ``check_finite=True``) may be given here or in the call.

    The contract is that of ``jax.jit``: f is pure, and what it captures is frozen here. That is watched: another
    branch, another slice, mask, flag or function among the arguments, and new contents of a captured array are traced
    when they first come up; a captured name that was rebound is an error that names it.

    strict: what to do with arguments of another structure, shape or dtype: ``"error"``, ``"convert"`` (to the dtype and
    kind prepared for, where no value changes) or ``"retrace"``. check: ``"sometimes"`` (the first replay and then at
    doubling intervals), ``"always"`` or ``"never"`` compares a replay with the eager result and raises
    ADSelectValueError on a difference. True is "always", and holds every value against a plain call of f besides.

    Raises PreparationMismatchError for arguments that do not fit. Where AutoTape cannot replay, calls run eagerly; a
    NotReplayedWarning says why, and so does the object's repr. The callable may be used from several threads, copied,
    and sent to other processes. Where an argument is ``Duplicated`` each call is given one, and writes into its
    memory.

    >>> import numpy as np, adselect as ad
    >>> g = prepare(ad.gradient, lambda x: np.sum(x**3), ad.AutoTape(), np.zeros(2))
    >>> g(np.array([1.0, 2.0]))
    (array([ 3., 12.]),)
    """
    if not callable(operator) or not callable(f):
        raise ADSelectTypeError("prepare takes an operator and a function: write prepare(gradient, f, adtype, *args)")
    if strict not in ("error", "convert", "retrace"):
        raise ADSelectValueError(f"strict must be 'error', 'convert' or 'retrace', not {strict!r}")
    if isa(check, bool):
        kwargs, check = {**kwargs, "check": check}, "always" if check else "sometimes"
    if check not in ("sometimes", "always", "never"):
        raise ADSelectValueError(f"check must be 'sometimes', 'always', 'never' or True, not {check!r}")
    chosen, args = take_adtype("prepare", args, adtype)
    if is_implicit(args):
        return PreparedAtParams(operator, f, chosen, args, kwargs, strict, check)
    if Duplicated in map(type, args):
        refuse_duplicated(operator)
        return PreparedDuplicated(
            operator, args, kwargs, lambda plain, o: Prepared(operator, f, chosen, plain, o, strict, check)
        )
    return Prepared(operator, f, chosen, args, kwargs, strict, check)


def source(prepared: Prepared) -> str:
    """The generated adjoint of a prepared operator as readable Python: what is replayed, constants folded.

    Comments name the user's line each part comes from. Raises ADSelectError when nothing is replayed (another backend,
    or a computation that has to stay eager; the message says why).

    >>> import adselect as ad
    >>> print(source(ad.prepare(ad.gradient, lambda x: 5 * x + 3, 1.0)))
    def gradient(x):
        return 5.0
    """
    run = getattr(prepared._run, "source", None)
    if run is None:
        why = prepared.reason or "only AutoTape(replay=True) writes source"
        raise ADSelectError(f"{prepared!r} replays nothing: {why}")
    return run()
