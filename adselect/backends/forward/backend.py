"""AutoForward: the built-in engine in forward mode, several tangents at a time."""

from __future__ import annotations

from collections.abc import Callable

from ...adtypes import ADType
from ...engine.entering import enter, is_uncovered, uncover
from ...engine.recording import behind_faces, push_behind_faces, push_forward
from ..backend import Call
from ..engine_backend import EngineBackend
from ..matrices import pullback_by_directions

__all__ = ["ForwardBackend"]


class ForwardBackend(EngineBackend):
    """Forward mode; a pullback is assembled from one pushforward per entry of the leaves."""

    reverse = False
    forward = True

    def __init__(self, adtype: ADType):
        super().__init__(adtype)
        self.chunk_size = getattr(adtype, "chunk_size", None) or 64

    def pushforwards(self, call: Call, leaves: list, directions: list[list]) -> tuple[list, list[list], list]:
        return push_forward(call, leaves, directions, self.chunk_size)

    def pullback(self, call: Call, leaves: list) -> tuple[list, list, Callable[[list], list]]:
        def push(call: Call, leaves: list, directions: list[list]) -> tuple[list, list[list], list]:
            return push_behind_faces(call, leaves, directions, self.chunk_size)

        outputs, aux, back = pullback_by_directions(push, call, leaves)
        if not is_uncovered(leaves):
            return outputs, aux, back

        def pull(y_bars: list) -> list:
            return uncover(back([enter(g) for g in y_bars]))

        return uncover(outputs), uncover(aux), pull

    def linearized_matrix(self, call: Call, leaves: list) -> tuple[list, list]:
        return behind_faces(super().linearized_matrix, call, leaves)
