"""Synaptic memory: what tokens write into a layer's synapses and stays there from segment to segment.

Long-term plasticity changes synapses, so a layer's hidden weights H may persist: at the start of a segment each head
keeps the share ``keep_h = exp(-a_h)`` of its H, with a_h = `seconds_per_segment` / tau_eff from a simulated LTP curve,
and the segment's tokens then write to it::

    hebbian   H += phi(k_t) v_t^T                              RMAAT's write (:mod:`rmaat.layers.attention`)
    delta     H += beta_t k_t (v_t - H^T k_t)^T                corrects what the key recalls; |k_t| = 1, 0 < beta_t < 1

Two more, of the baselines, forget at every token and not from segment to segment; what is read has RMS 1 in each head::

    retention    H = exp(-a_h / segment_len) H + k_t v_t^T     the same share of H at every token (RetNet)
    gated_delta  H = keep_t H, then as delta                   a share that the token sets (gated DeltaNet)

with keep_t = exp(-exp(A_h) softplus(w_h . x_t + b_h)), whose start is that of Mamba2 and of gated DeltaNet: exp(A_h)
from 1 to 16, softplus(b_h) from 0.001 to 0.1.

The short convolution mixes each token's query, key and value with its neighbours', so that a key can be bound to the
value beside it.

References
----------
Schlag, Irie, Schmidhuber 2021 (delta rule in linear attention); Yang et al. 2024, arXiv:2406.06484 (its chunkwise
parallel form) and arXiv:2412.06464 (gated, with the short convolution); Sun et al. 2023, arXiv:2307.08621 (RetNet);
Arora et al. 2023, arXiv:2312.04927 (why linear attention without a convolution fails at associative recall).
"""

import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from rmaat.layers.attention import AstromorphicAttention
from rmaat.layers.softmax import SoftmaxAttention

Synapses = tuple[Tensor, ...]

CHUNK = 64  # tokens that one triangular solve takes in

TOKENWISE = ("delta", "retention", "gated_delta")  # rules that write by :func:`delta_product`


class ShortConvolution(nn.Module):
    """Depthwise convolution over `length` neighbouring tokens; causal, or centred with `length` // 2 tokens before.

    The last tokens of a segment are handed on as the `tail`, which stands before the next segment's first token.
    """

    def __init__(self, width: int, length: int, *, causal: bool):
        super().__init__()
        self.before = length - 1 if causal else length // 2
        self.behind = length - 1 - self.before
        self.weight = nn.Parameter(torch.empty(width, 1, length).uniform_(-1, 1) * length**-0.5)

    def forward(
        self,
        x: Float[Tensor, "batch tokens width"],
        mask: Bool[Tensor, "batch tokens"] | None,
        tail: Float[Tensor, "batch before width"],
    ) -> tuple[Float[Tensor, "batch tokens width"], Float[Tensor, "batch before width"]]:
        """The mixed tokens, and the next tail. Padding counts as zeros."""
        x = x if mask is None else x * mask[..., None].to(x.dtype)
        x = torch.cat([tail.to(x.dtype), x], dim=1)
        mixed = F.conv1d(F.pad(x.transpose(1, 2), (0, self.behind)), self.weight.to(x.dtype), groups=x.shape[-1])
        return mixed.transpose(1, 2), x[:, x.shape[1] - self.before :].to(tail.dtype)


