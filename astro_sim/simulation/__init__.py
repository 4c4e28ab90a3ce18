"""From a model and a protocol to a recording: the only room that builds Brian2 networks of them.

Imports `models`, `protocols` and the rooms below them.
"""

from astro_sim.simulation.recording import Recording, RecordingFileError, load_recording, save_recording
from astro_sim.simulation.run import simulate

__all__ = [
    "Recording",
    "RecordingFileError",
    "load_recording",
    "save_recording",
    "simulate",
]
