"""What no server can be faster than: the same work in one process, without HTTP and without Redis.

    SPEED_BUNDLE=... SPEED_REDIS=... python -m benchmarks.speed.contenders.loop BODIES SECONDS ANSWERS

loop   JSON bytes in, into typed structs; rows, context, Chorus's scorer, fusion, top k; JSON bytes out
bare   heads.onnx on arrays that lie ready

Prints how often a second each can be done, and the first answers, as JSON.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from redis import Redis

from benchmarks.speed import keys
from benchmarks.speed.contenders import typed
from benchmarks.speed.contenders.ranker import AGE, Heads, Place, Ranker, Rows, Vector, session
from model_store.bundle import Bundle
from model_store.clock import Clock
from model_store.features import FeatureSet
from model_store.scorer import Scorer, Side


def main(file: Path, seconds: float, answers: int) -> None:
    """Both limits."""
    place = Place.read()
    bundle, bodies = Bundle.open(place.folder), file.read_bytes().splitlines()
    loop = _loop(bundle, _known(place.redis, bodies))
    run = _bare(bundle, len(typed.decode(bodies[0]).candidates))
    found = {
        "answers": [json.loads(loop(body))["items"] for body in bodies[:answers]],
        "loop": often(lambda number: loop(bodies[number % len(bodies)]), seconds),
        "bare": often(lambda _: run(), seconds),
    }
    sys.stdout.write(json.dumps(found) + "\n")


def _loop(bundle: Bundle, known: Mapping[str, bytes]) -> Callable[[bytes], bytes]:
    """From the bytes of a request to the bytes of its answer; `known`: what Redis holds of users and queries."""
    rank = Ranker(bundle.folder, _heads(bundle)).rank

    def answer(body: bytes) -> bytes:
        asked = typed.decode(body)
        query = None if asked.query is None else known[keys.query(asked.query)]
        user = known[keys.user(asked.user_id)]
        items = rank(asked.candidates, user, query, asked.context.timestamp, asked.k)
        return typed.encode({"items": items})

    return answer


def _heads(bundle: Bundle) -> Heads:
    """Chorus's own scorer, as it is served: what is constant for an item is gathered, not computed."""
    manifest = bundle.manifest
    features = FeatureSet(manifest.features, Clock(manifest.timezone))
    scorer, parts, shared = Scorer(bundle, features), bundle.items.parts, features.shared
    age = features.own.tolist().index(AGE)
    ends = np.cumsum([task.width for task in scorer.tasks]).tolist()
    cuts = {task.name: slice(end - task.width, end) for task, end in zip(scorer.tasks, ends, strict=True)}
    order = [cuts[name] for name in ("click", "query_match", "time", "rating")]

    def heads(
        user: Vector, query: Vector | None, rows: Rows, common: Vector, ages: Vector
    ) -> Sequence[Vector]:
        own = np.zeros((len(rows), len(features.own)), np.float32)
        own[:, age] = ages
        outputs = scorer.scores(Side(user, query, common[shared]), parts, rows, own)
        return [outputs[:, cut] for cut in order]

    return heads


def _known(redis: str, bodies: Sequence[bytes]) -> dict[str, bytes]:
    asked = map(typed.decode, bodies)
    names = list({name: None for each in asked for name in keys.names(each.user_id, each.query)})
    with Redis.from_url(redis) as client:
        return dict(zip(names, client.mget(names), strict=True))


def _bare(bundle: Bundle, candidates: int) -> Callable[[], object]:
    opened, generator = session(bundle.folder / "heads.onnx"), np.random.default_rng(6)
    feeds = {
        node.name: generator.standard_normal(
            (candidates if node.name in ("items", "context") else 1, node.shape[-1]), dtype=np.float32
        )
        for node in opened.get_inputs()
    }
    return lambda: opened.run(None, feeds)


def often(work: Callable[[int], object], seconds: float) -> float:
    """How often a second, after a tenth of the time that does not count."""
    number, spent = 0, 0.0
    for limit in (0.1 * seconds, seconds):
        number, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < limit:
            work(number)
            number += 1
    return number / spent


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
