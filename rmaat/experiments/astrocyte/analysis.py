"""From results to tables: each model's best learning rate, and paired differences to the simulated population.

A difference is paired: runs of one task, share and seed see the same data, batches and, where their structure is the
same, first weights. Its 95 % interval is that of Student's t over the seeds.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from astro_sim.curves.files import read_text, write_text
from astro_sim.curves.plotting import BLUE, GREY, VERMILLION, panels, save_figure
from rmaat.experiments.astrocyte.grid import Grid
from rmaat.experiments.runner import markdown

REFERENCE = "population"

BEGIN, END = "<!-- results: written by benchmarks/astrocyte.py page -->", "<!-- end of results -->"

FIGURE = "what-the-astrocyte-brings"

CAPTION = "Test accuracy: a point a seed, a red bar the mean, a blue line the mean of the simulated population."

AXES = ["task", "test", "share", "model", "seed"]


def frame(results: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row a run and test: task, test, share, model, seed, lr, validation and accuracy (of 1), and costs."""
    rows = []
    for result in results:
        shared = {name: result[name] for name in ("steps", "parameters", "carried_bytes")}
        shared |= {
            "validation": result["validation_accuracy"],
            "chance": max(result["chance"].values(), default=np.nan),
        }
        rows += [
            {**result["cell"], **shared, "test": test, "accuracy": accuracy}
            for test, accuracy in result["tests"].items()
        ]
    columns = [*AXES, "lr", "steps", "parameters", "carried_bytes", "validation", "chance", "accuracy"]
    return pd.DataFrame(rows, columns=columns)


def at_best_rate(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs at each model's best learning rate: the highest mean validation accuracy among those of most seeds."""
    by = ["task", "share", "model"]
    rates = runs.groupby([*by, "lr"], as_index=False).agg(seeds=("seed", "nunique"), validation=("validation", "mean"))
    best = rates.sort_values(["seeds", "validation"], ascending=False).drop_duplicates(by)
    return runs.merge(best[[*by, "lr"]], on=[*by, "lr"])


def differences(best: pd.DataFrame, reference: str = REFERENCE) -> pd.DataFrame:
    """Accuracy of each model at each task, test and share, and its paired difference to the reference.

    Returns
    -------
    DataFrame with the columns accuracy (mean over seeds), n (seeds), difference (mean over the seeds that both have),
    half (half-width of its 95 % interval; NaN with fewer than two seeds) and pairs.
    """
    axes = ["task", "test", "share", "seed"]
    paired = best.merge(
        best.loc[best.model == reference, [*axes, "accuracy"]], on=axes, how="left", suffixes=("", "_0")
    )
    paired["difference"] = paired.accuracy - paired.accuracy_0
    groups = paired.groupby(["task", "test", "share", "model"], sort=False)
    found = groups.agg(
        accuracy=("accuracy", "mean"),
        n=("seed", "nunique"),
        difference=("difference", "mean"),
        sd=("difference", "std"),
        pairs=("difference", "count"),
    ).reset_index()
    found["half"] = stats.t.ppf(0.975, found.pairs.clip(lower=2) - 1) * found.sd / np.sqrt(found.pairs)
    found.loc[found.pairs < 2, "half"] = np.nan
    return found.drop(columns="sd")


def cell(row: pd.Series, reference: str = REFERENCE) -> str:
    """One entry in per cent: accuracy (difference ± half an interval), bold where the interval leaves out 0."""
    text = f"{100 * row.accuracy:.1f}"
    if row.model == reference or np.isnan(row.difference):
        return text
    if np.isnan(row.half):
        return f"{text} ({_signed(row.difference)})"
    text = f"{text} ({_signed(row.difference)} ± {100 * row.half:.1f})"
    return f"**{text}**" if abs(row.difference) > row.half else text


def _signed(difference: float) -> str:
    return f"{100 * difference:+.1f}".replace("-", "−")


def table(grid: Grid, found: pd.DataFrame, columns: Sequence[tuple[str, str, float]], heads: Sequence[str]) -> str:
    """Models as rows, in the grid's order, and (task, test, share) as columns; empty where there is no result."""
    rows = []
    for name, plan in grid.models.items():
        own = found[found.model == name].set_index(["task", "test", "share"])
        entries = [cell(own.loc[key]) if key in own.index else "" for key in columns]
        if any(entries):
            rows.append([plan.text, *entries])
    return markdown(["model", *heads], rows)


def report(grid: Grid, results: Sequence[Mapping[str, Any]]) -> str:
    """The part of the page that follows from the results, as Markdown."""
    if not results:
        return "No runs are finished yet.\n"
    runs = frame(results)
    best = at_best_rate(runs)
    found = differences(best)
    tests = _tests(grid, found)
    parts = [
        _chance(runs),
        f"![{CAPTION}](figures/{FIGURE}.svg)\n",
        table(grid, found, [(*key, 1.0) for key in tests], [_head(*key) for key in tests]),
    ]
    shares = sorted(set(found.share) - {1.0}, reverse=True)
    for share in shares:
        few = [key for key in tests if ((found.task == key[0]) & (found.share == share)).any()]
        heads = [_head(*key) for key in few]
        parts.append(f"With {100 * share:g} % of the training samples:\n")
        parts.append(table(grid, found[found.share == share], [(*key, share) for key in few], heads))
    return "\n".join([*parts, _means(results, runs, best)])


def _tests(grid: Grid, runs: pd.DataFrame) -> list[tuple[str, str]]:
    """(task, test) that have results, in the grid's order."""
    there = set(zip(runs.task, runs.test, strict=True))
    return [
        (task, test) for task, plan in grid.tasks.items() for test in ("test", *plan.tests) if (task, test) in there
    ]


def _head(task: str, test: str) -> str:
    return task if test == "test" else f"{task}, {test}"


def _chance(runs: pd.DataFrame) -> str:
    chances = runs.groupby("task", sort=False).chance.first()
    said = ", ".join(f"{task} {100 * chance:.1f}" for task, chance in chances.items())
    return (
        "Test accuracy in per cent, mean over seeds; in brackets the difference to the simulated population, paired by "
        f"seed, and half its 95 % interval; bold where that leaves out 0. Guessing reaches: {said}.\n"
    )


def _means(results: Sequence[Mapping[str, Any]], runs: pd.DataFrame, best: pd.DataFrame) -> str:
    rates = best.drop_duplicates(["task", "share", "model"])
    devices = ", ".join(sorted({result["device"] for result in results}))
    versions = ", ".join(sorted({result["versions"]["torch"] for result in results}))
    carried = runs.drop_duplicates(["task", "model"]).groupby("model", sort=False).carried_bytes.max()
    said = ", ".join(f"{model} {size:,.0f}" for model, size in carried.items())
    chosen = ", ".join(f"{lr:g} in {n}" for lr, n in rates.lr.value_counts().sort_index().items())
    return (
        f"{len(results)} runs of {_range(runs.steps)} steps, {runs.seed.nunique()} seeds, {_range(runs.parameters)} "
        f"parameters; on {devices}; PyTorch {versions}. Best learning rate: {chosen} cases. Bytes that a sample "
        f"carries (at most, over the tasks): {said}.\n"
    )


def _range(values: pd.Series) -> str:
    low, high = values.min(), values.max()
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def fill(page: str, text: str) -> str:
    """The page with what stands between the markers replaced; ValueError without them."""
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"the page must hold the lines {BEGIN!r} and {END!r} once each; put them where the table goes")
    return re.sub(f"(?<={re.escape(BEGIN)}).*(?={re.escape(END)})", lambda _: f"\n\n{text}\n", page, flags=re.S)


