"""The machine that a run is on: device, processor and peak memory."""

import hashlib
import platform
import resource
import sys
from pathlib import Path

import torch

PACKAGE = Path(__file__).parents[1]


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
