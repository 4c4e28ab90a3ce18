"""Tasks whose answer needs a time constant: two hidden ones in a noisy signal, and a cue kept along a corridor.

- timescales: the signal is the sum of two independent processes with exponential autocorrelations of equal variance,
  ``x_t = exp(-1 / tau) x_{t-1} + noise``; their two time constants, different ones of a logarithmic grid, are the
  label. Values are cut into equally likely bins, so that single tokens tell nothing: a model must integrate over each
  time constant. A task of this project.
- tmaze: the first token says where the reward lies, a corridor follows, and the label is asked for at its end. The
  T-maze of Bakker 2001 as Ni et al. 2023, arXiv:2307.03864, use it (passive: only memory is needed).
"""

from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.signal import lfilter
from scipy.special import ndtr

from rmaat.tasks.dataset import Split, Task, TaskError, check_sizes, draw_task, ragged

CORRIDOR, JUNCTION = 3, 4  # tokens of the T-maze, after the cues 1 and 2


def load_timescales(
    data_dir: Path | None = None,
    *,
    seed: int = 0,
    length: int = 512,
    shortest: float = 1.0,
    longest: float = 64.0,
    n_constants: int = 4,
    vocab_size: int = 32,
    n_train: int = 20_000,
    n_validation: int = 1_000,
    n_test: int = 1_000,
    progress: bool = False,
) -> Task:
    """Which two time constants does a signal have?

    Parameters
    ----------
    length : tokens of a sequence.
    shortest, longest : ends of the grid of time constants, in tokens.
    n_constants : of the grid; there are n (n - 1) / 2 pairs, the classes.
    vocab_size : equally likely bins of the signal's values.
    seed : of the splits, which are drawn independently. Nothing is read or kept: `data_dir` is not used.
    """
    check_sizes(length=length, n_train=n_train, n_validation=n_validation, n_test=n_test)
    if not 0 < shortest < longest < np.inf:
        raise TaskError(f"shortest and longest must be positive, finite and rising, got {shortest} and {longest}")
    for name, value, least, most in (("n_constants", n_constants, 2, 64), ("vocab_size", vocab_size, 2, 2**15)):
        if not least <= value <= most:
            raise TaskError(f"{name} must be {least} to {most}, got {value}")
    constants = np.geomspace(shortest, longest, n_constants)
    pairs = list(combinations(range(n_constants), 2))

    def draw(rng: np.random.Generator, n: int, _: str) -> Split:
        labels = rng.integers(0, len(pairs), n)
        taus = constants[np.array(pairs)[labels]]
        signal = sum(_process(rng, tau, length) for tau in taus.T) / np.sqrt(2)
        tokens = 1 + np.minimum(vocab_size * ndtr(signal), vocab_size - 1).astype(np.int64)
        return ragged(list(tokens), labels)

    return draw_task(
        "timescales",
        "classify",
        draw,
        (n_train, n_validation, n_test),
        seed=seed,
        **{"n_classes": len(pairs), "vocab_size": vocab_size + 1, "max_len": length},
        source="drawn at random",
        vocabulary=f"0 padding, 1..{vocab_size} equally likely bins of the signal, rising",
        options={"length": length, "constants": [float(tau) for tau in constants]},
        chance={"any pair": 1 / len(pairs)},
    )


def _process(rng: np.random.Generator, tau: np.ndarray, length: int) -> np.ndarray:
    """Stationary processes of unit variance with these time constants, (n, length)."""
    noise = rng.normal(size=(len(tau), length))
    for own in np.unique(tau):
        rows, kept = tau == own, np.exp(-1 / own)
        noise[rows, 1:] *= np.sqrt(1 - kept**2)
        noise[rows] = lfilter([1.0], [1.0, -kept], noise[rows], axis=1)
    return noise


def load_tmaze(
    data_dir: Path | None = None,
    *,
    seed: int = 0,
    length: int = 128,
    n_train: int = 2_000,
    n_validation: int = 200,
    n_test: int = 200,
    progress: bool = False,
) -> Task:
    """A cue, a corridor of `length` - 2 tokens, and a junction, where the cue decides.

    Nothing is read or kept: `data_dir` is not used. `seed` draws the cues.
    """
    check_sizes(length=length, n_train=n_train, n_validation=n_validation, n_test=n_test)
    if length < 2:
        raise TaskError(f"length must be at least 2, got {length}")

    def draw(rng: np.random.Generator, n: int, _: str) -> Split:
        tokens = np.full((n, length), CORRIDOR)
        tokens[:, 0] = rng.integers(1, 3, n)
        tokens[:, -1] = JUNCTION
        return ragged(list(tokens), tokens[:, 0] - 1)

    return draw_task(
        "tmaze",
        "classify",
        draw,
        (n_train, n_validation, n_test),
        seed=seed,
        **{"n_classes": 2, "vocab_size": JUNCTION + 1, "max_len": length},
        source="arXiv:2307.03864, cues drawn at random",
        vocabulary=f"0 padding, cues 1 and 2, corridor {CORRIDOR}, junction {JUNCTION}",
        options={"length": length},
        chance={"either side": 0.5},
    )
