"""Experiments with many runs: the arena, its variants, the retention probe and the timings.

The top room: imports every other one.
"""
