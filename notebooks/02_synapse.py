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
# # 2 · The tripartite synapse: what does the astrocyte say to the synapse?
#
# **The question.** A synapse forgets its last spike within a second. Yet for minutes after an astrocyte has spoken,
# the same synapse answers the same spikes differently: some that used to weaken during a burst now grow stronger.
# *How can a chemical whisper turn depression into facilitation, and for how long?*

# %%
import matplotlib.pyplot as plt
import numpy as np
from brian2 import Hz, second

from astro_sim.curves.plotting import STYLE, panels
from astro_sim.dynamics import closed_forms as theory
from astro_sim.figures import plot_course, plot_response
from astro_sim.models import TripartiteSynapses
from astro_sim.parameters import AM, GLIOTRANSMISSION, RELEASE, variant
from astro_sim.protocols import GammaSweep, Poisson, RateSweep, Train, log_rates
from astro_sim.simulation import simulate

plt.style.use(STYLE)
ALONE = {"astrocyte": None, "plasticity": None}  # a synapse without astrocyte and without long-term plasticity

# %% [markdown]
# ## A synapse is a pair of reservoirs
#
# Each presynaptic spike releases a share $r_S = u_S\,x_S$ of the transmitter that is there. $x_S$ is how much is
# available: every release empties the store a little, and it fills again within half a second. $u_S$ is how willing
# the terminal is: every spike leaves calcium behind that makes the next release likelier, for a third of a second. At
# a spike (Tsodyks and Markram)
#
# $$u_S \leftarrow u_S + U_0\,(1 - u_S), \qquad r_S = u_S\,x_S, \qquad x_S \leftarrow x_S - r_S ,$$
#
# and between spikes $u_S$ decays at the rate $\Omega_f = 3.33$/s and $x_S$ recovers at $\Omega_d = 2$/s. One number
# decides which of the two effects wins: the release probability at rest, $U_0$.

# %%
chances = np.array([0.6, 0.1])
release = variant(RELEASE, source="this study", U_0__star=chances)
train = Train(rate=20 * Hz, n_pulses=10)
recording = simulate(TripartiteSynapses(release=release, gliotransmission=None, **ALONE), train,
                     record=["r_S"], record_every=0.001 * second, target="numpy")
pulses = np.arange(10) * 0.05 + 0.002
ax = panels()
for synapse, U in enumerate(chances):
    ax.plot(np.arange(1, 11), recording["r_S"].sel(time=pulses, method="nearest").isel(synapse=synapse), "o-",
            label=f"$U_0$ = {U}")
ax.set(xlabel="pulse of a 20 Hz train", ylabel="released share $r_S$", ylim=(0, None))
ax.legend();

# %% [markdown]
# The eager synapse spends itself: it *depresses*. The shy one *facilitates*, then tires too. The border lies where
# both effects cancel at low rates, at
#
# $$U_{thr} = \frac{\Omega_d}{\Omega_d + \Omega_f} .$$

# %%
print(f"U_thr = {theory.facilitation_threshold(RELEASE):.3f}")

# %% [markdown]
# ## What does it let through?
#
# Under irregular (Poisson) spikes at rate $\nu$ the eager synapse passes low rates only. The shy one has a favourite
# rate. Points are 50 simulated synapses per rate, lines the mean-field formula $r = u\,x$ with $u =
# U\frac{\Omega_f+\nu}{\Omega_f+U\nu}$ and $x = \frac{\Omega_d}{\Omega_d+u\nu}$.

# %%
rates, repeats, fine, ax = log_rates(0.3 * Hz, 60 * Hz, 12), 50, np.geomspace(0.3, 60, 100), panels()
for U, color in zip(chances, ("C0", "C1"), strict=True):
    synapse = variant(RELEASE, source="this study", U_0__star=U)
    sweep = RateSweep(rates=rates, repeats=repeats, length=30 * second)
    recording = simulate(TripartiteSynapses(release=synapse, gliotransmission=None, **ALONE), sweep,
                         record=["released", "n_spikes"], record_every=1 * second, target="numpy").isel(time=-1)
    mean = (recording["released"] / recording["n_spikes"].clip(1)).values.reshape(len(rates), repeats)
    plot_response(rates / Hz, mean, ylabel="mean release $r_S$", ax=ax, color=color, label=f"$U_0$ = {U}")
    ax.plot(fine, theory.mean_field_release(synapse, fine)[2], color=color)
