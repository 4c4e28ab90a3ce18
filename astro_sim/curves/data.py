"""The data of a fit: means, and what is known of their errors.

An error may be a number for each point, the covariance of a large ensemble, an error that all points share, or the
scatter of a few whole columns.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, solve_triangular

MEMBERS_PER_POINT = 5  # members needed per point before their covariance matrix is trusted

COARSE = 256  # groups of neighbours, from which a fit to more than twice as many points starts


@dataclass(frozen=True)
class Data:
    """What is fitted: `x` ascending, `y`, and `root`, a square root of the covariance of `y`.

    `root` is the standard error of each point, ``(n,)``, or the lower Cholesky factor of correlated points, ``(n, n)``.
    `known` says whether that covariance is absolute or known up to a factor only. `shared` is an error, ``(n,)``, that
    all points have together, beside their own: that of the baseline they are measured from. `columns` are the few
    courses, ``(n_columns, n)``, NaN where one has no value, whose mean `y` is; then `root` holds weights, and errors
    come from the scatter of whole columns.
    """

    x: np.ndarray
    y: np.ndarray
    root: np.ndarray
    known: bool
    shared: np.ndarray | None = None
    columns: np.ndarray | None = None

    def whiten(self, residual: np.ndarray) -> np.ndarray:
        """Residuals as independent numbers of variance 1 (of equal variance where the scale is unknown).

        With a shared error the covariance is ``D (1 + v v^T) D``, ``D = diag(root)``, ``v = shared / root``, and
        ``(1 + v v^T)^(-1/2) = 1 - (1 - 1 / sqrt(1 + v^T v)) v v^T / v^T v``.
        """
        if self.root.ndim == 2:
            return solve_triangular(self.root, residual, lower=True)
        own = residual / self.root
        if self.shared is None:
            return own
        v = self.shared / self.root
        square = v @ v
        return own - (1 - 1 / np.sqrt(1 + square)) / square * (v @ own) * v

    @property
    def sem(self) -> np.ndarray:
        """Standard error of each point, ``(n,)``."""
        if self.columns is not None:
            return np.sqrt(np.sum(self.departures() ** 2, axis=0) * len(self.columns) / (len(self.columns) - 1))
        return self.root if self.root.ndim == 1 else np.sqrt(np.sum(self.root**2, axis=1))

    def departures(self) -> np.ndarray:
        """What each column adds to the mean, ``(n_columns, n)``: its distance from the mean over their number there."""
        assert self.columns is not None
        return np.nan_to_num(self.columns - self.y) / np.isfinite(self.columns).sum(axis=0)

    def resampled(self, members: np.ndarray) -> "Data":
        """The mean of the columns `members`; a point that none of them has gets no weight."""
        assert self.columns is not None
        columns = self.columns[members]
        counts = np.isfinite(columns).sum(axis=0)
        mean = np.nansum(columns, axis=0) / np.maximum(counts, 1)
        return Data(self.x[counts > 0], mean[counts > 0], 1 / np.sqrt(counts[counts > 0]), known=False)

    def coarse(self) -> "Data":
        """Means of neighbours, where there are many points: the first ones stay, the groups grow in proportion to x."""
        n = self.x.size
        if n <= 2 * COARSE or self.root.ndim == 2:
            return self
        edges = np.unique(np.r_[0:COARSE:4, np.geomspace(COARSE, n - 1, COARSE).astype(int)])
        weights = 1 / self.root**2
        total = np.add.reduceat(weights, edges)

        def mean(values: np.ndarray) -> np.ndarray:
            return np.add.reduceat(weights * values, edges) / total

        shared = None if self.shared is None else mean(self.shared)
        return Data(mean(self.x), mean(self.y), 1 / np.sqrt(total), self.known, shared)


def prepare(
    x: object,
    y: object,
    sem: object = None,
    ensemble: object = None,
    correlated: bool = True,
    shared: object = None,
    columns: object = None,
) -> Data:
    """Check and sort the data; derive mean and covariance from an ensemble of shape ``(n_members, n_points)``.

    `columns`, of shape ``(n_columns, n_points)``, are few: their points are correlated in a way that they cannot tell.

    Points at which all members agree exactly (the start of every efficacy) carry no error and are left out.
    """
    x = _finite("x", x)
    if x.min(initial=0.0) < 0:
        raise ValueError(f"x must be at least 0, got {x.min():g}")
    if ensemble is not None:
        return _prepare_ensemble(x, np.asarray(ensemble, dtype=np.float64), correlated)
    if columns is not None:
        return _prepare_columns(x, np.asarray(columns, dtype=np.float64))
    y = _finite("y", y)
    if x.shape != y.shape:
        raise ValueError(f"y must have one value per x, got {y.size} for {x.size}")
    if np.ptp(y) == 0:
        raise ValueError(f"y must vary with x, got {y[0]:g} at every point; a constant has no course to fit")
    order = np.argsort(x, kind="stable")
    sigma = np.ones_like(y) if sem is None else _finite("sem", sem)
    if sigma.shape != y.shape or not np.all(sigma > 0):
        raise ValueError(f"sem must hold one positive value per x, got {np.array2string(sigma, threshold=6)}")
    together = None if shared is None else _finite("shared", shared)
    if together is not None and (sem is None or together.shape != y.shape or not together.any()):
        raise ValueError(
            "shared must come with sem and hold one value per x, not all of them 0; leave it out otherwise"
        )
    return Data(x[order], y[order], sigma[order], sem is not None, None if together is None else together[order])


def _prepare_ensemble(x: np.ndarray, ensemble: np.ndarray, correlated: bool) -> Data:
    if ensemble.ndim != 2 or ensemble.shape[1] != x.size or ensemble.shape[0] < 3:
        raise ValueError(f"ensemble must have the shape (at least 3 members, {x.size} points), got {ensemble.shape}")
    if not np.all(np.isfinite(ensemble)):
        raise ValueError(f"ensemble must be finite, got {int((~np.isfinite(ensemble)).sum())} values that are not")
    order = np.argsort(x, kind="stable")
    x, ensemble = x[order], ensemble[:, order]
    spread = ensemble.std(axis=0, ddof=1)
    free = spread > 1e-12 * max(spread.max(), 1e-300)
    x, ensemble, n = x[free], ensemble[:, free], ensemble.shape[0]
    if x.size < 2:
        raise ValueError("ensemble must differ between members at two points at least; pass y and sem for exact data")
    if correlated and n >= MEMBERS_PER_POINT * x.size:
        covariance = np.cov(ensemble, rowvar=False) / n
        covariance[np.diag_indices_from(covariance)] *= 1 + 1e-9  # keeps near-duplicates positive definite
        root = cholesky(covariance, lower=True)
    else:
        root = np.sqrt(ensemble.var(axis=0, ddof=1) / n)
    return Data(x, ensemble.mean(axis=0), root, known=True)


def _prepare_columns(x: np.ndarray, columns: np.ndarray) -> Data:
    """Mean over columns, NaN left out, with weights by how many columns a point has."""
    if columns.ndim != 2 or columns.shape[1] != x.size or columns.shape[0] < 3:
        raise ValueError(
            f"columns must be at least 3, with {x.size} points each, got the shape {columns.shape}; the error of a "
            "mean of fewer is not known: give one of them"
        )
    _finite("columns", columns[np.isfinite(columns) | np.isinf(columns)])
    counts = np.isfinite(columns).sum(axis=0)
    if not counts.all():
        raise ValueError(f"columns must have a value at every x, got none at x = {x[counts == 0][0]:g}; leave it out")
    order = np.argsort(x, kind="stable")
    x, columns, counts = x[order], columns[:, order], counts[order]
    mean = np.nanmean(columns, axis=0)
    if not np.nansum((columns - mean) ** 2):
        raise ValueError("columns must differ from each other, got equal ones; give one of them")
    return Data(x, mean, 1 / np.sqrt(counts), known=False, columns=columns)


def _finite(name: str, values: object) -> np.ndarray:
    array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if array.ndim != 1 or array.size == 0 or not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be a sequence of finite numbers, got {np.array2string(array, threshold=6)}")
    size = np.abs(array[array != 0])
    if size.size and not 1e-60 <= size.min() <= size.max() <= 1e60:  # fourth powers would leave the range of numbers
        raise ValueError(
            f"{name} must be 0 or from 1e-60 to 1e60 in size, got {size.min():g} to {size.max():g}; choose another unit"
        )
    return array
