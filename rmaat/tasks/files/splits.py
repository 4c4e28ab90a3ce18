"""Classes, drawn parts and pieces: how samples become splits."""

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from rmaat.tasks.dataset import Split


def sorted_classes(labels: Iterable[str]) -> list[str]:
    """The different labels, by number if all are integers, and else by letter."""
    found = sorted(set(labels))
    try:
        return sorted(found, key=int)
    except ValueError:
        return found


def draw_parts(samples: Sequence[Hashable], labels: np.ndarray, n_parts: int, share: float, seed: int) -> np.ndarray:
    """The part of each sample, (n_samples,) from 0 to n_parts: 0 is what is left, the others have `share` each.

    Equal samples come into the same part, and the parts have the same share of each label, but for rounding; the
    first of a label that is drawn is in part 0.
    """
    numbers: dict[Hashable, int] = {}
    group = np.array([numbers.setdefault(sample, len(numbers)) for sample in samples], dtype=np.int64)
    label_of = np.zeros(len(numbers), dtype=np.int64)
    label_of[group[::-1]] = labels[::-1]  # that of the first sample of a group stays
    order = np.random.default_rng(seed).permutation(len(numbers))
    order = order[np.argsort(label_of[order], kind="stable")]
    drawn = np.floor(np.arange(len(order) + 1) * (n_parts * share) + 1e-9).astype(np.int64)  # so many until here
    part = np.where(np.diff(drawn) > 0, 1 + (drawn[1:] - 1) % max(n_parts, 1), 0)
    part[np.diff(label_of[order], prepend=-1) != 0] = 0
    parts = np.empty(len(numbers), dtype=np.int64)
    parts[order] = part
    return parts[group]


def pieces(documents: Sequence[np.ndarray], length: int, dtype: Any) -> Split:
    """Documents, (n_tokens,) each, cut into samples of at most `length` tokens, each with the next token as its label.

    The last token of a document has no next one and is a label only.
    """
    cuts = [(d, i, min(i + length, len(d) - 1)) for d in documents for i in range(0, len(d) - 1, length)]
    tokens = np.concatenate([d[i:j] for d, i, j in cuts]).astype(dtype)
    labels = np.concatenate([d[i + 1 : j + 1] for d, i, j in cuts]).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum([j - i for _, i, j in cuts])])
    return Split(tokens=tokens, offsets=offsets, labels=labels)


def digests(split: Split) -> list[bytes]:
    """A hash of the tokens of each sample."""
    return [digest_of(split.sequence(sample)) for sample in range(len(split))]


def digest_of(sequence: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(sequence).data, digest_size=16).digest()
