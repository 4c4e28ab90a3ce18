"""Simulate astrocytes and their synapses, and turn what they do into fitted curves.

Add --debug to any command to see the traceback of an error."""

import contextlib
import io
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro
from tyro.conf import Positional

from astro_sim.models import synapses
from astro_sim.protocols import pairing, pulses


@dataclass(frozen=True)
class Simulate:
    """Run one model under one protocol; write the recording (netCDF) and a figure of every variable."""

    model: Positional[Literal["li-rinzel", "chi", "g-chi", "network", "tripartite", "nest"]] = "tripartite"
    """li-rinzel: calcium at fixed IP3; chi: calcium and IP3; g-chi: with receptors, under spikes; network: a chain with
    gap junctions, its first cell pulsed; tripartite: synapses, astrocytes and plasticity; nest: NEST's astrocyte."""
    preset: Literal["fm", "am", "nest", "book"] | None = None
    """Published constants of the astrocyte; by default those that suit the model."""
    protocol: Literal["cycles", "pairing", "poisson", "train"] = "cycles"
    """Presynaptic activity of models with synapses: 50-s cycles with a burst, pairs, Poisson, or a regular train."""
    rate_hz: float = 1.0
    """Rate of spikes or pairs."""
    duration_s: float = 300.0
    """How long to simulate."""
    n: int = 100
    """Astrocytes or synapses."""
    ip3_um: float = 0.55
    """IP3 concentration in uM for li-rinzel, bias of the exogenous IP3 for chi; both cycle at 0.55."""
    alpha: float = 1.0
    """Effect of gliotransmission on release, for tripartite: above U_0__star more release, below it less."""
    gliotransmission: bool = True
    """Switch gliotransmission on or off for tripartite."""
    noise: float = 0.0
    """Channel noise of the IP3 receptors; 1 is the published amount."""
    seed: int = 0
    """Seed of all draws."""
    target: Literal["auto", "numpy", "cython", "cpp_standalone"] = "auto"
    """Brian2 target; auto is C++ where a compiler is found."""
    out: Path = Path("runs/simulation")
    """Folder for recording.nc and figures/."""

    def run(self) -> int:
        """Simulate; print a table, write recording and figure; return 0. An option without effect is a ValueError."""
        from astro_sim.curves.plotting import panels, save_figure
        from astro_sim.figures.plots import plot_course
        from astro_sim.simulation.recording import save_recording
        from astro_sim.simulation.run import simulate

        model, protocol, duration = self._experiment()
        recording = simulate(model, protocol, duration=duration, seed=self.seed, target=self.target, progress=True)
        save_recording(recording, self.out / "recording.nc")
        names = [name for name in recording.data_vars if "time" in recording[name].dims]
        print(
            f"{'variable':<10} {'unit':<8} {'first':>10} {'last':>10} {'lowest':>10} {'highest':>10} (mean of elements)"
        )
        for name in names:
            mean = recording[name].mean([dim for dim in recording[name].dims if dim != "time"]).to_numpy()
            numbers = " ".join(f"{value:10.4g}" for value in (mean[0], mean[-1], mean.min(), mean.max()))
            print(f"{name:<10} {recording[name].attrs['units']:<8} {numbers}")
        axes = panels(len(names), 1, size=(5.5, 1.5 * len(names)), sharex=True, squeeze=False).ravel()
        for name, ax in zip(names, axes, strict=True):
            plot_course(recording, name, ax=ax)
            ax.label_outer()
        caption = f"{self.model}, seed {self.seed}: mean over {self.n} elements and the middle 90 % of them."
        save_figure(axes[0].figure, self.out / "figures" / "recording", caption)
        print(f"recording and figure in {self.out}")
        return 0

    def _experiment(self):
        """Model, protocol and duration as Brian2 quantities."""
        import dataclasses

        from brian2 import Hz, second, umolar

        from astro_sim.models import astrocytes as models
        from astro_sim.models.topology import chain
        from astro_sim.parameters.presets import get_preset
        from astro_sim.parameters.tables import THIS_STUDY
        from astro_sim.parameters.variants import variant
        from astro_sim.protocols import trains as protocols

        self._refuse_unused()
        duration = self.duration_s * second
        preset = {} if self.preset is None else {"astrocyte": get_preset(self.preset)}
        if self.model == "li-rinzel":
            return (
                models.LiRinzel(I=self.ip3_um * umolar, n_astrocytes=self.n, noise=self.noise, **preset),
                None,
                duration,
            )
        if self.model == "chi":
            return (
                models.ChI(I_bias=self.ip3_um * umolar, stim=1, n_astrocytes=self.n, noise=self.noise, **preset),
                None,
                duration,
            )
        if self.model == "network":
            return (
                models.AstrocyteNetwork(topology=chain(self.n), noise=self.noise, **preset),
                pulses.DistanceSweep(),
                duration,
            )
        cycles = max(1, round(self.duration_s / 50))
        protocol = {
            "cycles": lambda: pairing.CycledPairing(rate=self.rate_hz * Hz, n_cycles=cycles),
            "pairing": lambda: pairing.ContinuousPairing(rate=self.rate_hz * Hz, length=duration),
            "poisson": lambda: protocols.Poisson(rate=self.rate_hz * Hz, length=duration),
            "train": lambda: protocols.Poisson(rate=self.rate_hz * Hz, length=duration, timing="regular"),
        }[self.protocol]()
        if self.model == "g-chi":
            return models.GChI(n_astrocytes=self.n, noise=self.noise, **preset), protocol, duration
        if self.model == "nest":
            return models.InwardCurrent(n_astrocytes=self.n, noise=self.noise, **preset), protocol, duration
        tripartite = synapses.TripartiteSynapses(n_synapses=self.n, noise=self.noise, **preset)
        transmitter = (
            variant(tripartite.gliotransmission, source=THIS_STUDY, alpha=self.alpha) if self.gliotransmission else None
        )
        return dataclasses.replace(tripartite, gliotransmission=transmitter), protocol, duration

    def _refuse_unused(self) -> None:
        """Raise one sentence for an option that would change nothing."""
        spikes = ("protocol", "rate_hz")
        release = ("gliotransmission", "alpha") if self.gliotransmission else ("gliotransmission",)
        used = {"li-rinzel": ("ip3_um",), "chi": ("ip3_um",), "network": (), "g-chi": spikes, "nest": spikes}
        used["tripartite"] = (*spikes, *release)
        for name in ("ip3_um", *spikes, "alpha", "gliotransmission"):
            value = getattr(self, name)
            if value != getattr(Simulate, name) and name not in used[self.model]:
                where = self.model + ("" if self.gliotransmission else " without gliotransmission")
                raise ValueError(f"{name} must be left out for {where}, where it does nothing, got {value}")


