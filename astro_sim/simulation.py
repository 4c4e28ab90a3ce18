"""Build and run a network: model and protocol in, recording out.

Examples
--------
Long-term plasticity under gliotransmission, six 50-s cycles with a 5-s burst of pairs each; 1000 synapses, each with
its own ``fm`` astrocyte::

    recording = simulate(TripartiteSynapses(), CycledPairing(rate=1 * Hz, n_cycles=6), seed=1)
    p = recording["rho"].sel(time=[50, 100, 150, 200, 250, 300]).mean("synapse")

Eight burst rates in one run, 128 synapses each; any quantity of model or protocol may be such an array::

    rates = np.repeat(log_rates(0.2 * Hz, 5 * Hz, 8), 128)
    simulate(TripartiteSynapses(), CycledPairing(rate=rates, timing="jittered"))

Calcium against presynaptic rate, without feedback::

    sweep = AstrocyteResponse(rates=log_rates(0.1 * Hz, 100 * Hz, 20), repeats=20)
    model = TripartiteSynapses(astrocyte=AM, gliotransmission=None, plasticity=None, release=RELEASE)
    recording = simulate(model, sweep, record=["C"])
    mean_C = recording["C"].sel(time=slice(30, None)).mean("time").groupby(...)

A chain of astrocytes with linear gap junctions, the fifth of them pulsed with IP3 for 20 s::

    network = AstrocyteNetwork(topology=chain(11), coupling=variant(LINEAR, source="this study", F_lin=0.5 / second))
    recording = simulate(network, DistanceSweep(sources=(5,)), record=["I", "C"])

Variants::

    simulate(TripartiteSynapses(gliotransmission=None))                                   # release and plasticity
    simulate(TripartiteSynapses(astrocyte=None, gliotransmission=None, release=None))     # Graupner-Brunel alone
    simulate(TripartiteSynapses(astrocyte=None, gliotransmission=GLIOTRANSMISSION, plasticity=None), Releases())
    simulate(ChI(astrocyte=FM, stim=1, I_bias=[0.4, 0.7, 1.0] * umolar), duration=200 * second, initial="published")
    simulate(LiRinzel(astrocyte=NEST, I=0.5 * umolar), duration=100 * second)
    simulate(GChI(astrocyte=AM), Poisson(rate=0.5 * Hz, timing="regular"), duration=30 * second)
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import brian2 as b2
import numpy as np
import xarray as xr
from brian2 import second
from brian2.devices.device import reset_device
from tqdm.auto import tqdm

from astro_sim.assembly import assemble
from astro_sim.building import Build, sizes
from astro_sim.drive import Protocol
from astro_sim.models import Astrocytes
from astro_sim.quantities import Dimension, check_quantity
from astro_sim.recording import FORMAT, VERSION, Recording, describe, flatten, load_recording, save_recording, to_json
from astro_sim.rest import check_initial

__all__ = ["TARGETS", "Recording", "load_recording", "save_recording", "simulate"]

TARGETS = ("auto", "numpy", "cython", "cpp_standalone")
DEFAULT_RECORD = ("C", "h", "I", "Gamma_A", "rho", "r_S", "Gamma_S", "I_SIC")
logger = logging.getLogger(__name__)


def simulate(
    model: Astrocytes,
    protocol: Protocol | None = None,
    *,
    duration: b2.Quantity | None = None,
    seed: int = 0,
    dt: b2.Quantity | None = None,
    astrocyte_dt: b2.Quantity | None = None,
    record: Iterable[str] | None = None,
    record_every: b2.Quantity | None = None,
    target: str = "auto",
    initial: Any = "fixed_point",
    progress: bool = False,
) -> Recording:
    """Run a model under a protocol.

    Parameters
    ----------
    model : Astrocytes
        One of the dataclasses of `astro_sim.models`.
    protocol : Protocol, optional
        One of `astro_sim.protocols`; nothing happens without one.
    duration : Quantity, optional
        By default that of the protocol.
    seed : int
        Of every draw. Spike trains are drawn with NumPy and the same on every target; channel and efficacy noise are
        drawn by the target.
    dt : Quantity, optional
        Step of spikes and synapses; 1 ms by default.
    astrocyte_dt : Quantity, optional
        Step of the astrocytes. By default ``dt`` where that is given, else 10 ms, or 1 ms with the stochastic gate or
        ``update="published"``.
    record : iterable of str, optional
        Variables to record.
    record_every : Quantity, optional
        Sampling interval, a multiple of ``dt``. By default about a thousandth of the duration.
    target : {"auto", "numpy", "cython", "cpp_standalone"}
        ``auto`` is ``cpp_standalone`` where a C++ compiler is found, else ``numpy``.
    initial : {"fixed_point", "published"} or mapping
        A mapping sets some variables, such as ``{"rho": 1}``, and starts the others at the fixed point.
    progress : bool
        Report progress on standard error.

    Returns
    -------
    xarray.Dataset
        Variables with dimensions ``("time", "synapse")`` or ``("time", "astrocyte")``, including the state at
        ``duration``; with gliotransmission also ``release_time`` and ``release_astrocyte``.

    Raises
    ------
    ValueError, TypeError
        With one sentence, before anything is compiled.
    """
    settings = check_settings(model, protocol, duration, seed, dt, astrocyte_dt, record_every, initial)
    target = choose_target(target)
    with device(target):
        b2.seed(seed)
        build, monitors = construct(settings, record)
        network = b2.Network(*build.objects, *monitors.values())
        network.run(settings.end, **report(progress, target))
        if target == "cpp_standalone":
            b2.device.build(directory=b2.device.build_options["directory"], with_output=progress)
        return collect(settings, build, monitors, target)


# ---------------------------------------------------------------------------------------------------------------------
# Settings
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Checked arguments of a run; times in s."""

    model: Astrocytes
    protocol: Protocol
    duration_s: float
    seed: int
    dt_s: float
    astrocyte_dt_s: float
    record_every_s: float
    initial: Any
    n_synapses: int
    n_astrocytes: int

    @property
    def end(self) -> b2.Quantity:
        """One step beyond the duration, so that the state at the duration is sampled too."""
        return (self.duration_s + self.dt_s) * second


