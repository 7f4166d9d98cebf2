"""Makes the probabilities of a head true on rows it was not fitted on, without touching their order.

    binary       p = sigmoid(scale · logit + shift)    Platt scaling (Platt 1999)
    multiclass   p = softmax(logits / temperature)     temperature scaling (Guo et al. 2017)
    quantile     level + shift                         conformal, each quantile by itself (Romano et al. 2019)

The numbers are folded into the heads' graph. Fit them on rows that are later than the training rows.
Fewer than `ENOUGH` rows, one class only, or a logit that is not finite: the head is left as it is.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logsumexp

Floats = NDArray[np.float64]

ENOUGH = 50  # labelled rows
FLATTEST = 1e-3  # smallest slope on the standardised logit: one of 0 or less would change the order
TEMPERATURES = (0.05, 20.0)  # a head that is always right would else be sharpened without end


def temperature(logits: ArrayLike, labels: ArrayLike) -> tuple[float, float]:
    """(scale, shift) for logits (n,) and labels (n,) of 0 and 1; scale > 0.

    Minimises the log loss against Platt's targets, (P + 1) / (P + 2) for the P positives and 1 / (N + 2)
    for the N negatives, which keep the scale finite where the classes do not overlap. The problem is convex.
    """
    x, positive = np.asarray(logits, dtype=np.float64), np.asarray(labels) > 0
    if not _fittable(x, positive):
        return 1.0, 0.0
    positives = np.count_nonzero(positive)
    negatives = len(positive) - positives
    targets = np.where(positive, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    centre, spread = x.mean(), x.std()
    if spread <= 1e-9 * max(1.0, abs(centre)):  # constant but for rounding: there is only a shift to find
        rate = targets.mean()
        return 1.0, float(np.log(rate / (1.0 - rate)) - centre)
    slope, level = _line((x - centre) / spread, targets)
    scale = slope / spread
    return float(scale), float(level - scale * centre)


def temperature_multiclass(logits: ArrayLike, labels: ArrayLike) -> float:
    """The temperature of the least log loss for logits (n, C) and labels (n,) in 0..C-1, within `TEMPERATURES`.

    1.0 if none does better than that.
    """
    x, y = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    if not _fittable(x, y):
        return 1.0
    x = x - x.max(axis=1, keepdims=True)
    own = x[np.arange(len(y)), y]

    def loss(log_temperature: float) -> float:
        cold = np.exp(-log_temperature)
        return float(np.mean(logsumexp(x * cold, axis=1) - own * cold))

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def conformal(levels: ArrayLike, targets: ArrayLike, quantiles: Sequence[float]) -> Floats:
    """Shift (K,) of each quantile from levels (n, K) and targets (n,).

    As many targets lie below a shifted level as its quantile says: the shift is the ((n + 1) · quantile)-th
    smallest of what is left, interpolated, so that a new row of the same kind is below with that chance.
    """
    left = np.asarray(targets, dtype=np.float64)[:, None] - np.asarray(levels, dtype=np.float64)
    return np.array(
        [
            np.quantile(column, share, method="weibull")
            for column, share in zip(left.T, quantiles, strict=True)
        ]
    )


def _line(x: Floats, targets: Floats) -> tuple[float, float]:
    """(slope, level) of the least log loss for x (n,) of mean 0 and deviation 1, with slope >= FLATTEST."""

    def loss(line: Floats) -> tuple[float, Floats]:
        z = line[0] * x + line[1]
        error = expit(z) - targets
        return float(np.mean(np.logaddexp(0.0, z) - targets * z)), np.array([error @ x, error.sum()]) / len(x)

    start, bounds = np.array([1.0, 0.0]), [(FLATTEST, None), (None, None)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, tol=1e-12)
    return float(found.x[0]), float(found.x[1])


def _fittable(logits: Floats, labels: NDArray[np.generic]) -> bool:
    return len(labels) >= ENOUGH and len(np.unique(labels)) > 1 and bool(np.isfinite(logits).all())
