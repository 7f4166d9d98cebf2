"""Where a query falls when whole queries are held out: the same place wherever it is computed.

0 -------------- train -------------- 1 - test - validation --- 1 - test ------ 1
"""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

FINE = 1_000_000


def query_buckets(queries: Iterable[str]) -> NDArray[np.float64]:
    """Place of each query in [0, 1), shape (n,): (md5 modulo ten + a finer part) / 10.

    The md5 is that of the UTF-8 bytes as written. So a test share of 0.2 is exactly `md5 % 10 in (8, 9)`.
    """
    return np.array([_bucket(query) for query in queries], dtype=np.float64)


def _bucket(query: str) -> float:
    number = int(hashlib.md5(query.encode(), usedforsecurity=False).hexdigest(), 16)
    return (number % 10 + number // 10 % FINE / FINE) / 10.0
