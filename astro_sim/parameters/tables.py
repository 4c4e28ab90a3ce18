"""One table per mechanism: which constants it has, with their dimensions. The published values are in `parameters`.

Every table is a frozen, keyword-only dataclass whose fields are Brian2 quantities. A field may hold one value or a
one-dimensional array with one value per element (astrocyte or synapse), which is how a sweep becomes one run.
Symbols are spelled as in the papers.
"""

import inspect
import re
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

import brian2 as b2
import numpy as np

from astro_sim.parameters.units import (
    Affinity,
    BindingRate,
    Capacitance,
    Concentration,
    Conductance,
    Current,
    Flux,
    Fraction,
    Number,
    PositiveNumber,
    Rate,
    RateConstant,
    Table,
    Time,
    TimeConstant,
    Voltage,
)

THIS_STUDY = "this study"


def check_classes(thing: Any, *kinds: type) -> None:
    """Raise one sentence unless every field whose annotation names one of ``kinds``, or a class of them, holds it."""
    for name, hint in get_type_hints(type(thing)).items():
        parts = [part for part in get_args(hint) or (hint,) if isinstance(part, type) and issubclass(part, kinds)]
        value = getattr(thing, name)
        if parts and not isinstance(value, hint):
            got = repr(value) if isinstance(value, str | float | int | None) else type(value).__name__
            advice = "; see get_preset" if AstrocyteParameters in parts else ""
            raise TypeError(f"{type(thing).__name__}.{name} must be {parts[0].__name__}, got {got}{advice}")


@dataclass(frozen=True, kw_only=True, eq=False)
class CalciumParameters(Table):
    """Li-Rinzel calcium core (M1)."""

    O_P: Flux  # maximal rate of Ca2+ uptake by SERCA
    K_P: Affinity  # Ca2+ affinity of SERCA
    C_T: Concentration  # total cell free Ca2+, per cytosol volume
    rho_A: Number  # ratio of ER to cytosol volume
    Omega_C: Rate  # maximal rate of Ca2+ release by IP3 receptors
    Omega_L: Rate  # Ca2+ leak from the ER
    d_1: Affinity  # IP3 binding
    d_2: Affinity  # Ca2+ inactivation
    d_3: Affinity  # IP3 binding, with Ca2+ bound
    d_5: Affinity  # Ca2+ activation
    O_2: BindingRate  # rate of Ca2+ inactivation (the chapter's table prints the wrong unit)


@dataclass(frozen=True, kw_only=True, eq=False)
class IP3Parameters(Table):
    """IP3 production and degradation (M2), with the exogenous flow J_ex."""

    O_delta: Flux  # maximal rate of IP3 production by PLC-delta
    kappa_delta: Affinity  # inhibition of PLC-delta by IP3
    K_delta: Affinity  # Ca2+ affinity of PLC-delta
    O_3K: Flux  # maximal rate of IP3 degradation by IP3-3K
    K_D: Affinity  # Ca2+ affinity of IP3-3K
    K_3K: Affinity  # IP3 affinity of IP3-3K
    Omega_5P: Rate  # IP3 degradation by IP-5P
    F_ex: Flux | None = None  # maximal exogenous IP3 flow
    I_Theta: Concentration | None = None  # threshold gradient of IP3 diffusion
    omega_I: Affinity | None = None  # scale of IP3 diffusion


@dataclass(frozen=True, kw_only=True, eq=False)
class ReceptorParameters(Table):
    """Metabotropic receptor of the astrocyte (M3)."""

    O_beta: Flux  # maximal rate of IP3 production by PLC-beta
    O_N: BindingRate  # agonist binding
    Omega_N: RateConstant  # inactivation without Ca2+
    K_KC: Affinity  # Ca2+ affinity of PKC
    zeta: Number  # how much PKC speeds inactivation


@dataclass(frozen=True, kw_only=True, eq=False)
class CouplingParameters(Table):
    """Gap junctions (M7): rectifying (F, I_Theta, omega_I) or linear (F_lin), never both."""

    F: Flux | None = None  # permeability of the rectifying junction
    I_Theta: Concentration | None = None
    omega_I: Affinity | None = None
    F_lin: Rate | None = None  # permeability of the linear junction

    def __post_init__(self) -> None:
        super().__post_init__()
        if set(self.quantities()) not in ({"F", "I_Theta", "omega_I"}, {"F_lin"}):
            raise ValueError(
                "CouplingParameters must have either F, I_Theta and omega_I (rectifying) or F_lin (linear), "
                f"got {sorted(self.quantities())}"
            )

    @property
    def kind(self) -> str:
        """``"linear"`` or ``"rectifying"``."""
        return "rectifying" if self.F_lin is None else "linear"


