import numpy as np
import pytest

from model_store.features import FeatureSet
from training.errors import ConfigError
from training.evaluate import measure
from training.explain import importance
from training.predict import predict, represent


def of(bench, progress, network=None, **options):
    network = network or bench.network
    represented = represent(network, bench.dataset, bench.texts)
    return importance.permute(network, bench.dataset, represented, progress, **options)


@pytest.fixture(scope="module")
def found(stocked, progress):
    return of(stocked, progress)


def columns(bench, *features):
    written = FeatureSet(bench.dataset.features, bench.dataset.clock).columns
    return [place for place, name in enumerate(written) if name.removeprefix("list:") in features]


def test_the_feature_that_decides_everything_comes_first(found):
    first, second, *_ = found.features
    assert first.name == "latest:stock"
    assert found.value > 0.9
    assert first.mean > 0.3
    assert first.mean > 10 * abs(second.mean)
    assert [feature.mean for feature in found.features] == sorted(
        (feature.mean for feature in found.features), reverse=True
    )


def test_a_feature_and_its_list_form_are_one_group_of_all_their_columns(found, stocked):
    assert {feature.name for feature in found.features} == {
        "hour", "history_size", "item_age", "latest:stock", "count:click:7d"
    }  # fmt: skip
    widths = {feature.name: feature.columns for feature in found.features}
    assert widths["latest:stock"] == 2 + 4
    assert found.together.columns == sum(widths.values()) == stocked.dataset.context.shape[1]


def test_what_the_network_ignores_costs_nothing(stocked, blinded, progress):
    network = blinded(stocked, columns(stocked, "hour", "item_age"))
    drops = {feature.name: feature.drops for feature in of(stocked, progress, network).features}
    assert drops["hour"] == drops["item_age"] == (0.0, 0.0, 0.0)
    assert all(drops["latest:stock"])


def test_blind_to_the_context_it_loses_nothing_with_all_of_it(stocked, blinded, progress):
    network = blinded(stocked, list(range(stocked.dataset.context.shape[1])))
    assert of(stocked, progress, network).together.drops == (0.0, 0.0, 0.0)


def test_what_is_the_same_for_all_of_a_list_moves_between_requests_and_the_rest_among_candidates(found):
    among = {feature.name: feature.among for feature in found.features}
    assert among == {
        "hour": "requests", "history_size": "requests", "item_age": "candidates", "latest:stock": "candidates",
        "count:click:7d": "candidates",
    }  # fmt: skip


def test_permuted_columns_hold_the_same_values_elsewhere_and_the_others_stay(stocked):
    part = stocked.dataset
    hour, stock = columns(stocked, "hour"), columns(stocked, "latest:stock")
    groups = {"hour": np.array(hour), "latest:stock": np.array(stock)}
    context = importance.permuted(part, groups, seed=1)
    rest = [place for place in range(context.shape[1]) if place not in hour + stock]
    np.testing.assert_array_equal(context[:, rest], part.context[:, rest])
    assert (context[:, stock] != part.context[:, stock]).any()
    np.testing.assert_array_equal(
        np.unique(context[:, stock], axis=0), np.unique(part.context[:, stock], axis=0)
    )  # columns of a group move together
    starts = part.requests.starts
    np.testing.assert_array_equal(context[:, hour], context[starts[part.requests.owners]][:, hour])
    np.testing.assert_array_equal(
        np.sort(context[starts[:-1], hour[0]]), np.sort(part.context[starts[:-1], hour[0]])
    )


def test_nothing_permuted_the_metric_is_that_of_the_validation_part(found, stocked, bench, progress):
    for each, told in ((stocked, found), (bench, of(bench, progress, seeds=1))):
        represented = represent(each.network, each.dataset, each.texts)
        predictions = predict(each.network, each.dataset, represented, "validation")
        measured = measure(each.dataset, predictions, "validation")
        assert told.metric == "impression_auc"
        assert told.value == pytest.approx(measured["click"]["impression_auc"], abs=1e-6)
        assert told.rows == len(each.dataset.select("validation"))


def test_the_same_seeds_give_the_same_numbers_and_a_limit_takes_fewer_requests(found, stocked, progress):
    assert of(stocked, progress) == found
    few = of(stocked, progress, limit=10, seeds=1)
    assert few.requests == 10
    assert few.rows == 40
    assert all(feature.spread == 0.0 and len(feature.drops) == 1 for feature in few.features)


@pytest.mark.parametrize(
    ("tasks", "metric", "expected"),
    [
        ({"dwell": {"type": "regression", "label": "dwell", "transform": "log1p"}}, "", "log_rmse"),
        ({"dwell": {"type": "regression", "label": "dwell"}}, "dwell:mae", "mae"),
        ({"click": {"type": "binary", "label": "clicked"}}, "click:log_loss", "impression_auc"),
    ],
)
def test_the_metric_is_per_impression_auc_else_what_decided_training_else_the_headline(
    workbench, progress, tasks, metric, expected
):
    bench = workbench(tasks=tasks, training={"metric": metric})
    told = of(bench, progress, seeds=1)
    assert told.metric == expected
    assert told.task == next(iter(tasks))


def test_of_an_error_a_drop_is_how_much_it_grows(workbench, progress):
    bench = workbench(tasks={"dwell": {"type": "regression", "label": "dwell", "transform": "log1p"}})
    told = of(bench, progress, seeds=1)
    represented = represent(bench.network, bench.dataset, bench.texts)
    task = importance.subject(bench.dataset)
    rerun = importance.Rerun(bench.network, importance._sample(bench.dataset, 5_000), represented, task)
    part = importance._sample(bench.dataset, 5_000)
    after = importance._judged(
        part, task, rerun.values(importance.permuted(part, importance._groups(part), 0))
    )
    assert told.together.mean == pytest.approx(after["log_rmse"] - told.value)


def test_without_a_task_that_reads_the_context_there_is_nothing_to_explain(workbench, progress):
    tasks = {"match": {"type": "binary", "inputs": "query_item", "label": "match"}}
    with pytest.raises(ConfigError, match='none has inputs = "pair"'):
        of(workbench(tasks=tasks), progress)


def test_the_record_has_every_number_and_a_caption_that_names_the_metric(found):
    record = found.record()
    assert record["features"][0]["drops"] == found.features[0].drops
    assert record["part"] == "validation"
    assert "per-impression AUC of `click`" in record["caption"]
    assert f"{found.requests} requests" in record["caption"]
