"""Choices: which backend differentiates. Frozen, hashable, picklable data that imports no framework.

The idea and the names come from Julia's ADTypes.jl. A choice is data; the behaviour behind it lives in
``adselect.backends`` and is loaded on first use.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from .kinds import isa

__all__ = [
    "ADType",
    "AutoAutograd",
    "AutoFiniteDifferences",
    "AutoForward",
    "AutoJax",
    "AutoTape",
    "AutoTorch",
]


class ADType:
    """Base class of all choices.

    A third-party package adds a backend by subclassing ADType (a frozen dataclass) and either setting the class
    attribute ``backend`` to ``"package.module:ClassName"`` or calling
    :func:`adselect.backends.base.register_backend`.

    >>> from adselect import AutoTape
    >>> AutoTape()
    AutoTape()
    """

    # Where the behaviour lives: "module:Class", imported on first use.
    backend: str = ""
    # Distribution to install when the import fails, and the extra of adselect that brings it ("" = always there).
    requires: str = ""
    extra: str = ""

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __post_init__(self) -> None:
        wanted = getattr(self, "own_rules", ())
        if isa(wanted, bool):
            object.__setattr__(self, "own_rules", wanted or ())
        elif callable(wanted) or isinstance(wanted, str):
            raise TypeError(f"own_rules= takes True or a tuple of functions: write own_rules=({wanted!r},)")
        else:
            object.__setattr__(self, "own_rules", tuple(wanted))

    def __repr__(self) -> str:
        shown = []
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if value != field.default:
                shown.append(f"{field.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


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
    backend = "adselect.backends.tape:TapeBackend"


@dataclass(frozen=True, repr=False)
class AutoForward(ADType):
    """The built-in engine in forward mode: tangents pushed through the same rules, ``chunk_size`` at a time.

    Cost of a gradient: about n/chunk_size evaluations of f plus n pushforwards, memory independent of f's length.

    >>> import adselect as ad
    >>> ad.derivative(lambda t: t**3, ad.AutoForward(), 2.0)
    12.0
    """

    chunk_size: int | None = None
    backend = "adselect.backends.forward:ForwardBackend"


@dataclass(frozen=True, repr=False)
class AutoJax(ADType):
    """JAX. Unprepared calls run eagerly, so Python branches work; ``jit`` says whether prepared calls are jitted.

    face: ``"numpy"`` hands f arrays that speak NumPy's protocols, ``"native"`` hands it jax arrays. own_rules: NumPy
    functions, as a tuple, whose derivative is adselect's own rule instead of JAX's; True for all that have one. To
    hold the two against each other, or where JAX's is not to be had.

    >>> from adselect import AutoJax
    >>> AutoJax(face="native")
    AutoJax(face='native')
    """

    jit: bool = True
    face: str = "numpy"
    own_rules: Any = ()
    backend = "adselect.backends.jax_:JaxBackend"
    requires = "jax"
    extra = "jax"


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
    face: str = "numpy"
    own_rules: Any = ()
    backend = "adselect.backends.torch_:TorchBackend"
    requires = "torch"
    extra = "torch"


@dataclass(frozen=True, repr=False)
class AutoAutograd(ADType):
    """HIPS autograd. face and own_rules: as for :class:`AutoJax`.

    >>> from adselect import AutoAutograd
    >>> AutoAutograd() == AutoAutograd()
    True
    """

    face: str = "numpy"
    own_rules: Any = ()
    backend = "adselect.backends.autograd_:AutogradBackend"
    requires = "autograd"
    extra = "autograd"


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
    backend = "adselect.backends.finite_differences:FiniteDifferencesBackend"
    requires = "findiff"
    extra = "findiff"
