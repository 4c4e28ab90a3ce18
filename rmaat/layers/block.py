"""One layer of the model: attention and feed-forward network, each with residual and LayerNorm.

Post-norm, as published (arXiv:2601.00426, fig. 2; AT, arXiv:2312.10925, eqs. 2-3, 17-18), or pre-norm::

    L = attention(X) + X,   Y = Norm(L),   Z = Norm(FFN(Y) + Y)

Inferred where the sources are silent: GELU; dropout on each sub-layer's output before the residual sum (AT: "after the
residual, before LayerNorm", which drops the residual stream too); the last matrix of each sub-layer starts small, so
that a block starts near the identity. Otherwise neither norm learns recall over eight segments in 900 steps
(benchmarks/FINDINGS.md).
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from rmaat.config import ModelConfig
from rmaat.layers.softmax import CrossAttention, SoftmaxAttention

BRANCH_INIT = 0.1  # factor on the initial weights of a sub-layer's last matrix


def draw_kept(x: Tensor, p: float) -> Tensor:
    """1 / (1 - p), or 0 with probability `p`, for each element of `x`: 16 random bits each, from torch's generator."""
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    dropped = min(round(p * 2**16), 2**16 - 1)
    kept = words.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - 2**15
    return (kept * (2**16 / (2**16 - dropped))).to(x.dtype)


# The same for compiled code, which keeps it as one step: the tag forbids it to draw twice, or once for two. It takes
# `x`, of which it needs the shape alone, so that the draws keep the order of the layers.
compiled_draw = torch.library.custom_op(
    "rmaat::draw_kept", draw_kept, mutates_args=(), tags=(torch.Tag.nondeterministic_seeded,)
)
compiled_draw.register_fake(lambda x, p: torch.empty(x.shape, dtype=x.dtype, device=x.device))


class Dropout(nn.Dropout):
    """Dropout that, on a CPU, spends 16 random bits on each element instead of one drawn number: three times as fast.

    There, p is rounded to a multiple of 2^-16 below 1, and compiled code draws what plain code draws.
    """

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """`x` with a share p of its elements set to 0 and the others scaled by 1 / (1 - p)."""
        if not self.training or self.p == 0 or x.device.type != "cpu":
            return super().forward(x)
        draw = compiled_draw if torch.compiler.is_compiling() else draw_kept
        return x * draw(x.detach(), self.p)


class Block(nn.Module):
    """One layer: attention and feed-forward network, each with its residual and LayerNorm."""

    def __init__(self, config: ModelConfig, attention: Any):
        super().__init__()
        self.pre_norm = config.norm == "pre"
        self.attention = attention
        self.norm_attention = nn.LayerNorm(config.d_model)
        first, last = nn.Linear(config.d_model, config.d_ff), nn.Linear(config.d_ff, config.d_model)
        self.feed_forward = nn.Sequential(first, nn.GELU(), last)
        self.norm_feed_forward = nn.LayerNorm(config.d_model)
        self.dropout = Dropout(config.dropout)
        start_small(attention.out)
        start_small(last)

    def forward(
        self,
        x: Float[Tensor, "batch tokens d_model"],
        mask: Bool[Tensor, "batch tokens"] | None = None,
        phi_r: Float[Tensor, "n_heads n d_head"] | None = None,
        n_read: int | None = None,
    ) -> Float[Tensor, "batch read d_model"]:
        """Outputs of all tokens, or of the first `n_read`, to which all tokens have written."""
        options = {} if n_read is None else {"n_read": n_read}
        x = self.residual(x, self.norm_attention, lambda z: self.attention(z, mask, phi_r, **options))
        return self.residual(x, self.norm_feed_forward, self.feed_forward)

    def residual(self, x: Tensor, norm: nn.Module, layer: Callable[[Tensor], Tensor]) -> Tensor:
        """x + layer(x), for the tokens that `layer` returns, with dropout and the configured place of LayerNorm."""
        y = self.dropout(layer(norm(x) if self.pre_norm else x))
        y = x[:, : y.shape[1]] + y
        return y if self.pre_norm else norm(y)


class SynapticBlock(Block):
    """A block whose attention keeps the state of its synapses: :class:`~rmaat.layers.synapses.SynapticAttention`."""

    def forward(  # type: ignore[override]  # takes and returns the state
        self, x: Tensor, mask: Tensor | None, phi_r: Tensor | None, n_read: int | None, state: tuple[Tensor, ...]
    ) -> tuple[Float[Tensor, "batch read d_model"], tuple[Tensor, ...]]:
        """Outputs as of a :class:`Block`, and the state after the segment."""
        after: tuple[Tensor, ...] = ()

        def attend(z: Tensor) -> Tensor:
            nonlocal after
            read, after = self.attention(z, mask, phi_r, n_read, state)
            return read

        x = self.residual(x, self.norm_attention, attend)
        return self.residual(x, self.norm_feed_forward, self.feed_forward), after


def start_small(last: nn.Linear) -> None:
    """Scale the initial weights of a residual branch's last matrix by `BRANCH_INIT`."""
    with torch.no_grad():
        last.weight.mul_(BRANCH_INIT)


def masked_mean(x: Float[Tensor, "batch n d"], mask: Bool[Tensor, "batch n"] | None) -> Float[Tensor, "batch d"]:
    """Mean over the valid positions; 0 where there is none."""
    if mask is None:
        return x.mean(1)
    return torch.where(mask[..., None], x, 0).sum(1) / mask.sum(1, keepdim=True).clamp_min(1)


class ReadingBlock(Block):
    """A block that reads the memory by cross-attention between its self-attention and its feed-forward network."""

    def __init__(self, config: ModelConfig):
        attention = SoftmaxAttention(config.d_model, config.n_heads, causal=config.task == "lm")
        super().__init__(config, attention)
        self.read = CrossAttention(config.d_model, config.n_heads)
        self.norm_read = nn.LayerNorm(config.d_model)
        start_small(self.read.out)

    def forward(  # type: ignore[override]  # a Block but for what it reads
        self,
        x: Float[Tensor, "batch tokens d_model"],
        mask: Bool[Tensor, "batch tokens"] | None,
        memory: Float[Tensor, "batch n_memory d_model"],
    ) -> Float[Tensor, "batch tokens d_model"]:
        """Outputs of all tokens."""
        x = self.residual(x, self.norm_attention, lambda z: self.attention(z, mask))
        x = self.residual(x, self.norm_read, lambda z: self.read(z, memory))
        return self.residual(x, self.norm_feed_forward, self.feed_forward)
