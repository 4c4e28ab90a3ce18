"""The retention probe over a grid of settings, and its tables and heat map.

Each finished cell is one JSON file, so that a stopped probe can be continued.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np

from astro_sim.curves.files import read_json, write_text
from rmaat.config import Norm, Rule, Timescales
from rmaat.data import load_curves
from rmaat.experiments.recall import AXES, OWN_CURVE, WITHOUT_CURVE, ProbeCell, run_cell
from rmaat.experiments.runner import check_choices, grouped, markdown, run_grid

PROSE = """\
Accuracy by the segment that holds the answer, at the T that the model was trained on and at a multiple of it; mean over
seeds, at the learning rate that trains best. "learned" counts the seeds whose training accuracy left chance; "not
recalled" stands only where none did, at any learning rate. Rows are ordered by their worst segment beyond T.

In every second step of the last 60 %, `start carried` begins with the memory that the step before left, and `start
burn_in` with the memory that a random number of segments without a mark leads to. All are tested from the initial one.
"""

RATES_PROSE = """\
The worst segment beyond T of each seed, at every learning rate that was tried. Where several train to the end, the
table above shows the lowest of them, which is not always the one that carries furthest.
"""

WEIGHTS_PROSE = """\
What each rule alone gives to the first and to the last of n segments, if the network copied nothing (least to largest
over the memory tokens; for `scale`, which replaces the memory, the segment's own factor).
"""


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """Train every memory rule to recall one marked symbol and test it by the symbol's segment, at T and beyond."""

    out: Path = Path("benchmarks/results/recall")
    """Folder of the cells' JSON files, the table and the heat map."""
    rules: tuple[Rule, ...] = get_args(Rule)
    """Memory rules."""
    retentions: tuple[Timescales, ...] = get_args(Timescales)
    """Retentions."""
    norms: tuple[Norm, ...] = get_args(Norm)
    """Norms."""
    curves: tuple[str, ...] = ("ltp",)
    """Curves for the single retention; the population's is ltp_population."""
    lrs: tuple[float, ...] = (1e-3, 2e-3, 4e-3)
    """Peak learning rates; the table takes each row's best by training accuracy."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds."""
    curve_folder: Path | None = None
    """Folder of curve files; by default the packaged ones."""
    cell: ProbeCell = field(default_factory=ProbeCell)
    """Everything that all cells share; what the options above list is left as it is."""
    max_seconds: float | None = None
    """Begin no further cell after so many seconds; the probe can be continued."""

    def __post_init__(self) -> None:
        for axis in (*AXES, "lr", "seed"):
            if (got := getattr(self.cell, axis)) != getattr(ProbeCell, axis):
                raise ValueError(f"cell.{axis} must be left out, got {got!r}; choose it by --{axis}s")
        check_choices(self, "rules", "retentions", "norms", "lrs", "seeds")

    def cells(self) -> Iterator[ProbeCell]:
        """A cell for every combination that means something; those of the first learning rate and seed come first.

        A learned rule or `replace` follows no curve, so it has one cell per norm, learning rate and seed; `population`
        exists for relax and consolidate.
        """
        for lr, seed in product(self.lrs, self.seeds):
            for rule, norm in product(self.rules, self.norms):
                for retention, curve in _schedules(rule, self.retentions, self.curves):
                    axes: dict[str, Any] = {"rule": rule, "retention": retention, "norm": norm, "curve": curve}
                    yield replace(self.cell, **axes, lr=lr, seed=seed)


def _schedules(rule: str, retentions: tuple[str, ...], curves: tuple[str, ...]) -> list[tuple[str, str]]:
    if rule in WITHOUT_CURVE:
        return [("single", "none")]
    schedules = [("single", curve) for curve in curves if "single" in retentions]
    if "population" in retentions and rule in ("relax", "consolidate"):
        schedules.append(("population", OWN_CURVE["population"]))
    return schedules


def run_probe(config: ProbeConfig, report: Callable[[str], object] | None = None) -> list[dict[str, Any]]:
    """Run the cells that have no file in ``config.out`` yet; return all results, with table and heat map written.

    `report` is told one line after each cell.
    """
    curves = load_curves(config.curve_folder)

    def train_cell(cell: ProbeCell, left: float | None) -> dict[str, Any]:
        result = run_cell(cell, curves)
        if report is not None:
            at_t, further = (min(result[key]) for key in ("accuracy_at_T", "accuracy_at_stretch"))
            seen = f"train {result['train_accuracy']:.2f}, worst segment {at_t:.2f} at T, {further:.2f} beyond"
            report(f"{cell.name}: {seen} ({result['seconds']:.0f} s)")
        return result

    def read(cell: ProbeCell, path: Path) -> dict[str, Any]:
        result, now = read_json(path), cell.curve_hashes(curves)
        was = result.get("curves", now)  # older cells have no hashes
        if changed := [name for name in now if was.get(name) != now[name]]:
            rule = f"{path} must be a cell of the curves as they are, got another {changed[0]}"
            raise ValueError(f"{rule}; delete it or choose another --out")
        return result

    def place(cell: ProbeCell) -> Path:
        return config.out / "cells" / f"{cell.name}.json"

    run_grid(config.cells(), place, read, train_cell, config.max_seconds)
    render_probe(config.out)
    return load_cells(config.out)


def render_probe(folder: Path | str) -> Path:
    """Write the tables, ``recall.md``, and where Matplotlib is installed the heat map; the tables' path."""
    rows = probe_rows(load_cells(folder))
    parts = ["# Recall by position", PROSE]
    if find_spec("matplotlib") and rows:
        from astro_sim.curves.plotting import panels, save_figure
        from rmaat.report.plots import plot_recall

        shown = {row["name"]: [*places(row["at_T"]), *places(row["at_stretch"])] for row in rows}
        ax = plot_recall(shown, 5, rows[0]["chance"], ax=panels(size=(8, 0.8 + 0.2 * len(rows))))
        ax.set_xticks(range(10), ["first", "¼", "½", "¾", "last"] * 2)
        ax.set_xlabel("segment that holds the answer, at T (left) and beyond (right)")
        save_figure(ax.figure, Path(folder) / "recall", "Recall by position of the marked symbol, at T and beyond.")
        parts.append("![Recall by position](recall.svg)")
    parts += [probe_table(rows), RATES_PROSE, rates_table(rows), WEIGHTS_PROSE, weights_table(rows)]
    return write_text(Path(folder) / "recall.md", "\n\n".join(part.strip() for part in parts) + "\n")


def load_cells(folder: Path | str) -> list[dict[str, Any]]:
    """The results of all finished cells in a probe's folder."""
    results = [read_json(path) for path in sorted((Path(folder) / "cells").glob("*.json"))]
    return [{**result, "cell": asdict(ProbeCell(**result["cell"]))} for result in results]  # older ones: defaults


LEARNED_MARGIN = 0.05  # a training accuracy this little above chance is chance

PLACES = ("first", "quarter", "middle", "three quarters", "last")


def probe_rows(cells: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per configuration: its seeds at the learning rate that trains best, best configuration first.

    The learning rate is chosen by the mean training accuracy over seeds, among those with the most seeds. `learned`
    counts the seeds that left chance in training; a configuration without any, at any learning rate, is not recalled.
    """
    rows = []
    groups = grouped(cells, lambda cell: tuple(item for item in cell["cell"].items() if item[0] not in ("lr", "seed")))
    values = grouped((pair for settings in groups for pair in settings), lambda pair: pair[0])
    usual = [pair for pairs in values.values() for pair, n in Counter(pairs).items() if 2 * n > len(pairs)]
    for settings, found in groups.items():
        by_lr = grouped(found, lambda cell: cell["cell"]["lr"])
        most = max(len(seeds) for seeds in by_lr.values())
        full = {lr: seeds for lr, seeds in by_lr.items() if len(seeds) == most}
        lr = max(sorted(full), key=lambda lr: np.mean([cell["train_accuracy"] for cell in full[lr]]))
        chosen = full[lr]
        rows.append(
            {
                "settings": dict(settings),
                "name": _row_name(settings, usual),
                "lr": lr,
                "seeds": most,
                "learned": sum(_learned(cell) for cell in chosen),
                "ever_learned": any(_learned(cell) for cell in found),
                "train_accuracy": float(np.mean([cell["train_accuracy"] for cell in chosen])),
                "chance": chosen[0]["chance"],
                "at_T": np.mean([cell["accuracy_at_T"] for cell in chosen], axis=0),
                "at_stretch": np.mean([cell["accuracy_at_stretch"] for cell in chosen], axis=0),
                "worst": {lr: [min(cell["accuracy_at_stretch"]) for cell in seeds] for lr, seeds in by_lr.items()},
                "weights": chosen[0]["weights"],
            }
        )
    return sorted(rows, key=lambda row: (-min(row["at_stretch"]), -np.mean(row["at_stretch"])))


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
    lines = [
        [row["name"], *(", ".join(f"{value:.2f}" for value in row["worst"].get(lr, ())) for lr in lrs)] for row in rows
    ]
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
