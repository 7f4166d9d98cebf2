"""Keys at the real service, over real HTTP: every route that the app has, with every kind of key."""

import json
import re
import resource
import time
from contextlib import ExitStack

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from app import keyring
from app.gate import NEEDS, need
from app.main import create_app
from app.settings import Settings
from tests.live import eventually, process, refused, shown

# What each route needs, once more: a route that is new must be thought about here.
NEEDED = {
    "/recommend": "recommend", "/recommend/batch": "recommend", "/score": "recommend",
    "/events": "events",
    "/items": "items", "/items/delete": "items", "/items/{item_id:path}": "items",
    "/admin/versions": "admin", "/admin/rollback": "admin", "/admin/promote": "admin", "/admin/drop": "admin",
    "/info": "any", "/metrics": "metrics",
    "/health": None, "/health/live": None, "/health/ready": None,
    "/livez": None, "/readyz": None, "/healthz": None,
    "/docs": None, "/docs/oauth2-redirect": None, "/redoc": None, "/openapi.json": None,
}  # fmt: skip
HEADERS = {"bearer": lambda key: {"Authorization": f"Bearer {key}"}, "plain": lambda key: {"X-API-Key": key}}


def routes():
    """Method and path of all that the app answers, aliases too."""
    found = iter_route_contexts(create_app(Settings.load({})).routes)
    return sorted({(method, route.path) for route in found for method in route.methods})


@pytest.fixture(scope="module")
def keys():
    """A key for each thing that a key can be."""
    names = [*keyring.SCOPES, "expired", "revoked", "wrong", *(f"no-{scope}" for scope in keyring.SCOPES)]
    return {name: keyring.make() for name in names}


def write(path, keys):
    """The file of those that are in force, and one that was."""
    for scope in keyring.SCOPES:
        others = tuple(each for each in keyring.SCOPES if each not in (scope, "admin"))
        for name, scopes in ((scope, (scope,)), (f"no-{scope}", others)):
            keyring.add(path, described(name, keys[name], scopes))
    keyring.add(path, described("expired", keys["expired"], keyring.SCOPES, expires="2020-01-01T00:00:00Z"))
    keyring.add(path, described("revoked", keys["revoked"], keyring.SCOPES))


def described(name, secret, scopes, **more):
    return keyring.key(name=name, scopes=scopes, sha256=keyring.digest(secret.encode()), **more)


@pytest.fixture(scope="module")
def served(shelf, redis_server, keys, tmp_path_factory):
    """Address and file of keys of a service that has seen one of them revoked."""
    path = tmp_path_factory.mktemp("gate") / "keys"
    write(path, keys)
    with process(shelf, redis_server, CHORUS_API_KEYS_FILE=str(path)) as (_, address, _):
        answer = ask(address, "GET", "/info", keys["revoked"])
        assert answer.status_code == 200
        keyring.revoke(path, "revoked")
        eventually(lambda: ask(address, "GET", "/info", keys["revoked"]).status_code == 401)
        yield address, path


def ask(address, method, path, key=None, form="bearer", **more):
    headers = {} if key is None else HEADERS[form](key)
    url = address + path.replace("{item_id:path}", "no/such item")
    return httpx.request(
        method, url, headers=headers, content=b"{" if method in ("POST", "PUT") else None, **more
    )


def test_every_route_is_in_the_table():
    assert {path.removeprefix("/v1") for _, path in routes()} == set(NEEDED)
    assert {path for path, needed in NEEDED.items() if need(path) != (needed or "none")} == set()
    assert {name for name in NEEDS if not [path for path in NEEDED if path.split("/")[1] == name]} == set()


@pytest.mark.parametrize("form", HEADERS)
def test_every_route_is_as_open_as_it_says_to_every_kind_of_key(served, keys, form):
    address, _ = served
    for method, path in routes():
        needed = NEEDED[path.removeprefix("/v1")]
        for name, key in [("none", None), *keys.items()]:
            status = ask(address, method, path, key, form).status_code
            may = keyring.SCOPES if name == "admin" else (name,)
            if name.startswith("no-"):
                may = [scope for scope in keyring.SCOPES if scope not in (name.removeprefix("no-"), "admin")]
            if needed is None:
                expected = status not in (401, 403)
            elif name in ("none", "wrong", "revoked", "expired"):
                expected = status == 401
            else:
                expected = status != 401 and (status == 403) == (needed != "any" and needed not in may)
            assert expected, (method, path, name, status)


def test_a_path_that_nobody_opened_needs_admin(served, keys):
    address, _ = served
    for path in (
        "/",
        "/nothing",
        "/v1",
        "/v1/",
        "//recommend",
        "/recommendations",
        "/admin/load",
        "/v1/health",
    ):
        assert ask(address, "GET", path).status_code in ((404,) if path == "/v1/health" else (401,)), path
        assert ask(address, "GET", path, keys["recommend"]).status_code in (403, 404)
    assert ask(address, "GET", "/nothing", keys["admin"]).status_code == 404


