"""From a model and a protocol to a recording: the only room that builds Brian2 networks of them.

Imports `models`, `protocols` and the rooms below them. Recordings are read and written without loading Brian2.
"""

from typing import TYPE_CHECKING, Any

from astro_sim.simulation.recording import Recording, RecordingFileError, load_recording, save_recording

if TYPE_CHECKING:
    from astro_sim.simulation.run import simulate

__all__ = ["Recording", "RecordingFileError", "load_recording", "save_recording", "simulate"]


def __getattr__(name: str) -> Any:
    if name != "simulate":
        raise AttributeError(f"module 'astro_sim.simulation' has no attribute {name!r}")
    from astro_sim.simulation.run import simulate

    return simulate
