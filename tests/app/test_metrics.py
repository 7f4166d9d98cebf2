from prometheus_client import generate_latest

from app.metrics import Metrics, Stages


def test_every_metric_has_the_prefix_and_two_apps_do_not_share_them():
    first, second = Metrics(), Metrics()
    first.restarts.inc()
    assert b"chorus_redis_restarts_total 1.0" in generate_latest(first)
    assert b"chorus_redis_restarts_total 0.0" in generate_latest(second)
    names = {family.name for family in first.collect()}
    assert all(name.startswith("chorus_") for name in names)


def test_every_metric_is_explained_in_the_docs(pytestconfig):
    page = (pytestconfig.rootpath / "docs" / "operations.md").read_text()
    for family in Metrics().collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert f"`{name}" in page


def test_an_answer_is_counted_with_its_time():
    metrics = Metrics()
    metrics.answered("/recommend", 200, 0.004)
    text = generate_latest(metrics)
    assert b'chorus_requests_total{code="200",endpoint="/recommend"} 1.0' in text
    assert b'chorus_request_duration_seconds_bucket{endpoint="/recommend",le="0.005"} 1.0' in text


def test_a_stage_is_counted_once_a_request_however_often_it_came():
    metrics = Metrics()
    stages = Stages(metrics)
    stages.add("text", 0.001)
    stages.add("text", 0.003)
    stages.close()
    text = generate_latest(metrics)
    assert b'chorus_stage_duration_seconds_count{stage="text"} 1.0' in text
    assert b'chorus_stage_duration_seconds_sum{stage="text"} 0.004' in text


def test_a_stage_that_comes_twice_adds_up():
    stages = Stages(Metrics())
    with stages("text"):
        pass
    once = stages.seconds["text"]
    with stages("text"):
        pass
    assert stages.seconds["text"] > once


def test_the_stage_under_way_counts_so_far():
    stages = Stages(Metrics())
    stages.add("redis", 0.001)
    with stages("text"):
        assert list(stages.so_far) == ["redis", "text"]
        assert "text" not in stages.seconds
    assert stages.so_far == stages.seconds
