"""Training configurations and recipes: wrong values are named."""

from pathlib import Path

import pytest

from rmaat.models.zoo import NAMES
from rmaat.tasks import TASKS
from rmaat.training.config import TrainConfig, load_recipe

RECIPES = sorted((Path(__file__).parents[3] / "benchmarks").rglob("*.toml"))
RECIPES = [path for path in RECIPES if path.name != "grid.toml"]  # of benchmarks/astrocyte.py


def test_the_committed_recipes_can_be_read():
    recipes = [load_recipe(path) for path in RECIPES]
    assert len(recipes) > 50
    assert {recipe.model for recipe in recipes} <= set(NAMES) and {recipe.task for recipe in recipes} <= set(TASKS)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('steps = "abc"', "steps must be an integer, got 'abc'"),
        ("betas = 0.9", "betas must be 2 values, each a number, got 0.9"),
        ("run = 3", "run must be a path, got 3"),
        ("network = 3", "network must be a table, got 3"),
        ("task_options = []", r"task_options must be a table, got \[\]"),
        ("lr = -1.0", "lr must be positive and finite, got -1.0"),
    ],
)
def test_wrong_values_in_recipes_are_named_with_the_file(tmp_path, line, message):
    (tmp_path / "recipe.toml").write_text(line)
    with pytest.raises(ValueError, match=rf"recipe\.toml: {message}$"):
        load_recipe(tmp_path / "recipe.toml")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"max_steps": 0}, "max_steps must be at least 1, got 0"),
        ({"lr": float("nan")}, "lr must be positive and finite, got nan"),
        ({"warmup": 2000}, "warmup must be 0 to steps = 1000, got 2000"),
        ({"final_lr": 1.5}, "final_lr must be a share between 0 and 1, got 1.5"),
        ({"clip": -1.0}, "clip must be finite and at least 0, got -1.0"),
        ({"curve_draw": -1}, "curve_draw must be at least 0, got -1"),
        ({"schedule": "cos"}, "schedule must be one of 'cosine', 'linear', 'rsqrt', 'constant', got 'cos'"),
        ({"precision": "fp8"}, "precision must be one of 'no', 'bf16', 'fp16', got 'fp8'"),
    ],
)
def test_values_that_make_no_training(fields, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**fields)
