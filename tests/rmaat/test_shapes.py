"""The shapes in the signatures are checked while the other tests run."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKED = (
    *("layers.attention", "layers.scans", "layers.block", "memory.retention", "memory.segments"),
    *("models.rmaat", "models.baselines"),
)
TESTS = ("layers/test_attention", "memory/test_retention", "models/test_rmaat", "models/test_baselines")


@pytest.mark.slow
def test_annotated_shapes_hold():
    folder = Path(__file__).parent
    packages = ",".join([*(f"rmaat.{name}" for name in CHECKED), "beartype.beartype"])
    files = [str(folder / f"{name}.py") for name in TESTS]
    right = ["-m", "not slow", "-k", "not refused and not wrong"]
    command = [sys.executable, "-m", "pytest", "-q", *right, f"--jaxtyping-packages={packages}", *files]
    result = subprocess.run(command, cwd=folder.parents[1], capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stdout[-3000:]
