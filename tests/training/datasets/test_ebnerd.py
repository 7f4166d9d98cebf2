"""The conversion of the real files: counts, and nothing known before it happened."""

import polars as pl
import pytest

from training.datasets import tables
from training.datasets.ebnerd import _without_clicks, first_seen
from training.datasets.tables import Tables

TEST_FROM = 1_684_998_000.0  # 2023-05-25T07:00:00Z


@pytest.fixture(scope="module")
def read(converted) -> Tables:
    return tables.read(converted("ebnerd"))


@pytest.fixture(scope="module")
def raw(converted) -> pl.DataFrame:
    return pl.read_parquet(converted("ebnerd").folder / "events.parquet")


def test_no_row_is_bad_and_every_impression_is_there(read: Tables) -> None:
    shown = read.events.filter(pl.col("impression").is_not_null())
    weeks = shown.group_by(pl.col("time") >= TEST_FROM).agg(
        pl.col("impression").n_unique(), pl.len(), pl.col("label:click").sum().alias("clicks")
    )
    assert read.report.bad == ()
    assert read.items.height == 15_514 - 7
    # fewer clicks than the 24,888 and 25,505 of the lists: 59 and 61 name one article twice, one has no text
    assert sorted(weeks.rows()) == [(False, 24_724, 278_072, 24_829), (True, 25_356, 304_858, 25_443)]


def test_only_articles_without_text_cost_candidates(read: Tables) -> None:
    shown = read.events["impression"].drop_nulls().len()
    assert (278_139 + 304_915) - shown == 67 + 57


def test_a_shown_article_was_out_before(read: Tables) -> None:
    shown = read.events.join(read.items, on="item")
    assert shown["published"].null_count() == 0
    assert (shown["published"] <= shown["time"]).all()


def test_labels_stand_at_the_list_and_history_does_not(read: Tables) -> None:
    events = read.events.with_columns(told=pl.col("events").list.len())
    labelled = pl.any_horizontal(pl.col("^label:.*$").is_not_null())
    assert events.filter(labelled)["told"].max() == 0
    assert events.filter(~labelled)["impression"].null_count() == events.filter(~labelled).height


def test_every_list_says_where_and_on_what_it_was_read_and_nothing_else_does(raw: pl.DataFrame) -> None:
    columns = ("device_type", "page", "is_subscriber")
    shown = raw.filter(pl.col("impression_id").is_not_null())
    each = shown.group_by("impression_id", "user_id").agg(pl.col(*columns).n_unique())
    assert each.select(pl.col(*columns).max()).row(0) == (1, 1, 1)
    assert {name: set(shown[name].unique()) for name in columns} == {
        "device_type": {1, 2, 3}, "page": {"front", "article"}, "is_subscriber": {False, True},
    }  # fmt: skip
    assert raw.filter(pl.col("impression_id").is_null())["page"].null_count() == raw.height - shown.height


def test_the_words_of_a_request_are_read_as_text(read: Tables) -> None:
    known = read.events.filter(pl.col("impression").is_not_null())
    for name, words in {"device_type": {"1", "2", "3"}, "page": {"front", "article"}}.items():
        assert set(known[f"context:{name}"]) == words
    assert set(known["context:is_subscriber"]) == {"true", "false"}


def test_what_comes_of_a_click_stands_on_the_clicked_row_only(raw: pl.DataFrame) -> None:
    unclicked = raw.filter(pl.col("clicked") == 0)
    assert unclicked["next_read_time"].null_count() == unclicked.height
    assert unclicked["next_scroll_percentage"].null_count() == unclicked.height


def test_a_click_enters_the_history_after_its_list_was_shown(raw: pl.DataFrame) -> None:
    """Leak: for each click event there is a list at its time or before in which this user clicked it."""
    lists = raw.filter(pl.col("clicked") == 1).select("user_id", "article_id", "time", shown="time")
    clicks = raw.filter(pl.col("event") == "click").sort("time")
    found = clicks.join_asof(
        lists.sort("time"), on="time", by=["user_id", "article_id"], check_sortedness=False
    )
    assert found["shown"].null_count() == 0
    assert (found["time"] - found["shown"]).max().total_seconds() <= 1_800


def test_no_click_is_in_the_history_of_its_own_list(raw: pl.DataFrame) -> None:
    """Leak: a read of the clicked article within the hour after the list would be the click a second time."""
    lists = raw.filter(pl.col("clicked") == 1).select("user_id", "article_id", shown="time")
    reads = raw.filter(pl.col("event").is_in(["read", "elsewhere"])).join(lists, on=["user_id", "article_id"])
    after = (reads["time"] - reads["shown"]).dt.total_seconds()
    assert not after.is_between(0, 3_600).any()


def test_no_event_counts_twice(read: Tables) -> None:
    told = read.events.explode("events").drop_nulls("events")
    assert not told.select("user", "item", "time", "events").is_duplicated().any()
    clicks, reads = (told.filter(pl.col("events") == name) for name in ("click", "read"))
    shown = read.events.filter(pl.col("label:click") == 1.0)
    assert clicks.height == shown.unique(["user", "item", "time"]).height
    assert clicks.join(reads, on=["user", "item", "time"]).height == 0


def test_the_training_week_knows_no_more_than_the_test_week(raw: pl.DataFrame, read: Tables) -> None:
    """Leak: first-week readers' pages from lists that the files leave out are in no history."""
    begins = pl.lit("2023-05-18T07:00:00").str.to_datetime(time_zone="UTC")
    hidden = raw.filter(pl.col("event") == "elsewhere")
    seen = raw.filter((pl.col("time") < begins + pl.duration(days=7)) & pl.col("clicked").is_not_null())
    assert hidden.height == 48_955
    assert hidden.filter(pl.col("time") < begins).height == 0
    assert set(hidden["user_id"]) <= set(seen["user_id"])
    assert set(read.events["events"].explode().drop_nulls()) == {"glance", "read", "study", "click"}


def test_publication_is_bounded_by_the_article_itself_and_all_later_ids() -> None:
    seen = pl.DataFrame({"article_id": [5, 3, 3, 9, 7], "time": [20, 40, 30, 50, 60]})
    bounds = first_seen(seen)
    assert bounds.rows() == [(3, 20), (5, 20), (7, 50), (9, 50)]


@pytest.mark.parametrize("moment", [25, 35, 45])
def test_sightings_after_a_moment_do_not_move_bounds_of_what_was_seen(moment: int) -> None:
    seen = pl.DataFrame({"article_id": [5, 3, 3, 9, 7], "time": [20, 40, 30, 50, 60]})
    then = first_seen(seen.filter(pl.col("time") <= moment))
    assert first_seen(seen).join(then, on="article_id", how="semi").rows() == then.rows()


def test_a_read_is_the_click_only_within_an_hour_of_the_list() -> None:
    reads = pl.DataFrame({"user_id": 1, "article_id": [7, 7, 7, 8], "time": [9, 10, 71, 10]})
    reads = reads.with_columns(pl.from_epoch(pl.col("time") * 60).dt.replace_time_zone("UTC"))
    clicks = pl.DataFrame({"user_id": [1], "article_id": [7], "shown": [10]})
    clicks = clicks.with_columns(pl.from_epoch(pl.col("shown") * 60).dt.replace_time_zone("UTC"))
    kept = _without_clicks(reads, clicks)
    assert kept.select("article_id", pl.col("time").dt.epoch("s") // 60).rows() == [(7, 9), (7, 71), (8, 10)]
