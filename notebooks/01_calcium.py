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
# # 1 · Calcium: how does an astrocyte speak?
#
# **The question.** Neurons answer a stimulus with electrical spikes, in milliseconds. Astrocytes have no such spikes.
# What they have is calcium: when a synapse near them is active, their internal calcium rises in slow pulses, seconds
# long. *Why are there pulses at all, and does the cell say "more" by larger pulses or by more frequent ones?*
#
# You need some Python and the idea of a differential equation. Everything biological is explained when it comes up.

# %%
import matplotlib.pyplot as plt
from brian2 import Hz, second

from astro_sim.curves.plotting import STYLE, panels
from astro_sim.dynamics import bifurcation_diagram, fixed_points, li_rinzel, nullclines, time_course
from astro_sim.figures import plot_bifurcation_diagram, plot_course, plot_nullclines, plot_periods
from astro_sim.figures.explorer import explore
from astro_sim.models import GChI
from astro_sim.parameters import AM, FM, NEST
from astro_sim.protocols import Poisson
from astro_sim.simulation import simulate

plt.style.use(STYLE)

# %% [markdown]
# ## Two variables make a pulse
#
# Most of a cell's calcium sits in a store, the endoplasmic reticulum. Three flows connect store and cell: a channel
# lets calcium out ($J_r$), a leak does the same slowly ($J_l$), and a pump brings it back ($J_p$). With $C$ the free
# calcium in the cell,
#
# $$\frac{dC}{dt} = J_r + J_l - J_p .$$
#
# The channel is what makes this interesting. It opens when *two* messengers bind to it: IP₃, which the cell makes
# when a synapse calls, and calcium itself. So a little calcium lets out more calcium. But much calcium closes the
# channel again, only more slowly. The share of channels that are not closed in this way is $h$:
#
# $$J_r = \Omega_C\, m_\infty^3\, h^3\, \bigl(C_T - (1+\rho_A)\,C\bigr), \qquad
# \frac{dh}{dt} = \frac{h_\infty(C) - h}{\tau_h(C)} .$$
#
# Fast up, slow down: that is a recipe for pulses. These two equations are the Li-Rinzel model (1994). Fix the IP₃
# level at $I = 0.5$ µM, start close to where nothing moves, and look at what happens over time (left) and in the
# plane of the two variables (right).

# %%
system = li_rinzel(NEST.calcium, I=0.5)
times, (C, h) = time_course(system, duration_s=120, start=[0.26, 0.647])

trace, plane = panels(1, 2)
trace.plot(times, C)
trace.set(xlabel="time (s)", ylabel="calcium $C$ (µM)")
plot_nullclines(nullclines(NEST.calcium, 0.5), fixed_points=fixed_points(system), course=(C, h), ax=plane);

# %% [markdown]
# The right picture explains the left one. On the blue line calcium stands still, on the red line the gate does; where
# they cross, both do. The cell could rest there, but the crossing is drawn as an open circle: it is *unstable*, and
# the small push at the start grows. The orbit (grey) spirals outward until it runs round the same loop for ever. One
# round is one pulse, and takes 11.5 s.

# %% [markdown]
# ## Louder, or more often?
#
# IP₃ carries the synapse's message, so we ask what happens to the pulses as $I$ changes. For every $I$ the next
# figure shows where the cell can rest (black; dotted where unstable) and the least and the most calcium of its pulses
# (blue). The points where pulses begin and end are called *Hopf bifurcations*.
#
# Two published sets of constants differ, above all, in how tightly the pump grips its calcium ($K_P$ = 0.1 or 0.05
# µM).

# %%
diagrams = {name: bifurcation_diagram(cell.calcium, n_cycles=40) for name, cell in (("am", AM), ("fm", FM))}
axes = panels(2, 1, size=(5.6, 4.6))
for ax, (name, diagram) in zip(axes, diagrams.items(), strict=True):
    plot_bifurcation_diagram(diagram, ax=ax)
    ax.set(title=f"preset {name}: encoding {diagram.encoding}", xlim=(0.2, 1.4))

