"""The declared grid: which models are trained on which tasks, with which shares of the samples, seeds and rates.

A run (:class:`Cell`) is a task, a model, a share of the training samples, a seed and a learning rate. The seed is that
of the data, of the first weights and of the order of samples, so that runs of one seed are paired: models of one
structure begin with the same weights and see the same batches. All models of a task have as many parameters as the
largest: their feed-forward networks are widened (:func:`rmaat.models.zoo.match_sizes`).

Rates that are only permuted over the heads are no run of their own: heads are exchangeable, so that it is the same
model.
"""

import dataclasses
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

from astro_sim.curves.files import read_text
from rmaat.config import ModelConfig, check_count, check_number
from rmaat.models.zoo import NAMES, match_sizes
from rmaat.tasks import Task, load_task


@dataclass(frozen=True)
class Cell:
    """One run."""

    task: str
    model: str
    share: float
    seed: int
    lr: float

    @property
    def file(self) -> str:
        """Where its result lies below the folder of results."""
        return f"{self.task}/{self.model}-share{self.share:g}-seed{self.seed}-lr{self.lr:g}.json"


@dataclass(frozen=True, kw_only=True)
class TaskPlan:
    """A task of the grid."""

    task: str
    """Name for :func:`rmaat.tasks.load_task`."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of the task's loader; its seed is that of the run."""
    tests: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Further tests by name, each with the options that differ: longer inputs, say."""
    network: dict[str, Any] = field(default_factory=dict)
    """Fields of ModelConfig for this task."""


@dataclass(frozen=True, kw_only=True)
class ModelPlan:
    """A model of the grid."""

    text: str
    """What it is, in a few words, for the table."""
    model: str = "rmaat"
    """Name for :func:`rmaat.models.build_model`."""
    whole: bool = False
    """One segment as long as the longest input, for models without segments."""
    network: dict[str, Any] = field(default_factory=dict)
    """Fields of ModelConfig for this model."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Part of a grid; a stage is begun when all runs of the one before have been begun."""

    tasks: tuple[str, ...]
    models: tuple[str, ...]
    shares: tuple[float, ...] = (1.0,)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """All of it, as a TOML file declares it; ValueError for what makes no grid."""

    stages: tuple[Stage, ...]
    tasks: dict[str, TaskPlan]
    models: dict[str, ModelPlan]
    network: dict[str, Any]
    """Fields of ModelConfig for all."""
    steps: int = 2000
    """Optimiser steps of each run."""
    batch_size: int = 32
    """Samples of a step."""
    warmup: int = 100
    """Steps over which the learning rate rises; then it falls as a cosine to 0."""
    weight_decay: float = 0.01
    """AdamW's; vectors have none."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    checks: int = 8
    """Checks on the validation split, evenly spaced; the test is made with the weights that were best there."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of data, weights and order."""
    lrs: tuple[float, ...] = (2e-3, 4e-3)
    """Peak learning rates; each model's best on the validation split, mean over seeds, counts."""

    _networks: dict[str, dict[str, tuple[str, ModelConfig]]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "checks"):
            check_count(name, getattr(self, name))
        for lr in self.lrs:
            check_number("lrs", lr)
        if not (self.seeds and self.lrs and self.stages):
            raise ValueError("a grid must have at least one seed, one learning rate and one stage, got none")
        for stage in self.stages:
            for kind, known, got in (("tasks", self.tasks, stage.tasks), ("models", self.models, stage.models)):
                if unknown := [name for name in got if name not in known]:
                    raise ValueError(f"{kind} of a stage must be of the grid ({', '.join(known)}), got {unknown[0]!r}")
            if not all(0 < share <= 1 for share in stage.shares):
                raise ValueError(f"shares must be above 0 and at most 1, got {stage.shares}")
        for name, plan in self.models.items():
            if plan.model not in NAMES:
                raise ValueError(f"model of {name} must be one of {', '.join(NAMES)}, got {plan.model!r}")

    @classmethod
    def load(cls, path: Path | str, **changes: Any) -> "Grid":
        """The grid of a TOML file; `changes` replace fields, ``only_tasks`` and ``only_models`` leave others out."""
        path, only = Path(path), {name: changes.pop(f"only_{name}", None) for name in ("tasks", "models")}
        try:
            read: dict[str, Any] = tomllib.loads(read_text(path, "grid", most=100_000)) | changes
            read["tasks"] = {name: TaskPlan(**plan) for name, plan in read["tasks"].items()}
            read["models"] = {name: ModelPlan(**plan) for name, plan in read["models"].items()}
            read["stages"] = tuple(_stage(stage, only) for stage in read["stages"])
            read |= {name: tuple(read[name]) for name in ("seeds", "lrs") if name in read}
            return cls(**read)
        except (tomllib.TOMLDecodeError, TypeError, KeyError, ValueError) as error:
            raise ValueError(f"{path} must be a grid, got {error}") from error

    def cells(self) -> list[list[Cell]]:
        """The runs of each stage; a run that several have stands in the first."""
        seen: set[Cell] = set()
        found = []
        for stage in self.stages:
            axes = product(stage.tasks, stage.shares, stage.models, self.lrs, self.seeds)
            runs = [Cell(task, model, share, seed, lr) for task, share, model, lr, seed in axes]
            found.append([run for run in runs if run not in seen])
            seen.update(runs)
        return found

    def data(self, task: str, seed: int) -> Task:
        """The task's data for a seed."""
        plan = self.tasks[task]
        return _load(plan.task, seed, json.dumps(plan.options))

    def tests(self, task: str, seed: int) -> dict[str, Task]:
        """The further tests; of each only the test split matters."""
        plan = self.tasks[task]
        small = {"n_train": 1, "n_validation": 1}
        return {
            name: _load(plan.task, seed, json.dumps(plan.options | small | changes))
            for name, changes in plan.tests.items()
        }

    def networks(self, task: str) -> dict[str, tuple[str, ModelConfig]]:
        """Of every model of the grid its name for `build_model` and its configuration, of equal parameters."""
        if task not in self._networks:
            plan = self.tasks[task]
            sample = load_task(plan.task, seed=0, **plan.options | {"n_train": 1, "n_validation": 1, "n_test": 1})
            longest = max([sample.max_len, *(test.max_len for test in self.tests(task, self.seeds[0]).values())])
            sizes = {"vocab_size": sample.vocab_size, "n_classes": sample.n_classes, "task": sample.kind}
            found = {}
            for name, model in self.models.items():
                fields: dict[str, Any] = {
                    "backprop": "bptt",
                    "dropout": 0.0,
                    **self.network,
                    **plan.network,
                    **model.network,
                    **sizes,
                }
                if model.whole:
                    fields["segment_len"] = longest
                found[name] = (model.model, ModelConfig(**fields, max_len=longest))
            self._networks[task] = match_sizes(found)
        return self._networks[task]

    def settings(self, cell: Cell) -> dict[str, Any]:
        """What decides the result of a run beside the cell, in JSON types."""
        name, network = self.networks(cell.task)[cell.model]
        plan = self.tasks[cell.task]
        shared = "steps batch_size warmup weight_decay clip checks".split()
        settings = {name: getattr(self, name) for name in shared}
        settings |= {"task": plan.task, "options": plan.options, "tests": plan.tests, "model": name}
        return json.loads(json.dumps(settings | {"network": dataclasses.asdict(network)}, default=str))

    def structure(self, cell: Cell) -> tuple:
        """Runs with the same structure can be stacked: they differ in fixed rates, share, seed and learning rate."""
        name, network = self.networks(cell.task)[cell.model]
        fixed = network.synaptic_rates != "learned"
        return cell.task, name, dataclasses.replace(network, synaptic_rates="none") if fixed else network


def _stage(read: Mapping[str, Any], only: Mapping[str, Sequence[str] | None]) -> Stage:
    stage = Stage(**{name: tuple(values) for name, values in read.items()})
    chosen = {
        name: tuple(value for value in getattr(stage, name) if wanted is None or value in wanted)
        for name, wanted in only.items()
    }
    return dataclasses.replace(stage, **chosen)


@lru_cache(maxsize=32)
def _load(name: str, seed: int, options: str) -> Task:
    return load_task(name, seed=seed, **json.loads(options))
