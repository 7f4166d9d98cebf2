"""EB-NeRD, clicks on Danish news: the publisher's files to contract tables.

    articles.jsonl.gz                      -> items.parquet     articles with text, out at the latest when
    train/ and validation/history.parquet  -> events.parquet    event "glance", "read" or "study": no label
    train/ and validation/behaviors.parquet                     one row an article in view, with its labels
                                                                event "click": a click, at the time it was made
                                                                event "read": the page that was being read

Times in the files are UTC. An impression's time is when the list was shown; the click came `read_time`
seconds later (where both are logged, the page opens within a second of that in 98 of 100 cases). So labels
stand at the impression's time and the click enters the history at its own: nothing is known early.

One visit is one event. Pages and histories overlap (the second history covers the first week), so equal
(user, article, time) count once, and a read that follows a list in which the same user clicked the same
article, by an hour at most, is that click.

The second history also holds what first-week readers opened from lists that the files leave out. Of the second
week nothing alike is known, so a model that trains on it meets another world in the test: the newest event
is 32 seconds old there (median), then ten minutes. Such reads are events "elsewhere", and the configuration
leaves them out of the history. (With them, per-impression AUC of the category's share of the history is 0.549 on
the validation day; without, 0.559.)
"""

import logging
from pathlib import Path

import polars as pl

from training.datasets import files
from training.datasets.package import publish

log = logging.getLogger(__name__)

WEEKS = ("train", "validation")
VISIT = pl.duration(hours=1)
GLANCE, STUDY = 15.0, 60.0  # seconds on the page: near the quartiles of the histories


def convert(source: Path, target: Path) -> Path:
    """Write items, events and the configuration into `target`; returns the path of the latter."""
    weeks = [files.read(source / week / "behaviors.parquet") for week in WEEKS]
    behaviours = pl.concat(weeks)
    histories = pl.concat([files.read(source / week / "history.parquet") for week in WEEKS])
    shown, clicks, reads = _shown(behaviours), _clicks(behaviours), _reads(histories, behaviours, weeks[0])
    items = _items(files.read(source / "articles.jsonl.gz"), first_seen(shown, reads))
    reads = _without_clicks(reads, clicks)
    events = pl.concat([shown, clicks.drop("shown"), reads], how="diagonal")
    known = events.filter(pl.col("article_id").is_in(items["article_id"].implode()))
    log.info("dropped %d of %d rows about articles without text", events.height - known.height, events.height)
    known = known.sort("time", "user_id", "impression_id", maintain_order=True)
    return publish("ebnerd", {"items": items, "events": known}, target)


def first_seen(*sightings: pl.DataFrame) -> pl.DataFrame:
    """When each article was out at the latest: article_id, published.

    Article ids grow with publication, so an article is out once it, or any with a higher id, has been seen:
    published(id) = min over id' >= id of the first sighting of id'. For an article shown at t this uses
    nothing later than t: its own first sighting is at t or before, and a later one cannot lower a minimum.
    """
    seen = pl.concat([frame.select("article_id", "time") for frame in sightings])
    first = seen.group_by("article_id").agg(pl.col("time").min()).sort("article_id", descending=True)
    return first.select("article_id", published=pl.col("time").cum_min()).sort("article_id")


def _items(articles: pl.DataFrame, bounds: pl.DataFrame) -> pl.DataFrame:
    absent = pl.col("subtitle").str.strip_chars().is_in(["", "null"])  # six articles hold the word
    rows = articles.with_columns(
        pl.col("article_id").cast(pl.Int32),
        pl.col("category").cast(pl.String),
        pl.col("subcategory").cast(pl.List(pl.String)),
        subtitle=pl.when(~absent).then(pl.col("subtitle")),
    )
    written = pl.concat_str(pl.col("title", "subtitle").fill_null("")).str.strip_chars() != ""
    kept = rows.filter(written)
    log.info("dropped %d of %d articles without text", articles.height - kept.height, articles.height)
    return kept.sort("article_id").join_asof(bounds, on="article_id", strategy="forward")


