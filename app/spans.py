"""Requests told to OpenTelemetry: a span a request, one below it for each stage, once the answer has left.

Asked for by CHORUS_TRACES where `chorus[otel]` is installed; OTEL_* say where to and how many, as its SDK reads them.
A caller's `traceparent` (W3C Trace Context) makes the request part of his trace, and decides whether it is kept.
"""

import time
from collections.abc import Iterable
from threading import Thread

from opentelemetry import trace as otel
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app.metrics import Metrics, Stages

NAME = "chorus"
LAST_SECONDS = 2.0  # for the last spans, at the end
QUIET = ("/health", "/metrics")  # asked every few seconds, by machines


class Kept(Stages):
    """Stages that remember each stay: its stage, when it began and when it ended, on `time.perf_counter`."""

    __slots__ = ("stays",)

    def __init__(self, metrics: Metrics) -> None:
        super().__init__(metrics)
        self.stays: list[tuple[str, float, float]] = []

    def add(self, stage: str, seconds: float) -> None:
        """So much more time of a stage, which ends now."""
        super().add(stage, seconds)
        now = time.perf_counter()
        self.stays.append((stage, now - seconds, now))


class Spans:
    """Those of one process, sent from a thread of its own, some at a time."""

    def __init__(self) -> None:
        told = OTELResourceDetector().detect().attributes
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": NAME, **told}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(NAME)
        self._callers = TraceContextTextMapPropagator()
        self._epoch = time.time() - time.perf_counter()

    def stages(self, path: str, metrics: Metrics) -> Stages:
        """Those of a request to a path, to be told of at its end."""
        return Stages(metrics) if path.startswith(QUIET) else Kept(metrics)

    def tell(
        self,
        name: str,
        stages: Stages,
        *,
        start: float,
        headers: Iterable[tuple[bytes, bytes]],
        told: dict[str, str | int],
    ) -> None:
        """A request that began at `start`, on `time.perf_counter`, and ends now; nothing if its stages were not kept.

        headers: the caller's; told: attributes, by OpenTelemetry's names for HTTP.
        """
        if not isinstance(stages, Kept):
            return
        carrier = {key.decode("latin-1"): value.decode("latin-1") for key, value in headers}
        span = self._tracer.start_span(
            name,
            context=self._callers.extract(carrier),
            kind=otel.SpanKind.SERVER,
            attributes=told,
            start_time=self._nanoseconds(start),
        )
        if span.is_recording():
            if int(told["http.response.status_code"]) >= 500:
                span.set_status(otel.StatusCode.ERROR)
            inside = otel.set_span_in_context(span)
            for stage, begin, end in stages.stays:
                below = self._tracer.start_span(stage, context=inside, start_time=self._nanoseconds(begin))
                below.end(self._nanoseconds(end))
        span.end()

    def close(self) -> None:
        """Send what waits; a collector that is not there is not waited for."""
        end = Thread(target=self._provider.shutdown, daemon=True)
        end.start()
        end.join(LAST_SECONDS)

    def _nanoseconds(self, moment: float) -> int:
        return int((self._epoch + moment) * 1e9)
