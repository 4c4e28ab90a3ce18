"""Recipes: how a model is trained on a task, as a TOML file with the fields of :class:`rmaat.train.TrainConfig`.

Such as::

    task = "listops"
    model = "rmaat"
    steps = 5000
    lr = 1e-3

    [network]                # fields of ModelConfig; vocabulary, classes and longest input follow from the task
    segment_len = 256
    d_model = 64
"""

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

from rmaat.config import ModelConfig
from rmaat.train import TrainConfig

PATHS = ("run", "data_dir", "curves")
TUPLES = ("betas",)


def load_recipe(path: str | Path, **changes: Any) -> TrainConfig:
    """Read a recipe; `changes` replace its fields; ``network={...}`` and ``task_options={...}`` replace some.

    Raises
    ------
    ValueError
        For a file that is missing or no TOML, for a field that TrainConfig or ModelConfig does not have, and for values
        that make no training.
    """
    path = Path(path)
    try:
        recipe = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"recipe must be a readable TOML file, got {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"recipe must be TOML, got {path}: {error}") from error
    for section in ("network", "task_options"):
        if not isinstance(table := recipe.get(section, {}), dict):
            raise ValueError(f"{path}: {section} must be a table, got {table!r}")
        changes[section] = table | changes.get(section, {})
    recipe |= changes
    network = recipe.pop("network")
    for section, values, kind in (("", recipe, TrainConfig), ("network.", network, ModelConfig)):
        known = {field.name for field in dataclasses.fields(kind)}
        for name in values:
            if name not in known:
                raise ValueError(
                    f"{path}: {section}{name} must be a field of {kind.__name__}, one of {', '.join(sorted(known))}"
                )
    for name in PATHS:
        if isinstance(recipe.get(name), str):
            recipe[name] = Path(recipe[name])
    for name in TUPLES:
        if isinstance(recipe.get(name), list):
            recipe[name] = tuple(recipe[name])
    try:
        return TrainConfig(**recipe, network=ModelConfig(**({"vocab_size": 2} | network)))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
