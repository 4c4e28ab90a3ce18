"""The reading end of the bridge trusts nothing, and carries the uncertainty forward."""

import math

import numpy as np
import pytest

from astro_sim.curves.curve import CurveFileError
from astro_sim.curves.format import load_curve, parse_curve
from astro_sim.curves.forms import FORMS
from rmaat.data import load_curves

LTP = """\
format = "astro-curve"
version = 1
name = "ltp"
form = "saturating_exponential"
formula = "amplitude * (1 - exp(-x / tau))"
x = { symbol = "t", unit = "s", range = [0.0, 800.0] }
y = { symbol = "rho", unit = "1" }
extrapolate = false

[parameters]
amplitude = { value = 0.5, stderr = 0.01, ci95 = [0.48, 0.52], unit = "1" }
tau = { value = 120.0, stderr = 6.0, ci95 = [108.0, 133.0], unit = "s" }

[fit]
covariance = [[0.0001, 0.03], [0.03, 36.0]]
chosen_by = "lowest BIC"
uncertainty = "least squares"
n_samples = 16
r_squared = 0.999
rmse = 0.003

[fit.bic]
saturating_exponential = 26.4

[check]
x = [0.0, 200.0, 400.0, 600.0, 800.0]
y = CHECK

[samples]
x = [50.0]
y = [0.2]

[provenance]
kind = "simulation"
command = "astro-sim curves --only ltp"
source = "this study"
derivation = "ltp"
preset = "FM"
protocol = "CycledPairing"
seed = 1
dt = "1 ms"
target = "numpy"
equations_sha256 = "0"

[provenance.config]
n_synapses = 1000

[provenance.parameters]
O_P = { value = 0.9, unit = "umolar/second" }

[provenance.versions]
numpy = "2.3.5"
"""
LTP = LTP.replace("CHECK", str([0.5 * -math.expm1(-x / 120) for x in (0.0, 200.0, 400.0, 600.0, 800.0)]))


def power_law(exponent: float = 0.4) -> str:
    text = LTP.replace("saturating_exponential", "power_law")
    text = text.replace("amplitude * (1 - exp(-x / tau))", "amplitude * x**exponent")
    text = text.replace("tau = { value = 120.0, stderr = 6.0", f"exponent = {{ value = {exponent}, stderr = 6.0")
    x = (100.0, 200.0, 400.0, 600.0, 800.0)
    text = text.replace("range = [0.0", "range = [100.0").replace("x = [0.0, 200", "x = [100.0, 200")
    head, _, tail = text.partition("[check]\n")
    lines = tail.split("\n")
    lines[1] = f"y = {[0.5 * v**exponent for v in x]}"
    return head + "[check]\n" + "\n".join(lines)


def test_a_good_file_is_read():
    curve = parse_curve(LTP)
    assert (curve.name, curve.form.name, curve.form.plateau) == ("ltp", "saturating_exponential", True)
    assert curve.parameters == {"amplitude": 0.5, "tau": 120.0}
    assert curve.stderr["tau"] == 6.0 and curve.ci95["tau"] == (108.0, 133.0) and curve.units["tau"] == "s"
    assert curve(120.0) == pytest.approx(0.5 * (1 - math.exp(-1)), rel=1e-15)
    assert curve(np.zeros((2, 3))).shape == (2, 3)
    assert curve(120.0).dtype == np.float64


