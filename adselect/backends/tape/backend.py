"""AutoTape: the built-in engine in reverse mode."""

from __future__ import annotations

from collections.abc import Callable

from ...calls.operator_facts import facts_of
from ...engine.recording import Recorded, behind_faces, push_forward, record
from ..backend import Call
from ..engine_backend import EngineBackend

__all__ = ["TapeBackend"]


class TapeBackend(EngineBackend):
    """Reverse mode by an eager tape; forward mode and Hessian columns by dual arrays over it."""

    reverse = True
    forward = True

    def pullback(self, call: Call, leaves: list) -> tuple[list, list, Callable[[list], list]]:
        return record(call, leaves)

    def pull_once(self, back: Callable, y_bars: list) -> list:
        # A subclass may have put a function of its own around it.
        return back.once(y_bars) if isinstance(back, Recorded) else back(y_bars)

    def pull_into(self, back: Callable, y_bars: list, buffers: list) -> list:
        return back.into(y_bars, buffers) if isinstance(back, Recorded) else back(y_bars)

    def prepare(self, operator: Callable, f: Callable, args: tuple, options: dict, check: str) -> Callable | None:
        """A replayed version of the operator, or None where replay was declined.

        A pullback returns a function of seeds that are not known yet: it stays eager.
        """
        facts = facts_of(operator)
        if not self.adtype.replay or (facts is not None and facts.returns_function):  # type: ignore[attr-defined]
            return None
        from ...replay.prepared import ReplayedOperator

        return ReplayedOperator(operator, f, self.adtype, args, options, check)  # type: ignore[arg-type]

    def why_plain(self, operator: Callable) -> str:
        """Why a prepared operator is the plain call here."""
        if not self.adtype.replay:  # type: ignore[attr-defined]
            return "AutoTape(replay=False) asks for eager calls"
        return "pullback returns a function of seeds that are not known yet; prepare gradient, jacobian or hvp"

    def pushforwards(self, call: Call, leaves: list, directions: list[list]) -> tuple[list, list[list], list]:
        return push_forward(call, leaves, directions, None)

    def linearized_matrix(self, call: Call, leaves: list) -> tuple[list, list]:
        return behind_faces(super().linearized_matrix, call, leaves)
