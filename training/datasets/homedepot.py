"""Home Depot, relevance of products to search terms: the original file to contract tables.

    train.csv.gz (latin-1)   -> items.parquet    product_uid, title
                             -> events.parquet   query, product_uid, relevance (1 irrelevant ... 3 perfect)

Nobody is known and nothing has a time, so whole queries are held out, by hash.
"""

from pathlib import Path

import polars as pl

from training.datasets import files
from training.datasets.package import publish


def convert(source: Path, target: Path) -> Path:
    """Write items, events and the configuration into `target`; returns the path of the latter."""
    text = files.unpack(source / "train.csv.gz", "latin-1")
    rows = pl.read_csv(text.encode(), infer_schema=False)
    items = rows.select("product_uid", title="product_title").unique(
        "product_uid", keep="first", maintain_order=True
    )
    relevance = pl.col("relevance").cast(pl.Float64)
    events = rows.select("product_uid", relevance, query="search_term")
    return publish("homedepot", {"items": items, "events": events}, target)
