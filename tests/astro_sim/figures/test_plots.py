"""Figures: what they show, in which units, in one style; six of them against committed pictures."""

import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from brian2 import Hz
from matplotlib.colors import to_hex
from matplotlib.testing.compare import compare_images

from astro_sim.curves import plotting
from astro_sim.curves.curve import Axis
from astro_sim.curves.fit import fit_curve
from astro_sim.curves.format import write_curve
from astro_sim.curves.plotting import STYLE
from astro_sim.dynamics.bifurcations import BifurcationDiagram, BifurcationPoint
from astro_sim.dynamics.fixed_points import fixed_points, nullclines
from astro_sim.dynamics.limit_cycles import Cycles
from astro_sim.dynamics.vector_fields import li_rinzel
from astro_sim.figures import pages, plots
from astro_sim.parameters.presets import FM
from astro_sim.protocols.pairing import CycledPairing
from astro_sim.protocols.protocol import Joined
from astro_sim.protocols.pulses import DistanceSweep, Releases
from astro_sim.protocols.trains import Train

PICTURES = Path(__file__).with_name("pictures")
ORIGIN = {"kind": "measurement", "command": "c", "source": "s", "versions": {}}
ORIGIN |= {"data": "none", "data_sha256": "0"}


@pytest.fixture(autouse=True)
def closed_figures():
    mpl.use("agg")
    yield
    plt.close("all")


@pytest.fixture
def recording():
    time, cell = np.arange(0, 60, 0.5), np.arange(9)
    C = 0.1 + np.exp(-(((time[:, None] - 10 - 4 * cell) / 5) ** 2)) * np.exp(-cell / 4)
    return xr.Dataset({"C": (("time", "astrocyte"), C, {"units": "uM"})}, {"time": ("time", time, {"units": "s"})})


@pytest.fixture
def ltp():
    t = np.arange(0, 801.0, 50)
    y = 0.55 * (1 - np.exp(-t / 150)) + 0.01 * np.cos(7 * t)
    axes = {"x_axis": Axis("t", "s"), "y_axis": Axis("rho", "1")}
    return fit_curve(t, y, np.full(17, 0.01), name="ltp", provenance=ORIGIN, **axes)


@pytest.fixture
def power_law():
    rate = np.geomspace(0.1, 20, 12)
    y = 0.1 * rate**0.42 * (1 + 0.03 * np.cos(5 * np.arange(12)))
    axes = {"x_axis": Axis("nu", "Hz"), "y_axis": Axis("C", "uM")}
    return fit_curve(rate, y, name="stp", form="power_law", provenance=ORIGIN, **axes)


@pytest.fixture
def diagram():
    C = np.linspace(0.05, 0.6, 200)
    I = C + 0.2
    table = np.array([[0.4, 10, 0.1, 0.4], [0.5, 9, 0.08, 0.5], [0.62, 8, 0.2, 0.4]])
    found = Cycles(*table.T, np.array([True, True, False]))
    points = (
        BifurcationPoint("supercritical Hopf", 0.35, 0.15, 11.0),
        BifurcationPoint("subcritical Hopf", 0.6, 0.4, 9.0),
        BifurcationPoint("fold of cycles", 0.65, 0.45, np.nan),
    )
    return BifurcationDiagram(I, C, C, (I < 0.35) | (I > 0.6), points, found, ((0.6, 0.65),))


def draw_nullclines(ax=None):
    system = li_rinzel(FM.calcium, 0.5)
    return plots.plot_nullclines(nullclines(FM.calcium, 0.5), fixed_points=fixed_points(system), ax=ax)


# --- what is shown ---------------------------------------------------------------------------------------------------


def test_course_has_units_mean_and_band(recording):
    ax = plots.plot_course(recording, "C")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time (s)", "$C$ (µM)")
    assert ax.lines[0].get_ydata() == pytest.approx(recording["C"].mean("astrocyte").values)
    assert len(ax.collections) == 1
    every = plots.plot_course(recording, "C", members=9)
    assert len(every.lines) == 9 and not every.collections


