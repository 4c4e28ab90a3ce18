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

import glob
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import brian2 as b2
import psutil
from brian2 import second
from brian2.devices.device import reset_device
from tqdm.auto import tqdm

from astro_sim.models.astrocytes import Astrocytes
from astro_sim.protocols.protocol import Protocol
from astro_sim.simulation.arguments import check_settings
from astro_sim.simulation.network import build
from astro_sim.simulation.recording import Recording, collect
from astro_sim.simulation.synapses import describe

MAKE = "devices.cpp_standalone.make_cmd_unix"

TO_THE_END = "core.stop_on_keyboard_interrupt"  # else Ctrl-C ends a run early, and the rest passes for a recording

TARGETS = ("auto", "numpy", "cython", "cpp_standalone")

# What Brian2 says about every run and what we know already: gliotransmitter release runs on the astrocytes' clock and
# reaches each synapse from one astrocyte only, so that neither its step nor its order matters.
KNOWN_MESSAGES = (
    "brian2.synapses.synapses.synapses_dt_mismatch",
    "brian2.codegen.generators.base",
    "brian2.codegen.generators.numpy_generator",
)

logger = logging.getLogger(__name__)


def simulate(
    model: Astrocytes,
    protocol: Protocol | None = None,
    *,
    duration: b2.Quantity | None = None,
    seed: int = 0,
    dt: b2.Quantity | None = None,
    astrocyte_dt: b2.Quantity | None = None,
    record: str | Iterable[str] | None = None,
    record_every: b2.Quantity | None = None,
    target: str = "auto",
    initial: Any = "fixed_point",
    progress: bool = False,
) -> Recording:
    """Run a model under a protocol.

    Wrong arguments raise ValueError or TypeError before anything is compiled; SimulationError names the variable,
    element and time where a simulation left the range of its variables.

    Parameters
    ----------
    model : Astrocytes
        One of the dataclasses of `astro_sim.models.astrocytes`.
    protocol : Protocol, optional
        One of `astro_sim.protocols.trains`; nothing happens without one.
    duration : Quantity, optional
        By default that of the protocol; a duration between two steps ends with the later one.
    seed : int
        Of every draw, below 2**32. Spike trains are drawn with NumPy and the same on every target; channel and
        efficacy noise are drawn by the target.
    dt : Quantity, optional
        Step of spikes and synapses; 1 ms by default. Times of spikes and the delay `D` of plasticity are rounded to it:
        1 ms makes 14 of the 13.7 ms of DP, whose tau_eff for pairs at 1 Hz shortens by 0.6 % (by 3 % for DPD, the most
        of the published sets); 0.1 ms changes no published delay by more than 0.3 %.
    astrocyte_dt : Quantity, optional
        Step of the astrocytes. By default ``dt`` where that is given, else 10 ms, or 1 ms with the stochastic gate or
        ``update="published"``.
    record : str or iterable of str, optional
        Variables to record.
    record_every : Quantity, optional
        Sampling interval, a multiple of ``dt`` and at most the duration. By default about a thousandth of the duration.
    target : {"auto", "numpy", "cython", "cpp_standalone"}
        ``auto`` is ``cpp_standalone`` where a C++ compiler is found, else ``numpy``.
    initial : {"fixed_point", "published"} or mapping
        An astrocyte without a stable fixed point, which cycles, starts from the published state in any case. A mapping
        sets some variables, such as ``{"rho": 1}``, and starts the others at the fixed point; a value is one number,
        or one for each synapse or astrocyte.
    progress : bool
        Report progress on standard error.

    Returns
    -------
    xarray.Dataset
        Variables with dimensions ``("time", "synapse")`` or ``("time", "astrocyte")``, sampled at 0, ``record_every``,
        ``2 * record_every`` and so on up to ``duration``, whose state is the last sample only where ``record_every``
        divides it; with gliotransmission also ``release_time`` and ``release_astrocyte``.
    """
    settings = check_settings(model, protocol, duration, seed, dt, astrocyte_dt, record_every, initial)
    target = choose_target(target)
    parts = describe(settings)
    with quiet(), device(target):
        b2.seed(seed)
        network = build(parts, settings, record)
        network.run(settings.end, namespace={}, **report(progress, target))
        if target == "cpp_standalone":
            compile_program()
            b2.device.run(with_output=progress)
        return collect(settings, network, target)


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
def quiet() -> Iterator[None]:
    """Brian2's console without the messages that every run would repeat."""

    def unknown(message: logging.LogRecord) -> bool:
        return message.name not in KNOWN_MESSAGES

    console = b2.BrianLogger.console_handler
    console.addFilter(unknown)
    try:
        yield
    finally:
        console.removeFilter(unknown)


