"""The small sweep, run once."""

import pytest
from small_sweeps import small

from astro_sim.sweeps.run import run_sweep


@pytest.fixture(scope="module")
def whole():
    return run_sweep(small())