def delta_product(
    q: Float[Tensor, "batch heads n d"],
    k: Float[Tensor, "batch heads n d"],
    v: Float[Tensor, "batch heads n d"],
    beta: Float[Tensor, "batch heads n 1"],
    H: Float[Tensor, "batch heads d d"],
    causal: bool,
    log_keep: Float[Tensor, "batch heads n 1"] | None = None,
    correct: bool = True,
) -> tuple[Float[Tensor, "batch heads n d"], Float[Tensor, "batch heads d d"]]:
    """Return what the queries read from H, and H, after each token's write (causal) or after all of them.

    Each token first leaves the share exp(log_keep_t) of H, by default all of it. Without `correct` it writes beta_t v_t
    whatever its key recalls.

    With K_t = sum_{s<=t} log_keep_s, counted from the chunk's start, the writes within a chunk are
    u_t = beta_t (v_t - exp(K_t) H^T k_t - sum_{s<t} exp(K_t - K_s) (k_t . k_s) u_s): one triangular solve of `CHUNK`
    unknowns, then H = exp(K) H + sum_s exp(K - K_s) k_s u_s^T.
    """
    log_keep = torch.zeros_like(beta) if log_keep is None else log_keep
    reads = []
    for q_c, k_c, v_c, beta_c, keep in zip(*(x.split(CHUNK, dim=-2) for x in (q, k, v, beta, log_keep)), strict=True):
        since = keep.cumsum(-2)
        between = torch.exp((since - since.mT).tril())
        u = beta_c * v_c
        if correct:
            unit = torch.eye(k_c.shape[-2], device=k.device, dtype=k.dtype)
            overlap = unit + (beta_c * (k_c @ k_c.mT) * between).tril(-1)
            recalled = beta_c * since.exp() * (k_c @ H)
            u = torch.linalg.solve_triangular(overlap, u - recalled, upper=False, unitriangular=True)
        if causal:
            reads.append(since.exp() * (q_c @ H) + ((q_c @ k_c.mT) * between).tril() @ u)
        H = since[..., -1:, :].exp() * H + (k_c * between[..., -1:, :].mT).mT @ u
    return torch.cat(reads, dim=-2) if causal else q @ H, H


