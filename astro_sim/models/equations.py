"""The models as Brian2 equations: one block per mechanism, in symbols without numbers.

Blocks add up: ``CALCIUM + ip3(receptor=True) + RECEPTOR``. Symbols are those of the papers; every constant is a field
of a table in `astro_sim.parameters.tables`. Where a mechanism has a closed form between events, the block that serves
it is given beside the differential equation that it solves (`RECEPTOR` and `RECEPTOR_STEP`, `plasticity` and
`plasticity_step`); the tests hold the two together.

References
----------
[LR94] Y.-X. Li, J. Rinzel (1994), J. Theor. Biol. 166, 461-473.
[S19] M. Stimberg, D. F. M. Goodman, R. Brette, M. De Pitta (2019), Computational Glioscience, chapter 18.
[TM] M. Tsodyks, K. Pawelzik, H. Markram (1998), Neural Computation 10, 821-835.
[GB] M. Graupner, N. Brunel (2012), PNAS 109, 3991-3996.
[SJ] J.-W. Shuai, P. Jung (2002), Biophysical Journal 83, 87-97.
[NEST] ``astrocyte_lr_1994`` of nest-simulator.
"""

from __future__ import annotations

import brian2 as b2

# M1, Li-Rinzel core [LR94; S19]
_FLUXES = """
Q_2 = d_2*(I + d_1)/(I + d_3)                            : mmolar
m_inf = I/(I + d_1)*C/(C + d_5)                          : 1
J_l = Omega_L*(C_T - (1 + rho_A)*C)                      : mmolar/second  # leak
J_p = O_P*C**2/(C**2 + K_P**2)                           : mmolar/second  # uptake by SERCA
dC/dt = J_r + J_l - J_p                                  : mmolar
"""

CALCIUM = b2.Equations(
    _FLUXES
    + """
J_r = Omega_C*m_inf**3*h**3*(C_T - (1 + rho_A)*C)        : mmolar/second  # release by IP3 receptors
dh/dt = O_2*(Q_2 - (Q_2 + C)*h)                          : 1
"""
)

# A gate that fluctuates is clipped wherever it is used.
_CLIPPED = """
J_r = Omega_C*m_inf**3*h_clipped**3*(C_T - (1 + rho_A)*C) : mmolar/second
h_clipped = clip(h, 0, 1)                                : 1
"""

# Stochastic gate (Shuai and Jung) [S19, figure 2].
CALCIUM_STOCHASTIC = b2.Equations(
    _FLUXES
    + _CLIPPED
    + """
tau_h = 1/(O_2*(Q_2 + C))                                : second
dh/dt = (Q_2/(Q_2 + C) - h_clipped)/tau_h*(1 + noise*xi*tau_h**0.5) : 1
"""
)

# Gates of n_channels channels, each opening and closing by chance: the Langevin equation of that process [SJ]. It
# is an Ito equation; Brian2's Milstein step solves Stratonovich's, hence the term with 4 n_channels.
CALCIUM_CHANNELS = b2.Equations(
    _FLUXES
    + _CLIPPED
    + """
a_h = O_2*Q_2                                            : 1/second  # a closed gate opens
b_h = O_2*C                                              : 1/second  # an open one closes
spread_h = (a_h*(1 - h_clipped) + b_h*h_clipped)/n_channels : 1/second
dh/dt = a_h*(1 - h) - b_h*h - (b_h - a_h)/(4*n_channels) + spread_h**0.5*xi : 1
"""
)

IP3_CLAMPED = b2.Equations("I : mmolar (constant)")

_IP3_FLUXES = """
J_delta = O_delta/(1 + I/kappa_delta)*C**2/(C**2 + K_delta**2) : mmolar/second  # production by PLC-delta
J_3K = O_3K*C**4/(C**4 + K_D**4)*I/(I + K_3K)            : mmolar/second  # degradation by IP3 3-kinase
J_5P = Omega_5P*I                                        : mmolar/second  # degradation by IP-5P
"""

