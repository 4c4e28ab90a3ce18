"""The folder of a sweep: one file a condition, claimed by one process at a time."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from astro_sim.curves.files import write_text
from astro_sim.simulation.recording import (
    Recording,
    RecordingFileError,
    describe,
    load_recording,
    save_recording,
    to_json,
)
from astro_sim.sweeps.conditions import Batch
from astro_sim.sweeps.sweep import Sweep


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
