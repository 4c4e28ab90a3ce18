"""Figures show the numbers they are given, in colours that colour-blind eyes tell apart."""

import json

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from astro_sim.curves.plotting import panels, save_figure
from rmaat import AstromorphicAttention, retention_factors
from rmaat.memory.retention import Retention
from rmaat.report.plots import (
    plot_accuracy,
    plot_log,
    plot_memory_flow,
    plot_position_kernel,
    plot_recall,
    plot_retention,
    plot_timescales,
)

matplotlib.use("Agg")
OKABE_ITO = {"#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9", "#000000"}


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    matplotlib.pyplot.close("all")


def test_retention_lines_are_the_factors_and_the_bands_hold_them(curves):
    ax = plot_retention(curves["ltp"], (2, 8))
    for line, band, total in zip(ax.lines, ax.collections, (2, 8), strict=True):
        np.testing.assert_allclose(line.get_ydata(), retention_factors(curves["ltp"], total))
        assert line.get_color().lower() in OKABE_ITO
        low, high = band.get_datalim(ax.transData).intervaly
        assert low < line.get_ydata().min() and high > line.get_ydata().max()


def test_memory_flow_shows_whose_segment_survives():
    rates = torch.tensor([0.5, 2.0], dtype=torch.float64)
    weights = plot_memory_flow(Retention("relax", rates=rates), 5, token=1).images[0].get_array()
    expected = [-np.expm1(-2) * np.exp(-2 * (4 - i)) for i in range(5)]
    np.testing.assert_allclose(weights[:, 4], expected)
    assert weights.mask[3, 1]  # nothing of a segment that has not come yet


def test_memory_flow_takes_the_mean_over_the_tokens(curves):
    weights = plot_memory_flow(Retention("consolidate", curve=curves["ltp"]), 6).images[0].get_array()
    np.testing.assert_allclose(weights[:, 5], retention_factors(curves["ltp"], 6))


def test_timescales_are_the_rates():
    rates = torch.tensor([0.1, 1.0], dtype=torch.float64)
    np.testing.assert_array_equal(plot_timescales(Retention("relax", rates=rates)).lines[0].get_ydata(), rates)
    with pytest.raises(ValueError, match=r"^retention must have relaxation rates, got rule 'replace'"):
        plot_timescales(Retention("replace"))


def test_position_kernel_decays_and_the_overlap_is_one_at_no_distance():
    attention = AstromorphicAttention(8, 2, 12, position_scale=0.3, n_memory=2)
    kernel, overlap = (line.get_ydata() for line in plot_position_kernel(attention).lines)
    np.testing.assert_allclose(kernel, np.exp(-0.3 * np.arange(12)))
    assert overlap[0] == pytest.approx(1) and overlap.max() <= 1 + 1e-6
    with pytest.raises(ValueError, match=r"^attention must have an R to be drawn, got position='none'$"):
        plot_position_kernel(AstromorphicAttention(8, 2, 12, position="none"))


def test_log_lines_are_the_logged_numbers(tmp_path):
    entries = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}, {"step": 2, "validation_loss": 1.5}]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    loss, validation = plot_log(tmp_path).lines
    assert list(loss.get_xdata()) == [1, 2] and list(loss.get_ydata()) == [2.0, 1.0]
    assert list(validation.get_ydata()) == [1.5]
    with pytest.raises(ValueError, match=r"^keys must be among loss, validation_loss of the log of .*, got 'lr'$"):
        plot_log(tmp_path, "lr")


def test_recall_heat_map_shows_the_accuracies():
    ax = plot_recall({"a": [1.0, 0.5, 0.125], "b": [0.9, 0.8, 0.7]}, split=2, chance=0.125)
    np.testing.assert_array_equal(ax.images[0].get_array(), [[1.0, 0.5, 0.125], [0.9, 0.8, 0.7]])
    assert [text.get_text() for text in ax.texts][:3] == ["1", ".50", ".12"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]


def test_accuracy_labels_what_is_published():
    ax = plot_accuracy({"rmaat": [0.4, 0.6]}, {"S5": 0.62, "Mega": 0.63}, majority=0.17)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["rmaat", "S5 *", "Mega *"]
    assert [bar.get_width() for bar in ax.patches] == [0.5, 0.62, 0.63]
    assert {text.get_text() for text in ax.get_legend().texts} >= {"published *", "majority class", "each seed"}


def test_colours_stay_those_of_the_style_when_a_figure_is_drawn_outside_of_it():
    seeds, majority = plot_accuracy({"rmaat": [0.4, 0.6]}, majority=0.17).lines
    assert {seeds.get_color().lower(), majority.get_color().lower()} <= OKABE_ITO


def test_figures_carry_their_caption_and_are_reproducible(tmp_path, curves):
    contents = []
    for name in ("one", "two"):
        figure = plot_retention(curves["ltp"]).figure
        svg, png = save_figure(figure, tmp_path / "figures" / name, "Retention by segment.")
        with Image.open(png) as image:
            assert image.info["Description"] == "Retention by segment."
        assert b"Retention by segment." in svg.read_bytes()
        contents.append((svg.read_bytes(), png.read_bytes()))
    assert contents[0] == contents[1]


def test_given_axes_are_used(curves):
    left, _right = panels(1, 2)
    assert plot_retention(curves["ltp"], ax=left) is left


def test_a_full_disk_keeps_the_old_figure(tmp_path, full_disk):
    paths = save_figure(panels(1, 2)[0].figure, tmp_path / "figure")
    before = [path.read_bytes() for path in paths]
    with full_disk(), pytest.raises(OSError, match=r"figure.svg must be writable, on a disk with room, got .*kept"):
        save_figure(panels(1, 2)[0].figure, tmp_path / "figure")
    assert [path.read_bytes() for path in paths] == before and len(list(tmp_path.iterdir())) == 2
