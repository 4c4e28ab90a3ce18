"""What can be simulated: equations, astrocytes, synapses and how astrocytes are coupled.

Imports `parameters` and `dynamics`.
"""

from astro_sim.models.astrocytes import AstrocyteNetwork, ChI, GChI, InwardCurrent, LiRinzel
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.models.topology import Topology, chain, edge_list, grid, ring

__all__ = [
    "AstrocyteNetwork", "ChI", "GChI", "InwardCurrent", "LiRinzel", "Topology", "TripartiteSynapses", "chain",
    "edge_list", "grid", "ring",
]  # fmt: skip
