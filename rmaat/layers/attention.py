"""Astromorphic attention: linear attention whose numerator and normaliser are those of a neuron-astrocyte network.

Per head, with K, Q, V the projections of the N tokens X of a segment, phi(x) = elu(x) + 1, and rows k_t, q_t, v_t::

    write   H = H_neuron + H_astro,   H_neuron = (1/m) phi(K)^T V,   H_astro = (1/m) phi(R)^T V
            g = (sum_t phi(k_t))^alpha                               the astrocyte's Ca2+ response to the summed keys
    read    C = phi(Q) g^T,   P = 1 / C,   l_t = phi(q_t) H P_t      L = l + X, the "+ X" being the block's residual

The product of H (m x d) and P (N x 1) is ill-typed as published; dividing each token's read-out by its own C is the one
reading that is consistent and linear in N, and with alpha = 1, m = 1 and no R it is Katharopoulos' linear attention.
R comes from token positions alone: with P_pos[i, j] = exp(-scale |i - j|),

    tied    R = M^T M P_pos M^T, with a learned M (d_head x N) per head
    free    R = P_pos W, with a learned W (N x d_head) per head

References
----------
Mia, Bal, Sengupta, "RMAAT", arXiv:2601.00426; "Delving Deeper Into Astromorphic Transformers", arXiv:2312.10925
(eqs. 2-18, R and alpha); Katharopoulos et al. 2020, "Transformers are RNNs".
"""

import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from rmaat.config import check_count, check_grid, check_heads, check_number
from rmaat.kernels import usable
from rmaat.layers.projection import check_input, phi, project
from rmaat.layers.reference import reference
from rmaat.layers.scans import causal_product, distance_filter

R_RMS = 0.1  # of R at the start

Past = tuple[Tensor, Tensor, Tensor]


