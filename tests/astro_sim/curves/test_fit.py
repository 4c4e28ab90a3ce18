"""Fits: planted parameters come back, errors hold, and the choice of a form says why."""

import numpy as np
import pytest
from ensembles import CYCLES, ensemble

from astro_sim.curves.fit import fit_curve
from astro_sim.curves.forms import COURSES, FORMS
from astro_sim.curves.least_squares import FitError, fit_form, prepare
from astro_sim.curves.measured import fit_csv


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


MINUTES = np.arange(0.0, 61.0, 2.0)


def slices(n: int, seed: int, missing: float = 0.0) -> np.ndarray:
    """A few courses with amplitudes around 0.4, levels around 0, one tau of 12, and maybe missing values."""
    draws = np.random.default_rng(seed)
    amplitude, level = 0.4 + 0.1 * draws.normal(size=(n, 1)), 0.02 * draws.normal(size=(n, 1))
    columns = level + amplitude * -np.expm1(-MINUTES / 12) + 0.03 * draws.normal(size=(n, MINUTES.size))
    columns[draws.random(columns.shape) < missing] = np.nan
    return columns


@pytest.mark.parametrize(("n", "missing"), [(4, 0.0), (8, 0.1)])
def test_errors_over_a_few_columns_hold(n, missing):
    """Points of a slice share its level and amplitude: 95 % intervals cover 95 % of 100 experiments all the same."""
    form, covered = FORMS["saturating_exponential"], np.zeros(2)
    for seed in range(100):
        fit = fit_form(form, prepare(MINUTES, None, columns=slices(n, seed, missing)))
        covered += (fit.ci95[:, 0] < [0.4, 12.0]) & ([0.4, 12.0] < fit.ci95[:, 1])
    assert np.all(covered >= 88)  # binomial: below 88 of 100 once in 300 times


def test_columns_give_a_curve_with_errors_and_a_bootstrap_over_them():
    curve = fit_curve(MINUTES, columns=slices(6, 1, 0.05), among=["saturating_exponential"], n_bootstrap=200)
    assert curve.fit["weights"] == "number of columns" and curve.fit["uncertainty"] == "scatter of 6 whole columns"
    assert curve.fit["bootstrap"]["n_members"] == 6
    ratio = np.array(curve.fit["bootstrap"]["stderr"]) / list(curve.stderr.values())
    np.testing.assert_allclose(ratio, np.sqrt(5 / 6), rtol=0.25)  # resampling n columns knows n - 1 differences
    complete = slices(5, 2)
    sem = prepare(MINUTES, None, columns=complete).sem
    np.testing.assert_allclose(sem, complete.std(axis=0, ddof=1) / np.sqrt(5))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (np.ones((2, 3)), r"columns must be at least 3, with 3 points each, got the shape \(2, 3\)"),
        (np.ones((3, 3)), "columns must differ from each other, got equal ones"),
        ([[1, np.nan, 3], [2, np.nan, 4], [1, np.nan, 1]], "columns must have a value at every x, got none at x = 2"),
        ([[1, np.inf, 3], [2, 3, 4], [1, 5, 1]], "columns must be a sequence of finite numbers"),
    ],
)
def test_bad_columns_get_one_sentence(columns, message):
    with pytest.raises(ValueError, match=message):
        fit_curve([1, 2, 3], columns=columns)


def test_a_shared_error_has_the_whitening_of_its_covariance():
    x, sem = np.arange(1.0, 9.0), np.linspace(0.5, 1.5, 8)
    shared, residual = 0.3 * x, np.random.default_rng(0).normal(size=8)
    white = prepare(x, x**2, sem, shared=shared).whiten(residual)
    covariance = np.diag(sem**2) + np.outer(shared, shared)
    assert white @ white == pytest.approx(residual @ np.linalg.solve(covariance, residual))
    with pytest.raises(ValueError, match="shared must come with sem and hold one value per x, not all of them 0"):
        prepare(x, x**2, None, shared=shared)


def test_many_points_start_from_means_and_end_with_all_of_them():
    x = np.linspace(0, 60, 3000)
    y = 0.4 * -np.expm1(-x / 12) + 0.05 * np.random.default_rng(0).normal(size=x.size)
    data = prepare(x, y)
    coarse = data.coarse()
    assert 256 < coarse.x.size <= 512 and np.sum(1 / coarse.root**2) == pytest.approx(3000)
    assert np.sum(coarse.y / coarse.root**2) == pytest.approx(y.sum())
    fit = fit_form(FORMS["saturating_exponential"], data)
    for amplitude, tau in fit.theta * [[1.002, 1], [0.998, 1], [1, 1.005], [1, 0.995]]:
        assert fit.chi2 < np.sum((y + amplitude * np.expm1(-x / tau)) ** 2)  # the minimum of all points, not of means
    assert prepare(x[:500], y[:500]).coarse().x.size == 500


def test_a_course_that_a_constant_describes_is_none():
    """Potentiation that is there at once and stays has a size and no time constant; so has noise."""
    x = np.arange(0.0, 61.0, 2.0)
    noise = 0.05 * np.random.default_rng(0).normal(size=x.size)
    for level in (0.0, 0.5):
        with pytest.raises(FitError, match=r"the response must change with time to have a time constant, got a course"):
            fit_curve(x, level + noise, np.full(x.size, 0.05), among=COURSES)
    assert fit_curve(x, 0.5 + noise, among=["hill"]).form.name == "hill"  # as before for curves that are no courses


def test_a_base_far_beyond_the_data_is_not_determined():
    """A slow fall that has hardly begun: the fitted offset lies where no data are."""
    x = np.linspace(0, 10, 25)
    y = 8 - 0.3 * x + 0.05 * np.random.default_rng(0).normal(size=x.size)
    curve = fit_curve(x, y, form="exponential_decay_offset")
    assert curve.fit["flaws"]["exponential_decay_offset"]
    assert "NOT RELIABLE: " in curve.report().splitlines()[0]


def measured(path, header="time,response,sem", rows=None):
    x = np.arange(0.0, 61.0, 5.0)
    y = 0.4 * -np.expm1(-x / 15) + 0.01 * np.random.default_rng(1).normal(size=x.size)
    rows = [f"{a},{b:.5f},0.01" for a, b in zip(x, y, strict=True)] if rows is None else rows
    path.write_text("\n".join(["# field potentials", header, "", *rows]) + "\n")
    return path
