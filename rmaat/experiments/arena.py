"""The arena: many models trained on many tasks with several seeds, each run in a fresh process.

A run is a recipe ``RECIPES/<task>/<model>.toml``, a seed and possibly a variant of the model. Its result is one JSON
file ``RESULTS/<task>/<model>[--<variant>]-s<seed>.json``. A run with a result is done. A killed run goes on from its
last checkpoint in ``WORK``, so the command may be stopped at any time, and results may come from several machines. To
repeat a run, delete its result. A result of other settings or curves is refused.
"""

import dataclasses
import hashlib
import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Literal

from astro_sim.curves.files import read_if_there, read_json
from rmaat.data import load_curves
from rmaat.experiments import results
from rmaat.experiments.results import read_result, render_experiments
from rmaat.experiments.runner import check_choices, end_with_parent, run_grid
from rmaat.experiments.variants import VARIANTS, Variant
from rmaat.models.zoo import curves_read
from rmaat.training.config import TrainConfig, load_recipe
from rmaat.training.machine import processor_name
from rmaat.training.run_folder import OtherRunError
from rmaat.training.train import WITHOUT_EFFECT, train


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """Train models, or variants of one, on tasks by their recipes, with several seeds; tables of their accuracy."""

    tasks: tuple[str, ...] = ("listops", "pathfinder32", "image", "text", "retrieval")
    """Folders of recipes."""
    models: tuple[str, ...] = ("rmaat", "rmaat-paper", "rmt", "rlt", "linear", "softmax")
    """Models; each task has a recipe for each."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of weights, order and dropout; the data stay the same."""
    study: Literal["models", "ablations", "memory", "deviation"] = "models"
    """Models as they are, or variants of the model rmaat beside them."""
    variants: tuple[str, ...] | None = None
    """Only these variants of the study."""
    unmatched: bool = False
    """Give all models the smallest d_ff of the task's recipes, instead of one each that matches the parameters."""
    recipes: Path = Path("benchmarks/lra")
    """Folder of recipes."""
    results: Path = Path("benchmarks/results/lra")
    """Folder of results: JSON files, the table and the charts."""
    work: Path = Path("runs/lra")
    """Folder of run directories, with the checkpoints that a killed run goes on from."""
    data_dir: Path = Path("data")
    """Where official files lie and generated data are kept."""
    curves: Path | None = None
    """Folder of curve files; by default the packaged ones."""
    changes: dict[str, bool | int | float | str] = field(default_factory=dict)
    """Fields of TrainConfig to change in every recipe, such as steps or device."""
    max_seconds: float | None = None
    """Stop after so many seconds, in the middle of a run if need be; the same command goes on."""

    def __post_init__(self) -> None:
        check_choices(self, "tasks", "seeds")
        if self.models or self.study == "models":  # else the variants alone
            check_choices(self, "models")

    def runs(self) -> Iterator["Run"]:
        """All runs, the first seed of everything first."""
        known = [variant.name for variant in VARIANTS[self.study]]
        for name in self.variants or ():
            if name not in known:
                raise ValueError(f"variants must be of the study {self.study} ({', '.join(known)}), got {name!r}")
        chosen = [v for v in VARIANTS[self.study] if self.variants is None or v.name in self.variants]
        pairs = [(model, None) for model in self.models] + [("rmaat", variant) for variant in chosen]
        for seed, task, (model, variant) in product(self.seeds, self.tasks, pairs):
            run = self._run(task, model, variant, seed)
            if run is not None:
                yield run

    def _run(self, task: str, model: str, variant: Variant | None, seed: int) -> "Run | None":
        """The run, or None where the variant has no meaning for the task, or is the model itself and has no result."""
        path = self.recipes / task / f"{model}.toml"
        if not path.is_file():
            raise ValueError(f"recipes must have a file for every task and model, got no {path}")
        names = [variant.name] if variant else []
        changes: dict[str, Any] = {"seed": seed, "data_dir": self.data_dir, "progress": False, "tensorboard": False}
        changes["compile"] = False  # so that times can be compared
        recipe = load_recipe(path, **changes | self.changes | ({"curves": self.curves} if self.curves else {}))
        network, options = recipe.network, dict(recipe.task_options)
        if variant is not None:
            network = variant.apply(network)
            if variant.input != 1:
                if "max_len" not in options:
                    return None
                options["max_len"] = int(variant.input * float(options["max_len"]))
        if self.unmatched:
            d_ff = min(load_recipe(other).network.d_ff for other in sorted(path.parent.glob("*.toml")))
            network, names = dataclasses.replace(network, d_ff=d_ff), [*names, results.UNMATCHED]
        name = "--".join([model, *names])
        result, folder = self.results / task / f"{name}-s{seed}.json", self.work / task / f"{name}-s{seed}"
        if variant is not None and not variant.changes(recipe.network) and not result.exists():
            return None
        train_config = dataclasses.replace(recipe, run=folder, network=network, task_options=options)
        return Run(task, model, "--".join(names), result, train_config)


