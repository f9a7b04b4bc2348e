"""Calls with Duplicated arguments: cotangents go into memory that is there already."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backends.backend import Backend
from ..calls.flat import FlatCall
from ..calls.operator_facts import OPERATORS, facts_of
from ..calls.results import check_missing_option
from ..errors import ADSelectTypeError, ADSelectValueError, PreparationMismatchError, user_line
from ..structure.duplicated import Duplicated
from ..structure.flattening import flatten, map_leaves
from ..structure.leaves import Const

__all__ = ["Duplicates", "PreparedDuplicated", "refuse_duplicated"]


class Duplicates:
    """The Duplicated arguments of one call, of an operator that gives one cotangent per argument.

    ``args`` are the arguments with the models themselves and everything else as constants; zero is the option of that
    name, which is taken out of the keyword arguments.
    """

    __slots__ = ("args", "found", "leaves", "operator", "places", "zero")

    def __init__(self, operator: str, args: tuple, kwargs: dict, missing: str, out: Any):
        check_missing_option(missing)
        self.operator, self.zero = operator, kwargs.pop("zero", True)
        if type(self.zero) is not bool:
            raise ADSelectTypeError(f"{operator}: zero= is True or False, not {self.zero!r} ({user_line()})")
        if missing == "error":
            raise ADSelectValueError(
                f"{operator} with a Duplicated argument writes zeros where f does not depend on an array "
                f"({user_line()}): missing='error' is for calls with the model itself"
            )
        if out is not None:
            raise ADSelectTypeError(
                f"{operator} with a Duplicated argument takes no out= ({user_line()}): the gradient is in its memory"
            )
        self.places = [type(a) is Duplicated for a in args]
        self.found: list[Duplicated] = [a for a in args if type(a) is Duplicated]
        if len({id(d) for d in self.found}) < len(self.found):
            raise ADSelectValueError(
                f"{operator} was given the same Duplicated twice ({user_line()}): one gradient would overwrite the "
                "other. Give one of them as Const(model)"
            )
        self.leaves = [d.leaves() for d in self.found]
        self.args = tuple([a.value if type(a) is Duplicated else a if isinstance(a, Const) else Const(a) for a in args])

    def pulled(self, backend: Backend, call: FlatCall, back: Callable, seeds: list) -> tuple[list, tuple]:
        """``(cotangents, gradient)``: the gradient from one pullback into the memory of the arguments."""
        if call.notices:
            grads = call.passed(backend.pull_once(back, seeds))
            return grads, self.received(grads)
        with self._held():
            targets = [t for d in self.found for t in d.targets(self.zero)]
            buffers = [t if type(t) is np.ndarray else None for t in targets]
            return [], self._received(backend.pull_into(back, seeds, buffers))

    def received(self, grads: list) -> tuple:
        """The gradient from cotangents, one for each leaf of the models."""
        with self._held():
            return self._received(grads)

    def taken(self, result: tuple) -> tuple:
        """The same from the result of the operator for the models themselves, without None."""
        return self.received([g for here, r in zip(self.places, result, strict=True) if here for g in flatten((r,))[0]])

    def _received(self, grads: list) -> tuple:
        remaining = iter(grads)
        trees = iter(
            [
                d.receive([next(remaining) for _ in leaves], leaves, self.zero)
                for d, leaves in zip(self.found, self.leaves, strict=True)
            ]
        )
        return tuple([next(trees) if here else None for here in self.places])

    @contextlib.contextmanager
    def _held(self) -> Any:
        """The arguments to this call alone; a call that fails leaves no half of a gradient behind."""
        with contextlib.ExitStack() as stack:
            for d in sorted(self.found, key=id):
                stack.enter_context(d._lock)
            try:
                yield
            except BaseException:
                if self.zero:
                    for d in self.found:
                        d.zero()
                raise


def refuse_duplicated(operator: Callable | str) -> None:
    """Raise for an operator that has nothing to write into a Duplicated argument."""
    function = OPERATORS.get(operator) if isinstance(operator, str) else operator
    facts = None if function is None else facts_of(function)
    if facts is None or not facts.gradient:
        name = operator if isinstance(operator, str) else getattr(operator, "__name__", "the operator")
        raise ADSelectTypeError(
            f"{name} was given a Duplicated argument ({user_line()}): its memory is for what gradient and withgradient "
            f"find. Pass the model itself, {name}(f, model.value)"
        )


class PreparedDuplicated:
    """A prepared gradient that is written into the memory of the Duplicated arguments of each call.

    ``prepared(*args, zero=True)``. It is copied and pickled as what it is made of, another prepared operator.
    """

    def __init__(self, operator: Callable, args: tuple, options: dict, prepare: Callable[[tuple, dict], Any]):
        self.name = operator.__name__
        self.with_value = facts_of(operator).with_value  # type: ignore[union-attr]
        options = dict(options)
        self.zero = options.get("zero", True)
        call = Duplicates(self.name, args, options, options.pop("missing", "none"), options.pop("out", None))
        self.places = call.places
        self.prepared = prepare(call.args, {**options, "missing": "zeros"})

    def __call__(self, /, *args: Any, **options: Any) -> Any:
        """The operator's result at args, in the memory of those that are Duplicated."""
        if [type(a) is Duplicated for a in args] != self.places:
            here = ", ".join([f"args[{i}]" for i, place in enumerate(self.places) if place])
            raise PreparationMismatchError(
                f"{self.name} was prepared with Duplicated arguments at {here} of {len(self.places)} ({user_line()}); "
                "give each call a Duplicated there and nowhere else"
            )
        options = {"zero": self.zero, **options}
        looks = {k: options.pop(k) for k in ("check", "check_finite") if k in options}
        call = Duplicates(self.name, args, options, options.pop("missing", "none"), options.pop("out", None))
        if options:
            raise ADSelectTypeError(
                f"the prepared {self.name} was called with {', '.join(f'{k}=' for k in options)} ({user_line()}); with "
                "a Duplicated argument it takes zero=, check= and check_finite=; everything else is fixed in prepare"
            )

        def take(result: Any) -> Any:
            if not self.with_value:
                return call.taken(result)
            value = result.val if type(result.val) in (float, np.float64) else map_leaves(np.copy, result.val)
            return result._replace(val=value, grad=call.taken(result.grad))

        return take(self.prepared(*call.args, **looks)) if looks else self.prepared.lend(call.args, take)

    @property
    def reason(self) -> str:
        """Why calls are not replayed, "" where they are."""
        return self.prepared.reason

    @property
    def _run(self) -> Any:
        return self.prepared._run

    def __repr__(self) -> str:
        return f"{self.prepared!r} into Duplicated"
