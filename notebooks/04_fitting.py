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
# # 4 · Fitting: which curve is it, and how sure are we?
#
# **The question.** A simulation gives dots. A model wants a formula with numbers. *Which of many formulas do the dots
# support, how well do they fix its numbers, and how do we hand both over so that nobody has to trust us?*

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from astro_sim.curves import CurveFileError, load_curve, parse_curve, write_curve
from astro_sim.curves.forms import FORMS, RISING
from astro_sim.curves.least_squares import fit_all, prepare
from astro_sim.curves.measured import fit_csv
from astro_sim.curves.plotting import STYLE, panels, plot_curve
from astro_sim.derivations import LTPExperiment, derive_ltp

plt.style.use(STYLE)

# %% [markdown]
# ## The dots
#
# A thousand synapses without astrocytes, eight cycles of 50 s (notebook 3). We keep their efficacy $\rho$ at the ends
# of the cycles: a table of 1000 rows (synapses) and 9 columns (times).

# %%
experiment = LTPExperiment(gliotransmission=False, n_cycles=8)
recording = experiment.simulate()
t = experiment.cycle_ends()
rho = recording["rho"].sel(time=t, method="nearest").transpose("synapse", "time").values
mean, sem = rho.mean(0), rho.std(0, ddof=1) / np.sqrt(len(rho))

left, right = panels(1, 2, size=(7.4, 2.7))
left.errorbar(t, mean, yerr=sem, fmt="o", color="black", capsize=0)
left.set(xlabel="time (s)", ylabel=r"mean efficacy $\langle\rho\rangle$")
image = right.imshow(np.corrcoef(rho[:, 1:].T), vmin=0, vmax=1, extent=(25, 425, 425, 25))
right.set(xlabel="time (s)", ylabel="time (s)", title="over synapses")
right.figure.colorbar(image, ax=right, label="correlation");

# %% [markdown]
# The error bars are small, but the right picture is a warning. A synapse that is strong at 200 s is still strong at
# 250 s, so neighbouring dots err *together*: nine dots are not nine independent facts. Treating them as such would
# give errors that are too small. We therefore minimise
#
# $$\chi^2 = r^\top S^{-1}\, r, \qquad r = y - f(x;\theta),$$
#
# with the full covariance $S$ of the means instead of a column of variances.

# %% [markdown]
# ## The candidates
#
# Four formulas rise from zero to a plateau, as retention needs. The simplest is what the closed form of notebook 3
# promises. A form with more numbers always gets closer to the dots; whether that is worth it is what the Bayesian
# information criterion weighs, with $k$ parameters and $n$ dots:
#
# $$\mathrm{BIC} = \chi^2 + k \ln n .$$

# %%
fits, failures = fit_all(prepare(t, None, ensemble=rho))
for name in sorted(RISING, key=lambda name: fits[name].bic):
    print(f"BIC {fits[name].bic:6.1f}   {FORMS[name].formula}   {fits[name].flaw}")

# %%
fine = np.linspace(0, 1200, 200)
ax = panels(size=(5, 3))
for name in RISING:
    ax.plot(fine, FORMS[name].function(fine, *fits[name].theta), label=name.replace("_", " "))
ax.errorbar(t, mean, yerr=sem, fmt="o", color="black", capsize=0, zorder=5)
ax.axvspan(0, 400, color="0.95", zorder=0)
ax.set(xlabel="time (s)", ylabel=r"$\langle\rho\rangle$")
ax.legend(loc="lower right");

# %% [markdown]
# Inside the observed range (grey) you cannot tell them apart; outside they part ways, slowly. Two lessons. Where
# forms differ by less than 2 in BIC, the data do not choose: we take the simplest. And a curve knows its range: the
# reader of curve files marks what lies beyond as *extrapolated*. A flaw, where one is printed, says that the dots
# leave a parameter open; such a fit is not chosen.

# %% [markdown]
# ## How sure?
#
# Two ways to an error that share no assumption: the curvature of $\chi^2$ at its minimum, and the bootstrap, which
# draws a thousand synapses with replacement, fits again, and repeats this 500 times.

# %%
curve = derive_ltp(experiment, recording, form="saturating_exponential")
for name, value in curve.parameters.items():
    index = list(curve.parameters).index(name)
    print(f"{name:10s} {value:8.4g}   from curvature ± {curve.stderr[name]:.2g}   "
          f"from the bootstrap ± {curve.fit['bootstrap']['stderr'][index]:.2g}")
plot_curve(curve);

# %% [markdown]
# ## Handing it over
#
# A curve file is text. It holds the formula, the numbers with errors and covariance, the dots, how the form was
# chosen, and the *provenance*: every constant of the simulation with its unit, the protocol, the seed, a fingerprint
# of the equations. The simulator writes it, the transformer reads it, and neither knows the other.

# %%
folder = Path(tempfile.mkdtemp())
text = write_curve(curve, folder / "ltp.toml").read_text()
print("\n".join(line[:96] for line in text.splitlines()[:24]))

# %% [markdown]
# The reader trusts nothing. Every file carries five values of its own curve; change one digit of a parameter and it
# no longer reproduces them.

# %%
try:
    parse_curve(text.replace("value = 0.5", "value = 0.6", 1))
except CurveFileError as error:
    print("refused:", str(error).split(",")[0])

# %% [markdown]
# ## Your own dots
#
# An experimentalist has no Brian2 recording but a table: minutes, percent of baseline, standard error. That is
# enough. To have one, we write our own means in that way, and pretend to have come from a lab:

# %%
columns = np.column_stack([t / 60, 100 + 100 * mean, 100 * sem])[1:]
np.savetxt(folder / "slice.csv", columns, fmt="%.2f", delimiter=",", header="time,response,sem", comments="")
measured = fit_csv(folder / "slice.csv", time_unit="min", baseline=100)
write_curve(measured, folder / "measured.toml")
print(measured.report())
print(load_curve(folder / "measured.toml").provenance["source"])

# %% [markdown]
# Compare the error of `tau` with the one above. The baseline of 100 is only a number here: nothing says how well it
# is known, so every form gets a free offset, and `tau` is less certain. (Rows before the induction, at negative times,
# would say it: then the offset is not free, and the baseline's own error is part of that of `tau`.) What the table
# cannot know are the correlations between its rows: $\chi^2$ per degree of freedom far below 1 is the sign. It is a
# valid curve file all the same, and the network trains from it as from any other. In a terminal it is one line:
# `astro-sim fit slice.csv --time-unit min --baseline 100`.

# %% [markdown]
# ## What to try next
#
# - Fit with `sem` instead of `ensemble`: `astro_sim.curves.fit.fit_curve(t[1:], mean[1:], sem[1:])`. Which error bars
#   shrink, and why should you not be glad?
# - Take 100 synapses instead of 1000 (`rho[:100]`). Which form wins now?
# - `load_curve(...).sample(20, seed=1)` draws twenty curves from the stored covariance. Draw them: that is the cloud
#   inside which a retention schedule is known.
# - Then go on to `05_bridge`, where the file becomes a memory.
