"""Who may do what, whether time tells of keys, and whether anything personal is written down."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import numpy as np
from scipy.stats import mannwhitneyu

from app import keyring
from app.gate import need
from benchmarks.chaos import markers
from benchmarks.chaos.drill import Ground
from benchmarks.chaos.locked import Locked, locked
from benchmarks.speed.link import Link, links
from benchmarks.speed.targets import Target

LINE, SECONDS = 7, 150.0
PAGES = ("/docs", "/redoc", "/openapi.json", "/livez", "/readyz", "/healthz", "/nothing")
BODY = b"{"  # no key is worth an answer of 200 to it
PAIRS = 6_000  # requests of each kind whose times are compared
SHARED = 40  # characters that a wrong key has in common with the right one
WITHIN = 5.0  # microseconds that medians may differ by
TRAFFIC = 20.0  # seconds

TOLD = (
    "Every route and method of the OpenAPI, in both spellings, the pages and a path that is not there, each asked "
    "without a key, with a wrong, a revoked, an expired one, one of each scope alone, one of all others and one of "
    "all: 401, 403 or neither, as the gate's table says. Time: wrong keys of one length that share 40 letters with "
    "a right one, and wrong keys that share none, in random order over one connection, 6,000 of each; the medians' "
    "difference with its bootstrapped interval of 95 %, and Mann and Whitney's p. Scan: 20 s of traffic in which "
    "every user, query, text, event, header, path and key is marked, bodies that are wrong in many ways, and Redis "
    "full, read-only, of wrong types, forbidden and silent meanwhile; then all that the process wrote and all of "
    "/metrics is searched for the marks. These requests stand for an hour's: what is logged depends on the kind of a "
    "request and on the state of Redis, not on how often it comes."
)


def measure(ground: Ground) -> dict[str, Any]:
    """The table, the times, and the scan."""
    with ground.rig() as ready, locked(ready, "keys", redis_timeout_ms=50, log_format="json") as service:
        found = {"table": _table(service), "time": _times(service)}
        found["scan"] = markers.scan(service, ready, TRAFFIC)
        return found


def bounds(found: Mapping[str, Any]) -> list[Target]:
    """What line 7 asks for."""
    table, times, scan = found["table"], found["time"], found["scan"]
    return [
        Target("answers that let the wrong in, or keep the right out", table["wrong"], 0, below=True),
        Target("routes and methods asked", table["routes"], 30),
        Target("wrong keys near a right one: median later by µs, interval's far end",
               max(map(abs, times["difference's interval, µs"])), WITHIN, below=True),
        Target("the same: p of Mann and Whitney", times["p"], 0.01),
        Target("marks found in logs and metrics", scan["found"], 0, below=True),
        Target("requests that were marked", scan["requests"], 1_000),
    ]  # fmt: skip


def _routes(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Method and path of everything that is said to be there, and some of what is not."""
    paths = {path: tuple(methods) for path, methods in document["paths"].items()} | dict.fromkeys(
        PAGES, ("get",)
    )
    for path, methods in paths.items():
        for method in methods:
            yield method, path.replace("{item_id}", "no such")
            if need(path) in ("recommend", "events", "items"):
                yield method, "/v1" + path.replace("{item_id}", "no such")


def _table(service: Locked) -> dict[str, Any]:
    """Every route with every kind of key."""
    holders: dict[str, tuple[str | None, tuple[str, ...]]] = {
        "no key": (None, ()),
        "wrong": (keyring.make(), ()),
        "a hash for a key": (keyring.digest(service.key.encode()), ()),
        "expired": (service.add("expired", *keyring.SCOPES, expires="2020-01-01T00:00:00Z"), ()),
        "revoked": (service.add("revoked", *keyring.SCOPES), ()),
        "admin": (service.add("admin", "admin"), (*keyring.SCOPES, "any")),
    }
    for scope in keyring.SCOPES:
        others = tuple(each for each in keyring.SCOPES if each not in (scope, "admin"))
        holders[f"all but {scope}"] = (service.add(f"no-{scope}", *others), (*others, "any"))
        if scope != "admin":
            holders[f"{scope} alone"] = (service.add(scope, scope), (scope, "any"))
    with httpx.Client(base_url=service.address) as client:
        _until(lambda: _status(client, "get", "/info", holders["revoked"][0]) == 200)
        keyring.revoke(service.file, "revoked")
        _until(lambda: _status(client, "get", "/info", holders["revoked"][0]) == 401)
        routes = list(_routes(client.get("/openapi.json").json()))
        told = {}
        for name, (key, scopes) in holders.items():
            statuses = [(path, _status(client, method, path, key)) for method, path in routes]
            wrong = [path for path, status in statuses if not _right(need(path), key, scopes, status)]
            told[name] = {
                "401": sum(status == 401 for _, status in statuses),
                "403": sum(status == 403 for _, status in statuses),
                "let in": sum(status not in (401, 403) for _, status in statuses),
                "wrong": "; ".join(wrong),
            }
    return {
        "routes": len(routes),
        "asked": len(routes) * len(holders),
        "wrong": sum(bool(row["wrong"]) for row in told.values()),
        "holders": told,
    }


def _right(needed: str, key: str | None, scopes: tuple[str, ...], status: int) -> bool:
    if needed == "none":
        return status not in (401, 403)
    if key is None or not scopes:
        return status == 401
    return (status == 403) if needed not in scopes else status not in (401, 403)


def _status(client: httpx.Client, method: str, path: str, key: str | None) -> int:
    headers = {"X-API-Key": key} if key else {}
    content = BODY if method in ("post", "put") else None
    return client.request(method, path, headers=headers, content=content).status_code


def _until(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10.0
    while not check():
        if time.monotonic() > deadline:
            raise SystemExit("a change of the keys was not followed within 10 s")
        time.sleep(0.05)


def _times(service: Locked) -> dict[str, Any]:
    """Whether a wrong key that begins as a right one takes longer."""
    generator = np.random.default_rng(7)
    [link] = links(service.address, 1)
    waits: dict[str, list[float]] = {"near": [], "far": []}
    for name in generator.permutation(["near", "far"] * (PAIRS + 500)):
        other = keyring.make().removeprefix("chorus_")
        near = service.key[:SHARED] + other[: len(service.key) - SHARED]
        waits[name].append(_wait(link, near if name == "near" else other[:7] + other[: len(service.key) - 7]))
    near, far = (np.array(waits[name][500:]) for name in ("near", "far"))
    size = (400, len(near))
    spread = [
        np.median(generator.choice(near, size), axis=1) - np.median(generator.choice(far, size), axis=1)
    ]
    return {
        "requests": len(near) + len(far),
        "median, µs": float(np.median(far)),
        "difference of medians, µs": float(np.median(near) - np.median(far)),
        "difference's interval, µs": np.percentile(spread, [2.5, 97.5]).tolist(),
        "p": float(mannwhitneyu(near, far).pvalue),
    }


def _wait(link: Link, key: str) -> float:
    """Microseconds that a refusal takes."""
    asked = f"GET /info HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n\r\n".encode()
    start = time.perf_counter()
    link.ask(asked)
    while (head := link.answer()) is None:
        pass
    took = 1e6 * (time.perf_counter() - start)
    if b" 401 " not in head[:16]:
        raise SystemExit(f"a wrong key was answered with {head[:16]!r}")
    return took
