"""The Triton kernels of the astromorphic attention: what its tokens write, and what its queries read, in one pass each.

Imports `rmaat.config`; `rmaat.layers.attention` holds the plain form beside them and asks :func:`usable` which to take.
"""

from rmaat.kernels.switch import usable, use_kernels

__all__ = ["usable", "use_kernels"]
