"""Files are written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# DOC OF astro_sim.ledger
# """The ledger of a run folder, metrics.json: every command that works on the folder adds its own lines."""


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """The path of a temporary neighbour of `path`, which takes its place if all goes well and vanishes otherwise.

    Raises
    ------
    OSError
        If the file cannot be written, with the path and the reason in one sentence.
    """
    path, partial = Path(path), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
        partial = Path(name)
        os.chmod(partial, 0o644)
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise OSError(
            f"{path} must be writable, on a disk with room, got {error.strerror or error}; nothing was kept of it"
        ) from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> Path:
    """Write `text` as UTF-8 and return the path."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")
    return Path(path)


def record_seconds(folder: str | os.PathLike, stage: str, seconds: float) -> Path:
    """Add the wall time of a stage to ``FOLDER/metrics.json`` and leave what others wrote there; atomic."""
    path = Path(folder) / "metrics.json"
    metrics = json.loads(path.read_text()) if path.exists() else {}
    metrics["seconds"] = {**metrics.get("seconds", {}), stage: round(seconds, 2)}
    return write_text(path, json.dumps(metrics, indent=2) + "\n")
