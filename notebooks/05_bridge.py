# ---
# jupyter:
#   jupytext:
#     formats: py:percent,ipynb
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 5 · The bridge: how does a curve become a memory?
#
# **The question.** A transformer reads a long text in segments and carries a few *memory tokens* from one to the
# next. How much of the old should it keep, and how much of the new should it take? Usually that is learned, or nobody
# asks. *Here the answer is read from the curves of notebooks 1 to 4. What does each of them change?*
#
# From here on there is no simulator: the package `rmaat` reads curve files and knows nothing of Brian2. (The last
# part trains four small models; it takes about a minute.)

# %%
import matplotlib.pyplot as plt
import torch

from astro_sim.curves.plotting import STYLE, panels, plot_curve
from rmaat import AstromorphicAttention, load_curves, retention_factors
from rmaat.data import DATA
from rmaat.experiments.recall import ProbeCell, run_cell
from rmaat.memory import Retention, population_rates, relaxation_rate, segment_weights
from rmaat.report.plots import plot_memory_flow, plot_position_kernel, plot_recall, plot_retention

plt.style.use(STYLE)
curves = load_curves()
for name in ("ltp", "ltp_population", "stp_calcium", "stp_spatial"):
    curve = curves[name]
    values = ", ".join(f"{key} = {value:.3g} ± {curve.stderr[key]:.1g}" for key, value in curve.parameters.items())
    print(f"{name:15s} {curve.form.name:22s} {values}")

# %% [markdown]
# Four files, four jobs: two say what a memory keeps, one sets how attention saturates, one how far it sees.
#
# ## Long-term plasticity: retention
#
# Let $p(t)$ be the efficacy after $t$ segments. The paper's rule multiplies what the model writes into its memory at
# segment $t$ of $T$ by
#
# $$\mathrm{RF}(t,T) = \frac{p(t)-p(t-1)}{p(T)-p(0)} .$$

# %%
left, right = panels(1, 2, size=(7.6, 2.8))
plot_curve(DATA / "ltp.toml", ax=left, formula=False)
plot_retention(curves["ltp"], totals=(2, 4, 8, 16), ax=right)
print("RF(t, 8) =", " ".join(f"{factor:.3f}" for factor in retention_factors(curves["ltp"], 8)))

# %% [markdown]
# The factors sum to one, fall from segment to segment, and lie lower for longer texts. One thing should make you
# pause. The rule *replaces* the memory each time and then shrinks it; old content survives only if the network copies
# it, and it must know $T$ beforehand. Two other rules use the same curve differently. Writing $m_t$ for the memory
# and $m'_t$ for what the model wrote,
#
# $$\text{consolidate:}\quad m_t = \frac{p(t-1)}{p(t)}\,m_{t-1} + \frac{p(t)-p(t-1)}{p(t)}\,m'_t, \qquad
# \text{relax:}\quad m_t = e^{-a}\,m_{t-1} + (1-e^{-a})\,m'_t .$$
#
# The first gives segment $i$ the weight $\mathrm{RF}(i,T)$ in the final memory, for every $T$, without knowing it.
# The second is the efficacy of notebook 3 with content as its target: $a$ is the length of a segment over
# $\tau_{eff}$.

# %%
a = torch.tensor([relaxation_rate(curves["ltp"])])
rates = population_rates(curves["ltp_population"], n_memory=16)
rules = [Retention("scale", curves["ltp"]), Retention("consolidate", curves["ltp"]), Retention("relax", rates=a),
         Retention("relax", rates=rates)]
axes = panels(2, 2, size=(7.2, 6)).ravel()
for ax, rule in zip(axes, rules, strict=True):
    plot_memory_flow(rule, 12, ax=ax)
axes[3].set_title("relax, mean over 16 memory tokens");

# %% [markdown]
# Read a column from below: what a memory after segment $t$ is made of. *scale* holds the last segment alone, and less
# of it each time. *consolidate* holds mostly the first. *relax* holds the latest and forgets with one time constant.
# The last panel is this project's default: sixteen tokens relax at sixteen rates, those of synapses that were driven
# at different rates (`ltp_population`). Some are quick, some slow, and together they forget like no single one of
# them:

# %%
ax = panels(size=(4.6, 2.8))
for name, rule in (("one rate", rules[2]), ("a population", rules[3])):
    weights = segment_weights(*rule.table(32)).mean(1)
    ax.semilogy(range(31, -1, -1), weights, ".-", label=name)
ax.set(xlabel="segments ago", ylabel="weight in the memory", ylim=(1e-6, 1))
ax.legend();

