"""The careful backward pass: a zero contributes 0, also through a derivative that is not finite.

Run over torch's own graph, node by node, when its gradient came out as NaN although the value of f is finite. The
decisions are those of the tape's careful pass (``engine/careful.py``): 0 · ∞ is 0 in every product; beside each
cotangent goes a mask of the entries that are alive, and what is not alive is 0 to every order, whereas any other zero
hides a derivative nobody knows, which a second derivative meets as NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

__all__ = ["Unknown", "pull_carefully"]

# Nodes whose gradient is, entry by entry, the incoming one times a slope.
_PRODUCTS = """
    Mul Div Pow Sqrt Rsqrt Reciprocal Exp Exp2 Expm1 Log Log2 Log10 Log1P Sin Cos Tan Asin Acos Atan Sinh Cosh Tanh
    Asinh Acosh Atanh Sinc Sigmoid LogSigmoid Lgamma Digamma Polygamma Erf Erfc Erfinv Logit Atan2 Hypot Logaddexp
    Logaddexp2 Xlogy SpecialXlogy SpecialXlog1Py SpecialEntr SpecialErfcx SpecialNdtri SpecialLogNdtr I0 SpecialI0E
    SpecialI1 SpecialI1E Abs Sgn Remainder Fmod Copysign LogSigmoidBackward SigmoidBackward TanhBackward Angle
    NanToNum _CubeRoot Maximum Minimum Clamp Neg
    """
_ELEMENTWISE = frozenset(_PRODUCTS.split())
_CHOICES = frozenset({"Maximum", "Minimum", "Clamp"})  # where their slope is 0 they do not depend on the operand
# Nodes that only move, repeat and add up entries: an alive entry goes where the cotangent goes.
_REARRANGING = """
    View UnsafeView Reshape ReshapeAlias Expand Permute Transpose T Unsqueeze Squeeze Slice Select Index IndexSelect
    Sum Mean Stack Cat Where Clone Copy ToCopy Alias Diagonal Flip Roll Gather Take Unbind Split Repeat AsStrided Add
    Sub Neg Movedim Narrow MaskedFill Tril Triu
    """
_MOVES = frozenset(_REARRANGING.split())
# Nodes in which every entry of the operands counts: what is below is looked at entry by entry again.
_SPREADING = frozenset({"Var", "Std", "Mm", "Mv", "Bmm", "Dot"})


class Unknown(torch.autograd.Function):
    """Zeros whose derivative with respect to the slope they stand beside is NaN where marked."""

    generate_vmap_rule = True

    @staticmethod
    def forward(slope: Tensor, marked: Tensor) -> Tensor:
        return torch.zeros_like(slope)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *bars: Any) -> Any:
        (marked,) = ctx.saved_tensors
        # Linear, and to be transposed without a 0 · ∞.
        nothing = torch.zeros_like(bars[0])
        return torch.where(marked, bars[0], nothing) * torch.where(marked, nothing + torch.nan, nothing), None


class _Repaired(torch.autograd.Function):
    """A result of a linear map, with other numbers where marked; the map, and with it the derivative, is the same."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x_bar: Tensor, strong: Tensor, marked: Tensor) -> Tensor:
        return torch.where(marked, strong, x_bar)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *bars: Any) -> Any:
        return bars[0], None, None


class _Bar:
    """A cotangent, and which of its entries are alive (None: all)."""

    __slots__ = ("alive", "value")

    def __init__(self, value: Tensor, alive: Tensor | None):
        self.value, self.alive = value, alive

    def add(self, other: _Bar) -> _Bar:
        alive = None if self.alive is None or other.alive is None else self.alive | other.alive
        return _Bar(self.value + other.value, alive)


