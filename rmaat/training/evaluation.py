"""Loss and accuracy of a model on a split, and of a trained run."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from astro_sim.curves.files import read_json
from rmaat.config import ModelConfig
from rmaat.data import load_curves
from rmaat.models.pretrained import read_tensors
from rmaat.models.rmaat import RMAAT
from rmaat.models.zoo import build_model
from rmaat.tasks import IGNORED, Split, load_task
from rmaat.tasks.batching import in_order
from rmaat.training.machine import require_device

RECORDED = {  # in config.json, and needed to evaluate a run
    "train": "model task task_options task_seed data_dir curve_draw curve_seed".split(),
    "network": ["vocab_size"],
}


def loss_and_correct(
    logits: Tensor, labels: Tensor, lengths: Tensor, segment_len: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Summed cross-entropy, number of correct answers, and number of answers, of a batch; float32 and int64, all ().

    Parameters
    ----------
    logits : (batch, classes); (batch, segments, classes) with pooling "each", where a sample's loss is the mean over
        its segments and its answer is that of the last; or (batch, length, classes) for language models.
    labels : (batch,), or (batch, length) for language models, `IGNORED` where nothing is asked.
    lengths : (batch,) or (batch, 2).
    """
    logits = logits.float()
    if labels.ndim == 2:
        asked = labels != IGNORED
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum")
        return loss, ((logits.argmax(-1) == labels) & asked).sum(), asked.sum()
    if logits.ndim == 3:
        n_segments = (lengths + segment_len - 1) // segment_len
        each = F.cross_entropy(logits.transpose(1, 2), labels[:, None].expand(logits.shape[:2]), reduction="none")
        valid = torch.arange(logits.shape[1], device=logits.device) < n_segments[:, None]
        loss = (each * valid).sum(1) / n_segments
        logits = logits[torch.arange(len(logits), device=logits.device), n_segments - 1]
        return loss.sum(), (logits.argmax(-1) == labels).sum(), torch.tensor(len(labels), device=logits.device)
    loss = F.cross_entropy(logits, labels, reduction="sum")
    return loss, (logits.argmax(-1) == labels).sum(), torch.tensor(len(labels), device=logits.device)


def to_batch(split: Split, samples: Any, device: torch.device, length: int | None = None) -> dict[str, Tensor]:
    """A padded batch of tensors on a device."""
    padded = split.pad(samples, length)
    return {name: torch.from_numpy(array).to(device, non_blocking=True) for name, array in padded.items()}


@torch.no_grad()
def count_correct(model: RMAAT, split: Split, *, batch_size: int = 128, rank: int = 0, world: int = 1) -> Tensor:
    """(summed loss, correct answers, all answers) over every `world`-th batch of the split; float64, (3,).

    The model is put into evaluation mode and back.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    totals = torch.zeros(3, dtype=torch.float64)
    for i, samples in enumerate(in_order(split, batch_size)):
        if i % world == rank:
            batch = to_batch(split, samples, device)
            logits = model(batch["tokens"], batch["lengths"])
            found = loss_and_correct(logits, batch["labels"], batch["lengths"], model.config.segment_len)
            totals += torch.tensor([value.item() for value in found], dtype=torch.float64)
    model.train(was_training)
    return totals


def load_run(run: Path | str) -> tuple[RMAAT, dict[str, Any]]:
    """The best model of a run directory, in evaluation mode on the CPU, and the run's config.json.

    Raises
    ------
    ValueError
        If the directory does not hold a run, or a damaged one.
    """
    run = Path(run)
    config_path, weights = run / "config.json", run / "model" / "model.safetensors"
    for path in (config_path, weights):
        if not path.is_file():
            raise ValueError(f"run must be a run directory with {path.relative_to(run)}, got {run}; train it first")
    record = read_json(config_path)
    for section, names in RECORDED.items():
        if missing := [name for name in names if name not in record.get(section, {})]:
            raise ValueError(f"{config_path} must hold {section}.{missing[0]}, got none; train the run again")
    curves = draw_curves(run / "curves", record["train"]["curve_draw"], record["train"]["curve_seed"])
    try:
        model = build_model(record["train"]["model"], ModelConfig(**record["network"]), curves)
        model.load_state_dict(read_tensors(weights))
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"{run} must hold one model's configuration and weights, got {error}") from error
    return model.eval(), record


def draw_curves(folder: Path | None, draw: int | None, seed: int) -> dict[str, Any]:
    """The curves of a folder (None: the packaged ones), or draw number `draw` from each one's uncertainty."""
    curves = load_curves(folder)
    return curves if draw is None else {name: curve.sample(draw + 1, seed)[draw] for name, curve in curves.items()}


def evaluate(
    run: Path | str,
    split: str = "test",
    *,
    batch_size: int = 128,
    device: str = "cpu",
    data_dir: Path | None = None,
) -> dict[str, Any]:
    """Accuracy and loss of a run's best model on one split of its task, beside the split's majority-class rate.

    Parameters
    ----------
    data_dir : Path, optional
        Where the task's data lie now; by default where they lay in training.
    """
    require_device(device)
    model, record = load_run(run)
    train = record["train"]
    task = load_task(train["task"], data_dir or train["data_dir"], seed=train["task_seed"], **train["task_options"])
    samples = task.split(split)
    loss, right, asked = count_correct(model.to(device), samples, batch_size=batch_size).tolist()
    return {
        "task": train["task"],
        "model": train["model"],
        "split": split,
        "accuracy": right / asked,
        "loss": loss / asked,
        "majority_rate": samples.majority_rate,
        "n": int(asked),
    }
