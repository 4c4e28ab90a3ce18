"""Batches of similar length, in an order that is a function of (seed, epoch) alone.

Each epoch shuffles the samples, sorts them by length within groups of `bucket` batches, cuts batches, and shuffles the
batches. Nothing is drawn while iterating, so training resumes at (epoch, batch index) without saved generator states.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rmaat.tasks.dataset import Split, TaskError, check_sizes


@dataclass(frozen=True, kw_only=True)
class BatchPlan:
    """Which samples make up which batch.

    Parameters
    ----------
    lengths : (n_samples,) the length that padding is to be saved on; for matching, the longer of the two.
    batch_size : samples per batch, over all its micro-batches together.
    micro_batches : of a batch (processes x accumulated steps); the order does not depend on it.
    bucket : batches whose samples are sorted by length together; 1 gives plain shuffling, larger pads less.
    seed : of the order.
    """

    lengths: np.ndarray
    batch_size: int
    micro_batches: int = 1
    bucket: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        n = self.micro_batches
        check_sizes(batch_size=self.batch_size, micro_batches=n, bucket=self.bucket)
        if self.batch_size % n:
            raise TaskError(f"batch_size must be a multiple of micro_batches ({n}), got {self.batch_size}")
        if len(self.lengths) < n:
            raise TaskError(f"the split must hold at least {n} samples, one a micro-batch, got {len(self.lengths)}")

    def epoch(self, epoch: int) -> list[np.ndarray]:
        """The batches of one epoch, each an array of sample indices; every sample comes exactly once.

        One of them may be smaller, even too small for one sample a micro-batch.
        """
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(len(self.lengths))
        group = self.batch_size * self.bucket
        batches = []
        for first in range(0, len(order), group):
            members = order[first : first + group]
            members = members[np.argsort(self.lengths[members], kind="stable")]
            batches += [members[i : i + self.batch_size] for i in range(0, len(members), self.batch_size)]
        return [batches[i] for i in rng.permutation(len(batches))]

    def batches(self, epoch: int = 0, index: int = 0) -> Iterator[tuple[int, int, np.ndarray]]:
        """Endlessly (epoch, batch index, sample indices), from this epoch and batch index on."""
        while True:
            order = self.epoch(epoch)
            for i in range(index, len(order)):
                yield epoch, i, order[i]
            epoch, index = epoch + 1, 0


def padded_length(split: Split, samples: np.ndarray, multiple: int = 1) -> int:
    """The longest of these samples, rounded up to a multiple (of the segment length, say)."""
    longest = int(split.lengths[samples].max(initial=1))
    return -(-longest // multiple) * multiple


def in_order(split: Split, batch_size: int) -> Iterator[np.ndarray]:
    """Every sample once, shortest first, for evaluation; no ragged last batch is dropped."""
    order = np.argsort(split.longest, kind="stable")
    for first in range(0, len(order), batch_size):
        yield order[first : first + batch_size]
