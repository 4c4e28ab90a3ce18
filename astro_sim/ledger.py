"""The ledger of a run folder, metrics.json: every command that works on the folder adds its own lines."""

import json
import os
import tempfile
from pathlib import Path


def record_seconds(folder: str | os.PathLike, stage: str, seconds: float) -> Path:
    """Add the wall time of a stage to ``FOLDER/metrics.json`` and leave what others wrote there; atomic."""
    path = Path(folder) / "metrics.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    metrics = json.loads(path.read_text()) if path.exists() else {}
    metrics["seconds"] = {**metrics.get("seconds", {}), stage: round(seconds, 2)}
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w") as file:
        json.dump(metrics, file, indent=2)
        file.write("\n")
    os.replace(partial, path)
    return path