@dataclass(frozen=True)
class Run:
    """One training and where its result goes."""

    task: str
    model: str
    variant: str
    path: Path
    train: TrainConfig

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides the result except the curves, in JSON types."""
        ignored = (*WITHOUT_EFFECT, "curves")
        settings = {name: value for name, value in asdict(self.train).items() if name not in ignored}
        return json.loads(json.dumps(settings, default=str))

    @property
    def fingerprint(self) -> str:
        """Hash of `settings`, the same for all results of the same settings."""
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def curve_hashes(self) -> dict[str, str]:
        """Hashes of the curves that the model reads, by name."""
        read = curves_read(self.train.model, self.train.network, load_curves(self.train.curves))
        return {name: curve.sha256 for name, curve in read.items()}

    def result(self) -> dict[str, Any]:
        """The run's result; ValueError if it is damaged or of other settings or curves.

        Fields that are new in TrainConfig and ModelConfig since then are not compared.
        """
        result = read_result(self.path)
        was = _flatten(result["settings"], result.get("curves", {}))
        now = _flatten(self.settings, self.curve_hashes)
        shared = [name for name in now if name in was]
        changed = [f"{name} {was[name]!r} instead of {now[name]!r}" for name in shared if was[name] != now[name]]
        if changed:
            rule = f"{self.path} must be a result of the recipe, changes and curves as they are"
            raise ValueError(f"{rule}, got {', '.join(changed)}; delete it or choose another --results")
        return result


def _flatten(settings: Mapping[str, Any], hashes: Mapping[str, str]) -> dict[str, Any]:
    network = {f"network.{name}": value for name, value in settings.get("network", {}).items()}
    curves = {f"curves.{name}": digest[:12] for name, digest in hashes.items()}
    return {name: value for name, value in settings.items() if name != "network"} | network | curves


def run_experiments(config: ExperimentConfig, report: Callable[[str], object] | None = None) -> list[dict[str, Any]]:
    """Run what has no result yet; return the results of the experiment's runs, finished earlier or now.

    `report` is told one line before and after each run. If runs fail, the others are carried out all the same, and a
    ValueError is raised at the end.
    """
    say = report or (lambda line: None)
    failed: list[str] = []

    def train_run(run: Run, left: float | None) -> dict[str, Any] | None:
        name = f"{run.task} {run.path.stem}"
        say(f"{name}: training")
        try:
            result = _in_fresh_process(run, left)
        except (ValueError, RuntimeError, OSError) as error:  # RuntimeError also if the process was killed
            failed.append(name)
            say(f"{name}: failed, {' '.join(str(error).split())}")
            return None
        if result is None:
            say(f"{name}: stopped for want of time; the same command goes on")
            return None
        say(f"{name}: accuracy {result['accuracy']:.3f} (majority {result['majority_rate']:.3f})")
        return result

    results = run_grid(config.runs(), lambda run: run.path, lambda run, _: run.result(), train_run, config.max_seconds)
    if results:
        render_experiments(config.results)
    if failed:
        raise ValueError(f"every run must reach its end, got {', '.join(failed)} failed; the same command tries again")
    return results


def _in_fresh_process(run: Run, seconds: float | None) -> dict[str, Any] | None:
    # peak memory is measured per process, so every run has its own
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=end_with_parent) as pool:
        return pool.submit(carry_out, run, seconds).result()


MEASURED = "validation_accuracy majority_rate steps best_step parameters parameters_of_R peak_bytes device".split()
MEASURED += ["precision", "torch", "segments"]


def carry_out(run: Run, seconds: float | None = None) -> dict[str, Any] | None:
    """Train one run to its end, or for at most `seconds`; its result, or None if it is not finished.

    A run folder that is finished, or is of other settings, is removed first: the run has no result, so it is repeated.
    """
    config = run.train if seconds is None else dataclasses.replace(run.train, time_budget_s=seconds)
    if read_if_there(config.run / "last" / "loop.json").get("finished"):
        shutil.rmtree(config.run)
    try:
        folder = train(config)
    except OtherRunError:
        shutil.rmtree(config.run)
        folder = train(config)
    metrics = read_if_there(folder / "metrics.json")
    if "test_accuracy" not in metrics:
        return None
    seconds = metrics["seconds"]["train"]
    return {
        **{"task": run.task, "model": run.model, "variant": run.variant, "seed": run.train.seed},
        "accuracy": metrics["test_accuracy"],
        **{name: metrics[name] for name in MEASURED},
        **{"seconds": seconds, "seconds_per_step": seconds / metrics["steps"], "machine": processor_name()},
        "fingerprint": run.fingerprint,
        "settings": run.settings,
        "curves": read_json(folder / "config.json")["curves"],
    }