@dataclass(frozen=True)
class Presets:
    """List the published parameter sets, or print one with every value and its source."""

    name: Positional[str | None] = None
    """fm, am, ... for an astrocyte; release; gliotransmission; DP, ... for plasticity. Without a name: the list."""

    def run(self) -> int:
        """Print the list, or one set; return 0. An unknown name is a ValueError."""
        from astro_sim.parameters.presets import GLIOTRANSMISSION, PLASTICITY, PRESETS, RELEASE
        from astro_sim.parameters.tables import meanings
        from astro_sim.simulation.recording import describe

        synapse = {"release": RELEASE, "gliotransmission": GLIOTRANSMISSION}
        kinds: dict[str, dict[str, Any]] = {"astrocyte": PRESETS, "synapse": synapse, "plasticity": PLASTICITY}
        if self.name is None:
            for kind, presets in kinds.items():
                for name, preset in presets.items():
                    print(f"{name:<22} {kind:<11} {preset.source}")
            return 0
        known = {name: preset for presets in kinds.values() for name, preset in presets.items()}
        if self.name not in known:
            raise ValueError(f"name must be one of {', '.join(known)}, got {self.name!r}")
        preset = known[self.name]
        for table in preset.tables() if hasattr(preset, "tables") else [preset]:
            print(f"{type(table).__name__}  ({table.source})")
            described, meaning = describe(table), meanings(table)
            for symbol in table.quantities():
                value, unit = described[symbol]["value"], described[symbol]["unit"]
                number = f"{value:g}{'' if unit == '1' else ' ' + unit}"
                print(f"  {symbol:<12} {number:<18} {meaning.get(symbol, '')}".rstrip())
        return 0


