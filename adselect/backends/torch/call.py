"""One call of f on torch: leaves become tensors, results come back as they were given."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from ...errors import UnsupportedError, user_line
from ...face.array import Array
from ...face.dispatch import absorb
from ...face.integers import whole_behind
from ...values.kinds import isa
from ..faces import call_again, is_numpy_code, wants_numpy
from .face import INEXACT, SELECTIONS, TorchArray, to_numpy
from .gradients import gradient_of, own_variable
from .graph import AS_IT_IS, belongs_outside, recording
from .guard import Guard
from .operands import SHARED, from_numpy
from .progress import LOCAL, close_block, enclose, evaluating, open_block
from .recording import Graph, Transform, is_in_transform

if TYPE_CHECKING:
    from .backend import TorchBackend


class Call:
    """One call of f: lifts the leaves, records, and gives results back in the form of what was put in.

    places[i] is the number among the recorded inputs of leaf i, slots[k] that of output k among the recorded outputs;
    None where there is no derivative. ``keep``: results belong to a graph outside and have to stay in it.
    """

    def __init__(self, backend: TorchBackend, call: Callable, leaves: list):
        self.backend, self.leaves = backend, leaves
        self.face = backend.adtype.face != "native"
        self.covers = False  # covers: native leaves are put behind the face, too
        self.captured = False  # f met a tensor of a graph that is not ours
        n = len(leaves)
        self.integers: list = [None] * n
        in_transform, watched = is_in_transform(), torch.is_grad_enabled()
        connected: list = []
        self.ordinary = self.face and watched and not in_transform and backend.is_ordinary(leaves)
        block = open_block(n)
        self.start = start = block[0]
        before, shared = SELECTIONS.enter(start), SHARED.enter(self.ordinary)
        try:
            if self.ordinary:
                self.native = self.arrays = [False] * n
                self.places: list = list(range(n))
                variables = [own_variable(leaf) for leaf in leaves]
                self.record: Any = Graph(variables)
                lifted = [TorchArray(v, 1 << (start + i))._given_as(leaves[i]) for i, v in enumerate(variables)]
                self.record.outputs, others = self._called(call, lifted)
            else:
                self.native = [isinstance(leaf, Tensor) for leaf in leaves]
                self.covers = any(self.native) and wants_numpy(backend.adtype.face, call)
                self.arrays = [isinstance(leaf, Array) for leaf in leaves]
                self.places = []
                with recording():
                    values, connected = self._entering(in_transform, watched)
                    if in_transform and values:
                        self.record = Transform(values)
                    else:  # a leaf of an outer graph goes on in it, any other one starts a graph of its own
                        values = [
                            v.view_as(v) if outer else v.requires_grad_()
                            for v, outer in zip(values, connected, strict=True)
                        ]
                        self.record = Graph(values, any(self.native) or not self.face)
                    others = self.record.run(lambda variables: self._run(call, variables))
        finally:
            close_block(block)
            selecting = SELECTIONS.leave(before)
            read = SHARED.leave(shared)
        self.record.read = read
        if others or not self.ordinary:
            self._settle(others)
        # The recorded inputs that were compared with one another.
        self.selecting = {place for i, place in enumerate(self.places) if selecting >> i & 1} if selecting else set()
        self.outer = 0
        for y in self.outputs:
            self.outer |= self._outer(y)
        beginning_elsewhere = watched and (self.captured or any(self.native) or not self.face)
        self.keep = (
            in_transform
            or any(connected)
            or bool(self.outer)
            or (beginning_elsewhere and belongs_outside(self.record.outputs, self.record.inputs))
        )
        if self.keep:
            enclose()

    # -- in ------------------------------------------------------------------------------------------------------

    def _entering(self, in_transform: bool, watched: bool) -> tuple[list, list]:
        """The tensors behind the leaves, and which of them go on in a graph outside of this call."""
        values, connected = [], []
        for i, leaf in enumerate(self.leaves):
            value = self._value(leaf, i)
            self.places.append(None if value is None else len(values))
            if value is not None:
                outer = in_transform or (watched and self._outside(leaf))
                foreign = isinstance(leaf, (Array, Tensor))
                values.append(value.detach().clone() if foreign and not outer else value)
                connected.append(outer)
        return values, connected

    def _value(self, leaf: Any, i: int) -> Tensor | None:
        """The tensor behind a leaf, in a floating dtype, where it is to live."""
        if isinstance(leaf, Array):
            if not isinstance(leaf, TorchArray):
                raise UnsupportedError(
                    f"argument {i} belongs to an outer derivative of another backend ({type(leaf).__name__}): use the "
                    "same adtype inside and outside, or adselect.differentiate_with(f, AutoTorch())"
                )
            value, self.integers[i] = leaf._primal, leaf._integer
            if value.dtype not in INEXACT:
                self.integers[i] = leaf._as_index()
        elif isinstance(leaf, Tensor):
            value = leaf
            if value.dtype is torch.bool:
                return None
        else:
            array = np.asarray(float(leaf) if isa(leaf, Fraction) else leaf)
            if array.dtype.kind in "iu":
                self.integers[i] = array.astype(np.int64) if array.ndim else int(array)
            value = from_numpy(array)
        value = value if value.dtype in INEXACT else value.to(torch.float64)
        return value if self.backend.adtype.device is None else value.to(self.backend.adtype.device)

    @staticmethod
    def _outside(leaf: Any) -> bool:
        """Whether a leaf belongs to a graph that goes on outside of this call.

        A module's parameter does not: it is what one differentiates with respect to, where graphs begin.
        """
        tensor = leaf._primal if isinstance(leaf, TorchArray) else leaf
        return isinstance(tensor, Tensor) and tensor.requires_grad and not isinstance(tensor, torch.nn.Parameter)

    def _lift(self, variables: list, i: int) -> Any:
        """What f sees of leaf i."""
        place, leaf = self.places[i], self.leaves[i]
        if place is None:
            return to_numpy(leaf) if self.covers and isinstance(leaf, Tensor) else leaf
        if (self.native[i] and not self.covers) or (not self.face and not self.arrays[i]):
            return variables[place]
        if self.native[i] and leaf.dtype not in INEXACT and not is_in_transform():
            self.integers[i] = to_numpy(leaf)
        deps = 1 << (self.start + i)
        deps = deps | leaf._deps if self.arrays[i] else deps
        return TorchArray(variables[place], deps, self.integers[i])._given_as(leaf)

    def _run(self, call: Callable, variables: list) -> tuple[list, list]:
        """Call f; gives the tensors to differentiate, and all others that came out."""
        try:
            return self._guarded(call, variables)
        except Exception as error:
            auto = self.backend.adtype.face == "auto" and any(self.native) and not self.covers
            if not auto or not is_numpy_code(error):
                raise
            first = error

        def behind() -> tuple[list, list]:
            self.covers = True
            return self._guarded(call, variables)

        return call_again(call, first, behind, ("TorchArray", "torch.as_tensor"))

    def _guarded(self, call: Callable, variables: list) -> tuple[list, list]:
        lifted = [self._lift(variables, i) for i in range(len(self.leaves))]
        with Guard(self.face) if any(isinstance(x, Tensor) for x in lifted) else AS_IT_IS:
            return self._called(call, lifted)

    def _called(self, call: Callable, lifted: list) -> tuple[list, list]:
        calls = LOCAL.__dict__.setdefault("calls", [])
        calls.append(self)
        try:
            outputs, aux = call(lifted)
        finally:
            calls.pop()
        self.slots: list = [0]
        if len(outputs) == 1 and not aux and type(outputs[0]) is TorchArray and outputs[0]._primal.dtype in INEXACT:
            self.outputs, self.aux = outputs, aux
            return [outputs[0]._primal], []
        self.outputs, self.aux = [absorb(y) for y in outputs], [absorb(y) for y in aux]
        _refuse_foreign([*self.outputs, *self.aux])
        tensors, others = [], []
        self.slots = []
        for y in self.outputs:
            value = _tensor_of(y)
            live = value is not None and value.dtype in INEXACT
            self.slots.append(len(tensors) if live else None)
            if live:
                tensors.append(value)
            elif value is not None:
                others.append(value)
        others.extend([_tensor_of(y) for y in self.aux if _tensor_of(y) is not None])
        return tensors, others

    def _settle(self, others: list) -> None:
        """Put the tensors as they are after recording (outside a transform's own level) in their places."""
        rest = iter(others)
        for k, y in enumerate(self.outputs):
            if _tensor_of(y) is not None:
                slot = self.slots[k]
                self.outputs[k] = _with_tensor(y, next(rest) if slot is None else self.record.outputs[slot])
        self.aux = [y if _tensor_of(y) is None else _with_tensor(y, next(rest)) for y in self.aux]

    # -- out -----------------------------------------------------------------------------------------------------

    def _outer(self, y: Any) -> int:
        """The bits of derivatives around this one that a result may depend on."""
        if isinstance(y, TorchArray):
            return y._deps & ~(((1 << len(self.leaves)) - 1) << self.start)
        deps = 0
        if isinstance(y, Tensor):  # what a native tensor depends on was not followed
            for leaf in self.leaves:
                deps |= leaf._deps if isinstance(leaf, TorchArray) else 0
        return deps

    def _numpy_results(self) -> bool:
        """Whether f was given torch's own tensors for NumPy arguments (``face="native"``)."""
        return not self.face and not any(self.native)

    def results(self) -> tuple[list, list]:
        """Outputs and auxiliary outputs, out of the graph unless they have to stay."""
        aux = [self._result(y) if (whole := whole_behind(y)) is None else whole for y in self.aux]
        return [self._result(y) for y in self.outputs], aux

    def _result(self, y: Any) -> Any:
        value = _tensor_of(y)
        if value is None:
            return y
        if (self.keep or (isinstance(y, TorchArray) and self._outer(y))) and _watched(value):
            deps = self._outer(y)
            return TorchArray(value, deps) if deps or (any(self.arrays) and not isinstance(y, Tensor)) else value
        if not self.covers and (isinstance(y, TorchArray) or self._numpy_results()):
            return to_numpy(value)
        return value.detach() if value.requires_grad and not isinstance(value, torch.nn.Parameter) else value

    def _linear(self, value: Any, deps: int, native: bool, keep: bool, device: Any = None) -> Any:
        """A cotangent or tangent in the form of the value it belongs to."""
        if value is None:
            return None
        if device is not None and value.device != device:
            value = value.to(device)
        if value._is_zerotensor():  # torch's stand-in for zeros, which few operations accept
            value = torch.zeros(value.shape, dtype=value.dtype, device=value.device)
        if keep and _watched(value):
            return value if native or not (deps or any(self.arrays)) else TorchArray(value, deps)
        return value.detach() if native else to_numpy(value)

    # -- the two linear maps -------------------------------------------------------------------------------------

    def back(self, y_bars: list) -> list:
        """One cotangent per leaf; see Backend.pullback."""
        before, LOCAL.passing = getattr(LOCAL, "passing", None), self
        try:
            if self.ordinary and not self.keep and self.slots == [0] and type(y_bars[0]) is float and y_bars[0] == 1.0:
                SHARED.check(self.record.read)
                grads = gradient_of(self.record.outputs[0], self.record.inputs, True, self.selecting)
                if grads is not None:
                    return grads
            seeds, deps, record = self._entered(y_bars, self.slots, self.record.outputs)
            x_bars = self.record.pull(seeds, record)
            found: list = []
            for i, place in enumerate(self.places):
                x_bar = None if place is None else x_bars[place]
                if x_bar is None and place is not None and self._dependent(place):
                    x_bar = torch.zeros_like(self.record.inputs[place])
                device = self.leaves[i].device if self.native[i] else None
                found.append(self._linear(x_bar, deps, self.native[i], record, device))
            return found
        finally:
            LOCAL.passing = before

    def pushforwards(self, directions: list[list]) -> list[list]:
        """The tangents of the outputs, a list per direction; see Backend.pushforwards."""
        with evaluating(self):
            return self._pushforwards(directions)

    def _pushforwards(self, directions: list[list]) -> list[list]:
        if not any(s is not None for s in self.slots):
            return [[None] * len(self.slots) for _ in directions]
        try:
            with recording():
                push = self.record.transpose()
            return [self._push(push, x_dots) for x_dots in directions]
        except (RuntimeError, NotImplementedError):
            if self.keep:
                raise
            # Something in f has a first derivative only: the rows of the Jacobian ask for no more than that.
            return [self._push(self._push_rows, x_dots) for x_dots in directions]

    def _push(self, push: Callable, x_dots: list) -> list:
        tangents, deps, record = self._entered(x_dots, self.places, self.record.inputs)
        y_dots = push(tangents, record)
        given = {place for place, tangent in enumerate(tangents) if tangent is not None}
        found: list = []
        for y, slot in zip(self.outputs, self.slots, strict=True):
            y_dot = None if slot is None else y_dots[slot]
            if y_dot is None and slot is not None and given & (self.record.reached(slot) | self.selecting):
                y_dot = torch.zeros_like(self.record.outputs[slot])
            native = self.covers or (isinstance(y, Tensor) and not self._numpy_results())
            found.append(self._linear(y_dot, deps, native, record))
        return found

    def _push_rows(self, tangents: list, record: bool) -> list:
        """The pushforward from one pullback per entry of each output."""
        given = {place for place, tangent in enumerate(tangents) if tangent is not None}
        found: list = []
        for slot, y in enumerate(self.record.outputs):
            if not given & self.record.reached(slot):
                found.append(None)
                continue
            parts = []
            for unit in (1, 1j) if y.is_complex() else (1,):
                entries = [self._row(slot, n, unit, tangents, record) for n in range(y.numel())]
                parts.append(torch.stack(entries).reshape(y.shape) if entries else torch.zeros_like(y.real))
            found.append(torch.complex(*parts) if len(parts) == 2 else parts[0])
        return found

    def _row(self, slot: int, n: int, unit: Any, tangents: list, record: bool) -> Tensor:
        """Entry n of output slot along the tangents: ⟨its gradient, tangents⟩."""
        y = self.record.outputs[slot]
        seed = torch.zeros(y.numel(), dtype=y.dtype, device=y.device)
        seed[n] = unit
        seeds: list = [None] * len(self.record.outputs)
        seeds[slot] = seed.reshape(y.shape)
        total = torch.zeros((), dtype=y.real.dtype, device=y.device)
        for x_bar, x_dot in zip(self.record.pull(seeds, record), tangents, strict=True):
            if x_bar is not None and x_dot is not None:
                total = total + torch.sum(x_bar.conj() * x_dot).real
        return total

    def _entered(self, values: list, slots: list, tensors: list) -> tuple[list, int, bool]:
        """Seeds or tangents on their tensors, the outer derivatives they belong to, and whether anyone is watching."""
        entered: list = [None] * len(tensors)
        deps, watched = self.outer, self.keep
        for value, slot in zip(values, slots, strict=True):
            if value is None or slot is None:
                continue
            value = absorb(value)
            if isinstance(value, TorchArray):
                deps |= value._deps
            entered[slot] = _fitted(value, tensors[slot])
            watched = watched or (torch.is_grad_enabled() and entered[slot].requires_grad)
        return entered, deps, watched

    def _dependent(self, place: int) -> bool:
        return place in self.selecting or any(
            place in self.record.reached(slot) for slot in range(len(self.record.outputs))
        )


def _refuse_foreign(results: list) -> None:
    """Refuse results of another backend's outer derivative in which values of this one are hidden."""
    for y in results:
        inner = y
        while isinstance(inner, Array) and not isinstance(inner, TorchArray):
            inner = inner._behind
        if inner is not y and isinstance(inner, TorchArray) and not inner._closed:
            raise UnsupportedError(
                f"f, differentiated by AutoTorch at {user_line()}, mixes its argument with a {type(y).__name__} it has "
                "captured from an outer derivative of another backend, which torch cannot follow. Use the same adtype "
                "inside and outside, AutoTape() inside, or adselect.differentiate_with"
            )


def _tensor_of(y: Any) -> Tensor | None:
    value = y._primal if isinstance(y, TorchArray) else y
    return value if isinstance(value, Tensor) else None


def _with_tensor(y: Any, value: Tensor) -> Any:
    """y around another tensor: the same object for a TorchArray, so that what captured it sees the change."""
    if isinstance(y, TorchArray):
        y._primal = value
        return y
    return value


def _watched(tensor: Tensor) -> bool:
    """Whether a tensor is still being followed by something outside."""
    if tensor.requires_grad or torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return True
    return forward_ad._current_level >= 0 and forward_ad.unpack_dual(tensor).tangent is not None


def _fitted(value: Any, like: Tensor) -> Tensor:
    """A seed as a tensor of the shape, dtype and device of the value it belongs to."""
    value = value._primal if isinstance(value, TorchArray) else value
    if type(value) is float and not like.ndim:
        return torch.full((), value, dtype=like.dtype, device=like.device)
    tensor = value if isinstance(value, Tensor) else from_numpy(value)
    tensor = tensor if tensor.device == like.device else tensor.to(like.device)
    if tensor.is_complex() and not like.is_complex():
        tensor = torch.real(tensor)
    tensor = tensor if tensor.dtype is like.dtype else tensor.to(like.dtype)
    if tensor.shape == like.shape:
        return tensor
    return tensor.reshape(like.shape) if tensor.numel() == like.numel() else tensor.expand(like.shape)
