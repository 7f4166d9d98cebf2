from model_store.bundle import Bundle


def test_it_says_what_requests_may_say(client, bundle):
    manifest = Bundle.open(bundle).manifest
    info = client.get("/info").json()
    assert info["model"]["fingerprint"] == manifest.fingerprint
    assert info["model"]["precision"] == manifest.precision
    assert info["model"]["device"] in ("cpu", "cuda")
    assert [task["name"] for task in info["tasks"]] == [task.name for task in manifest.tasks]
    assert [tuple(task["quantiles"]) for task in info["tasks"]] == [task.quantiles for task in manifest.tasks]
    assert {
        task["name"]: task["weight"] for task in info["tasks"] if task["weight"]
    } == manifest.fusion.weights
    assert info["events"] == list(manifest.events[1:])
    assert info["items"] == manifest.items
    assert info["limits"]["candidates"] == 1_000
    assert info["redis"] == "external"


def test_its_weights_and_names_are_accepted_by_recommend(client):
    info = client.get("/info").json()
    weights = {task["name"]: 1.0 for task in info["tasks"] if task["scalar"]}
    filters = {name: ["x"] for name in info["attributes"]}
    body = {"user_id": "u1", "fusion": {"weights": weights}, "filters": filters}
    assert client.post("/recommend", json=body).status_code == 200
