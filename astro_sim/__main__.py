"""Simulate astrocytes and their synapses, and turn what they do into fitted curves.

Add --debug to any command to see the traceback of an error."""

import inspect
import logging
import sys
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Literal

from astro_sim.curves.console import deferred, loading, parse, run_command

with loading():
    import tyro
    from tyro.conf import Positional, arg

Seed = Annotated[int, arg(help="Seed of all draws.")]

Target = Annotated[
    Literal["auto", "numpy", "cython", "cpp_standalone"],
    arg(help="Brian2 target; auto is C++ where a compiler is found."),
]


def simulate(
    model: Positional[Literal["li-rinzel", "chi", "g-chi", "network", "tripartite", "nest"]] = "tripartite",
    preset: Literal["fm", "am", "nest", "book"] | None = None,
    protocol: Literal["cycles", "pairing", "poisson", "train"] = "cycles",
    rate_hz: float = 1.0,
    duration_s: float = 300.0,
    n: int = 100,
    ip3_um: float = 0.55,
    alpha: float = 1.0,
    gliotransmission: bool = True,
    noise: float = 0.0,
    channels: int | None = None,
    seed: Seed = 0,
    target: Target = "auto",
    out: Path = Path("runs/simulation"),
) -> int:
    """Run one model under one protocol; write the recording (netCDF) and a figure of every variable.

    Args:
        model: li-rinzel: calcium at fixed IP3; chi: calcium and IP3; g-chi: with receptors, under spikes; network: a
            chain with gap junctions, its first cell pulsed; tripartite: synapses, astrocytes and plasticity; nest:
            NEST's astrocyte.
        preset: Published constants of the astrocyte; by default those that suit the model.
        protocol: Presynaptic activity of models with synapses: 50-s cycles with a burst, pairs, Poisson, or a regular
            train.
        rate_hz: Rate of spikes or pairs.
        duration_s: How long to simulate.
        n: Astrocytes or synapses.
        ip3_um: IP3 concentration in uM for li-rinzel, bias of the exogenous IP3 for chi; both cycle at 0.55.
        alpha: Effect of gliotransmission on release, for tripartite: above U_0__star more release, below it less.
        gliotransmission: Switch gliotransmission on or off for tripartite.
        noise: Fluctuations of the IP3 receptors' gate as published, 1 being their size there; at a cell's fixed point
            they vanish, so that a cell at rest stays at rest. See channels.
        channels: IP3 receptor channels of a cell, which open and close by chance, at rest as well: spontaneous calcium
            events. The fewer, the more noise.
        out: Folder for recording.nc and figures/.
    """
    from brian2 import second, umolar

    import astro_sim as lib
    from astro_sim.figures.pages import draw_recording
    from astro_sim.parameters.tables import THIS_STUDY

    _refuse_unused(
        model, ip3_um=ip3_um, protocol=protocol, rate_hz=rate_hz, alpha=alpha, gliotransmission=gliotransmission
    )
    _require_range(1000, ip3_um=ip3_um, rate_hz=rate_hz)
    _require_range(100, noise=noise)
    common: dict[str, Any] = {"noise": noise, "n_channels": channels}
    common |= {} if preset is None else {"astrocyte": lib.get_preset(preset)}
    stimulus = _spikes(protocol, rate_hz, duration_s) if model in ("g-chi", "tripartite", "nest") else None
    if model == "network":
        cells, stimulus = lib.AstrocyteNetwork(topology=lib.chain(n), **common), lib.DistanceSweep()
    elif model == "tripartite":
        release = lib.variant(lib.GLIOTRANSMISSION, source=THIS_STUDY, alpha=alpha) if gliotransmission else None
        cells = lib.TripartiteSynapses(n_synapses=n, gliotransmission=release, **common)
    else:
        kind = {"li-rinzel": lib.LiRinzel, "chi": lib.ChI, "g-chi": lib.GChI, "nest": lib.InwardCurrent}[model]
        ip3 = {"li-rinzel": {"I": ip3_um * umolar}, "chi": {"I_bias": ip3_um * umolar, "stim": 1}}.get(model, {})
        cells = kind(n_astrocytes=n, **ip3, **common)
    recording = lib.simulate(cells, stimulus, duration=duration_s * second, seed=seed, target=target, progress=True)
    lib.save_recording(recording, out / "recording.nc")
    names = [name for name in recording.data_vars if "time" in recording[name].dims]
    print(f"{'variable':<10} {'unit':<8} {'first':>10} {'last':>10} {'lowest':>10} {'highest':>10} (mean of elements)")
    for name in names:
        mean = recording[name].mean([dim for dim in recording[name].dims if dim != "time"]).to_numpy()
        numbers = " ".join(f"{value:10.4g}" for value in (mean[0], mean[-1], mean.min(), mean.max()))
        print(f"{name:<10} {recording[name].attrs['units']:<8} {numbers}")
    caption = f"{model}, seed {seed}: mean over {n} elements and the middle 90 % of them."
    draw_recording(recording, names, out / "figures" / "recording", caption)
    print(f"recording and figure in {out}")
    return 0


