"""When the kernels run: on a GPU where Triton is installed, unless ``RMAAT_KERNELS`` or `use_kernels` says otherwise.

auto   (default) on CUDA devices of compute capability 8.0 and more, for the inputs that `usable` lists
on     the same, and on a CPU under Triton's interpreter (``TRITON_INTERPRET=1`` before the start): slow, for tests
off    never: the plain form, which alone can be differentiated twice or mapped by torch.func
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import torch
from torch import Tensor

MODES = ("auto", "on", "off")
HALF, WIDTH, WIDTH_FLOAT32 = (torch.bfloat16, torch.float16), 128, 64  # a wider float32 head fills the registers

_found = find_spec("triton") is not None
_mode = os.environ.get("RMAAT_KERNELS", "auto")


def _check(mode: str, name: str) -> None:
    if mode not in MODES:
        raise ValueError(f"{name} must be 'auto', 'on' or 'off', got {mode!r}")
    if mode == "on" and not _found:
        raise ValueError(f"{name} must not be 'on' without Triton; install it: pip install 'astro-rmaat[gpu]'")


_check(_mode, "the environment variable RMAAT_KERNELS")


@contextmanager
def use_kernels(mode: str) -> Iterator[None]:
    """Within this context ``RMAAT_KERNELS`` is `mode`; ValueError for an unknown one."""
    global _mode
    _check(mode, "mode")
    before, _mode = _mode, mode
    try:
        yield
    finally:
        _mode = before


def _transformed() -> bool:
    """Whether torch.func maps or differentiates the call: the kernels have no rules for that."""
    return not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active()


def usable(k: Tensor) -> bool:
    """Whether the kernels take keys (batch, heads, n, d_head) like these.

    Their d_head is at most 128 in bfloat16 and float16, and 64 in float32; their device as in the module's docstring.
    """
    if _mode == "off" or not _found or not (k.is_cuda or (_mode == "on" and k.device.type == "cpu")):
        return False
    widest = WIDTH if k.dtype in HALF else WIDTH_FLOAT32 if k.dtype == torch.float32 else 0
    if k.shape[-1] > widest or 0 in k.shape or _transformed():
        return False
    return not k.is_cuda or torch.cuda.get_device_properties(k.device).major >= 8
