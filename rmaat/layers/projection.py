"""The query, key and value projection shared by the attention layers, and the check of their inputs."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def project(qkv: nn.Linear, x: Tensor, n_heads: int, n_read: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """q, k, v (batch, n_heads, tokens, d_head); q of the first `n_read` tokens only, if that is given."""
    if n_read is None:
        return qkv(x).unflatten(-1, (3, n_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
    w_q, w_kv = qkv.weight.split([x.shape[-1], 2 * x.shape[-1]])
    q = F.linear(x[:, :n_read], w_q).unflatten(-1, (n_heads, -1)).transpose(1, 2)
    k, v = F.linear(x, w_kv).unflatten(-1, (2, n_heads, -1)).permute(2, 0, 3, 1, 4)
    return q.contiguous(), k, v  # of a dense transposed q, torch.compile expects other strides of elu(q) than it gets


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
