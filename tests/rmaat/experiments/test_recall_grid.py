"""The grid of the retention probe: its cells, resuming, and what its tables may and may not say."""

import json
from dataclasses import replace

import numpy as np
import pytest

from rmaat.experiments import recall_grid
from rmaat.experiments.recall import ProbeCell
from rmaat.experiments.recall_grid import ProbeConfig, load_cells, run_probe

TINY = ProbeCell(n_segments=2, stretch=2, segment_len=4, d_model=16, n_layers=1, n_memory=2, steps=3, batch_size=8)


@pytest.fixture
def folder(tmp_path, curves):
    for name, curve in curves.items():
        curve.save(tmp_path / "curves" / f"{name}.toml")
    return tmp_path


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
