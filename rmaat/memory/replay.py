"""AMRB, Astrocytic Memory Replay Backpropagation: exact gradients with one segment's activations in memory.

A segment-recurrent model computes ``carry, output = step(t, carry, shared)`` for t = 0 ... T - 1. Back-propagation
through time keeps the activations of all T segments. Here the first T - 1 segments run without a graph, and only the
carry at their borders and the state of the random generators are kept; the last segment runs as usual, since its graph
is needed first. In the backward pass each earlier segment is run again from its border, with the same random numbers
and under the same autocast, and its gradients are taken in one call on [output, carry]::

    G = dLoss / d carry_T
    for t = T - 1 ... 1:   G, dtheta_t = grad of <G, carry_t> + <dLoss/d output_t, output_t>   w.r.t. carry_{t-1}, theta

The retention factor is part of `step`, so that its gradient cannot be forgotten, as it is in the published listing
(arXiv:2601.00426, App. D). Cost: (4T - 1) / 3T of back-propagation through time, if a backward is two forwards. With a
budget of bytes the first k segments keep their graphs, as the last one does, and the cost falls to (4T - 1 - k) / 3T.

All of this is one node of the autograd graph whose inputs are the initial carry, the shared tensors and the parameters.
The gradients are sums over segments when they leave the node, so everything behind it sees one backward pass:
``loss.backward()``, ``torch.autograd.grad``, gradient accumulation, GradScaler, hooks of parameters, one all-reduce of
DDP.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache, wraps
from typing import NamedTuple, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

Carry = tuple[Tensor, ...]

Step = Callable[[int, Carry, Carry], tuple[Carry, Tensor | None]]

P = ParamSpec("P")
R = TypeVar("R")


def uncompiled(function: Callable[P, R]) -> Callable[P, R]:
    """``torch.compiler.disable`` that does not load the compiler: where it is not loaded, nothing is compiled."""
    disabled = cache(torch.compiler.disable)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return (disabled(function) if "torch._dynamo" in sys.modules else function)(*args, **kwargs)

    return call


def run_segments(step: Step, n_segments: int, carry: Carry, shared: Carry = ()) -> tuple[Carry, list[Tensor | None]]:
    """Run `step` on one segment after the other: what :func:`replay` computes, with the whole graph kept (BPTT)."""
    outputs = []
    for t in range(n_segments):
        carry, output = step(t, carry, shared)
        outputs.append(output)
    return carry, outputs


@uncompiled
def replay(
    step: Step,
    n_segments: int,
    carry: Carry,
    shared: Carry = (),
    parameters: Sequence[Tensor] = (),
    offload: bool = False,
    fingerprint: Callable[[], object] = lambda: None,
    budget: float = 0,
) -> tuple[Carry, list[Tensor | None]]:
    """Run `n_segments` segments so that the backward pass replays them one by one.

    In the backward pass a changed parameter or fingerprint and a second derivative are RuntimeErrors, and so is a
    transform of torch.func.

    Parameters
    ----------
    step : callable
        ``step(t, carry, shared) -> (carry, output)``; `carry` a tuple of floating-point tensors, `output` a tensor or
        None. It must compute the same when called again: no state outside its arguments but the random generators,
        no buffer updates (BatchNorm).
    carry : tuple of tensors
        Initial carry. It stays attached, so a learned initial memory gets its gradient.
    shared : tuple of tensors
        What all segments use and may require a gradient, computed once outside.
    parameters : sequence of tensors
        Every leaf that `step` uses besides `carry` and `shared` and that requires a gradient.
    offload : bool
        Keep the carries at the borders in host memory.
    fingerprint : callable
        What else `step` depends on, such as the modules' modes; must be equal in forward and backward.
    budget : float
        Bytes for the graphs of the first segments, kept as long as the next one fits, if it is as large as the largest
        so far; they add to the bytes of the one segment that replay always holds. A budget below one segment's graph
        costs one forward pass of a segment, by which that is found.

    Returns
    -------
    carry : tuple of tensors
        After the last segment.
    outputs : list of length n_segments
    """
    parameters = tuple(parameter for parameter in parameters if parameter.requires_grad)
    needs_grad = any(tensor.requires_grad for tensor in (*carry, *shared, *parameters))
    if n_segments < 2 or not needs_grad or not torch.is_grad_enabled():
        return run_segments(step, n_segments, carry, shared)
    if torch._C._are_functorch_transforms_active():
        raise RuntimeError("replay must run outside the transforms of torch.func, got one; use backprop='bptt'")
    found = (_versions(parameters), fingerprint())
    device = carry[0].device
    with _autocast(_autocast_state(device), device):  # as the others, so that one compiled step serves all
        carry, outputs = _keep_graphs(step, n_segments - 1, carry, shared, parameters, budget)
    segments = range(len(outputs), n_segments - 1)
    if segments:
        plan = _Plan(step, segments, len(carry), len(shared), parameters, offload, [], fingerprint, found)
        results = _Replay.apply(plan, *carry, *shared, *parameters)
        n_carry = len(results) - len(segments)
        carry, outputs = results[:n_carry], [*outputs, *results[n_carry:]]
    with _autocast(_autocast_state(device), device):
        carry, output = step(n_segments - 1, carry, shared)
    return carry, [*outputs, output]


def _keep_graphs(
    step: Step, most: int, carry: Carry, shared: Carry, parameters: Carry, budget: float
) -> tuple[Carry, list[Tensor | None]]:
    """Run as many of the first `most` segments as fit with their graphs into `budget` bytes."""
    outputs: list[Tensor | None] = []
    largest, device = 0, carry[0].device
    size = _GraphSize((*shared, *parameters))
    while budget and len(outputs) < most and size.bytes + largest <= budget:
        before, state = size.bytes, _rng_state(device)
        with torch.autograd.graph.saved_tensors_hooks(size.pack, lambda kept: kept):
            after, output = step(len(outputs), carry, shared)
        if size.bytes > budget:  # it will be replayed, from the same random numbers
            _set_rng_state(device, state)
            break
        carry, largest = after, max(largest, size.bytes - before)
        outputs.append(output)
    return carry, outputs


class _GraphSize:
    """The bytes of the storages that a graph saves, those of `ignored` tensors aside."""

    def __init__(self, ignored: Carry):
        self.bytes = 0
        self._seen = {tensor.untyped_storage().data_ptr() for tensor in ignored}

    def pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return tensor.detach()  # a result that is stored itself would hold its own graph and never be freed


def fingerprint(model: nn.Module) -> list[tuple]:
    """What a replayed segment must find as it was: parameters, buffers, the modules' modes and dropout rates."""
    found: list[tuple] = [(id(parameter), parameter.requires_grad) for parameter in model.parameters()]
    found += [(id(buffer), buffer._version) for buffer in model.buffers()]
    return found + [(module.training, getattr(module, "p", None)) for module in model.modules()]