def test_equality_is_that_of_file_and_draw():
    assert parse_curve(LTP) == parse_curve(LTP)
    assert parse_curve(LTP) != parse_curve(LTP + "# a comment\n")
    assert parse_curve(LTP).sample(1, seed=0)[0] != parse_curve(LTP)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"astro-curve"', '"csv"', "format must be 'astro-curve', got 'csv'; give a curve file"),
        ("version = 1", "version = 2", "version must be 1, got 2; read it with the release of rmaat that wrote it"),
        ("version = 1", "version = true", "version must be 1, got True"),
        ('form = "sat', 'form = "spline_sat', "form must be one of power_law, .*, got 'spline_saturating_exponential'"),
        ('"amplitude * (1 - exp(-x / tau))"', '"x"', "formula must be .*, got 'x'"),
        ('name = "ltp"\n', "", "name must be given, got nothing"),
        ("[provenance]", "[elsewhere]", "provenance.kind must be given"),
        ('kind = "simulation"\n', "", "provenance.kind must be given, got nothing"),
        ('"simulation"', '"hearsay"', "provenance.kind must be one of simulation, measurement, got 'hearsay'"),
        ("seed = 1\n", "", "provenance.seed must be given"),
        ('equations_sha256 = "0"\n', "", "provenance.equations_sha256 must be given"),
        ("rmse = 0.003\n", "", "fit.rmse must be given"),
        ("rmse = 0.003", "rmse = nan", "fit.rmse must be finite, got nan"),
        ("y = [0.2]", "y = [inf]", r"samples.y\[0\] must be finite, got inf"),
        ("value = 120.0", "value = -120.0", "parameters.tau must be positive, got -120.0"),
        ("value = 120.0", "value = 121.0", "check.y must be what saturating_exponential gives"),
        ("value = 120.0", "value = 120.000001", "check.y must be what"),
        ("value = 120.0", 'value = "long"', "every entry must have the type"),
        ("stderr = 6.0, ", "", "parameters.tau.stderr must be given"),
        ("stderr = 6.0", "stderr = -6.0", "parameters.tau.stderr must be at least 0, got -6.0"),
        ("[108.0, 133.0]", "[133.0, 108.0]", "parameters.tau.ci95 must be"),
        ("tau = { value", "lambda = { value", r"\[parameters\] must be amplitude, tau in this order"),
        ("[[0.0001, 0.03], ", "[", "fit.covariance must be 2 rows of 2 numbers"),
        ("[0.03, 36.0]", "[0.02, 36.0]", "fit.covariance must be symmetric"),
        ("[0.03, 36.0]", "[0.03, 25.0]", "fit.covariance must have the squared standard errors"),
        ("[[0.0001, 0.03], [0.03", "[[0.0001, 0.12], [0.12", "fit.covariance must have no negative eigenvalue"),
        ("range = [0.0, 800.0]", "range = [800.0, 0.0]", "x.range must be .* low < high"),
        ("x = [0.0, 200.0, 400.0, 600.0, 800.0]", "x = [0.0]", "check must hold five values"),
        ("[fit]", "[fit", "curve file must be complete TOML"),
    ],
)
def test_a_spoilt_file_is_refused_with_the_remedy(old, new, message, tmp_path):
    assert old in LTP
    path = tmp_path / "ltp.toml"
    path.write_text(LTP.replace(old, new, 1))
    with pytest.raises(CurveFileError, match=message) as error:
        load_curve(path)
    assert str(error.value).startswith(str(path)) and "; " in str(error.value)


