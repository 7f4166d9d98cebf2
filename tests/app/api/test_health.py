import pytest


@pytest.mark.parametrize(
    ("path", "alias"), [("/health/live", "/livez"), ("/health/ready", "/readyz"), ("/health", "/healthz")]
)
def test_an_alias_says_the_same(client, path, alias):
    assert client.get(path).json() == client.get(alias).json()


def test_the_summary_names_the_model_and_redis(client):
    summary = client.get("/health").json()
    model = client.get("/info").json()["model"]
    assert summary == {
        "status": "ok",
        "model": {"name": model["name"], "version": model["version"]},
        "refused": None,
        "redis": "external",
        "degraded": [],
    }


def test_metrics_are_in_prometheus_format(client):
    answer = client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "chorus_ready 1.0" in answer.text
    assert (
        'chorus_request_duration_seconds_bucket{endpoint="/metrics",le="0.0005"}'
        in client.get("/metrics").text
    )
