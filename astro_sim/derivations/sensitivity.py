"""Which biophysical parameters move the constants of the network: Morris screening, then Sobol indices.

The constants are those of `astro_sim.derivations.network_constants`: a, alpha and length. Parameters are varied by a
factor that is uniform in its logarithm, and the logarithm of the constant is looked at: an elementary effect is an
elasticity, the percentage by which the constant moves for one per cent of the parameter.

References
----------
M. D. Morris (1991), Technometrics 33, 161-174.
F. Campolongo, J. Cariboni, A. Saltelli (2007), Environ. Model. Softw. 22, 1509-1518 (mean absolute effects).
A. Saltelli et al. (2010), Comput. Phys. Commun. 181, 259-270 (first-order and total indices).
J. Herman, W. Usher (2017), J. Open Source Softw. 2, 97 (SALib).
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from SALib.analyze import morris as morris_analysis
from SALib.analyze import sobol as sobol_analysis
from SALib.sample import morris as morris_sample
from SALib.sample import sobol as sobol_sample

from astro_sim.curves.files import write_text
from astro_sim.curves.plotting import BLUE, GREY, new_axes, panels, save_figure, styled
from astro_sim.derivations.network_constants import CONSTANTS, Constant

LEVELS = 4  # of Morris' grid

LEGEND = (
    "Elasticity: mean absolute change of the constant, in per cent, for one per cent of the parameter; direction: from "
    "-1 (always down) to +1 (always up); bend: standard deviation of the effects, large where a parameter acts "
    "unevenly or through others; first order and total: Sobol indices of the logarithm. ±: 95 % half-widths."
)

HOLLOW = "Hollow bars lower the constant."

BASELINE = (
    "The values at the published parameters are not those of the curve files: here the synapses of a have neither "
    "noise nor cubic term, and alpha is taken from eight rates up to 20 Hz with two Poisson trains each, not from "
    "nineteen rates with forty."
)


@dataclass(frozen=True)
class Sensitivity:
    """How one constant depends on its parameters, of which there are k."""

    name: str
    what: str
    baseline: float
    """The constant at the published parameters."""
    spread: float
    """Parameters were varied by factors from ``1 / (1 + spread)`` to ``1 + spread``; probabilities that this would
    carry beyond 1 by the same ratio below it."""
    symbols: tuple[str, ...]
    """In the order of influence, as the arrays of shape ``(k,)``."""
    elasticity: np.ndarray
    """Mean absolute elementary effect, shape ``(k,)``."""
    elasticity_ci95: np.ndarray
    bend: np.ndarray
    """Standard deviation of the effects: large where a parameter acts unevenly or through others."""
    sign: np.ndarray
    """Mean effect over mean absolute effect: 1 where it is always up."""
    leading: tuple[str, ...]
    """The symbols carried on to Sobol indices."""
    first: np.ndarray
    """Share of the variance of the constant's logarithm, shape ``(n_leading,)``: alone; `total` with interactions."""
    first_ci95: np.ndarray
    total: np.ndarray
    total_ci95: np.ndarray
    runs: tuple[int, int]
    """Parameter sets that were simulated, for screening and for indices."""

    def markdown(self) -> str:
        """Table of the screening, with the indices of the leading parameters."""
        lines = [
            f"### {self.what}",
            "",
            f"{self.baseline:.4g} at the published parameters; {self.runs[0]} parameter sets for the screening, "
            f"{self.runs[1]} for the indices, factors up to {1 + self.spread:g}.",
            "",
            "| parameter | elasticity | 95 % | direction | bend | first order | total |",
            "|---|---|---|---|---|---|---|",
        ]
        shares = {
            symbol: f"{self.first[k]:.2f} ± {self.first_ci95[k]:.2f} | {self.total[k]:.2f} ± {self.total_ci95[k]:.2f}"
            for k, symbol in enumerate(self.leading)
        }
        for i, symbol in enumerate(self.symbols):
            lines.append(
                f"| {symbol} | {self.elasticity[i]:.3f} | ± {self.elasticity_ci95[i]:.3f} | {self.sign[i]:+.2f} "
                f"| {self.bend[i]:.3f} | {shares.get(symbol, '|')} |"
            )
        return "\n".join(lines) + "\n"


def _constant(name: str) -> Constant:
    if name not in CONSTANTS:
        raise ValueError(f"constants must be among {list(CONSTANTS)}, got {name!r}")
    return CONSTANTS[name]


def _problem(names: Sequence[str], constant: Constant, spread: float) -> dict[str, Any]:
    return {"num_vars": len(names), "names": names, "bounds": [constant.bounds(name, spread) for name in names]}


def _evaluate(constant: Constant, names: Sequence[str], X: np.ndarray, seed: int, target: str) -> np.ndarray:
    values = constant.simulate(dict(zip(names, np.exp(X).T, strict=True)), seed=seed, target=target)
    with np.errstate(divide="ignore", invalid="ignore"):
        Y = np.log(values)
    if not np.all(np.isfinite(Y)):
        raise ValueError(f"spread must leave {constant.what.split(',')[0]} positive everywhere; reduce it")
    return Y


