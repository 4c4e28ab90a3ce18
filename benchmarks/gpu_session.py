"""The stages bench, tune and train of gpu_session.sh, which says what its variables mean."""

import itertools
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from rmaat.experiments import bench as benches
from rmaat.experiments.arena import ExperimentConfig, run_experiments
from rmaat.experiments.bench import SpeedBench, bench_speed
from rmaat.experiments.results import accuracy_tables
from rmaat.kernels import usable, use_kernels
from rmaat.layers.attention import AstromorphicAttention
from rmaat.tasks import load_task
from rmaat.training.config import load_recipe

BEGUN = perf_counter()
DRY = bool(os.environ["DRY"])
WORK, OUT, DATA = Path(os.environ["WORK"]), Path(os.environ["OUT"]), Path(os.environ["DATA"])
RECIPES = Path("benchmarks/lra")
TOY = {"steps": 12, "eval_every": 6, "warmup": 0, "batch_size": 4}  # and so many samples, of generated tasks
TOY["task_options"] = {"n_train": 64, "n_validation": 16, "n_test": 16}
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCH, HEADS, N, D = (2, 2, 64, 16) if DRY else (32, 8, 4096, 64)
TRAINED = {"d_model": 32, "batch_size": 2} if DRY else {"d_model": 256, "batch_size": 16}
SHAPES = ((64, 16), (128, 32)) if DRY else ((1024, 512), (4096, 512), (8192, 512))
LIMIT = 120  # seconds for one measurement, its compilation with it


def left() -> float:
    """Seconds that are left for this stage."""
    return float(os.environ["LEFT"]) - (perf_counter() - BEGUN)


