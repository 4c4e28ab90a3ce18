"""Derivations on planted recordings, the export of curves, and their verification; the slow tests simulate."""

import dataclasses
import functools
import json
import re

import brian2 as b2
import numpy as np
import pytest
import xarray as xr
from brian2 import Hz, second, umolar

from astro_sim.curves.curve import CurveFileError
from astro_sim.curves.fit import fit_curve, fit_form, prepare
from astro_sim.curves.format import load_curve, read_curve, write_curve
from astro_sim.curves.forms import FORMS
from astro_sim.derivations.ltp import (
    LTPExperiment,
    MacroExperiment,
    PopulationExperiment,
    derive_ltp,
    derive_ltp_population,
)
from astro_sim.derivations.provenance import command
from astro_sim.derivations.standard import DERIVATIONS, STANDARD, derive_all, experiments
from astro_sim.derivations.stp import (
    CalciumExperiment,
    ReleaseExperiment,
    SpatialExperiment,
    derive_stp_calcium,
    derive_stp_calcium_full,
    derive_stp_release,
    derive_stp_spatial,
)
from astro_sim.derivations.verify import compare, verify_curve, verify_curves
from astro_sim.dynamics import closed_forms as theory
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.parameters.presets import FM, PLASTICITY
from astro_sim.parameters.variants import parse_quantity, symbols, variant, vary
from astro_sim.protocols.pairing import CycledPairing
from astro_sim.simulation.run import simulate


def recording(variables: dict, experiment, **attrs) -> xr.Dataset:
    """A recording as `simulate` gives it, with made-up values."""
    parameters = {"astrocyte.calcium.O_P": {"value": 0.9, "unit": "uM/s"}, "astrocyte.source": "planted", "x": None}
    provenance = {
        "model": "Planted", "preset": "fm", "parameters": json.dumps(parameters), "seed": experiment.seed,
        "protocol": json.dumps({"class": "P", "rate": {"value": list(range(40)), "unit": "1/s"}}), "dt_s": 1e-3,
        "astrocyte_dt_s": 1e-2, "target": "cpp_standalone", "versions": json.dumps({"numpy": np.__version__}),
        "equations_sha256": "abc",
    }  # fmt: skip
    return xr.Dataset({k: (("time", dim), v) for k, (dim, v) in variables.items()}, attrs=provenance | attrs)


def efficacies(experiment, tau, seed=0, **attrs) -> xr.Dataset:
    """Efficacies that rise with time constant `tau` (a number, or one per synapse) and scatter about it."""
    t = experiment.cycle_ends()
    noise = 0.1 * np.random.default_rng(seed).normal(size=(t.size, experiment.n_synapses))
    rho = 0.55 * -np.expm1(-t[:, None] / np.broadcast_to(tau, experiment.n_synapses)) + noise * (t > 0)[:, None]
    return recording({"rho": ("synapse", rho)}, experiment, **attrs).assign_coords(time=t)


# --- overrides -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.08 uM/s", 1.08 * umolar / second),
        ("1.08*umolar/second", 1.08 * umolar / second),
        ("0.2/(uM*s)", 0.2 / umolar / second),
        ("50 ms", 0.05 * second),
        ("0.3", 0.3),
        ("-2", -2),
        ("1e-3 s**-1", 1e-3 / second),
    ],
)
def test_quantities_are_read(text, value):
    assert float(parse_quantity(text)) == pytest.approx(float(value))
    assert b2.have_same_dimensions(parse_quantity(text), value)


@pytest.mark.parametrize("text", ["", "fast", "1 parsec", "__import__('os')", "1 + 2", "x1.2", "1 uM s", "2**", "True"])
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(ValueError, match=re.escape(f"joined by * / **, got {text!r}")):
        parse_quantity(text)


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


# --- experiments -----------------------------------------------------------------------------------------------------


def test_experiments_are_grouped_so_that_none_runs_twice():
    groups = {tuple(names): experiment for names, experiment in experiments()}
    assert ("stp_calcium", "stp_calcium_full") in groups
    assert sum(len(names) for names in groups) == len(STANDARD)
    assert [names for names, _ in experiments(only=["ltp", "ltp_macro"])] == [["ltp"], ["ltp_macro"]]


