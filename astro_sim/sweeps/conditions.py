"""The runs of a sweep: many conditions as elements of one run, many runs of one build.

A batch holds ``conditions x repeats (x cells)`` elements, each condition's constants being per-element arrays. Several
batches that differ only in such constants share one C++ build: the constants, and the initial state that follows from
them, are given to the compiled program on its command line (Brian2's ``run_args``), and the programs run side by side.
"""

import dataclasses
import itertools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import brian2 as b2
import joblib
import numpy as np

from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.parameters.variants import variant_at
from astro_sim.protocols.protocol import Joined
from astro_sim.simulation.arguments import check_settings
from astro_sim.simulation.description import RENAMED
from astro_sim.simulation.initial import astrocyte_state
from astro_sim.simulation.network import build
from astro_sim.simulation.recording import Recording, collect, flatten, to_json
from astro_sim.simulation.recording import describe as described
from astro_sim.simulation.run import choose_target, compile_program, device, simulate
from astro_sim.simulation.synapses import describe

SETTINGS = ("duration", "dt", "astrocyte_dt", "record_every", "initial")

# Constants that decide which equations are built, or that a compiled program does not take: one build for each value.
STRUCTURAL = ("noise", "n_channels", "sigma", "stim", "D", "I_Theta", "omega_I")


@dataclass(frozen=True)
class Batch:
    """One run: which conditions its elements are, in blocks of ``repeats x cells``.

    ``conditions`` may end with copies of its last one, so that all batches of a build have one size; ``n`` are real.
    """

    index: int
    conditions: tuple[int, ...]
    n: int


def at(sweep, conditions, per_condition: int | None) -> dict[str, Any]:
    """Arguments of `simulate` for some conditions: arrays, `per_condition` elements for each; scalars where None."""
    call = {"model": sweep.model, "protocol": sweep.protocol, "seed": sweep.seed, "record": sweep.record}
    call |= sweep.settings
    for path, values in sweep.axes.items():
        chosen = [values[sweep.position(condition, path)] for condition in conditions]
        value = chosen[0]
        if per_condition is not None and path in sweep.element_axes:
            value = np.repeat(b2.Quantity(chosen), per_condition)
        if path in SETTINGS:
            call[path] = value
        else:
            owner, name = owner_of(path)
            call[owner] = variant_at(call[owner], name, value)
    return call


def owner_of(path: str) -> tuple[str, str]:
    """What an axis changes, ``protocol`` or ``model``, and the path of the field there."""
    return ("protocol", path.removeprefix("protocol.")) if path.startswith("protocol.") else ("model", path)


def arguments(sweep, batch: Batch) -> dict[str, Any]:
    """Arguments of `simulate` for a whole batch."""
    call = at(sweep, batch.conditions, sweep.repeats * sweep.n_cells)
    model, whole = copied(call["model"], call["protocol"], len(batch.conditions) * sweep.repeats)
    parts = tuple(at(sweep, [condition], None)["protocol"] for condition in batch.conditions)
    return {**call, "model": model, "protocol": Joined(whole=whole, parts=parts)}


def copied(model: Any, protocol: Any, copies: int) -> tuple[Any, Any]:
    """Model and protocol for so many elements; of a network, whole copies, each with its own pulsed cells."""
    topology = getattr(model, "topology", None)
    if topology is None:
        count = "n_synapses" if isinstance(model, TripartiteSynapses) else "n_astrocytes"
        return dataclasses.replace(model, **{count: copies}), protocol
    if hasattr(protocol, "sources"):
        shifts = itertools.product(range(copies), protocol.sources)
        protocol = dataclasses.replace(protocol, sources=tuple(copy * topology.n + cell for copy, cell in shifts))
    return dataclasses.replace(model, topology=topology.copies(copies)), protocol


def split(sweep, batch: Batch, recording: Recording) -> Iterator[tuple[int, Recording]]:
    """The recording of each condition of a batch, with dimensions ``repeat`` (and ``cell``) for its elements."""
    block = sweep.repeats * sweep.n_cells
    for place in range(batch.n):
        condition, first = batch.conditions[place], place * block
        part = recording.drop_vars(["release_time", "release_astrocyte"], errors="ignore")
        for dim in ("synapse", "astrocyte"):
            if dim in part.dims:
                part = part.isel({dim: slice(first, first + block)}).drop_vars(dim)
                part = part.coarsen({dim: sweep.n_cells}).construct({dim: ("repeat", "cell")})
        if "release_astrocyte" in recording:
            element = recording["release_astrocyte"].values - first
            inside = (element >= 0) & (element < block)
            counts = np.bincount(element[inside], minlength=block).reshape(sweep.repeats, sweep.n_cells)
            part["n_releases"] = (("repeat", "cell"), counts, {"units": "1"})
        part = part.isel(cell=0, missing_dims="ignore") if sweep.n_cells == 1 else part
        one = at(sweep, [condition], None)
        part.attrs |= {
            "parameters": to_json(flatten(described(one["model"]))),
            "protocol": to_json(described(one["protocol"])),
            "n_synapses": block if recording.attrs["n_synapses"] else 0,
            "n_astrocytes": block if recording.attrs["n_astrocytes"] else 0,
            "condition": condition,
            "batch": batch.index,
            "first_element": first,
        }
        yield condition, part if sweep.reduce is None else sweep.reduce(part)


