"""Replay against back-propagation through time: time and saved bytes for T = 2 ... 64 segments.

    python benchmarks/replay.py [--device cuda] [--repeats 9] [--segments 2 4 8 16]

Both ways train the same model on the same batch, turn by turn, so that a slow spell of the machine meets both. Reported
are the median time of one step (forward and backward), their ratio beside its arithmetic limit (4T - 1) / 3T, and the
largest number of bytes that autograd keeps at once. On a CPU time is CPU time of one thread, which a busy machine
disturbs less than the clock; on a GPU it is the clock, synchronised, and memory is the allocator's peak.
"""

import argparse
import dataclasses
import os
import platform
import statistics
import time

import torch

from rmaat import RMAAT, ModelConfig

CONFIG = ModelConfig(
    vocab_size=32,
    n_classes=10,
    d_model=64,
    n_heads=4,
    n_layers=2,
    d_ff=128,
    segment_len=128,
    n_memory=16,
    dropout=0.1,
    alpha=0.25,
    position_scale=0.1,
    relaxation_rate=0.5,
)
BATCH = 8


def peak_saved_bytes(model: torch.nn.Module, tokens: torch.Tensor) -> int:
    """Largest number of bytes alive at once in storages that autograd saved during forward and backward.

    Parameters do not count: they are there in any case. Detached tensors are stored, for the tensor itself would make a
    reference cycle and look like a leak.
    """
    alive: dict[int, list[int]] = {}
    peak = 0
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    class Saved:
        def __init__(self, tensor: torch.Tensor):
            nonlocal peak
            self.tensor, self.key = tensor.detach(), tensor.untyped_storage().data_ptr()
            if self.key not in parameters:
                alive.setdefault(self.key, [0, tensor.untyped_storage().nbytes()])[0] += 1
                peak = max(peak, sum(size for _, size in alive.values()))

        def __del__(self):
            if self.key in alive:
                alive[self.key][0] -= 1
                if alive[self.key][0] == 0:
                    del alive[self.key]

    with torch.autograd.graph.saved_tensors_hooks(Saved, lambda saved: saved.tensor):
        model(tokens).sum().backward()
    return peak


def step_seconds(model: torch.nn.Module, tokens: torch.Tensor) -> float:
    """Time of one forward and backward pass."""
    on_gpu = tokens.is_cuda
    if on_gpu:
        torch.cuda.synchronize()
    start = time.perf_counter() if on_gpu else time.process_time()
    model.zero_grad(set_to_none=True)
    model(tokens).sum().backward()
    if on_gpu:
        torch.cuda.synchronize()
    return (time.perf_counter() if on_gpu else time.process_time()) - start


def peak_bytes(model: torch.nn.Module, tokens: torch.Tensor) -> int:
    """Peak of what autograd keeps (CPU), or of what was allocated on top of model and input (GPU)."""
    model.zero_grad(set_to_none=True)
    if not tokens.is_cuda:
        return peak_saved_bytes(model, tokens)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    model(tokens).sum().backward()
    return torch.cuda.max_memory_allocated() - before


def compare(n_segments: int, device: str, repeats: int) -> tuple[list[float], list[int]]:
    """Median seconds and peak bytes of (BPTT, AMRB)."""
    models = [RMAAT(dataclasses.replace(CONFIG, backprop=way), {}).to(device) for way in ("bptt", "amrb")]
    shape = (BATCH, n_segments * CONFIG.segment_len)
    tokens = torch.randint(1, CONFIG.vocab_size, shape, generator=torch.Generator().manual_seed(0)).to(device)
    seconds: list[list[float]] = [[], []]
    for _ in range(repeats + 1):
        for model, taken in zip(models, seconds, strict=True):
            taken.append(step_seconds(model, tokens))
    medians = [statistics.median(taken[1:]) for taken in seconds]  # the first warms up
    return medians, [peak_bytes(model, tokens) for model in models]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--segments", type=int, nargs="+", default=[2, 4, 8, 16, 32, 64])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    on_gpu = arguments.device != "cpu"
    name = torch.cuda.get_device_name() if on_gpu else f"{platform.machine()}, one thread of {os.cpu_count()} cores"
    print(f"{name}; torch {torch.__version__}; load average {os.getloadavg()[0]:.1f}; median of {arguments.repeats}")
    print(f"batch {BATCH}, {CONFIG.segment_len} tokens a segment, {CONFIG.n_memory} memory tokens, "
          f"d_model {CONFIG.d_model}, {CONFIG.n_layers} layers, dropout {CONFIG.dropout}")  # fmt: skip
    print(f"{'T':>3} {'BPTT ms':>9} {'AMRB ms':>9} {'ratio':>6} {'limit':>6} {'BPTT MB':>9} {'AMRB MB':>9} {'less':>6}")
    for n in arguments.segments:
        (bptt, amrb), (kept, kept_replayed) = compare(n, arguments.device, arguments.repeats)
        print(
            f"{n:3d} {1e3 * bptt:9.1f} {1e3 * amrb:9.1f} {amrb / bptt:6.3f} {(4 * n - 1) / (3 * n):6.3f} "
            f"{kept / 1e6:9.2f} {kept_replayed / 1e6:9.2f} {kept / kept_replayed:5.1f}x",
            flush=True,
        )


if __name__ == "__main__":
    main()