# %%
ax = panels()
for name, diagram in diagrams.items():
    plot_periods(diagram, ax=ax, label=name)
ax.set_ylim(0, 40)
ax.legend();

# %% [markdown]
# In the set `am` pulses come about every 11 to 13 s whatever the message; their *size* grows with it. That is
# amplitude modulation, as in AM radio. In the set `fm` a pulse has its full size from the start; with more IP₃ pulses
# come *sooner*. That is frequency modulation. Two numbers of one pump decide in which language the cell speaks.
#
# The set `fm` has something more. In the grey band a resting cell stays at rest and a pulsing cell goes on pulsing,
# at the same IP₃. What the cell does depends on what it did before: a memory, if a simple one.

# %% [markdown]
# ## The message itself
#
# Where does IP₃ come from? Transmitter from the synapse binds receptors on the astrocyte (activated share
# $\Gamma_A$), which make IP₃; enzymes break it down, some of them helped by calcium. With these two equations the
# model is called G-ChI:
#
# $$\frac{dI}{dt} = \underbrace{O_\beta\,\Gamma_A}_{\text{receptors}} + J_\delta - J_{3K} - J_{5P}, \qquad
# \frac{d\Gamma_A}{dt} = O_N\,Y_S\,(1-\Gamma_A) - \Omega_N\,(\ldots)\,\Gamma_A .$$
#
# From here on we let the simulator Brian2 do the work: `simulate(model, protocol)` returns a recording with every
# variable, its unit, and every parameter that was used. Any quantity may be a list: here are three astrocytes, whose
# synapses fire every 20 s, every 5 s and every 2 s.

# %%
rates = [0.05, 0.2, 0.5] * Hz
recording = simulate(GChI(astrocyte=AM), Poisson(rate=rates, length=100 * second, timing="regular"), target="numpy")
axes = panels(2, 3, size=(8, 3.6), sharex=True, sharey="row")
for cell, (ip3, calcium) in enumerate(axes.T):
    plot_course(recording.isel(astrocyte=cell), "I", ax=ip3, color="C1")
    plot_course(recording.isel(astrocyte=cell), "C", ax=calcium)
    ip3.set_title(f"{rates[cell] / Hz:g} spikes per second")
    ip3.label_outer(), calcium.label_outer()

# %% [markdown]
# At 0.05 and 0.2 spikes per second every spike is answered by one pulse. At 0.5 the pulses die: calcium stays up and
# only trembles. The bifurcation diagram of `am` says why. IP₃ (upper row) now never falls below 0.5 µM and is mostly
# above 0.64 µM, where the range of pulses ends and the cell rests at high calcium. An astrocyte hears *too much* as
# one long tone.

# %% [markdown]
# ## Turn the knobs
#
# The panel solves the same equations for three astrocytes in a row; the first one has the synapse. Move the sliders:
# IP₃ in a pipette that is attached to the first cell, the rate of the synapse, what gliotransmission (the astrocyte's
# answer to the synapse, notebook 2) does to release, and how strongly the cells are coupled. The last picture looks
# ahead to notebook 5: how much the memory of a transformer would take from each of eight segments, if its synapses
# lived here. (It is a closed form, not a simulation of plasticity. Without a running kernel you see the panel as it
# was left.)

# %%
explore(preset="am", rate_hz=0.2)

# %% [markdown]
# ## What to try next
#
# - Give `li_rinzel` and `nullclines` 0.3 or 0.7 µM instead of 0.5. Where has the open circle gone, and is it still
#   open?
# - `from astro_sim import variant`, `from brian2 import umolar`, and draw the diagram of `variant(AM,
#   source="this study", K_P=0.07 * umolar).calcium`: what lies between AM and FM?
# - In the panel: from which coupling on does the third cell notice what the first one does?
# - Then go on to `02_synapse`: calcium pulses are of no use unless the synapse hears about them.
