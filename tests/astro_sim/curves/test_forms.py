"""Every form gives what its formula says, and planted parameters come back under noise."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astro_sim.curves.forms import FORMS, RISING, SIMULATED
from astro_sim.curves.least_squares import choose, fit_all, fit_form, prepare

TIMES = np.linspace(5.0, 1600.0, 120)
RATES = np.geomspace(0.1, 100.0, 60)
CELLS = np.arange(15.0)
PLANTED = {
    "power_law": (RATES, {"amplitude": 0.3, "exponent": 0.42}),
    "saturating_exponential": (TIMES, {"amplitude": 0.55, "tau": 120.0}),
    "stretched_exponential": (TIMES, {"amplitude": 0.55, "tau": 120.0, "beta": 0.7}),
    "biexponential": (TIMES, {"amplitude": 0.6, "weight": 0.4, "tau_fast": 20.0, "tau_slow": 250.0}),
    "hill": (RATES, {"base": 0.05, "amplitude": 0.6, "half": 3.0, "n": 1.8}),
    "naka_rushton": (RATES, {"base": 0.3, "amplitude": 0.7, "half": 5.5}),
    "power_law_approach": (TIMES, {"amplitude": 0.6, "tau": 80.0, "exponent": 1.5}),
    "exponential_decay": (CELLS, {"amplitude": 1.0, "length": 2.3}),
    "gaussian_decay": (CELLS, {"amplitude": 1.0, "length": 2.3}),
    "saturating_depression": (TIMES, {"amplitude": 0.4, "tau": 120.0}),
    "peak_then_plateau": (TIMES, {"peak": 1.0, "tau_peak": 40.0, "amplitude": 0.5, "tau": 300.0}),
    "power_law_offset": (RATES, {"amplitude": 0.3, "exponent": 0.42, "offset": -0.2}),
    "saturating_exponential_offset": (TIMES, {"amplitude": 0.55, "tau": 120.0, "offset": 0.1}),
    "stretched_exponential_offset": (TIMES, {"amplitude": 0.55, "tau": 120.0, "beta": 0.7, "offset": 0.1}),
    "biexponential_offset": (
        np.linspace(0.0, 1600.0, 200),
        {"amplitude": 0.6, "weight": 0.5, "tau_fast": 20.0, "tau_slow": 400.0, "offset": 0.1},
    ),
    "power_law_approach_offset": (TIMES, {"amplitude": 0.6, "tau": 80.0, "exponent": 1.5, "offset": 0.1}),
    "exponential_decay_offset": (TIMES, {"amplitude": 0.6, "tau": 120.0, "offset": 0.3}),
    "gaussian_decay_offset": (CELLS, {"amplitude": 1.0, "tau": 2.3, "offset": 0.3}),
    "peak_then_plateau_offset": (
        TIMES,
        {"peak": 1.0, "tau_peak": 40.0, "amplitude": 0.5, "tau": 300.0, "offset": 0.1},
    ),
}


def noisy(name: str, seed: int, scale: float = 1.0):
    """Data of a planted form with 1 % noise, their standard errors, and the planted values."""
    x, planted = PLANTED[name]
    clean = FORMS[name].function(x, *planted.values())
    sem = np.full_like(x, 0.01 * np.abs(clean).max())
    return x, scale * (clean + sem * np.random.default_rng(seed).normal(size=x.size)), scale * sem, planted


def test_every_form_is_planted_below():
    assert PLANTED.keys() == FORMS.keys()
    assert all(tuple(PLANTED[name][1]) == form.parameters for name, form in FORMS.items())


@pytest.mark.parametrize("name", FORMS)
def test_function_is_its_formula(name):
    x, planted = PLANTED[name]
    expected = [eval(FORMS[name].formula, {"exp": math.exp, "x": float(v), **planted}) for v in x]
    np.testing.assert_allclose(FORMS[name].function(x, *planted.values()), expected, rtol=1e-12)


VALUES = {"log": st.floats(1e-3, 1e3), "logit": st.floats(0.01, 0.99), "linear": st.floats(-2, 2)}


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_function_is_its_formula_whatever_the_parameters(name, data):
    """The text in a curve file is what is computed."""
    form = FORMS[name]
    largest = {"beta": 5.0, "n": 20.0, "exponent": 20.0}  # no overflow up to here
    values = {key: min(data.draw(VALUES[scale]), largest.get(key, 1e9)) for key, scale in form.scales.items()}
    x = np.geomspace(1e-2, 1e3, 40)
    computed = form.function(x, *values.values())
    expected = eval(form.formula, {"exp": np.exp, "x": x, **values})
    np.testing.assert_allclose(computed, expected, rtol=1e-9, atol=1e-12 * max(1.0, np.abs(computed).max()))


@pytest.mark.parametrize("name", FORMS)
def test_plateau_and_rise_are_as_declared(name):
    form, values = FORMS[name], PLANTED[name][1].values()
    far = form.function(np.array([1e12, 1e13]), *values)
    assert np.isclose(*far, rtol=1e-3) == form.plateau
    if form.rises:
        assert form.function(np.array(0.0), *values) == 0
        assert np.all(np.diff(form.function(TIMES, *values)) > 0)
    assert (name in RISING) == form.rises


@pytest.mark.parametrize("name", FORMS)
def test_planted_parameters_come_back_within_three_standard_errors(name):
    """For each of 20 noisy data sets, and the standard errors are neither too small nor too large on the whole."""
    deviations = []
    for seed in range(20):
        x, y, sem, planted = noisy(name, seed)
        fit = fit_form(FORMS[name], prepare(x, y, sem))
        assert not fit.flaw
        deviations.append((fit.theta - list(planted.values())) / np.sqrt(np.diag(fit.covariance)))
    assert np.abs(deviations).max() < 3
    assert 0.4 < np.sqrt(np.mean(np.square(deviations))) < 1.6


@pytest.mark.parametrize("name", FORMS)
def test_noise_of_unknown_size_is_estimated(name):
    x, y, _, planted = noisy(name, seed=100)
    fit = fit_form(FORMS[name], prepare(x, y))
    assert np.all(np.abs(fit.theta - list(planted.values())) < 3.5 * np.sqrt(np.diag(fit.covariance)))


@settings(max_examples=25, deadline=None)
@given(name=st.sampled_from(sorted(FORMS)), scale=st.floats(1e-6, 1e6), seed=st.integers(0, 1000))
def test_fit_does_not_depend_on_the_unit_of_y(name, scale, seed):
    fits = []
    for factor in (1.0, scale):
        x, y, sem, _ = noisy(name, seed, factor)
        fits.append(fit_form(FORMS[name], prepare(x, y, sem)))
    of_y = np.array([FORMS[name].units[parameter].startswith("{y}") for parameter in FORMS[name].parameters])
    np.testing.assert_allclose(fits[1].theta, fits[0].theta * np.where(of_y, scale, 1.0), rtol=2e-3)
    assert fits[1].bic == pytest.approx(fits[0].bic, rel=1e-6)


@pytest.mark.parametrize("name", FORMS)
def test_bic_prefers_the_planted_form(name):
    """Its own form is chosen, or one that no data of this noise can tell from it (BIC within 10)."""
    x, y, sem, _ = noisy(name, seed=3)
    names = dict.fromkeys([*SIMULATED, name])
    fits, _ = fit_all(prepare(x, y, sem), names)
    chosen, reason = choose(fits, names)
    assert chosen.form.name == name or fits[name].bic - chosen.bic < 10
    assert "BIC" in reason


def test_choice_prefers_the_simpler_of_two_equals_and_refuses_flaws():
    x, y, sem, _ = noisy("saturating_exponential", seed=1)
    fits, _ = fit_all(prepare(x, y, sem))
    assert choose(fits, RISING)[0].form.name == "saturating_exponential"
    assert choose(fits, ["biexponential"])[0].form.name == "biexponential"  # nothing else was allowed
    assert all(abs(fits[name].bic - fits["saturating_exponential"].bic) < 12 for name in RISING)


def test_too_few_points_leave_forms_out():
    fits, failures = fit_all(prepare([1.0, 2.0, 3.0], [0.1, 0.2, 0.25]))
    assert "more points than its 4 parameters, got 3" in failures["hill"]
    assert "saturating_exponential" in fits
    with pytest.raises(ValueError, match="enough points"):
        choose(fits, ["hill"])
