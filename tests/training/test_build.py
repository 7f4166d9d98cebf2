from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from tests.training import toy
from training import build as builder
from training.dataset import Dataset
from training.errors import DataError

NO_CLOCK = {"click": {"type": "binary", "label": "clicked"}}


def told(dataset: Dataset, number: int) -> list[tuple[str, str, float]]:
    """The history of a request: item, event, time."""
    names, past = ("profile", *dataset.config.history.events), dataset.histories
    places = range(*dataset.requests.history[number])
    return [(dataset.item_ids[past.items[at]], names[past.events[at]], past.times[at]) for at in places]


def user_of(dataset: Dataset, number: int) -> str | None:
    user = dataset.requests.users[number]
    return dataset.user_ids[user] if user >= 0 else None


def span(dataset: Dataset, number: int) -> slice:
    return slice(*dataset.requests.starts[number : number + 2])


def shown(dataset: Dataset, number: int) -> list[str]:
    return [dataset.item_ids[item] for item in dataset.rows[span(dataset, number)]]


# histories


@pytest.mark.parametrize("limit", [1, 4, 500])
def test_a_history_is_the_newest_events_of_the_user_strictly_before_oldest_first(limit):
    rows, dataset = toy.log(), toy.made(history={"limit": limit})
    assert len(dataset.requests) == 60
    for number, moment in enumerate(dataset.requests.times):
        user = user_of(dataset, number)
        before = [
            (row["item"], name, row["time"])
            for row in rows
            for name in row["events"]
            if user is not None and row["user"] == user and row["time"] < moment
        ]
        assert told(dataset, number) == before[-limit:]


def test_what_happened_at_the_same_second_is_no_history():
    known = {"user": "u", "impression": None, "events": ["click"], "click": 1.0}
    rows = [{**known, "item": "i0", "time": 10.0}, {**known, "item": "i1", "time": 10.0}]
    rows += [{**known, "item": f"i{number}", "time": 10.0 + number} for number in range(1, 9)]
    dataset = toy.build(rows, toy.settings(tasks=NO_CLOCK))
    assert [told(dataset, number) for number in range(2)] == [[], []]
    assert [item for item, _, _ in told(dataset, 2)] == ["i0", "i1"]


@pytest.mark.parametrize("future", ["gone", "shuffled", "another"])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_nothing_that_happens_later_changes_an_earlier_request(future, share):
    rows = toy.log()
    moment = rows[int(share * len(rows))]["time"]
    past, later = ([row for row in rows if (row["time"] > moment) == after] for after in (False, True))
    if future == "gone":
        later = []
    elif future == "shuffled":
        order = np.random.default_rng(0).permutation(len(later))
        stay = ("time", "impression", "user", "query")
        moved = [later[place] for place in order]
        later = [
            {**row, **{name: kept[name] for name in stay}} for row, kept in zip(moved, later, strict=True)
        ]
    else:
        later = [
            {**row, "time": row["time"] + 5e5, "impression": f"new {row['impression']}"}
            for row in toy.log(seed=1)
        ]
    chosen = toy.settings(users={"path": "users.parquet", "text": ["profile"]})
    before, after = (toy.build(found, chosen, toy.USERS) for found in (rows, past + later))
    requests = np.flatnonzero(before.requests.times <= moment)
    assert len(requests) > 10
    for number in requests:
        assert told(before, number) == told(after, number)
        assert shown(before, number) == shown(after, number)
        assert user_of(before, number) == user_of(after, number)
        at = span(before, number)
        assert at == span(after, number)
        np.testing.assert_array_equal(before.context[at], after.context[at])
        for name, labels in before.labels.items():
            np.testing.assert_array_equal(labels[at], after.labels[name][at])


# requests