def check_time(name: str, value: Any) -> float:
    """A positive time in s."""
    quantity = check_quantity(name, value, Dimension(second, "s", "positive"))
    if quantity.ndim:
        raise ValueError(f"{name} must be one time, got {value!r}")
    return float(quantity)


def sampling_interval(duration_s: float, dt_s: float) -> float:
    """The 1-2-5 multiple of ``dt`` nearest above a thousandth of the duration."""
    multiples = (m * 10**k for k in range(12) for m in (1, 2, 5))
    return next(dt_s * m for m in multiples if dt_s * m * 1000 >= duration_s * (1 - 1e-9))


def check_settings(model, protocol, duration, seed, dt, astrocyte_dt, record_every, initial) -> Settings:
    """Check every argument of `simulate`; raise one sentence for the first that is wrong."""
    if not isinstance(model, Astrocytes):
        raise TypeError(f"model must be one of the dataclasses of astro_sim.models, got {model!r}")
    protocol = Protocol() if protocol is None else protocol
    if not isinstance(protocol, Protocol):
        raise TypeError(f"protocol must be one of astro_sim.protocols, got {protocol!r}")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed must be an integer that is not negative, got {seed!r}")
    check_initial(initial)
    duration = protocol.duration if duration is None else duration
    if duration is None:
        raise ValueError(f"duration must be given for a {type(protocol).__name__}, which has no end, got None")
    duration_s = check_time("duration", duration)
    dt_s = 1e-3 if dt is None else check_time("dt", dt)
    if duration_s < dt_s * (1 - 1e-9):
        raise ValueError(f"duration must be at least dt = {dt_s} s, got {duration_s} s")
    fine = getattr(model, "update", "event") == "published" or bool(np.any(np.asarray(model.noise)))
    default = max(dt_s, 1e-3 if fine else 1e-2) if dt is None else dt_s
    astrocyte_dt_s = default if astrocyte_dt is None else check_time("astrocyte_dt", astrocyte_dt)
    if fine and astrocyte_dt_s > 1e-3 * (1 + 1e-9):
        raise ValueError(
            f"astrocyte_dt must be at most 1 ms with noise or update='published', got {astrocyte_dt_s} s; "
            "only the noiseless update='event' allows larger steps"
        )
    record_every_s = sampling_interval(duration_s, dt_s)
    if record_every is not None:
        record_every_s = check_time("record_every", record_every)
    steps = record_every_s / dt_s
    if steps < 0.5 or abs(steps - round(steps)) > 1e-6:
        raise ValueError(f"record_every must be a multiple of dt = {dt_s} s, got {record_every_s} s")
    n_synapses, n_astrocytes = sizes(model, protocol)
    return Settings(
        model=model,
        protocol=protocol,
        duration_s=duration_s,
        seed=int(seed),
        dt_s=dt_s,
        astrocyte_dt_s=astrocyte_dt_s,
        record_every_s=record_every_s,
        initial=initial,
        n_synapses=n_synapses,
        n_astrocytes=n_astrocytes,
    )


