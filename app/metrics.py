"""Every metric of the service, in one registry an app. Names: docs/operations.md."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)
UNIT = tuple(step / 20 for step in range(1, 21))


class Metrics:
    """The metrics, ready to be counted; label values are bounded by the code."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series beside each, which nobody reads
        registry = self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"chorus_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"chorus_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, *labels: str, buckets: tuple[float, ...] = SECONDS) -> Histogram:
            return Histogram(f"chorus_{name}", text, labels, registry=registry, buckets=buckets)

        self.requests = counter("requests_total", "Answers, by endpoint and status.", "endpoint", "code")
        self.duration = histogram("request_duration_seconds", "From the first byte to the last.", "endpoint")
        self.in_progress = gauge("requests_in_progress", "Requests being answered now.")
        self.rejected = counter("rejected_total", "Requests refused before any work.", "reason")
        self.stages = histogram("stage_duration_seconds", "Time of one stage of a request.", "stage")
        self.candidates = histogram("candidates", "Items that the heads scored for a request.", buckets=SIZES)
        self.batch = histogram("batch_size", "Entries of one batch call.", "endpoint", buckets=SIZES)
        self.cache = counter("cache_requests_total", "Lookups of vectors.", "cache", "tier", "result")
        self.shared = counter(
            "cache_singleflight_shared_total", "Waits for an encode already begun.", "cache"
        )
        self.encodes = counter("encodes_total", "Runs of the text and the user encoder.", "encoder")
        self.redis = histogram("redis_duration_seconds", "One round trip to Redis.", "op")
        self.redis_errors = counter("redis_errors_total", "Round trips that failed, commands refused.", "op")
        self.breaker = gauge("redis_breaker_open", "1 while requests skip Redis.")
        self.restarts = counter("redis_restarts_total", "Restarts of the embedded Redis.")
        self.events = counter("events_total", "Events received.", "result")
        self.counted = counter(
            "statistics_events_total", "Items of counted events: counted, or late for every window.", "result"
        )
        self.prior_age = gauge(
            "statistics_prior_age_seconds", "Time since the end of the log behind the bundle's counts."
        )
        self.unknown = counter("history_unknown_items_total", "History events of items not in the catalogue.")
        self.scores = histogram("score", "Fused score of the first item of an answer.", buckets=UNIT)
        self.model = gauge(
            "model_info", "1 for the served model.", "name", "version", "precision", "fingerprint"
        )
        self.loads = counter("model_load_total", "Bundles loaded, refused.", "result")
        self.load_seconds = gauge("model_load_duration_seconds", "Seconds from the folder to ready.")
        self.ready = gauge("ready", "1 while the service is ready.")


class Stages:
    """Time spent by one request in each stage, for Server-Timing and the histogram."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[stage] = self.seconds.get(stage, 0.0) + spent
            self._metrics.stages.labels(stage).observe(spent)
