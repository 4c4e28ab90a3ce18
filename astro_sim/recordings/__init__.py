"""Calcium recordings: traces read from the files of other programs, and the events in them, simulated or measured.

Imports `simulation.recording` and the bridge; loads no simulator.
"""

from astro_sim.recordings.events import events, plot_events, synchrony
from astro_sim.recordings.traces import read_traces

__all__ = ["events", "plot_events", "read_traces", "synchrony"]
