"""Presets: the published numbers, found by their names."""

import dataclasses

import pytest
import reference as ref

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


def test_presets_do_not_mix_by_accident():
    with pytest.raises(ValueError, match=r"source must name that of every table, got .* with the table IP3Parameters"):
        dataclasses.replace(FM, ip3=AM.ip3)
    mixed = dataclasses.replace(FM, ip3=AM.ip3, source="this study")
    assert mixed.ip3 is AM.ip3
