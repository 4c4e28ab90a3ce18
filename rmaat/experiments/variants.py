"""Variants of a model, by study, in the order of the tables.

`ablations` removes or replaces parts of RMAAT; `memory` changes the number of memory tokens; `deviation` scales the
constants that come from the simulation (a, alpha, position scale). The paper's "fewer segments" means less input, for
tasks that have max_len as an option; the same input in longer segments is another variant.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rmaat.config import ModelConfig, Rule, Timescales


@dataclass(frozen=True)
class Variant:
    """A change of a model, some fields of its ModelConfig set and others multiplied, or of the longest input."""

    name: str
    set: Mapping[str, Any] = field(default_factory=dict)
    scale: Mapping[str, float] = field(default_factory=dict)
    input: float = 1.0

    def apply(self, network: ModelConfig) -> ModelConfig:
        """`network` with the change."""
        before = {name: getattr(network, name) for name in self.scale}
        scaled = {name: type(value)(self.scale[name] * value) for name, value in before.items()}
        return dataclasses.replace(network, **self.set, **scaled)

    def changes(self, network: ModelConfig) -> bool:
        """Whether the variant is another model, or has less input."""
        before, after = (dataclasses.replace(n, retention=n.timescales) for n in (network, self.apply(network)))
        return before != after or self.input != 1


def _rule(name: str, rule: Rule, retention: Timescales) -> Variant:
    return Variant(name, {"memory_update": rule, "retention": retention})


ABLATIONS = (
    _rule("no-retention", "replace", "single"),
    Variant("bptt", {"backprop": "bptt"}),
    Variant("segments-twice-as-long", scale={"segment_len": 2}),
    Variant("segments-four-times-as-long", scale={"segment_len": 4}),
    Variant("half-the-input", input=0.5),
    Variant("quarter-of-the-input", input=0.25),
    Variant("no-H_astro", {"position": "none"}),
    Variant("no-H_neuron", {"neuron": False}),
    Variant("no-P", {"feedback": False}),
    Variant("alpha-1", {"alpha": 1.0}),
    Variant("free-R", {"position": "free"}),
    _rule("scale", "scale", "single"),
    _rule("consolidate", "consolidate", "single"),
    _rule("consolidate-population", "consolidate", "population"),
    _rule("relax", "relax", "single"),
    _rule("relax-population", "relax", "population"),
    _rule("gated", "gated", "single"),
    _rule("attend", "attend", "single"),
    Variant("post-norm", {"norm": "post"}),
    Variant("pre-norm", {"norm": "pre"}),
)

MEMORY = tuple(Variant(f"memory-{n}", {"n_memory": n}) for n in (4, 8, 16, 32, 64))

FACTORS = (0.25, 0.5, 2.0, 4.0)

DEVIATION = (
    *(Variant(f"a-x{factor:g}", scale={"seconds_per_segment": factor}) for factor in FACTORS),
    *(Variant(f"alpha-{alpha:g}", {"alpha": alpha}) for alpha in (0.1, 0.25, 0.5, 1.0)),
    *(Variant(f"scale-x{factor:g}", scale={"cells_per_token": factor}) for factor in FACTORS),
)

VARIANTS = {"models": (), "ablations": ABLATIONS, "memory": MEMORY, "deviation": DEVIATION}
