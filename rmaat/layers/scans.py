"""Sums over tokens in O(n): the decay scans behind R, and the running products of causal attention.

Both work on blocks of `BLOCK` tokens with small dense products, and carry one value per block from block to block: no
loop over tokens, nothing of size n x n, and the same few operations on every device.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

BLOCK = 64  # tokens in one dense product: cost per token is O(BLOCK), whatever n


def decay_scan(z: Float[Tensor, "*batch n c"], scale: float) -> Float[Tensor, "*batch n c"]:
    """Return f_i = exp(-scale) f_{i-1} + z_i along the last but one dimension, in O(n) and without a loop over tokens.

    Blocks of `BLOCK` tokens are summed by one small triangular product; the sums at the blocks' ends obey the same
    recurrence with decay ``BLOCK * scale`` and are scanned by recursion (depth log n).
    """
    n = z.shape[-2]
    step = torch.arange(min(n, BLOCK), device=z.device, dtype=z.dtype)
    within = torch.exp(-scale * (step[:, None] - step).clamp_min(0)).tril()
    if n <= BLOCK:
        return within @ z
    blocks = F.pad(z, (0, 0, 0, -n % BLOCK)).unflatten(-2, (-1, BLOCK))
    local = within @ blocks
    ends = decay_scan(local[..., -1, :], BLOCK * scale)
    inherited = F.pad(ends[..., :-1, :], (0, 0, 1, 0)).unsqueeze(-2)  # what each block finds when it starts
    return (local + torch.exp(-scale * (step + 1))[:, None] * inherited).flatten(-3, -2)[..., :n, :]


def distance_filter(z: Float[Tensor, "*batch n c"], scale: float) -> Float[Tensor, "*batch n c"]:
    """Return P_pos z, P_pos[i, j] = exp(-scale |i - j|), as a forward and a backward scan."""
    return decay_scan(z, scale) + decay_scan(z.flip(-2), scale).flip(-2) - z


def causal_product(
    q: Float[Tensor, "*batch n m"], w: Float[Tensor, "*batch n m"], v: Float[Tensor, "*batch n d"]
) -> Float[Tensor, "*batch n d"]:
    """Return sum_{j <= i} (q_i . w_j) v_j in O(n): masked products in blocks, running sums between them."""
    n = q.shape[-2]
    block = min(n, BLOCK)
    q, w, v = (F.pad(x, (0, 0, 0, -n % block)).unflatten(-2, (-1, block)) for x in (q, w, v))
    written = w.transpose(-1, -2) @ v
    earlier = F.pad(written.cumsum(-3)[..., :-1, :, :], (0, 0, 0, 0, 1, 0))
    return ((q @ w.transpose(-1, -2)).tril() @ v + q @ earlier).flatten(-3, -2)[..., :n, :]
