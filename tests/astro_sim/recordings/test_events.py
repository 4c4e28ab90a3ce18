"""Events of planted shape are found with their times, sizes and widths; noise has none."""

import numpy as np
import pytest
import xarray as xr

from astro_sim.recordings.events import COLUMNS, events, plot_events, synchrony, threshold

RATE = 20.0
TIME = np.arange(0, 200, 1 / RATE)
PEAKS = (30.0, 80.0, 150.0)


def triangle(t, peak, rise=2.0, fall=6.0, height=1.0):
    return height * np.clip(np.minimum(1 + (t - peak) / rise, 1 - (t - peak) / fall), 0, None)


def recorded(values, start=0.0):
    time = ("time", TIME[: len(values)] + start)
    return xr.Dataset({"dFF": (("time", "cell"), values)}, {"time": time, "cell": np.arange(values.shape[1])})


def planted(noise=0.0, cells=1, seed=0):
    clean = sum(triangle(TIME, peak) for peak in PEAKS)
    return clean[:, None] + noise * np.random.default_rng(seed).normal(size=(TIME.size, cells))


def test_triangles_have_the_times_and_widths_of_triangles():
    table = events(recorded(planted(), start=5.0), "dFF")
    assert list(table.columns) == COLUMNS
    np.testing.assert_allclose(table["peak_s"], np.array(PEAKS) + 5)
    np.testing.assert_allclose(table["onset_s"], table["peak_s"] - 0.9 * 2, atol=0.05)
    np.testing.assert_allclose(table["rise_s"], 0.8 * 2, atol=0.05)
    np.testing.assert_allclose(table["duration_s"], 0.5 * 8, atol=0.05)
    np.testing.assert_allclose(table["area"], 0.5 * 8, rtol=0.02)  # 1 % of it lies below 10 %
    np.testing.assert_allclose(table["interval_s"][1:], [50, 70])
    assert np.isnan(table["interval_s"][0])


def test_events_are_found_in_noise_and_noise_has_none():
    table = events(recorded(planted(noise=0.05, cells=20)), "dFF")
    assert np.all(table.groupby("element").size() == 3) and table["element"].nunique() == 20
    np.testing.assert_allclose(table["peak_s"].to_numpy().reshape(20, 3), np.tile(PEAKS, (20, 1)), atol=1)
    white = recorded(np.random.default_rng(1).normal(size=(TIME.size, 50)))
    assert len(events(white, "dFF")) <= 5  # of 200,000 samples


def test_the_noise_is_that_of_the_fast_differences():
    slow = 5 * np.sin(TIME / 20)
    noisy = slow + 0.5 * np.random.default_rng(0).normal(size=TIME.size)
    assert threshold(noisy) == pytest.approx(2 * np.sqrt(2 * np.log(4000)) * 0.5, rel=0.05)


def test_flat_traces_have_no_events_and_the_prominence_can_be_set():
    flat = events(recorded(np.zeros((100, 2))), "dFF")
    assert len(flat) == 0 and list(flat.columns) == COLUMNS
    small = recorded(np.stack([triangle(TIME, 50) + triangle(TIME, 100, height=0.1)], axis=1))
    assert len(events(small, "dFF")) == 1 and len(events(small, "dFF", prominence=0.05)) == 2


def test_synchrony_is_one_for_copies_and_falls_with_the_number_of_independent_elements():
    noise = np.random.default_rng(0).normal(size=(4000, 25))
    assert synchrony(recorded(noise[:, :1].repeat(5, axis=1)), "dFF") == pytest.approx(1)
    assert synchrony(recorded(noise), "dFF") == pytest.approx(0.2, abs=0.01)


def test_gaps_are_filled_by_lines():
    values = planted()
    values[605:610] = np.nan
    assert len(events(recorded(values), "dFF")) == 3
    values[:] = np.nan
    with pytest.raises(ValueError, match="dFF must have two finite values or more in every element"):
        events(recorded(values), "dFF")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: (r, "C"), r"variable must be one of \['dFF'\], got 'C'"),
        (lambda r: (r.isel(time=slice(2)), "dFF"), "three samples or more"),
        (lambda r: (r.isel(time=[0, 1, 5, 9]), "dFF"), "evenly spaced"),
        (lambda r: (r.isel(cell=0), "dFF"), "must have the dimensions time and one more"),
    ],
)
def test_what_has_no_events_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        events(*change(recorded(planted())))


def test_the_figure_has_a_dot_for_each_event():
    recording = recorded(planted(cells=2))
    ax = plot_events(recording, events(recording, "dFF"), "dFF")
    dots = [line.get_xdata() for line in ax.lines if line.get_marker() == "."]
    assert [len(dot) for dot in dots] == [3, 3]
