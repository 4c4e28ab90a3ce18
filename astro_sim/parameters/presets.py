"""Published parameter sets: a class says what exists, an instance what a paper measured.

The presets ``fm``, ``am``, ``nest`` and ``book`` differ in many values and behave differently; each is one source's set
and a mixture is refused unless it is labelled. A variant of a published set is one visible line::

    >>> from brian2 import second
    >>> leaky = variant(FM, source="this study", Omega_L=0.2 / second)
    >>> float(leaky.calcium.Omega_L), leaky.source
    (0.2, 'this study')

References
----------
M. Stimberg, D. F. M. Goodman, R. Brette, M. De Pitta (2019), Modeling neuron-glia interactions with the Brian 2
simulator, Computational Glioscience, chapter 18; code in ``brian2/examples/frompapers/Stimberg_et_al_2018``.
M. De Pitta, H. Berry, eds. (2019), Computational Glioscience, code of chapters 5 and 10 (``mdepitta/comp-glia-book``).
``astrocyte_lr_1994`` of ``nest/nest-simulator``.
M. Graupner, N. Brunel (2012), PNAS 109, 3991-3996; ``mgraupe/CalciumBasedPlasticityModel/synapticChange.py``.
"""

import dataclasses
from typing import Any

from brian2 import mmolar, ms, mV, nmolar, nS, pA, pF, second, umolar

from astro_sim.parameters import tables
from astro_sim.parameters.tables import THIS_STUDY, AstrocyteParameters, PlasticityParameters
from astro_sim.parameters.variants import variant

_S19 = "Stimberg et al. 2019, table A2 and the code of its figures 3 to 6"

_S19_FIG2 = "Stimberg et al. 2019, figure 2"

_NEST = "nest-simulator, astrocyte_lr_1994"

_BOOK = "De Pitta and Berry (eds.) 2019, code of chapters 5 and 10"

_GB = "Graupner and Brunel 2012, synapticChange.py"

FM = AstrocyteParameters(
    name="fm",
    source=_S19,
    calcium=tables.CalciumParameters(
        source=_S19,
        O_P=0.9 * umolar / second,
        K_P=0.05 * umolar,
        C_T=2 * umolar,
        rho_A=0.18,
        Omega_C=6 / second,
        Omega_L=0.1 / second,
        d_1=0.13 * umolar,
        d_2=1.05 * umolar,
        d_3=0.9434 * umolar,
        d_5=0.08 * umolar,
        O_2=0.2 / umolar / second,
    ),
    ip3=tables.IP3Parameters(
        source=_S19,
        O_delta=0.6 * umolar / second,
        kappa_delta=1.5 * umolar,
        K_delta=0.1 * umolar,
        O_3K=4.5 * umolar / second,
        K_D=0.7 * umolar,
        K_3K=1 * umolar,
        Omega_5P=0.05 / second,
        F_ex=2 * umolar / second,  # figure 5: 0.09
        I_Theta=0.3 * umolar,
        omega_I=0.05 * umolar,
    ),
    receptor=tables.ReceptorParameters(
        source=_S19,
        O_beta=3.2 * umolar / second,  # figure 4; figure 6: 0.5
        O_N=0.3 / umolar / second,
        Omega_N=0.5 / second,
        K_KC=0.5 * umolar,
        zeta=10,
    ),
)

AM = dataclasses.replace(
    variant(
        FM,
        source=_S19_FIG2,
        K_P=0.1 * umolar,
        O_delta=0.2 * umolar / second,
        K_delta=0.3 * umolar,
        K_D=0.5 * umolar,
        Omega_5P=0.1 / second,
        F_ex=0.09 * umolar / second,
        O_beta=5 * umolar / second,
    ),
    name="am",
)

NEST = AstrocyteParameters(
    name="nest",
    source=_NEST,
    calcium=variant(
        FM.calcium,
        source=_NEST,
        K_P=0.1 * umolar,
        rho_A=0.185,
        Omega_L=0.11 / second,
        d_2=1.049 * umolar,
        d_5=0.08234 * umolar,
    ),
    inward_current=tables.InwardCurrentParameters(
        source=_NEST,
        IP3_0=0.16 * umolar,
        tau_IP3=7.142 * second,
        delta_IP3=0.0002 * umolar,
        SIC_th=196.69 * nmolar,
        SIC_scale=1,
    ),
)

BOOK = AstrocyteParameters(
    name="book",
    source=_BOOK,
    calcium=variant(
        FM.calcium,
        source=_BOOK,
        K_P=0.1 * umolar,
        C_T=4 * umolar,
        rho_A=0.4,
        Omega_C=7 / second,
        Omega_L=0.05 / second,
        d_1=0.1 * umolar,
        d_2=2.1 * umolar,
        d_3=0.9967 * umolar,
        d_5=0.2 * umolar,
        O_2=0.4 / umolar / second,
    ),
    ip3=tables.IP3Parameters(
        source=_BOOK,
        O_delta=0.5 * umolar / second,
        kappa_delta=1 * umolar,
        K_delta=0.5 * umolar,
        O_3K=2 * umolar / second,
        K_D=0.5 * umolar,
        K_3K=1 * umolar,
        Omega_5P=0 / second,
    ),
    receptor=variant(
        FM.receptor, source=_BOOK, O_beta=3 * umolar / second, Omega_N=1.8 / second, K_KC=0.5 * umolar, zeta=0
    ),
)