# In [S19] J_ex is always on and so a strong sink at I_bias = 0; `stim` (0 or 1) switches it. The pulse is on from
# t_on for t_width, every t_period; with `sink` = 1 the flow stays on between pulses, towards zero [S19, figure 5].
_EXOGENOUS = """
pulse = int(t >= t_on)*int((t - t_on) % t_period < t_width) : 1
dI_b = I - I_bias*pulse                                  : mmolar
J_ex = -stim*clip(pulse + sink, 0, 1)*F_ex/2*(1 + tanh((abs(dI_b) - I_Theta)/omega_I))*sign(dI_b) : mmolar/second
"""


def ip3(*, receptor: bool = False, exogenous: bool = False, junctions: bool = False) -> b2.Equations:
    """IP3 metabolism (M2), with PLC-beta, an exogenous flow and gap junctions where asked for."""
    terms = ["J_delta - J_3K - J_5P"]
    terms += ["J_beta"] if receptor else []
    terms += ["J_ex"] if exogenous else []
    terms += ["J_gjc"] if junctions else []
    text = f"dI/dt = {' + '.join(terms)} : mmolar\n" + _IP3_FLUXES
    text += _EXOGENOUS if exogenous else ""
    text += "J_gjc : mmolar/second\n" if junctions else ""
    return b2.Equations(text)


# M3, metabotropic receptor [S19]
RECEPTOR = b2.Equations("""
dGamma_A/dt = O_N*Y_S*(1 - Gamma_A) - Omega_N*(1 + zeta*C/(C + K_KC))*Gamma_A : 1
J_beta = O_beta*Gamma_A                                  : mmolar/second  # production by PLC-beta
""")

# The same, advanced in closed form over a step: a spike's transmitter binds at 450/s, too stiff for rk4 at 10 ms, while
# everything else in the cell is slow. C is extrapolated to the middle of the step, and binding averaged over it.
RECEPTOR_STEPPED = b2.Equations("""
Gamma_A                                                  : 1
Gamma_A_mean                                             : 1
C_last                                                   : mmolar  # one step ago; 0 before the first
J_beta = O_beta*Gamma_A_mean                             : mmolar/second  # production by PLC-beta
""")

RECEPTOR_STEP = """
C_middle = C + 0.5*(C - C_last)*int(C_last > 0*mmolar)
C_last = C
binding = O_N*(Y_S*exprel(-Omega_c*dt) + Y_missed)
total = binding + Omega_N*(1 + zeta*C_middle/(C_middle + K_KC))
share = exprel(-total*dt)
Gamma_A_mean = binding/total + (Gamma_A - binding/total)*share
Gamma_A = binding/total + (Gamma_A - binding/total)*(1 - total*dt*share)
"""

TRANSMITTER = b2.Equations("dY_S/dt = -Omega_c*Y_S : mmolar")

TRANSMITTER_STEPPED = b2.Equations("Y_S : mmolar")

TRANSMITTER_STEP = """
Y_S = Y_S*exp(-Omega_c*dt)
"""

# Transmitter of synapses is seen at the start of a step, R_S being all that was ever released: what bound between its
# release and then was missed, and is made good as a mean over the coming step (mass balance: dY_S/dt = -Omega_c*Y_S
# and the jumps of R_S).
TRANSMITTER_SEEN = b2.Equations("""
Y_S                                                      : mmolar
Y_S_last                                                 : mmolar
R_S                                                      : mmolar
R_S_last                                                 : mmolar
""")

MISSED_STEP = """
Y_missed = (Y_S_last*exp(-Omega_c*dt) - Y_S + R_S - R_S_last)/(Omega_c*dt)
Y_S_last = Y_S
R_S_last = R_S
"""

NOTHING_MISSED = """
Y_missed = 0*mmolar
"""

ON_TRANSMITTER = "Y_S_post += rho_c*Y_T"  # a full release per spike [S19, figure 2]

# M5, gliotransmitter [S19]
RESOURCES = b2.Equations("dx_A/dt = Omega_A*(1 - x_A) : 1")

GLIOTRANSMITTER = b2.Equations("dG_A/dt = -Omega_e*G_A : mmolar")

ON_GLIOTRANSMITTER = "G_A += rho_e*G_T*U_A*x_A\n"

