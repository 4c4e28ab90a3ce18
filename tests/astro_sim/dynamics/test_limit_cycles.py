"""The return map: where it gives nothing, and the unstable cycle that it finds."""

import numpy as np

from astro_sim.dynamics.bifurcations import cycles
from astro_sim.dynamics.fixed_points import fixed_points
from astro_sim.dynamics.limit_cycles import return_map
from astro_sim.dynamics.vector_fields import li_rinzel, micromolar_seconds, time_course
from astro_sim.parameters.presets import FM


def test_return_map_is_the_identity_on_a_cycle_and_nan_where_nothing_returns():
    p = micromolar_seconds(FM.calcium)
    low, *_ = fixed_points(li_rinzel(FM.calcium, 0.3))
    assert np.isnan(return_map(0.99, 0.3, low["C"] * 1.5, p)).all()


def test_unstable_cycle_bounds_the_basin():
    inner, outer = cycles(FM.calcium, 1.0).stable
    assert not inner and outer
    p = micromolar_seconds(FM.calcium)
    (rest,) = fixed_points(li_rinzel(FM.calcium, 1.0))
    h = rest["h"] + np.linspace(0.005, 1 - rest["h"], 60)
    landed = return_map(h, 1.0, rest["C"], p)[0]
    unstable = h[np.flatnonzero(np.diff(np.sign(landed - h)) > 0)[0]]
    for factor, swings in ((0.97, False), (1.06, True)):
        start = [rest["C"], rest["h"] + factor * (unstable - rest["h"])]
        _, states = time_course(li_rinzel(FM.calcium, 1.0), 400, start)
        assert (np.ptp(states[0, -800:]) > 1.0) is np.bool_(swings)
