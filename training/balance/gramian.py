"""Weights of gradients from the products of all pairs of them: their Gramian (n, n) -> weights (n,), float64.

Gradients that do not conflict have the weight 1 with PCGrad and UPGrad.
PCGrad, UPGrad and MGDA are torchjd's; CAGrad and Nash-MTL there need solvers for what is a few lines here.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize, nnls
from torch import Tensor
from torchjd.aggregation import MGDAWeighting, PCGradWeighting, UPGradWeighting
from torchjd.linalg import DualConeProjector

Array = NDArray[np.float64]

RIDGE = 1e-4  # on the diagonal of a Gramian of trace 1: it may not have full rank
CAUTION = 0.4  # CAGrad's c: how far from the mean gradient, as a share of its length
ROUNDS = 100


def pcgrad(gramian: Tensor) -> Tensor:
    """Each gradient gives up what runs against another, in random order (Yu et al., NeurIPS 2020)."""
    return PCGradWeighting()(gramian)


def upgrad(gramian: Tensor) -> Tensor:
    """Each gradient projected to where it harms no task, then their sum (Quinton and Rey 2024)."""
    return len(gramian) * UPGradWeighting(projector=Cone())(gramian)


def mgda(gramian: Tensor) -> Tensor:
    """The shortest convex combination of them (Sener and Koltun, NeurIPS 2018)."""
    return len(gramian) * MGDAWeighting()(gramian)


def cagrad(gramian: Tensor) -> Tensor:
    """The best for the worst-off task within a ball about the mean (Liu et al., NeurIPS 2021)."""
    G, n = _even(gramian), len(gramian)
    mean = np.full(n, 1.0 / n)
    radius = CAUTION * np.sqrt(mean @ G @ mean)

    def cost(w: Array) -> float:
        return float(w @ G @ mean + radius * np.sqrt(w @ G @ w))

    constraint = {"type": "eq", "fun": lambda w: w.sum() - 1.0}
    found = minimize(cost, mean, method="SLSQP", bounds=[(0.0, 1.0)] * n, constraints=constraint).x
    weights = mean + radius / np.sqrt(found @ G @ found) * found
    return torch.from_numpy(n / (1.0 + CAUTION) * weights)


def nash(gramian: Tensor) -> Tensor:
    """The bargain of Nash: weights w > 0 with (G w)_k = 1 / w_k (Navon et al., ICML 2022), of mean 1.

    That is the minimum of w·Gw / 2 - Σ log w, a self-concordant function: damped Newton steps reach it.
    """
    G, weights = _even(gramian), np.ones(len(gramian))
    for _ in range(ROUNDS):
        slope = G @ weights - 1.0 / weights
        step = np.linalg.solve(G + np.diag(weights**-2), slope)
        decrement = np.sqrt(slope @ step)
        weights = weights - step / (1.0 + decrement)
        if decrement < 1e-9:
            break
    return torch.from_numpy(weights / weights.mean())


class Cone(DualConeProjector):
    """torchjd's projector, by non-negative least squares."""

    def __call__(self, U: Tensor, G: Tensor) -> Tensor:
        """Rows u (m, n) -> the shortest rows v >= u by the norm v·Gv."""
        root = np.linalg.cholesky(_even(G)).T
        return torch.from_numpy(np.stack([u + nnls(root, -root @ u)[0] for u in U.numpy()]))


def _even(gramian: Tensor) -> Array:
    """Of trace 1 and of full rank."""
    G: Array = gramian.numpy()
    return np.asarray(G / max(np.trace(G), 1e-300) + RIDGE * np.eye(len(G)))
