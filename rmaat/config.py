"""The configuration of a model, and the checks of its fields."""

import dataclasses
import math
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

Attention = Literal["astromorphic", "linear", "softmax"]
Rule = Literal["scale", "consolidate", "relax", "replace", "gated", "attend"]
Timescales = Literal["single", "population"]
Norm = Literal["post", "pre"]
Pooling = Literal["last", "memory", "mean", "each"]
Task = Literal["classify", "match", "tag", "lm"]

PAPER: dict[str, Any] = {  # what preset="paper" requires
    "attention": "astromorphic",
    "memory_update": "scale",
    "retention": "single",
    "position": "tied",
    "neuron": True,
    "feedback": True,
    "norm": "post",
    "cached_memories": False,
    "synapses": "none",
    "conv_len": 1,
}


MOST = 10**8  # of anything that is counted: more fits no machine


def check_grid(grid: Any, name: str, size: int) -> tuple[int, int]:
    """Return `grid` as (rows, columns); ValueError unless they are positive integers whose product is `size`."""
    try:
        rows, columns = (check_count("grid", n) for n in grid)
    except (TypeError, ValueError):
        rows = columns = 0
    if not isinstance(grid, tuple | list) or rows == 0 or rows * columns != size:
        raise ValueError(f"grid must be (rows, columns) with rows * columns = {name} = {size}, got {grid}")
    return rows, columns


def check_heads(d_model: int, n_heads: int) -> None:
    """ValueError unless both are positive integers and the heads divide the width."""
    if check_count("d_model", d_model) % check_count("n_heads", n_heads):
        raise ValueError(f"n_heads must divide d_model, got n_heads={n_heads} and d_model={d_model}")


