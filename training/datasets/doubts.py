"""What may be meant and is most often a mistake: the rows stay, and people are told before training begins."""

from collections.abc import Iterator

import polars as pl

from training.config import Config

MUCH = 0.01  # of the rows: below it a clock that is a little wrong explains them
APART = 2 * 86_400.0  # seconds between the first and the last row of a list: clicks come sooner than that


def doubts(config: Config, items: pl.DataFrame, events: pl.DataFrame) -> Iterator[str]:
    """One line for each doubt about clean tables."""
    yield from _early(config, items, events)
    yield from _again(config, events)
    yield from _apart(config, events)
    yield from _twice(config, events)


def _early(config: Config, items: pl.DataFrame, events: pl.DataFrame) -> Iterator[str]:
    """Items that were dealt with before they could be: their ages are all 0, and a zone is wrong."""
    if not (config.items.time and config.events.timestamp):
        return
    known = events.select("item", "time").join(items.select("item", "published"), on="item")
    known = known.filter(pl.col("published").is_not_null())
    early = known.filter(pl.col("time") < pl.col("published")).height
    if early > MUCH * known.height:
        yield (
            f"events: {early:,} of {known.height:,} rows are earlier than items.time ({config.items.time}) of their "
            "item, which counts as just published; see that both have the right zone, or leave items.time out"
        )


def _again(config: Config, events: pl.DataFrame) -> Iterator[str]:
    """One item twice in a list, as where a click has a row of its own beside that of what was shown."""
    if not config.events.impression:
        return
    listed = events.filter(pl.col("impression").is_not_null())
    more = listed.height - listed.n_unique(["impression", "user", "item"])
    if more:
        yield (
            f"events: {more:,} of {listed.height:,} rows name an item once more in the same impression, where it "
            "counts as shown again and is ranked against itself; make it one row with all its labels, or leave "
            f"{config.events.impression} of the others empty"
        )


def _apart(config: Config, events: pl.DataFrame) -> Iterator[str]:
    """Lists that are several: ids that begin anew each month, or that are of a page and not of what it showed."""
    if not (config.events.impression and config.events.timestamp):
        return
    listed = events.filter(pl.col("impression").is_not_null())
    lists = listed.group_by("impression", "user").agg(first=pl.col("time").min(), last=pl.col("time").max())
    long = lists.filter(pl.col("last") - pl.col("first") > APART)
    if long.height > MUCH * lists.height:
        yield (
            f"events: {long.height:,} of {lists.height:,} impressions have rows more than two days apart, such as "
            f"{long['impression'][0]!r}, and all of each count as shown with the first; if "
            f"{config.events.impression} is used again, make it unique, such as with the day before it"
        )


def _twice(config: Config, events: pl.DataFrame) -> Iterator[str]:
    """Rows that say the same, as where two exports overlap. Those of a list are told as its items."""
    if not config.events.timestamp:
        return
    alone = events.filter(pl.col("impression").is_null())
    more = alone.height - alone.n_unique()
    if more > MUCH * alone.height:
        yield (
            f"events: {more:,} of {alone.height:,} rows without an impression say the same as another one, and count "
            "as having happened again; if two exports overlap, keep one of each"
        )