def test_given_axes_are_used_and_line_style_is_passed(recording):
    _, ax = plt.subplots()
    assert plots.plot_course(recording.isel(astrocyte=[0]), "C", ax=ax, color="red", linewidth=3) is ax
    assert ax.lines[0].get_color() == "red" and ax.lines[0].get_linewidth() == 3


def test_curve_shows_data_law_and_band(ltp, tmp_path):
    ax = plotting.plot_curve(ltp)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$t$ (s)", r"$\rho$")
    assert "1 − exp(−$t$ / τ)" in ax.get_title()
    x = ax.lines[0].get_xdata()
    assert ax.lines[0].get_ydata() == pytest.approx(ltp(x))
    write_curve(ltp, tmp_path / "ltp.toml")
    with pytest.raises(
        TypeError, match=r"curve must be an astro_sim.curves.curve.Curve or a path, got builtins.dict; give"
    ):
        plotting.plot_curve({})
    from_file = plotting.plot_curve(tmp_path / "ltp.toml")
    assert from_file.lines[0].get_ydata() == pytest.approx(ax.lines[0].get_ydata())


@pytest.mark.parametrize(
    ("formula", "shown"),
    [
        ("amplitude * (1 - exp(-(x / tau)**beta))", r"amplitude · (1 − exp(−($t$ / τ)$^{\mathrm{β}}$))"),
        ("amplitude * (1 - (1 + x/tau)**(-n))", r"amplitude · (1 − (1 + $t$ / τ)$^{\mathrm{−n}}$)"),
        ("weight*exp(-x/tau_fast)", r"weight · exp(−$t$ / τ$_{\mathrm{fast}}$)"),
    ],
)
def test_formulas_are_typeset(formula, shown):
    assert plotting.typeset(formula, "$t$") == shown


def test_band_is_the_delta_method(ltp):
    x = np.array([10.0, 200.0, 800.0])
    amplitude, tau = ltp.parameters.values()
    slopes = np.array([1 - np.exp(-x / tau), -amplitude * x / tau**2 * np.exp(-x / tau)])
    exact = 1.96 * np.sqrt(np.einsum("ix,ij,jx->x", slopes, ltp.covariance, slopes))
    assert plotting.curve_band(ltp, x) == pytest.approx(exact, rel=1e-5)


def test_retention_shares_sum_to_one(ltp):
    ax = plots.plot_retention(ltp, totals=(2, 6))
    for line, total in zip(ax.lines, (2, 6), strict=True):
        assert len(line.get_ydata()) == total and np.sum(line.get_ydata()) == pytest.approx(1)
    assert ax.lines[1].get_ydata()[0] == pytest.approx(ltp(50.0) / ltp(300.0))


def test_nullclines_mark_stable_points_filled():
    ax = draw_nullclines()
    marks = [line.get_markerfacecolor() for line in ax.lines if line.get_marker() == "o"]
    assert marks == ["black", "white", "white"]
    assert ax.get_xscale() == "log"


def test_bifurcation_diagram_names_what_it_shows(diagram):
    ax = plots.plot_bifurcation_diagram(diagram)
    names = {text.get_text() for text in ax.get_legend().get_texts()}
    assert {"fixed point", "unstable point", "unstable cycle", "Hopf", "fold of cycles", "hysteresis"} <= names
    assert "saddle-node" not in names and ax.get_xlabel() == "$I$ (µM)"
    periods = plots.plot_periods(diagram)
    assert periods.lines[0].get_ydata().tolist() == [10, 9]


def test_response_and_spread(recording, power_law):
    responses = power_law(np.geomspace(0.1, 20, 5))[:, None] * [0.9, 1.0, 1.1]
    ax = plots.plot_response(np.geomspace(0.1, 20, 5), responses, curve=power_law, ylabel="mean $C$ (µM)")
    assert ax.get_xlabel() == "presynaptic rate (Hz)" and len(ax.get_legend().get_texts()) == 2
    ax = plots.plot_spread(recording, "C")
    bar = ax.figure.axes[1]
    assert bar.get_ylabel() == "$C$ (µM)" and ax.get_ylabel() == "astrocyte"


