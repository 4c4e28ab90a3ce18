"""Read: what each query reads from the hidden weights, divided by its own response, in one pass over the queries.

    read_t = phi(q_t) H scale / C_t,   C_t = phi(q_t) . g,   g = keys^alpha,   scale = n_tokens / m,   m = n^(1 - alpha)

with H and the summed keys in S as :mod:`rmaat.kernels.write` leaves it. The limits are those of the plain form: keys
and C are at least `FLOOR`, and where no token has written the read-out is 0. The backward pass computes phi and C anew
and gives the gradients of q, S and n.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from rmaat.kernels.tiles import by_token, dense, divide, phi, phi_slope, sizes

FLOOR = torch.finfo(torch.float32).tiny ** 0.5


@triton.jit
def response(S, column, scale, alpha, floor, D: tl.constexpr, FEEDBACK: tl.constexpr):
    """g, its derivative by the keys, and the scale, which is 0 where no key was written."""
    keys = tl.load(S + D * D + column, mask=column < D, other=0.0)
    bounded = tl.maximum(keys, floor)
    g = tl.where(column < D, tl.exp(alpha * tl.log(bounded)), 0.0)
    slope = tl.where(keys >= floor, alpha * g / bounded, 0.0)
    if FEEDBACK:
        scale = tl.where(tl.max(keys, axis=0) > 0, scale, 0.0)
    return g, slope, scale


@triton.jit
def scaled(N, scale, exponent):
    """The number of tokens n of this pair, at least 1, and scale / n^exponent."""
    n = tl.maximum(tl.load(N), 1.0)
    return n, scale * tl.exp(-exponent * tl.log(n))


@triton.jit
def read_kernel(
    Q, S, N, OUT, q_b, q_h, q_n, n_b, n_h, o_b, o_h, o_n, n, heads, share, scale, exponent, alpha, floor,
    D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr, DOT: tl.constexpr,
    HAS_N: tl.constexpr, FEEDBACK: tl.constexpr,
):  # fmt: skip
    """Read-outs of `share` queries of one sample's head."""
    pair, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    b, h = pair // heads, pair % heads
    column = tl.arange(0, BLOCK_D)
    rows = tl.arange(0, BLOCK_D)[:, None]
    begin = part * share
    end = tl.minimum(begin + share, n)
    place = S + pair * (D + 1) * D
    square = (rows < D) & (column < D)[None, :]
    H = tl.load(place + rows * D + column[None, :], mask=square, other=0.0).to(DOT)
    if HAS_N:
        _, scale = scaled(N + b * n_b + h * n_h, scale, exponent)
    g, _, scale = response(place, column, scale, alpha, floor, D, FEEDBACK)
    for first in range(begin, end, BLOCK_N):
        token = first + tl.arange(0, BLOCK_N)
        inside = (token < end)[:, None] & (column < D)[None, :]
        row = token.to(tl.int64)[:, None]
        q = tl.load(Q + b * q_b + h * q_h + row * q_n + column[None, :], mask=inside, other=0.0)
        phi_q = tl.where(inside, phi(q.to(tl.float32)), 0.0)
        read = tl.dot(phi_q.to(DOT), H, input_precision="ieee")
        if FEEDBACK:
            C = tl.maximum(tl.sum(phi_q * g[None, :], axis=1), floor)
            read *= (scale / C)[:, None]
        else:
            read *= scale
        tl.store(OUT + b * o_b + h * o_h + row * o_n + column[None, :], read.to(q.dtype), mask=inside)


