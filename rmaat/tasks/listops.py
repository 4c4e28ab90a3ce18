"""ListOps as the Long Range Arena generates it, seeded.

An expression is a tree of the operators MIN, MAX, MED and SM (sum modulo 10) over digits; the label is its value. A
node above depth `max_depth` is an operator with probability 1/4, with 2 to `max_args` arguments, else it is a digit.
Trees of `min_length` < length < `max_length` tokens are kept, all distinct (Tay et al. 2021; data/listops.py of
google-research/long-range-arena). Departure: the LRA cuts its splits out of the unordered iteration of a Python set, so
that no seed reproduces them; here they are cut in the order in which the trees were drawn.

Length counts digits, operators and closing brackets; the parentheses of the text form carry nothing and are dropped.
"""

import hashlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from tqdm.auto import tqdm

from rmaat.tasks.dataset import Split, Task, TaskError, cached, check_sizes, make_task, ragged

VOCABULARY = ("<pad>", *"0123456789", "[MIN", "[MAX", "[MED", "[SM", "]")

FIRST_DIGIT, MIN, MAX, MED, SM, END = 1, 11, 12, 13, 14, 15

VALUE_P = 0.25  # probability of an operator (the LRA's name for it)

GENERATOR = 1  # raise when a change of the generator changes what a seed draws


@njit(cache=True)
def draw_tree(rng, max_depth, max_args, max_length, out, remaining):
    """Draw one tree into `out` and return its length, or 0 as soon as it reaches `max_length`.

    The operator is drawn when its node opens, the LRA draws it after the arguments: the same distribution.
    `remaining[d]` counts the arguments that the open operator at depth d still waits for.
    """
    length, depth = 0, 1
    while length < max_length:
        if depth < max_depth and rng.random() <= VALUE_P:
            out[length] = MIN + rng.integers(0, 4)
            remaining[depth] = rng.integers(2, max_args + 1)
            length += 1
            depth += 1
            continue
        out[length] = FIRST_DIGIT + rng.integers(0, 10)
        length += 1
        while depth > 1:
            remaining[depth - 1] -= 1
            if remaining[depth - 1] > 0:
                break
            if length == max_length:
                return 0
            out[length] = END
            length += 1
            depth -= 1
        if depth == 1:
            return length if length < max_length else 0
    return 0


@njit(cache=True)
def draw_block(rng, n_wanted, max_draws, min_length, max_length, max_depth, max_args, tokens, lengths):
    """Fill `tokens` and `lengths` with accepted trees; return (number accepted, tokens used, trees drawn)."""
    out = np.empty(max_length, np.uint8)
    remaining = np.zeros(max_depth + 1, np.int64)
    accepted, used, drawn = 0, 0, 0
    while accepted < n_wanted and drawn < max_draws:
        length = draw_tree(rng, max_depth, max_args, max_length, out, remaining)
        drawn += 1
        if length > min_length:
            tokens[used : used + length] = out[:length]
            lengths[accepted] = length
            accepted += 1
            used += length
    return accepted, used, drawn


@njit(cache=True)
def _sorted_at(counts, k):
    digit = 0
    while k >= counts[digit]:
        k -= counts[digit]
        digit += 1
    return digit


