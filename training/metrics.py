"""How good one task is over its labelled rows: plain numbers, by the type of the task.

A metric that its rows cannot define (no rows, one class for an AUC, constant values for a correlation)
is NaN, and so is every metric of predictions that are not all finite: a diverged head is visible in the
report and stops nothing. Ranking within impressions is training/ranking.py.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata, spearmanr
from sklearn.metrics import (
    f1_score,
    log_loss,
    mean_absolute_error,
    mean_pinball_loss,
    r2_score,
    root_mean_squared_error,
)

Floats = NDArray[np.float64]
Metrics = dict[str, float]

ECE_BINS = 15  # the count of Guo et al. 2017
BINARY = ("auc", "log_loss", "ece", "brier", "rate", "predicted_rate")
MULTICLASS = ("accuracy", "macro_f1", "micro_f1", "log_loss", "ece")
MULTILABEL = ("macro_f1", "micro_f1", "macro_auc", "micro_auc", "accuracy", "log_loss")
REGRESSION = ("rmse", "mae", "spearman", "r2")
QUANTILE = ("pinball", "coverage_error")


def binary(labels: ArrayLike, probabilities: ArrayLike) -> Metrics:
    """Metrics of labels (n,) of 0 and 1 and probabilities (n,). `rate`, `predicted_rate`: their means."""
    y, p = _floats(labels), _floats(probabilities)
    if not _usable(p):
        return dict.fromkeys(BINARY, np.nan)
    return {
        "auc": float(_aucs(y[:, None], p[:, None])[0]),
        "log_loss": float(log_loss(y, p, labels=[0, 1])),
        "ece": calibration_error(y, p),
        "brier": float(np.mean((p - y) ** 2)),
        "rate": float(y.mean()),
        "predicted_rate": float(p.mean()),
    }


def multiclass(labels: ArrayLike, probabilities: ArrayLike) -> Metrics:
    """Metrics of labels (n,) in 0..C-1 and probabilities (n, C).

    The most probable class is taken, the first of equal ones; `ece` is that class's.
    F1 is over the classes that some row has or takes.
    """
    y, p = np.asarray(labels, dtype=np.int64), _floats(probabilities)
    if not _usable(p):
        return dict.fromkeys(MULTICLASS, np.nan)
    p = p / p.sum(axis=1, keepdims=True)  # a float32 softmax misses 1 by more than log_loss allows
    taken = p.argmax(axis=1)
    classes = p.shape[1]
    return {
        "accuracy": float(np.mean(taken == y)),
        "macro_f1": float(f1_score(y, taken, average="macro")),
        "micro_f1": float(f1_score(y, taken, average="micro")),
        "log_loss": float(log_loss(y, p, labels=np.arange(classes))) if classes > 1 else np.nan,
        "ece": calibration_error(_floats(taken == y), p.max(axis=1)),
    }


def multilabel(labels: ArrayLike, probabilities: ArrayLike) -> Metrics:
    """Metrics of labels (n, C) of 0 and 1 and probabilities (n, C), a label being taken at 0.5 and above.

    `macro_*` is the mean over the labels that define it: for F1 those with a row that has or takes the
    label, for AUC those with a row of either class. `micro_*` and `log_loss` are over all n·C cells.
    `accuracy` is the share of rows whose labels are all right.
    """
    y, p = _floats(labels), _floats(probabilities)
    if not _usable(p):
        return dict.fromkeys(MULTILABEL, np.nan)
    taken = p >= 0.5
    right = (taken * y).sum(axis=0)
    wanted = taken.sum(axis=0) + y.sum(axis=0)
    return {
        "macro_f1": _mean(_ratio(2.0 * right, wanted)),
        "micro_f1": float(_ratio(2.0 * right.sum(), wanted.sum())),
        "macro_auc": _mean(_aucs(y, p)),
        "micro_auc": float(_aucs(y.reshape(-1, 1), p.reshape(-1, 1))[0]),
        "accuracy": float(np.mean((taken == y).all(axis=1))),
        "log_loss": float(log_loss(y.ravel(), p.ravel(), labels=[0, 1])),
    }


def regression(labels: ArrayLike, values: ArrayLike) -> Metrics:
    """Metrics of labels (n,) and predicted values (n,), both in the label's own unit."""
    y, v = _floats(labels), _floats(values)
    if not _usable(v):
        return dict.fromkeys(REGRESSION, np.nan)
    varied = np.ptp(y) > 0.0
    return {
        "rmse": float(root_mean_squared_error(y, v)),
        "mae": float(mean_absolute_error(y, v)),
        "spearman": float(spearmanr(y, v).statistic) if varied and np.ptp(v) > 0.0 else np.nan,
        "r2": float(r2_score(y, v)) if varied else np.nan,
    }


