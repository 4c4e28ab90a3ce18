"""The models once more in plain NumPy and SciPy, in uM and s: an independent solver to compare the simulator with.

Nothing here is imported from `astro_sim`; the numbers are those of Stimberg et al. 2019 and of Graupner and Brunel
2012, typed in again.
"""

import numpy as np
from scipy.integrate import solve_ivp

CALCIUM = dict(
    O_P=0.9, K_P=0.05, C_T=2.0, rho_A=0.18, Omega_C=6.0, Omega_L=0.1,
    d_1=0.13, d_2=1.05, d_3=0.9434, d_5=0.08, O_2=0.2,
)  # fmt: skip
FM = dict(
    CALCIUM, O_delta=0.6, kappa_delta=1.5, K_delta=0.1, O_3K=4.5, K_D=0.7, K_3K=1.0, Omega_5P=0.05, O_beta=3.2,
    O_N=0.3, Omega_N=0.5, K_KC=0.5, zeta=10.0, F_ex=2.0, I_Theta=0.3, omega_I=0.05,
)  # fmt: skip
AM = dict(FM, K_P=0.1, O_delta=0.2, K_delta=0.3, K_D=0.5, Omega_5P=0.1, O_beta=5.0, F_ex=0.09)
NEST = dict(CALCIUM, K_P=0.1, rho_A=0.185, Omega_L=0.11, d_2=1.049, d_5=0.08234)
SYNAPSE = dict(
    Omega_d=2.0, Omega_f=3.33, U_0=0.6, Y_T=500e3, rho_c=0.005, Omega_c=40.0, O_G=1.5, Omega_G=0.5 / 60, Omega_e=60.0,
    G_T=200e3, rho_e=6.5e-4, U_A=0.6, Omega_A=0.6, C_Theta=0.5,
)  # fmt: skip
DP = dict(
    tau_Ca=0.02, C_pre=1.0, C_post=2.0, theta_d=1.0, theta_p=1.3, gamma_d=200.0, gamma_p=321.808, tau=150.0,
    rho_star=0.5, D=0.0137,
)  # fmt: skip


def calcium(C, h, I, p):
    """Li-Rinzel rates of C and h."""
    store = p["C_T"] - (1 + p["rho_A"]) * C
    m = I / (I + p["d_1"]) * C / (C + p["d_5"])
    Q_2 = p["d_2"] * (I + p["d_1"]) / (I + p["d_3"])
    dC = p["Omega_C"] * m**3 * h**3 * store + p["Omega_L"] * store - p["O_P"] * C**2 / (C**2 + p["K_P"] ** 2)
    return dC, p["O_2"] * (Q_2 - (Q_2 + C) * h)


def markov_gates(I, n, cells, seconds, p, rng, dt=1e-3):
    """Calcium (steps, cells) of Li-Rinzel cells with `n` channels each, whose gates open and close one by one."""
    Q_2 = p["d_2"] * (I + p["d_1"]) / (I + p["d_3"])
    C, opened, course = np.full(cells, 0.1), np.full(cells, round(0.7 * n)), []
    for _ in range(round(seconds / dt)):
        closing = rng.binomial(opened, 1 - np.exp(-p["O_2"] * C * dt))
        opening = rng.binomial(n - opened, 1 - np.exp(-p["O_2"] * Q_2 * dt))
        C = C + dt * calcium(C, opened / n, I, p)[0]
        opened = opened + opening - closing
        course.append(C)
    return np.array(course)


def ip3(C, I, p, I_bias=None):
    """ChI rate of I; ``I_bias=None`` is without exogenous flow."""
    dI = p["O_delta"] / (1 + I / p["kappa_delta"]) * C**2 / (C**2 + p["K_delta"] ** 2)
    dI -= p["O_3K"] * C**4 / (C**4 + p["K_D"] ** 4) * I / (I + p["K_3K"]) + p["Omega_5P"] * I
    if I_bias is not None:
        gradient = I - I_bias
        dI -= p["F_ex"] / 2 * (1 + np.tanh((abs(gradient) - p["I_Theta"]) / p["omega_I"])) * np.sign(gradient)
    return dI