@njit(cache=True)
def _apply(operator, counts, n):
    if operator == MIN:
        return _sorted_at(counts, 0)
    if operator == MAX:
        return _sorted_at(counts, n - 1)
    if operator == MED:  # int(numpy.median): the mean of the middle two, truncated
        return (_sorted_at(counts, (n - 1) // 2) + _sorted_at(counts, n // 2)) // 2
    total = 0
    for digit in range(10):
        total += digit * counts[digit]
    return total % 10


@njit(cache=True)
def _evaluate_one(tokens, operators, counts, n_args):
    """Value of one expression, or -1 - position where it stops being one."""
    depth = 0
    for i in range(len(tokens)):
        token = tokens[i]
        if MIN <= token <= SM:
            operators[depth] = token
            counts[depth] = 0
            n_args[depth] = 0
            depth += 1
            continue
        if token == END:
            if depth == 0 or n_args[depth - 1] == 0:
                return -1 - i
            depth -= 1
            value = _apply(operators[depth], counts[depth], n_args[depth])
        elif FIRST_DIGIT <= token < MIN:
            value = token - FIRST_DIGIT
        else:
            return -1 - i
        if depth == 0:
            return value if i == len(tokens) - 1 else -2 - i
        counts[depth - 1, value] += 1
        n_args[depth - 1] += 1
    return -1 - len(tokens)


@njit(cache=True)
def values_or_errors(tokens, offsets):
    """Values, (n,), of expressions laid end to end, or -1 - position where one stops being an expression."""
    values = np.empty(len(offsets) - 1, np.int64)
    longest = np.diff(offsets).max()
    operators = np.zeros(longest, np.int64)
    n_args = np.zeros(longest, np.int64)
    counts = np.zeros((longest, 10), np.int64)
    for i in range(len(values)):
        values[i] = _evaluate_one(tokens[offsets[i] : offsets[i + 1]], operators, counts, n_args)
    return values


def evaluate(tokens: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Values, (n,) int64, of expressions laid end to end: tokens (sum of lengths,) uint8 and offsets (n + 1,) int64."""
    values = values_or_errors(tokens, offsets)
    if (values < 0).any():
        bad = int(np.argmax(values < 0))
        raise TaskError(f"expression {bad} must be complete, got an error at token {-1 - values[bad]}")
    return values


def generate(
    n_samples: int,
    *,
    seed: int,
    min_length: int = 500,
    max_length: int = 2000,
    max_depth: int = 10,
    max_args: int = 10,
    progress: bool = False,
) -> tuple[Split, float]:
    """Distinct ListOps trees with their values, in the order drawn, and the share of drawn trees that was accepted."""
    if not 0 <= min_length < max_length - 1:
        raise TaskError(f"min_length must be >= 0 and below max_length - 1, got {min_length} and {max_length}")
    if max_depth < 2 or max_args < 2:
        raise TaskError(f"max_depth and max_args must be at least 2, got {max_depth} and {max_args}")
    if max_depth > 100 or max_args > 1000 or max_length > 100_000:  # ten times the LRA's; drawing takes no longer then
        got = f"{max_depth:g}, {max_args:g} and {max_length:g}"
        raise TaskError(f"max_depth, max_args and max_length must be at most 100, 1000 and 100000, got {got}")
    rng = np.random.default_rng(seed)
    block, max_draws = 1000, 4_000_000
    tokens, lengths = np.empty(block * max_length, np.uint8), np.empty(block, np.int64)
    seen: set[bytes] = set()
    sequences: list[np.ndarray] = []
    n_accepted, n_drawn = 0, 0
    bounds = (min_length, max_length, max_depth, max_args)
    with tqdm(total=n_samples, desc="ListOps", unit="tree", disable=not progress) as bar:
        while len(sequences) < n_samples:
            before = len(sequences)
            accepted, used, drawn = draw_block(rng, block, max_draws, *bounds, tokens, lengths)
            n_accepted, n_drawn = n_accepted + accepted, n_drawn + drawn
            for tree in np.split(tokens[:used].copy(), np.cumsum(lengths[:accepted]))[:-1]:
                digest = hashlib.blake2b(tree.data, digest_size=16).digest()
                if digest not in seen and len(sequences) < n_samples:
                    seen.add(digest)
                    sequences.append(tree)
            bar.update(len(sequences) - before)
            if len(sequences) == before:
                raise TaskError(
                    f"min_length, max_length, max_depth and max_args must admit {n_samples} distinct trees, "
                    f"got {before} among {n_drawn} drawn; widen them or ask for fewer samples"
                )
    split = ragged(sequences, np.zeros(n_samples), dtype=np.uint8)
    return replace(split, labels=evaluate(split.tokens, split.offsets)), n_accepted / n_drawn


def load_listops(
    data_dir: Path | None = None,
    *,
    seed: int = 0,
    n_train: int = 96_000,
    n_validation: int = 2_000,
    n_test: int = 2_000,
    min_length: int = 500,
    max_length: int = 2000,
    max_depth: int = 10,
    max_args: int = 10,
    progress: bool = False,
) -> Task:
    """ListOps, generated; kept in `data_dir` when one is given.

    With the default bounds it is the LRA's distribution and sizes; smaller bounds give shorter trees by the same rules.
    """
    bounds = {"min_length": min_length, "max_length": max_length, "max_depth": max_depth, "max_args": max_args}
    sizes = {"n_train": n_train, "n_validation": n_validation, "n_test": n_test}
    check_sizes(**sizes)

    def build() -> Task:
        trees, acceptance = generate(sum(sizes.values()), seed=seed, **bounds, progress=progress)
        return listops_task(
            [trees.between(a, b) for a, b in pairwise(np.cumsum([0, *sizes.values()]))],
            source="generated by the rules of google-research/long-range-arena, data/listops.py",
            split="consecutive draws of one seeded stream, all trees distinct",
            options={"seed": seed, **bounds},
            acceptance_rate=acceptance,
            max_len=max_length - 1,
        )

    return cached(data_dir, "listops", {"generator": GENERATOR, "seed": seed, **bounds, **sizes}, build)


def listops_task(splits: list[Split], *, max_len: int, **card: Any) -> Task:
    """The task of three splits of ListOps expressions; its card gets `card`."""
    sizes = {"n_classes": 10, "vocab_size": len(VOCABULARY), "max_len": max_len}
    return make_task("listops", "classify", splits, **sizes, vocabulary=list(VOCABULARY), **card)
