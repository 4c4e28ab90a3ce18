"""Training: the recipe, the optimiser, the run folder, evaluation and the loop, `rmaat.training.train.train`.

Imports `models`, `tasks` and the rooms below them.
"""

from rmaat.training.config import TrainConfig, load_recipe

__all__ = ["TrainConfig", "load_recipe"]
