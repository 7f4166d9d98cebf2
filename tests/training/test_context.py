"""The context of a whole log against one request alone, as the service computes it: from records, lists, history."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.features import FeatureSet
from model_store.moment import SHOWN_LISTS, SHOWN_SECONDS, Met, Moment, met
from model_store.taste import Grades, profile, shares
from model_store.words import ASKED, MATCHES, Wording
from tests.training import toy
from training import build, context
from training.context import Moments, Replayed
from training.dataset import Dataset

USE = (
    "hour", "weekday", "item_age", "since_last", "history_size", "candidates", "again", "shown", "share:kind",
    "count:view", "count:click+buy:6h", "rate:click/view", "since:click", "since:buy+view", "number:price",
    "latest:offer", "context:device", "is:kind", "habit:click", "appeal:6h", "mood:2", "taste:kind",
    *(f"match:{measure}" for measure in MATCHES), *(f"query:{measure}" for measure in ASKED), "list:match:words",
    "list:item_age", "list:share:kind", "list:count:click", "list:since:view",
    "list:shown", "list:again", "list:number:price", "list:latest:offer", "list:rate:buy/view:24h",
)  # fmt: skip


def device(impression: str) -> str | None:
    number = int(impression.removeprefix("imp"))
    return ("app", "web", None)[number % 3] if number < 48 else "tv"


def made() -> Dataset:
    """Every kind of feature; of words of the request, one is seen after the training part only."""
    chosen = toy.settings(
        features={"use": USE},
        items={"numbers": ["price"]},
        history={"grades": {"click": 1.0, "buy": 4.0}},
        events={"numbers": ["offer"], "context": ["device"]},
    )
    rows = [
        {
            **row,
            "number:offer": float(at % 7) if at % 4 else None,
            "context:device": device(row["impression"]),
            "query": row["query"] and f"{row['query']} 7",  # as one of the items is called
        }
        for at, row in enumerate(toy.log())
    ]
    tables = toy.tables(rows, chosen)
    prices = pl.Series("number:price", [None if number == 3 else 2.0**number for number in range(toy.ITEMS)])
    return build.build(chosen, replace(tables, items=tables.items.with_columns(prices)))


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return made()


@pytest.fixture(scope="module")
def features(dataset) -> FeatureSet:
    return FeatureSet(dataset.features, dataset.clock)


@pytest.fixture(scope="module")
def recall(dataset, features) -> Replayed:
    return Replayed(dataset.log, dataset.lists, features.layout, len(dataset.item_ids))


def span(dataset, number) -> slice:
    return slice(*dataset.requests.starts[number : number + 2])


def shown(dataset, user, items, now) -> Met:
    """By what the user's lists hold just before."""
    lists = dataset.lists.newest(user, np.nextafter(now, 0), SHOWN_LISTS) if user >= 0 else []
    kept = [(item, time) for time, told in lists for item in told if time >= now - SHOWN_SECONDS]
    past, times = zip(*kept, strict=True) if kept else ((), ())
    return met(items, np.array(past, dtype=np.int64), np.array(times))


def alone(dataset, features, number) -> Moment:
    """What a service would know of one request: records of the log so far, and the user's own past."""
    requests, histories = dataset.requests, dataset.histories
    now, user, items = requests.times[number], requests.users[number], dataset.rows[span(dataset, number)]
    past = slice(*requests.history[number])
    events, times = histories.items[past], histories.times[past]
    named = np.array(tuple(dataset.config.history.events))[histories.events[past] - 1]
    kinds = dataset.attributes["kind"]
    taste = profile(kinds.codes[events], len(kinds.values))
    grades = Grades(
        histories.events[past], np.zeros(len(events), dtype=np.int64), 1,
        {kind: features.lifts[name] for kind, name in ((1, "click"), (2, "buy"))},
    )  # fmt: skip
    records = dataset.log.until(now).records(features.layout, len(dataset.item_ids))
    return Moment(
        now=np.array([now]),
        published=dataset.published[items],
        last_event=times[-1:] if len(times) else np.array([np.nan]),
        sizes=np.array([float(len(times))]),
        shares={"kind": shares(taste, kinds.codes[items])},
        habits={"click": np.array([np.mean(named == "click") if len(named) else np.nan])},
        moods={"2": grades.mood(2)},
        tastes={
            "kind": grades.taste(
                kinds.codes[events],
                kinds.codes[items],
                np.zeros(len(items), dtype=np.int64),
                len(kinds.values),
            )
        },
        kinds={"kind": kinds.places(dataset.features.values["kind"])[kinds.codes[items]]},
        statistics=features.layout.read(records[items], np.array([now])),
        shown=shown(dataset, user, items, now),
        again=met(items, events, times),
        numbers={"price": dataset.numbers["price"][items]},
        words={"device": dataset.words["device"][[number]]},
        **worded(dataset, requests.queries[number], items),
    )


