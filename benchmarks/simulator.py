"""What the simulator costs beyond bare Brian2.

    python benchmarks/simulator.py [--file benchmarks/results/simulator.md]

G-ChI, 10 000 astrocytes under Poisson spikes, rk4 at 1 ms: `simulate` against a plain Brian2 script of the same
equations. Building and running are told apart by running each for two lengths: what an additional second costs is
running, the rest is building. Everything is C++ standalone, wall-clock, on one core but for the compiler.
"""

import argparse
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import brian2 as b2
import numpy as np
from brian2 import Hz, mmolar, ms, second, umolar
from brian2.devices import reset_device

from astro_sim.models.astrocytes import GChI
from astro_sim.parameters.presets import AM
from astro_sim.protocols.trains import Poisson
from astro_sim.simulation.network import on_grid
from astro_sim.simulation.run import simulate

N_ASTROCYTES = 10_000
SHORT_S, LONG_S = 1.0, 61.0

# Stimberg et al. 2019, figure 2, deterministic and without the exogenous flow.
BARE = """
dC/dt = J_r + J_l - J_p                                        : mmolar
dh/dt = O_2*(Q_2 - (Q_2 + C)*h)                                : 1
dI/dt = J_beta + J_delta - J_3K - J_5P                         : mmolar
dGamma_A/dt = O_N*Y_S*(1 - Gamma_A) - Omega_N*(1 + zeta*C/(C + K_KC))*Gamma_A : 1
dY_S/dt = -Omega_c*Y_S                                         : mmolar
J_r = Omega_C*m_inf**3*h**3*(C_T - (1 + rho_A)*C)              : mmolar/second
J_l = Omega_L*(C_T - (1 + rho_A)*C)                            : mmolar/second
J_p = O_P*C**2/(C**2 + K_P**2)                                 : mmolar/second
J_beta = O_beta*Gamma_A                                        : mmolar/second
J_delta = O_delta/(1 + I/kappa_delta)*C**2/(C**2 + K_delta**2) : mmolar/second
J_3K = O_3K*C**4/(C**4 + K_D**4)*I/(I + K_3K)                  : mmolar/second
J_5P = Omega_5P*I                                              : mmolar/second
m_inf = I/(I + d_1)*C/(C + d_5)                                : 1
Q_2 = d_2*(I + d_1)/(I + d_3)                                  : mmolar
"""
CONSTANTS = dict(
    O_P=0.9 * umolar / second, K_P=0.1 * umolar, C_T=2 * umolar, rho_A=0.18, Omega_C=6 / second, Omega_L=0.1 / second,
    d_1=0.13 * umolar, d_2=1.05 * umolar, d_3=0.9434 * umolar, d_5=0.08 * umolar, O_2=0.2 / umolar / second,
    O_delta=0.2 * umolar / second, kappa_delta=1.5 * umolar, K_delta=0.3 * umolar, O_3K=4.5 * umolar / second,
    K_D=0.5 * umolar, K_3K=1 * umolar, Omega_5P=0.1 / second, O_beta=5 * umolar / second, O_N=0.3 / umolar / second,
    Omega_N=0.5 / second, K_KC=0.5 * umolar, zeta=10, Omega_c=40 / second, rho_c=0.001, Y_T=500 * mmolar,
)  # fmt: skip


def spikes(length_s: float) -> Poisson:
    return Poisson(rate=np.full(N_ASTROCYTES, 0.5) * Hz, length=length_s * second)


def ours(length_s: float) -> np.ndarray:
    """Calcium at the end, by `simulate`."""
    run = simulate(
        GChI(astrocyte=AM, update="published"),
        spikes(length_s),
        dt=1 * ms,
        record=["C"],
        record_every=0.5 * second,
        initial="published",
        target="cpp_standalone",
    )
    return run["C"].values[-1]


def ours_by_default(length_s: float) -> np.ndarray:
    """The same with the receptor in closed form, which allows steps of 10 ms."""
    run = simulate(
        GChI(astrocyte=AM), spikes(length_s), record=["C"], record_every=0.5 * second, initial="published",
        target="cpp_standalone",
    )  # fmt: skip
    return run["C"].values[-1]


def bare(length_s: float) -> np.ndarray:
    """Calcium at the end, by the plain script."""
    directory = tempfile.mkdtemp()
    b2.set_device("cpp_standalone", directory=directory, build_on_run=False)
    try:
        b2.defaultclock.dt = 1 * ms
        train = on_grid(spikes(length_s).pre(N_ASTROCYTES, seed=0), 1e-3, length_s)
        source = b2.SpikeGeneratorGroup(N_ASTROCYTES, train.index, train.time_s * second)
        astrocytes = b2.NeuronGroup(N_ASTROCYTES, BARE, method="rk4", namespace=CONSTANTS)
        astrocytes.h = 0.9
        synapses = b2.Synapses(source, astrocytes, on_pre="Y_S_post += rho_c*Y_T", namespace=CONSTANTS)
        synapses.connect(j="i")
        monitor = b2.StateMonitor(astrocytes, "C", record=True, dt=0.5 * second)
        network = b2.Network(source, astrocytes, synapses, monitor)
        network.run((length_s + 1e-3) * second)
        b2.device.build(directory=directory, with_output=False)
        return np.asarray(monitor.C[:, -1] / umolar)
    finally:
        b2.device.reinit()
        reset_device()
        shutil.rmtree(directory, ignore_errors=True)


def timed(run: Callable[[float], object], length_s: float) -> float:
    begin = time.perf_counter()
    run(length_s)
    return time.perf_counter() - begin


def building_and_running(run: Callable[[float], object]) -> tuple[float, float]:
    """Seconds of building, and seconds of running for ``LONG_S``; the best of two each, against other load."""
    short, long = (min(timed(run, length) for _ in range(2)) for length in (SHORT_S, LONG_S))
    running = (long - short) * LONG_S / (LONG_S - SHORT_S)
    return long - running, running


def machine() -> str:
    """Cores and processor model."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    models = [line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name")]
    return f"{os.cpu_count()} cores, {models[0] if models else platform.machine()}"


def g_chi_table() -> list[str]:
    """Building and running of the bare script, of the same equations, and of the default."""
    rows, running = [], {}
    for name, run in (
        ("bare Brian2 script, 1 ms", bare),
        ("simulate, same equations, 1 ms", ours),
        ("simulate, default (receptor in closed form, 10 ms)", ours_by_default),
    ):
        build, running[name] = building_and_running(run)
        rows.append(f"| {name} | {build:.1f} | {running[name]:.1f} |")
    plain, same, default = running.values()
    deviation = np.abs(ours(SHORT_S) - bare(SHORT_S)).max()
    return [
        f"## G-ChI, {N_ASTROCYTES} astrocytes, {LONG_S:g} s of Poisson spikes",
        "",
        "| | building (s) | running (s) |",
        "|---|---|---|",
        *rows,
        "",
        f"`simulate` runs for {same / plain:.2f} times as long as the bare script of the same equations (calcium "
        f"differs by at most {deviation:.0e} uM after {SHORT_S:g} s), and by default for {default / plain:.2f} times.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--file", type=Path, help="also write the table here")
    arguments = parser.parse_args()
    head = [
        "# What the simulator costs",
        "",
        f"{machine()}; Brian2 {b2.__version__}, Python {platform.python_version()}, C++ standalone; wall-clock, the "
        "best of two. Building is what does not grow with the simulated time.",
        "",
    ]
    text = "\n".join([*head, *g_chi_table()]) + "\n"
    print(text)
    if arguments.file:
        arguments.file.parent.mkdir(parents=True, exist_ok=True)
        arguments.file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
