"""Many runs of one structure trained at once, their parameters stacked along a first dimension (torch.func.vmap).

Each member of a stack is trained as it would be alone (a test compares them): its own samples, learning rate, clipping
and AdamW. What is shared is the cost of launching operations, which on a GPU is nearly all of the cost at this size.
"""

import math
import platform
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from rmaat.experiments.astrocyte.grid import Cell, Grid
from rmaat.models.rmaat import RMAAT
from rmaat.models.zoo import build_model, carried_bytes, count_parameters
from rmaat.tasks import IGNORE_INDEX, Split
from rmaat.training.machine import device_name, processor_name
from rmaat.training.optimiser import lr_factor

BETAS, EPSILON = (0.9, 0.98), 1e-8  # AdamW's, as in TrainConfig

TOKENS_AT_ONCE = {"cpu": 16_384, "cuda": 65_536}  # of a member, when checking

Tensors = dict[str, Tensor]


class _Whole(nn.Module):
    """A model whose call is :meth:`RMAAT.read_whole`, which can be mapped."""

    def __init__(self, model: RMAAT):
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        return self.model.read_whole(tokens)


class Stack:
    """Models of one structure, called and differentiated together.

    Parameters
    ----------
    models
        Without dropout and with ``backprop="bptt"``. They may differ in their numbers alone.
    """

    def __init__(self, models: Sequence[RMAAT], device: torch.device | str = "cpu"):
        whole = [_Whole(model.to(device).train()) for model in models]
        parameters, buffers = stack_module_state(whole)  # type: ignore[arg-type]
        self.call, self.buffers = whole[0], buffers
        self.parameters: Tensors = {name: tensor.detach() for name, tensor in parameters.items()}

    def logits(self, parameters: Tensors, tokens: Tensor) -> Tensor:
        """Logits (members, batch, ...) of tokens (members, batch, length)."""

        def one(own: Tensors, buffers: Tensors, its: Tensor) -> Tensor:
            return functional_call(self.call, (own, buffers), (its,))

        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no form for several members
            return vmap(one)(parameters, self.buffers, tokens)

    def gradient(self, tokens: Tensor, labels: Tensor) -> tuple[Tensor, Tensors]:
        """Mean cross-entropy of each member, (members,), and its gradient."""
        leaves = {name: tensor.requires_grad_() for name, tensor in self.parameters.items()}
        losses = mean_loss(self.logits(leaves, tokens), labels)
        found = torch.autograd.grad(losses.sum(), list(leaves.values()), allow_unused=True)
        for tensor in self.parameters.values():
            tensor.requires_grad_(False)
        grads = {
            name: torch.zeros_like(leaf) if grad is None else grad
            for (name, leaf), grad in zip(leaves.items(), found, strict=True)
        }
        return losses.detach(), grads


def mean_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of each member over its targets, (members,)."""
    n = len(labels)
    each = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORE_INDEX, reduction="none")
    return each.view(n, -1).sum(1) / (labels != IGNORE_INDEX).view(n, -1).sum(1)


class StackedAdamW:
    """AdamW with a learning rate and a clipped gradient of each member; matrices decay, vectors do not."""

    def __init__(self, parameters: Tensors, weight_decay: float, clip: float):
        self.parameters, self.weight_decay, self.clip, self.t = parameters, weight_decay, clip, 0
        self.means = {name: torch.zeros_like(tensor) for name, tensor in parameters.items()}
        self.squares = {name: torch.zeros_like(tensor) for name, tensor in parameters.items()}

    @torch.no_grad()
    def step(self, grads: Tensors, lr: Tensor) -> None:
        """One step; `lr` (members,)."""
        self.t += 1
        squares = torch.stack([grad.flatten(1).square().sum(1) for grad in grads.values()]).sum(0)
        factor = (self.clip / (squares.sqrt() + 1e-6)).clamp_max(1.0)  # as clip_grad_norm_
        fast, slow = BETAS
        for name, parameter in self.parameters.items():
            wide = (-1, *[1] * (parameter.ndim - 1))
            own, grad = lr.view(wide), grads[name] * factor.view(wide)
            mean, square = self.means[name], self.squares[name]
            mean.lerp_(grad, 1 - fast)
            square.mul_(slow).addcmul_(grad, grad, value=1 - slow)
            if parameter.ndim > 2:  # a matrix of each member
                parameter.mul_(1 - own * self.weight_decay)
            root = square.sqrt().div_(math.sqrt(1 - slow**self.t)).add_(EPSILON)
            parameter.sub_(own / (1 - fast**self.t) * mean / root)


class _Data:
    """A split of each seed as tensors on a device, every sequence of one length: tokens (seeds, n, length)."""

    def __init__(self, splits: Sequence[Split], device: torch.device):
        arrays = [split.pad(np.arange(len(split))) for split in splits]
        if any((array["lengths"] != array["tokens"].shape[1]).any() for array in arrays):
            raise ValueError("tasks of a grid must have sequences of one length, got several; choose other options")
        stacked = {name: np.stack([array[name] for array in arrays]) for name in ("tokens", "labels")}
        self.tokens, self.labels = (torch.from_numpy(stacked[name]).to(device) for name in ("tokens", "labels"))
        self.segment = [split.extra.get("segment") for split in splits]

    def at(self, which: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens and labels of samples (members, batch) of the data of each member."""
        return self.tokens[which[:, None], samples], self.labels[which[:, None], samples]