def analyse(
    name: str,
    *,
    spread: float = 0.1,
    n_trajectories: int = 10,
    n_leading: int = 6,
    n_base: int = 128,
    seed: int = 0,
    target: str = "auto",
) -> Sensitivity:
    """Screen all parameters of one constant, and compute Sobol indices of the leading ones.

    Parameters
    ----------
    name : {"a", "alpha", "length"}
    spread : float
        Largest relative change of a parameter.
    n_trajectories : int
        Of the screening: ``n_trajectories * (k + 1)`` parameter sets for k parameters.
    n_leading : int
        Parameters carried on, by mean absolute elementary effect.
    n_base : int
        Of the indices, a power of two: ``n_base * (n_leading + 2)`` parameter sets.
    """
    constant = _constant(name)
    symbols = constant.symbols
    if not 0 < spread < 1:
        raise ValueError(f"spread must be between 0 and 1, got {spread}")
    if max(n_trajectories, n_base) > 2**16:
        raise ValueError(f"n_trajectories and n_base must be at most 65536, got {n_trajectories} and {n_base}")
    if n_trajectories < 2 or n_base < 2 or n_base & (n_base - 1):
        raise ValueError(
            f"n_trajectories must be at least 2 and n_base a power of two, got {n_trajectories} and {n_base}"
        )
    if not 1 <= n_leading <= len(symbols):
        raise ValueError(f"n_leading must be from 1 to {len(symbols)}, got {n_leading}")

    problem = _problem(symbols, constant, spread)
    screened = morris_sample.sample(problem, n_trajectories, num_levels=LEVELS, seed=seed)
    centre = np.zeros((1, len(symbols)))  # the published set goes along
    *Y, baseline = _evaluate(constant, symbols, np.concatenate([screened, centre]), seed, target)
    effects = morris_analysis.analyze(problem, screened, np.array(Y), num_levels=LEVELS, seed=seed)
    order = np.argsort(-np.asarray(effects["mu_star"], dtype=float), kind="stable")
    width = 2 * np.log1p(spread)  # SALib's effects are those of the whole range
    mean, strength, error, bend = (
        np.asarray(effects[key], dtype=float)[order] / width for key in ("mu", "mu_star", "mu_star_conf", "sigma")
    )

    leading = [symbols[i] for i in order[:n_leading]]
    problem = _problem(leading, constant, spread)
    X = sobol_sample.sample(problem, n_base, calc_second_order=False, seed=seed)
    varied = _evaluate(constant, leading, X, seed, target)
    rng = np.random.default_rng(seed)  # SALib would take a seed of 0 for none
    indices = sobol_analysis.analyze(problem, varied, calc_second_order=False, seed=rng)
    return Sensitivity(
        name=name,
        what=constant.what,
        baseline=float(np.exp(baseline)),
        spread=spread,
        symbols=tuple(symbols[i] for i in order),
        elasticity=strength,
        elasticity_ci95=error,
        bend=bend,
        sign=np.divide(mean, strength, out=np.zeros_like(strength), where=strength > 0),
        leading=tuple(leading),
        first=indices["S1"],
        first_ci95=indices["S1_conf"],
        total=indices["ST"],
        total_ci95=indices["ST_conf"],
        runs=(len(screened), len(X)),
    )


def sensitivity(constants: Iterable[str] = tuple(CONSTANTS), **settings: Any) -> dict[str, Sensitivity]:
    """`analyse`, with its settings, for several constants."""
    names = list(constants)
    for name in names:
        _constant(name)
    return {name: analyse(name, **settings) for name in names}


def to_markdown(results: Mapping[str, Sensitivity]) -> str:
    """All tables."""
    return "\n".join([f"{LEGEND}\n", f"{BASELINE}\n", *(result.markdown() for result in results.values())])


@styled
def plot_sensitivity(result: Sensitivity, *, n_shown: int = 12, ax: Axes | None = None) -> Axes:
    """Elasticities of the most influential parameters, with 95 % intervals; those that lower the constant hollow."""
    ax = new_axes(ax)
    names = result.symbols[:n_shown]
    y, error = np.arange(len(names)), result.elasticity_ci95[:n_shown]
    colors = np.where(result.sign[:n_shown] >= 0, BLUE, "white")
    ax.barh(y, result.elasticity[:n_shown], xerr=error, color=colors, edgecolor=BLUE, ecolor=GREY)
    ax.set(xlabel=f"elasticity of {result.name} (% per %)", xlim=(0, None))
    ax.set_yticks(y, names)
    ax.invert_yaxis()
    marks = ((BLUE, "raises it"), ("white", "lowers it"))
    ax.legend(handles=[Patch(facecolor=c, edgecolor=BLUE, label=text) for c, text in marks], loc="lower right")
    return ax


def write_sensitivity(results: Mapping[str, Sensitivity], path_stem: str | os.PathLike[str]) -> None:
    """Write the tables to ``path_stem.md`` and the figure to ``path_stem.svg`` and ``.png``."""
    stem = Path(path_stem)
    axes = panels(1, len(results), squeeze=False).ravel()
    for ax, result in zip(axes, results.values(), strict=True):
        plot_sensitivity(result, ax=ax)
    save_figure(axes[0].figure, stem, f"{LEGEND} {HOLLOW}")
    figure = f"![Elasticities]({stem.name}.svg)\n\n{HOLLOW}"
    write_text(stem.with_name(stem.name + ".md"), f"# Sensitivity\n\n{figure}\n\n{to_markdown(results)}")
