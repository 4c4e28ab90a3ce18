"""Benchmarks of time and memory. The contenders take turns, so that a change in machine speed affects all of them.

attention   one operation: astromorphic, linear and softmax attention over N tokens, forward, and forward + backward
replay      one training step: AMRB against back-propagation through time, T = 2 ... 64, with the error of its gradients
speed       one training step of every model at Long Range Arena shapes

Each contender's ratio to the first is taken repeat by repeat; reported are median, 20th and 80th percentile. On a CPU
the clock is that of the process on one thread, which other processes disturb less than a wall clock; on a GPU it is the
device's own. Memory on a CPU is the most bytes that autograd keeps at once, on a GPU the allocator's peak.
"""

import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rmaat.config import ModelConfig
from rmaat.experiments.runner import markdown
from rmaat.experiments.timing import interleaved, peak_bytes
from rmaat.layers.attention import AstromorphicAttention
from rmaat.layers.softmax import SoftmaxAttention
from rmaat.models.zoo import build_model, count_parameters, match_parameters
from rmaat.training.machine import processor_name

# they change no timing; no curve is needed
CONSTANTS: dict[str, Any] = {"alpha": 0.25, "position_scale": 0.1, "relaxation_rate": 0.3}


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Options of all benchmarks."""

    repeats: int = 9
    """Rounds in which every contender has one turn."""
    warmup: int = 2
    """Rounds before that."""
    device: str = "cpu"
    """cpu (one thread) or cuda."""
    dtype: str = "float32"
    """float32 or bfloat16 (autocast)."""
    d_model: int = 64
    """Width."""
    n_heads: int = 4
    """Heads."""
    n_layers: int = 2
    """Blocks of a model."""
    n_memory: int = 16
    """Memory tokens of a model."""
    batch_size: int = 8
    """Samples."""
    seed: int = 0
    """Seed of weights and inputs."""

    def __post_init__(self) -> None:
        if self.repeats < 1 or self.warmup < 0:
            raise ValueError(f"repeats must be at least 1 and warmup 0, got {self.repeats} and {self.warmup}")
        if self.device not in ("cpu", "cuda"):
            raise ValueError(f"device must be 'cpu' or 'cuda', got {self.device!r}")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("device must be 'cpu' where no GPU is found, got 'cuda'")
        if self.dtype not in ("float32", "bfloat16"):
            raise ValueError(f"dtype must be 'float32' or 'bfloat16', got {self.dtype!r}")


@dataclass(frozen=True, kw_only=True)
class AttentionBench(BenchConfig):
    """Time and memory of attention alone, forward, and forward with backward, over N tokens."""

    lengths: tuple[int, ...] = (256, 512, 1024, 2048, 4096)
    """Numbers of tokens N."""


@dataclass(frozen=True, kw_only=True)
class ReplayBench(BenchConfig):
    """Time and memory of a training step with AMRB and with back-propagation through time."""

    segments: tuple[int, ...] = (2, 4, 8, 16, 32, 64)
    """Numbers of segments T."""
    segment_len: int = 64
    """Tokens of a segment."""


@dataclass(frozen=True, kw_only=True)
class SpeedBench(BenchConfig):
    """Time and memory of a training step of every model, with equal parameters or with equal d_ff."""

    models: tuple[str, ...] = ("softmax", "rmaat", "rmt", "rmt-amrb", "rlt", "rlt-amrb", "linear", "at", "tlb", "ssm")
    """Models; the first is what the ratios refer to."""
    shapes: tuple[tuple[int, int], ...] = ((1024, 256), (2048, 256), (4096, 512))
    """Pairs of input length and tokens per segment."""
    equal: Literal["parameters", "d_ff"] = "parameters"
    """What the models share: parameters, for which d_ff of the smaller ones is raised, or d_ff."""


def bench_attention(config: AttentionBench) -> list[dict[str, Any]]:
    """Time the three attentions at each length, with weights of equal shape; one row per length, mode and contender."""
    rows = []
    for n in config.lengths:
        with _seeded(config):
            shape = (config.d_model, config.n_heads)
            layers = {
                "softmax": SoftmaxAttention(*shape),
                "linear": AstromorphicAttention(*shape, n, alpha=1.0, position="none", m_scale=1.0),
                "astromorphic": AstromorphicAttention(*shape, n),
            }
            x = torch.randn(config.batch_size, n, config.d_model).to(config.device).requires_grad_()
        for mode in ("forward", "forward+backward"):
            calls = {name: _attention_call(layer.to(config.device), x, mode, config) for name, layer in layers.items()}
            rows += _rows({"benchmark": "attention", "tokens": n, "mode": mode}, calls, layers, config)
    return rows


def _attention_call(layer: nn.Module, x: Tensor, mode: str, config: BenchConfig) -> Callable[[], Any]:
    with_backward = mode != "forward"

    def call() -> None:
        with torch.set_grad_enabled(with_backward), _autocast(config):
            y = layer(x)
        if with_backward:
            y.float().square().mean().backward()

    return call


def bench_replay(config: ReplayBench) -> list[dict[str, Any]]:
    """Time one step with each way of backpropagation at each T, and compare the gradients.

    The rows of AMRB hold ``gradient_error``, the largest difference to BPTT's as a share of its largest gradient, and
    ``limit``, the ratio of a replay that costs nothing beyond a second forward pass of all segments but the last, if a
    backward pass takes as long as two forward passes: (4T - 1) / 3T.
    """
    rows = []
    for n_segments in config.segments:
        length = n_segments * config.segment_len
        network = _network(config, config.segment_len, length)
        models = {kind: _model("rmaat", replace(network, backprop=kind), config) for kind in ("bptt", "amrb")}
        tokens, labels = _inputs(config, length)
        calls = {kind: _step_call(model, tokens, labels, config) for kind, model in models.items()}
        found = _rows({"benchmark": "replay", "n_segments": n_segments}, calls, models, config)
        found[1]["limit"] = (4 * n_segments - 1) / (3 * n_segments)
        found[1]["gradient_error"] = gradient_error(models["amrb"], models["bptt"], tokens, labels)
        rows += found
    return rows


def bench_speed(config: SpeedBench) -> list[dict[str, Any]]:
    """Time one step of every model at each shape."""
    rows = []
    for length, segment_len in config.shapes:
        network = _network(config, segment_len, length)
        networks = dict.fromkeys(config.models, network)
        if config.equal == "parameters":
            networks = match_parameters(config.models, network, {})
        tokens, labels = _inputs(config, length)
        models = {name: _model(name, networks[name], config) for name in config.models}
        calls = {name: _step_call(model, tokens, labels, config) for name, model in models.items()}
        shape = {"benchmark": "speed", "length": length, "segment_len": segment_len, "equal": config.equal}
        for row in _rows(shape, calls, models, config):
            row["parameters"] = count_parameters(models[row["contender"]])["total"]
            row["tokens_per_s"] = config.batch_size * length / row["seconds"]
            rows.append(row)
    return rows


def _network(config: BenchConfig, segment_len: int, length: int) -> ModelConfig:
    sizes: dict[str, Any] = {name: getattr(config, name) for name in ("d_model", "n_heads", "n_layers", "n_memory")}
    sizes |= CONSTANTS | {"segment_len": segment_len, "max_len": length, "d_ff": 2 * config.d_model}
    return ModelConfig(vocab_size=32, n_classes=10, **sizes)


def _model(name: str, network: ModelConfig, config: BenchConfig) -> nn.Module:
    with _seeded(config):
        return build_model(name, network, {}).to(config.device)


def _inputs(config: BenchConfig, length: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(config.seed)
    tokens = torch.randint(1, 32, (config.batch_size, length), generator=generator)
    return tokens.to(config.device), torch.randint(10, (config.batch_size,), generator=generator).to(config.device)


def _step_call(model: nn.Module, tokens: Tensor, labels: Tensor, config: BenchConfig) -> Callable[[], Any]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> None:
        with _autocast(config):
            logits = model(tokens)
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def gradient_error(model: nn.Module, exact: nn.Module, tokens: Tensor, labels: Tensor) -> float:
    """Largest difference of two models' gradients, as a share of the largest gradient; weights and dropout equal."""
    model.load_state_dict(exact.state_dict())
    found = []
    on_gpu = [tokens.device] if tokens.device.type == "cuda" else []
    for each in (model, exact):
        with torch.random.fork_rng(devices=on_gpu):
            torch.manual_seed(0)
            loss = F.cross_entropy(each(tokens), labels)
        found.append(torch.autograd.grad(loss, list(each.parameters()), materialize_grads=True))
    difference = max((a - b).abs().max().item() for a, b in zip(*found, strict=True))
    return difference / max(b.abs().max().item() for b in found[1])


