"""Synaptic memory: what tokens write into a layer's synapses and stays there from segment to segment.

Long-term plasticity changes synapses, so a layer's hidden weights H may persist: at the start of a segment each head
keeps the share ``keep_h = exp(-a_h)`` of its H, with a_h = `seconds_per_segment` / tau_eff from a simulated LTP curve,
and the segment's tokens then write to it::

    hebbian   H += phi(k_t) v_t^T                              RMAAT's write (:mod:`rmaat.layers.attention`)
    delta     H += beta_t k_t (v_t - H^T k_t)^T                corrects what the key recalls; |k_t| = 1, 0 < beta_t < 1

The short convolution mixes each token's query, key and value with its neighbours', so that a key can be bound to the
value beside it.

References
----------
Schlag, Irie, Schmidhuber 2021 (delta rule in linear attention); Yang et al. 2024, arXiv:2406.06484 (its chunkwise
parallel form) and arXiv:2412.06464 (gated, with the short convolution); Arora et al. 2023, arXiv:2312.04927 (why linear
attention without a convolution fails at associative recall).
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from rmaat.layers.attention import AstromorphicAttention
from rmaat.layers.projection import check_n_read

Synapses = tuple[Tensor, ...]

CHUNK = 64  # tokens that one triangular solve takes in


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
) -> tuple[Float[Tensor, "batch heads n d"], Float[Tensor, "batch heads d d"]]:
    """Return what the queries read from H, and H, after each token's write (causal) or after all of them.

    Within a chunk the writes are u_t = beta_t (v_t - H^T k_t - sum_{s<t} (k_t . k_s) u_s): one triangular solve of
    `CHUNK` unknowns, then H += k^T u.
    """
    reads = []
    for q_c, k_c, v_c, beta_c in zip(*(x.split(CHUNK, dim=-2) for x in (q, k, v, beta)), strict=True):
        overlap = torch.eye(k_c.shape[-2], device=k.device, dtype=k.dtype) + (beta_c * k_c @ k_c.mT).tril(-1)
        u = torch.linalg.solve_triangular(overlap, beta_c * (v_c - k_c @ H), upper=False, unitriangular=True)
        if causal:
            reads.append(q_c @ H + (q_c @ k_c.mT).tril() @ u)
        H = H + k_c.mT @ u
    return torch.cat(reads, dim=-2) if causal else q @ H, H


def delta_reference(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, H: Tensor, causal: bool) -> tuple[Tensor, Tensor]:
    """What :func:`delta_product` computes, token by token."""
    reads = []
    for t in range(k.shape[-2]):
        k_t, v_t, beta_t = k[..., t, :], v[..., t, :], beta[..., t, :]
        recalled = torch.einsum("...d,...de->...e", k_t, H)
        H = H + k_t[..., :, None] * (beta_t * (v_t - recalled))[..., None, :]
        reads.append(torch.einsum("...d,...de->...e", q[..., t, :], H))
    return torch.stack(reads, dim=-2) if causal else q @ H, H


class SynapticAttention(AstromorphicAttention):
    """Attention whose hidden weights H persist from segment to segment, with an optional short convolution.

    Parameters
    ----------
    rule : {"none", "hebbian", "delta"}
        How H is written; "none" starts each segment with H = 0 (then only the convolution reaches over the border).
    rates : tensor (n_heads,)
        a_h, relaxation per segment: what is left of H is exp(-a_h).
    conv_len : int
        Tokens of the short convolution on queries, keys and values; 1 for none. Memory tokens are left out of it.
    learned : bool
        Train the logarithms of the rates.
    sizes, options
        Of :class:`~rmaat.layers.attention.AstromorphicAttention`; `delta` has neither R nor g.
    """

    def __init__(self, *sizes, rule: str, rates: Tensor, conv_len: int = 1, learned: bool = False, **options):
        if rule == "delta":
            options |= {"position": "none"}
        super().__init__(*sizes, **options)
        self.rule = rule
        rates = rates.to(torch.get_default_dtype()).clone()
        self.log_rates = nn.Parameter(rates.log()) if learned else None
        if not learned:
            self.register_buffer("rates", rates, persistent=False)
        self.conv = ShortConvolution(3 * self.d_model, conv_len, causal=self.causal) if conv_len > 1 else None
        self.beta = nn.Linear(self.d_model, self.n_heads) if rule == "delta" else None

    def initial(self, batch: int) -> Synapses:
        """The state before the first segment: zeros."""
        weight, d = self.qkv.weight, self.d_head
        shapes = {"none": (), "hebbian": ((d, d), (1, d), (1, 1)), "delta": ((d, d),)}[self.rule]
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
        self._check_input(x, mask)
        check_n_read(n_read, x.shape[1], self.causal)
        state = self.initial(len(x)) if state is None else state
        z, tail = self._mix(self.qkv(x), mask, state)
        q, k, v = z.unflatten(-1, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        q = q if n_read is None else q[:, :, :n_read].contiguous()
        rates = self.rates if self.log_rates is None else self.log_rates.exp()
        kept = tuple(torch.exp(-rates)[:, None, None] * past for past in (state if tail is None else state[:-1]))
        after: Synapses | None
        if self.rule == "delta":
            read, after = self._correct(q, k, v, x, mask, kept[0])
        else:
            read, after = self.associate(q, k, v, mask, phi_r, kept or None)  # type: ignore[arg-type]
        return self.out(read.transpose(1, 2).flatten(2)), (*(after or ()), *(() if tail is None else (tail,)))

    def _mix(self, z: Tensor, mask: Tensor | None, state: Synapses) -> tuple[Tensor, Tensor | None]:
        """The short convolution on the segment's own tokens, which stand between the memory tokens."""
        if self.conv is None:
            return z, None
        own = slice(self.n_memory, z.shape[1] - self.n_write)
        mixed, tail = self.conv(z[:, own], None if mask is None else mask[:, own], state[-1])
        return torch.cat([z[:, : own.start], mixed, z[:, own.stop :]], dim=1), tail

    def _correct(self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, mask: Tensor | None, H: Tensor):
        q, k = (F.normalize(F.silu(part), dim=-1) for part in (q, k))
        beta = torch.sigmoid(self.beta(x)).transpose(1, 2)[..., None]
        beta = beta if mask is None else beta * mask[:, None, :, None]
        with torch.autocast(x.device.type, enabled=False):
            read, H = delta_product(*(part.to(H.dtype) for part in (q, k, v, beta)), H, self.causal)
        return read.to(x.dtype), (H,)