def receptor(C, Gamma, Y, p):
    """G-ChI rate of Gamma_A under transmitter Y."""
    return p["O_N"] * Y * (1 - Gamma) - p["Omega_N"] * (1 + p["zeta"] * C / (C + p["K_KC"])) * Gamma


def integrate(rates, state, times, jumps=()):
    """LSODA from ``times[0]``, with ``jumps``: pairs of a time and a function that changes the state there."""
    state, out, now = np.array(state, float), np.empty((len(times), len(state))), times[0]
    stops = [*sorted(jumps, key=lambda jump: jump[0]), (np.inf, None)]
    for stop, change in stops:
        inside = (times >= now) & (times < stop)
        end = min(stop, times[-1])
        if end > now:
            steps = solve_ivp(
                rates, (now, end), state, method="LSODA", rtol=1e-9, atol=1e-11, dense_output=True, max_step=0.5
            )
            out[inside], state = steps.sol(times[inside]).T, steps.y[:, -1].copy()
        elif inside.any():
            out[inside] = state
        if change is None or stop > times[-1]:
            break
        state, now = change(state), stop
    if times[-1] == now:
        out[-1] = state
    return out


def runge_kutta(rates, state, times, dt=5e-3):
    """Fourth-order Runge-Kutta with a fixed step, of which ``times`` are multiples."""
    out = [np.array(state)]
    for k in range(round(times[-1] / dt)):
        t, y = k * dt, out[-1]
        k_1 = rates(t, y)
        k_2 = rates(t + dt / 2, y + dt / 2 * k_1)
        k_3 = rates(t + dt / 2, y + dt / 2 * k_2)
        out.append(y + dt / 6 * (k_1 + 2 * k_2 + 2 * k_3 + rates(t + dt, y + dt * k_3)))
    return np.array(out)[np.round(times / dt).astype(int)]


def li_rinzel(p, I, state, times):
    """C, h over time at clamped IP3."""
    return integrate(lambda t, y: calcium(y[0], y[1], I, p), state, times)


def chi(p, I_bias, state, times):
    """C, h, I over time."""
    return integrate(lambda t, y: (*calcium(*y, p), ip3(y[0], y[2], p, I_bias)), state, times)


def g_chi(p, spikes, dose, state, times, Omega_c=40.0):
    """C, h, I, Gamma_A, Y_S over time; every spike adds ``dose`` uM of transmitter."""

    def rates(t, y):
        C, h, I, Gamma, Y = y
        dI = ip3(C, I, p) + p["O_beta"] * Gamma
        return *calcium(C, h, I, p), dI, receptor(C, Gamma, Y, p), -Omega_c * Y

    def jump(y):
        return np.append(y[:4], y[4] + dose)

    return integrate(rates, state, times, [(spike, jump) for spike in spikes])


def chain(p, F, n, source, I_bias, width, state, times, rectifying=False):
    """C, h, I of ``n`` coupled cells, shape (time, 3, n); one is held at ``I_bias`` for ``width`` s."""

    def rates(t, y):
        C, h, I = y.reshape(3, n)
        dC, dh = calcium(C, h, I, p)
        dI = ip3(C, I, p)
        gradient = np.diff(I)
        flow = F * gradient
        if rectifying:
            flow = F / 2 * (1 + np.tanh((abs(gradient) - p["I_Theta"]) / p["omega_I"])) * np.sign(gradient)
        dI[:-1] += flow
        dI[1:] -= flow
        if t < width:
            dI[source] += ip3(C[source], I[source], p, I_bias) - ip3(C[source], I[source], p)
        return np.concatenate([dC, dh, dI])

    start = np.repeat(state, n)
    # the rectifying flux jumps at zero gradient, where a solver with error control would crawl
    out = runge_kutta(rates, start, times) if rectifying else integrate(rates, start, times, [(width, lambda y: y)])
    return out.reshape(len(times), 3, n)


