"""The retention probe: its task, one cell, and the analytic weights."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from rmaat.experiments.recall import ProbeCell, accuracy_by_segment, analytic_weights, run_cell
from rmaat.tasks import TaskError, load_task

TINY = ProbeCell(n_segments=2, stretch=2, segment_len=4, d_model=16, n_layers=1, n_memory=2, steps=3, batch_size=8)


def test_twins_are_the_only_marked_symbol_and_the_label_names_it():
    task = load_task("recall", n_segments=4, segment_len=4, twins=True, n_train=50, n_validation=1, n_test=1)
    tokens = task.train.tokens.reshape(50, 16)
    marked = tokens > 8
    assert (marked.sum(1) == 1).all()
    np.testing.assert_array_equal(tokens[marked] - 9, task.train.labels)
    np.testing.assert_array_equal(np.argmax(marked, 1) // 4, task.train.extra["segment"])
    with pytest.raises(TaskError, match=r"^twins must be False for copy, got True; only recall has them$"):
        load_task("copy", twins=True)


def test_names_tell_cells_apart():
    assert replace(TINY, pooling="memory").name != TINY.name
    assert replace(TINY, seed=1).name != TINY.name


def test_wrong_numbers_are_refused():
    with pytest.raises(ValueError, match=r"^n_segments must be at least 2, got 1$"):
        ProbeCell(n_segments=1)
    with pytest.raises(ValueError, match=r"^lr must be positive and finite, got -1$"):
        ProbeCell(lr=-1)


def test_a_missing_curve_is_named(curves):
    with pytest.raises(ValueError, match=r"^curve must be one of ltp, .*, got 'ltp_other'$"):
        run_cell(replace(TINY, retention="single", curve="ltp_other"), curves)


def test_a_cell_is_reproducible_and_complete(curves):
    first, second = run_cell(TINY, curves), run_cell(TINY, curves)
    assert len(first["accuracy_at_T"]) == 2 and len(first["accuracy_at_stretch"]) == len(first["memory_rms"]) == 4
    del first["seconds"], second["seconds"]
    assert first == second
    assert json.loads(json.dumps(first)) == first


@pytest.mark.parametrize("start", ["carried", "burn_in"])
def test_other_starts_change_training_and_nothing_else(start, curves, monkeypatch):
    cell = replace(TINY, steps=20)
    first, other, again = (run_cell(each, curves) for each in (cell, *2 * [replace(cell, start=start)]))
    assert other["memory_rms"] == again["memory_rms"] != first["memory_rms"]
    monkeypatch.setattr("rmaat.experiments.recall.FRESH", 1.0)
    assert run_cell(replace(cell, start=start), curves)["memory_rms"] == first["memory_rms"]
    with pytest.raises(ValueError, match=r"^start must be one of initial, carried, burn_in, got 'late'$"):
        replace(cell, start="late")


def test_the_curve_of_a_cell_takes_the_place_of_the_usual_one(curves):
    cell = replace(TINY, rule="scale", retention="single", curve="slow")
    slow = {"slow": curves["ltp"]}
    assert run_cell(cell, {**curves, **slow})["weights"]["2"]["last"][0] == pytest.approx(1 / (1 + np.exp(0.4)))


def test_accuracy_is_that_of_the_marked_segment():
    split = load_task("recall", n_segments=4, segment_len=4, twins=True, n_train=1, n_validation=1, n_test=400).test

    class SeesTheSecondHalf(torch.nn.Module):
        def forward(self, tokens):
            seen = torch.where(tokens[:, 8:] > 8, tokens[:, 8:] - 8, 0).amax(1)
            return torch.nn.functional.one_hot(seen, 9)[:, 1:].float()  # without a mark all equal: class 0

    right = accuracy_by_segment(SeesTheSecondHalf(), split, 4)
    assert right[2:] == [1.0, 1.0]
    for segment in (0, 1):
        here = split.extra["segment"] == segment
        assert right[segment] == pytest.approx((split.labels[here] == 0).mean(), abs=1e-4)


@pytest.mark.parametrize(
    ("rule", "first", "last"),
    [
        ("relax", lambda a, n: (1 - np.exp(-a)) * np.exp(-a * (n - 1)), lambda a, n: 1 - np.exp(-a)),
        ("consolidate", lambda a, n: (1 - np.exp(-a)) / (1 - np.exp(-a * n)), None),
        ("scale", lambda a, n: (1 - np.exp(-a)) / (1 - np.exp(-a * n)), None),
    ],
)
def test_weights_have_their_closed_form(curves, rule, first, last):
    from rmaat.models.zoo import build_model

    cell = replace(TINY, rule=rule, retention="single", curve="ltp")
    weights = analytic_weights(build_model("rmaat", cell.network(9, 8), curves), (8, 32))
    for n in (8, 32):
        assert weights[str(n)]["first"] == [pytest.approx(first(0.4, n))] * 2
        expected = last(0.4, n) if last else first(0.4, n) * np.exp(-0.4 * (n - 1))
        assert weights[str(n)]["last"] == [pytest.approx(expected)] * 2
