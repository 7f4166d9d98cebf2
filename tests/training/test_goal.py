"""The metric that a fusion is found for."""

from dataclasses import replace

import numpy as np
import pytest

from training import ranking
from training.errors import ConfigError
from training.evaluate import measure
from training.goal import Goal
from training.predict import predict, represent
from training.sections import GOALS


@pytest.fixture(scope="module")
def said(bench):
    return predict(bench.network, bench.dataset, represent(bench.network, bench.dataset, bench.texts), "test")


@pytest.mark.parametrize("metric", GOALS)
def test_a_goal_of_one_metric_is_what_the_report_says_of_the_tasks_own_values(bench, said, metric):
    goal = Goal.of({f"click:{metric}": 2.0}, bench.dataset, said, "test")
    clicks = said.values["click"].reshape(-1)
    assert goal.value(clicks) == pytest.approx(measure(bench.dataset, said, "test")["click"][metric])


def test_several_metrics_count_by_their_weights(bench, said):
    scores = said.values["purchase"].reshape(-1).astype(np.float64)
    one, two = (
        Goal.of({written: 1.0}, bench.dataset, said, "test").value(scores)
        for written in ("click:mrr", "query_match:auc")
    )
    both = Goal.of({"click:mrr": 1.0, "query_match:auc": 3.0}, bench.dataset, said, "test")
    assert both.value(scores) == pytest.approx((one + 3.0 * two) / 4.0)


def test_units_are_the_requests_that_count_and_at_most_so_many(bench, said):
    dataset = bench.dataset
    [term] = Goal.of({"click:mrr": 1.0}, dataset, said, "test").terms
    labels, owners = dataset.labels["click"][said.rows], dataset.requests.owners[said.rows]
    whole = ranking.evaluate(labels, labels, groups=owners)
    assert len(term.units(labels)) == whole["impressions"] > 5
    [few] = Goal.of({"click:mrr": 1.0}, dataset, said, "test", most=5).terms
    assert len(few.units(labels)) == 5


def test_a_metric_that_no_unit_defines_stops_the_search_and_is_nan_on_the_test_part(bench, said):
    passed = {"click": np.zeros(len(bench.dataset.rows))}
    dataset = replace(bench.dataset, labels={**bench.dataset.labels, **passed})
    goal = Goal.of({"click:mrr": 1.0}, dataset, said, "test")
    assert np.isnan(goal.value(np.zeros(len(said.rows))))
    with pytest.raises(
        ConfigError, match=r"fusion.goal: click:mrr is undefined on the test part: .* click:auc"
    ):
        goal.check("test")


def test_folds_have_every_request_once_and_the_rest_beside_it(bench, said):
    goal = Goal.of({"click:mrr": 1.0, "query_match:auc": 1.0}, bench.dataset, said, "test")
    for number, term in enumerate(goal.terms):
        folds = [(rest.terms[number], part.terms[number]) for rest, part in goal.folds(3)]
        assert sorted(np.concatenate([part.rows for _, part in folds])) == term.rows.tolist()
        for rest, part in folds:
            assert not set(rest.requests) & set(part.requests)
            assert len(rest.rows) + len(part.rows) == len(term.rows)
