"""The rooms import downwards, and the two packages meet in the bridge alone."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def modules_after(statement: str) -> set[str]:
    code = f"{statement}; import sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        (
            "import rmaat",
            {"brian2", "tyro", "matplotlib", "astro_sim.curves.least_squares", "tomlkit", "pandas", "transformers"},
        ),
        ("import rmaat.training.train", {"brian2", "tyro", "matplotlib", "transformers"}),
        ("import rmaat.training.config", {"accelerate", "rmaat.training.train", "rmaat.tasks"}),
        ("import astro_sim", {"torch", "rmaat", "tyro"}),
        (
            "import astro_sim.curves.forms, astro_sim.curves.format, astro_sim.curves.plotting",
            {"brian2", "torch", "rmaat"},
        ),
    ],
)
def test_importing_leaves_the_other_side_out(statement, absent):
    assert modules_after(statement) & absent == set()


def test_the_model_loads_little_beside_pytorch():
    """No compiler, which takes three times as long as PyTorch: it is loaded where something is compiled."""
    beside = modules_after("import rmaat; rmaat.RMAAT") - modules_after("import torch")
    assert "rmaat.models.rmaat" in beside
    heavy = ("torch", "sympy", "triton", "scipy", "pandas", "accelerate")
    assert {module for module in beside if module.split(".")[0] in heavy} == set()
    assert len(beside) < 100


def test_import_contracts_hold():
    done = subprocess.run([Path(sys.executable).parent / "lint-imports"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_types_hold():
    done = subprocess.run([sys.executable, "-m", "mypy"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("package", ["astro_sim", "rmaat"])
def test_print_and_tyro_appear_only_on_the_command_line(package):
    offenders = [
        f"{path.name}:{number}"
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__main__.py"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if line.lstrip().startswith(("print(", "import tyro", "from tyro"))
    ]
    assert offenders == []