def _refuse_unused(model: str, **options: Any) -> None:
    spikes = ("protocol", "rate_hz")
    release = ("gliotransmission", "alpha") if options["gliotransmission"] else ("gliotransmission",)
    used = {"li-rinzel": ("ip3_um",), "chi": ("ip3_um",), "network": (), "tripartite": (*spikes, *release)}
    for name, value in options.items():
        default = inspect.signature(simulate).parameters[name].default
        if value != default and name not in used.get(model, spikes):
            where = model + ("" if options["gliotransmission"] else " without gliotransmission")
            raise ValueError(f"{name} must be left out for {where}, where it does nothing, got {value}")


def _require_range(most: float, **values: float) -> None:
    """Raise one sentence for a number that no cell has; the model itself takes any."""
    for name, value in values.items():
        if not 0 <= value <= most:
            raise ValueError(f"{name} must be from 0 to {most:g}, got {value:g}")


def _spikes(protocol: str, rate_hz: float, duration_s: float) -> Any:
    from brian2 import Hz, second

    from astro_sim import ContinuousPairing, CycledPairing, Poisson

    rate, length = rate_hz * Hz, duration_s * second
    if protocol == "cycles":
        return CycledPairing(rate=rate, n_cycles=max(1, round(duration_s / 50)))
    if protocol == "pairing":
        return ContinuousPairing(rate=rate, length=length)
    return Poisson(rate=rate, length=length, timing="regular" if protocol == "train" else "poisson")


def presets(name: Positional[str | None] = None) -> int:
    """List the published parameter sets, or print one with every value and its source.

    Args:
        name: fm, am, ... for an astrocyte; release; gliotransmission; DP, ... for plasticity. Without a name: the list.
    """
    from astro_sim.parameters.presets import GLIOTRANSMISSION, PLASTICITY, PRESETS, RELEASE
    from astro_sim.parameters.tables import Table, meanings
    from astro_sim.simulation.recording import describe

    synapse = {"release": RELEASE, "gliotransmission": GLIOTRANSMISSION}
    kinds: dict[str, dict[str, Any]] = {"astrocyte": PRESETS, "synapse": synapse, "plasticity": PLASTICITY}
    known = {preset: (kind, values) for kind, sets in kinds.items() for preset, values in sets.items()}
    if name is None:
        for preset, (kind, values) in known.items():
            print(f"{preset:<22} {kind:<11} {values.source}")
        return 0
    if name not in known:
        raise ValueError(f"name must be one of {', '.join(known)}, got {name!r}")
    values = known[name][1]
    for table in [values] if isinstance(values, Table) else values.tables():
        print(f"{type(table).__name__}  ({table.source})")
        described, meaning = describe(table), meanings(table)
        for symbol in table.quantities():
            value, unit = described[symbol]["value"], described[symbol]["unit"]
            number = f"{value:g}{'' if unit == '1' else ' ' + unit}"
            print(f"  {symbol:<12} {number:<18} {meaning.get(symbol, '')}".rstrip())
    return 0


