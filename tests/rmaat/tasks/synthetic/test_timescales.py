"""Two time constants in a signal, and the T-maze."""

import numpy as np
import pytest
from scipy.linalg import toeplitz
from scipy.special import ndtri

from rmaat.tasks import TaskError, load_task

SIZES = {"n_train": 600, "n_validation": 10, "n_test": 10}


def test_a_likelihood_test_finds_the_two_time_constants():
    """The task can be solved: the exact Gaussian likelihood of each pair, on the bins' middles, is nearly always right.

    A single token cannot: all bins are equally likely in every class.
    """
    task = load_task("timescales", **SIZES)
    assert (task.n_classes, task.vocab_size, task.max_len, task.kind) == (6, 33, 512, "classify")
    tokens, constants = task.train.tokens.reshape(-1, 512), task.card["options"]["constants"]
    assert constants == pytest.approx([1, 4, 16, 64])
    signal, lag, score = ndtri((tokens - 0.5) / 32), np.arange(512), []
    for i in range(4):
        for j in range(i + 1, 4):
            covariance = toeplitz((np.exp(-lag / constants[i]) + np.exp(-lag / constants[j])) / 2 + 1e-3 * (lag == 0))
            score.append(-np.linalg.slogdet(covariance)[1] - (signal * np.linalg.solve(covariance, signal.T).T).sum(1))
    assert (np.argmax(score, axis=0) == task.train.labels).mean() > 0.9
    for label in range(6):
        share = np.bincount(tokens[task.train.labels == label].ravel(), minlength=33)[1:] / (32**-1)
        assert share / share.sum() == pytest.approx(1 / 32, abs=0.015)
    assert task.card["chance"] == {"any pair": 1 / 6}


def test_tmaze():
    task = load_task("tmaze", length=20, **SIZES)
    tokens = task.train.tokens.reshape(-1, 20)
    assert set(tokens[:, 1:-1].ravel()) == {3} and set(tokens[:, -1]) == {4}
    assert np.array_equal(tokens[:, 0] - 1, task.train.labels) and set(task.train.labels) == {0, 1}
    assert task.card["chance"] == {"either side": 0.5}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("timescales", {"shortest": 0.0}, "shortest and longest must be positive, finite and rising, got 0.0 and 64.0"),
        ("timescales", {"longest": float("nan")}, "shortest and longest must be positive"),
        ("timescales", {"n_constants": 1}, "n_constants must be 2 to 64, got 1"),
        ("timescales", {"vocab_size": 1}, "vocab_size must be 2 to 32768, got 1"),
        ("tmaze", {"length": 1}, "length must be at least 2, got 1"),
    ],
)
def test_what_makes_no_task_is_refused(name, options, message):
    with pytest.raises(TaskError, match=message):
        load_task(name, **SIZES | options)