# ---------------------------------------------------------------------------------------------------------------------
# Run
# ---------------------------------------------------------------------------------------------------------------------


def choose_target(target: str) -> str:
    """Resolve ``auto``; raise one sentence for an unknown target."""
    if target not in TARGETS:
        raise ValueError(f"target must be one of {TARGETS}, got {target!r}")
    if target != "auto":
        return target
    if shutil.which("g++") and shutil.which("make"):
        return "cpp_standalone"
    logger.warning("no C++ compiler found: simulating with target='numpy', which is slower")
    return "numpy"


@contextmanager
def device(target: str) -> Iterator[None]:
    """Brian2 set to a target, and everything put back afterwards; standalone builds in a directory of its own."""
    if b2.get_device().__class__.__name__ != "RuntimeDevice":
        raise RuntimeError("simulate must find Brian2's runtime device active; call brian2.set_device('runtime')")
    if target == "cpp_standalone":
        directory = tempfile.mkdtemp(prefix="astro-sim-")
        b2.set_device("cpp_standalone", build_on_run=False, directory=directory)
        b2.device.reinit()
        b2.device.activate(build_on_run=False, directory=directory)
        try:
            yield
        finally:
            b2.device.reinit()
            reset_device()
            shutil.rmtree(directory, ignore_errors=True)
    else:
        before, random_state = b2.prefs.codegen.target, b2.device.get_random_state()
        b2.prefs.codegen.target = target
        try:
            yield
        finally:
            b2.prefs.codegen.target = before
            b2.device.set_random_state(random_state)


def construct(settings: Settings, record: Iterable[str] | None) -> tuple[Build, dict[str, b2.StateMonitor]]:
    """All Brian2 objects of a run on the active device: the build, and one monitor per recorded group.

    ``b2.Network(*build.objects, *monitors.values())`` runs them; ``build.groups`` holds them by name.
    """
    clock = b2.Clock(settings.dt_s * second, name="synapse_clock")
    astrocyte_clock = b2.Clock(settings.astrocyte_dt_s * second, name="astrocyte_clock")
    record_clock = b2.Clock(settings.record_every_s * second, name="record_clock")
    mapping = not isinstance(settings.initial, str)
    build = Build(
        model=settings.model,
        protocol=settings.protocol,
        clock=clock,
        astrocyte_clock=astrocyte_clock,
        end_s=settings.duration_s,
        seed=settings.seed,
        initial="fixed_point" if mapping else settings.initial,
        overrides=settings.initial if mapping else {},
    )
    assemble(build, settings.n_synapses, settings.n_astrocytes, record_clock)
    names = [name for name in DEFAULT_RECORD if name in build.recordable] if record is None else list(record)
    unknown = [name for name in names if name not in build.recordable]
    if unknown:
        raise ValueError(f"record must hold variables among {sorted(build.recordable)}, got {unknown[0]!r}")
    monitors = {}
    for dim in {build.recordable[name].dim: None for name in names}:
        chosen = [build.recordable[name] for name in names if build.recordable[name].dim == dim]
        attributes = list(dict.fromkeys(item.attribute for item in chosen))
        monitors[dim] = b2.StateMonitor(chosen[0].group, attributes, record=np.arange(chosen[0].n), clock=record_clock)
    build.recordable = {name: build.recordable[name] for name in names}
    return build, monitors


