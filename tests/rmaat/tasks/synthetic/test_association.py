"""Multi-query associative recall: every query has the value that its key had last."""

import numpy as np
import pytest

from rmaat.tasks import IGNORE_INDEX, TaskError, load_task

SIZES = {"n_train": 400, "n_validation": 10, "n_test": 10}


@pytest.mark.parametrize("name", ["mqar", "mqar-forgetting"])
def test_each_query_has_the_last_value_of_its_key(name):
    task = load_task(name, n_pairs=5, length=40, **SIZES)
    n_updates = task.card["options"]["n_updates"]
    context = 2 * (5 + n_updates)
    for i in range(len(task.train)):
        tokens, labels = task.train.sequence(i), task.train.labels[40 * i : 40 * i + 40]
        pairs = dict(zip(tokens[:context:2].tolist(), tokens[1:context:2].tolist(), strict=True))  # the last counts
        asked = np.flatnonzero(labels != IGNORE_INDEX)
        assert len(asked) == 5 and asked.min() >= context and sorted(tokens[asked]) == sorted(pairs)
        assert [pairs[key] for key in tokens[asked].tolist()] == labels[asked].tolist()
        assert max(pairs) < 64 <= min(pairs.values()) and len(set(tokens[:10:2].tolist())) == 5
        first = dict(zip(tokens[:10:2].tolist(), tokens[1:10:2].tolist(), strict=True))
        assert sum(first[key] != pairs[key] for key in first) == n_updates


def test_gaps_follow_the_power_law():
    task = load_task("mqar", n_pairs=1, length=22, vocab_size=64, **SIZES | {"n_train": 20_000})
    labels = task.train.labels.reshape(-1, 22) != IGNORE_INDEX
    share = labels[:, 2::2].mean(0)
    law = 0.01 * np.arange(1, 11) ** -0.99
    np.testing.assert_allclose(share, law / law.sum(), atol=0.015)


def test_seeds_and_splits_differ_and_a_seed_repeats():
    one, same, other = (load_task("mqar", seed=seed, **SIZES).card["content_sha256"] for seed in (0, 0, 1))
    assert one == same != other
    task = load_task("mqar", **SIZES | {"n_validation": 400})
    assert not np.array_equal(task.train.tokens, task.validation.tokens)
    assert task.card["chance"] == {"any value": 1 / 64, "a value of the sequence": 1 / 4}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 63}, "length must be even and at least 16"),
        ({"length": 14}, "length must be even and at least 16"),
        ({"n_updates": 5}, "n_updates must be 0 to n_pairs = 4, got 5"),
        ({"vocab_size": 64}, "vocab_size must be above length = 64"),
        ({"power": float("nan")}, "power must be positive and finite, got nan"),
        ({"n_train": 0}, "n_train must be at least 1, got 0"),
    ],
)
def test_what_makes_no_task_is_refused(options, message):
    with pytest.raises(TaskError, match=message):
        load_task("mqar", **SIZES | options)
