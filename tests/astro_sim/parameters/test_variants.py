"""Numbers changed by name: from text, by factors, one value for each element."""

import numpy as np
import pytest
from brian2 import second, umolar

from astro_sim.parameters.presets import FM, GLIOTRANSMISSION, PLASTICITY, RELEASE
from astro_sim.parameters.variants import symbols, vary


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
