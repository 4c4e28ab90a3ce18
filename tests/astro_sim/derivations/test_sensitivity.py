"""Screening and indices on a constant whose answer is known, and the simulated constants themselves."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from brian2 import Hz, second

from astro_sim.derivations import network_constants as constants
from astro_sim.derivations import sensitivity
from astro_sim.derivations.ltp import LTPExperiment
from astro_sim.derivations.network_constants import CONSTANTS, Constant, relaxation_rates
from astro_sim.derivations.sensitivity import analyse, plot_sensitivity, to_markdown, write_sensitivity
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.parameters.presets import PLASTICITY, RELEASE
from astro_sim.parameters.variants import symbols, vary
from astro_sim.protocols.pairing import CycledPairing
from astro_sim.protocols.protocol import Joined
from astro_sim.protocols.trains import RateSweep
from astro_sim.simulation.run import simulate


def power_law(factors, seed=0, target="auto"):
    """Elasticities 2 and -1 by construction, all else without effect; 7 at the published parameters."""
    return 7 * factors.get("U_0__star", 1) ** 2 / factors.get("Omega_d", 1)


@pytest.fixture
def known(monkeypatch):
    monkeypatch.setitem(CONSTANTS, "known", Constant("known, a power law", power_law, {"release": RELEASE}))


def test_elasticities_and_indices_of_a_power_law_are_found(known):
    result = analyse("known", n_trajectories=4, n_leading=2, n_base=256, spread=0.3, seed=1)
    assert result.baseline == pytest.approx(7)
    assert result.symbols[:2] == result.leading == ("U_0__star", "Omega_d")
    assert result.elasticity == pytest.approx([2, 1, 0, 0, 0, 0], abs=1e-9)
    assert result.sign[:2] == pytest.approx([1, -1])
    assert result.bend == pytest.approx(np.zeros(6), abs=1e-9)
    assert result.total == pytest.approx([0.8, 0.2], abs=0.03)
    assert result.first == pytest.approx([0.8, 0.2], abs=0.06)
    assert result.runs == (4 * 7, 256 * 4)


@pytest.mark.parametrize("seed", [0, 5])  # SALib takes a seed of 0 for none
def test_same_seed_same_result_and_nothing_drawn_globally(known, seed):
    before = np.random.get_state()  # noqa: NPY002
    settings = dict(n_trajectories=3, n_leading=2, n_base=8, spread=0.3, seed=seed)
    first, again = (analyse("known", **settings) for _ in range(2))
    for name in ("elasticity", "elasticity_ci95", "first", "first_ci95", "total", "total_ci95"):
        assert np.array_equal(getattr(first, name), getattr(again, name)), name
    assert np.all(first.first_ci95 > 0) and np.all(first.total_ci95 > 0)
    np.testing.assert_equal(np.random.get_state(), before)  # noqa: NPY002


def test_report_and_figure(known, tmp_path):
    result = analyse("known", n_trajectories=3, n_leading=2, n_base=8)
    text = to_markdown({"known": result})
    assert text.count("| U_0__star |") == 1 and "21 parameter sets" in text
    ax = plot_sensitivity(result, n_shown=3)
    assert len(ax.patches) == 3 and ax.get_xlabel() == "elasticity of known (% per %)"
    plt.close(ax.figure)
    write_sensitivity({"known": result}, tmp_path / "deep" / "report")
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["report.md", "report.png", "report.svg"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "gamma"}, "constants must be among"),
        ({"spread": 0}, "spread must be between 0 and 1, got 0"),
        ({"spread": 1.5}, "spread must be between 0 and 1"),
        ({"n_trajectories": 1}, "n_trajectories must be at least 2"),
        ({"n_base": 100}, "n_base a power of two"),
        ({"n_leading": 0}, "n_leading must be from 1 to 6, got 0"),
        ({"n_leading": 7}, "n_leading must be from 1 to 6, got 7"),
    ],
)
def test_settings_are_checked(known, settings, message):
    with pytest.raises(ValueError, match=message):
        analyse(**{"name": "known", **settings})


def test_unknown_constants_are_refused_before_anything_runs():
    with pytest.raises(ValueError, match=r"constants must be among .*, got 'beta'"):
        sensitivity.sensitivity(["a", "beta"])


def test_a_constant_that_vanishes_somewhere_is_refused(monkeypatch):
    def vanishing(factors, seed=0, target="auto"):
        return np.where(factors["U_0__star"] > 1, 1.0, 0.0)

    monkeypatch.setitem(CONSTANTS, "known", Constant("known, a step", vanishing, {"release": RELEASE}))
    with pytest.raises(ValueError, match="spread must leave known positive everywhere; reduce it"):
        analyse("known", n_trajectories=2, n_leading=1, n_base=2)


def test_probabilities_stay_below_one():
    width = 2 * np.log(1.2)
    for name, symbol in (("a", "alpha"), ("a", "U_A"), ("a", "O_P"), ("alpha", "U_0__star")):
        low, high = CONSTANTS[name].bounds(symbol, 0.2)
        assert high - low == pytest.approx(width)
    assert CONSTANTS["a"].bounds("alpha", 0.2)[1] == pytest.approx(0)  # published: 1
    assert CONSTANTS["a"].bounds("U_A", 0.9)[1] == pytest.approx(-np.log(0.6))


def test_every_parameter_set_sees_the_same_spikes():
    sweep = RateSweep(rates=[1, 10] * Hz, repeats=2, length=5 * second)
    protocol = Joined(whole=sweep, parts=(sweep,) * 3)
    spikes = protocol.pre(12, seed=4)
    assert protocol.n_elements == 12 and protocol.duration == 5 * second
    for element in range(4):
        assert len(spikes.of(element)) and np.array_equal(spikes.of(element), spikes.of(element + 4))
        assert np.array_equal(spikes.of(element), spikes.of(element + 8))


def test_the_constants_vary_what_enters_them():
    assert {"C_pre", "gamma_p", "Omega_G", "O_P", "U_0__star"} <= set(CONSTANTS["a"].symbols)
    assert not {"sigma", "F_ex", "D"} & set(CONSTANTS["a"].symbols)
    assert "F_lin" in CONSTANTS["length"].symbols and "O_beta" not in CONSTANTS["length"].symbols
    assert "Y_T" in CONSTANTS["alpha"].symbols


@pytest.mark.slow
def test_every_symbol_may_be_an_array():
    """Tables of arrays that all hold the published value run as the published tables do."""
    published = LTPExperiment().published()
    every = vary(published, {symbol: np.ones(2) for symbol in symbols(published)})
    settings = dict(duration=0.2 * second, record=["rho", "C", "Y_S"], seed=2, target="numpy")
    swept, plain = (
        simulate(TripartiteSynapses(n_synapses=2, stim=1, **tables), CycledPairing(rate=10 * Hz), **settings)
        for tables in (every, published)
    )
    for name in ("rho", "C", "Y_S"):
        np.testing.assert_allclose(swept[name], plain[name], rtol=1e-12)


@pytest.mark.slow
def test_one_run_gives_what_separate_runs_give():
    factors = np.array([0.8, 1.2])
    together = relaxation_rates({"O_P": factors})
    apart = [float(relaxation_rates({"O_P": factors[k : k + 1]})[0]) for k in range(2)]
    assert together == pytest.approx(apart, rel=1e-9)


@pytest.mark.slow
def test_the_relaxation_rate_follows_its_closed_form():
    """tau enters a as 1/tau, and nothing else: its elasticity is -1 exactly. Potentiation speeds it up."""
    a = relaxation_rates({"tau": np.array([1.0, 1.2]), "gamma_p": np.ones(2)}, target="numpy")
    assert a[0] / a[1] == pytest.approx(1.2, rel=1e-9)
    faster = relaxation_rates({"gamma_p": np.array([1.0, 1.2])}, target="numpy")
    assert faster[1] > faster[0] and PLASTICITY["DP"].gamma_p == 321.808


@pytest.mark.slow
def test_junctions_spread_and_degradation_confines():
    length = constants.decay_lengths({"F_lin": np.array([1, 1.2, 1.0]), "Omega_5P": np.array([1, 1, 1.2])})
    assert length[1] > length[0] > length[2]