ON_RELEASE = "x_A -= U_A*x_A"  # once per astrocyte, after the synapses have read x_A

THRESHOLD = "C > C_Theta"

# Releases that a protocol imposes: a kick lifts the group above threshold for one step.
IMPOSED = b2.Equations("C : mmolar")

ON_IMPOSED = "C_post = 2*C_Theta"

AFTER_IMPOSED = "\nC = 0*mmolar"

# M7, gap junctions: dI is the gradient seen by the cell that receives the flux
# (text, because a permeability that differs between cells is read from the receiving one)
GAP_JUNCTIONS = {
    "rectifying": """
dI_gjc = I_post - I_pre                                  : mmolar
J_gjc_post = -F/2*(1 + tanh((abs(dI_gjc) - I_Theta)/omega_I))*sign(dI_gjc) : mmolar/second (summed)
""",
    "linear": """
J_gjc_post = -F_lin*(I_post - I_pre)                     : mmolar/second (summed)
""",
}

# M8, IP3 pool and slow inward current [NEST]; `nM` is the unit 1 nM
IP3_POOL = b2.Equations("""
dI/dt = (IP3_0 - I)/tau_IP3                              : mmolar
y_SIC = (C - SIC_th)/nM                                  : 1
I_SIC = SIC_scale*log(clip(y_SIC, 1, inf))               : 1  # pA in NEST
""")

SIC_SEEN = "I_SIC_post = w_SIC*I_SIC_pre*pA : amp (summed)"

NEURON = b2.Equations("""
dv/dt = (g_l*(E_l - v) + I_ex + I_SIC)/C_m               : volt (unless refractory)
I_SIC                                                    : amp
""")

NEURON_THRESHOLD = "v > V_th"

NEURON_RESET = "v = V_r"

ON_IP3 = "I_post += delta_IP3*w_IP3"


# M4, release [TM; S19]. u_S, x_S and Y_S hold the values of the last event; *_now brings them to the present.
RELEASE = b2.Equations("""
du_S/dt = -Omega_f*u_S                                   : 1 (event-driven)
dx_S/dt = Omega_d*(1 - x_S)                              : 1 (event-driven)
r_S                                                      : 1
released                                                 : 1  # sum of r_S over all spikes
n_spikes                                                  : 1  # number of spikes
u_S_now = u_S*exp(-Omega_f*(t - lastupdate))             : 1
x_S_now = 1 + (x_S - 1)*exp(-Omega_d*(t - lastupdate))   : 1
""")

CLEFT = b2.Equations("""
dY_S/dt = -Omega_c*Y_S                                   : mmolar (event-driven)
Y_S_now = Y_S*exp(-Omega_c*(t - lastupdate))             : mmolar
""")

CLEFT_CLOCKED = b2.Equations("""
dY_S/dt = -Omega_c*Y_S                                   : mmolar (clock-driven)
Y_S_now = Y_S                                            : mmolar
""")


def on_release(modulated: bool) -> str:
    """What a presynaptic spike does to release, in the order of [S19]; ``modulated`` by presynaptic receptors."""
    U_0 = "(1 - Gamma_S)*U_0__star + alpha*Gamma_S" if modulated else "U_0__star"
    return f"""
U_0 = {U_0}
u_S += U_0*(1 - u_S)
r_S = u_S*x_S
x_S -= r_S
Y_S += rho_c*Y_T*r_S
released += r_S
n_spikes += 1
"""


# The astrocyte sees the sum over its synapses
SENSING = "Y_S_post = Y_S_now_pre : mmolar (summed)"

SENSING_RELEASED = "R_S_post = rho_c*Y_T*released_pre : mmolar (summed)"

GLIOTRANSMITTER_SEEN = "G_A_post = G_A_pre : mmolar (summed)"

# M5, presynaptic receptors: published [S19], and reduced to the closed form of one release
PRESYNAPTIC = b2.Equations("""
dGamma_S/dt = O_G*G_A*(1 - Gamma_S) - Omega_G*Gamma_S    : 1 (clock-driven)
G_A                                                      : mmolar
Gamma_S_now = Gamma_S                                    : 1
""")