def check_count(name: str, value: Any, least: int = 1) -> int:
    """Return `value` as an int; ValueError unless it is an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    if int(value) > MOST:
        raise ValueError(f"{name} must be at most {MOST}, got {value:g}")
    return int(value)


def check_number(name: str, value: Any, *, zero: bool = False) -> float:
    """Return `value` as a float; ValueError unless it is finite and positive, or 0 where `zero` allows that."""
    number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value < 0 or (value == 0 and not zero):
        raise ValueError(f"{name} must be {'finite and at least 0' if zero else 'positive and finite'}, got {value!r}")
    return float(value)


Count = Annotated[int, check_count]
CountFromTwo = Annotated[int, partial(check_count, least=2)]
CountFromZero = Annotated[int, partial(check_count, least=0)]
Positive = Annotated[float, check_number]
NotNegative = Annotated[float, partial(check_number, zero=True)]


@dataclass(frozen=True)
class ModelConfig:
    """What a model is, without its curves and without how it is trained.

    ``alpha``, ``position_scale`` and the retention come from the curves. A number given here overrides its curve, which
    :meth:`rmaat.RMAAT.provenance` then says.
    A value or a combination of values that makes no model raises ValueError.
    """

    vocab_size: CountFromTwo
    """Token ids are 1 ... vocab_size - 1; 0 is padding."""
    n_classes: Count = 2
    """Classes of the label (tasks classify, match and tag), or numbers that a loss of one's own reads."""
    d_model: Count = 64
    """Width of a token."""
    n_heads: Count = 4
    """Attention heads; must divide d_model."""
    n_layers: Count = 2
    """Blocks of attention and feed-forward network."""
    d_ff: Count = 128
    """Hidden width of the feed-forward network and of the classification head."""
    segment_len: Count = 256
    """Tokens of a segment."""
    n_memory: CountFromZero = 16
    """Memory tokens; 0 cuts the recurrence."""
    dropout: float = 0.1
    """Dropout of the embedding, of each sub-layer's output and of the head's input."""
    attention: Attention = "astromorphic"
    """Linear is astromorphic with alpha = 1, m = 1 and no R: Katharopoulos' attention."""
    memory_update: Rule | None = None
    """Rule of rmaat.memory.retention; by default relax, in the preset paper scale."""
    retention: Timescales | None = None
    """One course for all memory tokens, or one relaxation rate each; by default population with relax, unless it is
    given a relaxation_rate, and else single."""
    backprop: Literal["amrb", "bptt"] = "amrb"
    """Replay one segment at a time in the backward pass, or keep the graph of all segments."""
    budget: NotNegative = 0.0
    """Bytes for graphs of segments that amrb keeps in place of replaying them; 0 for none. No effect with bptt."""
    norm: Norm = "post"
    """LayerNorm after each residual sum (the paper) or before each sub-layer."""
    pooling: Pooling = "last"
    """What the head reads: last segment's tokens and memory, memory, all tokens, or each segment for itself."""
    task: Task = "classify"
    """One sequence and a label, two sequences through shared towers and a label, a label for each token (which sees its
    whole segment), or the next token (causal)."""
    preset: Literal["default", "paper"] = "default"
    """Paper: the literal reading: astromorphic with H_neuron, tied R and P, memory_update scale, retention single,
    post-norm, a memory, none cached."""
    alpha: NotNegative | None = None
    """Exponent of the Ca2+ response g; by default the exponent of the curve stp_calcium."""
    position_scale: NotNegative | None = None
    """Decay of R per token; by default cells_per_token / the length of the curve stp_spatial."""
    cells_per_token: Positive = 0.25
    """Astrocytes passed from one token to the next: a modelling choice, for R alone."""
    seconds_per_segment: Positive = 50.0
    """Simulated time that a segment stands for; the paper's cycle is 50 s."""
    relaxation_rate: Positive | None = None
    """a: an exponential course with this rate per segment instead of the curve; no effect on rules that read none."""
    m_scale: Positive | None = None
    """Scale m of H; by default n^(1 - alpha), n = valid tokens of the segment, memory included: unit gain."""
    position: Literal["tied", "free", "none"] = "tied"
    """Construction of R; none drops H_astro."""
    feedback: bool = True
    """False drops P = 1 / C."""
    neuron: bool = True
    """False drops H_neuron."""
    synapses: Literal["none", "hebbian", "delta", "retention", "gated_delta"] = "none"
    """Synaptic memory: how H, which then persists from segment to segment, is written. Hebbian is the paper's write;
    delta corrects what the key recalls. For comparison: retention forgets at every token at the rates of
    synaptic_rates (RetNet), gated_delta at a rate that the token sets (gated DeltaNet). These three have neither R nor
    g."""
    synaptic_rates: Literal["population", "single", "none", "loguniform", "retnet", "learned"] = "population"
    """Relaxation of H per segment, by head: of the curve ltp_population; of ltp, the same for all; none; evenly spaced
    in the logarithm from 0.01 to 2; RetNet's; or learned, from those of the population on."""
    sinusoids: NotNegative = 1.0
    """Size of the position sinusoids beside the token embeddings; 0 for none. At 1 they hide which token a key is
    (benchmarks/FINDINGS.md): with a short convolution, which gives the order, 0.1 recalls."""
    conv_len: Count = 1
    """Neighbouring tokens that a short convolution mixes in queries, keys and values; 1 for none."""
    n_modes: Count = 32
    """Modes of each channel of the state-space model, the baseline ssm; no effect on others."""
    memory_position: Literal["none", "learned"] = "none"
    """Rows of phi(R) of the memory tokens: zero, or phi of learned ones."""
    grid: tuple[int, int] | None = None
    """Rows and columns of a segment that is a piece of an image; distances are then Manhattan."""
    cached_memories: bool = False
    """Read all earlier memories of the replay buffer, not only the last (Memory Caching); memory then grows with T."""
    carry_state: bool = False
    """Forward also takes and returns the state, detached, for the next rollout (the paper's line 14)."""
    offload: bool = False
    """Keep the replay buffer in host memory."""
    n_features: CountFromZero = 0
    """Real numbers a step, which a projection takes up in place of the embedding; 0 for token ids."""
    max_len: Count | None = None
    """Longest input in tokens, where it is known: marks curves used beyond their range; sizes unsegmented baselines."""

    def __post_init__(self) -> None:
        if self.grid is not None:
            object.__setattr__(self, "grid", check_grid(self.grid, "segment_len", self.segment_len))
        check_fields(self)
        if self.memory_update is None:
            object.__setattr__(self, "memory_update", PAPER["memory_update"] if self.preset == "paper" else "relax")
        self._check_combinations()

    @property
    def timescales(self) -> Timescales:
        """`retention` with its default filled in: "single" or "population"."""
        if self.retention is not None:
            return self.retention
        return "population" if self.memory_update == "relax" and self.relaxation_rate is None else "single"

    @property
    def reads_each_token(self) -> bool:
        """Whether the head answers for each token, not for a whole sequence."""
        return self.task in ("tag", "lm")

    @property
    def d_head(self) -> int:
        """Width of a head."""
        return self.d_model // self.n_heads

    def _check_combinations(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout}")
        for name, low, high in (("alpha", 0, 10), ("m_scale", 1e-30, 1e30)):  # beyond them float32 overflows
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"{name} must be from {low:g} to {high:g}, got {value:g}")
        check_heads(self.d_model, self.n_heads)
        if self.retention == "population" and self.memory_update not in ("relax", "consolidate"):
            raise ValueError(
                f"retention must be 'single' with memory_update={self.memory_update!r}, got 'population'; "
                "choose memory_update='relax' or 'consolidate' for one relaxation rate per memory token"
            )
        if self.retention == "population" and self.relaxation_rate is not None:
            raise ValueError("retention must be 'single' when relaxation_rate is given, got 'population'; drop one")
        if not self.neuron and self.position == "none" and self.attention == "astromorphic":
            raise ValueError("position must not be 'none' when neuron=False, got both: nothing would be written to H")
        if self.n_memory == 0 and self.pooling == "memory":
            raise ValueError("n_memory must be at least 1 with pooling='memory', got 0")
        if self.pooling == "each" and self.task != "classify":
            raise ValueError(f"pooling must not be 'each' with task={self.task!r}; it gives one label per segment")
        if self.synapses != "none" and self.attention == "softmax":
            raise ValueError("attention must not be 'softmax' with synapses, which are of linear attention")
        if self.n_features and self.task == "lm":
            raise ValueError(f"n_features must be 0 with task='lm', which asks for tokens, got {self.n_features}")
        if self.carry_state and self.task == "match":
            raise ValueError("carry_state must be False with task='match', got True; pairs have no next rollout")
        if self.preset == "paper":
            got = dataclasses.asdict(self) | {"retention": self.timescales}
            for name, value in PAPER.items():
                if got[name] != value:
                    remedy = "set it so, or leave preset out to vary it"
                    raise ValueError(f"{name} must be {value!r} in preset='paper', got {got[name]!r}; {remedy}")
            if self.n_memory == 0:
                raise ValueError("n_memory must be at least 1 in preset='paper', got 0; leave preset out to vary it")


