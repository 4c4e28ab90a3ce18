"""Variants of a model."""

from dataclasses import replace

from rmaat.config import ModelConfig
from rmaat.experiments.variants import VARIANTS, Variant


def test_variants_change_what_they_say():
    network = ModelConfig(vocab_size=4, segment_len=32)
    changed = {v.name: v.apply(network) for study in VARIANTS.values() for v in study}
    assert changed["no-P"] == replace(network, feedback=False)
    assert changed["segments-twice-as-long"].segment_len == 64
    assert changed["a-x0.25"].seconds_per_segment == 12.5 and changed["scale-x4"].cells_per_token == 1.0
    assert [changed[f"memory-{n}"].n_memory for n in (4, 8, 16, 32, 64)] == [4, 8, 16, 32, 64]
    assert changed["no-retention"].memory_update == "replace"
    unchanged = {"memory-16", "half-the-input", "quarter-of-the-input"}
    same = {name for name, other in changed.items() if other == network} - unchanged
    assert len(same) <= 2  # those that name the default's own norm and rule


def test_a_variant_scales_integers_to_integers():
    assert isinstance(Variant("x", scale={"segment_len": 2}).apply(ModelConfig(vocab_size=4)).segment_len, int)