class SynapticAttention(AstromorphicAttention):
    """Attention whose hidden weights H persist from segment to segment, with an optional short convolution.

    Parameters
    ----------
    rule : {"none", "hebbian", "delta", "retention", "gated_delta"}
        How H is written; "none" starts each segment with H = 0 (then only the convolution reaches over the border).
    rates : tensor (n_heads,)
        a_h, relaxation per segment: what is left of H is exp(-a_h). Not used by "gated_delta".
    conv_len : int
        Tokens of the short convolution on queries, keys and values; 1 for none. Memory tokens are left out of it.
    learned : bool
        Train the logarithms of the rates.
    sizes, options
        Of :class:`~rmaat.layers.attention.AstromorphicAttention`; all rules but "hebbian" have neither R nor g.
    """

    rates: Tensor
    beta: Any  # an nn.Linear, or None where no step is learned
    gate: Any  # an nn.Linear, or None without a learned share

    def __init__(self, *sizes, rule: str, rates: Tensor, conv_len: int = 1, learned: bool = False, **options):
        if rule in TOKENWISE:
            options |= {"position": "none"}
        super().__init__(*sizes, **options)
        self.rule = rule
        rates = rates.to(torch.get_default_dtype()).clone()
        self.log_rates = nn.Parameter(rates.log()) if learned else None
        if not learned:
            self.register_buffer("rates", rates, persistent=False)
        self.conv = ShortConvolution(3 * self.d_model, conv_len, causal=self.causal) if conv_len > 1 else None
        self.beta = nn.Linear(self.d_model, self.n_heads) if rule in ("delta", "gated_delta") else None
        self.gate = nn.Linear(self.d_model, self.n_heads) if rule == "gated_delta" else None
        if self.gate is not None:
            self.log_a = nn.Parameter(torch.empty(self.n_heads).uniform_(1, 16).log())
            start = torch.empty(self.n_heads).uniform_(math.log(1e-3), math.log(1e-1)).exp()
            with torch.no_grad():
                self.gate.bias.copy_(start + torch.log(-torch.expm1(-start)))  # softplus of it is `start`
        self.norm_read = nn.RMSNorm(self.d_head) if rule in ("retention", "gated_delta") else None

    def initial(self, batch: int) -> Synapses:
        """The state before the first segment: zeros."""
        weight, d = self.qkv.weight, self.d_head
        shapes = {"none": (), "hebbian": ((d, d), (1, d), (1, 1))}.get(self.rule, ((d, d),))
        exact = torch.promote_types(weight.dtype, torch.float32)
        state = [weight.new_zeros(batch, self.n_heads, *shape, dtype=exact) for shape in shapes]
        return (*state, *([] if self.conv is None else [weight.new_zeros(batch, self.conv.before, 3 * self.d_model)]))

    def forward(  # type: ignore[override]  # takes and returns the state of its synapses
        self,
        x: Float[Tensor, "batch tokens d_model"],
        mask: Bool[Tensor, "batch tokens"] | None = None,
        phi_r: Float[Tensor, "n_heads n d_head"] | None = None,
        n_read: int | None = None,
        state: Synapses | None = None,
    ) -> tuple[Float[Tensor, "batch read d_model"], Synapses]:
        """The attention's output, and the state after the segment; `state` is that before it."""
        self._check_input(x, mask, n_read)
        state = self.initial(len(x)) if state is None else state
        z, tail = self._mix(self.qkv(x), mask, state)
        q, k, v = z.unflatten(-1, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        q = q if n_read is None else q[:, :, :n_read].contiguous()
        rates = self.rates if self.log_rates is None else self.log_rates.exp()
        kept: Any = state[: len(state) - len(tail)]
        if self.rule not in ("retention", "gated_delta"):
            kept = tuple(torch.exp(-rates)[:, None, None] * past for past in kept)
        if self.rule in TOKENWISE:
            read, after = self._write_by_token(q, k, v, x, mask, rates, *kept)
        else:
            read, after = self.associate(q, k, v, mask, phi_r, kept or None)
        return self.out(read.transpose(1, 2).flatten(2)), (*(after or ()), *tail)

    def _mix(self, z: Tensor, mask: Tensor | None, state: Synapses) -> tuple[Tensor, Synapses]:
        if self.conv is None:
            return z, ()
        return mix_own(self.conv, z, mask, state[-1], self.n_memory, self.n_write)

    def _write_by_token(
        self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, mask: Tensor | None, rates: Tensor, H: Tensor
    ) -> Any:
        """What is read, and H, by the rules that write token by token; padding neither writes nor forgets."""
        correct = self.rule != "retention"
        beta, log_keep = torch.ones_like(k[..., :1]), None
        if correct:
            q, k = (F.normalize(F.silu(part), dim=-1) for part in (q, k))
            beta = torch.sigmoid(self.beta(x)).transpose(1, 2)[..., None]
        else:
            k = k * self.d_head**-0.5
            log_keep = (-rates / self.n_tokens)[:, None, None].expand_as(beta)
        if self.gate is not None:
            log_keep = -(self.log_a.exp() * F.softplus(self.gate(x))).transpose(1, 2)[..., None]
        if mask is not None:
            valid = mask[:, None, :, None]
            beta, log_keep = beta * valid, None if log_keep is None else log_keep * valid
        with torch.autocast(x.device.type, enabled=False):
            q, k, v, beta = (part.to(H.dtype) for part in (q, k, v, beta))
            log_keep = None if log_keep is None else log_keep.to(H.dtype)
            read, H = delta_product(q, k, v, beta, H, self.causal, log_keep, correct)
            read = read if self.norm_read is None else self.norm_read(read)
        return read.to(x.dtype), (H,)


class ConvolvedSoftmax(SoftmaxAttention):
    """Softmax attention behind a short convolution of its input, for baselines; the tail is handed on."""

    def __init__(self, d_model: int, n_heads: int, *, causal: bool, conv_len: int, n_memory: int, n_write: int):
        super().__init__(d_model, n_heads, causal=causal)
        self.conv = ShortConvolution(d_model, conv_len, causal=causal)
        self.n_memory, self.n_write = n_memory, n_write

    def initial(self, batch: int) -> Synapses:
        """The state before the first segment: zeros."""
        weight = self.qkv.weight
        exact = torch.promote_types(weight.dtype, torch.float32)
        return (weight.new_zeros(batch, self.conv.before, self.d_model, dtype=exact),)

    def forward(  # type: ignore[override]  # takes and returns the tail
        self,
        x: Float[Tensor, "batch tokens d_model"],
        mask: Bool[Tensor, "batch tokens"] | None = None,
        phi_r: None = None,
        n_read: int | None = None,
        state: Synapses | None = None,
    ) -> tuple[Float[Tensor, "batch read d_model"], Synapses]:
        """The attention's output, and the tail after the segment; `state` is that before it."""
        state = self.initial(len(x)) if state is None else state
        x, tail = mix_own(self.conv, x, mask, state[-1], self.n_memory, self.n_write)
        return super().forward(x, mask, phi_r, n_read), tail


def mix_own(
    conv: ShortConvolution, z: Tensor, mask: Tensor | None, tail: Tensor, n_memory: int, n_write: int
) -> tuple[Tensor, Synapses]:
    """The short convolution on the segment's own tokens, which stand between the memory tokens."""
    own = slice(n_memory, z.shape[1] - n_write)
    mixed, tail = conv(z[:, own], None if mask is None else mask[:, own], tail)
    return torch.cat([z[:, : own.start], mixed, z[:, own.stop :]], dim=1), (tail,)
