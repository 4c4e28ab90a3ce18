"""Measured data: from a CSV file to a curve."""

import numpy as np
import pytest

from astro_sim.curves.format import parse_curve
from astro_sim.curves.measured import fit_csv, fit_measured, in_words, read_measured


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
    assert "--baseline 100" in curve.provenance["command"]


T = np.arange(0, 61, 5)


WIGGLE = np.cos(7 * T)


@pytest.mark.parametrize(
    ("response", "baseline", "name", "form"),
    [
        (70 + 30 * np.exp(-T / 15) + WIGGLE, 100.0, "ltd", "exponential_decay_offset"),
        (70 + 30 * np.exp(-T / 15) + WIGGLE, None, "course", "exponential_decay_offset"),
        (140 - 40 * np.exp(-T / 15) + WIGGLE, 500.0, "course", "saturating_exponential_offset"),
        (-30 * -np.expm1(-T / 15) + WIGGLE / 4, None, "ltd", "saturating_depression"),
        (50 * np.exp(-T / 15) + WIGGLE, None, "course", "exponential_decay"),
        (90 * np.exp(-T / 3) + 40 * -np.expm1(-T / 20) + WIGGLE / 4, None, "course", "peak_then_plateau"),
    ],
)
def test_courses_that_do_not_rise_are_fitted_but_give_no_ltp(tmp_path, response, baseline, name, form):
    path = measured(tmp_path / "s.csv", "time,response", [f"{a},{b}" for a, b in zip(T, response, strict=True)])
    curve = fit_csv(path, baseline=baseline)
    assert (curve.name, curve.form.name) == (name, form)
    assert in_words(curve).endswith("; gives no retention factors, which need a rise")
    with pytest.raises(ValueError, match=r"s.csv: response must rise above the baseline .*, got a .*; correct the"):
        fit_csv(path, baseline=baseline, name="ltp")


def test_a_named_form_is_fitted_whatever_its_course(tmp_path):
    rows = [f"{a},{b}" for a, b in zip(T, 70 + 30 * np.exp(-T / 15) + WIGGLE, strict=True)]
    path = measured(tmp_path / "s.csv", "time,response", rows)
    assert fit_csv(path, baseline=100.0, form="naka_rushton", name="ltp").form.name == "naka_rushton"


def test_a_decay_with_an_offset_is_that(tmp_path):
    """Planted: 3.01 s. Without the offset tau would be 4.75, with an interval that excludes the truth."""
    t = np.arange(0, 20, 0.5)
    y = 2 + 5 * np.exp(-t / 3.01) + 0.1 * np.random.default_rng(0).normal(size=t.size)
    curve = fit_csv(measured(tmp_path / "s.csv", "time,response", [f"{a},{b}" for a, b in zip(t, y, strict=True)]))
    assert curve.form.name == "exponential_decay_offset"
    assert curve.ci95["tau"][0] < 3.01 < curve.ci95["tau"][1] and curve.stderr["tau"] < 0.1
    assert curve.parameters["offset"] == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("value", [0, 5])
def test_csv_with_a_constant_response_is_refused(tmp_path, value):
    path = measured(tmp_path / "s.csv", "time,response", [f"{time},{value}" for time in T])
    with pytest.raises(ValueError, match=f"s.csv: y must vary with x, got {value} at every point"):
        fit_csv(path)


def test_csv_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match=r"none.csv: data must be readable, got No such file .*; check the path"):
        fit_csv(tmp_path / "none.csv")
    with pytest.raises(ValueError, match=r"s.csv: form must be 'auto' or one of"):
        fit_csv(measured(tmp_path / "s.csv"), form="spline")


def wide(path, missing=True):
    """Six slices with their own level, amplitude and baseline epoch; cells of two of them are missing."""
    draws, minutes = np.random.default_rng(0), np.arange(-10.0, 61.0, 2.0)
    rise = -np.expm1(-np.maximum(minutes, 0) / 12)
    slices = [
        -0.5
        * (1 + 0.2 * draws.normal())
        * (1 + (0.4 + 0.1 * draws.normal()) * rise + 0.02 * draws.normal(size=rise.size))
        for _ in range(6)
    ]
    rows = [[f"{minute:g}", *(f"{one[k]:.5f}" for one in slices)] for k, minute in enumerate(minutes)]
    if missing:
        rows[12][3], rows[20][3], rows[30][5] = "", "NA", ""
    header = ["Time (min)", *(f"slice {k} (mV/ms)" for k in range(1, 7))]
    path.write_text("\n".join(map(",".join, [header, *rows])))
    return path


def test_a_wide_table_is_a_mean_over_its_columns(tmp_path):
    table = read_measured(wide(tmp_path / "wide.csv"))
    assert table.responses.shape == (6, 36) and "3 of 216 cells missing" in table.notes[-1]
    curve = fit_measured(table, form="saturating_exponential")
    assert curve.fit["bootstrap"]["n_members"] == 6 and curve.y.unit == "1"
    assert curve.ci95["tau"][0] < 720 < curve.ci95["tau"][1]
    assert curve.ci95["amplitude"][0] < 0.4 < curve.ci95["amplitude"][1]
    assert "the mean of 5 baseline points divides each column" in curve.provenance["reading"]
    assert parse_curve(curve.to_toml()) == curve


def test_columns_of_a_wide_table_can_be_named(tmp_path):
    path = wide(tmp_path / "wide.csv")
    four = read_measured(path, response=["slice [1-4]*"])
    assert len(four.names) == 4 and four.command == ("--response", "slice [1-4]*")
    one = fit_measured(read_measured(path, response="slice 1"), form="saturating_exponential")
    assert one.fit["weights"] == "sem and the shared error of the baseline"
    with pytest.raises(ValueError, match=r"wide.csv: columns must be at least 3, with 31 points each, got the shape"):
        fit_measured(read_measured(path, response=["slice 1", "slice 2"]))
