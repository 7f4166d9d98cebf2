import pytest

from app.settings import Settings
from tests.live import real_redis, running


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


def test_a_redis_that_does_not_let_us_read_is_told_until_it_does(shelf):
    with real_redis() as server, server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "few", "on", ">pw", "~others:*", "+@all")
        url = server.url.replace("unix://", "unix://few:pw@")
        with running(Settings(store=shelf, redis_url=url, redis_timeout_ms=2_000)) as client:

            def told(user):
                answer, summary = client.post("/recommend", json={"user_id": user}), client.get("/health")
                assert (answer.status_code, answer.json()["degraded"]) == (200, summary.json()["degraded"])
                return summary.json()["status"], summary.json()["redis"], summary.json()["degraded"]

            assert told("denied:1") == ("degraded", "denied", ["cache", "statistics"])
            assert client.get("/health/ready").status_code == 200
            admin.execute_command("ACL", "SETUSER", "few", "~*")
            assert told("denied:2") == ("ok", "external", [])


def test_metrics_are_in_prometheus_format(client):
    answer = client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "chorus_ready 1.0" in answer.text
    assert (
        'chorus_request_duration_seconds_bucket{endpoint="/metrics",le="0.0005"}'
        in client.get("/metrics").text
    )