ax.legend();

# %% [markdown]
# ## The whisper
#
# When an astrocyte's calcium crosses a threshold (notebook 1), it releases *gliotransmitter*. Some of it binds to
# receptors on the synapse; call their activated share $\Gamma_S$. One release lifts it almost to one, and it decays
# over two minutes. As long as it lasts, release starts from another probability:
#
# $$U_0 = (1 - \Gamma_S)\,U_0^* + \alpha\,\Gamma_S .$$
#
# With $\alpha = 0$ the astrocyte makes an eager synapse shy. Let the astrocyte speak once, wait, and test with a
# short train:

# %%
delays = np.array([1, 60, 120, 240, 480])
test = GammaSweep(delay=delays * second, rate=20 * Hz, n_pulses=5)
recording = simulate(TripartiteSynapses(release=RELEASE, gliotransmission=GLIOTRANSMISSION, **ALONE), test,
                     record=["r_S", "Gamma_S"], dt=0.01 * second, record_every=0.01 * second, target="numpy")
left, right = panels(1, 2, size=(7.2, 2.6))
for synapse, delay in enumerate(delays):
    pulses = 1 + delay + 0.05 * np.arange(5) + 0.01
    left.plot(range(1, 6), recording["r_S"].isel(synapse=synapse).sel(time=pulses, method="nearest"), "o-",
              color=plt.cm.viridis(synapse / 5), label=f"after {delay} s")
left.set(xlabel="pulse", ylabel="released share $r_S$", ylim=(0, 0.7), xticks=range(1, 6))
left.legend()
plot_course(recording.isel(synapse=-1), "Gamma_S", ax=right)
level = theory.switching_level(RELEASE, GLIOTRANSMISSION)
right.axhline(level, color="0.5", linestyle="--")
print(f"below Gamma_S = {level:.3f} the synapse depresses; one release keeps it above for "
      f"{theory.switched_time(RELEASE, GLIOTRANSMISSION):.0f} s")

# %% [markdown]
# One second after the whisper the synapse facilitates. After two minutes it depresses again, but releases less than
# it did; after eight it is what it was. The dashed line (right) is the level of $\Gamma_S$ at which $U_0$ passes
# $U_{thr}$. A cell that acts in seconds has set the rules of a synapse that acts in milliseconds, for more than a
# minute.

# %% [markdown]
# ## Closing the loop
#
# Now let the synapse drive its own astrocyte: its transmitter makes IP₃, IP₃ makes calcium pulses, and every pulse
# that crosses the threshold (dashed) is answered by gliotransmitter. Twenty such pairs run for two minutes; here is
# the first. The last row holds $r_S$ from one spike to the next.

# %%
model = TripartiteSynapses(astrocyte=AM, release=RELEASE, gliotransmission=GLIOTRANSMISSION, plasticity=None)
recording = simulate(model, Poisson(rate=np.full(20, 0.2) * Hz, length=120 * second), seed=3)
axes = panels(3, 1, size=(6.8, 4.6), sharex=True)
for ax, name in zip(axes, ("C", "Gamma_S", "r_S"), strict=True):
    plot_course(recording.isel(synapse=0, astrocyte=0), name, ax=ax)
    ax.label_outer()
axes[0].axhline(0.5, color="0.5", linestyle="--")
print(f"{recording.sizes['release'] / 20:.1f} releases of gliotransmitter per astrocyte")

# %% [markdown]
# The first spikes find an untouched synapse and release 60 % of its transmitter. One of them is heard by the
# astrocyte, and from then on the synapse gives a tenth of that. The astrocyte goes on pulsing: its receptors are so
# sensitive that little transmitter is as good as much. It hears *when* the synapse speaks, hardly how loudly.

# %% [markdown]
# ## What to try next
#
# - Give `GLIOTRANSMISSION` an `alpha` of 1 with `variant(GLIOTRANSMISSION, source="this study", alpha=1)` and start
#   from $U_0^* = 0.1$: the astrocyte now makes a shy synapse eager.
# - What does `theory.switched_time` say when `Omega_G` is doubled? Check it with another `GammaSweep`.
# - Drive the loop at 5 Hz instead of 0.2 Hz. How many releases are there now, and why so few? (Notebook 1 knows.)
# - Then go on to `03_plasticity`, where the synapse keeps what it has learned.