class _Plan(NamedTuple):
    step: Step
    segments: range
    n_carry: int
    n_shared: int
    parameters: Carry
    offload: bool
    rng: list
    fingerprint: Callable[[], object]
    found: tuple[list[int], object]


class _Replay(torch.autograd.Function):
    """The segments but the last and those kept. Results: the carry after them, then their outputs."""

    @staticmethod
    def forward(ctx, plan: _Plan, *tensors: Tensor):
        carry = tuple(c.detach() for c in tensors[: plan.n_carry])  # like all later ones: one compiled step serves all
        shared = tensors[plan.n_carry : plan.n_carry + plan.n_shared]
        ctx.device = tensors[0].device
        ctx.autocast = _autocast_state(ctx.device)
        borders: list[Tensor] = []
        kept: dict[int, Tensor] = {}
        places, outputs = [], []
        with _autocast(ctx.autocast, ctx.device):
            for t in plan.segments:
                kept = _moved_once(carry, _to_host if plan.offload else (lambda c: c), kept)
                places.append(slice(len(borders), len(borders) + len(carry)))
                borders.extend(kept[id(c)] for c in carry)
                plan.rng.append(_rng_state(ctx.device))
                carry, output = plan.step(t, carry, shared)
                outputs.append(output)
        ctx.plan, ctx.places, ctx.n_results = plan, places, len(carry)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*shared, *borders)
        return (*(c.view_as(c) for c in carry), *outputs)

    @staticmethod
    def backward(ctx, *grads: Tensor | None):
        if torch.is_grad_enabled():
            raise RuntimeError("create_graph must be False with replay, got True; use backprop='bptt'")
        plan = ctx.plan
        if (_versions(plan.parameters), plan.fingerprint()) != plan.found:
            raise RuntimeError(
                "parameters, buffers and modes must be the same in forward and backward with replay, got others; call "
                "optimizer.step(), eval() or requires_grad_() after backward(), and use backprop='bptt' where modules "
                "update buffers (BatchNorm) or parameters are swapped (torch.func)"
            )
        saved = ctx.saved_tensors
        shared, borders = saved[: plan.n_shared], saved[plan.n_shared :]
        there: dict[int, Tensor] = {}
        into_carry, into_outputs = grads[: ctx.n_results], grads[ctx.n_results :]
        totals: list[Tensor | None] = [None] * (len(shared) + len(plan.parameters))
        devices = [] if ctx.device.type == "cpu" else [ctx.device]
        with torch.random.fork_rng(devices, device_type=ctx.device.type):
            for i, t in reversed(list(enumerate(plan.segments))):
                border = borders[ctx.places[i]]
                there = _moved_once(border, lambda x: _to_device(x, ctx.device), there)
                carry = _leaves(there[id(x)] for x in border)
                into_carry, found = _replay_segment(ctx, i, t, carry, shared, (*into_carry, into_outputs[i]))
                _add(totals, found)
        return (None, *into_carry, *totals)


