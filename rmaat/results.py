"""The experiment runner's results: one JSON file each, and the page that shows all of a folder."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rmaat import tables
from rmaat.files import read_json, write_text

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
    """Read one result.

    Raises
    ------
    ValueError
        If the file is damaged or lacks something that the tables show.
    """
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
    text = f"# Test accuracy on {', '.join(tasks)}\n\n{PROSE}\n{tables.accuracy_tables(results)}"
    if find_spec("matplotlib"):
        for task in tasks:
            found = [result for result in results if result["task"] == task]
            for kind, part in tables.parts(found).items():
                published = {} if kind == "variants" else tables.published_of(task)
                text += _chart(folder, f"{task}-{kind}".strip("-"), part, published)
    if len({result["model"] for result in results}) > 1:
        text += f"\n## Published on the Long Range Arena\n\n{PUBLISHED_PROSE}\n{tables.published_table()}"
    return write_text(folder / "README.md", text.replace("\n\n\n", "\n\n"))


def _chart(folder: Path, name: str, results: Sequence[Mapping[str, Any]], published: Mapping[str, float]) -> str:
    """Draw the accuracies, in the order of the table, into ``FOLDER/NAME``; the Markdown that shows them."""
    from rmaat.plotting import panels, plot_accuracy, save_figure

    groups = tables.ranked(results).items()
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
