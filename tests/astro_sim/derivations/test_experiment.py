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


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_synapses": 10**12}, r"n_synapses must be from 0 to 100000, got 1e\+12"),
        ({"n_cycles": 1.5}, "n_cycles must be of type int, got 1.5"),
        ({"n_cycles": True}, "n_cycles must be of type int, got True"),
        ({"cycle_s": float("nan")}, "cycle_s must be from 0 to 100000, got nan"),
        ({"seed": -1}, "seed must be from 0 to 4294967295, got -1"),
        ({"gliotransmission": "no"}, "gliotransmission must be of type bool, got 'no'"),
        ({"overrides": ["O_P"]}, r"overrides must be of type dict, got \['O_P'\]"),
        ({"overrides": "O_P"}, "overrides must be of type dict, got 'O_P'"),
        ({"overrides": {"O_P": 2.0}}, "overrides must map symbols to text such as 'x1.2', got"),
    ],
)
def test_an_experiment_of_somebody_else_is_checked_before_it_runs(fields, message):
    with pytest.raises(ValueError, match=message):
        LTPExperiment(**fields)
