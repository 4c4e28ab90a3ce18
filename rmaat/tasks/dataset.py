"""What a task is: ragged sequences with labels in three splits, a card that says what they are, and their cache.

Token id 0 is padding in every task, so vocabularies start at 1. A sequence is never stored padded: `Split.pad` pads a
batch when it is needed.
"""

import hashlib
import json
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from astro_sim.curves.files import replacing

IGNORE_INDEX = -100  # label of a position without a target (language-model tasks)

SPLITS = ("train", "validation", "test")


class TaskError(ValueError):
    """A task's data are missing, damaged, or asked for in a way that cannot be served."""


MOST = 10**7  # samples of a split or tokens of a sequence: more fits no memory


def check_sizes(**sizes: int) -> None:
    """Raise TaskError, by name, for a size below 1 or above `MOST`."""
    if sizes[smallest := min(sizes, key=sizes.__getitem__)] < 1:
        raise TaskError(f"{smallest} must be at least 1, got {sizes[smallest]}")
    if sizes[largest := max(sizes, key=sizes.__getitem__)] > MOST:
        raise TaskError(f"{largest} must be at most {MOST}, got {sizes[largest]:g}")


@dataclass(frozen=True, kw_only=True)
class Split:
    """Samples laid end to end.

    Parameters
    ----------
    tokens : (sum of lengths,) unsigned integers with 0 never used (0 is padding), or float32 of shape (sum of lengths,
        n_features) for real-valued inputs.
    offsets : (n_samples * n_parts + 1,) int64; sequence i is ``tokens[offsets[i]:offsets[i + 1]]``.
    labels : (n_samples,) int64, or (sum of lengths,) signed integers for a language-model task: the target of the
        prediction made at each position, `IGNORE_INDEX` where there is no target.
    n_parts : sequences per sample: 1, or 2 for matching.
    extra : further arrays (n_samples,), such as the segment that holds the answer.
    """

    tokens: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    n_parts: int = 1
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.n_parts not in (1, 2):
            raise TaskError(f"n_parts must be 1 or 2, got {self.n_parts}")
        if self.offsets[-1] != len(self.tokens):
            raise TaskError(f"offsets must end at the number of tokens {len(self.tokens)}, got {self.offsets[-1]}")
        if len(self.labels) not in (len(self), len(self.tokens)):
            raise TaskError(f"labels must be one per sample ({len(self)}) or per token, got {len(self.labels)}")

    def __len__(self) -> int:
        return (len(self.offsets) - 1) // self.n_parts

    @property
    def per_token(self) -> bool:
        """Whether there is one label per token (language-model tasks) instead of one per sample."""
        return self.n_parts == 1 and len(self.labels) == len(self.tokens) and len(self.tokens) != len(self)

    @property
    def n_features(self) -> int:
        """Real numbers a step; 0 for token ids."""
        return self.tokens.shape[1] if self.tokens.ndim == 2 else 0

    @property
    def lengths(self) -> np.ndarray:
        """Lengths, (n_samples,), or (n_samples, 2) for matching."""
        lengths = np.diff(self.offsets)
        return lengths.reshape(-1, 2) if self.n_parts == 2 else lengths

    @property
    def longest(self) -> np.ndarray:
        """Length of each sample, (n_samples,); for matching, of the longer of its two sequences."""
        return self.lengths.reshape(len(self), -1).max(axis=1)

    @property
    def n_targets(self) -> np.ndarray:
        """Targets of each sample, (n_samples,): 1, or the number of labelled tokens."""
        if not self.per_token:
            return np.ones(len(self), dtype=np.int64)
        before = np.concatenate([[0], np.cumsum(self.labels != IGNORE_INDEX)])
        return np.diff(before[self.offsets])

    @property
    def majority_rate(self) -> float:
        """Accuracy of always answering this split's commonest label."""
        labels = self.labels[self.labels != IGNORE_INDEX]
        return float(np.unique(labels, return_counts=True)[1].max() / len(labels))

    def sequence(self, sample: int, part: int = 0) -> np.ndarray:
        """Tokens of one sequence, (length,), a view."""
        i = sample * self.n_parts + part
        return self.tokens[self.offsets[i] : self.offsets[i + 1]]

    def select(self, samples: Sequence[int] | np.ndarray) -> "Split":
        """The split of these samples, in this order."""
        samples = np.asarray(samples, dtype=np.int64)
        rows = (samples[:, None] * self.n_parts + np.arange(self.n_parts)).ravel()
        lengths = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        where = np.repeat(self.offsets[rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
        labels = self.labels[where if self.per_token else samples]
        extra = {name: values[samples] for name, values in self.extra.items()}
        return replace(self, tokens=self.tokens[where], offsets=offsets, labels=labels, extra=extra)

    def between(self, first: int, last: int) -> "Split":
        """The samples first .. last - 1, without a copy."""
        offsets, samples = self.offsets[first * self.n_parts : last * self.n_parts + 1], slice(first, last)
        where = slice(offsets[0], offsets[-1])
        labels = self.labels[where if self.per_token else samples]
        extra = {name: values[samples] for name, values in self.extra.items()}
        return replace(self, tokens=self.tokens[where], offsets=offsets - offsets[0], labels=labels, extra=extra)

    def pad(self, samples: np.ndarray, length: int | None = None) -> dict[str, np.ndarray]:
        """The samples of these indices as a batch, padded to `length` tokens, by default to its longest sequence.

        Returns
        -------
        tokens (batch, [2,] length) int64 or (batch, [2,] length, n_features) float32, lengths (batch, [2]) int64,
        labels (batch,) or (batch, length)
        """
        chosen, real = self.select(samples), self.tokens.dtype.kind == "f"
        length = int(chosen.lengths.max()) if length is None else length
        inside = np.arange(length) < np.diff(chosen.offsets)[:, None]
        tokens = np.zeros(inside.shape + self.tokens.shape[1:], dtype=np.float32 if real else np.int64)
        tokens[inside] = chosen.tokens
        labels = chosen.labels
        if self.per_token:
            labels = np.full(inside.shape, IGNORE_INDEX, dtype=np.int64)
            labels[inside] = chosen.labels
        shape = (len(samples), 2, length) if self.n_parts == 2 else inside.shape
        return {"tokens": tokens.reshape(shape + self.tokens.shape[1:]), "lengths": chosen.lengths, "labels": labels}


def ragged(sequences: Sequence[np.ndarray], labels: Any, *, dtype: Any = np.uint16, **fields: Any) -> Split:
    """A split from a list of sequences and their labels."""
    lengths = np.array([len(s) for s in sequences], dtype=np.int64)
    tokens = np.concatenate([np.asarray(s, dtype=dtype) for s in sequences]) if len(sequences) else np.zeros(0, dtype)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Split(tokens=tokens, offsets=offsets, labels=np.asarray(labels, dtype=np.int64), **fields)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A named task: three splits, the sizes a model needs to know, and the card.

    Parameters
    ----------
    kind : "classify" (one label), "match" (two sequences, one label) or "lm" (a label per token).
    vocab_size : token ids are 0 .. vocab_size - 1, 0 being padding; 0 where the inputs are real numbers.
    max_len : the longest sequence that may come.
    card : source, splits, vocabulary, lengths and majority-class rates: see `make_task`.
    tokenizer : the file of Hugging Face's `tokenizers` that made the tokens from texts, as text; "" without one.
    """

    name: str
    kind: str
    train: Split
    validation: Split
    test: Split
    n_classes: int
    vocab_size: int
    max_len: int
    card: Mapping[str, Any]
    tokenizer: str = ""

    def __post_init__(self) -> None:
        for name in SPLITS:
            split = self.split(name)
            if len(split) == 0:
                raise TaskError(f"the {name} split of {self.name} must hold at least one sample, got none")
            targets = split.labels[split.labels != IGNORE_INDEX]
            if targets.size and not 0 <= targets.min() <= targets.max() < self.n_classes:
                worst = targets.min() if targets.min() < 0 else targets.max()
                raise TaskError(f"labels of {self.name} must lie in 0..{self.n_classes - 1}, got {worst} in {name}")

    @property
    def summary(self) -> str:
        """One line: samples, lengths, classes and what the commonest answer reaches."""
        splits = [self.split(name) for name in SPLITS]
        sizes = " + ".join(str(len(split)) for split in splits)
        lengths = np.concatenate([split.longest for split in splits])
        what = "tokens" if self.kind == "lm" else f"classes, commonest {self.test.majority_rate:.1%} of the test"
        steps = f"{lengths.min()} to {lengths.max()} {'steps' if self.train.n_features else 'tokens'}"
        return f"{self.name}: {sizes} samples of {steps}, {self.n_classes} {what}"

    def split(self, name: str) -> Split:
        """The split of this name: train, validation or test."""
        if name not in SPLITS:
            raise TaskError(f"split must be one of {', '.join(SPLITS)}, got {name!r}")
        return getattr(self, name)


def draw_task(
    name: str,
    kind: str,
    draw: Callable[[np.random.Generator, int, str], Split],
    sizes: Sequence[int],
    *,
    seed: int,
    **fields: Any,
) -> Task:
    """A generated task: ``draw(rng, n, split)`` gives the n samples of each split, independently of the others.

    `sizes` are those of train, validation and test; `fields` go to :func:`make_task`.
    """
    drawn = [
        draw(np.random.default_rng([seed, i]), n, split) for i, (n, split) in enumerate(zip(sizes, SPLITS, strict=True))
    ]
    return make_task(name, kind, drawn, split=f"independent draws, seed {seed}", **fields)


def make_task(
    name: str, kind: str, splits: Sequence[Split], *, n_classes: int, vocab_size: int, max_len: int, **card: Any
) -> Task:
    """A task whose card is completed with what can be counted: sizes, lengths and majority-class rates.

    `card` gives what cannot: source, split (how it was made), vocabulary, and the options that were used.
    """
    named = dict(zip(SPLITS, splits, strict=True))
    sizes = {"n_classes": n_classes, "vocab_size": vocab_size}
    fields: dict[str, Any] = sizes | named
    task = Task(name=name, kind=kind, max_len=max_len, card={}, **fields)  # it checks the splits
    lengths = {split: samples.lengths for split, samples in named.items()}
    counted = {
        "samples": {split: len(samples) for split, samples in named.items()},
        "lengths": {
            split: {"min": int(n.min()), "mean": float(n.mean()), "max": int(n.max())} for split, n in lengths.items()
        },
        "majority_rate": {split: samples.majority_rate for split, samples in named.items()},
        "content_sha256": content_hash(splits),
    }
    full = {"task": name, "kind": kind, **sizes, **card, **counted}
    return replace(task, card=json.loads(json.dumps(full)))


def content_hash(splits: Sequence[Split]) -> str:
    """SHA-256 of all tokens, offsets and labels."""
    digest = hashlib.sha256()
    for split in splits:
        for array in (split.tokens, split.offsets, split.labels, *split.extra.values()):
            digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def cached(folder: Path | None, name: str, options: Mapping[str, Any], build: Callable[[], Task]) -> Task:
    """The task from its file in `folder`, or built, and kept there if the folder can be written.

    The file's name carries a hash of the options; the content's hash is in the card and is checked on reading.
    """
    if folder is None:
        return build()
    key = hashlib.sha256(json.dumps([name, dict(options)], sort_keys=True).encode()).hexdigest()[:16]
    path = Path(folder) / f"{name}-{key}.npz"
    if path.exists():
        return load_task_file(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        reason = error.strerror or error
        message = f"{folder} must be writable to keep {name}, got {reason}; it is built anew each time"
        warnings.warn(message, stacklevel=2)
        return build()
    return save_task_file(path, build())


def save_task_file(path: Path, task: Task) -> Task:
    """Write a task as one .npz file, whole or not at all, and return it."""
    header = {name: value for name, value in vars(task).items() if name not in SPLITS} | {"card": dict(task.card)}
    arrays: dict[str, Any] = {"header": np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)}
    for name in SPLITS:
        split = task.split(name)
        arrays |= {f"{name}/{part}": getattr(split, part) for part in ("tokens", "offsets", "labels", "n_parts")}
        arrays |= {f"{name}/extra/{key}": values for key, values in split.extra.items()}
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)
    return task


def load_task_file(path: Path) -> Task:
    """Read a task that `save_task_file` wrote, and check its content against the card's hash."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            header = json.loads(file["header"].tobytes())
            splits = []
            for name in SPLITS:
                extra = {key.split("/")[2]: file[key] for key in file.files if key.startswith(f"{name}/extra/")}
                parts = {part: file[f"{name}/{part}"] for part in ("tokens", "offsets", "labels")}
                splits.append(Split(**parts, n_parts=int(file[f"{name}/n_parts"]), extra=extra))
    except Exception as error:  # a damaged archive raises anything from BadZipFile to JSONDecodeError
        raise TaskError(f"{path} must be a task file of this project, got {error}; delete it to rebuild it") from error
    card = header.pop("card")
    if (found := content_hash(splits)) != card["content_sha256"]:
        raise TaskError(f"{path} must have the content hash {card['content_sha256'][:12]}, got {found[:12]}; delete it")
    return Task(**header | dict(zip(SPLITS, splits, strict=True)), card=card)