def test_sizes_seeds_and_overrides_reach_the_experiments_that_have_them():
    groups = experiments(n_synapses=130, seed=7, overrides={"gamma_p": "x1.2", "F_lin": "0.2/s"})
    by_name = {name: experiment for names, experiment in groups for name in names}
    assert by_name["ltp"].n_synapses == 130 and by_name["stp_calcium"].n_synapses == 125
    assert by_name["ltp_population"].n_synapses == 132 and by_name["stp_release"].n_synapses == 120
    assert {experiment.seed for experiment in by_name.values()} == {7}
    assert by_name["ltp"].overrides == {"gamma_p": "x1.2"} and by_name["stp_spatial"].overrides == {"F_lin": "0.2/s"}
    assert by_name["stp_release"].overrides == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(only=["stp"]), "only must name curves among .*, got 'stp'"),
        (dict(overrides={"zeta_9": "x2"}), "overrides must name one of .*, got 'zeta_9'"),
        (dict(overrides={"O_P": "1 s"}), "O_P must have the dimension of M/s"),
        (dict(only=["stp_release"], overrides={"O_P": "x2"}), "overrides must name one of Omega_c, .*, got 'O_P'"),
    ],
)
def test_wrong_exports_are_refused_before_anything_runs(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        derive_all(tmp_path, **arguments)
    assert list(tmp_path.iterdir()) == []


def test_wrong_experiments_are_refused():
    with pytest.raises(ValueError, match=r"n_synapses must be a multiple, .*, got 100 synapses for 12 rates"):
        PopulationExperiment(n_synapses=100)
    with pytest.raises(ValueError, match="farthest must be from 3 to half of n_cells = 11, got 8"):
        SpatialExperiment(n_cells=11)
    with pytest.raises(ValueError, match=r"preset must be one of .*, got 'xy'"):
        LTPExperiment(preset="xy").tables()


def test_commands():
    assert command("ltp", "ltp", LTPExperiment()) == "astro-sim curves --only ltp"
    assert command("ltp_alpha0", "ltp", LTPExperiment(alpha=0.0)) == "astro-sim curves --only ltp_alpha0"
    changed = LTPExperiment(seed=3, overrides={"O_P": "1 uM/s"})
    assert command("ltp", "ltp", changed) == "astro-sim curves --only ltp --seed 3 --set 'O_P=1 uM/s'"
    python = command("mine", "ltp", LTPExperiment(burst_rate_hz=2.0))
    assert python == "astro_sim.derivations.derive_ltp(LTPExperiment(burst_rate_hz=2.0), name='mine')"


# --- derivations on planted recordings -------------------------------------------------------------------------------


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


# --- verification, on planted recordings -----------------------------------------------------------------------------


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A curve file whose experiment gives planted data again, from the seed in `draws`."""
    draws = {"seed": 0}
    monkeypatch.setattr("astro_sim.curves.fit.fit_curve", functools.partial(fit_curve, n_bootstrap=0))
    monkeypatch.setattr(LTPExperiment, "simulate", lambda self, target="auto": efficacies(self, 160.0, **draws))
    path = write_curve(derive_ltp(LTPExperiment(n_synapses=300), name="ltp"), tmp_path / "ltp.toml")
    return path, draws


def rewrite(path, **parameters):
    """Change fitted parameters and the check with them, so that the file still loads."""
    curve = read_curve(path)
    write_curve(dataclasses.replace(curve, parameters=curve.parameters | parameters), path)
    load_curve(path)


def test_an_honest_file_is_verified(planted):
    report = verify_curve(planted[0])
    assert report.ok and report.same_draws and report.differences == ()
    assert "agrees with its simulation" in str(report)


@pytest.mark.parametrize(("name", "factor"), [("tau", 1.005), ("amplitude", 0.998), ("tau", 1.3)])
def test_a_consistently_changed_parameter_is_named(planted, name, factor):
    path, _ = planted
    rewrite(path, **{name: float(f"{read_curve(path).parameters[name] * factor:.6g}")})
    report = verify_curve(path)
    assert not report.ok and report.differences == (name,)
    assert f"  {name}: file" in str(report)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("value = 0.9", "value = 0.8", "parameters.astrocyte.calcium.O_P"),
        ('equations_sha256 = "abc"', 'equations_sha256 = "abd"', "equations_sha256"),
        ('preset = "fm"', 'preset = "am"', "preset"),
        ("seed = 1\n", "seed = 2\n", "seed"),
        ("stderr = ", "stderr = 9", "amplitude.stderr"),
        ("covariance = [[", "covariance = [[9", "covariance"),
        ("range = [0.0, 800.0]", "range = [0.0, 900.0]", "x_range"),
        ("\ny = [0.1", "\ny = [0.2", "samples"),
        ("extrapolate = false", "extrapolate = true", "extrapolate"),
        ("r_squared = 0.99", "r_squared = 0.90", "r_squared"),
        ("tau = 143.", "tau = 144.", "closed_form.tau"),
    ],
)
def test_whatever_else_was_changed_is_named(planted, old, new, named):
    path, _ = planted
    text = path.read_text()
    start = text.index("[provenance]") if named in ("preset", "seed") else 0  # names that stand elsewhere too
    assert old in text[start:]
    path.write_text(text[:start] + text[start:].replace(old, new, 1))
    if named == "x_range":  # the check follows the range
        path.write_text(text)
        write_curve(dataclasses.replace(read_curve(path), x_range=(0.0, 900.0)), path)
    if named in ("amplitude.stderr", "covariance"):  # one without the other is refused by the reader
        with pytest.raises(CurveFileError, match=r"fit.covariance must have the squared standard errors"):
            verify_curve(path)
        path.write_text(text)
        curve = read_curve(path)
        stderr = {name: 9 * value for name, value in curve.stderr.items()}
        write_curve(dataclasses.replace(curve, stderr=stderr, covariance=81 * curve.covariance), path)
    assert named in verify_curve(path).differences


def test_what_is_noted_beside_the_fit_is_compared():
    experiment = PopulationExperiment(n_synapses=600, n_rates=6)
    tau = np.repeat(140 / experiment.rates_hz(), experiment.repeats)
    planted = (efficacies(experiment, tau, seed) for seed in (0, 1))
    mine, other = (derive_ltp_population(experiment, run, form="power_law") for run in planted)
    rates = np.repeat(CalciumExperiment(n_synapses=75).rates_hz(), 3)
    planted = recording({"C": ("astrocyte", np.stack([np.full(75, 0.03), 0.2 * rates**0.3]))}, experiment)
    calcium = derive_stp_calcium(CalciumExperiment(n_synapses=75, discard_s=1), planted.assign_coords(time=[0, 2]))
    for curve, table, key in [
        (mine, "population", "rate"),
        (mine, "population", "amplitude"),
        (mine, "population", "a"),
        (mine, "population", "a_stderr"),
        (calcium, "exponents", "rest_uM"),
        (calcium, "exponents", "above_rest"),
        (calcium, "exponents", "of_level_log_log"),
    ]:
        noted = curve.fit[table]
        changed = noted | {key: (2 * np.array(noted[key])).tolist()}
        spoilt = dataclasses.replace(curve, fit=curve.fit | {table: changed})
        assert [c.name for c in compare(spoilt, curve) if not c.agrees] == [f"{table}.{key}"]
    other = dataclasses.replace(other, provenance=other.provenance | {"target": "numpy"})
    assert all(c.agrees for c in compare(mine, other))


def test_other_draws_agree_within_the_stated_uncertainty(planted):
    path, draws = planted
    draws.update(seed=5, target="numpy")
    report = verify_curve(path)
    assert report.ok and not report.same_draws
    rewrite(path, tau=read_curve(path).parameters["tau"] * 1.5)
    assert "tau" in verify_curve(path).differences


def test_equal_draws_are_seen_in_the_data_when_versions_differ(planted):
    path, draws = planted
    draws.update(versions=json.dumps({"numpy": "0.1"}))
    assert verify_curve(path).same_draws
    rewrite(path, tau=read_curve(path).parameters["tau"] * 1.01)
    assert verify_curve(path).differences == ("tau",)


MEASUREMENT = 'kind = "measurement"\ndata = "d"\ndata_sha256 = "0"'


def test_what_cannot_be_verified_says_why(planted):
    path, _ = planted
    text = path.read_text()
    for old, new, message in [
        ('derivation = "ltp"', 'derivation = "xy"', r"provenance.derivation must be one of ltp, .*, got 'xy'"),
        ("n_cycles = 16", "n_rounds = 16", r"provenance.config must describe a LTPExperiment, got .*n_rounds"),
        (
            'kind = "simulation"',
            'kind = "measurement"\ndata = "d"\ndata_sha256 = "0"',
            "must hold a simulated curve to be verified",
        ),
        ("[check]", "[unchecked]", "check must be given, got nothing; write the file again"),
        (
            "y = [0.0, ",
            "y = [0.1, ",
            "check.y must be what .* gives for the stored parameters, got .*: write",
        ),
    ]:
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(ValueError, match=message):
            verify_curve(path)


def test_every_standard_curve_has_a_derivation():
    assert {"ltp_alpha0", "ltp_no_gliotransmission"} == set(STANDARD) - set(DERIVATIONS)


# --- with simulations ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_exporting_twice_gives_the_same_bytes(tmp_path):
    only = ["stp_spatial", "ltp_no_gliotransmission"]
    seen = []
    first = derive_all(tmp_path / "a", only=only, n_synapses=200, progress=lambda *done: seen.append(done))
    again = derive_all(tmp_path / "b", only=only, n_synapses=200, recordings=tmp_path / "recordings", n_jobs=1)
    assert list(first) == list(again) == ["ltp_no_gliotransmission", "stp_spatial"]
    for name in only:
        assert first[name].read_bytes() == again[name].read_bytes()
        assert (tmp_path / "recordings" / f"{name}.nc").stat().st_size > 0
    assert sorted(done for _, done, _ in seen) == [1, 2] and {n for _, _, n in seen} == {2}
    reports = list(verify_curves(first.values()))
    assert [report.path for report in reports] == list(first.values()) and all(report.ok for report in reports)


def ratios(experiment, derivation: str, parameter: str, **overrides: str) -> list[float]:
    """By how much a fitted parameter changes with each of the overrides alone, with the same draws."""
    form = {"form": "saturating_exponential"} if derivation == "ltp" else {}
    values = []
    for changes in ({}, *({symbol: text} for symbol, text in overrides.items())):
        curve = DERIVATIONS[derivation](dataclasses.replace(experiment, overrides=changes), **form)
        values.append(curve.parameters[parameter])
    return [value / values[0] for value in values[1:]]


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
def test_short_term_constants_move_as_theory_predicts():
    (half,) = ratios(ReleaseExperiment(n_synapses=400), "stp_release", "half", Omega_f="x1.2")
    assert half == pytest.approx(1.2, abs=0.03)  # half = Omega_f / U
    lengths = ratios(SpatialExperiment(), "stp_spatial", "length", F_lin="x1.2", Omega_5P="x0.8")
    for length, k_over_F in zip(lengths, (1 / 1.2, 0.8), strict=True):  # V22: further with better junctions, less decay
        assert length == pytest.approx(theory.kernel_length(1, k_over_F) / theory.kernel_length(1, 1), rel=0.08)


@pytest.mark.slow
def test_macro_model_relaxes_with_its_slow_time_constant():
    curve = DERIVATIONS["ltp_macro"](MacroExperiment(n_cycles=6))
    assert curve.parameters["tau"] == pytest.approx(curve.fit["closed_form"]["tau"], rel=0.02)
    assert ratios(MacroExperiment(n_cycles=6), "ltp_macro", "tau", tau_p_l="x1.2") == pytest.approx([1.2], rel=0.02)
