"""The ledger of a run folder, metrics.json: every command that works on the folder adds its own lines."""

import json
import os
from pathlib import Path

from astro_sim.files import write_text


def record_seconds(folder: str | os.PathLike, stage: str, seconds: float) -> Path:
    """Add the wall time of a stage to ``FOLDER/metrics.json`` and leave what others wrote there; atomic."""
    path = Path(folder) / "metrics.json"
    metrics = json.loads(path.read_text()) if path.exists() else {}
    metrics["seconds"] = {**metrics.get("seconds", {}), stage: round(seconds, 2)}
    return write_text(path, json.dumps(metrics, indent=2) + "\n")
