"""Batches: each sample once, deterministic, resumable, of similar lengths; padding that is only padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmaat.tasks import IGNORE_INDEX, TaskError
from rmaat.tasks.batching import BatchPlan, in_order, padded_length
from rmaat.tasks.dataset import make_task, ragged

LENGTHS = np.random.default_rng(0).integers(1, 200, 1003)


def split_of(lengths, n_parts=1):
    sequences = [np.arange(1, n + 1) for n in lengths]
    return ragged(sequences, np.arange(len(lengths) // n_parts) % 3, n_parts=n_parts)


@given(
    n=st.integers(1, 300),
    batch_size=st.integers(1, 40),
    micro_batches=st.integers(1, 4),
    bucket=st.integers(1, 20),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 3),
)
def test_every_sample_once(n, batch_size, micro_batches, bucket, seed, epoch):
    batch_size *= micro_batches
    n += micro_batches - 1
    lengths = np.random.default_rng(n).integers(1, 50, n)
    plan = BatchPlan(lengths=lengths, batch_size=batch_size, micro_batches=micro_batches, bucket=bucket, seed=seed)
    batches = plan.epoch(epoch)
    seen = np.concatenate(batches)
    assert np.array_equal(np.sort(seen), np.arange(n))
    assert all(1 <= len(batch) <= batch_size for batch in batches)
    assert all(np.array_equal(np.concatenate(np.array_split(batch, micro_batches)), batch) for batch in batches)


def test_order_is_a_function_of_seed_and_epoch():
    plan = BatchPlan(lengths=LENGTHS, batch_size=32, seed=1)
    first = plan.epoch(3)
    plan.epoch(0)
    assert all(np.array_equal(a, b) for a, b in zip(first, plan.epoch(3), strict=True))
    for other in (plan.epoch(2), BatchPlan(lengths=LENGTHS, batch_size=32, seed=2).epoch(3)):
        assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("n", [1256, 1257, 1263])  # a last batch of none, one and seven samples
def test_order_does_not_depend_on_the_micro_batches(n):
    lengths = np.arange(n) % 50
    orders = [BatchPlan(lengths=lengths, batch_size=8, micro_batches=k).epoch(0) for k in (1, 2, 8)]
    for other in orders[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(orders[0], other, strict=True))


def test_resuming_in_mid_epoch():
    plan = BatchPlan(lengths=LENGTHS, batch_size=32, seed=1)
    whole, per_epoch = plan.batches(), len(plan.epoch(0))
    everything = [next(whole) for _ in range(2 * per_epoch + 5)]
    for start in (0, 7, per_epoch - 1, per_epoch, per_epoch + 3):
        epoch, index, _ = everything[start]
        resumed = plan.batches(epoch, index)
        for expected in everything[start:]:
            got = next(resumed)
            assert got[:2] == expected[:2] and np.array_equal(got[2], expected[2])
    epoch, index, _ = everything[per_epoch - 1]
    assert next(plan.batches(epoch, index + 1))[:2] == (1, 0)  # a finished epoch goes over into the next


def test_buckets_save_padding():
    def padding(bucket):
        batches = BatchPlan(lengths=LENGTHS, batch_size=32, bucket=bucket).epoch(0)
        return sum(LENGTHS[batch].max() * len(batch) - LENGTHS[batch].sum() for batch in batches) / LENGTHS.sum()

    assert padding(50) < 0.15 < 0.5 < padding(1)


def test_batches_are_mixed_in_length_from_one_to_the_next():
    batches = BatchPlan(lengths=LENGTHS, batch_size=32).epoch(0)
    means = np.array([LENGTHS[batch].mean() for batch in batches])
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.5


def test_evaluation_sees_every_sample_of_a_ragged_split():
    split = split_of(LENGTHS)
    assert np.array_equal(np.sort(np.concatenate(list(in_order(split, 64)))), np.arange(len(split)))


def test_padding():
    split = split_of([3, 1, 5])
    batch = split.pad(np.array([2, 1]), 6)
    assert batch["tokens"].tolist() == [[1, 2, 3, 4, 5, 0], [1, 0, 0, 0, 0, 0]]
    assert batch["lengths"].tolist() == [5, 1] and batch["labels"].tolist() == [2, 1]
    assert padded_length(split, np.array([0, 1]), 4) == 4 and padded_length(split, np.array([2]), 4) == 8


def test_padding_of_pairs():
    split = split_of([3, 1, 5, 2], n_parts=2)
    batch = split.pad(np.array([1, 0]))
    assert batch["tokens"].shape == (2, 2, 5) and batch["lengths"].tolist() == [[5, 2], [3, 1]]
    assert batch["tokens"][1].tolist() == [[1, 2, 3, 0, 0], [1, 0, 0, 0, 0]]
    assert split.select([1]).sequence(0, 1).tolist() == [1, 2]


def test_padding_of_language_models_asks_nothing():
    split = ragged([np.array([1, 2]), np.array([3, 4, 5])], np.array([IGNORE_INDEX, 2, IGNORE_INDEX, 4, 1]))
    assert split.per_token
    assert split.pad(np.array([0, 1]))["labels"].tolist() == [[IGNORE_INDEX, 2, IGNORE_INDEX], [IGNORE_INDEX, 4, 1]]
    assert split.select([1]).labels.tolist() == [IGNORE_INDEX, 4, 1]
    assert split.n_targets.tolist() == [1, 2] and split_of([3, 1], 2).n_targets.tolist() == [1]
    assert split.majority_rate == pytest.approx(1 / 3)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_select_picks_samples(lengths, random):
    split = split_of(lengths)
    samples = [random.randrange(len(lengths)) for _ in range(5)]
    chosen = split.select(samples)
    for i, sample in enumerate(samples):
        assert np.array_equal(chosen.sequence(i), split.sequence(sample))
        assert chosen.labels[i] == split.labels[sample]


@pytest.mark.parametrize("n_parts", [1, 2])
def test_consecutive_samples_without_a_copy(n_parts):
    split = split_of([3, 1, 5, 2, 4, 6], n_parts)
    part = split.between(1, 3)
    chosen = split.select([1, 2])
    for name in ("tokens", "offsets", "labels"):
        assert np.array_equal(getattr(part, name), getattr(chosen, name))
    assert np.shares_memory(part.tokens, split.tokens)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"batch_size": 9, "micro_batches": 2}, r"batch_size must be a multiple of micro_batches \(2\), got 9"),
        (
            {"batch_size": 2000, "micro_batches": 2000},
            "the split must hold at least 2000 samples, one a micro-batch, got 1003",
        ),
    ],
)
def test_plans_that_make_no_batches(options, message):
    with pytest.raises(TaskError, match=message):
        BatchPlan(lengths=LENGTHS, **options)


def test_task_refuses_empty_splits_and_stray_labels():
    sizes = {"n_classes": 3, "vocab_size": 10, "max_len": 9}
    full, empty = split_of([2, 3]), ragged([], [])
    with pytest.raises(TaskError, match="the validation split of x must hold at least one sample, got none"):
        make_task("x", "classify", [full, empty, full], **sizes)
    with pytest.raises(TaskError, match=r"labels of x must lie in 0..2, got 7 in test"):
        make_task("x", "classify", [full, full, ragged([np.ones(3)], [7])], **sizes)
    task = make_task("x", "classify", [full, full, full], **sizes)
    with pytest.raises(TaskError, match="split must be one of train, validation, test, got 'val'"):
        task.split("val")
