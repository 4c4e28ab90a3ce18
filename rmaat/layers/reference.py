"""The equations of attention once more, token by token: slow and plain forms that the fast ones are tested against."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def plain_phi(x: Tensor) -> Tensor:
    """The feature map elu(x) + 1, as it is published."""
    return F.elu(x) + 1


def position_kernel(
    n_tokens: int, scale: float, grid: tuple[int, int] | None = None, metric: str = "manhattan"
) -> Tensor:
    """The dense N x N kernel P_pos in float64.

    With a `grid` of (rows, columns) tokens are the pixels of an image in row-major order, and distances are taken in
    the plane. Only Manhattan distance factorises into a row scan times a column scan; Euclidean exists here alone.
    """
    if metric not in ("manhattan", "euclidean"):
        raise ValueError(f"metric must be 'manhattan' or 'euclidean', got {metric!r}")
    index = torch.arange(n_tokens, dtype=torch.float64)
    columns = grid[1] if grid else n_tokens
    row, column = index // columns, index % columns
    d_row, d_column = (row[:, None] - row).abs(), (column[:, None] - column).abs()
    return torch.exp(-scale * {"manhattan": d_row + d_column, "euclidean": torch.hypot(d_row, d_column)}[metric])


def reference(attention: Any, x: Tensor, mask: Tensor | None = None, metric: str = "manhattan") -> Tensor:
    """The equations of :mod:`rmaat.layers.attention`, sample by sample, head by head, token by token."""
    mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask
    phi_r, width = positions(attention, metric), attention.d_head
    samples = []
    for b in range(x.shape[0]):
        heads = []
        for h in range(attention.n_heads):
            rows = slice(h * width, (h + 1) * width)
            q, k, v = (x[b] @ weight[rows].T for weight in attention.qkv.weight.chunk(3))
            heads.append(head(attention, q, k, v, None if phi_r is None else phi_r[h], mask[b]))
        samples.append(torch.cat(heads, dim=-1))
    return attention.out(torch.stack(samples))


def positions(attention: Any, metric: str) -> Tensor | None:
    """phi(R) of a full segment with its memory rows."""
    projection = attention.projection
    if projection is None:
        return None
    p_pos = position_kernel(attention.n_tokens, attention.position_scale, attention.grid, metric).to(projection)
    if attention.position == "free":
        phi_r = plain_phi(p_pos @ projection)
    else:
        m = projection.transpose(1, 2)
        phi_r = plain_phi(m.transpose(1, 2) @ (m @ p_pos @ m.transpose(1, 2)))
    n_memory = attention.n_memory
    if attention.memory_rows is None:
        return F.pad(phi_r, (0, 0, n_memory, attention.n_write))
    rows = plain_phi(attention.memory_rows)
    return torch.cat([rows[:, :n_memory], phi_r, rows[:, n_memory:]], dim=1)


def head(attention: Any, q: Tensor, k: Tensor, v: Tensor, phi_r: Tensor | None, mask: Tensor) -> Tensor:
    """One head's read-out of one sample's queries, keys and values (tokens, d_head)."""
    h, total, n, written = torch.zeros_like(torch.outer(k[0], v[0])), torch.zeros_like(k[0]), 0, []
    for t in range(q.shape[0]):  # write
        if mask[t]:
            h = h + torch.outer(plain_phi(k[t]) if attention.neuron else 0 * k[t], v[t])
            h = h if phi_r is None else h + torch.outer(phi_r[t], v[t])
            total, n = total + plain_phi(k[t]), n + 1
        written.append((h, total, n))
    read_out = []
    for t in range(q.shape[0]):  # read
        h, total, n = written[t if attention.causal else -1]
        if n == 0:
            read_out.append(torch.zeros_like(v[t]))
            continue
        m = attention.m_scale if attention.m_scale is not None else n ** (1 - attention.alpha)
        c = plain_phi(q[t]) @ total**attention.alpha
        read_out.append(plain_phi(q[t]) @ (h / m) / (c if attention.feedback else 1))
    return torch.stack(read_out)


def delta_reference(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    H: Tensor,
    causal: bool,
    log_keep: Tensor | None = None,
    correct: bool = True,
) -> tuple[Tensor, Tensor]:
    """What :func:`rmaat.layers.synapses.delta_product` computes, token by token."""
    reads = []
    for t in range(k.shape[-2]):
        k_t, v_t, beta_t = k[..., t, :], v[..., t, :], beta[..., t, :]
        H = H if log_keep is None else torch.exp(log_keep[..., t, :, None]) * H
        recalled = torch.einsum("...d,...de->...e", k_t, H) if correct else 0.0
        H = H + k_t[..., :, None] * (beta_t * (v_t - recalled))[..., None, :]
        reads.append(torch.einsum("...d,...de->...e", q[..., t, :], H))
    return torch.stack(reads, dim=-2) if causal else q @ H, H
