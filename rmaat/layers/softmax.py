"""Softmax attention: over tokens, over a memory, and over slots that compete."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from rmaat.config import check_heads
from rmaat.layers.projection import check_input, project


class SoftmaxAttention(nn.Module):
    """Scaled dot-product attention with the interface of :class:`AstromorphicAttention`, for the baselines."""

    def __init__(self, d_model: int, n_heads: int, *, causal: bool = False):
        super().__init__()
        check_heads(d_model, n_heads)
        self.d_model, self.n_heads, self.d_head, self.causal = d_model, n_heads, d_model // n_heads, causal
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.out = nn.Linear(d_model, d_model, bias=False)
        for linear in (self.qkv, self.out):
            nn.init.normal_(linear.weight, std=d_model**-0.5)

    def positions(self) -> None:
        return None

    def forward(
        self,
        x: Float[Tensor, "batch tokens d_model"],
        mask: Bool[Tensor, "batch tokens"] | None = None,
        phi_r: None = None,
        n_read: int | None = None,
    ) -> Float[Tensor, "batch read d_model"]:
        """Softmax attention over the valid tokens, with torch's fused kernel."""
        check_input(x, mask, n_read, self.causal)
        q, k, v = project(self.qkv, x, self.n_heads, n_read)
        allowed = None
        if mask is not None:
            allowed = (mask | ~mask.any(1, keepdim=True))[:, None, None, :]  # without a valid key any, against NaN
            if self.causal:
                square = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device)
                allowed = (allowed & square.tril()) | square.tril().triu()  # itself always, for the same reason
        causal = self.causal and mask is None
        read = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, is_causal=causal)
        return self.out(read.transpose(1, 2).flatten(2))


class CrossAttention(nn.Module):
    """Softmax attention of one set of tokens over another."""

    def __init__(self, d_model: int, n_heads: int, bias: bool = False):
        super().__init__()
        self.n_heads = n_heads
        self.query = nn.Linear(d_model, d_model, bias)
        self.key_value = nn.Linear(d_model, 2 * d_model, bias)
        self.out = nn.Linear(d_model, d_model, bias)

    def heads(self, x: Tensor) -> Float[Tensor, "batch n_heads tokens d_head"]:
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

    def forward(
        self,
        x: Float[Tensor, "batch n d_model"],
        context: Float[Tensor, "batch k d_model"],
        mask: Bool[Tensor, "batch k"] | None = None,
    ) -> Float[Tensor, "batch n d_model"]:
        """What each token of `x` reads from the valid tokens of `context`."""
        key, value = self.key_value(context).chunk(2, dim=-1)
        allowed = None if mask is None else (mask | ~mask.any(1, keepdim=True))[:, None, None, :]
        q, k, v = (self.heads(part) for part in (self.query(x), key, value))
        read = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
        return self.out(read.transpose(1, 2).flatten(2))


class SlotAttention(CrossAttention):
    """Memformer's slots: each attends to itself and to the tokens, not to the other slots."""

    def forward(
        self,
        x: Float[Tensor, "batch n_memory d_model"],
        context: Float[Tensor, "batch k d_model"],
        mask: Bool[Tensor, "batch k"] | None = None,
    ) -> Float[Tensor, "batch n_memory d_model"]:
        """What each slot of `x` reads from itself and the valid tokens of `context`."""
        query, (own_key, own_value) = self.heads(self.query(x)), self.key_value(x).chunk(2, dim=-1)
        key, value = (self.heads(part) for part in self.key_value(context).chunk(2, dim=-1))
        score = query @ key.transpose(-1, -2)
        if mask is not None:
            score = score.masked_fill(~mask[:, None, None, :], -math.inf)
        own = (query * self.heads(own_key)).sum(-1, keepdim=True)
        weight = (torch.cat([own, score], dim=-1) / query.shape[-1] ** 0.5).softmax(-1)
        read = weight[..., :1] * self.heads(own_value) + weight[..., 1:] @ value
        return self.out(read.transpose(1, 2).flatten(2))
