"""Tasks whose answer provably sits in a segment that one chooses: recall, needle and copy.

All three are `n_segments * segment_len` tokens long, so that segment s is the tokens from ``s * segment_len`` on. A
model that does not carry the content of the chosen segment on is at chance. The chosen segment of each sample is
``split.extra["segment"]``. With n = `n_symbols`:

- recall: symbols 1..n as noise, among them one mark (n + 1) followed by a symbol; the label is that symbol. With
  `twins` there is no mark: one symbol s is replaced by its twin n + s, so that nothing but memory is needed to name it.
- needle: keys 1..n, values n + 1..2n, noise 2n + 1..3n. Every segment but the last holds one key followed by its value,
  all keys distinct; the last token is one of the keys; the label is its value.
- copy (kind "lm"): symbols 1..n as noise; the chosen segment begins with a mark (n + 1) and the symbols to be copied;
  a second mark (n + 2) near the end asks for them: the label at each of the last positions is the next of them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rmaat.tasks.dataset import IGNORE_INDEX, Split, Task, TaskError, check_sizes, draw_task, ragged

Drawn = tuple[np.ndarray, np.ndarray]  # tokens (n, length), labels (n,) or (n, length)


def load_segment_task(
    name: str,
    data_dir: Path | None = None,
    *,
    seed: int = 0,
    n_segments: int = 8,
    segment_len: int = 8,
    n_symbols: int = 8,
    segment: int | None = None,
    n_copied: int = 4,
    twins: bool = False,
    n_train: int = 20_000,
    n_validation: int = 1_000,
    n_test: int = 1_000,
    progress: bool = False,
) -> Task:
    """The task recall, needle or copy.

    Parameters
    ----------
    n_segments, segment_len : the sequence is n_segments * segment_len tokens long.
    n_symbols : how many there are to be told apart; for needle at least n_segments - 1.
    segment : the segment that holds the answer; None draws it uniformly for each sample. Not the last, save in recall.
    n_copied : symbols to be copied, for copy alone.
    twins : recall alone: mark the symbol itself and not the place before it.
    seed : of the splits, which are drawn independently. Nothing is read or kept: `data_dir` is not used.
    """
    candidates = n_segments if name == "recall" else n_segments - 1
    if min(n_segments, segment_len, n_symbols) < 2:
        sizes = f"{n_segments}, {segment_len} and {n_symbols}"
        raise TaskError(f"n_segments, segment_len and n_symbols must be at least 2, got {sizes}")
    if segment is not None and not 0 <= segment < candidates:
        raise TaskError(f"segment must be 0..{candidates - 1} for {name}, got {segment}")
    if name == "needle" and n_symbols < n_segments - 1:
        raise TaskError(f"n_symbols must be at least n_segments - 1 = {n_segments - 1} for needle, got {n_symbols}")
    if name == "copy" and not 1 <= n_copied < segment_len:
        raise TaskError(f"n_copied must be 1..segment_len - 1 = {segment_len - 1}, got {n_copied}")
    if twins and name != "recall":
        raise TaskError(f"twins must be False for {name}, got True; only recall has them")
    check_sizes(n_train=n_train, n_validation=n_validation, n_test=n_test)
    vocab_size, vocabulary, n_classes = _vocabulary(name, n_symbols, twins)
    if vocab_size > 2**16:
        raise TaskError(f"n_symbols must give a vocabulary of at most {2**16}, got {n_symbols}, of {vocab_size} tokens")
    own: dict[str, dict[str, Any]] = {"needle": {}, "copy": {"n_copied": n_copied}, "recall": {"twins": twins}}

    def draw(rng: np.random.Generator, n: int, _: str) -> Split:
        where = rng.integers(0, candidates, n) if segment is None else np.full(n, segment)
        tokens, labels = DRAW[name](rng, where, n_segments, segment_len, n_symbols, **own[name])
        return ragged(list(tokens), labels.ravel(), extra={"segment": where.astype(np.int64)})

    options = {"n_segments": n_segments, "segment_len": segment_len, "n_symbols": n_symbols, "segment": segment}
    return draw_task(
        name,
        "lm" if name == "copy" else "classify",
        draw,
        (n_train, n_validation, n_test),
        seed=seed,
        **{"n_classes": n_classes, "vocab_size": vocab_size, "max_len": n_segments * segment_len},
        source="drawn at random",
        vocabulary=vocabulary,
        options=options | own[name],
        chance=_chance(name, n_symbols, n_segments - 1),
    )


def _chance(name: str, n: int, pairs: int) -> dict[str, float]:
    if name == "needle":  # values are drawn independently, so that two keys may share one
        return {"any value": 1 / n, "a value of the sequence": 1 / pairs + (1 - 1 / pairs) / n}
    return {"any symbol": 1 / n}


def _vocabulary(name: str, n: int, twins: bool) -> tuple[int, str, int]:
    if name == "needle":
        return 3 * n + 1, f"0 padding, keys 1..{n}, values {n + 1}..{2 * n}, noise {2 * n + 1}..{3 * n}", n
    if name == "copy":
        return n + 3, f"0 padding, symbols 1..{n}, marks {n + 1} and {n + 2}", n + 3
    if twins:
        return 2 * n + 1, f"0 padding, symbols 1..{n}, their twins {n + 1}..{2 * n}", n
    return n + 2, f"0 padding, symbols 1..{n}, mark {n + 1}", n


def _recall(
    rng: np.random.Generator, where: np.ndarray, n_segments: int, segment_len: int, n_symbols: int, twins: bool
) -> Drawn:
    n, row = len(where), np.arange(len(where))
    tokens = rng.integers(1, n_symbols + 1, (n, n_segments * segment_len))
    if twins:
        place = where * segment_len + rng.integers(0, segment_len, n)
        labels = tokens[row, place] - 1
        tokens[row, place] += n_symbols
        return tokens, labels
    mark = where * segment_len + rng.integers(0, segment_len - 1, n)  # mark and symbol in the same segment
    tokens[row, mark] = n_symbols + 1
    return tokens, tokens[row, mark + 1] - 1


def _needle(rng: np.random.Generator, where: np.ndarray, n_segments: int, segment_len: int, n_symbols: int) -> Drawn:
    n, pairs, row = len(where), n_segments - 1, np.arange(len(where))
    tokens = rng.integers(2 * n_symbols + 1, 3 * n_symbols + 1, (n, n_segments * segment_len))
    keys = rng.permuted(np.tile(np.arange(1, n_symbols + 1), (n, 1)), axis=1)[:, :pairs]
    values = rng.integers(0, n_symbols, (n, pairs))
    place = np.arange(pairs) * segment_len + rng.integers(0, segment_len - 1, (n, pairs))
    tokens[row[:, None], place] = keys
    tokens[row[:, None], place + 1] = n_symbols + 1 + values
    tokens[:, -1] = keys[row, where]
    return tokens, values[row, where]


def _copy(
    rng: np.random.Generator, where: np.ndarray, n_segments: int, segment_len: int, n_symbols: int, n_copied: int
) -> Drawn:
    n, length, row = len(where), n_segments * segment_len, np.arange(len(where))[:, None]
    tokens = rng.integers(1, n_symbols + 1, (n, length))
    labels = np.full((n, length), IGNORE_INDEX)
    start = where[:, None] * segment_len
    copied = tokens[row, start + 1 + np.arange(n_copied)]
    tokens[row, start] = n_symbols + 1
    tokens[:, length - n_copied] = n_symbols + 2
    tokens[:, length - n_copied + 1 :] = copied[:, :-1]
    labels[:, length - n_copied :] = copied
    return tokens, labels


DRAW: dict[str, Callable[..., Drawn]] = {"recall": _recall, "needle": _needle, "copy": _copy}
