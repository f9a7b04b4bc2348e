"""SecondOrder(outer, inner): one backend differentiates what another has differentiated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..adtypes import SecondOrder
from ..backends.backend import Backend, Call
from ..backends.choice import backend_of
from ..calls.operator_facts import facts_of
from ..face.array import Array
from ..frameworks import FRAMEWORKS
from ..structure.flattening import flatten
from ..structure.leaves import is_value
from ..values.natives import framework_of
from .differentiate_with import pulled_back

__all__ = ["SecondOrderBackend"]


class SecondOrderBackend(Backend):
    """Two backends; what is no second derivative is inner's."""

    def __init__(self, adtype: SecondOrder):
        super().__init__(adtype)
        self._outer, self._inner = backend_of(adtype.outer), backend_of(adtype.inner)
        self.reverse, self.forward = self._inner.reverse, self._inner.forward
        self.detects_independence = self._inner.detects_independence

    @property
    def outer(self) -> Backend:
        return self._outer

    def inner_for(self, leaves: list) -> Backend:
        own = self._inner.adtype.requires
        if not any([row.name == own for row in FRAMEWORKS]):
            return self._inner  # arithmetic on whatever outer gives to f
        given = {v._framework.lower() if isinstance(v, Array) else framework_of(v) or None for v in leaves}
        return _Bridged(self._inner) if given - {None, own} else self._inner

    def pullback(self, call: Call, leaves: list) -> tuple[list, list, Callable[[list], list]]:
        return self._inner.pullback(call, leaves)

    def pushforwards(self, call: Call, leaves: list, directions: list[list]) -> tuple[list, list[list], list]:
        return self._inner.pushforwards(call, leaves, directions)

    def linearized_matrix(self, call: Call, leaves: list) -> tuple[list, list]:
        return self._inner.linearized_matrix(call, leaves)

    def prepare(self, operator: Callable, f: Callable, args: tuple, options: dict, check: str) -> Callable | None:
        facts = facts_of(operator)
        if facts is None or facts.order > 1:
            return None
        return self._inner.prepare(operator, f, args, options, check)

    def why_plain(self, operator: Callable) -> str:
        facts = facts_of(operator)
        if facts is None or facts.order > 1:
            return "a second derivative by two backends is not prepared"
        return self._inner.why_plain(operator)

    def refusal(self, error: Exception) -> Exception | None:
        return self._inner.refusal(error)

    def explain(self, error: Exception) -> str | None:
        return self._inner.explain(error)

    def rule_for(self, f: Any) -> str:
        return self._inner.rule_for(f)


class _Bridged(Backend):
    """A backend at values of another framework: its pullback as a function that the other differentiates."""

    def __init__(self, backend: Backend):
        super().__init__(backend.adtype)

    def pullback(self, call: Any, leaves: list) -> tuple[list, list, Callable[[list], list]]:
        def f(*values: Any) -> Any:
            return call.f(*call.skeleton.rebuild(list(values)), **call.kwargs)

        y, back = pulled_back(f, self.adtype, leaves)
        outputs, call.structure = flatten((y,), also=is_value)
        return outputs, [], back
