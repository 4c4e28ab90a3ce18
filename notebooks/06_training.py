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
# # 6 · Training: from neurons that never lived to a reader of digits
#
# **The question.** All the pieces are there. *Can we start from equations, fit the curves in this very notebook,
# train a network from them, and have it tell us, once trained, where its constants came from?*
#
# (Three experiments are simulated and one model is trained; together that takes about a minute.)

# %%
import dataclasses
import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch.nn.functional import cross_entropy

from astro_sim.curves import write_curve
from astro_sim.curves.plotting import STYLE, panels, plot_curve
from astro_sim.derivations import PopulationExperiment, derive_ltp_population, derive_stp_calcium, derive_stp_spatial
from rmaat import RMAAT, ModelConfig, load_curves
from rmaat.experiments.bench import gradient_error
from rmaat.experiments.timing import peak_bytes
from rmaat.report.plots import plot_log
from rmaat.report.trace import trace
from rmaat.tasks import load_task
from rmaat.training import TrainConfig
from rmaat.training.train import train

plt.style.use(STYLE)
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## Three experiments
#
# How fast 1200 synapses settle when they are driven at twelve different rates (the memory's time constants), how an
# astrocyte's calcium follows the rate of its synapse (the exponent $\alpha$), and how far IP₃ spreads along a chain
# of astrocytes (the range of $R$). Each is simulated, fitted and written as a curve file.

# %%
axes = panels(1, 3, size=(9, 2.6))
fitted = [derive_ltp_population(PopulationExperiment(n_cycles=8)), derive_stp_calcium(), derive_stp_spatial()]
for ax, curve, log in zip(axes, fitted, ("xy", "xy", ""), strict=True):
    write_curve(curve, folder / "curves" / f"{curve.name}.toml")
    plot_curve(curve, log=log, ax=ax)

# %% [markdown]
# ## A model from three files
#
# The task: handwritten digits, 8 × 8 pixels, given one pixel after the other in four segments of sixteen. The model
# sees two rows at a time and carries eight memory tokens from one segment to the next.

# %%
task = load_task("digits")
config = ModelConfig(vocab_size=task.vocab_size, n_classes=10, segment_len=16, n_memory=8, n_layers=1, d_model=64)
curves = load_curves(folder / "curves")
model = RMAAT(config, curves)
for name, origin in model.provenance()["origins"].items():
    print(f"{name:15s} <- {origin}")
for digit, ax in enumerate(panels(1, 10, size=(8, 0.9))):
    ax.imshow(task.train.sequence((task.train.labels == digit).argmax()).reshape(8, 8), cmap="gray_r")
    ax.set_axis_off()

# %% [markdown]
# ## What the backward pass remembers
#
# To learn, a recurrent network must know how its memory at segment 3 would have had to be different for segment 30 to
# come out right. Back-propagation through time (BPTT) keeps everything that was computed on the way, for all
# segments. *AMRB*, astrocytic memory replay, keeps the memories alone, and computes each segment a second time when
# its turn comes. The gradients must be the same. Are they, and what is saved?

# %%
def losses(n_segments):
    """The same model with either backward pass, as functions that give the loss of one random batch."""
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, task.vocab_size, (16, 16 * n_segments), generator=draw)
    labels = torch.randint(0, 10, (16,), generator=draw)
    models = [RMAAT(dataclasses.replace(config, backprop=way), curves) for way in ("amrb", "bptt")]
    return models, tokens, labels, [lambda each=each: cross_entropy(each(tokens), labels) for each in models]

totals, kept = [1, 2, 4, 8, 16, 32, 64], []
for total in totals:
    models, tokens, labels, steps = losses(total)
    weights = [weight for each in models for weight in each.parameters()]  # not counted: both have them
    kept.append([peak_bytes(lambda step=step: step().backward(), parameters=weights) for step in steps])
print(f"gradients at T = 64 differ by at most {gradient_error(*models, tokens, labels):.1e} of the largest")
ax = panels()
ax.plot(totals, torch.tensor(kept) / 2**20, "o-", label=["AMRB", "BPTT"])
ax.set(xlabel="segments $T$", ylabel="kept for the backward pass (MiB)", ylim=(0, None))
ax.legend();

# %% [markdown]
# The gradients agree to rounding, dropout included: each replay draws the same random numbers. What is kept grows
# with $T$ in one case and hardly at all in the other. The price is one more forward pass for each segment but the
# last.

# %% [markdown]
# ## Training
#
# `train` takes one frozen configuration and leaves a run folder: configuration, curve files, checkpoints, log,
# metrics.

# %%
run = train(TrainConfig(run=folder / "run", task="digits", curves=folder / "curves", network=config, steps=800, lr=3e-3,
                        warmup=50, eval_every=50, log_every=10, data_dir=None, progress=False, tensorboard=False))
metrics = json.loads((run / "metrics.json").read_text())
print(f"test accuracy {metrics['test_accuracy']:.1%}, always the commonest digit {metrics['majority_rate']:.1%}")
left, right = panels(1, 2, size=(7.2, 2.6))
plot_log(run, ax=left)
plot_log(run, "validation_accuracy", ax=right);

# %% [markdown]
# ## Where does it come from?
#
# The checkpoint carries copies of its curve files, and they carry their provenance. So a trained network can be
# asked, without a simulator, which equations it stands on:

# %%
for derived in trace(run):
    print("\n".join(line[:110] for line in derived.lines()), end="\n\n")

# %% [markdown]
# That is the whole chain, from an equation of 1994 to a layer. What was chosen rather than measured, such as a
# quarter of an astrocyte between two tokens, stands there too.

# %% [markdown]
# ## What to try next
#
# - Give `CalciumExperiment` `preset="am"`. Its $\alpha$ is half as large. Does the accuracy notice? Train three seeds
#   before you answer.
# - `ModelConfig(..., memory_update="replace")` is the same network without any astrocyte in its memory.
# - `make demo` does all this on ListOps, with baselines, and writes a report with the trace as a picture.
# - [Train on your own data](../docs/how-to/train-on-your-own-data.md).
