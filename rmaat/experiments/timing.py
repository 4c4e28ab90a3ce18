"""Time and peak memory of function calls."""

import gc
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from time import process_time
from typing import Any

import numpy as np
import torch
from torch import Tensor


def interleaved(
    calls: Mapping[str, Callable[[], Any]], *, repeats: int, warmup: int, device: str = "cpu"
) -> dict[str, np.ndarray]:
    """Seconds of every call in every round, (repeats,) each; the order of turns is reversed in every other round."""
    clock = _cuda_seconds if device == "cuda" else _process_seconds
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for turn in range(warmup + repeats):
            for name in list(calls)[:: 1 if turn % 2 == 0 else -1]:
                taken = clock(calls[name])
                if turn >= warmup:
                    seconds[name].append(taken)
    finally:
        if collecting:
            gc.enable()
    return {name: np.array(taken) for name, taken in seconds.items()}


def _process_seconds(call: Callable[[], Any]) -> float:
    started = process_time()
    call()
    return process_time() - started


def _cuda_seconds(call: Callable[[], Any]) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()
    call()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / 1000


def peak_bytes(call: Callable[[], Any], device: str = "cpu", parameters: Iterable[Tensor] = ()) -> int:
    """Most bytes at once during the call: allocated beyond what was before on a GPU, else kept by autograd.

    `parameters` are not counted.
    """
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with SavedBytes(parameters) as saved:
        call()
    return saved.peak


class SavedBytes:
    """Counts the bytes of the storages that autograd's graph holds, those of `ignored` tensors aside.

    The hooks store detached tensors: a tensor stored itself would hold its own graph and never be freed.
    """

    def __init__(self, ignored: Iterable[Tensor] = ()):
        self.ignored = {tensor.untyped_storage().data_ptr() for tensor in ignored}
        self.uses: Counter[int] = Counter()  # of each storage: its bytes count once
        self.now = self.peak = 0
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._keep, lambda kept: kept)

    def __enter__(self) -> "SavedBytes":
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.__exit__(*error)

    def _keep(self, tensor: Tensor) -> Tensor:
        kept, storage = tensor.detach(), tensor.untyped_storage()
        key = storage.data_ptr()
        n_bytes = 0 if key in self.ignored else storage.nbytes()
        if self.uses[key] == 0:
            self.now += n_bytes
            self.peak = max(self.peak, self.now)
        self.uses[key] += 1
        weakref.finalize(kept, self._release, key, n_bytes)
        return kept

    def _release(self, key: int, n_bytes: int) -> None:
        self.uses[key] -= 1
        if self.uses[key] == 0:
            self.now -= n_bytes
