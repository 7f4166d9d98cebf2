"""Every metric of the service. Names: docs/operations.md.

A count costs 0.1 µs, an observation 0.2, a stage 0.5, finding a child by its labels 0.1. Where requests pass often:

    hit = metrics.cache.labels("text", "local", "hit")     once, where the object is made
    hit.inc()                                              each time

    metrics.answered("/recommend", 200, seconds)           once an answer
    with stages("heads"): ...  or  stages.add("heads", seconds), then stages.close() once, at the end
"""

import time
from collections.abc import Iterator, Sequence
from math import inf

from prometheus_client.core import Metric

from app.errors import Expired, Gone
from app.series import Registry, declared
from app.tally import Tally

SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)
FINE = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
KEPT, SHARE = 0.05, 0.2  # of the time to a deadline, seconds and part, for what must be done at the end
UNIT = tuple(step / 20 for step in range(1, 21))

counter, counters = declared(Registry.counter), declared(Registry.counters)
gauge, gauges = declared(Registry.gauge), declared(Registry.gauges)
histogram, histograms = declared(Registry.histogram), declared(Registry.histograms)


class Metrics:
    """The metrics, ready to be counted; label values are bounded by the code.

    handle: of this process's tally, None: nobody shares it; handles: of all tallies that `collect` adds up.
    """

    # requests, and who may ask
    requests = counters("requests_total", "Answers, by endpoint and status.", "endpoint", "code")
    duration = histograms(
        "request_duration_seconds", "From the first byte to the last.", "endpoint", bounds=SECONDS
    )
    in_progress = gauge("requests_in_progress", "Requests being answered now.", "sum")
    connections = gauge("connections", "Open connections.", "sum")
    admitted = counter("admitted_total", "Requests that were not refused for overload at once.")
    expired = counters("expired_total", "Requests whose deadline passed, by the stage reached.", "stage")
    abandoned = counter("abandoned_total", "Requests whose caller hung up before the answer.")
    rejected = counters("rejected_total", "Requests refused before any work.", "reason")
    keys = counters("key_requests_total", "Requests that an API key let in.", "key")
    keys_stale = gauge(
        "keys_stale", "1 while the file of API keys cannot be used and those read before stand.", "max"
    )

    # work, and what waits for it
    stages = histograms("stage_duration_seconds", "Time of one stage of a request.", "stage", bounds=SECONDS)
    queues = histograms(
        "queue_duration_seconds", "Wait in a line before the work began.", "line", bounds=SECONDS
    )
    candidates = histogram("candidates", "Items that the heads scored for a request.", bounds=SIZES)
    candidates_waiting = gauge("candidates_waiting", "Candidates that wait for the heads.", "sum")
    batch = histograms("batch_size", "Entries of one batch call.", "endpoint", bounds=SIZES)
    cache = counters("cache_requests_total", "Lookups of what may be at hand.", "cache", "tier", "result")
    shared = counters("cache_singleflight_shared_total", "Waits for an encode already begun.", "cache")
    encodes = counters("encodes_total", "Runs of the text and the user encoder.", "encoder")
    waiting = gauge("texts_waiting", "Texts that wait to be encoded.", "sum")
    tokens_waiting = gauge("tokens_waiting", "Their tokens, by the length of the texts.", "sum")
    together = histogram("texts_together", "Texts of one run of the encoder.", bounds=SIZES)

    # Redis and processes
    redis = histograms("redis_duration_seconds", "One round trip to Redis.", "op", bounds=SECONDS)
    redis_errors = counters("redis_errors_total", "Round trips that failed, commands refused.", "op")
    breaker = gauge("redis_breaker_open", "1 while requests skip Redis.", "max")
    restarts = counter("redis_restarts_total", "Restarts of the embedded Redis.")
    worker_restarts = counter("worker_restarts_total", "Workers that ended and were replaced.")
    moved = gauge(
        "moved_age_seconds", "Time since the slowest process moved: its event loop, its inferences.", "lag"
    )

    # events and items
    events = counters("events_total", "Events received.", "result")
    counted = counters(
        "statistics_events_total", "Items of counted events: counted, or late for every window.", "result"
    )
    prior = gauge(
        "statistics_prior_age_seconds", "Time since the end of the log behind the bundle's counts.", "age"
    )
    changes = counters(
        "item_changes_total", "Items put and deleted here, by what became of it.", "change", "result"
    )
    items_runtime = gauge("items_runtime", "Items that were put at runtime.", "max")
    items_deleted = gauge("items_deleted", "Items of the bundle that were deleted.", "max")
    items_followed = gauge(
        "items_followed_age_seconds", "Time since the slowest process knew all changes of items.", "lag"
    )
    unknown = counter("history_unknown_items_total", "History events of items not in the catalogue.")

    # versions: what each answers, beside another, and how it came here
    answers = counters("answers_total", "Answers of a version, by its label and the status.", "label", "code")
    answered_in = histograms(
        "answer_duration_seconds", "Time of those, from the first byte to the last.", "label", bounds=SECONDS
    )
    outcomes = counters(
        "outcomes_total",
        "Items that users dealt with, by event and the version that answers them.",
        "event",
        "label",
    )
    scores = histograms("score", "Fused score of the first item of an answer.", "label", bounds=UNIT)
    shadow = counters(
        "shadow_requests_total",
        "Requests that a shadow was to be asked too: compared, failed, dropped.",
        "result",
    )
    shadow_duration = histogram("shadow_duration_seconds", "Time that a shadow took for one.", bounds=SECONDS)
    shadow_overlap = histogram(
        "shadow_overlap", "Share of an answer's items that the shadow has too.", bounds=UNIT
    )
    shadow_difference = histograms(
        "shadow_difference", "Mean distance of both's values of an answer's items, 0 to 1 over a head's range.",
        "task", bounds=FINE,
    )  # fmt: skip
    values = histograms(
        "task_value",
        "What a head answered of a candidate, 0 to 1 over its range.",
        "task",
        "label",
        bounds=UNIT,
    )
    drift = gauges(
        "task_drift",
        "Population stability index of a head's values against training.",
        "max",
        "task",
        "label",
    )
    model = gauges(
        "model_info", "1 for each version that is stable, canary or shadow.", "max",
        "name", "version", "precision", "fingerprint", "label",
    )  # fmt: skip
    loads = counters("model_load_total", "Bundles loaded, refused.", "result")
    refused = counters("model_refused_total", "Bundles refused, by the error that says why.", "error")
    load_seconds = gauge("model_load_duration_seconds", "Seconds from the folder to ready.", "max")
    ready = gauge("ready", "1 while the service is ready.", "min")

    def __init__(self, handle: int | None = None, handles: Sequence[int] = ()) -> None:
        self._registry = Registry(Tally(handle), handles)
        self._registry.fill(self)
        for result in ("ready", "refused"):  # to Prometheus what appears with its first count has not grown
            self.loads.labels(result)

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        """Count an answer and the time that it took."""
        self.requests.labels(endpoint, status).inc()
        self.duration.labels(endpoint).observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """For prometheus_client's `generate_latest`: what all processes have counted."""
        return self._registry.collect()


