"""Drawn parts, classes and pieces."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rmaat.tasks.files.splits import draw_parts, pieces, sorted_classes


@given(
    samples=st.lists(st.integers(0, 60), min_size=1, max_size=200),
    n_parts=st.integers(0, 2),
    share=st.sampled_from([0.05, 0.1, 0.25, 0.4]),
    seed=st.integers(0, 5),
)
def test_equal_samples_share_a_part_and_each_label_stays_in_the_first(samples, n_parts, share, seed):
    labels = np.array(samples) % 3
    parts = draw_parts(samples, labels, n_parts, share, seed)
    assert len(parts) == len(samples) and parts.min() >= 0 and parts.max() <= n_parts
    assert all(len(set(parts[np.array(samples) == sample])) == 1 for sample in set(samples))
    assert {*labels[parts == 0]} == {*labels}
    assert np.array_equal(parts, draw_parts(samples, labels, n_parts, share, seed))


def test_the_parts_have_their_shares_of_each_label():
    labels = np.repeat([0, 1, 2], [700, 250, 50])
    parts = draw_parts(range(1000), labels, 2, 0.1, seed=3)
    for label, n in ((0, 700), (1, 250), (2, 50)):
        counts = np.bincount(parts[labels == label], minlength=3)
        assert abs(counts - n * np.array([0.8, 0.1, 0.1])).max() <= 2
    assert not np.array_equal(parts, draw_parts(range(1000), labels, 2, 0.1, seed=4))


def test_classes_that_are_numbers_are_in_their_order():
    assert sorted_classes(["10", "9", "-1", "9"]) == ["-1", "9", "10"]
    assert sorted_classes(["10", "9", "b"]) == ["10", "9", "b"]


@given(st.lists(st.lists(st.integers(1, 9), max_size=12), min_size=1, max_size=5), st.integers(1, 5))
def test_pieces_ask_for_each_next_token_once(documents, length):
    documents = [np.array(document, dtype=np.uint16) for document in documents]
    expected = [pair for d in documents for pair in zip(d[:-1].tolist(), d[1:].tolist(), strict=True)]
    if expected:
        split = pieces(documents, length, np.uint16)
        assert list(zip(split.tokens.tolist(), split.labels.tolist(), strict=True)) == expected
        assert split.lengths.max() <= length and split.lengths.min() >= 1
