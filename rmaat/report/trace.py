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

    Parameters
    ----------
    n_segments : int, optional
        T for which retention factors are listed; by default that of the longest input of the model's task.

    Raises
    ------
    CurveFileError
        If the checkpoint's curve files are missing.
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
    return [Derived(name, *_chain(model, origin, *values[name])) for name, origin in provenance["origins"].items()]


def _alpha(model: RMAAT) -> tuple[str, str]:
    curve = model.constants.curves.get("stp_calcium")
    error = "" if curve is None else f" ± {curve.stderr['exponent']:.2g}"
    return (
        f"alpha = {model.constants.alpha:.4g}{error}",
        "attention: exponent of g, the Ca2+ response in the normaliser C",
    )


def _position_scale(model: RMAAT) -> tuple[str, str]:
    curve, scale = model.constants.curves.get("stp_spatial"), model.constants.position_scale
    error = "" if curve is None else f" ± {scale * curve.stderr['length'] / curve.parameters['length']:.2g}"
    return f"position scale = {scale:.4g}{error} per token", "attention: decay of R, the positional term of H_astro"


def _retention(retention: Retention, n_segments: int, extrapolated: bool | None) -> tuple[str, str]:
    note = ", extrapolated beyond the observed range" if extrapolated else ""
    layer = f"memory: rule {retention.rule!r} at the border of every segment"
    if retention.rates is not None:
        rates = retention.rates.tolist()
        listed = f"a = {rates[0]:.3g}"
        if len(rates) > 1:
            listed += f" ... {rates[-1]:.3g} for {len(rates)} memory tokens"
        return f"retention: {listed} per segment{note}", layer
    return f"retention factors RF(1..{n_segments}) = {_factors(retention, n_segments)}{note}", layer


def _factors(retention: Retention, n_segments: int) -> str:
    take = Retention("scale", retention.curve, None, retention.seconds_per_segment).table(n_segments)[1]
    return " ".join(f"{float(factor):.3f}" for factor in torch.atleast_1d(take.squeeze()))


def _chain(model: RMAAT, origin: str, headline: str, layer: str) -> tuple[str, list[Step]]:
    """Headline and steps of one constant."""
    if origin.startswith("override"):
        step = Step("configuration", f"{origin}: set by hand, not derived from a simulation")
        return headline, [step, Step("layer", layer)]
    name = origin.removeprefix("curve ").split(":")[0]
    curve = model.constants.curves[name]
    draw = "" if curve.draw is None else f", draw {curve.draw} of seed {curve.draw_seed}"
    steps = [
        *_simulation(curve),
        Step("fit", _fit(curve)),
        Step("curve file", f"{name}.toml, sha256 {curve.sha256[:12]}{draw}"),
        Step("constant", origin.split(": ", 1)[1]),
        Step("layer", layer),
    ]
    return headline, steps


def _simulation(curve: Curve) -> list[Step]:
    """What the data are: a simulation down to its equations, or a measured file."""
    provenance = curve.provenance
    if provenance["kind"] == "measurement":
        digest = provenance["data_sha256"][:12]
        return [Step("measurement", f"{provenance['data']}, sha256 {digest}; {provenance['source']}")]
    parameters = provenance["parameters"]
    return [
        Step("equations", f"sha256 {provenance['equations_sha256'][:12]}"),
        Step("preset", f"{provenance['preset']}, {len(parameters)} parameters; {provenance['source']}"),
        Step("protocol", _in_words(provenance["protocol"])),
        Step("simulation", f"Brian2 ({provenance['target']}), dt {provenance['dt']}, seed {provenance['seed']}"),
    ]


def _in_words(protocol: dict | str) -> str:
    """A protocol as its class and settings: ``CycledPairing, burst 5 s, ..., rate 1 1/s``."""
    if isinstance(protocol, str):
        return protocol
    settings = [f"{name} {_amount(value)}" for name, value in protocol.items() if name != "class"]
    return ", ".join([protocol["class"], *settings])


def _amount(value: object) -> str:
    if isinstance(value, dict):
        unit = "" if value["unit"] == "1" else f" {value['unit']}"
        return _amount(value["value"]) + unit
    if isinstance(value, list) and len(value) > 3:
        return f"{_amount(value[0])} ... {_amount(value[-1])} ({len(value)})"
    if isinstance(value, list):
        return " ".join(map(_amount, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _fit(curve: Curve) -> str:
    values = ", ".join(f"{name} {value:.4g} ± {curve.stderr[name]:.2g}" for name, value in curve.parameters.items())
    fit = curve.fit
    quality = f"R² {fit['r_squared']:.4f}, n {fit['n_samples']}"
    return f"{curve.form.name}: {values}; {quality}; form chosen by {fit['chosen_by']}"
