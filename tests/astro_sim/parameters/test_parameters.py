"""Parameter tables: published numbers, units, signs, presets that never mix."""

import dataclasses

import numpy as np
import pytest
import reference as ref
from brian2 import Quantity, mmolar, second, umolar

import astro_sim
from astro_sim.parameters.presets import (
    AM,
    BOOK,
    FM,
    GLIOTRANSMISSION,
    GLIOTRANSMISSION_BOOK,
    LINEAR,
    NEST,
    PLASTICITY,
    PRESETS,
    RECTIFYING,
    RELEASE,
    RELEASE_DEPRESSING,
    RELEASE_FACILITATING,
    get_plasticity,
    get_preset,
)
from astro_sim.parameters.tables import CalciumParameters, CouplingParameters, meanings
from astro_sim.parameters.variants import variant


def numbers(*tables) -> dict[str, float]:
    """Values in uM and s."""
    found = {}
    for table in tables:
        for name, kind in table.kinds().items():
            value = getattr(table, name)
            if value is not None:
                found[name] = float(value) * 1e3 ** float(kind.unit.dim.get_dimension("mol"))
    return found


@pytest.mark.parametrize("preset, expected", [(FM, ref.FM), (AM, ref.AM), (NEST, ref.NEST)])
def test_presets_are_the_published_numbers(preset, expected):
    tables = [table for table in preset.tables() if table is not preset.inward_current]
    found = numbers(*tables)
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-12), name


def test_fm_and_am_differ_in_eight_values():
    fm, am = numbers(*FM.tables()), numbers(*AM.tables())
    differing = {name for name in fm if fm[name] != am[name]}
    assert differing == {"K_P", "O_delta", "K_delta", "K_D", "Omega_5P", "O_beta", "F_ex"}


def test_synaptic_tables_are_the_published_numbers():
    found = numbers(RELEASE, GLIOTRANSMISSION)
    expected = dict(ref.SYNAPSE, U_0__star=ref.SYNAPSE["U_0"], alpha=0.0)
    expected.pop("U_0")
    assert found == {name: pytest.approx(value, rel=1e-12) for name, value in expected.items()}
    assert float(GLIOTRANSMISSION.J_S) == pytest.approx(3.25)
    assert float(GLIOTRANSMISSION_BOOK.J_S) == pytest.approx(0.73125)
    assert numbers(RELEASE_FACILITATING)["Omega_d"] == pytest.approx(1 / 0.3)
    assert numbers(RELEASE_DEPRESSING)["Omega_f"] == pytest.approx(1 / 0.3)
    assert numbers(RECTIFYING)["F"] == pytest.approx(0.09)
    assert (LINEAR.kind, RECTIFYING.kind) == ("linear", "rectifying")


def test_nest_and_book_sets():
    assert numbers(NEST.inward_current)["SIC_th"] == pytest.approx(0.19669)
    assert numbers(NEST.inward_current)["tau_IP3"] == 7.142
    assert numbers(BOOK.calcium)["C_T"] == pytest.approx(4)
    assert sorted(PRESETS) == ["am", "book", "fm", "nest"]


def test_plasticity_sets():
    assert numbers(PLASTICITY["DP"]) == dict(ref.DP, sigma=2.8284, beta=0.5, b=5.0, cubic=1.0)
    slices = numbers(PLASTICITY["hippocampal_slices"])
    assert (slices["tau"], slices["beta"], slices["b"]) == (688.355, 0.7, 5.28145)
    assert len(PLASTICITY) == 9


def test_unknown_names_give_one_sentence():
    with pytest.raises(ValueError, match=r"preset must be one of \['am', 'book', 'fm', 'nest'\], got 'FM'"):
        get_preset("FM")
    with pytest.raises(ValueError, match=r"plasticity must be one of .*, got 'dp'"):
        get_plasticity("dp")
    assert get_preset("fm") is FM and get_plasticity("DP") is PLASTICITY["DP"]


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


def test_presets_do_not_mix_by_accident():
    with pytest.raises(ValueError, match=r"source must name that of every table, got .* with the table IP3Parameters"):
        dataclasses.replace(FM, ip3=AM.ip3)
    mixed = dataclasses.replace(FM, ip3=AM.ip3, source="this study")
    assert mixed.ip3 is AM.ip3


def test_a_variant_of_an_astrocyte_names_all_its_sources():
    leaky = variant(FM, source="somebody 2020", Omega_L=0.2 / second)
    assert leaky.source == f"somebody 2020; {FM.source}"
    assert (leaky.calcium.source, leaky.ip3.source) == ("somebody 2020", FM.source)
    again = variant(leaky, source="nobody 2021", O_beta=1 * umolar / second)
    assert again.source == f"nobody 2021; somebody 2020; {FM.source}"
    assert variant(leaky, source="this study", O_beta=1 * umolar / second).source == "this study"


def test_one_import_line_serves():
    names = {"derive_ltp", "fit_csv", "log_rates", "LTPExperiment", "read_curve", "run_sweep", "write_curve", "RELEASE"}
    assert names <= set(astro_sim.__all__)
    assert [name for name in astro_sim.__all__ if not hasattr(astro_sim, name)] == []


def test_every_symbol_of_a_preset_has_a_meaning():
    assert meanings(PLASTICITY["DP"])["theta_d"] == "threshold of depression"
    tables = [*FM.tables(), *NEST.tables(), RELEASE, GLIOTRANSMISSION, PLASTICITY["DP"]]
    unexplained = {name for table in tables for name in table.quantities() if name not in meanings(table)}
    assert unexplained == set()


def test_a_variant_changes_what_it_names_and_nothing_else():
    leaky = variant(FM, source="this study", Omega_L=0.2 / second, O_beta=1 * umolar / second)
    before, after = numbers(*FM.tables()), numbers(*leaky.tables())
    assert {name for name in before if before[name] != after[name]} == {"Omega_L", "O_beta"}
    assert leaky.ip3 is FM.ip3 and leaky.calcium.source == "this study"
    with pytest.raises(ValueError, match="tau must be a symbol of 'fm'"):
        variant(FM, source="this study", tau=1 * second)
    with pytest.raises(ValueError, match="tau must be a symbol of CalciumParameters"):
        variant(FM.calcium, source="this study", tau=1 * second)
    with pytest.raises(TypeError, match="parameters must be a table or AstrocyteParameters"):
        variant("fm", source="this study")


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
