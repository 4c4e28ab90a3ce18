"""RMAAT in one file: astromorphic attention, retention, segment recurrence and replay, with torch alone.

For reading and for porting. It computes what :class:`rmaat.RMAAT` computes for a classifier with post-norm, tied R and
sequences of whole segments; the names of the parameters are the same, so weights can be exchanged, and a test holds
both together in logits and gradients. Equations: arXiv:2601.00426 and the documentation of the full modules.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def phi(x: Tensor) -> Tensor:
    """Positive feature map."""
    return F.elu(x) + 1


def distance_filter(z: Tensor, scale: float) -> Tensor:
    """Return P z, P[i, j] = exp(-scale |i - j|), along the last but one dimension, by two doubling scans."""

    def scan(z: Tensor) -> Tensor:  # f_i = sum_{j <= i} exp(-scale (i - j)) z_j, twice as many terms in each round
        shift = 1
        while shift < z.shape[-2]:
            z = z + math.exp(-scale * shift) * F.pad(z[..., :-shift, :], (0, 0, shift, 0))
            shift *= 2
        return z

    return scan(z) + scan(z.flip(-2)).flip(-2) - z


class Attention(nn.Module):
    """l_t = phi(q_t) H / C_t per head, H = (phi(K) + phi(R))^T V / m, C_t = phi(q_t) (sum_j phi(k_j))^alpha.

    m = N^(1 - alpha) gives the read-out the size that it has with alpha = 1.
    """

    def __init__(self, d_model: int, n_heads: int, segment_len: int, n_memory: int, alpha: float, scale: float):
        super().__init__()
        self.n_heads, self.n_memory, self.alpha, self.scale = n_heads, n_memory, alpha, scale
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.out = nn.Linear(d_model, d_model, bias=False)
        shape = (n_heads, segment_len, d_model // n_heads)
        self.projection = nn.Parameter((0.1 / segment_len) ** (1 / 3) * torch.randn(shape))  # makes R small

    def positions(self) -> Tensor:
        """phi(R), R = M^T M P M^T with M^T = projection; memory tokens have none."""
        r = self.projection @ (self.projection.mT @ distance_filter(self.projection, self.scale))
        return F.pad(phi(r), (0, 0, self.n_memory, 0))

    def forward(self, x: Tensor) -> Tensor:
        """Read-out (batch, n, d_model) of a full segment behind its memory tokens."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        q, k, m = phi(q), phi(k), x.shape[1] ** (1 - self.alpha)
        h = (k + self.positions()).mT @ v / m  # write
        g = k.sum(-2, keepdim=True) ** self.alpha
        read = q @ h / (q * g).sum(-1, keepdim=True)
        return self.out(read.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and feed-forward network, each followed by the residual and LayerNorm."""

    def __init__(self, d_model: int, d_ff: int, dropout: float, attention: Attention):
        super().__init__()
        self.attention, self.dropout = attention, nn.Dropout(dropout)
        first, last = nn.Linear(d_model, d_ff), nn.Linear(d_ff, d_model)
        self.feed_forward = nn.Sequential(first, nn.GELU(), last)
        self.norm_attention, self.norm_feed_forward = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        for matrix in (attention.out, last):
            matrix.weight.data.mul_(0.1)  # each branch starts small

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (batch, n, d_model)."""
        y = self.norm_attention(x + self.dropout(self.attention(x)))
        return self.norm_feed_forward(y + self.dropout(self.feed_forward(y)))


def retention(rule: str, a: Tensor, n_segments: int) -> tuple[Tensor, Tensor]:
    """keep and take (n_segments, n) of an exponential long-term potentiation p(t) = 1 - exp(-a t), t in segments.

    "scale": the paper's RF(t, T) = (p(t) - p(t-1)) / p(T). "relax": the mean synapse moves towards its new target.
    """
    steps = torch.arange(n_segments, dtype=a.dtype)[:, None]
    if rule == "scale":
        factors = torch.exp(-a * steps)
        return torch.zeros_like(factors), factors / factors.sum(0)
    return torch.exp(-a).expand(n_segments, -1), -torch.expm1(-a).expand(n_segments, -1)


class MinimalRMAAT(nn.Module):
    """Classifier of sequences of whole segments.

    Parameters
    ----------
    a : tensor (1,) or (n_memory,)
        Relaxation rate per segment, of all memory tokens or of each.
    """

    def __init__(self, vocab_size, n_classes, d_model, n_heads, n_layers, d_ff, segment_len, n_memory, *,
                 alpha: float, scale: float, a: Tensor, rule: str = "relax", dropout: float = 0.0):  # fmt: skip
        super().__init__()
        self.segment_len, self.rule, self.a, self.dropout = segment_len, rule, a, nn.Dropout(dropout)
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.memory = nn.Parameter(torch.randn(n_memory, d_model))
        sizes = (d_model, n_heads, segment_len, n_memory, alpha, scale)
        self.blocks = nn.ModuleList(Block(d_model, d_ff, dropout, Attention(*sizes)) for _ in range(n_layers))
        self.head = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(2 * d_model, d_ff), nn.ReLU(), nn.Linear(d_ff, n_classes)
        )
        angle = torch.arange(segment_len)[:, None] * 1e4 ** (-torch.arange(0, d_model, 2) / d_model)
        sinusoids = torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :d_model]
        self.register_buffer("sinusoids", sinusoids)

    def segment(self, tokens: Tensor, memory: Tensor, keep: Tensor, take: Tensor) -> tuple[Tensor, Tensor]:
        """One segment: the next memory (batch, n_memory, d_model) and the mean of the tokens (batch, d_model)."""
        x = self.dropout(self.embedding(tokens) + self.sinusoids)
        x = torch.cat([memory, x], dim=1)
        for block in self.blocks:
            x = block(x)
        new, tokens_out = x.split([memory.shape[1], self.segment_len], dim=1)
        return keep[:, None] * memory + take[:, None] * new, tokens_out.mean(1)

    def classify(self, memory: Tensor, summary: Tensor) -> Tensor:
        """Logits from the last segment's tokens and the final memory."""
        return self.head(torch.cat([summary, memory.mean(1)], dim=-1))

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (batch, n_classes) of tokens (batch, length): plain back-propagation through time."""
        segments, memory = tokens.split(self.segment_len, dim=1), self.memory.expand(len(tokens), -1, -1)
        for segment, keep, take in zip(segments, *retention(self.rule, self.a, len(segments)), strict=True):
            memory, summary = self.segment(segment, memory, keep.to(memory.dtype), take.to(memory.dtype))
        return self.classify(memory, summary)


def replay_backward(model: MinimalRMAAT, tokens: Tensor, labels: Tensor) -> Tensor:
    """AMRB: accumulate the gradients of the cross-entropy with one segment's graph at a time; return the loss.

    The memories at the borders and the generator's state are kept; each segment is then run again, last first, with the
    gradient of the memory that it wrote. Retention acts inside `segment`, forwards and therefore backwards too.
    """
    segments, memory = tokens.split(model.segment_len, dim=1), model.memory.expand(len(tokens), -1, -1)
    weights = [w.to(memory.dtype) for w in retention(model.rule, model.a, len(segments))]
    borders, generator = [], []
    with torch.no_grad():
        for segment, keep, take in zip(segments[:-1], *(w[:-1] for w in weights), strict=True):
            borders.append(memory)
            generator.append(torch.get_rng_state())
            memory, _ = model.segment(segment, memory, keep, take)
    start = memory.detach().requires_grad_()
    loss = F.cross_entropy(model.classify(*model.segment(segments[-1], start, *(w[-1] for w in weights))), labels)
    loss.backward()
    after = torch.get_rng_state()
    gradient: Any = start.grad
    for t in reversed(range(len(borders))):
        torch.set_rng_state(generator[t])
        start = borders[t].detach().requires_grad_()
        memory, _ = model.segment(segments[t], start, weights[0][t], weights[1][t])
        memory.backward(gradient)
        gradient = start.grad
    torch.set_rng_state(after)
    model.memory.backward(gradient.sum(0))
    return loss.detach()
