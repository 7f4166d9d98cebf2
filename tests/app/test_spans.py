from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from threading import enumerate as enumerate_threads

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from app.errors import SettingsError
from app.settings import Settings
from tests.live import running

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Collector(HTTPServer):
    """What OTLP is sent to: keeps the resources and spans of every export."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Export)
        self.services: set[str] = set()
        self.spans = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Export(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        for resource in body.resource_spans:
            names = [
                each.value.string_value for each in resource.resource.attributes if each.key == "service.name"
            ]
            self.server.services |= set(names)
            for scope in resource.scope_spans:
                self.server.spans += scope.spans
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def collector(monkeypatch):
    with Collector() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
        yield server
        server.shutdown()
        thread.join()


def attributes(span):
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


def sent(collector, settings, *calls):
    """The spans of some calls, whose service has ended."""
    with running(settings.model_copy(update={"traces": True})) as client:
        answers = [client.request(*call[:2], **call[2]) for call in calls]
    return answers, collector.spans


def test_a_request_is_a_span_and_its_stages_are_below_it(collector, settings):
    [answer], spans = sent(
        collector, settings, ("POST", "/recommend", {"json": {"user_id": "u1", "query": "red"}})
    )
    [above] = [span for span in spans if not span.parent_span_id]
    assert above.name == "POST /recommend"
    found = attributes(above)
    assert found["http.response.status_code"] == 200
    assert found["chorus.request_id"] == answer.json()["request_id"]
    assert found["chorus.version"] == answer.headers["X-Model-Version"]
    below = [span for span in spans if span.parent_span_id == above.span_id]
    assert {"redis", "heads", "text"} <= {span.name for span in below}
    assert len(below) == len(spans) - 1
    for span in below:
        assert above.start_time_unix_nano <= span.start_time_unix_nano
        assert span.start_time_unix_nano <= span.end_time_unix_nano <= above.end_time_unix_nano
    assert collector.services == {"chorus"}


def test_the_callers_trace_goes_on_and_one_that_he_does_not_keep_is_not_sent(collector, settings):
    dropped = CALLER[:-2] + "00"
    calls = [("GET", "/info", {"headers": {"traceparent": given}}) for given in (CALLER, dropped)]
    _, spans = sent(collector, settings, *calls)
    [span] = spans
    assert span.trace_id.hex() == CALLER.split("-")[1]
    assert span.parent_span_id.hex() == CALLER.split("-")[2]


def test_probes_are_not_told_and_what_failed_says_so(collector, settings):
    calls = [("GET", "/health/live", {}), ("GET", "/metrics", {}), ("POST", "/recommend", {"json": {"k": 0}})]
    _, spans = sent(collector, settings, *calls)
    [span] = [span for span in spans if not span.parent_span_id]
    assert attributes(span)["http.response.status_code"] == 422


def test_nothing_is_told_unless_asked_for(collector, settings):
    with running(settings) as client:
        client.get("/info")
    assert collector.spans == []


def test_traces_without_the_extra_are_refused_with_the_fix(monkeypatch):
    monkeypatch.setattr("app.settings.find_spec", lambda _: None)
    with pytest.raises(
        SettingsError, match=r"CHORUS_TRACES=True: needs OpenTelemetry: pip install 'chorus\[otel\]'"
    ):
        Settings.load({}, traces=True)


def test_without_a_collector_requests_are_answered(settings, monkeypatch):
    with Collector() as closed:
        url = closed.url
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")  # else it tries on, beside the tests that follow
    before = set(enumerate_threads())
    with running(settings.model_copy(update={"traces": True})) as client:
        assert client.post("/recommend", json={"user_id": "u1"}).status_code == 200
    for thread in set(enumerate_threads()) - before:
        thread.join(10.0)
        assert not thread.is_alive(), thread