PRESETS: dict[str, AstrocyteParameters] = {preset.name: preset for preset in (FM, AM, NEST, BOOK)}

RELEASE = tables.ReleaseParameters(
    source=_S19,
    Omega_d=2 / second,
    Omega_f=3.33 / second,
    U_0__star=0.6,
    Y_T=500 * mmolar,
    rho_c=0.005,  # figure 2: 0.001
    Omega_c=40 / second,
)

# The two synapses of chapter 10; the cleft is not modelled there and keeps the constants of RELEASE.
RELEASE_FACILITATING = variant(RELEASE, source=_BOOK, U_0__star=0.05, Omega_d=1 / (0.3 * second), Omega_f=1 / second)

RELEASE_DEPRESSING = variant(
    RELEASE, source=_BOOK, U_0__star=0.5, Omega_d=1 / (0.5 * second), Omega_f=1 / (0.3 * second)
)

GLIOTRANSMISSION = tables.GliotransmissionParameters(
    source=_S19,
    C_Theta=0.5 * umolar,
    Omega_A=0.6 / second,
    U_A=0.6,
    G_T=200 * mmolar,
    rho_e=6.5e-4,
    Omega_e=60 / second,
    O_G=1.5 / umolar / second,
    Omega_G=0.5 / (60 * second),
    alpha=0,
)

GLIOTRANSMISSION_BOOK = variant(
    GLIOTRANSMISSION,
    source=_BOOK,
    G_T=150 * mmolar,
    Omega_e=40 / second,
    O_G=0.3 / umolar / second,
    Omega_G=1 / (20 * second),
)

RECTIFYING = tables.CouplingParameters(
    source=_S19, F=0.09 * umolar / second, I_Theta=0.3 * umolar, omega_I=0.05 * umolar
)

LINEAR = tables.CouplingParameters(source=THIS_STUDY, F_lin=0.1 / second)

NEURON = tables.NeuronParameters(
    source="Stimberg et al. 2019, code of figure 1",
    C_m=198 * pF,
    g_l=9.99 * nS,
    E_l=-60 * mV,
    V_th=-50 * mV,
    V_r=-60 * mV,
    tau_r=5 * ms,
    I_ex=150 * pA,  # figure 6: 100 to 120
)


def _plasticity(*numbers: float, beta: float = 0.5, b: float = 5.0) -> PlasticityParameters:
    symbols = ("tau_Ca", "C_pre", "C_post", "theta_p", "gamma_d", "gamma_p", "sigma", "tau", "D")
    values: dict[str, Any] = dict(zip(symbols, numbers, strict=True))
    for symbol, unit in (("tau_Ca", ms), ("tau", second), ("D", ms)):
        values[symbol] *= unit
    return PlasticityParameters(source=_GB, theta_d=1, rho_star=0.5, beta=beta, b=b, **values)


PLASTICITY: dict[str, PlasticityParameters] = {
    #                    tau_Ca C_pre C_post theta_p gamma_d gamma_p sigma tau D
    "DP": _plasticity(20, 1, 2, 1.3, 200, 321.808, 2.8284, 150, 13.7),
    "DPD": _plasticity(20, 0.9, 0.9, 1.3, 250, 550, 2.8284, 150, 4.6),
    "DPD'": _plasticity(20, 1, 2, 2.5, 50, 600, 2.8284, 150, 2.2),
    "P": _plasticity(20, 2, 2, 1.3, 160, 257.447, 2.8284, 150, 0),
    "D": _plasticity(20, 0.6, 0.6, 1.3, 500, 550, 5.6568, 150, 0),
    "D'": _plasticity(20, 1, 2, 3.5, 60, 600, 2.8284, 150, 0),
    "hippocampal_slices": _plasticity(
        48.8373, 1, 0.275865, 1.3, 313.0965, 1645.59, 9.1844, 688.355, 18.8008, beta=0.7, b=5.28145
    ),
    "hippocampal_cultures": _plasticity(
        11.9536, 0.58156, 1.76444, 1.3, 61.141, 113.6545, 2.5654, 33.7596, 10, b=36.0263
    ),
    "cortical_slices": _plasticity(
        22.6936, 0.5617539, 1.23964, 1.3, 331.909, 725.085, 3.3501, 346.3615, 4.6098, b=5.40988
    ),
}


def get_preset(name: str) -> AstrocyteParameters:
    """The astrocyte called ``name``: ``fm``, ``am``, ``nest`` or ``book``."""
    if name not in PRESETS:
        raise ValueError(f"preset must be one of {sorted(PRESETS)}, got {name!r}")
    return PRESETS[name]


def get_plasticity(name: str) -> PlasticityParameters:
    """The Graupner-Brunel set called ``name``, such as ``DP`` or ``cortical_slices``."""
    if name not in PLASTICITY:
        raise ValueError(f"plasticity must be one of {sorted(PLASTICITY)}, got {name!r}")
    return PLASTICITY[name]
