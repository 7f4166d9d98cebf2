import os
import time
from threading import Thread

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from app.series import Registry, declared
from app.tally import Tally


@pytest.fixture
def handles():
    both = [Tally.shared(), Tally.shared()]
    yield both
    for handle in both:
        os.close(handle)


def shown(registry: Registry) -> dict[str, float]:
    """Every sample, by its name and its labels' values."""
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in families
        for sample in family.samples
    }


def test_counters_and_buckets_add_up_whoever_is_asked(handles):
    registries = [Registry(Tally(handle), handles) for handle in handles]
    for number, registry in enumerate(registries, 1):
        registry.counters("answers_total", "Answers.", "code").labels(200).inc(number)
        registry.histogram("size", "Size.", bounds=(1.0, 5.0)).observe(3.0 * number)
    expected = {
        "chorus_answers_total 200": 3.0,
        "chorus_size_bucket 1.0": 0.0,
        "chorus_size_bucket 5.0": 1.0,
        "chorus_size_bucket +Inf": 2.0,
        "chorus_size_count": 2.0,
        "chorus_size_sum": 9.0,
    }
    assert [shown(registry) for registry in registries] == [expected, expected]


def test_a_bound_belongs_to_its_bucket():
    registry = Registry(Tally(), ())
    registry.histogram("size", "Size.", bounds=(1.0, 5.0)).observe(1.0)
    assert shown(registry)["chorus_size_bucket 1.0"] == 1.0


def test_a_series_that_one_process_never_had_is_in_the_answer_of_both(handles):
    first, second = (Registry(Tally(handle), handles) for handle in handles)
    for registry in (first, second):
        family = registry.counters("answers_total", "Answers.", "code")
    family.labels(503).inc()
    assert shown(first) == shown(second) == {"chorus_answers_total 503": 1.0}


@pytest.mark.parametrize(("merge", "expected"), [("sum", 5.0), ("min", 2.0), ("max", 3.0)])
def test_gauges_are_joined_as_each_means_it(handles, merge, expected):
    for handle, value in zip(handles, (2.0, 3.0), strict=True):
        registry = Registry(Tally(handle), handles)
        registry.gauge("level", "Level.", merge).set(value)
    assert shown(registry) == {"chorus_level": expected}


def test_an_age_is_that_of_the_newest_and_zero_where_there_is_none(handles):
    for handle, value in zip(handles, (0.0, time.time() - 60.0), strict=True):
        registry = Registry(Tally(handle), handles)
        gauge = registry.gauge("age", "Age.", "age")
        assert shown(registry) == {"chorus_age": 0.0}
        gauge.set(value)
    assert shown(registry)["chorus_age"] == pytest.approx(60.0, abs=5.0)


def test_a_lag_is_that_of_the_slowest_and_of_nobody_who_tells_none(handles):
    registries = [Registry(Tally(handle), handles) for handle in handles]
    first, second = (registry.gauge("lag", "Lag.", "lag") for registry in registries)
    assert shown(registries[0]) == {"chorus_lag": 0.0}
    first.set(time.time() - 90.0)
    assert shown(registries[1])["chorus_lag"] == pytest.approx(90.0, abs=5.0)
    second.set(time.time() - 5.0)
    assert shown(registries[1])["chorus_lag"] == pytest.approx(90.0, abs=5.0)


def test_a_process_that_takes_over_keeps_the_counts_and_drops_the_levels(handles):
    for _ in range(2):
        registry = Registry(Tally(handles[0]), handles)
        registry.counter("answers_total", "Answers.").inc()
        registry.gauge("open", "Open.", "sum").inc()
    assert shown(registry) == {"chorus_answers_total": 2.0, "chorus_open": 1.0}


def test_threads_lose_no_observation():
    registry = Registry(Tally(), ())
    size = registry.histogram("size", "Size.", bounds=(1.0,))

    def observe():
        for _ in range(50_000):
            size.observe(2.0)

    threads = [Thread(target=observe) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (shown(registry)["chorus_size_count"], shown(registry)["chorus_size_sum"]) == (
        200_000.0,
        400_000.0,
    )


def test_what_a_class_declares_each_object_has_of_its_own_in_that_order():
    class Both:
        last = declared(Registry.counter)("z_total", "The one that stands first.")
        first = declared(Registry.gauges)("a", "The other.", "max", "label")

    one, other = Both(), Both()
    registries = [Registry(Tally(), ()) for _ in range(2)]
    for registry, each in zip(registries, (one, other), strict=True):
        registry.fill(each)
    one.last.inc()
    one.first.labels("x").set(2.0)
    assert (one.last.value, other.last.value) == (1.0, 0.0)
    assert [family.name for family in registries[0].collect()] == ["chorus_z", "chorus_a"]