def release(spikes, U, Omega_d=2.0, Omega_f=3.33):
    """Released fraction of every spike of a Tsodyks-Markram synapse; ``U`` is one value or one per spike."""
    u, x, last, released = 0.0, 1.0, spikes[0], []
    for spike, U_0 in zip(spikes, np.broadcast_to(U, len(spikes)), strict=True):
        u *= np.exp(-Omega_f * (spike - last))
        x = 1 + (x - 1) * np.exp(-Omega_d * (spike - last))
        u += U_0 * (1 - u)
        released.append(u * x)
        x, last = x - u * x, spike
    return np.array(released)


def plasticity(p, pre, post, times, scale=1.0, dt=2e-5, rho=0.0):
    """Graupner-Brunel efficacy without noise: plain threshold tests at a fine Euler step.

    ``pre`` are spike times (calcium follows ``D`` later), ``scale`` the calcium per spike relative to C_pre.
    """
    steps = round(times[-1] / dt) + 1
    jump = np.zeros(steps + round(0.1 / dt))
    np.add.at(jump, np.round((np.asarray(pre) + p["D"]) / dt).astype(int), p["C_pre"] * np.asarray(scale))
    np.add.at(jump, np.round(np.asarray(post) / dt).astype(int), p["C_post"])
    c, decay, course = 0.0, np.exp(-dt / p["tau_Ca"]), np.empty(steps)
    for k in range(steps):
        course[k] = rho
        c += jump[k]
        drift = p["gamma_p"] * (1 - rho) * (c > p["theta_p"]) - p["gamma_d"] * rho * (c > p["theta_d"])
        rho += dt / p["tau"] * (drift - rho * (1 - rho) * (p["rho_star"] - rho))
        c *= decay
    return course[np.round(times / dt).astype(int)]


def closed_loop(p, s, spikes, alpha, state, times):
    """One synapse and its astrocyte, with the extracellular transients of the published equations.

    State: C, h, I, Gamma_A, x_A, G_A, Gamma_S, Y_S; returns its course, the releases of the synapse and the times at
    which the astrocyte released.
    """

    def rates(t, y):
        C, h, I, Gamma, x_A, G, Gamma_S, Y = y
        return (
            *calcium(C, h, I, p),
            ip3(C, I, p) + p["O_beta"] * Gamma,
            receptor(C, Gamma, Y, p),
            s["Omega_A"] * (1 - x_A),
            -s["Omega_e"] * G,
            s["O_G"] * G * (1 - Gamma_S) - s["Omega_G"] * Gamma_S,
            -s["Omega_c"] * Y,
        )

    def crossing(t, y):
        return y[0] - s["C_Theta"]

    crossing.terminal, crossing.direction = True, 1
    state, now, out, releases, releasing = np.array(state, float), 0.0, np.empty((len(times), 8)), [], []
    u, x, last = 0.0, 1.0, 0.0
    for stop in [*spikes, times[-1]]:
        while now < stop:
            run = solve_ivp(
                rates, (now, stop), state, method="LSODA", rtol=1e-9, atol=1e-11, events=crossing, dense_output=True,
                max_step=0.2,
            )  # fmt: skip
            inside = (times >= now) & (times <= run.t[-1])
            if inside.any():
                out[inside] = run.sol(times[inside]).T
            now, state = run.t[-1], run.y[:, -1].copy()
            if run.t_events[0].size:
                releasing.append(now)
                state[5] += s["rho_e"] * s["G_T"] * s["U_A"] * state[4]
                state[4] *= 1 - s["U_A"]
                state[0] += 1e-9  # past the threshold, so that the same crossing is not found again
        if stop in spikes:
            u *= np.exp(-s["Omega_f"] * (stop - last))
            x = 1 + (x - 1) * np.exp(-s["Omega_d"] * (stop - last))
            u += ((1 - state[6]) * s["U_0"] + alpha * state[6]) * (1 - u)
            releases.append(u * x)
            state[7] += s["rho_c"] * s["Y_T"] * u * x
            x, last = x - u * x, stop
    return out, np.array(releases), np.array(releasing)
