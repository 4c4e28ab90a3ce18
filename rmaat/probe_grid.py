"""The retention probe's grid: every cell of it that is not there yet, the table and the heat map.

Each finished cell is one JSON file, so that a probe that was stopped goes on where it was.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any, get_args

from rmaat import tables
from rmaat.config import Norm, Rule, Timescales
from rmaat.curves import Curve, load_curves
from rmaat.files import read_json, write_text
from rmaat.probe import WITHOUT_CURVE, ProbeCell, run_cell

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
    """Train every memory rule to recall one marked symbol and test it by the symbol's segment, at T and beyond.

    There is a cell for every combination that means something. A learned rule or `replace` follows no curve, so it has
    one cell per norm, learning rate and seed; `population` exists for relax and consolidate.
    """

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
        for axis in (*tables.AXES, "lr", "seed"):
            if (got := getattr(self.cell, axis)) != getattr(ProbeCell, axis):
                raise ValueError(f"cell.{axis} must be left out, got {got!r}; choose it by --{axis}s")
        for name in ("rules", "retentions", "norms", "lrs", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{name} must be at least one, each once, got {', '.join(map(str, values)) or 'none'}")

    def cells(self) -> Iterator[ProbeCell]:
        """All cells; those of the first learning rate and seed come first."""
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
        schedules.append(("population", tables.OWN_CURVE["population"]))
    return schedules


def run_probe(config: ProbeConfig, report: Callable[[str], None] | None = None) -> list[dict[str, Any]]:
    """Run the cells that have no file in ``config.out`` yet; return all results, with table and heat map written.

    Parameters
    ----------
    report : callable, optional
        Told one line after each cell.

    Raises
    ------
    ValueError
        If a cell that is there was trained with other curves.
    """
    curves = load_curves(config.curve_folder)
    started = perf_counter()
    for cell in config.cells():
        path = config.out / "cells" / f"{cell.name}.json"
        if path.exists():
            _compare_curves(path, cell, curves)
            continue
        if config.max_seconds is not None and perf_counter() - started > config.max_seconds:
            break
        result = run_cell(cell, curves)
        write_text(path, json.dumps(result, indent=1) + "\n")
        if report is not None:
            at_t, further = (min(result[key]) for key in ("accuracy_at_T", "accuracy_at_stretch"))
            seen = f"train {result['train_accuracy']:.2f}, worst segment {at_t:.2f} at T, {further:.2f} beyond"
            report(f"{cell.name}: {seen} ({result['seconds']:.0f} s)")
    render_probe(config.out)
    return load_cells(config.out)


def _compare_curves(path: Path, cell: ProbeCell, curves: Mapping[str, Curve]) -> None:
    now = cell.curve_hashes(curves)
    was = read_json(path).get("curves", now)  # older cells do not say
    if changed := [name for name in now if was.get(name) != now[name]]:
        raise ValueError(
            f"{path} must be a cell of the curves as they are, got another {changed[0]}; "
            "delete it or choose another --out"
        )


def render_probe(folder: Path | str) -> Path:
    """Write the tables, ``recall.md``, and where Matplotlib is installed the heat map; the tables' path."""
    rows = tables.probe_rows(load_cells(folder))
    parts = ["# Recall by position", PROSE]
    if find_spec("matplotlib") and rows:
        from rmaat.plotting import panels, plot_recall, save_figure

        shown = {row["name"]: [*tables.places(row["at_T"]), *tables.places(row["at_stretch"])] for row in rows}
        ax = plot_recall(shown, 5, rows[0]["chance"], ax=panels(size=(8, 0.8 + 0.2 * len(rows))))
        ax.set_xticks(range(10), ["first", "¼", "½", "¾", "last"] * 2)
        ax.set_xlabel("segment that holds the answer, at T (left) and beyond (right)")
        save_figure(ax.figure, Path(folder) / "recall", "Recall by position of the marked symbol, at T and beyond.")
        parts.append("![Recall by position](recall.svg)")
    parts += [tables.probe_table(rows), RATES_PROSE, tables.rates_table(rows)]
    parts += [WEIGHTS_PROSE, tables.weights_table(rows)]
    return write_text(Path(folder) / "recall.md", "\n\n".join(part.strip() for part in parts) + "\n")


def load_cells(folder: Path | str) -> list[dict[str, Any]]:
    """The results of all finished cells in a probe's folder."""
    results = [read_json(path) for path in sorted((Path(folder) / "cells").glob("*.json"))]
    return [{**result, "cell": asdict(ProbeCell(**result["cell"]))} for result in results]  # older ones: defaults
