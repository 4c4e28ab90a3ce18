"""A panel of sliders for JupyterLab that simulates a synapse and three astrocytes again at every move.

Three astrocytes in a row, coupled by linear gap junctions. The first one has a tripartite synapse, closed in both
directions: its spikes release transmitter (M4), which the astrocyte senses (M3), whose calcium (M1, M2) makes it
release gliotransmitter, which changes the synapse (M5); and it can be held by a pipette that exchanges IP3. Vector
field and Runge-Kutta steps are those of `astro_sim.dynamics.vector_fields`; spikes end a step early and act in closed
form. A minute of biology takes a fraction of a second.

Retention factors are a *surrogate*, not a simulation of plasticity: the closed form of the mean Graupner-Brunel
efficacy (`astro_sim.dynamics.closed_forms.efficacy_dynamics`; stationary, cubic term dropped) with the presynaptic
calcium step scaled by the mean release of the run, ``C_pre <r_S> / U_0*``, and one 5-s burst of pairs at the stimulus
rate per segment, so that ``a = 5 s / tau_eff`` and ``RF(t, T) = e^(-a (t-1)) (1 - e^(-a)) / (1 - e^(-a T))``.

In a notebook::

    explore()                      # the panel; a picture of it where nothing runs
    explore(preset="fm", ip3=0.8)  # starts elsewhere
"""

from __future__ import annotations

import dataclasses
import io
import math
from dataclasses import dataclass
from functools import cache

import ipywidgets
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from astro_sim.curves.plotting import BLUE, GREEN, GREY, ORANGE, label, styled
from astro_sim.dynamics.closed_forms import efficacy_dynamics
from astro_sim.dynamics.fixed_points import fixed_points, nullclines
from astro_sim.dynamics.vector_fields import chi, g_chi_rates, li_rinzel, micromolar_seconds, runge_kutta
from astro_sim.figures.plots import plot_nullclines
from astro_sim.parameters.presets import FM, GLIOTRANSMISSION, PLASTICITY, RELEASE, get_preset
from astro_sim.parameters.tables import THIS_STUDY
from astro_sim.parameters.variants import variant

N_CELLS = 3

NEIGHBOURS = np.diff(np.eye(N_CELLS), axis=0).T @ np.diff(np.eye(N_CELLS), axis=0)  # each cell less those beside it

STEP_S = 0.08

FIRST_SPIKE_S = 1.0

BURST_S = 5.0  # of pairs, at the start of each segment of 50 s

N_SEGMENTS = 8

PIPETTE = FM.quantities()["F_ex"]  # flow to and from the pipette: strong enough to hold a cell of either preset

SYNAPSE = variant(RELEASE, source=THIS_STUDY, U_0__star=0.3)  # may be turned up and down, as in TripartiteSynapses

