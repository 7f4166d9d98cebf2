from prometheus_client import generate_latest

from app.metrics import Metrics, Stages


def test_every_metric_has_the_prefix_and_two_apps_do_not_share_them():
    first, second = Metrics(), Metrics()
    first.restarts.inc()
    assert b"chorus_redis_restarts_total 1.0" in generate_latest(first.registry)
    assert b"chorus_redis_restarts_total 0.0" in generate_latest(second.registry)
    names = {family.name for family in first.registry.collect()}
    assert all(name.startswith("chorus_") for name in names)


def test_every_metric_is_explained_in_the_docs(pytestconfig):
    page = (pytestconfig.rootpath / "docs" / "operations.md").read_text()
    for family in Metrics().registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert f"`{name}" in page


def test_a_stage_that_comes_twice_adds_up():
    stages = Stages(Metrics())
    with stages("text"):
        pass
    once = stages.seconds["text"]
    with stages("text"):
        pass
    assert stages.seconds["text"] > once