def test_an_impression_is_one_request_though_its_rows_lie_apart_and_at_different_seconds():
    known = {"user": "u", "events": ["click"], "click": 1.0}
    rows = [
        {**known, "item": "i0", "time": 5.0, "impression": "a"},
        {**known, "item": "i1", "time": 6.0, "impression": "b"},
        {**known, "item": "i2", "time": 7.0, "impression": "a"},
        *({**known, "item": "i3", "time": 8.0 + step, "impression": f"c{step}"} for step in range(6)),
    ]
    dataset = toy.build(rows, toy.settings(tasks=NO_CLOCK))
    assert [shown(dataset, number) for number in (0, 1, 2)] == [["i0", "i2"], ["i1"], ["i3"]]
    assert dataset.requests.times[:3].tolist() == [5.0, 6.0, 8.0]
    assert [item for item, _, _ in told(dataset, 1)] == ["i0"]
    assert [item for item, _, _ in told(dataset, 2)] == ["i0", "i1", "i2"]


def test_an_impression_id_that_two_users_share_is_two_requests():
    rows = [
        {
            "user": f"u{number % 2}",
            "item": f"i{number}",
            "time": float(number // 2),
            "impression": "a",
            "click": 1.0,
        }
        for number in range(4)
    ] + [{"user": "u0", "item": "i5", "time": 9.0 + number, "click": 0.0} for number in range(5)]
    dataset = toy.build(rows, toy.settings(tasks=NO_CLOCK))
    assert [shown(dataset, number) for number in (0, 1)] == [["i0", "i2"], ["i1", "i3"]]


def test_a_row_without_an_impression_is_a_request_by_itself():
    rows = [{"user": "u", "item": "i1", "time": float(number // 2), "click": 1.0} for number in range(12)]
    dataset = toy.build(rows, toy.settings(tasks=NO_CLOCK))
    assert np.diff(dataset.requests.starts).tolist() == [1] * 12


def test_a_row_without_any_label_is_history_but_no_request():
    rows = [{"user": "u", "item": "i1", "time": 1.0, "events": ["buy"]}]
    rows += [{"user": "u", "item": "i2", "time": 2.0 + number, "click": 1.0} for number in range(6)]
    dataset = toy.build(rows, toy.settings(tasks=NO_CLOCK))
    assert len(dataset.requests) == 6
    assert told(dataset, 0) == [("i1", "buy", 1.0)]


def test_requests_are_in_order_of_time_and_every_row_has_its_owner():
    dataset = toy.made()
    assert (np.diff(dataset.requests.times) >= 0).all()
    assert (
        (owners := dataset.requests.owners).size
        == len(dataset.rows)
        == len(dataset.context)
        == dataset.requests.starts[-1]
    )
    assert all((owners[span(dataset, number)] == number).all() for number in range(len(dataset.requests)))


# texts and users


def test_texts_are_numbered_once_the_items_first():
    dataset = toy.made()
    assert dataset.texts[: toy.ITEMS] == toy.items()["text"].to_list()
    assert len(dataset.texts[toy.ITEMS :]) == len(set(dataset.texts[toy.ITEMS :]))


def test_a_query_that_reads_like_an_item_is_a_text_of_its_own():
    """An item's number stands for all that is known of the item, not for its words alone."""
    known = {"user": "u", "item": "i1", "click": 1.0, "query": "odd thing 3"}
    dataset = toy.build([{**known, "time": float(at)} for at in range(6)], toy.settings(tasks=NO_CLOCK))
    assert dataset.requests.queries.tolist() == [toy.ITEMS] * 6
    assert dataset.texts[toy.ITEMS] == "odd thing 3"


def test_a_request_without_query_or_user_says_so():
    dataset = toy.made()
    rows = {row["impression"]: row for row in toy.log()}
    for number, row in enumerate(rows.values()):
        query = dataset.requests.queries[number]
        assert (dataset.texts[query] if query >= 0 else None) == row["query"]
        assert user_of(dataset, number) == row["user"]


def test_a_user_without_a_profile_has_none_and_a_profile_without_events_is_left_out():
    dataset = toy.made()
    profiles = {
        user: dataset.texts[number] if number >= 0 else None
        for user, number in zip(dataset.user_ids, dataset.profiles, strict=True)
    }
    assert profiles == {"u0": "young odense", "u1": "old", **dict.fromkeys(["u2", "u3", "u4", "u5"])}
    assert "never seen" not in dataset.texts
    assert dataset.records["u0"] == {"profile": "young odense"}  # as the service takes it


def test_events_without_any_user_have_requests_without_history():
    sections = {"events": {"user": None, "timestamp": None, "impression": None}, "history": {"events": {}}}
    chosen = toy.settings(
        **sections, split={"by": "query"}, features={"use": ["item_age", "history_size"]},
        tasks={"match": {"type": "binary", "inputs": "query_item", "label": "match"}},
    )  # fmt: skip
    rows = [{"item": "i1", "time": 0.0, "query": f"q{at}", "match": float(at % 2)} for at in range(40)]
    dataset = toy.build(rows, chosen)
    assert (dataset.requests.users == -1).all()
    assert (dataset.requests.history == 0).all()
    assert len(dataset.requests) == 40


# refusals


def test_an_empty_part_is_an_error_that_names_it():
    rows = [{"user": "u", "item": "i1", "time": 5.0, "click": 1.0} for _ in range(20)]
    with pytest.raises(DataError, match="the train split is empty; change split"):
        toy.build(rows, toy.settings(tasks=NO_CLOCK))


def test_an_events_table_that_no_task_learns_from_is_an_error():
    rows = [{"user": "u", "item": "i1", "time": float(at)} for at in range(20)]
    chosen = toy.settings()
    only_items = chosen.model_copy(update={"tasks": {"kind": chosen.tasks["kind"]}})
    with pytest.raises(DataError, match="no task takes its label from the events"):
        toy.build(rows, only_items)


def test_a_missing_time_of_an_item_is_unknown_and_not_the_epoch():
    dataset = toy.made()
    known = toy.items()["published"].is_not_null().to_numpy()
    np.testing.assert_array_equal(~np.isnan(dataset.published), known)


# numbers and words


def test_numbers_of_items_stand_by_item_and_a_missing_one_is_nan():
    chosen = toy.settings(items={"numbers": ["price", "weight"]}, features={"use": ["number:price"]})
    tables = toy.tables(toy.log(), chosen)
    prices = [None if number == 3 else number * 1.5 for number in range(toy.ITEMS)]
    items = tables.items.with_columns(pl.Series("number:price", prices), pl.lit(1.0).alias("number:weight"))
    dataset = builder.build(chosen, replace(tables, items=items))
    assert list(dataset.numbers) == ["price"]  # what no feature reads is not kept
    np.testing.assert_array_equal(
        dataset.numbers["price"], [np.nan if one is None else one for one in prices]
    )


def test_a_requests_word_is_that_of_its_first_row_that_has_one():
    known = {"user": "u", "item": "i1", "click": 1.0}
    said = [[None, "app"], ["web", "app"], [None, None], ["app", None], ["app", "app"], *[["web", "web"]] * 5]
    rows = [
        {**known, "time": float(at), "impression": f"l{at}", "context:device": word}
        for at, words in enumerate(said)
        for word in words
    ]
    sections = {"events": {"context": ["device"]}, "features": {"use": ["context:device"]}}
    dataset = toy.build(rows, toy.settings(tasks=NO_CLOCK, **sections))
    words = dataset.features.words["device"]
    told = [words[place] if place >= 0 else None for place in dataset.words["device"]]
    assert told == ["app", "web", None, "app", "app", *["web"] * 5]


def test_lists_are_kept_only_where_a_feature_reads_them():
    assert toy.made().lists is None
    assert toy.made(features={"use": ["shown"]}).lists is not None


def test_what_was_counted_in_the_held_out_parts_is_not_learned_as_usual():
    """Clicks come often in training, never after."""
    rows = [
        {"user": "u", "item": f"i{at % 4}", "time": float(at), "impression": f"l{at}",
         "events": ["click"] if at < 30 and at % 2 else [], "click": float(at % 2)}
        for at in range(50)
    ]  # fmt: skip
    dataset = toy.build(rows, toy.settings(tasks=NO_CLOCK, features={"use": ["rate:click/view"]}))
    assert len(dataset.requests.of("train")) == 30
    assert dataset.features.rates == {"click/view": 0.5}
