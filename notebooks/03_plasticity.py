# ---
# jupyter:
#   jupytext:
#     formats: py:percent,ipynb
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3 · Long-term plasticity: when does a synapse keep something?
#
# **The question.** What notebook 2 showed is gone after minutes. Memory needs a variable that stays. *What makes a
# synapse strengthen for good, how fast, and does the astrocyte beside it matter?* The answer, a rising curve, is the
# heart of this project: notebook 5 turns it into the memory of a transformer.
#
# (This notebook simulates four times a thousand synapses; it takes about a minute.)

# %%
import matplotlib.pyplot as plt
import numpy as np
from brian2 import Hz, ms, second

from astro_sim.curves.plotting import STYLE, panels, plot_curve
from astro_sim.derivations import LTPExperiment, derive_ltp
from astro_sim.dynamics.closed_forms import efficacy_dynamics
from astro_sim.figures import plot_course, plot_retention
from astro_sim.models import TripartiteSynapses
from astro_sim.parameters import PLASTICITY
from astro_sim.protocols import ContinuousPairing
from astro_sim.simulation import simulate

plt.style.use(STYLE)
DP = PLASTICITY["DP"]

# %% [markdown]
# ## Calcium, this time in the synapse
#
# Graupner and Brunel (2012) let the calcium $c$ in the *postsynaptic* spine decide. A presynaptic spike adds a little
# ($C_{pre} = 1$), a postsynaptic one more ($C_{post} = 2$), and within 20 ms it is gone. Above a first threshold
# $\theta_d$ the efficacy $\rho$ of the synapse falls, above a second one, $\theta_p$, it rises:
#
# $$\tau\,\frac{d\rho}{dt} = \gamma_p\,(1-\rho)\,[c>\theta_p] \;-\; \gamma_d\,\rho\,[c>\theta_d]
# \;-\; \rho\,(1-\rho)\,(\rho_\star-\rho) \;+\; \text{noise}.$$
#
# The cubic term, much slower than the rest, makes a silent synapse drift to 0 or to 1: it decides. Here are two
# pairs, in which the postsynaptic neuron fires 10 ms after the presynaptic one:

# %%
ALONE = {"release": None, "astrocyte": None, "gliotransmission": None}  # no astrocyte yet
model = TripartiteSynapses(plasticity=DP, n_synapses=1, update="published", **ALONE)
pairs = ContinuousPairing(rate=5 * Hz, lag=10 * ms, length=0.4 * second)
recording = simulate(model, pairs, record=["c"], dt=0.2 * ms, record_every=0.2 * ms, target="numpy")
ax = panels(size=(5, 2.2))
plot_course(recording, "c", ax=ax)
for theta, color, name in ((1, "C1", r"$\theta_d$, falls above"), (1.3, "C2", r"$\theta_p$, rises above")):
    ax.axhline(theta, color=color, linestyle="--", linewidth=0.8, label=name)
ax.legend();

# %% [markdown]
# ## One synapse is a gamble, a thousand are a law
#
# A single synapse under such pairs, one per second, jumps about. The mean of a thousand does not: it follows
#
# $$\langle\rho(t)\rangle = \bar\rho\,\bigl(1 - e^{-t/\tau_{eff}}\bigr), \qquad
# \tau_{eff} = \frac{\tau}{\gamma_p\,\alpha_p + \gamma_d\,\alpha_d}, \qquad
# \bar\rho = \frac{\gamma_p\,\alpha_p}{\gamma_p\,\alpha_p + \gamma_d\,\alpha_d},$$
#
# where $\alpha_p$ and $\alpha_d$ are the shares of time above the two thresholds, known in closed form.

# %%
recording = simulate(TripartiteSynapses(plasticity=DP, n_synapses=1000, **ALONE), ContinuousPairing(rate=1 * Hz))
theory = efficacy_dynamics(DP, rate_hz=1, lag_s=0.01)
ax = panels()
plot_course(recording, "rho", members=3, ax=ax, label="1000 synapses")
ax.plot(recording["time"], theory.mean(recording["time"]), "--", color="black", label="closed form")
ax.legend()
print(f"plateau {theory.rho_bar:.3f}, time constant {theory.tau_eff:.2f} s")

