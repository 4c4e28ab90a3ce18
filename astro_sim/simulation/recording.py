"""A recording: an `xarray.Dataset` with units and provenance, written to and read from netCDF.

``recording["C"]`` has dimensions ``("time", "astrocyte")`` or ``("time", "synapse")``; times are in s, concentrations
in uM. ``recording.attrs`` holds where it came from: ``model``, ``parameters`` and ``protocol`` (JSON, every value with
its unit), ``seed``, ``dt_s``, ``astrocyte_dt_s``, ``target``, ``initial``, ``versions`` (JSON) and
``equations_sha256``. This module imports no simulator.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import platform
import sys
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from astro_sim.curves.files import replacing

Recording = xr.Dataset

FORMAT = "astro-recording"

VERSION = 1

SEAL = b"\nsha256 of all before: "  # netCDF readers pass over what stands behind the data


# Where variables must stay: fractions, and concentrations
RANGES = {
    **dict.fromkeys(("h", "x_S", "u_S", "x_A", "Gamma_A", "Gamma_S"), (0.0, 1.0, "from 0 to 1")),
    **dict.fromkeys(("C", "I", "Y_S", "G_A"), (0.0, np.inf, "finite and at least 0")),
}

ROUNDING = 1e-6  # by which a step may leave these ranges


class RecordingFileError(ValueError):
    """A file that is not a recording; says what to do."""


class SimulationError(ValueError):
    """A simulation that left the range of its variables; names variable, element and time."""


def save_recording(recording: Recording, path: str | os.PathLike[str]) -> None:
    """Write a recording as netCDF 4, a checksum behind it; the file appears whole or not at all.

    It is made in memory: where a disk is full, HDF5 would end the process with a segmentation fault. A worker of a Dask
    cluster needs no lock for that, and its scheduler knows none for memory.
    """
    import dask  # slow to import, and xarray loads it here too

    compressed = {name: {"zlib": True, "complevel": 4} for name in recording.data_vars if recording[name].size}
    with dask.config.set(scheduler="synchronous"):
        content = recording.to_netcdf(engine="h5netcdf", encoding=compressed)
    with replacing(path) as partial, partial.open("wb") as file:
        file.write(content)
        file.write(SEAL + hashlib.sha256(content).hexdigest().encode())


def load_recording(path: str | os.PathLike[str]) -> Recording:
    """Read a recording into memory; RecordingFileError for any other file, or one that was changed or damaged."""
    if not Path(path).is_file():
        raise RecordingFileError(f"path must be a recording, got {str(path)!r}, which does not exist")
    try:
        content, seal, digest = Path(path).read_bytes().rpartition(SEAL)
        if seal and digest.decode("latin1") != hashlib.sha256(content).hexdigest():
            raise ValueError("it was changed or damaged after it was written")
        with xr.open_dataset(path, engine="h5netcdf") as dataset:
            recording = dataset.load()
    except Exception as error:  # of a damaged file the libraries below raise whatever they meet
        told, sys.unraisablehook = sys.unraisablehook, lambda _: None
        traceback.clear_frames(error.__traceback__)  # h5netcdf's half-open file complains when it is freed
        sys.unraisablehook = told
        raise RecordingFileError(f"path must be a recording, got {str(path)!r}: {error}") from error
    if recording.attrs.get("format") != FORMAT or recording.attrs.get("version") != VERSION:
        raise RecordingFileError(
            f"path must be a recording of format {FORMAT!r} version {VERSION}, got {str(path)!r}; "
            "write it with save_recording"
        )
    return recording


def require_in_range(recording: Recording) -> Recording:
    """Return the recording if all values are finite and where they can be; else SimulationError."""
    for name, variable in recording.data_vars.items():
        low, high, rule = RANGES.get(str(name), (-np.inf, np.inf, "finite"))
        values = variable.values
        wrong = ~(np.isfinite(values) & (values >= low - ROUNDING) & (values <= high + ROUNDING))
        if wrong.any():
            first = {dim: index[wrong][0] for dim, index in zip(variable.dims, np.indices(values.shape), strict=True)}
            when = f" at {recording['time'].values[first.pop('time')]:g} s" if "time" in first else ""
            where = ", ".join(f"{dim} {index}" for dim, index in first.items())
            raise SimulationError(
                f"{name} must stay {rule}, got {values[wrong][0]:g} {variable.attrs['units']} in {where}{when}; "
                "take a smaller dt, less noise or other parameters"
            )
    return recording


def describe(value: Any) -> Any:
    """A value as JSON: dataclasses by class and fields, quantities in uM and s with their unit."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: describe(getattr(value, field.name)) for field in dataclasses.fields(value)}
        kinds = value.kinds() if hasattr(value, "kinds") else {}
        for name in kinds:  # a dimensionless quantity is a bare number
            if getattr(value, name) is not None and not isinstance(fields[name], dict):
                fields[name] = {"value": fields[name], "unit": "1"}
        return {"class": type(value).__name__, **fields}
    if hasattr(value, "dim"):
        from astro_sim.parameters.units import RECORDED  # loads Brian2, which reading a recording does not need

        number = np.asarray(value, dtype=float) * 1e3 ** float(value.dim.get_dimension("mol"))
        return {"value": number.tolist(), "unit": RECORDED[value.dim]}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return [describe(part) for part in value] if isinstance(value, tuple | list) else value


