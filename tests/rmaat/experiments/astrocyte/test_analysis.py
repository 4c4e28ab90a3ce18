from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from rmaat.experiments.astrocyte.analysis import BEGIN, END, at_best_rate, differences, fill, frame, report, write_page
from rmaat.experiments.astrocyte.grid import Grid
from rmaat.experiments.astrocyte.schedule import load_results

ROOT = Path(__file__).parents[4]


def result(model, accuracy, seed=0, lr=4e-3, share=1.0, task="recall", validation=None):
    return {
        "cell": {"task": task, "model": model, "share": share, "seed": seed, "lr": lr},
        "tests": {"test": accuracy, "6 segments": accuracy / 2},
        "validation_accuracy": accuracy if validation is None else validation,
        "steps": 3,
        "chance": {"any symbol": 0.125},
        "parameters": 1000,
        "carried_bytes": 640,
        "device": "cpu",
        "versions": {"torch": "2"},
    }


SEEDS = {"population": [0.9, 0.8, 0.7], "none": [0.85, 0.76, 0.6]}
RESULTS = [result(model, accuracy, seed) for model, found in SEEDS.items() for seed, accuracy in enumerate(found)]


def test_differences_are_paired_and_their_interval_is_that_of_the_paired_t_test():
    found = differences(at_best_rate(frame(RESULTS))).set_index(["model", "test"])
    row = found.loc[("none", "test")]
    low, high = stats.ttest_rel(SEEDS["none"], SEEDS["population"]).confidence_interval(0.95)
    assert (row.difference - row.half, row.difference + row.half) == pytest.approx((low, high))
    assert row.accuracy == pytest.approx(np.mean(SEEDS["none"])) and row.n == row.pairs == 3
    assert found.loc[("population", "test")].difference == 0


def test_the_learning_rate_is_chosen_on_the_validation_split_and_needs_all_seeds():
    other = [result("none", 0.99, seed, lr=2e-3, validation=0.1) for seed in range(3)]
    single = [result("none", 0.3, 0, lr=1e-3, validation=1.0)]
    best = at_best_rate(frame([*RESULTS, *other, *single]))
    assert set(best[best.model == "none"].lr) == {4e-3}


def test_the_report_says_what_is_there_and_leaves_the_rest_empty(toy):
    some = [*RESULTS, result("none", 0.5, 0, share=0.1), result("population", 0.4, 0, share=0.1)]
    text = report(toy, some)
    assert "| simulated | 80.0 | 40.0 |" in text
    assert "| none | **73.7 (−6.3 ± " not in text and "| none | 73.7 (−6.3 ± " in text
    assert "With 10 % of the training samples" in text and "| none | 50.0 (+10.0) | 25.0 (+5.0) |" in text
    assert "Guessing reaches: recall 12.5." in text and "8 runs of 3 steps, 3 seeds, 1,000 parameters" in text
    assert report(toy, []) == "No runs are finished yet.\n"


def test_an_interval_without_zero_is_bold(toy):
    steady = [
        result(model, value + 0.01 * seed, seed)
        for model, value in (("population", 0.5), ("none", 0.6))
        for seed in range(3)
    ]
    assert "| none | **61.0 (+10.0 ± 0.0)** |" in report(toy, steady)


def test_a_page_is_filled_between_its_markers(toy, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nstale\n{END}\nafter\n")
    write_page(page, toy, RESULTS)
    text = page.read_text()
    assert "a point a seed" in (tmp_path / "figures/what-the-astrocyte-brings.svg").read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "stale" not in text and "simulated" in text
    write_page(page, toy, RESULTS)
    assert page.read_text() == text
    with pytest.raises(ValueError, match="once each"):
        fill("no markers", "text")


def test_the_page_in_the_documentation_is_what_the_results_give():
    page = (ROOT / "docs/what-the-astrocyte-brings.md").read_text()
    grid = Grid.load(ROOT / "benchmarks/astrocyte/grid.toml")
    assert page == fill(page, report(grid, load_results(ROOT / "benchmarks/results/astrocyte")))
