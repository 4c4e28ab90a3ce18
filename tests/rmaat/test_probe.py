"""The retention probe: its task, its cells, that it resumes, and what its table may and may not say."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from rmaat.experiments import recall_grid
from rmaat.experiments.recall import ProbeCell, accuracy_by_segment, analytic_weights, run_cell
from rmaat.experiments.recall_grid import ProbeConfig, load_cells, run_probe
from rmaat.tasks import TaskError, load_task

TINY = ProbeCell(n_segments=2, stretch=2, segment_len=4, d_model=16, n_layers=1, n_memory=2, steps=3, batch_size=8)


@pytest.fixture
def folder(tmp_path, curves):
    for name, curve in curves.items():
        curve.save(tmp_path / "curves" / f"{name}.toml")
    return tmp_path


def test_twins_are_the_only_marked_symbol_and_the_label_names_it():
    task = load_task("recall", n_segments=4, segment_len=4, twins=True, n_train=50, n_validation=1, n_test=1)
    tokens = task.train.tokens.reshape(50, 16)
    marked = tokens > 8
    assert (marked.sum(1) == 1).all()
    np.testing.assert_array_equal(tokens[marked] - 9, task.train.labels)
    np.testing.assert_array_equal(np.argmax(marked, 1) // 4, task.train.extra["segment"])
    with pytest.raises(TaskError, match=r"^twins must be False for copy, got True; only recall has them$"):
        load_task("copy", twins=True)


def test_the_grid_has_every_meaningful_combination_once():
    config = ProbeConfig(lrs=(1e-3, 2e-3), seeds=(0, 1))
    cells = list(config.cells())
    assert len(set(cells)) == len(cells) == len({cell.name for cell in cells})
    per_norm = 3 + 2 + 3  # scale, consolidate, relax single; two populations; replace, gated, attend
    assert len(cells) == per_norm * 2 * 2 * 2
    assert {(cell.lr, cell.seed) for cell in cells[: 2 * per_norm]} == {(1e-3, 0)}
    assert not any(cell.retention == "population" for cell in cells if cell.rule not in ("relax", "consolidate"))


def test_axes_are_chosen_by_their_own_options():
    with pytest.raises(ValueError, match=r"^cell.rule must be left out, got 'gated'; choose it by --rules$"):
        ProbeConfig(cell=ProbeCell(lr=0.1, rule="gated"))
    with pytest.raises(ValueError, match=r"^cell.seed must be left out, got 9; choose it by --seeds$"):
        ProbeConfig(cell=ProbeCell(seed=9))
    with pytest.raises(ValueError, match=r"^seeds must be at least one, each once, got 0, 0$"):
        ProbeConfig(seeds=(0, 0))


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


def test_a_probe_goes_on_where_it_stopped(folder):
    config = ProbeConfig(
        out=folder / "out", rules=("relax",), norms=("pre",), lrs=(1e-3,), seeds=(0, 1), cell=TINY,
        curve_folder=folder / "curves",
    )  # fmt: skip
    lines = []
    run_probe(replace(config, max_seconds=1e-9), lines.append)
    assert lines == []
    cells = run_probe(config, lines.append)
    assert len(cells) == len(lines) == 4
    path = next((folder / "out" / "cells").glob("*.json"))
    path.unlink()
    assert len(run_probe(config, lines.append)) == 4 and len(lines) == 5
    text = (folder / "out" / "recall.md").read_text()
    assert "relax, population, pre" in text and (folder / "out" / "recall.svg").exists()
    without_seconds = [
        [{k: v for k, v in cell.items() if k != "seconds"} for cell in found]
        for found in (load_cells(folder / "out"), cells)
    ]
    assert without_seconds[0] == without_seconds[1]


def test_cells_of_other_curves_are_refused(folder):
    config = ProbeConfig(
        out=folder / "out", rules=("relax", "replace"), norms=("pre",), lrs=(1e-3,), seeds=(0,), cell=TINY,
        curve_folder=folder / "curves", retentions=("single",),
    )  # fmt: skip
    relax, replaced = sorted(run_probe(config), key=lambda cell: cell["cell"]["rule"])
    assert {"ltp"} < relax["curves"].keys() and "ltp" not in replaced["curves"]
    curve = folder / "curves" / "ltp.toml"
    curve.write_text(curve.read_text() + "# changed\n")
    with pytest.raises(ValueError, match=r"relax-.* must be a cell of the curves as they are, got another ltp;"):
        run_probe(config)
    path = folder / "out" / "cells" / f"{next(config.cells()).name}.json"
    path.write_text(json.dumps({name: value for name, value in relax.items() if name != "curves"}))
    assert len(run_probe(config)) == 2  # of a time when cells did not name their curves


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


def cell_result(train_accuracy, at_t, seed=0, lr=1e-3, **settings):
    axes = {"rule": "relax", "retention": "single", "norm": "pre", "curve": "ltp", "seconds_per_segment": 50.0}
    return {
        "cell": {**axes, "lr": lr, "seed": seed, **settings},
        "train_accuracy": train_accuracy,
        "chance": 0.125,
        "accuracy_at_T": at_t,
        "accuracy_at_stretch": at_t * 2,
        "memory_rms": [1.0],
        "weights": {"8": {"first": [0.1, 0.2], "last": [0.3, 0.3]}, "256": "no schedule for so many segments"},
        "diverged": False,
    }


def test_not_recalled_stands_only_where_training_stayed_at_chance_at_every_rate():
    low = [0.13, 0.12]
    never = [cell_result(0.13, low, lr=lr) for lr in (1e-3, 2e-3)]
    assert "not recalled" in recall_grid.probe_table(recall_grid.probe_rows(never))
    once = [cell_result(0.13, low, lr=1e-3), cell_result(0.9, low, lr=2e-3)]
    text = recall_grid.probe_table(recall_grid.probe_rows(once))
    assert "not recalled" not in text and "0.12" in text and "0.002 (0.001, 0.002)" in text


def test_rows_take_the_rate_that_trains_best_and_the_mean_over_seeds():
    cells = [
        *(cell_result(0.5, [0.5, 0.5], seed, 1e-3) for seed in (0, 1)),
        cell_result(0.9, [1.0, 0.8], 0, 2e-3),
        cell_result(0.8, [0.8, 0.8], 1, 2e-3),
        cell_result(1.0, [1.0, 1.0], 0, 4e-3),  # a rate with one seed less does not count
    ]
    (row,) = recall_grid.probe_rows(cells)
    assert row["lr"] == 2e-3 and row["seeds"] == 2 and row["learned"] == 2
    np.testing.assert_allclose(row["at_T"], [0.9, 0.8])
    table = recall_grid.rates_table([row]).splitlines()
    assert table[0] == "| configuration | lr 0.001 | lr 0.002 | lr 0.004 |"
    assert table[2] == "| relax, single, pre | 0.50, 0.50 | 0.80, 0.80 | 1.00 |"


def test_rows_are_ordered_by_their_worst_segment_and_named_by_what_is_unusual():
    cells = [cell_result(1.0, [1.0, 0.2], n_memory=4), cell_result(1.0, [0.6, 0.5], n_memory=8)]
    names = [row["name"] for row in recall_grid.probe_rows(cells)]
    assert names == ["relax, single, pre, n_memory 8", "relax, single, pre, n_memory 4"]
    names = [
        row["name"] for row in recall_grid.probe_rows([*cells, cell_result(1.0, [0.9, 0.9], n_memory=4, curve="mine")])
    ]
    assert names == ["relax, single, pre, mine", "relax, single, pre, n_memory 8", "relax, single, pre"]


def test_weights_table_shows_ranges_and_missing_schedules():
    text = recall_grid.weights_table(recall_grid.probe_rows([cell_result(1.0, [1.0, 1.0])]))
    assert "| relax, single, ltp, 50 s a segment | 0.1 to 0.2 |  | no schedule | 0.3 |  | no schedule |" in text


def test_places_are_spread_over_the_segments():
    assert recall_grid.places(range(32)) == [0, 8, 16, 24, 31]
