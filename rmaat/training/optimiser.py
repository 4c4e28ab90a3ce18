"""Learning-rate schedule, parameter groups, the optimiser step and its seed."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def lr_factor(step: int, steps: int, *, schedule: str, warmup: int, final: float = 0.0) -> float:
    """The learning rate of optimiser step `step` (the first is 1) as a share of its peak.

    It rises linearly over `warmup` steps; then cosine and linear fall to the share `final` at `steps`, constant stays,
    and rsqrt goes as sqrt(warmup / step) (the Long Range Arena's, whose "learning rate" is this peak times
    sqrt(warmup)).
    """
    if step <= warmup:
        return step / warmup
    if schedule == "constant":
        return 1.0
    if schedule == "rsqrt":
        return math.sqrt(max(warmup, 1) / step)
    done = (step - warmup) / max(steps - warmup, 1)
    falling = 0.5 * (1 + math.cos(math.pi * done)) if schedule == "cosine" else 1 - done
    return final + (1 - final) * falling


def parameter_groups(model: nn.Module, weight_decay: float, lr_scale: Mapping[str, float]) -> list[dict[str, Any]]:
    """Groups by learning-rate factor, and without decay for what has fewer than two dimensions (biases, norms).

    `lr_scale` has factors for the parameters whose name contains the key; the first match counts.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    unused = set(lr_scale)
    for name, parameter in model.named_parameters():
        key = next((key for key in lr_scale if key in name), None)
        unused.discard(key)
        scale = 1.0 if key is None else lr_scale[key]
        groups.setdefault((scale, parameter.ndim >= 2), []).append(parameter)
    if unused:
        raise ValueError(f"lr_scale must have keys that are in names of parameters, got {', '.join(sorted(unused))}")
    return [
        {"params": parameters, "lr_scale": scale, "weight_decay": weight_decay if decays else 0.0}
        for (scale, decays), parameters in groups.items()
    ]


def optimizer_step(
    model: nn.Module,
    optimizer: Any,
    losses: Iterable[Tensor],
    max_norm: float,
    backward: Callable[[Tensor], Any] = Tensor.backward,
    clip: Callable[..., Tensor] = torch.nn.utils.clip_grad_norm_,
) -> tuple[Tensor, Tensor]:
    """Take one step down the gradient of the sum of the losses of a batch's micro-batches.

    The gradient is clipped to the norm `max_norm` (0 does not clip). Returns the sum and the norm before clipping.
    """
    total = torch.zeros(())
    for loss in losses:
        backward(loss)
        total = total.to(loss.device) + loss.detach()
    norm = clip(model.parameters(), max_norm or math.inf)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total, norm


def step_seed(seed: int, step: int, process: int) -> int:
    """Seed of the random numbers of one step in one process."""
    return int(np.random.SeedSequence([seed, step, process]).generate_state(1, np.uint64)[0] >> np.uint64(1))