def test_every_truncation_is_refused():
    """Wherever a file is cut before its last complete section, it is not a curve."""
    for end in range(0, LTP.index("numpy"), 7):
        with pytest.raises(CurveFileError):
            parse_curve(LTP[:end])


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(CurveFileError, match=r"none.toml: curve file must be readable, got No such .*; check the path"):
        load_curve(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(CurveFileError, match="must be UTF-8 text, got invalid start byte"):
        load_curve(tmp_path / "binary.toml")
    with pytest.raises(CurveFileError, match=r"must hold \*.toml curve files, got none; `astro-sim curves` writes"):
        load_curves(tmp_path / "empty")


def test_folders_are_keyed_by_file_name(tmp_path):
    parse_curve(LTP).save(tmp_path / "runs" / "ltp.toml")
    parse_curve(LTP).save(tmp_path / "runs" / "other.toml")
    assert sorted(load_curves(tmp_path / "runs")) == ["ltp", "other"]


def test_saved_copies_are_exact(tmp_path):
    text = LTP.replace("this study", "Graupner & Brunel, Škoda µ")
    path = parse_curve(text).save(tmp_path / "copy.toml")
    assert path.read_bytes() == text.encode()
    assert load_curve(path) == parse_curve(text)


def test_beyond_the_observed_range():
    plateau, law = parse_curve(LTP), parse_curve(power_law())
    assert plateau.is_extrapolated(801.0) and not plateau.is_extrapolated([0.0, 800.0])
    assert plateau(1e6) == pytest.approx(0.5)
    assert law.is_extrapolated(99.0) and not law.is_extrapolated([100.0, 800.0])
    with pytest.raises(ValueError, match=r"t must lie in the observed range \[100, 800\] s of curve 'ltp' \(power_law"):
        law(900.0)
    assert law(900.0, extrapolate=True) == pytest.approx(0.5 * 900**0.4)
    allowed = parse_curve(power_law().replace("extrapolate = false", "extrapolate = true"))
    assert allowed(900.0) == law(900.0, extrapolate=True)


def test_retention_needs_a_rise():
    assert parse_curve(LTP).require_rising() == parse_curve(LTP)
    parse_curve(power_law(0.4)).require_rising()
    with pytest.raises(CurveFileError, match=r"curve 'ltp' must rise with t to give retention .*, got a fall near"):
        parse_curve(power_law(-0.4)).require_rising()
    with pytest.raises(CurveFileError, match="must rise"):
        parse_curve(power_law(0.0)).require_rising()


def test_draws_follow_the_covariance():
    curve = parse_curve(LTP)
    draws = np.array([list(draw.parameters.values()) for draw in curve.sample(4000, seed=3)])
    assert np.all(draws > 0)
    logs = np.log(draws)
    np.testing.assert_allclose(logs.mean(axis=0), np.log([0.5, 120.0]), atol=4 * 0.05 / math.sqrt(4000))
    np.testing.assert_allclose(logs.std(axis=0), [0.02, 0.05], rtol=0.05)
    assert np.corrcoef(logs.T)[0, 1] == pytest.approx(0.5, abs=0.05)


def test_draws_are_positive_however_wide_the_error():
    wide = LTP.replace("stderr = 6.0", "stderr = 240.0").replace("[0.03, 36.0]", "[0.03, 57600.0]")
    assert all(draw.parameters["tau"] > 0 for draw in parse_curve(wide).sample(1000, seed=0))


def test_draw_k_is_the_same_for_every_n():
    curve = parse_curve(LTP)
    assert curve.sample(3, seed=5) == curve.sample(10, seed=5)[:3]
    assert [draw.parameters for draw in curve.sample(3, 5)] == [draw.parameters for draw in curve.sample(10, 5)[:3]]
    assert curve.sample(1, seed=5)[0].parameters != curve.sample(1, seed=6)[0].parameters
    assert (curve.sample(2, seed=5)[1].draw, curve.sample(2, seed=5)[1].draw_seed) == (1, 5)
    assert curve.sample(2, seed=5)[1].text == curve.text
    assert curve.sample(0, seed=5) == []
    with pytest.raises(ValueError, match="n must be at least 0, got -1"):
        curve.sample(-1, seed=0)


def test_below_zero_and_beyond_numbers():
    curve = parse_curve(LTP)
    with pytest.raises(ValueError, match=r"t must lie in .* \(below it a plateau says nothing\), got -1"):
        curve(-1.0)
    with pytest.raises(ValueError, match="t must be a number, got NaN"):
        curve(np.nan)
    assert curve(0.0) == 0 and curve(-1.0, extrapolate=True) < 0


def test_fractions_stay_fractions():
    form = FORMS["biexponential"]
    assert form.scales["weight"] == "logit"
    text = (
        LTP.replace("saturating_exponential", "biexponential")
        .replace("amplitude * (1 - exp(-x / tau))", form.formula)
        .replace(
            'tau = { value = 120.0, stderr = 6.0, ci95 = [108.0, 133.0], unit = "s" }',
            'weight = { value = 0.9, stderr = 0.3, ci95 = [0.1, 1.0], unit = "1" }\n'
            'tau_fast = { value = 120.0, stderr = 0.0, ci95 = [120.0, 120.0], unit = "s" }\n'
            'tau_slow = { value = 120.0, stderr = 0.0, ci95 = [120.0, 120.0], unit = "s" }',
        )
        .replace(
            "[[0.0001, 0.03], [0.03, 36.0]]",
            "[[0.0001, 0.0, 0.0, 0.0], [0.0, 0.09, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]",
        )
    )
    draws = parse_curve(text).sample(500, seed=0)
    weights = [draw.parameters["weight"] for draw in draws]
    assert 0 < min(weights) < 0.2 < 0.99 < max(weights) < 1
    assert all(draw.parameters["tau_fast"] == pytest.approx(120.0) for draw in draws)
