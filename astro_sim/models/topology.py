"""Which astrocytes are coupled: chain, ring, grid or any list of edges, and copies side by side for a sweep."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from astro_sim.parameters.units import check_count


@dataclass(frozen=True, eq=False)
class Topology:
    """Undirected edges between ``n`` astrocytes; ``edges`` has shape ``(n_edges, 2)``."""

    name: str
    n: int
    edges: np.ndarray

    def __post_init__(self) -> None:
        check_count("Topology.n", self.n)
        edges = np.asarray(self.edges)
        if edges.size and (edges.ndim != 2 or edges.shape[1] != 2 or not np.issubdtype(edges.dtype, np.integer)):
            raise ValueError(
                f"Topology.edges must be integers of shape (n_edges, 2), got {edges.dtype} of shape {edges.shape}"
            )
        edges = edges.astype(int).reshape(-1, 2)
        outside = edges[(edges < 0) | (edges >= self.n)]
        if outside.size:
            raise ValueError(f"Topology.edges must be astrocyte indices below {self.n}, got {outside[0]}")
        if np.any(edges[:, 0] == edges[:, 1]):
            raise ValueError(f"Topology.edges must join two astrocytes, got {edges[edges[:, 0] == edges[:, 1]][0]}")
        if len(np.unique(np.sort(edges, axis=1), axis=0)) != len(edges):
            raise ValueError("Topology.edges must hold every pair once, got a repeated pair")
        object.__setattr__(self, "edges", edges)

    @property
    def directed(self) -> tuple[np.ndarray, np.ndarray]:
        """Both directions of every edge, as arrays ``(i, j)``: a junction changes both cells."""
        a, b = self.edges.T
        return np.concatenate([a, b]), np.concatenate([b, a])

    def copies(self, k: int) -> Topology:
        """``k`` copies side by side, without edges between them: one per condition of a sweep."""
        check_count("k", k)
        shifts = np.arange(k)[:, None, None] * self.n
        return Topology(f"{self.name} x {k}", self.n * k, (self.edges[None] + shifts).reshape(-1, 2))


def chain(n: int) -> Topology:
    """``n`` astrocytes in a row."""
    check_count("n", n)
    return Topology(f"chain({n})", n, np.stack([np.arange(n - 1), np.arange(1, n)], axis=1))


def ring(n: int) -> Topology:
    """``n`` astrocytes in a circle."""
    check_count("n", n, least=3)
    return Topology(f"ring({n})", n, np.stack([np.arange(n), (np.arange(n) + 1) % n], axis=1))


def grid(n_rows: int, n_columns: int) -> Topology:
    """A rectangle of astrocytes, each coupled to its neighbours above, below, left and right; row by row."""
    check_count("n_rows", n_rows)
    check_count("n_columns", n_columns)
    index = np.arange(n_rows * n_columns).reshape(n_rows, n_columns)
    across = np.stack([index[:, :-1].ravel(), index[:, 1:].ravel()], axis=1)
    down = np.stack([index[:-1].ravel(), index[1:].ravel()], axis=1)
    return Topology(f"grid({n_rows}, {n_columns})", n_rows * n_columns, np.concatenate([across, down]))


def edge_list(n: int, edges: Iterable[tuple[int, int]]) -> Topology:
    """``n`` astrocytes with the given pairs coupled."""
    return Topology(f"edges({n})", n, np.array(list(edges)))
