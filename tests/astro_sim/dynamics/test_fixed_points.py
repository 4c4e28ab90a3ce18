"""Fixed points, Jacobian and nullclines against the validation values, time courses and finite differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astro_sim.dynamics.fixed_points import fixed_points, jacobian, nullclines
from astro_sim.dynamics.vector_fields import chi, g_chi, li_rinzel, time_course, upward_crossings
from astro_sim.parameters.presets import AM, BOOK, FM, NEST
from astro_sim.parameters.variants import variant


def test_v20_quiescence():
    (loud,) = fixed_points(chi(FM.calcium, FM.ip3))
    assert (loud["C"], loud["I"]) == pytest.approx((0.4353, 0.9975), rel=5e-3)
    times, states = time_course(chi(FM.calcium, FM.ip3), 200)
    assert upward_crossings(times, states[0], 0.5) == pytest.approx([17.36], rel=5e-3)
    weaker = variant(FM.ip3, source="this study", F_ex=AM.ip3.F_ex)
    for ip3, C, I in ((FM.ip3, 0.0298, 0.198), (weaker, 0.0325, 0.287)):
        rest, *_ = fixed_points(chi(FM.calcium, ip3, I_bias=0.0))
        assert (rest["C"], rest["I"]) == pytest.approx((C, I), rel=5e-3) and rest.stable
    (rest,) = fixed_points(g_chi(AM.calcium, AM.ip3, AM.receptor))
    assert (rest["C"], rest["I"], rest["h"]) == pytest.approx((0.0544, 0.0608, 0.7857), rel=5e-3)
    assert rest["Gamma_A"] == 0 and rest.stable


@given(Y_S=st.floats(0, 5), start=st.lists(st.floats(0.02, 0.98), min_size=4, max_size=4))
@settings(max_examples=20, deadline=None)
def test_fixed_points_stay_fixed_and_absorb(Y_S, start):
    system = g_chi(AM.calcium, AM.ip3, AM.receptor, Y_S=Y_S)
    found = fixed_points(system)
    assert found and all(np.abs(system.rates(point.state)).max() < 1e-10 for point in found)
    # whatever the start, a state that has come to rest has come to rest at one of them
    _, states = time_course(system, 400, start)
    if np.abs(system.rates(states[:, -1])).max() < 1e-7:
        assert min(np.abs(states[:, -1] - point.state).max() for point in found) < 1e-4


@pytest.mark.parametrize("I", [0.0, 1e-9, 1e-5, 1e-3, 0.01, 100.0])
def test_no_ip3_level_is_too_low_or_too_high_for_a_fixed_point(I):
    for preset in (FM, AM, NEST, BOOK):
        system = li_rinzel(preset.calcium, I)
        (point,) = fixed_points(system)
        assert point.stable and np.abs(system.rates(point.state)).max() < 1e-10


def test_jacobian_equals_finite_differences():
    system = g_chi(FM.calcium, FM.ip3, FM.receptor, Y_S=0.7, I_bias=0.5)
    state, step = np.array([0.2, 0.7, 0.4, 0.3]), 1e-6
    columns = [
        (np.array(system.rates(state + step * unit)) - np.array(system.rates(state - step * unit))) / (2 * step)
        for unit in np.eye(4)
    ]
    assert jacobian(system, state) == pytest.approx(np.array(columns).T, rel=1e-6, abs=1e-7)
    many = np.repeat(state[:, None], 3, axis=1)
    assert jacobian(system, many) == pytest.approx(np.repeat(jacobian(system, state)[None], 3, axis=0))


def test_nullclines_cross_at_the_fixed_points():
    lines = nullclines(FM.calcium, 0.5, n=20_000)
    gap = lines["h_where_C_rests"] - lines["h_where_h_rests"]
    crossing = np.flatnonzero(gap[:-1] * gap[1:] < 0)
    assert lines["C"][crossing] == pytest.approx([p["C"] for p in fixed_points(li_rinzel(FM.calcium, 0.5))], rel=1e-3)
