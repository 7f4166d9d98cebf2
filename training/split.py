"""What is held out: the newest requests, or whole queries. What is before `train_from` is known only."""

from collections.abc import Iterable
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from training.dataset import BEFORE, TEST, TRAIN, VALIDATION
from training.datasets.split import query_buckets
from training.errors import ConfigError, DataError
from training.sections import SplitConfig


def split_requests(
    config: SplitConfig, times: NDArray[np.float64], queries: Iterable[str | None]
) -> NDArray[np.int64]:
    """Part of each request, (R,). By time: everything in validation is after train, test after both.

    By query: a query is on one side only, whatever the times.
    """
    if config.by == "query":
        texts = list(queries)
        if any(text is None for text in texts):
            raise DataError(
                'split.by = "query", but some events have no query; leave them out or split by time'
            )
        share = np.asarray(query_buckets([text for text in texts if text is not None]))
        return _parts(share, 1.0 - config.test - config.validation, 1.0 - config.test)
    train_from = _moment(config.train_from, times, 0.0)
    learned = times[times >= train_from]
    if not len(learned):
        raise ConfigError(
            f"split.train_from = {config.train_from}: nothing is as new as that; take an earlier one"
        )
    test_from = _moment(config.test_from, learned, 1.0 - config.test)
    earlier = learned[learned < test_from]
    kept = 1.0 - config.validation / max(1.0 - config.test, 1e-9)
    validation_from = _moment(config.validation_from, earlier if len(earlier) else learned, kept)
    if validation_from > test_from:
        raise ConfigError("split.validation_from must not be after split.test_from")
    parts = _parts(times, validation_from, test_from)
    return np.where((times < train_from) & (parts == TRAIN), BEFORE, parts)


def _parts(values: NDArray[np.float64], validation: float, test: float) -> NDArray[np.int64]:
    slack = 1e-9  # 1.0 - 0.2 - 0.1 is a little less than 0.7
    parts: NDArray[np.int64] = np.where(
        values >= test - slack, TEST, np.where(values >= validation - slack, VALIDATION, TRAIN)
    )
    return parts.astype(np.int64)


def _moment(stated: str | None, times: NDArray[np.float64], share: float) -> float:
    """The stated boundary in unix seconds, or the time before which `share` of the requests lie."""
    if stated is None:
        return float(np.quantile(times, share))
    return datetime.fromisoformat(stated).timestamp()  # the configuration has checked its form and offset
