"""Learning-rate schedule, parameter groups and seeds."""

import pytest
from torch import nn

from rmaat.training.optimiser import lr_factor, parameter_groups, step_seed


@pytest.mark.parametrize(
    ("schedule", "at"),
    [
        ("cosine", {1: 0.1, 10: 1.0, 60: 0.55, 110: 0.1}),
        ("linear", {5: 0.5, 10: 1.0, 60: 0.55, 110: 0.1}),
        ("rsqrt", {5: 0.5, 10: 1.0, 40: 0.5, 1000: 0.1}),
        ("constant", {5: 0.5, 11: 1.0, 110: 1.0}),
    ],
)
def test_lr_factor(schedule, at):
    for step, expected in at.items():
        assert lr_factor(step, 110, schedule=schedule, warmup=10, final=0.1) == pytest.approx(expected)
    assert lr_factor(1, 10, schedule="constant", warmup=0) == 1.0


def test_parameter_groups():
    model = nn.ModuleDict({"memory": nn.Linear(3, 3), "body": nn.Linear(3, 3), "norm": nn.LayerNorm(3)})
    groups = parameter_groups(model, 0.1, {"memory": 0.2})
    found = {(group["lr_scale"], group["weight_decay"]): len(group["params"]) for group in groups}
    assert found == {(0.2, 0.1): 1, (0.2, 0.0): 1, (1.0, 0.1): 1, (1.0, 0.0): 3}
    with pytest.raises(ValueError, match=r"lr_scale must have keys that are in names of parameters, got attention"):
        parameter_groups(model, 0.1, {"attention": 2.0})


def test_step_seeds_differ():
    seeds = {step_seed(seed, step, process) for seed in range(3) for step in range(50) for process in range(3)}
    assert len(seeds) == 450 and all(0 <= seed < 2**63 for seed in seeds)
