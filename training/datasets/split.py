"""Which requests are held out: the newest by time, or whole queries by hash.

by time    |------- train -------|-- validation --|-- test --|   oldest to newest
by query   0 ---- train ---- 1 - test - validation ---- 1 - test ---- 1   bucket of the query
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.config import SplitConfig

Floats = NDArray[np.float64]
TRAIN, VALIDATION, TEST = 0, 1, 2
FINE = 1_000_000


def query_buckets(queries: Iterable[str]) -> Floats:
    """Where each query falls in [0, 1): the md5 of its UTF-8 bytes, as written, modulo ten, then a finer part.

    Thus the share 0.2 from the top is exactly `md5 % 10 in (8, 9)`, wherever it is computed.
    """
    return np.array([_bucket(query) for query in queries], dtype=np.float64)


def _bucket(query: str) -> float:
    number = int(hashlib.md5(query.encode(), usedforsecurity=False).hexdigest(), 16)
    return (number % 10 + number // 10 % FINE / FINE) / 10.0


def split_requests(split: SplitConfig, times: Floats, queries: pl.Series) -> NDArray[np.int64]:
    """Split of each request (R,): 0 train, 1 validation, 2 test. times: unix seconds (R,); queries: text (R,)."""
    places = query_buckets(queries.fill_null("")) if split.by == "query" else times
    validation, test = _bounds(split, places)
    return np.where(places >= test, TEST, np.where(places >= validation, VALIDATION, TRAIN)).astype(np.int64)


def _bounds(split: SplitConfig, places: Floats) -> tuple[float, float]:
    """Where validation and test begin. Dates go before shares; requests of one moment stay together."""
    if split.by == "query":
        return round(1.0 - split.test - split.validation, 9), round(1.0 - split.test, 9)
    test = moment(split.test_from) if split.test_from else _newest(places, split.test)
    older = places[places < test]
    share = min(1.0, split.validation * len(places) / max(len(older), 1))
    validation = moment(split.validation_from) if split.validation_from else _newest(older, share)
    return validation, test


def _newest(times: Floats, share: float) -> float:
    """The moment from which on the newest `share` of the requests lies; infinite if that is none."""
    count = round(len(times) * share)
    return float(np.sort(times)[len(times) - count]) if count else np.inf


def moment(written: str) -> float:
    """Unix seconds of an ISO 8601 time with an offset."""
    return datetime.fromisoformat(written).timestamp()
