"""Linear assignment by shortest augmenting paths, written to be read."""

from __future__ import annotations

import numpy as np


def shortest_augmenting_paths(cost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solve one assignment problem in O(N^2 M).

    Rows join one at a time. Each is matched along the path of least reduced cost ``cost - u - p`` to a free column.
    The prices ``u`` of rows and ``p`` of columns then change so that matched pairs keep reduced cost 0 and no pair gets
    a negative one: the certificate of optimality.

    Args:
        cost: costs, shape (N, M), float64; +inf forbids a pair.

    Returns:
        Matched rows in increasing order, and their columns, both of length min(N, M).

    Raises:
        ValueError: there is no complete assignment without forbidden pairs.
    """
    if cost.shape[0] > cost.shape[1]:
        columns, rows = shortest_augmenting_paths(cost.T)
        order = np.argsort(rows)
        return rows[order], columns[order]
    n, m = cost.shape
    u, p = np.zeros(n), np.zeros(m)
    row_of = np.full(m, -1)
    for start in range(n):
        _augment(cost, start, u, p, row_of)
    columns = np.flatnonzero(row_of >= 0)
    order = np.argsort(row_of[columns])
    return row_of[columns][order], columns[order]


def _augment(cost: np.ndarray, start: int, u: np.ndarray, p: np.ndarray, row_of: np.ndarray) -> None:
    """Match row ``start`` by Dijkstra's search over columns; updates the prices and ``row_of`` in place."""
    m = cost.shape[1]
    distance = np.full(m, np.inf)
    previous = np.full(m, start)  # row from which a column was reached
    done = np.zeros(m, dtype=bool)
    row, reached = start, 0.0
    while True:
        through_row = reached + cost[row] - u[row] - p
        closer = ~done & (through_row < distance)
        distance[closer], previous[closer] = through_row[closer], row
        open_distance = np.where(done, np.inf, distance)
        column = int(np.argmin(open_distance))
        reached = open_distance[column]
        if reached == np.inf:
            raise ValueError("cost matrix is infeasible")
        if row_of[column] < 0:
            break
        done[column] = True
        row = row_of[column]
    u[start] += reached
    u[row_of[done]] += reached - distance[done]
    p[done] -= reached - distance[done]
    while True:  # flip the path back to its start
        row = previous[column]
        matched = np.flatnonzero(row_of == row)
        row_of[column] = row
        if row == start:
            return
        column = int(matched[0])
