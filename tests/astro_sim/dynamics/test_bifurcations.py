"""Fixed points, cycles and bifurcations against the validation values (V1-V4, V19, V20) and closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astro_sim.dynamics.bifurcations import bifurcation_diagram, cycles, oscillation
from astro_sim.dynamics.fixed_points import fixed_points, jacobian, nullclines
from astro_sim.dynamics.limit_cycles import return_map
from astro_sim.dynamics.vector_fields import (
    calcium_fluxes,
    calcium_ranges,
    chi,
    g_chi,
    h_inf,
    li_rinzel,
    micromolar_seconds,
    resting_ip3,
    time_course,
    upward_crossings,
)
from astro_sim.parameters.presets import AM, BOOK, FM, NEST
from astro_sim.parameters.variants import variant


@pytest.fixture(scope="module")
def diagrams():
    return {preset.name: bifurcation_diagram(preset.calcium, n_cycles=24) for preset in (FM, AM, NEST)}


def points(diagram, kind):
    return [point for point in diagram.points if kind in point.kind]


def test_units_are_micromolar_and_seconds():
    p = micromolar_seconds(FM.calcium, FM.ip3, FM.receptor)
    assert (p.O_P, p.K_P, p.O_2, p.O_N, p.Omega_5P, p.rho_A) == pytest.approx((0.9, 0.05, 0.2, 0.3, 0.05, 0.18))


# --- validation targets ----------------------------------------------------------------------------------------------


def test_v1_nest_hopf_points(diagrams):
    lower, upper = points(diagrams["nest"], "Hopf")
    assert (lower.I, upper.I) == pytest.approx((0.3545, 0.6369), rel=5e-3)
    assert (lower.C, upper.C) == pytest.approx((0.1557, 0.3233), rel=5e-3)
    assert (lower.period_s, upper.period_s) == pytest.approx((12.55, 10.50), rel=5e-3)


def test_v2_nest_cycle():
    (point,) = fixed_points(li_rinzel(NEST.calcium, 0.5))
    assert (point["C"], point["h"]) == pytest.approx((0.2501, 0.6467), rel=1e-3)
    assert point.kind == "unstable focus"
    cycle = cycles(NEST.calcium, 0.5)
    assert cycle.stable.tolist() == [True]
    assert (cycle.period_s[0], cycle.C_min[0], cycle.C_max[0]) == pytest.approx((11.49, 0.108, 0.445), rel=1e-2)


def test_v3_am_hopf_points_and_cycle(diagrams):
    lower, upper = points(diagrams["am"], "Hopf")
    assert (lower.I, upper.I) == pytest.approx((0.3488, 0.6432), rel=5e-3)
    cycle = cycles(AM.calcium, 0.5)
    assert (cycle.period_s[0], cycle.C_min[0], cycle.C_max[0]) == pytest.approx((11.40, 0.101, 0.453), rel=5e-3)


def test_v4_fm_structure(diagrams):
    first, second = points(diagrams["fm"], "saddle-node")
    assert (first.I, second.I) == pytest.approx((0.4809, 0.5506), rel=1e-3)
    lower, upper = points(diagrams["fm"], "Hopf")
    assert (lower.I, upper.I) == pytest.approx((0.5362, 0.8640), rel=1e-3)
    for I, count in ((0.47, 1), (0.49, 3), (0.54, 3), (0.56, 1)):
        assert len(fixed_points(li_rinzel(FM.calcium, I))) == count
    (fold,) = points(diagrams["fm"], "fold of cycles")
    assert upper.kind == "subcritical Hopf" and 1.135 < fold.I < 1.140
    assert diagrams["fm"].hysteresis == ((upper.I, fold.I),)
    cycle = cycles(FM.calcium, [0.6, 1.0])
    stable = cycle.stable
    assert cycle.period_s[stable] == pytest.approx([29.4, 17.7], rel=1e-2)
    oscillating = diagrams["fm"].cycles
    peaks = oscillating.C_max[oscillating.stable]
    assert peaks.min() > 1.035 * 0.99 and peaks.max() < 1.104 * 1.02


def test_v4_hysteresis_in_time_courses():
    def last_swing(I, start):
        _, states = time_course(li_rinzel(FM.calcium, I), 300, start)
        return np.ptp(states[0, -800:])

    on_the_cycle = [0.1, 0.95]
    assert last_swing(1.135, on_the_cycle) > 1.0 and last_swing(1.140, on_the_cycle) < 1e-3
    (rest,) = fixed_points(li_rinzel(FM.calcium, 1.135))
    assert last_swing(1.135, rest.state * [1.02, 1.0]) < 1e-2  # from rest the same IP3 level stays quiet


@pytest.mark.parametrize(("I_bias", "interval"), [(0.4, 29.7), (0.7, 17.95), (0.8, 17.06), (1.0, 16.18), (1.1, 15.93)])
def test_v19_pacing(I_bias, interval):
    found = oscillation(chi(FM.calcium, FM.ip3, I_bias=I_bias))
    assert found.period_s == pytest.approx(interval, rel=1e-2) and found.C_min < 0.1 and found.C_max > 0.5


@pytest.mark.parametrize(("I_bias", "crossings", "C"), [(1.25, 2, 0.448), (0.6, 1, 0.383)])
def test_v19_pacing_stops(I_bias, crossings, C):
    system = chi(FM.calcium, FM.ip3, I_bias=I_bias)
    times, states = time_course(system, 300)
    assert upward_crossings(times, states[0], 0.5).size == crossings
    assert states[0, -1] == pytest.approx(C, rel=5e-3)
    assert any(point.stable and point["C"] == pytest.approx(C, rel=5e-3) for point in fixed_points(system))


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


# --- properties ------------------------------------------------------------------------------------------------------


@given(share=st.floats(1e-3, 0.999), preset=st.sampled_from([FM, AM, NEST, BOOK]))
@settings(max_examples=50, deadline=None)
def test_resting_ip3_balances_the_fluxes(share, preset):
    p = micromolar_seconds(preset.calcium)
    ((low, high),) = calcium_ranges(p)
    C = low + share * (high - low)
    I = resting_ip3(C, p)
    J_r, J_l, J_p = calcium_fluxes(C, h_inf(C, I, p), I, p)
    assert J_r + J_l == pytest.approx(J_p, rel=1e-9)


def test_weak_leak_has_rests_in_several_ranges_of_calcium():
    calcium = variant(FM.calcium, source="this study", Omega_L=0.1 * FM.calcium.Omega_L)
    assert len(calcium_ranges(micromolar_seconds(calcium))) > 1
    system = li_rinzel(calcium, 2.0)
    points = fixed_points(system)
    assert len(points) == 3 and points[0]["C"] < 0.011 and points[-1]["C"] > 0.3
    for point in points:
        assert np.abs(system.rates(point.state)).max() < 1e-9
    with pytest.raises(ValueError, match=r"Omega_L must be large enough for one curve of fixed points, got 0.01"):
        bifurcation_diagram(calcium)


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


def test_cycle_agrees_with_the_time_course():
    cycle = cycles(FM.calcium, 1.0)
    times, states = time_course(li_rinzel(FM.calcium, 1.0), 300, [0.1, 0.9], dt_s=0.01)
    assert np.diff(upward_crossings(times, states[0], 0.5))[-1] == pytest.approx(cycle.period_s[1], rel=1e-5)
    assert states[0, -5000:].max() == pytest.approx(cycle.C_max[1], rel=1e-4)


def test_oscillation_is_the_cycle_continued():
    state = [0.1, 0.95]
    for I in (0.9, 1.1):
        found, cycle = oscillation(li_rinzel(FM.calcium, I), state, settle_s=120.0), cycles(FM.calcium, I)
        assert found.period_s == pytest.approx(cycle.period_s[-1], rel=1e-4)
        assert (found.C_min, found.C_max) == pytest.approx((cycle.C_min[-1], cycle.C_max[-1]), rel=1e-2)
        state = found.state
    assert oscillation(li_rinzel(FM.calcium, 1.3), state) is None


def test_return_map_is_the_identity_on_a_cycle_and_nan_where_nothing_returns():
    p = micromolar_seconds(FM.calcium)
    low, *_ = fixed_points(li_rinzel(FM.calcium, 0.3))
    assert np.isnan(return_map(0.99, 0.3, low["C"] * 1.5, p)).all()


def test_unstable_cycle_bounds_the_basin(diagrams):
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


def test_encoding_and_criticality(diagrams):
    assert [diagrams[name].encoding for name in ("fm", "am", "nest")] == ["FM", "AM", "AM"]
    assert diagrams["am"].points[0].kind == "supercritical Hopf"
    for diagram in diagrams.values():
        turns = np.diff(diagram.stable.astype(int))
        changes = diagram.C[np.flatnonzero(turns)]
        bounds = [point.C for point in diagram.points if point.kind != "fold of cycles"]
        assert all(np.abs(np.array(bounds) - change).min() < 0.01 for change in changes)


def test_quiet_range_has_no_cycles():
    diagram = bifurcation_diagram(NEST.calcium, I_range=(0.0, 0.2), n_cycles=5)
    assert diagram.encoding == "none" and diagram.stable.all()
    assert diagram.points == diagram.hysteresis == () and not diagram.cycles.I.size


def test_a_range_within_the_oscillations_is_all_cycles():
    diagram = bifurcation_diagram(NEST.calcium, I_range=(0.4, 0.6), n_cycles=5)
    assert diagram.cycles.I == pytest.approx([0.4, 0.45, 0.5, 0.55, 0.6]) and diagram.points == ()


def test_errors():
    with pytest.raises(ValueError, match=r"I_range must satisfy 0 <= low < high, got \(1, 0\)"):
        bifurcation_diagram(FM.calcium, I_range=(1, 0))
    with pytest.raises(ValueError, match=r"duration_s must exceed dt_s = 0\.05, got 0\.01"):
        time_course(li_rinzel(FM.calcium, 0.5), 0.01)
    with pytest.raises(TypeError, match=r"tables must be parameter tables, got AstrocyteParameters; .* AM.calcium"):
        bifurcation_diagram(AM)
    for levels in ([], [-0.1]):
        with pytest.raises(ValueError, match="I must be one or more IP3 levels that are not negative"):
            cycles(FM.calcium, levels)


@pytest.mark.parametrize("name", ["O_P", "C_T", "Omega_C", "Omega_L"])
def test_a_knocked_out_flux_has_no_diagram(name):
    calcium = variant(FM.calcium, source="this study", **{name: 0 * getattr(FM.calcium, name)})
    for explore in (bifurcation_diagram, lambda table: nullclines(table, 0.5)):
        with pytest.raises(ValueError, match=f"{name} must be positive for calcium to rest at a level that IP3 sets"):
            explore(calcium)
