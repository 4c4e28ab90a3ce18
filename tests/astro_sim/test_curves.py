"""Fitting curves, their files, and measured data."""

import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest

from astro_sim.curves.curve import Axis
from astro_sim.curves.fit import fit_curve, fit_form, prepare
from astro_sim.curves.format import read_curve, write_curve
from astro_sim.curves.forms import FORMS
from astro_sim.curves.measured import fit_csv

CYCLES = np.arange(0.0, 801.0, 50.0)


def ensemble(n: int = 400, seed: int = 0) -> np.ndarray:
    """Efficacies that rise as 0.55 (1 - exp(-t/130)) with noise correlated over cycles, all 0 at t = 0."""
    noise = np.random.default_rng(seed).normal(size=(n, CYCLES.size))
    for k in range(1, CYCLES.size):
        noise[:, k] = 0.7 * noise[:, k - 1] + 0.7 * noise[:, k]
    return 0.55 * -np.expm1(-CYCLES / 130) + 0.1 * noise * (CYCLES > 0)


@pytest.fixture(scope="module")
def curve():
    origin = {"kind": "measurement", "command": "c", "source": "s", "versions": {"numpy": "1"}}
    origin |= {"data": "none", "data_sha256": "0"}
    return fit_curve(
        CYCLES, ensemble=ensemble(), name="ltp", x_axis=Axis("t", "s"), y_axis=Axis("rho", "1"), provenance=origin
    )


def test_ensemble_fit_recovers_what_was_planted(curve):
    assert curve.form.name == "saturating_exponential"
    assert abs(curve.parameters["amplitude"] - 0.55) < 3 * curve.stderr["amplitude"]
    assert abs(curve.parameters["tau"] - 130) < 3 * curve.stderr["tau"]
    assert curve.x_range == (0.0, 800.0)
    assert curve.fit["n_samples"] == 16  # the common start carries no error and is left out
    assert curve.units == {"amplitude": "1", "tau": "s"}


def test_bootstrap_agrees_with_least_squares(curve):
    for stderr, other in zip(curve.stderr.values(), curve.fit["bootstrap"]["stderr"], strict=True):
        assert 0.6 < other / stderr < 1.4
    for value, (low, high) in zip(curve.parameters.values(), curve.fit["bootstrap"]["ci95"], strict=True):
        assert low < value < high


def test_standard_errors_hold_for_correlated_ensembles():
    """Points of an ensemble mean are correlated; over 40 ensembles the errors scatter as their standard errors say."""
    form, spread = FORMS["saturating_exponential"], {}
    for correlated in (True, False):
        fits = [fit_form(form, prepare(CYCLES, None, None, ensemble(seed=k), correlated)) for k in range(40)]
        z = [(fit.theta - [0.55, 130.0]) / np.sqrt(np.diag(fit.covariance)) for fit in fits]
        spread[correlated] = np.std(z, axis=0)
    assert np.all((spread[True] > 0.7) & (spread[True] < 1.3))
    assert np.all(spread[False] > 1.3)  # what ignoring the correlation would give


def test_bic_stays_sensible_on_correlated_ensembles():
    forms = [fit_curve(CYCLES, ensemble=ensemble(seed=seed), n_bootstrap=0).form.name for seed in range(10)]
    assert forms.count("saturating_exponential") >= 9


def test_all_forms_are_reported(curve):
    assert set(curve.fit["bic"]) | set(curve.fit["not_fitted"]) == {
        "power_law", "saturating_exponential", "stretched_exponential", "biexponential", "hill", "naka_rushton",
        "power_law_approach", "exponential_decay", "gaussian_decay",
    }  # fmt: skip
    report = curve.report()
    assert all(form in report for form in curve.fit["bic"])
    assert "tau" in report and "bootstrap over 400 members" in report and "chi2/dof" in report


def test_a_fixed_form_says_who_fixed_it_and_reports_the_others():
    x = np.geomspace(0.1, 20, 12)
    curve = fit_curve(x, 0.3 * x**0.4, form="power_law", because="its exponent is alpha")
    assert curve.form.name == "power_law"
    assert curve.fit["chosen_by"] == "the caller: its exponent is alpha"
    assert "hill" in curve.fit["bic"]
    assert curve.parameters == {"amplitude": 0.3, "exponent": 0.4}


