"""The neuron-astrocyte macro-model of RMAAT: neurons, synapses, short- and long-term astrocyte processes, in Brian2.

Equations (i is the postsynaptic, j the presynaptic neuron; each synapse (i, j) is wrapped by one astrocyte process)::

    tau_n   dx_i/dt    = -lambda x_i + mean_j g(s_ij) phi(x_j) + b_i(t)                       neuron
    tau_s   ds_ij/dt   = -beta s_ij + theta(x_i) theta(x_j) + psi(p^s_ij)                     synapse, Eq. 1
    tau_p^s dp^s_ij/dt = -gamma^s p^s_ij + sum_kl T_ijkl psi(p^s_kl) + kappa(s_ij)            process, Eq. 2
    tau_p^l dp^l_ij/dt = -gamma^l p^l_ij + kappa(s_ij)                                        process, Eq. 3

with ``T_ijkl = T_0 exp(-scale |r_ij - r_kl|) / n`` for n processes at positions r, and tanh(gain z) for phi, g, theta,
psi and kappa. The long-term process only listens: it feeds back on nothing.

Eqs. 1-3 are the paper's, printed there with "proportional to", which is read as equality. What the readable text leaves
open is taken from the parent model (`astro_sim.rate_networks.naam`): the neuron's equation, the drive kappa(s) of the
short-term process (without it p^s = 0 would be a rest state of every input), and the common non-linearity tanh. One
thing is changed: inputs to a neuron are averaged where the parent model sums, so that neither reading of the network
latches into persistent activity after its first burst. The form of T follows the paper's positional factor
exp(-distance*scale), with processes midway between their two neurons. The numbers are not readable either: `MACRO` says
how each was inferred.

References
----------
M. Z. A. Mia, M. Bal, A. Sengupta (2026), RMAAT, arXiv:2601.00426, Eqs. 1-3.
L. Kozachkov, J.-J. Slotine, D. Krotov (2025), Neuron-astrocyte associative memory, PNAS 122.
"""

from dataclasses import dataclass

import brian2 as b2
import numpy as np
import xarray as xr
from brian2 import ms, second
from brian2.codegen.runtime.numpy_rt import NumpyCodeObject

from astro_sim.parameters.units import Checked, Number, PositiveNumber, Table, Time, TimeConstant, check_count, default
from astro_sim.simulation.arguments import check_time
from astro_sim.simulation.recording import describe, provenance, to_json

NEURON = b2.Equations("""
dx/dt = (-lambda_n*x + current + b + noise)/tau_n             : 1  # [parent model]
b = amplitude*int(t_in_timesteps % cycle_steps < burst_steps) : 1  # input: a burst at the start of each cycle
noise = sigma*sqrt(2*tau_n/dt)*normal(t, i)                   : 1 (constant over dt)  # white, drawn beforehand
amplitude                                                     : 1 (constant)
current                                                       : 1
""")

SYNAPSE = b2.Equations("""
ds/dt = (-beta*s + hebb + tanh(gain*p_s))/tau_s          : 1 (clock-driven)  # Eq. 1
dp_s/dt = (-gamma_s*p_s + coupled + tanh(gain*s))/tau_p_s : 1 (clock-driven)  # Eq. 2
dp_l/dt = (-gamma_l*p_l + tanh(gain*s))/tau_p_l          : 1 (clock-driven)  # Eq. 3
hebb = tanh(gain*x_pre)*tanh(gain*x_post)                : 1 (constant over dt)
coupled                                                  : 1
current_post = tanh(gain*s)*tanh(gain*x_pre)/N_incoming  : 1 (summed)  # the mean over inputs
""")

COUPLING = b2.Equations("""
coupled_post = T*tanh(gain*p_s_pre) : 1 (summed)
T                                   : 1 (constant)
""")


@dataclass(frozen=True, kw_only=True, eq=False)
class MacroParameters(Table):
    """Constants of the macro-model."""

    tau_n: TimeConstant  # neuron
    tau_s: TimeConstant  # synaptic facilitation
    tau_p_s: TimeConstant  # short-term process
    tau_p_l: TimeConstant  # long-term process
    lambda_n: PositiveNumber = 1.0  # decay rates, relative to the time constants
    beta: PositiveNumber = 1.0
    gamma_s: PositiveNumber = 1.0
    gamma_l: PositiveNumber = 1.0
    gain: PositiveNumber  # slope of all non-linearities
    T_0: Number  # strength of the coupling between processes, summed over equal positions
    scale: Number  # per unit of distance
    sigma: Number = 0.0  # stationary standard deviation of a lone neuron's noise

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.tau_p_l > self.tau_p_s:
            raise ValueError(f"MacroParameters.tau_p_l must exceed tau_p_s = {self.tau_p_s}, got {self.tau_p_l}")


