"""Trace of the constants of a checkpoint: how each was derived from a simulation.

    equations -> preset -> protocol -> simulation -> fit -> curve file -> constant -> layer

Everything is read from the copies of the curve files in the checkpoint; no simulator is needed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from astro_sim.curves.curve import Curve
from rmaat.config import check_count
from rmaat.memory.retention import Retention
from rmaat.models.rmaat import RMAAT


class Step(NamedTuple):
    """One link of the chain."""

    kind: str
    text: str


@dataclass(frozen=True)
class Derived:
    """A constant of the model with its value in words and its chain, from the equations to the layer."""

    name: str
    headline: str
    steps: list[Step]

    def lines(self) -> list[str]:
        """The chain for a terminal, from the layer down to the equations."""
        width = max(len(step.kind) for step in self.steps)
        return [self.headline, *(f"  <- {step.kind:<{width}}  {step.text}" for step in reversed(self.steps))]


def trace(run: str | Path, *, n_segments: int | None = None) -> list[Derived]:
    """Trace the constants of the checkpoint of a run (``RUN/model``, or a folder written by ``save_pretrained``).

    Retention factors are listed for T = `n_segments`, by default that of the longest input of the model's task.
    """
    if n_segments is not None:
        check_count("n_segments", n_segments)
    folder = Path(run)
    folder = folder / "model" if (folder / "model").is_dir() else folder
    model = RMAAT.from_pretrained(folder)
    provenance = model.provenance(n_segments)
    values = {"alpha": _alpha(model), "position_scale": _position_scale(model)}
    if (retention := model.constants.retention) is not None and "retention" in provenance["origins"]:
        n_segments = provenance["n_segments"] or 8
        values["retention"] = _retention(retention, n_segments, provenance["extrapolated"])
    derived = []
    for name, origin in provenance["origins"].items():
        headline, layer = values[name]
        derived.append(Derived(name, headline, _steps(model, origin, layer)))
    return derived


def _alpha(model: RMAAT) -> tuple[str, str]:
    curve = model.constants.curves.get("stp_calcium")
    error = "" if curve is None else f" ± {curve.stderr['exponent']:.2g}"
    layer = "attention: exponent of g, the Ca2+ response in the normaliser C"
    return f"alpha = {model.constants.alpha:.4g}{error}", layer


def _position_scale(model: RMAAT) -> tuple[str, str]:
    curve, scale = model.constants.curves.get("stp_spatial"), model.constants.position_scale
    error = "" if curve is None else f" ± {scale * curve.stderr['length'] / curve.parameters['length']:.2g}"
    return f"position scale = {scale:.4g}{error} per token", "attention: decay of R, the positional term of H_astro"


def _retention(retention: Retention, n_segments: int, extrapolated: bool | None) -> tuple[str, str]:
    note = ", extrapolated beyond the observed range" if extrapolated else ""
    layer = f"memory: rule {retention.rule!r} at the border of every segment"
    if retention.rates is not None:
        rates = retention.rates.tolist()
        last = f" ... {rates[-1]:.3g} for {len(rates)} memory tokens" if len(rates) > 1 else ""
        return f"retention: a = {rates[0]:.3g}{last} per segment{note}", layer
    take = Retention("scale", retention.curve, None, retention.seconds_per_segment).table(n_segments)[1]
    factors = " ".join(f"{float(factor):.3f}" for factor in torch.atleast_1d(take.squeeze()))
    return f"retention factors RF(1..{n_segments}) = {factors}{note}", layer


def _steps(model: RMAAT, origin: str, layer: str) -> list[Step]:
    if origin.startswith("override"):
        step = Step("configuration", f"{origin}: set by hand, not derived from a simulation")
        return [step, Step("layer", layer)]
    name, constant = origin.removeprefix("curve ").split(": ", 1)
    curve = model.constants.curves[name]
    draw = "" if curve.draw is None else f", draw {curve.draw} of seed {curve.draw_seed}"
    values = ", ".join(f"{key} {value:.4g} ± {curve.stderr[key]:.2g}" for key, value in curve.parameters.items())
    quality = f"R² {curve.fit['r_squared']:.4f}, n {curve.fit['n_samples']}"
    return [
        *_simulation(curve),
        Step("fit", f"{curve.form.name}: {values}; {quality}; form chosen by {curve.fit['chosen_by']}"),
        Step("curve file", f"{name}.toml, sha256 {curve.sha256[:12]}{draw}"),
        Step("constant", constant),
        Step("layer", layer),
    ]


def _simulation(curve: Curve) -> list[Step]:
    """What the data are: a simulation down to its equations, or a measured file."""
    provenance = curve.provenance
    if provenance["kind"] == "measurement":
        digest = provenance["data_sha256"][:12]
        return [Step("measurement", f"{provenance['data']}, sha256 {digest}; {provenance['source']}")]
    parameters, protocol = provenance["parameters"], provenance["protocol"]
    if not isinstance(protocol, str):
        settings = [f"{name} {_amount(value)}" for name, value in protocol.items() if name != "class"]
        protocol = ", ".join([protocol["class"], *settings])
    return [
        Step("equations", f"sha256 {provenance['equations_sha256'][:12]}"),
        Step("preset", f"{provenance['preset']}, {len(parameters)} parameters; {provenance['source']}"),
        Step("protocol", protocol),
        Step("simulation", f"Brian2 ({provenance['target']}), dt {provenance['dt']}, seed {provenance['seed']}"),
    ]


def _amount(value: object) -> str:
    if isinstance(value, dict):
        unit = "" if value["unit"] == "1" else f" {value['unit']}"
        return _amount(value["value"]) + unit
    if isinstance(value, list) and len(value) > 3:
        return f"{_amount(value[0])} ... {_amount(value[-1])} ({len(value)})"
    if isinstance(value, list):
        return " ".join(map(_amount, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
