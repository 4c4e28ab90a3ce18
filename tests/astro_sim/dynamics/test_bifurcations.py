"""Cycles and bifurcations along IP3 against the validation values and time courses."""

import numpy as np
import pytest

from astro_sim.dynamics.bifurcations import bifurcation_diagram, cycles, oscillation
from astro_sim.dynamics.fixed_points import fixed_points, nullclines
from astro_sim.dynamics.vector_fields import (
    calcium_ranges,
    chi,
    li_rinzel,
    micromolar_seconds,
    time_course,
    upward_crossings,
)
from astro_sim.parameters.presets import AM, FM, NEST
from astro_sim.parameters.variants import variant


@pytest.fixture(scope="module")
def diagrams():
    return {preset.name: bifurcation_diagram(preset.calcium, n_cycles=24) for preset in (FM, AM, NEST)}


def points(diagram, kind):
    return [point for point in diagram.points if kind in point.kind]


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


@pytest.mark.parametrize(("I_bias", "interval"), [(0.4, 29.7), (0.7, 17.95), (0.8, 17.06), (1.0, 16.18), (1.1, 15.93)])
def test_v19_pacing(I_bias, interval):
    found = oscillation(chi(FM.calcium, FM.ip3, I_bias=I_bias))
    assert found.period_s == pytest.approx(interval, rel=1e-2) and found.C_min < 0.1 and found.C_max > 0.5


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
    with pytest.raises(TypeError, match=r"tables must be parameter tables, got AstrocyteParameters; .* AM.calcium"):
        bifurcation_diagram(AM)
    for levels in ([], [-0.1]):
        with pytest.raises(ValueError, match="I must be one or more IP3 levels that are not negative"):
            cycles(FM.calcium, levels)


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


@pytest.mark.parametrize("name", ["O_P", "C_T", "Omega_C", "Omega_L"])
def test_a_knocked_out_flux_has_no_diagram(name):
    calcium = variant(FM.calcium, source="this study", **{name: 0 * getattr(FM.calcium, name)})
    for explore in (bifurcation_diagram, lambda table: nullclines(table, 0.5)):
        with pytest.raises(ValueError, match=f"{name} must be positive for calcium to rest at a level that IP3 sets"):
            explore(calcium)
