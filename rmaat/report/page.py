"""One self-contained HTML page that shows a run: its result, the origin of its constants, its figures and its curves.

It shows what the run folder holds (figures of either package, curve files, metrics, config), so it works on a run that
simulated and trained, on one that only trained, and on a folder of freshly fitted curves.
"""

import base64
import json
from pathlib import Path

from jinja2 import Environment, PackageLoader
from PIL import Image

from astro_sim.curves.curve import Curve
from astro_sim.curves.files import read_if_there, write_text
from rmaat.data import load_curves
from rmaat.report.trace import Derived, trace

FIGURE_ORDER = ("calcium", "ltp", "stp", "retention", "attention", "memory", "loss", "accuracy")

SUBTITLE = {"device": "device:", "seed": "seed"}


def report(run: str | Path, *, title: str | None = None) -> Path:
    """Write ``report.html`` into the run folder and return its path."""
    run = Path(run)
    metrics = _read_metrics(run / "metrics.json")
    curves = load_curves(run / "curves") if (run / "curves").is_dir() else {}
    if not metrics and not curves:
        raise ValueError(
            f"run must hold metrics.json or curves/, got neither in {run}; train into it with `rmaat train --run {run}`"
        )
    derived = trace(run) if (run / "model").is_dir() else []
    templates = Environment(loader=PackageLoader("rmaat.report", "."), autoescape=True, trim_blocks=True)
    record = read_if_there(run / "config.json")
    settings = {name: value for name, value in record.items() if name in ("train", "network", "task")}
    html = templates.get_template("report.html.jinja").render(
        title=title or f"Run {run.resolve().name}",
        summary=_summary(metrics, derived),
        subtitle=" · ".join(f"{label} {metrics[name]}" for name, label in SUBTITLE.items() if name in metrics),
        results=_results(run, metrics),
        chains=[{"title": number.headline, "steps": number.steps} for number in derived],
        figures=[_figure(path) for path in _figures(run)],
        curves=[_curve(name, curve) for name, curve in curves.items()],
        seconds=[(stage, f"{value:.1f}") for stage, value in metrics.get("seconds", {}).items()],
        config=sorted(_flatten(settings)),
    )
    return write_text(run / "report.html", html)


def _summary(metrics: dict, derived: list[Derived]) -> str:
    if "test_accuracy" not in metrics:
        return "Curves fitted to simulated astrocytes; no model has been trained in this folder yet."
    gain = 100 * (metrics["test_accuracy"] - metrics["majority_rate"])
    origin = f" {len(derived)} of its constants come from the curves below." if derived else ""
    return (
        f"{metrics['model']} reaches {metrics['test_accuracy']:.1%} on the test split of {metrics['task']}, {gain:.1f} "
        f"percentage points above always answering the commonest class ({metrics['majority_rate']:.1%}).{origin}"
    )


def _results(run: Path, metrics: dict) -> list[dict]:
    """The run's own row first, its baselines (sub-folders of ``baselines/``) after it, the majority class last."""
    if "test_accuracy" not in metrics:
        return []
    entries = [metrics] + [_read_metrics(path) for path in sorted(run.glob("baselines/*/metrics.json"))]
    rows = [
        {
            "model": entry["model"],
            "accuracy": f"{entry['test_accuracy']:.1%}",
            "parameters": f"{entry['parameters']:,}",
            "steps": f"{entry['steps']:,}",
            "seconds": f"{entry['seconds']['train']:.0f} s",
            "ours": entry is metrics,
        }
        for entry in entries
    ]
    return [*rows, {"model": "majority class", "accuracy": f"{metrics['majority_rate']:.1%}"}]


def _figures(run: Path) -> list[Path]:
    """Figures in the order of the story, SVG preferred over the PNG of the same name."""
    found = {path.stem: path for suffix in ("png", "svg") for path in sorted((run / "figures").glob(f"*.{suffix}"))}
    rank = {name: k for k, name in enumerate(FIGURE_ORDER)}
    return sorted(found.values(), key=lambda path: (rank.get(path.stem.split("_")[0], len(rank)), path.stem))


def _figure(path: Path) -> dict:
    """The picture as a data URI; its caption is the ``Description`` that the PNG beside it carries."""
    caption, wide, png = "", False, path.with_suffix(".png")
    if png.exists():
        with Image.open(png, formats=["PNG"]) as image:
            caption, wide = image.info.get("Description", ""), image.width > 2 * image.height
    kind, encoded = path.suffix[1:].replace("svg", "svg+xml"), base64.b64encode(path.read_bytes()).decode()
    source = f"data:image/{kind};base64,{encoded}"
    return {"name": path.stem.replace("_", " "), "caption": caption, "wide": wide, "source": source}


def _curve(name: str, curve: Curve) -> dict:
    parameters = [
        f"{key} = {value:.4g} ± {curve.stderr[key]:.2g} {'' if curve.units[key] == '1' else curve.units[key]}"
        for key, value in curve.parameters.items()
    ]
    fit = f"R² = {curve.fit['r_squared']:.4f}, {curve.fit['n_samples']} points"
    return {"name": name, "formula": curve.form.formula, "parameters": parameters, "fit": fit}


def _flatten(value: object, prefix: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [row for key, entry in value.items() for row in _flatten(entry, f"{prefix}.{key}" if prefix else key)]
    return [(prefix, json.dumps(value))]


def _read_metrics(path: Path) -> dict:
    """The metrics, {} where there are none; with a test accuracy all that the page says about a model must be there."""
    metrics = read_if_there(path)
    needed = ("model", "task", "majority_rate", "parameters", "steps", "seconds")
    if "test_accuracy" in metrics and (missing := [name for name in needed if name not in metrics]):
        raise ValueError(f"{path} must hold {missing[0]} of a finished run, got none; go on with `rmaat train`")
    if "test_accuracy" in metrics and "train" not in metrics["seconds"]:
        raise ValueError(f"{path} must hold seconds.train of a finished run, got none; go on with `rmaat train`")
    return metrics