def test_a_refusal_is_an_error_like_any_other_and_says_how_to_ask(served, keys):
    address, _ = served
    without = ask(address, "POST", "/recommend")
    assert without.json()["error_type"] == "unauthorized"
    assert without.json()["request_id"] == without.headers["X-Request-Id"]
    assert without.headers["WWW-Authenticate"] == 'Bearer realm="chorus"'
    wrong = ask(address, "POST", "/recommend", keys["wrong"])
    assert wrong.headers["WWW-Authenticate"] == 'Bearer realm="chorus", error="invalid_token"'
    under = ask(address, "PUT", "/items", keys["events"])
    assert under.json()["error"] == "the key events has no scope items; use one that has"
    assert under.headers["WWW-Authenticate"].endswith('error="insufficient_scope", scope="items"')


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer \t."},
        {"Authorization": "Basic Ym9iOnB3"},
        {"X-API-Key": ""},
        {"X-API-Key": "\u00e9".encode("latin-1")},
        {"X-API-Key": "x" * 10_000},
    ],
    ids=str,
)
def test_what_is_no_key_is_refused(served, headers):
    address, _ = served
    assert httpx.get(f"{address}/info", headers=headers).status_code == 401


def test_the_hash_of_a_key_is_no_key(served, keys):
    address, _ = served
    assert ask(address, "GET", "/info", keyring.digest(keys["admin"].encode())).status_code == 401


def test_the_right_key_is_answered_and_counted_by_its_name(served, keys):
    address, _ = served
    admin = HEADERS["bearer"](keys["admin"])
    with httpx.Client(headers=admin) as client:
        line = 'chorus_key_requests_total{key="recommend"}'
        before = shown(client, address, line)
        body = {"user_id": "u1", "k": 1}
        for path in ("/recommend", "/v1/recommend"):
            key = {"Authorization": f"bearer {keys['recommend']}"}
            assert len(httpx.post(address + path, json=body, headers=key).json()["items"]) == 1
        assert shown(client, address, line) == before + 2
        refusals = 'chorus_rejected_total{reason="unauthorized"}'
        before = shown(client, address, refusals)
        httpx.post(f"{address}/recommend", json=body)
        assert shown(client, address, refusals) == before + 1


