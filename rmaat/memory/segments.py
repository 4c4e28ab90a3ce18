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
    tokens : tensor (batch, segments, segment_len), int64
    mask : tensor (batch, segments, segment_len), bool
        True at valid tokens, which are not 0.
    valid : tensor (batch, segments), bool
        Segments with at least one valid token; the others must leave the memory alone.
    keep, take : tensor (batch, segments, n_memory or 1, 1), optional
        The retention of each sample's own t and T.
    full, ending : tuple of bool, one for each segment
        No padding in the segment; it is the last one of some sample.
    empty : int
        Sequences without a valid token.
    """

    tokens: Int[Tensor, "batch segments segment_len"]
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
        """Pad, cut and mask `tokens` (batch, length).

        Parameters
        ----------
        seen, steps : tensor (batch,), int
            Segments taken in before these, for a stream; `steps` is an upper bound.
        n_segments : int, optional
            T of a stream; by default each sample's own number of valid segments.
        """
        mask = tokens != 0
        pad = -tokens.shape[1] % segment_len
        tokens, mask = (F.pad(x, (0, pad)).unflatten(1, (-1, segment_len)) for x in (tokens, mask))
        valid = mask.any(-1)
        later = valid.flip(1).cumsum(1).flip(1)  # valid segments from this one on
        ending = (valid & (later == 1)).any(0)
        flags = torch.cat([mask.all(-1).all(0), ending, ~valid.any(1)]).tolist()  # one question to the device
        n = valid.shape[1]
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
    for name, value in (("tokens", tokens), ("lengths", lengths)):
        kind = value.dtype if isinstance(value, Tensor) else f"{type(value).__name__}, which is no torch tensor"
        if (name == "tokens" or value is not None) and kind not in (torch.int64, torch.int32):
            raise ValueError(f"{name} must be a tensor of type int64, got {kind}")
    shape = "(batch, length)" if ndim == 2 else "(batch, 2, length)"
    good = tokens.ndim == ndim and tokens.numel() > 0 and (ndim == 2 or tokens.shape[1] == 2)
    if not good:
        raise ValueError(f"tokens must be {shape} and not empty, got {tuple(tokens.shape)}")
    if lengths is not None:
        if lengths.shape != tokens.shape[:-1]:
            rule = f"lengths must be {tuple(tokens.shape[:-1])} like the sequences"
            raise ValueError(f"{rule}, got {tuple(lengths.shape)}")
        low, high = (int(value) for value in torch.stack(lengths.aminmax()))
        if low < 1 or high > tokens.shape[-1]:
            raise ValueError(f"lengths must be 1 to {tokens.shape[-1]}, the tokens' length, got {low} to {high}")
        places = torch.arange(tokens.shape[-1], device=tokens.device)
        tokens = tokens.masked_fill(places >= lengths.to(tokens.device)[..., None], 0)
    low, high = (int(value) for value in torch.stack(tokens.aminmax()))
    if low < 0 or high >= vocab_size:
        raise ValueError(f"tokens must be at least 0 and below vocab_size = {vocab_size}, got {low} to {high}")
    return tokens


@dataclass(frozen=True)
class State:
    """What a stream carries from segment to segment; of constant size unless memories are cached.

    Attributes
    ----------
    memory : tensor (batch, n_memory, d_model)
    summary : tensor (batch, d_model)
        What the head's pooling has gathered.
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
