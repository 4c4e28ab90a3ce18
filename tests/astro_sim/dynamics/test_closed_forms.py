"""Closed forms against brute force: recursions, sampled courses, root finding."""

import numpy as np
import pytest
from brian2 import ms, second, umolar
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from astro_sim.dynamics import closed_forms as theory
from astro_sim.parameters.presets import FM, GLIOTRANSMISSION, PLASTICITY, RECTIFYING, RELEASE
from astro_sim.parameters.tables import THIS_STUDY
from astro_sim.parameters.variants import variant

PROBABILITY = st.floats(0.02, 0.98)


def synapse(U_0):
    return variant(RELEASE, source=THIS_STUDY, U_0__star=U_0)


def released(U_0, interval_s, n):
    """Release of each of `n` spikes, by the recursion of Tsodyks and Markram."""
    u, x, r = 0.0, 1.0, []
    for _ in range(n):
        u += U_0 * (1 - u)
        r.append(u * x)
        x -= r[-1]
        u *= np.exp(-3.33 * interval_s)
        x = 1 - (1 - x) * np.exp(-2 * interval_s)
    return np.array(r)


@given(PROBABILITY, st.floats(0.005, 2))
@settings(max_examples=50, deadline=None)
def test_periodic_release_is_the_limit_of_the_recursion(U_0, interval_s):
    assert theory.periodic_release(synapse(U_0), interval_s)[2] == pytest.approx(released(U_0, interval_s, 3000)[-1])


@given(PROBABILITY, st.floats(0.001, 2))
@settings(max_examples=50, deadline=None)
def test_paired_pulse_ratio_is_that_of_the_recursion(U_0, interval_s):
    first, second_ = released(U_0, interval_s, 2)
    assert theory.paired_pulse_ratio(synapse(U_0), interval_s) == pytest.approx(second_ / first, rel=1e-9)


@given(PROBABILITY)
@settings(max_examples=30, deadline=None)
def test_limiting_rate_is_where_mean_field_release_is_largest(U_0):
    release = synapse(U_0)
    best = minimize_scalar(lambda nu: -theory.mean_field_release(release, nu)[2], bounds=(0, 60), method="bounded")
    assert theory.limiting_rate(release) == pytest.approx(best.x, abs=1e-3)
    assert (theory.limiting_rate(release) > 0) == (U_0 < theory.facilitation_threshold(release))


def test_mean_field_is_naka_rushton_in_u():
    nu = np.geomspace(0.01, 100, 30)
    assert theory.mean_field_release(RELEASE, nu)[0] == pytest.approx(0.6 + 0.4 * nu / (nu + 3.33 / 0.6))


def test_poisson_threshold_is_where_the_mean_ratio_is_one():
    U_0 = theory.poisson_threshold(RELEASE)
    D = np.linspace(0, 40, 400_001)
    excess = theory.paired_pulse_ratio(synapse(U_0), D) - 1
    assert np.trapezoid(excess, D) == pytest.approx(0, abs=1e-8)


def test_receptors_after_release_solve_the_transient():
    G, Gamma, dt = 78.0, 0.3, 1e-5  # uM; Euler
    for _ in range(60_000):
        Gamma += dt * 1.5 * G * (1 - Gamma)
        G *= 1 - 60 * dt
    assert theory.receptors_after_release(GLIOTRANSMISSION, Gamma_S=0.3) == pytest.approx(Gamma, abs=1e-4)


def test_receptors_may_be_swept():
    alpha = variant(GLIOTRANSMISSION, source=THIS_STUDY, U_A=[0.0, 0.6])
    assert theory.receptors_after_release(alpha) == pytest.approx([0, 1 - np.exp(-1.95)])


@pytest.mark.parametrize("rate_hz", [0.01, 0.3, 2.0])
def test_periodic_receptors_are_the_limit_of_the_recursion(rate_hz):
    Gamma, x_A, T = 0.0, 1.0, 1 / rate_hz
    for _ in range(2000):
        after = 1 - (1 - Gamma) * np.exp(-3.25 * 0.6 * x_A)
        x_A = 1 - (1 - 0.4 * x_A) * np.exp(-0.6 * T)
        Gamma = after * np.exp(-T / 120)
    mean = (after - Gamma) * 120 / T
    assert theory.periodic_receptors(GLIOTRANSMISSION, rate_hz) == pytest.approx(mean)