def pull_carefully(outputs: list, inputs: list, seeds: list, record: bool, nested: bool) -> list:
    """``torch.autograd.grad(outputs, inputs, seeds)`` with strong zeros, None for an input that is not reached.

    nested: whether the graph holds a derivative itself; a zero that is alive is then no reason for a 0.
    """
    wanted: dict = {}
    for i, x in enumerate(inputs):
        edge = get_gradient_edge(x)
        wanted.setdefault(edge.node, []).append((edge.output_nr, i))
    bars: dict = {}
    for y, seed in zip(outputs, seeds, strict=True):
        edge = get_gradient_edge(y)
        _add(bars, edge.node, edge.output_nr, _Bar(seed, None if seed.requires_grad else seed != 0))
    found: list = [None] * len(inputs)
    order = _ordered(list(bars))
    leading: set = set(wanted)
    for node in reversed(order):
        if any(below in leading for below, _ in node.next_functions):
            leading.add(node)
    with torch.set_grad_enabled(record):
        for node in order:
            slots = bars.pop(node, None)
            if slots is None:
                continue
            for slot, i in wanted.get(node, ()):
                found[i] = slots[slot].value if slot in slots else None
            if not any(below in leading for below, _ in node.next_functions):
                continue
            for (below, slot), bar in zip(node.next_functions, _pulled(node, slots, nested), strict=False):
                if below is not None and bar is not None:
                    _add(bars, below, slot, bar)
    return found


def _add(bars: dict, node: Any, slot: int, bar: _Bar) -> None:
    shape = node._input_metadata[slot].shape
    if bar.value.shape != shape:  # what torch's engine leaves to itself
        alive = bar.alive
        if alive is not None:
            alive = alive.expand(bar.value.shape).to(torch.float64).sum_to_size(shape) != 0
        bar = _Bar(bar.value.sum_to_size(shape), alive)
    slots = bars.setdefault(node, {})
    slots[slot] = bar if slot not in slots else slots[slot].add(bar)


def _ordered(starts: list) -> list:
    """The nodes below, each after all that lead to it."""
    waiting: dict = {}
    pending, seen = list(starts), set(starts)
    while pending:
        for below, _ in pending.pop().next_functions:
            if below is not None:
                waiting[below] = waiting.get(below, 0) + 1
                if below not in seen:
                    seen.add(below)
                    pending.append(below)
    ready, order = [node for node in dict.fromkeys(starts) if not waiting.get(node)], []
    while ready:
        node = ready.pop()
        order.append(node)
        for below, _ in node.next_functions:
            if below is not None:
                waiting[below] -= 1
                if not waiting[below]:
                    ready.append(below)
    return order


def _name(node: Any) -> str:
    return node.name().rpartition("::")[2].rstrip("0123456789").removesuffix("Backward")


def _call(node: Any, *g: Tensor) -> tuple:
    """What a node makes of cotangents; nodes of Python's have another name for it."""
    if callable(node):
        x_bars = node(*g)
        return x_bars if isinstance(x_bars, tuple) else (x_bars,)
    x_bars = node.apply(*g)
    x_bars = x_bars if isinstance(x_bars, tuple) else (x_bars,)
    # One for each argument of forward, whereas the nodes below are those of its tensors.
    wanted = iter([x for x, needed in zip(x_bars, node.needs_input_grad, strict=True) if needed])
    return tuple([None if below is None else next(wanted) for below, _ in node.next_functions])


def _pulled(node: Any, slots: dict, nested: bool) -> list:
    """The cotangents of a node's operands."""
    name = _name(node)
    shapes = node._input_metadata
    if len(shapes) > 1 or not slots:
        g = [
            slots[k].value if k in slots else torch.zeros(m.shape, dtype=m.dtype, device=m.device)
            for k, m in enumerate(shapes)
        ]
        marks = [slots[k].alive if k in slots else torch.zeros_like(v, dtype=torch.bool) for k, v in enumerate(g)]
        x_bars = _call(node, *g)
        if name in _MOVES:
            return _moved(node, g, marks, x_bars)
        return [None if x is None else _Bar(x, None) for x in x_bars]
    g, alive = slots[0].value, slots[0].alive
    if name in _ELEMENTWISE:
        return _products(node, name, g, alive, nested)
    x_bars = _call(node, g)
    if name in _MOVES:
        return _moved(node, [g], [alive], x_bars)
    dead = alive is not None and not bool(alive.any())
    if not dead and g.numel() == 1 and bool(torch.isnan(g).any()):  # torch's formulas may lose it
        x_bars = tuple([None if x is None else x * torch.nan for x in x_bars])
    if dead or (not nested and not bool((g != 0).any())):
        clean = [None if x is None else torch.where(torch.isfinite(x), x, torch.zeros_like(x)) for x in x_bars]
        return [None if x is None else _Bar(x, torch.zeros_like(x, dtype=torch.bool) if dead else None) for x in clean]
    if nested or name in ("UnknownBackward", "Unknown"):
        return [None if x is None else _Bar(x, None) for x in x_bars]
    found = [None if x is None else _linear(node, name, k, g, x) for k, x in enumerate(x_bars)]
    if name in _SPREADING:
        return [None if x is None else _Bar(x, torch.ones_like(x, dtype=torch.bool)) for x in found]
    return [None if x is None else _Bar(x, None) for x in found]


