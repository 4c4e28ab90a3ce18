"""Multi-query associative recall (MQAR) of the Zoology benchmark, and its form in which keys are given new values.

A sequence begins with `n_pairs` pairs of a key and its value, after which `n_updates` of the keys come again with
another value. In the rest every key comes once as a query; at its place the label is the value that it had last. Places
without a query hold random tokens. The gap between pairs and queries follows a power law: place g of the rest has the
weight ``g^(power - 1)``.

Source: Arora et al. 2023, arXiv:2312.04927, and the generators `multiquery_ar` and `forgetting_mqar` of
HazyResearch/zoology, with splits of our own. There an updated value may be the old one; here it is always another.
"""

from pathlib import Path
from typing import Any

import numpy as np

from rmaat.tasks.dataset import IGNORE_INDEX, Split, Task, TaskError, check_sizes, draw_task, ragged


def load_mqar(
    data_dir: Path | None = None,
    *,
    seed: int = 0,
    length: int = 64,
    n_pairs: int = 4,
    n_updates: int = 0,
    vocab_size: int = 128,
    power: float = 0.01,
    n_train: int = 100_000,
    n_validation: int = 1_000,
    n_test: int = 1_000,
    progress: bool = False,
) -> Task:
    """Multi-query associative recall.

    Parameters
    ----------
    length : tokens of a sequence, even.
    n_pairs : keys, each with a value.
    n_updates : keys that get another value before the queries.
    vocab_size : keys are below its half, values above; must be larger than `length`.
    power : of the power law of gaps; 1 is uniform.
    seed : of the splits, which are drawn independently. Nothing is read or kept: `data_dir` is not used.
    """
    check_sizes(length=length, n_pairs=n_pairs, n_train=n_train, n_validation=n_validation, n_test=n_test)
    if not 0 <= n_updates <= n_pairs:
        raise TaskError(f"n_updates must be 0 to n_pairs = {n_pairs}, got {n_updates}")
    needed = 2 * (2 * n_pairs + n_updates)
    if length % 2 or length < needed:
        raise TaskError(f"length must be even and at least {needed} for pairs, updates and queries, got {length}")
    if not max(length, 2 * n_pairs + 1) < vocab_size <= 2**16:
        raise TaskError(f"vocab_size must be above length = {length} and at most {2**16}, got {vocab_size}")
    if not 0 < power < np.inf:
        raise TaskError(f"power must be positive and finite, got {power}")
    half = vocab_size // 2
    options: dict[str, Any] = {"length": length, "n_pairs": n_pairs, "n_updates": n_updates, "power": power}
    return draw_task(
        "mqar-forgetting" if n_updates else "mqar",
        "lm",
        lambda rng, n, _: _draw(rng, n, length, n_pairs, n_updates, vocab_size, power),
        (n_train, n_validation, n_test),
        seed=seed,
        **{"n_classes": vocab_size, "vocab_size": vocab_size, "max_len": length},
        source="arXiv:2312.04927, drawn at random",
        vocabulary=f"0 padding, keys 1..{half - 1}, values {half}..{vocab_size - 1}",
        options=options,
        chance={"any value": 1 / (vocab_size - half), "a value of the sequence": 1 / (n_pairs + n_updates)},
    )


def _draw(
    rng: np.random.Generator, n: int, length: int, n_pairs: int, n_updates: int, vocab_size: int, power: float
) -> Split:
    half, row = vocab_size // 2, np.arange(n)[:, None]
    keys, values = 1 + _distinct(rng, n, half - 1, n_pairs), half + _distinct(rng, n, vocab_size - half, n_pairs)
    again = _distinct(rng, n, n_pairs, n_updates)
    latest = values.copy()
    moved = values[row, again] - half + rng.integers(1, vocab_size - half, again.shape)  # never the same value
    latest[row, again] = half + moved % (vocab_size - half)
    context = 2 * (n_pairs + n_updates)
    places = (length - context) // 2
    weight = (power - 1) * np.log(np.arange(1, places + 1))
    query = context + 2 * _distinct(rng, n, places, n_pairs, weight)
    tokens, labels = rng.integers(1, vocab_size, (n, length)), np.full((n, length), IGNORE_INDEX)
    tokens[:, :context:2] = np.concatenate([keys, keys[row, again]], axis=1)
    tokens[:, 1:context:2] = np.concatenate([values, latest[row, again]], axis=1)
    tokens[row, query], labels[row, query] = keys, latest
    return ragged(list(tokens), labels.ravel())


def _distinct(rng: np.random.Generator, n: int, among: int, k: int, log_weight: np.ndarray | float = 0.0) -> np.ndarray:
    """(n, k) distinct integers below `among`, drawn one after the other with these weights (Gumbel top-k)."""
    chosen = np.empty((n, k), dtype=np.int64)
    for first in range(0, n, 4096):  # in parts, for memory
        part = slice(first, min(first + 4096, n))
        score = log_weight + rng.gumbel(size=(part.stop - first, among))
        chosen[part] = np.argsort(-score, axis=1)[:, :k]
    return chosen
