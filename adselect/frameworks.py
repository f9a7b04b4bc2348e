"""The frameworks, one row each: the only place outside their own packages, beside the choices, where they are named."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FRAMEWORKS", "PACKAGES", "Framework"]


class Framework(NamedTuple):
    """A framework that may be loaded; nothing of it is imported for this.

    name: in messages. module: loaded where there are arrays of it. packages: what its code is in. natives: where its
    arrays are described. layers: whether it has containers of parameters, which are entered as users' own objects are;
    all else of it stays closed. graphs: whether it writes the Python that runs down as a graph, so that a primitive's
    call has to be taken by ``call_while_writing`` of the same file. known: the versions that the tests have run with.
    """

    name: str
    module: str
    packages: tuple[str, ...]
    natives: str
    known: str
    layers: bool = False
    graphs: bool = False


FRAMEWORKS = (
    Framework("jax", "jax", ("jax", "jaxlib"), "adselect.backends.jax.natives:JaxNatives", "0.10.0 to 0.10.2"),
    Framework(
        "torch", "torch", ("torch",), "adselect.backends.torch.natives:TorchNatives", "2.13.0", layers=True, graphs=True
    ),
    Framework(
        "autograd", "autograd.tracer", ("autograd",), "adselect.backends.autograd.natives:AutogradNatives", "1.9.1"
    ),
)
PACKAGES = frozenset(package for framework in FRAMEWORKS for package in framework.packages)
