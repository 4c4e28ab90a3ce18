"""Short-term derivations on planted recordings; the slow test simulates what theory predicts."""

import dataclasses

import numpy as np
import pytest
from planted import ratios, recording

from astro_sim.derivations.stp import (
    CalciumExperiment,
    ReleaseExperiment,
    SpatialExperiment,
    derive_stp_calcium,
    derive_stp_calcium_full,
    derive_stp_release,
    derive_stp_spatial,
)
from astro_sim.dynamics import closed_forms as theory


def test_calcium_exponents_and_baseline():
    experiment = CalciumExperiment(n_synapses=75)
    rates = np.repeat(experiment.rates_hz(), experiment.repeats)
    t = np.arange(0, 150.5, 0.5)
    calcium = np.where(t[:, None] > 0, 0.03 + 0.2 * rates**0.25, 0.03)
    planted = recording({"C": ("astrocyte", calcium)}, experiment).assign_coords(time=t)
    level = derive_stp_calcium(experiment, planted)
    assert level.x_range[1] < 20 and level.fit["exponents"]["rest_uM"] == pytest.approx(0.03)
    assert level.fit["exponents"]["above_rest"] == pytest.approx(0.25, abs=1e-4)
    assert level.parameters["exponent"] == pytest.approx(level.fit["exponents"]["of_level"], abs=1e-6)
    excess = derive_stp_calcium(dataclasses.replace(experiment, subtract_rest=True), planted)
    assert excess.parameters["exponent"] == pytest.approx(0.25, abs=1e-4)
    assert derive_stp_calcium_full(experiment, planted).x_range == (0.1, 100.0)


def test_spatial_length_in_cells():
    experiment = SpatialExperiment()
    profile = 0.06 + 0.4 * np.exp(-np.abs(np.arange(21) - 10) / 1.7)
    planted = recording({"I": ("astrocyte", np.stack([np.full(21, 0.06), profile]))}, experiment)
    curve = derive_stp_spatial(experiment, planted)
    assert curve.parameters["length"] == pytest.approx(1.7, rel=1e-5)
    assert curve.units["length"] == "cells"
    assert curve.fit["closed_form"]["length"] == pytest.approx(1.039, abs=1e-3)  # V22


def test_release_against_its_closed_form():
    experiment = ReleaseExperiment(n_synapses=100)
    rates = np.repeat(experiment.rates_hz(), experiment.repeats)
    U, Omega_f, t = 0.3, 3.33, np.arange(0, 200.5, 0.5)
    before = U * rates / (Omega_f + U * rates)  # time average of u_S, which Poisson spikes see
    noise = 0.02 * np.random.default_rng(0).normal(size=(t.size, rates.size))
    r = np.broadcast_to(theory.mean_field_release(experiment.tables()["release"], rates)[2], (t.size, rates.size))
    variables = {"u_S": ("synapse", before + noise), "r_S": ("synapse", r)}
    curve = derive_stp_release(experiment, recording(variables, experiment).assign_coords(time=t))
    for name, exact in {"base": U, "amplitude": 1 - U, "half": Omega_f / U}.items():
        assert abs(curve.parameters[name] - exact) < 3 * curve.stderr[name]
        assert curve.fit["closed_form"][name] == pytest.approx(exact)
    np.testing.assert_allclose(curve.fit["release"]["r_S"], curve.fit["release"]["mean_field"], rtol=1e-5)
    assert curve.fit["paired_pulses"]["ratio"][0] > 1  # U below the threshold facilitates


@pytest.mark.slow
def test_short_term_constants_move_as_theory_predicts():
    (half,) = ratios(ReleaseExperiment(n_synapses=400), "stp_release", "half", Omega_f="x1.2")
    assert half == pytest.approx(1.2, abs=0.03)  # half = Omega_f / U
    lengths = ratios(SpatialExperiment(), "stp_spatial", "length", F_lin="x1.2", Omega_5P="x0.8")
    for length, k_over_F in zip(lengths, (1 / 1.2, 0.8), strict=True):  # V22: further with better junctions, less decay
        assert length == pytest.approx(theory.kernel_length(1, k_over_F) / theory.kernel_length(1, 1), rel=0.08)