class AstromorphicAttention(nn.Module):
    """Read-out of the astromorphic attention, without the residual ``+ X``, which the block adds.

    Parameters
    ----------
    d_model, n_heads : int
        Token width and number of heads; ``d_head = d_model / n_heads`` is the number of hidden neurons of each head.
    n_tokens : int
        Tokens of a full segment, for R. A shorter input uses the first rows of the full segment's R.
    alpha : float
        Exponent of the Ca2+ response g; 1 is the linear response. AT uses 0.25.
    position_scale : float
        Decay of P_pos per token of distance.
    position : {"tied", "free", "none"}
        Construction of R (module docstring); "none" drops H_astro.
    feedback, neuron : bool
        False drops P (the read-out is then phi(q) H, whose size grows with N: for ablation), or H_neuron.
    m_scale : float, optional
        The scale m. By default n^(1 - alpha), n = valid tokens seen by the query, which makes the gain that of
        alpha = 1 (with m = 1 it is n^(1 - alpha) times larger).
    causal : bool
        Each token reads only what was written up to itself; then n, H and g are running sums. R depends on positions
        and parameters but on no token's content, so phi(r_j) v_j is simply written at step j.
    n_memory, n_write : int
        Memory tokens before, and in the causal layout also after, the segment's own tokens.
    memory_position : {"none", "learned"}
        Memory tokens have no place in the segment: their rows of phi(R) are zero, or phi of a learned row [inferred].
    grid : (rows, columns), optional
        Positions in the plane, Manhattan distance; ``rows * columns`` must equal `n_tokens`.
    output : bool
        Project the concatenated heads by W_O (never mentioned in the sources; usual) [inferred].

    Notes
    -----
    Initial values [inferred]: Q, K, V, O have variance 1/d_model, so that unit tokens give unit keys; M and W are
    scaled so that R is small. phi(R) is then about 1: H_astro starts as the mean of the values, weighs about as much as
    H_neuron, and learns positions from there.
    Sums are divided by `n_tokens` before and multiplied after the products, so that in half precision they do not grow
    with the number of tokens; they do grow with the cube of x, and in float16 tokens of RMS 40 overflow. g and C are
    computed in float32 at least.
    """

    projection: nn.Parameter | None
    memory_rows: nn.Parameter | None

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        n_tokens: int,
        alpha: float = 0.25,
        position_scale: float = 0.1,
        position: str = "tied",
        feedback: bool = True,
        m_scale: float | None = None,
        *,
        neuron: bool = True,
        causal: bool = False,
        n_memory: int = 0,
        n_write: int = 0,
        memory_position: str = "none",
        grid: tuple[int, int] | None = None,
        output: bool = True,
    ):
        super().__init__()
        check_heads(d_model, n_heads)
        check_count("n_tokens", n_tokens)
        if grid is not None:
            check_grid(grid, "n_tokens", n_tokens)
        for name, count in (("n_memory", n_memory), ("n_write", n_write)):
            check_count(name, count, 0)
        for name, number in (("alpha", alpha), ("position_scale", position_scale)):
            check_number(name, number, zero=True)
        if m_scale is not None:
            check_number("m_scale", m_scale)
        if position not in ("tied", "free", "none"):
            raise ValueError(f"position must be 'tied', 'free' or 'none', got {position!r}")
        if memory_position not in ("none", "learned"):
            raise ValueError(f"memory_position must be 'none' or 'learned', got {memory_position!r}")
        if not neuron and position == "none":
            raise ValueError("position must not be 'none' when neuron=False, got both: nothing would be written to H")
        self.d_model, self.n_heads, self.n_tokens, self.d_head = d_model, n_heads, n_tokens, d_model // n_heads
        self.alpha, self.position_scale, self.position, self.m_scale = alpha, position_scale, position, m_scale
        self.feedback, self.neuron, self.causal = feedback, neuron, causal
        self.n_memory, self.n_write, self.grid = n_memory, n_write, grid
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.out = nn.Linear(d_model, d_model, bias=False) if output else nn.Identity()
        for matrix in self.parameters():
            nn.init.normal_(matrix, std=d_model**-0.5)
        self.register_parameter("projection", self._initial_projection())
        learned = memory_position == "learned" and position != "none" and n_memory + n_write > 0
        rows = torch.randn(n_heads, n_memory + n_write, self.d_head) if learned else None
        self.register_parameter("memory_rows", None if rows is None else nn.Parameter(rows))

    def _initial_projection(self) -> nn.Parameter | None:
        """M^T (tied) or W (free) as (n_heads, n_tokens, d_head), scaled to give R an RMS of about `R_RMS`."""
        if self.position == "none":
            return None
        n, r2 = self.n_tokens, math.exp(-2 * self.position_scale)
        # a row of P_pos has the squared sum (1 + r^2) / (1 - r^2), or n if that is less, in each dimension
        row = math.prod(min((1 + r2) / max(1 - r2, 1e-12), size) for size in self.grid or (n,))
        if self.position == "free":
            std = R_RMS * row**-0.5
        else:  # D = M P_pos M^T has about std^2 n on its diagonal and the variance std^4 n row beside it
            std = R_RMS ** (1 / 3) * (n**2 + (self.d_head - 1) * n * row) ** (-1 / 6)
        return nn.Parameter(std * torch.randn(self.n_heads, n, self.d_head))

    def _filtered(self, z: Float[Tensor, "n_heads n_tokens d_head"]) -> Float[Tensor, "n_heads n_tokens d_head"]:
        if self.grid is None:
            return distance_filter(z, self.position_scale)
        z = distance_filter(z.unflatten(1, self.grid), self.position_scale)  # along each row
        return distance_filter(z.transpose(1, 2), self.position_scale).transpose(1, 2).flatten(1, 2)

    def positions(self) -> Float[Tensor, "n_heads n d_head"] | None:
        """phi(R) of a full segment with its memory rows; depends on parameters alone: one call serves all segments."""
        if self.projection is None:
            return None
        with torch.autocast(self.projection.device.type, enabled=False):
            filtered = self._filtered(self.projection)
            if self.position == "tied":
                filtered = self.projection @ (self.projection.transpose(1, 2) @ filtered)
        if self.memory_rows is None:
            return F.pad(phi(filtered), (0, 0, self.n_memory, self.n_write))
        before, behind = phi(self.memory_rows).tensor_split([self.n_memory], dim=1)
        return torch.cat([before, phi(filtered), behind], dim=1)

    def _check_input(self, x: Tensor, mask: Tensor | None, n_read: int | None) -> None:
        longest = self.n_memory + self.n_tokens + self.n_write
        if x.ndim != 3 or x.shape[-1] != self.d_model or x.shape[1] > longest:
            raise ValueError(f"x must be (batch, at most {longest} tokens, {self.d_model}), got {tuple(x.shape)}")
        check_input(x, mask, n_read, self.causal)

    def forward(
        self,
        x: Float[Tensor, "batch tokens d_model"],
        mask: Bool[Tensor, "batch tokens"] | None = None,
        phi_r: Float[Tensor, "n_heads n d_head"] | None = None,
        n_read: int | None = None,
    ) -> Float[Tensor, "batch read d_model"]:
        """Fast form, O(tokens).

        Parameters
        ----------
        mask : bool tensor, optional
            True at valid tokens; the others write nothing and their read-out is meaningless.
        phi_r : tensor, optional
            :meth:`positions`, when the caller has it already.
        n_read : int, optional
            All tokens write, but only the first `n_read` read: the result is (batch, n_read, d_model). Not when causal.
        """
        self._check_input(x, mask, n_read)
        q, k, v = project(self.qkv, x, self.n_heads, n_read)
        read, _ = self.associate(q, k, v, mask, phi_r)
        return self.out(read.transpose(1, 2).flatten(2))

    def associate(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, phi_r: Tensor | None, past: Past | None = None
    ) -> tuple[Float[Tensor, "batch heads read d_head"], Past | None]:
        """What the queries read from H, and with `past` also what H, the summed keys and the tokens are afterwards.

        `past` is H (batch, heads, d_head, d_head), the sum of phi(k) (batch, heads, 1, d_head) and the number of tokens
        (batch, heads, 1, 1) that earlier segments have left.
        """
        phi_r = self.positions() if phi_r is None else phi_r
        if not self.causal and usable(k) and q.shape[2]:
            return self._fused(q, k, v, mask, phi_r, past)
        phi_q, phi_k = phi(q), phi(k)
        written = phi_k if self.neuron else torch.zeros_like(phi_k)
        if phi_r is not None:
            written = written + phi_r[:, : k.shape[2]].to(written.dtype)
        valid = None if mask is None else mask[:, None, :, None].to(phi_k.dtype)
        if valid is not None:
            phi_k, written = phi_k * valid, written * valid
        v = v / self.n_tokens
        H: Any = None if past is None else past[0] + written.mT @ v
        if past is None:
            read = causal_product(phi_q, written, v) if self.causal else phi_q @ (written.mT @ v)
        elif self.causal:
            read = causal_product(phi_q, written, v) + phi_q @ past[0].to(phi_q.dtype)
        else:
            read = phi_q @ H.to(phi_q.dtype)
        gain, keys, n = self._gain(phi_q, phi_k, valid, past)
        read = read * (gain if isinstance(gain, float) else gain.to(read.dtype))
        return read, None if past is None else (H, keys[..., -1:, :], n[..., -1:, :])

    def _fused(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, phi_r: Tensor | None, past: Past | None
    ) -> tuple[Tensor, Past | None]:
        """What `associate` returns, by the kernels of :mod:`rmaat.kernels`."""
        from rmaat.kernels.functions import read, write

        phi_r = None if phi_r is None else phi_r.to(k.dtype)
        S = write(k, v, phi_r, mask, self.n_tokens, self.neuron)  # H, and the summed keys below it
        n: Any = float(k.shape[2]) if mask is None else mask.sum(1, keepdim=True, dtype=S.dtype)
        after = None
        if past is not None:
            S = S + torch.cat(past[:2], dim=2)
            n = past[2].flatten(1) + n
            after = (S[:, :, :-1], S[:, :, -1:], n[..., None, None])
        return read(q, S, n, self.alpha, self.m_scale, self.feedback, self.n_tokens), after

    def reference(self, x: Tensor, mask: Tensor | None = None, metric: str = "manhattan") -> Tensor:
        """The same token by token, slow and plain: :mod:`rmaat.layers.reference`."""
        return reference(self, x, mask, metric)

    def _gain(
        self, phi_q: Tensor, phi_k: Tensor, valid: Tensor | None, past: Past | None
    ) -> tuple[Tensor | float, Tensor, Any]:
        """n_tokens / (m C), turning the mean-scaled read-out into phi(q) H P; summed keys and number of valid tokens.

        The first, (batch, heads, tokens, 1) or less, is 0 where no token is valid and H = 0: a large number would be
        infinite in float16, and 0 times that NaN. The others are what each query sees; n is a float where no token is
        masked and all see the same.
        """
        exact = torch.promote_types(phi_k.dtype, torch.float32)

        def seen(x: Tensor) -> Tensor:
            return x.cumsum(-2, dtype=exact) if self.causal else x.sum(-2, True, dtype=exact)

        keys, n_tokens = seen(phi_k), phi_k.shape[-2]
        n: Any = float(n_tokens)
        if valid is not None:
            n = seen(valid)
        elif self.causal:
            n = torch.arange(1, n_tokens + 1, dtype=exact, device=phi_k.device)[:, None]
        if past is not None:
            keys, n = keys + past[1], n + past[2]
        m: Any = self.m_scale
        if m is None:
            m = (n.clamp_min(1) if isinstance(n, Tensor) else n) ** (1 - self.alpha)
        if not self.feedback:
            return self.n_tokens / m, keys, n
        floor = torch.finfo(exact).tiny ** 0.5  # reached only where phi underflows or no token is valid
        g = torch.exp(self.alpha * torch.log(keys.clamp_min(floor)))
        response = (phi_q.to(exact) * g).sum(-1, keepdim=True).clamp_min(floor)
        return self.n_tokens / (m * response.masked_fill(~keys.any(-1, keepdim=True), math.inf)), keys, n