def quantile(labels: ArrayLike, values: ArrayLike, quantiles: Sequence[float]) -> Metrics:
    """Metrics of labels (n,) and predicted quantiles (n, K), in the label's own unit.

    `pinball` is the mean over rows and quantiles. `coverage@0.1` is the share of the labels at or below the
    quantile 0.1, as float32; `coverage_error` the mean distance of such a share from its quantile.
    """
    y, v = _floats(labels), _floats(values)
    names = [f"coverage@{share}" for share in quantiles]
    if not _usable(v):
        return dict.fromkeys((*QUANTILE, *names), np.nan)
    covered = (y.astype(np.float32)[:, None] <= v.astype(np.float32)).mean(axis=0)
    columns = zip(v.T, quantiles, strict=True)
    return {
        "pinball": float(np.mean([mean_pinball_loss(y, column, alpha=share) for column, share in columns])),
        "coverage_error": float(np.abs(covered - _floats(quantiles)).mean()),
        **dict(zip(names, covered.tolist(), strict=True)),
    }


def calibration_error(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Expected calibration error: the mean of |observed rate - mean probability| over bins, weighted by rows.

    The bins are `ECE_BINS` of equal mass (Nguyen and O'Connor, EMNLP 2015), which rare clicks need: all of
    them would lie in the first bin of equal width. Equal probabilities share a bin, so the order of the
    rows does not matter and a constant prediction has the error |rate - prediction|.
    """
    y, p = _floats(labels), _floats(probabilities)
    if p.size == 0:
        return np.nan
    return float(np.abs(np.bincount(_bins(p), weights=y - p)).sum() / p.size)


def reliability(labels: ArrayLike, probabilities: ArrayLike) -> dict[str, list[float]]:
    """What was said and what came to be, a value for each bin of `calibration_error`: `said`, `seen` and `rows`."""
    y, p = _floats(labels), _floats(probabilities)
    if not p.size or not _usable(p):
        return {"said": [], "seen": [], "rows": []}
    bins = _bins(p)
    rows = np.bincount(bins)
    full = rows > 0
    said, seen = (np.bincount(bins, weights=each)[full] / rows[full] for each in (p, y))
    return {"said": said.tolist(), "seen": seen.tolist(), "rows": rows[full].tolist()}


def _bins(p: Floats) -> NDArray[np.int64]:
    last = np.arange(1, ECE_BINS) * p.size // ECE_BINS - 1  # of the rows of each bin but the last
    edges = np.sort(p)[np.maximum(last, 0)]
    return np.searchsorted(edges, p)  # (edge below, edge]


def _aucs(labels: Floats, scores: Floats) -> Floats:
    """AUC of each column of (n, C), ties counted half (Mann-Whitney); NaN for a column of one class."""
    positives = labels.sum(axis=0)
    negatives = len(labels) - positives
    ranks = rankdata(scores, axis=0)
    wins = (ranks * labels).sum(axis=0) - positives * (positives + 1.0) / 2.0
    return _ratio(wins, positives * negatives)


def _ratio(above: ArrayLike, below: ArrayLike) -> Floats:
    """above / below, NaN where below is 0."""
    below = _floats(below)
    return np.divide(above, below, out=np.full_like(below, np.nan), where=below > 0.0)


def _mean(values: Floats) -> float:
    """Mean of the values that are defined; NaN if none is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else np.nan


def _usable(predictions: Floats) -> bool:
    return predictions.size > 0 and bool(np.isfinite(predictions).all())


def _floats(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)