def test_threshold_rate_is_where_the_mean_field_probability_crosses():
    rate = theory.threshold_release_rate(RELEASE, GLIOTRANSMISSION)
    U_0 = theory.modulated_probability(RELEASE, GLIOTRANSMISSION, theory.mean_field_receptors(GLIOTRANSMISSION, rate))
    assert U_0 == pytest.approx(theory.facilitation_threshold(RELEASE))


def test_no_switch_where_alpha_is_on_the_same_side():
    same = variant(GLIOTRANSMISSION, source=THIS_STUDY, alpha=0.5)
    assert np.isnan(theory.switching_level(RELEASE, same))
    assert theory.switching_level(RELEASE, GLIOTRANSMISSION) == pytest.approx(0.374609, abs=1e-6)


@pytest.mark.parametrize(("F", "k"), [(0.1, 0.1), (2.0, 0.05)])
def test_kernel_length_is_that_of_a_long_chain(F, k):
    n = 401
    laplacian = np.diag(np.full(n, -2.0)) + np.diag(np.ones(n - 1), 1) + np.diag(np.ones(n - 1), -1)
    laplacian[0, 0] = laplacian[-1, -1] = -1
    profile = np.linalg.solve(k * np.eye(n) - F * laplacian, np.eye(n)[n // 2])[n // 2 :]
    assert theory.kernel_length(F, k) == pytest.approx(-1 / np.log(profile[5] / profile[4]), rel=1e-9)


def test_junction_gate_and_receptor():
    assert theory.junction_gate(RECTIFYING, [-0.3, 0.3]) == pytest.approx([0.5, 0.5])
    assert theory.receptor_decay_rate(FM.receptor, 0.5) == pytest.approx(3.0)
    slow = variant(FM.receptor, source=THIS_STUDY, O_N=0 / umolar / second)
    assert theory.receptor_after_spike(slow, RELEASE, 1500) == 0


# pairs in both orders, crowded enough for calcium to pile up, and a presynaptic step that falls on the postsynaptic one
@pytest.mark.parametrize(("rate_hz", "lag_s"), [(1, 0.01), (1, -0.02), (20, 0.01), (40, 0.03), (1, 0.0137), (5, 0)])
@pytest.mark.parametrize("name", ["DP", "hippocampal_cultures"])
def test_time_above_is_that_of_a_sampled_course(name, rate_hz, lag_s):
    p, dt, n = PLASTICITY[name], 1e-6, 30
    period = 1 / rate_hz
    t = np.arange(0, period, dt)
    c = np.zeros(len(t))
    for k in range(-n, 1):  # contributions of this period's and earlier steps
        for at, size in ((float(p.D), float(p.C_pre)), (lag_s, float(p.C_post))):
            since = t - at % period - k * period
            c += np.where(since >= 0, size * np.exp(-np.maximum(since, 0) / float(p.tau_Ca)), 0)
    shares = [(c > float(theta)).mean() for theta in (p.theta_d, p.theta_p)]
    assert theory.time_above(p, rate_hz, lag_s) == pytest.approx(shares, abs=2e-6 * rate_hz * 4)


def test_without_pairs_nothing_moves():
    course = theory.efficacy_dynamics(PLASTICITY["DP"], 0.0)
    assert np.isinf(course.tau_eff) and theory.time_above(PLASTICITY["DP"], 0.0, 0.01) == (0, 0)
    silent = variant(PLASTICITY["DP"], source=THIS_STUDY, C_pre=0, C_post=0)
    assert theory.change_in_strength(silent) == 1


@given(st.floats(0.1, 8), st.floats(-0.1, 0.1))
@settings(max_examples=50, deadline=None)
def test_efficacy_stays_between_its_bounds(rate_hz, lag_s):
    course = theory.efficacy_dynamics(PLASTICITY["DP"], rate_hz, lag_s)
    rho = course.mean(np.linspace(0, 500, 50))
    assert 0 <= course.rho_bar <= 1 and np.all(np.diff(rho) >= 0) and course.above_p <= course.above_d
    assert 0.2 <= theory.change_in_strength(PLASTICITY["DP"], rate_hz, lag_s) <= 1.7


@pytest.mark.parametrize("name, D_ms, expected", [("DP", 14, 0.9944), ("DPD", 5, 0.9700)])
def test_delay_matters(name, D_ms, expected):
    """Why the plasticity targets run at 0.1 ms: what rounding to 1 ms does to DP, and to DPD, the worst."""
    published = PLASTICITY[name]
    rounded = variant(published, source=THIS_STUDY, D=D_ms * ms)
    ratio = theory.efficacy_dynamics(rounded).tau_eff / theory.efficacy_dynamics(published).tau_eff
    assert ratio == pytest.approx(expected, abs=1e-4)
