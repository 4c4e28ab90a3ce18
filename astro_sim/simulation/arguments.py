"""The checked arguments of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import brian2 as b2
import numpy as np
from brian2 import second, umolar

from astro_sim.models.astrocytes import Astrocytes
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.parameters.units import Dimension, check_quantity
from astro_sim.protocols.protocol import Protocol
from astro_sim.simulation.description import ASTROCYTE_SIDE, SYNAPSE_SIDE

# What a mapping passed as `initial` may set, and in which unit
FRACTIONS = ("h", "x_A", "Gamma_A", "u_S", "x_S", "Gamma_S", "rho")

SYNAPTIC = ("u_S", "x_S", "Gamma_S", "c", "rho")

STATES: dict[str, Dimension] = {
    **dict.fromkeys(("C", "I", "G_A", "Y_S"), Dimension(umolar, "M")),
    **dict.fromkeys((*FRACTIONS, "c"), Dimension(b2.Quantity(1.0), "1")),
}


MOST_STEPS = 10**9  # of dt, 12 days at 1 ms, which no machine simulates in a week


def sizes(model: Any, protocol: Protocol) -> tuple[int, int]:
    """Numbers of synapses and astrocytes (0 where there are none) that model, arrays and protocol agree on."""

    def agree(owner: str, default: int, *candidates: int | None) -> int:
        asked = {n for n in candidates if n is not None}
        if len(asked) > 1:
            raise ValueError(f"the number of {owner} must be one, got {sorted(asked)} from model, arrays and protocol")
        return asked.pop() if asked else default

    def lengths(tables: list[Any], only: tuple[str, ...] | None = None) -> list[int]:
        found = [table.quantities().items() for table in tables if table is not None]
        return [len(v) for items in found for k, v in items if np.ndim(v) and (only is None or k in only)]

    astrocytes = [model.n_fixed(), *lengths([model, *model.astrocyte_tables()])]
    if not isinstance(model, TripartiteSynapses):
        return 0, agree("astrocytes", 1, protocol.n_elements, *astrocytes)
    astrocytes += lengths([model.gliotransmission], ASTROCYTE_SIDE)
    synapses = [model.n_synapses, protocol.n_elements, *lengths([model.release, model.plasticity])]
    synapses += lengths([model.gliotransmission], SYNAPSE_SIDE)
    fallback, index = 1000 if model.plasticity is not None else 1, model.astrocyte_index
    if index is None:  # one astrocyte per synapse: their arrays have one length
        n = agree("synapses", fallback, *synapses, *astrocytes)
        return n, n
    n = agree("synapses", fallback, len(index), *synapses)
    return n, agree("astrocytes", int(index.max()) + 1, *astrocytes)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Checked arguments of a run; times in s."""

    model: Any  # one of the dataclasses of astro_sim.models
    protocol: Protocol
    duration_s: float
    seed: int
    dt_s: float
    astrocyte_dt_s: float
    record_every_s: float
    initial: Any
    n_synapses: int
    n_astrocytes: int

    @property
    def start(self) -> str:
        """Where astrocytes start: ``fixed_point`` or ``published``."""
        return self.initial if isinstance(self.initial, str) else "fixed_point"

    @property
    def overrides(self) -> Mapping[str, Any]:
        """Initial values that the user asked for."""
        return {} if isinstance(self.initial, str) else self.initial

    @property
    def end(self) -> b2.Quantity:
        """A little beyond the duration, so that the state at the duration is sampled too.

        One step is not enough where sampling is much coarser: Brian2 takes an end within `Clock.epsilon_dt` of a
        clock's tick for that tick, and then the last sample is taken or not as the order of its clocks happens to be.
        """
        return (self.duration_s + max(self.dt_s, 2 * b2.Clock.epsilon_dt * self.record_every_s)) * second


def check_time(name: str, value: Any) -> float:
    """A positive time in s."""
    quantity = check_quantity(name, value, Dimension(second, "s", "positive"))
    if quantity.ndim:
        raise ValueError(f"{name} must be one time, got {value!r}")
    return float(quantity)


def sampling_interval(duration_s: float, dt_s: float) -> float:
    """The 1-2-5 multiple of ``dt`` nearest above a thousandth of the duration."""
    multiples = (m * 10**k for k in range(12) for m in (1, 2, 5))
    return next(dt_s * m for m in multiples if dt_s * m * 1000 >= duration_s * (1 - 1e-9))


