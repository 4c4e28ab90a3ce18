import json

import pytest

from rmaat.experiments.astrocyte.grid import Grid
from rmaat.experiments.astrocyte.schedule import Work, carry_out, load_results


@pytest.fixture
def two_runs(toy_file):
    return Grid.load(toy_file, only_tasks=["recall"], only_models=["population"], seeds=[0])


def test_a_grid_is_carried_out_resumed_and_holds_on_to_its_settings(two_runs, toy_file, tmp_path):
    folder, lines = tmp_path / "results", []
    results = carry_out(two_runs, Work(results=folder, stack=1), lines.append)
    assert [result["cell"]["share"] for result in results] == [1.0, 0.1] and len(load_results(folder)) == 2
    assert lines[0] == "0 of 2 runs are done; 2 to do" and lines[-1] == "2 of 2 runs are done"
    assert any("done in" in line for line in lines)
    again = []
    assert carry_out(two_runs, Work(results=folder), again.append) == results
    assert again == ["2 of 2 runs are done; 0 to do", "2 of 2 runs are done"]
    other = Grid.load(toy_file, only_tasks=["recall"], only_models=["population"], seeds=[0], steps=4)
    with pytest.raises(ValueError, match="must be of the grid as it is, got steps 3 instead of 4"):
        carry_out(other, Work(results=folder))


@pytest.mark.slow
def test_two_processes_share_the_runs(two_runs, tmp_path):
    lines = []
    results = carry_out(two_runs, Work(results=tmp_path, workers=2, stack=1), lines.append)
    assert [result["cell"]["share"] for result in results] == [1.0, 0.1]
    assert sum("begun on cpu" in line for line in lines) == sum("done in" in line for line in lines) == 2


def test_no_job_is_begun_without_time(two_runs, tmp_path):
    assert carry_out(two_runs, Work(results=tmp_path, max_seconds=0.0)) == []


def test_a_damaged_result_is_refused(two_runs, tmp_path):
    path = tmp_path / two_runs.cells()[0][0].file
    path.parent.mkdir()
    path.write_text(json.dumps({"cell": {}}))
    with pytest.raises(ValueError, match="must hold a whole result, got no tests; delete it"):
        carry_out(two_runs, Work(results=tmp_path))


def test_work_without_a_process_is_refused(tmp_path):
    with pytest.raises(ValueError, match="workers"):
        Work(results=tmp_path, workers=0)
