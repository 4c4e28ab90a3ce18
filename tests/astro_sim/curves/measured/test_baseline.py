"""What is before induction normalises the response, gives the noise, and adds its own error."""

import numpy as np
import pytest

from astro_sim.curves.measured import fit_measured, read_measured
from astro_sim.curves.measured.baseline import relative

TIME = np.arange(-20.0, 61.0)  # minutes
RISE = 0.4 * -np.expm1(-np.maximum(TIME, 0) / 12)


def measured(path, response, header="Time (min),fEPSP slope (mV/ms)", sem=None, time=TIME):
    rows = [f"{a:g},{b:.8g}" + ("" if sem is None else f",{sem:g}") for a, b in zip(time, response, strict=True)]
    path.write_text("\n".join([header + ("" if sem is None else ",SEM"), *rows]))
    return read_measured(path)


def noisy(level=1.0, noise=0.02, seed=0):
    return level * (1 + RISE + noise * np.random.default_rng(seed).normal(size=TIME.size))


@pytest.mark.parametrize("level", [100.0, 0.7, -0.5])
def test_the_baseline_divides_gives_the_noise_and_its_error_is_shared(tmp_path, level):
    y = noisy(level)
    course = relative(measured(tmp_path / "s.csv", y))
    before = y[TIME < 0]
    mean, noise = before.mean(), before.std(ddof=1)
    np.testing.assert_allclose(course.change[0], y[TIME >= 0] / mean - 1, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(course.sem, noise / abs(mean), rtol=1e-6)
    np.testing.assert_allclose(course.shared, noise / np.sqrt(20) * y[TIME >= 0] / mean / abs(mean), rtol=1e-6)
    assert course.unit == "1" and not course.free and course.time[0] == 0
    assert course.notes[0].endswith("from 20 points divides the response") and "is the noise" in course.notes[1]


def test_the_shared_error_is_that_of_the_ratio(tmp_path):
    """The scatter of y / b over many baselines is what `shared` says, beside the noise of y itself."""
    y, ratios = 100 * (1 + RISE), []
    for seed in range(400):
        noise = 2 * np.random.default_rng(seed).normal(size=TIME.size) * (TIME < 0)
        ratios.append((y / (y + noise)[TIME < 0].mean())[TIME >= 0])
    course = relative(measured(tmp_path / "s.csv", y + 2 * np.cos(9 * TIME) * np.sqrt(2) * (TIME < 0)))
    np.testing.assert_allclose(np.std(ratios, axis=0), course.shared, rtol=0.15)


def test_a_given_error_of_the_points_stays(tmp_path):
    course = relative(measured(tmp_path / "s.csv", noisy(100.0), sem=1.5))
    np.testing.assert_allclose(course.sem, 0.015, rtol=0.01)
    two = relative(measured(tmp_path / "s.csv", noisy(100.0)[18:], sem=1.5, time=TIME[18:]))
    np.testing.assert_allclose(two.shared, 0.015 / np.sqrt(2) * (1 + two.change[0]), rtol=0.05)


def test_a_mean_near_zero_is_subtracted(tmp_path):
    course = relative(measured(tmp_path / "s.csv", noisy() - 1, header="Time (min),dF/F (%)"))
    assert "is subtracted from the response" in course.notes[0] and course.unit == "%"
    assert np.ptp(course.shared) == 0


def test_percent_of_baseline_in_the_header(tmp_path):
    after = TIME >= 0
    for header in ("Time (min),fEPSP slope (% baseline)", "Time (min),% of control", "Time (min),Normalized EPSP (%)"):
        course = relative(measured(tmp_path / "s.csv", 100 * (1 + RISE)[after], header, time=TIME[after], sem=2))
        np.testing.assert_allclose(course.change[0], RISE[after], atol=1e-6)
        assert course.free and course.sem[0] == 0.02 and "in percent of baseline" in course.notes[0]
    plain = relative(measured(tmp_path / "s.csv", RISE[after], time=TIME[after]))
    assert not plain.free and plain.notes == () and plain.unit == "mV/ms"


def test_a_number_is_subtracted_and_its_error_shared_or_free(tmp_path):
    table = measured(tmp_path / "s.csv", noisy(100.0), sem=1.5)
    free, known, exact = (relative(table, 97.0, error) for error in (None, 3.0, 0.0))
    assert free.free and free.shared is None and "20 points before induction are not fitted" in free.notes
    assert not known.free and np.all(known.shared == 3.0) and exact.shared is None and not exact.free
    np.testing.assert_allclose(free.change[0], table.responses[0, 20:] - 97)
    scattered = relative(measured(tmp_path / "s.csv", noisy(100.0)), 97.0)
    assert scattered.sem[0] == pytest.approx(2.0, rel=0.5)


def test_an_unsteady_baseline_is_said(tmp_path):
    drifting = noisy() + 0.01 * np.minimum(TIME, 0)
    assert "WARNING: the baseline drifts by" in relative(measured(tmp_path / "s.csv", drifting)).notes[-1]


@pytest.mark.parametrize(
    ("response", "time", "arguments", "message"),
    [
        ([1, 1.1, 2, 3, 4], [-2, -1, 0, 1, 2], {}, "baseline must have at least 3 points below time 0, got 2; give"),
        ([1, 1, 1, 2, 3, 4], [-3, -2, -1, 0, 1, 2], {}, "the 3 baseline points must scatter to give the noise, got 1"),
        ([1, 2, 3, 4], [-2, -1, 0, 1], {}, "at least 3 rows from the induction on, got 2; .*give --induction"),
        ([1, 2, 3], [0, 1, 2], {"baseline": np.nan}, "baseline must be finite, got nan"),
        ([1, 2, 3], [0, 1, 2], {"baseline": 1.0, "baseline_sem": -1.0}, "baseline_sem must be finite and at least 0"),
        ([1, 2, 3], [0, 1, 2], {"baseline_sem": 1.0}, "baseline_sem must come with a baseline, got 1 alone"),
        ([1, 2, 3], [0, 1, 2], {"baseline": 1.0, "baseline_sem": 1.0}, "baseline_sem needs the error of the points"),
    ],
)
def test_what_gives_no_baseline(tmp_path, response, time, arguments, message):
    with pytest.raises(ValueError, match=message):
        relative(measured(tmp_path / "s.csv", response, time=time), **arguments)


def test_the_error_of_the_baseline_is_carried_into_tau(tmp_path):
    """Planted: 720 s. A number without its error gives the same tau whatever the number is, with a wider interval."""
    percent = 100 * (1 + 0.4 * -np.expm1(-np.arange(61.0) / 12)) + 2 * np.random.default_rng(0).normal(size=61)
    table = measured(tmp_path / "s.csv", percent, time=np.arange(61.0), sem=2)
    taus = [fit_measured(table, baseline=value) for value in (97.0, 103.0)]
    assert {curve.form.name for curve in taus} == {"saturating_exponential_offset"}
    assert taus[0].parameters["tau"] == pytest.approx(taus[1].parameters["tau"], rel=1e-4)
    known = fit_measured(table, baseline=97.0, baseline_sem=3.0)
    exact = fit_measured(table, baseline=100.0, baseline_sem=0.0)
    for curve in (*taus, known, exact):
        assert curve.ci95["tau"][0] < 720 < curve.ci95["tau"][1]
    assert exact.stderr["tau"] < known.stderr["tau"]


def test_an_epoch_gives_a_course_with_its_notes(tmp_path):
    curve = fit_measured(measured(tmp_path / "s.csv", noisy(-0.5)))
    assert curve.form.name == "saturating_exponential" and curve.name == "ltp"
    assert curve.ci95["tau"][0] < 720 < curve.ci95["tau"][1]
    assert curve.fit["weights"] == "sem and the shared error of the baseline"
    assert any("divides the response" in note for note in curve.provenance["reading"])