def write_page(path: Path, grid: Grid, results: Sequence[Mapping[str, Any]]) -> Path:
    """Bring the page's tables up to date, and the figure beside it in ``figures``."""
    if results:
        save_figure(draw(grid, results), path.parent / "figures" / FIGURE, CAPTION)
    return write_text(path, fill(read_text(path, "page"), report(grid, results)))


def draw(grid: Grid, results: Sequence[Mapping[str, Any]]) -> Any:
    """A figure of all test accuracies with all samples: a panel a test, a row a model, a point a seed."""
    best = at_best_rate(frame(results))
    best = best[best.share == 1]
    tests, names = _tests(grid, best), [name for name in grid.models if name in set(best.model)]
    size = (1.2 + 1.35 * len(tests), 0.9 + 0.2 * len(names))
    axes = np.atleast_1d(panels(1, len(tests), size=size, sharey=True, squeeze=False)[0])
    for ax, (task, test) in zip(axes, tests, strict=True):
        own = best[(best.task == task) & (best.test == test)]
        means = own.groupby("model").accuracy.mean()
        ax.plot(100 * own.accuracy, own.model.map(names.index), "o", color=GREY, markersize=3, alpha=0.7)
        ax.plot(100 * means, means.index.map(names.index), "|", color=VERMILLION, markersize=8)
        if REFERENCE in means:
            ax.axvline(100 * means[REFERENCE], color=BLUE, linewidth=0.8)
        ax.set(title=_head(task, test).replace(", ", "\n"), xlabel="accuracy (%)", xlim=(-3, 103))
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    return axes[0].figure
