"""Recurrent memory transformer whose attention and memory are derived from simulated astrocytes."""

from pathlib import Path
from typing import TYPE_CHECKING

from astro_sim.curves.curve import Curve, CurveFileError
from astro_sim.curves.format import load_curve
from rmaat.config import ModelConfig
from rmaat.data import load_curves
from rmaat.layers.attention import AstromorphicAttention
from rmaat.memory.retention import retention_factors
from rmaat.memory.segments import State
from rmaat.models.rmaat import RMAAT

__all__ = [
    "RMAAT", "AstromorphicAttention", "Curve", "CurveFileError", "ModelConfig", "State", "load_curve", "load_curves",
    "pipeline", "retention_factors",
]  # fmt: skip

if TYPE_CHECKING:
    from rmaat.training.prediction import Pipeline


def pipeline(run: Path | str, device: str = "cpu") -> "Pipeline":
    """A trained run, to be called on texts: :class:`rmaat.training.prediction.Pipeline`.

    Parameters
    ----------
    run : run directory, as `rmaat train` wrote it.
    device : where to compute.

    Examples
    --------
    The run of reviews with labels, and of a text without any::

        pipeline("runs/reviews")("A film to remember.")["label"]
        pipeline("runs/corpus")("Once upon a time", n_tokens=100)
    """
    from rmaat.training.prediction import Pipeline  # tasks, which a model alone does not need

    return Pipeline(run, device)
