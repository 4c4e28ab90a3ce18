"""Training configuration :class:`TrainConfig` and its recipes, TOML files with the same fields.

Example::

    task = "listops"
    model = "rmaat"
    steps = 5000
    lr = 1e-3

    [network]                # fields of ModelConfig; vocabulary, classes and longest input follow from the task
    segment_len = 256
    d_model = 64
"""

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from astro_sim.curves.files import read_text
from rmaat.config import ModelConfig, check_fields, check_number


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a model is trained, on what, and where the run is kept; ValueError for wrong values."""

    run: Path = Path("runs/train")
    """Run directory; an interrupted run in it is continued, a finished one is left as it is."""
    task: str = "listops-short"
    """Name of the task."""
    task_options: dict[str, bool | int | float | str] = field(default_factory=dict)
    """Options of the task, such as max_length or n_train."""
    task_seed: int = 0
    """Seed of generated data and of drawn splits."""
    data_dir: Path | None = Path("data")
    """Where official files lie and generated data are kept."""
    model: str = "rmaat"
    """Name of the model: rmaat, rmaat-paper, or a baseline."""
    network: ModelConfig = field(default_factory=lambda: ModelConfig(vocab_size=2, segment_len=32))
    """The model's sizes and rules; vocab_size, n_classes, task and max_len are set from the task."""
    curves: Path | None = None
    """Folder of curve files; by default the packaged ones."""
    curve_draw: int | None = None
    """Train from this draw of each curve's uncertainty instead of from its best fit."""
    curve_seed: int = 0
    """Seed of the curves' draws."""
    seed: int = 0
    """Seed of initial weights, order of samples and dropout."""
    steps: int = 1000
    """Optimiser steps of the whole run."""
    batch_size: int = 32
    """Samples a process takes at once."""
    accumulate: int = 1
    """Micro-batches of batch_size samples whose gradients are summed before a step."""
    lr: float = 1e-3
    """Peak learning rate."""
    schedule: Literal["cosine", "linear", "rsqrt", "constant"] = "cosine"
    """Course of the learning rate after the warm-up; rsqrt is sqrt(warmup / step)."""
    warmup: int = 100
    """Steps over which the learning rate rises linearly from 0."""
    final_lr: float = 0.0
    """Share of the peak left at the end, for cosine and linear."""
    lr_scale: dict[str, float] = field(default_factory=dict)
    """Factors on the learning rate of parameters whose name contains the key; the first match counts."""
    weight_decay: float = 0.01
    """AdamW's weight decay; biases, norms and other vectors have none."""
    betas: tuple[float, float] = (0.9, 0.98)
    """AdamW's decay rates of the moments."""
    class_weights: Literal["none", "balanced"] = "none"
    """Balanced: each class counts the same in the loss, n / (n_classes * n of the class), as in scikit-learn."""
    clip: float = 1.0
    """Largest norm of the gradient; 0 does not clip."""
    precision: Literal["no", "bf16", "fp16"] = "no"
    """Automatic mixed precision; fp16 needs a GPU."""
    compile: bool | Literal["auto"] = "auto"
    """Compile the model with torch.compile; auto: RMAAT on a CPU, where that saves more time than it takes."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    bucket: int = 50
    """Batches whose samples are sorted by length together; 1 pads most, larger pads less."""
    eval_every: int = 250
    """Steps between checks on the validation split."""
    eval_batch_size: int = 128
    """Samples a process takes at once when checking."""
    patience: int | None = None
    """Stop after this many checks without a better validation accuracy."""
    log_every: int = 25
    """Steps between lines in the log."""
    checkpoint_every: int = 250
    """Steps between checkpoints; one is also written at the end of a leg."""
    max_steps: int | None = None
    """End this leg after so many steps; the run can be continued."""
    time_budget_s: float | None = None
    """End this leg after so many seconds; the run can be continued."""
    stop_after_s: float | None = None
    """End the run, final evaluation included, after so many seconds of training in all."""
    progress: bool = True
    """Show a progress bar."""
    tensorboard: bool = True
    """Also log for TensorBoard."""

    def __post_init__(self) -> None:
        check_fields(self)
        for name in COUNTS:
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        for name in ("time_budget_s", "stop_after_s", "lr"):
            if (value := getattr(self, name)) is not None:
                check_number(name, value)
        if not 0 <= self.warmup <= self.steps:
            raise ValueError(f"warmup must be 0 to steps = {self.steps}, got {self.warmup}")
        if not 0 <= self.final_lr <= 1:
            raise ValueError(f"final_lr must be a share between 0 and 1, got {self.final_lr}")
        for name in ("weight_decay", "clip"):
            check_number(name, getattr(self, name), zero=True)
        for key, factor in self.lr_scale.items():
            check_number(f"lr_scale of {key!r}", factor, zero=True)
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be at least 0 and below 1, got {self.betas}")
        for name in ("seed", "task_seed", "curve_seed"):
            if not 0 <= (value := getattr(self, name)) < 2**63:
                raise ValueError(f"{name} must be from 0 to 2**63 - 1, got {value:g}")
        if self.curve_draw is not None and self.curve_draw < 0:
            raise ValueError(f"curve_draw must be at least 0, got {self.curve_draw}")


COUNTS = "steps batch_size accumulate bucket eval_every eval_batch_size log_every".split()
COUNTS += "checkpoint_every max_steps patience".split()


def load_recipe(path: str | Path, **changes: Any) -> TrainConfig:
    """Read a recipe; `changes` replace its fields; ``network={...}`` and ``task_options={...}`` replace some."""
    path = Path(path)
    try:
        recipe = tomllib.loads(read_text(path, "recipe", most=100_000))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"recipe must be TOML, got {path}: {error}") from error
    for section in ("network", "task_options"):
        if not isinstance(table := recipe.get(section, {}), dict):
            raise ValueError(f"{path}: {section} must be a table, got {table!r}")
        changes[section] = table | changes.get(section, {})
    recipe |= changes
    network = recipe.pop("network")
    for section, values, kind in (("", recipe, TrainConfig), ("network.", network, ModelConfig)):
        known = {field.name for field in dataclasses.fields(kind)}
        for name in values:
            if name not in known:
                raise ValueError(
                    f"{path}: {section}{name} must be a field of {kind.__name__}, one of {', '.join(sorted(known))}"
                )
    for name in ("run", "data_dir", "curves"):
        if isinstance(recipe.get(name), str):
            recipe[name] = Path(recipe[name])
    if isinstance(recipe.get("betas"), list):
        recipe["betas"] = tuple(recipe["betas"])
    try:
        return TrainConfig(**recipe, network=ModelConfig(**({"vocab_size": 2} | network)))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