# %% [markdown]
# Note what has happened. There is a curve, it *saturates*, and we did not put it in: it follows from a threshold and
# a decay. A synapse that is empty learns much from the next pair, one that is nearly full learns little.

# %% [markdown]
# ## With the astrocyte
#
# Now the whole of notebooks 1 to 3 at once: a thousand synapses, each with its own astrocyte. The synapse's release
# fills the spine's calcium (a spike that releases less adds less, $c \leftarrow c + C_{pre}\,r_S/U_0^*$: this
# coupling is this project's choice); its transmitter drives the astrocyte, whose gliotransmitter sets the release.
# The protocol is that of the RMAAT paper: cycles of 50 s, here with five pairs in the first five seconds of each.
#
# Three versions: gliotransmission that increases release ($\alpha = 1$), that decreases it ($\alpha = 0$), and none.

# %%
versions = {
    "increases release": {"alpha": 1.0},
    "no gliotransmission": {"gliotransmission": False},
    "decreases release": {"alpha": 0.0},
}
curves, ax = {}, panels(size=(5, 3))
for (name, choice), color in zip(versions.items(), ("C2", "C0", "C1"), strict=True):
    experiment = LTPExperiment(n_cycles=6, **choice)
    recording = experiment.simulate()
    plot_course(recording, "rho", ax=ax, color=color, label=name)
    curves[name] = derive_ltp(experiment, recording, name=name, form="saturating_exponential")
    a = 50 / curves[name].parameters["tau"]
    print(f"{name:20s} tau = {curves[name].parameters['tau']:5.0f} s, so a = 50 s / tau = {a:.2f} per cycle")
ax.legend(loc="upper left");

# %% [markdown]
# Each burst lifts the mean; the pauses cost a little. (The shade holds the middle 90 % of the synapses: they differ
# far more than their means.) An astrocyte that increases release makes learning *faster*, one that decreases it makes
# it slower. The time constant is written by the glia.

# %% [markdown]
# ## From a curve to a schedule
#
# The paper reads the curve at the ends of the cycles, $p_t = \langle\rho(50\,\text{s}\cdot t)\rangle$, and asks for
# the share of each cycle in the total:
#
# $$\mathrm{RF}(t, T) = \frac{p_t - p_{t-1}}{p_T - p_0}.$$
#
# It becomes the *retention factor*: a transformer that reads a text in $T$ segments multiplies its memory by
# $\mathrm{RF}(t,T)$ after segment $t$.

# %%
left, right = panels(1, 2, size=(7.2, 2.8))
for curve, color in zip(curves.values(), ("C2", "C0", "C1"), strict=True):
    plot_curve(curve, ax=left, color=color, formula=False)
    plot_retention(curve, totals=(6,), ax=right, color=color)
left.set_ylim(0, None)
right.legend(curves);

# %% [markdown]
# Fast learning gives a steep schedule (early segments take most), slow learning a flat one. In numbers, for six
# segments:

# %%
for name, curve in curves.items():
    p = curve(50.0 * np.arange(7))
    print(f"{name:20s}", " ".join(f"{factor:.3f}" for factor in np.diff(p) / p[-1]))

# %% [markdown]
# ## What to try next
#
# - `LTPExperiment(burst_rate_hz=2.0)`: twice the pairs. Is $\tau$ halved? (The pauses say: not quite.)
# - `LTPExperiment(plasticity="hippocampal_cultures")` is a synapse from another dish. How steep is its schedule?
# - `LTPExperiment(overrides={"Omega_G": "x4"})`: gliotransmission that is forgotten four times faster. Between which
#   two of the curves above do you expect this one?
# - Then go on to `04_fitting`: why the exponential, and how sure are we?
