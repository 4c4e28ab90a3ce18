"""Experiments refuse sizes and names that make no sense."""

import pytest

from astro_sim.derivations.ltp import LTPExperiment, PopulationExperiment
from astro_sim.derivations.stp import SpatialExperiment


def test_wrong_experiments_are_refused():
    with pytest.raises(ValueError, match=r"n_synapses must be a multiple, .*, got 100 synapses for 12 rates"):
        PopulationExperiment(n_synapses=100)
    with pytest.raises(ValueError, match="farthest must be from 3 to half of n_cells = 11, got 8"):
        SpatialExperiment(n_cells=11)
    with pytest.raises(ValueError, match=r"preset must be one of .*, got 'xy'"):
        LTPExperiment(preset="xy").tables()
