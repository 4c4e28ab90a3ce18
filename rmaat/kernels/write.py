"""Write: each token's key and value go into the hidden weights H and the summed keys in one pass over the tokens.

    S = [ sum_t (phi(k_t) + phi(r_t)) v_t^T / n_tokens ]     d_head rows: H
        [ sum_t phi(k_t)^T                             ]     and one more: the summed keys

The backward pass goes over the tokens once more and computes phi anew; nothing but the inputs is kept. Every sum is in
float32 and in a fixed order: the same inputs give the same bits.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from rmaat.kernels.tiles import PROGRAMS, by_token, dense, divide, phi, phi_slope, sizes


@triton.jit
def write_kernel(
    K, V, R, MASK, OUT, k_b, k_h, k_n, v_b, v_h, v_n, r_h, r_n, mask_b, n, heads, share, inverse,
    D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr, DOT: tl.constexpr,
    HAS_R: tl.constexpr, HAS_MASK: tl.constexpr, NEURON: tl.constexpr,
):  # fmt: skip
    """S of one sample's head from `share` tokens: the part that program (pair, part) puts into OUT."""
    pair, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    b, h = pair // heads, pair % heads
    column = tl.arange(0, BLOCK_D)
    begin = part * share
    end = tl.minimum(begin + share, n)
    H = tl.zeros((BLOCK_D, BLOCK_D), tl.float32)
    keys = tl.zeros((BLOCK_D,), tl.float32)
    for first in range(begin, end, BLOCK_N):
        token = first + tl.arange(0, BLOCK_N)
        valid = token < end
        if HAS_MASK:
            valid = valid & (tl.load(MASK + b * mask_b + token, mask=valid, other=0) != 0)
        inside = valid[:, None] & (column < D)[None, :]
        row = token.to(tl.int64)[:, None]
        k = tl.load(K + b * k_b + h * k_h + row * k_n + column[None, :], mask=inside, other=0.0)
        v = tl.load(V + b * v_b + h * v_h + row * v_n + column[None, :], mask=inside, other=0.0)
        phi_k = tl.where(inside, phi(k.to(tl.float32)), 0.0)
        keys += tl.sum(phi_k, axis=0)
        written = phi_k
        if not NEURON:
            written = tl.zeros_like(phi_k)
        if HAS_R:
            written += tl.load(R + h * r_h + row * r_n + column[None, :], mask=inside, other=0.0).to(tl.float32)
        H += tl.dot(tl.trans(written.to(DOT)), v.to(DOT), input_precision="ieee")
    rows = tl.arange(0, BLOCK_D)[:, None]
    place = OUT + (pair * tl.num_programs(1) + part) * (D + 1) * D
    tl.store(place + rows * D + column[None, :], H * inverse, mask=(rows < D) & (column < D)[None, :])
    tl.store(place + D * D + column, keys, mask=column < D)


