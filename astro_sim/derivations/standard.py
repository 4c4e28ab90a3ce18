"""Run the standard experiments and write their curves, several at a time."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from astro_sim.curves.curve import Curve
from astro_sim.curves.format import write_curve
from astro_sim.derivations import ltp, stp
from astro_sim.derivations.experiment import Experiment
from astro_sim.parameters.variants import symbols
from astro_sim.simulation.recording import save_recording

EXPERIMENTS = (  # longest first
    ltp.PopulationExperiment,
    ltp.LTPExperiment,
    stp.CalciumExperiment,
    stp.ReleaseExperiment,
    stp.SpatialExperiment,
    ltp.MacroExperiment,
)

# Curve name -> the experiment behind the committed file of that name. The name begins with that of its derivation.
STANDARD: dict[str, Experiment] = {
    name: kind(**changed) for kind in EXPERIMENTS for name, changed in kind.committed.items()
}

DERIVATIONS: dict[str, Callable[..., Curve]] = {
    "ltp": ltp.derive_ltp,
    "ltp_population": ltp.derive_ltp_population,
    "stp_calcium": stp.derive_stp_calcium,
    "stp_calcium_full": stp.derive_stp_calcium_full,
    "stp_spatial": stp.derive_stp_spatial,
    "stp_release": stp.derive_stp_release,
    "ltp_macro": ltp.derive_ltp_macro,
}


def derive_all(
    out_dir: str | os.PathLike,
    *,
    only: Iterable[str] | None = None,
    n_synapses: int | None = None,
    seed: int | None = None,
    overrides: Mapping[str, str] | None = None,
    recordings: str | os.PathLike | None = None,
    target: str = "auto",
    n_jobs: int = 2,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Path]:
    """Simulate, fit and write curve files.

    Parameters
    ----------
    out_dir, recordings : path
        Folders of the curve files ``NAME.toml`` and of the recordings ``NAME.nc``, which are not kept by default.
    only : iterable of str, optional
        Names of curves, keys of `astro_sim.derivations.standard.STANDARD`; all by default.
    n_synapses : int, optional
        Instead of the standard numbers; sweeps over rates take the nearest multiple of their number of rates.
    overrides : mapping of str to str, optional
        Parameters that differ from the published ones, as in `astro_sim.parameters.variants.vary`. Each applies to the
        experiments that have the symbol.
    progress : Callable, optional
        Called as ``progress(name, n_done, n_all)`` whenever an experiment is done.

    Returns
    -------
    dict of str to pathlib.Path
        Curve name -> file.
    """
    groups = experiments(only, n_synapses, seed, overrides)
    folder = None if recordings is None else Path(recordings)
    tasks = [delayed(_derive)(names, experiment, Path(out_dir), folder, target) for names, experiment in groups]
    written: dict[str, Path] = {}
    for done, paths in enumerate(Parallel(n_jobs=n_jobs, return_as="generator_unordered")(tasks), start=1):
        written |= paths
        if progress is not None:
            progress(", ".join(paths), done, len(tasks))
    return {name: written[name] for name in STANDARD if name in written}


def experiments(
    only: Iterable[str] | None = None,
    n_synapses: int | None = None,
    seed: int | None = None,
    overrides: Mapping[str, str] | None = None,
) -> list[tuple[list[str], Experiment]]:
    """The experiments behind the curves `only`, longest first, each with the names of all its curves."""
    names, overrides = list(STANDARD if only is None else only), overrides or {}
    for name in names:
        if name not in STANDARD:
            raise ValueError(f"only must name curves among {', '.join(STANDARD)}, got {name!r}")
    known = {name: symbols(STANDARD[name].published()) for name in names}
    for symbol in overrides:
        if not any(symbol in of_curve for of_curve in known.values()):
            every = ", ".join(sorted(set().union(*known.values())))
            raise ValueError(f"overrides must name one of {every}, got {symbol!r}")
    groups: list[tuple[list[str], Experiment]] = []
    for name in (name for name in STANDARD if name in names):
        own = {symbol: value for symbol, value in overrides.items() if symbol in known[name]}
        changes: dict[str, Any] = {"overrides": own} if seed is None else {"overrides": own, "seed": seed}
        if n_synapses is not None and hasattr(STANDARD[name], "n_synapses"):
            n_rates = getattr(STANDARD[name], "n_rates", None)
            changes["n_synapses"] = max(3, round(n_synapses / n_rates)) * n_rates if n_rates else n_synapses
        experiment = dataclasses.replace(STANDARD[name], **changes)
        experiment.tables()  # a wrong value is refused before anything runs
        same = next((group for group, other in groups if other == experiment), None)
        if same is None:
            groups.append(([name], experiment))
        else:
            same.append(name)
    return groups


def _derive(
    names: list[str], experiment: Experiment, out_dir: Path, recordings: Path | None, target: str
) -> dict[str, Path]:
    recording = experiment.simulate(target)
    if recordings is not None:
        save_recording(recording, recordings / f"{names[0]}.nc")
    paths = {}
    for name in names:
        derivation = max((known for known in DERIVATIONS if name.startswith(known)), key=len)
        curve = DERIVATIONS[derivation](experiment, recording, name=name)
        paths[name] = write_curve(curve, out_dir / f"{name}.toml")
    return paths