def curves(
    out: Path = Path("runs/curves"),
    only: tuple[str, ...] | None = None,
    n_synapses: int | None = None,
    seed: int | None = None,
    changes: Annotated[tuple[str, ...], arg(name="set")] = (),
    target: Target = "auto",
    jobs: int = 2,
) -> int:
    """Simulate the standard experiments, fit their curves and write curve files, recordings and figures.

    A run folder gets curves/*.toml (for rmaat), recordings/*.nc and figures/. Change a parameter with --set and see
    what it does to the retention factors: astro-sim curves --only ltp --set gamma_p=x1.2 --out runs/stronger

    Args:
        out: Run folder.
        only: Names of curves, such as ltp stp_calcium; all by default.
        n_synapses: Synapses of each experiment, instead of the standard numbers.
        seed: Seed of all draws; the standard seed by default.
        changes: Parameters that differ from the published ones: O_P=1.08uM/s, or a factor, gamma_p=x1.2.
        jobs: Simulations side by side.
    """
    from tqdm import tqdm

    from astro_sim.curves.files import add_metrics
    from astro_sim.curves.format import read_curve
    from astro_sim.derivations.standard import derive_all, experiments
    from astro_sim.figures.pages import draw_figures
    from astro_sim.parameters.units import check_count

    check_count("jobs", jobs, most=1024)
    if n_synapses is not None:
        check_count("n_synapses", n_synapses)
    if only == ():
        raise ValueError("only must name at least one curve, got none")
    overrides = dict(_assignment(text) for text in changes)
    n_experiments = len(experiments(only, n_synapses, seed, overrides))
    began = perf_counter()
    with tqdm(total=n_experiments, desc="simulate and fit", unit="experiment") as bar:

        def advance(names: str, done: int, _: int) -> None:
            bar.set_postfix_str(names)
            bar.update(done - bar.n)

        paths = derive_all(
            out / "curves",
            only=only,
            n_synapses=n_synapses,
            seed=seed,
            overrides=overrides,
            recordings=out / "recordings",
            target=target,
            n_jobs=jobs,
            progress=advance,
        )
    add_metrics(out, {"seconds": {"simulate and fit": round(perf_counter() - began, 2)}})
    for path in paths.values():
        print(read_curve(path).report(), end="\n\n")
    draw_figures(out)
    print(f"curves, recordings and figures in {out}")
    return 0


def _assignment(text: str) -> tuple[str, str]:
    symbol, equals, value = text.partition("=")
    if not (symbol and equals and value):
        raise ValueError(f"set must be SYMBOL=VALUE, such as O_P=1.08uM/s or gamma_p=x1.2, got {text!r}")
    return symbol, value


def verify(
    files: Positional[tuple[Path, ...]],
    target: Annotated[Literal["auto", "numpy", "cython", "cpp_standalone"], arg(help="Brian2 target.")] = "auto",
    jobs: int = 2,
) -> int:
    """Re-run the simulations named in curve files and say whether files and simulations agree.

    Args:
        files: Curve files (*.toml).
        jobs: Files side by side.
    """
    from astro_sim.derivations.verify import verify_curves
    from astro_sim.parameters.units import check_count

    check_count("jobs", jobs, most=1024)
    if not files:
        raise ValueError("files must name at least one curve file, got none")
    agree = True
    for report in verify_curves(files, target=target, n_jobs=jobs):
        print(report, flush=True)
        agree = agree and report.ok
    return 0 if agree else 1


def fit(
    data: Positional[Path],
    time: str | None = None,
    response: tuple[str, ...] = (),
    sem: str | None = None,
    time_unit: Literal["ms", "s", "min", "h", "d"] | None = None,
    induction: float = 0.0,
    decimal: Literal["point", "comma"] | None = None,
    sheet: str | None = None,
    baseline: float | None = None,
    baseline_sem: float | None = None,
    form: str = "auto",
    name: str | None = None,
    extrapolate: bool = False,
    out: Path = Path("runs/measured/curves"),
) -> int:
    """Fit a measured course of plasticity from a table; write a curve file.

    The table is text (commas, semicolons or tabs, decimal points or commas, as Excel, WinLTP and Clampfit write it) or
    an Excel sheet. Columns and units are taken from its header where that is clear, and one line says how.
    The file goes straight into training: rmaat train --curves FOLDER. No simulator is needed for this.

    Args:
        data: The table; lines that start with # are skipped, and so are rows with missing cells, which is said.
        time: Name or number of the time column; by default the one that its name tells.
        response: Name or number of the response column; several names, or a pattern such as 'slice*', for one column
            per slice or cell.
        sem: Name or number of the column of standard errors; none if it is not to be used.
        time_unit: Unit of the time column, if the header has none; s for a column that is called just time.
        induction: Time of the induction, in the unit of the time column.
        decimal: The decimal mark, where the file leaves it open.
        sheet: Sheet of an Excel file that has several.
        baseline: Subtracted from the response, such as 100 for percent of baseline. By default the mean of the points
            before induction, which also gives the noise, or 100 where the header says percent of baseline, or 0.
        baseline_sem: Standard error of --baseline, 0 if it is exact; without it every form gets a free offset.
        form: Functional form, or auto for the lowest BIC.
        name: Name of the curve; by default ltp if it rises, which retention factors are taken from, ltd if it ends
            below the baseline, else course.
        extrapolate: Allow use beyond the measured range although the form has no plateau.
        out: Folder of the curve file.
    """
    from astro_sim.curves.format import write_curve
    from astro_sim.curves.measured import fit_measured, in_words, read_measured

    if name is not None and Path(name).name != name:
        raise ValueError(f"name must be a word without a path, got {name!r}; the folder is --out")
    measured = read_measured(
        data, time=time, response=response, sem=sem, time_unit=time_unit, induction=induction, decimal=decimal,
        sheet=sheet,
    )  # fmt: skip
    print(measured.summary())
    curve = fit_measured(
        measured, form=form, name=name, baseline=baseline, baseline_sem=baseline_sem, extrapolate=extrapolate
    )
    baseline_notes = curve.provenance["reading"][len(measured.notes) :]
    print("; ".join(baseline_notes) or "no baseline: the response is fitted as it is")
    print(curve.report())
    print(in_words(curve))
    print(write_curve(curve, out / f"{curve.name}.toml"))
    return 0