def report(progress: bool, target: str) -> dict[str, Any]:
    """Arguments of `Network.run` that report progress: a bar, or lines of text from a standalone program."""
    if not progress:
        return {}
    if target == "cpp_standalone":
        return {"report": "stderr", "report_period": 5 * second}
    bar = tqdm(total=100, unit="%", file=sys.stderr)

    def update(elapsed: Any, completed: float, start: Any, duration: Any) -> None:
        bar.update(round(100 * completed) - bar.n)
        if completed == 1:
            bar.close()

    return {"report": update, "report_period": 1 * second}


# ---------------------------------------------------------------------------------------------------------------------
# Recording
# ---------------------------------------------------------------------------------------------------------------------


def collect(settings: Settings, build: Build, monitors: dict[str, b2.StateMonitor], target: str) -> Recording:
    """Read the monitors into a dataset with units and provenance."""
    variables = {}
    for name, item in build.recordable.items():
        values = np.asarray(getattr(monitors[item.dim], item.attribute + "_")).T * item.factor
        variables[name] = ((("time", item.dim)), values, {"units": item.unit})
    steps = max((len(monitor.t_) for monitor in monitors.values()), default=0)
    time = np.round(np.arange(steps) * settings.record_every_s, 12)
    coordinates = {"time": ("time", time, {"units": "s"})}
    for item in build.recordable.values():
        coordinates[item.dim] = np.arange(item.n)
    if "release_monitor" in build.groups:
        monitor = build.groups["release_monitor"]
        variables["release_time"] = ("release", np.asarray(monitor.t_), {"units": "s"})
        variables["release_astrocyte"] = ("release", np.asarray(monitor.i), {"units": "1"})
    return xr.Dataset(variables, coordinates, provenance(settings, build, target))


def provenance(settings: Settings, build: Build, target: str) -> dict[str, Any]:
    """Where a recording comes from: every parameter, the protocol, steps, versions, and a hash of the equations."""
    versions = {"python": platform.python_version(), "brian2": b2.__version__, "numpy": np.__version__}
    versions["astro-rmaat"] = importlib.metadata.version("astro-rmaat")
    initial = settings.initial if isinstance(settings.initial, str) else describe_mapping(settings.initial)
    return {
        "format": FORMAT,
        "version": VERSION,
        "model": type(settings.model).__name__,
        "preset": getattr(settings.model.astrocyte, "name", "none"),
        "parameters": to_json(flatten(describe(settings.model))),
        "protocol": to_json(describe(settings.protocol)),
        "n_synapses": settings.n_synapses,
        "n_astrocytes": settings.n_astrocytes,
        "duration_s": settings.duration_s,
        "seed": settings.seed,
        "dt_s": settings.dt_s,
        "astrocyte_dt_s": settings.astrocyte_dt_s,
        "record_every_s": settings.record_every_s,
        "initial": initial if isinstance(initial, str) else to_json(initial),
        "target": target,
        "versions": to_json(versions),
        "equations_sha256": hashlib.sha256("\n".join(build.code).encode()).hexdigest(),
    }


def describe_mapping(mapping: Any) -> dict[str, Any]:
    """A mapping of quantities as JSON."""
    return {name: describe(value) for name, value in mapping.items()}
