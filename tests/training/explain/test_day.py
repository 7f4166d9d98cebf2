from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from model_store.features import FeatureSet
from training.context import Replayed, context
from training.dataset import Histories
from training.errors import DataError
from training.explain import day
from training.predict import represent


def told(bench, network=None, **options):
    network = network or bench.network
    return day.ask(network, bench.dataset, represent(network, bench.dataset, bench.texts), **options)


@pytest.fixture(scope="module")
def answers(bench):
    return told(bench)


def test_a_day_has_24_hours_of_every_item_and_places_that_follow_the_scores(answers):
    scores, places = np.array(answers.scores), np.array(answers.places)
    assert scores.shape == places.shape == (len(answers.items), 24)
    assert len(set(answers.items)) == len(answers.titles) == 12
    for hour in range(24):
        assert sorted(places[:, hour]) == list(range(1, 13))
        assert (np.diff(scores[np.argsort(places[:, hour]), hour]) <= 0).all()
    assert (np.diff(scores.mean(axis=1)) <= 0).all()  # the best item of the day on top


def test_the_answers_change_by_hour_where_the_heads_see_the_hour(answers):
    scores = np.array(answers.scores)
    assert len(np.unique(scores, axis=1).T) == 24


def test_blind_to_the_context_an_answer_changes_only_with_the_history(bench, blinded):
    blind = told(bench, blinded(bench, list(range(bench.dataset.context.shape[1]))))
    columns = np.unique(np.round(np.array(blind.scores), 6), axis=1).T
    assert len(columns) <= 1 + blind.history[1] - blind.history[0]


def test_the_items_are_those_shown_most_on_the_day_and_out_before_it_began(bench, answers):
    dataset = bench.dataset
    zone = ZoneInfo(answers.timezone)
    begin = datetime.fromisoformat(answers.date).replace(tzinfo=zone).timestamp()
    requests = dataset.requests
    here = (requests.times >= begin) & (requests.times < begin + 86_400.0) & (requests.splits != 2)
    counts = np.bincount(dataset.rows[here[requests.owners]], minlength=len(dataset.item_ids))
    counts[dataset.published > begin] = 0
    least = np.sort(counts)[-12]
    numbers = [dataset.item_ids.index(item) for item in answers.items]
    assert least > 0
    assert (counts[numbers] >= least).all()


def test_the_user_is_of_those_with_long_histories_the_one_whose_answers_change_most(bench, answers):
    alone = told(bench, users=1)
    assert answers.users > 1
    assert answers.change >= max(answers.usual, alone.change)
    assert answers.history[0] > 0
    assert alone.users == 1
    assert alone.change == alone.usual


def test_change_is_how_far_places_wander():
    still = np.broadcast_to(np.array([0.3, 0.2, 0.1]), (24, 3))
    level = still + np.arange(24)[:, None]  # all better by night: the same order
    turned = np.concatenate([still[:12], still[12:, ::-1]])
    np.testing.assert_allclose(day.change(np.stack([still, level, turned])), [0.0, 0.0, 2 / 3])


def test_asked_at_the_time_of_a_real_request_the_context_is_the_real_one(bench):
    dataset = bench.dataset
    layout = FeatureSet(dataset.features, dataset.clock).layout
    recall = Replayed(dataset.log, dataset.lists, layout, len(dataset.item_ids))
    numbers = dataset.requests.of("validation")
    numbers = numbers[dataset.requests.queries[numbers] < 0][:5]  # no query is asked for a day
    assert len(numbers) == 5
    for number in numbers:
        rows = np.arange(*dataset.requests.starts[number : number + 2])
        moments = dataset.requests.times[number] + np.array([0.0, 3_600.0])
        part = day.asked(dataset, np.array([number]), rows, moments)
        found = context(part, recall)
        np.testing.assert_array_equal(found[: len(rows)], dataset.context[rows])
        assert (found[len(rows) :] != dataset.context[rows]).any()


def test_a_history_ends_strictly_before_the_moment(bench):
    dataset = bench.dataset
    number = next(n for n in dataset.requests.of("validation") if np.diff(dataset.requests.history[n]) > 0)
    newest = dataset.histories.times[dataset.requests.history[number, 1] - 1]
    part = day.asked(
        dataset, np.array([number]), np.arange(2), np.array([newest, np.nextafter(newest, np.inf)])
    )
    before, after = part.requests.history[:, 1]
    assert dataset.histories.times[before - 1] < newest
    assert dataset.histories.times[after - 1] == newest
    assert (part.requests.queries == -1).all()


def test_an_hour_is_local_and_a_day_of_summer_time_has_its_own(bench):
    features = bench.dataset.config.features.model_copy(update={"timezone": "Europe/Copenhagen"})
    dataset = replace(bench.dataset, config=bench.dataset.config.model_copy(update={"features": features}))
    moments = day._moments(dataset, datetime(2025, 10, 26).date())
    assert moments[-1] - moments[0] == 25 * 3_600.0
    np.testing.assert_array_equal(dataset.clock.hours(moments), [*range(24), 0])


def test_a_title_is_the_first_sentence_shortened_and_printable():
    assert day._title("A mug. Blue and large.") == "A mug"
    assert day._title("line\nbreak\x0b and\ttab") == "line break and tab"
    long = day._title("word " * 40)
    assert len(long) <= day.TITLE
    assert long.endswith("…")


def test_where_nobody_has_a_history_there_is_no_day(bench):
    nothing = np.zeros(0, dtype=np.int64)
    starts = np.zeros_like(bench.dataset.histories.starts)
    histories = Histories(items=nothing, events=nothing, times=np.zeros(0), starts=starts)
    dataset = replace(bench.dataset, histories=histories)
    with pytest.raises(DataError, match=r"nobody has a history; name some history\.events"):
        day.ask(bench.network, dataset, represent(bench.network, dataset, bench.texts))


def test_a_task_of_several_numbers_has_no_day(workbench):
    tasks = {
        "dwell": {"type": "quantile", "label": "dwell", "transform": "log1p"},
        "match": {"type": "binary", "inputs": "query_item", "label": "match"},
    }
    with pytest.raises(DataError, match="several numbers"):
        told(workbench(tasks=tasks))


def test_the_caption_says_that_the_user_was_picked_and_from_how_many(answers):
    assert f"The user was picked: of {answers.users} with long histories" in answers.caption
    assert answers.record()["hours"] == list(range(24))
    assert answers.record()["caption"] == answers.caption
