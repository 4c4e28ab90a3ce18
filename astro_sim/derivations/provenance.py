"""Where a derived curve comes from: the command that made it, and all that the recording knows of its run."""

import dataclasses
import json
import shlex
from importlib.metadata import version
from typing import Any

from astro_sim.curves.curve import Curve, twelve
from astro_sim.derivations.experiment import Experiment
from astro_sim.simulation.recording import Recording


def with_provenance(
    curve: Curve, derivation: str, experiment: Experiment, recording: Recording, **beside: Any
) -> Curve:
    """The curve with its provenance, and with what is noted beside the fit.

    `derivation` is ``ltp`` where the function is `astro_sim.derivations.ltp.derive_ltp`; `recording` is what the
    experiment gave.
    """
    attrs = recording.attrs
    described = json.loads(attrs["parameters"])
    sources = {key: value for key, value in described.items() if key.split(".")[-1] == "source"}
    origin = {
        "kind": "simulation",
        "command": command(curve.name, derivation, experiment),
        "source": "; ".join(dict.fromkeys(sources.values())) or attrs["source"],
        "derivation": derivation,
        "model": attrs["model"],
        "preset": attrs.get("preset", attrs["model"]),
        "seed": int(attrs["seed"]),
        "dt": f"{attrs['dt_s']:g} s",
        "astrocyte_dt": f"{attrs.get('astrocyte_dt_s', attrs['dt_s']):g} s",
        "target": attrs["target"],
        "equations_sha256": attrs["equations_sha256"],
        "versions": json.loads(attrs["versions"]) | {"scipy": version("scipy")},
        "config": dataclasses.asdict(experiment),
        "protocol": _concise(json.loads(attrs["protocol"])),
        "sources": sources,
        "parameters": {key: _concise(entry) for key, entry in sorted(described.items()) if isinstance(entry, dict)},
    }
    return dataclasses.replace(curve, fit=curve.fit | beside, provenance=origin)


def _concise(value: Any) -> Any:
    """Twelve digits, no empty entries, and long arrays in words."""
    if isinstance(value, dict):
        return {key: _concise(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list) and len(value) > 32:
        return f"{len(value)} values from {min(value):.6g} to {max(value):.6g}"
    if isinstance(value, list):
        return [_concise(entry) for entry in value]
    return twelve(value) if isinstance(value, float) else value


def command(name: str, derivation: str, experiment: Experiment) -> str:
    """The command that makes this curve: of the command line where that can say it, else of Python."""
    committed = vars(type(experiment)).get("committed", {})  # not those of a parent
    standard = type(experiment)(**committed.get(name, {}))
    values = dataclasses.asdict(experiment)
    changed = {key: value for key, value in values.items() if value != getattr(standard, key)}
    if name in committed and changed.keys() <= {"seed", "n_synapses", "overrides"}:
        overrides = [f"{symbol}={text}" for symbol, text in changed.pop("overrides", {}).items()]
        numbers = [word for key, value in changed.items() for word in (f"--{key.replace('_', '-')}", f"{value}")]
        words = ["astro-sim", "curves", "--only", name, *numbers, *(["--set", *overrides] if overrides else [])]
        return shlex.join(words)
    arguments = ", ".join(f"{key}={value!r}" for key, value in changed.items())
    return f"astro_sim.derivations.derive_{derivation}({type(experiment).__name__}({arguments}), name={name!r})"