def test_a_key_that_comes_too_often_is_told_when_it_may_again(served, keys):
    address, path = served
    secret = keyring.make()
    keyring.add(path, described("slow", secret, ("recommend",), rate=0.01, burst=2.0))
    eventually(lambda: ask(address, "GET", "/items/x", secret).status_code == 403)
    answers = [ask(address, "POST", "/score", secret) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [422, 422, 429]
    assert answers[2].json()["error_type"] == "rate_limited"
    assert 90 <= int(answers[2].headers["Retry-After"]) <= 100
    keyring.add(
        path, described("other", keyring.make(), ("recommend",))
    )  # read again: what it used stays used
    eventually(lambda: 'key="other"' in ask(address, "GET", "/metrics", keys["metrics"]).text)
    assert ask(address, "POST", "/score", secret).status_code == 429


@pytest.fixture
def metered(served):
    """Posts with a new key that has so many candidates and gets hardly any more of them."""
    (address, path), clients = served, ExitStack()

    def key(candidates):
        secret = keyring.make()
        name = f"metered-{candidates}"
        limits = {"candidates": 0.001, "candidates_burst": candidates}
        keyring.add(path, described(name, secret, ("recommend",), **limits))
        headers = HEADERS["bearer"](secret)
        eventually(lambda: httpx.get(f"{address}/info", headers=headers).status_code == 200)
        return clients.enter_context(httpx.Client(base_url=address, headers=headers)).post

    with clients:
        yield key
    for each in keyring.read(path):
        if each.name.startswith("metered"):
            keyring.revoke(path, each.name)


def wish(candidates):
    return {"user_id": "u1", "candidates": [f"i{number}" for number in range(candidates)]}


def test_a_key_spends_the_candidates_that_it_asks_for_whatever_the_endpoint(metered):
    post = metered(100)
    assert post("/recommend", json=wish(60)).status_code == 200
    pairs = {"pairs": [{"user_id": "u1", "item_id": "i1"}] * 45, "texts": ["a coat"] * 5}
    refused = post("/score", json=pairs)
    assert (refused.status_code, refused.json()["error_type"]) == (429, "rate_limited")
    assert 9_000 <= int(refused.headers["Retry-After"]) <= 10_000
    told = "the key metered-100 asked for more than 0.001 candidates a second; come again in"
    assert refused.json()["error"] == f"{told} {refused.headers['Retry-After']} s, or with fewer"
    batch = {"requests": [wish(20), wish(21)]}  # all of it or nothing
    assert post("/recommend/batch", json=batch).status_code == 429
    assert post("/recommend/batch", json={"requests": [wish(20), wish(20), {"k": 0}]}).status_code == 200
    assert post("/recommend", json=wish(1)).status_code == 429


def test_a_request_that_can_never_fit_is_told_so_and_spends_nothing(metered):
    post = metered(30)
    for path, body in (
        ("/recommend", wish(31)),
        ("/recommend", {"user_id": "u1"}),  # retrieves hundreds
        ("/recommend/batch", {"requests": [wish(15), wish(16)]}),
        ("/score", {"pairs": [{"user_id": "u1", "item_id": "i1"}] * 31}),
    ):
        answer = post(path, json=body)
        assert (answer.status_code, answer.json()["error_type"]) == (413, "too_large"), answer.text
        assert (
            "the key metered-30 may have 30 scored at once, so it never can; send fewer"
            in answer.json()["error"]
        )
        assert "Retry-After" not in answer.headers
    assert post("/recommend", json=wish(30)).status_code == 200


def test_lines_of_a_stream_spend_one_by_one_and_those_that_find_none_left_fail_alone(metered):
    post = metered(25)
    lines = b"\n".join(json.dumps(wish(size)).encode() for size in (10, 30, 10, 10, 5))
    answer = post("/recommend/batch", content=lines, headers={"Content-Type": "application/x-ndjson"})
    told = [json.loads(line) for line in answer.text.splitlines()]
    assert [each["status"] for each in told] == [200, 413, 200, 429, 200]


def test_a_file_that_cannot_be_used_leaves_the_keys_that_were_read(served, keys):
    address, path = served
    before = path.read_text()
    with httpx.Client(headers=HEADERS["plain"](keys["metrics"])) as client:
        path.write_text("this is no key\n")
        eventually(lambda: shown(client, address, "chorus_keys_stale") == 1.0)
        assert ask(address, "GET", "/info", keys["events"]).status_code == 200
        path.unlink()
        path.write_text(before)
        eventually(lambda: shown(client, address, "chorus_keys_stale") == 0.0)


def test_a_file_that_could_not_be_read_for_a_moment_is_read_again(shelf, redis_server, tmp_path):
    path = tmp_path / "keys"
    keyring.add(path, described("first", keyring.make(), ("metrics",)))
    with process(shelf, redis_server, CHORUS_API_KEYS_FILE=str(path)) as (running, address, _):
        second = keyring.make()
        limit = resource.prlimit(running.pid, resource.RLIMIT_NOFILE)
        with httpx.Client(headers=HEADERS["plain"](second)) as client:
            client.get(f"{address}/health/live")
            resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (3, limit[1]))  # nothing more can be opened
            keyring.add(path, described("second", second, ("metrics",)))
            time.sleep(2.0)
            assert client.get(f"{address}/metrics").status_code == 401
            resource.prlimit(running.pid, resource.RLIMIT_NOFILE, limit)
            eventually(lambda: client.get(f"{address}/metrics").status_code == 200)
            assert shown(client, address, "chorus_keys_stale") == 0.0
        running.terminate()
        _, err = running.communicate(timeout=20)
    assert err.count("Too many open files; the keys read before stand") == 1


def test_a_file_that_cannot_be_used_ends_the_start(shelf, tmp_path):
    code, [line] = refused(CHORUS_STORE=str(shelf), CHORUS_API_KEYS_FILE=str(tmp_path / "nothing"))
    assert (code, "nothing: No such file" in line) == (2, True)


def test_without_a_file_all_is_open_but_admin(client):
    assert client.get("/info").status_code == 200
    answer = client.post("/admin/load")
    assert (answer.status_code, answer.json()["error_type"]) == (403, "forbidden")
    assert "CHORUS_API_KEYS_FILE" in answer.json()["error"]


def test_names_of_metrics_and_scopes_are_bounded_by_the_file(served, keys):
    address, _ = served
    ask(address, "GET", "/info", keys["wrong"])
    text = ask(address, "GET", "/metrics", keys["metrics"]).text
    named = set(re.findall(r'chorus_key_requests_total\{key="([^"]*)"\}', text))
    assert {name for name in named if not name.startswith("metered")} <= {*keys, "slow", "other"}
    assert not [key for key in keys.values() if key in text]


def test_every_worker_asks_for_keys_and_follows_their_file(shelf, redis_server, tmp_path):
    path, secret = tmp_path / "keys", keyring.make()
    keyring.add(path, described("one", secret, ("recommend",)))
    with (
        process(shelf, redis_server, "--workers", "2", CHORUS_API_KEYS_FILE=str(path)) as (_, address, _),
        httpx.Client() as first,
        httpx.Client() as second,  # they stay, so each has a worker of its own
    ):

        def statuses(key):
            headers = HEADERS["plain"](key)
            return [each.get(f"{address}/info", headers=headers).status_code for each in (first, second)]

        assert statuses(secret) == [200, 200]
        assert statuses(secret[:-1]) == [401, 401]
        keyring.revoke(path, "one")
        eventually(lambda: statuses(secret) == [401, 401])
