"""The folder of a sweep: one file a condition, written by one process at a time."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from astro_sim.curves.files import locked, write_text
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


@contextmanager
def claimed(folder: Path, sweep: Sweep) -> Iterator[None]:
    """Hold a folder that is this sweep's, cleared of what a killed process left half-written."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder / ".lock", wait=False):
            _check(folder / "sweep.json", sweep)
            for partial in folder.glob(".partial-*"):
                shutil.rmtree(partial)
            yield
    except BlockingIOError:
        raise ValueError(f"folder must not be in use, got {folder}, where a sweep is running") from None


def _check(note: Path, sweep: Sweep) -> None:
    try:
        other = note.exists() and json.loads(note.read_text())["fingerprint"] != sweep.fingerprint()
    except (json.JSONDecodeError, KeyError):
        advice = f"got a damaged one in {note.parent}; delete it"
        raise ValueError(f"folder must hold a whole sweep.json, {advice}") from None
    if other:
        raise ValueError(f"folder must hold the same sweep, got another one in {note.parent}; use a new folder")
    axes = {path: describe(values) for path, values in sweep.axes.items()}
    write_text(note, to_json({"fingerprint": sweep.fingerprint(), "axes": axes, "repeats": sweep.repeats}))


def saved(folder: Path) -> dict[int, Path]:
    """The file of each condition that is there."""
    files = sorted(folder.glob("batch-*/condition-*.nc"))
    return {int(file.stem.removeprefix("condition-")): file for file in files}


def load(folder: Path, batch: Batch) -> dict[int, Recording]:
    """The conditions of a finished batch; none, and its folder cleared, where it is not there or not whole."""
    path = _path(folder, batch)
    try:
        return {condition: load_recording(path / _file(condition)) for condition in batch.conditions[: batch.n]}
    except RecordingFileError:
        shutil.rmtree(path, ignore_errors=True)
        return {}


def save(folder: Path, batch: Batch, parts: dict[int, Recording]) -> None:
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


def _path(folder: Path, batch: Batch) -> Path:
    return folder / f"batch-{batch.index:05d}"


def _file(condition: int) -> str:
    return f"condition-{condition:06d}.nc"