def flatten(description: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested description to one level: ``{"astrocyte.calcium.O_P": {"value": 0.9, "unit": "uM/s"}, ...}``."""
    flat: dict[str, Any] = {}
    for name, value in description.items():
        nested = isinstance(value, dict) and "unit" not in value
        flat.update(flatten(value, f"{prefix}{name}.") if nested else {prefix + name: value})
    return flat


def to_json(value: Any) -> str:
    """Stable JSON text."""
    return json.dumps(value, sort_keys=True)


def provenance(
    model: str, origin: Mapping[str, str], parameters: Any, run: Mapping[str, Any], versions: Any, code: Iterable[Any]
) -> dict[str, Any]:
    """Where a recording comes from: every parameter with its origin, the run, versions, and a hash of the equations."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "model": model,
        **origin,
        "parameters": to_json(flatten(describe(parameters))),
        **run,
        "versions": to_json(versions),
        "equations_sha256": hashlib.sha256("\n".join(map(str, code)).encode()).hexdigest(),
    }


def _attributes(settings: Any, network: Any, target: str) -> dict[str, Any]:
    versions = {name: importlib.metadata.version(name) for name in ("astro-rmaat", "brian2", "numpy")}
    versions["python"] = platform.python_version()
    initial = settings.initial
    if not isinstance(initial, str):
        initial = to_json({name: describe(value) for name, value in initial.items()})
    numbers = ("n_synapses", "n_astrocytes", "duration_s", "seed", "dt_s", "astrocyte_dt_s", "record_every_s")
    run = {
        "protocol": to_json(describe(settings.protocol)),
        **{name: getattr(settings, name) for name in numbers},
        "initial": initial,
        "target": target,
    }
    model = settings.model
    origin = {"preset": getattr(model.astrocyte, "name", "none")}
    return provenance(type(model).__name__, origin, model, run, versions, network.code)


def collect(settings: Any, network: Any, target: str) -> Recording:
    """Read the monitors into a dataset with units and provenance."""
    variables: dict[str, Any] = {}
    for name, item in network.recorded.items():
        values = np.asarray(getattr(network.monitors[item.dim], item.attribute + "_")).T * item.factor
        variables[name] = (("time", item.dim), values, {"units": item.unit})
    steps = max((len(monitor.t_) for monitor in network.monitors.values()), default=0)
    time = np.round(np.arange(steps) * settings.record_every_s, 12)
    coordinates: dict[str, Any] = {"time": ("time", time, {"units": "s"})}
    for item in network.recorded.values():
        coordinates[item.dim] = np.arange(item.n)
    for event, owner in (("release", "astrocyte"), ("spike", "neuron")):
        if f"{event}_monitor" in network.parts:
            monitor = network.parts[f"{event}_monitor"]
            variables[f"{event}_time"] = (event, np.asarray(monitor.t_), {"units": "s"})
            variables[f"{event}_{owner}"] = (event, np.asarray(monitor.i), {"units": "1"})
    return require_in_range(xr.Dataset(variables, coordinates, _attributes(settings, network, target)))
