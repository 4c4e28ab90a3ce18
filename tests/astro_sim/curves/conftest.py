"""A curve that many tests look at."""

import pytest
from ensembles import CYCLES, ensemble

from astro_sim.curves.curve import Axis
from astro_sim.curves.fit import fit_curve


@pytest.fixture(scope="module")
def curve():
    origin = {"kind": "measurement", "command": "c", "source": "s", "versions": {"numpy": "1"}}
    origin |= {"data": "none", "data_sha256": "0"}
    return fit_curve(
        CYCLES, ensemble=ensemble(), name="ltp", x_axis=Axis("t", "s"), y_axis=Axis("rho", "1"), provenance=origin
    )