@dataclass(frozen=True)
class Curves:
    """Simulate the standard experiments, fit their curves and write curve files, recordings and figures.

    A run folder gets curves/*.toml (for rmaat), recordings/*.nc and figures/. Change a parameter with --set and see
    what it does to the retention factors: astro-sim curves --only ltp --set gamma_p=x1.2 --out runs/stronger
    """

    out: Path = Path("runs/curves")
    """Run folder."""
    only: tuple[str, ...] | None = None
    """Names of curves, such as ltp stp_calcium; all by default."""
    n_synapses: int | None = None
    """Synapses of each experiment, instead of the standard numbers."""
    seed: int | None = None
    """Seed of all draws; the standard seed by default."""
    set: tuple[str, ...] = ()
    """Parameters that differ from the published ones: O_P=1.08uM/s, or a factor, gamma_p=x1.2."""
    target: Literal["auto", "numpy", "cython", "cpp_standalone"] = "auto"
    """Brian2 target; auto is C++ where a compiler is found."""
    jobs: int = 2
    """Simulations side by side."""

    def run(self) -> int:
        """Simulate and fit; print and write what comes out; return 0. A wrong option is a ValueError."""
        from time import perf_counter

        from tqdm import tqdm

        from astro_sim.curves.files import record_seconds
        from astro_sim.curves.format import read_curve
        from astro_sim.derivations.standard import derive_all, experiments
        from astro_sim.figures.pages import draw_figures
        from astro_sim.parameters.units import check_count

        check_count("jobs", self.jobs)
        if self.n_synapses is not None:
            check_count("n_synapses", self.n_synapses)
        if self.only == ():
            raise ValueError("only must name at least one curve, got none")
        overrides = dict(_assignment(text) for text in self.set)
        n_experiments = len(experiments(self.only, self.n_synapses, self.seed, overrides))
        began = perf_counter()
        with tqdm(total=n_experiments, desc="simulate and fit", unit="experiment") as bar:

            def advance(names: str, done: int, _: int) -> None:
                bar.set_postfix_str(names)
                bar.update(done - bar.n)

            paths = derive_all(
                self.out / "curves",
                only=self.only,
                n_synapses=self.n_synapses,
                seed=self.seed,
                overrides=overrides,
                recordings=self.out / "recordings",
                target=self.target,
                n_jobs=self.jobs,
                progress=advance,
            )
        record_seconds(self.out, "simulate and fit", perf_counter() - began)
        for path in paths.values():
            print(read_curve(path).report(), end="\n\n")
        draw_figures(self.out)
        print(f"curves, recordings and figures in {self.out}")
        return 0


def _assignment(text: str) -> tuple[str, str]:
    symbol, equals, value = text.partition("=")
    if not (symbol and equals and value):
        raise ValueError(f"set must be SYMBOL=VALUE, such as O_P=1.08uM/s or gamma_p=x1.2, got {text!r}")
    return symbol, value


@dataclass(frozen=True)
class Verify:
    """Re-run the simulations named in curve files and say whether files and simulations agree."""

    files: Positional[tuple[Path, ...]]
    """Curve files (*.toml)."""
    target: Literal["auto", "numpy", "cython", "cpp_standalone"] = "auto"
    """Brian2 target."""
    jobs: int = 2
    """Files side by side."""

    def run(self) -> int:
        """Simulate again and print reports; return 0 when all agree, else 1. A damaged file is a ValueError."""
        from astro_sim.derivations.verify import verify_curves
        from astro_sim.parameters.units import check_count

        check_count("jobs", self.jobs)
        if not self.files:
            raise ValueError("files must name at least one curve file, got none")
        agree = True
        for report in verify_curves(self.files, target=self.target, n_jobs=self.jobs):
            print(report, flush=True)
            agree = agree and report.ok
        return 0 if agree else 1