def _moved(node: Any, g: list, marks: list, x_bars: tuple) -> list:
    if all(mark is None for mark in marks):
        return [None if x is None else _Bar(x, None) for x in x_bars]
    ones = [torch.ones_like(v.detach()) if m is None else m.to(v.dtype) for v, m in zip(g, marks, strict=True)]
    with torch.no_grad():
        alive = _call(node, *ones)
    return [None if x is None else _Bar(x, a != 0) for x, a in zip(x_bars, alive, strict=True)]


# -- products ----------------------------------------------------------------------------------------------------------


def _products(node: Any, name: str, g: Tensor, alive: Tensor | None, nested: bool) -> list:
    x_bars, slopes = _call(node, g), _call(node, torch.ones_like(g))
    found: list = []
    for k, (x_bar, slope) in enumerate(zip(x_bars, slopes, strict=True)):
        if x_bar is None:
            found.append(None)
            continue
        shape = x_bar.shape
        if shape != g.shape:  # an operand was broadcast: torch has summed already
            slope = _factor(node, name, k)
            if slope is None:
                found.append(_Bar(x_bar, None))
                continue
            slope = slope.expand(g.shape)
            full = g * slope
            x_bar = full.real if full.is_complex() and not x_bar.is_complex() else full
        found.append(_settled(node, name, g, alive, slope, x_bar, shape, nested, _is_constant(node, name, k)))
    return found


def _factor(node: Any, name: str, k: int) -> Tensor | None:
    """What the cotangent is multiplied with, for a product or a quotient."""
    if name == "Mul":
        return (node._saved_other if k == 0 else node._saved_self).conj()
    if name == "Div":
        a, b = node._saved_self, node._saved_other
        return (1 / b if k == 0 else -(a / b) / b).conj()
    return None


def _is_constant(node: Any, name: str, k: int) -> bool:
    """Whether the slope with respect to operand k is that of a choice, or a factor that is a constant."""
    if name in _CHOICES:
        return True
    if name not in ("Mul", "Div"):
        return False
    other = node._saved_other if k == 0 else node._saved_self
    return not (isinstance(other, Tensor) and other.requires_grad)


def _settled(
    node: Any, name: str, g: Tensor, alive: Any, slope: Tensor, x_bar: Tensor, shape: Any, nested: bool, constant: bool
) -> _Bar:
    """The product of g and slope with 0 where one of them is 0 and it is not finite, summed to the operand's shape."""
    if constant or (not nested and not slope.requires_grad and name not in ("Abs", "Sgn")):
        through = slope.detach() != 0
        alive = through if alive is None else alive & through
    witness = _varying(node) if name in ("Abs", "Sgn") else slope if slope.requires_grad else None
    lost = ((g == 0) | ((slope == 0) & ~torch.isnan(g))) & ~torch.isfinite(x_bar)
    if bool(lost.any()):
        living = torch.ones_like(lost) if alive is None else alive.expand(lost.shape)
        if not nested and not g.requires_grad and name not in ("Abs", "Sgn"):
            living = living & ((g != 0) | (slope == 0))
        if nested:
            lost = lost & ~living
        x_bar = torch.where(lost, torch.zeros_like(x_bar), x_bar)
        marked = lost & living
        if witness is not None and bool(marked.any()):
            x_bar = x_bar + Unknown.apply(witness, marked)
    if shape != x_bar.shape:
        x_bar = x_bar.sum_to_size(shape)
        alive = None if alive is None else alive.to(x_bar.real.dtype).expand(g.shape).sum_to_size(shape) != 0
    return _Bar(x_bar, alive)


# -- other linear maps -------------------------------------------------------------------------------------------------


