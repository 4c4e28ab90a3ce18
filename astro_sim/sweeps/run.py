"""Run the conditions of a sweep side by side and gather them into one recording."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import xarray as xr
from tqdm import tqdm

from astro_sim.parameters.units import check_count
from astro_sim.simulation.recording import Recording, describe, load_recording, to_json
from astro_sim.simulation.run import choose_target
from astro_sim.sweeps.conditions import Batch, run_batches, split
from astro_sim.sweeps.folder import claimed, load, save, saved
from astro_sim.sweeps.sweep import Sweep


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
    folder : path, optional
        Where the conditions are kept; without one nothing is kept, and nothing can be resumed.
    n_jobs : int
        Runs side by side on this machine.
    client : dask.distributed.Client, optional
        A cluster whose workers see `folder` under the same path.

    Returns
    -------
    xarray.Dataset
        Dimension ``condition`` before those of a recording (with ``repeat``, and ``cell`` for networks, in place of
        ``synapse`` and ``astrocyte``); one coordinate for each axis, with its unit.
    """
    check_count("n_jobs", n_jobs, most=1024)
    parts: dict[int, Recording] = {}
    builds = sweep.builds
    with ExitStack() as held:
        if folder is not None:
            folder = Path(folder).resolve()
            held.enter_context(claimed(folder, sweep))
            found = {batch.index: load(folder, batch) for build in builds for batch in build}
            parts = {condition: part for done in found.values() for condition, part in done.items()}
            builds = [[batch for batch in build if not found[batch.index]] for build in builds]
        elif client is not None:
            raise ValueError("folder must be given with a client, got None; use one that all workers see")
        with tqdm(total=sum(map(len, builds)), unit="run", disable=not progress) as bar:
            for share, done in _dispatch(sweep, folder, [build for build in builds if build], n_jobs, client):
                parts |= done
                bar.update(share)
    return assemble(sweep, parts)


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
            save(folder, batch, done)
        parts |= done
    return len(batches), parts


def load_sweep(sweep: Sweep, folder: str | os.PathLike) -> Recording:
    """A finished sweep from its folder, as `run_sweep` returned it."""
    return assemble(sweep, {condition: load_recording(file) for condition, file in saved(Path(folder)).items()})


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
