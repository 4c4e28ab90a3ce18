"""What can be simulated: frozen dataclasses that put parameter tables together.

``LiRinzel`` < ``ChI`` < ``GChI`` are astrocytes of growing detail (``AstrocyteNetwork`` couples them by gap junctions,
``InwardCurrent`` is NEST's astrocyte); ``TripartiteSynapses`` adds release, gliotransmission and long-term plasticity,
each of which may be left out. Any quantity may be an array with one value per astrocyte (or per synapse, for the
tables of the synapse), so a sweep is one model and one run.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from brian2 import umolar

from astro_sim.drive import default
from astro_sim.parameters import AM, FM, GLIOTRANSMISSION, LINEAR, NEST, PLASTICITY, RELEASE, THIS_STUDY, variant
from astro_sim.quantities import Checked, Concentration, Number, Table, check_count
from astro_sim.tables import (
    AstrocyteParameters,
    CouplingParameters,
    GliotransmissionParameters,
    NeuronParameters,
    PlasticityParameters,
    ReleaseParameters,
    check_classes,
)
from astro_sim.topology import Topology, chain

UPDATES = ("event", "published")


@dataclass(frozen=True, kw_only=True, eq=False)
class Astrocytes(Checked):
    """Base of the astrocyte models.

    ``noise`` multiplies the fluctuations of the IP3 receptors' gate: 0 is deterministic, 1 the published channel noise.
    ``astrocyte`` may be ``None`` in `TripartiteSynapses` only.
    """

    astrocyte: AstrocyteParameters | None = FM
    noise: Number = 0.0
    n_astrocytes: int | None = None
    needs: ClassVar[tuple[str, ...]] = ("calcium",)

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self).__name__
        check_classes(self, AstrocyteParameters, Table, Topology)
        if self.astrocyte is None:
            raise TypeError(f"{name}.astrocyte must be AstrocyteParameters, got None; see get_preset")
        for table in self.needs:
            if getattr(self.astrocyte, table) is None:
                raise ValueError(f"{name}.astrocyte must have a table {table!r}, got preset {self.astrocyte.name!r}")
        if self.n_astrocytes is not None:
            check_count(f"{name}.n_astrocytes", self.n_astrocytes)

    def astrocyte_tables(self) -> list[Table]:
        """Tables whose arrays have one value per astrocyte."""
        return [getattr(self.astrocyte, table) for table in self.needs]

    def n_fixed(self) -> int | None:
        """Number of astrocytes that the model itself asks for."""
        return self.n_astrocytes


@dataclass(frozen=True, kw_only=True, eq=False)
class LiRinzel(Astrocytes):
    """Calcium core at a given IP3 level ``I`` (M1)."""

    I: Concentration = default(0.5 * umolar)


@dataclass(frozen=True, kw_only=True, eq=False)
class ChI(Astrocytes):
    """Calcium and IP3 (M2), with gap junctions where a ``topology`` is given (M7).

    ``stim`` (0 or 1) switches the exogenous flow J_ex towards ``I_bias``; off by default, because J_ex with
    ``I_bias = 0`` is a strong sink of IP3 and not the absence of a drive. A protocol with an IP3 pulse brings its own.
    """

    I_bias: Concentration = default(0 * umolar)
    stim: Number = 0.0
    topology: Topology | None = None
    coupling: CouplingParameters = LINEAR
    needs: ClassVar[tuple[str, ...]] = ("calcium", "ip3")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.topology is not None and self.n_astrocytes not in (None, self.topology.n):
            raise ValueError(
                f"{type(self).__name__}.n_astrocytes must be that of the topology, {self.topology.n}, "
                f"got {self.n_astrocytes}"
            )

    def n_fixed(self) -> int | None:
        return self.n_astrocytes if self.topology is None else self.topology.n


@dataclass(frozen=True, kw_only=True, eq=False)
class GChI(ChI):
    """ChI with the metabotropic receptor (M3); every spike of the protocol frees ``rho_c * Y_T`` of transmitter.

    ``update="published"`` integrates the receptor with the rest of the cell, which needs steps of 1 ms;
    ``"event"`` advances it in closed form and allows 10 ms.
    """

    release: ReleaseParameters = dataclasses.field(
        default_factory=lambda: variant(RELEASE, source="Stimberg et al. 2019, figure 2", rho_c=0.001)
    )
    update: str = "event"
    needs: ClassVar[tuple[str, ...]] = ("calcium", "ip3", "receptor")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_update(self)

    def astrocyte_tables(self) -> list[Table]:
        return [*super().astrocyte_tables(), self.release]


@dataclass(frozen=True, kw_only=True, eq=False)
class AstrocyteNetwork(ChI):
    """ChI astrocytes joined by gap junctions: a chain of 11 ``am`` cells with linear junctions unless told."""

    astrocyte: AstrocyteParameters = AM
    topology: Topology = dataclasses.field(default_factory=lambda: chain(11))


@dataclass(frozen=True, kw_only=True, eq=False)
class InwardCurrent(Astrocytes):
    """NEST's astrocyte (M8): calcium core, IP3 pool filled by spikes of weight ``w_IP3``, slow inward current.

    Where a ``neuron`` is given, each astrocyte sends its current, times ``w_SIC``, to one neuron.
    """

    astrocyte: AstrocyteParameters = NEST
    w_IP3: Number = 1.0
    neuron: NeuronParameters | None = None
    w_SIC: Number = 1.0
    needs: ClassVar[tuple[str, ...]] = ("calcium", "inward_current")


@dataclass(frozen=True, kw_only=True, eq=False)
class TripartiteSynapses(ChI):
    """Synapses with their astrocytes: release (M4), gliotransmission (M5) and long-term plasticity (M6).

    Parameters
    ----------
    astrocyte : AstrocyteParameters or None
        ``None`` for synapses without astrocytes (then gliotransmission must be ``None`` or imposed by the protocol).
    release : ReleaseParameters or None
        ``None`` for plasticity alone, as Graupner and Brunel have it.
    gliotransmission, plasticity : tables or None
    loop : {"closed", "open"}
        Whether astrocytes sense their synapses, or are driven by ``I_bias`` alone.
    n_synapses : int, optional
        By default what arrays and protocol ask for; else 1000 with plasticity (whose noise needs an ensemble), or 1.
    astrocyte_index : array of int, shape (n_synapses,), optional
        Which astrocyte covers which synapse; one each by default.
    update : {"event", "published"}
        ``"event"`` advances every synaptic variable in closed form from event to event; ``"published"`` integrates
        the equations of the sources on the clock of ``dt`` (gliotransmitter transient, Heun steps of c and rho with
        the exact share of the step above threshold).
    """

    release: ReleaseParameters | None = dataclasses.field(
        default_factory=lambda: variant(RELEASE, source=THIS_STUDY, U_0__star=0.3)
    )
    gliotransmission: GliotransmissionParameters | None = dataclasses.field(
        default_factory=lambda: variant(GLIOTRANSMISSION, source=THIS_STUDY, alpha=1)
    )
    plasticity: PlasticityParameters | None = PLASTICITY["DP"]
    astrocyte: AstrocyteParameters | None = FM
    loop: str = "closed"
    n_synapses: int | None = None
    astrocyte_index: np.ndarray | None = None
    update: str = "event"

    def __post_init__(self) -> None:
        if self.astrocyte is None:
            Checked.__post_init__(self)
            check_classes(self, Table, Topology)
        else:
            super().__post_init__()
        check_update(self)
        if self.loop not in ("closed", "open"):
            raise ValueError(f"TripartiteSynapses.loop must be 'closed' or 'open', got {self.loop!r}")
        if self.release is None and (self.astrocyte is not None or self.gliotransmission is not None):
            raise ValueError(
                "TripartiteSynapses.release must be given where there are astrocytes or gliotransmission, got None; "
                "plasticity alone is TripartiteSynapses(release=None, astrocyte=None, gliotransmission=None)"
            )
        if self.release is None and self.plasticity is None:
            raise ValueError("TripartiteSynapses must have release or plasticity, got neither")
        if self.astrocyte is not None and self.needs_receptor and self.astrocyte.receptor is None:
            raise ValueError(
                "TripartiteSynapses.astrocyte must have a table 'receptor' where loop='closed', got "
                f"{self.astrocyte.name!r}; use loop='open'"
            )
        if self.release is not None and self.plasticity is not None and np.any(np.asarray(self.release.U_0__star) == 0):
            raise ValueError(
                "TripartiteSynapses.release.U_0__star must be positive where there is plasticity, whose calcium per "
                f"spike is relative to it, got {self.release.U_0__star!r}"
            )
        if self.n_synapses is not None:
            check_count("TripartiteSynapses.n_synapses", self.n_synapses)
        if self.astrocyte_index is not None:
            self._check_index()

    @property
    def needs_receptor(self) -> bool:
        """Whether the astrocytes sense their synapses."""
        return self.astrocyte is not None and self.loop == "closed"

    def astrocyte_tables(self) -> list[Table]:
        if self.astrocyte is None:
            return []
        names = ("calcium", "ip3", "receptor") if self.needs_receptor else ("calcium", "ip3")
        return [getattr(self.astrocyte, name) for name in names]

    def _check_index(self) -> None:
        index = np.asarray(self.astrocyte_index)
        if index.ndim != 1 or not np.issubdtype(index.dtype, np.integer):
            raise ValueError(f"TripartiteSynapses.astrocyte_index must be a list of integers, got {index!r}")
        n = self.n_fixed()
        if index.min() < 0:
            raise ValueError(f"TripartiteSynapses.astrocyte_index must not be negative, got {index.min()}")
        if n is not None and index.max() >= n:
            raise ValueError(f"TripartiteSynapses.astrocyte_index must be indices below {n}, got {index.max()}")
        if self.n_synapses not in (None, len(index)):
            raise ValueError(f"TripartiteSynapses.astrocyte_index must have {self.n_synapses} values, got {len(index)}")
        object.__setattr__(self, "astrocyte_index", index)


def check_update(model: GChI | TripartiteSynapses) -> None:
    """Raise one sentence unless the update scheme is known."""
    if model.update not in UPDATES:
        raise ValueError(f"{type(model).__name__}.update must be one of {UPDATES}, got {model.update!r}")
