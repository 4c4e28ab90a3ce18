"""Long-term derivations on planted recordings; the slow tests simulate what theory predicts."""

import dataclasses

import numpy as np
import pytest
from brian2 import Hz, second
from planted import efficacies, ratios

from astro_sim.curves.format import load_curve, write_curve
from astro_sim.curves.forms import FORMS
from astro_sim.curves.least_squares import fit_form, prepare
from astro_sim.derivations.ltp import (
    LTPExperiment,
    MacroExperiment,
    PopulationExperiment,
    derive_ltp,
    derive_ltp_population,
)
from astro_sim.derivations.standard import DERIVATIONS
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.parameters.variants import symbols, variant
from astro_sim.protocols.pairing import CycledPairing
from astro_sim.simulation.run import simulate


def test_ltp_finds_what_was_planted(tmp_path):
    experiment = LTPExperiment(n_synapses=500)
    curve = derive_ltp(experiment, efficacies(experiment, 160.0))
    assert curve.form.name == "saturating_exponential"
    assert abs(curve.parameters["tau"] - 160) < 3 * curve.stderr["tau"]
    assert curve.fit["bootstrap"]["n_members"] == 500
    assert curve.fit["closed_form"]["tau"] == pytest.approx(143.4, rel=1e-2)  # V25, V26
    assert curve.fit["closed_form"]["amplitude"] == pytest.approx(0.555, rel=1e-2)
    read = load_curve(write_curve(curve, tmp_path / "ltp.toml")).require_rising()
    assert read.provenance["parameters"] == {"astrocyte.calcium.O_P": {"value": 0.9, "unit": "uM/s"}}
    assert read.provenance["sources"] == {"astrocyte.source": "planted"}
    assert read.provenance["protocol"]["rate"]["value"] == "40 values from 0 to 39"
    assert read.provenance["config"] == dataclasses.asdict(experiment)


def test_population_finds_the_planted_rates():
    experiment = PopulationExperiment(n_synapses=1200, n_rates=12)
    tau = np.repeat(140 / experiment.rates_hz(), experiment.repeats)
    planted = efficacies(experiment, tau)
    best = derive_ltp_population(experiment, planted)
    np.testing.assert_allclose(best(experiment.rates_hz()), experiment.rates_hz() / 140, rtol=0.15)
    curve = derive_ltp_population(experiment, planted, form="power_law")
    assert abs(curve.parameters["exponent"] - 1) < 3 * curve.stderr["exponent"]
    assert abs(curve.parameters["amplitude"] - 1 / 140) < 3 * curve.stderr["amplitude"]
    np.testing.assert_allclose(curve.fit["population"]["a"], 50 * experiment.rates_hz() / 140, rtol=0.3)


@pytest.mark.slow
def test_schedule_moves_as_theory_predicts():
    """tau_eff of the LTP curve when one parameter grows by 20 %; retention has a = cycle_s / tau_eff (V24-V29).

    Without noise, one synapse per parameter, in one run. Effects that pass through Gamma_S are small: within a burst
    the receptors saturate, and only what is left of them at the start of the next burst depends on Omega_G.
    """
    faster = ["C_pre", "gamma_p", "O_G", "U_A", "alpha"]  # more calcium, more potentiation, more release (alpha > U_0*)
    slower = ["theta_p", "tau", "Omega_G"]  # shorter above threshold, slower efficacy, shorter gliotransmission
    experiment = LTPExperiment(alpha=0.8, n_cycles=10, overrides={"sigma": "0"})
    tables = experiment.tables()
    for k, symbol in enumerate(faster + slower, start=1):
        factors = np.ones(len(faster + slower) + 1)
        factors[k] = 1.2
        (owner,) = (key for key, table in tables.items() if symbol in symbols({key: table}))
        value = tables[owner].quantities()[symbol]
        tables[owner] = variant(tables[owner], source="this study", **{symbol: value * factors})
    protocol = CycledPairing(rate=1 * Hz, n_cycles=experiment.n_cycles)
    run = simulate(TripartiteSynapses(**tables), protocol, record=["rho"], record_every=50 * second)
    form = FORMS["saturating_exponential"]
    tau = [fit_form(form, prepare(experiment.cycle_ends(), rho)).theta[1] for rho in run["rho"].values.T]
    change = dict(zip(faster + slower, np.array(tau[1:]) / tau[0], strict=True))
    assert {symbol for symbol, ratio in change.items() if ratio < 1} == set(faster)
    assert change["C_pre"] < 0.95 and change["gamma_p"] < 0.92 and change["alpha"] < 0.97
    assert change["tau"] > 1.15 and change["theta_p"] > 1.05


@pytest.mark.slow
def test_ensemble_curves_move_as_theory_predicts():
    """The same through the whole derivation, noise included."""
    experiment = LTPExperiment(n_synapses=300, n_cycles=10, gliotransmission=False)
    potentiation, calcium = ratios(experiment, "ltp", "tau", gamma_p="x1.2", C_pre="x1.2")
    assert potentiation < 0.95 and calcium < 0.97


@pytest.mark.slow
def test_macro_model_relaxes_with_its_slow_time_constant():
    curve = DERIVATIONS["ltp_macro"](MacroExperiment(n_cycles=6))
    assert curve.parameters["tau"] == pytest.approx(curve.fit["closed_form"]["tau"], rel=0.02)
    assert ratios(MacroExperiment(n_cycles=6), "ltp_macro", "tau", tau_p_l="x1.2") == pytest.approx([1.2], rel=0.02)