@contextmanager
def device(target: str) -> Iterator[None]:
    """Brian2 set to a target, and everything put back afterwards; standalone builds in a directory of its own."""
    if b2.get_device().__class__.__name__ != "RuntimeDevice":
        raise RuntimeError("simulate must find Brian2's runtime device active; call brian2.set_device('runtime')")
    to_the_end, b2.prefs[TO_THE_END] = b2.prefs[TO_THE_END], False
    try:
        with _standalone() if target == "cpp_standalone" else _runtime(target):
            yield
    finally:
        b2.prefs[TO_THE_END] = to_the_end


@contextmanager
def _standalone() -> Iterator[None]:
    directory = build_folder()
    b2.set_device("cpp_standalone", build_on_run=False, directory=directory)
    b2.device.reinit()
    b2.device.activate(build_on_run=False, directory=directory)
    try:
        yield
    finally:
        b2.device.reinit()
        reset_device()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _runtime(target: str) -> Iterator[None]:
    before, random_state = b2.prefs.codegen.target, b2.device.get_random_state()
    b2.prefs.codegen.target = target
    try:
        yield
    finally:
        b2.prefs.codegen.target = before
        b2.device.set_random_state(random_state)


def build_folder() -> str:
    """A new temporary folder for a program, named after machine and process; those of ended processes are removed."""
    temporary, prefix = Path(tempfile.gettempdir()), f"astro-sim-{platform.node()}-"
    for folder in temporary.glob(f"{glob.escape(prefix)}*"):
        number, _, _ = folder.name.removeprefix(prefix).partition("-")
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            shutil.rmtree(folder, ignore_errors=True)
    return tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=temporary)


def compile_program() -> None:
    """Write and compile the program of the active device; RuntimeError with the compiler's first error.

    Brian2 compiles by `os.system`, during which Python answers no signal; here Ctrl-C ends the compiler as well.
    """
    directory = b2.device.build_options["directory"]
    b2.device.build(directory=directory, compile=False)
    command = [b2.prefs[MAKE], f"-j{os.cpu_count()}"]  # not all files at once
    with subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as make:
        try:
            _, said = make.communicate()
        except BaseException:
            make.terminate()  # it ends its compilers, and they remove what they began
            raise
    if make.returncode:
        errors = [line for line in said.splitlines() if "error" in line.lower() or "No space" in line]
        why = (errors or said.splitlines() or [f"status {make.returncode}"])[0]
        raise RuntimeError(f"target must be one whose programs compile here, got {why!r:.300}; try target='numpy'")


def report(progress: bool, target: str) -> dict[str, Any]:
    """Arguments of `Network.run` that report progress: a bar, or lines of text from a standalone program."""
    if not progress:
        return {}
    if target == "cpp_standalone":
        line = r'std::cerr << int(100 * completed) << "% simulated after " << int(elapsed) << " s\n" << std::flush;'
        return {"report": line, "report_period": 5 * second}
    bar = tqdm(total=100, bar_format="{percentage:3.0f}% |{bar}| {elapsed}<{remaining}", file=sys.stderr)

    def update(elapsed: Any, completed: float, start: Any, duration: Any) -> None:
        bar.update(round(100 * completed) - bar.n)
        if completed == 1:
            bar.close()

    return {"report": update, "report_period": 1 * second}
