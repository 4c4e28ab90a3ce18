"""The query, key and value projection shared by the attention layers, and the checks of their inputs."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rmaat.config import check_count, check_grid


def project(qkv: nn.Linear, x: Tensor, n_heads: int, n_read: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """q, k, v (batch, n_heads, tokens, d_head); q of the first `n_read` tokens only, if that is given."""
    if n_read is None:
        return qkv(x).unflatten(-1, (3, n_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
    w_q, w_kv = qkv.weight.split([x.shape[-1], 2 * x.shape[-1]])
    q = F.linear(x[:, :n_read], w_q).unflatten(-1, (n_heads, -1)).transpose(1, 2)
    k, v = F.linear(x, w_kv).unflatten(-1, (2, n_heads, -1)).permute(2, 0, 3, 1, 4)
    return q.contiguous(), k, v  # of a dense transposed q, torch.compile expects other strides of elu(q) than it gets


def check_mask(mask: Tensor | None, x: Tensor) -> None:
    """Raise ValueError unless `mask` is None or a bool tensor (batch, tokens) for the tokens `x`."""
    if mask is None:
        return
    if mask.dtype != torch.bool:
        raise ValueError(f"mask must be a bool tensor, True at valid tokens, got {mask.dtype}")
    if mask.shape != x.shape[:2]:
        raise ValueError(f"mask must be {tuple(x.shape[:2])} like the tokens, got {tuple(mask.shape)}")


def check_n_read(n_read: int | None, n_tokens: int, causal: bool) -> None:
    """Raise ValueError unless the first `n_read` of `n_tokens` can be read; None reads all."""
    if n_read is None:
        return
    if causal:
        raise ValueError(f"n_read must be None in causal attention, got {n_read}; cut the result instead")
    if not 0 <= n_read <= n_tokens:
        raise ValueError(f"n_read must be 0 to {n_tokens}, the number of tokens, got {n_read}")


def check_sizes(d_model: int, n_heads: int, n_tokens: int, grid: tuple[int, int] | None) -> None:
    """Raise ValueError unless heads divide the width and the grid, if any, holds all tokens."""
    for name, value in (("d_model", d_model), ("n_heads", n_heads), ("n_tokens", n_tokens)):
        check_count(name, value)
    if d_model % n_heads:
        raise ValueError(f"n_heads must divide d_model, got n_heads={n_heads} and d_model={d_model}")
    if grid is not None:
        check_grid(grid, "n_tokens", n_tokens)
