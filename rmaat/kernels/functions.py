"""The kernels as functions that autograd and `torch.compile` know; importing this needs Triton.

The compiler sees four opaque operators; outside of it they are called directly, which takes less time on the host.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from rmaat.kernels import read as _read
from rmaat.kernels import write as _write
from rmaat.kernels.tiles import by_token


@torch.library.custom_op("rmaat::write", mutates_args=())
def _write_op(k: Tensor, v: Tensor, phi_r: Tensor | None, mask: Tensor | None, inverse: float, neuron: bool) -> Tensor:
    return _write.launch(k, v, phi_r, mask, inverse, neuron)


@_write_op.register_fake
def _(k, v, phi_r, mask, inverse, neuron):
    batch, heads, _, width = k.shape
    return k.new_empty(batch, heads, width + 1, width, dtype=torch.float32)


@torch.library.custom_op("rmaat::write_backward", mutates_args=())
def _write_backward_op(
    d_written: Tensor,
    k: Tensor,
    v: Tensor,
    phi_r: Tensor | None,
    mask: Tensor | None,
    inverse: float,
    neuron: bool,
    wants_r: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return _write.launch_backward(d_written, k, v, phi_r, mask, inverse, neuron, wants_r)


@_write_backward_op.register_fake
def _(d_written, k, v, phi_r, mask, inverse, neuron, wants_r):
    shape = (k.shape[1], *k.shape[2:]) if wants_r else (0,)
    return by_token(k), by_token(v), k.new_empty(shape, dtype=torch.float32)


@torch.library.custom_op("rmaat::read", mutates_args=())
def _read_op(
    q: Tensor, S: Tensor, n: Tensor | None, scale: float, exponent: float, alpha: float, feedback: bool
) -> Tensor:
    return _read.launch(q, S, n, scale, exponent, alpha, feedback)


@_read_op.register_fake
def _(q, S, n, scale, exponent, alpha, feedback):
    return by_token(q)


@torch.library.custom_op("rmaat::read_backward", mutates_args=())
def _read_backward_op(
    d_read: Tensor,
    q: Tensor,
    S: Tensor,
    n: Tensor | None,
    scale: float,
    exponent: float,
    alpha: float,
    feedback: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    dq, dS, dn = _read.launch_backward(d_read, q, S, n, scale, exponent, alpha, feedback)
    return dq, dS, dn


@_read_backward_op.register_fake
def _(d_read, q, S, n, scale, exponent, alpha, feedback):
    return by_token(q), S.new_empty(S.shape), S.new_empty(S.shape[:2])


class _Write(torch.autograd.Function):
    @staticmethod
    def forward(ctx, k, v, phi_r, mask, inverse, neuron):
        ctx.save_for_backward(k, v, phi_r, mask)
        ctx.options = inverse, neuron
        compiling = torch.compiler.is_compiling()
        return (_write_op if compiling else _write.launch)(k, v, phi_r, mask, inverse, neuron)

    @staticmethod
    @once_differentiable
    def backward(ctx, d_written):
        k, v, phi_r, mask = ctx.saved_tensors
        wants_r = phi_r is not None and ctx.needs_input_grad[2]
        call = _write_backward_op if torch.compiler.is_compiling() else _write.launch_backward
        dk, dv, dr = call(d_written, k, v, phi_r, mask, *ctx.options, wants_r)
        return dk, dv, dr.to(phi_r.dtype) if wants_r else None, None, None, None


class _Read(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, S, n, scale, exponent, alpha, feedback):
        ctx.save_for_backward(q, S, n)
        ctx.options = scale, exponent, alpha, feedback
        return (_read_op if torch.compiler.is_compiling() else _read.launch)(q, S, n, *ctx.options)

    @staticmethod
    @once_differentiable
    def backward(ctx, d_read):
        q, S, n = ctx.saved_tensors
        call = _read_backward_op if torch.compiler.is_compiling() else _read.launch_backward
        dq, dS, dn = call(d_read, q, S, n, *ctx.options)
        return dq, dS, None if n is None else dn, None, None, None, None


def write(
    k: Float[Tensor, "batch heads n d_head"],
    v: Float[Tensor, "batch heads n d_head"],
    phi_r: Float[Tensor, "heads n d_head"] | None,
    mask: Bool[Tensor, "batch n"] | None,
    n_tokens: int,
    neuron: bool,
) -> Float[Tensor, "batch heads d_head_1 d_head"]:
    """What the valid tokens write: H divided by `n_tokens`, and in one more row the summed keys; float32.

    k and v must have the same dtype; `neuron` false leaves phi(k) out of H.
    """
    if phi_r is not None and phi_r.shape[1] != k.shape[2]:
        phi_r = phi_r[:, : k.shape[2]]
    return _Write.apply(k, v, phi_r, mask, 1.0 / n_tokens, neuron)


def read(
    q: Float[Tensor, "batch heads n d_head"],
    S: Float[Tensor, "batch heads d_head_1 d_head"],
    n: Float[Tensor, "batch #heads"] | float,
    alpha: float,
    m_scale: float | None,
    feedback: bool,
    n_tokens: int,
) -> Float[Tensor, "batch heads n d_head"]:
    """What the queries read from S, in their own dtype.

    `n` is the number of valid tokens that wrote, which gives m = n^(1 - alpha) where `m_scale` is None; `feedback`
    false leaves the division by C out.
    """
    alpha = float(alpha)
    if m_scale is not None:
        return _Read.apply(q, S, None, n_tokens / m_scale, 0.0, alpha, feedback)
    if not isinstance(n, Tensor):
        return _Read.apply(q, S, None, n_tokens / n ** (1 - alpha), 0.0, alpha, feedback)
    return _Read.apply(q, S, n.expand(S.shape[:2]), float(n_tokens), 1 - alpha, alpha, feedback)
