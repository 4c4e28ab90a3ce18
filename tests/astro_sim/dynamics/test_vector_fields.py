"""Vector fields and time courses against the validation values and the balance of fluxes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astro_sim.dynamics.fixed_points import fixed_points
from astro_sim.dynamics.vector_fields import (
    calcium_fluxes,
    calcium_ranges,
    chi,
    h_inf,
    leak_balance,
    li_rinzel,
    micromolar_seconds,
    resting_ip3,
    time_course,
    upward_crossings,
)
from astro_sim.parameters.presets import AM, BOOK, FM, NEST
from astro_sim.parameters.variants import variant


def test_units_are_micromolar_and_seconds():
    p = micromolar_seconds(FM.calcium, FM.ip3, FM.receptor)
    assert (p.O_P, p.K_P, p.O_2, p.O_N, p.Omega_5P, p.rho_A) == pytest.approx((0.9, 0.05, 0.2, 0.3, 0.05, 0.18))


def test_v4_hysteresis_in_time_courses():
    def last_swing(I, start):
        _, states = time_course(li_rinzel(FM.calcium, I), 300, start)
        return np.ptp(states[0, -800:])

    on_the_cycle = [0.1, 0.95]
    assert last_swing(1.135, on_the_cycle) > 1.0 and last_swing(1.140, on_the_cycle) < 1e-3
    (rest,) = fixed_points(li_rinzel(FM.calcium, 1.135))
    assert last_swing(1.135, rest.state * [1.02, 1.0]) < 1e-2  # from rest the same IP3 level stays quiet


@pytest.mark.parametrize(("I_bias", "crossings", "C"), [(1.25, 2, 0.448), (0.6, 1, 0.383)])
def test_v19_pacing_stops(I_bias, crossings, C):
    system = chi(FM.calcium, FM.ip3, I_bias=I_bias)
    times, states = time_course(system, 300)
    assert upward_crossings(times, states[0], 0.5).size == crossings
    assert states[0, -1] == pytest.approx(C, rel=5e-3)
    assert any(point.stable and point["C"] == pytest.approx(C, rel=5e-3) for point in fixed_points(system))


@given(share=st.floats(1e-3, 0.999), preset=st.sampled_from([FM, AM, NEST, BOOK]))
@settings(max_examples=50, deadline=None)
def test_resting_ip3_balances_the_fluxes(share, preset):
    p = micromolar_seconds(preset.calcium)
    ((low, high),) = calcium_ranges(p)
    C = low + share * (high - low)
    I = resting_ip3(C, p)
    J_r, J_l, J_p = calcium_fluxes(C, h_inf(C, I, p), I, p)
    assert J_r + J_l == pytest.approx(J_p, rel=1e-9)


@pytest.mark.parametrize("factor", [1e-3, 1e-6, 1e-9])
def test_the_weaker_the_release_the_nearer_a_cell_rests_to_where_leak_alone_balances(factor):
    weak = variant(FM.calcium, source="this study", Omega_C=factor * FM.calcium.Omega_C)
    p = micromolar_seconds(weak)
    (point,) = fixed_points(li_rinzel(weak, 0.3))
    assert point["C"] == pytest.approx(leak_balance(p), rel=factor)


def test_a_time_course_must_be_longer_than_its_sampling():
    with pytest.raises(ValueError, match=r"duration_s must exceed dt_s = 0\.05, got 0\.01"):
        time_course(li_rinzel(FM.calcium, 0.5), 0.01)