def _shown(behaviours: pl.DataFrame) -> pl.DataFrame:
    """One row an article in view; what came of the click stands on the clicked row only."""
    rows = behaviours.select(
        "user_id", "impression_id", "session_id", "device_type", "is_subscriber",
        "article_ids_clicked", "next_read_time", "next_scroll_percentage", page=_page(),
        time=_utc("impression_time"), article_id="article_ids_inview",
    ).explode("article_id")  # fmt: skip
    clicked = pl.col("article_ids_clicked").list.contains(pl.col("article_id"))
    after = pl.when(clicked).then(pl.col("next_read_time", "next_scroll_percentage"))
    return rows.with_columns(after, clicked=clicked.cast(pl.Int8)).drop("article_ids_clicked")


def _clicks(behaviours: pl.DataFrame) -> pl.DataFrame:
    """One row a click, at the moment when the list was left for the article; `shown` is the list's time."""
    left = _utc("impression_time") + pl.duration(seconds=pl.col("read_time"))
    rows = behaviours.select(
        "user_id", "session_id", "device_type",
        time=left, shown=_utc("impression_time"), article_id="article_ids_clicked", event=pl.lit("click"),
    ).explode("article_id").drop_nulls("article_id")  # fmt: skip
    return rows.unique(["user_id", "article_id", "time"], keep="first", maintain_order=True)


def _reads(histories: pl.DataFrame, behaviours: pl.DataFrame, first_week: pl.DataFrame) -> pl.DataFrame:
    """One row a page read: "read" if it is known from a list or from before the lists, else "elsewhere".

    Of reads before the lists it is known how long they took: "glance" and "study" are the short and long ones.
    """
    lists = [name for name in histories.columns if name != "user_id"]
    pages = behaviours.drop_nulls("article_id").select(
        "user_id", "article_id", time=_utc("impression_time"),
        page_read_time="read_time", page_scroll="scroll_percentage", listed=pl.lit(value=True),
    )  # fmt: skip
    past = histories.explode(lists).select(
        "user_id", time=_utc("impression_time_fixed"), article_id="article_id_fixed",
        page_read_time="read_time_fixed", page_scroll="scroll_percentage_fixed", listed=pl.lit(value=False),
    )  # fmt: skip
    begins = first_week.select(_utc("impression_time").min()).item()
    logged = pl.col("user_id").is_in(first_week["user_id"].unique().implode()) & (pl.col("time") >= begins)
    spent = pl.col("page_read_time")
    over = ~pl.col("listed") & (~logged | (pl.col("time") + pl.duration(seconds=spent) <= begins))
    event = (
        pl.when(logged & ~pl.col("listed")).then(pl.lit("elsewhere"))
        .when(over & (spent < GLANCE)).then(pl.lit("glance"))
        .when(over & (spent >= STUDY)).then(pl.lit("study"))
        .otherwise(pl.lit("read"))
    )  # fmt: skip
    reads = pl.concat([pages, past], how="diagonal").with_columns(event=event).drop("listed")
    return reads.unique(["user_id", "article_id", "time"], keep="first", maintain_order=True)


def _without_clicks(reads: pl.DataFrame, clicks: pl.DataFrame) -> pl.DataFrame:
    """Reads that are not the visit of a click."""
    numbered = reads.with_row_index("read")
    pairs = numbered.join(clicks.select("user_id", "article_id", "shown"), on=["user_id", "article_id"])
    visits = pairs.filter(pl.col("time").is_between(pl.col("shown"), pl.col("shown") + VISIT))
    return numbered.join(visits, on="read", how="anti").sort("read").drop("read")


def _page() -> pl.Expr:
    """Where the list stood: on the front page, or beside an article."""
    return pl.when(pl.col("article_id").is_null()).then(pl.lit("front")).otherwise(pl.lit("article"))


def _utc(column: str) -> pl.Expr:
    return pl.col(column).dt.replace_time_zone("UTC")