@dataclass(frozen=True)
class Fit:
    """Fit a measured course of plasticity, a CSV with columns time, response and optionally sem; write a curve file.

    The file goes straight into training: rmaat train --curves FOLDER. No simulator is needed for this."""

    data: Positional[Path]
    """CSV file with a header; lines that start with # are skipped."""
    form: str = "auto"
    """Functional form, or auto for the lowest BIC."""
    name: str = "ltp"
    """Name of the curve; ltp is the one that retention factors are taken from."""
    time_unit: Literal["s", "min", "h"] = "s"
    """Unit of the time column."""
    baseline: float = 0.0
    """Subtracted from the response, such as 100 for percent of baseline."""
    extrapolate: bool = False
    """Allow use beyond the measured range although the form has no plateau."""
    out: Path = Path("runs/measured/curves")
    """Folder of the curve file."""

    def run(self) -> int:
        """Fit, print the report and write the curve file; return 0. Data that cannot be fitted are a ValueError."""
        from astro_sim.curves.format import write_curve
        from astro_sim.curves.measured import fit_csv

        if Path(self.name).name != self.name:
            raise ValueError(f"name must be a word without a path, got {self.name!r}; the folder is --out")
        options = {"form": self.form, "name": self.name, "time_unit": self.time_unit}
        curve = fit_csv(self.data, baseline=self.baseline, extrapolate=self.extrapolate, **options)
        print(curve.report())
        print(write_curve(curve, self.out / f"{self.name}.toml"))
        return 0


@dataclass(frozen=True)
class SweepRates:
    """Sweep the presynaptic rate, and maybe one parameter, of tripartite synapses; resumes where it was stopped."""

    rates_hz: tuple[float, float, int] = (0.1, 100.0, 25)
    """Lowest rate, highest rate, and how many between them on a logarithmic scale."""
    parameter: str | None = None
    """A quantity of the model that is swept too, such as release.U_0__star or astrocyte.calcium.O_P."""
    factors: tuple[float, ...] = (0.5, 1.0, 2.0)
    """The parameter's values as multiples of the published one."""
    repeats: int = 20
    """Repeats of each condition."""
    duration_s: float = 150.0
    """How long each is simulated."""
    record: tuple[str, ...] = ("C", "r_S")
    """Variables to record."""
    seed: int = 0
    """Seed of all draws."""
    jobs: int = 1
    """Runs side by side."""
    cluster: str | None = None
    """Address of a Dask scheduler, such as tcp://host:8786; its workers must see the output folder."""
    out: Path = Path("runs/sweep")
    """Folder of the conditions; an interrupted sweep goes on in it."""

    def run(self) -> int:
        """Run what is missing of the sweep, write ``sweep.nc``; return 0. An unknown parameter is a ValueError."""
        from brian2 import Hz, second

        from astro_sim.models.synapses import TripartiteSynapses
        from astro_sim.parameters.units import Checked
        from astro_sim.protocols.trains import Poisson, log_rates
        from astro_sim.simulation.recording import save_recording
        from astro_sim.sweeps.run import run_sweep
        from astro_sim.sweeps.sweep import Sweep

        model = TripartiteSynapses(plasticity=None)
        low, high, n = self.rates_hz
        axes = {"protocol.rate": log_rates(low * Hz, high * Hz, n)}
        if self.parameter is not None:
            *tables, symbol = self.parameter.split(".")
            owner: Any = model
            for name in tables:
                owner = getattr(owner, name, None)
            value = owner.quantities().get(symbol) if isinstance(owner, Checked) else None
            if value is None:
                raise ValueError(f"parameter must be a quantity such as release.U_0__star, got {self.parameter!r}")
            axes[self.parameter] = [factor * value for factor in self.factors]
        protocol = Poisson(rate=1 * Hz, length=self.duration_s * second)
        sweep = Sweep(
            model=model, protocol=protocol, axes=axes, repeats=self.repeats, record=self.record, seed=self.seed
        )
        client = None
        if self.cluster is not None:
            from dask.distributed import Client

            client = Client(self.cluster)
        result = run_sweep(sweep, self.out, n_jobs=self.jobs, client=client, progress=True)
        save_recording(result, self.out / "sweep.nc")
        print(f"{sweep.n_conditions} conditions x {self.repeats} repeats in {self.out / 'sweep.nc'}")
        return 0


