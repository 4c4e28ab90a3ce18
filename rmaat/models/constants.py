"""The model's constants: read from curves, or overridden in the configuration, with a record of which."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from astro_sim.curves.curve import Curve, CurveFileError
from rmaat.config import ModelConfig, Timescales
from rmaat.data import load_curves
from rmaat.memory.retention import Retention, population_rates, relaxation_rate


@dataclass(frozen=True)
class Constants:
    """alpha, position_scale and retention of a model.

    Attributes
    ----------
    alpha : float
        Exponent of the Ca2+ response: ``exponent`` of the power law ``stp_calcium``.
    position_scale : float
        ``cells_per_token`` / ``length`` of the exponential decay ``stp_spatial``.
    retention : Retention, optional
        None with a learned rule or without memory.
    synaptic_rates : tensor (n_heads,)
        Relaxation of H per segment, 0 where it does not relax.
    origins
        Where each comes from, in words.
    curves
        The curves that were used; no others.
    """

    alpha: float
    position_scale: float
    retention: Retention | None
    synaptic_rates: Tensor
    origins: dict[str, str]
    curves: dict[str, Curve]

    @classmethod
    def resolve(cls, config: ModelConfig, curves: Mapping[str, Curve] | None) -> "Constants":
        """Look up what `config` needs in `curves` (None: the packaged ones, read only if something is needed)."""
        shelf = _Shelf(curves)
        alpha, position_scale = _alpha(config, shelf), _position_scale(config, shelf)
        retention, synaptic_rates = _retention(config, shelf), _synaptic_rates(config, shelf)
        return cls(alpha, position_scale, retention, synaptic_rates, shelf.origins, shelf.used)

    def extrapolated(self, n_segments: int) -> bool:
        """True when T = `n_segments` reads a curve beyond its observed range."""
        retention = self.retention
        if retention is None or retention.curve is None:
            return False
        return retention.curve.is_extrapolated(n_segments * retention.seconds_per_segment)

    def record(self, n_segments: int | None) -> dict[str, Any]:
        """All of it in JSON types: values, where they come from, and `extrapolated` for T = `n_segments`, if known."""
        rates = None if self.retention is None or self.retention.rates is None else self.retention.rates.tolist()
        return {
            "alpha": self.alpha,
            "position_scale": self.position_scale,
            "relaxation_rates": rates,
            "synaptic_rates": self.synaptic_rates.tolist(),
            "origins": dict(self.origins),
            "overridden": sorted(name for name, origin in self.origins.items() if origin.startswith("override")),
            "n_segments": n_segments,
            "extrapolated": None if n_segments is None else self.extrapolated(n_segments),
        }


X_UNITS = {"ltp": "s", "ltp_population": "Hz", "stp_calcium": "Hz", "stp_spatial": "cells"}


class _Shelf:
    """Curves by name, noting which were taken and where each constant comes from."""

    def __init__(self, curves: Mapping[str, Curve] | None):
        if curves is not None and not isinstance(curves, Mapping):
            got = type(curves).__name__
            raise ValueError(f"curves must be a dict of names to curves, got {got}; load_curves(folder) makes one")
        self.curves = curves
        self.used: dict[str, Curve] = {}
        self.origins: dict[str, str] = {}

    def take(self, name: str, constant: str, origin: str, form: str | None = None) -> Curve:
        """The curve that gives `constant`; ValueError for none, what is no curve, or one of another form."""
        self.origins[constant] = origin
        if self.curves is None:
            self.curves = load_curves()
        if name not in self.curves:
            there = ", ".join(self.curves) or "none"
            rule = f"curves must hold {name!r} for {constant}"
            raise CurveFileError(f"{rule}, got {there}; or override it in ModelConfig")
        curve = self.curves[name]
        if not isinstance(curve, Curve):
            got = type(curve).__name__
            raise ValueError(f"curves must hold curves, got {got} for {name!r}; load_curve(path) reads a file")
        if form is not None and curve.form.name != form:
            raise ValueError(f"curve {name!r} must have the form {form} to give {constant}, got {curve.form.name}")
        if curve.x.unit != X_UNITS[name]:
            raise ValueError(f"curve {name!r} must have x in {X_UNITS[name]} to give {constant}, got {curve.x.unit}")
        self.used[name] = curve
        return curve

    def rates(self, timescales: Timescales, constant: str, n: int, seconds: float, start: str = "") -> Tensor:
        """`n` relaxation rates of the population, or the one of `ltp`; on the CPU whatever the default device."""
        if timescales == "population":
            origin = f"{start}curve ltp_population: 1 / tau_eff at log-spaced burst rates"
            return population_rates(self.take("ltp_population", constant, origin), n, seconds)
        curve = self.take("ltp", constant, "curve ltp: seconds_per_segment / tau_eff")
        return _one_rate(relaxation_rate(curve, seconds))


def _alpha(config: ModelConfig, shelf: _Shelf) -> float:
    if config.attention != "astromorphic":
        return 1.0
    if config.alpha is not None:
        shelf.origins["alpha"] = "override: alpha"
        return config.alpha
    curve = shelf.take("stp_calcium", "alpha", "curve stp_calcium: exponent", "power_law")
    return curve.parameters["exponent"]


def _position_scale(config: ModelConfig, shelf: _Shelf) -> float:
    if config.attention != "astromorphic" or config.position == "none":
        return 0.0
    if config.position_scale is not None:
        shelf.origins["position_scale"] = "override: position_scale"
        return config.position_scale
    origin = f"curve stp_spatial: cells_per_token ({config.cells_per_token:g}) / length"
    curve = shelf.take("stp_spatial", "position_scale", origin, "exponential_decay")
    return config.cells_per_token / curve.parameters["length"]


def _retention(config: ModelConfig, shelf: _Shelf) -> Retention | None:
    rule, seconds = str(config.memory_update), config.seconds_per_segment
    if config.n_memory == 0 or rule in ("gated", "attend"):
        return None
    if rule == "replace":
        return Retention(rule)
    if config.relaxation_rate is not None:
        shelf.origins["retention"] = "override: relaxation_rate"
        return Retention(rule, rates=_one_rate(config.relaxation_rate))
    if config.timescales == "population" or rule == "relax":
        return Retention(rule, rates=shelf.rates(config.timescales, "retention", config.n_memory, seconds))
    curve = shelf.take("ltp", "retention", "curve ltp: increments per segment")
    return Retention(rule, curve=curve, seconds_per_segment=seconds)


def _synaptic_rates(config: ModelConfig, shelf: _Shelf) -> Tensor:
    """a_h of each head; RetNet's (arXiv:2307.08621) are those of gamma_h = 1 - 2^(-5 - h) a token."""
    n, chosen, seconds = config.n_heads, config.synaptic_rates, config.seconds_per_segment
    with torch.device("cpu"):
        if config.synapses in ("none", "gated_delta") or chosen == "none":
            return torch.zeros(n, dtype=torch.float64)
        if chosen == "single":
            return shelf.rates("single", "synapses", n, seconds).repeat(n)
        if chosen in ("population", "learned"):
            start = "start of " if chosen == "learned" else ""
            return shelf.rates("population", "synapses", n, seconds, start)
        shelf.origins["synapses"] = f"override: synaptic_rates = {chosen}"
        if chosen == "loguniform":
            return torch.logspace(math.log10(0.01), math.log10(2), n, dtype=torch.float64)
        return -config.segment_len * torch.log1p(-(2.0 ** (-5 - torch.arange(n, dtype=torch.float64))))


def _one_rate(rate: float) -> Tensor:
    """On the CPU, whatever the default device: a model built on "meta" must know its constants."""
    return torch.tensor([rate], dtype=torch.float64, device="cpu")