def check_initial(initial: Any, model: Any, n_synapses: int, n_astrocytes: int) -> None:
    """Check ``initial``: names, units, ranges and lengths."""
    if isinstance(initial, str):
        if initial not in ("fixed_point", "published"):
            raise ValueError(f"initial must be 'fixed_point', 'published' or a mapping of variables, got {initial!r}")
        return
    if not isinstance(initial, Mapping):
        raise TypeError(f"initial must be 'fixed_point', 'published' or a mapping of variables, got {initial!r}")
    for name, value in initial.items():
        if name not in STATES:
            raise ValueError(f"initial must set variables among {sorted(STATES)}, got {name!r}")
        quantity = check_quantity(f"initial[{name!r}]", value, STATES[name])
        n, owner = (n_synapses, "synapses") if name in SYNAPTIC else (n_astrocytes, "astrocytes")
        if np.size(quantity) not in (1, n):
            raise ValueError(f"initial[{name!r}] must have one value for each of {n} {owner}, got {len(quantity)}")
        if name in FRACTIONS and np.any(np.asarray(quantity) > 1):
            raise ValueError(f"initial[{name!r}] must be at most 1, got {value!r}")
        if name == "C" and model.astrocyte is not None:
            calcium = model.astrocyte.calcium
            if np.any(quantity > calcium.C_T / (1 + calcium.rho_A) * (1 + 1e-9)):
                raise ValueError(f"initial['C'] must be at most C_T/(1 + rho_A), all calcium there is, got {value!r}")


def check_settings(model, protocol, duration, seed, dt, astrocyte_dt, record_every, initial) -> Settings:
    """Check every argument of `simulate`; raise one sentence for the first that is wrong."""
    if not isinstance(model, Astrocytes):
        raise TypeError(f"model must be one of the dataclasses of astro_sim.models.astrocytes, got {model!r}")
    protocol = Protocol() if protocol is None else protocol
    if not isinstance(protocol, Protocol):
        raise TypeError(f"protocol must be one of astro_sim.protocols.trains, got {protocol!r}")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise ValueError(f"seed must be an integer from 0 to 2**32 - 1, got {seed!r}")
    duration = protocol.duration if duration is None else duration
    if duration is None:
        what = "no protocol is given" if type(protocol) is Protocol else f"a {type(protocol).__name__} has no end"
        raise ValueError(f"duration must be given where {what}, got None")
    duration_s = check_time("duration", duration)
    dt_s = 1e-3 if dt is None else check_time("dt", dt)
    if duration_s < dt_s * (1 - 1e-9):
        raise ValueError(f"duration must be at least dt = {dt_s} s, got {duration_s} s")
    if duration_s > MOST_STEPS * dt_s:
        raise ValueError(f"duration must be at most {MOST_STEPS:g} steps of {dt_s} s, got {duration_s:g} s")
    fine = getattr(model, "update", "event") == "published" or model.stochastic
    default = max(dt_s, 1e-3 if fine else 1e-2) if dt is None else dt_s
    astrocyte_dt_s = default if astrocyte_dt is None else check_time("astrocyte_dt", astrocyte_dt)
    if fine and astrocyte_dt_s > 1e-3 * (1 + 1e-9):
        raise ValueError(
            f"astrocyte_dt must be at most 1 ms with noise, n_channels or update='published', got {astrocyte_dt_s} s; "
            "only the noiseless update='event' allows larger steps"
        )
    record_every_s = sampling_interval(duration_s, dt_s)
    if record_every is not None:
        record_every_s = check_time("record_every", record_every)
    steps = record_every_s / dt_s
    if steps < 0.5 or abs(steps - round(steps)) > 1e-6:
        raise ValueError(f"record_every must be a multiple of dt = {dt_s} s, got {record_every_s} s")
    if record_every_s > max(duration_s, dt_s) * (1 + 1e-9):
        raise ValueError(f"record_every must not exceed duration = {duration_s} s, got {record_every_s} s")
    n_synapses, n_astrocytes = sizes(model, protocol)
    check_initial(initial, model, n_synapses, n_astrocytes)
    return Settings(
        model=model,
        protocol=protocol,
        duration_s=duration_s,
        seed=int(seed),
        dt_s=dt_s,
        astrocyte_dt_s=astrocyte_dt_s,
        record_every_s=record_every_s,
        initial=initial,
        n_synapses=n_synapses,
        n_astrocytes=n_astrocytes,
    )
