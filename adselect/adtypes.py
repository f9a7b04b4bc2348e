"""Choices: which backend differentiates. Frozen, hashable, picklable data that imports no framework.

The idea and the names come from Julia's ADTypes.jl. A choice is data; the behaviour behind it lives in
``adselect.backends`` and is loaded on first use.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, fields
from typing import Any

from .errors import ADSelectTypeError, ADSelectValueError
from .values.kinds import isa

__all__ = [
    "ADType",
    "AutoAutograd",
    "AutoFiniteDifferences",
    "AutoForward",
    "AutoJax",
    "AutoTape",
    "AutoTorch",
    "SecondOrder",
]


class ADType:
    """Base class of all choices.

    A third-party package adds a backend by subclassing ADType (a frozen dataclass) and either setting the class
    attribute ``backend`` to ``"package.module:ClassName"`` or calling
    :func:`adselect.backends.choice.register_backend`.

    >>> from adselect import AutoTape
    >>> AutoTape()
    AutoTape()
    """

    # Where the behaviour lives: "module:Class", imported on first use.
    backend: str = ""
    # Distribution to install when the import fails, and the extra of adselect that brings it ("" = always there).
    requires: str = ""
    extra: str = ""
    # What people also call it, in lower-case letters and digits: a text that is one of them names this choice.
    aliases: tuple[str, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __post_init__(self) -> None:
        wanted = getattr(self, "own_rules", ())
        if isa(wanted, bool):
            object.__setattr__(self, "own_rules", wanted or ())
        elif callable(wanted) or isinstance(wanted, str):
            raise ADSelectTypeError(f"own_rules= takes True or a tuple of functions: write own_rules=({wanted!r},)")
        elif not hasattr(wanted, "__iter__"):
            raise _unfit(self, "own_rules", "True or a tuple of functions")
        else:
            object.__setattr__(self, "own_rules", tuple(wanted))

    def __repr__(self) -> str:
        shown = []
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if value != field.default:
                shown.append(f"{field.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


_FACES = ("auto", "numpy", "native")
_DEVICES = ("cpu", "cuda", "mps", "xpu", "hpu", "mtia", "xla", "ipu", "vulkan", "maia", "lazy", "privateuseone")


def _unfit(adtype: ADType, name: str, accepted: str, kind: type = ADSelectTypeError) -> Exception:
    """The error for an option of a choice that cannot be what it was given."""
    return kind(f"{type(adtype).__name__}({name}={getattr(adtype, name)!r}): {name}= takes {accepted}")


def _is_switch(adtype: ADType, *names: str) -> None:
    """Hold options to True or False."""
    for name in names:
        if not isa(getattr(adtype, name), bool):
            raise _unfit(adtype, name, "True or False")


def _is_face(adtype: ADType) -> None:
    """Hold the option face to the faces there are."""
    face = adtype.face  # type: ignore[attr-defined]
    if not isinstance(face, str) or face not in _FACES:
        raise _unfit(adtype, "face", " or ".join(map(repr, _FACES)), ADSelectValueError)


def _positive_integer(adtype: ADType, name: str, accepted: str) -> None:
    """Hold an option to None or a whole number from 1 on, which is kept as an int."""
    value = getattr(adtype, name)
    if value is None:
        return
    try:
        number = operator.index(value)
    except TypeError:
        raise _unfit(adtype, name, accepted) from None
    if isa(value, bool):
        raise _unfit(adtype, name, accepted)
    if number < 1:
        raise _unfit(adtype, name, accepted, ADSelectValueError)
    object.__setattr__(adtype, name, number)


@dataclass(frozen=True, repr=False)
class AutoTape(ADType):
    """The built-in engine: an eager tape on NumPy, reverse mode. The default when no adtype is given.

    replay: whether a prepared operator may replay its traced program; native: whether it is compiled with numba, which
    pays for loops over numbers and short arrays (at most 4,096 entries). Cost of a gradient: a small constant (2–4)
    times one evaluation of f.

    >>> import adselect as ad
    >>> ad.gradient(lambda x: x**2, ad.AutoTape(), 3.0)
    (6.0,)
    """

    replay: bool = True
    native: bool = False
    backend = "adselect.backends.tape.backend:TapeBackend"
    aliases = ("numpy",)

    def __post_init__(self) -> None:
        super().__post_init__()
        _is_switch(self, "replay", "native")


@dataclass(frozen=True, repr=False)
class AutoForward(ADType):
    """The built-in engine in forward mode: tangents pushed through the same rules, ``chunk_size`` at a time.

    Cost of a gradient: about n/chunk_size evaluations of f plus n pushforwards, memory independent of f's length.

    >>> import adselect as ad
    >>> ad.derivative(lambda t: t**3, ad.AutoForward(), 2.0)
    12.0
    """

    chunk_size: int | None = None
    backend = "adselect.backends.forward.backend:ForwardBackend"
    aliases = ("forwardmode", "fwd")

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive_integer(self, "chunk_size", "a number of tangents from 1 on, or None")


@dataclass(frozen=True, repr=False)
class AutoJax(ADType):
    """JAX. Unprepared calls run eagerly, so Python branches work; ``jit`` says whether prepared calls are jitted.

    face: what f sees. ``"auto"``: NumPy arguments as arrays that speak NumPy's protocols, jax arrays as they are, and
    where f turns out to be NumPy code those, too, behind NumPy's protocols. ``"numpy"``: everything behind them;
    ``"native"``: jax arrays, also for NumPy arguments. Results are of the arguments' kind always. own_rules: NumPy
    functions, as a tuple, whose derivative is adselect's own rule instead of JAX's; True for all that have one. To
    hold the two against each other, or where JAX's is not to be had.

    >>> from adselect import AutoJax
    >>> AutoJax(face="native")
    AutoJax(face='native')
    """

    jit: bool = True
    face: str = "auto"
    own_rules: Any = ()
    backend = "adselect.backends.jax.backend:JaxBackend"
    requires = "jax"
    extra = "jax"
    aliases = ("jnp", "jaxnumpy")

    def __post_init__(self) -> None:
        super().__post_init__()
        _is_switch(self, "jit")
        _is_face(self)


@dataclass(frozen=True, repr=False)
class AutoTorch(ADType):
    """PyTorch's autograd. ``compile``: whether prepared calls go through torch.compile; ``device``: where to run.

    face and own_rules: as for :class:`AutoJax`.

    >>> from adselect import AutoTorch
    >>> AutoTorch()
    AutoTorch()
    """

    compile: bool = False
    device: Any = None
    face: str = "auto"
    own_rules: Any = ()
    backend = "adselect.backends.torch.backend:TorchBackend"
    requires = "torch"
    extra = "torch"
    aliases = ("pytorch",)

    def __post_init__(self) -> None:
        super().__post_init__()
        _is_switch(self, "compile")
        _is_face(self)
        device = self.device
        if isinstance(device, str):
            kind, colon, number = device.partition(":")
            if kind not in _DEVICES or (colon and not number.isdecimal()):
                accepted = f"None, a device such as 'cpu' or 'cuda:0' ({', '.join(_DEVICES)}), or a torch.device"
                raise _unfit(self, "device", accepted, ADSelectValueError)
        elif device is not None and (not isinstance(getattr(device, "type", None), str) or isa(device, bool)):
            raise _unfit(self, "device", "None, a device such as 'cpu' or 'cuda:0', or a torch.device")


@dataclass(frozen=True, repr=False)
class AutoAutograd(ADType):
    """HIPS autograd. face and own_rules: as for :class:`AutoJax`.

    >>> from adselect import AutoAutograd
    >>> AutoAutograd() == AutoAutograd()
    True
    """

    face: str = "auto"
    own_rules: Any = ()
    backend = "adselect.backends.autograd.backend:AutogradBackend"
    requires = "autograd"
    extra = "autograd"
    aliases = ("hips", "hipsautograd", "autogradnumpy")

    def __post_init__(self) -> None:
        super().__post_init__()
        _is_face(self)


@dataclass(frozen=True, repr=False)
class AutoFiniteDifferences(ADType):
    """Central finite differences with coefficients from the ``findiff`` package.

    order: accuracy order of the stencil (even); step: ``"auto"`` chooses one per coordinate from the magnitude of
    x and the noise of f, or a number, or an array shaped like x; executor: any ``concurrent.futures.Executor``
    over which the evaluations of f are spread. Second derivatives are second differences of f; where its noise decides
    one, an InaccurateDerivativeWarning says so. Cannot see that a result does not depend on an argument: reports 0.

    >>> from adselect import AutoFiniteDifferences
    >>> AutoFiniteDifferences(order=4)
    AutoFiniteDifferences(order=4)
    """

    order: int | None = None
    step: Any = "auto"
    executor: Any = None
    backend = "adselect.backends.finite_differences.backend:FiniteDifferencesBackend"
    requires = "findiff"
    extra = "findiff"
    aliases = ("fd", "finitedifference", "finitediff", "finitediffs", "numericaldifferentiation")

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive_integer(self, "order", "an even order of accuracy from 2 on, or None")
        if self.order is not None and self.order % 2:
            raise _unfit(self, "order", "an even order of accuracy from 2 on, or None", ADSelectValueError)
        self._check_step()
        if self.executor is not None and not callable(getattr(self.executor, "submit", None)):
            accepted = "None or a concurrent.futures.Executor, something with a method submit"
            raise _unfit(self, "executor", accepted)

    def _check_step(self) -> None:
        step, accepted = self.step, '"auto", a positive number, or an array of positive numbers shaped like x'
        if isinstance(step, str):
            if step != "auto":
                raise _unfit(self, "step", accepted, ADSelectValueError)
            return
        if isa(step, bool) or step is None:
            raise _unfit(self, "step", accepted)
        try:
            numbers = [float(h) for h in (step.reshape(-1) if hasattr(step, "reshape") else _flat(step))]
        except (TypeError, ValueError):
            raise _unfit(self, "step", accepted) from None
        if not all(0 < h < math.inf for h in numbers):
            raise _unfit(self, "step", accepted, ADSelectValueError)


@dataclass(frozen=True, repr=False)
class SecondOrder(ADType):
    """Two choices for second derivatives: ``inner`` takes the derivative that ``outer`` differentiates.

    Any pair, across frameworks: where outer cannot see through inner's framework, inner's derivative is a function with
    a derivative of its own (see :func:`differentiate_with`). An operator of first order uses inner.

    >>> import numpy as np, adselect as ad
    >>> ad.hessian(lambda x: np.sum(x**3), ad.SecondOrder(ad.AutoForward(), ad.AutoTape()), np.array([1.0, 2.0]))
    array([[ 6.,  0.],
           [ 0., 12.]])

    Source: DifferentiationInterface.jl's ``SecondOrder``.
    """

    outer: ADType
    inner: ADType
    backend = "adselect.bridges.second_order:SecondOrderBackend"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("outer", "inner"):
            value = getattr(self, name)
            if isinstance(value, type) and issubclass(value, ADType):
                raise _unfit(self, name, f"an adtype, which is an object: write {value.__name__}()")
            if not isa(value, ADType):
                raise _unfit(self, name, "an adtype such as AutoTape()")
            if isinstance(value, SecondOrder):
                raise _unfit(self, name, "a choice of one backend, not SecondOrder")


def _flat(step: Any) -> list:
    """The entries of nested lists, or a number alone."""
    return [h for part in step for h in _flat(part)] if isinstance(step, (list, tuple)) else [step]