@dataclass(frozen=True)
class Validate:
    """Measure the published and closed-form numbers that the simulator must reproduce; exits 1 if one is off.

    The table is printed; that of all targets is also written to VALIDATION.md, or where --out says."""

    ids: Positional[tuple[str, ...]] = ()
    """Targets, such as V7 V25; all by default, which takes some minutes."""
    jobs: int = 2
    """Targets side by side."""
    out: Path | None = None
    """File for the table; by default VALIDATION.md when all targets are measured."""

    def run(self) -> int:
        """Measure; print and maybe write the table; return 0 when all targets are met, else 1."""
        from astro_sim.validation.targets import validate, write_validation

        validation = validate(self.ids or None, n_jobs=self.jobs, progress=True)
        print(validation.markdown())
        out = Path("VALIDATION.md") if self.out is None and not self.ids else self.out
        if out is not None:
            write_validation(validation, out)
        return 0 if validation.passed else 1


@dataclass(frozen=True)
class Sensitivity:
    """Find which biophysical parameters move the constants of the network: Morris screening, then Sobol indices.

    Tables and figure are written to sensitivity.md, .svg and .png in the output folder."""

    constants: Positional[tuple[Literal["a", "alpha", "length"], ...]] = ("a", "alpha", "length")
    """a: relaxation of the efficacy per cycle; alpha: exponent of calcium against rate; length: spread of IP3."""
    spread: float = 0.1
    """Largest relative change of a parameter."""
    trajectories: int = 10
    """Of the screening; each takes one parameter set more than there are parameters."""
    leading: int = 6
    """Parameters for which indices are computed."""
    base: int = 128
    """Of the indices, a power of two; they take base * (leading + 2) parameter sets."""
    seed: int = 0
    """Seed of all draws."""
    target: Literal["auto", "numpy", "cython", "cpp_standalone"] = "auto"
    """Brian2 target; auto is C++ where a compiler is found."""
    out: Path = Path("runs/sensitivity")
    """Folder for the tables and the figure."""

    def run(self) -> int:
        """Analyse; print the tables, write them and the figure; return 0. A wrong size or spread is a ValueError."""
        from astro_sim.derivations.sensitivity import sensitivity, to_markdown, write_sensitivity

        results = sensitivity(
            self.constants,
            spread=self.spread,
            n_trajectories=self.trajectories,
            n_leading=self.leading,
            n_base=self.base,
            seed=self.seed,
            target=self.target,
        )
        print(to_markdown(results))
        write_sensitivity(results, self.out / "sensitivity")
        return 0


COMMANDS = {
    "simulate": Simulate,
    "curves": Curves,
    "verify": Verify,
    "fit": Fit,
    "sweep": SweepRates,
    "presets": Presets,
    "validate": Validate,
    "sensitivity": Sensitivity,
}

EXPECTED = (ValueError, TypeError, OSError, RuntimeError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; errors are one line, or a traceback with --debug."""
    argv = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in argv
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        arguments = [word for word in argv if word != "--debug"]
        parser = tyro.extras.subcommand_cli_from_dict
        try:
            return _parse(parser, COMMANDS, prog="astro-sim", description=__doc__, args=arguments).run()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # head, say, has read enough; what is left to write at exit must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as of a program that SIGPIPE ended
    except EXPECTED as error:
        if debug:
            traceback.print_exc()
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _parse(parse: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call a parser of tyro; what it would draw as a box on standard error becomes the one line of a ValueError."""
    drawn = io.StringIO()
    try:
        with contextlib.redirect_stderr(drawn):
            return parse(*args, **options)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        inside = drawn.getvalue().translate(dict.fromkeys(map(ord, "╭╮╰╯│"), " "))
        parts = [" ".join(part.split()).rstrip(".") for part in re.split("[-─]{3,}", inside)]
        raise ValueError("; ".join(filter(None, parts[1:]))) from None  # the first is the heading of the box


if __name__ == "__main__":
    sys.exit(main())