@contextmanager
def measurement(name: str) -> Iterator[None]:
    """One part of a stage: an error or a time over the limit is printed in full and ends this part alone."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"{name} took more than {seconds:.0f} s")

    seconds = max(1.0, min(LIMIT, left()))
    begun = perf_counter()
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except Exception:
        print(f"FAILED: {name}\n{traceback.format_exc()}")
        record({"failed": name, "error": traceback.format_exc()[-2000:]})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    print(f"-- {name}: {perf_counter() - begun:.1f} s, {left():.0f} s left")


def record(*rows: dict[str, Any]) -> None:
    """Append rows to bench.jsonl at once, so that nothing is lost when the machine goes."""
    with (OUT / "bench.jsonl").open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def seconds_of(call: Callable[[], Any], calls: int = 10, rounds: int = 5) -> float:
    """Median time of a call among `rounds` rounds of `calls` calls in a row, so that launches hide behind work."""
    calls, rounds = (1, 2) if DRY else (calls, rounds)
    taken = []
    for turn in range(rounds + 1):
        if DEVICE == "cuda":
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            begin.record()
            for _ in range(calls):
                call()
            end.record()
            torch.cuda.synchronize()
            seconds = begin.elapsed_time(end) / 1000
        else:
            started = perf_counter()
            for _ in range(calls):
                call()
            seconds = perf_counter() - started
        if turn:
            taken.append(seconds / calls)
    return sorted(taken)[len(taken) // 2]


def bench() -> None:
    """The attention's share of the copy bandwidth, and training steps beside RMT and softmax."""
    record({"device": torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu", "torch": torch.__version__})
    copied = 0.0
    with measurement("copy"):
        source = torch.empty(2**20 if DRY else 2**30, dtype=torch.bfloat16, device=DEVICE).normal_()
        target = torch.empty_like(source)
        copied = 2 * source.nbytes / seconds_of(lambda: target.copy_(source))
        record({"measured": "copy", "bytes_per_s": copied})
        print(f"device copy: {copied / 1e12:.2f} TB/s, bytes read and written")
        del source, target
    bench_attention(copied)
    for equal, shape in itertools.product(("parameters", "d_ff"), SHAPES):
        with measurement(f"training step {shape}, equal {equal}"):
            train_step(shape, equal)
    for shape in SHAPES[:2]:
        for name, backprop in (("rmaat", "amrb"), ("rmaat", "bptt"), ("rmt", "bptt")):
            with measurement(f"compiled step of {name} with {backprop}, {shape}"):
                compiled_step(name, backprop, shape)


def bench_attention(copied: float) -> None:
    """The core on N tokens in bfloat16: the kernels, the plain form and torch's softmax attention.

    Bytes that must move: q, k, v and the read-out forward, and backward q, k, v, the read-out's gradient and three
    gradients once more.
    """
    torch.manual_seed(0)
    qkv = torch.randn(BATCH, N, 3, HEADS, D, device=DEVICE, dtype=torch.bfloat16)
    q, k, v = (x.requires_grad_() for x in qkv.permute(2, 0, 3, 1, 4).unbind(0))
    layer = AstromorphicAttention(HEADS * D, HEADS, N, alpha=0.418).to(DEVICE)
    phi_r = layer.positions().detach().requires_grad_()
    mask = torch.ones(BATCH, N, dtype=torch.bool, device=DEVICE)
    mask[:, -100:] = False
    weight = torch.randn(BATCH, N, HEADS, D, device=DEVICE, dtype=torch.bfloat16).transpose(1, 2)

    def astromorphic(mode: str, r: Tensor | None = phi_r, valid: Tensor | None = None) -> Callable[[], Tensor]:
        def call() -> Tensor:
            with use_kernels(mode):
                return layer.associate(q, k, v, valid, r)[0]

        return call

    contenders = {
        "kernels": astromorphic("auto"),
        "kernels, masked": astromorphic("auto", valid=mask),
        "plain": astromorphic("off"),
        "softmax (SDPA)": lambda: F.scaled_dot_product_attention(q, k, v),
    }
    for name, call in contenders.items():
        for mode, tensors in (("forward", 4), ("forward+backward", 11)):
            with measurement(f"attention, {name}, {mode}"):
                with_backward = mode != "forward"

                def step(call: Callable[[], Tensor] = call, with_backward: bool = with_backward) -> None:
                    with torch.set_grad_enabled(with_backward):
                        read = call()
                    if with_backward:
                        torch.autograd.grad(read, (q, k, v, phi_r), weight, allow_unused=True)

                slow = name.startswith(("plain", "softmax"))
                seconds = seconds_of(step, calls=3 if slow else 10)
                rate = tensors * q.numel() * q.element_size() / seconds
                sizes = {"batch": BATCH, "heads": HEADS, "n": N, "d_head": D, "kernels": usable(k)}
                row = {"measured": "attention", "contender": name, "mode": mode, "seconds": seconds, **sizes}
                record(row | {"bytes_per_s": rate, "share_of_copy": rate / copied if copied else None})
                share = f"{rate / copied:.0%} of the copy" if copied else "no copy measured"
                print(f"{name:20} {mode:17} {1e3 * seconds:8.3f} ms  {rate / 1e12:6.3f} TB/s, {share}")
    for name, call in (parts(q, k, v, phi_r, weight) if usable(k) else {}).items():
        with measurement(f"attention, {name}"):
            seconds = seconds_of(call)
            record({"measured": "part", "contender": name, "seconds": seconds})
            print(f"{name:20} {1e3 * seconds:8.3f} ms")


def parts(q: Tensor, k: Tensor, v: Tensor, phi_r: Tensor, weight: Tensor) -> dict[str, Callable[[], Any]]:
    """Each kernel by itself, with the sum of its parts."""
    from rmaat.kernels import read, write

    q, k, v, r = (x.detach() for x in (q, k, v, phi_r.to(k.dtype)))
    S = write.launch(k, v, r, None, 1 / N, True)
    options = (N**0.418, 0.0, 0.418, True)
    return {
        "write": lambda: write.launch(k, v, r, None, 1 / N, True),
        "read": lambda: read.launch(q, S, None, *options),
        "write_backward": lambda: write.launch_backward(S, k, v, r, None, 1 / N, True, True),
        "read_backward": lambda: read.launch_backward(weight, q, S, None, *options),
    }


def tune() -> None:
    """Time of each kernel with other tiles: tokens, warps, stages."""
    from rmaat.kernels import tiles

    torch.manual_seed(0)
    qkv = torch.randn(BATCH, N, 3, HEADS, D, device=DEVICE, dtype=torch.bfloat16)
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    weight = torch.randn(BATCH, N, HEADS, D, device=DEVICE, dtype=torch.bfloat16).transpose(1, 2)
    phi_r = torch.rand(HEADS, N, D, device=DEVICE, dtype=torch.bfloat16)
    calls, kind = parts(q, k, v, phi_r, weight), "narrow"
    for tile in ((64, 4, 2), (64, 4, 3), (32, 4, 3), (64, 8, 2), (64, 8, 3), (128, 8, 2), (128, 4, 2), (128, 8, 3)):
        for name, call in calls.items():
            with measurement(f"tile {tile} of {name}"):
                before, tiles.TILES[name][kind] = tiles.TILES[name][kind], tile
                try:
                    seconds = seconds_of(call, rounds=3)
                finally:
                    tiles.TILES[name][kind] = before
                record({"measured": "tile", "contender": name, "tile": tile, "seconds": seconds})
                print(f"{name:20} {tile} {1e3 * seconds:8.3f} ms{'  as shipped' if tile == before else ''}")


def train_step(shape: tuple[int, int], equal: Any) -> None:
    """A step of RMT, which ratios refer to, RMAAT and softmax; then of RMAAT without the kernels."""
    repeats = {"repeats": 2, "warmup": 1} if DRY else {"repeats": 7, "warmup": 3}
    options = {"device": DEVICE, "dtype": "bfloat16", "shapes": (shape,), "equal": equal, **repeats, **TRAINED}
    for mode, models in (("auto", ("rmt", "rmaat", "rmt-amrb", "softmax")), ("off", ("rmt", "rmaat"))):
        with use_kernels(mode):
            rows = bench_speed(SpeedBench(models=models, **options))
        record(*({"measured": "step", "kernels": mode, **row} for row in rows))
        print(f"step {shape}, equal {equal}, kernels {mode}, ms (ratio to rmt), peak MB:")
        for row in rows:
            size = f"{row['peak_bytes'] / 2**20:8.1f} MB, {row['parameters']:,} parameters"
            print(f"  {row['contender']:10} {1e3 * row['seconds']:9.2f} ({row['ratio']:.2f}) {size}")


def compiled_step(name: str, backprop: Any, shape: tuple[int, int]) -> None:
    """A step whose segments run as CUDA graphs, with equal d_ff."""
    config = SpeedBench(device=DEVICE, dtype="bfloat16", **TRAINED)
    network = replace(benches._network(config, shape[1], shape[0]), backprop=backprop)
    model = benches._model(name, network, config)
    model.compile(backend="eager") if DRY else model.compile(mode="reduce-overhead")
    step = benches._step_call(model, *benches._inputs(config, shape[0]), config)
    for _ in range(2 if DRY else 4):
        step()
    seconds = seconds_of(step, calls=1, rounds=7)
    record({"measured": "compiled step", "contender": name, "backprop": backprop, "shape": shape, "seconds": seconds})
    print(f"compiled {name} with {backprop}, {shape}: {1e3 * seconds:.2f} ms a step")


def train() -> None:
    """Generate the data, then train what has no result yet until the leg's time is over."""
    tasks = tuple(os.environ["TASKS"].split())
    changes = TOY if DRY else {"precision": os.environ["PRECISION"]}
    for task in tasks:
        recipe = load_recipe(next((RECIPES / task).glob("*.toml")), **changes)
        load_task(recipe.task, DATA, seed=recipe.task_seed, **recipe.task_options)
        print(f"{task}: data ready, {left():.0f} s left")
    config = ExperimentConfig(
        tasks=tasks,
        models=tuple(os.environ["MODELS"].split()),
        seeds=tuple(map(int, os.environ["SEEDS"].split())),
        results=WORK / "results",
        work=WORK / "runs",
        data_dir=DATA,
        changes=changes,
        max_seconds=max(left() - 45, 1),  # for start and last evaluation
    )
    results = run_experiments(config, print)
    if results:
        print(accuracy_tables(results))


if __name__ == "__main__":
    {"bench": bench, "tune": tune, "train": train}[sys.argv[1]]()
