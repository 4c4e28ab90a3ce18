"""Astrocyte models: frozen dataclasses that put parameter tables together.

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

from astro_sim.models.topology import Topology, chain
from astro_sim.parameters.presets import AM, FM, LINEAR, NEST, RELEASE
from astro_sim.parameters.tables import (
    AstrocyteParameters,
    CouplingParameters,
    NeuronParameters,
    ReleaseParameters,
    check_classes,
)
from astro_sim.parameters.units import Checked, Concentration, Number, PositiveNumber, Table, check_count, default
from astro_sim.parameters.variants import variant

UPDATES = ("event", "published")


@dataclass(frozen=True, kw_only=True, eq=False)
class Astrocytes(Checked):
    """Base of the astrocyte models.

    The gate h of the IP3 receptors is deterministic unless one of these is given:

    ``noise`` multiplies the published fluctuations, 1 being their size. They are in proportion to h_inf - h, so a cell
    that rests at its fixed point stays there [Stimberg et al. 2019, figure 2].
    ``n_channels`` is the number of channels that open and close by chance (Langevin equation of Shuai and Jung 2002):
    h fluctuates at rest as well, with the variance h (1 - h) / n_channels, and calcium events start by themselves.
    """

    astrocyte: AstrocyteParameters | None = FM
    noise: Number = 0.0
    n_channels: PositiveNumber | None = None
    n_astrocytes: int | None = None
    needs: ClassVar[tuple[str, ...]] = ("calcium",)
    optional: ClassVar[bool] = False  # whether ``astrocyte`` may be None

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self).__name__
        check_classes(self, AstrocyteParameters, Table, Topology)
        update = getattr(self, "update", UPDATES[0])
        if update not in UPDATES:
            raise ValueError(f"{name}.update must be one of {UPDATES}, got {update!r}")
        if self.astrocyte is None and not self.optional:
            raise TypeError(f"{name}.astrocyte must be AstrocyteParameters, got None; see get_preset")
        for table in self.needs:
            if self.astrocyte is not None and getattr(self.astrocyte, table) is None:
                raise ValueError(f"{name}.astrocyte must have a table {table!r}, got preset {self.astrocyte.name!r}")
        if self.n_channels is not None and np.any(np.asarray(self.noise)):
            raise ValueError(f"{name}.noise must be 0 where n_channels is given, got {self.noise}; take one of them")
        if self.n_astrocytes is not None:
            check_count(f"{name}.n_astrocytes", self.n_astrocytes)

    @property
    def stochastic(self) -> bool:
        """Whether the gate of the receptors fluctuates."""
        return self.n_channels is not None or bool(np.any(np.asarray(self.noise)))

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
