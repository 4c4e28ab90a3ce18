"""Bring your own curve: a table of measured responses becomes a curve file. No simulator, no network.

A file goes through the modules in this order: `cells` (text to cells), `columns` (which is what), `numbers` (cells to
numbers), `table` (all of it, in seconds), `baseline` (what it is relative to), `course` (the fit).
"""

from astro_sim.curves.measured.course import fit_csv, fit_measured, in_words
from astro_sim.curves.measured.table import Measured, read_measured

__all__ = ["Measured", "fit_csv", "fit_measured", "in_words", "read_measured"]
