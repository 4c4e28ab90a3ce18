"""The packaging files agree with one another and with the rules of the house."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {"torch": "pytorch", "jaxtyping": "python-jaxtyping"}
CONDA_ONLY = {"python", "pip", "cxx-compiler"}


def bounds_of(requirements):
    """Map each conda name to the union of its version bounds, whatever the environment marker."""
    bounds: dict[str, set[str]] = {}
    for text in requirements:
        requirement = Requirement(text)
        name = CONDA_NAMES.get(requirement.name, requirement.name)
        bounds.setdefault(name, set()).update(str(part) for part in requirement.specifier)
    return bounds


def conda_bounds():
    lines = re.findall(r"^  - ([^#\n]+)$", (ROOT / "environment.yml").read_text(), flags=re.M)
    return bounds_of(line for line in lines if line != "conda-forge")


def test_environment_yml_has_the_packages_and_bounds_of_pyproject():
    wanted = bounds_of(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"])
    found = {name: bounds for name, bounds in conda_bounds().items() if name not in CONDA_ONLY}
    assert found == wanted


def test_environment_yml_has_the_python_of_pyproject():
    assert conda_bounds()["python"] == set(PROJECT["requires-python"].split(","))


@pytest.mark.parametrize("requirement", PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"])
def test_constraints_pin_every_direct_dependency_within_its_bounds(requirement):
    requirement = Requirement(requirement)
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    pins = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins.items()}
    assert requirement.specifier.contains(pins[requirement.name])


def test_torch_is_pinned_to_the_tested_version():
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text().splitlines()


def test_readme_names_every_direct_dependency():
    readme = (ROOT / "README.md").read_text().lower()
    names = {Requirement(text).name for text in PROJECT["dependencies"]}
    assert {name for name in names if f"`{name}`" not in readme} == set()


def test_a_lock_has_the_hash_of_every_package(tmp_path):
    archive = {"hashes": {"sha256": "ab" * 32}}
    packages = [
        {"metadata": {"name": "b", "version": "2"}, "download_info": {"url": "x", "archive_info": archive}},
        {"metadata": {"name": "A", "version": "1.0"}, "download_info": {"url": "x", "archive_info": archive}},
        {"metadata": {"name": "astro-rmaat", "version": "0"}, "download_info": {"url": "x", "dir_info": {}}},
    ]
    (tmp_path / "report.json").write_text(json.dumps({"install": packages}))
    words = [sys.executable, ROOT / ".ci" / "lock.py", tmp_path / "report.json", tmp_path / "lock"]
    subprocess.run(words, check=True)
    digest = "ab" * 32
    assert (tmp_path / "lock").read_text() == f"A==1.0 --hash=sha256:{digest}\nb==2 --hash=sha256:{digest}\n"
