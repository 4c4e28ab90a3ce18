"""Recordings of experiments with made-up values, from which derivations must find what was planted."""

import dataclasses
import json

import numpy as np
import xarray as xr

from astro_sim.derivations.standard import DERIVATIONS


def recording(variables: dict, experiment, **attrs) -> xr.Dataset:
    """A recording as `simulate` gives it, with made-up values."""
    parameters = {"astrocyte.calcium.O_P": {"value": 0.9, "unit": "uM/s"}, "astrocyte.source": "planted", "x": None}
    provenance = {
        "model": "Planted", "preset": "fm", "parameters": json.dumps(parameters), "seed": experiment.seed,
        "protocol": json.dumps({"class": "P", "rate": {"value": list(range(40)), "unit": "1/s"}}), "dt_s": 1e-3,
        "astrocyte_dt_s": 1e-2, "target": "cpp_standalone", "versions": json.dumps({"numpy": np.__version__}),
        "equations_sha256": "abc",
    }  # fmt: skip
    return xr.Dataset({k: (("time", dim), v) for k, (dim, v) in variables.items()}, attrs=provenance | attrs)


def efficacies(experiment, tau, seed=0, **attrs) -> xr.Dataset:
    """Efficacies that rise with time constant `tau` (a number, or one per synapse) and scatter about it."""
    t = experiment.cycle_ends()
    noise = 0.1 * np.random.default_rng(seed).normal(size=(t.size, experiment.n_synapses))
    rho = 0.55 * -np.expm1(-t[:, None] / np.broadcast_to(tau, experiment.n_synapses)) + noise * (t > 0)[:, None]
    return recording({"rho": ("synapse", rho)}, experiment, **attrs).assign_coords(time=t)


def ratios(experiment, derivation: str, parameter: str, **overrides: str) -> list[float]:
    """By how much a fitted parameter changes with each of the overrides alone, with the same draws."""
    form = {"form": "saturating_exponential"} if derivation == "ltp" else {}
    values = []
    for changes in ({}, *({symbol: text} for symbol, text in overrides.items())):
        curve = DERIVATIONS[derivation](dataclasses.replace(experiment, overrides=changes), **form)
        values.append(curve.parameters[parameter])
    return [value / values[0] for value in values[1:]]