@triton.jit
def write_backward_kernel(
    K, V, R, MASK, DS, DK, DV, DR, k_b, k_h, k_n, v_b, v_h, v_n, r_h, r_n, mask_b, d_b, d_h, d_n, n, heads, batch,
    share, inverse,
    D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr, DOT: tl.constexpr,
    HAS_R: tl.constexpr, HAS_MASK: tl.constexpr, NEURON: tl.constexpr, WANTS_R: tl.constexpr,
):  # fmt: skip
    """Gradients of BLOCK_N tokens of one head in `share` samples; that of phi(R) is summed over these."""
    h, group = tl.program_id(1).to(tl.int64), tl.program_id(2)
    column = tl.arange(0, BLOCK_D)
    token = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    row = token.to(tl.int64)[:, None]
    there = (token < n)[:, None] & (column < D)[None, :]
    rows = tl.arange(0, BLOCK_D)[:, None]
    square = (rows < D) & (column < D)[None, :]
    if HAS_R:
        r = tl.load(R + h * r_h + row * r_n + column[None, :], mask=there, other=0.0).to(tl.float32)
    dr = tl.zeros((BLOCK_N, BLOCK_D), tl.float32)
    for sample in range(group * share, tl.minimum(group * share + share, batch)):
        b = tl.cast(sample, tl.int64)
        inside = there
        if HAS_MASK:
            inside = there & (tl.load(MASK + b * mask_b + token, mask=token < n, other=0) != 0)[:, None]
        k = tl.load(K + b * k_b + h * k_h + row * k_n + column[None, :], mask=inside, other=0.0)
        v = tl.load(V + b * v_b + h * v_h + row * v_n + column[None, :], mask=inside, other=0.0)
        place = DS + (b * heads + h) * (D + 1) * D
        dH = (tl.load(place + rows * D + column[None, :], mask=square, other=0.0) * inverse).to(DOT)
        d_keys = tl.load(place + D * D + column, mask=column < D, other=0.0)
        phi_k = tl.where(inside, phi(k.to(tl.float32)), 0.0)
        d_written = tl.dot(v.to(DOT), tl.trans(dH), input_precision="ieee")
        d_phi = tl.zeros_like(phi_k) + d_keys[None, :]
        written = tl.zeros_like(phi_k)
        if NEURON:
            d_phi += d_written
            written += phi_k
        if HAS_R:
            written += tl.where(inside, r, 0.0)
        dv = tl.dot(written.to(DOT), dH, input_precision="ieee")
        out = b * d_b + h * d_h + row * d_n + column[None, :]
        tl.store(DK + out, (d_phi * phi_slope(phi_k)).to(k.dtype), mask=there)
        tl.store(DV + out, dv.to(k.dtype), mask=there)
        if WANTS_R:
            dr += d_written
    if WANTS_R:
        tl.store(DR + ((group * heads + h) * n + row) * D + column[None, :], dr, mask=there)


def launch(k: Tensor, v: Tensor, phi_r: Tensor | None, mask: Tensor | None, inverse: float, neuron: bool) -> Tensor:
    """S (batch, heads, d_head + 1, d_head) in float32."""
    batch, heads, n, width = k.shape
    k, v, r, valid = dense(k), dense(v), k if phi_r is None else dense(phi_r), k if mask is None else dense(mask)
    tile = sizes("write", k)
    parts, share = divide(batch * heads, n, tile["BLOCK_N"])
    out = torch.empty(batch, heads, parts, width + 1, width, dtype=torch.float32, device=k.device)
    with torch.cuda.device_of(k):
        write_kernel[(batch * heads, parts)](
            *(k, v, r, valid, out, *k.stride()[:3], *v.stride()[:3], *r.stride()[:2], valid.stride(0)),
            *(n, heads, share, inverse),
            **tile, HAS_R=phi_r is not None, HAS_MASK=mask is not None, NEURON=neuron,
        )  # fmt: skip
    return out[:, :, 0] if parts == 1 else out.sum(2)


def launch_backward(
    d_written: Tensor,
    k: Tensor,
    v: Tensor,
    phi_r: Tensor | None,
    mask: Tensor | None,
    inverse: float,
    neuron: bool,
    wants_r: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of k, v and phi(R), the last one empty unless `wants_r`."""
    batch, heads, n, width = k.shape
    k, v, r, valid = dense(k), dense(v), k if phi_r is None else dense(phi_r), k if mask is None else dense(mask)
    tile = sizes("write_backward", k)
    blocks = triton.cdiv(n, tile["BLOCK_N"])
    groups = min(batch, max(1, PROGRAMS // (blocks * heads))) if wants_r else batch
    share = triton.cdiv(batch, groups)
    groups = triton.cdiv(batch, share)
    dk, dv = by_token(k), by_token(v)
    dr = torch.empty((groups, heads, n, width) if wants_r else 0, dtype=torch.float32, device=k.device)
    with torch.cuda.device_of(k):
        write_backward_kernel[(blocks, heads, groups)](
            *(k, v, r, valid, d_written.contiguous(), dk, dv, dr),
            *(*k.stride()[:3], *v.stride()[:3], *r.stride()[:2], valid.stride(0), *dk.stride()[:3]),
            *(n, heads, batch, share, inverse),
            **tile, HAS_R=phi_r is not None, HAS_MASK=mask is not None, NEURON=neuron, WANTS_R=wants_r,
        )  # fmt: skip
    if not wants_r:
        return dk, dv, dr
    return dk, dv, dr[0] if groups == 1 else dr.sum(0)
