"""Sweeps: one call for a handful of conditions or for a cluster, resumed where it was killed.

Every swept quantity becomes a per-element array, so that conditions and repeats are elements of one vectorised run.
What does not fit into one run (`elements_per_run`) is cut into batches that share one build and run side by side
(`n_jobs`); what cannot be an element (steps, durations, counts, presets) gets a build for each value. On a Dask cluster
(`client`) each worker takes a share of the batches::

    sweep = Sweep(
        model=TripartiteSynapses(plasticity=None),
        protocol=Poisson(rate=1 * Hz, length=60 * second),
        axes={"protocol.rate": log_rates(0.1 * Hz, 100 * Hz, 50), "gliotransmission.alpha": [0, 0.5, 1]},
        repeats=20,
    )
    result = run_sweep(sweep, "runs/rates", n_jobs=4)
    result["r_S"].sel(...)   # dimensions condition, time, repeat; coordinates protocol.rate, gliotransmission.alpha

The folder holds one netCDF file for each condition. The conditions of a batch appear together, by the renaming of a
folder: after a kill at any moment each batch is there whole or not at all, and the same call runs the missing ones.
Batches are cut from the sweep alone, not from what is left of it, so that a resumed sweep gives what an uninterrupted
one gives. Every condition sees the spikes that it would see alone, with `simulate` and the same seed (common random
numbers), whatever the cut; the noise of channels and efficacies is drawn for a batch as a whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import inspect
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import xarray as xr
from tqdm import tqdm

from astro_sim.batches import SETTINGS, STRUCTURAL, Batch, changed, is_element, model_axes, run_batches, split
from astro_sim.drive import Protocol
from astro_sim.files import write_text
from astro_sim.models import Astrocytes
from astro_sim.quantities import check_count
from astro_sim.recording import Recording, RecordingFileError, describe, load_recording, save_recording, to_json
from astro_sim.settings import check_time
from astro_sim.simulation import choose_target


@dataclass(frozen=True, kw_only=True, eq=False)
class Sweep:
    """What is swept: the product of all axes, each condition repeated.

    Attributes
    ----------
    model, protocol
        As for `simulate`, without arrays; a network (a model with a topology) is copied for every element.
    axes : mapping of str to array
        Field -> values, such as ``"astrocyte.calcium.O_P"``, ``"I_bias"``, ``"protocol.rate"``, ``"duration"``.
    repeats : int
    settings : mapping
        Further arguments of `simulate`: ``duration``, ``dt``, ``astrocyte_dt``, ``record_every``, ``initial``.
    record : iterable of str, optional
    seed : int
    target : str
    elements_per_run : int
        How many astrocytes or synapses are simulated at once, at most (one condition's repeats at least).
    reduce : callable, optional
        From a condition's recording to what is kept of it, such as its mean over time; for a folder a function of a
        module, whose source belongs to what the folder is known by.
    """

    model: Astrocytes
    protocol: Protocol = field(default_factory=Protocol)
    axes: Mapping[str, Any]
    repeats: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    record: tuple[str, ...] | None = None
    seed: int = 0
    target: str = "auto"
    elements_per_run: int = 20_000
    reduce: Callable[[Recording], Recording] | None = None

    def __post_init__(self) -> None:
        check_count("repeats", self.repeats)
        check_count("elements_per_run", self.elements_per_run)
        if not isinstance(self.model, Astrocytes) or not isinstance(self.protocol, Protocol):
            kinds = f"{type(self.model).__name__} and {type(self.protocol).__name__}"
            raise TypeError(f"model and protocol must be of astro_sim.models and astro_sim.protocols, got {kinds}")
        if self.protocol.n_elements is not None:
            raise ValueError(f"protocol must hold no arrays, got {self.protocol.n_elements} elements; use axes")
        if getattr(self.model, "astrocyte_index", None) is not None:
            raise ValueError("model must have one astrocyte for each synapse, got an astrocyte_index")
        unknown = set(self.settings) - set(SETTINGS)
        if unknown:
            raise ValueError(f"settings must be among {SETTINGS}, got {min(unknown)!r}")
        if not self.axes or any(np.ndim(values) != 1 or len(values) == 0 for values in self.axes.values()):
            raise ValueError(f"axes must be lists of values, at least one, got {dict(self.axes)!r}")
        for path, values in self.axes.items():
            if path in self.settings:
                raise ValueError(f"axes must not be settings as well, got {path!r} in both")
            for value in values:  # a wrong name, unit or value fails here
                if path not in SETTINGS:
                    changed(self._root(path), path.removeprefix("protocol."), value)
                elif path != "initial":
                    check_time(path, value)

    @cached_property
    def element_axes(self) -> tuple[str, ...]:
        """Axes whose values are elements of one run; the others have a build for each value."""
        able = [
            path
            for path, values in self.axes.items()
            if path not in SETTINGS and is_element(self._root(path), path.removeprefix("protocol."), values)
        ]
        if self._count(able) * self.repeats * self.n_cells <= self.elements_per_run:
            return tuple(able)
        return tuple(path for path in able if path.rsplit(".", 1)[-1] not in STRUCTURAL)

    def _root(self, path: str) -> Any:
        return self.protocol if path.startswith("protocol.") else self.model

    @property
    def n_cells(self) -> int:
        """Astrocytes of one repeat of one condition."""
        topology = getattr(self.model, "topology", None)
        return 1 if topology is None else topology.n

    @property
    def n_conditions(self) -> int:
        """Length of the product of all axes."""
        return self._count(self.axes)

    def _count(self, paths: Iterable[str]) -> int:
        return int(np.prod([len(self.axes[path]) for path in paths], dtype=int))

    def position(self, condition: int, path: str) -> int:
        """Which value of an axis a condition has; the last axis runs fastest."""
        lengths = [len(values) for values in self.axes.values()]
        return int(np.unravel_index(condition, lengths)[list(self.axes).index(path)])

    @cached_property
    def builds(self) -> list[list[Batch]]:
        """All batches; those of one list share a build."""
        per_run = max(1, self.elements_per_run // (self.repeats * self.n_cells))
        models = model_axes(self)
        drives = [path for path in self.element_axes if path.startswith("protocol.")]
        others = [path for path in self.axes if path not in self.element_axes]
        grouped: dict[tuple, dict[tuple, list[int]]] = {}
        for condition in range(self.n_conditions):
            drive = tuple(self.position(condition, path) for path in drives)
            # a build has one protocol: conditions that differ in it stay together, as far as they fit
            chunk = int(np.ravel_multi_index(drive, [len(self.axes[p]) for p in drives])) // per_run if drives else 0
            build = (*(self.position(condition, path) for path in others), chunk)
            model = tuple(self.position(condition, path) for path in models)
            grouped.setdefault(build, {}).setdefault(model, []).append(condition)
        builds, index = [], 0
        for columns in grouped.values():
            together = max(1, per_run // len(next(iter(columns.values()))))
            rows, batches = list(columns.values()), []
            for start in range(0, len(rows), together):
                chosen = rows[start : start + together]
                n = sum(map(len, chosen))
                if len(rows) > together:  # all runs of a build have one size
                    chosen = chosen + [chosen[-1]] * (together - len(chosen))
                batches.append(Batch(index, tuple(c for row in chosen for c in row), n))
                index += 1
            builds.append(batches)
        return builds

    def fingerprint(self) -> str:
        """Hash of everything that the result depends on."""
        versions = [importlib.metadata.version(name) for name in ("astro-rmaat", "brian2", "numpy")]
        parts = [
            describe(part) if not isinstance(part, Mapping) else {name: describe(v) for name, v in part.items()}
            for part in (self.model, self.protocol, self.axes, self.settings)
        ]
        reduce = None if self.reduce is None else _source(self.reduce)
        rest = [self.repeats, self.record, self.seed, self.target, self.elements_per_run, reduce, versions]
        return hashlib.sha256(to_json([*parts, *rest]).encode()).hexdigest()


def _source(function: Callable) -> str:
    """Module, name and text of a function of a module."""
    name = getattr(function, "__qualname__", repr(function))
    try:
        if not name.isidentifier():
            raise OSError
        return f"{function.__module__}.{name}: {inspect.getsource(function)}"
    except OSError:
        raise ValueError(f"reduce must be a function of a module where a folder is given, got {name}") from None


def run_sweep(
    sweep: Sweep,
    folder: str | os.PathLike | None = None,
    *,
    n_jobs: int = 1,
    client: Any = None,
    progress: bool = False,
) -> Recording:
    """Run what is missing of a sweep and return the whole.

    Parameters
    ----------
    sweep : Sweep
    folder : path, optional
        Where the conditions are kept; without one nothing is kept, and nothing can be resumed.
    n_jobs : int
        Runs side by side on this machine.
    client : dask.distributed.Client, optional
        A cluster whose workers see `folder` under the same path.
    progress : bool

    Returns
    -------
    xarray.Dataset
        Dimension ``condition`` before those of a recording (with ``repeat``, and ``cell`` for networks, in place of
        ``synapse`` and ``astrocyte``); one coordinate for each axis, with its unit.
    """
    check_count("n_jobs", n_jobs)
    if folder is None:
        if client is not None:
            raise ValueError("folder must be given with a client, got None; use one that all workers see")
        return assemble(sweep, _run(sweep, None, sweep.builds, n_jobs, None, progress))
    folder = Path(folder).resolve()
    with _locked(folder):
        _claim(sweep, folder)
        parts: dict[int, Recording] = {}
        missing: list[list[Batch]] = []
        for build in sweep.builds:
            found = [_load(folder, batch) for batch in build]
            missing.append([batch for batch, done in zip(build, found, strict=True) if not done])
            parts |= {condition: part for done in found for condition, part in done.items()}
        parts |= _run(sweep, folder, missing, n_jobs, client, progress)
        write_text(folder / "manifest.json", json.dumps(manifest(folder), indent=1))
    return assemble(sweep, parts)


def _run(sweep: Sweep, folder: Path | None, builds: list[list[Batch]], n_jobs: int, client, progress: bool) -> dict:
    """Run batches wherever they are to be run: condition -> recording."""
    parts: dict[int, Recording] = {}
    with tqdm(total=sum(map(len, builds)), unit="run", disable=not progress) as bar:
        for share, done in _dispatch(sweep, folder, [build for build in builds if build], n_jobs, client):
            parts |= done
            bar.update(share)
    return parts


def _dispatch(sweep: Sweep, folder: Path | None, builds: list[list[Batch]], n_jobs: int, client) -> Iterator:
    """Hand out whole builds here, parts of builds on a cluster, single batches to processes where nothing is built."""
    if client is not None:
        from dask.distributed import as_completed

        n_workers = len(client.scheduler_info()["workers"])
        shares = [build[k::n_workers] for build in builds for k in range(min(n_workers, len(build)))]
        futures = [client.submit(run_share, sweep, share, folder, pure=False) for share in shares]
        yield from (future.result() for future in as_completed(futures))
    elif n_jobs > 1 and choose_target(sweep.target) != "cpp_standalone":
        jobs = (joblib.delayed(run_share)(sweep, [batch], folder) for build in builds for batch in build)
        yield from joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")(jobs)
    else:
        yield from (run_share(sweep, build, folder, n_jobs) for build in builds)


def run_share(
    sweep: Sweep, batches: list[Batch], folder: Path | None, n_jobs: int = 1
) -> tuple[int, dict[int, Recording]]:
    """Run batches of one build and save each as it ends; return how many, and the recording of each condition."""
    parts: dict[int, Recording] = {}
    for batch, recording in run_batches(sweep, batches, n_jobs):
        done = dict(split(sweep, batch, recording))
        if folder is not None:
            _save(folder, batch, done)
        parts |= done
    return len(batches), parts


# ---------------------------------------------------------------------------------------------------------------------
# The folder
# ---------------------------------------------------------------------------------------------------------------------


def _path(folder: Path, batch: Batch) -> Path:
    return folder / f"batch-{batch.index:05d}"


def _load(folder: Path, batch: Batch) -> dict[int, Recording]:
    """The conditions of a finished batch; none, and its folder cleared, where it is not there or not whole."""
    path = _path(folder, batch)
    try:
        return {condition: load_recording(path / _file(condition)) for condition in batch.conditions[: batch.n]}
    except RecordingFileError:
        shutil.rmtree(path, ignore_errors=True)
        return {}


def _file(condition: int) -> str:
    return f"condition-{condition:06d}.nc"


def _save(folder: Path, batch: Batch, parts: dict[int, Recording]) -> None:
    """Write the conditions of a batch: all of them appear at once, or none."""
    partial = Path(tempfile.mkdtemp(dir=folder, prefix=".partial-"))
    for condition, part in parts.items():
        save_recording(part, partial / _file(condition))
    try:
        partial.rename(_path(folder, batch))
    except OSError:  # a worker that outlived its killed client was faster
        shutil.rmtree(partial)
        if not _path(folder, batch).exists():
            raise


@contextmanager
def _locked(folder: Path):
    """Keep a second process out; the lock goes with the process, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"folder must not be in use, got {folder}, where a sweep is running") from None
        yield