def test_diagnostics_see_a_wrong_form():
    x = np.linspace(5, 800, 60)
    y = 0.5 * -np.expm1(-((x / 150) ** 0.5)) + 0.002 * np.random.default_rng(0).normal(size=x.size)
    sem = np.full_like(x, 0.002)
    right = fit_curve(x, y, sem, form="stretched_exponential")
    wrong = fit_curve(x, y, sem, form="saturating_exponential")
    assert right.fit["reduced_chi2"] < 1.5 < 10 < wrong.fit["reduced_chi2"]
    assert right.fit["runs_p"] > 0.01 > wrong.fit["runs_p"]
    assert wrong.fit["durbin_watson"] < 0.5 < 1.4 < right.fit["durbin_watson"]


def test_extrapolation_is_refused_unless_marked():
    x = np.geomspace(0.1, 20, 12)
    curve = fit_curve(x, 0.3 * x**0.4, form="power_law")
    with pytest.raises(ValueError, match=r"x must lie in the observed range \[0.1, 20\] 1 of curve .*, got 50 to 50"):
        curve(50.0)
    assert fit_curve(x, 0.3 * x**0.4, form="power_law", extrapolate=True)(50.0) == pytest.approx(0.3 * 50**0.4)
    assert fit_curve(x, x / (x + 3), form="naka_rushton")(1e9) == pytest.approx(1)


def test_a_plateau_excuses_no_value_below_the_data(curve):
    x = np.geomspace(5, 60, 12)
    noise = 0.01 * np.random.default_rng(0).normal(size=x.size)
    rise = fit_curve(x, 1 - np.exp(-x / 15) + noise, form="saturating_exponential")
    response = fit_curve(x, x / (x + 3) + noise, form="naka_rushton")
    assert rise(0.0) == 0  # by its form
    for fitted, value in ((curve, -100.0), (rise, -1e-9), (response, 4.0)):
        with pytest.raises(ValueError, match=r"must lie in the observed range"):
            fitted([value, 30.0])
    with pytest.raises(ValueError, match="t must be a number, got NaN"):
        curve([30.0, np.nan])


def test_a_parameter_at_a_bound_of_zero_is_a_flaw_and_a_choice_among_flawed_fits_says_so():
    t = np.arange(0.0, 61.0, 5.0)
    y = np.where(t > 0, 50 + 2 * np.random.default_rng(0).normal(size=t.size), 0.0)
    step = fit_curve(t, y, np.full(t.size, 2.0))
    assert step.fit["flaws"]["power_law"] == "exponent at the bound"
    assert step.fit["chosen_by"] == "lowest BIC of 9 forms, all of them flawed"
    assert "flawed" not in fit_curve(t, 50 * (t / 60) ** 0.5 + y / 50).fit["chosen_by"]


def test_a_start_at_zero_is_no_point_of_a_form_that_starts_there(tmp_path):
    curve = fit_csv(measured(tmp_path / "s.csv", "time,response", ["0,0", "10,21", "30,38", "60,44"]))
    assert curve.form.name == "saturating_exponential" and curve.stderr["tau"] > 0.01
    for name in ("stretched_exponential", "power_law_approach"):
        assert curve.fit["not_fitted"][name].endswith("more points than its 3 parameters, got 3 that depend on them")
    assert "naka_rushton" in curve.fit["bic"]  # its base is free at 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(x=[1, 2, np.nan], y=[1, 2, 3]), "x must be a sequence of finite numbers"),
        (dict(x=[-1, 2, 3], y=[1, 2, 3]), "x must be at least 0, got -1"),
        (dict(x=[1, 2, 3], y=[1, 2]), "y must have one value per x, got 2 for 3"),
        (dict(x=[1, 2, 3], y=[1, 2, 3], sem=[1, 0, 1]), "sem must hold one positive value per x"),
        (dict(x=[1, 2, 3], ensemble=np.zeros((2, 3))), r"ensemble must have the shape \(at least 3 members"),
        (dict(x=[1, 2, 3], ensemble=np.zeros((5, 3))), "ensemble must differ between members"),
        (dict(x=[1, 2, 3], ensemble=np.full((5, 3), np.nan)), "ensemble must be finite"),
        (dict(x=[1, 2, 3], y=[1, 2, 3], form="spline"), "form must be 'auto' or one of power_law, .*, got 'spline'"),
        (dict(x=[1, 2, 3], y=[5, 5, 5]), "y must vary with x, got 5 at every point; a constant has no course to fit"),
        (dict(x=[1, 1], y=[1, 2]), "data must have enough points for one of .*, got too few; add points"),
    ],
)
def test_bad_data_gets_one_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit_curve(**arguments)