def _linear(node: Any, name: str, k: int, g: Tensor, x_bar: Tensor) -> Tensor:
    """The cotangent x_bar of operand k, once more where it is NaN: products of matrices, or entry by entry."""
    with torch.no_grad():
        bad = torch.isnan(x_bar)
        if not bool(bad.any()):
            return x_bar
        product = _matrix_product(node, name, k)
        if product is not None and not x_bar.is_complex():
            strong = _strong_product(product[0], g, product[1])
        else:
            strong = _by_entries(node, k, g)
        if strong is None:
            return x_bar
        repaired = bad & ~torch.isnan(strong)
    kept: Tensor = _Repaired.apply(x_bar, strong, repaired)  # type: ignore[assignment]
    witness = _varying(node)
    if torch.is_grad_enabled() and witness is not None and bool(repaired.any()):
        # Every entry of what the map was made from may be one whose derivative is not known.
        marked = torch.ones_like(witness, dtype=torch.bool)
        hidden = Unknown.apply(witness, marked)
        kept = kept + torch.where(repaired, hidden.sum(), torch.zeros_like(kept))
    return kept


def _varying(node: Any) -> Tensor | None:
    """A tensor that the map of a node was made from and that varies itself."""
    saved = [getattr(node, name) for name in dir(node) if name.startswith("_saved_")]
    saved += getattr(node, "saved_tensors", ())
    return next((v for v in saved if isinstance(v, Tensor) and v.requires_grad), None)


def _matrix_product(node: Any, name: str, k: int) -> tuple[Callable, Tensor] | None:
    """``(product of g and the other factor, that factor)`` for a product of matrices."""
    if name == "Dot":
        return (lambda g, b: g * b), (node._saved_tensor if k == 0 else node._saved_self)
    if name == "Mv":
        if k == 0:
            return (lambda g, v: g[:, None] * v), node._saved_vec
        return (lambda g, a: a.transpose(-1, -2) @ g), node._saved_self
    if name in ("Mm", "Bmm"):
        if k == 0:
            return (lambda g, b: g @ b.transpose(-1, -2)), node._saved_mat2
        return (lambda g, a: a.transpose(-1, -2) @ g), node._saved_self
    return None


def _strong_product(product: Callable, g: Tensor, factor: Tensor) -> Tensor:
    """The product from its finite terms, and from counts of the terms that are infinite and of either sign."""

    def there(a: Tensor) -> Tensor:
        return ((a != 0) & ~torch.isnan(a)).to(a.dtype)

    def sign(a: Tensor) -> Tensor:
        return torch.where(torch.isnan(a), torch.zeros_like(a), torch.sgn(a))

    def finite(a: Tensor) -> Tensor:
        return torch.where(torch.isfinite(a), a, torch.zeros_like(a))

    def limited(a: Tensor) -> Tensor:
        return torch.isfinite(a).to(a.dtype)

    infinite = product(there(g), there(factor)) - product(there(g) * limited(g), there(factor) * limited(factor))
    balance = product(sign(g), sign(factor)) - product(sign(g) * limited(g), sign(factor) * limited(factor))
    bad = product((g != 0).to(g.dtype), (factor != 0).to(g.dtype)) - product(there(g), there(factor))
    bad = bad + product(torch.isnan(g).to(g.dtype), torch.ones_like(factor))
    total = product(finite(g), finite(factor))
    total = torch.where(infinite + balance > 0.5, total + torch.inf, total)
    total = torch.where(infinite - balance > 0.5, total - torch.inf, total)
    return torch.where(bad > 0.5, total * torch.nan, total)


_MOST = 1 << 26  # entries computed with at most


def _by_entries(node: Any, k: int, g: Tensor) -> Tensor | None:
    """The cotangent of operand k with the infinite entries of g one at a time; None where that takes too long."""
    infinite = torch.isinf(g)
    places = infinite.reshape(-1).nonzero().reshape(-1).tolist()
    total = _call(node, torch.where(infinite, torch.zeros_like(g), g))[k]
    if not places or len(places) * max(total.numel(), g.numel()) > _MOST:
        return None
    for place in places:
        unit = torch.zeros_like(g).reshape(-1)
        unit[place] = 1
        row = _call(node, unit.reshape(g.shape))[k]
        total = total + torch.where(row == 0, torch.zeros_like(row), row * g.reshape(-1)[place])
    return total