def _claim(sweep: Sweep, folder: Path) -> None:
    """Check that the folder is this sweep's, and clear what a killed process left half-written."""
    note = folder / "sweep.json"
    try:
        other = note.exists() and json.loads(note.read_text())["fingerprint"] != sweep.fingerprint()
    except (json.JSONDecodeError, KeyError):
        raise ValueError(f"folder must hold a whole sweep.json, got a damaged one in {folder}; delete it") from None
    if other:
        raise ValueError(f"folder must hold the same sweep, got another one in {folder}; use a new folder")
    axes = {path: describe(values) for path, values in sweep.axes.items()}
    write_text(note, to_json({"fingerprint": sweep.fingerprint(), "axes": axes, "repeats": sweep.repeats}))
    for partial in folder.glob(".partial-*"):
        shutil.rmtree(partial)


def manifest(folder: str | os.PathLike) -> dict[str, Any]:
    """What a folder holds, read from the disk: file of each condition."""
    files = sorted(Path(folder).glob("batch-*/condition-*.nc"))
    numbered = {int(file.stem.removeprefix("condition-")): file for file in files}
    return {"conditions": {number: f"{file.parent.name}/{file.name}" for number, file in numbered.items()}}


def load_sweep(sweep: Sweep, folder: str | os.PathLike) -> Recording:
    """A finished sweep from its folder, as `run_sweep` returned it."""
    return assemble(sweep, {c: load_recording(Path(folder) / n) for c, n in manifest(folder)["conditions"].items()})


def assemble(sweep: Sweep, parts: Mapping[int, Recording]) -> Recording:
    """The recordings of all conditions as one dataset, with a coordinate for each axis."""
    if len(parts) < sweep.n_conditions:
        raise ValueError(f"folder must hold all {sweep.n_conditions} conditions, got {len(parts)}; run the sweep again")
    ordered = [parts[condition] for condition in range(sweep.n_conditions)]
    whole = xr.concat(ordered, dim="condition", combine_attrs="drop_conflicts", data_vars="all", join="outer")
    for path, values in sweep.axes.items():
        described = describe(values)
        chosen = [sweep.position(condition, path) for condition in range(sweep.n_conditions)]
        if isinstance(described, dict):
            coordinate = np.asarray(described["value"])[chosen], {"units": described["unit"]}
        else:
            coordinate = np.array([getattr(values[k], "name", values[k]) for k in chosen]), {"units": "1"}
        whole = whole.assign_coords({path: ("condition", *coordinate)})
    return whole.assign_attrs(axes=to_json({path: describe(values) for path, values in sweep.axes.items()}))
