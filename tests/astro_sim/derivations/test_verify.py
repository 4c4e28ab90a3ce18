"""Verification of curve files whose experiments give planted recordings."""

import dataclasses
import functools
import json

import numpy as np
import pytest
from planted import efficacies, recording

from astro_sim.curves.curve import CurveFileError
from astro_sim.curves.fit import fit_curve
from astro_sim.curves.format import load_curve, read_curve, write_curve
from astro_sim.derivations.ltp import LTPExperiment, PopulationExperiment, derive_ltp, derive_ltp_population
from astro_sim.derivations.stp import CalciumExperiment, derive_stp_calcium
from astro_sim.derivations.verify import compare, verify_curve


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A curve file whose experiment gives planted data again, from the seed in `draws`."""
    draws = {"seed": 0}
    monkeypatch.setattr("astro_sim.derivations.ltp.fit_curve", functools.partial(fit_curve, n_bootstrap=0))
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
