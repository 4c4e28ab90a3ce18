"""Token sequences cut into segments, the state between segments, and the checks that a wrong input deserves."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from rmaat.memory.retention import Retention


@dataclass(frozen=True)
class Segments:
    """A batch of sequences cut into segments of equal length; the last one is padded and masked.

    Attributes
    ----------
    tokens : tensor (batch, segments, segment_len), or (batch, segments, segment_len, n_features) of real numbers
    mask : tensor (batch, segments, segment_len), bool
        True at valid tokens, which are not 0, or not NaN if they are real numbers.
    valid : tensor (batch, segments), bool
        Segments with at least one valid token; the others must leave the memory alone.
    keep, take : tensor (batch, segments, n_memory or 1, 1), optional
        The retention of each sample's own t and T.
    full, ending : tuple of bool, one for each segment
        No padding in the segment; it is the last one of some sample.
    empty : int
        Sequences without a valid token.
    """

    tokens: Int[Tensor, "batch segments segment_len"] | Float[Tensor, "batch segments segment_len n_features"]
    mask: Bool[Tensor, "batch segments segment_len"]
    valid: Bool[Tensor, "batch segments"]
    keep: Float[Tensor, "batch segments n 1"] | None
    take: Float[Tensor, "batch segments n 1"] | None
    full: tuple[bool, ...]
    ending: tuple[bool, ...]
    empty: int

    @classmethod
    def cut(
        cls,
        tokens: Tensor,
        segment_len: int,
        retention: Retention | None,
        dtype: torch.dtype,
        seen: Tensor,
        steps: int,
        n_segments: int | None,
    ) -> "Segments":
        """Pad, cut and mask `tokens` (batch, length), or (batch, length, n_features) of real numbers.

        In a stream `seen` (batch,) segments were taken in before these, `steps` at most, and T is `n_segments`; without
        it T is each sample's own number of valid segments.
        """
        real = tokens.is_floating_point()
        mask = ~tokens.isnan().all(-1) if real else tokens != 0
        pad = -tokens.shape[1] % segment_len
        tokens = F.pad(tokens.nan_to_num(), (0, 0, 0, pad)) if real else F.pad(tokens, (0, pad))
        tokens, mask = (x.unflatten(1, (-1, segment_len)) for x in (tokens, F.pad(mask, (0, pad))))
        valid = mask.any(-1)
        later = valid.flip(1).cumsum(1).flip(1)  # valid segments from this one on
        ending = (valid & (later == 1)).any(0)
        n = valid.shape[1]
        if torch.compiler.is_exporting():  # the program must serve every padding
            known: tuple = ((False,) * n, (True,) * n, 0)
        else:
            flags = torch.cat([mask.all(-1).all(0), ending, ~valid.any(1)]).tolist()  # one question to the device
            known = (tuple(flags[:n]), tuple(flags[n : 2 * n]), sum(flags[2 * n :]))
        if retention is None:
            return cls(tokens, mask, valid, None, None, *known)
        before = seen[:, None] + valid.cumsum(1) - valid.long()
        total = valid.sum(1) if n_segments is None else torch.full_like(valid[:, 0], n_segments, dtype=torch.long)
        keep, take = retention.weights(before, total, n_segments or steps + n)
        return cls(tokens, mask, valid, keep.to(dtype), take.to(dtype), *known)

    def at(self, t: int) -> tuple[Tensor | None, ...]:
        """tokens, mask, valid, keep and take of segment `t`; mask and valid are None where there is no padding."""
        masks = (None, None) if self.full[t] else (self.mask, self.valid)
        fields = (self.tokens, *masks, self.keep, self.take)
        return tuple(None if field is None else field[:, t].contiguous() for field in fields)  # whatever T: one graph


def check_tokens(tokens: Tensor, lengths: Tensor | None, vocab_size: int, ndim: int = 2) -> Tensor:
    """Return `tokens` with 0 (padding) from each sequence's length on.

    ValueError unless they are valid ids in (batch, length), or (batch, 2, length) for ``ndim = 3``, up to there.
    """
    _require_integers("tokens", tokens)
    if tokens.ndim != ndim or tokens.numel() == 0 or (ndim == 3 and tokens.shape[1] != 2):
        shape = "(batch, length)" if ndim == 2 else "(batch, 2, length)"
        raise ValueError(f"tokens must be {shape} and not empty, got {tuple(tokens.shape)}")
    if lengths is not None:
        tokens = tokens.masked_fill(_behind(lengths, tokens.shape, tokens.device), 0)
    if torch.compiler.is_exporting():  # no values are there to be looked at
        return tokens
    low, high = (int(value) for value in torch.stack(tokens.aminmax()))
    if low < 0 or high >= vocab_size:
        raise ValueError(f"tokens must be at least 0 and below vocab_size = {vocab_size}, got {low} to {high}")
    return tokens


def check_features(values: Tensor, lengths: Tensor | None, n_features: int, ndim: int = 3) -> Tensor:
    """Return real `values` with NaN (padding) from each sequence's length on.

    ValueError unless they are (batch, length, n_features), or (batch, 2, length, n_features) for ``ndim = 4``, and each
    step is finite, or NaN throughout, up to there.
    """
    kind = values.dtype if isinstance(values, Tensor) else f"{type(values).__name__}, which is no torch tensor"
    if not isinstance(values, Tensor) or not values.is_floating_point():
        raise ValueError(f"tokens must be a tensor of real numbers with n_features={n_features}, got {kind}")
    pair = ndim == 4
    if values.ndim != ndim or not values.numel() or values.shape[-1] != n_features or (pair and values.shape[1] != 2):
        shape = f"(batch, {'2, ' if pair else ''}length, {n_features})"
        raise ValueError(f"tokens must be {shape} and not empty, got {tuple(values.shape)}")
    if lengths is not None:
        values = values.masked_fill(_behind(lengths, values.shape[:-1], values.device)[..., None], torch.nan)
    missing = values.isnan()
    if bool((values.isinf() | (missing & ~missing.all(-1, keepdim=True))).any()):
        raise ValueError("tokens must be finite, or NaN in all features of a step, got others; fill in missing values")
    return values


def _require_integers(name: str, value: Tensor) -> None:
    kind = value.dtype if isinstance(value, Tensor) else f"{type(value).__name__}, which is no torch tensor"
    if kind not in (torch.int64, torch.int32):
        raise ValueError(f"{name} must be a tensor of type int64, got {kind}")


def _behind(lengths: Tensor, shape: torch.Size, device: torch.device) -> Tensor:
    """True from each sequence's length on; ValueError unless the lengths fit sequences of this shape."""
    _require_integers("lengths", lengths)
    if lengths.shape != shape[:-1]:
        raise ValueError(f"lengths must be {tuple(shape[:-1])} like the sequences, got {tuple(lengths.shape)}")
    low, high = (int(value) for value in torch.stack(lengths.aminmax()))
    if low < 1 or high > shape[-1]:
        raise ValueError(f"lengths must be 1 to {shape[-1]}, the tokens' length, got {low} to {high}")
    return torch.arange(shape[-1], device=device) >= lengths.to(device)[..., None]


