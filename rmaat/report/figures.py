"""Figures of a run: loss, accuracy, memory and attention."""

from pathlib import Path

import matplotlib.pyplot as plt

from astro_sim.curves.files import read_if_there, read_json
from astro_sim.curves.plotting import STYLE, panels, save_figure
from rmaat.models.rmaat import RMAAT
from rmaat.report.plots import plot_accuracy, plot_log, plot_memory_flow, plot_position_kernel, plot_timescales
from rmaat.training.evaluation import load_run


def draw_figures(run: str | Path) -> list[Path]:
    """Draw what the run holds into ``RUN/figures``; return the PNG files. Without a trained model nothing is drawn."""
    run = Path(run)
    if not (run / "model" / "model.safetensors").is_file():
        return []
    model, _ = load_run(run)
    with plt.style.context(STYLE):
        paths = [_loss(run), _accuracy(run), _memory(run, model), _attention(run, model)]
    return [path for path in paths if path is not None]


def _save(ax, run: Path, name: str, caption: str) -> Path:
    return save_figure(ax.figure, run / "figures" / name, caption)[1]


def _loss(run: Path) -> Path | None:
    if not (run / "log.jsonl").exists():
        return None
    loss, accuracy = panels(1, 2, size=(8.2, 3.0))
    plot_log(run, ax=loss)
    for folder in (run, *sorted(path.parent for path in run.glob("baselines/*/log.jsonl"))):
        plot_log(folder, "validation_accuracy", ax=accuracy)
        accuracy.lines[-1].set_label(read_json(folder / "config.json")["train"]["model"])
    accuracy.set_ylabel("validation accuracy")
    accuracy.legend(loc="lower right")
    words = "Training and validation loss, and validation accuracy of the model and its baselines."
    return _save(loss, run, "loss", words)


def _accuracy(run: Path) -> Path | None:
    metrics = read_if_there(run / "metrics.json")
    if "test_accuracy" not in metrics:
        return None
    entries = [metrics] + [read_json(path) for path in sorted(run.glob("baselines/*/metrics.json"))]
    measured = {entry["model"]: [entry["test_accuracy"]] for entry in entries}
    ax = plot_accuracy(measured, majority=metrics["majority_rate"])
    return _save(ax, run, "accuracy", f"Test accuracy on {metrics['task']}, one seed each, and the majority class.")


def _memory(run: Path, model: RMAAT) -> Path | None:
    retention = model.constants.retention
    if retention is None:
        return None
    has_rates = retention.rates is not None
    axes = panels(1, 2, size=(8.2, 3.0)) if has_rates else [panels(size=(4.2, 3.0))]
    plot_memory_flow(retention, 16, ax=axes[0])
    words = "Weight that the content of each segment still has in the memory, by the rule alone."
    if has_rates:
        plot_timescales(retention, ax=axes[1])
        words += " Right: the relaxation rate of each memory token, from the simulated population."
    return _save(axes[0], run, "memory_flow", words)


def _attention(run: Path, model: RMAAT) -> Path | None:
    blocks = getattr(model, "blocks", ())
    if not blocks or getattr(blocks[0].attention, "projection", None) is None:
        return None
    ax = plot_position_kernel(blocks[0].attention)
    words = "Kernel of the positional term R, its decay from the simulated spread, and the overlap of learned phi(R)."
    return _save(ax, run, "attention_kernel", words)