def worded(dataset, query, items) -> dict[str, dict[str, np.ndarray]]:
    """As a catalogue of the same texts tells it."""
    texts = dataset.texts[: len(dataset.item_ids)]
    asked = Wording.of(texts).asked(dataset.texts[query] if query >= 0 else "")
    matches = asked.matched(Wording.of([texts[item] for item in items]).rows)
    return {
        "matches": dict(zip(MATCHES, matches, strict=True)),
        "queries": {measure: np.array([told]) for measure, told in zip(ASKED, asked.told(), strict=True)},
    }


# the same features as online


def test_the_context_is_bit_for_bit_what_one_request_alone_gives(dataset, features):
    assert len(dataset.requests) == 60
    for number in range(len(dataset.requests)):
        matrix = features.matrix(alone(dataset, features, number))
        np.testing.assert_array_equal(matrix, dataset.context[span(dataset, number)])


def test_every_feature_says_something_in_this_log(dataset, features):
    """Or the test above would prove little."""
    columns = np.array(features.columns)
    for name in USE:
        assert np.ptp(dataset.context[:, columns == name], axis=0).max() > 0, name
    assert np.isfinite(dataset.context).all()


# pieces


@pytest.mark.parametrize("rows", [1, 7, 50])
def test_in_pieces_it_is_the_same_as_in_one(dataset, recall, rows, monkeypatch):
    monkeypatch.setattr(context, "ROWS", rows)
    np.testing.assert_array_equal(context.context(dataset, recall), dataset.context)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 59), st.integers(1, 60))
def test_some_requests_side_by_side_are_each_as_within_the_whole(dataset, features, recall, begin, count):
    end = min(begin + count, 60)
    found = features.matrix(Moments(dataset, features, recall).of(begin, end))
    starts = dataset.requests.starts
    np.testing.assert_array_equal(found, dataset.context[starts[begin] : starts[end]])


def test_requests_cut_out_of_the_log_have_the_context_that_they_had(dataset, recall):
    numbers = np.array([40, 7, 21])
    rows = [np.arange(*dataset.requests.starts[number : number + 2]) for number in numbers]
    found = context.context(dataset.cut(numbers, rows), recall)
    np.testing.assert_array_equal(found, dataset.context[np.concatenate(rows)])


# single quantities


def test_a_word_that_training_did_not_see_or_none_is_another(dataset, features, recall):
    known = dataset.features.words["device"]
    assert set(known) == {"app", "web"}
    words = Moments(dataset, features, recall).of(0, len(dataset.requests)).words["device"]
    assert set(words.tolist()) == {-1, 0, 1}
    assert (words[dataset.select("test")] == -1).all()  # all by tv
    columns = dataset.context[:, np.array(features.columns) == "context:device"]
    np.testing.assert_array_equal(columns.sum(axis=1), 1)
    np.testing.assert_array_equal(columns.argmax(axis=1), words + 1)


def test_again_counts_what_the_history_holds_and_no_more(dataset, features, recall):
    moment = Moments(dataset, features, recall).of(0, len(dataset.requests))
    found, owners = moment.again, dataset.requests.owners
    for row, item in enumerate(dataset.rows):
        past = slice(*dataset.requests.history[owners[row]])
        expected = met(np.array([item]), dataset.histories.items[past], dataset.histories.times[past])
        assert found.counts[row] == expected.counts[0]
        np.testing.assert_array_equal(found.last[row], expected.last[0])
    assert found.counts.max() > 1


def test_what_no_feature_reads_is_not_looked_up():
    plain = toy.made(features={"use": ["history_size"]})
    features = FeatureSet(plain.features, plain.clock)
    recall = Replayed(plain.log, plain.lists, features.layout, len(plain.item_ids))
    moment = Moments(plain, features, recall).of(0, 3)
    assert (moment.statistics, moment.shown, moment.again) == (None, None, None)
    assert {*moment.shares, *moment.habits, *moment.numbers, *moment.kinds, *moment.words} == set()


def test_without_lists_nothing_was_shown(recall):
    nothing = Replayed(made().log, None, FeatureSet(made().features, made().clock).layout, toy.ITEMS)
    found = nothing.shown(np.array([0]), np.array([1]), np.array([2e9]))
    assert found.counts.tolist() == [0]
    assert np.isnan(found.last).all()
