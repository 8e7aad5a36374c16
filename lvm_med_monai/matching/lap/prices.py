"""Dual prices of an optimal assignment: the certificate that it is one."""

from __future__ import annotations

import numpy as np


def optimal_prices(cost: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find u and p with ``cost - u - p >= 0``, 0 on matched pairs, and price 0 for a node that stays free.

    For N <= M, p may not exceed 0, nor, with w(i) the column of row i, ``p[w(i)] + cost[i, j] - cost[i, w(i)]`` for any
    i: p is the length of a shortest path to column j over the rows. As the assignment is optimal there is no negative
    cycle, so N rounds of relaxation (Bellman-Ford) find it, and free columns keep 0.

    Args:
        cost: costs, shape (N, M), float64; +inf forbids a pair.
        rows: matched rows in increasing order, length min(N, M).
        columns: their columns.

    Returns:
        u, shape (N,), and p, shape (M,). Their sum is the cost of the assignment up to rounding. N <= M: p <= 0;
        N > M: u <= 0. Square problems have more than one solution.
    """
    n, m = cost.shape
    if n > m:
        order = np.argsort(columns)
        p, u = optimal_prices(cost.T, columns[order], rows[order])
        return u, p
    if n == 0:
        return np.zeros(0), np.zeros(m)
    own = cost[rows, columns]
    step = cost - own[:, None]
    p = np.zeros(m)
    for _ in range(n):
        nearer = np.minimum(p, (p[columns][:, None] + step).min(axis=0))
        if np.array_equal(nearer, p):
            break
        p = nearer
    return own - p[columns], p
