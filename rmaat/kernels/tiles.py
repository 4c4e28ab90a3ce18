"""What the kernels share: the feature map, sizes of tiles, and how many programs divide the tokens among them."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

PROGRAMS = 512  # wanted at once: about four on each multiprocessor of a large GPU, which hide each other's waiting
FEWEST = 256  # tokens of a program: its partial sum of d_head^2 numbers should be small beside them
TYPES = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}

# Tokens of a tile, warps and stages of the pipeline, from what the compiler says for compute capability 9.0: registers
# that fit and room for two programs or more on a multiprocessor. The last is for float32, whose products need more.
TILES = {
    "write": {"narrow": (64, 4, 3), "wide": (64, 8, 2), "float32": (32, 4, 2)},
    "write_backward": {"narrow": (64, 4, 2), "wide": (64, 8, 1), "float32": (32, 8, 2)},
    "read": {"narrow": (64, 4, 3), "wide": (64, 8, 2), "float32": (32, 4, 2)},
    "read_backward": {"narrow": (32, 4, 3), "wide": (32, 8, 2), "float32": (32, 8, 2)},
}


@triton.jit
def phi(x):
    """elu(x) + 1, in float32."""
    return tl.where(x > 0, x + 1, tl.exp(tl.minimum(x, 0)))


@triton.jit
def phi_slope(phi_x):
    """The derivative of phi, from its value."""
    return tl.minimum(phi_x, 1)


def sizes(kernel: str, x: Tensor) -> dict[str, Any]:
    """Compile-time sizes for heads like x (batch, heads, n, d_head); DOT is the type that products take.

    `tl.dot` wants at least 16 columns, and under the interpreter it multiplies the bits of bfloat16 numbers.
    """
    width = x.shape[-1]
    block = max(16, triton.next_power_of_2(width))
    kind = "float32" if x.dtype == torch.float32 else "wide" if block > 64 else "narrow"
    tokens, warps, stages = TILES[kernel][kind]
    dot = tl.float32 if triton.knobs.runtime.interpret else TYPES[x.dtype]
    options: dict[str, Any] = {"num_warps": warps, "num_stages": stages}
    return {"D": width, "BLOCK_D": block, "BLOCK_N": tokens, "DOT": dot} | options


def divide(pairs: int, n: int, block: int) -> tuple[int, int]:
    """Programs for each of the `pairs` of sample and head, and the tokens of each, a multiple of `block`."""
    programs = min(max(1, PROGRAMS // pairs), triton.cdiv(n, FEWEST))
    tokens = triton.cdiv(triton.cdiv(n, programs), block) * block
    return triton.cdiv(n, tokens), tokens


def by_token(x: Tensor) -> Tensor:
    """An empty (batch, heads, n, d_head) like x whose heads lie side by side: joining them copies nothing."""
    return torch.empty_like(x.transpose(1, 2), memory_format=torch.contiguous_format).transpose(1, 2)


def dense(x: Tensor) -> Tensor:
    """`x` with neighbours in its last dimension side by side in memory."""
    return x if x.stride(-1) == 1 else x.contiguous()