PRESYNAPTIC_REDUCED = b2.Equations("""
Gamma_S                                                  : 1
t_Gamma                                                  : second  # when Gamma_S was last brought up to date
Gamma_S_now = Gamma_S*exp(-Omega_G*(t - t_Gamma))        : 1
""")

PRESYNAPTIC_STEP = """
Gamma_S = Gamma_S*exp(-Omega_G*(t - t_Gamma))
t_Gamma = t
"""

ON_GLIOTRANSMISSION = """
Gamma_S_post = 1 - (1 - Gamma_S_post*exp(-Omega_G*(t - t_Gamma_post)))*exp(-rho_e*G_T*O_G/Omega_e*U_A*x_A_pre)
t_Gamma_post = t
"""

# M6, calcium-based plasticity [GB]. `above` is the exact share of the step that c spends above a threshold.
_PLASTICITY = """
dc/dt = -c/tau_Ca                                        : 1 (clock-driven)
above_d = clip(tau_Ca/dt*log(clip(c/theta_d, 1, inf)), 0, 1) : 1 (constant over dt)
above_p = clip(tau_Ca/dt*log(clip(c/theta_p, 1, inf)), 0, 1) : 1 (constant over dt)
drho/dt = (-cubic*rho*(1 - rho)*(rho_star - rho) + gamma_p*(1 - rho)*above_p
           - gamma_d*rho*above_d{noise})/tau             : 1 (clock-driven)
"""


def plasticity(noisy: bool) -> b2.Equations:
    """Clock-driven calcium and efficacy; ``noisy`` unless sigma is zero everywhere."""
    return b2.Equations(_PLASTICITY.format(noise=" + sigma*sqrt(tau)*sqrt(above_d + above_p)*xi" if noisy else ""))


PLASTICITY_EVENTS = b2.Equations("""
c                                                        : 1  # value at t_c
rho                                                      : 1  # value at t_c
t_c                                                      : second
""")

# Between two events c decays exponentially, so the times above the thresholds are known, and with them rho: while a
# threshold is exceeded an Ornstein-Uhlenbeck process (exact mean and variance), for the whole interval the cubic term
# (one Runge-Kutta step of an interval much shorter than tau; the order of the two is the only approximation).
PLASTICITY_STEP = """
elapsed = t - t_c
T_d = clip(tau_Ca*log(clip(c/theta_d, 1, inf)), 0*second, elapsed)
T_p = clip(tau_Ca*log(clip(c/theta_p, 1, inf)), 0*second, elapsed)
T_both = clip(T_p, 0*second, T_d)
k_both = (gamma_p + gamma_d)*T_both/tau
k_p = gamma_p*(T_p - T_both)/tau
k_d = gamma_d*(T_d - T_both)/tau
rho = rho*exp(-k_both) + gamma_p*T_both/tau*exprel(-k_both)
rho = 1 + (rho - 1)*exp(-k_p)
rho = rho*exp(-k_d)
{noise}
k_1 = -rho*(1 - rho)*(rho_star - rho)*cubic*elapsed/tau
rho_mid = rho + k_1/2
k_2 = -rho_mid*(1 - rho_mid)*(rho_star - rho_mid)*cubic*elapsed/tau
rho = rho + k_2
c = c*exp(-elapsed/tau_Ca)
t_c = t
"""

PLASTICITY_NOISE = """
variance = 2*T_both*exprel(-2*k_both)*exp(-2*(k_p + k_d))
variance = variance + (T_p - T_both)*exprel(-2*k_p) + (T_d - T_both)*exprel(-2*k_d)
rho = rho + sigma*sqrt(variance/tau)*randn()
"""


def plasticity_step(noisy: bool) -> str:
    """Code that brings c and rho from t_c to the present; ``noisy`` unless sigma is zero everywhere."""
    return PLASTICITY_STEP.format(noise=PLASTICITY_NOISE if noisy else "")


ON_PRE_CALCIUM = "c += Cpre*r_S/U_0__star\n"  # this project's coupling: an unmodulated first release is the original

ON_PRE_CALCIUM_ALONE = "c += Cpre\n"

ON_POST_CALCIUM = "c += Cpost\n"
