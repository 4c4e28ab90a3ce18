"""Numbers, each with its source, their units, and every way to change one.

Imports no other room.
"""

from astro_sim.parameters.presets import (
    AM,
    BOOK,
    FM,
    GLIOTRANSMISSION,
    GLIOTRANSMISSION_BOOK,
    LINEAR,
    NEST,
    NEURON,
    PLASTICITY,
    PRESETS,
    RECTIFYING,
    RELEASE,
    RELEASE_DEPRESSING,
    RELEASE_FACILITATING,
    get_plasticity,
    get_preset,
)
from astro_sim.parameters.tables import (
    THIS_STUDY,
    AstrocyteParameters,
    CalciumParameters,
    CouplingParameters,
    GliotransmissionParameters,
    InwardCurrentParameters,
    IP3Parameters,
    NeuronParameters,
    PlasticityParameters,
    ReceptorParameters,
    ReleaseParameters,
    check_classes,
    meanings,
)
from astro_sim.parameters.variants import variant, vary

__all__ = [
    "AM", "BOOK", "FM", "GLIOTRANSMISSION", "GLIOTRANSMISSION_BOOK", "LINEAR", "NEST", "NEURON", "PLASTICITY",
    "PRESETS", "RECTIFYING", "RELEASE", "RELEASE_DEPRESSING", "RELEASE_FACILITATING", "THIS_STUDY",
    "AstrocyteParameters", "CalciumParameters", "CouplingParameters", "GliotransmissionParameters", "IP3Parameters",
    "InwardCurrentParameters", "NeuronParameters", "PlasticityParameters", "ReceptorParameters", "ReleaseParameters",
    "check_classes", "get_plasticity", "get_preset", "meanings", "variant", "vary",
]  # fmt: skip