@dataclass(frozen=True, kw_only=True, eq=False)
class ReleaseParameters(Table):
    """Tsodyks-Markram release and transmitter in the cleft (M4)."""

    Omega_d: Rate  # recovery from depression
    Omega_f: Rate  # loss of facilitation
    U_0__star: Fraction  # release probability without gliotransmission
    Y_T: Concentration  # vesicular transmitter
    rho_c: Number  # ratio of vesicular to cleft volume
    Omega_c: RateConstant  # clearance


@dataclass(frozen=True, kw_only=True, eq=False)
class GliotransmissionParameters(Table):
    """Gliotransmitter release and presynaptic receptors (M5).

    ``refractory`` is the scheme of release: ``None`` is the published one (one release per upward crossing of
    C_Theta, however long C stays above it); a time lets the astrocyte release again after that time while C is
    above C_Theta, which keeps release going at high input rates.
    """

    C_Theta: Concentration  # Ca2+ threshold of exocytosis
    Omega_A: Rate  # recycling of gliotransmitter resources
    U_A: Fraction  # release probability
    G_T: Concentration  # vesicular gliotransmitter
    rho_e: Number  # ratio of vesicular to extracellular volume
    Omega_e: RateConstant  # clearance
    O_G: BindingRate  # binding to presynaptic receptors
    Omega_G: Rate  # unbinding
    alpha: Fraction  # effect on release: below U_0__star decreasing, above it increasing
    refractory: TimeConstant | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.refractory is not None and np.ndim(self.refractory):
            raise ValueError(f"GliotransmissionParameters.refractory must be one time, got {self.refractory!r}")

    @property
    def J_S(self) -> Any:
        """Strength of one full release, rho_e G_T O_G / Omega_e, dimensionless (3.25 in [S19])."""
        return self.rho_e * self.G_T * self.O_G / self.Omega_e


@dataclass(frozen=True, kw_only=True, eq=False)
class PlasticityParameters(Table):
    """Calcium-based long-term plasticity of Graupner and Brunel (M6)."""

    tau_Ca: TimeConstant  # decay of synaptic calcium
    C_pre: Number  # calcium per presynaptic spike
    C_post: Number  # calcium per postsynaptic spike
    theta_d: PositiveNumber  # threshold of depression
    theta_p: PositiveNumber  # threshold of potentiation
    gamma_d: Number  # rate of depression
    gamma_p: Number  # rate of potentiation
    sigma: Number  # amplitude of the noise
    tau: TimeConstant  # time constant of the efficacy
    rho_star: Number  # boundary of the basins of attraction
    D: Time  # delay of presynaptically evoked calcium; a run rounds it to its dt
    beta: Number  # share of synapses that start in the down state
    b: Number  # ratio of up to down strength
    cubic: Number = 1.0  # 0 switches the bistability off, as the closed forms of the mean do


@dataclass(frozen=True, kw_only=True, eq=False)
class InwardCurrentParameters(Table):
    """IP3 pool driven by spikes, and slow inward current, as NEST has them (M8)."""

    IP3_0: Concentration  # baseline
    tau_IP3: TimeConstant  # decay
    delta_IP3: Concentration  # step per spike of weight 1
    SIC_th: Concentration  # calcium threshold
    SIC_scale: Number  # factor of the current


@dataclass(frozen=True, kw_only=True, eq=False)
class NeuronParameters(Table):
    """Leaky integrate-and-fire neuron that a slow inward current reaches."""

    C_m: Capacitance  # membrane
    g_l: Conductance  # leak
    E_l: Voltage  # leak reversal
    V_th: Voltage  # threshold
    V_r: Voltage  # reset
    tau_r: TimeConstant  # refractory time
    I_ex: Current  # constant external current


@dataclass(frozen=True, kw_only=True, eq=False)
class AstrocyteParameters:
    """The tables of one astrocyte: constants of different sets are never mixed by accident.

    ``source`` is that of every table; that of a mixture names them all, or is ``"this study"``.
    """

    name: str
    source: str
    calcium: CalciumParameters
    ip3: IP3Parameters | None = None
    receptor: ReceptorParameters | None = None
    inward_current: InwardCurrentParameters | None = None

    def __post_init__(self) -> None:
        check_classes(self, Table)
        for table in self.tables():
            if self.source != THIS_STUDY and table.source not in self.source:
                raise ValueError(
                    f"AstrocyteParameters.source must name that of every table, got {self.source!r} with the table "
                    f"{type(table).__name__} from {table.source!r}; a mixture is source={THIS_STUDY!r}"
                )

    def tables(self) -> list[Table]:
        """The tables that are set."""
        return [value for value in vars(self).values() if isinstance(value, Table)]

    def quantities(self) -> dict[str, b2.Quantity]:
        """Map symbol to value, over all tables."""
        return {symbol: value for table in self.tables() for symbol, value in table.quantities().items()}


def meanings(table: Table) -> dict[str, str]:
    """Symbol -> what it means, as the comment beside its field says."""
    return dict(re.findall(r"^    (\w+): .*  # (.+)$", inspect.getsource(type(table)), re.MULTILINE))