def train_stack(
    grid: Grid,
    cells: Sequence[Cell],
    device: str = "cpu",
    seconds: float | None = None,
    report: Callable[[str], object] = lambda line: None,
) -> list[dict[str, Any]] | None:
    """Train runs of one structure together; their results, or None if that would take more than so many seconds.

    Runs that are stopped for want of time are dropped: their learning rate has not come down.
    """
    begun, place = perf_counter(), torch.device(device)
    task, seeds = cells[0].task, sorted({cell.seed for cell in cells})
    data = {seed: grid.data(task, seed) for seed in seeds}
    train, validation = (_Data([data[seed].split(name) for seed in seeds], place) for name in ("train", "validation"))
    which = torch.tensor([seeds.index(cell.seed) for cell in cells], device=place)
    peaks = torch.tensor([cell.lr for cell in cells], device=place)
    sizes = np.array([max(1, round(cell.share * train.tokens.shape[1])) for cell in cells])
    models = [_model(grid, cell) for cell in cells]
    stack = Stack(models, place)
    optimizer = StackedAdamW(stack.parameters, grid.weight_decay, grid.clip)
    draws = [np.random.default_rng([seed, 1]) for seed in seeds]
    best = torch.full((len(cells),), -1.0, device=place)
    kept, best_step = {name: tensor.clone() for name, tensor in stack.parameters.items()}, [0] * len(cells)
    every = max(1, grid.steps // grid.checks)
    for step in range(1, grid.steps + 1):
        if seconds is not None and perf_counter() - begun > seconds:
            return None
        uniform = np.stack([draw.random(grid.batch_size) for draw in draws])[which.cpu().numpy()]
        samples = torch.from_numpy((uniform * sizes[:, None]).astype(np.int64)).to(place)
        losses, grads = stack.gradient(*train.at(which, samples))
        optimizer.step(
            grads, peaks * lr_factor(step, grid.steps, schedule="cosine", warmup=min(grid.warmup, grid.steps))
        )
        if step % every == 0 or step == grid.steps:
            accuracy = _accuracy(stack, stack.parameters, validation, which)[0]
            better = accuracy > best
            best = torch.where(better, accuracy, best)
            for name, tensor in stack.parameters.items():
                kept[name] = torch.where(better.view(-1, *[1] * (tensor.ndim - 1)), tensor, kept[name])
            best_step = [step if new else old for new, old in zip(better.tolist(), best_step, strict=True)]
            spent = (perf_counter() - begun) / step
            found = f"loss {losses.mean():.3f}, validation {_span(accuracy)}"
            report(f"step {step} of {grid.steps}, {found}, {spent:.3f} s a step")
    tests = {"test": _Data([data[seed].test for seed in seeds], place)}
    further = [grid.tests(task, seed) for seed in seeds]
    tests |= {name: _Data([own[name].test for own in further], place) for name in grid.tasks[task].tests}
    results: list[dict[str, Any]] = [{} for _ in cells]
    for name, split in tests.items():
        accuracy, right = _accuracy(stack, kept, split, which)
        for i, result in enumerate(results):
            where = split.segment[int(which[i])]
            result.setdefault("tests", {})[name] = round(float(accuracy[i]), 5)
            if where is not None and right.ndim == 2:
                result.setdefault("quarters", {})[name] = _quarters(right[i].numpy(), where)
    spent = perf_counter() - begun
    for i, (cell, model, result) in enumerate(zip(cells, models, results, strict=True)):
        result |= {
            "cell": vars(cell),
            "validation_accuracy": round(float(best[i]), 5),
            "best_step": best_step[i],
            "steps": grid.steps,
            "chance": dict(data[cell.seed].card.get("chance", {})),
            "parameters": count_parameters(model)["total"],
            "carried_bytes": carried_bytes(model, data[cell.seed].max_len),
            "seconds": round(spent / len(cells), 2),
            "stacked": len(cells),
            "device": device_name(place),
            "machine": processor_name(),
            "versions": {"torch": torch.__version__, "python": platform.python_version()},
            "settings": grid.settings(cell),
        }
    return results


def _model(grid: Grid, cell: Cell) -> RMAAT:
    name, network = grid.networks(cell.task)[cell.model]
    torch.manual_seed(cell.seed)
    return build_model(name, network)


@torch.no_grad()
def _accuracy(stack: Stack, parameters: Tensors, data: _Data, which: Tensor) -> tuple[Tensor, Tensor]:
    """Accuracy (members,), and on the CPU which answers are right, (members, samples) or (members, samples, length)."""
    n, length = data.tokens.shape[1:3]
    right, targets = [], []
    at_once = max(1, TOKENS_AT_ONCE[which.device.type] // length)
    for first in range(0, n, at_once):
        samples = torch.arange(first, min(first + at_once, n), device=which.device)
        tokens, labels = data.at(which, samples.expand(len(which), -1))
        answer = stack.logits(parameters, tokens).argmax(-1)
        targets.append(labels != IGNORE_INDEX)
        right.append((answer == labels) & targets[-1])
    correct, asked = torch.cat(right, 1), torch.cat(targets, 1)
    return correct.flatten(1).sum(1) / asked.flatten(1).sum(1), correct.cpu()


def _quarters(right: np.ndarray, where: np.ndarray) -> list[float | None]:
    """Accuracy by the quarter of the input that holds the answer, the oldest first; None where none does."""
    quarter = 4 * where // (where.max() + 1)
    return [round(float(right[quarter == i].mean()), 4) if (quarter == i).any() else None for i in range(4)]


def _span(values: Tensor) -> str:
    return f"{values.min():.3f} to {values.max():.3f}"
