"""The stages bench and train of gpu_session.sh, which says what its variables mean."""

import json
import os
import sys
from pathlib import Path
from time import perf_counter

import torch

from astro_sim.curves.files import write_text
from rmaat.experiments.arena import ExperimentConfig, run_experiments
from rmaat.experiments.bench import (
    AttentionBench,
    ReplayBench,
    SpeedBench,
    bench_attention,
    bench_replay,
    bench_speed,
    bench_table,
)
from rmaat.experiments.results import accuracy_tables
from rmaat.tasks import load_task
from rmaat.training.config import load_recipe

DRY = bool(os.environ["DRY"])
WORK, DATA = Path(os.environ["WORK"]), Path(os.environ["DATA"])
RECIPES = Path("benchmarks/lra")
TOY = {"steps": 12, "eval_every": 6, "warmup": 0, "batch_size": 4}  # and so many samples, of generated tasks
TOY["task_options"] = {"n_train": 64, "n_validation": 16, "n_test": 16}


def bench() -> None:
    """Attention, replay and speed, in single precision and under bfloat16; what is there already is kept."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = {"repeats": 2, "warmup": 1, "batch_size": 2} if DRY else {"repeats": 31, "warmup": 5, "batch_size": 32}
    lengths = (64,) if DRY else (256, 512, 1024, 4096)
    cases = {
        "attention": (bench_attention, AttentionBench, {"lengths": lengths}),
        "replay": (bench_replay, ReplayBench, {"segments": (2, 4), "segment_len": 8} if DRY else {"segment_len": 256}),
        "speed": (bench_speed, SpeedBench, {"shapes": ((32, 8),)} if DRY else {"shapes": ((1024, 256), (4096, 512))}),
    }
    for dtype in ("float32", "bfloat16"):
        for name, (run, config, sizes) in cases.items():
            path = WORK / "bench" / f"{name}-{dtype}.json"
            if path.exists():
                continue
            rows = run(config(device=device, dtype=dtype, **size, **sizes))
            write_text(path, json.dumps(rows, indent=1) + "\n")
            print(bench_table(rows))


def train() -> None:
    """Generate the data, then train what has no result yet until the leg's time is over."""
    begun = perf_counter()
    tasks = tuple(os.environ["TASKS"].split())
    changes = TOY if DRY else {"precision": os.environ["PRECISION"]}
    for task in tasks:
        recipe = load_recipe(next((RECIPES / task).glob("*.toml")), **changes)
        load_task(recipe.task, DATA, seed=recipe.task_seed, **recipe.task_options)
        print(f"{task}: data ready after {perf_counter() - begun:.0f} s")
    config = ExperimentConfig(
        tasks=tasks,
        models=tuple(os.environ["MODELS"].split()),
        seeds=tuple(map(int, os.environ["SEEDS"].split())),
        results=WORK / "results",
        work=WORK / "runs",
        data_dir=DATA,
        changes=changes,
        max_seconds=max(float(os.environ["LEFT"]) - (perf_counter() - begun) - 45, 1),  # for start and last evaluation
    )
    results = run_experiments(config, print)
    if results:
        print(accuracy_tables(results))


if __name__ == "__main__":
    {"bench": bench, "train": train}[sys.argv[1]]()