LIMITS = {"ip3": (0.0, 1.5), "rate_hz": (0.1, 10.0), "alpha": (0.0, 1.0), "coupling": (0.0, 0.5)}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the sliders stand.

    `preset` is ``am``, ``fm`` or another astrocyte with IP3 and receptor tables.
    """

    preset: str = "am"
    ip3: float = 0.0  # in the pipette at the first cell (uM); 0 is no pipette
    rate_hz: float = 0.5  # of the regular spikes of the synapse at the first cell
    alpha: float = 1.0  # effect of gliotransmission: release probability moves from 0.3 towards it
    coupling: float = 0.1  # F_lin of the gap junctions (1/s)
    duration_s: float = 60.0

    def __post_init__(self) -> None:
        astrocyte = get_preset(self.preset)
        if astrocyte.ip3 is None or astrocyte.ip3.F_ex is None or astrocyte.receptor is None:
            raise ValueError(f"preset must be 'am' or 'fm', which have receptors and an IP3 flow, got {self.preset!r}")
        for name, (low, high) in LIMITS.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must lie between {low:g} and {high:g}, got {getattr(self, name)}")
        if not self.duration_s >= 10:
            raise ValueError(f"duration_s must be at least 10, got {self.duration_s}")


@dataclass(frozen=True)
class Course:
    """A simulated course: calcium and IP3 (uM) and gate, of shape ``(n, N_CELLS)``, and the events."""

    time_s: np.ndarray
    C: np.ndarray
    h: np.ndarray
    I: np.ndarray
    spike_s: np.ndarray  # spikes of the synapse
    r_S: np.ndarray  # what each released
    release_s: np.ndarray  # when the first astrocyte released gliotransmitter


@cache
def _rest(preset: str) -> np.ndarray:
    """Lowest stable fixed point of an astrocyte without input, as (C, h, I, Gamma_A)."""
    astrocyte = get_preset(preset)
    points = [point for point in fixed_points(chi(astrocyte.calcium, astrocyte.ip3)) if point.stable]
    return np.append(points[0].state, 0.0)


def solve(settings: Settings) -> Course:
    """Solve the row of astrocytes under `settings`, from rest."""
    astrocyte = get_preset(settings.preset)
    ip3 = variant(astrocyte.ip3, source=THIS_STUDY, F_ex=PIPETTE)
    gliotransmission = variant(GLIOTRANSMISSION, source=THIS_STUDY, alpha=settings.alpha)
    p = micromolar_seconds(astrocyte.calcium, ip3, astrocyte.receptor, SYNAPSE, gliotransmission)
    pipette, J_S = settings.ip3 if settings.ip3 > 0 else None, float(GLIOTRANSMISSION.J_S)

    def derivative(cells):
        first, *others = cells.tolist()  # plain floats: on three numbers they are several times faster than arrays
        slopes = np.array([g_chi_rates(first, p, I_bias=pipette), *(g_chi_rates(cell, p) for cell in others)])
        slopes[:, 2] -= settings.coupling * (NEIGHBOURS @ cells[:, 2])
        return slopes

    binding = p.O_N * p.rho_c * p.Y_T / p.Omega_c  # of a full release
    spikes = np.arange(FIRST_SPIKE_S, settings.duration_s, 1 / settings.rate_hz)
    grid = STEP_S * np.arange(math.ceil(settings.duration_s / STEP_S - 1e-6) + 1)
    cells = np.tile(_rest(settings.preset), (N_CELLS, 1))  # C, h, I and Gamma_A of each
    resting = np.array([0.0, 1.0, 0.0, 1.0])  # what u_S, x_S, Gamma_S and x_A of the synapse decay to between events
    decay = np.array([p.Omega_f, p.Omega_d, p.Omega_G, p.Omega_A])
    synapse, now = resting, 0.0
    states, releases = [cells], []
    released: list[float] = []
    for end in sorted({*grid[1:].tolist(), *spikes.tolist()}):
        before, cells = cells[0, 0], runge_kutta(derivative, cells, end - now)
        u_S, x_S, Gamma_S, x_A = resting + (synapse - resting) * np.exp(-decay * (end - now))
        now = end
        if before <= p.C_Theta < cells[0, 0]:  # the astrocyte releases
            Gamma_S, x_A = 1 - (1 - Gamma_S) * math.exp(-J_S * p.U_A * x_A), x_A * (1 - p.U_A)
            releases.append(now)
        if len(released) < len(spikes) and now == spikes[len(released)]:  # the synapse releases
            u_S += ((1 - Gamma_S) * p.U_0__star + p.alpha * Gamma_S) * (1 - u_S)
            released.append(u_S * x_S)
            x_S -= released[-1]
            cells[0, 3] = 1 - (1 - cells[0, 3]) * math.exp(-binding * released[-1])
        synapse = np.array([u_S, x_S, Gamma_S, x_A])
        if now == grid[len(states)]:
            states.append(cells)
    C, h, I, _ = np.moveaxis(np.array(states), -1, 0)
    return Course(grid, C, h, I, spikes, np.array(released), np.array(releases))


def surrogate_retention(mean_release: float, rate_hz: float, n_segments: int = N_SEGMENTS) -> tuple[float, np.ndarray]:
    """Relaxation rate a per segment and retention factors, which sum to 1, by the closed form of the module docstring.

    `mean_release` is the mean r_S; the presynaptic calcium step of set DP is scaled by its ratio to U_0*. `rate_hz` is
    the rate of pairs in the 5-s burst of each segment.
    """
    scale = mean_release / float(SYNAPSE.U_0__star)
    plasticity = variant(PLASTICITY["DP"], source=THIS_STUDY, C_pre=float(PLASTICITY["DP"].C_pre) * scale)
    a = BURST_S / float(efficacy_dynamics(plasticity, rate_hz).tau_eff)
    factors = np.exp(-a * np.arange(n_segments))
    return a, factors / factors.sum()


@styled
def draw(settings: Settings, figure: Figure | None = None) -> Figure:
    """Draw calcium, phase plane, release and retention of one setting, onto an earlier `figure` if given."""
    course = solve(settings)
    if figure is None:
        figure = Figure(figsize=(8.4, 5.2), dpi=110)
        figure.set_layout_engine("none")  # a layout engine would take half of the time
        figure.subplots(2, 2, gridspec_kw={"left": 0.06, "right": 0.985, "bottom": 0.085, "top": 0.94, "hspace": 0.42})
    for ax in figure.axes:  # ax.clear() would make every tick and its label again
        for artist in (*ax.lines, *ax.collections, *ax.patches, *ax.texts):
            artist.remove()
    calcium, plane, release, retention = figure.axes
    _draw_calcium(calcium, course)
    _draw_plane(plane, course, settings)
    _draw_release(release, course, settings)
    _draw_retention(retention, course, settings)
    return figure


def _draw_calcium(ax, course: Course) -> None:
    names = ("first cell", "second", "third")
    for k, (name, values, color) in enumerate(zip(names, course.C.T, (BLUE, ORANGE, GREY), strict=True)):
        ax.plot(course.time_s, values, color=color, label=name, zorder=3 - k / N_CELLS)
    level = micromolar_seconds(GLIOTRANSMISSION).C_Theta
    ax.axhline(level, color=GREEN, linewidth=0.8, linestyle="--", label="threshold")
    ax.set(xlabel="time (s)", ylabel=label("C", "uM"), xlim=(0, course.time_s[-1]), ylim=(0, 1.4), title="calcium")
    ax.legend(ncols=4, loc="upper right", columnspacing=1.0)


def _draw_plane(ax, course: Course, settings: Settings) -> None:
    calcium = get_preset(settings.preset).calcium
    level = float(course.I[len(course.I) // 3 :, 0].mean())
    points = fixed_points(li_rinzel(calcium, level), n_grid=1000)
    orbit = course.C[:, 0], course.h[:, 0]
    plot_nullclines(nullclines(calcium, level, n=300), fixed_points=points, course=orbit, ax=ax)
    ax.set(xlim=(0.02, 1.6), title=f"nullclines at the mean IP₃, {level:.2f} µM")


def _draw_release(ax, course: Course, settings: Settings) -> None:
    ax.vlines(course.spike_s, 0, course.r_S, color=BLUE, linewidth=max(0.3, 1.2 - 0.1 * settings.rate_hz))
    ax.plot(course.release_s, np.full(len(course.release_s), 1.02), "v", color=GREEN, label="astrocyte releases")
    ax.set(xlabel="time (s)", ylabel="released share $r_S$", xlim=(0, course.time_s[-1]), ylim=(0, 1.2))
    ax.set_title("synapse")
    ax.legend(loc="upper right")


def _draw_retention(ax, course: Course, settings: Settings) -> None:
    a, factors = surrogate_retention(float(course.r_S.mean()), settings.rate_hz)
    ax.bar(np.arange(1, N_SEGMENTS + 1), factors, color=ORANGE)
    for segment, factor in enumerate(factors, start=1):
        ax.text(segment, factor + 0.02, f"{factor:.2f}", ha="center", fontsize=7)
    ax.set(xlabel="segment $t$", ylabel="retention factor", ylim=(0, 1.1))
    ax.set_title(f"retention factors, closed-form surrogate (a = {a:.2g})")  # mathematics would be parsed every time


class Explorer:
    """The panel: `settings`, the current `figure`, and `panel`, the widgets. Shows itself in a notebook."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.figure = draw(settings)
        style = {"style": {"description_width": "9.5em"}, "layout": {"width": "95%"}, "readout_format": ".2f"}
        texts = {
            "ip3": ("IP₃ in pipette (µM)", 0.05),
            "rate_hz": ("stimulus rate (Hz)", 0.05),
            "alpha": ("gliotransmission α", 0.05),
            "coupling": ("coupling (1/s)", 0.01),
        }
        sliders = {}
        for name, (text, step) in texts.items():
            kind, (low, high) = ipywidgets.FloatSlider, LIMITS[name]
            if name == "rate_hz":
                kind, low, high = ipywidgets.FloatLogSlider, math.log10(low), math.log10(high)
            value = getattr(settings, name)
            sliders[name] = kind(value=value, min=low, max=high, step=step, description=text, **style)
        preset = ipywidgets.ToggleButtons(options=["am", "fm"], value=settings.preset, description="astrocyte")
        preset.style.description_width, preset.style.button_width = "9.5em", "4em"
        preset.add_class("widget-inline-hbox")  # JupyterLab leaves it out, and the label would stand on its own line
        self.controls = {"preset": preset, **sliders}
        self.picture = ipywidgets.Image(value=self.png(), format="png", layout={"width": "100%", "max_width": "56em"})
        for control in self.controls.values():
            control.observe(self._redraw, names="value")
        column = ipywidgets.VBox(list(self.controls.values()), layout={"width": "100%", "max_width": "56em"})
        self.panel = ipywidgets.VBox([column, self.picture])

    def _redraw(self, _change) -> None:
        values = {name: control.value for name, control in self.controls.items()}
        for name, (low, high) in LIMITS.items():
            values[name] = min(max(values[name], low), high)  # a logarithmic slider's ends are off by rounding
        self.settings = dataclasses.replace(self.settings, **values)
        draw(self.settings, self.figure)
        self.picture.value = self.png()

    @styled
    def png(self) -> bytes:
        """The figure as a picture."""
        buffer = io.BytesIO()
        FigureCanvasAgg(self.figure).print_png(buffer)
        return buffer.getvalue()

    def _repr_mimebundle_(self, include=None, exclude=None):
        """The widgets, and the picture for a reader without a kernel."""
        bundle = self.panel._repr_mimebundle_(include=include, exclude=exclude)
        return {**bundle, "image/png": self.png()}


def explore(**settings) -> Explorer:
    """The panel with its sliders at `settings` (fields of :class:`Settings`); show it as the last line of a cell.

    Without a kernel or a front end the same object shows a static figure, which is also `explore().figure`.
    """
    return Explorer(Settings(**settings))
