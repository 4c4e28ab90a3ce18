"""Layers: astromorphic attention, the attentions and scans it is compared with, and the block around them.

Imports `rmaat.config`.
"""

from rmaat.layers.attention import AstromorphicAttention
from rmaat.layers.block import Block, ReadingBlock
from rmaat.layers.softmax import SoftmaxAttention

__all__ = [
    "AstromorphicAttention",
    "Block",
    "ReadingBlock",
    "SoftmaxAttention",
]
