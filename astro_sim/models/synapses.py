"""Tripartite synapses: release, gliotransmission and long-term plasticity around an astrocyte."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from astro_sim.models.astrocytes import ChI
from astro_sim.parameters.presets import FM, GLIOTRANSMISSION, PLASTICITY, RELEASE
from astro_sim.parameters.tables import (
    THIS_STUDY,
    AstrocyteParameters,
    GliotransmissionParameters,
    PlasticityParameters,
    ReleaseParameters,
)
from astro_sim.parameters.units import Table, check_count
from astro_sim.parameters.variants import variant


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
    optional: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
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