def test_accumulation_marks_cycle_ends(recording):
    recording.attrs.update(cycle_s=10.0, n_cycles=5)
    ax = plots.plot_accumulation(recording, "C")
    assert ax.lines[1].get_xdata().tolist() == [0, 10, 20, 30, 40, 50]


def test_protocols_draw_themselves():
    ax = CycledPairing(n_cycles=2).plot(n=3)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["presynaptic", "postsynaptic"]
    assert len(ax.collections[0].get_segments()) == 3 * 10
    assert Releases(n_releases=3).plot().get_legend().get_texts()[0].get_text() == "gliotransmitter"
    (bar,) = DistanceSweep(sources=(2,)).plot(n=5).patches
    assert bar.get_width() == 20
    three = Joined(whole=Train(rate=1 * Hz), parts=(Train(rate=1 * Hz, n_pulses=1), Train(rate=1 * Hz, n_pulses=2)))
    assert len(three.plot(n=2).collections[0].get_segments()) == 3


# --- house rules -----------------------------------------------------------------------------------------------------


def test_colours_are_okabe_ito():
    okabe_ito = {"#000000", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"}
    style = mpl.rc_params_from_file(STYLE, use_default_template=False)
    assert {to_hex(entry["color"]) for entry in style["axes.prop_cycle"]} <= okabe_ito


def test_the_users_style_is_left_alone(recording):
    before = dict(mpl.rcParams)
    plots.plot_course(recording, "C")
    assert dict(mpl.rcParams) == before


def test_files_are_the_same_every_time(recording, tmp_path):
    for folder in ("a", "b"):
        svg, png = plotting.save_figure(plots.plot_course(recording, "C").figure, tmp_path / folder / "course")
        assert svg.suffix == ".svg" and png.suffix == ".png"
    for name in ("course.svg", "course.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert not plt.get_fignums()


def test_imports_no_simulator():
    code = "import sys, astro_sim.figures.plots; sys.exit('brian2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unknown_variable(recording):
    with pytest.raises(ValueError, match=r"name must be one of \['C'\], got 'rho'"):
        plots.plot_course(recording, "rho")


@pytest.mark.parametrize("beside", [(), ("ltp_alpha0", "stp_calcium_full")])
def test_a_formula_is_the_title_of_a_single_curve_only(beside, ltp, power_law, tmp_path, monkeypatch):
    for name in ("ltp", "stp_calcium", *beside):
        write_curve(ltp if name.startswith("ltp") else power_law, tmp_path / "curves" / f"{name}.toml")
    drawn = []
    monkeypatch.setattr(pages, "save_figure", lambda figure, *_: drawn.append(figure) or (None, None))
    pages.draw_figures(tmp_path)
    assert [bool(figure.axes[0].get_title()) for figure in drawn] == [not beside] * 2


# --- pictures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["course", "nullclines", "bifurcations", "curve", "retention", "spread"])
def test_picture(name, recording, ltp, power_law, diagram, tmp_path):
    """To renew a picture after a wanted change, copy it from the folder that the failure names, and look at it."""
    draw = {
        "course": lambda: plots.plot_course(recording, "C", members=3),
        "nullclines": draw_nullclines,
        "bifurcations": lambda: plots.plot_bifurcation_diagram(diagram),
        "curve": lambda: plotting.plot_curve(power_law, log="xy"),
        "retention": lambda: plots.plot_retention(ltp),
        "spread": lambda: plots.plot_spread(recording, "C"),
    }
    _, drawn = plotting.save_figure(draw[name]().figure, tmp_path / name)
    assert compare_images(str(PICTURES / f"{name}.png"), str(drawn), tol=8) is None