def _replay_segment(ctx, i: int, t: int, carry: Carry, shared: Carry, grads: Sequence[Tensor | None]):
    """Run segment t, the i-th of the replayed ones, again.

    Returns its gradients w.r.t. the carry before it, and those w.r.t. shared tensors and parameters.
    """
    shared = _leaves(shared)
    _set_rng_state(ctx.device, ctx.plan.rng[i])
    with torch.enable_grad(), _autocast(ctx.autocast, ctx.device):
        after, output = ctx.plan.step(t, carry, shared)
    results = [(y, g) for y, g in zip((*after, output), grads, strict=True) if g is not None and y.requires_grad]
    inputs = (*carry, *shared, *ctx.plan.parameters)
    if not results:
        return (None,) * len(carry), (None,) * (len(inputs) - len(carry))
    outputs, grads = zip(*results, strict=True)
    with _without_hooks(ctx.plan.parameters):  # they see the sum over segments, once
        found = torch.autograd.grad(outputs, inputs, grads, allow_unused=True)
    return found[: len(carry)], found[len(carry) :]


@contextmanager
def _without_hooks(parameters: Carry):
    hooks = [parameter._backward_hooks for parameter in parameters]
    try:
        for parameter in parameters:
            parameter._backward_hooks = None
        yield
    finally:
        for parameter, own in zip(parameters, hooks, strict=True):
            parameter._backward_hooks = own


def _add(totals: list[Tensor | None], found: Sequence[Tensor | None]) -> None:
    """Add what was found to the totals. The first is copied: autograd may hand out one tensor twice."""
    begun: list[tuple[Tensor, Tensor]] = []
    for i, (total, grad) in enumerate(zip(totals, found, strict=True)):
        if total is None:
            totals[i] = None if grad is None else grad.clone()
        elif grad is not None:
            begun.append((total, grad))
    if begun:
        torch._foreach_add_(*map(list, zip(*begun, strict=True)))  # one launch on a GPU


def _versions(tensors: Carry) -> list[int]:
    return [tensor._version for tensor in tensors]


def _leaves(tensors: Iterable[Tensor]) -> Carry:
    return tuple(x.detach().requires_grad_() for x in tensors)


def _moved_once(
    tensors: Sequence[Tensor], move: Callable[[Tensor], Tensor], before: dict[int, Tensor]
) -> dict[int, Tensor]:
    """`tensors` moved, by their identities; those that `before` holds, of a neighbouring segment, are there already."""
    return {id(x): before[id(x)] if id(x) in before else move(x) for x in tensors}


def _to_host(x: Tensor) -> Tensor:
    """A copy in host memory, pinned when it comes from an accelerator, so that the copies overlap the computation."""
    if x.device.type == "cpu":
        return x
    return torch.empty_like(x, device="cpu", pin_memory=True).copy_(x, non_blocking=True)


def _to_device(x: Tensor, device: torch.device) -> Tensor:
    return x.to(device, non_blocking=True)


def _autocast_state(device: torch.device) -> dict[str, torch.dtype]:
    """Device types with autocast switched on, and its type."""
    kinds = dict.fromkeys((device.type, "cpu"))
    return {kind: torch.get_autocast_dtype(kind) for kind in kinds if torch.is_autocast_enabled(kind)}


@contextmanager
def _autocast(state: dict[str, torch.dtype], device: torch.device):
    """The recorded autocast, or none, whatever is on around it.

    Without its cache, for a weight cast under no_grad must not be used again with a graph.
    """
    with ExitStack() as stack:
        for kind in state | _autocast_state(device):
            recorded = torch.autocast(kind, state.get(kind), enabled=kind in state, cache_enabled=False)
            stack.enter_context(recorded)
        yield


def _rng_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    own = None if device.type == "cpu" else torch.get_device_module(device).get_rng_state(device)
    return torch.get_rng_state(), own


def _set_rng_state(device: torch.device, state: tuple[Tensor, Tensor | None]) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.get_device_module(device).set_rng_state(state[1], device)