# %% [markdown]
# ## Short-term plasticity: attention
#
# The attention is linear: keys and values are summed up once (write), then every token reads the sum. With $\phi$ a
# positive feature map,
#
# $$H = \tfrac1m\,\bigl(\phi(K)^\top V + \phi(R)^\top V\bigr), \qquad
# g = \Bigl(\sum_t \phi(k_t)\Bigr)^{\alpha}, \qquad
# \text{read-out}_t = \frac{\phi(q_t)\,H}{\phi(q_t)\,g^\top}.$$
#
# $g$ is the calcium of the astrocyte, which hears all keys. That it does not grow in proportion to them is the
# exponent $\alpha$, and that we measured: calcium against the rate of the synapse (left; the points bend, so the
# power law is a description, and its error says how good). On the right, tokens are random, so that a read-out of
# more tokens averages more noise away and shrinks (blue). With $\alpha < 1$ the divisor grows too slowly, and the
# read-out grows instead (dashed). The scale $m$, by default $N^{1-\alpha}$, takes that back (solid).

# %%
left, right = panels(1, 2, size=(7.6, 2.8))
plot_curve(DATA / "stp_calcium.toml", log="xy", ax=left, formula=False)
lengths, x = [16, 64, 256, 1024], torch.randn(1, 1024, 64, generator=torch.Generator().manual_seed(0))
exponent = curves["stp_calcium"].parameters["exponent"]
for alpha, m_scale, line in ((1.0, 1.0, "C0-"), (exponent, 1.0, "C1--"), (exponent, None, "C1-")):
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        attention = AstromorphicAttention(64, 4, 1024, alpha=alpha, position="none", m_scale=m_scale)
        size = [attention(x[:, :n]).square().mean().sqrt() for n in lengths]
    right.loglog(lengths, size, line, label=f"α = {alpha:.2g}, $m$ " + ("= 1" if m_scale else "= $N^{1-α}$"))
right.set(xlabel="tokens", ylabel="RMS of the read-out")
right.legend();

# %% [markdown]
# $R$ gives every token a place. Its kernel falls with distance as the peak of IP₃ does along a chain of coupled
# astrocytes (left); how many astrocytes lie between two tokens is a choice, and the default is a quarter. The kernel
# (right, blue) is fixed; a learned matrix makes of it the positions that attention sees (red: still untrained).

# %%
left, right = panels(1, 2, size=(7.6, 2.8))
plot_curve(DATA / "stp_spatial.toml", ax=left, formula=False)
with torch.random.fork_rng():
    torch.manual_seed(0)
    scale = 0.25 / curves["stp_spatial"].parameters["length"]
    plot_position_kernel(AstromorphicAttention(64, 4, 64, position_scale=scale), ax=right)

# %% [markdown]
# ## Does it remember?
#
# The test is hard and simple. Among random symbols in a randomly chosen segment one is marked; at the end the model
# must name it. It is trained on four segments and then asked about four, and about sixteen. Chance is 1/8. Three
# rules: the paper's, none (every memory replaces the last, as in RMT), and the population. The population is trained a
# second time with *burn-in*: half of the later samples do not begin with an empty memory, but with what up to twelve
# segments of mere noise have left in it.

# %%
cells = {"scale": {"retention": "single", "curve": "ltp"}, "replace": {"retention": "single"},
         "relax": {}, "relax, burn-in": {"start": "burn_in"}}
rows = {}
for name, options in cells.items():
    result = run_cell(ProbeCell(rule=name.split(",")[0], n_segments=4, n_layers=1, steps=750, **options), curves)
    rows[name] = result["accuracy_at_T"] + result["accuracy_at_stretch"]
    print(f"{name:14s} accuracy while training {result['train_accuracy']:.2f}, worst segment of four "
          f"{min(result['accuracy_at_T']):.2f}, worst of sixteen {min(result['accuracy_at_stretch']):.2f}")
ax = plot_recall(rows, split=4, chance=1 / 8, ax=panels(size=(7.6, 1.8)))
ax.set_xlabel("segment of the marked symbol, of four (left) and of sixteen (right)");

# %% [markdown]
# On the length that they were trained on all are perfect: with four segments the network can simply copy. At sixteen
# they part. *scale* knows the last segment and nothing else, for its factors at $T=16$ are none of those that it was
# trained with. *replace* and *relax* fail where one would not expect it: late segments are lost, early ones partly
# kept. Forgetting is not what is wrong. After many segments of noise the memory has drifted to where training never
# was, and a symbol that comes then is written, or read, wrongly. Burn-in lets training see such memories, and the
# population recalls nearly everything over four times the length that any gradient has travelled. What is lost now are
# the oldest segments: that *is* forgetting.

# %% [markdown]
# ## What to try next
#
# - `load_curves()["ltp_alpha0"]` is the course under gliotransmission that *decreases* release. Draw its retention
#   factors beside those of `ltp`.
# - Set `seconds_per_segment=200` in `retention_factors`: a segment of text now stands for four cycles. What is left
#   for the last of eight?
# - `ProbeCell(rule="consolidate", retention="single", curve="ltp", ...)`: before you run it, say from the second
#   panel above which segments it will forget. And does burn-in save `rule="replace"`?
# - Then go on to `06_training`.