class Stages:
    """Time spent by one request in each stage, for Server-Timing and, at its end, the histogram.

    until: when its caller stops waiting, on `time.perf_counter`: no stage begins after that; -inf: he is gone.
    since: when the stage under way began; None between two.
    """

    __slots__ = ("_metrics", "seconds", "since", "stage", "until")

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.seconds: dict[str, float] = {}
        self.stage = "read"
        self.since: float | None = None
        self.until = inf

    def __call__(self, stage: str) -> "Span":
        """Measures the block that it is with."""
        return Span(self, stage)

    def add(self, stage: str, seconds: float) -> None:
        """So much more time of a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    @property
    def so_far(self) -> dict[str, float]:
        """Seconds by stage, and those of the one under way."""
        if self.since is None:
            return self.seconds
        under_way = time.perf_counter() - self.since
        return {**self.seconds, self.stage: self.seconds.get(self.stage, 0.0) + under_way}

    def check(self) -> None:
        """Raises Expired or Gone if it is too late for anything more."""
        if time.perf_counter() > self.until:
            raise self.late()

    @property
    def spare(self) -> float | None:
        """Seconds that may go by until what can be left out must be, for the rest to be done in time; None: any."""
        if self.until == inf:
            return None
        left = self.until - time.perf_counter()
        return left - min(KEPT, left * SHARE)

    def late(self) -> Expired | Gone:
        """Why no stage begins any more."""
        if self.until == -inf:
            return Gone("the caller has hung up")
        return Expired(f"the deadline passed in the stage {self.stage}; ask for less, or wait longer")

    def close(self) -> None:
        """Count each stage, once a request."""
        for stage, seconds in self.seconds.items():
            self._metrics.stages.labels(stage).observe(seconds)


class Span:
    """One stay in a stage."""

    __slots__ = ("_stage", "_stages", "_start")

    def __init__(self, stages: Stages, stage: str) -> None:
        self._stages = stages
        self._stage = stage

    def __enter__(self) -> None:
        start = self._start = time.perf_counter()
        self._stages.stage = self._stage
        if start > self._stages.until:
            raise self._stages.late()
        self._stages.since = start

    def __exit__(self, *_: object) -> None:
        self._stages.since = None
        self._stages.add(self._stage, time.perf_counter() - self._start)
