"""The six tasks of MAD: every label is what the sequence, or the task, determines."""

import numpy as np
import pytest

from rmaat.tasks import IGNORE_INDEX, TaskError, load_task

SIZES = {"n_train": 60, "n_validation": 30, "n_test": 30}


def samples(split):
    for i in range(len(split)):
        begin, end = split.offsets[i], split.offsets[i + 1]
        yield split.tokens[begin:end].astype(int).tolist(), split.labels[begin:end].tolist()


@pytest.mark.parametrize("name", ["mad-recall", "mad-noisy-recall"])
def test_recall_asks_for_the_value_of_every_key_that_came_before(name):
    task = load_task(name, **SIZES)
    noisy = []
    for tokens, labels in samples(task.train):
        assert len(tokens) == 127
        value_of = {}
        for place in range(0, 127, 2):
            key, value = tokens[place], tokens[place + 1] if place < 126 else labels[place]
            noisy.append(key > 16)
            if key > 16:
                assert value > 16 and labels[place] == IGNORE_INDEX
                continue
            assert key <= 8 < value <= 16 and value_of.get(key, value) == value
            assert labels[place] == (value if key in value_of else IGNORE_INDEX)
            value_of[key] = value
        assert labels[126] != IGNORE_INDEX and set(labels[1::2]) == {IGNORE_INDEX}
    assert np.mean(noisy) == pytest.approx(0.2 if name == "mad-noisy-recall" else 0, abs=0.02)
    assert task.card["chance"] == {"any value": 1 / 8}


def parsed(tokens, labels):
    """Pairs of a fuzzy sequence, (key, value, labels over both); the last value's last symbol is its label."""
    whole = [*tokens, labels[-1]]
    starts = [i for i, token in enumerate(whole) if token <= 7 and (i == 0 or whole[i - 1] > 7)]
    for begin, end in zip(starts, [*starts[1:], len(whole)], strict=True):
        part = whole[begin:end]
        n_key = sum(token <= 7 for token in part)
        yield tuple(part[:n_key]), tuple(part[n_key:]), labels[begin : end - 1]


def test_fuzzy_recall_asks_for_each_symbol_of_a_known_motif():
    task = load_task("mad-fuzzy-recall", **SIZES | {"n_train": 400})
    sizes = {"train": set(), "test": set()}
    for name, found in sizes.items():
        for tokens, labels in samples(task.split(name)):
            assert len(tokens) <= 128
            value_of = {}
            for key, value, asked in parsed(tokens, labels):
                found.add(len(key))
                assert len(set(key)) == len(key) and len(set(value)) == len(value) <= 3
                assert value_of.get(key, value) == value
                answers = value if key in value_of else (IGNORE_INDEX,) * len(value)
                assert asked == [IGNORE_INDEX] * (len(key) - 1) + list(answers)
                last_known = key in value_of
                value_of[key] = value
            assert last_known
    assert sizes == {"train": {1, 2, 3}, "test": {3}}


def test_fuzzy_chance_is_what_guessing_reaches():
    """A guess is drawn from the symbols of values that the motif has not had yet."""
    task, rng, right = load_task("mad-fuzzy-recall", **SIZES | {"n_train": 2_000}), np.random.default_rng(5), []
    for tokens, labels in samples(task.train):
        for _, value, asked in parsed(tokens, labels):
            if asked[-1] != IGNORE_INDEX:
                right += [
                    rng.permutation(sorted({*range(8, 15)} - {*value[:j]}))[0] == value[j] for j in range(len(value))
                ]
    assert task.card["chance"]["any symbol of values"] == pytest.approx(np.mean(right), abs=0.015)


def test_memorization_has_one_value_for_each_key_in_all_splits():
    task = load_task("mad-memorization", **SIZES | {"n_train": 256})
    value_of = {}
    for split in (task.train, task.test):
        for tokens, labels in samples(split):
            assert set(tokens[1::2]) == {255} and set(labels[::2]) == {IGNORE_INDEX}
            for key, value in zip(tokens[::2], labels[1::2], strict=True):
                assert value_of.setdefault(key, value) == value
    assert len(value_of) == 127 == len(set(value_of.values()))
    other = load_task("mad-memorization", seed=1, **SIZES)
    assert any(value_of[t[0]] != v[1] for t, v in samples(other.train))


@pytest.mark.parametrize(
    ("name", "symbols", "blanks"), [("mad-compression", 31, 0), ("mad-selective-copying", 16, 223)]
)
def test_copying_repeats_the_symbols_in_their_order(name, symbols, blanks):
    task = load_task(name, **SIZES)
    n = task.vocab_size - 3
    for tokens, labels in samples(task.train):
        begin = tokens.index(n + 1)  # the mark
        assert begin == symbols + blanks and set(tokens[begin + 1 :]) == {n + 2}
        content = [token for token in tokens[:begin] if token <= n]
        assert len(content) == symbols and labels == [IGNORE_INDEX] * (begin + 1) + content
    assert task.max_len == (63 if blanks == 0 else 256)


def test_a_seed_repeats_and_another_differs():
    for name in ("mad-recall", "mad-fuzzy-recall", "mad-memorization", "mad-compression", "mad-selective-copying"):
        one, same, other = (load_task(name, seed=seed, **SIZES).card["content_sha256"] for seed in (0, 0, 1))
        assert one == same != other


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mad-recall", {"length": 63}, "length must be even and at least 4, got 63"),
        ("mad-recall", {"noise": 0.5}, "noise must be at least 0 and below 1, and above 0 exactly when n_noise is"),
        ("mad-noisy-recall", {"noise": float("nan")}, "noise must be at least 0 and below 1"),
        ("mad-recall", {"vocab_size": 3}, "vocab_size must be at least 4"),
        ("mad-fuzzy-recall", {"vocab_size": 5}, "vocab_size must be at least 6"),
        ("mad-fuzzy-recall", {"length": 17}, "length must be at least 6 . motif_len = 18, got 17"),
        ("mad-memorization", {"length": 5}, "length must be even, got 5"),
        ("mad-compression", {"n_blanks": -1}, "n_blanks must be at least 0, got -1"),
        ("mad-compression", {"vocab_size": 2**16}, "with all other symbols below 65536"),
        ("mad-selective-copying", {"n_symbols": 0}, "n_symbols must be at least 1, got 0"),
        ("mad-selective-copying", {"n_train": 10**9}, "n_train must be at most 10000000"),
    ],
)
def test_what_makes_no_task_is_refused(name, options, message):
    with pytest.raises(TaskError, match=message):
        load_task(name, **SIZES | options)