@triton.jit
def read_backward_kernel(
    Q, S, N, DREAD, DQ, DS, DN, q_b, q_h, q_n, n_b, n_h, y_b, y_h, y_n, o_b, o_h, o_n, n, heads, share,
    scale, exponent, alpha, floor,
    D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr, DOT: tl.constexpr,
    HAS_N: tl.constexpr, FEEDBACK: tl.constexpr,
):  # fmt: skip
    """Gradients of `share` queries, and their part of those of S and n."""
    pair, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    b, h = pair // heads, pair % heads
    column = tl.arange(0, BLOCK_D)
    rows = tl.arange(0, BLOCK_D)[:, None]
    begin = part * share
    end = tl.minimum(begin + share, n)
    place = S + pair * (D + 1) * D
    square = (rows < D) & (column < D)[None, :]
    H = tl.load(place + rows * D + column[None, :], mask=square, other=0.0).to(DOT)
    seen = 1.0
    if HAS_N:
        seen, scale = scaled(N + b * n_b + h * n_h, scale, exponent)
    g, slope, scale = response(place, column, scale, alpha, floor, D, FEEDBACK)
    dH = tl.zeros((BLOCK_D, BLOCK_D), tl.float32)
    dg = tl.zeros((BLOCK_D,), tl.float32)
    total = tl.zeros((BLOCK_N,), tl.float32)  # of read-out times its gradient
    for first in range(begin, end, BLOCK_N):
        token = first + tl.arange(0, BLOCK_N)
        inside = (token < end)[:, None] & (column < D)[None, :]
        row = token.to(tl.int64)[:, None]
        q = tl.load(Q + b * q_b + h * q_h + row * q_n + column[None, :], mask=inside, other=0.0)
        dy = tl.load(DREAD + b * y_b + h * y_h + row * y_n + column[None, :], mask=inside, other=0.0).to(tl.float32)
        phi_q = tl.where(inside, phi(q.to(tl.float32)), 0.0)
        gain = tl.zeros((BLOCK_N,), tl.float32) + scale
        if FEEDBACK:
            C = tl.sum(phi_q * g[None, :], axis=1)
            bounded = tl.maximum(C, floor)
            gain = scale / bounded
        dx = (dy * gain[:, None]).to(DOT)
        d_phi = tl.dot(dx, tl.trans(H), input_precision="ieee")
        along = tl.sum(phi_q * d_phi, axis=1)  # of phi(q) H scale / C with dy
        if FEEDBACK:
            dC = tl.where(C >= floor, -along / bounded, 0.0)
            d_phi += dC[:, None] * g[None, :]
            dg += tl.sum(phi_q * dC[:, None], axis=0)
        dH += tl.dot(tl.trans(phi_q.to(DOT)), dx, input_precision="ieee")
        total += along
        dq = (d_phi * phi_slope(phi_q)).to(q.dtype)
        tl.store(DQ + b * o_b + h * o_h + row * o_n + column[None, :], dq, mask=inside)
    index = pair * tl.num_programs(1) + part
    tl.store(DS + index * (D + 1) * D + rows * D + column[None, :], dH, mask=square)
    tl.store(DS + index * (D + 1) * D + D * D + column, dg * slope, mask=column < D)
    tl.store(DN + index, -tl.sum(total, axis=0) * exponent / seen)


def _options(n: Tensor | None, scale: float, exponent: float, alpha: float, feedback: bool) -> tuple[Any, ...]:
    """The kernels' last arguments, and their switches."""
    return (scale, exponent, alpha, FLOOR), {"HAS_N": n is not None, "FEEDBACK": feedback}


def launch(
    q: Tensor, S: Tensor, n: Tensor | None, scale: float, exponent: float, alpha: float, feedback: bool
) -> Tensor:
    """What q (batch, heads, tokens, d_head) reads; n (batch, heads) or None, which leaves the scale as it is."""
    batch, heads, tokens, _ = q.shape
    q, tile, out = dense(q), sizes("read", q), by_token(q)
    parts, share = divide(batch * heads, tokens, tile["BLOCK_N"])
    numbers, switches = _options(n, scale, exponent, alpha, feedback)
    with torch.cuda.device_of(q):
        read_kernel[(batch * heads, parts)](
            *(q, S.contiguous(), S if n is None else n, out),
            *(*q.stride()[:3], *((0, 0) if n is None else n.stride()), *out.stride()[:3]),
            *(tokens, heads, share, *numbers),
            **tile, **switches,
        )  # fmt: skip
    return out


def launch_backward(
    d_read: Tensor,
    q: Tensor,
    S: Tensor,
    n: Tensor | None,
    scale: float,
    exponent: float,
    alpha: float,
    feedback: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, S and n."""
    batch, heads, tokens, width = q.shape
    q, d_read, tile, dq = dense(q), dense(d_read), sizes("read_backward", q), by_token(q)
    parts, share = divide(batch * heads, tokens, tile["BLOCK_N"])
    dS = torch.empty(batch, heads, parts, width + 1, width, dtype=torch.float32, device=q.device)
    dn = torch.empty(batch, heads, parts, dtype=torch.float32, device=q.device)
    numbers, switches = _options(n, scale, exponent, alpha, feedback)
    with torch.cuda.device_of(q):
        read_backward_kernel[(batch * heads, parts)](
            *(q, S.contiguous(), S if n is None else n, d_read, dq, dS, dn),
            *(*q.stride()[:3], *((0, 0) if n is None else n.stride()), *d_read.stride()[:3], *dq.stride()[:3]),
            *(tokens, heads, share, *numbers),
            **tile, **switches,
        )  # fmt: skip
    if parts == 1:
        return dq, dS[:, :, 0], dn[:, :, 0]
    return dq, dS.sum(2), dn.new_empty(batch, heads) if n is None else dn.sum(2)
