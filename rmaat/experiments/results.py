"""Results of trained models: reading their JSON files, and the page with tables and charts."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from astro_sim.curves.files import read_json, write_text
from rmaat.experiments.runner import grouped, markdown

PROSE = """\
Test accuracy of the checkpoint that is best on the validation split, mean ± standard deviation over seeds; steps and
devices as stated. Rows in italics are not measured here: always answering the commonest class, and published numbers,
which come from other data pipelines, budgets and hardware. RMAAT is not the state of the art on the Long Range Arena:
S4, S5, LRU and Mega stand 16 to 19 points above its published five-task average. "segments" are those that the shortest
and the longest test sequence fill. On a CPU "peak MB" is the process's largest resident set, libraries included.
"s/step" is wall-clock time, in which other runs may have shared the machine: `rmaat bench speed` compares speeds.
"""

PUBLISHED_PROSE = """\
Not measured here: what models trained on the whole tasks have to be compared with. RMAAT's row is its authors'.
"""

NUMBERS = "seed accuracy majority_rate steps parameters parameters_of_R seconds_per_step peak_bytes".split()

NEEDED = ["task", "model", "variant", *NUMBERS, "segments", "device", "settings"]


def read_result(path: Path) -> dict[str, Any]:
    """Read one result; ValueError if the file is damaged or lacks something that the tables show."""
    result = read_json(path, "delete it")
    missing = [name for name in NEEDED if name not in result]
    if missing or not result["settings"]:
        raise ValueError(f"{path} must hold a whole result, got no {(missing or ['settings'])[0]}; delete it")
    for name in NUMBERS:
        if not isinstance(result[name], int | float):
            raise ValueError(f"{path} must have a number as {name}, got {result[name]!r:.40}; delete it")
    return result


def load_results(folder: Path | str) -> list[dict[str, Any]]:
    """All results below a folder."""
    return [read_result(path) for path in sorted(Path(folder).glob("*/*.json"))]


def render_experiments(folder: Path | str) -> Path:
    """Write ``README.md`` with a table for every task, and where Matplotlib is installed a chart each; its path.

    Where models are compared, all that is published on the Long Range Arena stands at the end.
    """
    folder = Path(folder)
    results = load_results(folder)
    tasks = dict.fromkeys(result["task"] for result in results)
    text = f"# Test accuracy on {', '.join(tasks)}\n\n{PROSE}\n{accuracy_tables(results)}"
    if find_spec("matplotlib"):
        for task in tasks:
            found = [result for result in results if result["task"] == task]
            for kind, part in parts(found).items():
                published = {} if kind == "variants" else published_of(task)
                text += _chart(folder, f"{task}-{kind}".strip("-"), part, published)
    if len({result["model"] for result in results}) > 1:
        text += f"\n## Published on the Long Range Arena\n\n{PUBLISHED_PROSE}\n{published_table()}"
    return write_text(folder / "README.md", text.replace("\n\n\n", "\n\n"))


def _chart(folder: Path, name: str, results: Sequence[Mapping[str, Any]], published: Mapping[str, float]) -> str:
    """Draw the accuracies, in the order of the table, into ``FOLDER/NAME``; the Markdown that shows them."""
    from astro_sim.curves.plotting import panels, save_figure
    from rmaat.report.plots import plot_accuracy

    groups = ranked(results).items()
    several = len({result["model"] for result in results}) > 1
    bars = {
        f"{model} ({variant})" if variant and several else variant or model: [result["accuracy"] for result in seeds]
        for (model, variant), seeds in groups
    }
    ax = panels(size=(4.5, 1.4 + 0.17 * (len(bars) + len(published))))
    plot_accuracy(bars, published, max(result["majority_rate"] for result in results), ax=ax)
    caption = f"Test accuracy, every seed a point: {name}."
    caption += " Published numbers are of other authors' runs." if published else ""
    save_figure(ax.figure, folder / name, caption)
    return f"\n![Accuracy: {name}]({name}.svg)\n"


LRA_COLUMN = {
    **{"listops": "listops", "listops-release": "listops", "text": "text", "retrieval": "retrieval", "image": "image"},
    **{"pathfinder32": "pathfinder", "pathfinder32-release": "pathfinder"},
}

UNMATCHED = "unmatched"  # the last part of a variant's name, where all models have the same d_ff


def load_published() -> list[dict[str, Any]]:
    """Published Long Range Arena results: name, source and accuracy (per cent, by task) of each model."""
    return tomllib.loads((Path(__file__).parent / "published.toml").read_text(encoding="utf-8"))["model"]


def accuracy_tables(results: Sequence[Mapping[str, Any]]) -> str:
    """Per task its :func:`parts` as tables: accuracy as mean ± sd over seeds, and costs.

    Models stand beside the published numbers. Results whose settings differ among the seeds of one row are marked.
    """
    text = ""
    for task, found in grouped(results, lambda result: result["task"]).items():
        text += f"## {task}\n\n"
        for kind, part in parts(found).items():
            heading = {UNMATCHED: "Unmatched d_ff", "variants": f"Variants of {part[0]['model']}"}.get(kind)
            text += f"### {heading} on {task}\n\n" if heading else ""
            text += _accuracy_table(task if kind != "variants" else "", part) + "\n"
    return text


def parts(results: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """A task's results by the table that they stand in; tables without results are left out.

    "" has the models; "unmatched" those with one d_ff for all, the word dropped from their variants; "variants" a
    model's variants, and the model itself beside them.
    """
    found: dict[str, list[Mapping[str, Any]]] = {"": [], UNMATCHED: [], "variants": []}
    for result in results:
        *changes, last = result["variant"].split("--")
        if last == UNMATCHED:
            found[UNMATCHED].append({**result, "variant": "--".join(changes)})
        else:
            found["variants" if last else ""].append(result)
    names = {result["model"] for result in found["variants"]}
    found["variants"][:0] = [result for result in found[""] if result["model"] in names]
    return {kind: part for kind, part in found.items() if part}


def _accuracy_table(task: str, results: Sequence[Mapping[str, Any]]) -> str:
    header = "model|accuracy %|seeds|steps|parameters|of them R|segments|s/step|peak MB|device".split("|")
    rows = []
    for (model, variant), seeds in ranked(results).items():
        mixed = len({repr(sorted((result["settings"] | {"seed": 0}).items())) for result in seeds}) > 1
        rows.append(
            [
                f"{model}{f' ({variant})' if variant else ''}{' †' if mixed else ''}",
                mean_sd([100 * result["accuracy"] for result in seeds]),
                str(len(seeds)),
                _span(result["steps"] for result in seeds),
                _span(result["parameters"] for result in seeds),
                _span(result["parameters_of_R"] for result in seeds),
                _span(n for result in seeds for n in result["segments"]),
                f"{np.median([result['seconds_per_step'] for result in seeds]):.3f}",
                f"{max(result['peak_bytes'] for result in seeds) / 2**20:,.0f}",
                ", ".join(sorted({result["device"] for result in seeds})),
            ]
        )
    majority = 100 * max(result["majority_rate"] for result in results)
    rows.append(["*always the commonest class*", f"{majority:.1f}", *[""] * (len(header) - 2)])
    column = LRA_COLUMN.get(task)
    for entry in load_published() if column else []:
        if column in entry["accuracy"]:
            value = _as_published(entry["accuracy"][column])
            rows.append([f"*published: {entry['name']}* ({entry['source']})", value, *[""] * (len(header) - 2)])
    table = markdown(header, rows)
    return table + ("† trained with settings that differ between seeds.\n" if "†" in table else "")


def published_table() -> str:
    """All published accuracies by task, and their mean where all five tasks are there; the highest mean first."""
    columns = list(dict.fromkeys(LRA_COLUMN.values()))
    rows = []
    for entry in load_published():
        values = [entry["accuracy"].get(column) for column in columns]
        mean = 0.0 if None in values else float(np.mean(values))
        cells = ["" if value is None else _as_published(value) for value in values]
        rows.append((mean, [f"*{entry['name']}* ({entry['source']})", *cells, f"{mean:.1f}" if mean else ""]))
    rows.sort(key=lambda row: -row[0])
    return markdown(["published, in per cent", *columns, "mean"], [cells for _, cells in rows])


def _as_published(value: float) -> str:
    return f"{value:g}" if value % 1 else f"{value:.1f}"


def published_of(task: str, names: Sequence[str] = ("RMT", "RLT", "RMAAT", "S5", "Mega")) -> dict[str, float]:
    """Published accuracies of some models on a task, as shares of 1; {} for tasks outside the Long Range Arena."""
    column = LRA_COLUMN.get(task)
    entries = {entry["name"]: entry["accuracy"] for entry in load_published()}
    return {name: entries[name][column] / 100 for name in names if column and column in entries[name]}


def ranked(results: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """The seeds of each model and variant, the highest mean accuracy first."""
    groups = grouped(results, lambda result: (result["model"], result["variant"]))
    return dict(sorted(groups.items(), key=lambda group: -np.mean([result["accuracy"] for result in group[1]])))


def mean_sd(values: Sequence[float]) -> str:
    """Mean ± standard deviation over seeds (n - 1); the bare number for one seed."""
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}"


def _span(values: Iterable[int]) -> str:
    found = sorted(set(values))
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"