def _rows(
    case: Mapping[str, Any], calls: Mapping[str, Callable], modules: Mapping[str, nn.Module], config: BenchConfig
) -> list[dict[str, Any]]:
    threads = torch.get_num_threads()
    if config.device == "cpu":
        torch.set_num_threads(1)
    try:
        seconds = interleaved(calls, repeats=config.repeats, warmup=config.warmup, device=config.device)
        peaks = {name: peak_bytes(call, config.device, modules[name].parameters()) for name, call in calls.items()}
    finally:
        torch.set_num_threads(threads)
    first = next(iter(calls))
    names = ("repeats", "dtype", "d_model", "n_heads", "n_layers", "n_memory", "batch_size")
    context = {
        "device": torch.cuda.get_device_name() if config.device == "cuda" else f"{processor_name()}, 1 thread",
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        **{name: getattr(config, name) for name in names},
    }
    rows = []
    for name, taken in seconds.items():
        low, middle, high = np.quantile(taken, [0.2, 0.5, 0.8]).tolist()
        times = {"seconds": middle, "seconds_low": low, "seconds_high": high}
        low, middle, high = np.quantile(taken / seconds[first], [0.2, 0.5, 0.8]).tolist()
        ratios = {"ratio": middle, "ratio_low": low, "ratio_high": high, "ratio_to": first}
        rows.append({**case, "contender": name, **times, **ratios, "peak_bytes": peaks[name], **context})
    return rows


