from pathlib import Path

import pytest

from rmaat.experiments.astrocyte.grid import Cell, Grid
from rmaat.models.zoo import build_model, carried_bytes, count_parameters

DECLARED = Path(__file__).parents[4] / "benchmarks/astrocyte/grid.toml"


def test_stages_hold_every_run_once_and_in_their_order(toy):
    first, second = toy.cells()
    assert first[:2] == [Cell("recall", "population", 1.0, 0, 4e-3), Cell("recall", "population", 1.0, 1, 4e-3)]
    assert len(first) == 4 and len(second) == 8 and not set(first) & set(second)


def test_models_of_fixed_rates_share_a_structure_and_others_do_not(toy):
    population, none, ssm = (toy.structure(Cell("recall", name, 1.0, 0, 4e-3)) for name in toy.models)
    assert population == none != ssm


def test_only_some_tasks_and_models_can_be_chosen(toy_file):
    grid = Grid.load(toy_file, only_tasks=["mqar"], only_models=["ssm"], seeds=[5])
    assert [cell.file for stage in grid.cells() for cell in stage] == ["mqar/ssm-share0.1-seed5-lr0.004.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stages": [{"tasks": ["chess"], "models": ["ssm"]}]}, "tasks of a stage must be of the grid"),
        ({"stages": [{"tasks": ["mqar"], "models": ["ssm"], "shares": [2]}]}, "shares must be above 0"),
        ({"seeds": []}, "at least one seed"),
        ({"steps": 0}, "steps must be an integer of at least 1"),
        ({"colour": "red"}, "unexpected keyword argument 'colour'"),
    ],
)
def test_what_makes_no_grid_is_refused(toy_file, change, message):
    with pytest.raises(ValueError, match=message):
        Grid.load(toy_file, **change)


def test_all_models_of_the_declared_grid_have_equal_parameters_and_no_more_state_than_the_synapses():
    grid = Grid.load(DECLARED)
    for task in grid.tasks:
        models = {name: build_model(*network) for name, network in grid.networks(task).items()}
        sizes = [count_parameters(model)["total"] for model in models.values()]
        assert max(sizes) - min(sizes) < 0.01 * max(sizes)
        carried = {name: carried_bytes(model, 64) for name, model in models.items()}
        growing = carried.pop("softmax")
        assert growing > max(carried.values())
        assert all(abs(n / carried["population"] - 1) < 0.1 for n in carried.values()), carried