def events(
    data: Positional[Path],
    variable: str | None = None,
    rate_hz: float | None = None,
    time: str | None = None,
    cells: tuple[str, ...] = (),
    dff: bool | None = None,
    prominence: float | None = None,
    out: Path = Path("runs/events"),
) -> int:
    """Find the calcium events of a recording, simulated or measured; write a table and a figure.

    Each event has its onset, peak, rise from 10 to 90 %, duration at half height, area, and the interval from the
    event before. Measured traces are also written as recording.nc.

    Args:
        data: A recording (.nc), a table with a time column and one column per cell, a folder of Suite2p, or an HDF5
            file of CaImAn.
        variable: What to look at; by default C of a recording, dFF of measured traces.
        rate_hz: Frames a second, for Suite2p.
        time: Name or number of a table's time column; by default the one that its name tells.
        cells: Names or numbers of a table's columns, or a pattern such as 'cell*'.
        dff: Whether the numbers are dF/F already; by default yes for tables, no for Suite2p.
        prominence: Least height of an event above its surroundings; by default what noise alone would reach, or a fifth
            of the trace's range.
        out: Folder for events.csv and the figure.
    """
    from astro_sim.curves.files import write_text
    from astro_sim.curves.plotting import save_figure
    from astro_sim.recordings import events as find
    from astro_sim.recordings import plot_events, read_traces, synchrony
    from astro_sim.simulation.recording import load_recording, save_recording

    simulated = data.suffix == ".nc"
    recording = (
        load_recording(data) if simulated else read_traces(data, rate_hz=rate_hz, time=time, cells=cells, dff=dff)
    )
    variable = variable or ("dFF" if "dFF" in recording else "C")
    table = find(recording, variable, prominence=prominence)
    dim = next(str(dim) for dim in recording[variable].dims if dim != "time")
    minutes = float(recording["time"][-1] - recording["time"][0]) / 60
    n = recording.sizes[dim]
    rate = len(table) / n / minutes
    print(f"{len(table)} events in {n} elements and {minutes:.3g} min: {rate:.3g} a minute and element")
    if len(table):
        print(table.drop(columns=["element", "onset_s", "peak_s"]).median().to_string(float_format="{:.4g}".format))
    print(f"synchrony {synchrony(recording, variable):.3g} (1: all alike; {n**-0.5:.2g}: independent)")
    write_text(out / "events.csv", table.to_csv(index=False, float_format="%.6g"))
    save_figure(plot_events(recording, table, variable).figure, out / "events")
    if not simulated:
        save_recording(recording, out / "recording.nc")
    print(f"events.csv and figure in {out}")
    return 0


