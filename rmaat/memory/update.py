"""How memory tokens are written: learned gates, attention, and the read of cached memories."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from rmaat.layers.block import masked_mean
from rmaat.layers.softmax import CrossAttention


class CachedRead(nn.Module):
    """Memory Caching's gated read: memory + tanh(gamma) sum_i w_i memory_i over the memories cached so far.

    w = softmax over i of <W_q mean(x_t), W_k mean(memory_i)> / sqrt(d_model); gamma starts at 0 (arXiv:2602.24281). A
    memory that a segment without valid tokens left as it was counts once.
    """

    def __init__(self, d_model: int):
        super().__init__()
        self.query = nn.Linear(d_model, d_model, bias=False)
        self.key = nn.Linear(d_model, d_model, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, mask: Tensor | None, memory: Tensor, cache: tuple[Tensor, ...]) -> Tensor:
        """The memory (batch, n_memory, d_model) that tokens (batch, tokens, d_model) are to read."""
        memories = torch.stack([*cache, memory], dim=1)  # (batch, cached, n_memory, d_model)
        query = self.query(masked_mean(x, mask))
        match = (self.key(memories.mean(2)) @ query.unsqueeze(-1)).squeeze(-1) / query.shape[-1] ** 0.5
        again = (memories[:, :-1] == memories[:, 1:]).all(-1).all(-1)
        match = match.masked_fill(F.pad(again, (0, 1)), -math.inf)
        read = torch.einsum("bi,bimd->bmd", match.softmax(-1).to(memory.dtype), memories)
        return memory + torch.tanh(self.gamma) * read


class GatedUpdate(nn.Module):
    """Learned gate per memory token and channel: z = sigmoid(W [memory, new] + b), z memory + (1 - z) new."""

    def __init__(self, d_model: int):
        super().__init__()
        self.gate = nn.Linear(2 * d_model, d_model)

    def forward(
        self, memory: Float[Tensor, "batch n_memory d_model"], new: Float[Tensor, "batch n_memory d_model"]
    ) -> Float[Tensor, "batch n_memory d_model"]:
        return torch.lerp(new, memory, torch.sigmoid(self.gate(torch.cat([memory, new], dim=-1))).to(memory.dtype))


class AttendUpdate(CrossAttention):
    """RATE's retention valve: softmax attention with the old memory as query and relu(new) as key and value."""

    def __init__(self, d_model: int, n_heads: int):
        super().__init__(d_model, n_heads, bias=True)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """The next memory from `x`, the old one, and `context`, the new one (batch, n_memory, d_model)."""
        return super().forward(x, F.relu(context), mask)