@dataclass(frozen=True)
class State:
    """What a stream carries from segment to segment; of constant size unless memories are cached.

    Attributes
    ----------
    memory, summary : tensor (batch, n_memory, d_model), (batch, d_model)
        `summary` is what the head's pooling has gathered.
    count : tensor (batch,)
        Valid tokens so far.
    seen : tensor (batch,), int64
        Segments that the memory has taken in.
    steps : int
        Segments given so far, an upper bound of `seen`.
    n_segments : int, optional
        T, for memory_update="scale".
    cache : tuple of tensors
        Earlier memories, with cached_memories.
    synapses : tuple of tensors
        State of the layers' synapses, layer by layer (:class:`rmaat.layers.synapses.SynapticAttention`).
    pending : tensor (batch, fewer than segment_len), optional
        Tokens of a segment that a language model's stream has begun and not ended.
    """

    memory: Tensor
    summary: Tensor
    count: Tensor
    seen: Tensor
    steps: int = 0
    n_segments: int | None = None
    cache: tuple[Tensor, ...] = ()
    synapses: tuple[Tensor, ...] = ()
    pending: Tensor | None = None


def check_state(state: State, batch: int, sizes: tuple[int, int], dtype: torch.dtype) -> None:
    """Raise ValueError unless `state` is one of so many sequences and of a model of these (n_memory, d_model)."""
    if not isinstance(state, State):
        raise ValueError(f"state must be what initial_state, step or forward returned, got {type(state).__name__}")
    if state.memory.shape[0] != batch:
        raise ValueError(f"tokens must be {state.memory.shape[0]} sequences like the state, got {batch}")
    got = tuple(state.memory.shape[1:])
    if got != sizes:
        raise ValueError(f"state must be of a model with (n_memory, d_model) = {sizes}, got one with {got}")
    if state.memory.dtype != dtype:
        raise ValueError(f"state must be of type {dtype} like the model, got {state.memory.dtype}")
