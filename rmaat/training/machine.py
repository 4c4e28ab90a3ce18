"""The machine that a run is on: device, processor and peak memory."""

import hashlib
import os
import platform
import resource
import shutil
import sys
from pathlib import Path

import torch

PACKAGE = Path(__file__).parents[1]

# On one Xeon thread, dropout 0.1, segments of 512, d_model 64, 1024 and 4096 tokens (benchmarks/PERFORMANCE.md)
SAVED_BY_COMPILING = 7e-8  # seconds of a training step, per token, layer and unit of d_model
COMPILING = 600  # seconds, of a first run on a busy machine; a later one reads most from the compiler's cache


def require_device(device: str) -> None:
    """Raise ValueError where PyTorch does not find the device."""
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device must be 'cpu' where PyTorch finds no GPU, got {device!r}")


def device_name(device: torch.device | str) -> str:
    """The GPU's name, or "cpu" with the number of threads."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


def processor_name() -> str:
    """The processor, as the operating system names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def seconds_saved_by_compiling(tokens: float, n_layers: int, d_model: int) -> float:
    """What compiling saves in training on so many `tokens` in all, on a CPU: in proportion to layers and width.

    What is saved is traffic of memory between operators, whose tensors have d_model numbers per token [inferred: the
    number is measured at one width].
    """
    return SAVED_BY_COMPILING * tokens * n_layers * d_model


def has_cpp_compiler() -> bool:
    """Whether torch.compile finds what it needs on a CPU."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++"))


def peak_memory(device: torch.device) -> int:
    """Most memory allocated on a GPU, or the process's largest resident set on a CPU, in bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def made_with() -> dict[str, str]:
    """What a result depends on besides its configuration: code of the model and rules (SHA-256), PyTorch, threads.

    Sums are split among threads, so that the last bits on a CPU differ between one thread and two.
    """
    code = hashlib.sha256()
    for path in sorted(path for room in ("layers", "memory", "models") for path in (PACKAGE / room).glob("*.py")):
        code.update(path.read_bytes())
    return {"model code": code.hexdigest(), "PyTorch": torch.__version__, "threads": str(torch.get_num_threads())}
