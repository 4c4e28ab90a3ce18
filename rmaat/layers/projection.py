"""What the attention layers share: feature map, query, key and value projection, and the check of their inputs."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class _Phi(torch.autograd.Function):
    """exp(min(x, 0)) + max(x, 0), which is elu(x) + 1; its derivative, min(phi, 1), needs the result alone."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:  # type: ignore[override]
        return x.clamp_max(0).exp_().add_(x.clamp_min(0))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return ctx.saved_tensors[0].clamp_max(1) * grad

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:  # type: ignore[override]
        return ctx.saved_tensors[0].clamp_max(1) * tangent


def phi(x: Tensor) -> Tensor:
    """The feature map elu(x) + 1."""
    if torch.compiler.is_compiling():  # the compiler finds as lean a form itself
        return torch.where(x > 0, x + 1, x.clamp_max(0).exp())
    return _Phi.apply(x)


def project(qkv: nn.Linear, x: Tensor, n_heads: int, n_read: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """q, k, v (batch, n_heads, tokens, d_head), contiguous; q of the first `n_read` tokens only, if that is given."""
    reading = x if n_read is None else x[:, :n_read]
    parts = (
        F.linear(y, weight).unflatten(-1, (n_heads, -1)).transpose(1, 2).contiguous()
        for y, weight in zip((reading, x, x), qkv.weight.split(x.shape[-1]), strict=True)
    )
    q, k, v = parts
    return q, k, v


def check_input(x: Tensor, mask: Tensor | None, n_read: int | None, causal: bool) -> None:
    """ValueError unless `mask` is a bool tensor (batch, tokens) like `x`, and its first `n_read` tokens can be read."""
    if mask is not None and mask.dtype != torch.bool:
        raise ValueError(f"mask must be a bool tensor, True at valid tokens, got {mask.dtype}")
    if mask is not None and mask.shape != x.shape[:2]:
        raise ValueError(f"mask must be {tuple(x.shape[:2])} like the tokens, got {tuple(mask.shape)}")
    if n_read is not None and causal:
        raise ValueError(f"n_read must be None in causal attention, got {n_read}; cut the result instead")
    if n_read is not None and not 0 <= n_read <= x.shape[1]:
        raise ValueError(f"n_read must be 0 to {x.shape[1]}, the number of tokens, got {n_read}")
