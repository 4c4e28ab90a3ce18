"""The six synthetic tasks of MAD (Mechanistic Architecture Design), at its baseline sizes.

With keys and values from halves of the vocabulary that do not overlap:

- recall: pairs of a key and its value, which is the same in the whole sequence; a key that has come before is to be
  answered with its value.
- noisy-recall: the same among pairs of noise symbols.
- fuzzy-recall: keys and values are motifs of 1 to `motif_len` distinct symbols; all keys of the test are full.
- memorization: each key has one value in all sequences, which the weights must learn; a blank asks for it.
- compression: symbols, a mark, and as many blanks, at which the symbols are to be said again in their order.
- selective-copying: symbols scattered among blanks, a mark, and blanks at which the symbols are to be said again.

Source: Poli et al. 2024, arXiv:2403.17844, and its generators (athms/mad-lab, mad/data/instances.py and configs/tasks).
Ours differ in three places. Only answers have labels, also in training, where MAD trains recall on every next token.
In compression, MAD's decoder reads the mark's output alone; here what comes after the mark is read token by token, so
that the bottleneck is a state handed over at the mark: choose ``segment_len = n_symbols + 1``. In selective copying the
blanks may stand behind the last symbol too, all places being equally likely.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rmaat.tasks.dataset import IGNORE_INDEX, SPLITS, Split, Task, TaskError, check_sizes, draw_task, ragged

Drawn = tuple[Sequence[np.ndarray] | np.ndarray, Sequence[np.ndarray] | np.ndarray]  # tokens, labels of each sample

SIZES = {"n_train": 12_800, "n_validation": 1_280, "n_test": 1_280}  # of MAD; validation has the size of its test


def load_mad_recall(
    data_dir: Path | None = None,
    *,
    seed: int = 0,
    length: int = 128,
    vocab_size: int = 16,
    n_noise: int = 0,
    noise: float = 0.0,
    n_train: int = SIZES["n_train"],
    n_validation: int = SIZES["n_validation"],
    n_test: int = SIZES["n_test"],
    progress: bool = False,
) -> Task:
    """In-context recall, with noise if asked for.

    Parameters
    ----------
    length : tokens of the pairs, even; the last value is only asked for, so that sequences are one shorter.
    vocab_size : symbols, half of them keys and half values; the noise symbols come on top.
    n_noise : noise symbols.
    noise : share of the pairs that are noise; the first pair never is.
    seed : of the splits, which are drawn independently. Nothing is read or kept: `data_dir` is not used.
    """
    check_sizes(length=length, vocab_size=vocab_size, n_train=n_train, n_validation=n_validation, n_test=n_test)
    if length % 2 or length < 4:
        raise TaskError(f"length must be even and at least 4, got {length}")
    _check_vocabulary(vocab_size, 4, n_noise)
    if not 0 <= noise < 1 or (noise > 0) != (n_noise > 0):
        got = f"{noise} with n_noise = {n_noise}"
        raise TaskError(f"noise must be at least 0 and below 1, and above 0 exactly when n_noise is, got {got}")
    half = vocab_size // 2
    return _task(
        "mad-noisy-recall" if noise else "mad-recall",
        lambda rng, n, _: _recall(rng, n, length // 2, half, n_noise, noise),
        (n_train, n_validation, n_test),
        vocab_size=2 * half + n_noise + 1,
        max_len=length - 1,
        seed=seed,
        vocabulary=f"0 padding, keys 1..{half}, values {half + 1}..{2 * half}" + (", noise above" if n_noise else ""),
        options={"length": length, "n_noise": n_noise, "noise": noise},
        chance={"any value": 1 / half},
    )


def load_fuzzy_recall(
    data_dir: Path | None = None,
    *,
    seed: int = 0,
    length: int = 128,
    vocab_size: int = 14,
    motif_len: int = 3,
    n_train: int = SIZES["n_train"],
    n_validation: int = SIZES["n_validation"],
    n_test: int = SIZES["n_test"],
    progress: bool = False,
) -> Task:
    """Fuzzy in-context recall: keys and values of several symbols.

    Parameters
    ----------
    length : most tokens of a sequence; it ends with the last whole pair.
    vocab_size : symbols, half of them for keys and half for values.
    motif_len : most symbols of a key and of a value; they are distinct.
    seed : of the splits, which are drawn independently. Nothing is read or kept: `data_dir` is not used.
    """
    check_sizes(motif_len=motif_len, length=length, n_train=n_train, n_validation=n_validation, n_test=n_test)
    _check_vocabulary(vocab_size, 2 * motif_len)
    if length < 6 * motif_len:  # two pairs of full length, and room for a third
        raise TaskError(f"length must be at least 6 * motif_len = {6 * motif_len}, got {length}")
    half = vocab_size // 2
    left = [1 / (half - place) for place in range(motif_len)]  # a symbol comes once in a motif
    asked = [left[place] for size in range(1, motif_len + 1) for place in range(size)]
    return _task(
        "mad-fuzzy-recall",
        lambda rng, n, split: _fuzzy(rng, n, length, half, motif_len, full=split == "test"),
        (n_train, n_validation, n_test),
        vocab_size=2 * half + 1,
        max_len=length,
        seed=seed,
        vocabulary=f"0 padding, symbols of keys 1..{half}, of values {half + 1}..{2 * half}",
        options={"length": length, "motif_len": motif_len},
        chance={"any symbol of values": float(np.mean(asked))},
    )


def load_memorization(
    data_dir: Path | None = None,
    *,
    seed: int = 0,
    length: int = 32,
    vocab_size: int = 254,
    n_train: int = 256,
    n_validation: int = SIZES["n_validation"],
    n_test: int = SIZES["n_test"],
    progress: bool = False,
) -> Task:
    """Keys whose values are the same in all sequences.

    Parameters
    ----------
    length : tokens of a sequence, even: keys and blanks in turn.
    vocab_size : symbols, half of them keys and half values; the blank comes on top.
    seed : of the values of the keys, and of the splits, which are drawn independently. Nothing is read or kept:
        `data_dir` is not used.
    """
    check_sizes(length=length, vocab_size=vocab_size, n_train=n_train, n_validation=n_validation, n_test=n_test)
    if length % 2:
        raise TaskError(f"length must be even, got {length}")
    _check_vocabulary(vocab_size, 2, 1)
    half = vocab_size // 2
    value = half + 1 + np.random.default_rng([seed, len(SPLITS)]).permutation(half)  # a draw beside those of the splits
    return _task(
        "mad-memorization",
        lambda rng, n, _: _memorization(rng, n, length // 2, value, blank=2 * half + 1),
        (n_train, n_validation, n_test),
        vocab_size=2 * half + 2,
        max_len=length,
        seed=seed,
        vocabulary=f"0 padding, keys 1..{half}, values {half + 1}..{2 * half}, blank {2 * half + 1}",
        options={"length": length},
        chance={"any value": 1 / half},
    )


def load_copying(
    name: str,
    data_dir: Path | None = None,
    *,
    seed: int = 0,
    n_symbols: int = 16,
    n_blanks: int = 0,
    vocab_size: int = 14,
    n_train: int = SIZES["n_train"],
    n_validation: int = SIZES["n_validation"],
    n_test: int = SIZES["n_test"],
    progress: bool = False,
) -> Task:
    """Symbols to be said again behind a mark: compression without blanks among them, selective copying with.

    Parameters
    ----------
    n_symbols : symbols of a sequence, which is ``2 * n_symbols + n_blanks + 1`` tokens long.
    n_blanks : blanks among the symbols.
    vocab_size : how many symbols there are; mark and blank come on top.
    seed : of the splits, which are drawn independently. Nothing is read or kept: `data_dir` is not used.
    """
    check_sizes(n_symbols=n_symbols, n_train=n_train, n_validation=n_validation, n_test=n_test)
    if n_blanks < 0:
        raise TaskError(f"n_blanks must be at least 0, got {n_blanks}")
    check_sizes(length=2 * n_symbols + n_blanks + 1)
    _check_vocabulary(vocab_size, 2, 2)
    return _task(
        name,
        lambda rng, n, _: _copying(rng, n, n_symbols, n_blanks, vocab_size),
        (n_train, n_validation, n_test),
        vocab_size=vocab_size + 3,
        max_len=2 * n_symbols + n_blanks + 1,
        seed=seed,
        vocabulary=f"0 padding, symbols 1..{vocab_size}, mark {vocab_size + 1}, blank {vocab_size + 2}",
        options={"n_symbols": n_symbols, "n_blanks": n_blanks},
        chance={"any symbol": 1 / vocab_size},
    )


def _check_vocabulary(vocab_size: int, least: int, more: int = 0) -> None:
    if vocab_size < least or vocab_size + more >= 2**16 or more < 0:
        raise TaskError(
            f"vocab_size must be at least {least} and with all other symbols below {2**16}, got {vocab_size}"
        )


def _task(
    name: str,
    draw: Callable[[np.random.Generator, int, str], Drawn],
    sizes: Sequence[int],
    *,
    vocab_size: int,
    **card: Any,
) -> Task:
    def split(*arguments: Any) -> Split:
        tokens, labels = draw(*arguments)
        return ragged(list(tokens), np.concatenate(list(labels)))

    card |= {"vocab_size": vocab_size, "n_classes": vocab_size, "source": "arXiv:2403.17844, drawn at random"}
    return draw_task(name, "lm", split, sizes, **card)


def _recall(
    rng: np.random.Generator, n: int, n_pairs: int, half: int, n_noise: int, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    row = np.arange(n)[:, None]
    keys = rng.integers(0, half, (n, n_pairs))
    value_of = half + 1 + rng.integers(0, half, (n, half))
    is_noise = rng.random((n, n_pairs)) < noise
    is_noise[:, [0, -1]] = False
    seen, again = np.zeros((n, half), dtype=bool), np.zeros((n, n_pairs), dtype=bool)
    for i in range(n_pairs - 1):
        again[:, i] = seen[row[:, 0], keys[:, i]]
        seen[row[:, 0], keys[:, i]] |= ~is_noise[:, i]
    keys[:, -1] = np.argmax(seen * rng.random((n, half)), axis=1)  # the last is one of those that have come
    again[:, -1] = True
    values = value_of[row, keys]
    labels = np.full((n, n_pairs, 2), IGNORE_INDEX)
    labels[..., 0] = np.where(again & ~is_noise, values, IGNORE_INDEX)
    tokens = np.stack([keys + 1, values], axis=-1)
    if n_noise:
        drawn = 2 * half + 1 + rng.integers(0, n_noise, tokens.shape)
        tokens = np.where(is_noise[..., None], drawn, tokens)
    return tokens.reshape(n, -1)[:, :-1], labels.reshape(n, -1)[:, :-1]


def _fuzzy(rng: np.random.Generator, n: int, length: int, half: int, motif_len: int, *, full: bool) -> Drawn:
    """Sequences of different lengths; each ends with a pair whose key has come before."""

    def motif(first: int, size: int) -> tuple[int, ...]:
        return tuple((first + rng.permutation(half)[:size]).tolist())

    sequences, targets = [], []
    for _ in range(n):
        tokens: list[int] = []
        labels: list[int] = []
        value_of: dict[tuple[int, ...], tuple[int, ...]] = {}
        last = False
        while not last:
            last = length - len(tokens) < 4 * motif_len  # no room for two more pairs of full length
            if last:
                key = list(value_of)[rng.integers(len(value_of))]
            else:
                key = motif(1, motif_len if full else _size(rng, motif_len))
            known = key in value_of
            if not known:
                value_of[key] = motif(half + 1, _size(rng, motif_len))
            tokens += [*key, *value_of[key]]
            asked = [IGNORE_INDEX] * (len(key) - 1) + list(value_of[key]) + [IGNORE_INDEX]  # each asks for the next
            labels += asked if known else [IGNORE_INDEX] * len(asked)
        sequences.append(np.array(tokens[:-1]))  # the last symbol is only asked for
        targets.append(np.array(labels[:-1]))
    return sequences, targets


def _size(rng: np.random.Generator, most: int) -> int:
    return int(rng.integers(1, most + 1))


def _memorization(
    rng: np.random.Generator, n: int, n_pairs: int, value: np.ndarray, blank: int
) -> tuple[np.ndarray, np.ndarray]:
    keys = rng.integers(0, len(value), (n, n_pairs))
    tokens = np.stack([keys + 1, np.full_like(keys, blank)], axis=-1)
    labels = np.stack([np.full_like(keys, IGNORE_INDEX), value[keys]], axis=-1)
    return tokens.reshape(n, -1), labels.reshape(n, -1)


def _copying(
    rng: np.random.Generator, n: int, n_symbols: int, n_blanks: int, vocab_size: int
) -> tuple[np.ndarray, np.ndarray]:
    row, begin = np.arange(n)[:, None], n_symbols + n_blanks
    symbols = rng.integers(1, vocab_size + 1, (n, n_symbols))
    place = np.sort(np.argsort(rng.random((n, begin)), axis=1)[:, :n_symbols], axis=1)
    tokens = np.full((n, begin + 1 + n_symbols), vocab_size + 2)
    tokens[row, place] = symbols
    tokens[:, begin] = vocab_size + 1
    labels = np.full(tokens.shape, IGNORE_INDEX)
    labels[:, begin + 1 :] = symbols
    return tokens, labels