def run_batches(sweep, batches: list[Batch], n_jobs: int = 1) -> Iterator[tuple[Batch, Recording]]:
    """Run batches that share a build, in any order."""
    target = choose_target(sweep.target)
    if target == "cpp_standalone" and len(batches) > 1:
        yield from _run_build(sweep, batches, n_jobs)
    else:
        yield from ((batch, simulate(**arguments(sweep, batch), target=target)) for batch in batches)


def _run_build(sweep, batches: list[Batch], n_jobs: int) -> Iterator[tuple[Batch, Recording]]:
    """One build, one run of its program for each batch, `n_jobs` of them side by side."""
    settings = {}
    for batch in batches:
        call = {**dict.fromkeys(SETTINGS), "initial": "fixed_point", **arguments(sweep, batch)}
        settings[batch.index] = check_settings(**{name: value for name, value in call.items() if name != "record"})
    with device("cpp_standalone"):
        b2.seed(sweep.seed)
        first = settings[batches[0].index]
        network = build(describe(first), first, sweep.record)
        network.run(first.end)
        program = b2.get_device()
        folder = Path(program.build_options["directory"])
        compile_program()
        places = _places(sweep, network)
        lost = {path for path in model_axes(sweep) if path.rsplit(".", 1)[-1] not in places}
        if lost:
            raise ValueError(f"axes must be constants of the simulated equations, got {min(lost)!r}, which none uses")

        def run(batch: Batch) -> Batch:
            values = _values(sweep, batch, settings[batch.index], network)
            files = {place: value for name, value in values.items() for place in places[name]}
            _execute(folder, batch, files)
            return batch

        workers = joblib.Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator_unordered")
        for batch in workers(joblib.delayed(run)(batch) for batch in batches):
            program.results_dir = f"{folder}/results-{batch.index}/"
            program.has_been_run = True
            program.array_cache.update(dict.fromkeys(program.array_cache))  # forget the results read before
            yield batch, collect(settings[batch.index], network, "cpp_standalone")


def model_axes(sweep) -> list[str]:
    """Axes of the model that are elements."""
    return [path for path in sweep.element_axes if owner_of(path)[0] == "model"]


def _places(sweep, network) -> dict[str, list[tuple[str, np.dtype]]]:
    """Symbol -> the arrays of the compiled program that hold it: ``group.variable`` and type."""
    symbols = {path.rsplit(".", 1)[-1] for path in model_axes(sweep)}
    found: dict[str, list[tuple[str, np.dtype]]] = {}
    for symbol in symbols | {"C", "h", "I"}:
        name = RENAMED.get(symbol, symbol)
        for group in network.parts.values():
            variable = getattr(group, "variables", {}).get(name)
            if isinstance(variable, b2.core.variables.ArrayVariable) and variable.owner.name == group.name:
                found.setdefault(symbol, []).append((f"{group.name}.{name}", variable.dtype))
    return found


def _values(sweep, batch: Batch, settings, network) -> dict[str, np.ndarray]:
    """Symbol -> value for every element of a batch: swept constants, and the initial state that follows from them."""
    block = sweep.repeats * sweep.n_cells
    values = {}
    for path in model_axes(sweep):
        chosen = [sweep.axes[path][sweep.position(condition, path)] for condition in batch.conditions]
        values[path.rsplit(".", 1)[-1]] = np.repeat(np.asarray(chosen, dtype=float), block)
    if "astrocytes" in network.parts and settings.model.astrocyte is not None:
        state = astrocyte_state(settings)
        values |= {name: value for name, value in state.items() if name not in settings.overrides}
    return values


def _execute(folder: Path, batch: Batch, values: dict[tuple[str, np.dtype], np.ndarray]) -> None:
    """Run the compiled program with its own values and its own folder of results."""
    results = folder / f"results-{batch.index}"
    results.mkdir()
    command = ["./main", "--results_dir", f"{results}/"]
    for (name, dtype), value in values.items():
        value.astype(dtype).tofile(results / f"{name}.dat")
        command.append(f"{name}={results / name}.dat")
    with open(results / "stdout.txt", "w") as output:
        subprocess.run(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, check=True)
