"""Recall, needle and copy: the answer sits in the chosen segment and nowhere else."""

import numpy as np
import pytest

from rmaat.tasks import IGNORE_INDEX, TaskError, load_task

SMALL = {"n_train": 300, "n_validation": 40, "n_test": 40}


def squares(split, length):
    return split.tokens.reshape(-1, length).astype(int)


def test_recall():
    task = load_task("recall", n_segments=5, segment_len=6, n_symbols=7, **SMALL)
    tokens, segment = squares(task.train, 30), task.train.extra["segment"]
    row, mark = np.nonzero(tokens == 8)
    assert np.array_equal(row, np.arange(300))  # one mark each
    assert np.array_equal(mark // 6, segment) and np.array_equal((mark + 1) // 6, segment)
    assert np.array_equal(tokens[row, mark + 1] - 1, task.train.labels)
    assert set(segment) == set(range(5))
    assert (task.n_classes, task.vocab_size, task.max_len, task.kind) == (7, 9, 30, "classify")


def test_needle():
    task = load_task("needle", n_segments=5, segment_len=6, n_symbols=7, **SMALL)
    tokens, segment = squares(task.train, 30), task.train.extra["segment"]
    for sample, chosen, label in zip(tokens, segment, task.train.labels, strict=True):
        keys = np.nonzero((sample[:-1] >= 1) & (sample[:-1] <= 7))[0]
        assert np.array_equal(keys // 6, np.arange(4))  # one key in each segment but the last
        assert len(set(sample[keys])) == 4
        (asked,) = np.nonzero(sample[:-1] == sample[-1])[0]
        assert asked // 6 == chosen and sample[asked + 1] - 8 == label
        assert (asked + 1) // 6 == chosen
    assert set(segment) == set(range(4))


def test_copy():
    task = load_task("copy", n_segments=4, segment_len=8, n_symbols=5, n_copied=3, **SMALL)
    tokens, labels = squares(task.train, 32), task.train.labels.reshape(-1, 32)
    assert task.kind == "lm" and task.train.per_token
    for sample, answer, chosen in zip(tokens, labels, task.train.extra["segment"], strict=True):
        assert sample[chosen * 8] == 6 and sample[-3] == 7
        assert np.array_equal(answer[-3:], sample[chosen * 8 + 1 : chosen * 8 + 4])
        assert (answer[:-3] == IGNORE_INDEX).all()
        assert np.array_equal(sample[-2:], answer[-3:-1])  # each answer is the next token


@pytest.mark.parametrize("name", ["recall", "needle", "copy"])
def test_answer_is_independent_of_all_other_segments(name):
    """Without the chosen segment, no segment's tokens tell the label: chance against a lookup of each position."""
    options = {"n_segments": 4, "segment_len": 4, "n_symbols": 4, "segment": 1, "n_train": 4000}
    task = load_task(name, **options | ({"n_copied": 1} if name == "copy" else {}))
    tokens = squares(task.train, 16)
    label = task.train.labels.reshape(-1, 16)[:, -1] if name == "copy" else task.train.labels
    for position in [i for i in range(16) if i // 4 != 1]:
        table = np.zeros((task.vocab_size, task.n_classes))
        np.add.at(table, (tokens[:2000, position], label[:2000]), 1)
        hits = (table.argmax(1)[tokens[2000:, position]] == label[2000:]).mean()
        assert hits < 0.25 + 5 * np.sqrt(0.25 * 0.75 / 2000)


def test_chosen_segment_and_seeds():
    task = load_task("recall", segment=2, **SMALL)
    assert (task.test.extra["segment"] == 2).all()
    again, other = load_task("recall", segment=2, **SMALL), load_task("recall", segment=2, seed=1, **SMALL)
    assert task.card == again.card and task.card["content_sha256"] != other.card["content_sha256"]
    assert not np.array_equal(task.validation.tokens, task.test.tokens)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("recall", {"segment": 8}, "segment must be 0..7 for recall, got 8"),
        ("needle", {"segment": 7}, "segment must be 0..6 for needle, got 7"),
        ("needle", {"n_symbols": 5}, "n_symbols must be at least n_segments - 1 = 7 for needle, got 5"),
        ("copy", {"n_copied": 8}, "n_copied must be 1..segment_len - 1 = 7, got 8"),
        ("recall", {"n_segments": 1}, "n_segments, segment_len and n_symbols must be at least 2, got 1, 8 and 8"),
        ("recall", {"n_test": 0}, "n_test must be at least 1, got 0"),
        ("recall", {"segment": 1.5}, "segment must be an integer or None, got 1.5"),
        ("recall", {"segment": True}, "segment must be an integer or None, got True"),
        ("recall", {"n_symbols": 70_000}, "n_symbols must give a vocabulary of at most 65536, got 70000, of 70002 tok"),
        ("recall", {"seed": -1}, "seed must be an integer of at least 0, got -1"),
        ("recall", {"seed": True}, "seed must be an integer of at least 0, got True"),
        (
            "recall",
            {"n_segments": 10**6, "segment_len": 10**6},
            "recall must fit into memory, got options .*; ask for fewer samples",
        ),
        ("recal", {}, "task must be one of listops, .*got 'recal'"),
    ],
)
def test_options_that_make_no_task(name, options, message):
    with pytest.raises(TaskError, match=message):
        load_task(name, **options)


def test_chance_is_what_guessing_reaches():
    """Needle: an answer drawn from the sequence's values, and one from all; the others: any symbol."""
    sizes = {"n_segments": 5, "segment_len": 6, "n_symbols": 7}
    task = load_task("needle", **sizes, n_train=20_000, n_validation=1, n_test=1)
    tokens, rng = squares(task.train, 30)[:, :-1], np.random.default_rng(5)
    values = tokens[(tokens >= 8) & (tokens <= 14)].reshape(-1, 4) - 8
    guesses = values[np.arange(20_000), rng.integers(0, 4, 20_000)]
    assert task.card["chance"]["a value of the sequence"] == pytest.approx(
        (guesses == task.train.labels).mean(), abs=0.01
    )
    guesses = rng.integers(0, 7, 20_000)
    assert task.card["chance"]["any value"] == pytest.approx((guesses == task.train.labels).mean(), abs=0.01)
    for name in ("recall", "copy"):
        assert load_task(name, **sizes, **SMALL).card["chance"] == {"any symbol": 1 / 7}
