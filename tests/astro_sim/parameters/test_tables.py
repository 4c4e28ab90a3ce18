"""Parameter tables: dimensions, signs, meanings, and refusals in one sentence."""

import dataclasses

import numpy as np
import pytest
from brian2 import Quantity, mmolar, second, umolar

import astro_sim
from astro_sim.parameters.presets import FM, GLIOTRANSMISSION, NEST, PLASTICITY, RECTIFYING, RELEASE
from astro_sim.parameters.tables import CalciumParameters, CouplingParameters, meanings
from astro_sim.parameters.variants import variant


@pytest.mark.parametrize(
    "changes, error, message",
    [
        (dict(O_P=0.9 * umolar), ValueError, r"Parameters.O_P must have the dimension of M/s, got 0.9 \* umolar"),
        (dict(C_T=2.0), ValueError, "CalciumParameters.C_T must have the dimension of M, got 2.0"),
        (dict(C_T=-1 * umolar), ValueError, "CalciumParameters.C_T must not be negative"),
        (dict(K_P=0 * umolar), ValueError, "CalciumParameters.K_P must be positive"),
        (dict(Omega_L=float("nan") / second), ValueError, "CalciumParameters.Omega_L must be finite"),
        (dict(Omega_L=np.ones((2, 2)) / second), ValueError, r"one value per element, got an array of shape \(2, 2\)"),
        (dict(Omega_L=[] / second), ValueError, r"one value per element, got an array of shape \(0,\)"),
        (dict(rho_A="much"), TypeError, "CalciumParameters.rho_A must be a number with the dimension of 1, got 'much'"),
        (dict(source=""), ValueError, "CalciumParameters.source must name where the numbers come from, got ''"),
    ],
)
def test_wrong_values_give_one_sentence(changes, error, message):
    with pytest.raises(error, match=message) as caught:
        dataclasses.replace(FM.calcium, **changes)
    assert "\n" not in str(caught.value)


def test_probabilities_are_at_most_one():
    with pytest.raises(ValueError, match=r"ReleaseParameters.U_0__star must be at most 1, got 1.5"):
        variant(RELEASE, source="this study", U_0__star=1.5)
    with pytest.raises(ValueError, match=r"GliotransmissionParameters.alpha must be at most 1"):
        variant(GLIOTRANSMISSION, source="this study", alpha=[0.0, 2.0])
    with pytest.raises(ValueError, match=r"GliotransmissionParameters.refractory must be one time"):
        variant(GLIOTRANSMISSION, source="this study", refractory=[1, 2] * second)


def test_a_junction_is_rectifying_or_linear():
    with pytest.raises(ValueError, match=r"either F, I_Theta and omega_I \(rectifying\) or F_lin \(linear\)"):
        CouplingParameters(source="this study", F=1 * umolar / second)
    with pytest.raises(ValueError, match="either F, I_Theta and omega_I"):
        variant(RECTIFYING, source="this study", F_lin=1 / second)


def test_one_import_line_serves():
    names = {"derive_ltp", "fit_csv", "log_rates", "LTPExperiment", "read_curve", "run_sweep", "write_curve", "RELEASE"}
    assert names <= set(astro_sim.__all__)
    assert [name for name in astro_sim.__all__ if not hasattr(astro_sim, name)] == []


def test_every_symbol_of_a_preset_has_a_meaning():
    assert meanings(PLASTICITY["DP"])["theta_d"] == "threshold of depression"
    tables = [*FM.tables(), *NEST.tables(), RELEASE, GLIOTRANSMISSION, PLASTICITY["DP"]]
    unexplained = {name for table in tables for name in table.quantities() if name not in meanings(table)}
    assert unexplained == set()


def test_tables_are_frozen_and_keep_their_own_copy():
    with pytest.raises(dataclasses.FrozenInstanceError):
        FM.calcium.C_T = 1 * umolar
    values = np.array([0.1, 0.2])
    table = variant(FM.calcium, source="this study", Omega_L=Quantity(values, dim=(1 / second).dim))
    values[:] = 5
    np.testing.assert_array_equal(np.asarray(table.Omega_L), [0.1, 0.2])


def test_every_constant_has_a_dimension():
    annotations = {field.name for field in dataclasses.fields(CalciumParameters)} - {"source"}
    assert annotations == set(CalciumParameters.kinds())
    assert CalciumParameters.kinds()["C_T"].unit == mmolar