def test_file_round_trip_is_exact(curve, tmp_path):
    path = write_curve(curve, tmp_path / "new" / "ltp.toml")
    back = read_curve(path)
    assert back == curve
    assert back.to_toml() == curve.to_toml() == path.read_text()


def test_file_is_small_and_has_six_digits(curve):
    text = curve.to_toml()
    assert len(text) < 8000
    data = tomllib.loads(text)
    numbers = [entry["value"] for entry in data["parameters"].values()] + np.ravel(data["fit"]["covariance"]).tolist()
    assert all(float(f"{number:.6g}") == number for number in numbers)


def test_same_data_same_bytes(tmp_path):
    texts = {write_curve(fit_curve(CYCLES, ensemble=ensemble()), tmp_path / "c.toml").read_bytes() for _ in range(2)}
    assert len(texts) == 1


@pytest.mark.parametrize("exists", [True, False])
def test_a_crash_while_writing_leaves_the_old_file_or_none(curve, tmp_path, monkeypatch, exists):
    path = tmp_path / "ltp.toml"
    if exists:
        path.write_text("old")
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_curve(curve, path)
    assert [file.read_text() for file in tmp_path.iterdir()] == (["old"] if exists else [])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('format = "astro-curve"', 'format = "csv"'),
        lambda text: text.replace("version = 1", "version = 2", 1),
        lambda text: text[: text.index("[provenance]")],
        lambda text: text.replace('form = "saturating_exponential"', 'form = "hill"'),
        lambda text: text.replace("version = 1", "version = true", 1),
        lambda text: text.replace('name = "ltp"', "name = 3"),
        lambda text: text.replace("(1 - exp(-x / tau))", "(1 + exp(-x / tau))"),
        lambda text: text.replace("extrapolate = false", 'extrapolate = "no"'),
        lambda text: re.sub(r"\[parameters\](.*?)\[fit\]", "parameters = [1, 2]\n[fit]", text, flags=re.DOTALL),
        lambda text: re.sub(r"value = [^,]+", "value = nan", re.sub(r"\ny = \[0.0.*", f"\ny = {[np.nan] * 5}", text)),
        lambda text: text.replace("stderr = ", "stderr = -", 1),
        lambda text: re.sub(r"stderr = [^,]+", "stderr = nan", text, count=1),
        lambda text: re.sub(r"covariance = .*", "covariance = [[1.0]]", text),
        lambda text: re.sub(r"covariance = .*", "covariance = [[1.0, 0.0], [0.0, nan]]", text),
        lambda text: re.sub(r"\[fit.bic\].*?\n\[", "[", text, flags=re.DOTALL),
        lambda text: text[: text.index("[provenance]")] + "[provenance]\n",
        lambda text: text.replace('kind = "measurement"\n', ""),
    ],
)
def test_reading_back_refuses_a_spoilt_file(curve, tmp_path, spoil):
    path = tmp_path / "ltp.toml"
    path.write_text(spoil(curve.to_toml()))
    assert path.read_text() != curve.to_toml()
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: .*, got .*; .*`astro-sim"):
        read_curve(path)


def measured(path, header="time,response,sem", rows=None):
    x = np.arange(0.0, 61.0, 5.0)
    y = 0.4 * -np.expm1(-x / 15) + 0.01 * np.random.default_rng(1).normal(size=x.size)
    rows = [f"{a},{b:.5f},0.01" for a, b in zip(x, y, strict=True)] if rows is None else rows
    path.write_text("\n".join(["# field potentials", header, "", *rows]) + "\n")
    return path


def test_csv_to_curve(tmp_path):
    curve = fit_csv(measured(tmp_path / "slice.csv"), time_unit="min")
    assert curve.form.name == "saturating_exponential"
    assert curve.parameters["tau"] == pytest.approx(900, abs=4 * curve.stderr["tau"])
    assert curve.provenance["command"] == "astro-sim fit slice.csv --time-unit min"
    assert len(curve.provenance["data_sha256"]) == 64
    assert str(tmp_path) not in curve.to_toml()


def test_csv_without_sem_and_in_percent_of_baseline(tmp_path):
    rows = [f"{100 + 40 * -np.expm1(-t / 15):.4f};{t}".replace(";", ",") for t in range(0, 90, 5)]
    curve = fit_csv(measured(tmp_path / "s.csv", "response,time", rows), baseline=100.0)
    assert curve.parameters["amplitude"] == pytest.approx(40, rel=1e-3)
    assert "sem" not in curve.samples
    assert "--baseline 100.0" in curve.provenance["command"]


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("time,value", ["0,1"], r"s.csv, line 2: header must name .*, got time,value; add response"),
        ("time,response", ["0,0", "1,a"], r"s.csv, line 5: response must be a number, got 'a'"),
        ("time,response", ["0,0", "1"], r"s.csv, line 5: row must have 2 columns, got 1"),
        ("time,response", ["0,0", "1,nan"], r"s.csv, line 5: response must be finite, got nan"),
        ("time,response", ["-5,0", "1,1"], r"s.csv, line 4: time must be at least 0 .*, got -5"),
        ("time,response,sem", ["0,0,0"], r"s.csv, line 4: sem must be positive, got 0; leave the column out"),
        ("time,response", ["0,0", "1,1"], r"s.csv: data must have at least 3 rows, got 2"),
    ],
)
def test_csv_errors_name_file_and_line(tmp_path, header, rows, message):
    with pytest.raises(ValueError, match=message):
        fit_csv(measured(tmp_path / "s.csv", header, rows))


T = np.arange(0, 61, 5)
WIGGLE = np.cos(7 * T)


@pytest.mark.parametrize(
    ("response", "baseline"),
    [(70 + 30 * np.exp(-T / 15) + WIGGLE, 100.0), (70 + 30 * np.exp(-T / 15) + WIGGLE, 0.0), (-1.0 * T, 0.0),
     (140 - 40 * np.exp(-T / 15) + WIGGLE, 500.0)],
)  # fmt: skip
def test_csv_without_a_rise_above_the_baseline_is_refused_unless_its_form_is_named(tmp_path, response, baseline):
    path = measured(tmp_path / "s.csv", "time,response", [f"{a},{b}" for a, b in zip(T, response, strict=True)])
    with pytest.raises(ValueError, match=r"s.csv: response must rise above the baseline .*, got a .*; correct the"):
        fit_csv(path, baseline=baseline)
    assert fit_csv(path, baseline=baseline, form="naka_rushton").form.name == "naka_rushton"


@pytest.mark.parametrize("value", [0, 5])
def test_csv_with_a_constant_response_is_refused(tmp_path, value):
    path = measured(tmp_path / "s.csv", "time,response", [f"{time},{value}" for time in T])
    with pytest.raises(ValueError, match=f"s.csv: y must vary with x, got {value} at every point"):
        fit_csv(path)


def test_csv_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match=r"none.csv: data must be a readable UTF-8 text file, got .*No such file"):
        fit_csv(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="time_unit must be one of s, min, h, got 'days'"):
        fit_csv(measured(tmp_path / "s.csv"), time_unit="days")
    with pytest.raises(ValueError, match=r"s.csv: form must be 'auto' or one of"):
        fit_csv(measured(tmp_path / "s.csv"), form="spline")


def test_fitting_imports_no_brian2():
    modules = "astro_sim.curves.format, astro_sim.curves.measured"
    code = f"import sys, {modules}; sys.exit(bool({{'brian2', 'torch'}} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
