"""Training: recipe, optimiser, run folder, evaluation.

Imports `models` and `tasks`.
"""
