"""Numbers changed by name: from text, by factors, one value for each element."""

import numpy as np
import pytest
from brian2 import second, umolar

from astro_sim.parameters.presets import FM, GLIOTRANSMISSION, PLASTICITY, RELEASE
from astro_sim.parameters.variants import symbols, variant, vary


def test_symbols_are_changed_by_value_and_by_factor():
    changed = vary({"astrocyte": FM, "none": None}, {"O_P": "1.08 uM/s", "O_beta": "x0.5"})
    assert float(changed["astrocyte"].calcium.O_P) == pytest.approx(float(1.08 * umolar / second))
    assert float(changed["astrocyte"].receptor.O_beta) == pytest.approx(0.5 * float(FM.receptor.O_beta))
    assert changed["astrocyte"].calcium.source == "this study" and changed["astrocyte"].ip3.source == FM.ip3.source
    assert vary({"astrocyte": FM}, {"O_P": "x1"})["astrocyte"] is FM
    assert "O_P" in symbols({"astrocyte": FM}) and "gamma_p" not in symbols({"astrocyte": FM})


def test_bad_overrides_are_refused():
    with pytest.raises(ValueError, match=r"overrides must name one of .*, got 'O_Q'"):
        vary({"plasticity": PLASTICITY["DP"]}, {"O_Q": "x2"})
    with pytest.raises(ValueError, match="O_P must have the dimension of M/s"):
        vary({"astrocyte": FM}, {"O_P": "1 s"})


def test_factors_reach_every_table_that_has_the_symbol():
    tables = {"astrocyte": FM, "release": RELEASE, "gliotransmission": GLIOTRANSMISSION}
    changed = vary(tables, {"O_P": np.array([0.5, 2.0]), "U_A": np.array([1.0, 1.5])}, repeats=2)
    assert changed["astrocyte"].calcium.O_P / FM.calcium.O_P == pytest.approx([0.5, 0.5, 2, 2])
    assert np.asarray(changed["gliotransmission"].U_A) == pytest.approx([0.6, 0.6, 0.9, 0.9])
    assert changed["release"] is RELEASE


def numbers(*tables) -> dict[str, float]:
    """Values in uM and s."""
    found = {}
    for table in tables:
        for name, kind in table.kinds().items():
            value = getattr(table, name)
            if value is not None:
                found[name] = float(value) * 1e3 ** float(kind.unit.dim.get_dimension("mol"))
    return found


def test_a_variant_of_an_astrocyte_names_all_its_sources():
    leaky = variant(FM, source="somebody 2020", Omega_L=0.2 / second)
    assert leaky.source == f"somebody 2020; {FM.source}"
    assert (leaky.calcium.source, leaky.ip3.source) == ("somebody 2020", FM.source)
    again = variant(leaky, source="nobody 2021", O_beta=1 * umolar / second)
    assert again.source == f"nobody 2021; somebody 2020; {FM.source}"
    assert variant(leaky, source="this study", O_beta=1 * umolar / second).source == "this study"


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
