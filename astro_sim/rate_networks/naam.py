"""The neuron-astrocyte associative memory of Kozachkov, Slotine and Krotov, the parent of the macro-model, in Brian2.

Equations, with phi = g = psi = tanh(gain z) and unit decay rates::

    tau_n dx_i/dt  = -x_i  + sum_j g(s_ij) phi(x_j)
    tau_s ds_ij/dt = -s_ij + phi(x_i) phi(x_j) + psi(p_ij)
    tau_p dp_ij/dt = -p_ij + sum_kl T_ijkl psi(p_kl) + g(s_ij),   T_ijkl = N^-3 sum_mu xi_i xi_j xi_k xi_l

T has N^4 entries but rank K, the number of memories: it is applied through one overlap per memory,
``m_mu = sum_kl xi_k xi_l psi(p_kl)``, in 2 K N^2 operations.

The energy (`energy`) falls along every course that starts with symmetric s and p::

    E = sum_i x_i phi_i - L(x) + (sum_ij s_ij g_ij - L(s))/2 + (sum_ij p_ij psi_ij - L(p))/2
        - (sum_ij g_ij phi_i phi_j + sum_ij g_ij psi_ij)/2 - (sum_mu m_mu^2)/(4 N^3),   L(z) = sum log cosh(gain z)/gain
    dE/dt = -tau_n sum phi' xdot^2 - tau_s/2 sum g' sdot^2 - tau_p/2 sum psi' pdot^2

References
----------
L. Kozachkov, J.-J. Slotine, D. Krotov (2025), Neuron-astrocyte associative memory, PNAS 122; tutorial notebook of the
authors' ``kozleo/naam`` (initial state, gain 5, Euler step 0.05). The ``ContinuousRNN`` of that repository assigns
``s = p + dt*ds`` and is not followed.
"""

from dataclasses import dataclass

import brian2 as b2
import numpy as np
import xarray as xr
from brian2 import second
from brian2.codegen.runtime.numpy_rt import NumpyCodeObject

from astro_sim.parameters.units import PositiveNumber, Table, TimeConstant, default
from astro_sim.rate_networks.macro import attributes

NEURON = b2.Equations("""
dx/dt = (-x + current)/tau_n : 1
current                      : 1
""")

SYNAPSE = b2.Equations("""
ds/dt = (-s + hebb + tanh(gain*p))/tau_s       : 1 (clock-driven)
dp/dt = (-p + coupled + tanh(gain*s))/tau_p    : 1 (clock-driven)
hebb = tanh(gain*x_pre)*tanh(gain*x_post)      : 1 (constant over dt)
coupled                                        : 1
current_post = tanh(gain*s)*tanh(gain*x_pre)   : 1 (summed)
""")

# the coupling T in two steps: processes to overlaps, overlaps back to processes
OVERLAP = b2.Equations("""
overlap_post = pattern*tanh(gain*p_pre) : 1 (summed)
pattern                                 : 1 (constant)
""")

RECALL = b2.Equations("""
coupled_post = pattern*overlap_pre/n_neurons**3 : 1 (summed)
pattern                                         : 1 (constant)
""")


@dataclass(frozen=True, kw_only=True, eq=False)
class NAAMParameters(Table):
    """Time constants (the source's unit of time is taken as the second) and the gain of all non-linearities."""

    tau_n: TimeConstant = default(1 * second)
    tau_s: TimeConstant = default(1 * second)
    tau_p: TimeConstant = default(1 * second)
    gain: PositiveNumber = 5.0


NAAM = NAAMParameters(source="Kozachkov, Slotine, Krotov 2025, tutorial of kozleo/naam")


def corrupt(memory, share: float, seed: int) -> np.ndarray:
    """`memory` (entries +-1) with each sign flipped with probability `share`."""
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1], got {share}")
    memory = np.asarray(memory, dtype=float)
    return np.where(np.random.default_rng(seed).random(memory.shape) < share, -memory, memory)


