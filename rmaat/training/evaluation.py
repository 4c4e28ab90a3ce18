"""Loss and accuracy of a model on a split, and of a trained run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from astro_sim.curves.files import read_json
from rmaat.models.rmaat import RMAAT
from rmaat.tasks import IGNORE_INDEX, Split, load_task
from rmaat.tasks.batching import in_order
from rmaat.training.machine import require_device

RECORDED = "model task task_options task_seed data_dir".split()  # in config.json, and needed to evaluate a run


def loss_and_correct(
    logits: Tensor, labels: Tensor, lengths: Tensor, segment_len: int, weights: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Summed cross-entropy, number of correct answers, and number of targets, of a batch; float32 and int64, all ().

    Parameters
    ----------
    logits : (batch, classes); (batch, segments, classes) with pooling "each", where a sample's loss is the mean over
        its segments and its answer is that of the last; or (batch, length, classes) for language models.
    labels : (batch,), or (batch, length) for language models, `IGNORE_INDEX` where there is no target.
    lengths : (batch,) or (batch, 2).
    weights : (classes,) of the samples' losses, by their labels.
    """
    logits = logits.float()
    if labels.ndim == 2:
        targets = labels != IGNORE_INDEX
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE_INDEX, reduction="sum")
        return loss, ((logits.argmax(-1) == labels) & targets).sum(), targets.sum()
    if logits.ndim == 3:
        n_segments = (lengths + segment_len - 1) // segment_len
        each = F.cross_entropy(
            logits.transpose(1, 2), labels[:, None].expand(logits.shape[:2]), weights, reduction="none"
        )
        valid = torch.arange(logits.shape[1], device=logits.device) < n_segments[:, None]
        loss = ((each * valid).sum(1) / n_segments).sum()
        logits = last_logits(logits, lengths, segment_len)
    else:
        loss = F.cross_entropy(logits, labels, weights, reduction="sum")
    return loss, (logits.argmax(-1) == labels).sum(), torch.tensor(len(labels), device=logits.device)


def last_logits(logits: Tensor, lengths: Tensor, segment_len: int) -> Tensor:
    """The answer (batch, classes) of logits (batch, classes), or (batch, segments, classes): that of the last segment.

    `lengths` are those of the sequences, (batch,).
    """
    if logits.ndim == 2:
        return logits
    last = (lengths + segment_len - 1) // segment_len - 1
    return logits[torch.arange(len(logits), device=logits.device), last]


def to_batch(split: Split, samples: Any, device: torch.device, length: int | None = None) -> dict[str, Tensor]:
    """A padded batch of tensors on a device."""
    padded = split.pad(samples, length)
    return {name: torch.from_numpy(array).to(device, non_blocking=True) for name, array in padded.items()}


@torch.no_grad()
def count_correct(model: RMAAT, split: Split, *, batch_size: int = 128, rank: int = 0, world: int = 1) -> Tensor:
    """(summed loss, correct answers, targets) over every `world`-th batch of the split; float64, (3,).

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
    """The best model of a run directory, in evaluation mode on the CPU, and the run's config.json."""
    run = Path(run)
    path = run / "config.json"
    for needed in (path, run / "model" / "model.safetensors"):
        if not needed.is_file():
            raise ValueError(f"run must be a run directory with {needed.relative_to(run)}, got {run}; train it first")
    record = read_json(path)
    if missing := [name for name in RECORDED if name not in record.get("train", {})]:
        raise ValueError(f"{path} must hold train.{missing[0]}, got none; train the run again")
    return RMAAT.from_pretrained(run / "model"), record


def evaluate(
    run: Path | str,
    split: str = "test",
    *,
    batch_size: int = 128,
    device: str = "cpu",
    data_dir: Path | None = None,
) -> dict[str, Any]:
    """Accuracy and loss of a run's best model on one split of its task, beside the split's majority-class rate.

    ``chance`` holds what guessing would reach where the task has a closed form for it, by the name of the guess.
    `data_dir` is where the task's data lie now, by default where they lay in training; ``same_data`` says whether they
    are the same.
    """
    require_device(device)
    model, record = load_run(run)
    train = record["train"]
    task = load_task(train["task"], data_dir or train["data_dir"], seed=train["task_seed"], **train["task_options"])
    _require_same_meaning(task.card, record.get("task", {}))
    samples = task.split(split)
    loss, correct, n = count_correct(model.to(device), samples, batch_size=batch_size).tolist()
    return {
        "task": train["task"],
        "model": train["model"],
        "split": split,
        "accuracy": correct / n,
        "loss": loss / n,
        "kind": task.kind,
        "majority_rate": samples.majority_rate,
        "chance": dict(task.card.get("chance", {})),
        "n": int(n),
        "same_data": task.card["content_sha256"] == record.get("task", {}).get("content_sha256"),
    }


def _require_same_meaning(card: Mapping[str, Any], trained: Mapping[str, Any]) -> None:
    """ValueError if tokens or classes are no longer those of the training: the model's answers would mean nothing."""
    for name in ("n_classes", "classes", "vocabulary", "tokenizer_sha256", "n_features"):
        if name in trained and card.get(name) != trained[name]:
            rule = f"{name} of the data must be those of the training, {trained[name]!r:.100}"
            raise ValueError(f"{rule}, got {card.get(name)!r:.100}; restore the files, or train anew")
