"""The notebooks run from top to bottom, and what is committed is what they give."""

import hashlib
import re
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbmake.nb_run import NotebookRun

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9]*.ipynb"))
LONGEST_S = 900  # of a cell: far more than any takes, so that a busy machine does not fail the test


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(notebook):
    """What the cells printed, without the numbers."""
    text = [output.text for cell in code_cells(notebook) for output in cell.outputs if output.get("name") == "stdout"]
    return re.sub(r"-?\d[\d.e+-]*", "#", "".join(text))


def pictures(notebook):
    """How many figures each cell shows."""
    return [sum("image/png" in output.get("data", {}) for output in cell.outputs) for cell in code_cells(notebook)]


def read(path):
    return nbformat.read(path, as_version=4)


def code_hash(notebook):
    """What `make notebooks` stores beside the outputs, to tell later whether they are those of the code."""
    return hashlib.sha256("\n\n".join(cell.source for cell in code_cells(notebook)).encode()).hexdigest()


def test_there_are_six_notebooks_each_as_script_and_executed():
    names = ["01_calcium", "02_synapse", "03_plasticity", "04_fitting", "05_bridge", "06_training"]
    assert [path.stem for path in NOTEBOOKS] == names
    assert sorted(path.stem for path in FOLDER.glob("*.py")) == names


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_script_and_notebook_are_one(path):
    script, notebook = jupytext.read(path.with_suffix(".py")), read(path)
    assert [cell.source for cell in script.cells] == [cell.source for cell in notebook.cells]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebook_is_executed_and_without_a_trace_of_when(path):
    cells = code_cells(read(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    assert not [output.text for cell in cells for output in cell.outputs if output.get("name") == "stderr"]
    assert not [cell for cell in cells if "execution" in cell.metadata]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_those_of_the_code(path):
    assert read(path).metadata.get("code_sha256") == code_hash(read(path)), "execute it again: make notebooks"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_asks_shows_and_sends_on(path):
    notebook = read(path)
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert prose[0].startswith("# ") and "**The question.**" in prose[0]
    assert prose[-1].startswith("## What to try next")
    lines = "\n".join(cell.source for cell in code_cells(notebook)).splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 60
    assert sum(pictures(notebook)) >= 3


@pytest.mark.notebook
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path):
    result = NotebookRun(path, LONGEST_S).execute()
    assert result.error is None, result.error.trace
    committed = read(path)
    assert pictures(result.nb) == pictures(committed)
    assert printed(result.nb) == printed(committed)


if __name__ == "__main__":  # the last step of `make notebooks`
    for path in NOTEBOOKS:
        notebook = read(path)
        notebook.metadata["code_sha256"] = code_hash(notebook)
        nbformat.write(notebook, path)
