"""Closed forms of the models: formulas that the simulator is tested against, and that figures draw through its curves.

Every function takes parameter tables, and arrays of plain numbers in the unit that an argument's name says. Where a
form is exact the docstring says so; a mean field is one that neglects correlations, and says that.

References
----------
[TM] M. Tsodyks, K. Pawelzik, H. Markram (1998), Neural Computation 10, 821-835.
[DP11] M. De Pitta, V. Volman, H. Berry, E. Ben-Jacob (2011), PLoS Comput. Biol. 7, e1002293.
[BK10] M. De Pitta, H. Berry, eds. (2019), Computational Glioscience, code of chapter 10.
[GB] M. Graupner, N. Brunel (2012), PNAS 109, 3991-3996; ``timeAboveThreshold.py``, ``synapticChange.py`` of its code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from astro_sim.dynamics.vector_fields import micromolar_seconds


def periodic_release(release, interval_s):
    """Release in the steady state of a regular train: exact.

    ``u = U / (1 - (1 - U) e^(-Omega_f D))``, ``x = (1 - e^(-Omega_d D)) / (1 - (1 - u) e^(-Omega_d D))``, ``r = u x``,
    with u after and x before a spike, and D the interval [TM].

    Returns u, x and r, each of the shape of `interval_s`.
    """
    p, D = micromolar_seconds(release), np.asarray(interval_s, dtype=float)
    u = p.U_0__star / (1 - (1 - p.U_0__star) * np.exp(-p.Omega_f * D))
    x = -np.expm1(-p.Omega_d * D) / (1 - (1 - u) * np.exp(-p.Omega_d * D))
    return u, x, u * x


def paired_pulse_ratio(release, interval_s):
    """Release of the second pulse over that of the first, from rest: exact.

    ``(1 + (1 - U) e^(-Omega_f D)) (1 - U e^(-Omega_d D))``; the same stands, commented out, in [BK10].
    """
    p, D = micromolar_seconds(release), np.asarray(interval_s, dtype=float)
    return (1 + (1 - p.U_0__star) * np.exp(-p.Omega_f * D)) * (1 - p.U_0__star * np.exp(-p.Omega_d * D))


def facilitation_threshold(release):
    """Release probability below which mean-field release first rises with rate: ``Omega_d / (Omega_d + Omega_f)``.

    The slope of `mean_field_release` at rate zero is ``U ((1 - U) / Omega_f - U / Omega_d)`` [DP11]. Correlations
    between u and x shift the point for a true Poisson train: see `poisson_threshold`.
    """
    p = micromolar_seconds(release)
    return p.Omega_d / (p.Omega_d + p.Omega_f)


def poisson_threshold(release):
    """`facilitation_threshold` for Poisson trains, with the correlations between u and x: exact.

    To first order in the rate only the last interval counts, so the slope is ``U`` times the integral of
    `paired_pulse_ratio` less one, ``(1 - U) / Omega_f - U / Omega_d - U (1 - U) / (Omega_f + Omega_d)``; its root in U
    is returned.
    """
    p = micromolar_seconds(release)
    a = 1 / (p.Omega_f + p.Omega_d)
    b = 1 / p.Omega_f + 1 / p.Omega_d + a
    return (b - np.sqrt(b**2 - 4 * a / p.Omega_f)) / (2 * a)


def mean_field_release(release, rate_hz, U_0=None):
    """Mean release under Poisson spikes, correlations between u and x neglected.

    ``u = U (Omega_f + nu) / (Omega_f + U nu)``, ``x = Omega_d / (Omega_d + u nu)``, ``r = u x`` [BK10]. Rewritten,
    ``u = U + (1 - U) nu / (nu + Omega_f / U)``: a Naka-Rushton curve.

    `U_0` is the release probability where it is not that of the table, see `modulated_probability`. Returns u, x and r.
    """
    p, nu = micromolar_seconds(release), np.asarray(rate_hz, dtype=float)
    U = p.U_0__star if U_0 is None else U_0
    u = U * (p.Omega_f + nu) / (p.Omega_f + U * nu)
    x = p.Omega_d / (p.Omega_d + u * nu)
    return u, x, u * x


def limiting_rate(release):
    """Rate (Hz) of largest mean-field release, ``sqrt(Omega_d Omega_f (1 - U) / U) - Omega_f`` [DP11].

    Zero where the probability is above `facilitation_threshold`: release then falls from the start.
    """
    p = micromolar_seconds(release)
    rate = np.sqrt(p.Omega_d * p.Omega_f * (1 - p.U_0__star) / p.U_0__star) - p.Omega_f
    return np.maximum(rate, 0)


def receptors_after_release(gliotransmission, x_A=1.0, Gamma_S=0.0, dt_s=0.0):
    """Activated presynaptic receptors after one release, ``1 - (1 - Gamma_S) e^(-J U_A x_A)`` with ``J = J_S``.

    Exact but for terms of order Omega_G / Omega_e. A clock-driven transient of step `dt_s` > 0 inflates J by
    ``Omega_e dt / (1 - e^(-Omega_e dt))``: the bias of the published scheme.
    """
    p, J = micromolar_seconds(gliotransmission), _strength(gliotransmission)
    if dt_s > 0:
        J = J * p.Omega_e * dt_s / -np.expm1(-p.Omega_e * dt_s)
    return 1 - (1 - Gamma_S) * np.exp(-J * p.U_A * x_A)


def _strength(gliotransmission):
    return np.asarray(gliotransmission.J_S, dtype=float)[()]


def modulated_probability(release, gliotransmission, Gamma_S):
    """Release probability under gliotransmission, ``(1 - Gamma_S) U_0* + alpha Gamma_S``: exact."""
    p = micromolar_seconds(release, gliotransmission)
    return (1 - Gamma_S) * p.U_0__star + p.alpha * Gamma_S


def switching_level(release, gliotransmission):
    """Gamma_S at which the synapse changes between depression and facilitation, ``(U_0* - U_thr) / (U_0* - alpha)``.

    NaN where alpha lies on the same side of `facilitation_threshold` as U_0*: no gliotransmission switches it then.
    """
    p, U_thr = micromolar_seconds(release, gliotransmission), facilitation_threshold(release)
    opposite = (p.U_0__star - U_thr) * (p.alpha - U_thr) < 0
    return np.where(opposite, (p.U_0__star - U_thr) / np.where(opposite, p.U_0__star - p.alpha, 1), np.nan)[()]


def switched_time(release, gliotransmission, x_A=1.0):
    """Seconds for which one release keeps the synapse switched, ``ln(Gamma_S / switching_level) / Omega_G``: exact."""
    p = micromolar_seconds(gliotransmission)
    Gamma_S = receptors_after_release(gliotransmission, x_A)
    return np.log(Gamma_S / switching_level(release, gliotransmission)) / p.Omega_G


def mean_field_receptors(gliotransmission, rate_hz):
    """Mean Gamma_S at a rate of gliotransmitter releases, correlations neglected [BK10].

    ``J Omega_A U_A nu / (Omega_A Omega_G + (J Omega_A + Omega_G) U_A nu)``
    """
    p, J, nu = micromolar_seconds(gliotransmission), _strength(gliotransmission), np.asarray(rate_hz, dtype=float)
    return J * p.Omega_A * p.U_A * nu / (p.Omega_A * p.Omega_G + (J * p.Omega_A + p.Omega_G) * p.U_A * nu)


def periodic_receptors(gliotransmission, rate_hz):
    """Time mean of Gamma_S under regular releases: exact, see `receptors_after_release`."""
    p, T = micromolar_seconds(gliotransmission), 1 / np.asarray(rate_hz, dtype=float)
    x_A = -np.expm1(-p.Omega_A * T) / (1 - (1 - p.U_A) * np.exp(-p.Omega_A * T))
    kept = np.exp(-_strength(gliotransmission) * p.U_A * x_A)
    peak = (1 - kept) / (1 - kept * np.exp(-p.Omega_G * T))
    return peak * -np.expm1(-p.Omega_G * T) / (p.Omega_G * T)


def threshold_release_rate(release, gliotransmission):
    """Rate of releases (Hz) at which the mean-field probability crosses `facilitation_threshold` [BK10].

    ``Omega_G Omega_A (U_thr - U_0*) / (J Omega_A U_A (alpha - U_thr) - Omega_G U_A (U_thr - U_0*))``
    """
    p, J = micromolar_seconds(release, gliotransmission), _strength(gliotransmission)
    U_thr = facilitation_threshold(release)
    gap = U_thr - p.U_0__star
    return p.Omega_G * p.Omega_A * gap / (J * p.Omega_A * p.U_A * (p.alpha - U_thr) - p.Omega_G * p.U_A * gap)


def receptor_after_spike(receptor, release, transmitter_uM):
    """Gamma_A bound by the transmitter of one spike, ``1 - e^(-O_N Y_0 / Omega_c)``, unbinding neglected."""
    p = micromolar_seconds(receptor, release)
    return -np.expm1(-p.O_N * np.asarray(transmitter_uM, dtype=float) / p.Omega_c)


def receptor_decay_rate(receptor, C_uM):
    """Rate (1/s) at which Gamma_A falls at calcium C, ``Omega_N (1 + zeta C / (C + K_KC))``: exact."""
    p, C = micromolar_seconds(receptor), np.asarray(C_uM, dtype=float)
    return p.Omega_N * (1 + p.zeta * C / (C + p.K_KC))


def kernel_length(F_lin, k):
    """Decay length, in cells, of the steady profile of a chain with linear coupling F_lin and linear degradation k.

    The profile is ``q**n`` with ``q + 1/q = 2 + k/F``, so the length is ``1 / arccosh(1 + k / (2 F))``: exact. `F_lin`
    and `k` in the same unit.
    """
    return 1 / np.arccosh(1 + np.asarray(k, dtype=float) / (2 * np.asarray(F_lin, dtype=float)))


def junction_gate(coupling, difference_uM):
    """Share of its full flow that a rectifying junction passes, ``(1 + tanh((|dI| - I_Theta) / omega_I)) / 2``."""
    p = micromolar_seconds(coupling)
    return (1 + np.tanh((np.abs(difference_uM) - p.I_Theta) / p.omega_I)) / 2


@dataclass(frozen=True)
class EfficacyDynamics:
    """Mean and spread of the efficacy rho under stationary drive; the cubic term neglected [GB].

    Attributes
    ----------
    above_d, above_p : float
        Shares of time for which c exceeds theta_d and theta_p (the paper's alpha_d, alpha_p).
    rho_bar, tau_eff : float or ndarray
        Plateau, and time constant in s, of ``rho(t) = rho_bar - (rho_bar - rho_0) e^(-t / tau_eff)``.
    sd : float or ndarray
        Standard deviation of rho in the steady state.
    """

    above_d: float
    above_p: float
    rho_bar: np.ndarray
    tau_eff: np.ndarray
    sd: np.ndarray

    def mean(self, t_s, rho_0=0.0):
        """Mean of rho at time `t_s` from `rho_0`."""
        return self.rho_bar - (self.rho_bar - rho_0) * np.exp(-np.asarray(t_s, dtype=float) / self.tau_eff)


def time_above(plasticity, rate_hz: float, lag_s: float) -> tuple[float, float]:
    """Shares of time that c spends above theta_d and theta_p under regular pairs, in the steady state: exact."""
    p = micromolar_seconds(plasticity)
    if rate_hz == 0:
        return 0.0, 0.0
    period = 1 / rate_hz
    # the two calcium steps of one period, the presynaptic one delayed by D
    (first, size_1), (second, size_2) = sorted([(p.D % period, p.C_pre), (lag_s % period, p.C_post)])
    gap = second - first
    peak_1 = (size_1 + size_2 * np.exp(-(period - gap) / p.tau_Ca)) / -np.expm1(-period / p.tau_Ca)
    peak_2 = peak_1 * np.exp(-gap / p.tau_Ca) + size_2
    seconds = np.zeros(2)
    for peak, until_next in ((peak_1, gap), (peak_2, period - gap)):
        above = p.tau_Ca * np.log(np.maximum(peak / np.array([p.theta_d, p.theta_p]), 1))
        seconds += np.minimum(above, until_next)
    return tuple((seconds / period).tolist())


def efficacy_dynamics(plasticity, rate_hz=1.0, lag_s=0.01) -> EfficacyDynamics:
    """Relaxation of rho under regular pairs: ``rho_bar = G_p / (G_p + G_d)``, ``tau_eff = tau / (G_p + G_d)``.

    ``G_x = gamma_x above_x``; the variance is ``sigma^2 (above_p + above_d) / (2 (G_p + G_d))`` [GB]; the
    `sigmaRhoSquared` of its code is twice that, because it stands in an error function. `rate_hz` counts pairs, and
    the postsynaptic spike is `lag_s` after the presynaptic one.
    """
    p, (above_d, above_p) = micromolar_seconds(plasticity), time_above(plasticity, rate_hz, lag_s)
    G_p, G_d = p.gamma_p * above_p, p.gamma_d * above_d
    with np.errstate(divide="ignore", invalid="ignore"):
        total = np.float64(G_p + G_d)
        sd = p.sigma * np.sqrt((above_p + above_d) / (2 * total))
        return EfficacyDynamics(above_d, above_p, G_p / total, p.tau / total, sd)


def change_in_strength(plasticity, rate_hz=1.0, lag_s=0.01, n_pairs: int = 60):
    """Mean synaptic strength after `n_pairs` over that before, from the transition probabilities [GB].

    A share beta of the synapses starts at rho = 0 and the rest at 1; a synapse is strong (by a factor b) where rho ends
    above rho_star. The distribution of rho is Gaussian, the cubic term neglected.
    """
    p = micromolar_seconds(plasticity)
    course, T = efficacy_dynamics(plasticity, rate_hz, lag_s), n_pairs / rate_hz
    if not np.isfinite(course.tau_eff):
        return 1.0
    sd = course.sd * np.sqrt(-np.expm1(-2 * T / course.tau_eff))
    up_from_down, up_from_up = (ndtr((course.mean(T, start) - p.rho_star) / sd) for start in (0.0, 1.0))
    up = p.beta * up_from_down + (1 - p.beta) * up_from_up
    return float((1 - up + p.b * up) / (p.beta + (1 - p.beta) * p.b))