def _autocast(config: BenchConfig) -> torch.autocast:
    return torch.autocast(config.device, torch.bfloat16, enabled=config.dtype == "bfloat16")


@contextmanager
def _seeded(config: BenchConfig) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        yield


EXTRAS = {  # heading and format of columns that only some benchmarks have
    **{"limit": ("arithmetic limit", ".2f"), "gradient_error": ("gradient error", ".1e")},
    **{"parameters": ("parameters", ","), "tokens_per_s": ("tokens/s", ",.0f")},
}


def bench_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Times of contenders as ratios, with what they were measured on."""
    cases = [name for name in ("tokens", "mode", "n_segments", "length", "segment_len", "equal") if name in rows[0]]
    shown = {name: extra for name, extra in EXTRAS.items() if any(name in row for row in rows)}
    ratio = f"time as a ratio to {rows[0]['ratio_to']} (20 % to 80 %)"
    header = ["contender", *(name.replace("_", " ") for name in cases), "ms", ratio, "peak MB"]
    header += [heading for heading, _ in shown.values()]
    lines = []
    for row in rows:
        ratios = f"{row['ratio']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})"
        line = [row["contender"], *(f"{row[name]}" for name in cases), f"{1e3 * row['seconds']:.2f}", ratios]
        line.append(f"{row['peak_bytes'] / 2**20:.2f}")
        lines.append([*line, *(format(row[name], form) if name in row else "" for name, (_, form) in shown.items())])
    what = {name: rows[0][name] for name in ("device", "torch", "dtype", "batch_size", "d_model", "n_heads", "repeats")}
    loads = [row["load"] for row in rows if row["load"] is not None]
    what |= {"load average": f"{min(loads):.1f} to {max(loads):.1f}"} if loads else {}
    return markdown(header, lines) + "\n" + ", ".join(f"{name} {value}" for name, value in what.items()) + "\n"