MACRO = MacroParameters(
    source="this study, inferred",
    tau_n=100 * ms,  # a population's rate, slower than a membrane; anything far below tau_s gives the same course
    tau_s=300 * ms,  # facilitation of a Tsodyks-Markram synapse, 1/Omega_f
    tau_p_s=5 * second,  # "seconds": between the astrocyte's receptor (2 s) and its calcium cycle (10 to 30 s)
    tau_p_l=100 * second,  # "tens of seconds or more"; the cycled biophysical protocol has 75 s (10 pairs) to 167 s (5)
    gain=0.6,  # keeps psi'(0) kappa'(0) below the decay rates, so that each burst fades: a short-term process
    T_0=0.5,
    scale=1.0,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class CycledInput(Checked):
    """Every neuron is driven by a burst at the start of each cycle [six cycles of 50 s: the paper; burst: inferred]."""

    n_cycles: int = 6
    cycle: TimeConstant = default(50 * second)
    burst: Time = default(5 * second)
    amplitude: Number = 1.0  # one number, or one per neuron

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("CycledInput.n_cycles", self.n_cycles)
        if not self.burst <= self.cycle:
            raise ValueError(f"CycledInput.burst must not exceed cycle = {self.cycle}, got {self.burst}")

    @property
    def duration(self) -> b2.Quantity:
        return self.n_cycles * self.cycle


@dataclass(frozen=True, eq=False)
class Layout:
    """Who is where and who talks to whom."""

    positions: np.ndarray
    """Neurons in space, shape ``(n_neurons, d)``, in units of the grid."""
    pre: np.ndarray
    """Neurons at both ends of each synapse, integers of shape ``(n_synapses,)``."""
    post: np.ndarray

    @property
    def processes(self) -> np.ndarray:
        """Positions of the processes, shape ``(n_synapses, d)``: midway between the two neurons."""
        return (self.positions[self.pre] + self.positions[self.post]) / 2

    def coupling(self, parameters: MacroParameters) -> np.ndarray:
        """The tensor T_ijkl as a matrix over synapses, shape ``(n_synapses, n_synapses)``."""
        apart = np.linalg.norm(self.processes[:, None] - self.processes[None], axis=-1)
        return float(parameters.T_0) * np.exp(-float(parameters.scale) * apart) / len(self.pre)


def layout(reading: str = "A", positions=None) -> Layout:
    """The "3 x 3 network" in either reading.

    Parameters
    ----------
    reading : {"A", "B"}
        A: 3 presynaptic neurons onto 3 postsynaptic ones, 9 synapses. B: 9 neurons, each onto all, 81 synapses.
    positions : array_like, shape (6 or 9, d), optional
        Of the neurons (in A the presynaptic ones first). By default two facing rows (A) or a square grid (B).
    """
    if reading not in ("A", "B"):
        raise ValueError(f"reading must be 'A' or 'B', got {reading!r}")
    rows, n_pre, n_post, first = (2, 3, 3, 3) if reading == "A" else (3, 9, 9, 0)
    standard = np.array([(column, row) for row in range(rows) for column in range(3)], dtype=float)
    post, pre = np.indices((n_post, n_pre)).reshape(2, -1)
    post = post + first
    positions = standard if positions is None else np.asarray(positions, dtype=float)
    if not np.all(np.isfinite(positions)):
        raise ValueError("positions must be finite, got NaN or infinity among them")
    if positions.ndim != 2 or len(positions) != len(standard):
        raise ValueError(f"positions must have shape ({len(standard)}, d) in reading {reading}, got {positions.shape}")
    return Layout(positions, pre, post)


def build_macro(parameters: MacroParameters, protocol: CycledInput, where: Layout, dt, seed: int) -> b2.Network:
    """The Brian2 network, with the objects ``neurons``, ``synapses`` and ``coupling`` by these names."""
    steps, burst_steps = (float(length / dt) for length in (protocol.cycle, protocol.burst))
    if abs(steps - round(steps)) > 1e-6:
        raise ValueError(f"cycle must be a multiple of dt = {dt}, got {protocol.cycle}")
    n_neurons = len(where.positions)
    if np.size(protocol.amplitude) not in (1, n_neurons):
        raise ValueError(
            f"CycledInput.amplitude must be one number, or one for each of {n_neurons} neurons, got "
            f"{len(protocol.amplitude)}"
        )
    draws = np.random.default_rng(seed).standard_normal((round(steps) * protocol.n_cycles, n_neurons))
    namespace = parameters.quantities() | {
        "cycle_steps": round(steps),
        "burst_steps": round(burst_steps),
        "normal": b2.TimedArray(draws, dt=dt),
        "tanh": b2.tanh,
    }
    common = {"dt": dt, "namespace": namespace, "codeobj_class": NumpyCodeObject}
    neurons = b2.NeuronGroup(n_neurons, NEURON, method="euler", name="neurons", **common)
    neurons.amplitude = protocol.amplitude
    synapses = b2.Synapses(neurons, neurons, SYNAPSE, method="euler", name="synapses", **common)
    synapses.connect(i=where.pre, j=where.post)
    coupling = b2.Synapses(synapses, synapses, COUPLING, name="coupling", **common)
    target, source = np.indices((len(where.pre),) * 2).reshape(2, -1)
    coupling.connect(i=source, j=target)
    coupling.T = where.coupling(parameters).ravel()
    return b2.Network(neurons, synapses, coupling)


def simulate_macro(
    parameters: MacroParameters = MACRO,
    protocol: CycledInput | None = None,
    *,
    where: Layout | None = None,
    seed: int = 0,
    dt: b2.Quantity = 20 * ms,
    record_every: b2.Quantity = 500 * ms,
) -> xr.Dataset:
    """Run the macro-model through its cycles, from rest.

    Parameters
    ----------
    parameters, protocol, where
        By default `MACRO`, six cycles of 50 s, and reading A of the network, `layout("A")`.
    seed : int
        Of the neurons' noise (`parameters.sigma`; without noise the run is deterministic).
    dt, record_every : Quantity
        Euler step; all time constants must be well above it. Sampling of the recording.

    Returns
    -------
    xarray.Dataset
        ``x`` (time, neuron), ``s``, ``p_s``, ``p_l`` (time, synapse), the coupling ``T`` (synapse, other_synapse), and
        the positions of neurons and processes; units and the whole provenance in the attributes.
    """
    protocol = CycledInput() if protocol is None else protocol
    where = layout() if where is None else where
    check_time("dt", dt)
    check_time("record_every", record_every)
    if not 4 * dt <= min(parameters.tau_n, parameters.tau_s):
        raise ValueError(f"dt must be at most a quarter of tau_n and tau_s, got {dt}")
    network = build_macro(parameters, protocol, where, dt, seed)
    monitors = [
        b2.StateMonitor(network[name], variables, record=True, dt=record_every, codeobj_class=NumpyCodeObject)
        for name, variables in (("neurons", ["x"]), ("synapses", ["s", "p_s", "p_l"]))
    ]
    network.add(monitors)
    network.run(protocol.duration, namespace={})
    for monitor in monitors:  # the last state, at t = duration itself
        monitor.record_single_timestep()
    neurons, synapses = monitors
    recording = xr.Dataset(
        {
            "x": (("time", "neuron"), neurons.x.T),
            **{name: (("time", "synapse"), getattr(synapses, name).T) for name in ("s", "p_s", "p_l")},
            "T": (("synapse", "other_synapse"), where.coupling(parameters)),
            "neuron_position": (("neuron", "axis"), where.positions),
            "process_position": (("synapse", "axis"), where.processes),
        },
        coords={
            "time": ("time", np.asarray(synapses.t / second), {"units": "s"}),
            "pre": ("synapse", where.pre),
            "post": ("synapse", where.post),
        },
    )
    for name in recording.data_vars:
        recording[name].attrs["units"] = "1"
    recording.attrs = attributes("macro", parameters, (NEURON, SYNAPSE, COUPLING)) | {"seed": seed, "dt_s": float(dt)}
    recording.attrs |= {"n_cycles": protocol.n_cycles, "cycle_s": float(protocol.cycle)}
    recording.attrs["protocol"] = to_json(describe(protocol))
    return recording


def attributes(model: str, parameters: Table, equations: tuple[b2.Equations, ...]) -> dict:
    """Where a recording of a rate network comes from."""
    versions = {package.__name__: package.__version__ for package in (b2, np)}
    return provenance(model, {"source": parameters.source}, parameters, {"target": "numpy"}, versions, equations)
