"""Markdown tables of results: measured beside published, the majority class in every one."""

import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

LRA_COLUMN = {
    **{"listops": "listops", "listops-release": "listops", "text": "text", "retrieval": "retrieval", "image": "image"},
    **{"pathfinder32": "pathfinder", "pathfinder32-release": "pathfinder"},
}
UNMATCHED = "unmatched"  # the last part of a variant's name, where all models have the same d_ff
LEARNED_MARGIN = 0.05  # a training accuracy this little above chance is chance


def load_published() -> list[dict[str, Any]]:
    """Published Long Range Arena results: name, source and accuracy (per cent, by task) of each model."""
    return tomllib.loads((Path(__file__).parent / "published.toml").read_text(encoding="utf-8"))["model"]


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = [list(header), ["---", *["---:"] * (len(header) - 1)], *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


# ---------------------------------------------------------------------------------------------------------------------
# Experiments
# ---------------------------------------------------------------------------------------------------------------------


def accuracy_tables(results: Sequence[Mapping[str, Any]]) -> str:
    """Per task its :func:`parts` as tables: accuracy as mean ± sd over seeds, and costs.

    Models stand beside the published numbers. Results whose settings differ among the seeds of one row are marked.
    """
    text = ""
    for task, found in _grouped(results, lambda result: result["task"]).items():
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
    plain: list[Mapping[str, Any]] = []
    unmatched: list[Mapping[str, Any]] = []
    studied: list[Mapping[str, Any]] = []
    for result in results:
        *changes, last = result["variant"].split("--")
        if last == UNMATCHED:
            unmatched.append({**result, "variant": "--".join(changes)})
        else:
            (studied if last else plain).append(result)
    names = {result["model"] for result in studied}
    beside = [result for result in plain if result["model"] in names]
    return {kind: part for kind, part in (("", plain), (UNMATCHED, unmatched), ("variants", beside + studied)) if part}


def _accuracy_table(task: str, results: Sequence[Mapping[str, Any]]) -> str:
    header = "model|accuracy %|seeds|steps|parameters|of them R|segments|s/step|peak MB|device".split("|")
    rows = []
    for (model, variant), seeds in ranked(results).items():
        mixed = len({_without_seed(result["settings"]) for result in seeds}) > 1
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
    marked = any("†" in row[0] for row in rows)
    return markdown(header, rows) + ("† trained with settings that differ between seeds.\n" if marked else "")


def published_table() -> str:
    """All published accuracies by task, and their mean where all five tasks are there; the highest mean first."""
    columns = list(dict.fromkeys(LRA_COLUMN.values()))
    rows = []
    for entry in load_published():
        values = [entry["accuracy"].get(column) for column in columns]
        mean = None if None in values else float(np.mean(values))
        cells = ["" if value is None else _as_published(value) for value in values]
        cells.append("" if mean is None else f"{mean:.1f}")
        rows.append((mean or 0, [f"*{entry['name']}* ({entry['source']})", *cells]))
    ordered = sorted(rows, key=lambda row: -row[0])
    return markdown(["published, in per cent", *columns, "mean"], [cells for _, cells in ordered])


def _as_published(value: float) -> str:
    """All digits, at least one decimal."""
    return f"{value:g}" if value % 1 else f"{value:.1f}"


def published_of(task: str, names: Sequence[str] = ("RMT", "RLT", "RMAAT", "S5", "Mega")) -> dict[str, float]:
    """Published accuracies of some models on a task, as shares of 1; {} for tasks outside the Long Range Arena."""
    column = LRA_COLUMN.get(task)
    entries = {entry["name"]: entry["accuracy"] for entry in load_published()}
    return {name: entries[name][column] / 100 for name in names if column and column in entries[name]}


def ranked(results: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """The seeds of each model and variant, the highest mean accuracy first."""
    groups = _grouped(results, lambda result: (result["model"], result["variant"]))
    return dict(sorted(groups.items(), key=lambda group: -np.mean([result["accuracy"] for result in group[1]])))


def mean_sd(values: Sequence[float]) -> str:
    """Mean ± standard deviation over seeds (n - 1); the bare number for one seed."""
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}"


def _grouped(items: Iterable[Any], key: Any) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return dict(groups)


def _without_seed(settings: Mapping[str, Any]) -> str:
    return repr(sorted((name, repr(value)) for name, value in settings.items() if name != "seed"))


def _span(values: Iterable[int]) -> str:
    found = sorted(set(values))
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"


# ---------------------------------------------------------------------------------------------------------------------
# The retention probe
# ---------------------------------------------------------------------------------------------------------------------

AXES = ("rule", "retention", "norm", "curve")
OWN_CURVE = {"single": "ltp", "population": "ltp_population"}  # of each retention
PLACES = ("first", "quarter", "middle", "three quarters", "last")


def probe_rows(cells: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per configuration: its seeds at the learning rate that trains best, best configuration first.

    The learning rate is chosen by the mean training accuracy over seeds, among those with the most seeds. `learned`
    counts the seeds that left chance in training; a configuration without any, at any learning rate, is not recalled.
    """
    rows = []
    groups = _grouped(cells, lambda cell: _settings(cell["cell"]))
    values = _grouped((pair for settings in groups for pair in settings), lambda pair: pair[0])
    usual = [pair for pairs in values.values() for pair, n in Counter(pairs).items() if 2 * n > len(pairs)]
    for settings, found in groups.items():
        by_lr = _grouped(found, lambda cell: cell["cell"]["lr"])
        most = max(len(seeds) for seeds in by_lr.values())
        full = {lr: seeds for lr, seeds in by_lr.items() if len(seeds) == most}
        lr = max(sorted(full), key=lambda lr: np.mean([cell["train_accuracy"] for cell in full[lr]]))
        chosen = full[lr]
        at_t, further = (
            np.mean([cell[key] for cell in chosen], axis=0) for key in ("accuracy_at_T", "accuracy_at_stretch")
        )
        rows.append(
            {
                "settings": dict(settings),
                "name": _row_name(settings, usual),
                "lr": lr,
                "seeds": most,
                "learned": sum(_learned(cell) for cell in chosen),
                "ever_learned": any(_learned(cell) for cell in found),
                "diverged": sum(cell["diverged"] for cell in found),
                "train_accuracy": float(np.mean([cell["train_accuracy"] for cell in chosen])),
                "chance": chosen[0]["chance"],
                "at_T": at_t,
                "at_stretch": further,
                "worst": {lr: [min(cell["accuracy_at_stretch"]) for cell in seeds] for lr, seeds in by_lr.items()},
                "weights": chosen[0]["weights"],
                "memory_rms": np.mean([cell["memory_rms"] for cell in chosen], axis=0),
            }
        )
    return sorted(rows, key=lambda row: (-min(row["at_stretch"]), -np.mean(row["at_stretch"])))


def _settings(cell: Mapping[str, Any]) -> tuple:
    return tuple((name, value) for name, value in cell.items() if name not in ("lr", "seed"))


def _row_name(settings: tuple, usual: Sequence[tuple[str, Any]]) -> str:
    """The axes of the probe, the retention's own curve unsaid, and whatever else is not as in most rows."""
    unsaid = ("none", OWN_CURVE[dict(settings)["retention"]])
    axes = [str(value) for name, value in settings if name in AXES and value not in unsaid]
    return ", ".join([*axes, *(f"{n} {value}" for n, value in settings if n not in AXES and (n, value) not in usual)])


def _learned(cell: Mapping[str, Any]) -> bool:
    return cell["train_accuracy"] > cell["chance"] + LEARNED_MARGIN


def places(accuracies: Sequence[float]) -> list[float]:
    """Accuracy at the first, quarter, middle, three-quarter and last segment."""
    n = len(accuracies)
    return [float(accuracies[at]) for at in (0, n // 4, n // 2, 3 * n // 4, n - 1)]


def probe_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Recall by position at T and beyond, one row per configuration."""
    header = ["configuration", "lr (tried)", "seeds (learned)", "training"]
    for length in ("at T", "beyond"):
        header += [f"{place} {length}" for place in (*PLACES, "worst")]
    lines = []
    for row in rows:
        tried = ", ".join(f"{lr:g}" for lr in sorted(row["worst"]))
        line = [row["name"], f"{row['lr']:g} ({tried})", f"{row['seeds']} ({row['learned']})"]
        line.append(f"{row['train_accuracy']:.2f}")
        for accuracies in (row["at_T"], row["at_stretch"]):
            numbers = [f"{value:.2f}" for value in (*places(accuracies), min(accuracies))]
            line += numbers if row["ever_learned"] else ["not recalled"] * len(numbers)
        lines.append(line)
    return markdown(header, lines)


def rates_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The worst segment beyond T of every seed, at every learning rate."""
    lrs = sorted({lr for row in rows for lr in row["worst"]})
    cells = [[", ".join(f"{value:.2f}" for value in row["worst"].get(lr, ())) for lr in lrs] for row in rows]
    lines = [[row["name"], *line] for row, line in zip(rows, cells, strict=True)]
    return markdown(["configuration", *(f"lr {lr:g}" for lr in lrs)], lines)


def weights_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Analytic weights of the first and last segment: what the rule keeps if the network copies nothing."""
    lengths = [8, 32, 256]
    found: dict[str, list[str]] = {}
    for row in rows:
        settings, weights = row["settings"], row["weights"]
        if weights:
            name = ", ".join(str(settings[axis]) for axis in ("rule", "retention", "curve") if settings[axis] != "none")
            name += f", {settings['seconds_per_segment']:g} s a segment" if settings["curve"] != "none" else ""
            cells = [_range(weights.get(str(n)), end) for end in ("first", "last") for n in lengths]
            found.setdefault(name, [name, *cells])
    header = ["rule", *(f"{end} of {n}" for end in ("first", "last") for n in lengths)]
    return markdown(header, found.values())


def _range(weights: Mapping[str, Sequence[float]] | str | None, end: str) -> str:
    if weights is None:
        return ""
    if isinstance(weights, str):
        return "no schedule"
    low, high = weights[end]
    return f"{low:.2g}" if low == high else f"{low:.2g} to {high:.2g}"


# ---------------------------------------------------------------------------------------------------------------------
# Benchmarks
# ---------------------------------------------------------------------------------------------------------------------


def bench_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Times of contenders as ratios, with what they were measured on."""
    cases = [name for name in ("tokens", "mode", "n_segments", "length", "segment_len") if name in rows[0]]
    extras = {"limit": "arithmetic limit", "gradient_error": "gradient error"}
    extras |= {"parameters": "parameters", "tokens_per_s": "tokens/s"}
    shown = [name for name in extras if any(name in row for row in rows)]
    ratio = f"time as a ratio to {rows[0]['ratio_to']} (20 % to 80 %)"
    header = ["contender", *(name.replace("_", " ") for name in cases), "ms", ratio, "peak MB"]
    header += [extras[name] for name in shown]
    lines = []
    for row in rows:
        ratios = f"{row['ratio']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})"
        line = [row["contender"], *(f"{row[name]}" for name in cases), f"{1e3 * row['seconds']:.2f}", ratios]
        line.append(f"{row['peak_bytes'] / 2**20:.2f}")
        formats = {"limit": ".2f", "gradient_error": ".1e", "parameters": ",", "tokens_per_s": ",.0f"}
        lines.append([*line, *(format(row[name], formats[name]) if name in row else "" for name in shown)])
    what = {name: rows[0][name] for name in ("device", "torch", "dtype", "batch_size", "d_model", "n_heads", "repeats")}
    loads = [row["load"] for row in rows if row["load"] is not None]
    what |= {"load average": f"{min(loads):.1f} to {max(loads):.1f}"} if loads else {}
    return markdown(header, lines) + "\n" + ", ".join(f"{name} {value}" for name, value in what.items()) + "\n"
