"""Figures of recordings and curve folders, and the slider panel of the notebooks.

Imports `curves`, `simulation` and the rooms below it.
"""