TYPES = {bool: "True or False", int: "an integer", float: "a number", Path: "a path", dict: "a table"}


def check_fields(config: Any) -> None:
    """Hold each field of a dataclass against its annotation; ValueError for a value that does not fit.

    A check in the annotation replaces the value by what it returns: a Python number, also for a NumPy one.
    """
    for name, hint in get_type_hints(type(config), include_extras=True).items():
        value = getattr(config, name)
        checks = [part.__metadata__[0] for part in (hint, *get_args(hint)) if get_origin(part) is Annotated]
        if checks and not (value is None and type(None) in get_args(hint)):
            object.__setattr__(config, name, checks[0](name, value))
        elif not checks and not fits(value, hint):
            raise ValueError(f"{name} must be {described(hint)}, got {value!r}")


def fits(value: object, hint: Any) -> bool:
    """Whether a value has the type of an annotation; JSON and TOML have lists for tuples and strings for paths."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (UnionType, Union):
        return any(fits(value, part) for part in parts)
    if origin is Literal:
        return value in parts
    if origin is tuple:
        return isinstance(value, tuple | list) and len(value) == len(parts) and all(map(fits, value, parts))
    if hint in (int, float):
        return isinstance(value, int if hint is int else int | float) and not isinstance(value, bool)
    return isinstance(value, str | Path if hint is Path else origin or hint)


def described(hint: Any) -> str:
    """An annotation in words: what a value must be."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (UnionType, Union):
        return " or ".join(described(part) for part in parts)
    if origin is Literal:
        return f"one of {', '.join(map(repr, parts))}"
    if origin is tuple:
        return f"{len(parts)} values, each {described(parts[0])}"
    return TYPES.get(origin or hint) or ("None" if hint is type(None) else f"a {hint.__name__}")
