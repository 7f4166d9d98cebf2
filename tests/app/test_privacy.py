"""What users send stays out of what the service writes down: a scan of all that a real process has logged."""

import signal

import httpx
import pytest

from app import keyring
from tests.live import process

SECRETS = ("alice@example.org", "a very private question", "Zebrafish-Novel", "10.9.8.7")


@pytest.mark.parametrize("form", ["text", "json"])
def test_nothing_of_users_or_keys_is_in_logs_and_metrics(shelf, redis_server, tmp_path, form):
    user, query, title, address = SECRETS
    secret, path = keyring.make(), tmp_path / "keys"
    sha256 = keyring.digest(secret.encode())
    keyring.add(path, keyring.key(name="one", scopes=("admin",), sha256=sha256))
    with redis_server.client() as redis:
        redis.set(f"chorus:{{u:{user}}}:history", "of the wrong type")
    named = {"CHORUS_API_KEYS_FILE": str(path), "CHORUS_LOG_FORMAT": form}
    with process(shelf, redis_server, **named) as (running, url, _):
        headers = {"Authorization": f"Bearer {secret}", "X-Forwarded-For": address}
        with httpx.Client(base_url=url, headers=headers) as client:
            cold = {"item_id": "new", "text": {"title": title}}
            events = [{"user_id": user, "item_id": "i1", "event": "click"}]
            statuses = [
                client.post("/recommend", json={"user_id": user, "query": query, "candidates": [cold]}),
                client.post("/recommend", json={"user_id": user, "query": query, "nothing": title}),
                client.post("/score", json={"pairs": [{"user_id": user, **cold}], "texts": [query]}),
                client.post("/events", json={"events": events}),
                client.put("/items", json={"items": [{"item_id": user, "text": {"title": 5}}]}),
                client.get(f"/items/{user}"),
                client.get(f"/{user}", params={"q": query}),
                httpx.post(f"{url}/score", headers={"X-API-Key": secret[:-1]}, json={"texts": [query]}),
            ]
            assert {answer.status_code for answer in statuses} <= {200, 401, 404, 422, 503}
            metrics = client.get("/metrics").text
        running.send_signal(signal.SIGTERM)
        out, err = running.communicate(timeout=20)
    assert "ready: " in err
    for each in (*SECRETS, secret, sha256):
        assert each not in out + err + metrics
