"""Pairs that share a user, a query and a moment are asked together and answered as each alone."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from app.api.pairs import Pair, ScoreRequest, scored
from app.catalogue import Catalogue
from app.link import Link
from app.metrics import Metrics, Stages
from app.model import build
from app.recommender import Recommender
from model_store.bundle import Bundle
from model_store.scorer import Scorer
from tests.live import metric

NOON = "2026-11-22T12:00:00Z"


@pytest.fixture(scope="module")
def opened(bundle):
    return Bundle.open(bundle)


def score(client, pairs):
    answer = client.post("/score", json={"pairs": pairs, "context": {"timestamp": NOON}})
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


def test_pairs_of_all_kinds_score_together_what_each_scores_alone(client, opened):
    ids, click = opened.items.ids, opened.manifest.events[1]
    cold = {"text": {opened.manifest.item_text[0].name: "red shoes"}}
    history = [{"item_id": ids[5], "event": click, "timestamp": "2026-11-20T00:00:00Z"}]
    pairs = [
        {"user_id": "pair:1", "item_id": ids[0]},
        {"user_id": "pair:1", "item_id": ids[1], "query": "red"},
        {"user_id": "pair:1", "item_id": ids[0]},
        {"user_id": "pair:1", "item_id": ids[0], **cold},
        {"user_id": "pair:1", "item_id": ids[2], "timestamp": "2026-11-22T03:00:00Z"},
        {"history": history, "item_id": ids[0]},
        {"history": [], "item_id": ids[0]},
        {"history": history, "item_id": ids[3]},
        {"user_id": "pair:1", "item_id": "nowhere"},
        {"user_id": "pair:2", "item_id": ids[1], "query": "red", "profile": {}},
    ]
    together = score(client, pairs)
    for pair, result in zip(pairs, together, strict=True):
        [alone] = score(client, [pair])
        assert result.keys() == alone.keys()
        assert result["status"] == (422 if pair["item_id"] == "nowhere" else 200)
        if "score" in alone:
            assert result["item_id"] == pair["item_id"]
            assert result["score"] == pytest.approx(alone["score"], abs=2e-6)
            assert result["tasks"].keys() == alone["tasks"].keys()
    assert together[0] == together[2] != together[3]
    assert together[5] != together[6]


def test_pairs_of_one_user_and_moment_are_one_ask(client, opened):
    line = "chorus_candidates_count"
    before = metric(client, line)
    score(client, [{"user_id": "pair:3", "item_id": item} for item in opened.items.ids[:20]])
    assert metric(client, line) == before + 1


def test_a_pair_whose_numbers_are_not_finite_fails_alone(settings, opened):
    vectors = np.array(opened.items.vectors)
    vectors[1] = np.nan
    items = replace(opened.items, parts=replace(opened.items.parts, vectors=vectors))
    pairs = [Pair(user_id="pair:4", item_id=item) for item in opened.items.ids[:4]]

    async def work():
        metrics = Metrics()
        link = Link(settings.redis_url, timeout=2.0, metrics=metrics)
        model = await build(settings, link, metrics)
        scorer = Scorer(opened, model.engine.features)
        catalogue = Catalogue(items, opened.manifest, scorer.parts)
        recommender = Recommender(
            model.engine, scorer, catalogue, state=model.state, pools=model.pools, settings=settings,
            metrics=metrics,
        )  # fmt: skip
        spoilt = replace(model, catalogue=catalogue, recommender=recommender)
        _, found, _ = await scored(pairs, ScoreRequest(), lambda _: spoilt, Stages(metrics))
        await model.state.settle()
        model.close()
        await link.close()
        return found

    found = asyncio.run(work())
    assert [result["status"] for result in found] == [200, 500, 200, 200]
    assert "is not finite" in found[1]["error"]
