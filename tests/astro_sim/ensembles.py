"""An ensemble with known parameters, for tests of the bridge; no simulator."""

import numpy as np

CYCLES = np.arange(0.0, 801.0, 50.0)


def ensemble(n: int = 400, seed: int = 0) -> np.ndarray:
    """Efficacies that rise as 0.55 (1 - exp(-t/130)) with noise correlated over cycles, all 0 at t = 0."""
    noise = np.random.default_rng(seed).normal(size=(n, CYCLES.size))
    for k in range(1, CYCLES.size):
        noise[:, k] = 0.7 * noise[:, k - 1] + 0.7 * noise[:, k]
    return 0.55 * -np.expm1(-CYCLES / 130) + 0.1 * noise * (CYCLES > 0)
