"""A curve serves what it observed, and carries its uncertainty forward."""

import math

import numpy as np
import pytest

from astro_sim.curves.curve import CurveFileError
from astro_sim.curves.fit import fit_curve
from astro_sim.curves.format import parse_curve
from astro_sim.curves.forms import FORMS

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
    text = text.replace('133.0], unit = "s"', '133.0], unit = "1"')
    text = text.replace('0.52], unit = "1"', '0.52], unit = "1/(s)**exponent"')
    x = (100.0, 275.0, 450.0, 625.0, 800.0)
    text = text.replace("range = [0.0", "range = [100.0").replace(
        "x = [0.0, 200.0, 400.0, 600.0", "x = [100.0, 275.0, 450.0, 625.0"
    )
    head, _, tail = text.partition("[check]\n")
    lines = tail.split("\n")
    lines[1] = f"y = {[0.5 * v**exponent for v in x]}"
    return head + "[check]\n" + "\n".join(lines)


def test_equality_is_that_of_file_and_draw():
    assert parse_curve(LTP) == parse_curve(LTP)
    assert parse_curve(LTP) != parse_curve(LTP + "# a comment\n")
    assert parse_curve(LTP).sample(1, seed=0)[0] != parse_curve(LTP)


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