def tutorial_start(x, memories, gain: float = 5.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Initial ``x``, ``s``, ``p`` of the authors' tutorial for a neural state `x`.

    ``p = -arctanh(phi phi^T)/gain`` and ``s = arctanh(-T psi(p))/gain``: with these the processes start at rest under
    the coupling (their two inputs cancel) and the synapse's two inputs cancel as well.
    """
    x, memories = np.asarray(x, dtype=float), np.asarray(memories, dtype=float)
    psi = -np.outer(np.tanh(gain * x), np.tanh(gain * x))
    return x, np.arctanh(-recall(psi, memories)) / gain, np.arctanh(psi) / gain


def recall(psi, memories) -> np.ndarray:
    """``sum_kl T_ijkl psi_kl`` for `memories` of shape ``(K, N)`` and `psi` of shape ``(N, N)``."""
    overlap = np.einsum("mk,ml,kl->m", memories, memories, psi)
    return np.einsum("mi,mj,m->ij", memories, memories, overlap) / memories.shape[1] ** 3


def energy(x, s, p, memories, gain: float = 5.0) -> float:
    """The Lyapunov function at one state: `x` of shape ``(N,)``, `s` and `p` ``(N, N)``, `memories` ``(K, N)``."""
    phi, g, psi = (np.tanh(gain * z) for z in (x, s, p))
    # log cosh without overflow
    L_x, L_s, L_p = (np.sum(np.logaddexp(gain * z, -gain * z) - np.log(2)) / gain for z in (x, s, p))
    interaction = np.sum(g * np.outer(phi, phi)) + np.sum(g * psi) + np.sum(psi * recall(psi, memories)) / 2
    return float(np.sum(x * phi) - L_x + (np.sum(s * g) - L_s + np.sum(p * psi) - L_p - interaction) / 2)


def build_naam(memories, start, parameters: NAAMParameters, dt) -> b2.Network:
    """The Brian2 network, with ``neurons``, ``synapses`` (index i N + j, i being post), ``overlap`` and ``recall``."""
    n_memories, n = memories.shape
    common = {
        "dt": dt,
        "namespace": parameters.quantities() | {"n_neurons": n, "tanh": b2.tanh},
        "codeobj_class": NumpyCodeObject,
    }
    neurons = b2.NeuronGroup(n, NEURON, method="euler", name="neurons", **common)
    synapses = b2.Synapses(neurons, neurons, SYNAPSE, method="euler", name="synapses", **common)
    post, pre = np.indices((n, n)).reshape(2, -1)
    synapses.connect(i=pre, j=post)
    neurons.x, synapses.s, synapses.p = (np.ravel(state) for state in start)
    keeper = b2.NeuronGroup(n_memories, "overlap : 1", name="memories", **common)
    overlap = b2.Synapses(synapses, keeper, OVERLAP, name="overlap", **common)
    recalled = b2.Synapses(keeper, synapses, RECALL, name="recall", **common)
    which, pair = np.indices((n_memories, n * n)).reshape(2, -1)
    pattern = (memories[:, :, None] * memories[:, None, :]).reshape(n_memories, -1).ravel()
    overlap.connect(i=pair, j=which)
    recalled.connect(i=which, j=pair)
    overlap.pattern, recalled.pattern = pattern, pattern
    # the overlaps are summed before what is recalled from them
    overlap.summed_updaters["overlap_post"].order = recalled.summed_updaters["coupled_post"].order - 1
    return b2.Network(neurons, synapses, keeper, overlap, recalled)


def simulate_naam(
    memories,
    start,
    parameters: NAAMParameters = NAAM,
    *,
    duration: b2.Quantity = 50 * second,
    dt: b2.Quantity = 0.05 * second,
    record_every: b2.Quantity | None = None,
) -> xr.Dataset:
    """Let the network fall into a memory.

    Parameters
    ----------
    memories : array_like, shape (K, N)
        Entries +-1.
    start : tuple of array_like
        Initial ``x`` (N,), ``s`` and ``p`` (N, N), such as `tutorial_start` gives.
    duration, dt, record_every : Quantity
        The tutorial's 1000 Euler steps of 0.05 by default; every step is recorded unless `record_every` says otherwise.

    Returns
    -------
    xarray.Dataset
        ``x`` (time, neuron), ``energy`` (time), the final ``s`` and ``p`` (post, pre) and the memories.
    """
    memories = np.asarray(memories, dtype=float)
    if memories.ndim != 2 or not np.all(np.abs(memories) == 1):
        raise ValueError(f"memories must be an array (K, N) of +1 and -1, got shape {memories.shape}")
    n = memories.shape[1]
    shapes = [np.shape(state) for state in start]
    if shapes != [(n,), (n, n), (n, n)]:
        raise ValueError(f"start must be x, s, p of shapes ({n},), ({n}, {n}), ({n}, {n}), got {shapes}")
    network = build_naam(memories, start, parameters, dt)
    neurons, synapses = network["neurons"], network["synapses"]
    courses, energies, times = [], [], []

    def record(t):
        times.append(float(t / second))
        courses.append(neurons.x[:])
        s, p = synapses.s[:].reshape(n, n), synapses.p[:].reshape(n, n)
        energies.append(energy(courses[-1], s, p, memories, float(parameters.gain)))

    every = dt if record_every is None else record_every
    network.add(b2.NetworkOperation(record, dt=every, when="before_start"))
    network.run(duration, namespace={})
    record(duration)
    recording = xr.Dataset(
        {
            "x": (("time", "neuron"), np.array(courses)),
            "energy": ("time", np.array(energies)),
            "s": (("post", "pre"), synapses.s[:].reshape(n, n)),
            "p": (("post", "pre"), synapses.p[:].reshape(n, n)),
            "memories": (("memory", "neuron"), memories),
        },
        coords={"time": ("time", np.array(times), {"units": "s"})},
    )
    for name in recording.data_vars:
        recording[name].attrs["units"] = "1"
    recording.attrs = attributes("naam", parameters, (NEURON, SYNAPSE, OVERLAP, RECALL)) | {"dt_s": float(dt)}
    return recording
