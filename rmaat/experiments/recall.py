"""The retention probe: accuracy of a trained model by the segment that it must remember, at T segments and beyond.

Task `recall` with twins: among random symbols one is marked and to be named at the end; the segment that holds it is
drawn uniformly. A model is trained with T segments and tested, by the position of the marked segment, with
T and with `stretch` * T segments. A cell is one training: a memory rule, its retention and curve, a norm, a learning
rate and a seed; :mod:`rmaat.experiments.recall_grid` runs many.

Beside the measured accuracies stand the analytic weights that each rule gives to the first and to the last segment
after n segments (:func:`rmaat.memory.retention.segment_weights`): what the rule alone would keep if the network copied
nothing.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from time import perf_counter
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from astro_sim.curves.curve import Curve
from rmaat.config import Attention, ModelConfig, Norm, Pooling, Rule, Timescales, check_number
from rmaat.memory.retention import segment_weights
from rmaat.memory.segments import State
from rmaat.models.rmaat import RMAAT
from rmaat.models.zoo import build_model, count_parameters, curves_read
from rmaat.tasks import Split, load_task
from rmaat.tasks.batching import in_order
from rmaat.training.evaluation import to_batch
from rmaat.training.optimiser import optimizer_step

AXES = ("rule", "retention", "norm", "curve")

OWN_CURVE = {"single": "ltp", "population": "ltp_population"}  # of each retention

WITHOUT_CURVE = ("replace", "gated", "attend")

Start = Literal["initial", "carried", "burn_in"]

CPU = torch.device("cpu")

FRESH = 0.4  # share of the steps that all begin with the initial memory: from others nothing is learned to begin with


@dataclass(frozen=True, kw_only=True)
class ProbeCell:
    """One training of the probe; ValueError for numbers out of range."""

    rule: Rule = "relax"
    """Memory rule, as in ModelConfig.memory_update."""
    retention: Timescales = "population"
    """One course for all memory tokens, or one relaxation rate each."""
    norm: Norm = "post"
    """LayerNorm after each residual sum, or before each sub-layer."""
    curve: str = "ltp_population"
    """Name of the curve file that takes the place of ltp or ltp_population."""
    lr: float = 2e-3
    """Peak learning rate."""
    seed: int = 0
    """Seed of weights, data and order."""
    model: str = "rmaat"
    """Name of the model: rmaat or a recurrent baseline."""
    attention: Attention = "astromorphic"
    """As in ModelConfig."""
    pooling: Pooling = "last"
    """As in ModelConfig."""
    seconds_per_segment: float = 50.0
    """As in ModelConfig."""
    n_memory: int = 8
    """Memory tokens."""
    n_segments: int = 8
    """T, the length trained on."""
    stretch: int = 4
    """The probe is also tested at this many times T."""
    segment_len: int = 8
    """Tokens of a segment."""
    d_model: int = 64
    """Width of a token."""
    n_layers: int = 2
    """Blocks."""
    steps: int = 900
    """Optimiser steps."""
    batch_size: int = 32
    """Samples per step."""
    start: Start = "initial"
    """Memory before the first segment: initial, or, in every second step of the last 60 %, the one that the step before
    left (carried, the paper's line 14) or that up to (stretch - 1) T segments without a mark lead to (burn_in)."""

    def __post_init__(self) -> None:
        for name, least in (("n_segments", 2), ("stretch", 1), ("steps", 1), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.start not in get_args(Start):
            raise ValueError(f"start must be one of {', '.join(get_args(Start))}, got {self.start!r}")
        check_number("lr", self.lr)

    @property
    def name(self) -> str:
        """The file name: the axes of the probe, and every other field that departs from its default."""
        axes = (*AXES, "lr", "seed")
        value = {field.name: getattr(self, field.name) for field in fields(self)}
        others = [f.name for f in fields(self) if f.name not in axes and value[f.name] != f.default]
        parts = [*(str(value[axis]) for axis in axes[:4]), f"lr{self.lr:g}", f"s{self.seed}"]
        return "-".join([*parts, *(f"{name}={value[name]}" for name in others)])

    def network(self, vocab_size: int, n_classes: int) -> ModelConfig:
        """The model's configuration."""
        shared = "d_model n_layers segment_len n_memory attention retention norm pooling seconds_per_segment".split()
        return ModelConfig(
            vocab_size=vocab_size,
            n_classes=n_classes,
            **{name: getattr(self, name) for name in shared},
            d_ff=self.d_model,
            dropout=0.0,
            memory_update=self.rule,
            backprop="bptt",  # the same gradients as replay, and at this size sooner
            max_len=self.n_segments * self.segment_len,
            carry_state=self.start != "initial",
        )

    def pick(self, curves: Mapping[str, Curve]) -> dict[str, Curve]:
        """The curves with this cell's own in the place of the rule's usual one."""
        if self.rule in WITHOUT_CURVE:
            return dict(curves)
        if self.curve not in curves:
            raise ValueError(f"curve must be one of {', '.join(curves)}, got {self.curve!r}")
        return {**curves, OWN_CURVE[self.retention]: curves[self.curve]}

    def curve_hashes(self, curves: Mapping[str, Curve]) -> dict[str, str]:
        """Hashes of the curves that the model reads, by the name under which it does."""
        read = curves_read(self.model, self.network(2, 2), self.pick(curves))
        return {name: curve.sha256 for name, curve in read.items()}


def run_cell(cell: ProbeCell, curves: Mapping[str, Curve]) -> dict[str, Any]:
    """Train one cell and test it by position.

    ``curves`` are hashes of those that the model reads, ``train_accuracy`` is that of the last tenth of the steps,
    ``accuracy_at_T`` has a number per segment, and ``memory_rms`` is taken after each segment at stretch * T.
    """
    sizes: dict[str, Any] = {"segment_len": cell.segment_len, "twins": True}
    task = load_task("recall", seed=cell.seed, n_segments=cell.n_segments, n_test=1024, **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(cell.seed)
        model = build_model(cell.model, cell.network(task.vocab_size, task.n_classes), cell.pick(curves))
    started = perf_counter()
    train_accuracy, diverged = _train(model, task.train, cell)
    seconds = perf_counter() - started
    if cell.start != "initial":
        model.config = replace(model.config, carry_state=False)  # tested from the initial memory, like all others
    further = cell.n_segments * cell.stretch
    longer = load_task("recall", seed=cell.seed, n_segments=further, n_train=1, n_validation=1, n_test=2048, **sizes)
    return {
        "cell": asdict(cell),
        "curves": cell.curve_hashes(curves),
        "train_accuracy": train_accuracy,
        "chance": 1 / task.n_classes,
        "accuracy_at_T": accuracy_by_segment(model, task.test, cell.n_segments),
        "accuracy_at_stretch": accuracy_by_segment(model, longer.test, further),
        "memory_rms": memory_rms(model, longer.test, cell),
        "diverged": diverged,
        "weights": analytic_weights(model, (cell.n_segments, further, 256)),
        "parameters": count_parameters(model)["total"],
        "seconds": round(seconds, 2),
    }


def _train(model: RMAAT, split: Split, cell: ProbeCell) -> tuple[float, bool]:
    """Train in place; accuracy over the last tenth of the steps, and whether the loss became infinite or NaN."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=cell.lr, betas=(0.9, 0.98), weight_decay=0.01)
    course = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, cell.lr, total_steps=cell.steps + 1, pct_start=0.1, cycle_momentum=False
    )
    rng, starting = np.random.default_rng(cell.seed), np.random.default_rng([cell.seed, 1])
    right, state = [], None
    for step in range(cell.steps):
        batch = to_batch(split, rng.integers(0, len(split), cell.batch_size), CPU)
        if cell.start == "initial":
            logits = model(batch["tokens"])
        else:
            fresh = step < FRESH * cell.steps or starting.random() >= 0.5
            begin = None if fresh else state if cell.start == "carried" else _burn_in(model, cell, starting)
            logits, state = model(batch["tokens"], state=begin)
        loss = F.cross_entropy(logits, batch["labels"])
        if not torch.isfinite(loss):
            return 0.0, True
        optimizer_step(model, optimizer, [loss], 1.0)
        course.step()
        right.append((logits.argmax(-1) == batch["labels"]).float().mean().item())
    return float(np.mean(right[-max(cell.steps // 10, 1) :])), False


@torch.no_grad()
def _burn_in(model: RMAAT, cell: ProbeCell, rng: np.random.Generator) -> State:
    """The state after segments of unmarked symbols, as many as a longer test has beyond T at most."""
    n_segments = rng.integers(1, (cell.stretch - 1) * cell.n_segments + 1)
    shape = (cell.batch_size, n_segments * cell.segment_len)
    return model(torch.from_numpy(rng.integers(1, model.config.n_classes + 1, shape)))[1]


@torch.no_grad()
def accuracy_by_segment(model: nn.Module, split: Split, n_segments: int, batch_size: int = 512) -> list[float]:
    """Accuracy by the segment that holds the answer: n_segments numbers."""
    model.eval()
    batches = [to_batch(split, samples, CPU) for samples in in_order(split, batch_size)]
    right = np.concatenate([(model(batch["tokens"]).argmax(-1) == batch["labels"]).numpy() for batch in batches])
    where = split.extra["segment"]
    return [round(float(right[where == segment].mean()), 4) for segment in range(n_segments)]


@torch.no_grad()
def memory_rms(model: RMAAT, split: Split, cell: ProbeCell) -> list[float]:
    """Root mean square of the memory after each segment of 64 samples; [] for a model without a stream."""
    if not hasattr(model, "step"):
        return []
    tokens = to_batch(split, np.arange(64), CPU)["tokens"]
    total = tokens.shape[1] // cell.segment_len
    state = model.initial_state(64, total if cell.rule == "scale" else None)
    found = []
    for segment in tokens.split(cell.segment_len, dim=1):
        _, state = model.step(segment, state)
        found.append(round(state.memory.square().mean().sqrt().item(), 6))
    return found


def analytic_weights(model: RMAAT, lengths: tuple[int, ...]) -> dict[str, dict[str, list[float]] | str]:
    """Weight of the first and of the last segment after n segments, for each n: least and largest over memory tokens.

    A number of segments for which the curve gives no schedule has the reason in words instead.
    """
    retention = model.constants.retention
    if retention is None:
        return {}
    found: dict[str, dict[str, list[float]] | str] = {}
    for n in lengths:
        try:
            weights = segment_weights(*retention.table(n))
        except ValueError as error:
            found[str(n)] = str(error)
            continue
        if retention.rule == "scale":  # each memory replaces the last: its own factor is all that the rule gives
            weights = retention.table(n)[1]
        ends = {"first": weights[0], "last": weights[-1]}
        found[str(n)] = {end: [float(w.min()), float(w.max())] for end, w in ends.items()}
    return found
