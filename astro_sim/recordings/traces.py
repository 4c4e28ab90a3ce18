"""Fluorescence traces of cells as other programs write them: tables, folders of Suite2p, HDF5 files of CaImAn."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import xarray as xr

from astro_sim.curves.measured import read_measured
from astro_sim.simulation.recording import FORMAT, VERSION

NEUROPIL = 0.7  # share of the surrounding fluorescence that is subtracted: the default `neucoeff` of Suite2p
PERCENTILE = 20.0  # of a trace, taken as its resting fluorescence F0 [inferred; below half of the samples are events]
MOST_BYTES = 4e9  # of one array


def read_traces(
    path: str | os.PathLike[str],
    *,
    rate_hz: float | None = None,
    time: str | None = None,
    cells: Sequence[str] = (),
    dff: bool | None = None,
) -> xr.Dataset:
    """Read the traces of a recording as a dataset like that of a simulation: ``dFF`` over ``time`` (s) and ``cell``.

    Parameters
    ----------
    path : path
        A table with a time column and one column per cell (text or Excel, as `astro-sim fit` reads it); a Suite2p
        folder with ``F.npy`` and, where they are, ``Fneu.npy`` and ``iscell.npy``; or an HDF5 file of CaImAn.
    rate_hz : float, optional
        Frames a second; needed for Suite2p (it stands in ``ops.npy``, a pickle, which is not opened) and for CaImAn
        where the file has none.
    time, cells
        Columns of a table: see :func:`~astro_sim.curves.measured.read_measured`.
    dff : bool, optional
        Whether the numbers are dF/F already. By default yes for tables and CaImAn's ``F_dff``, else no: then
        dF/F = (F - F0) / F0 with F0 the 20th percentile of each trace.

    Raises
    ------
    ValueError
        For anything else, in one sentence.
    """
    path = Path(path)
    if path.is_dir():
        values, step, source, ready = *_suite2p(path, rate_hz), False
    elif path.suffix.lower() in (".hdf5", ".h5"):
        values, step, source, ready = _caiman(path, rate_hz)
    else:
        return _dataset(*_table(path, time, cells), dff is not False)
    times = np.arange(values.shape[1]) * step
    names = range(len(values))
    return _dataset(values, times, names, source, ready if dff is None else dff)


def _dataset(values: np.ndarray, times: np.ndarray, names: Sequence, source: str, ready: bool) -> xr.Dataset:
    if not ready:
        rest = np.nanpercentile(values, PERCENTILE, axis=1, keepdims=True)
        if not np.all(rest > 0):
            cell = int(np.flatnonzero(~(rest[:, 0] > 0))[0])
            raise ValueError(
                f"fluorescence must be above 0 at rest for dF/F, got {rest[cell, 0]:.4g} in cell {names[cell]}; leave "
                "the cell out, or say dff=True if these are dF/F already"
            )
        values = (values - rest) / rest
    digest = hashlib.sha256(np.ascontiguousarray(values, dtype=np.float64).tobytes()).hexdigest()
    return xr.Dataset(
        {"dFF": (("time", "cell"), values.T, {"units": "1"})},
        {"time": ("time", times, {"units": "s"}), "cell": list(names)},
        {"format": FORMAT, "version": VERSION, "model": "measured", "source": source, "data_sha256": digest},
    )


def _table(path: Path, time: str | None, cells: Sequence[str]) -> tuple[np.ndarray, np.ndarray, list[str], str]:
    measured = read_measured(path, time=time, response=cells)
    return measured.responses, measured.time, list(measured.names), measured.summary()


def _suite2p(folder: Path, rate_hz: float | None) -> tuple[np.ndarray, float, str]:
    if not (folder / "F.npy").is_file():
        inside = next(iter(sorted(folder.glob("**/F.npy"))), None)
        hint = f"; did you mean {inside.parent}?" if inside else ""
        raise ValueError(f"{folder} must be a folder of Suite2p with F.npy in it, got none{hint}")
    traces = _array(folder / "F.npy", 2)
    around = _array(folder / "Fneu.npy", 2) if (folder / "Fneu.npy").is_file() else np.zeros_like(traces)
    chosen = (
        _array(folder / "iscell.npy", 2)[:, 0] > 0 if (folder / "iscell.npy").is_file() else np.ones(len(traces)) > 0
    )
    if around.shape != traces.shape or len(chosen) != len(traces):
        raise ValueError(
            f"{folder}: F, Fneu and iscell must be of the same cells and frames, got {traces.shape}, {around.shape} "
            f"and {len(chosen)} cells"
        )
    if not chosen.any():
        raise ValueError(f"{folder}: iscell.npy must mark at least one cell, got none of {len(chosen)}")
    source = f"Suite2p, {chosen.sum()} of {len(chosen)} regions marked as cells, F - {NEUROPIL} Fneu"
    return traces[chosen] - NEUROPIL * around[chosen], 1 / _rate(folder, rate_hz), source


def _caiman(path: Path, rate_hz: float | None) -> tuple[np.ndarray, float, str, bool]:
    try:
        with h5py.File(path, "r") as file:
            found = [name for name in ("estimates/F_dff", "estimates/C") if isinstance(file.get(name), h5py.Dataset)]
            found = [name for name in found if file[name].ndim == 2 and file[name].dtype.kind in "fiu"]
            if not found:
                raise ValueError("it has no traces estimates/F_dff or estimates/C")
            if file[found[0]].nbytes > MOST_BYTES:
                raise ValueError(f"its traces take {file[found[0]].nbytes:g} bytes, more than {MOST_BYTES:g}")
            values = file[found[0]][()].astype(float)
            kept = file.get("estimates/idx_components")
            if isinstance(kept, h5py.Dataset) and kept.ndim == 1 and kept.dtype.kind in "iu" and kept.size:
                values = values[kept[()]]
            frames = file.get("params/data/fr")
            if (
                rate_hz is None
                and isinstance(frames, h5py.Dataset)
                and frames.shape == ()
                and frames.dtype.kind in "fiu"
            ):
                rate_hz = float(frames[()])
    except (OSError, IndexError, KeyError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path} must be an HDF5 file of CaImAn, got {' '.join(str(error).split())}") from error
    return values, 1 / _rate(path, rate_hz), f"CaImAn, {found[0]}", found[0].endswith("F_dff")


def _rate(path: Path, rate_hz: float | None) -> float:
    if rate_hz is None:
        raise ValueError(f"{path}: how many frames a second? Give rate_hz")
    if not (np.isfinite(rate_hz) and rate_hz > 0):
        raise ValueError(f"rate_hz must be positive, got {rate_hz}")
    return float(rate_hz)


def _array(path: Path, ndim: int) -> np.ndarray:
    """A NumPy file without pickles; its header is looked at before anything is read."""
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, OverflowError, MemoryError) as error:
        raise ValueError(f"{path} must be a NumPy array, got {' '.join(str(error).split())}") from error
    if mapped.ndim != ndim or mapped.dtype.kind not in "fiub" or not 0 < mapped.nbytes <= MOST_BYTES:
        raise ValueError(f"{path} must be a table of numbers (regions, frames), got {mapped.dtype} {mapped.shape}")
    return np.asarray(mapped, dtype=float)