def sweep(
    rates_hz: tuple[float, float, int] = (0.1, 100.0, 25),
    parameter: str | None = None,
    factors: tuple[float, ...] = (0.5, 1.0, 2.0),
    repeats: int = 20,
    duration_s: float = 150.0,
    record: tuple[str, ...] = ("C", "r_S"),
    seed: Seed = 0,
    jobs: int = 1,
    cluster: str | None = None,
    out: Path = Path("runs/sweep"),
) -> int:
    """Sweep the presynaptic rate, and maybe one parameter, of tripartite synapses; resumes where it was stopped.

    Args:
        rates_hz: Lowest rate, highest rate, and how many between them on a logarithmic scale.
        parameter: A quantity of the model that is swept too, such as release.U_0__star or astrocyte.calcium.O_P.
        factors: The parameter's values as multiples of the published one.
        repeats: Repeats of each condition.
        duration_s: How long each is simulated.
        record: Variables to record.
        jobs: Runs side by side.
        cluster: Address of a Dask scheduler, such as tcp://host:8786; its workers must see the output folder.
        out: Folder of the conditions; an interrupted sweep goes on in it.
    """
    from brian2 import Hz, second

    import astro_sim as lib
    from astro_sim.parameters.units import Checked, check_count

    model = lib.TripartiteSynapses(plasticity=None)
    low, high, n = rates_hz
    _require_range(1000, rates_hz=max(low, high))
    check_count("rates_hz's number", n)
    check_count("jobs", jobs, most=1024)
    axes = {"protocol.rate": lib.log_rates(low * Hz, high * Hz, n)}
    if parameter is not None:
        *tables, symbol = parameter.split(".")
        owner = reduce(lambda part, name: getattr(part, name, None), tables, model)
        value = owner.quantities().get(symbol) if isinstance(owner, Checked) else None
        if value is None:
            raise ValueError(f"parameter must be a quantity such as release.U_0__star, got {parameter!r}")
        axes[parameter] = [factor * value for factor in factors]
    protocol = lib.Poisson(rate=1 * Hz, length=duration_s * second)
    conditions = lib.Sweep(model=model, protocol=protocol, axes=axes, repeats=repeats, record=record, seed=seed)
    client = None
    if cluster is not None:
        from dask.distributed import Client

        client = Client(cluster)
    result = lib.run_sweep(conditions, out, n_jobs=jobs, client=client, progress=True)
    lib.save_recording(result, out / "sweep.nc")
    print(f"{conditions.n_conditions} conditions x {repeats} repeats in {out / 'sweep.nc'}")
    return 0


def validate(ids: Positional[tuple[str, ...]] = (), jobs: int = 2, out: Path | None = None) -> int:
    """Measure the published and closed-form numbers that the simulator must reproduce; exits 1 if one is off.

    The table is printed; that of all targets is also written to VALIDATION.md, or where --out says.

    Args:
        ids: Targets, such as V7 V25; all by default, which takes some minutes.
        jobs: Targets side by side.
        out: File for the table; by default VALIDATION.md when all targets are measured.
    """
    from astro_sim.validation import validate, write_validation

    validation = validate(ids or None, n_jobs=jobs, progress=True)
    print(validation.markdown())
    if out is not None or not ids:
        write_validation(validation, out or "VALIDATION.md")
    return 0 if validation.passed else 1


def sensitivity(
    constants: Positional[tuple[Literal["a", "alpha", "length"], ...]] = ("a", "alpha", "length"),
    spread: float = 0.1,
    trajectories: int = 10,
    leading: int = 6,
    base: int = 128,
    seed: Seed = 0,
    target: Target = "auto",
    out: Path = Path("runs/sensitivity"),
) -> int:
    """Find which biophysical parameters move the constants of the network: Morris screening, then Sobol indices.

    Tables and figure are written to sensitivity.md, .svg and .png in the output folder.

    Args:
        constants: a: relaxation of the efficacy per cycle; alpha: exponent of calcium against rate; length: spread of
            IP3.
        spread: Largest relative change of a parameter.
        trajectories: Of the screening; each takes one parameter set more than there are parameters.
        leading: Parameters for which indices are computed.
        base: Of the indices, a power of two; they take base * (leading + 2) parameter sets.
        out: Folder for the tables and the figure.
    """
    from astro_sim.derivations.sensitivity import sensitivity, to_markdown, write_sensitivity

    sizes = {"n_trajectories": trajectories, "n_leading": leading, "n_base": base}
    results = sensitivity(constants, spread=spread, seed=seed, target=target, **sizes)
    print(to_markdown(results))
    write_sensitivity(results, out / "sensitivity")
    return 0


COMMANDS: dict[str, Callable[..., int]] = {
    command.__name__: command
    for command in (simulate, curves, verify, fit, events, sweep, presets, validate, sensitivity)
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; errors are one line, or a traceback with --debug."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    return run_command(_run, argv, resumed=("sweep",))


def _run(argv: Sequence[str]) -> int:
    commands = {name: deferred(command) for name, command in COMMANDS.items()}
    parser = tyro.extras.subcommand_cli_from_dict
    return parse(parser, commands, prog="astro-sim", description=__doc__, args=argv)()


if __name__ == "__main__":
    sys.exit(main())
