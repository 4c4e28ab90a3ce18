"""Token ids and masks as `transformers` gives them, for models that have padding, 0, behind each sequence."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def packed(
    input_ids: Int[Tensor, "batch length"], attention_mask: Tensor | None, vocab_size: int
) -> tuple[Int[Tensor, "batch length"], Int[Tensor, "batch length"] | None]:
    """Ids plus one, those that the mask leaves first in their row and 0 behind; and where each input went.

    Padding on the left, or in the middle, thus makes no difference. ValueError for ids that are none and for a mask of
    another shape.
    """
    if not isinstance(input_ids, Tensor) or input_ids.ndim != 2 or input_ids.is_floating_point():
        got = tuple(input_ids.shape) if isinstance(input_ids, Tensor) else type(input_ids).__name__
        raise ValueError(f"input_ids must be a tensor (batch, length) of integers, got {got}")
    if attention_mask is not None and attention_mask.shape != input_ids.shape:
        shapes = f"{tuple(attention_mask.shape)} and {tuple(input_ids.shape)}"
        raise ValueError(f"attention_mask must have the shape of input_ids, got {shapes}")
    valid = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask != 0
    tokens = torch.where(valid, input_ids.long() + 1, 0)
    wrong = valid & ((input_ids < 0) | (input_ids >= vocab_size))
    if bool(wrong.any()):
        raise ValueError(f"input_ids must be 0 to {vocab_size - 1}, got {int(input_ids[wrong][0])}; use its tokeniser")
    if attention_mask is None:
        return tokens, None
    order = (~valid).long().argsort(dim=1, stable=True)
    return tokens.gather(1, order), order.argsort(dim=1)


def unpacked(values: Float[Tensor, "batch length n"], places: Tensor | None) -> Float[Tensor, "batch length n"]:
    """What was computed for each token, where the token stood before :func:`packed`."""
    if places is None:
        return values
    return values.gather(1, places[..., None].expand(-1, -1, values.shape[-1]))
